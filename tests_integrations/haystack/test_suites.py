"""haystack.testing, Haystack's own tests for document stores: every class that it has, sync and async."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from haystack.dataclasses import Document
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.testing import document_store as sync
from haystack.testing import document_store_async as awaited

from memorizz import PostgreSQLProvider
from memorizz.integrations.haystack import MemorizzDocumentStore


class _Store:
    @pytest.fixture
    def document_store(self, provider: PostgreSQLProvider) -> MemorizzDocumentStore:
        return MemorizzDocumentStore(provider)

    @staticmethod
    def assert_documents_are_equal(received: list[Document], expected: list[Document]) -> None:
        """Vectors are kept in single precision; everything else is the same."""
        assert received == [_single(document) for document in expected]


def _single(document: Document) -> Document:
    if document.embedding is None:
        return document
    return replace(document, embedding=np.asarray(document.embedding, dtype=np.float32).tolist())


class TestSync(
    _Store,
    sync.DocumentStoreBaseExtendedTests,
    sync.CountDocumentsByFilterTest,
    sync.CountUniqueMetadataByFilterTest,
    sync.GetMetadataFieldsInfoTest,
    sync.GetMetadataFieldMinMaxTest,
    sync.GetMetadataFieldUniqueValuesTest,
):
    def test_write_documents(self, document_store: Any) -> None:
        """The suite leaves this to each store: without a policy, an id that is there is an error."""
        document = Document(content="one")
        assert document_store.write_documents([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([document])


class TestAsync(
    _Store,
    awaited.CountDocumentsAsyncTest,
    awaited.CountDocumentsByFilterAsyncTest,
    awaited.CountUniqueMetadataByFilterAsyncTest,
    awaited.DeleteAllAsyncTest,
    awaited.DeleteByFilterAsyncTest,
    awaited.DeleteDocumentsAsyncTest,
    awaited.FilterDocumentsAsyncTest,
    awaited.GetMetadataFieldMinMaxAsyncTest,
    awaited.GetMetadataFieldUniqueValuesAsyncTest,
    awaited.GetMetadataFieldsInfoAsyncTest,
    awaited.UpdateByFilterAsyncTest,
    awaited.WriteDocumentsAsyncTest,
):
    async def test_write_documents_async(self, document_store: Any) -> None:
        """The suite leaves this to each store: without a policy, an id that is there is an error."""
        document = Document(content="one")
        assert await document_store.write_documents_async([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            await document_store.write_documents_async([document])


def test_no_class_of_the_suites_is_left_out() -> None:
    """A release that adds tests is noticed."""
    for module, run in ((sync, TestSync), (awaited, TestAsync)):
        classes = [each for name, each in vars(module).items() if name.endswith("Test")]
        assert classes
        assert [each.__name__ for each in classes if not issubclass(run, each)] == []
