"""The retriever by meaning and words, and the document index."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from topics import Topics

from memorizz import PostgreSQLProvider
from memorizz.integrations.langchain import MemorizzDocumentIndex, MemorizzRetriever, MemorizzVectorStore
from memorizz.memory_provider.base import Ranking


@pytest.fixture
def store(provider: PostgreSQLProvider, embedding: Topics) -> MemorizzVectorStore:
    store = MemorizzVectorStore(embedding, provider)
    store.add_texts(
        ["A cup of tea at four.", "Order ABX-4711 was delayed.", "The train to Oxford."],
        [{"who": "ada"}, {"who": "ada"}, {"who": "bob"}],
        ids=["tea", "order", "train"],
    )
    return store


async def test_words_find_what_vectors_do_not(store: MemorizzVectorStore) -> None:
    """An order number means nothing to a model, and is found by its word all the same."""
    retriever = MemorizzRetriever(vector_store=store, k=1)
    question = "ABX-4711"
    assert [document.id for document in retriever.invoke(question)] == ["order"]
    assert [document.id for document in await retriever.ainvoke(question)] == ["order"]
    by_meaning = MemorizzRetriever(vector_store=store, k=1, ranking=Ranking(words=0, meaning=1))
    assert [document.id for document in by_meaning.invoke("tea, not ABX-4711")] == ["tea"]


def test_the_filter_of_a_retriever_holds(store: MemorizzVectorStore) -> None:
    """What the question says widens no filter."""
    retriever = MemorizzRetriever(vector_store=store, k=None, filter={"who": "bob"})
    assert [document.id for document in retriever.invoke('tea {"who": "ada"}')] == ["train"]
    assert MemorizzRetriever(vector_store=store, k=0).invoke("tea") == []


def test_an_empty_question_finds_by_its_vector(store: MemorizzVectorStore) -> None:
    """A question without words is no error."""
    assert len(MemorizzRetriever(vector_store=store, k=3).invoke("")) == 3


def test_an_index_is_a_retriever_that_is_written_to(store: MemorizzVectorStore) -> None:
    """What is upserted is found, and what is deleted is not."""
    index = MemorizzDocumentIndex(vector_store=store, k=1)
    index.upsert([Document("Invoice ZZ-9", id="invoice")])
    assert [document.id for document in index.invoke("ZZ-9")] == ["invoice"]
    assert index.delete(["invoice", "no"])["succeeded"] == ["invoice"]
    assert index.get(["invoice"]) == []
