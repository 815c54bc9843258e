"""What `memorizz migrate-from` prints."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from memorizz.cli import _show
from memorizz.cli._common import confirm, interruptible
from memorizz.cli._progress import duration
from memorizz.errors import ConfigurationError, MemorizzError, one_line

if TYPE_CHECKING:
    from memorizz.memory_provider.base import MemoryProvider
    from memorizz.moving import Exported, Problem, Report, StoreReport

# --- meanwhile ----------------------------------------------------------------------------------------------------


@contextmanager
def going_on() -> Generator[None]:
    """Say of what interrupts a copy that it can be gone on with."""
    try:
        with interruptible("what was copied until then stays, the same command again goes on from there"):
            yield
    except ConfigurationError:
        raise
    except MemorizzError as error:
        _show.complain(str(error))
        _show.complain("what was copied until then stays; the same command again goes on from there")
        raise typer.Exit(1) from None


def confirming(place: str, yes: bool) -> Callable[[Mapping[str, int]], None]:
    """Return what asks before the documents of stores are deleted."""

    def ask(held: Mapping[str, int]) -> None:
        counts = ", ".join(f"{count:,} in {store}" for store, count in held.items())
        confirm(f"Delete what {place} holds ({counts}), to replace it?", yes)

    return ask


def confirm_replacing(provider: MemoryProvider, stores: Sequence[str], place: str, yes: bool) -> None:
    """Ask before the documents of stores are deleted, where they hold any."""
    counts = {store: provider.count(store) for store in stores}
    held = {store: count for store, count in counts.items() if count}
    if held:
        confirming(place, yes)(held)


# --- afterwards ---------------------------------------------------------------------------------------------------


def conclude(report: Report, as_json: bool) -> None:
    """Print a report, and end the command with exit code 1 unless everything is in the target."""
    if as_json:
        _show.print_json(report.to_dict())
    else:
        _show_report(report)
    if not report.ok:
        raise typer.Exit(1)


def _show_report(report: Report) -> None:
    """Print what was done, or in a dry run what is stored, and what is wrong."""
    _show.say(f"from {report.source}", "dim")
    _show.say(f"to   {report.target}", "dim")
    _show.say()
    held = [store for store in report.stores if store.in_source or store.in_target or store.not_copied]
    if not held:
        _show.say("there is nothing to copy")
    else:
        (_show_plan if report.dry_run else _show_copied)(held)
    for name in report.left_out:
        _show.say(one_line(f"not copied: {name}, which is none of the stores"), "yellow")
    if report.dry_run:
        taken = [store for store in held if store.in_target]
        if taken and report.existing == "refuse":
            _show.say("the target holds documents already: it needs --merge or --replace", "yellow")
        _show.say("nothing was written", "dim")
    elif held:
        _show.say(f"{'the same on both sides' if report.ok else 'NOT all the same'}, {duration(report.seconds)}")


def _show_copied(stores: Sequence[StoreReport]) -> None:
    columns = {"store": _show.LEFT} | dict.fromkeys(("copied", "there", "expired", "not copied", "differ"), _show.RIGHT)
    rows = [
        (
            store.store,
            *(
                f"{count:,}"
                for count in (store.copied, store.present, store.expired, store.not_copied, store.different)
            ),
        )
        for store in stores
    ]
    _show.show(_show.table(columns, rows))
    for store in stores:
        _list(f"{store.store}: not copied", store.problems, store.not_copied)
        _list(f"{store.store}: copied in part", store.omissions, store.incomplete)
        if store.missing:
            _show.say(f"{store.store}: {store.missing:,} documents were deleted meanwhile, or lost", "yellow")
        _list(f"{store.store}: different", store.differences, store.different)


def _show_plan(stores: Sequence[StoreReport]) -> None:
    columns = {"store": _show.LEFT} | dict.fromkeys(("documents", "would not fit", "in target"), _show.RIGHT)
    rows = [
        (
            store.store,
            *(f"{count:,}" for count in (store.in_source, store.not_copied, store.in_target)),
            ", ".join(f"{length} ({count:,})" for length, count in store.dimensions.items()),
        )
        for store in stores
    ]
    _show.show(_show.table({**columns, "embeddings": _show.WIDE}, rows))
    for store in stores:
        if store.keys:
            _show.heading(store.store)
            kinds = [
                (key, ", ".join(f"{kind} {n:,}" for kind, n in found.items())) for key, found in store.keys.items()
            ]
            _show.show(_show.pairs(kinds), 2)
        _list(f"{store.store}: would not fit", store.problems, store.not_copied)
        _list(f"{store.store}: would be copied in part", store.omissions, store.incomplete)


def complain_of(exported: Exported) -> None:
    """Print on stderr which documents are not in a file, or only in part."""
    for what, found in (("not exported", exported.not_exported), ("exported in part", exported.omissions)):
        for store, problems in found.items():
            if problems.count:
                _show.complain(f"{store}: {problems.count:,} documents {what}")
                for problem in problems.listed:
                    _show.complain(f"  {problem.id}: {_show.shortened(problem.reason, 300)}")


def _list(title: str, problems: Sequence[Problem], count: int) -> None:
    if not count:
        return
    _show.say(title, "yellow")
    for problem in problems:
        _show.say(one_line(f"  {problem.id}: {_show.shortened(problem.reason, 300)}"))
    if count > len(problems):
        _show.say(f"  and {count - len(problems):,} more", "dim")
