"""Haystack's DocumentStore."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, Self, cast

from haystack import default_from_dict, default_to_dict
from haystack.dataclasses import Document
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError
from haystack.utils import Secret, deserialize_secrets_inplace

from memorizz import errors
from memorizz.integrations._providers import ids_of, in_thread, made_again, opened
from memorizz.integrations.haystack._documents import document_of, memory_of, meta_of
from memorizz.integrations.haystack._filters import NONE, MalformedFilter, condition
from memorizz.memory_provider.base import Filter, MemoryProvider, Ranking
from memorizz.memory_provider.options import MAX_LIMIT
from memorizz.memory_provider.stores import Distance, IndexKind, StoreSpec

Filters = dict[str, Any] | None


class MemorizzDocumentStore:
    """Keep documents in PostgreSQL, found by meaning, by words and by filter.

    source: a connection string, in a Secret where the store is to be serialized with a pipeline; a provider on the
        sync API or a PostgreSQLConfig; None is the server that the environment names, or the embedded one. It is
        connected to on first use.
    store: the name of its table, which is made where it is missing. Two objects of one name share their documents.
    embedding_dimension: the length of the vectors.
    distance, index: as in StoreSpec.
    return_embedding: documents come with their vectors.

    Raises ConfigurationError where the store is there with another spec, DimensionMismatch for vectors of another
    length, InvalidDocument for metadata that JSON cannot hold, FilterError for a filter that is none.
    """

    def __init__(
        self,
        source: Secret | object = None,
        *,
        store: str = "haystack_documents",
        embedding_dimension: int = 768,
        distance: Distance = "cosine",
        index: IndexKind | None = None,
        return_embedding: bool = True,
    ) -> None:
        self.source, self.store, self.embedding_dimension = source, store, embedding_dimension
        self.distance, self.index, self.return_embedding = distance, index, return_embedding
        self._spec = StoreSpec(store, embedding_dimension, distance, index, embedded=False, memories=False)
        self._opening = Lock()
        self._opened: tuple[MemoryProvider, bool] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` makes the store of; raises ValueError for a connection that is no Secret."""
        source = self.source
        if not (source is None or isinstance(source, Secret)):
            raise ValueError(
                f"a {type(source).__name__} cannot be serialized: give the connection string as a Secret, such as "
                "Secret.from_env_var('POSTGRES_DSN'), or leave it to the environment"
            )
        return default_to_dict(
            self,
            source=source and source.to_dict(),
            store=self.store,
            embedding_dimension=self.embedding_dimension,
            distance=self.distance,
            index=self.index,
            return_embedding=self.return_embedding,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the store that `to_dict` told of."""
        deserialize_secrets_inplace(data["init_parameters"], keys=["source"])
        return default_from_dict(cls, data)

    @property
    def provider(self) -> MemoryProvider:
        """The provider, opened when it is first asked for."""
        with self._opening:
            if self._opened is None:
                source = self.source.resolve_value() if isinstance(self.source, Secret) else self.source
                self._opened = opened(source, self._spec)
            return self._opened[0]

    def close(self) -> None:
        """Close the provider, unless it was given; the next use opens another."""
        with self._opening:
            if self._opened is not None and self._opened[1]:
                self._opened[0].close()
            self._opened = None

    # --- writing --------------------------------------------------------------------------------------------------

    @made_again
    def write_documents(self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        """Write documents, all or none, and return how many were written.

        `policy`: what becomes of one whose id is there: OVERWRITE replaces it, SKIP leaves it, FAIL and NONE raise
        DuplicateDocumentError.
        """
        if not isinstance(cast(object, documents), list | tuple) or not all(
            isinstance(cast(object, document), Document) for document in documents
        ):
            raise ValueError("expected a list of Documents")
        memories = [memory_of(document) for document in documents]
        if policy is DuplicatePolicy.OVERWRITE:
            return len(self.provider.store_many(memories, self.store))
        with self.provider.transaction() as transaction:
            written = [transaction.store(memory, self.store, if_absent=True) for memory in memories]
            if None in written and policy is not DuplicatePolicy.SKIP:
                left = memories[written.index(None)]["id"]
                raise DuplicateDocumentError(f"a document with the id {left!r} is there already; none was written")
        return len(written) - written.count(None)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Delete documents; ids that are not there are no error."""
        self.provider.delete(self.store, {"id": {"$in": ids_of(document_ids)}})

    def delete_all_documents(self, recreate_index: bool = False) -> None:
        """Delete every document; `recreate_index` also makes the table and its indexes anew."""
        if recreate_index:
            self.provider.drop_store(self.store, yes=True)
            self.provider.create_store(self._spec)
        else:
            self.provider.delete_all(self.store)

    def delete_by_filter(self, filters: dict[str, Any]) -> int:
        """Delete the documents that match, and return how many. Raises FilterError for an empty filter."""
        _check_says_which(filters, "delete_all_documents deletes all")
        with self._matching(filters) as matching:
            return self.provider.delete(self.store, matching)

    @made_again
    def update_by_filter(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """Merge metadata into that of the documents that match, and return into how many.

        Raises FilterError for an empty filter.
        """
        _check_says_which(filters, "to change all is to ask for all, such as by NOT of an id that is none's")
        with self._matching(filters) as matching, self.provider.transaction() as transaction:
            these: Filter = {"id": {"$in": transaction.distinct(self.store, "id", matching)}}
            # It changes no key, but nobody else can change them from here on, until all are done.
            transaction.update(self.store, these, {})
            found = transaction.retrieve_by_query({"$and": [these, matching]}, self.store, MAX_LIMIT)
            changed = [{"id": each["id"], **meta_of({**each["metadata"], **meta})} for each in found]
            transaction.store_many(changed, self.store)
        return len(changed)

    # --- reading --------------------------------------------------------------------------------------------------

    def count_documents(self) -> int:
        """Return how many documents there are."""
        return self.provider.count(self.store)

    def count_documents_by_filter(self, filters: Filters = None) -> int:
        """Return how many documents match."""
        with self._matching(filters) as matching:
            return self.provider.count(self.store, matching)

    def filter_documents(self, filters: Filters = None) -> list[Document]:
        """Return the documents that match, in the order in which they were written."""
        return self._search({}, filters, None)

    def embedding_retrieval(
        self, query_embedding: Sequence[float], filters: Filters = None, top_k: int | None = 10
    ) -> list[Document]:
        """Return the documents nearest to a vector. `top_k=0` is none, None all."""
        return self._search({"embedding": query_embedding}, filters, top_k)

    def keyword_retrieval(self, query: str, filters: Filters = None, top_k: int | None = 10) -> list[Document]:
        """Return the documents that have at least one of the words, those with the most first."""
        return self._search({"$text": {"$search": query}}, filters, top_k)

    def hybrid_retrieval(
        self,
        query: str,
        query_embedding: Sequence[float],
        filters: Filters = None,
        top_k: int | None = 10,
        ranking: Ranking | None = None,
    ) -> list[Document]:
        """Return the documents that fit best by meaning and by words; `ranking` weighs them."""
        asked = {"embedding": query_embedding, "$text": {"$search": query}}
        return self._search(asked, filters, top_k, ranking)

    def _search(
        self, asked: Filter, filters: Filters, limit: int | None, ranking: Ranking | None = None
    ) -> list[Document]:
        with self._matching(filters) as matching:
            hits = self.provider.retrieve_by_query(
                {**asked, "$and": [matching]},
                self.store,
                MAX_LIMIT if limit is None else limit,
                include_embedding=self.return_embedding,
                ranking=ranking,
            )
        return [document_of(hit) for hit in hits]

    @contextmanager
    def _matching(self, filters: Filters) -> Generator[Filter]:
        """Yield the filter of a provider; what is wrong with it is Haystack's error."""
        asked = condition(filters)
        try:
            if asked.fails is not NONE and self.provider.count(self.store, asked.fails):
                raise FilterError(
                    f"{filters} compares the order of a value with another one that has none with it: numbers can be "
                    "compared with numbers, ISO dates with ISO dates"
                )
            yield asked.matches
        except errors.FilterError as error:
            raise FilterError(str(error)) from error

    # --- about the metadata ---------------------------------------------------------------------------------------

    def get_metadata_fields_info(self) -> dict[str, dict[str, str]]:
        """Return the kind of each field: keyword, int, float or boolean."""
        found = (item for meta in self._metas(None) for item in meta.items())
        return {field: {"type": _kind(value)} for field, value in found if value is not None}

    def get_metadata_field_min_max(self, metadata_field: str) -> dict[str, Any]:
        """Return the least and the greatest value of a field, None for both where there is none or no order."""
        values = [value for value in self._values(metadata_field, None) if isinstance(value, int | float | str)]
        try:
            return {"min": min(values), "max": max(values)}  # pyright: ignore[reportArgumentType]
        except (ValueError, TypeError):
            return {"min": None, "max": None}

    def get_metadata_field_unique_values(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int | None = 10,
        filters: Filters = None,
    ) -> tuple[list[Any], int]:
        """Return a page of the values of a field, each once, and how many there are.

        `search_term`: only those whose text has it, in any case.
        """
        values = self._values(metadata_field, filters)
        if search_term:
            values = [value for value in values if search_term.lower() in str(value).lower()]
        values.sort(key=lambda value: (str(value), type(value).__name__))
        return values[from_:][:size], len(values)

    def count_unique_metadata_by_filter(self, filters: Filters, metadata_fields: list[str]) -> dict[str, int]:
        """Return how many values each field has, in the documents that match."""
        metas = list(self._metas(filters))
        return {_name(field): len(_unique(metas, field)) for field in metadata_fields}

    def _values(self, field: str, filters: Filters) -> list[Any]:
        return _unique(self._metas(filters), field)

    def _metas(self, filters: Filters) -> Generator[dict[str, Any]]:
        with self._matching(filters) as matching:
            for found in self.provider.iterate(self.store, matching):
                yield found["metadata"]

    # --- awaited --------------------------------------------------------------------------------------------------

    async def write_documents_async(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """write_documents, awaited."""
        return await in_thread(self.write_documents, documents, policy)

    async def delete_documents_async(self, document_ids: list[str]) -> None:
        """delete_documents, awaited."""
        await in_thread(self.delete_documents, document_ids)

    async def delete_all_documents_async(self, recreate_index: bool = False) -> None:
        """delete_all_documents, awaited."""
        await in_thread(self.delete_all_documents, recreate_index)

    async def delete_by_filter_async(self, filters: dict[str, Any]) -> int:
        """delete_by_filter, awaited."""
        return await in_thread(self.delete_by_filter, filters)

    async def update_by_filter_async(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """update_by_filter, awaited."""
        return await in_thread(self.update_by_filter, filters, meta)

    async def count_documents_async(self) -> int:
        """count_documents, awaited."""
        return await in_thread(self.count_documents)

    async def count_documents_by_filter_async(self, filters: Filters = None) -> int:
        """count_documents_by_filter, awaited."""
        return await in_thread(self.count_documents_by_filter, filters)

    async def filter_documents_async(self, filters: Filters = None) -> list[Document]:
        """filter_documents, awaited."""
        return await in_thread(self.filter_documents, filters)

    async def embedding_retrieval_async(
        self, query_embedding: Sequence[float], filters: Filters = None, top_k: int | None = 10
    ) -> list[Document]:
        """embedding_retrieval, awaited."""
        return await in_thread(self.embedding_retrieval, query_embedding, filters, top_k)

    async def keyword_retrieval_async(
        self, query: str, filters: Filters = None, top_k: int | None = 10
    ) -> list[Document]:
        """keyword_retrieval, awaited."""
        return await in_thread(self.keyword_retrieval, query, filters, top_k)

    async def hybrid_retrieval_async(
        self,
        query: str,
        query_embedding: Sequence[float],
        filters: Filters = None,
        top_k: int | None = 10,
        ranking: Ranking | None = None,
    ) -> list[Document]:
        """hybrid_retrieval, awaited."""
        return await in_thread(self.hybrid_retrieval, query, query_embedding, filters, top_k, ranking)

    async def get_metadata_fields_info_async(self) -> dict[str, dict[str, str]]:
        """get_metadata_fields_info, awaited."""
        return await in_thread(self.get_metadata_fields_info)

    async def get_metadata_field_min_max_async(self, metadata_field: str) -> dict[str, Any]:
        """get_metadata_field_min_max, awaited."""
        return await in_thread(self.get_metadata_field_min_max, metadata_field)

    async def get_metadata_field_unique_values_async(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int | None = 10,
        filters: Filters = None,
    ) -> tuple[list[Any], int]:
        """get_metadata_field_unique_values, awaited."""
        return await in_thread(self.get_metadata_field_unique_values, metadata_field, search_term, from_, size, filters)

    async def count_unique_metadata_by_filter_async(
        self, filters: Filters, metadata_fields: list[str]
    ) -> dict[str, int]:
        """count_unique_metadata_by_filter, awaited."""
        return await in_thread(self.count_unique_metadata_by_filter, filters, metadata_fields)


def _check_says_which(filters: Filters, all_of_them: str) -> None:
    """Raise for a filter that is empty, which where documents are read is all of them."""
    if not filters:
        raise MalformedFilter(f"the filter {filters!r} says of no document that it is meant; {all_of_them}")


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    return type(value).__name__ if isinstance(value, int | float) else "keyword"


def _name(field: str) -> str:
    return field.removeprefix("meta.")


def _unique(metas: Iterable[Mapping[str, Any]], field: str) -> list[Any]:
    """Return the values of a field, each once: 1, 1.0, True and "1" are four."""
    name = _name(field)
    found = (meta[name] for meta in metas if meta.get(name) is not None)
    return list({json.dumps(value, sort_keys=True): value for value in found}.values())
