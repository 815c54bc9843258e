"""When a provider of the async API opens and closes: on first use, in the event loop that runs then."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Self

from memorizz.errors import MemorizzError, ProviderClosed
from memorizz.memory_provider._drive import Opening, check_loop, check_process, check_seconds, described
from memorizz.memory_provider._drive._async import drive
from memorizz.memory_provider.mongodb._lifetime_shared import needs_extra
from memorizz.memory_provider.mongodb._opening import opened
from memorizz.memory_provider.mongodb._stores import Database
from memorizz.memory_provider.mongodb.config import MongoDBConfig
from memorizz.memory_provider.options import Health

if TYPE_CHECKING:
    from memorizz.memory_provider.mongodb.driver._async import AsyncConnection


class AsyncLifetime:
    """A provider's configuration, client and database."""

    def __init__(self, config: MongoDBConfig | None = None) -> None:
        self.config = config if config is not None else MongoDBConfig()
        self._connection: AsyncConnection | None = None
        self._database: Database | None = None
        self._opening = asyncio.Lock()
        self._opening_aside: Opening[tuple[Database, AsyncConnection]] = Opening()
        self._opener = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        await self._opened()
        return self

    async def _opened(self) -> tuple[Database, AsyncConnection]:
        """Return the database and the client, opened by the first who asks."""
        if self._database is None or self._connection is None:
            async with self._opening:
                if self._closed:
                    raise ProviderClosed("the provider is closed: open a new one")
                if self._database is None or self._connection is None:
                    try:
                        await self._open()
                    except BaseException:
                        await self._release()
                        raise
        check_process(self._opener)
        check_loop(self._loop)
        assert self._database is not None
        assert self._connection is not None
        return self._database, self._connection

    async def _open(self) -> None:
        with needs_extra():
            from memorizz.memory_provider.mongodb.driver._async import AsyncConnection
        self._opener, self._loop = os.getpid(), asyncio.get_running_loop()
        self._connection = AsyncConnection(self.config)
        self._database = await drive(opened(self.config), self._connection.perform)

    @property
    def identity(self) -> str | None:
        return None if self._database is None else self._database.identity

    async def health(self, timeout: float = 1.0) -> Health:
        check_seconds(timeout)
        started = time.monotonic()
        version: str | None = None
        error: str | None = None
        try:
            _, connection = await self._opening_aside.within(timeout, self._opened, self.config.where)
            version = await connection.version(max(timeout - (time.monotonic() - started), 0.001))
        except MemorizzError as failed:
            error = described(failed)
        return Health(error, time.monotonic() - started, None if version is None else f"MongoDB {version}")

    async def close(self) -> None:
        async with self._opening:
            # In a forked child the client is the parent's.
            if self._opener == os.getpid():
                check_loop(self._loop)
                await self._release()
            self._closed = True

    async def _release(self) -> None:
        connection, self._connection, self._loop = self._connection, None, None
        if connection is not None:
            await connection.close()
