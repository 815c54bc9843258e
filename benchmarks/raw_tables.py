"""The tables that SQL by hand is measured on: a minimal one, and the provider's own.

The minimal one is what somebody makes who needs nothing else: eight columns, a primary key, a b-tree on the memory, and
an HNSW index of the provider's parameters. What the provider costs above it are the library and its schema; what it
costs above its own table is the library alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from psycopg import AsyncConnection, Connection, sql
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.types import TypeInfo
from psycopg.types.json import Jsonb

from benchmarks.data import Document
from benchmarks.lab import Lab
from memorizz.memory_provider.stores import DEFAULT_EF_CONSTRUCTION, DEFAULT_M

MINIMAL, OWN = "minimal table", "own table"
_BIT = 1560  # the type's oid, the same everywhere

Row = tuple[Any, ...]


@dataclass(frozen=True)
class RawTable:
    """A table, and what a person knows of it who writes SQL for it by hand.

    `visible` is what every row that is read must be, `columns` are selected in the order that `document` takes them,
    `written` are stored in the order that `row` brings them.
    """

    kind: str
    schema: str
    name: str
    columns: str
    visible: str
    document: Callable[[Row], Document]
    written: dict[str, str]
    row: Callable[[Document], Row]
    order: str

    @property
    def has_bits(self) -> bool:
        return "embedding_bits" in self.written

    def statement(self, template: str, **pieces: sql.Composable) -> str:
        """Compose a statement: {table}, {columns}, {visible}, {order}, {versions} and what else is given."""
        parts: dict[str, sql.Composable] = {
            name: sql.SQL(getattr(self, name)) for name in ("columns", "visible", "order")
        }
        parts["versions"] = sql.Identifier(self.schema, f"{self.name}_versions")
        return sql.SQL(template).format(table=sql.Identifier(self.schema, self.name), **parts, **pieces).as_string()


# --- the minimal table --------------------------------------------------------------------------------------------

_MADE = """
CREATE TABLE {table} (
    id uuid PRIMARY KEY, memory_id text, name text, content text, data jsonb NOT NULL,
    created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, embedding {vectors}.vector({dimensions})
)
"""
INDEXED = (
    "CREATE INDEX ON {table} USING hnsw (embedding {vectors}.vector_cosine_ops) "
    "WITH (m = {m}, ef_construction = {ef_construction})"
)
BUILT = {"m": sql.Literal(DEFAULT_M), "ef_construction": sql.Literal(DEFAULT_EF_CONSTRUCTION)}
# A turn's timestamp is the time at which it was created.
_IN_COLUMNS = frozenset(
    {"id", "_id", "memory_id", "name", "content", "created_at", "updated_at", "timestamp", "embedding"}
)


def minimal(schema: str, name: str) -> RawTable:
    written = {
        "id": "uuid", "memory_id": "text", "name": "text", "content": "text", "data": "jsonb",
        "created_at": "timestamptz", "updated_at": "timestamptz", "embedding": "vector",
    }  # fmt: skip
    columns = "d.id, d.data, d.memory_id, d.name, d.content, d.created_at, d.updated_at"
    return RawTable(MINIMAL, schema, name, columns, "true", _minimal_document, written, _minimal_row, "d.created_at")


def make_minimal(
    lab: Lab, table: RawTable, dimensions: int, documents: Iterable[Document], fillfactor: int = 100
) -> None:
    """Make a minimal table of documents that have ids, then its indexes; documents without a vector are taken too.

    `fillfactor` leaves room on the pages, so that what is updated there need not enter every index again.
    """
    name = sql.Identifier(table.schema, table.name)
    vectors = sql.Identifier(lab.vector_schema)
    with lab.connect() as connection:
        connection.execute(sql.SQL("SET search_path TO {}").format(vectors))
        adapt(connection)
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(table.schema)))
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(name))
        made = sql.SQL(_MADE).format(table=name, vectors=vectors, dimensions=sql.Literal(dimensions))
        connection.execute(made)
        filled = sql.SQL("ALTER TABLE {} SET (fillfactor = {})").format(name, sql.Literal(fillfactor))
        connection.execute(filled)
        copy_in(connection, table, documents)
        connection.execute(sql.SQL("CREATE INDEX ON {} (memory_id)").format(name))
        connection.execute(sql.SQL(INDEXED).format(table=name, vectors=vectors, **BUILT))
        # It would come in the turn of one or the other.
        connection.execute(sql.SQL("ALTER TABLE {} SET (autovacuum_enabled = off)").format(name))
        connection.execute(sql.SQL("VACUUM ANALYZE {}").format(name))


def _minimal_row(document: Document) -> Row:
    id, created_at = document.get("id"), document["created_at"]
    return (
        uuid4() if id is None else UUID(id),
        document.get("memory_id"),
        document.get("name"),
        document.get("content"),
        Jsonb({key: value for key, value in document.items() if key not in _IN_COLUMNS}),
        created_at,
        document.get("updated_at", created_at),
        None if document.get("embedding") is None else np.asarray(document["embedding"], np.float32),
    )


def _minimal_document(row: Row) -> Document:
    key, data, memory_id, name, content, created_at, updated_at = row
    id = str(key)
    return {
        "id": id,
        "_id": id,
        "memory_id": memory_id,
        "name": name,
        "content": content,
        "created_at": created_at,
        "updated_at": updated_at,
        **data,
    }


# --- the provider's own -------------------------------------------------------------------------------------------

_OWN_COLUMNS = {
    "id": "uuid", "data": "jsonb", "name": "text", "memory_id": "text", "content": "text", "importance_score": "float8",
    "metadata": "jsonb", "created_at": "timestamptz", "updated_at": "timestamptz",
}  # fmt: skip
_OWN_TURN = "d.id, d.data, d.memory_id, d.conversation_id, d.role, d.content, d.timestamp, d.created_at, d.updated_at"


def own(lab: Lab, schema: str, name: str) -> RawTable:
    """Give the table of a store; what else it has than is asked for here is looked up."""
    written, row = _OWN_COLUMNS | {"embedding": "vector"}, _own_row
    if _has(lab, schema, name, "embedding_bits"):
        written, row = written | {"embedding_bits": "bit"}, _own_row_with_bits
    columns = ", ".join(f"d.{column}" for column in _OWN_COLUMNS)
    visible = _visible(lab, schema, name)
    return RawTable(OWN, schema, name, columns, visible, _own_document, written, row, "d.created_at, d.seq")


def own_turns(lab: Lab, schema: str) -> RawTable:
    name = "conversation_memory"
    visible = _visible(lab, schema, name)
    return RawTable(OWN, schema, name, _OWN_TURN, visible, _own_turn, {}, _own_row, "d.timestamp, d.seq")


def _visible(lab: Lab, schema: str, name: str) -> str:
    tenant = "d.tenant = '' AND " if _has(lab, schema, name, "tenant") else ""
    return f"{tenant}(d.expires_at IS NULL OR d.expires_at > now())"


def _has(lab: Lab, schema: str, table: str, column: str) -> bool:
    return lab.ask(
        "SELECT EXISTS (SELECT FROM information_schema.columns WHERE table_schema = %s AND table_name = %s "
        "AND column_name = %s)",
        *(schema, table, column),
    )


def _own_row(document: Document) -> Row:
    return (
        uuid4(),
        Jsonb({key: document[key] for key in ("number", "tags", "language")}),
        document["name"],
        document["memory_id"],
        document["content"],
        document["importance_score"],
        Jsonb(document["metadata"]),
        document["created_at"],
        document["created_at"],
        document["embedding"],
    )


def _own_row_with_bits(document: Document) -> Row:
    return (*_own_row(document), Bits(document["embedding"]))


def _own_document(row: Row) -> Document:
    key, data, name, memory_id, content, importance_score, metadata, created_at, updated_at = row
    id = str(key)
    return {
        "id": id,
        "_id": id,
        "name": name,
        "memory_id": memory_id,
        "content": content,
        "importance_score": importance_score,
        "metadata": metadata,
        "created_at": created_at,
        "updated_at": updated_at,
        **data,
    }


def _own_turn(row: Row) -> Document:
    key, data, memory_id, conversation_id, role, content, timestamp, created_at, updated_at = row
    id = str(key)
    return {
        "id": id,
        "_id": id,
        "memory_id": memory_id,
        "conversation_id": conversation_id,
        "role": role,
        "content": content,
        "timestamp": timestamp,
        "created_at": created_at,
        "updated_at": updated_at,
        **data,
    }


# --- how values travel --------------------------------------------------------------------------------------------


class _VectorDumper(Dumper):
    """Send a numpy array as a pgvector, in binary."""

    format = Format.BINARY

    def dump(self, obj: np.ndarray) -> bytes:
        return len(obj).to_bytes(2) + b"\0\0" + obj.astype(">f4").tobytes()


class Bits:
    """The signs of a vector."""

    def __init__(self, vector: np.ndarray) -> None:
        self.vector = vector


class _BitsDumper(Dumper):
    """Send signs as PostgreSQL's bit(n), in binary."""

    format = Format.BINARY
    oid = _BIT

    def dump(self, obj: Bits) -> bytes:
        return len(obj.vector).to_bytes(4) + np.packbits(obj.vector > 0).tobytes()


def adapt(connection: Connection[Any]) -> None:
    _register(connection, TypeInfo.fetch(connection, "vector"))


async def adapt_async(connection: AsyncConnection[Any]) -> None:
    _register(connection, await TypeInfo.fetch(connection, "vector"))


def _register(connection: Connection[Any] | AsyncConnection[Any], vector: TypeInfo | None) -> None:
    assert vector is not None
    vector.register(connection)
    connection.adapters.register_dumper(Bits, _BitsDumper)
    connection.adapters.register_dumper(np.ndarray, type("VectorDumper", (_VectorDumper,), {"oid": vector.oid}))


def copy_in(connection: Connection[Any], table: RawTable, documents: Iterable[Document]) -> list[str]:
    """Store documents by COPY; return their ids."""
    ids: list[str] = []
    columns = sql.SQL(", ").join(map(sql.Identifier, table.written))
    statement = table.statement("COPY {table} ({written}) FROM STDIN (FORMAT BINARY)", written=columns)
    types = {"vector": connection.adapters.types["vector"].oid, "bit": _BIT}
    with connection.cursor().copy(statement) as copy:
        copy.set_types([types.get(each, each) for each in table.written.values()])
        for document in documents:
            row = table.row(document)
            copy.write_row(row)
            ids.append(str(row[0]))
    return ids
