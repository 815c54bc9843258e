"""The ways in which keys are merged into a document."""

from __future__ import annotations

from typing import Any

from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.options import Call

WAYS = ["store", "store_many", "update_by_id", "update", "run_many", "transaction"]


def change(api: Any, way: str, store: MemoryType, data: dict[str, Any]) -> None:
    """Merge keys into the document "a"."""
    if way == "store":
        api.store({"id": "a", **data}, store)
    elif way == "store_many":
        api.store_many([{"content": "another"}, {"id": "a", **data}], store)
    elif way == "update_by_id":
        api.update_by_id("a", data, store)
    elif way == "update":
        api.update(store, {"id": "a"}, data)
    elif way == "run_many":
        api.run_many([Call("update_by_id", "a", data, store), Call("count", store)])
    else:
        with api.transaction() as transaction:
            transaction.store({"id": "a", **data}, store)
