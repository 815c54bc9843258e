"""What is done to a database and not with memories: look at it, upgrade it, measure it, examine it."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from memorizz.memory_provider.postgresql import _doctor, _migrate
from memorizz.memory_provider.postgresql._doctor import Facts, IndexFacts, StoreFacts
from memorizz.memory_provider.postgresql._driver import connect, drive, perform
from memorizz.memory_provider.postgresql._errors import translating
from memorizz.memory_provider.postgresql._findings import Finding, Level, judge
from memorizz.memory_provider.postgresql._migrate import Database, Migration
from memorizz.memory_provider.postgresql._steps import Operation, Statement, Step
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

__all__ = ["Database", "Facts", "Finding", "IndexFacts", "Level", "Maintenance", "Migration", "StoreFacts"]

T = TypeVar("T")


class Maintenance:
    """One connection to a database in any state: without the tables, without the extension, of another version.

    Opening it changes nothing in the database. A context manager that closes itself. Raises ConnectionFailed where
    the server cannot be reached.
    """

    def __init__(self, config: PostgreSQLConfig) -> None:
        self.config = config
        server = None if config.embedded_server is None else EmbeddedServer(config.embedded_server.path)
        self._closing = weakref.finalize(self, _release, opened := [], server)
        try:
            conninfo = config.conninfo if server is None else config.complete(server.acquire())
            self._connection = connect(config, conninfo)
            opened.append(self._connection)
        except BaseException:
            self._closing()
            raise

    def database(self) -> Database:
        """Return what the catalogs say of the server, of pgvector and of the schema."""
        return self._run(_migrate.database(self.config))

    def pending(self) -> Sequence[Migration]:
        """Return the migrations that the schema lacks, oldest first."""
        return self._run(_migrate.pending(self.database()))

    def migrate(self) -> Sequence[Migration]:
        """Create or upgrade the schema, and return the migrations that were applied."""
        with self._connection.transaction():
            done = self._run(_migrate.apply(self.config))
        # Says so where the schema is another than the configuration asks for.
        self._run(_migrate.opened(self.config))
        return done

    def examine(self) -> tuple[Facts, list[Finding]]:
        """Return what there is to know of the database, and what of it needs attention, the worst first."""
        facts = self._run(_doctor.examine(self.config, self._connection.info.backend_pid))
        return facts, judge(facts, self.config)

    def measure(self) -> tuple[list[StoreFacts], list[IndexFacts]]:
        """Return how much each store and each of its indexes holds."""
        return self._run(_doctor.measure(self.database()))

    def close(self) -> None:
        """Close the connection. Twice is fine."""
        self._closing()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, operation: Operation[T]) -> T:
        return drive(operation, self._perform)

    def _perform(self, step: Step) -> Any:
        with translating(self.config.where):
            return perform(self._connection, cast(Statement, step))


def _release(opened: list[Any], server: EmbeddedServer | None) -> None:
    for connection in opened:
        connection.close()
    if server is not None:
        server.release()
