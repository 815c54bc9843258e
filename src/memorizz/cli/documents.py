"""memorizz search and memorizz show: memories by meaning and words, and one of them whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memorizz.cli import _show
from memorizz.cli._common import AsJSON, Id, Limit, Server, Whose, open_provider
from memorizz.cli._embedder import Model, embedder, embedder_of
from memorizz.errors import FilterError

if TYPE_CHECKING:
    from memorizz.embeddings import Embedder
    from memorizz.memory_provider.base import Document, MemoryProvider

Store = Annotated[str | None, typer.Option(help="Look in one store only.", metavar="NAME")]


def search(
    text: Annotated[str | None, typer.Argument(help="What to look for; without it, the oldest come first.")] = None,
    store: Store = None,
    filter: Annotated[
        str | None, typer.Option(help='A filter: \'{"metadata.topic": "food"}\'.', metavar="JSON")
    ] = None,
    limit: Limit = 10,
    model: Model = None,
    *,
    whose: Whose,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Find memories by meaning and words, the best first; by words alone where no embedder is at hand."""
    from memorizz.memory_provider.postgresql.operations import retrieve_from_all_stores

    wanted = conditions(filter)
    asked, missing = text is not None, ""

    def chosen(of_schema: str | None) -> Embedder | None:
        nonlocal missing
        if not asked or model is not None:
            return embedder(model, None, None) if asked and model is not None else None
        found, missing = embedder_of(of_schema)
        return found

    with open_provider(server, whose, chosen) as provider:
        if text is not None and store is None:
            hits = provider.run(retrieve_from_all_stores, text, limit, wanted)
        elif text is not None and store is not None:
            hits = [(store, hit) for hit in provider.retrieve_by_query(text, store, limit, where=wanted)]
        else:
            found = ((each, provider.retrieve_by_query(wanted, each, limit)) for each in stores(provider, store))
            hits = sorted(((each, hit) for each, documents in found for hit in documents), key=_oldest)
        by = None if text is None else "meaning and words" if provider.has_embedder else "words"
    if as_json:
        _show.print_json({"by": by, "hits": [{"store": each, "document": hit} for each, hit in hits[:limit]]})
        return
    print_hits(hits[:limit])
    if missing:
        _show.say(f"by words alone: {missing}; --model names an embedder", "dim")


def show(
    id: Id,
    store: Store = None,
    *,
    whose: Whose,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Print one memory, whole; an id that several stores have is printed from each."""
    with open_provider(server, whose) as provider:
        found = [(each, provider.retrieve_by_id(id, each, include_embedding=True)) for each in stores(provider, store)]
    documents = [(each, document) for each, document in found if document is not None]
    lengths = [len(document.pop("embedding") or ()) for _, document in documents]
    if as_json:
        _show.print_json(
            {
                "documents": [
                    {"store": each, "embedding_dimensions": length or None, "document": document}
                    for (each, document), length in zip(documents, lengths, strict=True)
                ]
            }
        )
    for (each, document), length in zip(documents, lengths, strict=True):
        if not as_json:
            _print_document(each, document, length)
    if not documents:
        if not as_json:
            complain_of_missing(id, store)
        raise typer.Exit(1)


def complain_of_missing(id: str, store: str | None) -> None:
    """Say that no store, or not the one that was named, has an id."""
    _show.complain(f"no store has a memory with the id {id}" if store is None else f"{store} has no id {id}")


def conditions(text: str | None, option: str = "--filter") -> dict[str, Any]:
    """Return the JSON object that an option gives, {} where it is not given."""
    try:
        filter: Any = json.loads(text or "{}")
    except ValueError as error:
        raise FilterError(f'{option} is no JSON: {error}; expected an object such as \'{{"name": "Ada"}}\'') from None
    if not isinstance(filter, dict):
        raise FilterError(f"{option}: expected a JSON object, got {text}")
    return dict(filter)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def stores(provider: MemoryProvider, name: str | None) -> list[str]:
    """Return the names of all stores, or the one that is given."""
    return [spec.name for spec in provider.stores()] if name is None else [name]


def _oldest(hit: tuple[str, Document]) -> Any:
    return hit[1]["created_at"]


def print_hits(hits: Sequence[tuple[str, Document]]) -> None:
    """Print memories, each with its store."""
    for store, hit in hits:
        print_hit(store, hit)
    if not hits:
        _show.say("nothing found")


def print_hit(store: str, hit: Document) -> None:
    """Print what a memory says, and below where it is."""
    _show.say(_show.shortened(text_of(hit)))
    about = (store, hit.get("memory_id"), hit.get("role") or hit.get("name"), hit["id"])
    _show.code("  ".join(str(part) for part in about if part), 2, "dim")


def text_of(document: Document) -> str:
    """Return what a memory says, or else what it is called."""
    from memorizz.memory_provider import _documents

    said = _documents.text_of(document)
    return str(said or document.get("instruction") or document.get("name") or "(no text)")


def _print_document(store: str, document: Document, dimensions: int) -> None:
    _show.heading(f"{store}  {document['id']}")
    shown = {name: value for name, value in document.items() if name not in ("id", "_id")}
    pairs = [(name, _show.value(value)) for name, value in shown.items()]
    _show.show(_show.pairs([*pairs, ("embedding", f"{dimensions} dimensions" if dimensions else "none")]), 2)
