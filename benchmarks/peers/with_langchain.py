"""langchain-postgres: PGVectorStore, with a column for the filter and the HNSW index that its documentation adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from child import Question, Row, Rows, serve
from langchain_core.embeddings import Embeddings
from langchain_postgres import Column, PGEngine, PGVectorStore
from langchain_postgres.v2.indexes import HNSWIndex
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL

TABLE = "documents"


class Model(Embeddings):
    """The vectors that the rows have."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return list(map(self._rows.vector_of, texts))

    def embed_query(self, text: str) -> list[float]:
        return self._rows.vector_of(text)


class LangChain:
    def __init__(self, conninfo: str, dimensions: int, rows: Rows) -> None:
        engine = PGEngine.from_connection_string(_url(conninfo))
        engine.init_vectorstore_table(
            TABLE, dimensions, metadata_columns=[Column("memory_id", "TEXT"), Column("number", "INTEGER")]
        )
        self._store = PGVectorStore.create_sync(engine, Model(rows), TABLE, metadata_columns=["memory_id", "number"])

    def load(self, rows: Sequence[Row]) -> None:
        self.store_many(rows)
        self._store.apply_vector_index(HNSWIndex())

    def store(self, row: Row) -> Any:
        return self.store_many([row])

    def store_many(self, rows: Sequence[Row]) -> Any:
        return self._store.add_embeddings(
            [row.text for row in rows],
            [row.vector for row in rows],
            [{"memory_id": row.memory_id, "number": row.number} for row in rows],
            [row.id for row in rows],
        )

    def get(self, row: Row) -> Any:
        return self._store.get_by_ids([row.id])

    def search(self, question: Question, memory_id: str | None, limit: int) -> list[Any]:
        filter = None if memory_id is None else {"memory_id": memory_id}
        return self._store.similarity_search_with_score_by_vector(question.vector, k=limit, filter=filter)

    def numbers(self, hits: list[Any]) -> list[int]:
        return [document.metadata["number"] for document, _ in hits]


def _url(conninfo: str) -> URL:
    said = conninfo_to_dict(conninfo)
    beside = {name: str(value) for name, value in said.items() if name not in ("user", "password", "dbname")}
    return URL.create(
        "postgresql+psycopg",
        username=str(said["user"]),
        password=str(said["password"]) if "password" in said else None,
        database=str(said["dbname"]),
        query=beside,
    )


serve(LangChain)
