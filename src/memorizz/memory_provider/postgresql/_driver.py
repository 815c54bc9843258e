"""The driver of the blocking face: performs steps on connections, opens them, and keeps the pool."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, cast

import psycopg
from psycopg.abc import PQGen
from psycopg.rows import tuple_row
from psycopg_pool import ConnectionPool

from memorizz.memory_provider._drive import drive
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


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that gives up, and closes, when the server does not answer in time."""

    operation_timeout: float | None = None

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, self.operation_timeout if timeout is None else timeout)
        except DriverError as error:
            _give_up(self, error)
            raise


AnyConnection = psycopg.Connection[Any]


def _give_up(connection: AnyConnection, error: DriverError) -> None:
    """Close a connection whose server did not answer in time."""
    if is_overdue(error):
        # What the server goes on with would be done although it was given up.
        with suppress(DriverError):
            connection.cancel_safe(timeout=CANCEL_SECONDS)
        hang_up(connection)


@contextmanager
def timed(connection: AnyConnection, seconds: float | None) -> Generator[None]:
    """Have a connection out of the caller's pool give up as ours do, for as long as it is lent."""
    plain = connection.wait

    def wait(gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return plain(gen, interval, seconds if timeout is None else timeout)
        except DriverError as error:
            _give_up(connection, error)
            raise

    connection.wait = wait
    try:
        yield
    finally:
        del connection.wait


def perform(connection: AnyConnection, step: Statement) -> Any:
    """Perform one step on a connection; raises the driver's errors."""
    started = time.perf_counter()
    if isinstance(step, Query):
        brought: Any = _rows(_execute(connection, step))
    elif isinstance(step, Batch):
        # A pipeline is one round trip, and one transaction of its own where none is open.
        with connection.pipeline():
            cursors = [_execute(connection, query) for query in step.queries]
        brought = [_rows(cursor) for cursor in cursors]
    elif isinstance(step, Copy):
        with connection.cursor().copy(step.sql) as copy:
            copy.set_types(step.types)
            for row in step.rows:
                copy.write_row(row)
        brought = None
    else:
        brought = connection.execute(step.sql) and None
    log(step, started, brought)
    return brought


def _execute(connection: AnyConnection, query: Query) -> psycopg.Cursor[tuple[Any, ...]]:
    cursor = connection.cursor(binary=True, row_factory=tuple_row)
    # Not prepared is planned for its values; None leaves it to the connection's prepare_threshold.
    return cursor.execute(query.sql, query.parameters, prepare=False if query.custom_plan else None)


def _rows(cursor: psycopg.Cursor[tuple[Any, ...]]) -> Rows:
    return cursor.fetchall() if brings_rows(cursor) else []


def connect(config: PostgreSQLConfig, conninfo: str) -> Connection:
    """Connect once; a server that is starting up is waited for, within connect_timeout."""
    give_up = time.monotonic() + config.connect_timeout
    while True:
        try:
            connection = Connection.connect(conninfo, autocommit=True, prepare_threshold=config.prepare_threshold)
        except DriverError as error:
            if not is_starting_up(error) or time.monotonic() > give_up:
                raise failed_to_connect(error, config.where, config.database) from error
        else:
            connection.operation_timeout = config.operation_timeout
            return connection
        time.sleep(0.1)


def open_schema(config: PostgreSQLConfig, connection: AnyConnection, models: Mapping[str, int]) -> Schema:
    """Return the schema, made or upgraded first where that is due and allowed; `models` as in _migrate.opened."""

    def perform_here(step: Step) -> Any:
        with translating(config.where):
            return perform(connection, cast(Statement, step))

    schema = drive(migrate.opened(config, models), perform_here)
    while schema is None:
        with without_timeout(connection), connection.transaction():
            done = drive(migrate.apply(config), perform_here)
        for migration in done:
            logger.info("applied migration %d (%s)", migration.version, migration.name)
        schema = drive(migrate.opened(config, models), perform_here)
    return schema


def make_pool(config: PostgreSQLConfig, server: EmbeddedServer | None) -> ConnectionPool[Connection]:
    """Return an open pool, which looks for its server whenever it connects."""

    def configure(connection: Connection) -> None:
        connection.operation_timeout = config.operation_timeout
        connection.adapters.register_loader("jsonb", JsonbLoader)

    return ConnectionPool(
        partial(find_server, config, server),
        connection_class=Connection,
        kwargs={"autocommit": True, "prepare_threshold": config.prepare_threshold},
        configure=configure,
        min_size=config.min_size,
        max_size=config.max_size,
        timeout=config.pool_timeout,
        # Then the pauses between its attempts begin anew, with the next caller.
        reconnect_timeout=config.pool_timeout,
        open=True,
    )


@contextmanager
def lend(
    pool: ConnectionPool[Any], config: PostgreSQLConfig, server: EmbeddedServer | None
) -> Generator[AnyConnection]:
    """Lend a connection of our own pool: one that commits by itself, so that nothing is left to be done at the end.

    One on which the server has hung up makes way for the next.
    """
    while True:
        try:
            connection = pool.getconn()
        except NoneFree:
            if cannot_connect(config, pool.get_stats()):
                connect(config, find_server(config, server)).close()
            raise
        try:
            if is_alive(connection):
                yield connection
                return
            hang_up(connection)
        finally:
            pool.putconn(connection)


@contextmanager
def lend_given(pool: ConnectionPool[Any], config: PostgreSQLConfig) -> Generator[AnyConnection]:
    """Lend a connection of the caller's pool, as it is lent to anybody else; none on which the server has hung up."""
    while True:
        with pool.connection() as connection:
            if is_alive(connection):
                prepare(connection)
                with timed(connection, config.operation_timeout):
                    yield connection
                return
            hang_up(connection)
