"""What the methods that store do: one generator for each, of the same name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from memorizz.errors import ConfigurationError
from memorizz.memory_provider import _values
from memorizz.memory_provider._arguments import given_filter, merged_keys, updated_id
from memorizz.memory_provider._documents import SUPERSEDED_BY, VALID_FROM, VALID_UNTIL, batches, no_superseded
from memorizz.memory_provider.mongodb import _queries as queries
from memorizz.memory_provider.mongodb._bson import check_size, id_keys
from memorizz.memory_provider.mongodb._collections import store_of
from memorizz.memory_provider.mongodb._conditions import condition
from memorizz.memory_provider.mongodb._steps import Operation, Record, change, fetch
from memorizz.memory_provider.mongodb._stores import Database, Row, Store
from memorizz.memory_provider.options import Filter, StoreName
from memorizz.memory_provider.scopes import EVERYTHING


def store(
    database: Database, data: Mapping[str, Any], memory_store_type: StoreName, *, if_absent: bool = False
) -> Operation[str | None]:
    target = yield from store_of(database, memory_store_type)
    row = target.row(data)
    stored = queries.stored_if_absent if if_absent else queries.stored
    changed = yield from change(target.collection, stored(target, row, target.new_record(row)), writes=[row.name])
    if not changed.written:
        yield from _check_own(target, [row])
    return row.name if changed.written or not if_absent else None


def _check_own(target: Store, rows: Iterable[Row]) -> Operation[None]:
    """Raise InvalidDocument where the document of an id, under which nothing was stored, is not of the memory."""
    for row in rows if target.scope.memory is not None else ():
        if not (yield from fetch(queries.ids(target, queries.by_keys(row.keys)))):
            raise target.scope.taken(row.name)


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
            changes = [queries.stored(target, row, record) for row, record in zip(rows, new, strict=True)]
            changed = yield from change(target.collection, *changes, writes=[row.name for row in rows])
            if changed.written < len(rows):
                yield from _check_own(target, rows)
    except Exception:
        for records in sent:
            yield from change(target.collection, queries.delete_unchanged(records), writes=names)
        raise
    return names


def supersede(
    database: Database, documents: Iterable[Mapping[str, Any]], memory_store_type: StoreName, supersedes: Any
) -> Operation[str]:
    """Store the one document, and end another where it begins; the caller runs this in one transaction."""
    target = yield from store_of(database, memory_store_type)
    if not database.transactional:
        raise ConfigurationError(
            "supersedes: it takes a transaction, which MongoDB has in a replica set only; store the document, and set "
            "the valid_until of the other one"
        )
    [row] = map(target.row, documents)
    there = None if row.is_new else (yield from _document(target, row.keys))
    memory = ({**(there or {}), **target.scope.keys, **row.given}).get("memory_id")
    name = _values.id_text(supersedes)
    ended = None if name in (None, row.name) else (yield from _document(target, id_keys(name)))
    # Nothing is written before, for a transaction of the caller's may go on.
    # What has been superseded itself supersedes nothing: a ring of such documents would be in no search.
    if name is None or ended is None or ended.get("memory_id") != memory or SUPERSEDED_BY in (there or {}):
        raise no_superseded(supersedes, target.name)
    yield from change(target.collection, queries.stored(target, row, target.new_record(row)), writes=[row.name])
    yield from _check_own(target, [row])
    begun = (yield from _document(target, row.keys)) or {}
    times = (begun.get(VALID_FROM) or datetime.now(UTC), ended.get(VALID_UNTIL))
    until = min(each for each in times if each is not None)
    keys = {VALID_UNTIL: max(until, ended.get(VALID_FROM) or until), SUPERSEDED_BY: row.name}
    yield from change(target.collection, queries.updated(target, target.row(keys, name)), writes=[name, row.name])
    return row.name


def _document(target: Store, keys: list[Any]) -> Operation[dict[str, Any] | None]:
    records = yield from fetch(queries.by_id(target, keys, False))
    return target.document(records[0]) if records else None


def check(database: Database, data: Mapping[str, Any], memory_store_type: StoreName) -> Operation[None]:
    target = yield from store_of(database, memory_store_type)
    row = target.row(data)
    check_size({**target.new_record(row), **row.given, "parts": row.parts, "words": row.words})


def taken(database: Database, ids: Sequence[Any], memory_store_type: StoreName) -> Operation[list[str]]:
    """Return which of some ids a view of a memory stores nothing under, for another memory or agent has them.

    It tells no more than storing does, and is for what stores many documents or none.
    """
    target = yield from store_of(database, memory_store_type)
    if target.scope.memory is None:
        return []
    whole = yield from store_of(database.within(EVERYTHING), memory_store_type)
    names = {key: name for name in map(_values.id_text, ids) if name is not None for key in id_keys(name)}
    asked = queries.by_keys([*names])
    own = {each["_id"] for each in (yield from fetch(queries.ids(target, asked)))}
    found = {each["_id"] for each in (yield from fetch(queries.ids(whole, asked)))}
    return [names[key] for key in found - own]


def update_by_id(database: Database, id: Any, data: Mapping[str, Any], memory_store_type: StoreName) -> Operation[bool]:
    target = yield from store_of(database, memory_store_type)
    name = updated_id(id, data)
    if name is None:
        return False
    changed = yield from change(target.collection, queries.updated(target, target.row(data, name)), writes=[name])
    return changed.matched > 0


# The id of no document: what is merged into several has none.
_NONE = "none"


def update(database: Database, memory_store_type: StoreName, filter: Filter, data: Mapping[str, Any]) -> Operation[int]:
    target = yield from store_of(database, memory_store_type)
    keys = merged_keys(data, given_filter(filter, "update()"))
    merged = queries.updated(target, target.row(keys, _NONE), condition(filter))
    return (yield from change(target.collection, merged)).matched
