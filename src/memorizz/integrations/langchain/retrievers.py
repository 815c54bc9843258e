"""Retrievers that search by meaning and by words, one of which can be written to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.indexing import UpsertResponse
from langchain_core.indexing.base import DeleteResponse, DocumentIndex
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from memorizz.integrations._providers import ids_of, in_thread
from memorizz.integrations.langchain.vector_store import MemorizzVectorStore
from memorizz.memory_provider.base import Ranking


class MemorizzRetriever(BaseRetriever):
    """Find the documents of a MemorizzVectorStore that fit a question best, by meaning and by words.

    k: how many; 0 is none, None all. Also a keyword of `invoke`, as is `filter`.
    filter: on the metadata, as in the vector store's searches; never taken from the question.
    ranking: the weights of meaning, words, recency and importance.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    vector_store: MemorizzVectorStore
    k: int | None = 4
    filter: Mapping[str, Any] | None = None
    ranking: Ranking | None = None

    def _asked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"k": self.k, "filter": self.filter, "ranking": self.ranking, **given}

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        return [found for found, _ in self.vector_store.hybrid_search_with_score(query, **self._asked(kwargs))]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        return [found for found, _ in await self.vector_store.ahybrid_search_with_score(query, **self._asked(kwargs))]


class MemorizzDocumentIndex(MemorizzRetriever, DocumentIndex):
    """A MemorizzRetriever that documents can be written to and deleted from."""

    def upsert(self, items: Sequence[Document], /, **kwargs: Any) -> UpsertResponse:
        """Store documents, all or none; one whose id is there is replaced."""
        return UpsertResponse(succeeded=self.vector_store.add_documents(list(items)), failed=[])

    async def aupsert(self, items: Sequence[Document], /, **kwargs: Any) -> UpsertResponse:
        """Upsert, awaited."""
        return UpsertResponse(succeeded=await self.vector_store.aadd_documents(list(items)), failed=[])

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> DeleteResponse:
        """Delete documents; ids that are not there are no failure. Raises ValueError without ids."""
        if ids is None:
            raise ValueError("expected the ids of the documents to delete, got none")
        there = [id for id in ids_of(ids) if self.vector_store.provider.delete_by_id(id, self.vector_store.store)]
        return DeleteResponse(num_deleted=len(there), succeeded=there, failed=[], num_failed=0)

    async def adelete(self, ids: list[str] | None = None, **kwargs: Any) -> DeleteResponse:
        """Delete, awaited."""
        return await in_thread(self.delete, ids)

    def get(self, ids: Sequence[str], /, **kwargs: Any) -> list[Document]:
        """Return the documents that are there, in the order of the ids, each once."""
        return self.vector_store.get_by_ids(ids)

    async def aget(self, ids: Sequence[str], /, **kwargs: Any) -> list[Document]:
        """Get, awaited."""
        return await in_thread(self.get, ids)
