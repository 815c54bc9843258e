"""The blocking face: a pool, and transactions on it."""

from __future__ import annotations

import os
import threading
import time
import weakref
from abc import abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Concatenate, ParamSpec, TypeVar

from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool

from memorizz.embeddings.base import Embedder, check_blocking, embed_blocking
from memorizz.errors import ConfigurationError, DatabaseError, MemorizzError, ProviderClosed, SchemaError
from memorizz.memory_provider.base import MemoryOperations, MemoryProvider, StoreName
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import _migrate as migrate
from memorizz.memory_provider.postgresql import _operations as operations
from memorizz.memory_provider.postgresql import _recall
from memorizz.memory_provider.postgresql._driver import (
    AnyConnection,
    connect,
    drive,
    lend,
    lend_given,
    make_pool,
    open_schema,
    perform,
)
from memorizz.memory_provider.postgresql._driver_shared import (
    FIRST_PAUSE,
    RETRY_SECONDS,
    check_process,
    default_config,
    detach,
    logger,
)
from memorizz.memory_provider.postgresql._embedding import embed_many, embed_missing
from memorizz.memory_provider.postgresql._errors import (
    DriverError,
    lacks_column,
    may_repeat,
    translated,
    translating,
    was_rolled_back,
)
from memorizz.memory_provider.postgresql._following import (
    by_name,
    call_again,
    is_bound,
    left_behind,
    lengths,
    unknown_vectors,
)
from memorizz.memory_provider.postgresql._steps import Batch, Embed, Operation, Step
from memorizz.memory_provider.postgresql._stores import Schema
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

P = ParamSpec("P")
T = TypeVar("T")


class _Methods(MemoryOperations):
    """What the methods of the provider and of its transaction have in common: they embed, and follow the model."""

    operations = operations
    _embedders: Mapping[str, Embedder]

    def _embed(self, step: Embed) -> Any:
        """Ask the embedder of a model; only operations that know of one do."""
        return embed_blocking(self._embedders[step.model], step.texts, step.kind)

    @abstractmethod
    def following(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Make a call; again where the embedding model was changed under it, and it can be made again."""

    def store_many(self, documents: Iterable[Mapping[str, Any]], memory_store_type: StoreName) -> list[str]:
        return self.following(self._store_many, documents, memory_store_type)

    def _store_many(self, documents: Iterable[Mapping[str, Any]], memory_store_type: StoreName) -> list[str]:
        embedded = self.run(embed_many, documents, memory_store_type)
        return self.run_in_transaction(operations.store_many, embedded, memory_store_type)


class Transaction(_Methods):
    """The methods of a provider inside one transaction over all stores: all or nothing."""

    def __init__(
        self, schema: Schema, connection: AnyConnection, where: str, embedders: Mapping[str, Embedder]
    ) -> None:
        self._schema = schema
        self._embedders = embedders
        self._connection = connection
        self._where = where
        self._over = False
        self._opener = os.getpid()
        # Why the schema is not the one that was read before.
        self.schema_error: SchemaError | None = None
        # The steps of several threads are one after the other: what a pipeline brings is its own.
        self._one_step = threading.Lock()

    def run(self, operation: Callable[Concatenate[Schema, P], Operation[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        self._check_open()
        return drive(operation(self._schema, *args, **kwargs), self._perform)

    run_in_transaction = run

    def following(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        # A failed statement has broken the transaction: only the whole of it can be done again.
        return call(*args, **kwargs)

    def _perform(self, step: Step) -> Any:
        if isinstance(step, Embed):
            return self._embed(step)
        try:
            with self._one_step, translating(self._where):
                self._check_open()
                brought = perform(self._connection, step)
                if isinstance(step, Batch) and step.undo is not None:
                    perform(self._connection, step.undo())
                return brought
        except SchemaError as error:
            self.schema_error = error
            raise

    def _check_open(self) -> None:
        if self._over:
            raise ProviderClosed("the transaction is over: start another one")
        check_process(self._opener)

    def end(self) -> None:
        """Let no further step begin, and wait for one that another thread has begun."""
        self._over = True
        detach(self._connection, self._opener)
        with self._one_step:
            pass


class PostgreSQLProvider(_Methods, MemoryProvider):
    """Keep memories in PostgreSQL with pgvector.

    Opens at once: connects, and creates or upgrades the tables unless `auto_migrate=False`. Without a config it takes
    PostgreSQLConfig.auto(). Safe to use from several threads.

    pool: is used in place of one of its own, and left open by close().
    embedder: embeds documents that are stored with a `content` and no `embedding`, and questions that are a str; see
        memorizz.embeddings. Its model is noted in the schema, which takes no other from then on. Of several, the one
        is used whose model the schema's vectors are of, also after `memorizz re-embed` has changed that.

    Raises ConnectionFailed where the server cannot be reached, SchemaError where the database lacks something,
    ConfigurationError where the vectors of the schema have another length.
    """

    has_large_transactions = True

    def __init__(
        self,
        config: PostgreSQLConfig | None = None,
        *,
        pool: ConnectionPool[Any] | None = None,
        embedder: Embedder | Sequence[Embedder] | None = None,
    ) -> None:
        self.config = config if config is not None else default_config(pool)
        self._embedders = by_name(embedder)
        for each in self._embedders.values():
            check_blocking(each)
        self._reading = threading.Lock()
        self._pool_is_given = pool is not None
        self._server = server = None
        if pool is None and self.config.embedded_server is not None:
            self._server = server = EmbeddedServer(self.config.embedded_server.path)
        self._closing = weakref.finalize(self, _release, own := [], server, os.getpid())
        self._opener = os.getpid()
        try:
            if pool is None:
                conninfo = self.config.complete(server.acquire()) if server is not None else self.config.conninfo
                with connect(self.config, conninfo) as connection:
                    self._schema = open_schema(self.config, connection, lengths(self._embedders))
                own.append(pool := make_pool(self.config, server))
            else:
                with translating(self.config.where), pool.connection() as connection:
                    self._schema = open_schema(self.config, connection, lengths(self._embedders))
        except BaseException:
            self._closing()
            raise
        self._pool = pool

    def note_embedding_model(self, name: str) -> None:
        self._schema = self.run(migrate.note_model, name)

    @contextmanager
    def loading(self, memory_store_type: StoreName, watch: Callable[[float], None] | None = None) -> Generator[None]:
        from memorizz.memory_provider.postgresql import maintenance

        store = MemoryType.of(memory_store_type)
        # A pool that was given does not say how to connect for so long.
        with nullcontext() if self._pool_is_given else maintenance.loading(self.config, store, watch):
            yield

    @property
    def location(self) -> str:
        return f"{self.config.where}, schema {self._schema.name}"

    @property
    def identity(self) -> str | None:
        return self._schema.identity

    @property
    def embedding_dimensions(self) -> int:
        return self._schema.dimensions

    @property
    def embedding_model(self) -> str | None:
        return self._schema.model_name

    def close(self) -> None:
        self._closing()

    def embed_missing(self, memory_store_type: StoreName, watch: Callable[[int], None] | None = None) -> int:
        """Embed the documents of a store that have a text and no embedding, and return how many.

        Such documents were stored without an embedder, or with `embedding=None`. What is embedded is what would be
        if they were stored now; a document that is changed meanwhile is left to whoever changes it. Of two calls at
        once, or where a connection broke, each document is counted at most once. `watch` is told, now and then, how
        many of them have been gone through.

        Raises EmbeddingFailed where the model refuses a document, after all others are embedded, and at once where it
        refuses all or may answer later; what is done stays done. Raises ConfigurationError without an embedder, and
        for agents, which are not embedded.
        """
        return self.run(embed_missing, memory_store_type, watch)

    def measure_recall(self, memory_store_type: StoreName, sample: int = 50, limit: int = 10) -> dict[str, Any]:
        """Compare served answers with exact ones on a store's own vectors, and say what to change.

        `sample` documents are taken at random; each one's vector is searched for in the whole store, and in the memory
        of another one. The report holds, for either, the recall (the share of the true `limit` nearest that was found),
        the routes taken and the median times in ms; whether the bits of the vectors keep enough to be used from now on
        (0.99), and how many of the best by them are then compared, which is noted in the schema; and advice. Each
        document takes two exact searches and up to six by bits.
        """
        report, self._schema = self.run(_recall.measure_recall, memory_store_type, sample, limit)
        return report

    @contextmanager
    def transaction(self) -> Generator[Transaction]:
        """Open a block whose operations, in all stores, happen together or not at all.

        An exception rolls everything back and leaves the block as it was raised. An operation that failed in the
        server has broken the transaction: where its error was caught in the block, the end of the block raises
        DatabaseError, for nothing was kept.
        """
        schema = self._schema
        try:
            with self._transaction() as transaction:
                yield transaction
        except SchemaError as error:
            raise call_again(self._follow(schema, error)) from error

    @contextmanager
    def _transaction(self) -> Generator[Transaction]:
        """Open a transaction that knows nothing of a change of the embedding model."""
        of_caller: BaseException | None = None
        try:
            with self._connection() as connection, connection.transaction():
                transaction = Transaction(self._schema, connection, self.config.where, self._embedders)
                try:
                    yield transaction
                except BaseException as error:
                    of_caller = error
                    raise
                finally:
                    transaction.end()
                if connection.info.transaction_status == TransactionStatus.INERROR:
                    lost = DatabaseError("nothing of the transaction was kept: an operation in it had failed")
                    raise transaction.schema_error or lost
        except DriverError as error:
            if error is of_caller:
                raise
            raise translated(error, self.config.where) from error

    def _connection(self) -> AbstractContextManager[AnyConnection]:
        """Return a connection of the pool, lent for a block."""
        self._check_open()
        if self._pool_is_given:
            return lend_given(self._pool, self.config)
        return lend(self._pool, self.config, self._server)

    def _check_open(self) -> None:
        if not self._closing.alive:
            raise ProviderClosed("the provider is closed: open a new one")
        check_process(self._opener)

    def run(self, operation: Callable[Concatenate[Schema, P], Operation[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        self._check_open()
        schema = self._schema
        try:
            return drive(operation(schema, *args, **kwargs), self._perform)
        except SchemaError as error:
            now = self._check_again(schema, error, [*args, *kwargs.values()])
        return drive(operation(now, *args, **kwargs), self._perform)

    def following(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        schema = self._schema
        try:
            return call(*args, **kwargs)
        except SchemaError as error:
            self._check_again(schema, error, [*args, *kwargs.values()])
        return call(*args, **kwargs)

    def _check_again(self, schema: Schema, error: SchemaError, arguments: Sequence[Any]) -> Schema:
        """Return the new schema; raise unless its model was changed, and a call can be made again with the new one."""
        now = self._follow(schema, error)
        if any(map(is_bound, arguments)):
            raise call_again(now) from error
        return now

    def _follow(self, schema: Schema, error: SchemaError) -> Schema:
        """Read the schema again where its embedding model was changed; raises the error where it was not that."""
        if not lacks_column(error):
            raise error
        with self._reading:
            if self._schema is schema:
                try:
                    now = drive(migrate.opened(self.config, lengths(self._embedders)), self._perform)
                except ConfigurationError as cause:
                    raise left_behind(schema, cause) from error
                if now is None or now.model_id == schema.model_id:
                    raise error
                if now.embedder is None:
                    raise left_behind(schema, unknown_vectors(now)) from error
                self._schema = now
            return self._schema

    def run_in_transaction(
        self, operation: Callable[Concatenate[Schema, P], Operation[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        # The first attempt uses up what can be read only once.
        once = any(isinstance(each, Iterator) for each in args)
        pause, give_up = FIRST_PAUSE, time.monotonic() + RETRY_SECONDS
        while True:
            try:
                with self._transaction() as transaction:
                    return transaction.run(operation, *args, **kwargs)
            except MemorizzError as error:
                if once or not was_rolled_back(error) or time.monotonic() + pause > give_up:
                    raise
                logger.debug("trying again in %.2f s after: %s", pause, error)
            time.sleep(pause)
            pause *= 2

    def _perform(self, step: Step) -> Any:
        """Perform a step on a pooled connection, again where that can do no harm; embed without one."""
        if isinstance(step, Embed):
            return self._embed(step)
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

    def __init__(
        self,
        config: PostgreSQLConfig | None = None,
        min_conn: int = 1,
        max_conn: int = 20,
        *,
        embedder: Embedder | Sequence[Embedder] | None = None,
    ) -> None:
        config = config if config is not None else PostgreSQLConfig.auto()
        super().__init__(config.replace(min_size=min_conn, max_size=max_conn), embedder=embedder)


def _release(pools: list[ConnectionPool[Any]], server: EmbeddedServer | None, opener: int) -> None:
    """Close the pool that a provider made, and leave its server; not in a forked child, where both are the parent's.

    Knows nothing of the provider, which may be gone.
    """
    if opener != os.getpid():
        return
    for pool in pools:
        pool.close()
    if server is not None:
        server.release()
