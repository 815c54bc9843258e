"""LangGraph's cache: what a node has returned for an input, so that it need not run again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langgraph.cache.base import BaseCache, FullKey, Namespace
from langgraph.checkpoint.serde.base import SerializerProtocol

from memorizz.integrations._providers import in_thread, key_of
from memorizz.integrations.langgraph import _rows
from memorizz.integrations.langgraph._opened import Opened
from memorizz.memory_provider.stores import StoreSpec

_LEAST = 1e-6
CACHE = StoreSpec("langgraph_cache", index="none", embedded=False, memories=False)


class MemorizzCache(Opened, BaseCache[Any]):
    """Keep what nodes have returned in PostgreSQL, for every process.

    source: a connection string, a PostgreSQLConfig, or a provider on the sync API, which is left open; None is the
        server that the environment names, or the embedded one.
    serde: how values become bytes, LangGraph's own where none is given.

    Every method has its async twin on the same object, which may be used by several threads and event loops at once.
    """

    def __init__(self, source: object = None, *, serde: SerializerProtocol | None = None) -> None:
        super().__init__(serde=serde)
        self._set_up(source, CACHE)

    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
        """Return the values of the keys that are there and have not expired."""
        if not keys:
            return {}
        wanted = {_id_of(key): key for key in keys}
        found = self.provider.retrieve_by_query({"id": {"$in": [*wanted]}}, CACHE.name, len(wanted))
        return {wanted[row["id"]]: _rows.unpacked(self.serde, row["value"]) for row in found}

    def set(self, pairs: Mapping[FullKey, tuple[Any, int | None]]) -> None:
        """Keep values, each for so many seconds, or for ever where that is None."""
        self.provider.store_many(
            [
                {
                    "id": _id_of(key),
                    "memory_id": key_of(*key[0]) if key[0] else "",
                    "value": _rows.packed(self.serde, value),
                    # What is kept for no time has expired when it is read.
                    "ttl": None if ttl is None else max(ttl, _LEAST),
                }
                for key, (value, ttl) in pairs.items()
            ],
            CACHE.name,
        )

    def clear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Delete what is in some namespaces, or everything where none are given."""
        if namespaces is None:
            self.provider.delete_all(CACHE.name)
        elif namespaces:
            owners = [key_of(*namespace) if namespace else "" for namespace in namespaces]
            self.provider.delete(CACHE.name, {"memory_id": {"$in": owners}})

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
        """Do what `get` does."""
        return await in_thread(self.get, keys)

    async def aset(self, pairs: Mapping[FullKey, tuple[Any, int | None]]) -> None:
        """Do what `set` does."""
        await in_thread(self.set, pairs)

    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Do what `clear` does."""
        await in_thread(self.clear, namespaces)


def _id_of(key: FullKey) -> str:
    namespace, name = key
    return key_of(*namespace, name)
