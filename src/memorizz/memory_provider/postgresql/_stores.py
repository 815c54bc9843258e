"""Which columns a store has, and how a document becomes a row and a row a document.

The seven stores share one set of columns, so that a key means the same in each of them. Keys with a column go to the
column; every other key goes to the JSONB column `data`. A key that was given as None is remembered in `data` too,
because NULL in a column means that the key is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal, cast
from uuid import UUID

import numpy as np
from psycopg import sql

from memorizz.memory_provider import _values
from memorizz.memory_provider._documents import CLOCKS, EMBEDDING, KEYS, Kind, fitted, given_id, is_clock, own_items
from memorizz.memory_provider._values import InvalidText
from memorizz.memory_provider.memory_type import MemoryType

IndexKind = Literal["hnsw", "halfvec", "none"]


# Under this key of `data` stands the id's text where it is no canonical UUID.
GIVEN_ID = "_id"
TIMES = tuple(name for name, column in KEYS.items() if column.kind is Kind.TIME)
_PLAIN = tuple(name for name, column in KEYS.items() if column.kind is not Kind.TIME)
# What a read selects, in this order, before what it adds of its own.
SELECTED = ("id", "data", *_PLAIN, *TIMES)


# Where a record has what may be missing from a document.
_PLAIN_AT = tuple((SELECTED.index(name), name) for name in _PLAIN)
_TIMES_AT = tuple((SELECTED.index(name), name) for name in TIMES)

_combine = datetime.combine


@dataclass(frozen=True, slots=True)
class Row:
    """A document on its way to its table.

    `name` is its id as the caller knows it, `values` are the parameters of the statement. A new document sets the
    columns `inserted`; one that exists already gets those of `merged`, and keeps the others. `is_new` says that the id
    was made for it, so that there is none.
    """

    name: str
    values: dict[str, Any]
    inserted: tuple[str, ...]
    merged: tuple[str, ...]
    is_new: bool


# Ends the name of a column whose vectors are not searched.
ASIDE = "_aside"


def vector_column(model: int) -> str:
    """Return the name of the column that holds the vectors of an embedding model."""
    return EMBEDDING if model == 1 else f"{EMBEDDING}_{model}"


# Compared by identity, which is all that the caches of statements need, and costs nothing.
@dataclass(frozen=True, eq=False)
class Schema:
    """Where the tables are and how they were made; read from the database when a provider opens."""

    name: str
    vector_schema: str
    dimensions: int
    text_search_config: str = "english"
    # The vector index that a store is made with, and those that stores have which differ from it.
    index: IndexKind = "hnsw"
    indexes: frozenset[tuple[str, IndexKind]] = frozenset()
    on_invalid_text: InvalidText = "error"
    # The model that made the vectors, where that is known; the same where the provider has an embedder.
    model_name: str | None = None
    embedder: str | None = None
    # The stores whose bits were measured to keep what they must, and how many of the best by them are to be compared.
    bits: Mapping[str, int] = field(default_factory=dict[str, int])
    # The number of the embedding model whose columns are used; each model has its own. Those of a model that is not
    # searched, while another one takes its place, stand aside.
    model_id: int = 1
    aside: bool = False
    # Tells these tables from all others, by whatever address they are reached.
    identity: str | None = None

    @property
    def vector_column(self) -> str:
        return vector_column(self.model_id) + ASIDE * self.aside

    @property
    def bits_column(self) -> str:
        return f"{vector_column(self.model_id)}_bits" + ASIDE * self.aside

    def store(self, memory_type: MemoryType | str) -> Store:
        """Return the store of a memory type; raises ConfigurationError for an unknown one."""
        return self._stores[MemoryType.of(memory_type)]

    @cached_property
    def _stores(self) -> Mapping[MemoryType, Store]:
        return {memory_type: Store(self, memory_type) for memory_type in MemoryType}


@dataclass(eq=False)
class Store:
    """One of the seven tables."""

    schema: Schema
    memory_type: MemoryType
    name: str = field(init=False)
    # The vector index that this store has.
    index: IndexKind = field(init=False)
    # What searches under a filter have shown, by the filter: _search.Tried.
    tried: dict[tuple[str, ...], Any] = field(default_factory=dict[tuple[str, ...], Any])

    def __post_init__(self) -> None:
        self.name = self.memory_type.value
        self.index = dict(self.schema.indexes).get(self.name, self.schema.index)

    @property
    def said_by(self) -> str:
        """The key that says whose words the content is, or what it is about: it is embedded together with it."""
        return "role" if self.memory_type is MemoryType.CONVERSATION_MEMORY else "name"

    @property
    def embedding(self) -> sql.Identifier:
        """The column of the vectors."""
        return sql.Identifier(self.schema.vector_column)

    @property
    def table(self) -> sql.Identifier:
        return sql.Identifier(self.schema.name, self.name)

    @property
    def primary_key(self) -> sql.Identifier:
        """The name of the constraint; only the queries may know its columns."""
        return sql.Identifier(f"{self.name}_pkey")

    def vector(self, value: Any) -> Vector:
        """Return a vector as a parameter; raises InvalidDocument or DimensionMismatch."""
        return Vector(_binary(_values.vector(value, dimensions=self.schema.dimensions, store=self.name)))

    def row(self, document: Mapping[str, Any], key: UUID | None = None) -> Row:
        """Return the row for a document, under `key` or else under the document's own id or a new one."""
        name = given_id(document)
        extra: dict[str, Any] = {}
        values: dict[str, Any] = {}
        for path, value in own_items(document):
            self._put(path, value, values, extra)
        # In one order, so that documents with the same keys share one statement.
        merged = tuple(sorted(set(values).difference(CLOCKS)))
        inserted = self._defaults(values)
        is_new = name is None and key is None
        if key is None:
            key = _values.id_key(name) if name is not None else _values.new_id()
        if name is not None and str(key) != name:
            extra[GIVEN_ID] = name
        values |= {"id": key, "data": _values.to_json(extra, "", self.schema.on_invalid_text)}
        return Row(name or str(key), values, inserted, merged, is_new)

    def _put(self, path: Any, value: Any, values: dict[str, Any], extra: dict[str, Any]) -> None:
        """Put one key of a document where it belongs."""
        column = KEYS.get(path) if isinstance(path, str) else None
        if path == EMBEDDING:
            vector = None if value is None else self.vector(value)
            values[self.schema.vector_column] = vector
            values[self.schema.bits_column] = None if vector is None else bits_of(vector)
        elif column is None:
            extra[path] = value
        elif value is not None:
            values[path] = fitted(column, value, self.schema.on_invalid_text)
        elif not is_clock(path, self.memory_type):
            values[path] = extra[path] = None

    def _defaults(self, values: dict[str, Any]) -> tuple[str, ...]:
        """Complete the times of a new row; those that are still missing are filled in by the table's defaults."""
        created = values.get("created_at")
        if created is not None:
            values.setdefault("updated_at", created)
            if is_clock("timestamp", self.memory_type):
                values.setdefault("timestamp", created)
        return tuple(sorted(values))

    def document(self, record: tuple[Any, ...]) -> dict[str, Any]:
        """Return the document of a record that begins with the columns of SELECTED."""
        key, data = record[0], record[1]
        name = data.pop(GIVEN_ID, None) or key
        document: dict[str, Any] = {"id": name, "_id": name}
        for place, path in _PLAIN_AT:
            value = record[place]
            if value is not None:
                document[path] = value
        for place, path in _TIMES_AT:
            value = record[place]
            if value is not None:
                # The same as value.replace(tzinfo=UTC), in a fifth of the time.
                document[path] = _combine(value, value.time(), UTC)
        document.update(data)
        return document

    def document_with_embedding(self, record: tuple[Any, ...]) -> dict[str, Any]:
        """Return the document of a record that goes on with the embedding after the columns of SELECTED."""
        document = self.document(record)
        binary = record[len(SELECTED)]
        document[EMBEDDING] = None if binary is None else from_binary(binary)
        return document


class Vector(bytes):
    """A vector in pgvector's binary form, so that the driver can tell it from a bytea."""

    __slots__ = ()


class Bits(bytes):
    """The signs of a vector in the binary form of PostgreSQL's bit(n), as Vector is in that of a vector."""

    __slots__ = ()


# How PostgreSQL sends a float4: in network byte order.
_FLOAT4 = np.dtype(">f4")


def _binary(vector: Any) -> bytes:
    """Return the binary form of a vector, pgvector's vector_send."""
    return len(vector).to_bytes(2) + b"\0\0" + vector.astype(_FLOAT4).tobytes()


def _numbers(vector: bytes) -> Any:
    return np.frombuffer(vector, dtype=_FLOAT4, offset=4)


def from_binary(vector: bytes) -> list[float]:
    """Return the numbers of a vector from its binary form."""
    return cast("list[float]", _numbers(vector).tolist())


def bits_of(vector: Vector) -> Bits:
    """Return a bit for each number of a vector, 1 where it is above 0: pgvector's binary_quantize."""
    numbers = _numbers(vector)
    return Bits(len(numbers).to_bytes(4) + np.packbits(numbers > 0).tobytes())
