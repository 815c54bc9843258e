"""LangChain's VectorStore."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self, cast

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance

from memorizz.errors import ConfigurationError
from memorizz.integrations._providers import each_of, ids_of, in_thread
from memorizz.integrations.langchain._mem0 import Collection, operators_of_mem0
from memorizz.integrations.langchain._store import Stored, vectors_of
from memorizz.memory_provider.base import Document as Memory
from memorizz.memory_provider.base import Filter, Hits, Ranking
from memorizz.memory_provider.options import MAX_LIMIT, checked_limit
from memorizz.memory_provider.stores import Distance, IndexKind

Vector = Sequence[float]


class MemorizzVectorStore(Stored, VectorStore):
    """Keep documents in PostgreSQL, found by meaning, by words, by filter and by id.

    embedding: makes the vectors, of documents and of questions.
    source: a provider on the sync API, a connection string or a PostgreSQLConfig; None is the server that the
        environment names, or the embedded one.
    store: the name of its table, which is made where it is missing. Two objects of one name share their documents.
    dimensions: the length of the vectors; where it is left out, a text is embedded to see it when the store is made.
    distance, index: as in StoreSpec. "inner_product" is for vectors of length 1.

    A filter is a dict on keys of the metadata, with the operators of docs/filters.md. A search returns the nearest of
    all documents that match it; `k=0` returns none, `k=None` all. Adding a document whose id is there replaces it.
    Scores are similarities: more is better, with every distance. Raises ConfigurationError where the store is there
    with another spec, DimensionMismatch for vectors of another length, InvalidDocument for metadata that JSON cannot
    hold.
    """

    _in_memories = True

    def __init__(
        self,
        embedding: Embeddings,
        source: object = None,
        *,
        store: str = "langchain_documents",
        dimensions: int | None = None,
        distance: Distance = "cosine",
        index: IndexKind | None = None,
    ) -> None:
        self.embedding = embedding
        self.store = store
        self._open(source, vectors_of(store, embedding, dimensions, distance, index))

    @property
    def embeddings(self) -> Embeddings:
        """What makes the vectors."""
        return self.embedding

    # --- adding, deleting, by id ----------------------------------------------------------------------------------

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Embed texts and store them, all or none; return their ids. None among the ids means that one is made."""
        texts = each_of(texts, str, "texts")
        return self.add_embeddings(self.embedding.embed_documents(texts), metadatas, ids, texts=texts)

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """add_texts, awaited."""
        texts = each_of(texts, str, "texts")
        vectors = await self.embedding.aembed_documents(texts)
        return await in_thread(self.add_embeddings, vectors, metadatas, ids, texts=texts)

    def add_embeddings(
        self,
        embeddings: Sequence[Vector | None],
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        ids: Sequence[str | None] | None = None,
        *,
        texts: Sequence[str] | None = None,
    ) -> list[str]:
        """Store texts with vectors that were made elsewhere, all or none; return their ids.

        Without `texts` a document's text is `data` of its metadata, as mem0 has it. A vector that is None is made of
        the text.
        """
        metadatas = [{} for _ in embeddings] if metadatas is None else metadatas
        texts = [str(metadata.get("data", "")) for metadata in metadatas] if texts is None else texts
        ids = ids_of(ids) if ids else [None] * len(embeddings)
        if not len(texts) == len(embeddings) == len(metadatas) == len(ids):
            raise ValueError(
                f"{len(texts)} texts came with {len(embeddings)} vectors, {len(metadatas)} metadatas and {len(ids)} "
                "ids; expected one of each for each text, with None for an id that is to be made"
            )
        if missing := [text for text, vector in zip(texts, embeddings, strict=True) if vector is None]:
            made = iter(self.embedding.embed_documents(missing))
            embeddings = [next(made) if vector is None else vector for vector in embeddings]
        documents = [
            {
                "content": text,
                "metadata": dict(metadata or {}),
                "embedding": vector,
                **({} if id is None else {"id": id}),
            }
            for text, vector, metadata, id in zip(texts, embeddings, metadatas, ids, strict=True)
        ]
        return self.provider.store_many(documents, self.store)

    def delete(self, ids: Sequence[str] | None = None, **kwargs: Any) -> bool:
        """Delete documents; ids that are not there are no error. None deletes nothing: delete_collection() does all."""
        self._delete(ids or ())
        return True

    async def adelete(self, ids: Sequence[str] | None = None, **kwargs: Any) -> bool:
        """Delete, awaited."""
        return await in_thread(self.delete, ids)

    def delete_collection(self) -> None:
        """Delete every document; the store stays."""
        self.provider.delete_all(self.store)

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return the documents that are there, in the order of the ids, each once."""
        found = self._found(ids)
        return [document_of(found[id]) for id in dict.fromkeys(ids) if id in found]

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """get_by_ids, awaited."""
        return await in_thread(self.get_by_ids, ids)

    # --- searching ------------------------------------------------------------------------------------------------

    def similarity_search(
        self, query: str, k: int | None = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[Document]:
        """Return the documents nearest to a text."""
        return [document for document, _ in self.similarity_search_with_score(query, k, filter)]

    async def asimilarity_search(
        self, query: str, k: int | None = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[Document]:
        """similarity_search, awaited."""
        return [document for document, _ in await self.asimilarity_search_with_score(query, k, filter)]

    def similarity_search_with_score(
        self, query: str, k: int | None = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Return the documents nearest to a text, with their similarities."""
        return self.similarity_search_with_score_by_vector(self.embedding.embed_query(query), k, filter)

    async def asimilarity_search_with_score(
        self, query: str, k: int | None = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """similarity_search_with_score, awaited."""
        vector = await self.embedding.aembed_query(query)
        return await in_thread(self.similarity_search_with_score_by_vector, vector, k, filter)

    def similarity_search_by_vector(
        self, embedding: Vector, k: int | None = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[Document]:
        """Return the documents nearest to a vector."""
        return [document for document, _ in self.similarity_search_with_score_by_vector(embedding, k, filter)]

    async def asimilarity_search_by_vector(
        self, embedding: Vector, k: int | None = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[Document]:
        """similarity_search_by_vector, awaited."""
        return await in_thread(self.similarity_search_by_vector, embedding, k, filter)

    def similarity_search_with_score_by_vector(
        self, embedding: Vector, k: int | None = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Return the documents nearest to a vector, with their similarities."""
        return [(document_of(hit), hit["_score"]) for hit in self._search({"embedding": embedding}, k, filter)]

    def similarity_search_by_vector_with_relevance_scores(
        self, embedding: Vector, k: int | None = 4, filter: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Return the documents nearest to a vector, with relevances; the filter may have the operators of mem0."""
        found = self.similarity_search_with_score_by_vector(embedding, k, operators_of_mem0(filter))
        relevance = self._select_relevance_score_fn()
        return [(document, relevance(score)) for document, score in found]

    def list_documents(self, filter: Filter | None = None, limit: int | None = None) -> Hits:
        """Return what is stored of the documents that match, the oldest first."""
        return self._search({}, limit, filter)

    @property
    def _collection(self) -> Collection:
        return Collection(self)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        """Return what makes a relevance of a score, from 0 to 1: the similarity, 0 for what points away."""
        return lambda score: min(max(score, 0.0), 1.0)

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int | None = 4,
        fetch_k: int | None = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Return documents near to a text and unlike each other."""
        vector = self.embedding.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(vector, k, fetch_k, lambda_mult, filter)

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int | None = 4,
        fetch_k: int | None = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """max_marginal_relevance_search, awaited."""
        vector = await self.embedding.aembed_query(query)
        return await in_thread(self.max_marginal_relevance_search_by_vector, vector, k, fetch_k, lambda_mult, filter)

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: Vector,
        k: int | None = 4,
        fetch_k: int | None = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Return documents near to a vector and unlike each other, chosen from the `fetch_k` nearest."""
        if not 0 <= lambda_mult <= 1:
            raise ConfigurationError(f"lambda_mult={lambda_mult!r}: expected a number from 0 (unlike) to 1 (near)")
        k = MAX_LIMIT if k is None else checked_limit(k, "k")
        fetch_k = MAX_LIMIT if fetch_k is None else checked_limit(fetch_k, "fetch_k")
        hits = self._search({"embedding": embedding}, max(k, fetch_k), filter, include_embedding=True)
        vectors = [hit["embedding"] for hit in hits]
        chosen = maximal_marginal_relevance(np.asarray(embedding, dtype=np.float32), vectors, lambda_mult, k)
        return [document_of(hits[place]) for place in chosen]

    async def amax_marginal_relevance_search_by_vector(
        self,
        embedding: Vector,
        k: int | None = 4,
        fetch_k: int | None = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """max_marginal_relevance_search_by_vector, awaited."""
        return await in_thread(self.max_marginal_relevance_search_by_vector, embedding, k, fetch_k, lambda_mult, filter)

    def hybrid_search_with_score(
        self, query: str, k: int | None = 4, filter: Filter | None = None, ranking: Ranking | None = None
    ) -> list[tuple[Document, float]]:
        """Return the documents that fit a text best by meaning and by words; `ranking` weighs them."""
        return self._hybrid(query, self.embedding.embed_query(query), k, filter, ranking)

    async def ahybrid_search_with_score(
        self, query: str, k: int | None = 4, filter: Filter | None = None, ranking: Ranking | None = None
    ) -> list[tuple[Document, float]]:
        """hybrid_search_with_score, awaited."""
        vector = await self.embedding.aembed_query(query)
        return await in_thread(self._hybrid, query, vector, k, filter, ranking)

    def _hybrid(
        self, query: str, vector: Vector, k: int | None, filter: Filter | None, ranking: Ranking | None
    ) -> list[tuple[Document, float]]:
        asked = {"embedding": vector, "$text": {"$search": query}}
        return [(document_of(hit), hit["_score"]) for hit in self._search(asked, k, filter, ranking=ranking)]

    def _search(self, asked: Filter, k: int | None, filter: Filter | None, **options: Any) -> Hits:
        asked = {**asked, **({} if filter is None else {"$and": [on_metadata(filter)]})}
        return self.provider.retrieve_by_query(asked, self.store, MAX_LIMIT if k is None else k, **options)

    # --- made of texts --------------------------------------------------------------------------------------------

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        embedding: Embeddings,
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Return a vector store with some texts in it; the keywords are those of the class."""
        made = cls(embedding, **kwargs)
        try:
            made.add_texts(texts, metadatas, ids=ids)
        except BaseException:
            made.close()
            raise
        return made

    @classmethod
    async def afrom_texts(
        cls,
        texts: Iterable[str],
        embedding: Embeddings,
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> Self:
        """from_texts, awaited."""
        made = await in_thread(cls, embedding, **kwargs)
        try:
            await made.aadd_texts(texts, metadatas, ids=ids)
        except BaseException:
            await in_thread(made.close)
            raise
        return made


def document_of(memory: Memory) -> Document:
    """Return a document of ours as one of LangChain's."""
    return Document(id=memory["id"], page_content=memory["content"], metadata=memory["metadata"])


def on_metadata(filter: Filter) -> Filter:
    """Return a filter on the metadata as one on documents: its keys lead into `metadata`."""
    if not isinstance(cast(object, filter), Mapping):
        return filter  # The provider says what was expected.

    def under(key: Any, operand: Any) -> tuple[Any, Any]:
        if not isinstance(key, str) or not key.startswith("$"):
            return f"metadata.{key}" if isinstance(key, str) else key, operand
        if isinstance(operand, list | tuple):
            return key, [on_metadata(each) for each in cast("Sequence[Any]", operand)]
        return key, on_metadata(operand)

    return dict(under(key, operand) for key, operand in filter.items())
