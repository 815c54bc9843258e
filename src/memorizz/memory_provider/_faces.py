"""The methods of the contract, once for each face: each asks its provider to run the operation of its name."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Literal

from memorizz.memory_provider.base import (
    AsyncMemoryOperations,
    Document,
    Filter,
    Hits,
    MemoryOperations,
    Ranking,
    StoreName,
)


class BlockingMethods(MemoryOperations):
    """Every method of the blocking face, for a provider and for its transaction.

    `operations` is the module that has a generator function for each.
    """

    operations: ClassVar[Any]

    @abstractmethod
    def run(self, operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run an operation; each of its steps is a transaction of its own unless one is open."""

    @abstractmethod
    def run_whole(self, operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run an operation in one transaction."""

    def store(self, data: Mapping[str, Any], memory_store_type: StoreName) -> str:
        return self.run(self.operations.store, data, memory_store_type)

    def store_many(self, documents: Iterable[Mapping[str, Any]], memory_store_type: StoreName) -> list[str]:
        return self.run_whole(self.operations.store_many, documents, memory_store_type)

    def check(self, data: Mapping[str, Any], memory_store_type: StoreName) -> None:
        return self.run(self.operations.check, data, memory_store_type)

    def retrieve_by_id(
        self, id: Any, memory_store_type: StoreName, *, include_embedding: bool = False
    ) -> Document | None:
        return self.run(self.operations.retrieve_by_id, id, memory_store_type, include_embedding=include_embedding)

    def retrieve_by_name(
        self, name: str, memory_store_type: StoreName, *, include_embedding: bool = False
    ) -> Document | None:
        return self.run(self.operations.retrieve_by_name, name, memory_store_type, include_embedding=include_embedding)

    def retrieve_by_query(
        self,
        query: Filter | str,
        memory_store_type: StoreName,
        limit: int = 1,
        *,
        include_embedding: bool = False,
        exact: bool = False,
        ef_search: int | None = None,
        ranking: Ranking | None = None,
        min_score: float | None = None,
        context: int = 0,
        touch: bool = False,
        explain: bool | Literal["plan"] = False,
    ) -> Hits:
        return self.run(
            self.operations.retrieve_by_query,
            query,
            memory_store_type,
            limit,
            include_embedding=include_embedding,
            exact=exact,
            ef_search=ef_search,
            ranking=ranking,
            min_score=min_score,
            context=context,
            touch=touch,
            explain=explain,
        )

    def update_by_id(self, id: Any, data: Mapping[str, Any], memory_store_type: StoreName) -> bool:
        return self.run(self.operations.update_by_id, id, data, memory_store_type)

    def delete_by_id(self, id: Any, memory_store_type: StoreName) -> bool:
        return self.run(self.operations.delete_by_id, id, memory_store_type)

    def delete_by_name(self, name: str, memory_store_type: StoreName) -> bool:
        return self.run(self.operations.delete_by_name, name, memory_store_type)

    def delete_all(self, memory_store_type: StoreName) -> bool:
        return self.run(self.operations.delete_all, memory_store_type)

    def list_all(self, memory_store_type: StoreName, *, include_embedding: bool = False) -> list[Document]:
        return self.run(self.operations.list_all, memory_store_type, include_embedding=include_embedding)

    def count(self, memory_store_type: StoreName, filter: Filter | None = None) -> int:
        return self.run(self.operations.count, memory_store_type, filter)

    def retrieve_conversation_history_ordered_by_timestamp(
        self,
        memory_id: str,
        limit: int | None = None,
        before: str | datetime | None = None,
        *,
        include_embedding: bool = False,
    ) -> list[Document]:
        return self.run(
            self.operations.retrieve_conversation_history_ordered_by_timestamp,
            memory_id,
            limit,
            before,
            include_embedding=include_embedding,
        )

    def store_memagent(self, agent: Any) -> str:
        return self.run(self.operations.store_memagent, agent)

    def update_memagent(self, agent: Any) -> bool:
        return self.run(self.operations.update_memagent, agent)

    def retrieve_memagent(self, id: Any) -> Document | None:
        return self.run(self.operations.retrieve_memagent, id)

    def list_memagents(self) -> list[Document]:
        return self.run(self.operations.list_memagents)

    def update_memagent_memory_ids(self, id: Any, memory_ids: Sequence[str]) -> bool:
        return self.run(self.operations.update_memagent_memory_ids, id, memory_ids)

    def delete_memagent_memory_ids(self, id: Any) -> bool:
        return self.run(self.operations.delete_memagent_memory_ids, id)

    def delete_memagent(self, id: Any, cascade: bool = False) -> bool:
        return self.run(self.operations.delete_memagent, id, cascade)

    def retrieve_memory_components_by_query(
        self,
        query: str | None = None,
        query_embedding: Any = None,
        memory_id: str | None = None,
        memory_type: StoreName | None = None,
        limit: int = 5,
    ) -> list[Document]:
        return self.run(
            self.operations.retrieve_memory_components_by_query, query, query_embedding, memory_id, memory_type, limit
        )

    def purge_expired(self, memory_store_type: StoreName | None = None) -> int:
        return self.run(self.operations.purge_expired, memory_store_type)

    def iterate(
        self,
        memory_store_type: StoreName,
        filter: Filter | None = None,
        batch_size: int = 1000,
        *,
        include_embedding: bool = False,
        after: Any = None,
    ) -> Iterator[Document]:
        place: Any = self.operations.BEGINNING
        if after is not None:
            place = self.run(self.operations.place_of, after, memory_store_type)
        while place is not None:
            documents, place = self.run(
                self.operations.page, memory_store_type, filter, batch_size, include_embedding, place
            )
            yield from documents


class AwaitedMethods(AsyncMemoryOperations):
    """Every method of the async face, for a provider and for its transaction."""

    operations: ClassVar[Any]

    @abstractmethod
    async def run(self, operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run an operation; each of its steps is a transaction of its own unless one is open."""

    @abstractmethod
    async def run_whole(self, operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run an operation in one transaction."""

    async def store(self, data: Mapping[str, Any], memory_store_type: StoreName) -> str:
        return await self.run(self.operations.store, data, memory_store_type)

    async def store_many(self, documents: Iterable[Mapping[str, Any]], memory_store_type: StoreName) -> list[str]:
        return await self.run_whole(self.operations.store_many, documents, memory_store_type)

    async def check(self, data: Mapping[str, Any], memory_store_type: StoreName) -> None:
        return await self.run(self.operations.check, data, memory_store_type)

    async def retrieve_by_id(
        self, id: Any, memory_store_type: StoreName, *, include_embedding: bool = False
    ) -> Document | None:
        return await self.run(
            self.operations.retrieve_by_id, id, memory_store_type, include_embedding=include_embedding
        )

    async def retrieve_by_name(
        self, name: str, memory_store_type: StoreName, *, include_embedding: bool = False
    ) -> Document | None:
        return await self.run(
            self.operations.retrieve_by_name, name, memory_store_type, include_embedding=include_embedding
        )

    async def retrieve_by_query(
        self,
        query: Filter | str,
        memory_store_type: StoreName,
        limit: int = 1,
        *,
        include_embedding: bool = False,
        exact: bool = False,
        ef_search: int | None = None,
        ranking: Ranking | None = None,
        min_score: float | None = None,
        context: int = 0,
        touch: bool = False,
        explain: bool | Literal["plan"] = False,
    ) -> Hits:
        return await self.run(
            self.operations.retrieve_by_query,
            query,
            memory_store_type,
            limit,
            include_embedding=include_embedding,
            exact=exact,
            ef_search=ef_search,
            ranking=ranking,
            min_score=min_score,
            context=context,
            touch=touch,
            explain=explain,
        )

    async def update_by_id(self, id: Any, data: Mapping[str, Any], memory_store_type: StoreName) -> bool:
        return await self.run(self.operations.update_by_id, id, data, memory_store_type)

    async def delete_by_id(self, id: Any, memory_store_type: StoreName) -> bool:
        return await self.run(self.operations.delete_by_id, id, memory_store_type)

    async def delete_by_name(self, name: str, memory_store_type: StoreName) -> bool:
        return await self.run(self.operations.delete_by_name, name, memory_store_type)

    async def delete_all(self, memory_store_type: StoreName) -> bool:
        return await self.run(self.operations.delete_all, memory_store_type)

    async def list_all(self, memory_store_type: StoreName, *, include_embedding: bool = False) -> list[Document]:
        return await self.run(self.operations.list_all, memory_store_type, include_embedding=include_embedding)

    async def count(self, memory_store_type: StoreName, filter: Filter | None = None) -> int:
        return await self.run(self.operations.count, memory_store_type, filter)

    async def retrieve_conversation_history_ordered_by_timestamp(
        self,
        memory_id: str,
        limit: int | None = None,
        before: str | datetime | None = None,
        *,
        include_embedding: bool = False,
    ) -> list[Document]:
        return await self.run(
            self.operations.retrieve_conversation_history_ordered_by_timestamp,
            memory_id,
            limit,
            before,
            include_embedding=include_embedding,
        )

    async def store_memagent(self, agent: Any) -> str:
        return await self.run(self.operations.store_memagent, agent)

    async def update_memagent(self, agent: Any) -> bool:
        return await self.run(self.operations.update_memagent, agent)

    async def retrieve_memagent(self, id: Any) -> Document | None:
        return await self.run(self.operations.retrieve_memagent, id)

    async def list_memagents(self) -> list[Document]:
        return await self.run(self.operations.list_memagents)

    async def update_memagent_memory_ids(self, id: Any, memory_ids: Sequence[str]) -> bool:
        return await self.run(self.operations.update_memagent_memory_ids, id, memory_ids)

    async def delete_memagent_memory_ids(self, id: Any) -> bool:
        return await self.run(self.operations.delete_memagent_memory_ids, id)

    async def delete_memagent(self, id: Any, cascade: bool = False) -> bool:
        return await self.run(self.operations.delete_memagent, id, cascade)

    async def retrieve_memory_components_by_query(
        self,
        query: str | None = None,
        query_embedding: Any = None,
        memory_id: str | None = None,
        memory_type: StoreName | None = None,
        limit: int = 5,
    ) -> list[Document]:
        return await self.run(
            self.operations.retrieve_memory_components_by_query, query, query_embedding, memory_id, memory_type, limit
        )

    async def purge_expired(self, memory_store_type: StoreName | None = None) -> int:
        return await self.run(self.operations.purge_expired, memory_store_type)

    async def iterate(
        self,
        memory_store_type: StoreName,
        filter: Filter | None = None,
        batch_size: int = 1000,
        *,
        include_embedding: bool = False,
        after: Any = None,
    ) -> AsyncIterator[Document]:
        place: Any = self.operations.BEGINNING
        if after is not None:
            place = await self.run(self.operations.place_of, after, memory_store_type)
        while place is not None:
            documents, place = await self.run(
                self.operations.page, memory_store_type, filter, batch_size, include_embedding, place
            )
            for document in documents:
                yield document
