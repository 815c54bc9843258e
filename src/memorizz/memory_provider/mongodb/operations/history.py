"""What the methods of history do, and those of policies: MongoDB has neither, and they say so."""

from __future__ import annotations

from typing import Any

from memorizz.errors import ConfigurationError
from memorizz.memory_provider.base import StoreName
from memorizz.memory_provider.mongodb._steps import Operation
from memorizz.memory_provider.mongodb._stores import Database
from memorizz.memory_provider.policies import no_policies
from memorizz.memory_provider.scopes import no_history


def versions(database: Database, id: Any, memory_store_type: StoreName) -> Operation[Any]:
    raise no_history("MongoDB")
    yield


def diff(database: Database, id: Any, memory_store_type: StoreName, since: Any, until: Any = None) -> Operation[Any]:
    raise no_history("MongoDB")
    yield


def diff_memory(
    database: Database, memory_id: str | None, memory_store_type: StoreName, since: Any, until: Any = None
) -> Operation[Any]:
    raise no_history("MongoDB")
    yield


def restore(database: Database, id: Any, memory_store_type: StoreName, to: Any) -> Operation[Any]:
    raise no_history("MongoDB")
    yield


def undo(database: Database, *, call: Any = None, since: Any = None) -> Operation[Any]:
    raise no_history("MongoDB")
    yield


def duplicates(
    database: Database,
    memory_store_type: StoreName,
    memory_id: Any = None,
    *,
    similarity: float = 0.97,
    where: Any = None,
    limit: int = 100,
    watch: Any = None,
) -> Operation[Any]:
    raise ConfigurationError("MongoDB compares no documents with each other: PostgreSQL does")
    yield


def consolidate(
    database: Database,
    memory_store_type: StoreName,
    memory_id: Any = None,
    *,
    similarity: float = 0.97,
    where: Any = None,
    dry_run: bool = False,
    watch: Any = None,
) -> Operation[Any]:
    raise no_history("MongoDB")
    yield


def set_policy(database: Database, memory_store_type: StoreName, policy: Any) -> Operation[Any]:
    raise no_policies("MongoDB")
    yield


def policies(database: Database) -> Operation[Any]:
    raise no_policies("MongoDB")
    yield


def apply_policies(database: Database, *, by: Any = None, dry_run: bool = False, watch: Any = None) -> Operation[Any]:
    raise no_policies("MongoDB")
    yield


def embed_restored(database: Database, restored: Any) -> Operation[Any]:
    raise no_history("MongoDB")
    yield
