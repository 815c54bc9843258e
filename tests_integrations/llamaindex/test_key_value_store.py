"""MemorizzKVStore, and LlamaIndex's stores of documents and indexes on it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from llama_index.core import Document, StorageContext, SummaryIndex, load_index_from_storage
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.storage.docstore.keyval_docstore import KVDocumentStore
from llama_index.core.storage.index_store.keyval_index_store import KVIndexStore

from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.errors import InvalidDocument
from memorizz.integrations.llamaindex import MemorizzKVStore

TEXTS = ["", " ", "a", "a.b", "../a", "ü" * 2000, "a\x00", '["a"]', "\N{TEAPOT}"]


@pytest.fixture
def values(provider: PostgreSQLProvider) -> MemorizzKVStore:
    return MemorizzKVStore(provider)


def test_a_value_is_kept_under_its_key(values: MemorizzKVStore) -> None:
    """Replaced by the next one, in its collection alone, and a copy."""
    value = {"z": 1, "a": {"b": [None, 2.5, "a\x00"]}}
    values.put("a", value)
    values.put("a", {"other": True}, "other")
    value["z"] = 2
    assert list(values.get("a") or {}) == ["z", "a"]
    assert values.get("a") == {"z": 1, "a": {"b": [None, 2.5, "a\x00"]}}
    values.put("a", {"n": 1})
    assert (values.get("a"), values.get("a", "other"), values.get("b")) == ({"n": 1}, {"other": True}, None)
    assert (values.delete("a"), values.delete("a"), values.get("a")) == (True, False, None)
    assert values.get_all("other") == {"a": {"other": True}}
    assert values.get_all("nobody's") == {}


def test_any_text_is_a_key_and_a_collection(values: MemorizzKVStore) -> None:
    """Whatever is in it, and no two are one."""
    for number, text in enumerate(TEXTS):
        values.put(text, {"n": number})
        values.put("k", {"n": number}, text)
    assert values.get_all() == {text: {"n": number} for number, text in enumerate(TEXTS)}
    assert [values.get_all(text) for text in TEXTS] == [{"k": {"n": number}} for number in range(len(TEXTS))]


def test_many_at_once(values: MemorizzKVStore) -> None:
    """All or none, whatever the size of a batch; the last of one key stays."""
    values.put_all([("a", {"n": 1}), ("b", {"n": 2}), ("a", {"n": 3})], batch_size=100)
    assert values.get_all() == {"a": {"n": 3}, "b": {"n": 2}}
    with pytest.raises(InvalidDocument):
        values.put_all([("c", {"n": 1}), ("d", {"n": {1, 2}})])
    values.put_all([])
    assert list(values.get_all()) == ["a", "b"]


def test_awaited(values: MemorizzKVStore) -> None:
    """Each method has an async face."""

    async def all_of_them() -> None:
        await asyncio.gather(values.aput("a", {"n": 1}), values.aput_all([("b", {"n": 2}), ("c", {"n": 3})]))
        assert await values.aget("b") == {"n": 2}
        assert len(await values.aget_all()) == 3
        assert [await values.adelete("c"), await values.adelete("c")] == [True, False]

    asyncio.run(all_of_them())


def test_threads_lose_nothing(values: MemorizzKVStore) -> None:
    """Fifty put at once."""
    with ThreadPoolExecutor(50) as threads:
        list(threads.map(lambda number: values.put(f"{number % 25}", {"n": number}), range(50)))
    assert len(values.get_all()) == 25


def test_documents_and_an_index_in_another_process(config: PostgreSQLConfig) -> None:
    """LlamaIndex's own stores work on it: documents, an index, and what is known is not taken again."""
    document = Document(id_="tea", text="Ada drinks tea.", metadata={"page": 1})
    with MemorizzKVStore(config) as values:
        context = StorageContext.from_defaults(docstore=KVDocumentStore(values), index_store=KVIndexStore(values))
        index = SummaryIndex.from_documents([document], storage_context=context)
        name = index.index_id
        pipeline = IngestionPipeline(
            transformations=[],
            docstore=KVDocumentStore(values, "seen"),
            docstore_strategy=DocstoreStrategy.DUPLICATES_ONLY,
        )
        assert len(pipeline.run(documents=[document])) == 1
    with MemorizzKVStore(config) as values:
        context = StorageContext.from_defaults(docstore=KVDocumentStore(values), index_store=KVIndexStore(values))
        loaded = load_index_from_storage(context, index_id=name)
        (found,) = loaded.as_retriever().retrieve("tea")
        assert (found.node.get_content(), found.node.metadata) == ("Ada drinks tea.", {"page": 1})
        loaded.delete_ref_doc("tea", delete_from_docstore=True)
        assert KVDocumentStore(values).docs == {}
        pipeline = IngestionPipeline(
            transformations=[],
            docstore=KVDocumentStore(values, "seen"),
            docstore_strategy=DocstoreStrategy.DUPLICATES_ONLY,
        )
        assert pipeline.run(documents=[document]) == []
