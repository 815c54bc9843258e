"""The document store and its retrievers beyond haystack.testing."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from haystack import Pipeline
from haystack.dataclasses import ByteStream, Document, SparseEmbedding
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError
from haystack.utils import Secret

from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.errors import ConfigurationError, DimensionMismatch, InvalidDocument
from memorizz.integrations.haystack import (
    MemorizzDocumentStore,
    MemorizzEmbeddingRetriever,
    MemorizzHybridRetriever,
    MemorizzKeywordRetriever,
)


@pytest.fixture
def store(provider: PostgreSQLProvider) -> MemorizzDocumentStore:
    return MemorizzDocumentStore(provider, embedding_dimension=3)


TEA = Document(id="tea", content="A cup of tea at four.", embedding=[1.0, 0.0, 0.0], meta={"who": "ada"})
ORDER = Document(id="order", content="Order ABX-4711 was delayed.", embedding=[0.0, 1.0, 0.0], meta={"who": "ada"})
TRAIN = Document(id="train", content="The train to Oxford.", embedding=[0.0, 0.0, 1.0], meta={"who": "bob"})


def ids(documents: list[Document]) -> list[str]:
    return [document.id for document in documents]


# --- writing ------------------------------------------------------------------------------------------------------


def test_everything_of_a_document_comes_back(store: MemorizzDocumentStore) -> None:
    """Content, blob, metadata, score, vector and sparse vector."""
    documents = [
        Document(id="plain", content=""),
        Document(
            id="all",
            content="text",
            blob=ByteStream(b"\x00\xff", meta={"a": 1}, mime_type="image/png"),
            meta={"n": 1.5, "list": [1, None, {"a": "b"}], "": "empty", "a.b": "dotted"},
            score=0.5,
            embedding=[0.25, 0.5, -1.0],
            sparse_embedding=SparseEmbedding(indices=[1, 5], values=[0.5, 0.25]),
        ),
        Document(id="blob", blob=ByteStream(b"")),
    ]
    store.write_documents(documents)
    assert store.filter_documents() == documents


@pytest.mark.parametrize("policy", [DuplicatePolicy.NONE, DuplicatePolicy.FAIL])
def test_a_duplicate_writes_nothing(store: MemorizzDocumentStore, policy: DuplicatePolicy) -> None:
    """Neither what stands before it in the list, nor what stands behind."""
    store.write_documents([TEA])
    with pytest.raises(DuplicateDocumentError, match="'tea'"):
        store.write_documents([ORDER, TEA, TRAIN], policy)
    with pytest.raises(DuplicateDocumentError):
        store.write_documents([ORDER, ORDER], policy)
    assert store.filter_documents() == [TEA]


def test_policies(store: MemorizzDocumentStore) -> None:
    """SKIP leaves what is there, OVERWRITE leaves nothing of it; each says how many it wrote."""
    other = Document(id="tea", content="other", meta={"only": True})
    assert store.write_documents([TEA, ORDER]) == 2
    assert store.write_documents([other, TRAIN, TRAIN], DuplicatePolicy.SKIP) == 1
    assert store.filter_documents() == [TEA, ORDER, TRAIN]
    assert store.write_documents([other], DuplicatePolicy.OVERWRITE) == 1
    assert store.filter_documents() == [other, ORDER, TRAIN]
    assert store.write_documents([]) == 0


@pytest.mark.parametrize("wrong", ["text", [1], (TEA for _ in range(1)), None, TEA, {"a": TEA}], ids=lambda _: "")
def test_what_is_no_list_of_documents_is_refused(store: MemorizzDocumentStore, wrong: Any) -> None:
    """Nothing is written."""
    with pytest.raises(ValueError, match="list of Documents"):
        store.write_documents(wrong)
    assert store.count_documents() == 0


def test_ids_of_any_text_are_kept(store: MemorizzDocumentStore) -> None:
    """Dots, percent, underscores, quotes and 10 kB are ids as any other."""
    strange = ["a.b", "100%", "a_b", "'; DROP TABLE x; --", '"', "x" * 10_000]
    store.write_documents([Document(id=id, content="text") for id in strange])
    assert ids(store.filter_documents()) == strange
    store.delete_documents(["a_b", "no"])
    store.delete_documents([])
    assert ids(store.filter_documents()) == [id for id in strange if id != "a_b"]


def test_what_says_of_no_document_that_it_is_meant_changes_none(store: MemorizzDocumentStore) -> None:
    """An empty filter, and a text in the place of ids, are errors where something would be changed or deleted."""
    store.write_documents([Document(id="a"), Document(id="b")])
    for nothing in ({}, None):
        with pytest.raises(FilterError, match="no document"):
            store.delete_by_filter(nothing)
        with pytest.raises(FilterError, match="no document"):
            store.update_by_filter(nothing, {"x": 1})
    with pytest.raises(ValueError, match="list of ids"):
        store.delete_documents("ab")
    assert [document.meta for document in store.filter_documents()] == [{}, {}]


def test_bad_values_are_refused_whole(store: MemorizzDocumentStore) -> None:
    """A vector of another length, and metadata that JSON cannot hold: the error says where, nothing is written."""
    with pytest.raises(DimensionMismatch):
        store.write_documents([TEA, Document(content="x", embedding=[1.0])])
    with pytest.raises(InvalidDocument, match=r"metadata\.deep\.value"):
        store.write_documents([TEA, Document(id="x", meta={"deep": {"value": object()}})])
    with pytest.raises(DimensionMismatch):
        store.embedding_retrieval([1.0])
    assert store.count_documents() == 0


def test_another_specification_is_refused(store: MemorizzDocumentStore, provider: PostgreSQLProvider) -> None:
    """A second program with vectors of another length gets an error that says what differs."""
    store.count_documents()
    with pytest.raises(ConfigurationError, match="dimensions is 3, not 768"):
        MemorizzDocumentStore(provider).count_documents()


# --- changing by a filter -----------------------------------------------------------------------------------------


def test_changes_at_once_lose_none(store: MemorizzDocumentStore) -> None:
    """Several callers merge into the same metadata, and every key is there."""
    store.write_documents([TEA, ORDER])
    ada = {"field": "meta.who", "operator": "==", "value": "ada"}
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda n: store.update_by_filter(ada, {f"k{n}": n}), range(16))) == [2] * 16
    for document in store.filter_documents():
        assert document.meta == {"who": "ada", **{f"k{n}": n for n in range(16)}}


def test_a_change_leaves_nothing_else(store: MemorizzDocumentStore, provider: PostgreSQLProvider) -> None:
    """What is stored of a document that was changed has the keys of one that was written so."""
    store.write_documents([TEA, TRAIN])
    assert store.update_by_filter({"field": "meta.who", "operator": "==", "value": "ada"}, {"cup": 1}) == 1
    assert store.update_by_filter({"field": "meta.who", "operator": "==", "value": "eve"}, {"cup": 1}) == 0
    changed, written = provider.list_all(store.store)
    assert changed.keys() == written.keys()
    assert (changed["metadata"], written["metadata"]) == ({"who": "ada", "cup": 1}, {"who": "bob"})


def test_dates_that_are_merged_are_dates(store: MemorizzDocumentStore) -> None:
    """What a filter compares follows the metadata, also when a date takes a text's place."""
    store.write_documents([TEA])
    every = {"field": "id", "operator": "==", "value": "tea"}
    since = {"field": "meta.since", "operator": ">", "value": "2025-01-01"}
    assert store.count_documents_by_filter(since) == 0
    store.update_by_filter(every, {"since": "2025-06-01"})
    assert store.count_documents_by_filter(since) == 1
    store.update_by_filter(every, {"since": "2024-06-01T00:00:00+02:00"})
    assert store.count_documents_by_filter(since) == 0
    assert store.delete_by_filter(every) == 1


# --- retrieving ---------------------------------------------------------------------------------------------------


@pytest.fixture
def filled(store: MemorizzDocumentStore) -> MemorizzDocumentStore:
    store.write_documents([TEA, ORDER, TRAIN])
    return store


async def test_retrieving(filled: MemorizzDocumentStore) -> None:
    """By meaning, by words, and by both; sync and async are the same."""
    vector = [0.9, 0.1, 0.0]
    assert ids(filled.embedding_retrieval(vector)) == ["tea", "order", "train"]
    assert ids(filled.keyword_retrieval("ABX-4711")) == ["order"]
    assert ids(filled.hybrid_retrieval("ABX-4711", [0.6, 0.5, 0.0], top_k=2)) == ["order", "tea"]
    assert filled.embedding_retrieval(vector) == await filled.embedding_retrieval_async(vector)
    assert filled.keyword_retrieval("tea") == await filled.keyword_retrieval_async("tea")
    assert filled.hybrid_retrieval("tea", vector) == await filled.hybrid_retrieval_async("tea", vector)
    scores = [document.score or 0.0 for document in filled.embedding_retrieval(vector)]
    assert scores == sorted(scores, reverse=True)


def test_a_search_has_its_own_score(store: MemorizzDocumentStore) -> None:
    """In the place of one that the document was written with, which a filter gives back."""
    store.write_documents([replace(TEA, score=7.0)])
    assert [document.score for document in store.filter_documents()] == [7.0]
    (found,) = store.embedding_retrieval([1.0, 0.0, 0.0])
    assert found.score is not None
    assert found.score <= 1.0


def test_a_ranking_weighs_both(filled: MemorizzDocumentStore) -> None:
    """By the keywords of a Ranking, in a retriever as in the store."""
    asked = {"query": "train", "query_embedding": [1.0, 0.0, 0.0], "top_k": 1}
    first = {
        name: ids(MemorizzHybridRetriever(filled, ranking=ranking).run(**asked)["documents"])
        for name, ranking in {
            "meaning": {"meaning": 1.0, "words": 0.0},
            "words": {"meaning": 0.0, "words": 1.0},
        }.items()
    }
    assert first == {"meaning": ["tea"], "words": ["train"]}


def test_a_run_may_ask_for_none(filled: MemorizzDocumentStore) -> None:
    """0 is a number as any other; what is not given is the retriever's."""
    retriever = MemorizzKeywordRetriever(filled, top_k=1)
    found = [len(retriever.run("tea train", top_k=top_k)["documents"]) for top_k in (0, 2, None)]
    assert found == [0, 2, 1]


def test_values_are_told_apart_by_type(store: MemorizzDocumentStore) -> None:
    """1, 1.0, True and "1" are four; they have no order, so there is no least and no greatest of them."""
    store.write_documents([Document(id=f"{n}", meta={"x": x}) for n, x in enumerate([1, 1.0, True, "1", 1, None])])
    values, count = store.get_metadata_field_unique_values("meta.x")
    assert (count, sorted(map(repr, values))) == (4, ["'1'", "1", "1.0", "True"])
    assert store.count_unique_metadata_by_filter(None, ["x", "meta.x"]) == {"x": 4}
    assert store.get_metadata_field_min_max("x") == {"min": None, "max": None}
    assert store.get_metadata_field_min_max("no") == {"min": None, "max": None}
    assert store.get_metadata_field_unique_values("x", size=1, from_=3)[0] == [True]
    store.write_documents([Document(id="A", meta={"x": "Anne"})])
    assert store.get_metadata_field_unique_values("x", "aNN") == (["Anne"], 1)


def test_limits(filled: MemorizzDocumentStore) -> None:
    """0 is none, None is all."""
    assert filled.embedding_retrieval([1.0, 0.0, 0.0], top_k=0) == []
    assert len(filled.embedding_retrieval([1.0, 0.0, 0.0], top_k=None)) == 3
    assert filled.get_metadata_field_unique_values("who", size=None) == (["ada", "bob"], 2)
    assert filled.get_metadata_field_unique_values("who", size=0) == ([], 2)


def test_vectors_are_returned_unless_they_are_not_wanted(provider: PostgreSQLProvider) -> None:
    """return_embedding is the store's."""
    store = MemorizzDocumentStore(provider, embedding_dimension=3, return_embedding=False)
    store.write_documents([TEA])
    assert [document.embedding for document in store.filter_documents()] == [None]
    assert [document.embedding for document in store.embedding_retrieval([1.0, 0.0, 0.0])] == [None]


def test_retrievers_in_a_pipeline(config: PostgreSQLConfig, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline is serialized with its store and retrievers, loaded, and finds what was written before."""
    monkeypatch.setenv("MEMORIES", dsn)
    store = MemorizzDocumentStore(Secret.from_env_var("MEMORIES"), store="of_pipeline", embedding_dimension=3)
    store.write_documents([TEA, ORDER, TRAIN])
    store.close()
    ada = {"field": "meta.who", "operator": "==", "value": "ada"}
    pipeline = Pipeline()
    pipeline.add_component("meaning", MemorizzEmbeddingRetriever(store, top_k=1))
    pipeline.add_component("words", MemorizzKeywordRetriever(store, filters=ada))
    pipeline.add_component("both", MemorizzHybridRetriever(store, ada, 5, "merge", ranking={"meaning": 0.5}))
    loaded = Pipeline.loads(pipeline.dumps(), allowed_modules=["memorizz.integrations.haystack.retrievers"])
    assert dsn not in pipeline.dumps()
    train = {"field": "id", "operator": "==", "value": "train"}
    found = loaded.run(
        {
            "meaning": {"query_embedding": [0.0, 0.0, 1.0]},
            "words": {"query": "train tea"},
            "both": {"query": "train", "query_embedding": [0.0, 0.0, 1.0], "filters": train},
        }
    )
    assert {name: ids(each["documents"]) for name, each in found.items()} == {
        "meaning": ["train"],
        "words": ["tea"],
        "both": [],
    }
    for name in ("meaning", "words", "both"):
        loaded.get_component(name).document_store.close()


async def test_retrievers_are_awaited(filled: MemorizzDocumentStore) -> None:
    """run_async is run."""
    vector = [1.0, 0.0, 0.0]
    for retriever, asked in (
        (MemorizzEmbeddingRetriever(filled), {"query_embedding": vector}),
        (MemorizzKeywordRetriever(filled), {"query": "tea"}),
        (MemorizzHybridRetriever(filled), {"query": "tea", "query_embedding": vector}),
    ):
        assert await retriever.run_async(**asked) == retriever.run(**asked)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="MemorizzDocumentStore"):
        MemorizzKeywordRetriever("store")  # type: ignore[arg-type]


def test_what_cannot_be_serialized_says_so(store: MemorizzDocumentStore, dsn: str) -> None:
    """A provider and a plain text are no part of a pipeline's YAML, and the error quotes neither."""
    for source in (store, MemorizzDocumentStore(dsn), MemorizzDocumentStore(Secret.from_token(dsn))):
        with pytest.raises(ValueError, match=r"serialize") as raised:
            source.to_dict()
        assert dsn not in str(raised.value)
    told = MemorizzDocumentStore(
        store="other", embedding_dimension=3, distance="l2", index="none", return_embedding=False
    ).to_dict()
    assert MemorizzDocumentStore.from_dict(deepcopy(told)).to_dict() == told
    assert told["init_parameters"] == {
        "source": None,
        "store": "other",
        "embedding_dimension": 3,
        "distance": "l2",
        "index": "none",
        "return_embedding": False,
    }


# --- threads and loops --------------------------------------------------------------------------------------------


def test_one_store_serves_threads_and_loops(dsn: str) -> None:
    """50 threads and three event loops open and use one object at once."""
    store = MemorizzDocumentStore(PostgreSQLConfig(dsn=dsn), embedding_dimension=3)

    def in_thread(number: int) -> list[str]:
        store.write_documents([Document(id=f"{number}", content="tea", meta={"number": number})])
        return ids(store.filter_documents({"field": "meta.number", "operator": "==", "value": number}))

    async def in_loop(number: int) -> list[str]:
        await store.write_documents_async([Document(id=f"{number}", content="tea", meta={"number": number})])
        found = await store.filter_documents_async({"field": "meta.number", "operator": "==", "value": number})
        return ids(found)

    with ThreadPoolExecutor(53) as pool:
        loops = [pool.submit(asyncio.run, in_loop(number)) for number in range(50, 53)]
        found = [*pool.map(in_thread, range(50)), *(loop.result() for loop in loops)]
    assert found == [[f"{number}"] for number in range(53)]
    assert store.count_documents() == 53
    store.close()
    store.close()
    assert store.count_documents() == 53  # opened again
    store.close()
