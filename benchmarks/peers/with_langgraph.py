"""langgraph-checkpoint-postgres: PostgresStore, where a memory is a namespace, with the index that its setup makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from child import Question, Row, Rows, serve
from langgraph.store.base import PutOp
from langgraph.store.postgres import PostgresStore
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

ROOT = "memories"
# One batch is one statement for all its rows, and a statement takes 65,535 values.
_BATCH = 500


class LangGraph:
    def __init__(self, conninfo: str, dimensions: int, rows: Rows) -> None:
        # As PostgresStore.from_conn_string opens them.
        options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
        pool = ConnectionPool(conninfo, min_size=1, max_size=10, kwargs=options, open=True)
        embed = lambda texts: list(map(rows.vector_of, texts))  # noqa: E731
        self._store = PostgresStore(pool, index={"dims": dimensions, "embed": embed, "fields": ["text"]})
        self._store.setup()

    def load(self, rows: Sequence[Row]) -> None:
        self.store_many(rows)

    def store(self, row: Row) -> Any:
        self._store.put((ROOT, row.memory_id), row.id, _value(row))

    def store_many(self, rows: Sequence[Row]) -> Any:
        for first in range(0, len(rows), _BATCH):
            batch = rows[first : first + _BATCH]
            self._store.batch([PutOp((ROOT, row.memory_id), row.id, _value(row)) for row in batch])

    def get(self, row: Row) -> Any:
        return self._store.get((ROOT, row.memory_id), row.id)

    def search(self, question: Question, memory_id: str | None, limit: int) -> list[Any]:
        namespace = (ROOT,) if memory_id is None else (ROOT, memory_id)
        return self._store.search(namespace, query=question.text, limit=limit)

    def numbers(self, hits: list[Any]) -> list[int]:
        return [hit.value["number"] for hit in hits]


def _value(row: Row) -> dict[str, Any]:
    return {"text": row.text, "number": row.number}


serve(LangGraph)
