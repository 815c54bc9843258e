"""The contract: what every memory provider does, on the sync and on the async API. No IO and no SQL."""

from memorizz.memory_provider.base._async import AsyncMemoryOperations
from memorizz.memory_provider.base._provider_async import AsyncMemoryProvider
from memorizz.memory_provider.base._provider_sync import MemoryProvider
from memorizz.memory_provider.base._sync import MemoryOperations
from memorizz.memory_provider.options import (
    Call,
    Consolidation,
    Document,
    Duplicates,
    Filter,
    Health,
    Hits,
    Ranking,
    Receipt,
    Reranker,
    SearchOptions,
    StoreName,
    Version,
    without_twins,
)

__all__ = [
    "AsyncMemoryOperations",
    "AsyncMemoryProvider",
    "Call",
    "Consolidation",
    "Document",
    "Duplicates",
    "Filter",
    "Health",
    "Hits",
    "MemoryOperations",
    "MemoryProvider",
    "Ranking",
    "Receipt",
    "Reranker",
    "SearchOptions",
    "StoreName",
    "Version",
    "without_twins",
]
