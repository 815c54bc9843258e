"""Retrievers for pipelines: by meaning, by words, and by both."""

from __future__ import annotations

from typing import Any, Self, cast

from haystack import component, default_from_dict, default_to_dict
from haystack.dataclasses import Document
from haystack.document_stores.types import FilterPolicy, apply_filter_policy

from memorizz.errors import ConfigurationError
from memorizz.integrations.haystack.document_store import Filters, MemorizzDocumentStore
from memorizz.memory_provider.base import Ranking


class _Retriever:
    """Find documents of a MemorizzDocumentStore.

    filters: hold for every run; those of a run take their place, or with FilterPolicy.MERGE join them.
    top_k: how many; 0 is none, None all.
    """

    def __init__(
        self,
        document_store: MemorizzDocumentStore,
        filters: Filters = None,
        top_k: int | None = 10,
        filter_policy: str | FilterPolicy = FilterPolicy.REPLACE,
    ) -> None:
        if not isinstance(cast(object, document_store), MemorizzDocumentStore):
            raise ConfigurationError(
                f"document_store: expected a MemorizzDocumentStore, got {type(document_store).__name__}"
            )
        self.document_store, self.filters, self.top_k = document_store, filters, top_k
        self.filter_policy = (
            filter_policy if isinstance(filter_policy, FilterPolicy) else FilterPolicy.from_str(filter_policy)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` makes the retriever of."""
        return default_to_dict(
            self,
            document_store=self.document_store.to_dict(),
            filters=self.filters,
            top_k=self.top_k,
            filter_policy=self.filter_policy.value,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the retriever that `to_dict` told of."""
        given = data["init_parameters"]
        if isinstance(given["document_store"], dict):
            given["document_store"] = MemorizzDocumentStore.from_dict(given["document_store"])
        return default_from_dict(cls, data)

    def _asked(self, filters: Filters, top_k: int | None) -> tuple[Filters, int | None]:
        merged = apply_filter_policy(self.filter_policy, self.filters, filters)
        return merged, self.top_k if top_k is None else top_k


@component
class MemorizzEmbeddingRetriever(_Retriever):
    """Find the documents nearest to a vector."""

    @component.output_types(documents=list[Document])
    def run(
        self, query_embedding: list[float], filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Return the documents, the nearest first."""
        filters, top_k = self._asked(filters, top_k)
        return {"documents": self.document_store.embedding_retrieval(query_embedding, filters, top_k)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query_embedding: list[float], filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Run, awaited."""
        filters, top_k = self._asked(filters, top_k)
        return {"documents": await self.document_store.embedding_retrieval_async(query_embedding, filters, top_k)}


@component
class MemorizzKeywordRetriever(_Retriever):
    """Find the documents that have the words of a question."""

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Return the documents, those with the most of the words first."""
        filters, top_k = self._asked(filters, top_k)
        return {"documents": self.document_store.keyword_retrieval(query, filters, top_k)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Run, awaited."""
        filters, top_k = self._asked(filters, top_k)
        return {"documents": await self.document_store.keyword_retrieval_async(query, filters, top_k)}


@component
class MemorizzHybridRetriever(_Retriever):
    """Find the documents that fit a question best, by meaning and by words.

    ranking: the weights of both, as the keywords of a Ranking.
    """

    def __init__(
        self,
        document_store: MemorizzDocumentStore,
        filters: Filters = None,
        top_k: int | None = 10,
        filter_policy: str | FilterPolicy = FilterPolicy.REPLACE,
        ranking: dict[str, Any] | None = None,
    ) -> None:
        # The decorator makes another class of this one, which super() would not know.
        _Retriever.__init__(self, document_store, filters, top_k, filter_policy)
        self.ranking = ranking
        self._ranking = None if ranking is None else Ranking(**ranking)

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` makes the retriever of."""
        told = _Retriever.to_dict(self)
        told["init_parameters"]["ranking"] = self.ranking
        return told

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
    ) -> dict[str, list[Document]]:
        """Return the documents, the best first."""
        filters, top_k = self._asked(filters, top_k)
        found = self.document_store.hybrid_retrieval(query, query_embedding, filters, top_k, self._ranking)
        return {"documents": found}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
    ) -> dict[str, list[Document]]:
        """Run, awaited."""
        filters, top_k = self._asked(filters, top_k)
        found = await self.document_store.hybrid_retrieval_async(query, query_embedding, filters, top_k, self._ranking)
        return {"documents": found}
