"""What the methods that store do: one generator for each, of the same name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from memorizz.memory_provider._arguments import updated_id
from memorizz.memory_provider._documents import batches
from memorizz.memory_provider.mongodb import _queries as queries
from memorizz.memory_provider.mongodb._bson import check_size
from memorizz.memory_provider.mongodb._collections import store_of
from memorizz.memory_provider.mongodb._steps import Operation, Record, change
from memorizz.memory_provider.mongodb._stores import Database
from memorizz.memory_provider.options import StoreName


def store(database: Database, data: Mapping[str, Any], memory_store_type: StoreName) -> Operation[str]:
    target = yield from store_of(database, memory_store_type)
    row = target.row(data)
    yield from change(target.collection, queries.stored(row, target.new_record(row)), writes=[row.name])
    return row.name


def store_many(
    database: Database, documents: Iterable[Mapping[str, Any]], memory_store_type: StoreName
) -> Operation[list[str]]:
    target = yield from store_of(database, memory_store_type)
    names: list[str] = []
    # What is sent outside of a transaction is kept, so that what was new has to be deleted again.
    sent: list[list[Record]] = []
    try:
        for batch in batches(documents):
            rows = [target.row(each) for each in batch]
            new = [target.new_record(row) for row in rows]
            if not database.transactional:
                sent.append(new)
            names += [row.name for row in rows]
            changes = [queries.stored(row, record) for row, record in zip(rows, new, strict=True)]
            yield from change(target.collection, *changes, writes=[row.name for row in rows])
    except Exception:
        for records in sent:
            yield from change(target.collection, queries.delete_unchanged(records), writes=names)
        raise
    return names


def check(database: Database, data: Mapping[str, Any], memory_store_type: StoreName) -> Operation[None]:
    target = yield from store_of(database, memory_store_type)
    row = target.row(data)
    check_size({**target.new_record(row), **row.given, "parts": row.parts})


def update_by_id(database: Database, id: Any, data: Mapping[str, Any], memory_store_type: StoreName) -> Operation[bool]:
    target = yield from store_of(database, memory_store_type)
    name = updated_id(id, data)
    if name is None:
        return False
    changed = yield from change(target.collection, queries.updated(target.row(data, name)), writes=[name])
    return changed.matched > 0
