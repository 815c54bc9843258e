"""langchain-tests, LangChain's own suites for what implements its interfaces."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_tests.integration_tests.base_store import BaseStoreAsyncTests, BaseStoreSyncTests
from langchain_tests.integration_tests.cache import AsyncCacheTestSuite, SyncCacheTestSuite
from langchain_tests.integration_tests.indexer import AsyncDocumentIndexTestSuite, DocumentIndexerTestSuite
from langchain_tests.integration_tests.retrievers import RetrieversIntegrationTests
from langchain_tests.integration_tests.vectorstores import VectorStoreIntegrationTests

from memorizz import PostgreSQLProvider
from memorizz.integrations.langchain import (
    MemorizzByteStore,
    MemorizzDocumentIndex,
    MemorizzRetriever,
    MemorizzSemanticCache,
    MemorizzVectorStore,
)


class TestVectorStore(VectorStoreIntegrationTests):
    """Sync and async."""

    @pytest.fixture
    def vectorstore(self, provider: PostgreSQLProvider) -> MemorizzVectorStore:
        return MemorizzVectorStore(self.get_embeddings(), provider)


class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _filled(self, provider: PostgreSQLProvider) -> None:
        self.vector_store = MemorizzVectorStore(DeterministicFakeEmbedding(size=6), provider)
        self.vector_store.add_documents([Document(f"text {number}") for number in range(5)])

    @property
    def retriever_constructor(self) -> type[MemorizzRetriever]:
        return MemorizzRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"vector_store": self.vector_store}

    @property
    def retriever_query_example(self) -> str:
        return "text 3"


@pytest.fixture
def index(provider: PostgreSQLProvider) -> MemorizzDocumentIndex:
    return MemorizzDocumentIndex(vector_store=MemorizzVectorStore(DeterministicFakeEmbedding(size=6), provider))


class TestDocumentIndex(DocumentIndexerTestSuite):
    @pytest.fixture
    def index(self, index: MemorizzDocumentIndex) -> MemorizzDocumentIndex:
        return index


class TestDocumentIndexAsync(AsyncDocumentIndexTestSuite):
    @pytest.fixture
    def index(self, index: MemorizzDocumentIndex) -> MemorizzDocumentIndex:
        return index


class _Cache:
    @pytest.fixture
    def cache(self, provider: PostgreSQLProvider) -> MemorizzSemanticCache:
        return MemorizzSemanticCache(DeterministicFakeEmbedding(size=6), provider)


class TestCache(_Cache, SyncCacheTestSuite): ...


class TestCacheAsync(_Cache, AsyncCacheTestSuite): ...


class _Bytes:
    @pytest.fixture
    def kv_store(self, provider: PostgreSQLProvider) -> MemorizzByteStore:
        return MemorizzByteStore(provider)

    @pytest.fixture
    def three_values(self) -> tuple[bytes, bytes, bytes]:
        return b"foo", b"\x00\xff", b""


class TestByteStore(_Bytes, BaseStoreSyncTests[bytes]): ...


class TestByteStoreAsync(_Bytes, BaseStoreAsyncTests[bytes]): ...
