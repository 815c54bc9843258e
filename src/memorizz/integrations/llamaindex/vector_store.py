"""LlamaIndex's vector store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Self, cast

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.constants import DATA_KEY, TYPE_KEY
from llama_index.core.indices.query import embedding_utils
from llama_index.core.schema import BaseNode, MetadataMode
from llama_index.core.storage.docstore import utils
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)

from memorizz.errors import ConfigurationError
from memorizz.integrations._providers import ids_of, in_thread, to_json
from memorizz.integrations.llamaindex._filters import filter_of, metadata_of
from memorizz.integrations.llamaindex._kept import Kept
from memorizz.memory_provider.base import Document as Memory
from memorizz.memory_provider.base import Filter, MemoryProvider, Ranking
from memorizz.memory_provider.options import MAX_LIMIT
from memorizz.memory_provider.stores import Distance, IndexKind, StoreSpec

# What is typed in part only.
_unlike_each_other = cast("Any", embedding_utils).get_top_k_mmr_embeddings
_read = cast("Any", utils).json_to_doc

_WORDS = (VectorStoreQueryMode.TEXT_SEARCH, VectorStoreQueryMode.SPARSE)
_MODES = (VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.HYBRID, VectorStoreQueryMode.MMR, *_WORDS)
# As many times more than are wanted are looked at where they are to be unlike each other.
_MMR_PREFETCH = 4


class MemorizzVectorStore(BasePydanticVectorStore):
    """Keep nodes in PostgreSQL, found by meaning, by words, by both, by filters and by id.

    source: a provider on the sync API, a connection string or a PostgreSQLConfig; None is the server that the
        environment names, or the embedded one. What is opened here, `close` closes.
    store: the name of its table, which is made where it is missing. Two objects of one name share their nodes.
    embed_dim: the length of the vectors.
    distance, index: as in StoreSpec. "inner_product" is for vectors of length 1.

    The modes of a query: "default" by meaning, "text_search" (and "sparse") by words, "hybrid" by both, where `alpha`
    is the weight of the meaning and 1 - alpha that of the words, "mmr" by meaning and unlike each other, where
    `mmr_threshold` is the weight of the meaning (0.5). A search returns the best of all nodes that match its filters;
    0 of them are none, None are all. Adding a node whose id is there replaces it.

    Raises ConfigurationError where the store is there with another spec, and for another mode; DimensionMismatch for
    vectors of another length; InvalidDocument for what JSON cannot hold; FilterError for a filter whose operator cannot
    take its value.
    """

    stores_text: bool = True
    store: str = "llamaindex_nodes"
    embed_dim: int = 1536
    _kept: Kept = PrivateAttr()

    def __init__(
        self,
        source: object = None,
        *,
        store: str = "llamaindex_nodes",
        embed_dim: int = 1536,
        distance: Distance = "cosine",
        index: IndexKind | None = None,
        **kwargs: Any,
    ) -> None:
        fields: dict[str, Any] = {"store": store, "embed_dim": embed_dim, **kwargs}
        super().__init__(**fields)
        spec = StoreSpec(store, embed_dim, distance, index, embedded=False, memories=False)
        self._kept = Kept(source, spec)

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex writes down."""
        return "MemorizzVectorStore"

    @property
    def client(self) -> MemoryProvider:
        """The provider."""
        return self._kept.provider

    def close(self) -> None:
        """Close the provider, unless it was given; twice is fine."""
        self._kept.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- nodes ----------------------------------------------------------------------------------------------------

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Store nodes with their vectors, all or none; return their ids."""
        return self.client.store_many([_memory_of(node) for node in nodes], self.store)

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Add, awaited."""
        return await in_thread(self.add, nodes)

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """Return the nodes of some ids, in their order, that match; None are all, in the order of adding."""
        found = self.client.iterate(self.store, _where(filters, node_ids))
        nodes = {memory["id"]: _node_of(memory) for memory in found}
        return [nodes[id] for id in dict.fromkeys(nodes if node_ids is None else node_ids) if id in nodes]

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """get_nodes, awaited."""
        return await in_thread(self.get_nodes, node_ids, filters)

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes of a document; none is no error."""
        self.client.delete(self.store, {"ref_doc_id": ref_doc_id})

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete, awaited."""
        await in_thread(self.delete, ref_doc_id)

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Delete the nodes of some ids that match; without ids and filters nothing: clear() deletes all."""
        where = _where(filters, node_ids)
        if where:
            self.client.delete(self.store, where)

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """delete_nodes, awaited."""
        await in_thread(self.delete_nodes, node_ids, filters)

    def clear(self) -> None:
        """Delete every node; the store stays."""
        self.client.delete_all(self.store)

    async def aclear(self) -> None:
        """Clear, awaited."""
        await in_thread(self.clear)

    # --- searching ------------------------------------------------------------------------------------------------

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Return the best nodes, their scores and their ids."""
        if query.mode not in _MODES:
            known = ", ".join(mode.value for mode in _MODES)
            raise ConfigurationError(f"the mode {query.mode.value!r} is none of this store's: expected {known}")
        # An index's retriever gives an empty list of ids where it means no restriction.
        where = _where(query.filters, query.node_ids or None, query.doc_ids or None)
        most = query.similarity_top_k
        if query.mode is VectorStoreQueryMode.HYBRID and query.hybrid_top_k is not None:
            most = query.hybrid_top_k
        if query.mode is VectorStoreQueryMode.MMR:
            return self._unlike(query, where, kwargs)
        asked: Filter = {}
        if query.mode not in _WORDS:
            asked["embedding"] = _needed(query, "query_embedding")
        if query.mode is not VectorStoreQueryMode.DEFAULT:
            asked["$text"] = {"$search": _needed(query, "query_str")}
        alpha = query.alpha if query.mode is VectorStoreQueryMode.HYBRID else None
        ranking = None if alpha is None else Ranking(meaning=alpha, words=1 - alpha)
        hits = self.client.retrieve_by_query(asked, self.store, _limit(most), where=where, ranking=ranking)
        return _result(hits, [hit["_score"] for hit in hits])

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Query, awaited."""
        return await in_thread(self.query, query, **kwargs)

    def _unlike(self, query: VectorStoreQuery, where: Filter, kwargs: dict[str, Any]) -> VectorStoreQueryResult:
        vector, most = _needed(query, "query_embedding"), _limit(query.similarity_top_k)
        if most == 0:
            return _result([], [])
        looked_at = min(kwargs.get("mmr_prefetch_k") or most * _MMR_PREFETCH, MAX_LIMIT)
        hits = self.client.retrieve_by_query(
            {"embedding": vector}, self.store, looked_at, where=where, include_embedding=True
        )
        chosen: tuple[list[float], list[int]] = _unlike_each_other(
            vector,
            [hit["embedding"] for hit in hits],
            similarity_top_k=most,
            mmr_threshold=kwargs.get("mmr_threshold", query.mmr_threshold),
        )
        return _result([hits[place] for place in chosen[1]], chosen[0])


def _limit(top_k: int | None) -> int:
    return MAX_LIMIT if top_k is None else top_k


def _needed(query: VectorStoreQuery, name: str) -> Any:
    value = getattr(query, name)
    if value is None:
        raise ConfigurationError(f"a query in the mode {query.mode.value!r} needs {name}, which is None")
    return value


def _where(
    filters: MetadataFilters | None, node_ids: list[str] | None = None, doc_ids: list[str] | None = None
) -> Filter:
    parts: list[Filter] = [filter_of(filters)]
    parts += [{"id": {"$in": ids_of(node_ids)}}] if node_ids is not None else []
    parts += [{"ref_doc_id": {"$in": ids_of(doc_ids)}}] if doc_ids is not None else []
    parts = [part for part in parts if part]
    return {"$and": parts} if parts else {}


def _memory_of(node: BaseNode) -> dict[str, Any]:
    """Return what a node is stored as: always all keys, so that it replaces the one before."""
    data = node.model_dump(mode="json", exclude={"embedding"})
    return {
        "id": node.node_id,
        "content": node.get_content(MetadataMode.NONE),
        "embedding": node.embedding,
        "ref_doc_id": node.ref_doc_id,
        "node": to_json({DATA_KEY: data, TYPE_KEY: node.get_type()}, f"nodes.{node.node_id}"),
        **metadata_of(data["metadata"]),
    }


def _node_of(memory: Memory) -> BaseNode:
    return _read(json.loads(memory["node"]))


def _result(hits: Sequence[Memory], scores: list[float]) -> VectorStoreQueryResult:
    return VectorStoreQueryResult([_node_of(hit) for hit in hits], scores, [hit["id"] for hit in hits])
