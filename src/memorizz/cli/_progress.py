"""How far a command is: one bar on the terminal's stderr, which goes when the work is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from memorizz.cli import _show

if TYPE_CHECKING:
    from memorizz import importers, moving
    from memorizz.memory_provider.postgresql import maintenance
    from memorizz.memory_provider.postgresql.maintenance import Job

# A title, what is known of it in words, how much is done, of how much; 0 where that is not known.
Watch = Callable[[str, str, float, float], None]


class Counted(Protocol):
    """What is told how many documents of something are done, and how many there are."""

    def __call__(self, what: str, done: int, total: int) -> None: ...


@contextmanager
def bar() -> Generator[Watch | None]:
    """Show a bar on a terminal, from the first news on; anywhere else there is nothing to tell."""
    errors = Console(stderr=True, markup=False, emoji=False, highlight=False)
    if not errors.is_terminal:
        yield None
        return
    shown = Progress(
        TextColumn("{task.fields[title]}", style="bold", markup=False, table_column=Column(no_wrap=True)),
        BarColumn(bar_width=12),
        # Who is in the way is said whole, on several lines if need be.
        TextColumn("{task.description}", style="dim", markup=False, table_column=Column(ratio=1)),
        console=errors,
        transient=True,
        # Only what shares the terminal with the bar has to go around it.
        redirect_stdout=sys.stdout.isatty(),
    )
    task = shown.add_task("", total=None, title="", visible=False)

    def watch(title: str, words: str, done: float, total: float) -> None:
        # Not before: a question may be asked first.
        if not shown.live.is_started:
            shown.start()
        shown.update(
            task, title=title, description=_show.plain(words), visible=True, total=total or None, completed=done
        )

    try:
        yield watch
    finally:
        shown.stop()


@contextmanager
def of_build() -> Generator[Callable[[Job, maintenance.Progress], None] | None]:
    """Show how far the build of an index is."""
    with bar() as watch:
        pace = Pace()

        def show(job: Job, progress: maintenance.Progress) -> None:
            assert watch is not None
            _, left = pace.measure((job.name, progress.phase), progress.done, progress.total)
            share = progress.share
            watch(job.name, build_line(progress, left), share or 0.0, 0 if share is None else 1)

        yield watch and show


@contextmanager
def of_documents() -> Generator[Callable[[moving.Progress], None] | None]:
    """Show how many documents of a store are done."""
    with bar() as watch:
        pace = Pace()

        def show(progress: moving.Progress) -> None:
            assert watch is not None
            rate, left = pace.measure((progress.phase, progress.store), progress.done, progress.total)
            line = documents_line(progress, rate, left)
            watch(f"{progress.phase} {progress.store}", line, progress.done, progress.total)

        yield watch and show


@contextmanager
def of_import() -> Generator[Callable[[importers.Progress], None] | None]:
    """Show how much of a file is checked, then how many of its documents are stored."""
    with bar() as watch:
        pace = Pace()

        def show(progress: importers.Progress) -> None:
            assert watch is not None
            rate, left = pace.measure((progress.phase, ""), progress.done, progress.total)
            unit = _show.size if progress.phase == "checking" else "{:,.0f}".format
            parts = [f"{unit(progress.done)} of {unit(progress.total)}", *([] if rate is None else [f"{unit(rate)}/s"])]
            watch(progress.phase, ", ".join(_with_time_left(parts, left)), progress.done, progress.total)

        yield watch and show


@contextmanager
def of_work(phase: str) -> Generator[Counted | None]:
    """Show how many documents are done, and of how many."""
    with bar() as watch:
        pace = Pace()

        def show(what: str, done: int, total: int) -> None:
            assert watch is not None
            rate, left = pace.measure((phase, what), done, total)
            watch(f"{phase} {what}", counted_line(done, total, rate, left), done, total)

        yield watch and show


@contextmanager
def of_store(phase: str, store: str) -> Generator[Callable[[int, int], None] | None]:
    """Show how many documents of one store are done, and of how many."""
    with of_work(phase) as watch:
        yield None if watch is None else partial(watch, store)


@contextmanager
def of_tidying() -> Generator[Callable[[int, float], None] | None]:
    """Show how many documents were due so far, told that and the part of the work that is done."""
    with bar() as watch:
        work, documents = Pace(), Pace()

        def show(due: int, share: float) -> None:
            assert watch is not None
            _, left = work.measure(("", ""), share, 1)
            rate, _ = documents.measure(("", ""), due, 0)
            watch("tidying", tidying_line(due, share, rate, left), share, 1)

        yield watch and show


class Pace:
    """How fast a phase goes, and so how long it will take."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._phase: tuple[str, str] | None = None
        self._began = (0.0, 0.0)

    def measure(self, phase: tuple[str, str], done: float, total: float) -> tuple[float | None, float | None]:
        """Return how much is done in a second, and the seconds until all is done; None while that cannot be said."""
        now = self._clock()
        if phase != self._phase:
            self._phase, self._began = phase, (now, done)
        took, gained = now - self._began[0], done - self._began[1]
        if took < 1 or gained <= 0:
            return None, None
        return gained / took, max(total - done, 0) * took / gained if total else None


def build_line(progress: maintenance.Progress, left: float | None) -> str:
    """Return what a build does, how far it is, and how long it will take, in a few words."""
    if progress.waits_for is not None:
        return f"waits for {progress.waits_for}"
    parts = [progress.phase.removeprefix("building index: ").removeprefix("index validation: ")]
    if progress.share is not None:
        parts.append(f"{progress.share:.0%}")
    return ", ".join(_with_time_left(parts, left))


def documents_line(progress: moving.Progress, rate: float | None, left: float | None) -> str:
    """Return how many documents are done, how many in a second, and how long the others will take."""
    if progress.phase == "indexing":
        return ", ".join(_with_time_left([f"{progress.done:.0%}"], left))
    return counted_line(progress.done, progress.total, rate, left)


def counted_line(done: float, total: float, rate: float | None, left: float | None) -> str:
    """Return how many of how many are done, how many in a second, and how long the others will take."""
    parts = [f"{done:,.0f} of {total:,.0f}", *([] if rate is None else [f"{rate:,.0f}/s"])]
    return ", ".join(_with_time_left(parts, left))


def tidying_line(due: int, share: float, rate: float | None, left: float | None) -> str:
    """Return how far it is, how many documents were due, how many in a second, and how long the rest will take."""
    parts = [f"{share:.0%}", f"{due:,} due", *([] if rate is None else [f"{rate:,.0f}/s"])]
    return ", ".join(_with_time_left(parts, left))


def _with_time_left(parts: list[str], left: float | None) -> list[str]:
    return parts if left is None else [*parts, f"{duration(left)} left"]


def duration(seconds: float) -> str:
    """Return a time that something takes, as precise as anybody wants it."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min {seconds:02} s"
