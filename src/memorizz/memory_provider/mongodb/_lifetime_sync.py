"""When a provider of the sync API opens and closes: at once, and at the latest when nobody has it any more."""

from __future__ import annotations

import os
import time
import weakref
from typing import TYPE_CHECKING, Self

from memorizz.errors import MemorizzError, ProviderClosed
from memorizz.memory_provider._drive import check_process, check_seconds, described
from memorizz.memory_provider._drive._sync import drive
from memorizz.memory_provider.mongodb._lifetime_shared import needs_extra
from memorizz.memory_provider.mongodb._opening import identity, opened
from memorizz.memory_provider.mongodb._stores import Database
from memorizz.memory_provider.mongodb.config import MongoDBConfig
from memorizz.memory_provider.options import Health

if TYPE_CHECKING:
    from memorizz.memory_provider.mongodb.driver._sync import Connection


class Lifetime:
    """A provider's configuration, client and database."""

    def __init__(self, config: MongoDBConfig | None = None) -> None:
        with needs_extra():
            from memorizz.memory_provider.mongodb.driver._sync import Connection
        self.config = config if config is not None else MongoDBConfig()
        self._opener = os.getpid()
        self._connection = Connection(self.config)
        self._closing = weakref.finalize(self, _release, self._connection, self._opener)
        try:
            self._database = drive(opened(self.config), self._connection.perform)
        except BaseException:
            self._closing()
            raise

    def __enter__(self) -> Self:
        self._opened()
        return self

    def _opened(self) -> tuple[Database, Connection]:
        """Return the database and the client."""
        if not self._closing.alive:
            raise ProviderClosed("the provider is closed: open a new one")
        check_process(self._opener)
        return self._database, self._connection

    @property
    def identity(self) -> str | None:
        database, connection = self._opened()
        # Another program may have made it since.
        return database.identity or drive(identity(make=False), connection.perform)

    def health(self, timeout: float = 1.0) -> Health:
        check_seconds(timeout)
        started = time.monotonic()
        version: str | None = None
        error: str | None = None
        try:
            _, connection = self._opened()
            version = connection.version(max(timeout - (time.monotonic() - started), 0.001))
        except MemorizzError as failed:
            error = described(failed)
        return Health(error, time.monotonic() - started, None if version is None else f"MongoDB {version}")

    def close(self) -> None:
        self._closing()


def _release(connection: Connection, opener: int) -> None:
    """Close the client that a provider made; not in a forked child, where it is the parent's."""
    if opener == os.getpid():
        connection.close()
