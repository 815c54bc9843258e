"""What of a document is embedded, and when: where the provider has an embedder and the document no embedding.

The text is the `content`, or that of its parts, after "role: " in a conversation and after "name: " elsewhere, for who
speaks and what a thing is called belong to its meaning; a name that the content begins with is not said twice. The
vector follows the text: a document is embedded where its text differs from the one that is stored under its id, and
loses its vector where nothing is left to embed. Where the text stays, so does the vector, whoever made it. Agents are
not embedded; neither is a document whose `embedding` was given, be it None.

No connection is held while a model embeds, so that the stored text may become another one meanwhile. A row therefore
carries the text that decided about its vector, and the statement that writes it clears the vector where that text is
no longer stored. It is then embedded again, or found by `embed_missing`. Where there is no embedder, that statement
alone decides: a text that it changes loses the vector that a named model made of it (sql/vectors.py).
"""

from __future__ import annotations

import os
import pickle
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, cast
from uuid import UUID

from memorizz.errors import ConfigurationError, EmbeddingFailed, StorageFull
from memorizz.memory_provider import _values
from memorizz.memory_provider._documents import CONTENT, EMBEDDING, batches, given_id, is_parts, text_of_parts
from memorizz.memory_provider._parts import Part, beginning, windows
from memorizz.memory_provider.base import StoreName
from memorizz.memory_provider.postgresql._steps import Embed, Operation, fetch
from memorizz.memory_provider.postgresql.facts import Facts, Store
from memorizz.memory_provider.postgresql.operations import parts
from memorizz.memory_provider.postgresql.rows import Row, Text
from memorizz.memory_provider.postgresql.sql import reads

Document = Mapping[str, Any]


def embedded_text(label: str, text: Text) -> str | None:
    """Return the text that is embedded, or None where there is nothing to embed; `label` is the store's label key."""
    if not text.content.strip():
        return None
    needless = not text.label.strip() or (label == "name" and _begins_with(text.content, text.label.strip()))
    return text.content if needless else f"{text.label}: {text.content}"


def embedded_pieces(store: Store, text: Text, max_tokens: int | None) -> list[Part]:
    """Return the pieces of what is embedded: one, or none, unless it is longer than the model reads."""
    if embedded_text(store.spec.label, text) is None:
        return []
    spans, label = [(0, len(text.content))], text.label
    if max_tokens is not None:
        # A name has up to 1 kB; a piece is to say something of its own, too.
        label = beginning(label, max_tokens // 4)
        spans = windows(text.content, max_tokens, label)
    return [
        Part(CONTENT, start, stop, embedded_text(store.spec.label, Text(label, text.content[start:stop])) or "")
        for start, stop in spans
    ]


def _begins_with(content: str, name: str) -> bool:
    """Return True if a content begins with a name, and not with a longer word."""
    rest = content.removeprefix(name)
    return rest != content and not rest[:1].strip(" \t\r\n,.:;'\u2019")


# --- with a document ----------------------------------------------------------------------------------------------


def embedded_rows(
    store: Store, documents: Sequence[Document], updated: Sequence[UUID] | None = None
) -> Operation[list[Row]]:
    """Return the rows of documents of a store that embeds, with their embedding; `updated` are keys of those there."""
    keys = updated or list(map(_given_key, documents))
    stored = yield from _stored(store, documents, keys)
    return (yield from _embed(store, documents, keys, stored, updated))


def _given_key(document: Document) -> UUID | None:
    name = given_id(document)
    return None if name is None else _values.id_key(name)


def may_change_text(store: Store, document: Document) -> bool:
    """Return True if a document brings what is embedded, or a part of it."""
    return not {CONTENT, store.spec.label}.isdisjoint(document)


def _stored(store: Store, documents: Sequence[Document], keys: Sequence[UUID | None]) -> Operation[dict[UUID, Text]]:
    """Return what is stored, by id, where a document may change the text without bringing its vector."""
    changing = {
        key
        for document, key in zip(documents, keys, strict=True)
        if key is not None and EMBEDDING not in document and may_change_text(store, document)
    }
    if not changing:
        return {}
    rows = yield from fetch(reads.texts(store, list(changing)))
    return {id: Text(label or "", content or "", embedded) for id, label, content, embedded in rows}


def _embed(
    store: Store,
    documents: Sequence[Document],
    keys: Sequence[UUID | None],
    known: dict[UUID, Text],
    updated: Sequence[UUID] | None = None,
) -> Operation[list[Row]]:
    """Return the rows of documents, embedded where they change the text; `known` becomes what they leave of it."""
    changed: dict[int, list[Part]] = {}
    seen: list[Text] = []
    for place, (document, of) in enumerate(zip(documents, keys, strict=True)):
        before = known.get(of, Text()) if of is not None else Text()
        after = replace(before, **_given(store, document))
        text = embedded_text(store.spec.label, after)
        if EMBEDDING not in document and text != embedded_text(store.spec.label, before):
            changed[place] = embedded_pieces(store, after, store.max_tokens)
            after = replace(after, embedded=text is not None)
        if of is not None:
            known[of] = after
        seen.append(before)
    texts = [piece.text for pieces in changed.values() for piece in pieces]
    vectors = iter((yield Embed(texts, "document", cast(str, store.embedder))) if texts else ())
    rows: list[Row] = []
    for place, document in enumerate(documents):
        said = {CONTENT, store.spec.label} & document.keys()
        # A document that brings the whole text and its vector needs nothing of what is stored.
        depends = EMBEDDING not in documents[place] and said and not (place in changed and len(said) == 2)
        key = None if updated is None else updated[place]
        if place in changed:
            found = changed[place]
            row = parts.row_with_pieces(store, document, found, list(islice(vectors, len(found))), key)
        else:
            row = parts.row_with_parts(store, document, key)
        rows.append(replace(row, seen=seen[place]) if depends and not row.is_new else row)
    return rows


def _given(store: Store, document: Document) -> dict[str, Any]:
    """Return the fields of Text that a document has, as they will be stored."""
    parts: dict[str, Any] = {}
    for part, key in (("label", store.spec.label), ("content", CONTENT)):
        if key in document:
            value = document[key]
            value = text_of_parts(value) if is_parts(value, key) else _values.as_text(value)
            parts[part] = _values.text(value, key, store.layout.on_invalid_text) if isinstance(value, str) else ""
    return parts


def embed_again(store: Store, row: Row, stored: Sequence[tuple[bool]]) -> Operation[None]:
    """Embed a document that was written without its vector, for its text had become another one since it was seen."""
    if row.seen is None or not stored or stored[0][0]:
        return
    expected = row.values[store.vector_column] is not None if store.vector_column in row.values else row.seen.embedded
    if expected and store.embedder is not None:
        yield from embed_texts(store, [row.values["id"]])


def embed_texts(store: Store, ids: Sequence[UUID]) -> Operation[None]:
    """Embed those of some documents that have a text and no vector."""
    if store.spec.fields:
        yield from parts.embed_waiting(store, ids)
        return
    rows = yield from fetch(reads.texts(store, ids))
    for id, label, content, embedded in rows:
        found = [] if embedded else embedded_pieces(store, Text(label or "", content or ""), store.max_tokens)
        if found:
            vectors = yield Embed([piece.text for piece in found], "document", cast(str, store.embedder))
            yield from parts.add_vectors(store, id, label, content, found, vectors)


def embedded(facts: Facts, documents: Iterable[Document], memory_store_type: StoreName) -> Operation[list[Document]]:
    """Return documents with the embedding of the text that they bring, where they have none."""
    store = facts.store(memory_store_type)
    found = list(documents)
    if not store.embeds or store.spec.fields:
        # Parts are embedded as they are stored.
        return found
    pieces = {
        place: of_text
        for place, document in enumerate(found)
        if EMBEDDING not in document
        and (of_text := embedded_pieces(store, Text(**_given(store, document)), store.max_tokens))
    }
    if pieces:
        texts = [piece.text for of_text in pieces.values() for piece in of_text]
        vectors: Iterator[Any] = iter((yield Embed(texts, "document", cast(str, store.embedder))))
        for place, of_text in pieces.items():
            made = list(islice(vectors, len(of_text)))
            found[place] = {**found[place], EMBEDDING: parts.as_embedding(of_text, made)}
    return found


# --- later --------------------------------------------------------------------------------------------------------

# How many documents are embedded at once, and how many of those that cannot be are named.
_AT_ONCE = 64
_LISTED = 10


def embed_missing(
    facts: Facts, memory_store_type: StoreName, watch: Callable[[int], None] | None = None
) -> Operation[int]:
    """Embed the documents of a store that have a text and no vector, in the order of their ids; return how many."""
    store = facts.store(memory_store_type)
    if store.embedder is None:
        raise ConfigurationError("there is no embedder to make vectors with: open the provider with embedder=...")
    if not store.embeds:
        raise ConfigurationError(f"{store.name}: these documents are not embedded")
    read = parts.missing if store.spec.fields else _missing
    embedded, done, after = 0, 0, None
    refused: dict[str, EmbeddingFailed] = {}
    while found := (yield from read(store, after, _AT_ONCE)):
        texts = [text for each in found for text in each.texts]
        vectors = iter((yield from _embed_each(texts, store.embedder)))
        for each in found:
            made = list(islice(vectors, len(each.texts)))
            failed = next((vector for vector in made if isinstance(vector, EmbeddingFailed)), None)
            if failed is not None:
                refused[each.name] = failed
            if made:
                embedded += yield from each.add(made)
        after = found[-1].key
        done += len(found)
        if watch is not None:
            watch(done)
    if refused:
        listed = "; ".join(f"{name}: {error.reason}" for name, error in [*refused.items()][:_LISTED])
        what = f"{len(refused):,} documents of {store.name} could not be embedded, {embedded:,} were ({listed})"
        raise EmbeddingFailed(store.embedder, what)
    return embedded


def _missing(store: Store, after: UUID | None, limit: int) -> Operation[list[parts.Missing]]:
    """Return the next documents that have a text and no vector of it."""
    missing: list[parts.Missing] = []
    for id, label, content, name in (yield from fetch(reads.without_vector(store, after, limit))):
        pieces = embedded_pieces(store, Text(label or "", content), store.max_tokens)
        add = partial(parts.add_vectors, store, id, label, content, pieces)
        missing.append(parts.Missing(id, name, [piece.text for piece in pieces], add))
    return missing


def _embed_each(texts: Sequence[str], model: str) -> Operation[list[Any]]:
    """Return the vector of each text, or its error; raises where the model refuses all of several."""
    vectors = yield from _embed_halves(texts, model)
    if len(vectors) > 1 and all(isinstance(each, EmbeddingFailed) for each in vectors):
        # It is not for the sake of a text.
        raise vectors[0]
    return vectors


def _embed_halves(texts: Sequence[str], model: str) -> Operation[list[Any]]:
    """Embed texts, in halves where the model refuses them together; return the vector of each, or its error."""
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
    return (yield from _embed_halves(texts[:half], model)) + (yield from _embed_halves(texts[half:], model))


# --- many ---------------------------------------------------------------------------------------------------------


# What is kept of it without a file, in bytes.
_IN_MEMORY = 8 * 2**20


class Spool:
    """Rows read as often as needed, one at a time; and what they change of the texts, by id.

    They are rows of one store, and have the vectors of its model. They are kept in memory while they are few, else in a
    temporary file. Raises StorageFull where that cannot grow, ConfigurationError where it cannot be made.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY, prefix="memorizz-")  # noqa: SIM115 lives as the spool does
        weakref.finalize(self, self._file.close)
        self._places: dict[UUID, int] = {}
        # How many of its rows have a vector.
        self.vectors = 0

    def append(self, row: Row, given: Mapping[str, Any]) -> None:
        """Add a row, and the fields of Text that it has."""
        text = {**self.text(row.values["id"]), **given}
        column = self.store.vector_column
        if column in row.values:
            text["embedded"] = row.values[column] is not None
            self.vectors += text["embedded"]
        try:
            if not row.is_new:
                self._places[row.values["id"]] = self._file.tell()
            pickle.dump((row, text), self._file, pickle.HIGHEST_PROTOCOL)
            self._file.flush()
        except OSError as error:
            kind = ConfigurationError if isinstance(error, FileNotFoundError) else StorageFull
            raise kind(
                f"the temporary file for documents that wait for their vectors cannot be written ({error.strerror}): "
                "make room, or set TMPDIR to another folder"
            ) from error

    def text(self, key: UUID) -> dict[str, Any]:
        """Return the fields of the Text under an id that the rows so far have given."""
        if key not in self._places:
            return {}
        self._file.seek(self._places[key])
        _, text = pickle.load(self._file)  # noqa: S301 written by ourselves, in a file without a name
        self._file.seek(0, os.SEEK_END)
        return text

    def __iter__(self) -> Iterator[Row]:
        self._file.seek(0)
        while True:
            try:
                row, _ = pickle.load(self._file)  # noqa: S301 as above
            except EOFError:
                return
            yield row


def embed_many(
    facts: Facts, documents: Iterable[Document], memory_store_type: StoreName
) -> Operation[Iterable[Document] | Spool]:
    """Return documents as store_many takes them; those to be embedded are embedded now, while no connection waits.

    None of them is stored meanwhile, so that the same id in a later batch is looked for in the spool, too.
    """
    store = facts.store(memory_store_type)
    if not store.embeds:
        return documents
    spool = Spool(store)
    if store.spec.fields:
        seen: set[UUID] = set()
        for batch in batches(documents):
            for row in (yield from parts.rows(store, batch, seen)):
                spool.append(row, {})
        return spool
    for batch in batches(documents):
        keys = [_given_key(document) for document in batch]
        known = yield from _stored(store, batch, keys)
        for key in filter(None, keys):
            if given := spool.text(key):
                known[key] = replace(known.get(key, Text()), **given)
        rows = yield from _embed(store, batch, keys, known)
        for row, document in zip(rows, batch, strict=True):
            spool.append(row, _given(store, document))
    return spool
