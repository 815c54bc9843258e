"""What `duplicates` and `consolidate` do: documents of one memory that say the same are found, and merged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from memorizz.memory_provider._arguments import given_filter, text_argument
from memorizz.memory_provider._duplicates import (
    MOST,
    check_comparable,
    checked_similarity,
    taken_over,
    too_many,
)
from memorizz.memory_provider.base import Consolidation, Duplicates, Filter, StoreName
from memorizz.memory_provider.options import Document, checked_limit
from memorizz.memory_provider.postgresql._steps import Operation, Query, fetch, fetch_all
from memorizz.memory_provider.postgresql.facts import Facts, Store, check_kept
from memorizz.memory_provider.postgresql.rows import document_of, from_binary, row_of
from memorizz.memory_provider.postgresql.sql import duplicates as sql
from memorizz.memory_provider.postgresql.sql import forgetting, history, writes

# How many vectors are compared at once, and how many groups are written at once.
_AT_ONCE = 200

# Of each its key, its id, and how near it is to the first of its group.
Group = list[tuple[tuple[UUID, str], float]]

Watch = Callable[[int, int], None]


def duplicates(
    known: Facts,
    memory_store_type: StoreName,
    memory_id: str | None = None,
    *,
    similarity: float = 0.97,
    where: Filter | None = None,
    limit: int = 100,
    watch: Watch | None = None,
) -> Operation[list[Duplicates]]:
    store, least, most = _comparable(known, memory_store_type), checked_similarity(similarity), checked_limit(limit)
    found = yield from _groups(store, _filter(memory_id, where), None, least, watch)
    return [_named(group) for group in found[:most]]


def consolidate(
    known: Facts,
    memory_store_type: StoreName,
    memory_id: str | None = None,
    *,
    similarity: float = 0.97,
    where: Filter | None = None,
    dry_run: bool = False,
    watch: Watch | None = None,
) -> Operation[Consolidation]:
    store, least, filter = (
        _comparable(known, memory_store_type),
        checked_similarity(similarity),
        _filter(memory_id, where),
    )
    if not dry_run and store.kept is None:
        check_kept(store)
    groups = yield from _groups(store, filter, None, least, watch)
    call: str | None = None
    if groups and not dry_run:
        keys = [key for group in groups for (key, _), _ in group]
        yield from fetch_all(writes.locked(store, keys))
        # Once more, when nobody else changes them any more. Those that are in no group change none.
        groups = yield from _groups(store, filter, keys, least, None)
        call = yield from _merge(store, groups)
    return Consolidation([_named(group) for group in groups], call, dry_run)


def _comparable(known: Facts, memory_store_type: StoreName) -> Store:
    store = known.store(memory_store_type)
    check_comparable(store.spec)
    return store


def _filter(memory_id: str | None, where: Filter | None) -> Mapping[str, Any]:
    of_memory = {"memory_id": text_argument(memory_id, "memory_id")}
    return of_memory if where is None else {"$and": [of_memory, given_filter(where, "where=")]}


def _named(group: Group) -> Duplicates:
    ((_, kept), _), *others = group
    return Duplicates(kept, {id: similarity for (_, id), similarity in others})


def _groups(
    store: Store, filter: Mapping[str, Any], among: Sequence[UUID] | None, similarity: float, watch: Watch | None
) -> Operation[list[Group]]:
    keys = [id for (id,) in (yield from fetch(sql.compared(store, filter, among, MOST + 1)))]
    if len(keys) > MOST:
        raise too_many(store.spec)
    from memorizz.memory_provider._groups import Groups

    groups = Groups[tuple[UUID, str]](similarity)
    for start in range(0, len(keys), _AT_ONCE):
        if watch is not None:
            watch(start, len(keys))
        some = keys[start : start + _AT_ONCE]
        rows = {row[0]: row for row in (yield from fetch(sql.texts_and_vectors(store, some)))}
        groups.add([((key, rows[key][1]), *_compared(*rows[key][2:])) for key in some if key in rows])
    if watch is not None:
        watch(len(keys), len(keys))
    return groups.several()


def _compared(text: bytes | None, vector: bytes | None) -> tuple[bytes | None, Any]:
    return text, None if vector is None else from_binary(vector)


def _merge(store: Store, groups: Sequence[Group]) -> Operation[str | None]:
    """Merge groups of documents that are locked; return the call that the history has it by."""
    call: str | None = None
    yield from fetch(forgetting.operation("consolidate"))
    for start in range(0, len(groups), _AT_ONCE):
        some = [[key for (key, _), _ in group] for group in groups[start : start + _AT_ONCE]]
        rows = yield from fetch(sql.documents(store, [key for group in some for key in group]))
        documents = {row[0]: document_of(row) for row in rows}
        updates = [_update(store, group[0], [documents[str(key)] for key in group]) for group in some]
        gone = [key for group in some for key in group[1:]]
        *_, [(call,)] = yield from fetch_all([*updates, history.delete(store, gone), history.call_of(store, gone[0])])
    yield from fetch(forgetting.operation())
    return call


def _update(store: Store, key: UUID, group: Sequence[Document]) -> Query:
    kept, *others = group
    row = row_of(store, taken_over(kept, others, store.spec), key)
    # A merge leaves it as it is otherwise.
    return writes.update(store, replace(row, merged=(*row.merged, "created_at")), kept["id"])
