"""The contract on the async API: what every memory provider does. No IO and no SQL."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, ClassVar, Literal, Self

from memorizz.errors import ConfigurationError
from memorizz.memory_provider.options import (
    Document,
    Filter,
    Hits,
    Ranking,
    SearchOptions,
    StoreName,
    check_flag,
    search_options,
)
from memorizz.memory_provider.stores import AGENTS, SEVEN, StoreSpec


class AsyncMemoryOperations(ABC):
    """What can be done with memories, in a provider and inside its transaction.

    Every method takes a MemoryType or its value; anything else is a ConfigurationError that lists the seven. Every
    returned document carries its id as `id` and as `_id`, and no embedding unless `include_embedding=True`. Documents
    whose `expires_at` has passed are in no read.

    A method runs the operation of its name. To implement the contract is to name the module of the `operations`,
    which has a generator function for each, and to run them.
    """

    operations: ClassVar[Any]

    @abstractmethod
    async def run(self, operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run an operation; each of its steps is a transaction of its own unless one is open."""

    @abstractmethod
    async def run_in_transaction(self, operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run an operation in one transaction."""

    async def store(self, data: Mapping[str, Any], memory_store_type: StoreName) -> str:
        """Store a document and return its id.

        Without `id` or `_id` a new document is inserted, under a new UUIDv7. With one of them the document is inserted
        under that id, or, where it exists, the given keys are merged into it: keys not given stay, `updated_at`
        moves, `created_at` does not. `embedding` is a list, tuple or numpy array of the store's dimensions; None
        clears it. The caller's dict is not changed.

        Raises InvalidDocument, with the key path, for a value that cannot be kept, DimensionMismatch for an embedding
        of another length.
        """
        return await self.run(self.operations.store, data, memory_store_type)

    async def store_many(self, documents: Iterable[Mapping[str, Any]], memory_store_type: StoreName) -> list[str]:
        """Store documents, all or nothing, and return their ids in order.

        Each is stored as by `store`; the same id twice merges in order. A generator is consumed in batches inside one
        transaction, so that it may yield more than memory holds.
        """
        return await self.run_in_transaction(self.operations.store_many, documents, memory_store_type)

    async def check(self, data: Mapping[str, Any], memory_store_type: StoreName) -> None:
        """Raise what `store` would raise for a document that cannot be kept; store nothing."""
        return await self.run(self.operations.check, data, memory_store_type)

    async def retrieve_by_id(
        self, id: Any, memory_store_type: StoreName, *, include_embedding: bool = False
    ) -> Document | None:
        """Return the document with an id, or None where there is none or the id is malformed."""
        check_flag(include_embedding, "include_embedding")
        return await self.run(
            self.operations.retrieve_by_id, id, memory_store_type, include_embedding=include_embedding
        )

    async def retrieve_by_name(
        self, name: str, memory_store_type: StoreName, *, include_embedding: bool = False
    ) -> Document | None:
        """Return the newest document with a name, or None."""
        check_flag(include_embedding, "include_embedding")
        return await self.run(
            self.operations.retrieve_by_name, name, memory_store_type, include_embedding=include_embedding
        )

    async def retrieve_by_query(
        self,
        query: Filter | str,
        memory_store_type: StoreName,
        limit: int = 1,
        *,
        options: SearchOptions | None = None,
        include_embedding: bool = False,
        exact: bool = False,
        ef_search: int | None = None,
        ranking: Ranking | None = None,
        min_score: float | None = None,
        context: int = 0,
        touch: bool = False,
        explain: bool | Literal["plan"] = False,
    ) -> Hits:
        """Return the documents that match a query, the best first; an empty list when none does.

        `query` is a str, searched by meaning and words where the provider has an embedder, else by words; or a dict of
        filters in which `embedding` ranks by cosine similarity to a vector, or to a text where the provider has an
        embedder, `{"$text": {"$search": words}}` by words, and both together by meaning and words; `limit` inside the
        dict wins over the argument. With filters only: oldest first. Never fewer than `limit` hits while more documents
        match. Ranked hits carry `score` (more is better) and, where a vector ranked, `distance` (less is nearer), and
        the same as `_score` and `_distance`.

        The other keywords are the fields of SearchOptions, described there. One that is not its default wins over
        `options`.

        Raises FilterError for a malformed filter, DimensionMismatch or InvalidDocument for a wrong embedding,
        ConfigurationError for an option out of range.
        """
        options = search_options(
            options,
            include_embedding=include_embedding,
            exact=exact,
            ef_search=ef_search,
            ranking=ranking,
            min_score=min_score,
            context=context,
            touch=touch,
            explain=explain,
        )
        return await self.run(self.operations.retrieve_by_query, query, memory_store_type, limit, options)

    async def update_by_id(self, id: Any, data: Mapping[str, Any], memory_store_type: StoreName) -> bool:
        """Merge keys into a document; True when it exists, even if nothing changed."""
        return await self.run(self.operations.update_by_id, id, data, memory_store_type)

    async def delete_by_id(self, id: Any, memory_store_type: StoreName) -> bool:
        """Delete a document; True when there was one."""
        return await self.run(self.operations.delete_by_id, id, memory_store_type)

    async def delete_by_name(self, name: str, memory_store_type: StoreName) -> bool:
        """Delete one document with a name, the one that `retrieve_by_name` shows; True when there was one."""
        return await self.run(self.operations.delete_by_name, name, memory_store_type)

    async def delete_all(self, memory_store_type: StoreName) -> bool:
        """Delete every document of one store; True."""
        return await self.run(self.operations.delete_all, memory_store_type)

    async def list_all(self, memory_store_type: StoreName, *, include_embedding: bool = False) -> list[Document]:
        """Return every document of a store, oldest first; `iterate` does not hold them all in memory."""
        check_flag(include_embedding, "include_embedding")
        return await self.run(self.operations.list_all, memory_store_type, include_embedding=include_embedding)

    async def count(self, memory_store_type: StoreName, filter: Filter | None = None) -> int:
        """Return how many documents of a store match a filter."""
        return await self.run(self.operations.count, memory_store_type, filter)

    async def retrieve_conversation_history_ordered_by_timestamp(
        self,
        memory_id: str,
        limit: int | None = None,
        before: str | datetime | None = None,
        *,
        include_embedding: bool = False,
    ) -> list[Document]:
        """Return the turns of one memory, oldest first; turns of the same time in the order they were stored.

        `limit` keeps the newest N, still oldest first. `before`, a turn's id (exact also among turns of the same time)
        or a time, pages back. Raises FilterError when `before` is neither a time nor a turn of this memory.
        """
        check_flag(include_embedding, "include_embedding")
        return await self.run(
            self.operations.retrieve_conversation_history_ordered_by_timestamp,
            memory_id,
            limit,
            before,
            include_embedding=include_embedding,
        )

    async def store_memagent(self, agent: Any) -> str:
        """Store an agent, a dict or an object with `model_dump()` or `to_dict()`, and return its id.

        The id is the agent's `id`, `_id` or `agent_id`, or a new one; an agent that exists is merged as by `store`.
        Python callables, which no database can hold, are left out; everything else comes back as it went in.
        """
        return await self.store(self.operations.agent_document(agent), AGENTS)

    async def update_memagent(self, agent: Any) -> bool:
        """Merge an agent into the stored one with its id; True when it exists. Raises InvalidDocument without id."""
        id, document = self.operations.agent_with_id(agent)
        return await self.update_by_id(id, document, AGENTS)

    async def retrieve_memagent(self, id: Any) -> Document | None:
        """Return an agent, or None."""
        return await self.retrieve_by_id(id, AGENTS)

    async def list_memagents(self) -> list[Document]:
        """Return every agent, oldest first."""
        return await self.list_all(AGENTS)

    async def update_memagent_memory_ids(self, id: Any, memory_ids: Sequence[str]) -> bool:
        """Replace the memory_ids of an agent; True when it exists."""
        return await self.update_by_id(id, self.operations.agent_memories(memory_ids), AGENTS)

    async def delete_memagent_memory_ids(self, id: Any) -> bool:
        """Empty the memory_ids of an agent, without deleting any memory; True when it exists."""
        return await self.update_by_id(id, self.operations.agent_memories(()), AGENTS)

    async def delete_memagent(self, id: Any, cascade: bool = False) -> bool:
        """Delete an agent; True when there was one.

        `cascade` also deletes, in every other store, the documents that carry one of the agent's memory_ids, except
        those of a memory that another agent still lists. All or nothing.
        """
        check_flag(cascade, "cascade")
        run = self.run_in_transaction if cascade else self.run
        return await run(self.operations.delete_memagent, id, cascade)

    async def retrieve_memory_components_by_query(
        self,
        query: str | None = None,
        query_embedding: Any = None,
        memory_id: str | None = None,
        memory_type: StoreName | None = None,
        limit: int = 5,
    ) -> list[Document]:
        """Return the best documents of one memory, with `embedding` and `score`, the best first.

        Ranked by `query_embedding`, by the words of `query`, or by both. `memory_type` None searches every store but
        the agents and merges by score.
        """
        return await self.run(
            self.operations.retrieve_memory_components_by_query, query, query_embedding, memory_id, memory_type, limit
        )

    async def purge_expired(self, memory_store_type: StoreName | None = None) -> int:
        """Remove the documents whose `expires_at` has passed from one store, or from all; return how many."""
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
        """Yield the documents that match a filter, oldest first, reading `batch_size` at a time.

        after: the id of a document; begins with the one behind it. Raises FilterError where there is none of that id.
        """
        check_flag(include_embedding, "include_embedding")
        place: Any = self.operations.BEGINNING
        if after is not None:
            place = await self.run(self.operations.place_of, after, memory_store_type)
        while place is not None:
            documents, place = await self.run(
                self.operations.page, memory_store_type, filter, batch_size, include_embedding, place
            )
            for document in documents:
                yield document


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
