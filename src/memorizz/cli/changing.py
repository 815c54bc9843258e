"""memorizz list, add, edit and delete: single memories, seen and changed by hand."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from memorizz.cli import _show
from memorizz.cli._common import AsJSON, Id, Limit, Server, Whose, Yes, confirm, open_provider
from memorizz.cli._embedder import Model, embedder, embedder_of
from memorizz.cli.documents import Store, complain_of_missing, conditions, print_hit, print_hits, stores
from memorizz.errors import ConfigurationError

if TYPE_CHECKING:
    from memorizz.embeddings import Embedder
    from memorizz.memory_provider.base import MemoryProvider

Keys = Annotated[str | None, typer.Option(help='Further keys: \'{"topic": "food"}\'.', metavar="JSON")]


def list_(
    store: Store = None,
    filter: Annotated[str | None, typer.Option(help='A filter: \'{"topic": "food"}\'.', metavar="JSON")] = None,
    newest: Annotated[bool, typer.Option("--newest", help="The newest first, not the oldest.")] = False,
    limit: Limit = 20,
    *,
    whose: Whose,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """List memories, the oldest or the newest first."""
    wanted, order = conditions(filter), "-created_at" if newest else "created_at"
    with open_provider(server, whose) as view:
        found = [
            (each, hit)
            for each in stores(view, store)
            for hit in view.retrieve_by_query(wanted, each, limit, order_by=order)
        ]
    found.sort(key=lambda each: each[1]["created_at"], reverse=newest)
    if as_json:
        _show.print_json({"documents": [{"store": each, "document": hit} for each, hit in found[:limit]]})
        return
    print_hits(found[:limit])


def add(
    text: Annotated[str, typer.Argument(help="What to remember; - reads it from stdin.")],
    store: Annotated[str, typer.Option(help="The store it goes into.", metavar="NAME")] = "long_term_memory",
    data: Keys = None,
    model: Model = None,
    *,
    whose: Whose,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Remember a text, and print its id."""
    keys = conditions(data, "--data")
    with with_embedder(server, whose, model) as (view, missing):
        id = view.remember(_text(text), store=store, **keys)
    if as_json:
        _show.print_json({"id": id, "embedded": not missing})
        return
    _show.say(id)
    _say_missing(missing)


def edit(
    id: Id,
    text: Annotated[str | None, typer.Argument(help="The new text; - reads it from stdin.")] = None,
    store: Store = None,
    data: Keys = None,
    model: Model = None,
    *,
    whose: Whose,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Change the text or some keys of a memory; the others stay as they are."""
    keys = conditions(data, "--data")
    if text is not None:
        keys["content"] = _text(text)
    if not keys:
        raise ConfigurationError('nothing to change: give a new text, or --data \'{"topic": "food"}\'')
    with with_embedder(server, whose, model) as (view, missing):
        place = _place(view, id, store)
        changed = place is not None and view.update_by_id(id, keys, place)
    if as_json:
        _show.print_json({"store": place, "changed": changed})
    elif changed:
        _show.say(f"changed in {place}")
        _say_missing(missing if text is not None else "")
    else:
        complain_of_missing(id, store)
    if not changed:
        raise typer.Exit(1)


def delete(
    id: Id,
    store: Store = None,
    yes: Yes = False,
    *,
    whose: Whose,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Delete one memory; `memorizz forget` deletes all of somebody's."""
    with open_provider(server, whose) as view:
        place, deleted = _place(view, id, store), False
        if place is not None and (document := view.retrieve_by_id(id, place)) is not None:
            if not yes:
                print_hit(place, document)
            confirm("Delete it?", yes)
            deleted = view.delete_by_id(id, place)
    if as_json:
        _show.print_json({"store": place, "deleted": deleted})
    elif deleted:
        _show.say(f"deleted from {place}")
    else:
        complain_of_missing(id, store)
    if not deleted:
        raise typer.Exit(1)


@contextmanager
def with_embedder(server: Server, whose: Whose, model: str | None) -> Generator[tuple[MemoryProvider, str]]:
    """Open what changes memories, with the embedder of the schema's model or the word on why there is none."""
    missing = ""

    def chosen(of_schema: str | None) -> Embedder | None:
        nonlocal missing
        if model is not None:
            return embedder(model, None, None)
        found, why = embedder_of(of_schema)
        missing = "" if found is not None else why or "the schema does not name its model"
        return found

    with open_provider(server, whose, chosen) as view:
        yield view, missing


def _place(view: MemoryProvider, id: str, store: str | None) -> str | None:
    """Return the store that has an id; raises ConfigurationError where several have it."""
    found = [each for each in stores(view, store) if view.retrieve_by_id(id, each) is not None]
    if len(found) > 1:
        raise ConfigurationError(f"{id} is in several stores: name one of them with --store, {' or '.join(found)}")
    return found[0] if found else None


def _text(given: str) -> str:
    return sys.stdin.read() if given == "-" else given


def _say_missing(missing: str) -> None:
    if missing:
        # The id alone is on stdout, for a program to take.
        _show.complain(f"without a vector: {missing}; `memorizz embed --model NAME` makes it")
