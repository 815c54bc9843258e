"""Long-term memory for AI agents, in PostgreSQL with pgvector, or in MongoDB.

What is where:

    memorizz.memory_provider.base           the contract: what every provider does
    memorizz.memory_provider.memory_type    the names of the seven stores
    memorizz.memory_provider.stores         StoreSpec: what a store is, the seven and those of your own
    memorizz.memory_provider.policies       Policy: what of a store is deleted when it is tidied
    memorizz.memory_provider.postgresql     PostgreSQLProvider, AsyncPostgreSQLProvider, PostgreSQLConfig
    memorizz.memory_provider.mongodb        MongoDBProvider, AsyncMongoDBProvider, MongoDBConfig
    memorizz.memory_provider.postgresql.maintenance    what is done to a database: upgrade, examine, index, re-embed
    memorizz.embeddings                     OpenAIEmbedder, SentenceTransformerEmbedder, and what any other must offer
    memorizz.moving                         copy, export, load: from one provider to another, to files and back
    memorizz.errors                         what can go wrong, as one tree
    memorizz.cli                            the `memorizz` command; memorizz.demo has the data of its demo

The names below are loaded when they are first used, so that importing memorizz loads no database driver.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memorizz.errors import MemorizzError
    from memorizz.memory_provider.base import AsyncMemoryProvider, MemoryProvider, without_twins
    from memorizz.memory_provider.memory_type import MemoryType
    from memorizz.memory_provider.mongodb import AsyncMongoDBProvider, MongoDBConfig, MongoDBProvider
    from memorizz.memory_provider.policies import Policy
    from memorizz.memory_provider.postgresql import (
        AsyncPostgreSQLProvider,
        PooledPostgreSQLProvider,
        PostgreSQLConfig,
        PostgreSQLProvider,
    )
    from memorizz.memory_provider.stores import StoreSpec

_MODULES = {
    "AsyncMemoryProvider": "memorizz.memory_provider.base",
    "AsyncMongoDBProvider": "memorizz.memory_provider.mongodb",
    "AsyncPostgreSQLProvider": "memorizz.memory_provider.postgresql",
    "MemorizzError": "memorizz.errors",
    "MemoryProvider": "memorizz.memory_provider.base",
    "MemoryType": "memorizz.memory_provider.memory_type",
    "MongoDBConfig": "memorizz.memory_provider.mongodb",
    "MongoDBProvider": "memorizz.memory_provider.mongodb",
    "Policy": "memorizz.memory_provider.policies",
    "PooledPostgreSQLProvider": "memorizz.memory_provider.postgresql",
    "PostgreSQLConfig": "memorizz.memory_provider.postgresql",
    "PostgreSQLProvider": "memorizz.memory_provider.postgresql",
    "StoreSpec": "memorizz.memory_provider.stores",
    "without_twins": "memorizz.memory_provider.base",
}

__all__ = [
    "AsyncMemoryProvider",
    "AsyncMongoDBProvider",
    "AsyncPostgreSQLProvider",
    "MemorizzError",
    "MemoryProvider",
    "MemoryType",
    "MongoDBConfig",
    "MongoDBProvider",
    "Policy",
    "PooledPostgreSQLProvider",
    "PostgreSQLConfig",
    "PostgreSQLProvider",
    "StoreSpec",
    "without_twins",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
