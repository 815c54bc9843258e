"""The views of one tenant or memory on the async API: the methods of a provider, and no way out of the scope."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from memorizz.errors import ConfigurationError
from memorizz.memory_provider.base._async import AsyncMemoryOperations
from memorizz.memory_provider.base._provider_async import AsyncMemoryProvider
from memorizz.memory_provider.options import Health, StoreName
from memorizz.memory_provider.policies import Policy
from memorizz.memory_provider.scopes import Scope, Scoped, check_supported
from memorizz.memory_provider.stores import StoreSpec


class AsyncView(AsyncMemoryOperations):
    """What a provider or its transaction does, within a scope."""

    def __init__(self, whole: AsyncMemoryOperations, scope: Scope) -> None:
        check_supported(scope, whole._scoped_by, type(whole).__name__)
        self._whole = whole
        self.scope = scope
        vars(self)["operations"] = whole.operations

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.scope}>"

    async def run(self, operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return await self._whole.run(Scoped(self.scope, operation), *args, **kwargs)

    async def run_in_transaction(self, operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return await self._whole.run_in_transaction(Scoped(self.scope, operation), *args, **kwargs)

    def tenant(self, name: str, *, max_limit: int | None = None) -> Any:
        return self._whole._view(self.scope.of_tenant(name, max_limit))

    def memory(self, name: str, *, agent: str | None = None, max_limit: int | None = None) -> Any:
        return self._whole._view(self.scope.of_memory(name, agent, max_limit))

    def acting(self, actor: str, call: str | None = None) -> Any:
        return self._whole._view(self.scope.of_actor(actor, call))

    def at(self, time: datetime | str) -> Any:
        return self._whole._view(self.scope.of_time(time))

    def after(self, position: str) -> Any:
        return self._whole._view(self.scope.of_position(position))


class AsyncProviderView(AsyncView, AsyncMemoryProvider):
    """What a provider does, within a scope, on the connections of the provider, which alone opens and closes them."""

    _whole: AsyncMemoryProvider

    def __init__(self, whole: AsyncMemoryProvider, scope: Scope) -> None:
        super().__init__(whole, scope)
        vars(self)["has_large_transactions"] = whole.has_large_transactions

    @property
    def location(self) -> str:
        return f"{self._whole.location}, {self.scope}"

    @property
    def identity(self) -> str | None:
        identity = self._whole.identity
        return None if identity is None else f"{identity}, {self.scope}"

    @property
    def embedding_dimensions(self) -> int | None:
        return self._whole.embedding_dimensions

    @property
    def embedding_model(self) -> str | None:
        return self._whole.embedding_model

    @property
    def has_embedder(self) -> bool:
        return self._whole.has_embedder

    async def create_store(self, spec: StoreSpec) -> None:
        await self._whole.create_store(spec)

    async def stores(self) -> list[StoreSpec]:
        return await self._whole.stores()

    async def position(self) -> str:
        return await self._whole.position()

    async def drop_store(self, name: str, *, yes: bool = False) -> None:
        raise ConfigurationError(
            "a view drops no store, for the others have documents in it: delete_all() deletes those of this view, "
            "drop_store() of the provider itself drops the store"
        )

    async def keep_history(self, memory_store_type: StoreName, retention: timedelta | None = None) -> None:
        raise _of_whole_stores("keep_history")

    async def drop_history(self, memory_store_type: StoreName, *, yes: bool = False) -> None:
        raise _of_whole_stores("drop_history")

    async def set_policy(self, memory_store_type: StoreName, policy: Policy | None) -> None:
        raise _of_whole_stores("set_policy")

    async def policies(self) -> dict[str, Policy]:
        return await self._whole.policies()

    async def health(self, timeout: float = 1.0) -> Health:
        return await self._whole.health(timeout)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[AsyncMemoryOperations]:
        async with self._whole.transaction() as transaction:
            yield transaction._view(self.scope)

    async def close(self) -> None:
        """Close nothing: the connections are the provider's."""


def _of_whole_stores(name: str) -> ConfigurationError:
    return ConfigurationError(f"{name}(): a view has no stores of its own; ask the provider itself")
