"""What the methods that delete do: one generator for each, of the same name."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from memorizz.memory_provider import _values
from memorizz.memory_provider._arguments import given_filter, text_argument
from memorizz.memory_provider._forgetting import forgotten_by, receipt
from memorizz.memory_provider.base import Filter, Receipt, StoreName
from memorizz.memory_provider.postgresql import facts
from memorizz.memory_provider.postgresql._steps import Operation, Row, fetch, fetch_all, fetch_last
from memorizz.memory_provider.postgresql.facts import Facts, Store
from memorizz.memory_provider.postgresql.sql import agents, forgetting, parts, writes
from memorizz.memory_provider.stores import AGENTS

logger = logging.getLogger("memorizz.postgresql")

# From so many dead rows on, VACUUM of a vector index takes ten times as long as building it: docs/how-to/indexes.md.
_MANY = 10_000


def delete_by_id(facts: Facts, id: Any, memory_store_type: StoreName) -> Operation[bool]:
    store = facts.store(memory_store_type)
    name = _values.id_text(id)
    if name is None:
        return False
    return _was_there((yield from fetch_last(writes.delete_by_id(store, _values.id_key(name), name))))


def delete_by_name(facts: Facts, name: str, memory_store_type: StoreName) -> Operation[bool]:
    store = facts.store(memory_store_type)
    text = text_argument(name, "name")
    if text is None:
        return False
    return bool((yield from fetch_last(writes.delete_newest_by_name(store, text))))


def delete(facts: Facts, memory_store_type: StoreName, filter: Filter) -> Operation[int]:
    store = facts.store(memory_store_type)
    rows = yield from fetch_last(writes.delete_matching(store, given_filter(filter, "delete()")))
    advise(store, rows[0][0])
    return rows[0][0]


def delete_all(facts: Facts, memory_store_type: StoreName) -> Operation[bool]:
    store = facts.store(memory_store_type)
    rows = yield from fetch_last(writes.delete_all(store))
    advise(store, rows[0][0])
    return True


def purge_expired(facts: Facts, memory_store_type: StoreName | None = None) -> Operation[int]:
    stores = facts.stores.values() if memory_store_type is None else [facts.store(memory_store_type)]
    results = yield from fetch_all([writes.delete_expired(store) for store in stores])
    yield from fetch_all([old for store in stores for old in forgetting.forget_old(store)])
    yield from fetch_all([replaced for store in stores for replaced in parts.delete_replaced(store)])
    deleted = [rows[0][0] for rows in results]
    for store, count in zip(stores, deleted, strict=True):
        advise(store, count)
    return sum(deleted)


def delete_memagent(facts: Facts, id: Any, cascade: bool = False) -> Operation[bool]:
    if not cascade:
        return (yield from delete_by_id(facts, id, AGENTS))
    name = _values.id_text(id)
    if name is None:
        return False
    rows = yield from fetch(agents.delete_agent_and_memories(facts, _values.id_key(name), name))
    for row in rows:
        for store, count in zip(agents.of_agents(facts), row[1:], strict=True):
            advise(store, count)
    return _was_there(rows)


def forget(
    known: Facts,
    memory_id: str | None = None,
    *,
    filter: Filter | None = None,
    everything: bool = False,
    by: str | None = None,
    dry_run: bool = False,
) -> Operation[Receipt]:
    memory, matching = forgotten_by(memory_id, filter, everything, known.scope.tenant, by)
    # Another program may have made a store since the facts were read.
    known = yield from facts.today(known)
    stores = [*known.stores.values()]
    forgets = [forgetting.forget(store, matching, dry_run) for store in stores]
    _, *gone, _ = yield from fetch_all([forgetting.operation(forgetting.FORGETTING), *forgets, forgetting.operation()])
    listing: list[Row] = []
    if memory is not None:
        listing = yield from fetch(forgetting.forget_in_agents(known.store(AGENTS), memory, dry_run))
    versions = yield from _forget_versions(known, memory, matching, everything, gone, dry_run)
    left: int | None = None
    if not dry_run:
        again = yield from fetch_all([forgetting.forget(store, matching, True) for store in stores])
        left = sum(map(len, again))
    for store, rows in zip(stores, gone, strict=True):
        advise(store, 0 if dry_run else len(rows))
    deleted = {store.name: [id for (id,) in rows] for store, rows in zip(stores, gone, strict=True)}
    ended = {store.name: rows[0][0] for store, rows in zip(stores, versions, strict=True)}
    return receipt(deleted, [id for (id,) in listing], by, dry_run, left, ended)


def _forget_versions(
    known: Facts, memory: str | None, matching: Filter, everything: bool, gone: Sequence[Sequence[Row]], dry_run: bool
) -> Operation[list[list[Row]]]:
    """Forget the versions of what is gone from each store; a row for each, how many they were."""
    if known.layout.distributed:
        # No history is kept there: history.keep.
        return [[(0,)] for _ in gone]
    if memory is not None and not dry_run:
        yield from fetch(forgetting.forget_in_versions(known.store(AGENTS), memory))
    return (
        yield from fetch_all(
            [
                forgetting.forget_history(store, dry_run)
                if everything
                else forgetting.forget_versions(store, matching, [_values.id_key(id) for (id,) in rows], dry_run)
                for store, rows in zip(known.stores.values(), gone, strict=True)
            ]
        )
    )


def _was_there(rows: Sequence[Row]) -> bool:
    """Return True if what was deleted had not expired."""
    return bool(rows) and rows[0][0]


def advise(store: Store, deleted: int) -> None:
    """Log what to do after a mass delete, before autovacuum begins."""
    if deleted >= _MANY and store.vector.index != "none":
        logger.warning(
            "%d documents of %s were deleted: `memorizz reclaim --store %s` gives their room back, and builds the "
            "vector index again before: VACUUM alone takes a time with their square",
            deleted,
            store.name,
            store.name,
        )
