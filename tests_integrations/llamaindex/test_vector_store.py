"""MemorizzVectorStore: what LlamaIndex asks of a vector store, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from llama_index.core import Settings, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.indices.query.embedding_utils import get_top_k_mmr_embeddings
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageNode,
    IndexNode,
    MediaResource,
    Node,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores.types import (
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.errors import ConfigurationError, DimensionMismatch, InvalidDocument, ProviderClosed
from memorizz.integrations.llamaindex import MemorizzVectorStore

TEA = MetadataFilters(filters=[MetadataFilter(key="topic", value="tea")])


class Letters(BaseEmbedding):
    """Two texts are as near as they share letters."""

    def _get_text_embedding(self, text: str) -> list[float]:
        return [1.0 + text.count("a"), 1.0 + text.count("e")]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def towards(degrees: float) -> list[float]:
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]


def node(number: int, text: str = "", **given: Any) -> TextNode:
    source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"book{number % 2}")}
    given = {"metadata": {"topic": "tea" if number % 3 else "milk"}, "relationships": source, **given}
    return TextNode(id_=f"n{number}", text=text or f"text{number}", embedding=towards(10 * number), **given)


@pytest.fixture
def store(provider: PostgreSQLProvider) -> MemorizzVectorStore:
    return MemorizzVectorStore(provider, embed_dim=2)


def ids(result: Any) -> list[str]:
    return result.ids


def query(**given: Any) -> VectorStoreQuery:
    return VectorStoreQuery(**{"query_embedding": [1.0, 0.0], "similarity_top_k": 3, **given})


def test_nodes_come_back_as_they_were(store: MemorizzVectorStore) -> None:
    """Of every class, with their relationships, templates, places and data; without their vectors."""
    related = {
        NodeRelationship.SOURCE: RelatedNodeInfo(node_id="book", metadata={"a": 1}, hash="h"),
        NodeRelationship.CHILD: [RelatedNodeInfo(node_id="x"), RelatedNodeInfo(node_id="y")],
    }
    nodes: list[BaseNode] = [
        node(1, "tea", metadata={"z": 1, "a": {"deep": [1, None]}, "dot.ted": "x"}, relationships=related),
        TextNode(
            id_="t",
            text="t",
            start_char_idx=3,
            end_char_idx=4,
            excluded_llm_metadata_keys=["z"],
            text_template="{content}",
        ),
        Document(id_="d", text="a document"),
        IndexNode(id_="i", text="an index", index_id="other"),
        ImageNode(id_="p", text="a picture", image="aGk="),
        Node(id_="m", text_resource=MediaResource(text="media"), image_resource=MediaResource(data=b"hi")),
    ]
    for each in nodes:
        each.embedding = [1.0, 0.0]
    assert store.add(nodes) == [each.node_id for each in nodes]
    for given, found in zip(nodes, store.get_nodes(), strict=True):
        assert type(found) is type(given)
        assert found.embedding is None
        assert found.model_dump(exclude={"embedding"}) == given.model_dump(exclude={"embedding"})


def test_the_nearest(store: MemorizzVectorStore) -> None:
    """With their scores and ids, as many as are wanted, among those that match."""
    store.add([node(number) for number in range(6)])
    result = store.query(query())
    assert ids(result) == [each.node_id for each in result.nodes] == ["n0", "n1", "n2"]
    assert result.similarities == pytest.approx([math.cos(math.radians(10 * n)) for n in range(3)])
    assert ids(store.query(query(similarity_top_k=0))) == []
    assert len(ids(store.query(query(similarity_top_k=None)))) == 6
    assert ids(store.query(query(filters=TEA))) == ["n1", "n2", "n4"]
    assert ids(store.query(query(doc_ids=["book1"]))) == ["n1", "n3", "n5"]
    assert ids(store.query(query(node_ids=["n5", "n4", "no"]))) == ["n4", "n5"]
    assert len(ids(store.query(query(node_ids=[], doc_ids=[])))) == 3
    assert ids(store.query(query(node_ids=["n1", "n2"], doc_ids=["book1"], filters=TEA))) == ["n1"]


def test_by_words_and_by_both(store: MemorizzVectorStore) -> None:
    """text_search finds words alone; hybrid weighs both by alpha, and returns hybrid_top_k."""
    store.add([node(0, "milk"), node(1, "milk"), node(9, "green tea")])
    for mode in (VectorStoreQueryMode.TEXT_SEARCH, VectorStoreQueryMode.SPARSE):
        assert ids(store.query(VectorStoreQuery(query_str="teas", mode=mode, similarity_top_k=3))) == ["n9"]
    both = {"mode": VectorStoreQueryMode.HYBRID, "query_str": "tea"}
    assert ids(store.query(query(**both, alpha=1.0))) == ["n0", "n1", "n9"]
    assert ids(store.query(query(**both, alpha=0.0)))[0] == "n9"
    assert ids(store.query(query(**both, hybrid_top_k=1, similarity_top_k=3, alpha=0.1))) == ["n9"]
    assert len(ids(store.query(query(**both)))) == 3


def test_unlike_each_other(store: MemorizzVectorStore) -> None:
    """mmr chooses as LlamaIndex's own function does, of four times as many as are wanted."""
    nodes = [node(n) for n in range(8)]
    for n, each in enumerate(nodes):
        each.embedding = towards((n % 2) * 70 + n * n)
    store.add(nodes)
    asked = towards(-17)
    for threshold in (None, 0.0, 0.3, 1.0):
        mmr = query(query_embedding=asked, mode=VectorStoreQueryMode.MMR, mmr_threshold=threshold)
        result = store.query(mmr)
        scores, expected = get_top_k_mmr_embeddings(
            asked,
            [each.embedding for each in nodes],
            similarity_top_k=3,
            embedding_ids=[each.node_id for each in nodes],
            mmr_threshold=threshold,
        )
        assert ids(result) == expected, threshold
        assert result.similarities == pytest.approx(scores, abs=1e-5)
    few = query(query_embedding=asked, mode=VectorStoreQueryMode.MMR)
    assert sorted(ids(store.query(few, mmr_prefetch_k=3))) == ["n0", "n2", "n4"]
    assert ids(store.query(few, mmr_threshold=1.0)) == ["n0", "n2", "n4"]
    assert ids(store.query(query(mode=VectorStoreQueryMode.MMR, similarity_top_k=0))) == []


def test_adding_again_replaces(store: MemorizzVectorStore) -> None:
    """All of a node: its text, vector, metadata and document."""
    store.add([node(1), node(2)])
    store.add([TextNode(id_="n1", text="new", embedding=towards(90))])
    (found,) = store.get_nodes(["n1"])
    assert (found.get_content(), found.metadata, found.ref_doc_id) == ("new", {}, None)
    assert ids(store.query(query())) == ["n2", "n1"]


def test_what_is_returned_is_a_copy(store: MemorizzVectorStore) -> None:
    """Changing it, or what was given, changes nothing that is stored."""
    given = node(1)
    store.add([given])
    given.metadata["topic"] = "changed"
    (found,) = store.get_nodes()
    found.metadata["topic"] = "changed"
    assert store.get_nodes()[0].metadata == {"topic": "tea"}


def test_deleting(store: MemorizzVectorStore) -> None:
    """By document, by ids, by filters and both; without either nothing; clear deletes all."""
    store.add([node(number) for number in range(8)])
    store.delete("book0")
    store.delete("nobody")
    assert [each.node_id for each in store.get_nodes()] == ["n1", "n3", "n5", "n7"]
    store.delete_nodes()
    store.delete_nodes(node_ids=[])
    for wrong in ({"node_ids": "n1"}, {"node_ids": "n1", "filters": TEA}):
        with pytest.raises(ConfigurationError, match="list of ids"):
            store.delete_nodes(**wrong)
    store.delete_nodes(node_ids=["n1", "n3"], filters=TEA)
    assert [each.node_id for each in store.get_nodes()] == ["n3", "n5", "n7"]
    store.delete_nodes(filters=TEA)
    store.delete_nodes(node_ids=["no"])
    assert [each.node_id for each in store.get_nodes()] == ["n3"]
    store.clear()
    assert store.get_nodes() == []


def test_nodes_by_id(store: MemorizzVectorStore) -> None:
    """In the order of the ids, each once, without those that are not there."""
    store.add([node(number) for number in range(4)])
    assert [each.node_id for each in store.get_nodes(["n2", "no", "n0", "n2"])] == ["n2", "n0"]
    assert store.get_nodes([]) == []


def test_awaited(store: MemorizzVectorStore) -> None:
    """Each method has an async face, from any loop, and several at once."""

    async def all_of_them() -> list[Any]:
        assert await store.async_add([node(number) for number in range(6)]) == [f"n{n}" for n in range(6)]
        await asyncio.gather(store.adelete("book0"), store.adelete_nodes(["n5"]))
        found = [each.node_id for each in await store.aget_nodes()]
        result = await store.aquery(query())
        await store.aclear()
        return [found, ids(result), await store.aget_nodes()]

    for _ in range(2):
        assert asyncio.run(all_of_them()) == [["n1", "n3"], ["n1", "n3"], []]


def test_threads_lose_nothing(store: MemorizzVectorStore) -> None:
    """Fifty add at once, each what others add too."""
    with ThreadPoolExecutor(50) as threads:
        list(threads.map(lambda number: store.add([node(number), node(number + 1)]), range(50)))
    assert len(store.get_nodes()) == 51


def test_an_index_of_llamaindex(config: PostgreSQLConfig) -> None:
    """Documents are split, embedded, kept and found by another process, and deleted by their document."""
    with MemorizzVectorStore(config, embed_dim=2) as store:
        texts = [Document(id_="tea", text="a banana a day"), Document(id_="beer", text="seeds never sleep")]
        VectorStoreIndex.from_vector_store(store, embed_model=Letters()).insert_nodes(texts)
    with MemorizzVectorStore(config, embed_dim=2) as store:
        index = VectorStoreIndex.from_vector_store(store, embed_model=Letters())
        (found,) = index.as_retriever(similarity_top_k=1).retrieve("aaaa")
        assert found.node.get_content() == "a banana a day"
        assert found.score == pytest.approx(1, abs=0.05)
        (found,) = asyncio.run(index.as_retriever(similarity_top_k=1).aretrieve("eeee"))
        assert found.node.node_id == "beer"
    assert Settings._embed_model is None


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"mode": VectorStoreQueryMode.SVM}, ConfigurationError, "'svm' is none of this store's: expected default"),
        ({"query_embedding": None}, ConfigurationError, "'default' needs query_embedding"),
        ({"mode": VectorStoreQueryMode.HYBRID}, ConfigurationError, "'hybrid' needs query_str"),
        ({"mode": VectorStoreQueryMode.TEXT_SEARCH}, ConfigurationError, "'text_search' needs query_str"),
        ({"mode": VectorStoreQueryMode.HYBRID, "query_str": "tea", "alpha": -1}, ConfigurationError, "meaning"),
        ({"query_embedding": [1.0]}, DimensionMismatch, "2"),
        ({"similarity_top_k": -1}, ConfigurationError, "limit"),
    ],
)
def test_what_cannot_be_asked(store: MemorizzVectorStore, given: Any, error: type[Exception], said: str) -> None:
    """It is an error that says what was expected."""
    with pytest.raises(error, match=said):
        store.query(query(**given))


def test_what_cannot_be_added(store: MemorizzVectorStore) -> None:
    """It is named, and nothing of its batch is there."""
    wrong = node(2)
    wrong.embedding = [1.0]
    with pytest.raises(DimensionMismatch):
        store.add([node(1), wrong])
    with pytest.raises(InvalidDocument, match="content"):
        store.add([node(1), TextNode(text="a\x00b", embedding=[1.0, 0.0])])
    assert store.get_nodes() == []


def test_another_length_is_another_store(provider: PostgreSQLProvider) -> None:
    """A store that is there has the vectors that it was made for."""
    MemorizzVectorStore(provider, embed_dim=2)
    with pytest.raises(ConfigurationError, match="llamaindex_nodes"):
        MemorizzVectorStore(provider, embed_dim=3)


def test_a_search_that_fails_says_so(config: PostgreSQLConfig) -> None:
    """A closed store is an error."""
    store = MemorizzVectorStore(config, embed_dim=2)
    store.close()
    store.close()
    with pytest.raises(ProviderClosed):
        store.query(query())
