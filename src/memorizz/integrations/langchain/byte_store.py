"""LangChain's key-value store of bytes."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import cast

from langchain_core.stores import BaseStore

from memorizz.errors import InvalidDocument
from memorizz.integrations._providers import in_thread
from memorizz.integrations.langchain._store import Stored
from memorizz.memory_provider.stores import StoreSpec

# How many keys are read at once.
_PAGE = 1000


class MemorizzByteStore(Stored, BaseStore[str, bytes]):
    """Keep bytes under keys in PostgreSQL: a ByteStore, as CacheBackedEmbeddings and create_kv_docstore take one.

    source: a provider on the sync API, a connection string or a PostgreSQLConfig; None is the server that the
        environment names, or the embedded one.
    store: the name of its table, which is made where it is missing.

    A key is any text but the empty one, without NUL. Raises InvalidDocument for another.
    """

    def __init__(self, source: object = None, *, store: str = "langchain_bytes") -> None:
        self.store = store
        self._open(source, StoreSpec(store, index="none", embedded=False, memories=False))

    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the value of each key, None where there is none."""
        found = self._found(keys)
        return [base64.b64decode(found[key]["value"]) if key in found else None for key in keys]

    async def amget(self, keys: Sequence[str]) -> list[bytes | None]:
        """Mget, awaited."""
        return await in_thread(self.mget, keys)

    def mset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        """Set values, all or none; of a key that is given twice the last one stays."""
        if any(key is None for key, _ in cast("Sequence[tuple[object, object]]", key_value_pairs)):
            # The provider would make an id.
            raise InvalidDocument("id", "None is no key: expected a text")
        documents = [{"id": key, "value": base64.b64encode(value).decode()} for key, value in key_value_pairs]
        self.provider.store_many(documents, self.store)

    async def amset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        """Mset, awaited."""
        await in_thread(self.mset, key_value_pairs)

    def mdelete(self, keys: Sequence[str]) -> None:
        """Delete keys; those that are not there are no error."""
        self._delete(keys)

    async def amdelete(self, keys: Sequence[str]) -> None:
        """Mdelete, awaited."""
        await in_thread(self.mdelete, keys)

    def yield_keys(self, *, prefix: str | None = None) -> Iterator[str]:
        """Yield the keys that begin with a text, in the order in which they were first set."""
        for found in self.provider.iterate(self.store, {"id": {"$prefix": prefix or ""}}, _PAGE):
            yield found["id"]

    # Its declaration in the base is a coroutine that returns an iterator, and its body an iterator, as this one.
    async def ayield_keys(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, *, prefix: str | None = None
    ) -> AsyncIterator[str]:
        """yield_keys, awaited."""
        keys = self.yield_keys(prefix=prefix)
        while (key := await in_thread(next, keys, None)) is not None:
            yield key
