"""When a provider of the async API opens and closes: on first use, in the event loop that runs then."""

from __future__ import annotations

import asyncio
import os
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Self

from psycopg_pool import AsyncConnectionPool

from memorizz.embeddings.base import AsyncEmbedder, Embedder
from memorizz.errors import MemorizzError, ProviderClosed
from memorizz.memory_provider._drive import Opening, check_loop, check_process, check_seconds, unwell
from memorizz.memory_provider.options import Health
from memorizz.memory_provider.postgresql._errors import translating
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.driver._async import (
    AnyConnection,
    AsyncPool,
    checkout,
    checkout_given,
    connect,
    open_facts,
)
from memorizz.memory_provider.postgresql.driver._health_async import look
from memorizz.memory_provider.postgresql.driver._replicas_async import AsyncReplicas
from memorizz.memory_provider.postgresql.driver._shared import config_for
from memorizz.memory_provider.postgresql.facts import Facts
from memorizz.memory_provider.postgresql.reload import by_name, close_all, makers

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

AnyEmbedder = Embedder | AsyncEmbedder


class AsyncLifetime:
    """A provider's configuration, embedders, pool and facts."""

    def __init__(
        self,
        config: PostgreSQLConfig | str | None = None,
        *,
        pool: AsyncConnectionPool[Any] | None = None,
        embedder: Embedder | AsyncEmbedder | str | Sequence[Embedder | AsyncEmbedder | str] | None = None,
    ) -> None:
        self.config = config_for(config, pool)
        self._embedders, self._own_embedders = by_name(embedder)
        self._given_pool = pool
        self._pool: AsyncPool | AsyncConnectionPool[Any] | None = None
        # None where there are none.
        self._replicas: AsyncReplicas | None = None
        self._facts: Facts | None = None
        self._server: EmbeddedServer | None = None
        self._release_server: Callable[[], Any] | None = None
        self._opening = asyncio.Lock()
        self._opening_aside: Opening[tuple[Facts, AsyncPool | AsyncConnectionPool[Any]]] = Opening()
        self._reloading = asyncio.Lock()
        self._opener = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        # The stores that are being loaded, in a block of `loading` each.
        self._loads: list[str] = []

    async def __aenter__(self) -> Self:
        await self._opened()
        return self

    async def _opened(self) -> tuple[Facts, AsyncPool | AsyncConnectionPool[Any]]:
        """Return the facts and the pool, opened by the first who asks."""
        if self._facts is None or self._pool is None:
            async with self._opening:
                if self._closed:
                    raise ProviderClosed("the provider is closed: open a new one")
                if self._facts is None or self._pool is None:
                    try:
                        await self._open()
                    except BaseException:
                        await self._release()
                        raise
        check_process(self._opener)
        check_loop(self._loop)
        assert self._facts is not None
        assert self._pool is not None
        return self._facts, self._pool

    async def _open(self) -> None:
        self._opener, self._loop = os.getpid(), asyncio.get_running_loop()
        models = makers(self._embedders)
        if self._given_pool is not None:
            with translating(self.config.where):
                async with checkout_given(self._given_pool, self.config) as connection:
                    self._facts = await open_facts(self.config, connection, models)
            self._pool = self._given_pool
            return
        async with await connect(self.config, await self._conninfo()) as connection:
            facts = await open_facts(self.config, connection, models)
        self._pool = pool = AsyncPool(self.config, self._server)
        await pool.open()
        if self.config.replicas:
            self._replicas = replicas = AsyncReplicas(self.config)
            for each in replicas.pools:
                await each.open()
        self._facts = facts

    async def _connection(self) -> AbstractAsyncContextManager[AnyConnection]:
        """Return a connection of the pool, lent for a block."""
        # None where it was closed meanwhile: then this says so.
        pool = self._pool or (await self._opened())[1]
        if isinstance(pool, AsyncPool):
            return checkout(pool, self.config, self._server)
        return checkout_given(pool, self.config)

    async def _conninfo(self) -> str:
        if self.config.embedded_server is None:
            return await self.config.awaited_conninfo()
        from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

        self._server = server = EmbeddedServer(self.config.embedded_server.path)
        # Before, for a cancelled task leaves the thread at work; also where the provider is dropped without close().
        self._release_server = weakref.finalize(self, server.release)
        return self.config.complete(await asyncio.to_thread(server.acquire))

    async def health(self, timeout: float = 1.0) -> Health:
        check_seconds(timeout)
        started = time.monotonic()
        try:
            _, pool = await self._opening_aside.within(timeout, self._opened, self.config.where)
        except MemorizzError as error:
            return unwell(error, time.monotonic() - started)
        return await look(pool, self.config, timeout, started)

    async def close(self) -> None:
        async with self._opening:
            # In a forked child both the pool and the server are the parent's.
            if self._opener == os.getpid():
                check_loop(self._loop)
                await self._release()
                if not self._closed:
                    close_all(self._own_embedders)
            self._closed = True

    async def _release(self) -> None:
        """Close the pool that was made here and leave the server."""
        pool, self._pool, self._loop = self._pool, None, None
        replicas, self._replicas = self._replicas, None
        for each in [] if replicas is None else replicas.pools:
            await each.close()
        if pool is not None and pool is not self._given_pool:
            await pool.close()
        if self._release_server is not None:
            # Waits for a thread that is still starting the server.
            await asyncio.to_thread(self._release_server)
            self._release_server = None
