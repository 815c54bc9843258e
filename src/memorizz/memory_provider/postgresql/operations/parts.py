"""The vectors of a document's parts: which are made, and how they are written with the document.

The parts under a key follow from its own value alone, so that what a document brings replaces what is stored under its
keys, and nothing else. A text that is stored already, with a vector, is not embedded again. Where another writer has
replaced it meanwhile, the part is written without a vector, and is embedded then, or by `embed_missing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace as with_fields
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from uuid import UUID

from memorizz.errors import EmbeddingFailed, InvalidDocument
from memorizz.memory_provider import _values
from memorizz.memory_provider._documents import EMBEDDING, given_id
from memorizz.memory_provider._parts import Part, fields_of, parts_of, roots, text_at
from memorizz.memory_provider.base import Filter
from memorizz.memory_provider.postgresql._steps import Embed, Operation, Query, fetch, fetch_all
from memorizz.memory_provider.postgresql.facts import Store, has_pieces
from memorizz.memory_provider.postgresql.rows import SELECTED, Pieces, Replaced, Row, document_of, row_of
from memorizz.memory_provider.postgresql.sql import parts as sql
from memorizz.memory_provider.postgresql.sql import reads, writes

if TYPE_CHECKING:
    import numpy as np

Document = Mapping[str, Any]
Stored = Mapping[UUID, set[tuple[str, int, UUID]]]


# --- what a document brings ---------------------------------------------------------------------------------------


def _given(store: Store, document: Document) -> Replaced | None:
    """Return the parts that a document brings, without vectors unless it has them; None where it changes none."""
    on_invalid = store.layout.on_invalid_text
    if EMBEDDING in document:
        parts, vectors = _given_vectors(store, document)
        return Replaced(roots(store.spec), parts, vectors)
    changed = [key for key in roots(store.spec) if key in document]
    if not changed:
        return None
    parts = parts_of(store.spec, document, on_invalid)
    return Replaced(changed, parts, [None] * len(parts))


def _given_vectors(store: Store, document: Document) -> tuple[list[Part], list[np.ndarray[Any, Any]]]:
    given = cast(object, document[EMBEDDING])
    parts: list[Part] = []
    vectors: list[np.ndarray[Any, Any]] = []
    listed = cast("list[Any]", [*given] if isinstance(given, list | tuple) else [] if given is None else [given])
    if not all(isinstance(each, Mapping) for each in listed) or isinstance(given, Mapping):
        raise InvalidDocument(
            EMBEDDING,
            f"{store.name} has a vector for each part: expected None or a list of "
            "{'path': ..., 'embedding': [...]}, with 'start' and 'stop' for a piece of a text",
        )
    texts: dict[str, str | None] = {}
    for place, each in enumerate(cast("list[Mapping[str, Any]]", listed)):
        path = each.get("path")
        if isinstance(path, str) and path not in texts:
            texts[path] = text_at(store.spec, document, path, store.layout.on_invalid_text)
        text = texts.get(path) if isinstance(path, str) else None
        if text is None or EMBEDDING not in each:
            raise InvalidDocument(
                f"{EMBEDDING}[{place}]",
                "expected the path of a text that the document brings, under one of the fields that are embedded "
                f"({', '.join(fields_of(store.spec))}), and its embedding",
            )
        start, stop = each.get("start", 0), each.get("stop", len(text))
        if not (type(start) is type(stop) is int and 0 <= start < stop <= len(text)):
            raise InvalidDocument(
                f"{EMBEDDING}[{place}]", f"expected 0 <= start < stop <= {len(text)}, got {start!r} and {stop!r}"
            )
        parts.append(Part(cast(str, path), start, stop, text[start:stop]))
        vectors.append(store.checked_vector(each[EMBEDDING]))
    if len({(part.path, part.start) for part in parts}) < len(parts):
        raise InvalidDocument(EMBEDDING, "two parts begin at the same place of the same text")
    return parts, vectors


def rows(store: Store, documents: Sequence[Document], seen: set[UUID] | None = None) -> Operation[list[Row]]:
    """Return the rows of documents with their parts, and the vectors of those whose text is not stored.

    `seen` are the ids that came before in the same call: what is stored under them says nothing.
    """
    if not store.embeds:
        return [row_with_parts(store, document) for document in documents]
    seen = set() if seen is None else seen
    found = [row_with_parts(store, document) for document in documents]
    again: list[bool] = []
    for row in found:
        again.append(row.values["id"] in seen)
        seen.add(row.values["id"])
    known = yield from _stored(store, [row for row in found if not row.is_new])
    none: Stored = {}
    return (yield from _embedded(store, documents, found, [none if each else known for each in again]))


def row_with_parts(store: Store, document: Document, key: UUID | None = None) -> Row:
    """Return the row of a document, with its parts where it has some, which have the vectors that it brings."""
    if store.spec.fields:
        return with_fields(row_of(store, document, key), parts=_given(store, document))
    # What is no document is refused there.
    if not (isinstance(cast(object, document), Mapping) and is_list_of_parts(document.get(EMBEDDING))):
        return row_of(store, document, key)
    return row_with_pieces(store, document, *_given_vectors(store, document), key)


def row_with_pieces(
    store: Store, document: Document, pieces: Sequence[Part], vectors: Sequence[Any], key: UUID | None = None
) -> Row:
    """Return the row of a document of these pieces: without a vector for none, with one for one."""
    document = {**document, EMBEDDING: vectors[0] if pieces else None}
    return row_of(store, document, key, pieces_of(store, pieces, vectors))


def pieces_of(store: Store, pieces: Sequence[Part], vectors: Sequence[Any]) -> Pieces | None:
    """Return the pieces of a text, with their vectors; None where it is one."""
    if len(pieces) < 2:
        return None
    spans = [(piece.start, piece.stop) for piece in pieces]
    return Pieces(_values.new_id(), spans, [store.checked_vector(vector) for vector in vectors])


def is_list_of_parts(embedding: object) -> bool:
    """Return True for the vectors of parts, in the place of one vector."""
    listed = cast("Sequence[object]", embedding) if isinstance(embedding, list | tuple) else ()
    return len(listed) > 0 and isinstance(listed[0], Mapping)


def as_embedding(pieces: Sequence[Part], vectors: Sequence[Any]) -> Any:
    """Return what a document with these vectors brings as its embedding."""
    if len(pieces) == 1:
        return vectors[0]
    return [
        {"path": piece.path, "start": piece.start, "stop": piece.stop, EMBEDDING: vector}
        for piece, vector in zip(pieces, vectors, strict=True)
    ]


def _stored(store: Store, found: Sequence[Row]) -> Operation[Stored]:
    ids = [row.values["id"] for row in found if row.parts is not None and row.parts.parts]
    stored: dict[UUID, set[tuple[str, int, UUID]]] = {}
    for id, *part in (yield from fetch(sql.digests(store, ids))) if ids else ():
        stored.setdefault(id, set()).add((part[0], part[1], part[2]))
    return stored


def _embedded(
    store: Store, documents: Sequence[Document], found: Sequence[Row], known: Sequence[Stored]
) -> Operation[list[Row]]:
    """Return rows with the vectors of those parts that are not known."""
    wanted: list[tuple[int, int, str]] = []
    for place, (document, row) in enumerate(zip(documents, found, strict=True)):
        if row.parts is None or EMBEDDING in document:
            continue
        stored = known[place].get(row.values["id"], set())
        wanted += [
            (place, at, part.text)
            for at, part in enumerate(row.parts.parts)
            if (part.path, part.start, part.digest) not in stored
        ]
    made = (yield Embed([text for *_, text in wanted], "document", cast(str, store.embedder))) if wanted else ()
    vectors = {place: list(row.parts.vectors) for place, row in enumerate(found) if row.parts is not None}
    for (place, at, _), vector in zip(wanted, made, strict=True):
        vectors[place][at] = store.checked_vector(vector)
    return [
        row if row.parts is None else with_fields(row, parts=with_fields(row.parts, vectors=vectors[place]))
        for place, row in enumerate(found)
    ]


# --- writing ------------------------------------------------------------------------------------------------------


def with_pieces(store: Store, row: Row, statement: Query) -> list[Query]:
    """Return the statement that writes a row, with those that write its pieces where it has some."""
    if row.pieces is None:
        return [statement]
    return [*noted(store), statement, sql.add_pieces(store, row.values["id"], row.pieces)]


def noted(store: Store) -> list[Query]:
    """Return the statement that says that a store has pieces, where nobody has said so."""
    return [] if store.pieces else [has_pieces(store)]


def written(store: Store, row: Row, statement: Query, last: bool) -> Operation[list[Any]]:
    """Write a row with its pieces, by one statement where it has none; return what the row's statement brings back."""
    if row.pieces is None:
        statement.last = last
        stored: list[Any] = yield statement
        return stored
    return (yield from fetch_all(with_pieces(store, row, statement)))[-2]


def add_vectors(
    store: Store, id: UUID, label: str | None, content: str, found: Sequence[Part], vectors: Sequence[Any]
) -> Operation[int]:
    """Give a document the vectors of its text; return how many documents got theirs.

    None gets any where a model has refused one of them, or where it has another text or a vector by now.
    """
    if any(isinstance(vector, EmbeddingFailed) for vector in vectors):
        return 0
    pieces = pieces_of(store, found, vectors)
    statement = writes.add_vector(store, id, label, content, store.vector_of(vectors[0]), pieces and pieces.id)
    if pieces is None:
        return len((yield from fetch(statement)))
    results = yield from fetch_all([*noted(store), statement, sql.add_pieces(store, id, pieces)])
    return len(results[-2])


def replaced(store: Store, written: Iterable[Row]) -> list[Query]:
    """Return the statements that write the parts of documents that this transaction has written."""
    return [sql.replace(store, row.values["id"], row.parts) for row in written if row.parts is not None]


def check_own(target: Store, row: Row) -> Operation[None]:
    """Raise InvalidDocument where the document of an id, under which nothing was stored, is not of the memory."""
    if target.scope.memory is not None and not (yield from fetch(reads.stored_ids(target, [row.values["id"]]))):
        raise target.scope.taken(row.name)


def store(target: Store, data: Document) -> Operation[str]:
    row = (yield from rows(target, [data]))[0]
    steps = [writes.upsert(target, row), *replaced(target, [row])]
    stored, *counted = yield from fetch_all(steps)
    if not stored:
        _, _, *counted = yield from fetch_all([writes.delete_expired(target, row.values["id"]), *steps])
        yield from check_own(target, row)
    if counted:
        yield from _embed_again(target, row, counted[0][0][1])
    return row.name


def store_if_absent(target: Store, data: Document) -> Operation[str | None]:
    name = given_id(data)
    if target.embeds and name is not None and (yield from fetch(reads.texts(target, [_values.id_key(name)]))):
        return None
    row = (yield from rows(target, [data]))[0]
    parts = row.parts or Replaced((), (), ())
    insert = sql.insert(target, row, parts)
    [(stored, waits)] = yield from fetch(insert)
    if not stored:
        _, [(stored, waits)] = yield from fetch_all([writes.delete_expired(target, row.values["id"]), insert])
    if stored:
        yield from _embed_again(target, row, waits)
    else:
        yield from check_own(target, row)
    return row.name if stored else None


def update_by_id(target: Store, name: str, data: Document) -> Operation[bool]:
    key = _values.id_key(name)
    row = row_with_parts(target, data, key)
    if row.parts is None:
        return bool((yield from fetch(writes.update(target, row, name))))
    if target.embeds:
        known = yield from _stored(target, [row])
        row = (yield from _embedded(target, [data], [row], [known]))[0]
    update = sql.update(target, row, key, name, cast(Replaced, row.parts))
    *_, [(stored, waits)] = yield from fetch_all([*sql.locked(target, [key]), update])
    if stored:
        yield from _embed_again(target, row, waits)
    return bool(stored)


# The key of no document: what is merged into several has none.
_NONE = UUID(int=0)


def changes_parts(target: Store, keys: Document) -> bool:
    return EMBEDDING in keys or any(root in keys for root in roots(target.spec))


def update(target: Store, filter: Filter, data: Document) -> Operation[int]:
    """Merge keys that have parts into each document that matches: the same parts for all, embedded once."""
    found = yield from fetch(reads.keys_of_matching(target, filter))
    if not found:
        return 0
    row = row_with_parts(target, data, _NONE)
    if target.embeds:
        row = (yield from _embedded(target, [data], [row], [{}]))[0]
    steps = sql.locked(target, [id for id, _ in found])
    parts = cast(Replaced, row.parts)
    steps += [sql.update(target, row, id, name, parts, filter) for id, name in found]
    results = yield from fetch_all(steps)
    return sum(counted[0][0] for counted in results[-len(found) :])


# --- what has no vector yet ---------------------------------------------------------------------------------------


def _embed_again(target: Store, row: Row, waits: int) -> Operation[None]:
    """Embed parts that were taken to be stored, and were replaced meanwhile."""
    if waits and target.embeds and row.parts is not None:
        yield from embed_waiting(target, [row.values["id"]])


def embed_waiting(target: Store, ids: Sequence[UUID]) -> Operation[None]:
    """Embed those parts of some documents that wait for a vector."""
    for id in ids:
        for found in (yield from fetch(sql.waiting_of(target, id))):
            waiting = waiting_parts(target, found)
            vectors = yield Embed([text for *_, text in waiting], "document", cast(str, target.embedder))
            yield from _add(target, found[-1], waiting, vectors)


class Missing(NamedTuple):
    """A document that lacks vectors: the texts of those, and what adds them, or what became of each."""

    key: UUID
    name: str
    texts: Sequence[str]
    add: Callable[[Sequence[Any]], Operation[int]]


def missing(target: Store, after: UUID | None, limit: int) -> Operation[list[Missing]]:
    """Return the next documents with parts that have no vector."""
    found: list[Missing] = []
    for row in (yield from fetch(sql.waiting(target, after, limit))):
        waiting = waiting_parts(target, row)
        texts = [text for *_, text in waiting]
        found.append(Missing(row[-1], row[len(SELECTED)], texts, partial(_add, target, row[-1], waiting)))
    return found


# Its path, where it starts, its digest and its text.
WaitingPart = tuple[str, int, str, str]


def waiting_parts(store: Store, row: Sequence[Any]) -> list[WaitingPart]:
    """Return the parts of a document that wait."""
    document = document_of(tuple(row))
    waiting: list[WaitingPart] = []
    texts: dict[str, str | None] = {}
    for path, start, stop, digest in row[len(SELECTED) + 1]:
        if path not in texts:
            texts[path] = text_at(store.spec, document, path, store.layout.on_invalid_text)
        text = texts[path]
        if text is not None and text[start:stop].strip():
            waiting.append((path, start, digest, text[start:stop]))
    return waiting


def _add(store: Store, id: UUID, waiting: Sequence[WaitingPart], vectors: Iterable[Any]) -> Operation[int]:
    """Give parts of a document their vectors, where they have one; return 1 where any was still waiting for its own."""
    adds = [
        sql.add_vector(store, id, path, start, digest, store.vector_of(vector))
        for (path, start, digest, _), vector in zip(waiting, vectors, strict=True)
        if not isinstance(vector, EmbeddingFailed)
    ]
    if not adds:
        return 0
    # The document first, as every writer does: where its history is kept, this is a change of it.
    results = yield from fetch_all([*sql.locked(store, [id]), *adds])
    return int(any(results[-len(adds) :]))
