"""The blocking face: a client, and transactions on it."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from memorizz.errors import ConfigurationError, DatabaseError, MemorizzError, ProviderClosed
from memorizz.memory_provider._drive import check_process, drive
from memorizz.memory_provider.base import MemoryOperations, MemoryProvider
from memorizz.memory_provider.mongodb import _operations as operations
from memorizz.memory_provider.mongodb._opening import identity, opened
from memorizz.memory_provider.mongodb._steps import Step
from memorizz.memory_provider.mongodb._stores import Database
from memorizz.memory_provider.mongodb.config import MongoDBConfig

if TYPE_CHECKING:
    from memorizz.memory_provider.mongodb._driver import Connection, Session

# How long an operation that lost against another transaction is tried again.
RETRY_SECONDS = 5.0
FIRST_PAUSE = 0.02


class Transaction(MemoryOperations):
    """The methods of a provider inside one transaction over all stores: all or nothing."""

    operations = operations

    def __init__(self, database: Database, connection: Connection, session: Session) -> None:
        # $vectorSearch is not allowed here.
        self._database = replace(database, vector_indexes=None)
        self._connection = connection
        self._session = session
        self._over = False
        self._failed = False
        # A session takes one step after the other.
        self._one_step = threading.Lock()

    def run(self, operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self._check_open()
        return drive(operation(self._database, *args, **kwargs), self._perform)

    run_in_transaction = run

    def _perform(self, step: Step) -> Any:
        with self._one_step:
            self._check_open()
            try:
                return self._connection.perform(step, self._session)
            except MemorizzError:
                self._failed = True
                raise

    def _check_open(self) -> None:
        if self._over:
            raise ProviderClosed("the transaction is over: start another one")

    def end(self) -> bool:
        """Let no further step begin, wait for one that another thread has begun; say whether all went well."""
        self._over = True
        with self._one_step:
            return not self._failed


class MongoDBProvider(MemoryProvider):
    """Keep memories in MongoDB.

    Opens at once: connects, and makes the indexes that are missing unless `create_indexes=False`. Without a config it
    takes the server of this machine, MongoDBConfig(). Safe to use from several threads. Needs the extra `mongodb`.

    Raises ConnectionFailed where the server cannot be reached, SchemaError where it is too old, ConfigurationError for
    a uri that is none, or without the extra.
    """

    operations = operations

    def __init__(self, config: MongoDBConfig | None = None) -> None:
        self.config = config if config is not None else MongoDBConfig()
        self._opener = os.getpid()
        self._connection = connected(self.config)
        self._closing = weakref.finalize(self, _release, self._connection, self._opener)
        try:
            self._database = drive(opened(self.config), self._connection.perform)
        except BaseException:
            self._closing()
            raise

    @property
    def location(self) -> str:
        return f"MongoDB at {self.config.where}"

    @property
    def identity(self) -> str | None:
        self._check_open()
        # Another program may have made it since.
        return self._database.identity or drive(identity(make=False), self._connection.perform)

    @property
    def embedding_dimensions(self) -> int | None:
        return self._database.dimensions

    @property
    def embedding_model(self) -> str | None:
        return None

    def close(self) -> None:
        self._closing()

    @contextmanager
    def transaction(self) -> Generator[Transaction]:
        """Open a block whose operations, in all stores, happen together or not at all.

        An exception rolls everything back and leaves the block as it was raised. An operation that failed in the
        server has broken the transaction: where its error was caught in the block, the end of the block raises
        DatabaseError, for nothing was kept. A standalone server has no transactions: ConfigurationError.
        """
        self._check_open()
        check_transactional(self._database, self.config)
        with self._connection.transaction() as session:
            transaction = Transaction(self._database, self._connection, session)
            whole = False
            try:
                yield transaction
            finally:
                whole = transaction.end()
            if not whole:
                raise DatabaseError("nothing of the transaction was kept: an operation in it had failed")

    def _check_open(self) -> None:
        if not self._closing.alive:
            raise ProviderClosed("the provider is closed: open a new one")
        check_process(self._opener)

    def run(self, operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self._check_open()
        return drive(operation(self._database, *args, **kwargs), self._connection.perform)

    def run_in_transaction(self, operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if not self._database.transactional:
            return self.run(operation, *args, **kwargs)
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
            time.sleep(pause)
            pause *= 2

    def delete_memagent(self, id: Any, cascade: bool = False) -> bool:
        # The agent and its memories lie in several collections.
        return self.run_in_transaction(operations.delete_memagent, id, cascade)


def connected(config: MongoDBConfig) -> Connection:
    """Return a client for a configuration; raises ConfigurationError where the driver is not installed."""
    try:
        from memorizz.memory_provider.mongodb._driver import Connection
    except ImportError as error:
        raise missing_extra(error) from None
    return Connection(config)


def missing_extra(error: ImportError) -> ConfigurationError:
    """Return the error that says what to install."""
    return ConfigurationError(f"{error}: MongoDB needs pip install 'memorizz-postgresql[mongodb]'")


def check_transactional(database: Database, config: MongoDBConfig) -> None:
    """Raise ConfigurationError for a server that has no transactions."""
    if not database.transactional:
        raise ConfigurationError(
            f"{config.where} is a standalone server, which has no transactions: make it a replica set of one "
            "(mongod --replSet rs0, then rs.initiate() in mongosh)"
        )


def was_rolled_back(error: MemorizzError) -> bool:
    """Say whether a transaction that failed so may be tried again as a whole."""
    from memorizz.memory_provider.mongodb import _errors

    return _errors.was_rolled_back(error)


def _release(connection: Connection, opener: int) -> None:
    """Close the client that a provider made; not in a forked child, where it is the parent's."""
    if opener == os.getpid():
        connection.close()
