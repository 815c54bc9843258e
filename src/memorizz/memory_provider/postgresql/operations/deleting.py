"""What the methods that delete do: one generator for each, of the same name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memorizz.memory_provider import _values
from memorizz.memory_provider._arguments import text_argument
from memorizz.memory_provider.base import StoreName
from memorizz.memory_provider.postgresql._steps import Operation, Row, fetch, fetch_all
from memorizz.memory_provider.postgresql.facts import Facts
from memorizz.memory_provider.postgresql.sql import writes
from memorizz.memory_provider.stores import AGENTS


def delete_by_id(facts: Facts, id: Any, memory_store_type: StoreName) -> Operation[bool]:
    store = facts.store(memory_store_type)
    name = _values.id_text(id)
    if name is None:
        return False
    return _was_there((yield from fetch(writes.delete_by_id(store, _values.id_key(name), name))))


def delete_by_name(facts: Facts, name: str, memory_store_type: StoreName) -> Operation[bool]:
    store = facts.store(memory_store_type)
    text = text_argument(name, "name")
    if text is None:
        return False
    return bool((yield from fetch(writes.delete_newest_by_name(store, text))))


def delete_all(facts: Facts, memory_store_type: StoreName) -> Operation[bool]:
    yield from fetch(writes.delete_all(facts.store(memory_store_type)))
    return True


def purge_expired(facts: Facts, memory_store_type: StoreName | None = None) -> Operation[int]:
    stores = facts.stores.values() if memory_store_type is None else [facts.store(memory_store_type)]
    results = yield from fetch_all([writes.delete_expired(store) for store in stores])
    return sum(rows[0][0] for rows in results)


def delete_memagent(facts: Facts, id: Any, cascade: bool = False) -> Operation[bool]:
    if not cascade:
        return (yield from delete_by_id(facts, id, AGENTS))
    name = _values.id_text(id)
    if name is None:
        return False
    return _was_there((yield from fetch(writes.delete_agent_and_memories(facts, _values.id_key(name), name))))


def _was_there(rows: Sequence[Row]) -> bool:
    """Return True if what was deleted had not expired."""
    return bool(rows) and rows[0][0]
