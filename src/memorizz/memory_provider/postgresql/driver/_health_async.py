"""Whether calls can be made on a pool of the async API, found out within a time."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import psycopg
from psycopg.abc import PQGen
from psycopg_pool import AsyncConnectionPool

from memorizz.errors import ConnectionFailed, MemorizzError, OperationTimeout, PoolTimeout
from memorizz.memory_provider._drive import described
from memorizz.memory_provider._drive._async import drive
from memorizz.memory_provider.options import Health
from memorizz.memory_provider.postgresql import migrations
from memorizz.memory_provider.postgresql._errors import DriverError, NoneFree, is_overdue, translated
from memorizz.memory_provider.postgresql._steps import Statement, Step
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.driver._async import AnyConnection, perform
from memorizz.memory_provider.postgresql.driver._shared import hang_up, is_alive, state_of


async def look(pool: AsyncConnectionPool[Any], config: PostgreSQLConfig, seconds: float, started: float) -> Health:
    """Return whether calls can be made on a pool, within so many seconds of a time."""
    # Without the connection that it takes itself.
    state = state_of(pool)
    server: str | None = None
    pending: int | None = None
    error: str | None = None
    try:
        async with _lent(pool, started + seconds) as connection:

            async def perform_here(step: Step) -> Any:
                return await perform(connection, cast(Statement, step))

            found = await drive(migrations.database(config), perform_here)
            server = found.server
            migrations.check_versions(found)
            pending = len(await drive(migrations.pending(found), perform_here))
            migrations.check_none_pending(found, pending)
    except NoneFree:
        # Ours knows whether it has lately asked in vain; of another nobody does.
        unanswered = getattr(getattr(pool, "attempts", None), "unanswered", False)
        said = "the server was not reached" if unanswered else "all connections were in use"
        kind = ConnectionFailed if unanswered else PoolTimeout
        error = described(kind(f"{said} for {seconds:g} s: {config.where}"))
    except DriverError as failed:
        overdue = OperationTimeout(f"no answer within {seconds:g} s from {config.where}")
        error = described(overdue if is_overdue(failed) else translated(failed, config.where))
    except MemorizzError as failed:
        error = described(failed)
    return Health(error, time.monotonic() - started, server, pending, state)


@asynccontextmanager
async def _lent(pool: AsyncConnectionPool[Any], until: float) -> AsyncGenerator[AnyConnection]:
    """Lend a connection on which the server has not hung up, whose calls end at a time."""
    while True:
        async with pool.connection(timeout=_left(until)) as connection:
            if is_alive(connection):
                with _ending(connection, until):
                    yield connection
                    # Nothing is left for the pool to end, which would wait for it.
                    await connection.rollback()
                return
            hang_up(connection)


@contextmanager
def _ending(connection: AnyConnection, until: float) -> Generator[None]:
    """Have a connection give up at a time, and at once: nothing is under way that would have to be cancelled."""

    async def wait(gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return await psycopg.AsyncConnection.wait(connection, gen, interval, _left(until))
        except DriverError as error:
            if is_overdue(error):
                hang_up(connection)
            raise

    # Hides the method of its class, until it is deleted.
    connection.wait = wait
    try:
        yield
    finally:
        del connection.wait


def _left(until: float) -> float:
    return max(until - time.monotonic(), 0.001)
