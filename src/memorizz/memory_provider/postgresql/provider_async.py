"""The async API: the methods of a provider and of its transactions, on a pool."""

from __future__ import annotations

import asyncio
import os
from abc import abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

from psycopg.pq import TransactionStatus

from memorizz.embeddings.base import embed_awaiting
from memorizz.errors import DatabaseError, MemorizzError, ProviderClosed, SchemaError
from memorizz.memory_provider._drive import MAX_IDS, can_be_read_again, check_process
from memorizz.memory_provider._drive._async import drive, repeated
from memorizz.memory_provider.base import AsyncMemoryOperations, AsyncMemoryProvider, Call, StoreName
from memorizz.memory_provider.base._views_async import AsyncProviderView, AsyncView
from memorizz.memory_provider.postgresql import history, migrations, operations, tables
from memorizz.memory_provider.postgresql._errors import (
    DriverError,
    may_repeat,
    translated,
    translating,
    was_rolled_back,
)
from memorizz.memory_provider.postgresql._lifetime_async import AnyEmbedder, AsyncLifetime
from memorizz.memory_provider.postgresql._steps import Batch, Embed, Operation, Step
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.driver._async import AnyConnection, perform, when_free
from memorizz.memory_provider.postgresql.driver._shared import logger, orphan_socket
from memorizz.memory_provider.postgresql.facts import Facts, StaleFacts, UnknownHistory
from memorizz.memory_provider.postgresql.operations.embedding import Spool
from memorizz.memory_provider.postgresql.reload import (
    MAX_RELOADS,
    begun,
    changes_too_often,
    check_repeatable,
    check_required,
    makers,
    may_be_stale,
    must_retry_error,
    reloaded,
)
from memorizz.memory_provider.scopes import HISTORY, MEMORY, POSITION, TENANT, Scope, may_be_of_replica, scope_of
from memorizz.memory_provider.stores import StoreSpec, check_history_yes, check_yes, checked_retention

P = ParamSpec("P")
T = TypeVar("T")


async def _embed(embedders: Mapping[str, AnyEmbedder], step: Embed) -> Any:
    """Ask the embedder of a model; only operations that know of one do."""
    return await embed_awaiting(embedders[step.model], step.texts, step.kind)


class _Methods(AsyncMemoryOperations):
    """What the methods of the provider, of its transaction and of their views have in common: they embed."""

    operations = operations
    _scoped_by = (TENANT, MEMORY, HISTORY, POSITION)

    async def store_many(self, documents: Iterable[Mapping[str, Any]], memory_store_type: StoreName) -> list[str]:
        return await self._embedded_first(operations.store_many, documents, memory_store_type)

    async def _supersede(
        self, documents: Iterable[Mapping[str, Any]], memory_store_type: StoreName, supersedes: Any
    ) -> str:
        return await self._embedded_first(operations.supersede, documents, memory_store_type, supersedes)

    async def _embedded_first(self, operation: Any, documents: Any, memory_store_type: Any, *others: Any) -> Any:
        """Store documents in one transaction, which waits for no model."""
        embedded = await self.run(operations.embed_many, documents, memory_store_type)
        return await self.run_in_transaction(operation, embedded, memory_store_type, *others)


class _MethodsOfProvider(_Methods):
    """What the methods of the provider and of its views have in common."""

    async def store_many(self, documents: Iterable[Mapping[str, Any]], memory_store_type: StoreName) -> list[str]:
        async def attempt() -> list[str]:
            names, others = await self.run(operations.store_few, documents, memory_store_type)
            return await self._import(self, others, memory_store_type) if names is None else names

        return await self._following(attempt, documents)

    @abstractmethod
    async def _import(self, of: _MethodsOfProvider, documents: Any, memory_store_type: StoreName) -> list[str]:
        """Store what takes more than one statement, of the provider or of a view, in one transaction."""

    async def embedded(
        self, documents: Iterable[Mapping[str, Any]], memory_store_type: StoreName
    ) -> list[Mapping[str, Any]]:
        return await self.run(operations.embedded, documents, memory_store_type)

    async def embed_missing(self, memory_store_type: StoreName, watch: Callable[[int], None] | None = None) -> int:
        """Embed the documents of a store that have a text and no embedding, and return how many.

        Such documents were stored without an embedder, or with `embedding=None`. What is embedded is what would be
        if they were stored now; a document that is changed meanwhile is left to whoever changes it. Of two calls at
        once, or where a connection broke, each document is counted at most once. `watch` is told, now and then, how
        many of them have been gone through.

        Raises EmbeddingFailed where the model refuses a document, after all others are embedded, and at once where it
        refuses all or may answer later; what is done stays done. Raises ConfigurationError without an embedder, and
        for agents, which are not embedded.
        """
        return await self.run(operations.embed_missing, memory_store_type, watch)

    async def measure_recall(
        self,
        memory_store_type: StoreName,
        sample: int = 50,
        limit: int = 10,
        watch: Callable[[int, int], None] | None = None,
    ) -> dict[str, Any]:
        """Compare served answers with exact ones on a store's own vectors, and say what to change.

        `sample` documents are taken at random; each one's vector is searched for in the whole store, and in the memory
        of another one. The report holds, for either, the recall (the share of the true `limit` nearest that was found),
        the routes taken and the median times in ms; and advice. Each document takes up to two exact searches. Nothing
        is changed by it. `watch` is told, before each, how many are done and how many there are.
        """
        from memorizz.memory_provider.postgresql.search import recall

        return await self.run(recall.measure_recall, memory_store_type, sample, limit, watch)

    async def _embedded_first(self, operation: Any, documents: Any, memory_store_type: Any, *others: Any) -> Any:
        async def attempt() -> Any:
            return await _Methods._embedded_first(self, operation, documents, memory_store_type, *others)

        return await self._following(attempt, documents)

    async def run_many(self, calls: Sequence[Call]) -> list[Any]:
        found = await self.run(operations.run_at_once, calls)
        return await super().run_many(calls) if found is None else found

    @abstractmethod
    async def _following(self, attempt: Callable[[], Awaitable[T]], argument: Any) -> T:
        """Make a call by the facts of today, once more where they have changed meanwhile."""


class _TransactionView(_Methods, AsyncView):
    """The methods of a transaction within a scope."""


class _ProviderView(_MethodsOfProvider, AsyncProviderView):
    """The methods of a provider within a scope."""

    def __init__(self, whole: AsyncMemoryProvider, scope: Scope, *as_whole: Callable[..., Any]) -> None:
        super().__init__(whole, scope)
        self._import_as_whole, self._follow_as_whole = as_whole

    async def _import(self, of: _MethodsOfProvider, documents: Any, memory_store_type: StoreName) -> list[str]:
        return await self._import_as_whole(of, documents, memory_store_type)

    async def _following(self, attempt: Callable[[], Awaitable[T]], argument: Any) -> T:
        return await self._follow_as_whole(attempt, argument)


class AsyncTransaction(_Methods):
    """The methods of a provider inside one transaction over all stores: all or nothing."""

    def __init__(
        self,
        facts: Facts,
        connection: AnyConnection,
        config: PostgreSQLConfig,
        embedders: Mapping[str, AnyEmbedder],
    ) -> None:
        self._facts = facts
        self._config = config
        self._embedders = embedders
        self._connection = connection
        self._over = False
        self._opener = os.getpid()
        # Why the schema is not the one that was read before.
        self.schema_error: SchemaError | None = None
        # The ids of what was written, some of which stand for all.
        self.writes: list[str] = []
        # The steps of several tasks are one after the other: the results of a pipeline are its own.
        self._one_step = asyncio.Lock()

    async def run(
        self, operation: Callable[Concatenate[Facts, P], Operation[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        self._check_open()
        check_required(self._config, operation)
        for _ in range(MAX_RELOADS):
            try:
                return await drive(begun(self._facts, operation, *args, **kwargs), self._perform)
            except (StaleFacts, UnknownHistory) as error:
                reload = reloaded(self._config, self._facts, self._embedders, error)
                self._facts = await drive(reload, self._perform)
        raise changes_too_often(self._facts)

    run_in_transaction = run

    def _view(self, scope: Scope) -> _TransactionView:
        return _TransactionView(self, scope)

    async def _perform(self, step: Step) -> Any:
        if isinstance(step, Embed):
            return await _embed(self._embedders, step)
        try:
            async with self._one_step:
                with translating(self._config.where):
                    self._check_open()
                    result = await perform(self._connection, step)
                    self.writes += step.writes[: MAX_IDS - len(self.writes)]
                    if isinstance(step, Batch) and step.undo is not None:
                        await perform(self._connection, step.undo())
                    return result
        except SchemaError as error:
            self.schema_error = error
            raise

    def _check_open(self) -> None:
        if self._over:
            raise ProviderClosed("the transaction is over: start another one")
        check_process(self._opener)

    async def end(self) -> None:
        """Let no further step begin, and wait for one that another task has begun."""
        self._over = True
        orphan_socket(self._connection, self._opener)
        async with self._one_step:
            pass


class AsyncPostgreSQLProvider(AsyncLifetime, _MethodsOfProvider, AsyncMemoryProvider):
    """Keep memories in PostgreSQL with pgvector.

    Connects, and creates or upgrades the tables unless `auto_migrate=False`. Without a config it takes
    PostgreSQLConfig(). The sync provider opens at once and is safe to use from several threads; the async one opens on
    first use, or on `async with`, in the event loop that runs then and that it belongs to from then on.

    pool: is used in place of one of its own, and left open by close().
    embedder: embeds documents that are stored with a `content` and no `embedding`, and questions that are a str; an
        object, or a name as `memorizz.embeddings.named` takes it, "local" for one. New tables are made for the length
        of its vectors, unless the configuration says one. Its model is noted in the schema, which takes no other from
        then on. Of several, the one is used whose model the schema's vectors are of, also after `memorizz re-embed` has
        changed that.

    Raises ConnectionFailed where the server cannot be reached, SchemaError where the database lacks something,
    ConfigurationError where the vectors of the schema have another length.
    """

    has_large_transactions = True

    # Before it is open, what its configuration says.
    @property
    def location(self) -> str:
        schema = self.config.schema if self._facts is None else self._facts.layout.schema
        return f"{self.config.where}, schema {schema}"

    @property
    def identity(self) -> str | None:
        return None if self._facts is None else self._facts.layout.identity

    @property
    def embedding_dimensions(self) -> int | None:
        return self.config.embedding_dimensions if self._facts is None else self._facts.model.dimensions

    @property
    def embedding_model(self) -> str | None:
        return None if self._facts is None else self._facts.model.name

    async def note_embedding_model(self, name: str) -> None:
        self._facts = await self.run(migrations.note_model, name)

    @property
    def has_embedder(self) -> bool:
        return bool(self._embedders)

    async def create_store(self, spec: StoreSpec) -> None:
        await self._change_stores(tables.create_store, spec, makers(self._embedders))

    async def _change_stores(self, operation: Callable[..., Operation[None]], /, *args: Any) -> None:
        """Change the stores in one transaction, as soon as nobody is in the way, and read the facts of then."""

        async def change() -> None:
            await self.run_in_transaction(operation, *args)

        await when_free(change)
        self._facts = await self.run(migrations.facts_now, self.config, makers(self._embedders))

    async def position(self) -> str:
        return await self.run(operations.position)

    async def stores(self) -> list[StoreSpec]:
        return await self.run(tables.specs)

    async def drop_store(self, name: str, *, yes: bool = False) -> None:
        check_yes(name, yes)
        await self._change_stores(tables.drop_store, name)

    async def keep_history(self, memory_store_type: StoreName, retention: timedelta | None = None) -> None:
        await self._change_stores(history.keep, memory_store_type, checked_retention(retention))

    async def drop_history(self, memory_store_type: StoreName, *, yes: bool = False) -> None:
        check_history_yes(memory_store_type, yes)
        await self._change_stores(history.drop, memory_store_type)

    @asynccontextmanager
    async def loading(
        self, memory_store_type: StoreName, watch: Callable[[float], None] | None = None
    ) -> AsyncGenerator[None]:
        from memorizz.memory_provider.postgresql.maintenance._loading_async import loading

        facts, _ = await self._opened()
        store = facts.store(memory_store_type).name
        self._loads.append(store)
        try:
            # A pool that was given does not say how to connect for so long.
            async with nullcontext() if self._given_pool is not None else loading(self.config, store, watch):
                yield
        finally:
            self._loads.remove(store)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[AsyncTransaction]:
        """Open a block whose operations, in all stores, happen together or not at all.

        An exception rolls everything back and leaves the block as it was raised. An operation that failed in the
        server has broken the transaction: where its error was caught in the block, the end of the block raises
        DatabaseError, for nothing was kept.
        """
        facts, _ = await self._opened()
        try:
            async with self._transaction() as transaction:
                yield transaction
        except SchemaError as error:
            raise must_retry_error(await self._reload(facts, [], error)) from error

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[AsyncTransaction]:
        """Open a transaction that knows nothing of a change of the embedding model."""
        facts, _ = await self._opened()
        of_caller: BaseException | None = None
        committed: Sequence[str] | None = None
        try:
            async with await self._connection() as connection, connection.transaction():
                transaction = AsyncTransaction(facts, connection, self.config, self._embedders)
                try:
                    yield transaction
                except BaseException as error:
                    of_caller = error
                    raise
                finally:
                    await transaction.end()
                if connection.info.transaction_status == TransactionStatus.INERROR:
                    lost = DatabaseError("nothing of the transaction was kept: an operation in it had failed")
                    raise transaction.schema_error or lost
                # All that is left is to commit.
                committed = transaction.writes
        except DriverError as error:
            if error is of_caller:
                raise
            raise translated(error, self.config.where, committed) from error
        finally:
            if self._replicas is not None:
                self._replicas.note_write()

    async def run(
        self, operation: Callable[Concatenate[Facts, P], Operation[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        check_required(self.config, operation)
        facts, _ = await self._opened()
        for _ in range(MAX_RELOADS):
            begin = partial(begun, facts, operation, *args, **kwargs)
            try:
                if self._replicas is None:
                    return await drive(begin(), self._perform)
                after = scope_of(operation).after or 0 if may_be_of_replica(operation, kwargs, args) else None
                return await self._replicas.run(begin, facts, after, self._perform)
            except MemorizzError as error:
                facts = await self._reload(facts, [*args, *kwargs.values()], error)
        raise changes_too_often(facts)

    async def _import(self, of: _MethodsOfProvider, documents: Any, memory_store_type: StoreName) -> list[str]:
        """Store them; a first large import builds the vector index after it."""
        documents, brings_many = operations.begun(documents)
        name, after = (await self._opened())[0].store(memory_store_type).name, nullcontext()
        may_wait = self._given_pool is None and name not in self._loads
        if may_wait and await of.run(operations.is_first_import, documents, memory_store_type, brings_many):
            from memorizz.memory_provider.postgresql.maintenance._loading_async import building_after

            after = building_after(self.config, name)
        async with after:
            return await of.run_in_transaction(operations.store_many, documents, memory_store_type)

    def _view(self, scope: Scope) -> _ProviderView:
        return _ProviderView(self, scope, self._import, self._following)

    async def _following(self, attempt: Callable[[], Awaitable[T]], argument: Any) -> T:
        facts, _ = await self._opened()
        for _ in range(MAX_RELOADS):
            try:
                return await attempt()
            except MemorizzError as error:
                facts = await self._reload(facts, [argument], error)
        raise changes_too_often(facts)

    async def _reload(self, facts: Facts, arguments: Sequence[Any], error: MemorizzError) -> Facts:
        """Return the facts of today for a call to be made again; raises the error where they are not the cause."""
        if not may_be_stale(error):
            raise error
        async with self._reloading:
            if self._facts is facts:
                self._facts = await drive(reloaded(self.config, facts, self._embedders, error), self._perform)
            now = self._facts or facts
        check_repeatable(facts, now, arguments, error)
        return now

    async def run_in_transaction(
        self, operation: Callable[Concatenate[Facts, P], Operation[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        check_required(self.config, operation)
        again = all(isinstance(each, Spool) or can_be_read_again(each) for each in args)

        async def attempt() -> T:
            async with self._transaction() as transaction:
                return await transaction.run(operation, *args, **kwargs)

        return await repeated(attempt, lambda error: again and was_rolled_back(error), logger)

    def _pool_stats(self) -> list[tuple[str, Mapping[str, int]]]:
        """Return what psycopg_pool counts of each open pool: "" is the provider's own, others name a replica."""
        pools = [] if self._pool is None else [("", self._pool)]
        replicas = [] if self._replicas is None else self._replicas.pools
        pools += [(f"replica {n}", each) for n, each in enumerate(replicas, 1)]
        return [(name, each.get_stats()) for name, each in pools]

    async def _perform(self, step: Step) -> Any:
        """Perform a step on a pooled connection, again where that can do no harm; embed without one."""
        if isinstance(step, Embed):
            return await _embed(self._embedders, step)

        async def attempt() -> Any:
            async with await self._connection() as connection:
                return await perform(connection, step)

        try:
            return await repeated(attempt, lambda error: may_repeat(error, step.repeatable), logger)
        except DriverError as error:
            raise translated(error, self.config.where, None if step.repeatable else step.writes) from error
