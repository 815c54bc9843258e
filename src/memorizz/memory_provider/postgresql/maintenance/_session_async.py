"""One connection to a database, for what is done to it: opened, what is known of it, operations run on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Self, cast

from memorizz.errors import MemorizzError, ProviderClosed, SchemaError
from memorizz.memory_provider._drive._async import drive
from memorizz.memory_provider.postgresql import indexes, migrations, wall
from memorizz.memory_provider.postgresql._errors import translating
from memorizz.memory_provider.postgresql._steps import Operation, Script, Statement, Step, T
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.driver._async import AsyncConnection, connect, perform, when_free
from memorizz.memory_provider.postgresql.driver._pooling_async import find_server
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer
from memorizz.memory_provider.postgresql.facts import Facts
from memorizz.memory_provider.postgresql.migrations import Database


class AsyncSession:
    """A context manager, which is open in its block."""

    def __init__(self, config: PostgreSQLConfig) -> None:
        self.config = config
        self._conninfo = ""
        self._opened: AsyncConnection | None = None
        self._server: EmbeddedServer | None = None
        # As they were read last.
        self._facts: Facts | None = None

    async def __aenter__(self) -> Self:
        try:
            if self.config.embedded_server is not None:
                self._server = EmbeddedServer(self.config.embedded_server.path)
                await asyncio.to_thread(self._server.acquire)
            self._conninfo = await find_server(self.config, self._server)
            self._opened = await connect(self.config, self._conninfo)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection. Twice is fine."""
        connection, self._opened = self._opened, None
        server, self._server = self._server, None
        if connection is not None:
            await connection.close()
        if server is not None:
            # Waits for a thread that is still starting it.
            await asyncio.to_thread(server.release)

    async def database(self) -> Database:
        """Return what the catalogs say of the server, of pgvector and of the schema."""
        return await self.run(migrations.database(self.config))

    async def facts(self) -> Facts:
        """Return what is known of the stores, their indexes and models; raises SchemaError where there are none."""
        found = await self.database()
        if not found.has_migrations or await self.run(migrations.pending(found)):
            raise SchemaError(f"there are no tables in schema {found.schema!r}: make them with `memorizz migrate`")
        self._facts = await self.run(migrations.facts_of(self.config, found))
        return self._facts

    async def run(self, operation: Operation[T]) -> T:
        """Run an operation on the connection; each of its statements is a transaction of its own unless one is open."""
        if self._facts is not None:
            operation = wall.maintained(self._facts, operation)
        return await drive(operation, self.perform)

    async def perform(self, step: Step) -> Any:
        """Perform a step of an operation."""
        with translating(self.config.where):
            return await perform(self._connection, cast(Statement, step))

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[None]:
        """Open a block that happens as a whole or not at all."""
        with translating(self.config.where):
            async with self._connection.transaction():
                yield

    @property
    def lost(self) -> bool:
        """Whether the connection is gone."""
        return self._connection.closed

    @property
    def _connection(self) -> AsyncConnection:
        if self._opened is None:
            raise ProviderClosed("the maintenance is not open: use it inside of its `with` block")
        return self._opened

    async def _in_one(self, work: Callable[[], Operation[T]]) -> T:
        """Run an operation in one transaction, as soon as nobody is in the way for a moment."""

        async def change() -> T:
            async with self.transaction():
                return await self.run(work())

        return await when_free(change)

    @asynccontextmanager
    async def _without_timeouts(self, memory: str | None, lock_seconds: float) -> AsyncGenerator[None]:
        """Let statements take as long as they need."""
        timeout, self._connection.operation_timeout = self._connection.operation_timeout, None
        try:
            await self.perform(Script(indexes.without_timeouts(memory, lock_seconds).as_bytes(None)))
            yield
        finally:
            # A connection that was lost has nothing to be reset.
            with suppress(MemorizzError):
                await self.perform(Script(indexes.WITH_TIMEOUTS))
            self._connection.operation_timeout = timeout
