"""memorizz duplicates and memorizz consolidate: what says the same in a memory, found and merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from memorizz.cli import _progress, _show
from memorizz.cli._common import AsJSON, Server, StoreName, Whose, Yes, confirm, open_provider
from memorizz.cli.documents import text_of

if TYPE_CHECKING:
    from memorizz.memory_provider.base import Duplicates, MemoryProvider

Similarity = Annotated[
    float, typer.Option(min=0, max=1, metavar="NUMBER", help="The least cosine similarity; 1 is equal.")
]


def duplicates(
    store: StoreName,
    similarity: Similarity = 0.97,
    limit: Annotated[int, typer.Option(help="How many groups to show.", min=1)] = 20,
    *,
    whose: Whose,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Show what says the same in a memory, by vectors and equal texts; without one, in what is of no memory."""
    with open_provider(server, whose) as view:
        with _progress.of_store("comparing", store) as watch:
            found = view.duplicates(store, similarity=similarity, limit=limit, watch=watch)
        if as_json:
            _show.print_json({"groups": [asdict(group) for group in found]})
        else:
            _print(found, view, store)


def consolidate(
    store: StoreName,
    similarity: Similarity = 0.97,
    by: Annotated[str | None, typer.Option(help="Who merges, for the history.", metavar="NAME")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be merged, and merge nothing.")] = False,
    yes: Yes = False,
    *,
    whose: Whose,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Merge what says the same in a memory into the newest of it; `memorizz history undo` takes it back."""
    with open_provider(server, whose) as view:
        with _progress.of_store("comparing", store) as watch:
            done = view.consolidate(store, similarity=similarity, dry_run=True, watch=watch)
        if not as_json:
            _print(done.groups, view, store)
        if not dry_run and done.groups:
            confirm(f"Merge {done.merged} documents into {len(done.groups)} others?", yes)
            acting = view if by is None else view.acting(by)
            with _progress.of_store("comparing", store) as watch:
                done = acting.consolidate(store, similarity=similarity, watch=watch)
    if as_json:
        _show.print_json(done.as_json())
    elif done.call is not None:
        _show.say(f"merged {done.merged} documents; memorizz history undo {done.call!r} takes it back")


def _print(groups: Sequence[Duplicates], view: MemoryProvider, store: str) -> None:
    for group in groups:
        _show.heading(group.kept)
        rows = [("", _text(view, group.kept, store))]
        rows += [(f"{similarity:.3f}  {id}", _text(view, id, store)) for id, similarity in group.others.items()]
        _show.show(_show.pairs(rows), 2)
    if not groups:
        _show.say("nothing says the same")


def _text(view: MemoryProvider, id: str, store: str) -> str:
    return _show.shortened(text_of(view.retrieve_by_id(id, store) or {}))
