"""The storage of CrewAI's Memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self, TypeVar

from crewai.memory.storage.backend import EmbeddingDimensionMismatchError
from crewai.memory.types import MemoryRecord, ScopeInfo

from memorizz.errors import ConfigurationError, DimensionMismatch
from memorizz.integrations._providers import Opened, ids_of, in_thread, key_of, made_again
from memorizz.integrations.crewai._records import (
    any_of,
    aware,
    document_of,
    equal,
    naive,
    names_of,
    path_of,
    record_of,
    within,
)
from memorizz.memory_provider.base import Call, MemoryProvider
from memorizz.memory_provider.options import MAX_LIMIT, Document, Hits
from memorizz.memory_provider.stores import StoreSpec, UnknownStore

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql import PostgreSQLConfig

T = TypeVar("T")


def storage_factory(spec: str) -> MemorizzStorage | None:
    """Return the storage of a connection string, or of the server that the environment names for "memorizz".

    None for any other spec, which CrewAI then serves. After `set_memory_storage_factory(storage_factory)` it is what
    `Memory(storage="postgresql://...")` uses.
    """
    if spec == "memorizz":
        return MemorizzStorage()
    return MemorizzStorage(spec) if spec.startswith(("postgresql://", "postgres://")) else None


class MemorizzStorage(Opened):
    """Keep the memories of CrewAI in PostgreSQL: `Memory(storage=MemorizzStorage())`.

    A scope holds its records and those of the scopes below it, by whole names: "/a" does not hold "/ab". Saving a
    record whose id is there replaces it. A score is the cosine similarity, 0 for what points away. Times are naive
    and in UTC. A record without a vector is kept, and never near; one of zeros is none.

    source: a provider on the sync API, a connection string or a PostgreSQLConfig; None is the server that the
        environment names, or the embedded one. What is opened here, `close` closes.
    memory_id: whose memories they are: nothing else is seen, changed or deleted, whatever scope a model names. None is
        all of the store.
    store: the name of its table, which is made where it is missing.
    dimensions: the length of the vectors; where it is not given, that of the first one that is saved.

    Raises what opening a provider raises, and ConfigurationError where a store of that name is there with another spec.
    Its methods raise EmbeddingDimensionMismatchError for a vector of another length, InvalidDocument for what JSON
    cannot hold.
    """

    _in_memories = True

    def __init__(
        self,
        source: MemoryProvider | PostgreSQLConfig | str | None = None,
        *,
        memory_id: str | None = None,
        store: str = "crewai_memories",
        dimensions: int | None = None,
    ) -> None:
        self.store = store
        self._dimensions = dimensions
        # What comes before the first vector: only that says how long those of the store are to be.
        self._waiting = StoreSpec(f"{store}_waiting", index="none", embedded=False, memories=False)
        self._open(source)
        # Whose records it has, which is less than the store that it makes for them.
        self._memory = self.provider if memory_id is None else self.provider.memory(key_of(memory_id))
        try:
            there = self._there()
            if there or dimensions:
                self.provider.create_store(self._spec(dimensions or (there and there.dimensions)))
            self._take_in()
        except BaseException:
            self.close()
            raise

    def __deepcopy__(self, memo: object) -> Self:
        # Copies of a Memory share its storage.
        return self

    # --- writing --------------------------------------------------------------------------------------------------

    def save(self, records: list[MemoryRecord]) -> None:
        """Store records, all or none; one whose id is there is replaced.

        Raises InvalidDocument for an id that a record of another memory has.
        """
        documents = [document_of(record) for record in records]
        lengths = [len(document["embedding"]) for document in documents if document["embedding"]]
        for length in lengths:
            if length != lengths[0]:
                raise EmbeddingDimensionMismatchError(lengths[0], length)
        with _errors_of_crewai():
            try:
                self._store(documents, self.store)
            except UnknownStore:
                self._store(documents, self._made(self._dimensions or next(iter(lengths), None)))
                self._take_in()

    async def asave(self, records: list[MemoryRecord]) -> None:
        """Do what `save` does."""
        await in_thread(self.save, records)

    def update(self, record: MemoryRecord) -> None:
        """Replace the record of the same id, or insert it where there is none."""
        self.save([record])

    def touch_records(self, record_ids: list[str]) -> None:
        """Note that records were recalled now."""
        asked = {"id": {"$in": ids_of(record_ids)}}
        now = {"last_accessed": datetime.now(UTC)}
        self._ask(lambda store: self._memory.update(store, asked, now), 0)

    def delete(
        self,
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        record_ids: list[str] | None = None,
        older_than: datetime | None = None,
        metadata_filter: dict[str, Any] | None = None,
    ) -> int:
        """Delete the records that meet every criterion, all without any, and return how many.

        Of an empty list of ids it is none, whatever is asked besides. Empty categories and an empty filter ask for
        nothing; where there is nothing else, they delete nothing.
        """
        asked = any_of(categories) | equal(metadata_filter)
        if record_ids is not None:
            asked["id"] = {"$in": ids_of(record_ids)}
        if older_than is not None:
            asked["timestamp"] = {"$lt": aware(older_than)}
        if not asked and scope_prefix is None and (categories is not None or metadata_filter is not None):
            return 0
        asked |= within(scope_prefix)
        return self._ask(lambda store: self._memory.delete(store, asked), 0)

    async def adelete(
        self,
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        record_ids: list[str] | None = None,
        older_than: datetime | None = None,
        metadata_filter: dict[str, Any] | None = None,
    ) -> int:
        """Do what `delete` does."""
        return await in_thread(self.delete, scope_prefix, categories, record_ids, older_than, metadata_filter)

    def reset(self, scope_prefix: str | None = None) -> None:
        """Delete the records of a scope or, without one, all.

        The whole store is made anew with the next record, for vectors of any length; where others have records in it,
        who are of another memory or tenant, it stays.
        """
        if names_of(scope_prefix) or self._memory.scope.is_narrow:
            self.delete(scope_prefix)
            return
        for store in (self.store, self._waiting.name):
            with suppress(UnknownStore):
                self.provider.drop_store(store, yes=True)

    # --- reading --------------------------------------------------------------------------------------------------

    def search(
        self,
        query_embedding: Sequence[float],
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        metadata_filter: dict[str, Any] | None = None,
        limit: int | None = 10,
        min_score: float = 0.0,
    ) -> list[tuple[MemoryRecord, float]]:
        """Return the nearest of all records that match, each with its vector and its score, the best first.

        `categories`: any of them; none of them where the list is empty. `limit=0` is none, None all.
        """
        if not any(query_embedding):
            return []
        asked = within(scope_prefix) | any_of(categories) | equal(metadata_filter)
        try:
            with _errors_of_crewai():
                hits = self._memory.retrieve_by_query(
                    {"embedding": query_embedding, **asked},
                    self.store,
                    _most(limit),
                    include_embedding=True,
                    min_score=min_score if min_score > 0 else None,
                )
        except UnknownStore:
            return []
        return [(record_of(hit), min(max(hit["_score"], 0.0), 1.0)) for hit in hits]

    async def asearch(
        self,
        query_embedding: Sequence[float],
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        metadata_filter: dict[str, Any] | None = None,
        limit: int | None = 10,
        min_score: float = 0.0,
    ) -> list[tuple[MemoryRecord, float]]:
        """Do what `search` does."""
        return await in_thread(
            self.search, query_embedding, scope_prefix, categories, metadata_filter, limit, min_score
        )

    def get_record(self, record_id: str) -> MemoryRecord | None:
        """Return a record with its vector, or None."""
        asked = {"id": record_id}
        found = self._ask(lambda store: self._memory.retrieve_by_query(asked, store, include_embedding=True), Hits())
        return record_of(found[0]) if found else None

    def list_records(
        self, scope_prefix: str | None = None, limit: int | None = 200, offset: int = 0
    ) -> list[MemoryRecord]:
        """Return the records of a scope, the newest first, with their vectors. `limit=0` is none, None all."""
        found = self._ask(
            lambda store: self._memory.retrieve_by_query(
                within(scope_prefix),
                store,
                _most(limit),
                order_by="-timestamp",
                offset=offset,
                include_embedding=True,
            ),
            Hits(),
        )
        return [record_of(each) for each in found]

    def count(self, scope_prefix: str | None = None) -> int:
        """Return how many records a scope holds."""
        return self._ask(lambda store: self._memory.count(store, within(scope_prefix)), 0)

    def get_scope_info(self, scope: str) -> ScopeInfo:
        """Return what a scope holds, the scopes below it included."""
        inside = within(scope)

        def calls(store: str) -> list[Any]:
            return self._memory.run_many(
                [
                    Call("count", store, inside),
                    Call("retrieve_by_query", inside, store, 1, order_by="timestamp"),
                    Call("retrieve_by_query", inside, store, 1, order_by="-timestamp"),
                    Call("distinct", store, "categories", inside),
                    self._below(store, scope),
                ]
            )

        count, oldest, newest, categories, below = self._ask(calls, [0, [], [], [], []])
        return ScopeInfo(
            path=path_of(names_of(scope)),
            record_count=count,
            categories=_elements(categories),
            oldest_record=naive(oldest[0]["timestamp"]) if oldest else None,
            newest_record=naive(newest[0]["timestamp"]) if newest else None,
            child_scopes=_children(below, scope),
        )

    def list_scopes(self, parent: str = "/") -> list[str]:
        """Return the scopes right below a scope, sorted."""
        (below,) = self._ask(lambda store: self._memory.run_many([self._below(store, parent)]), [[]])
        return _children(below, parent)

    def list_categories(self, scope_prefix: str | None = None) -> dict[str, int]:
        """Return how many records of a scope have each category."""

        def counted(store: str) -> dict[str, int]:
            found = self._memory.iterate(store, within(scope_prefix))
            return dict(Counter(category for each in found for category in set(each["categories"])))

        return self._ask(counted, {})

    # --- the store ------------------------------------------------------------------------------------------------

    def _ask(self, call: Callable[[str], T], nothing: T) -> T:
        """Return what a call says of the store; of what waits for it, where there is none yet; else `nothing`."""
        for store in (self.store, self._waiting.name):
            with suppress(UnknownStore):
                return call(store)
        return nothing

    def _below(self, store: str, scope: str) -> Call:
        return Call("distinct", store, "names", within(scope), depth=len(names_of(scope)) + 1)

    def _store(self, documents: list[Document], store: str) -> None:
        self._memory.store_many(documents, store)

    def _spec(self, dimensions: int | None) -> StoreSpec:
        return StoreSpec(self.store, dimensions, embedded=False, memories=False)

    def _there(self) -> StoreSpec | None:
        return next((spec for spec in self.provider.stores() if spec.name == self.store), None)

    def _made(self, dimensions: int | None) -> str:
        """Make the store, or, where no vector says how long they are, that of what waits for one; return its name."""
        if dimensions is None:
            self.provider.create_store(self._waiting)
            return self._waiting.name
        try:
            self.provider.create_store(self._spec(dimensions))
        except ConfigurationError:
            # Where somebody else has just made it, for vectors of another length, storing says so.
            if self._there() is None:
                raise
        return self.store

    @made_again
    def _take_in(self) -> None:
        """Move what waits into the store, where there is one."""
        with suppress(UnknownStore), self.provider.transaction() as tx:
            found = tx.retrieve_by_query({}, self._waiting.name, MAX_LIMIT)
            for each in found:
                tx.store(each, self.store, if_absent=True)
            tx.delete(self._waiting.name, {"id": {"$in": [each["id"] for each in found]}})


@contextmanager
def _errors_of_crewai() -> Generator[None]:
    try:
        yield
    except DimensionMismatch as error:
        raise EmbeddingDimensionMismatchError(error.expected, error.got) from error


def _most(limit: int | None) -> int:
    return MAX_LIMIT if limit is None else limit


def _elements(lists: Sequence[Sequence[str]]) -> list[str]:
    return sorted({element for each in lists for element in each})


def _children(below: Sequence[Sequence[str]], scope: str) -> list[str]:
    """Return the paths of the scopes below one; the scope itself is among them where it has records of its own."""
    return sorted(path_of(names) for names in below if len(names) > len(names_of(scope)))
