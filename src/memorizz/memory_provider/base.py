"""The contract: what every memory provider does, on the blocking and on the async face. No IO and no SQL."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, ClassVar, Literal, Self, TypeGuard

from memorizz.errors import ConfigurationError
from memorizz.memory_provider.memory_type import MemoryType

Document = dict[str, Any]
StoreName = MemoryType | str
Filter = Mapping[str, Any]

# More than any score needs, and little enough for every sum of them.
LARGEST_WEIGHT = 1_000_000


def is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Say how hits are ranked: the weight of each part of their score, 0 leaves a part out.

    A hit's score is the sum of its parts. With `embedding` alone and no other part it is the cosine similarity.

    meaning: times the cosine similarity to the query's vector.
    words: times the text score (ts_rank) as a share of the best one. None is 0.3 where the embedder got the
        question, 0.6 where the query brings its vector, 1 where no vector ranks.
    fusion: "score" adds the parts as above; "rrf" puts 1 / (10 + rank) in the place of either share (reciprocal rank
        fusion, Cormack et al. 2009).
    speaker: for a document whose `role` the query names. None is 0.05 for conversations where the name was cut out of
        the text that the embedder got, else 0.
    session: times the best score in the same `conversation_id`. None is 0.4 for conversations.
    recency: times 0.5 ** (age in days / half_life); the age of `timestamp`, or else of `created_at`.
    importance: times `importance_score`.

    The defaults are measured: docs/search.md. `speaker` and `session` apply where words are searched.
    """

    meaning: float = 0.7
    words: float | None = None
    fusion: Literal["score", "rrf"] = "score"
    speaker: float | None = None
    session: float | None = None
    recency: float = 0.0
    half_life: float = 30.0
    importance: float = 0.0

    def __post_init__(self) -> None:
        if self.fusion not in ("score", "rrf"):
            raise ConfigurationError(f"fusion={self.fusion!r}: expected 'score' or 'rrf'")
        for name in ("meaning", "words", "speaker", "session", "recency", "importance", "half_life"):
            weight = getattr(self, name)
            if weight is None and name in ("words", "speaker", "session"):
                continue
            if not is_number(weight) or not 0 <= weight <= LARGEST_WEIGHT:
                raise ConfigurationError(f"{name}={weight!r}: expected a number from 0 to {LARGEST_WEIGHT:,}")
        if self.half_life < 1e-6:
            raise ConfigurationError(f"half_life={self.half_life!r}: expected a number of days of at least 1e-6")


class Hits(list[Document]):
    """The documents that a query found; `explanation` says how, where it was asked for."""

    explanation: dict[str, Any] | None = None


class MemoryOperations(ABC):
    """What can be done with memories, in a provider and inside its transaction.

    Every method takes a MemoryType or its value; anything else is a ConfigurationError that lists the seven. Every
    returned document carries its id as `id` and as `_id`, and no embedding unless `include_embedding=True`. Documents
    whose `expires_at` has passed are in no read.
    """

    @abstractmethod
    def store(self, data: Mapping[str, Any], memory_store_type: StoreName) -> str:
        """Store a document and return its id.

        Without `id` or `_id` a new document is inserted, under a new UUIDv7. With one of them the document is inserted
        under that id, or, where it exists, the given keys are merged into it: keys not given stay, `updated_at`
        moves, `created_at` does not. `embedding` is a list, tuple or numpy array of the store's dimensions; None
        clears it. The caller's dict is not changed.

        Raises InvalidDocument, with the key path, for a value that cannot be kept, DimensionMismatch for an embedding
        of another length.
        """

    @abstractmethod
    def store_many(self, documents: Iterable[Mapping[str, Any]], memory_store_type: StoreName) -> list[str]:
        """Store documents, all or nothing, and return their ids in order.

        Each is stored as by `store`; the same id twice merges in order. A generator is consumed in batches inside one
        transaction, so that it may yield more than memory holds.
        """

    @abstractmethod
    def check(self, data: Mapping[str, Any], memory_store_type: StoreName) -> None:
        """Raise what `store` would raise for a document that cannot be kept; store nothing."""

    @abstractmethod
    def retrieve_by_id(
        self, id: Any, memory_store_type: StoreName, *, include_embedding: bool = False
    ) -> Document | None:
        """Return the document with an id, or None where there is none or the id is malformed."""

    @abstractmethod
    def retrieve_by_name(
        self, name: str, memory_store_type: StoreName, *, include_embedding: bool = False
    ) -> Document | None:
        """Return the newest document with a name, or None."""

    @abstractmethod
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
        """Return the documents that match a query, the best first; an empty list when none does.

        `query` is a str, searched by meaning and words where the provider has an embedder, else by words; or a dict of
        filters in which `embedding` ranks by cosine similarity to a vector, or to a text where the provider has an
        embedder, `{"$text": {"$search": words}}` by words, and both together by meaning and words; `limit` inside the
        dict wins over the argument. With filters only: oldest first. Never fewer than `limit` hits while more documents
        match. Ranked hits carry `score` (more is better) and, where a vector ranked, `distance` (less is nearer), and
        the same as `_score` and `_distance`.

        exact: compare every candidate and use no approximate index.
        ef_search: how many rows the index looks at (1 to 1,000); chosen by `limit` and filter where it is not given.
        ranking: the weights of the parts of the score.
        min_score: leave out hits below it.
        context: for conversations, the number of turns before and after each hit, in its `_context`.
        touch: count the hits as accessed (`access_count`, `last_accessed`), in the same round trip.
        explain: put the parts of each score in the hit's `_explanation` and the way of the search in the list's
            `explanation`; "plan" adds PostgreSQL's EXPLAIN (ANALYZE) of the statement, which runs it once more.

        Raises FilterError for a malformed filter, DimensionMismatch or InvalidDocument for a wrong embedding.
        """

    @abstractmethod
    def update_by_id(self, id: Any, data: Mapping[str, Any], memory_store_type: StoreName) -> bool:
        """Merge keys into a document; True when it exists, even if nothing changed."""

    @abstractmethod
    def delete_by_id(self, id: Any, memory_store_type: StoreName) -> bool:
        """Delete a document; True when there was one."""

    @abstractmethod
    def delete_by_name(self, name: str, memory_store_type: StoreName) -> bool:
        """Delete one document with a name, the one that `retrieve_by_name` shows; True when there was one."""

    @abstractmethod
    def delete_all(self, memory_store_type: StoreName) -> bool:
        """Delete every document of one store; True."""

    @abstractmethod
    def list_all(self, memory_store_type: StoreName, *, include_embedding: bool = False) -> list[Document]:
        """Return every document of a store, oldest first; `iterate` does not hold them all in memory."""

    @abstractmethod
    def count(self, memory_store_type: StoreName, filter: Filter | None = None) -> int:
        """Return how many documents of a store match a filter."""

    @abstractmethod
    def retrieve_conversation_history_ordered_by_timestamp(
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

    @abstractmethod
    def store_memagent(self, agent: Any) -> str:
        """Store an agent, a dict or an object with `model_dump()` or `to_dict()`, and return its id.

        The id is the agent's `id`, `_id` or `agent_id`, or a new one; an agent that exists is merged as by `store`.
        Python callables, which no database can hold, are left out; everything else comes back as it went in.
        """

    @abstractmethod
    def update_memagent(self, agent: Any) -> bool:
        """Merge an agent into the stored one with its id; True when it exists. Raises InvalidDocument without id."""

    @abstractmethod
    def retrieve_memagent(self, id: Any) -> Document | None:
        """Return an agent, or None."""

    @abstractmethod
    def list_memagents(self) -> list[Document]:
        """Return every agent, oldest first."""

    @abstractmethod
    def update_memagent_memory_ids(self, id: Any, memory_ids: Sequence[str]) -> bool:
        """Replace the memory_ids of an agent; True when it exists."""

    @abstractmethod
    def delete_memagent_memory_ids(self, id: Any) -> bool:
        """Empty the memory_ids of an agent, without deleting any memory; True when it exists."""

    @abstractmethod
    def delete_memagent(self, id: Any, cascade: bool = False) -> bool:
        """Delete an agent; True when there was one.

        `cascade` also deletes, in every other store, the documents that carry one of the agent's memory_ids, except
        those of a memory that another agent still lists. All or nothing.
        """

    @abstractmethod
    def retrieve_memory_components_by_query(
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

    @abstractmethod
    def purge_expired(self, memory_store_type: StoreName | None = None) -> int:
        """Remove the documents whose `expires_at` has passed from one store, or from all; return how many."""

    @abstractmethod
    def iterate(
        self,
        memory_store_type: StoreName,
        filter: Filter | None = None,
        batch_size: int = 1000,
        *,
        include_embedding: bool = False,
        after: Any = None,
    ) -> Iterator[Document]:
        """Yield the documents that match a filter, oldest first, reading `batch_size` at a time.

        after: the id of a document; begins with the one behind it. Raises FilterError where there is none of that id.
        """


class About(ABC):
    """What a provider says of itself, on either face."""

    @property
    @abstractmethod
    def location(self) -> str:
        """Where the memories are, without a secret: the same text for every provider of the same memories."""

    @property
    @abstractmethod
    def embedding_dimensions(self) -> int | None:
        """How long the vectors are; None where the stores take any length."""

    @property
    @abstractmethod
    def embedding_model(self) -> str | None:
        """The model that made the vectors; None where nobody has said so."""


class MemoryProvider(MemoryOperations, About):
    """A store of memories, on the blocking face. A context manager that closes itself."""

    # Whether it has transactions, and they may hold any number of documents.
    has_large_transactions: ClassVar[bool] = False

    def note_embedding_model(self, name: str) -> None:
        """Note which model made the vectors, where nobody has said so and the provider remembers it."""

    @contextmanager
    def loading(self, memory_store_type: StoreName, watch: Callable[[float], None] | None = None) -> Generator[None]:
        """Prepare a store for very many documents, and complete it when the block has ended without an error.

        What costs less when it is made once at the end, a vector index, is made then, where the store is empty at
        first; until then searches there are exact and slow. `watch` is told how much of it is done, from 0 to 1.
        Where a block did not reach its end, the next one on the same store completes it.
        """
        yield

    @abstractmethod
    def close(self) -> None:
        """Give back every connection; any call after it is ProviderClosed. Closing twice is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncMemoryOperations(ABC):
    """What MemoryOperations does, awaited; each method is documented there."""

    @abstractmethod
    async def store(self, data: Mapping[str, Any], memory_store_type: StoreName) -> str: ...

    @abstractmethod
    async def store_many(self, documents: Iterable[Mapping[str, Any]], memory_store_type: StoreName) -> list[str]: ...

    @abstractmethod
    async def check(self, data: Mapping[str, Any], memory_store_type: StoreName) -> None: ...

    @abstractmethod
    async def retrieve_by_id(
        self, id: Any, memory_store_type: StoreName, *, include_embedding: bool = False
    ) -> Document | None: ...

    @abstractmethod
    async def retrieve_by_name(
        self, name: str, memory_store_type: StoreName, *, include_embedding: bool = False
    ) -> Document | None: ...

    @abstractmethod
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
    ) -> Hits: ...

    @abstractmethod
    async def update_by_id(self, id: Any, data: Mapping[str, Any], memory_store_type: StoreName) -> bool: ...

    @abstractmethod
    async def delete_by_id(self, id: Any, memory_store_type: StoreName) -> bool: ...

    @abstractmethod
    async def delete_by_name(self, name: str, memory_store_type: StoreName) -> bool: ...

    @abstractmethod
    async def delete_all(self, memory_store_type: StoreName) -> bool: ...

    @abstractmethod
    async def list_all(self, memory_store_type: StoreName, *, include_embedding: bool = False) -> list[Document]: ...

    @abstractmethod
    async def count(self, memory_store_type: StoreName, filter: Filter | None = None) -> int: ...

    @abstractmethod
    async def retrieve_conversation_history_ordered_by_timestamp(
        self,
        memory_id: str,
        limit: int | None = None,
        before: str | datetime | None = None,
        *,
        include_embedding: bool = False,
    ) -> list[Document]: ...

    @abstractmethod
    async def store_memagent(self, agent: Any) -> str: ...

    @abstractmethod
    async def update_memagent(self, agent: Any) -> bool: ...

    @abstractmethod
    async def retrieve_memagent(self, id: Any) -> Document | None: ...

    @abstractmethod
    async def list_memagents(self) -> list[Document]: ...

    @abstractmethod
    async def update_memagent_memory_ids(self, id: Any, memory_ids: Sequence[str]) -> bool: ...

    @abstractmethod
    async def delete_memagent_memory_ids(self, id: Any) -> bool: ...

    @abstractmethod
    async def delete_memagent(self, id: Any, cascade: bool = False) -> bool: ...

    @abstractmethod
    async def retrieve_memory_components_by_query(
        self,
        query: str | None = None,
        query_embedding: Any = None,
        memory_id: str | None = None,
        memory_type: StoreName | None = None,
        limit: int = 5,
    ) -> list[Document]: ...

    @abstractmethod
    async def purge_expired(self, memory_store_type: StoreName | None = None) -> int: ...

    @abstractmethod
    def iterate(
        self,
        memory_store_type: StoreName,
        filter: Filter | None = None,
        batch_size: int = 1000,
        *,
        include_embedding: bool = False,
        after: Any = None,
    ) -> AsyncIterator[Document]: ...


class AsyncMemoryProvider(AsyncMemoryOperations, About):
    """A store of memories, on the async face. An async context manager that closes itself."""

    @abstractmethod
    async def close(self) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


# A method does the same on both faces, so it is described once.
for _awaited, _blocking in ((AsyncMemoryOperations, MemoryOperations), (AsyncMemoryProvider, MemoryProvider)):
    for _name in _awaited.__abstractmethods__:
        getattr(_awaited, _name).__doc__ = getattr(_blocking, _name).__doc__
