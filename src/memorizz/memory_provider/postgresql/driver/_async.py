"""The driver of the async API: performs steps on connections, opens them, and keeps the pool."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

import psycopg
from psycopg.abc import PQGen
from psycopg.adapt import AdaptersMap
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import tuple_row
from psycopg_pool import AsyncConnectionPool

from memorizz.errors import DatabaseError, MemorizzError, OperationTimeout, SchemaError
from memorizz.memory_provider._drive._async import drive, repeated
from memorizz.memory_provider.postgresql import migrations
from memorizz.memory_provider.postgresql._errors import (
    DriverError,
    NoneFree,
    Unreadable,
    failed_to_connect,
    is_in_use,
    is_overdue,
    is_starting_up,
    translating,
)
from memorizz.memory_provider.postgresql._steps import Batch, CopyOut, Query, Statement, Step, T
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.driver._pooling_async import find_server, find_server_for_pool, pooled
from memorizz.memory_provider.postgresql.driver._shared import (
    CANCEL_SECONDS,
    IN_USE_PAUSE,
    IN_USE_SECONDS,
    POOL,
    Attempts,
    Rows,
    check_encoding,
    hang_up,
    is_alive,
    last_words,
    log,
    logger,
    numbered,
    sent,
    without_timeout,
)
from memorizz.memory_provider.postgresql.driver._wire import ADAPTERS, read_again
from memorizz.memory_provider.postgresql.facts import Facts, Maker

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

AnyConnection = psycopg.AsyncConnection[Any]


class AsyncConnection(psycopg.AsyncConnection[tuple[Any, ...]]):
    """A connection that gives up, and closes, when the server does not answer in time."""

    operation_timeout: float | None = None
    # To a replica: until when that is taken to be fit, and how far it has replayed the log.
    fit_until: float = 0.0
    replayed: int = 0

    async def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return await super().wait(gen, interval, self.operation_timeout if timeout is None else timeout)
        except DriverError as error:
            await _give_up(self, error)
            raise


async def _give_up(connection: AnyConnection, error: DriverError) -> None:
    """Close a connection whose server did not answer in time."""
    if is_overdue(error):
        # What the server goes on with would be done although it was given up.
        with suppress(DriverError):
            await connection.cancel_safe(timeout=CANCEL_SECONDS)
        hang_up(connection)


@contextmanager
def with_operation_timeout(connection: AnyConnection, seconds: float | None) -> Generator[None]:
    """Have a connection out of the caller's pool give up as ours do, for as long as it is lent."""
    wait_of_class = connection.wait

    async def wait(gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return await wait_of_class(gen, interval, seconds if timeout is None else timeout)
        except DriverError as error:
            await _give_up(connection, error)
            raise

    # Hides the method of its class, until it is deleted.
    connection.wait = wait
    try:
        yield
    finally:
        del connection.wait


# --- steps --------------------------------------------------------------------------------------------------------


class AsyncCursor(psycopg.AsyncCursor[tuple[Any, ...]]):
    """A cursor that sends and reads values in one way, on connections of any kind, and keeps what went wrong."""

    failure: DriverError | None = None

    def __init__(self, connection: AnyConnection) -> None:
        super().__init__(connection, row_factory=tuple_row)

    def _check_results(self, results: list[PGresult]) -> None:
        try:
            super()._check_results(results)
        except DriverError as error:
            self.failure = error
            raise

    @property
    def adapters(self) -> AdaptersMap:
        return ADAPTERS


class AsyncNumberedCursor(AsyncCursor, psycopg.AsyncRawCursor[tuple[Any, ...]]):
    """The same for a statement whose placeholders are numbers."""


async def perform(connection: AnyConnection, step: Statement) -> Any:
    """Perform one step on a connection; raises the driver's errors."""
    started = time.perf_counter()
    result: Any = None
    if isinstance(step, Query):
        result = await _rows(await _execute(connection, step))
    elif isinstance(step, Batch):
        result = [await _rows(cursor) for cursor in await _execute_together(connection, step)]
    elif isinstance(step, CopyOut):
        async with AsyncCursor(connection).copy(step.sql) as copy:
            result = b"".join([bytes(each) async for each in copy])
    else:
        # Several statements cannot be prepared as one.
        await AsyncCursor(connection).execute(step.sql, prepare=False)
    if logger.isEnabledFor(logging.DEBUG):
        log(step, started, result)
    return result


async def _execute(connection: AnyConnection, query: Query) -> AsyncCursor:
    # Not prepared is planned for its values; None leaves it to the connection's prepare_threshold.
    prepare = False if query.custom_plan else None
    if (known := numbered(query.sql)) is None:
        return await AsyncCursor(connection).execute(query.sql, query.parameters, prepare=prepare, binary=True)
    statement, names = known
    values = [query.parameters[name] for name in names]
    return await AsyncNumberedCursor(connection).execute(statement, values, prepare=prepare, binary=True)


async def _execute_together(connection: AnyConnection, batch: Batch) -> list[AsyncCursor]:
    """Execute queries in one round trip, and in one transaction of its own where none is open."""
    cursors: list[AsyncCursor] = []
    failure: DriverError | None = None
    # A pipeline is a transaction by itself, and to Citus it is none.
    begins = batch.begins and connection.autocommit and connection.info.transaction_status == TransactionStatus.IDLE
    try:
        async with connection.pipeline():
            try:
                if begins:
                    await AsyncCursor(connection).execute(b"BEGIN", prepare=False)
                for query in batch.queries:
                    cursors.append(await _execute(connection, query))
                if begins:
                    await AsyncCursor(connection).execute(b"COMMIT", prepare=False)
                if batch.meanwhile is not None:
                    await connection.wait(sent(connection))
                    batch.meanwhile()
            except DriverError as error:
                # The driver would warn in its log that the pipeline has ended with an error, too.
                failure = error
    except DriverError as error:
        failure = failure or error
    if failure is None:
        return cursors
    # The driver takes statements behind the one that failed for prepared, which the server has passed over, until
    # a rollback; where a transaction is open, that is to come.
    if begins:
        with suppress(DriverError):
            await connection.rollback()
    elif connection.info.transaction_status == TransactionStatus.IDLE:
        with suppress(DriverError):
            async with connection.transaction(force_rollback=True):
                pass
    raise last_words(failure, cursors) from None


async def _rows(cursor: AsyncCursor) -> Rows:
    # The cursor's description would describe every column.
    if cursor.pgresult is None or cursor.pgresult.nfields == 0:
        return []
    try:
        return await cursor.fetchall()
    except Unreadable:
        return read_again(cursor.pgresult)


# --- connections --------------------------------------------------------------------------------------------------


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


async def open_facts(config: PostgreSQLConfig, connection: AnyConnection, models: Mapping[str, Maker]) -> Facts:
    """Return the facts of a schema, made or upgraded first where that is due and allowed; `models` as in `opened`."""

    async def perform_here(step: Step) -> Any:
        with translating(config.where):
            return await perform(connection, cast(Statement, step))

    async def upgrade() -> Any:
        # A connection without autocommit is in a transaction by now, and migrating says how isolated its own is.
        await connection.commit()
        with without_timeout(connection):
            async with connection.transaction():
                return await drive(migrations.apply(config, models), perform_here)

    facts = await drive(migrations.opened(config, models), perform_here)
    while facts is None:
        for each in await when_free(upgrade):
            logger.info("applied migration %d (%s)", each.version, each.name, extra={"migration": each.version})
        facts = await drive(migrations.opened(config, models), perform_here)
    if await note_cosines(config, connection, facts):
        facts = await drive(migrations.known(config, facts.layout, models), perform_here)
    config.announce(facts.layout.schema)
    return facts


async def note_cosines(config: PostgreSQLConfig, connection: AnyConnection, facts: Facts) -> bool:
    """Measure how far apart the vectors of the stores lie, where that is due and can be done at once."""

    async def perform_here(step: Step) -> Any:
        return await perform(connection, cast(Statement, step))

    stores = migrations.unmeasured(facts)
    # Citus takes no sample of several shards.
    if not stores or facts.layout.distributed:
        return False
    # What was done before is kept whatever becomes of this.
    await connection.commit()
    try:
        with translating(config.where):
            async with connection.transaction():
                return await drive(migrations.note_cosines(stores), perform_here)
    except (DatabaseError, OperationTimeout, SchemaError) as error:
        # A store that is in use, or that this user may not read: it works all the same, and is measured another time.
        logger.debug("how far apart the vectors lie is not measured: %s", error)
        return False


async def when_free(change: Callable[[], Awaitable[T]]) -> T:
    """Change a schema in one transaction that waits for no lock for long: again until its stores are free.

    Raises OperationTimeout where they are in use all the time.
    """
    try:
        return await repeated(change, is_in_use, logger, IN_USE_SECONDS, IN_USE_PAUSE)
    except MemorizzError as error:
        if not is_in_use(error):
            raise
        raise OperationTimeout(
            f"{error}; the stores were in use all the time, and nothing was changed: try again"
        ) from error


class AsyncPool(AsyncConnectionPool[AsyncConnection]):
    """The pool of a provider, which looks for its server whenever it connects."""

    def __init__(self, config: PostgreSQLConfig, server: EmbeddedServer | None) -> None:
        self.attempts = attempts = Attempts()

        async def conninfo() -> str:
            attempts.note(answered=False)
            return await find_server_for_pool(config, server)

        async def configure(connection: AsyncConnection) -> None:
            attempts.note(answered=True)
            connection.operation_timeout = config.operation_timeout

        super().__init__(
            conninfo,
            name=POOL,
            connection_class=pooled(AsyncConnection),
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
async def checkout(
    pool: AsyncPool, config: PostgreSQLConfig, server: EmbeddedServer | None
) -> AsyncGenerator[AnyConnection]:
    """Lend a connection of our own pool: one that commits by itself, so that nothing is left to be done at the end.

    One on which the server has hung up makes way for the next. Raises ConnectionFailed where none is free because the
    server cannot be reached.
    """
    asked_again = False
    while True:
        try:
            connection = await pool.getconn()
        except NoneFree:
            if not pool.attempts.unanswered or asked_again:
                raise
            # Says why, as the pool does not.
            connection = await connect(config, await find_server(config, server))
            await connection.close()
            # The server is back, and the pool had given up while we waited: it connects for the next who waits.
            asked_again = True
            continue
        try:
            if is_alive(connection):
                yield connection
                return
            hang_up(connection)
        finally:
            await pool.putconn(connection)


@asynccontextmanager
async def checkout_given(pool: AsyncConnectionPool[Any], config: PostgreSQLConfig) -> AsyncGenerator[AnyConnection]:
    """Lend a connection of the caller's pool, as it is lent to anybody else; none on which the server has hung up.

    Raises ConfigurationError for one that is not in UTF-8.
    """
    while True:
        async with pool.connection() as connection:
            if is_alive(connection):
                check_encoding(connection)
                with with_operation_timeout(connection, config.operation_timeout):
                    yield connection
                return
            hang_up(connection)
