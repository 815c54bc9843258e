"""What of a document is embedded, and when: where the provider has an embedder and the document no embedding.

The text is the `content`, after "role: " in a conversation and after "name: " elsewhere, for who speaks and what a
thing is called belong to its meaning; a name that the content begins with is not said twice. The vector follows the
text: a document is embedded where its text differs from the one that is stored under its id, and loses its vector where
nothing is left to embed. Where the text stays, so does the vector, whoever made it. Agents are not embedded; neither is
a document whose `embedding` was given, be it None.
"""

from __future__ import annotations

import os
import pickle
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, cast
from uuid import UUID

from memorizz.errors import ConfigurationError, EmbeddingFailed
from memorizz.memory_provider import _values
from memorizz.memory_provider._documents import EMBEDDING, batches, given_id
from memorizz.memory_provider.base import StoreName
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import _changes as changes
from memorizz.memory_provider.postgresql import _queries as queries
from memorizz.memory_provider.postgresql._steps import Embed, Operation, fetch
from memorizz.memory_provider.postgresql._stores import Row, Schema, Store

Document = Mapping[str, Any]
# What the text is made of, by key, as it is stored; "" for what is missing.
Parts = dict[str, str]


def embedded_text(store: Store, parts: Parts) -> str | None:
    """Return the text that is embedded, or None where there is nothing to embed."""
    content, prefix = parts.get("content", ""), parts.get(store.said_by, "")
    if not content.strip():
        return None
    needless = not prefix.strip() or (store.said_by == "name" and _begins_with(content, prefix.strip()))
    return content if needless else f"{prefix}: {content}"


def _begins_with(content: str, name: str) -> bool:
    """Say whether a content begins with a name, and not with a longer word."""
    rest = content.removeprefix(name)
    return rest != content and not rest[:1].strip(" \t\r\n,.:;'\u2019")


def embed(store: Store, documents: Sequence[Document], key: UUID | None = None) -> Operation[list[Document]]:
    """Return documents, with an embedding where they are to have one; `key` is the id of a document to update."""
    if not _embeds(store):
        return list(documents)
    keys = [key or _given_key(document) for document in documents]
    stored = yield from _stored(store, documents, keys)
    return (yield from _embed(store, documents, keys, stored))


def embed_missing(
    schema: Schema, memory_store_type: StoreName, watch: Callable[[int], None] | None = None
) -> Operation[int]:
    """Embed the documents of a store that have a text and no vector, in the order of their ids; return how many."""
    store = schema.store(memory_store_type)
    if schema.embedder is None:
        raise ConfigurationError("there is no embedder to make vectors with: open the provider with embedder=...")
    if not _embeds(store):
        raise ConfigurationError(f"{store.name}: agents are not embedded")
    embedded, done, after = 0, 0, None
    refused: dict[str, EmbeddingFailed] = {}
    while rows := (yield from fetch(queries.without_vector(store, after, _AT_ONCE))):
        texts = [embedded_text(store, {store.said_by: row[1] or "", "content": row[2]}) for row in rows]
        waiting = [(row, text) for row, text in zip(rows, texts, strict=True) if text is not None]
        vectors = yield from _embed_each([text for _, text in waiting], schema.embedder)
        if len(vectors) > 1 and all(isinstance(each, EmbeddingFailed) for each in vectors):
            # It is not for the sake of a text.
            raise vectors[0]
        for ((id, said_by, content, name), _), vector in zip(waiting, vectors, strict=True):
            if isinstance(vector, EmbeddingFailed):
                refused[name] = vector
            else:
                added = yield from fetch(changes.add_vector(store, id, said_by, content, store.vector(vector)))
                embedded += len(added)
        after = rows[-1][0]
        done += len(rows)
        if watch is not None:
            watch(done)
    if refused:
        listed = "; ".join(f"{name}: {error.reason}" for name, error in [*refused.items()][:_LISTED])
        what = f"{len(refused):,} documents of {store.name} could not be embedded, {embedded:,} were ({listed})"
        raise EmbeddingFailed(schema.embedder, what)
    return embedded


def _embed_each(texts: Sequence[str], model: str) -> Operation[list[Any]]:
    """Embed texts, in halves where the model refuses them together; bring the vector of each, or its error."""
    if not texts:
        return []
    try:
        return list((yield Embed(texts, "document", model)))
    except EmbeddingFailed as error:
        if error.transient:
            raise
        if len(texts) == 1:
            return [error]
    half = len(texts) // 2
    return (yield from _embed_each(texts[:half], model)) + (yield from _embed_each(texts[half:], model))


# How many documents are embedded at once, and how many of those that cannot be are named.
_AT_ONCE = 64
_LISTED = 10


def _embeds(store: Store) -> bool:
    return store.schema.embedder is not None and store.memory_type is not MemoryType.MEMAGENT


def _given_key(document: Document) -> UUID | None:
    name = given_id(document)
    return None if name is None else _values.id_key(name)


def _stored(store: Store, documents: Sequence[Document], keys: Sequence[UUID | None]) -> Operation[dict[UUID, Parts]]:
    """Return what is stored, by id, where a document may change the text without bringing its vector."""
    prefix = store.said_by
    changing = {
        key
        for document, key in zip(documents, keys, strict=True)
        if key is not None and EMBEDDING not in document and not {"content", prefix}.isdisjoint(document)
    }
    if not changing:
        return {}
    rows = yield from fetch(queries.texts(store, prefix, list(changing)))
    return {id: {prefix: before or "", "content": content or ""} for id, before, content in rows}


def _embed(
    store: Store, documents: Sequence[Document], keys: Sequence[UUID | None], known: dict[UUID, Parts]
) -> Operation[list[Document]]:
    """Return documents, embedded where they change the text; `known` is what is there, and then what they leave."""
    changed: dict[int, str | None] = {}
    for place, (document, key) in enumerate(zip(documents, keys, strict=True)):
        before = known.get(key, {}) if key is not None else {}
        after = before | _given_parts(store, document)
        if key is not None:
            known[key] = after
        text = embedded_text(store, after)
        if EMBEDDING not in document and text != embedded_text(store, before):
            changed[place] = text
    texts = [text for text in changed.values() if text is not None]
    vectors = iter((yield Embed(texts, "document", cast(str, store.schema.embedder))) if texts else ())
    embedded = list(documents)
    for place, text in changed.items():
        embedded[place] = {**documents[place], EMBEDDING: None if text is None else next(vectors)}
    return embedded


def _given_parts(store: Store, document: Document) -> Parts:
    """Return the parts of the text that a document brings, as they will be stored."""
    parts: Parts = {}
    for key in ("content", store.said_by):
        if key in document:
            value = document[key].value if isinstance(document[key], Enum) else document[key]
            parts[key] = _values.text(value, key, store.schema.on_invalid_text) if isinstance(value, str) else ""
    return parts


class Spool:
    """Rows in a temporary file: read as often as needed, one at a time; and what they leave of the texts, by id.

    They are rows of one schema, and have the vectors of its model.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._file = tempfile.TemporaryFile(prefix="memorizz-")  # noqa: SIM115 it lives as long as the spool
        weakref.finalize(self, self._file.close)
        self._places: dict[UUID, int] = {}

    def append(self, row: Row, parts: Parts | None) -> None:
        """Add a row, and the parts of the text under its id, where the caller gave that."""
        if parts is not None:
            self._places[row.values["id"]] = self._file.tell()
        pickle.dump((row, parts), self._file, pickle.HIGHEST_PROTOCOL)

    def parts(self, key: UUID) -> Parts:
        """Return the parts of the text under an id that are known from the rows so far."""
        if key not in self._places:
            return {}
        self._file.seek(self._places[key])
        _, parts = pickle.load(self._file)  # noqa: S301 written by ourselves, in a file without a name
        self._file.seek(0, os.SEEK_END)
        return parts

    def __iter__(self) -> Iterator[Row]:
        self._file.seek(0)
        while True:
            try:
                row, _ = pickle.load(self._file)  # noqa: S301 as above
            except EOFError:
                return
            yield row


def embed_many(
    schema: Schema, documents: Iterable[Document], memory_store_type: StoreName
) -> Operation[Iterable[Document] | Spool]:
    """Return documents as store_many takes them; those to be embedded are embedded now, while no connection waits.

    None of them is stored meanwhile, so that the same id in a later batch is looked for in the spool, too.
    """
    store = schema.store(memory_store_type)
    if not _embeds(store):
        return documents
    spool = Spool(schema)
    for batch in batches(documents):
        keys = [_given_key(document) for document in batch]
        known = yield from _stored(store, batch, keys)
        for key in filter(None, keys):
            known[key] = known.get(key, {}) | spool.parts(key)
        for document in (yield from _embed(store, batch, keys, known)):
            row = store.row(document)
            spool.append(row, known.get(row.values["id"]))
    return spool
