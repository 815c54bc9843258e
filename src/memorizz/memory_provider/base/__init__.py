"""The contract: what every memory provider does, on the sync and on the async API. No IO and no SQL."""

from memorizz.memory_provider.base._async import AsyncMemoryOperations, AsyncMemoryProvider
from memorizz.memory_provider.base._sync import MemoryOperations, MemoryProvider
from memorizz.memory_provider.options import Document, Filter, Hits, Ranking, SearchOptions, StoreName, without_twins

__all__ = [
    "AsyncMemoryOperations",
    "AsyncMemoryProvider",
    "Document",
    "Filter",
    "Hits",
    "MemoryOperations",
    "MemoryProvider",
    "Ranking",
    "SearchOptions",
    "StoreName",
    "without_twins",
]
