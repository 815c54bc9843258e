"""The contract on the async API: what a memory provider is, beside its operations. No IO and no SQL."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, ClassVar, Self

from memorizz.errors import ConfigurationError
from memorizz.memory_provider.base._async import AsyncMemoryOperations
from memorizz.memory_provider.options import Health, StoreName
from memorizz.memory_provider.policies import Policy
from memorizz.memory_provider.scopes import EVERYTHING, Scope, no_history, no_position
from memorizz.memory_provider.stores import SEVEN, StoreSpec


class AsyncMemoryProvider(AsyncMemoryOperations):
    """A store of memories, on the async API. An async context manager that closes itself."""

    # Whether it has transactions, and they may hold any number of documents.
    has_large_transactions: ClassVar[bool] = False

    @property
    @abstractmethod
    def location(self) -> str:
        """Where the memories are, without a secret: the same text for every provider of the same memories."""

    @property
    @abstractmethod
    def identity(self) -> str | None:
        """Which memories these are: the same text by whatever address they are reached, another one for any others.

        It was made at random with the tables and is kept beside them, so that a backup restored elsewhere has it too.
        None before an async provider is open, and in MongoDB where no provider has made anything yet.
        """

    @property
    @abstractmethod
    def embedding_dimensions(self) -> int | None:
        """How long the vectors are; None where the stores take any length."""

    @property
    @abstractmethod
    def embedding_model(self) -> str | None:
        """The model that made the vectors; None where nobody has said so."""

    async def create_store(self, spec: StoreSpec) -> None:
        """Make a store of one's own, beside the seven, with everything that they have.

        From then on every method takes its name. Where there is a store of this very spec, nothing is done; made by
        several programs at once, it is made once. Raises ConfigurationError where the name is taken with another spec,
        and in a provider that has the seven alone.
        """
        raise ConfigurationError(f"{type(self).__name__} has the seven stores alone")

    async def stores(self) -> list[StoreSpec]:
        """Return what each store is: the seven, then those of one's own in the order in which they were made."""
        return list(SEVEN)

    async def drop_store(self, name: str, *, yes: bool = False) -> None:
        """Drop a store of one's own with every document in it; `yes=True` says that this is meant.

        Raises ConfigurationError without it, for one of the seven and for an unknown one, OperationTimeout where the
        store is in use all the time.
        """
        raise ConfigurationError(f"{type(self).__name__} has the seven stores alone")

    async def keep_history(self, memory_store_type: StoreName, retention: timedelta | None = None) -> None:
        """Keep the history of a store from now on: of every change, whoever makes it and by whatever way.

        Every version that ends is kept beside the store, for `versions`, `at` and `restore`, and for as long as
        `retention` says, by default for ever; `purge_expired` deletes what is older. Where it is kept already, only the
        retention changes. What is counted by reading makes no version.

        Raises ConfigurationError for a retention that is none, and in a provider that keeps no history;
        OperationTimeout where the store is in use all the time.
        """
        raise no_history(type(self).__name__)

    async def drop_history(self, memory_store_type: StoreName, *, yes: bool = False) -> None:
        """Delete the history of a store, and keep none from now on; `yes=True` says that this is meant.

        Raises ConfigurationError without it and in a provider that keeps no history, OperationTimeout where the store
        is in use all the time.
        """
        raise no_history(type(self).__name__)

    async def position(self) -> str:
        """Return a position behind all that was written before this call, for `after` in this program or another one.

        It is one of the write-ahead log, as a text. Raises ConfigurationError where there are none.
        """
        raise no_position(type(self).__name__)

    async def set_policy(self, memory_store_type: StoreName, policy: Policy | None) -> None:
        """Say what of a store's documents `apply_policies` deletes, in every tenant; None takes the policy away.

        Nothing is deleted by it alone. Raises ConfigurationError for what is no Policy, and where there are none.
        """
        await self.run(self.operations.set_policy, memory_store_type, policy)

    async def policies(self) -> dict[str, Policy]:
        """Return the policies of the stores that have one. Raises ConfigurationError where there are none."""
        return await self.run(self.operations.policies)

    async def health(self, timeout: float = 1.0) -> Health:
        """Return whether calls can be made now: the server answers, the schema fits, a connection is free.

        For a probe: it costs two small statements on a pooled connection, changes nothing, and waits `timeout` seconds
        at most, also for a server that is frozen; what is wrong it returns and does not raise. An async provider that
        is not open yet goes on opening by itself where that takes longer.

        Raises ConfigurationError for a timeout that is no number above 0, and in a provider that cannot say.
        """
        raise ConfigurationError(f"{type(self).__name__} does not say how it is")

    async def note_embedding_model(self, name: str) -> None:
        """Note which model made the vectors, where nobody has said so and the provider remembers it."""

    @property
    def has_embedder(self) -> bool:
        """Whether documents that are stored without an embedding get one."""
        return False

    async def embedded(
        self, documents: Iterable[Mapping[str, Any]], memory_store_type: StoreName
    ) -> list[Mapping[str, Any]]:
        """Return documents with the embedding of their text, where they have a text, and no key `embedding`.

        Stored in a transaction they need no model, for which a connection would wait. Without an embedder, and in a
        store that is not embedded, they are returned as they are.
        """
        return list(documents)

    def tenant(self, name: str, *, max_limit: int | None = None) -> AsyncMemoryProvider:
        return self._view(EVERYTHING.of_tenant(name, max_limit))

    def memory(self, name: str, *, agent: str | None = None, max_limit: int | None = None) -> AsyncMemoryProvider:
        return self._view(EVERYTHING.of_memory(name, agent, max_limit))

    def acting(self, actor: str, call: str | None = None) -> AsyncMemoryProvider:
        return self._view(EVERYTHING.of_actor(actor, call))

    def at(self, time: datetime | str) -> AsyncMemoryProvider:
        return self._view(EVERYTHING.of_time(time))

    def after(self, position: str) -> AsyncMemoryProvider:
        return self._view(EVERYTHING.of_position(position))

    def _view(self, scope: Scope) -> AsyncMemoryProvider:
        from memorizz.memory_provider.base._views_async import AsyncProviderView

        return AsyncProviderView(self, scope)

    def transaction(self) -> AbstractAsyncContextManager[AsyncMemoryOperations]:
        """Open a block whose operations, in all stores, happen together or not at all.

        An exception rolls everything back and leaves the block as it was raised. Raises ConfigurationError where the
        server has no transactions.
        """
        raise ConfigurationError(f"{type(self).__name__} has no transactions")

    @asynccontextmanager
    async def loading(
        self, memory_store_type: StoreName, watch: Callable[[float], None] | None = None
    ) -> AsyncGenerator[None]:
        """Prepare a store for very many documents, and complete it when the block has ended without an error.

        What costs less when it is made once at the end, a vector index, is made then, where the store is empty at
        first; until then searches there are exact and slow. `watch` is told how much of it is done, from 0 to 1.
        Where a block did not reach its end, the next one on the same store completes it.
        """
        yield

    @abstractmethod
    async def close(self) -> None:
        """Give back every connection; any call after it is ProviderClosed. Closing twice is fine."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
