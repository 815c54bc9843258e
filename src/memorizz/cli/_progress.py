"""How far a command is: one bar on the terminal's stderr, which goes when the work is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

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
News = ParamSpec("News")


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


def _on_a_bar(
    show: Callable[Concatenate[Watch, Pace, News], None],
) -> Callable[[], AbstractContextManager[Callable[News, None] | None]]:
    """Make a block in which news are shown on a bar, of a function that shows one piece of them."""

    @contextmanager
    @wraps(show)
    def shown() -> Generator[Any]:
        with bar() as watch:
            yield None if watch is None else partial(show, watch, Pace())

    return shown


@_on_a_bar
def of_build(watch: Watch, pace: Pace, job: Job, progress: maintenance.Progress) -> None:
    """Show how far the build of an index is."""
    _, left = pace.measure((job.name, progress.phase), progress.done, progress.total)
    share = progress.share
    watch(job.name, build_line(progress, left), share or 0.0, 0 if share is None else 1)


@_on_a_bar
def of_documents(watch: Watch, pace: Pace, progress: moving.Progress) -> None:
    """Show how many documents of a store are done."""
    rate, left = pace.measure((progress.phase, progress.store), progress.done, progress.total)
    line = documents_line(progress, rate, left)
    watch(f"{progress.phase} {progress.store}", line, progress.done, progress.total)


@_on_a_bar
def of_import(watch: Watch, pace: Pace, progress: importers.Progress) -> None:
    """Show how much of a file is checked, then how many of its documents are stored."""
    rate, left = pace.measure((progress.phase, ""), progress.done, progress.total)
    unit = _show.size if progress.phase == "checking" else _count
    line = _line([f"{unit(progress.done)} of {unit(progress.total)}"], rate, left, unit)
    watch(progress.phase, line, progress.done, progress.total)


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


@_on_a_bar
def of_work(watch: Watch, pace: Pace, phase: str, store: str, done: int, total: int) -> None:
    """Show how many documents of a store are done, and of how many."""
    rate, left = pace.measure((phase, store), done, total)
    watch(f"{phase} {store}", _counted_line(done, total, rate, left), done, total)


@contextmanager
def of_store(phase: str, store: str) -> Generator[Callable[[int, int], None] | None]:
    """Show how many documents of one store are done, and of how many."""
    with of_work() as watch:
        yield None if watch is None else partial(watch, phase, store)


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
    phase = progress.phase.removeprefix("building index: ").removeprefix("index validation: ")
    return _line([phase] if progress.share is None else [phase, f"{progress.share:.0%}"], None, left)


def documents_line(progress: moving.Progress, rate: float | None, left: float | None) -> str:
    """Return how many documents are done, how many in a second, and how long the others will take."""
    if progress.phase == "indexing":
        return _line([f"{progress.done:.0%}"], None, left)
    return _counted_line(progress.done, progress.total, rate, left)


def tidying_line(due: int, share: float, rate: float | None, left: float | None) -> str:
    """Return how far it is, how many documents were due, how many in a second, and how long the rest will take."""
    return _line([f"{share:.0%}", f"{due:,} due"], rate, left)


def _counted_line(done: float, total: float, rate: float | None, left: float | None) -> str:
    return _line([f"{_count(done)} of {_count(total)}"], rate, left)


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _line(parts: list[str], rate: float | None, left: float | None, unit: Callable[[float], str] = _count) -> str:
    """Return what is said, with how much is done in a second, and how long the rest will take, where that is known."""
    if rate is not None:
        parts.append(f"{unit(rate)}/s")
    if left is not None:
        parts.append(f"{duration(left)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Return a time that something takes, as precise as anybody wants it."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min {seconds:02} s"
