"""How a document becomes a row, and a row a document.

All stores share one set of columns, so that a key means the same in each of them. Keys with a column go to the
column; every other key goes to the JSONB column `data`. A key that was given as None is remembered in `data` too,
because NULL in a column means that the key is missing; and so are the parts of a content in parts, whose text is in
the column.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from memorizz.memory_provider import _values
from memorizz.memory_provider._documents import (
    CLOCKS,
    CONTENT,
    EMBEDDING,
    EXPIRES_AT,
    KEYS,
    READERS,
    TTL,
    VALID_FROM,
    VALID_UNTIL,
    Kind,
    check_period,
    given_id,
    is_clock,
    is_parts,
    own_items,
    text_of_parts,
    with_lifetime,
)

if TYPE_CHECKING:
    import numpy as np

    from memorizz.memory_provider._parts import Part
    from memorizz.memory_provider.postgresql.facts import Store

_KEY_LENGTH = len(str(UUID(int=0)))
# Under this key of `data` stands the id's text where it is no canonical UUID.
GIVEN_ID = "_id"
TIMES = tuple(name for name, column in KEYS.items() if column.kind is Kind.TIME)
_PLAIN = tuple(name for name, column in KEYS.items() if column.kind is not Kind.TIME)
# The column that says which parts are the pieces of today's text.
PIECES = "pieces"
# What a read selects, in this order, before what it adds of its own.
SELECTED = ("id", "data", *_PLAIN, *TIMES)


# Where a record has what may be missing from a document.
_PLAIN_AT = tuple((SELECTED.index(name), name) for name in _PLAIN)
_TIMES_AT = tuple((SELECTED.index(name), name) for name in TIMES)

_combine = datetime.combine
# Times of other programs that say no more than that there is none.
_NEVER = (EXPIRES_AT, "infinity"), (VALID_UNTIL, "infinity"), (VALID_FROM, "-infinity")


@dataclass(frozen=True, slots=True)
class Text:
    """What of a document is embedded, as it is stored, "" for what is missing; and whether it has a vector."""

    label: str = ""
    content: str = ""
    embedded: bool = False


@dataclass(frozen=True, slots=True)
class Replaced:
    """The parts that a document has under some keys from now on; `vectors` has none for one that may be stored."""

    roots: Sequence[str]
    parts: Sequence[Part]
    vectors: Sequence[np.ndarray[Any, Any] | None]

    def parameters(self) -> dict[str, Any]:
        import numpy as np

        made = [vector for vector in self.vectors if vector is not None]
        places = iter(range(1, len(made) + 1))
        return {
            "roots": list(self.roots),
            "paths": [part.path for part in self.parts],
            "starts": [part.start for part in self.parts],
            "stops": [part.stop for part in self.parts],
            "digests": [part.digest for part in self.parts],
            "places": [0 if vector is None else next(places) for vector in self.vectors],
            "vectors": Floats.of(np.concatenate(made) if made else np.empty(0, np.float32)),
        }


@dataclass(frozen=True, slots=True)
class Pieces:
    """The pieces of a content that is longer than a model reads, from where to where; `id` tells this text's apart."""

    id: UUID
    spans: Sequence[tuple[int, int]]
    vectors: Sequence[np.ndarray[Any, Any]]

    def parameters(self) -> dict[str, Any]:
        import numpy as np

        return {
            PIECES: self.id,
            "starts": [start for start, _ in self.spans],
            "stops": [stop for _, stop in self.spans],
            "vectors": Floats.of(np.concatenate(self.vectors)),
        }


# Not frozen: one is made for every document, and that takes a third of the time.
@dataclass(slots=True)
class Row:
    """A document on its way to its table.

    `name` is its id as the caller knows it, `values` are the parameters of the statement. A new document sets the
    columns `inserted`; one that exists already gets those of `merged`, and keeps the others. `is_new` says that the id
    was made for it, so that there is none. `seen` is the stored text that decided whether and what was embedded,
    `parts` are those of its texts that have a vector each, `pieces` those of a content that is too long for one.
    """

    name: str
    values: dict[str, Any]
    inserted: tuple[str, ...]
    merged: tuple[str, ...]
    is_new: bool
    seen: Text | None = None
    parts: Replaced | None = None
    pieces: Pieces | None = None


def row_of(store: Store, document: Mapping[str, Any], key: UUID | None = None, pieces: Pieces | None = None) -> Row:
    """Return the row for a document, under `key` or else under the document's own id or a new one.

    Its `embedding` is that of the first of its pieces, where it has several.
    """
    name = given_id(document)
    document, lifetime = with_lifetime(store.scope.document(document))
    data: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for path, value in own_items(document):
        column = KEYS.get(path)
        if path == EMBEDDING and store.spec.fields:
            # Its parts have the vectors: operations/parts.py.
            continue
        if path == EMBEDDING:
            made = None if value is None else store.vector_of(value)
            # The server makes the bits of it.
            values[store.vector_column] = values[store.bits_column] = made
            values[PIECES] = None if pieces is None else pieces.id
        elif column is None:
            data[path] = value
        elif value is not None:
            values[path] = READERS[column.kind](value, column, store.layout.on_invalid_text)
        elif not is_clock(path, store.spec):
            values[path] = data[path] = None
    if is_parts(document.get(CONTENT)):
        data[CONTENT] = document[CONTENT]
    if lifetime is not None:
        values[EXPIRES_AT] = None
    check_period(values.get(VALID_FROM), values.get(VALID_UNTIL))
    merged = _merged(tuple(values))
    if (created := values.get("created_at")) is not None:
        # The times that are still missing are filled in by the table's defaults.
        values.setdefault("updated_at", created)
        if store.spec.timeline:
            values.setdefault("timestamp", created)
    inserted = _inserted(tuple(values), pieces is not None)
    is_new = name is None and key is None
    if key is None:
        key = _values.id_key(name) if name is not None else _values.new_id()
    # The text of a key is no other text.
    if name is not None and (len(name) != _KEY_LENGTH or str(key) != name):
        data[GIVEN_ID] = name
    values["data"] = _values.to_json(data, "", store.layout.on_invalid_text) if data else "{}"
    if EXPIRES_AT in values:
        # Where it is one, the server adds it to the time of its own clock.
        values[TTL] = lifetime
    values |= {"id": key, **store.scope.parameters}
    return Row(name or str(key), values, inserted, merged, is_new, pieces=pieces)


# In one order, so that documents with the same keys share one statement.
@lru_cache(maxsize=1024)
def _merged(columns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({*columns}.difference(CLOCKS)))


@lru_cache(maxsize=1024)
def _inserted(columns: tuple[str, ...], in_pieces: bool) -> tuple[str, ...]:
    return tuple(sorted(name for name in {*columns} if name != PIECES or in_pieces))


def document_of(record: tuple[Any, ...]) -> dict[str, Any]:
    """Return the document of a record that begins with the columns of SELECTED."""
    key, data = record[0], record[1]
    name = data.pop(GIVEN_ID, None) or key
    if not isinstance(name, str):
        name = json.dumps(name)
    document: dict[str, Any] = {"id": name, "_id": name}
    for place, path in _PLAIN_AT:
        value = record[place]
        if value is not None:
            document[path] = value
    for place, path in _TIMES_AT:
        value = record[place]
        if value is not None:
            try:
                # The same as value.replace(tzinfo=UTC), in a fifth of the time.
                document[path] = _combine(value, value.time(), UTC)
            except AttributeError:
                # What another program has stored is beyond Python's times; to expire then is not to expire.
                if (path, value) not in _NEVER:
                    document[path] = value
    if CONTENT in data and is_parts(data[CONTENT]) and text_of_parts(data[CONTENT]) != document.get(CONTENT):
        # Somebody has changed the text with SQL since.
        del data[CONTENT]
    document.update(data)
    return document


def moment(sent: Any) -> datetime | str:
    """Return a time that a statement takes as it was sent: an aware one, or the text of one that Python lacks."""
    return sent if isinstance(sent, str) else sent.replace(tzinfo=UTC)


def document_with_embedding(record: tuple[Any, ...]) -> dict[str, Any]:
    """Return the document of a record that goes on with the embedding after the columns of SELECTED."""
    document = document_of(record)
    sent = record[len(SELECTED)]
    document[EMBEDDING] = from_sent(sent)
    return document


def from_sent(sent: Any) -> list[Any] | None:
    """Return an embedding as it was sent: a vector, or a list of parts with theirs, in bytes too where it may be both.

    A vector begins with its length, which is never that of a list's first character.
    """
    if not isinstance(sent, bytes):
        return sent
    return json.loads(sent) if sent.startswith(b"[") else from_binary(sent).tolist()


class Vector(bytes):
    """A vector in pgvector's binary form, so that the driver can tell it from a bytea."""

    __slots__ = ()


class Floats(bytes):
    """Numbers in the binary form of PostgreSQL's real[]."""

    __slots__ = ()

    @classmethod
    def of(cls, numbers: np.ndarray[Any, Any]) -> Floats:
        import numpy as np

        items = np.empty(len(numbers), np.dtype([("size", ">i4"), ("number", ">f4")]))
        items["size"], items["number"] = 4, numbers
        # Dimensions, nulls, the type's oid; then the length and the first index.
        head = (1, 0, _FLOAT4_OID, len(numbers), 1) if len(numbers) else (0, 0, _FLOAT4_OID)
        return cls(np.array(head, ">i4").tobytes() + items.tobytes())

    @classmethod
    def of_vectors(cls, vectors: Sequence[Vector]) -> Floats:
        """Return the numbers of vectors of one type, one behind the other."""
        import numpy as np

        sent = _sent_as(vectors[0]) if vectors else _FLOAT4
        return cls.of(np.frombuffer(b"".join([vector[4:] for vector in vectors]), sent))


_FLOAT4_OID = 700

# How PostgreSQL sends the numbers of a vector, and of a halfvec: in network byte order.
_FLOAT4, _FLOAT2 = ">f4", ">f2"


def _sent_as(vector: bytes) -> str:
    """Return what the numbers of a vector are in its binary form, which begins with how many there are."""
    return _FLOAT2 if len(vector) == 4 + 2 * int.from_bytes(vector[:2]) else _FLOAT4


def to_binary(numbers: np.ndarray[Any, Any]) -> Vector:
    """Return an array in single or half precision in pgvector's binary form (vector_send, halfvec_send)."""
    return Vector(len(numbers).to_bytes(2) + b"\0\0" + numbers.astype(numbers.dtype.newbyteorder(">")).tobytes())


def from_binary(vector: bytes) -> np.ndarray[Any, Any]:
    """Return the numbers of a vector from its binary form, in single precision."""
    import numpy as np

    return np.frombuffer(vector, _sent_as(vector), offset=4).astype(np.float32)
