"""The limit that a library can only approach: psycopg by hand.

Everything that is known to help is done: vectors in binary, binary results, no embedding that was not asked for,
autocommit, one round trip, prepared statements. It knows what a library cannot know, which columns and keys its
documents have, and it checks nothing. On the provider's own tables it returns the provider's documents, key for key;
operations.py makes sure of that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import numpy as np
from psycopg import Cursor
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from benchmarks.data import Document
from benchmarks.lab import Lab
from benchmarks.raw_tables import RawTable, Row, adapt, adapt_async, copy_in

# How many rows the index looks at: the fewest are taken that find as much as is compared with.
_EF_SEARCH = (10, 20, 30, 40, 60, 80, 100, 150, 200, 400, 800)
# A statement and its values.
Step = tuple[str, Sequence[Any]]

_SIZE: dict[str, Any] = {"min_size": 1, "max_size": 10, "open": False}


class _Statements:
    """The statements on one table."""

    def __init__(self, table: RawTable) -> None:
        columns = ", ".join(table.written)
        values = ", ".join("%b::jsonb" if type == "jsonb" else "%b" for type in table.written.values())
        hits = "SELECT {columns}, d.embedding <=> %(vector)b AS distance FROM {table} AS d WHERE {visible}"
        # Adding 0 keeps the planner from the vector index, which filters after it has searched.
        exact = "ORDER BY (d.embedding <=> %(vector)b) + 0 LIMIT %(limit)b"
        importance = "coalesce((d.data->>'importance_score')::float8, 0)"
        if "importance_score" in table.written:
            importance = "d.importance_score"
        self.store = table.statement(f"INSERT INTO {{table}} ({columns}) VALUES ({values})")
        self.by_id = table.statement("SELECT {columns} FROM {table} AS d WHERE d.id = %b AND {visible}")
        self.nearest = table.statement(f"{hits} ORDER BY d.embedding <=> %(vector)b LIMIT %(limit)b")
        self.in_memory = table.statement(f"{hits} AND d.memory_id = %(memory_id)b {exact}")
        self.important = table.statement(
            f"{hits} AND d.memory_id = %(memory_id)b AND {importance} >= %(importance)b {exact}"
        )
        self.list_all = table.statement("SELECT {columns} FROM {table} AS d WHERE {visible} ORDER BY {order}")
        self.count = table.statement("SELECT count(*) FROM {table} AS d WHERE {visible}")
        self.count_memory = table.statement("SELECT count(*) FROM {table} AS d WHERE d.memory_id = %b AND {visible}")
        self.history = table.statement(
            "SELECT {columns} FROM {table} AS d WHERE d.memory_id = %b AND {visible} ORDER BY {order}"
        )


def _set_locally(ef_search: int) -> str:
    """Return what is set for a search of the index: for its transaction, since a pooler hands the session to others."""
    return (
        f"SELECT set_config('hnsw.ef_search', '{ef_search}', true), "
        "set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_sort', 'off', true)"
    )


def _connected(lab: Lab, table: RawTable) -> dict[str, Any]:
    return {"autocommit": True, "options": f"-c search_path={table.schema},{lab.vector_schema}"}


class Raw:
    """Hand-written psycopg with a pool, blocking, on one table."""

    def __init__(self, lab: Lab, table: RawTable) -> None:
        self.table = table
        self.ef_search = 100
        self._statements = _Statements(table)
        self._composed: dict[str, str] = {}
        self._pool = ConnectionPool(lab.conninfo, kwargs=_connected(lab, table), configure=adapt, **_SIZE)
        self._pool.open(wait=True)

    def close(self) -> None:
        self._pool.close()

    def store(self, document: Document) -> str:
        row = self.table.row(document)
        with self._pool.connection() as connection:
            connection.execute(self._statements.store, row, prepare=True)
        return str(row[0])

    def store_many(self, documents: Sequence[Document]) -> list[str]:
        with self._pool.connection() as connection:
            return copy_in(connection, self.table, documents)

    def retrieve_by_id(self, id: str) -> Document | None:
        rows = self._rows(self._statements.by_id, (UUID(id),))
        return self.table.document(rows[0]) if rows else None

    def nearest(self, vector: np.ndarray, limit: int) -> list[Document]:
        """Search by the index."""
        with self._pool.connection() as connection:
            with connection.pipeline():
                connection.execute(_set_locally(self.ef_search), prepare=True)
                cursor = connection.cursor(binary=True)
                cursor.execute(self._statements.nearest, {"vector": vector, "limit": limit}, prepare=True)
            return [self._hit(row) for row in cursor.fetchall()]

    def nearest_in_memory(self, vector: np.ndarray, limit: int, memory_id: str) -> list[Document]:
        """Compare every row of a memory."""
        parameters = {"vector": vector, "limit": limit, "memory_id": memory_id}
        return [self._hit(row) for row in self._rows(self._statements.in_memory, parameters)]

    def nearest_important(self, vector: np.ndarray, limit: int, memory_id: str, importance: float) -> list[Document]:
        """Compare every row of a memory that is important enough."""
        parameters = {"vector": vector, "limit": limit, "memory_id": memory_id, "importance": importance}
        return [self._hit(row) for row in self._rows(self._statements.important, parameters)]

    def list_all(self) -> list[Document]:
        return [self.table.document(row) for row in self._rows(self._statements.list_all, None)]

    def count(self) -> int:
        return self._rows(self._statements.count, None)[0][0]

    def count_memory(self, memory_id: str) -> int:
        return self._rows(self._statements.count_memory, (memory_id,))[0][0]

    def history(self, memory_id: str) -> list[Document]:
        return [self.table.document(row) for row in self._rows(self._statements.history, (memory_id,))]

    # --- any other statement, as a template of the table's --------------------------------------------------------

    def composed(self, template: str) -> str:
        if template not in self._composed:
            self._composed[template] = self.table.statement(template)
        return self._composed[template]

    def rows(self, template: str, *values: Any) -> list[Row]:
        return self._rows(self.composed(template), values)

    def documents(self, template: str, *values: Any) -> list[Document]:
        return [self.table.document(row) for row in self.rows(template, *values)]

    def changed(self, template: str, *values: Any) -> int:
        """Return how many rows a statement has changed."""
        with self._pool.connection() as connection:
            return connection.execute(self.composed(template), values, prepare=True).rowcount

    def step(self, template: str, *values: Any) -> Step:
        """Return a statement for `at_once` and `one_by_one`."""
        return self.composed(template), values

    def at_once(self, *steps: Step) -> list[list[Row]]:
        """Send statements as one pipeline, which is a transaction; return the rows of each."""
        with self._pool.connection() as connection:
            with connection.pipeline():
                cursors = [
                    connection.cursor(binary=True).execute(statement, values, prepare=True)
                    for statement, values in steps
                ]
            return [_fetched(cursor) for cursor in cursors]

    def one_by_one(self, *steps: Step) -> list[list[Row]]:
        """Send statements in one transaction, each when the one before has answered."""
        with self._pool.connection() as connection, connection.transaction():
            return [
                _fetched(connection.cursor(binary=True).execute(statement, values, prepare=True))
                for statement, values in steps
            ]

    def fit(self, recall: Callable[[], float], least: float) -> float:
        """Let `nearest` look at no more rows of the index than find so much; return how much that is."""
        found = 0.0
        for self.ef_search in _EF_SEARCH:
            if (found := recall()) >= least:
                break
        return found

    def _rows(self, statement: str, parameters: Any) -> list[Row]:
        with self._pool.connection() as connection:
            return connection.cursor(binary=True).execute(statement, parameters, prepare=True).fetchall()

    def _hit(self, row: Row) -> Document:
        return hit(self.table, row)


def _fetched(cursor: Cursor[Row]) -> list[Row]:
    return cursor.fetchall() if cursor.description else []


def hit(table: RawTable, row: Row) -> Document:
    """Return a document with its distance, which comes after its columns."""
    document = table.document(row[:-1])
    document["_distance"] = document["distance"] = distance = row[-1]
    document["_score"] = document["score"] = 1.0 - distance
    return document


class AsyncRaw:
    """The same with await, as far as it is compared."""

    def __init__(self, lab: Lab, table: RawTable, ef_search: int = 100) -> None:
        self.table = table
        self.ef_search = ef_search
        self._statements = _Statements(table)
        self._pool = AsyncConnectionPool(lab.conninfo, kwargs=_connected(lab, table), configure=adapt_async, **_SIZE)

    async def open(self) -> None:
        await self._pool.open(wait=True)

    async def close(self) -> None:
        await self._pool.close()

    async def retrieve_by_id(self, id: str) -> Document | None:
        rows = await self._rows(self._statements.by_id, (UUID(id),))
        return self.table.document(rows[0]) if rows else None

    async def store(self, document: Document) -> str:
        row = self.table.row(document)
        async with self._pool.connection() as connection:
            await connection.execute(self._statements.store, row, prepare=True)
        return str(row[0])

    async def nearest(self, vector: np.ndarray, limit: int) -> list[Document]:
        async with self._pool.connection() as connection:
            async with connection.pipeline():
                await connection.execute(_set_locally(self.ef_search), prepare=True)
                cursor = connection.cursor(binary=True)
                await cursor.execute(self._statements.nearest, {"vector": vector, "limit": limit}, prepare=True)
            return [hit(self.table, row) for row in await cursor.fetchall()]

    async def nearest_in_memory(self, vector: np.ndarray, limit: int, memory_id: str) -> list[Document]:
        parameters = {"vector": vector, "limit": limit, "memory_id": memory_id}
        return [hit(self.table, row) for row in await self._rows(self._statements.in_memory, parameters)]

    async def _rows(self, statement: str, parameters: Any) -> list[Row]:
        async with self._pool.connection() as connection:
            cursor = await connection.cursor(binary=True).execute(statement, parameters, prepare=True)
            return await cursor.fetchall()
