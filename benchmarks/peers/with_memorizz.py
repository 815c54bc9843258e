"""This project, by its public calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from child import Question, Row, Rows, serve

from memorizz import MemoryType, PostgreSQLConfig, PostgreSQLProvider

LONG = MemoryType.LONG_TERM_MEMORY


class Memorizz:
    def __init__(self, conninfo: str, dimensions: int, rows: Rows) -> None:
        config = PostgreSQLConfig(dsn=conninfo, embedding_dimensions=dimensions, operation_timeout=None)
        self._provider = PostgreSQLProvider(config)

    def load(self, rows: Sequence[Row]) -> None:
        # The store is empty: its vector index is built when all is there.
        with self._provider.loading(LONG):
            self._provider.store_many(map(_document, rows), LONG)

    def store(self, row: Row) -> Any:
        return self._provider.store(_document(row), LONG)

    def store_many(self, rows: Sequence[Row]) -> Any:
        return self._provider.store_many(map(_document, rows), LONG)

    def get(self, row: Row) -> Any:
        return self._provider.retrieve_by_id(row.id, LONG)

    def search(self, question: Question, memory_id: str | None, limit: int) -> list[Any]:
        filter = {} if memory_id is None else {"memory_id": memory_id}
        return self._provider.retrieve_by_query({"embedding": question.vector, **filter}, LONG, limit=limit)

    def numbers(self, hits: list[Any]) -> list[int]:
        return [hit["number"] for hit in hits]


def _document(row: Row) -> dict[str, Any]:
    return {
        "id": row.id,
        "memory_id": row.memory_id,
        "content": row.text,
        "number": row.number,
        "embedding": row.vector,
    }


serve(Memorizz)
