"""The blocking face: a pool, a driver, one line per method."""

from __future__ import annotations

import time
import weakref
from abc import abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, cast

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row
from psycopg_pool import ConnectionPool

from memorizz.errors import DatabaseError, MemorizzError, ProviderClosed
from memorizz.memory_provider.base import Document, Filter, Hits, MemoryOperations, MemoryProvider, Ranking, StoreName
from memorizz.memory_provider.postgresql import _migrate as migrate
from memorizz.memory_provider.postgresql import _operations as operations
from memorizz.memory_provider.postgresql._drivers import (
    CANCEL_SECONDS,
    FIRST_PAUSE,
    RETRY_SECONDS,
    Rows,
    VectorDumper,
    is_alive,
    log,
    logger,
)
from memorizz.memory_provider.postgresql._errors import (
    DriverError,
    failed_to_connect,
    is_overdue,
    is_starting_up,
    may_repeat,
    translated,
    translating,
    was_rolled_back,
)
from memorizz.memory_provider.postgresql._steps import Batch, Operation, Query, Step
from memorizz.memory_provider.postgresql._stores import Schema, Vector
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

P = ParamSpec("P")
T = TypeVar("T")


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that gives up, and closes, when the server does not answer in time."""

    operation_timeout: float | None = None

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, self.operation_timeout if timeout is None else timeout)
        except DriverError as error:
            if is_overdue(error):
                # What the server goes on with would be done although it was given up.
                with suppress(DriverError):
                    self.cancel_safe(timeout=CANCEL_SECONDS)
                self.close()
            raise


AnyConnection = psycopg.Connection[Any]


def drive(operation: Operation[T], perform: Callable[[Step], Any]) -> T:
    """Run an operation: perform its steps, give it what they brought or the error that they met."""
    try:
        step = next(operation)
        while True:
            try:
                brought = perform(step)
            except MemorizzError as error:
                step = operation.throw(error)
            else:
                step = operation.send(brought)
    except StopIteration as done:
        return cast(T, done.value)


def perform(connection: AnyConnection, step: Step) -> Any:
    """Perform one step on a connection; raises the driver's errors."""
    connection.adapters.register_dumper(Vector, VectorDumper)
    started = time.perf_counter()
    if isinstance(step, Query):
        brought: Any = _rows(_execute(connection, step))
    elif isinstance(step, Batch):
        # A pipeline is one round trip, and one transaction of its own where none is open.
        with connection.pipeline():
            cursors = [_execute(connection, query) for query in step.queries]
        brought = [_rows(cursor) for cursor in cursors]
    else:
        brought = connection.execute(step.sql) and None
    log(step, started, brought)
    return brought


def _execute(connection: AnyConnection, query: Query) -> psycopg.Cursor[tuple[Any, ...]]:
    cursor = connection.cursor(binary=True, row_factory=tuple_row)
    # Not prepared is planned for its values; None leaves it to the connection's prepare_threshold.
    return cursor.execute(query.sql, query.parameters, prepare=False if query.custom_plan else None)


def _rows(cursor: psycopg.Cursor[tuple[Any, ...]]) -> Rows:
    return cursor.fetchall() if cursor.description is not None else []


class _Methods(MemoryOperations):
    """Every method, once: for the provider and for its transaction."""

    @abstractmethod
    def run(self, operation: Callable[Concatenate[Schema, P], Operation[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an operation; each of its steps is a transaction of its own unless one is open."""

    @abstractmethod
    def run_whole(
        self, operation: Callable[Concatenate[Schema, P], Operation[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run an operation in one transaction."""

    def store(self, data: Mapping[str, Any], memory_store_type: StoreName) -> str:
        return self.run(operations.store, data, memory_store_type)

    def store_many(self, documents: Iterable[Mapping[str, Any]], memory_store_type: StoreName) -> list[str]:
        return self.run_whole(operations.store_many, documents, memory_store_type)

    def retrieve_by_id(
        self, id: Any, memory_store_type: StoreName, *, include_embedding: bool = False
    ) -> Document | None:
        return self.run(operations.retrieve_by_id, id, memory_store_type, include_embedding=include_embedding)

    def retrieve_by_name(
        self, name: str, memory_store_type: StoreName, *, include_embedding: bool = False
    ) -> Document | None:
        return self.run(operations.retrieve_by_name, name, memory_store_type, include_embedding=include_embedding)

    def retrieve_by_query(
        self,
        query: Filter | str,
        memory_store_type: StoreName,
        limit: int = 1,
        *,
        include_embedding: bool = False,
        exact: bool = False,
        ef_search: int | None = None,
        ranking: Ranking | None = None,
        min_score: float | None = None,
        context: int = 0,
        touch: bool = False,
        explain: bool | Literal["plan"] = False,
    ) -> Hits:
        return self.run(
            operations.retrieve_by_query,
            query,
            memory_store_type,
            limit,
            include_embedding=include_embedding,
            exact=exact,
            ef_search=ef_search,
            ranking=ranking,
            min_score=min_score,
            context=context,
            touch=touch,
            explain=explain,
        )

    def update_by_id(self, id: Any, data: Mapping[str, Any], memory_store_type: StoreName) -> bool:
        return self.run(operations.update_by_id, id, data, memory_store_type)

    def delete_by_id(self, id: Any, memory_store_type: StoreName) -> bool:
        return self.run(operations.delete_by_id, id, memory_store_type)

    def delete_by_name(self, name: str, memory_store_type: StoreName) -> bool:
        return self.run(operations.delete_by_name, name, memory_store_type)

    def delete_all(self, memory_store_type: StoreName) -> bool:
        return self.run(operations.delete_all, memory_store_type)

    def list_all(self, memory_store_type: StoreName, *, include_embedding: bool = False) -> list[Document]:
        return self.run(operations.list_all, memory_store_type, include_embedding=include_embedding)

    def count(self, memory_store_type: StoreName, filter: Filter | None = None) -> int:
        return self.run(operations.count, memory_store_type, filter)

    def retrieve_conversation_history_ordered_by_timestamp(
        self,
        memory_id: str,
        limit: int | None = None,
        before: str | datetime | None = None,
        *,
        include_embedding: bool = False,
    ) -> list[Document]:
        return self.run(
            operations.retrieve_conversation_history_ordered_by_timestamp,
            memory_id,
            limit,
            before,
            include_embedding=include_embedding,
        )

    def store_memagent(self, agent: Any) -> str:
        return self.run(operations.store_memagent, agent)

    def update_memagent(self, agent: Any) -> bool:
        return self.run(operations.update_memagent, agent)

    def retrieve_memagent(self, id: Any) -> Document | None:
        return self.run(operations.retrieve_memagent, id)

    def list_memagents(self) -> list[Document]:
        return self.run(operations.list_memagents)

    def update_memagent_memory_ids(self, id: Any, memory_ids: Sequence[str]) -> bool:
        return self.run(operations.update_memagent_memory_ids, id, memory_ids)

    def delete_memagent_memory_ids(self, id: Any) -> bool:
        return self.run(operations.delete_memagent_memory_ids, id)

    def delete_memagent(self, id: Any, cascade: bool = False) -> bool:
        return self.run(operations.delete_memagent, id, cascade)

    def retrieve_memory_components_by_query(
        self,
        query: str | None = None,
        query_embedding: Any = None,
        memory_id: str | None = None,
        memory_type: StoreName | None = None,
        limit: int = 5,
    ) -> list[Document]:
        return self.run(
            operations.retrieve_memory_components_by_query, query, query_embedding, memory_id, memory_type, limit
        )

    def purge_expired(self, memory_store_type: StoreName | None = None) -> int:
        return self.run(operations.purge_expired, memory_store_type)

    def iterate(
        self,
        memory_store_type: StoreName,
        filter: Filter | None = None,
        batch_size: int = 1000,
        *,
        include_embedding: bool = False,
    ) -> Iterator[Document]:
        place: operations.Place | None = operations.BEGINNING
        while place is not None:
            documents, place = self.run(
                operations.page, memory_store_type, filter, batch_size, include_embedding, place
            )
            yield from documents


class Transaction(_Methods):
    """The methods of a provider inside one transaction over all stores: all or nothing."""

    def __init__(self, schema: Schema, connection: AnyConnection, where: str) -> None:
        self._schema = schema
        self._connection = connection
        self._where = where
        self.over = False

    def run(self, operation: Callable[Concatenate[Schema, P], Operation[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self.over:
            raise ProviderClosed("the transaction is over: start another one")
        return drive(operation(self._schema, *args, **kwargs), self._perform)

    run_whole = run

    def _perform(self, step: Step) -> Any:
        with translating(self._where):
            return perform(self._connection, step)


class PostgreSQLProvider(_Methods, MemoryProvider):
    """Keep memories in PostgreSQL with pgvector.

    Opens at once: connects, and creates or upgrades the tables unless `auto_migrate=False`. Without a config it takes
    PostgreSQLConfig.auto(). Safe to use from several threads. A `pool` given is used, and left open by close().

    Raises ConnectionFailed where the server cannot be reached, SchemaError where the database lacks something,
    ConfigurationError where the vectors of the schema have another length.
    """

    def __init__(self, config: PostgreSQLConfig | None = None, *, pool: ConnectionPool[Any] | None = None) -> None:
        self.config = config if config is not None else PostgreSQLConfig.auto()
        server = None
        if pool is None and self.config.embedded_server is not None:
            server = EmbeddedServer(self.config.embedded_server.path)
        self._closing = weakref.finalize(self, _release, own := [], server)
        try:
            if pool is None:
                conninfo = self.config.complete(server.acquire()) if server is not None else self.config.conninfo
                with connect(self.config, conninfo) as connection:
                    self._schema = open_schema(self.config, connection)
                own.append(pool := _pool(self.config, conninfo))
            else:
                with translating(self.config.where), pool.connection() as connection:
                    self._schema = open_schema(self.config, connection)
        except BaseException:
            self._closing()
            raise
        self._pool = pool

    def close(self) -> None:
        self._closing()

    @contextmanager
    def transaction(self) -> Generator[Transaction]:
        """Open a block whose operations, in all stores, happen together or not at all.

        An exception rolls everything back and leaves the block as it was raised. An operation that failed in the
        server has broken the transaction: where its error was caught in the block, the end of the block raises
        DatabaseError, for nothing was kept.
        """
        of_caller: BaseException | None = None
        try:
            with self._connection() as connection, connection.transaction():
                transaction = Transaction(self._schema, connection, self.config.where)
                try:
                    yield transaction
                except BaseException as error:
                    of_caller = error
                    raise
                finally:
                    transaction.over = True
                if connection.info.transaction_status == TransactionStatus.INERROR:
                    raise DatabaseError("nothing of the transaction was kept: an operation in it had failed")
        except DriverError as error:
            if error is of_caller:
                raise
            raise translated(error, self.config.where) from error

    @contextmanager
    def _connection(self) -> Generator[AnyConnection]:
        """Lend a connection of the pool; one on which the server has hung up makes way for the next."""
        while True:
            self._check_open()
            with self._pool.connection() as connection:
                if is_alive(connection):
                    yield connection
                    return
                connection.close()

    def _check_open(self) -> None:
        if not self._closing.alive:
            raise ProviderClosed("the provider is closed: open a new one")

    def run(self, operation: Callable[Concatenate[Schema, P], Operation[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        self._check_open()
        return drive(operation(self._schema, *args, **kwargs), self._perform)

    def run_whole(
        self, operation: Callable[Concatenate[Schema, P], Operation[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        # The first attempt uses up what can be read only once.
        once = any(isinstance(each, Iterator) for each in args)
        pause, give_up = FIRST_PAUSE, time.monotonic() + RETRY_SECONDS
        while True:
            try:
                with self.transaction() as transaction:
                    return transaction.run(operation, *args, **kwargs)
            except MemorizzError as error:
                if once or not was_rolled_back(error) or time.monotonic() + pause > give_up:
                    raise
                logger.debug("trying again in %.2f s after: %s", pause, error)
            time.sleep(pause)
            pause *= 2

    def _perform(self, step: Step) -> Any:
        """Perform a step on a pooled connection, again where that can do no harm."""
        pause, give_up = FIRST_PAUSE, time.monotonic() + RETRY_SECONDS
        while True:
            try:
                with self._connection() as connection:
                    return perform(connection, step)
            except DriverError as error:
                if not may_repeat(error, step.repeatable) or time.monotonic() + pause > give_up:
                    raise translated(error, self.config.where) from error
                logger.debug("trying again in %.2f s after: %s", pause, error)
            time.sleep(pause)
            pause *= 2


class PooledPostgreSQLProvider(PostgreSQLProvider):
    """A PostgreSQLProvider whose pool is sized by its own arguments."""

    def __init__(self, config: PostgreSQLConfig | None = None, min_conn: int = 1, max_conn: int = 20) -> None:
        config = config if config is not None else PostgreSQLConfig.auto()
        super().__init__(config.replace(min_size=min_conn, max_size=max_conn))


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


def open_schema(config: PostgreSQLConfig, connection: AnyConnection) -> Schema:
    """Return the schema, made or upgraded first where that is due and allowed."""

    def perform_here(step: Step) -> Any:
        with translating(config.where):
            return perform(connection, step)

    schema = drive(migrate.opened(config), perform_here)
    while schema is None:
        with connection.transaction():
            done = drive(migrate.apply(config), perform_here)
        for migration in done:
            logger.info("applied migration %d (%s)", migration.version, migration.name)
        schema = drive(migrate.opened(config), perform_here)
    return schema


def _pool(config: PostgreSQLConfig, conninfo: str) -> ConnectionPool[Connection]:
    def configure(connection: Connection) -> None:
        connection.operation_timeout = config.operation_timeout

    return ConnectionPool(
        conninfo,
        connection_class=Connection,
        kwargs={"autocommit": True, "prepare_threshold": config.prepare_threshold},
        configure=configure,
        min_size=config.min_size,
        max_size=config.max_size,
        timeout=config.pool_timeout,
        open=True,
    )


def _release(pools: list[ConnectionPool[Any]], server: EmbeddedServer | None) -> None:
    """Close what a provider opened; knows nothing of the provider, which may be gone."""
    for pool in pools:
        pool.close()
    if server is not None:
        server.release()
