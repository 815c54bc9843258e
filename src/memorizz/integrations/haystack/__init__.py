"""Memory for Haystack: a document store, and retrievers by meaning, by words and by both.

Needs the extra `haystack`. One store serves any number of threads and event loops: its async methods run in threads.
"""

from memorizz.integrations._providers import missing

try:
    from memorizz.integrations.haystack.document_store import MemorizzDocumentStore
    from memorizz.integrations.haystack.retrievers import (
        MemorizzEmbeddingRetriever,
        MemorizzHybridRetriever,
        MemorizzKeywordRetriever,
    )
except ImportError as error:
    raise missing(error, "haystack") from error

__all__ = [
    "MemorizzDocumentStore",
    "MemorizzEmbeddingRetriever",
    "MemorizzHybridRetriever",
    "MemorizzKeywordRetriever",
]
