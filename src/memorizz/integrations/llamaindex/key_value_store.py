"""LlamaIndex's key-value store, on which its stores of documents and indexes work."""

from __future__ import annotations

import json
from typing import Any

from llama_index.core.storage.kvstore.types import DEFAULT_BATCH_SIZE, DEFAULT_COLLECTION, BaseKVStore

from memorizz.integrations._providers import in_thread, key_of, to_json
from memorizz.integrations.llamaindex._kept import KeptOfNoMemory
from memorizz.memory_provider.stores import StoreSpec


class MemorizzKVStore(KeptOfNoMemory, BaseKVStore):
    """Keep values under keys: `KVDocumentStore(MemorizzKVStore(...))`, `KVIndexStore(MemorizzKVStore(...))`.

    source: a provider on the sync API, a connection string or a PostgreSQLConfig; None is the server that the
        environment names, or the embedded one. What is opened here, `close` closes.
    store: the name of its table, which is made where it is missing.

    A collection and a key are any text. Raises InvalidDocument for a value that JSON cannot hold.
    """

    def __init__(self, source: object = None, *, store: str = "llamaindex_values") -> None:
        self.store = store
        super().__init__(source, StoreSpec(store, index="none", embedded=False, memories=False))

    def put(self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION) -> None:
        """Set the value of a key."""
        self.put_all([(key, val)], collection)

    async def aput(self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION) -> None:
        """Put, awaited."""
        await in_thread(self.put, key, val, collection)

    def put_all(
        self,
        kv_pairs: list[tuple[str, dict[str, Any]]],
        collection: str = DEFAULT_COLLECTION,
        batch_size: int = DEFAULT_BATCH_SIZE,
    ) -> None:
        """Set values, all or none, whatever the size of a batch; of a key that is given twice the last one stays."""
        documents = [
            {
                "id": key_of(collection, key),
                "collection": json.dumps(collection),
                "key": json.dumps(key),
                "value": to_json(value, key),
            }
            for key, value in kv_pairs
        ]
        self.provider.store_many(documents, self.store)

    async def aput_all(
        self,
        kv_pairs: list[tuple[str, dict[str, Any]]],
        collection: str = DEFAULT_COLLECTION,
        batch_size: int = DEFAULT_BATCH_SIZE,
    ) -> None:
        """put_all, awaited."""
        await in_thread(self.put_all, kv_pairs, collection)

    def get(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        """Return the value of a key, or None."""
        found = self.provider.retrieve_by_id(key_of(collection, key), self.store)
        return None if found is None else json.loads(found["value"])

    async def aget(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        """Get, awaited."""
        return await in_thread(self.get, key, collection)

    def get_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        """Return the values of a collection by their keys, in the order in which these were first set."""
        found = self.provider.iterate(self.store, {"collection": json.dumps(collection)})
        return {json.loads(each["key"]): json.loads(each["value"]) for each in found}

    async def aget_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        """get_all, awaited."""
        return await in_thread(self.get_all, collection)

    def delete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Delete the value of a key; return whether there was one."""
        return self.provider.delete(self.store, {"id": key_of(collection, key)}) == 1

    async def adelete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Delete, awaited."""
        return await in_thread(self.delete, key, collection)
