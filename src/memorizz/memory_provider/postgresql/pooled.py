"""A provider for code that expects one with a pool of its own arguments."""

from __future__ import annotations

from collections.abc import Sequence

from memorizz.embeddings.base import Embedder
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.provider import PostgreSQLProvider


class PooledPostgreSQLProvider(PostgreSQLProvider):
    """A PostgreSQLProvider whose pool is sized by its own arguments."""

    def __init__(
        self,
        config: PostgreSQLConfig | str | None = None,
        min_conn: int = 1,
        max_conn: int = 20,
        *,
        embedder: Embedder | str | Sequence[Embedder | str] | None = None,
    ) -> None:
        super().__init__(PostgreSQLConfig.of(config).replace(min_size=min_conn, max_size=max_conn), embedder=embedder)
