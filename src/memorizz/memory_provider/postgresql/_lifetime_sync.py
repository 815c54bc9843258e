"""When a provider of the sync API opens and closes: at once, and at the latest when nobody has it any more."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Self

from psycopg_pool import ConnectionPool

from memorizz.embeddings.base import Embedder, check_blocking
from memorizz.errors import ProviderClosed
from memorizz.memory_provider._drive import check_process, check_seconds, unwell
from memorizz.memory_provider.options import Health
from memorizz.memory_provider.postgresql._errors import translating
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.driver._health_sync import look
from memorizz.memory_provider.postgresql.driver._replicas_sync import Replicas
from memorizz.memory_provider.postgresql.driver._shared import config_for
from memorizz.memory_provider.postgresql.driver._sync import (
    AnyConnection,
    Pool,
    checkout,
    checkout_given,
    connect,
    open_facts,
)
from memorizz.memory_provider.postgresql.facts import Facts
from memorizz.memory_provider.postgresql.reload import by_name, close_all, makers

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

AnyEmbedder = Embedder


class Lifetime:
    """A provider's configuration, embedders, pool and facts."""

    def __init__(
        self,
        config: PostgreSQLConfig | str | None = None,
        *,
        pool: ConnectionPool[Any] | None = None,
        embedder: Embedder | str | Sequence[Embedder | str] | None = None,
    ) -> None:
        self.config = config_for(config, pool)
        self._embedders, own_embedders = by_name(embedder)
        for each in self._embedders.values():
            check_blocking(each)
        self._given_pool = pool
        self._reloading = threading.Lock()
        self._server: EmbeddedServer | None = None
        if pool is None and self.config.embedded_server is not None:
            from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

            self._server = EmbeddedServer(self.config.embedded_server.path)
        self._opener = os.getpid()
        # What is there to be closed; it grows while the provider opens.
        pools: list[Pool] = []
        self._closing = weakref.finalize(self, _release, pools, self._server, own_embedders, self._opener)
        try:
            self._facts: Facts | None = self._open_facts()
            if pool is None:
                pool = Pool(self.config, self._server)
                pools.append(pool)
                pool.open()
            # None where there are none.
            self._replicas = Replicas(self.config) if self.config.replicas else None
            for each in [] if self._replicas is None else self._replicas.pools:
                pools.append(each)
                each.open()
        except BaseException:
            self._closing()
            raise
        self._pool: Pool | ConnectionPool[Any] | None = pool
        # The stores that are being loaded, in a block of `loading` each.
        self._loads: list[str] = []

    def __enter__(self) -> Self:
        self._opened()
        return self

    def _open_facts(self) -> Facts:
        models = makers(self._embedders)
        if self._given_pool is not None:
            with translating(self.config.where), checkout_given(self._given_pool, self.config) as connection:
                return open_facts(self.config, connection, models)
        server = self._server
        conninfo = self.config.conninfo if server is None else self.config.complete(server.acquire())
        with connect(self.config, conninfo) as connection:
            return open_facts(self.config, connection, models)

    def _opened(self) -> tuple[Facts, Pool | ConnectionPool[Any]]:
        """Return the facts and the pool."""
        pool = self._pool
        if not self._closing.alive or self._facts is None or pool is None:
            raise ProviderClosed("the provider is closed: open a new one")
        check_process(self._opener)
        return self._facts, pool

    def health(self, timeout: float = 1.0) -> Health:
        check_seconds(timeout)
        try:
            _, pool = self._opened()
        except ProviderClosed as error:
            return unwell(error, 0.0)
        return look(pool, self.config, timeout, time.monotonic())

    def _connection(self) -> AbstractContextManager[AnyConnection]:
        """Return a connection of the pool, lent for a block."""
        # None where it was closed meanwhile: then this says so.
        pool = self._pool or self._opened()[1]
        if isinstance(pool, Pool):
            return checkout(pool, self.config, self._server)
        return checkout_given(pool, self.config)

    def close(self) -> None:
        # What is under way asks for a connection no more, also where the pool is the caller's and stays open.
        self._pool = None
        self._closing()


def _release(pools: list[Pool], server: EmbeddedServer | None, embedders: list[Embedder], opener: int) -> None:
    """Close the pool and the embedders that a provider made, and leave its server; not in a forked child.

    There they are the parent's.

    Knows nothing of the provider, which may be gone.
    """
    if opener != os.getpid():
        return
    for pool in pools:
        pool.close()
    if server is not None:
        server.release()
    close_all(embedders)
