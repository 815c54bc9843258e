"""The limit that a library can only approach: psycopg by hand, on the provider's own tables.

Everything that is known to help is done: vectors in binary, binary results, no embedding that was not asked for,
autocommit, one round trip, prepared statements where a plan can be kept and a plan of its own where it cannot. It
knows what a library cannot know, which columns and keys its documents have, and it checks nothing. What it returns
are the provider's documents, key for key; operations.py makes sure of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from psycopg import AsyncConnection, Connection, sql
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.types import TypeInfo
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from benchmarks.data import Document

COLUMNS = "d.id, d.data, d.name, d.memory_id, d.content, d.importance_score, d.metadata, d.created_at, d.updated_at"
LIVE = "(d.expires_at IS NULL OR d.expires_at > now())"
_TYPES = ("uuid", "jsonb", "text", "text", "text", "float8", "jsonb", "timestamptz", "timestamptz")
_BIT = 1560  # the type's oid, the same everywhere
_WRITTEN = ("id", "data", "name", "memory_id", "content", "importance_score", "metadata", "created_at", "updated_at")


_SET_LOCAL = (
    "SELECT set_config('hnsw.ef_search', '100', true), set_config('plan_cache_mode', 'force_generic_plan', true), "
    "set_config('enable_sort', 'off', true)"
)


class Statements:
    """The statements, for the tables of one schema."""

    def __init__(self, schema: str) -> None:
        def text(template: str, table: str = "long_term_memory") -> str:
            return sql.SQL(template).format(table=sql.Identifier(schema, table)).as_string()

        columns = ", ".join((*_WRITTEN, "embedding", "embedding_bits"))
        self.store = text(
            f"INSERT INTO {{table}} ({columns}) VALUES (%b, %b::jsonb, %b, %b, %b, %b, %b::jsonb, %b, %b, %b, %b)",
            "short_term_memory",
        )
        self.copy = text(f"COPY {{table}} ({columns}) FROM STDIN (FORMAT BINARY)", "short_term_memory")
        self.by_id = text(f"SELECT {COLUMNS} FROM {{table}} AS d WHERE d.tenant = '' AND d.id = %b AND {LIVE}")
        self.nearest = text(
            f"SELECT {COLUMNS}, d.embedding <=> %(vector)b AS distance FROM {{table}} AS d WHERE {LIVE} "
            "ORDER BY d.embedding <=> %(vector)b LIMIT %(limit)b"
        )
        # Adding 0 keeps the planner from the vector index, which filters after it has searched.
        self.nearest_in_memory = text(
            f"SELECT {COLUMNS}, d.embedding <=> %(vector)b AS distance FROM {{table}} AS d "
            f"WHERE d.memory_id = %(memory_id)b AND {LIVE} "
            "ORDER BY (d.embedding <=> %(vector)b) + 0 LIMIT %(limit)b"
        )
        self.list_all = text(f"SELECT {COLUMNS} FROM {{table}} AS d WHERE {LIVE} ORDER BY d.created_at, d.seq")
        self.history = text(
            "SELECT d.id, d.data, d.memory_id, d.conversation_id, d.role, d.content, d.timestamp, d.created_at, "
            f"d.updated_at FROM {{table}} AS d WHERE d.memory_id = %b AND {LIVE} ORDER BY d.timestamp, d.seq",
            "conversation_memory",
        )


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


async def _adapt_async(connection: AsyncConnection[Any]) -> None:
    _register(connection, await TypeInfo.fetch(connection, "vector"))


def _register(connection: Connection[Any] | AsyncConnection[Any], vector: TypeInfo | None) -> None:
    assert vector is not None
    vector.register(connection)
    connection.adapters.register_dumper(Bits, _BitsDumper)
    connection.adapters.register_dumper(np.ndarray, type("VectorDumper", (_VectorDumper,), {"oid": vector.oid}))


_SIZE: dict[str, Any] = {"min_size": 1, "max_size": 10, "open": False}


def _kept_plans(schema: str, vector_schema: str) -> dict[str, Any]:
    return {"autocommit": True, "options": f"-c search_path={schema},{vector_schema}"}


def _own_plans(schema: str, vector_schema: str) -> dict[str, Any]:
    """Prepared, but planned anew for each value; and the planner told that no disk turns.

    With random pages as dear as they are by default it compares all of 10,000 vectors rather than use the index.
    """
    options = _kept_plans(schema, vector_schema)
    options["options"] += " -c plan_cache_mode=force_custom_plan -c random_page_cost=1.1"
    return options


class Raw:
    """Hand-written psycopg with a pool, blocking."""

    def __init__(self, conninfo: str, schema: str, vector_schema: str) -> None:
        self._statements = Statements(schema)
        self._pool = ConnectionPool(conninfo, kwargs=_kept_plans(schema, vector_schema), configure=adapt, **_SIZE)
        own = _own_plans(schema, vector_schema)
        self._searches = ConnectionPool(conninfo, kwargs=own, configure=adapt, **_SIZE)
        self._pool.open(wait=True)
        self._searches.open(wait=True)

    def close(self) -> None:
        self._pool.close()
        self._searches.close()

    def explain_nearest(self, vector: np.ndarray, limit: int) -> str:
        """Return the plan of a search."""
        return str(_rows(self._searches, "EXPLAIN " + self._statements.nearest, {"vector": vector, "limit": limit}))

    def store(self, document: Document) -> str:
        row = _row(document)
        with self._pool.connection() as connection:
            connection.execute(self._statements.store, row, prepare=True)
        return str(row[0])

    def store_many(self, documents: Sequence[Document]) -> list[str]:
        rows = [_row(document) for document in documents]
        with self._pool.connection() as connection, connection.cursor().copy(self._statements.copy) as copy:
            copy.set_types([*_TYPES, connection.adapters.types["vector"].oid, _BIT])
            for row in rows:
                copy.write_row(row)
        return [str(row[0]) for row in rows]

    def retrieve_by_id(self, id: str) -> Document | None:
        rows = _rows(self._pool, self._statements.by_id, (UUID(id),))
        return _document(rows[0]) if rows else None

    def nearest(self, vector: np.ndarray, limit: int) -> list[Document]:
        rows = _rows(self._searches, self._statements.nearest, {"vector": vector, "limit": limit})
        return [hit(row) for row in rows]

    def nearest_behind_a_pooler(self, vector: np.ndarray, limit: int) -> list[Document]:
        """Search with nothing set that outlives the transaction, and with the recall that the provider promises."""
        with self._pool.connection() as connection:
            with connection.pipeline():
                connection.execute(_SET_LOCAL, prepare=True)
                cursor = connection.cursor(binary=True)
                cursor.execute(self._statements.nearest, {"vector": vector, "limit": limit}, prepare=True)
            return [hit(row) for row in cursor.fetchall()]

    def nearest_in_memory(self, vector: np.ndarray, limit: int, memory_id: str) -> list[Document]:
        parameters = {"vector": vector, "limit": limit, "memory_id": memory_id}
        return [hit(row) for row in _rows(self._searches, self._statements.nearest_in_memory, parameters)]

    def list_all(self) -> list[Document]:
        return [_document(row) for row in _rows(self._pool, self._statements.list_all, None)]

    def history(self, memory_id: str) -> list[Document]:
        return [_turn(row) for row in _rows(self._searches, self._statements.history, (memory_id,))]


def _rows(pool: ConnectionPool[Connection[Any]], statement: str, parameters: Any) -> list[tuple[Any, ...]]:
    with pool.connection() as connection:
        return connection.cursor(binary=True).execute(statement, parameters, prepare=True).fetchall()


class AsyncRaw:
    """The same with await, as far as it is compared."""

    def __init__(self, conninfo: str, schema: str, vector_schema: str) -> None:
        self._statements = Statements(schema)
        kept, own = _kept_plans(schema, vector_schema), _own_plans(schema, vector_schema)
        self._pool = AsyncConnectionPool(conninfo, kwargs=kept, configure=_adapt_async, **_SIZE)
        self._searches = AsyncConnectionPool(conninfo, kwargs=own, configure=_adapt_async, **_SIZE)

    async def open(self) -> None:
        await self._pool.open(wait=True)
        await self._searches.open(wait=True)

    async def close(self) -> None:
        await self._pool.close()
        await self._searches.close()

    async def retrieve_by_id(self, id: str) -> Document | None:
        rows = await _rows_async(self._pool, self._statements.by_id, (UUID(id),))
        return _document(rows[0]) if rows else None

    async def nearest(self, vector: np.ndarray, limit: int) -> list[Document]:
        rows = await _rows_async(self._searches, self._statements.nearest, {"vector": vector, "limit": limit})
        return [hit(row) for row in rows]


async def _rows_async(
    pool: AsyncConnectionPool[AsyncConnection[Any]], statement: str, parameters: Any
) -> list[tuple[Any, ...]]:
    async with pool.connection() as connection:
        cursor = await connection.cursor(binary=True).execute(statement, parameters, prepare=True)
        return await cursor.fetchall()


def _row(document: Document) -> tuple[Any, ...]:
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
        Bits(document["embedding"]),
    )


def _document(row: tuple[Any, ...]) -> Document:
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


def hit(row: tuple[Any, ...]) -> Document:
    document = _document(row[:-1])
    document["_distance"] = document["distance"] = distance = row[-1]
    document["_score"] = document["score"] = 1.0 - distance
    return document


def _turn(row: tuple[Any, ...]) -> Document:
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
