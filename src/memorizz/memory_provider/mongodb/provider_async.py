"""The async API: the methods of a provider and of its transactions, on a client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from memorizz.errors import DatabaseError, MemorizzError, ProviderClosed
from memorizz.memory_provider._drive import MAX_IDS, can_be_read_again
from memorizz.memory_provider._drive._async import drive, repeated
from memorizz.memory_provider.base import AsyncMemoryOperations, AsyncMemoryProvider
from memorizz.memory_provider.mongodb import _collections, operations
from memorizz.memory_provider.mongodb._lifetime_async import AsyncLifetime
from memorizz.memory_provider.mongodb._lifetime_shared import check_transactional, logger, was_rolled_back
from memorizz.memory_provider.mongodb._steps import Step
from memorizz.memory_provider.mongodb._stores import Database
from memorizz.memory_provider.scopes import MEMORY, check_required, scope_of
from memorizz.memory_provider.stores import StoreSpec, check_yes

if TYPE_CHECKING:
    from memorizz.memory_provider.mongodb.driver._async import AsyncConnection, AsyncSession


# What is of no document, and for whoever opens a provider.
_OF_DATABASE = frozenset({_collections.create_store, _collections.specs})


class AsyncTransaction(AsyncMemoryOperations):
    """The methods of a provider inside one transaction over all stores: all or nothing."""

    operations = operations
    _scoped_by = (MEMORY,)

    def __init__(
        self,
        database: Database,
        connection: AsyncConnection,
        session: AsyncSession,
        writes: list[str],
        require_memory: bool,
    ) -> None:
        # $vectorSearch is not allowed here.
        self._database = replace(database, vector_indexes=None)
        self._connection = connection
        self._session = session
        # The ids of what was written, some of which stand for all.
        self._writes = writes
        self._require_memory = require_memory
        self._over = False
        self._failed = False
        # A session takes one step after the other.
        self._one_step = asyncio.Lock()

    async def run(self, operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self._check_open()
        check_required(scope_of(operation), memory=self._require_memory)
        return await drive(operation(self._database, *args, **kwargs), self._perform)

    run_in_transaction = run

    async def _perform(self, step: Step) -> Any:
        async with self._one_step:
            self._check_open()
            try:
                result = await self._connection.perform(step, self._session)
            except MemorizzError:
                self._failed = True
                raise
            self._writes += (step.writes or ())[: MAX_IDS - len(self._writes)]
            return result

    def _check_open(self) -> None:
        if self._over:
            raise ProviderClosed("the transaction is over: start another one")

    async def end(self) -> bool:
        """Let no further step begin, wait for one that another task has begun; return True if all went well."""
        self._over = True
        async with self._one_step:
            return not self._failed


class AsyncMongoDBProvider(AsyncLifetime, AsyncMemoryProvider):
    """Keep memories in MongoDB.

    Connects, and makes the indexes that are missing unless `create_indexes=False`. Without a config it takes the server
    of this machine, MongoDBConfig(). The sync provider opens at once and is safe to use from several threads; the async
    one opens on first use, or on `async with`, in the event loop that runs then and that it belongs to from then on.
    Needs the extra `mongodb`.

    Raises ConnectionFailed where the server cannot be reached, SchemaError where it is too old, ConfigurationError for
    a uri that is none, or without the extra.
    """

    operations = operations
    _scoped_by = (MEMORY,)

    @property
    def location(self) -> str:
        return f"MongoDB at {self.config.where}"

    @property
    def embedding_dimensions(self) -> int | None:
        return self.config.embedding_dimensions

    @property
    def embedding_model(self) -> str | None:
        return None

    async def create_store(self, spec: StoreSpec) -> None:
        await self.run(_collections.create_store, self.config, spec)

    async def stores(self) -> list[StoreSpec]:
        return await self.run(_collections.specs)

    async def drop_store(self, name: str, *, yes: bool = False) -> None:
        check_yes(name, yes)
        await self.run(_collections.drop_store, name)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[AsyncTransaction]:
        """Open a block whose operations, in all stores, happen together or not at all.

        An exception rolls everything back and leaves the block as it was raised. An operation that failed in the
        server has broken the transaction: where its error was caught in the block, the end of the block raises
        DatabaseError, for nothing was kept. A standalone server has no transactions: ConfigurationError.
        """
        database, connection = await self._opened()
        check_transactional(database, self.config)
        writes: list[str] = []
        async with connection.transaction(writes) as session:
            transaction = AsyncTransaction(database, connection, session, writes, self.config.require_memory)
            whole = False
            try:
                yield transaction
            finally:
                whole = await transaction.end()
            if not whole:
                raise DatabaseError("nothing of the transaction was kept: an operation in it had failed")

    async def run(self, operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if operation not in _OF_DATABASE:
            check_required(scope_of(operation), memory=self.config.require_memory)
        database, connection = await self._opened()
        return await drive(operation(database, *args, **kwargs), connection.perform)

    async def run_in_transaction(self, operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        database, _ = await self._opened()
        # Of the class: where those of the provider are observed, this call is one.
        if not database.transactional:
            return await AsyncMongoDBProvider.run(self, operation, *args, **kwargs)
        again = all(map(can_be_read_again, args))

        async def attempt() -> Any:
            async with AsyncMongoDBProvider.transaction(self) as transaction:
                return await transaction.run(operation, *args, **kwargs)

        return await repeated(attempt, lambda error: again and was_rolled_back(error), logger)
