"""What the methods that store do: one generator for each, of the same name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from memorizz.memory_provider import _values
from memorizz.memory_provider._arguments import updated_id
from memorizz.memory_provider._documents import batches
from memorizz.memory_provider.base import StoreName
from memorizz.memory_provider.postgresql._steps import Operation, fetch
from memorizz.memory_provider.postgresql.facts import Facts
from memorizz.memory_provider.postgresql.operations.embedding import Spool, embed_again, embedded_rows
from memorizz.memory_provider.postgresql.operations.writing import store_again, write
from memorizz.memory_provider.postgresql.rows import Row, row_of
from memorizz.memory_provider.postgresql.sql import writes


def store(facts: Facts, data: Mapping[str, Any], memory_store_type: StoreName) -> Operation[str]:
    target = facts.store(memory_store_type)
    row = (yield from embedded_rows(target, [data]))[0] if target.embeds else row_of(target, data)
    stored = yield from fetch(writes.upsert(target, row))
    if not stored:
        yield from store_again(target, [row])
    elif row.seen is not None:
        yield from embed_again(target, row, stored)
    return row.name


def store_many(
    facts: Facts, documents: Iterable[Mapping[str, Any]] | Spool, memory_store_type: StoreName
) -> Operation[list[str]]:
    # Another thread may have read newer facts since: then the columns of these rows are gone, and the server says so.
    target = documents.store if isinstance(documents, Spool) else facts.store(memory_store_type)
    names: list[str] = []
    for batch in batches(documents):
        rows = [each if isinstance(each, Row) else row_of(target, each) for each in batch]
        yield from write(target, rows)
        names += [row.name for row in rows]
    return names


def check(facts: Facts, data: Mapping[str, Any], memory_store_type: StoreName) -> Operation[None]:
    row_of(facts.store(memory_store_type), data)
    yield from ()


def update_by_id(facts: Facts, id: Any, data: Mapping[str, Any], memory_store_type: StoreName) -> Operation[bool]:
    target = facts.store(memory_store_type)
    name = updated_id(id, data)
    if name is None:
        return False
    key = _values.id_key(name)
    row = (yield from embedded_rows(target, [data], key))[0] if target.embeds else row_of(target, data, key)
    stored = yield from fetch(writes.update(target, row, name))
    if row.seen is not None:
        yield from embed_again(target, row, stored)
    return bool(stored)
