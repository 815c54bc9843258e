"""What the methods that delete do: one generator for each, of the same name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

from memorizz.memory_provider import _values
from memorizz.memory_provider._arguments import given_filter, text_argument
from memorizz.memory_provider._forgetting import forgotten_by, receipt
from memorizz.memory_provider.mongodb import _queries as queries
from memorizz.memory_provider.mongodb._bson import id_keys, id_name
from memorizz.memory_provider.mongodb._collections import all_stores, store_of
from memorizz.memory_provider.mongodb._conditions import condition
from memorizz.memory_provider.mongodb._steps import Delete, Operation, Record, change, fetch, take
from memorizz.memory_provider.mongodb._steps import Filter as Matching
from memorizz.memory_provider.mongodb._stores import Database, Store
from memorizz.memory_provider.options import Filter, Receipt, StoreName
from memorizz.memory_provider.stores import AGENTS


def delete_by_id(database: Database, id: Any, memory_store_type: StoreName) -> Operation[bool]:
    target = yield from store_of(database, memory_store_type)
    name = _values.id_text(id)
    if name is None:
        return False
    return _was_visible((yield from take(queries.delete_by_id(target, name))))


def delete_by_name(database: Database, name: str, memory_store_type: StoreName) -> Operation[bool]:
    target = yield from store_of(database, memory_store_type)
    text = text_argument(name, "name")
    if text is None:
        return False
    return (yield from take(queries.delete_newest_by_name(target, text))) is not None


def delete(database: Database, memory_store_type: StoreName, filter: Filter) -> Operation[int]:
    target = yield from store_of(database, memory_store_type)
    deleted = queries.delete_matching(target, given_filter(filter, "delete()"))
    return (yield from change(target.collection, deleted)).deleted


def delete_all(database: Database, memory_store_type: StoreName) -> Operation[bool]:
    target = yield from store_of(database, memory_store_type)
    yield from change(target.collection, Delete(queries.in_scope(target)))
    return True


def purge_expired(database: Database, memory_store_type: StoreName | None = None) -> Operation[int]:
    if memory_store_type is None:
        stores = yield from all_stores(database)
    else:
        stores = [(yield from store_of(database, memory_store_type))]
    deleted = 0
    for each in stores:
        changed = yield from change(each.collection, queries.delete_expired(each))
        deleted += changed.deleted
    return deleted


def delete_memagent(database: Database, id: Any, cascade: bool = False) -> Operation[bool]:
    agents = database.store(AGENTS)
    name = _values.id_text(id)
    if name is None:
        return False
    own = (yield from _own_memories(agents, name)) if cascade else []
    # The agent goes last: where the server cannot do it as one, a cascade that broke off can be done again.
    for each in (yield from all_stores(database)) if own else ():
        if each.spec.memories:
            yield from change(each.collection, queries.delete_memories(each, own), writes=[name])
    return _was_visible((yield from take(queries.delete_by_id(agents, name))))


def forget(
    database: Database,
    memory_id: str | None = None,
    *,
    filter: Filter | None = None,
    everything: bool = False,
    by: str | None = None,
    dry_run: bool = False,
) -> Operation[Receipt]:
    memory, matching = forgotten_by(memory_id, filter, everything, "", by)
    found = condition(matching)
    deleted: dict[str, list[str]] = {}
    left: int | None = None if dry_run else 0
    for each in (yield from all_stores(database)):
        deleted[each.name] = yield from _ids(each, found)
        if left is not None:
            there = queries.both(found, queries.in_scope(each))
            yield from change(each.collection, Delete(there), writes=deleted[each.name])
            left += len((yield from _ids(each, found)))
    agents: list[str] = []
    if memory is not None:
        agents = yield from _ids(database.store(AGENTS), queries.listing(memory))
        if agents and not dry_run:
            listing = queries.without_memory(database.store(AGENTS), memory)
            yield from change(database.store(AGENTS).collection, listing, writes=agents)
    return receipt(deleted, agents, by, dry_run, left)


def _ids(store: Store, found: Matching) -> Operation[list[str]]:
    """Return the ids of the records that match, expired ones too."""
    records = yield from fetch(queries.ids(store, found))
    return [id_name(record["_id"]) for record in records]


def _own_memories(agents: Store, name: str) -> Operation[list[str]]:
    """Return the memories that an agent lists and no other does."""
    records = yield from fetch(queries.memory_ids(agents))
    listed: dict[bool, set[str]] = {True: set(), False: set()}
    for record in records:
        memory_ids = record.get("memory_ids")
        if isinstance(memory_ids, list):
            texts = {each for each in cast("list[Any]", memory_ids) if isinstance(each, str)}
            listed[record["_id"] in id_keys(name)] |= texts
    return sorted(listed[True] - listed[False])


def _was_visible(record: Record | None) -> bool:
    """Return True if a record was deleted, and had not expired."""
    if record is None:
        return False
    expires_at = record.get("expires_at")
    return not isinstance(expires_at, datetime) or expires_at > datetime.now(UTC)
