"""The vector store beyond langchain-tests: scores, filters, MMR, ids, threads and loops, and bad input."""

from __future__ import annotations

import asyncio
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from topics import Topics

from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.errors import ConfigurationError, DimensionMismatch, FilterError, InvalidDocument, ProviderClosed
from memorizz.integrations.langchain import MemorizzByteStore, MemorizzDocumentIndex, MemorizzVectorStore

TEXTS = ["tea and tea", "a train to oxford", "snow in a cup of tea", "snow"]
METADATAS: list[dict[str, Any]] = [
    {"n": 7, "who": "ada", "tags": ["a", "b"]},
    {"n": 25, "who": None, "deep": {"er": 1}},
    {"n": 100, "who": "bob"},
    {"n": "100"},
]


@pytest.fixture
def store(provider: PostgreSQLProvider, embedding: Topics) -> MemorizzVectorStore:
    store = MemorizzVectorStore(embedding, provider)
    store.add_texts(TEXTS, METADATAS, ids=["1", "2", "3", "4"])
    return store


def ids(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]


# --- ids ----------------------------------------------------------------------------------------------------------


def test_none_among_ids_means_make_one(store: MemorizzVectorStore) -> None:
    """add_documents gives add_texts None for the documents without an id."""
    first, made = store.add_documents([Document("new", id="1"), Document("other")])
    assert first == "1"
    assert made not in ("None", "", None)
    assert store.get_by_ids(["1"])[0].page_content == "new"
    assert store.get_by_ids([made])[0].page_content == "other"


def test_adding_again_replaces_the_whole_document(store: MemorizzVectorStore) -> None:
    """Text, metadata and vector are those of the last write; nothing is left of the one before."""
    store.add_texts(["snow"], [{"only": True}], ids=["1"])
    (document,) = store.get_by_ids(["1"])
    assert (document.page_content, document.metadata) == ("snow", {"only": True})
    assert "1" in ids(store.similarity_search("snow", k=2))
    store.add_texts(["one", "two"], ids=["same", "same"])
    assert [document.page_content for document in store.get_by_ids(["same"])] == ["two"]


def test_ids_of_any_text_are_kept(store: MemorizzVectorStore) -> None:
    """Dots, percent, underscores, quotes and 10 kB are ids as any other."""
    strange = ["a.b", "100%", "a_b", "'; DROP TABLE x; --", '"', "x" * 10_000, "ä/ö"]
    assert store.add_texts(["tea"] * len(strange), ids=strange) == strange
    assert ids(store.get_by_ids(strange)) == strange
    store.delete(["a_b"])
    assert ids(store.get_by_ids(strange)) == [id for id in strange if id != "a_b"]


def test_by_id_neither_raises_nor_pads(store: MemorizzVectorStore) -> None:
    """Missing ids are left out, an id asked for twice is returned once, in the order asked."""
    assert ids(store.get_by_ids(["4", "no", "1", "4"])) == ["4", "1"]
    assert store.get_by_ids([]) == []


def test_delete_without_ids_deletes_nothing(store: MemorizzVectorStore) -> None:
    """None and an empty list are no error, and no order to delete everything."""
    store.delete(None)
    store.delete([])
    store.delete(["no"])
    assert len(store.similarity_search("tea", k=None)) == 4
    store.delete_collection()
    assert store.similarity_search("tea", k=None) == []


def test_a_text_is_no_list_of_ids(store: MemorizzVectorStore, provider: PostgreSQLProvider) -> None:
    """Else each of its characters would be an id; nothing is deleted."""
    index, values = MemorizzDocumentIndex(vector_store=store), MemorizzByteStore(provider)
    values.mset([("1", b"1"), ("2", b"2")])
    wrong: Any = "12"
    for ask in (store.delete, store.get_by_ids, index.delete, index.get, values.mdelete, values.mget):
        with pytest.raises(ConfigurationError, match="list of ids"):
            ask(wrong)
    with pytest.raises(ConfigurationError, match="list of ids"):
        store.add_texts(["one", "two"], ids=wrong)
    with pytest.raises(ConfigurationError, match="texts='12'"):
        store.add_texts(wrong)
    assert len(store.similarity_search("tea", k=None)) == 4
    assert ids(store.get_by_ids(["1", "2"])) == ["1", "2"]
    assert values.mget(["1", "2"]) == [b"1", b"2"]


@pytest.mark.parametrize("wrong", [None, 7, [{"type": "text", "text": "tea"}]])
async def test_what_is_no_text_is_refused(store: MemorizzVectorStore, wrong: Any) -> None:
    """Each search that found it would fail, for it is no document of LangChain's; nothing is stored."""
    with pytest.raises(InvalidDocument, match=r"texts\[1\]"):
        store.add_texts(["tea", wrong])
    with pytest.raises(InvalidDocument, match=r"texts\[1\]"):
        await store.aadd_texts(["tea", wrong])
    assert len(store.similarity_search("tea", k=None)) == 4


def test_lists_of_other_lengths_are_refused(store: MemorizzVectorStore) -> None:
    """Nothing is stored where there are not as many ids or metadatas as texts."""
    for wrong in ({"ids": ["9"]}, {"metadatas": [{}]}):
        with pytest.raises(ValueError, match="2 texts came with"):
            store.add_texts(["x", "y"], **wrong)
    assert len(store.similarity_search("tea", k=None)) == 4


# --- searches -----------------------------------------------------------------------------------------------------


def test_scores_are_similarities(store: MemorizzVectorStore) -> None:
    """More is better; a relevance is between 0 and 1, also of what points away."""
    found = store.similarity_search_with_score("tea", k=4)
    scores = [score for _, score in found]
    assert found[0][0].id == "1"
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(1.0, abs=1e-3)
    store.add_embeddings([[-1.0, -1.0, -1.0]], texts=["away"], ids=["away"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        relevant = store.similarity_search_with_relevance_scores("tea", k=5)
    assert relevant[-1][0].id == "away"
    assert relevant[-1][1] == 0.0


@pytest.mark.parametrize("distance", ["cosine", "l2", "inner_product"])
def test_every_distance_ranks_the_nearest_first(provider: PostgreSQLProvider, distance: Any) -> None:
    """Whatever the distance, more is better, and a relevance lies between 0 and 1."""
    store = MemorizzVectorStore(Topics(), provider, store=f"by_{distance}", distance=distance)
    store.add_texts(TEXTS, ids=["1", "2", "3", "4"])
    found = store.similarity_search_with_relevance_scores("train", k=4)
    assert found[0][0].id == "2"
    assert all(0 <= score <= 1 for _, score in found)


def test_score_threshold(store: MemorizzVectorStore) -> None:
    """The retriever of kind similarity_score_threshold leaves out what is less alike."""
    retriever = store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"k": 4, "score_threshold": 0.9}
    )
    assert ids(retriever.invoke("tea")) == ["1"]


def test_mmr_prefers_what_is_unlike(store: MemorizzVectorStore) -> None:
    """With lambda_mult=0 the second hit is unlike the first; with 1 the next nearest; a filter holds too."""
    store.add_texts(["tea tea tea"], [{"n": 1}], ids=["5"])
    near = store.max_marginal_relevance_search("tea", k=2, lambda_mult=1)
    unlike = store.max_marginal_relevance_search("tea", k=2, lambda_mult=0)
    assert set(ids(near)) == {"1", "5"}
    assert set(ids(unlike)) != {"1", "5"}
    assert ids(store.as_retriever(search_type="mmr", search_kwargs={"k": 3, "filter": {"n": 1}}).invoke("tea")) == ["5"]
    assert len(store.max_marginal_relevance_search("tea", k=5, fetch_k=2)) == 5
    assert store.max_marginal_relevance_search("tea", k=0) == []
    with pytest.raises(ConfigurationError, match="lambda_mult"):
        store.max_marginal_relevance_search("tea", lambda_mult=2)


def test_k_of_zero_is_none_and_none_is_all(store: MemorizzVectorStore) -> None:
    """A limit counts documents."""
    assert store.similarity_search("tea", k=0) == []
    assert len(store.similarity_search("tea", k=None)) == 4
    assert len(store.max_marginal_relevance_search("tea", k=None)) == 4
    assert len(store.max_marginal_relevance_search("tea", k=2, fetch_k=None)) == 2
    for wrong in (-1, 1.5, True, "2"):
        given: Any = wrong
        with pytest.raises(ConfigurationError, match="limit="):
            store.similarity_search("tea", k=given)
        with pytest.raises(ConfigurationError, match="k="):
            store.max_marginal_relevance_search("tea", k=given)
        with pytest.raises(ConfigurationError, match="fetch_k="):
            store.max_marginal_relevance_search("tea", fetch_k=given)


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({"who": "ada"}, {"1"}),
        ({"n": {"$gt": 7, "$lte": 100}}, {"2", "3"}),
        ({"n": 100}, {"3"}),
        ({"n": "100"}, {"4"}),
        ({"who": None}, {"2", "4"}),
        ({"who": {"$exists": True}}, {"1", "2", "3"}),
        ({"deep.er": 1}, {"2"}),
        ({"deep": {"er": 1}}, {"2"}),
        ({"tags": {"$contains": "a"}}, {"1"}),
        ({"$or": [{"who": "ada"}, {"n": {"$in": [25, 26]}}]}, {"1", "2"}),
        ({"$not": {"who": "ada"}}, {"2", "3", "4"}),
        ({"n": {"$not": {"$gt": 7}}}, {"1", "4"}),
        ({"limit": 1}, set()),
        ({"content": "snow"}, set()),
        ({}, {"1", "2", "3", "4"}),
    ],
)
def test_filters_are_on_the_metadata(store: MemorizzVectorStore, filter: Any, expected: set[str]) -> None:
    """Numbers compare as numbers, a missing key is None, and no key of the filter leads out of the metadata."""
    assert set(ids(store.similarity_search("tea", k=10, filter=filter))) == expected


@pytest.mark.parametrize(
    "filter",
    [{"n": {"$near": 5}}, {"$text": {"$search": "snow"}}, {"n": {"$in": 5}}, {"$or": {"n": 7}}, {7: 7}, lambda _: True],
)
def test_a_filter_that_says_nothing_is_an_error(store: MemorizzVectorStore, filter: Any) -> None:
    """An unknown operator, a malformed operand or a callable is not ignored."""
    with pytest.raises(FilterError):
        store.similarity_search("tea", filter=filter)


def test_what_is_returned_is_a_copy(store: MemorizzVectorStore) -> None:
    """Changing a hit changes no memory."""
    store.similarity_search("tea", k=1)[0].metadata["n"] = "changed"
    assert store.similarity_search("tea", k=1)[0].metadata["n"] == 7


# --- bad input ----------------------------------------------------------------------------------------------------


def test_vectors_of_another_length_are_refused(store: MemorizzVectorStore, provider: PostgreSQLProvider) -> None:
    """Another model's vectors are neither stored nor searched with."""
    with pytest.raises(DimensionMismatch, match="3"):
        store.similarity_search_by_vector([1.0, 2.0])
    other = MemorizzVectorStore(DeterministicFakeEmbedding(size=6), provider)
    with pytest.raises(DimensionMismatch):
        other.add_texts(["x"])


def test_another_specification_is_refused(store: MemorizzVectorStore, provider: PostgreSQLProvider) -> None:
    """A second program with other settings for the store gets an error that says what differs."""
    with pytest.raises(ConfigurationError, match="distance is 'cosine', not 'l2'"):
        MemorizzVectorStore(Topics(), provider, distance="l2")


def test_what_json_cannot_hold_is_refused_whole(store: MemorizzVectorStore) -> None:
    """The error names the way to the value, and nothing of the call is stored."""
    with pytest.raises(InvalidDocument, match=r"metadata\.deep\.value"):
        store.add_texts(["fine", "not"], [{}, {"deep": {"value": object()}}])
    assert len(store.similarity_search("tea", k=None)) == 4


def test_a_provider_is_given_or_opened(config: PostgreSQLConfig, dsn: str, provider: PostgreSQLProvider) -> None:
    """What is opened for a store is closed with it; what is given stays open."""
    with MemorizzVectorStore(Topics(), config) as opened:
        opened.add_texts(["tea"])
    with pytest.raises(ProviderClosed):
        opened.similarity_search("tea")
    with MemorizzVectorStore(Topics(), provider) as given:
        assert len(given.similarity_search("tea")) == 1
    assert given.similarity_search("tea") != []
    with pytest.raises(ConfigurationError, match="expected a provider"):
        MemorizzVectorStore(Topics(), 5)


def test_a_server_that_ends_its_connections_is_connected_to_again(store: MemorizzVectorStore, dsn: str) -> None:
    """As it does when it is restarted: the next search is answered."""
    with psycopg.connect(dsn, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid != pg_backend_pid()"
        )
    assert ids(store.similarity_search("tea", k=1)) == ["1"]


# --- threads and loops --------------------------------------------------------------------------------------------


async def test_async_methods_embed_with_the_async_methods(store: MemorizzVectorStore, embedding: Topics) -> None:
    """A model that is awaited holds up no loop, in every method that embeds."""
    made = await MemorizzVectorStore.afrom_texts(["tea"], embedding, source=store.provider, store="another")
    assert embedding.awaited == 1
    assert ids(await made.asimilarity_search("tea")) == ids(made.similarity_search("tea"))
    await store.aadd_documents([Document("tea", id="5")])
    await store.asimilarity_search_with_score("tea")
    await store.asimilarity_search_with_relevance_scores("tea")
    await store.amax_marginal_relevance_search("tea")
    await store.ahybrid_search_with_score("tea")
    assert embedding.awaited == 7
    assert ids(await store.amax_marginal_relevance_search_by_vector([1, 0, 0], k=1))
    assert ids(await store.asimilarity_search_by_vector([0, 1, 0], k=1)) == ["2"]
    assert await store.adelete(["5"])
    assert await store.aget_by_ids(["5"]) == []


async def test_sync_methods_may_be_called_from_a_running_loop(store: MemorizzVectorStore) -> None:
    """LangGraph's nodes do."""
    assert ids(store.similarity_search("tea", k=1)) == ["1"]


def test_one_store_serves_threads_and_loops(store: MemorizzVectorStore) -> None:
    """50 threads and three event loops use one object at once, and none is mistaken for another."""

    def in_thread(number: int) -> list[str | None]:
        store.add_texts([f"train {number}"], [{"number": number}], ids=[f"t{number}"])
        return ids(store.similarity_search("train", k=9, filter={"number": number}))

    async def in_loop(number: int) -> list[list[Document]]:
        return await asyncio.gather(*(store.asimilarity_search("tea", k=1) for _ in range(5)))

    with ThreadPoolExecutor(53) as pool:
        loops = [pool.submit(asyncio.run, in_loop(number)) for number in range(3)]
        threads = list(pool.map(in_thread, range(50)))
    assert threads == [[f"t{number}"] for number in range(50)]
    assert all(ids(found) == ["1"] for loop in loops for found in loop.result())
