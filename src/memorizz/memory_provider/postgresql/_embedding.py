"""What of a document is embedded, and when: where the provider has an embedder and the document no embedding.

The text is the `content`, after "role: " in a conversation and after "name: " elsewhere, for who speaks and what a
thing is called belong to its meaning. Agents and documents without content are not embedded; neither is a document
whose `embedding` was given, be it None.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from memorizz.memory_provider.base import StoreName
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import _queries as queries
from memorizz.memory_provider.postgresql import _values
from memorizz.memory_provider.postgresql._steps import Embed, Operation, fetch
from memorizz.memory_provider.postgresql._stores import EMBEDDING, Row, Schema, Store, batches, given_id

Document = Mapping[str, Any]


def prefix_key(store: Store) -> str:
    """Return the key whose value stands before the content."""
    return "role" if store.memory_type is MemoryType.CONVERSATION_MEMORY else "name"


def embedded_text(store: Store, document: Document) -> str | None:
    """Return the text of a document that is embedded, or None."""
    content, prefix = document.get("content"), document.get(prefix_key(store))
    if not isinstance(content, str) or not content.strip():
        return None
    return f"{prefix}: {content}" if isinstance(prefix, str) and prefix.strip() else content


def embed(store: Store, documents: Sequence[Document], key: UUID | None = None) -> Operation[list[Document]]:
    """Return documents, with an embedding where they are to have one; `key` is the id of a document to update."""
    if not store.schema.embeds or store.memory_type is MemoryType.MEMAGENT:
        return list(documents)
    stored = yield from _stored(store, documents, key)
    texts: dict[int, str] = {}
    for place, (document, before) in enumerate(zip(documents, stored, strict=True)):
        changes = {"content", prefix_key(store)} & set(document)
        text = embedded_text(store, {**before, **document}) if changes and EMBEDDING not in document else None
        if text is not None:
            texts[place] = text
    embedded = list(documents)
    if texts:
        vectors = yield Embed(list(texts.values()), "document")
        for place, vector in zip(texts, vectors, strict=True):
            embedded[place] = {**documents[place], EMBEDDING: vector}
    return embedded


def _stored(store: Store, documents: Sequence[Document], key: UUID | None) -> Operation[list[Document]]:
    """Return what is stored of documents that change only a part of their text: the meaning is of the whole."""
    parts = {"content", prefix_key(store)}
    keys: dict[int, UUID] = {}
    for place, document in enumerate(documents):
        name = given_id(document)
        if len(parts & set(document)) == 1 and EMBEDDING not in document and (key is not None or name is not None):
            keys[place] = key or _values.id_key(name or "")
    found: dict[UUID, Document] = {}
    if keys:
        rows = yield from fetch(queries.texts(store, prefix_key(store), list(set(keys.values()))))
        found = {id: {prefix_key(store): prefix, "content": content} for id, prefix, content in rows}
    return [found.get(keys[place], {}) if place in keys else {} for place in range(len(documents))]


class Spool:
    """Rows in a temporary file: read as often as needed, one at a time."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="memorizz-")  # noqa: SIM115 it lives as long as the spool

    def append(self, row: Row) -> None:
        pickle.dump(row, self._file, pickle.HIGHEST_PROTOCOL)

    def __iter__(self) -> Iterator[Row]:
        self._file.seek(0)
        while True:
            try:
                yield pickle.load(self._file)  # noqa: S301 written by ourselves, in a file without a name
            except EOFError:
                return


def embed_many(
    schema: Schema, documents: Iterable[Document], memory_store_type: StoreName
) -> Operation[Iterable[Document] | Spool]:
    """Return documents as store_many takes them; those to be embedded are embedded now, while no connection waits."""
    store = schema.store(memory_store_type)
    if not schema.embeds or store.memory_type is MemoryType.MEMAGENT:
        return documents
    spool = Spool()
    for batch in batches(documents):
        for document in (yield from embed(store, batch)):
            spool.append(store.row(document))
    return spool
