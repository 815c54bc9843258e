"""Where it is measured: a server, schemas in it, and what the command line asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

# What a server for a hundred thousand vectors has: room for the pages that are used, and for building an index.
_SETTINGS = {"shared_buffers": "2GB", "maintenance_work_mem": "2GB"}


@dataclass(frozen=True)
class Lab:
    """A server and the wishes of the command line; None where a workload is to choose."""

    conninfo: str = ""
    dsn: str | None = None
    keep: Path | None = None
    rows: int | None = None
    dimensions: int | None = None
    repeat: int = 200
    locomo: Path | None = None
    model: str | None = None

    @contextmanager
    def opened(self) -> Generator[Lab]:
        """Give the lab with its server: the one named, an embedded one that is kept, or one of this run."""
        if self.dsn is not None:
            yield replace(self, conninfo=self.dsn)
            return
        with tempfile.TemporaryDirectory(prefix="memorizz-benchmark-") as folder:
            # The server's own user must reach its data.
            Path(folder).chmod(0o711)
            server = EmbeddedServer(self.keep or Path(folder) / "data", settings=_SETTINGS)
            try:
                yield replace(self, conninfo=server.acquire())
            finally:
                server.release()

    def config(self, schema: str, **options: Any) -> PostgreSQLConfig:
        return PostgreSQLConfig(dsn=self.conninfo, schema=schema, operation_timeout=None, **options)

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.conninfo, autocommit=True)

    def ask(self, statement: str, *values: Any) -> Any:
        """Return the one value that a statement brings."""
        with self.connect() as connection:
            row = connection.execute(statement, values).fetchone()
        return row[0] if row else None

    @property
    def vector_schema(self) -> str:
        """Where pgvector is, once it is somewhere."""
        return self.ask("SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'vector'")

    # --- schemas --------------------------------------------------------------------------------------------------

    def drop(self, schema: str) -> None:
        with self.connect() as connection:
            connection.execute("SET client_min_messages = warning")
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))

    def holds(self, schema: str, store: MemoryType, rows: int) -> bool:
        """Say whether a schema that was kept has what would be stored in it."""
        table = sql.Identifier(schema, store.value)
        with self.connect() as connection:
            if connection.execute("SELECT to_regclass(%s)", (table.as_string(),)).fetchone() == (None,):
                return False
            return connection.execute(sql.SQL("SELECT count(*) FROM {}").format(table)).fetchone() == (rows,)

    @contextmanager
    def filling(self, config: PostgreSQLConfig) -> Generator[PostgreSQLProvider]:
        """Give a provider whose schema has no vector index until it is full, which is much faster."""
        schema = config.schema or "public"
        with PostgreSQLProvider(config) as provider:
            indexes = self.without_vector_indexes(schema)
            yield provider
        with self.connect() as connection:
            for index in indexes:
                connection.execute(index)
            for store in MemoryType:
                # It would come in the turn of one or the other.
                table = sql.Identifier(schema, store.value)
                connection.execute(sql.SQL("ALTER TABLE {} SET (autovacuum_enabled = off)").format(table))
            connection.execute("VACUUM ANALYZE")

    def without_vector_indexes(self, schema: str) -> list[str]:
        """Drop the vector indexes; return the statements that make them again."""
        with self.connect() as connection:
            indexes = connection.execute(
                "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = %s AND indexdef LIKE '%% USING hnsw %%'",
                (schema,),
            ).fetchall()
            for name, _ in indexes:
                connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(schema, name)))
        return [statement for _, statement in indexes]
