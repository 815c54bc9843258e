"""The same with await."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from memorizz.errors import DatabaseError, MemorizzError, ProviderClosed
from memorizz.memory_provider._drive import check_process, drive_awaiting
from memorizz.memory_provider.base import AsyncMemoryOperations, AsyncMemoryProvider
from memorizz.memory_provider.mongodb import _operations as operations
from memorizz.memory_provider.mongodb._opening import opened
from memorizz.memory_provider.mongodb._steps import Step
from memorizz.memory_provider.mongodb._stores import Database
from memorizz.memory_provider.mongodb.config import MongoDBConfig
from memorizz.memory_provider.mongodb.provider import (
    FIRST_PAUSE,
    RETRY_SECONDS,
    check_transactional,
    missing_extra,
    was_rolled_back,
)

if TYPE_CHECKING:
    from memorizz.memory_provider.mongodb._driver_async import Connection, Session


class AsyncTransaction(AsyncMemoryOperations):
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
        self._one_step = asyncio.Lock()

    async def run(self, operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self._check_open()
        return await drive_awaiting(operation(self._database, *args, **kwargs), self._perform)

    run_in_transaction = run

    async def _perform(self, step: Step) -> Any:
        async with self._one_step:
            self._check_open()
            try:
                return await self._connection.perform(step, self._session)
            except MemorizzError:
                self._failed = True
                raise

    def _check_open(self) -> None:
        if self._over:
            raise ProviderClosed("the transaction is over: start another one")

    async def end(self) -> bool:
        """Let no further step begin, wait for one that another task has begun; say whether all went well."""
        self._over = True
        async with self._one_step:
            return not self._failed


class AsyncMongoDBProvider(AsyncMemoryProvider):
    """Keep memories in MongoDB, without blocking the event loop.

    Opens on first use, or on `async with`, in the event loop that runs then. Otherwise as MongoDBProvider, the errors
    too.
    """

    operations = operations

    def __init__(self, config: MongoDBConfig | None = None) -> None:
        self.config = config if config is not None else MongoDBConfig()
        self._connection: Connection | None = None
        self._database: Database | None = None
        self._opening = asyncio.Lock()
        self._opener = os.getpid()
        self._closed = False

    @property
    def location(self) -> str:
        return f"MongoDB at {self.config.where}"

    @property
    def identity(self) -> str | None:
        return None if self._database is None else self._database.identity

    @property
    def embedding_dimensions(self) -> int | None:
        return self.config.embedding_dimensions

    @property
    def embedding_model(self) -> str | None:
        return None

    async def __aenter__(self) -> Self:
        await self._opened()
        return self

    async def close(self) -> None:
        async with self._opening:
            self._closed = True
            await self._let_go()

    async def _opened(self) -> tuple[Database, Connection]:
        """Return the database and the client, opened by the first who asks."""
        async with self._opening:
            if self._closed:
                raise ProviderClosed("the provider is closed: open a new one")
            if self._database is None or self._connection is None:
                try:
                    await self._open()
                except BaseException:
                    await self._let_go()
                    raise
        check_process(self._opener)
        assert self._database is not None
        assert self._connection is not None
        return self._database, self._connection

    async def _open(self) -> None:
        try:
            from memorizz.memory_provider.mongodb._driver_async import Connection
        except ImportError as error:
            raise missing_extra(error) from None
        self._opener = os.getpid()
        self._connection = Connection(self.config)
        self._database = await drive_awaiting(opened(self.config), self._connection.perform)

    async def _let_go(self) -> None:
        """Close the client; not in a forked child, where it is the parent's."""
        if self._connection is not None and self._opener == os.getpid():
            await self._connection.close()
        self._connection = None

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[AsyncTransaction]:
        """Open a block whose operations, in all stores, happen together or not at all.

        As MongoDBProvider.transaction.
        """
        database, connection = await self._opened()
        check_transactional(database, self.config)
        async with connection.transaction() as session:
            transaction = AsyncTransaction(database, connection, session)
            whole = False
            try:
                yield transaction
            finally:
                whole = await transaction.end()
            if not whole:
                raise DatabaseError("nothing of the transaction was kept: an operation in it had failed")

    async def run(self, operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        database, connection = await self._opened()
        return await drive_awaiting(operation(database, *args, **kwargs), connection.perform)

    async def run_in_transaction(self, operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        database, _ = await self._opened()
        if not database.transactional:
            return await self.run(operation, *args, **kwargs)
        # The first attempt uses up what can be read only once.
        once = any(isinstance(each, Iterator) for each in args)
        pause, give_up = FIRST_PAUSE, time.monotonic() + RETRY_SECONDS
        while True:
            try:
                async with self.transaction() as transaction:
                    return await transaction.run(operation, *args, **kwargs)
            except MemorizzError as error:
                if once or not was_rolled_back(error) or time.monotonic() + pause > give_up:
                    raise
            await asyncio.sleep(pause)
            pause *= 2

    async def delete_memagent(self, id: Any, cascade: bool = False) -> bool:
        # The agent and its memories lie in several collections.
        return await self.run_in_transaction(operations.delete_memagent, id, cascade)
