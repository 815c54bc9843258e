"""The driver of the async face: performs steps on connections, opens them, and keeps the pool."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, cast

import psycopg
from psycopg.abc import PQGen
from psycopg.rows import tuple_row
from psycopg_pool import AsyncConnectionPool

from memorizz.memory_provider._drive import drive_awaiting as drive
from memorizz.memory_provider.postgresql import _migrate as migrate
from memorizz.memory_provider.postgresql._driver_shared import (
    CANCEL_SECONDS,
    JsonbLoader,
    Rows,
    brings_rows,
    cannot_connect,
    find_server,
    hang_up,
    is_alive,
    log,
    logger,
    prepare,
    without_timeout,
)
from memorizz.memory_provider.postgresql._errors import (
    DriverError,
    NoneFree,
    failed_to_connect,
    is_overdue,
    is_starting_up,
    translating,
)
from memorizz.memory_provider.postgresql._steps import Batch, Copy, Query, Statement, Step
from memorizz.memory_provider.postgresql._stores import Schema
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer


class AsyncConnection(psycopg.AsyncConnection[tuple[Any, ...]]):
    """A connection that gives up, and closes, when the server does not answer in time."""

    operation_timeout: float | None = None

    async def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return await super().wait(gen, interval, self.operation_timeout if timeout is None else timeout)
        except DriverError as error:
            await _give_up(self, error)
            raise


class _PooledConnection(AsyncConnection):
    """A connection whose making can be cancelled: the pool's worker takes that for a failure, and would live on."""

    @classmethod
    async def connect(cls, *args: Any, **kwargs: Any) -> Any:
        with _cancelled_for_good():
            return await super().connect(*args, **kwargs)


AnyConnection = psycopg.AsyncConnection[Any]


@contextmanager
def _cancelled_for_good() -> Generator[None]:
    """Have a task that is cancelled in here be cancelled wherever it waits next, although the first is swallowed."""
    try:
        yield
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None:
            task.cancel()
        raise


async def _give_up(connection: AnyConnection, error: DriverError) -> None:
    """Close a connection whose server did not answer in time."""
    if is_overdue(error):
        # What the server goes on with would be done although it was given up.
        with suppress(DriverError):
            await connection.cancel_safe(timeout=CANCEL_SECONDS)
        hang_up(connection)


@contextmanager
def timed(connection: AnyConnection, seconds: float | None) -> Generator[None]:
    """Have a connection out of the caller's pool give up as ours do, for as long as it is lent."""
    plain = connection.wait

    async def wait(gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return await plain(gen, interval, seconds if timeout is None else timeout)
        except DriverError as error:
            await _give_up(connection, error)
            raise

    connection.wait = wait
    try:
        yield
    finally:
        del connection.wait


async def perform(connection: AnyConnection, step: Statement) -> Any:
    """Perform one step on a connection; raises the driver's errors."""
    started = time.perf_counter()
    if isinstance(step, Query):
        brought: Any = await _rows(await _execute(connection, step))
    elif isinstance(step, Batch):
        # A pipeline is one round trip, and one transaction of its own where none is open.
        async with connection.pipeline():
            cursors = [await _execute(connection, query) for query in step.queries]
        brought = [await _rows(cursor) for cursor in cursors]
    elif isinstance(step, Copy):
        async with connection.cursor().copy(step.sql) as copy:
            copy.set_types(step.types)
            for row in step.rows:
                await copy.write_row(row)
        brought = None
    else:
        brought = await connection.execute(step.sql) and None
    log(step, started, brought)
    return brought


async def _execute(connection: AnyConnection, query: Query) -> psycopg.AsyncCursor[tuple[Any, ...]]:
    cursor = connection.cursor(binary=True, row_factory=tuple_row)
    # Not prepared is planned for its values; None leaves it to the connection's prepare_threshold.
    return await cursor.execute(query.sql, query.parameters, prepare=False if query.custom_plan else None)


async def _rows(cursor: psycopg.AsyncCursor[tuple[Any, ...]]) -> Rows:
    return await cursor.fetchall() if brings_rows(cursor) else []


async def connect(config: PostgreSQLConfig, conninfo: str) -> AsyncConnection:
    """Connect once; a server that is starting up is waited for, within connect_timeout."""
    give_up = time.monotonic() + config.connect_timeout
    while True:
        try:
            connection = await AsyncConnection.connect(
                conninfo, autocommit=True, prepare_threshold=config.prepare_threshold
            )
        except DriverError as error:
            if not is_starting_up(error) or time.monotonic() > give_up:
                raise failed_to_connect(error, config.where, config.database) from error
        else:
            connection.operation_timeout = config.operation_timeout
            return connection
        await asyncio.sleep(0.1)


async def open_schema(config: PostgreSQLConfig, connection: AnyConnection, models: Mapping[str, int]) -> Schema:
    """Return the schema, made or upgraded first where that is due and allowed; `models` as in _migrate.opened."""

    async def perform_here(step: Step) -> Any:
        with translating(config.where):
            return await perform(connection, cast(Statement, step))

    schema = await drive(migrate.opened(config, models), perform_here)
    while schema is None:
        with without_timeout(connection):
            async with connection.transaction():
                done = await drive(migrate.apply(config), perform_here)
        for migration in done:
            logger.info("applied migration %d (%s)", migration.version, migration.name)
        schema = await drive(migrate.opened(config, models), perform_here)
    return schema


def make_pool(config: PostgreSQLConfig, server: EmbeddedServer | None) -> AsyncConnectionPool[AsyncConnection]:
    """Return a pool, yet to be opened, which looks for its server whenever it connects."""

    async def conninfo() -> str:
        with _cancelled_for_good():
            return await asyncio.to_thread(find_server, config, server)

    async def configure(connection: AsyncConnection) -> None:
        connection.operation_timeout = config.operation_timeout
        connection.adapters.register_loader("jsonb", JsonbLoader)

    return AsyncConnectionPool(
        conninfo,
        connection_class=_PooledConnection,
        kwargs={"autocommit": True, "prepare_threshold": config.prepare_threshold},
        configure=configure,
        min_size=config.min_size,
        max_size=config.max_size,
        timeout=config.pool_timeout,
        # Then the pauses between its attempts begin anew, with the next caller.
        reconnect_timeout=config.pool_timeout,
        open=False,
    )


@asynccontextmanager
async def lend(
    pool: AsyncConnectionPool[Any], config: PostgreSQLConfig, server: EmbeddedServer | None
) -> AsyncGenerator[AnyConnection]:
    """Lend a connection of our own pool: one that commits by itself, so that nothing is left to be done at the end.

    One on which the server has hung up makes way for the next.
    """
    while True:
        try:
            connection = await pool.getconn()
        except NoneFree:
            if cannot_connect(config, pool.get_stats()):
                await (await connect(config, await asyncio.to_thread(find_server, config, server))).close()
            raise
        try:
            if is_alive(connection):
                yield connection
                return
            hang_up(connection)
        finally:
            await pool.putconn(connection)


@asynccontextmanager
async def lend_given(pool: AsyncConnectionPool[Any], config: PostgreSQLConfig) -> AsyncGenerator[AnyConnection]:
    """Lend a connection of the caller's pool, as it is lent to anybody else; none on which the server has hung up."""
    while True:
        async with pool.connection() as connection:
            if is_alive(connection):
                prepare(connection)
                with timed(connection, config.operation_timeout):
                    yield connection
                return
            hang_up(connection)
