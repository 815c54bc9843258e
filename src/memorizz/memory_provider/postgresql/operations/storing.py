"""What the methods that store do: one generator for each, of the same name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any, cast
from uuid import UUID

from memorizz.memory_provider import _values
from memorizz.memory_provider._arguments import given_filter, merged_keys, updated_id
from memorizz.memory_provider._documents import EMBEDDING, batches, given_id, no_superseded
from memorizz.memory_provider._drive import can_be_read_again
from memorizz.memory_provider.base import Filter, StoreName
from memorizz.memory_provider.postgresql._steps import Operation, Query, fetch, fetch_all, fetch_last
from memorizz.memory_provider.postgresql.facts import Facts, Store
from memorizz.memory_provider.postgresql.operations import parts
from memorizz.memory_provider.postgresql.operations.embedding import (
    Spool,
    embed_again,
    embed_many,
    embedded_rows,
    may_change_text,
)
from memorizz.memory_provider.postgresql.operations.writing import store_again, write, write_at_once
from memorizz.memory_provider.postgresql.rows import Row, row_of
from memorizz.memory_provider.postgresql.sql import reads, superseding, writes

# The key of no document: what is merged into several has none.
_NONE = UUID(int=0)


def store(
    facts: Facts, data: Mapping[str, Any], memory_store_type: StoreName, *, if_absent: bool = False
) -> Operation[str | None]:
    target = facts.store(memory_store_type)
    if target.spec.fields:
        return (yield from (parts.store_if_absent if if_absent else parts.store)(target, data))
    if if_absent:
        return (yield from _store_if_absent(target, data))
    row = (yield from embedded_rows(target, [data]))[0] if target.embeds else parts.row_with_parts(target, data)
    stored = yield from parts.written(target, row, writes.upsert(target, row), row.is_new)
    if not stored:
        yield from store_again(target, [row])
    elif row.seen is not None:
        yield from embed_again(target, row, stored)
    return row.name


def _store_if_absent(target: Store, data: Mapping[str, Any]) -> Operation[str | None]:
    name = given_id(data)
    if target.embeds and name is not None and (yield from fetch(reads.texts(target, [_values.id_key(name)]))):
        # A model is not asked for nothing.
        return None
    row = (yield from embedded_rows(target, [data]))[0] if target.embeds else parts.row_with_parts(target, data)
    stored = yield from parts.written(target, row, writes.insert(target, row), False)
    if not stored and not (yield from fetch(reads.texts(target, [row.values["id"]]))):
        steps = parts.with_pieces(target, row, writes.insert(target, row))
        results = yield from fetch_all([writes.delete_expired(target, row.values["id"]), *steps])
        stored = results[-1 if row.pieces is None else -2]
    if not stored:
        yield from parts.check_own(target, row)
    return row.name if stored else None


def store_many(
    facts: Facts, documents: Iterable[Mapping[str, Any]] | Spool, memory_store_type: StoreName
) -> Operation[list[str]]:
    # Another thread may have read newer facts since: then the columns of these rows are gone, and the server says so.
    target = documents.store if isinstance(documents, Spool) else facts.store(memory_store_type)
    names: list[str] = []
    remaining = batches(documents)
    rows = _rows_of(target, next(remaining, ()))
    while rows:
        # Read before, for to read them may need the connection; made into rows while the server writes those before.
        coming, ahead = next(remaining, ()), list[Row]()
        yield from write(target, rows, lambda coming=coming, ahead=ahead: ahead.extend(_rows_of(target, coming)))
        names += [row.name for row in rows]
        rows = ahead
    return names


def _rows_of(target: Store, documents: Iterable[Any]) -> list[Row]:
    return [each if isinstance(each, Row) else parts.row_with_parts(target, each) for each in documents]


def store_few(
    facts: Facts, documents: Iterable[Mapping[str, Any]], memory_store_type: StoreName
) -> Operation[tuple[list[str] | None, Any]]:
    """Embed documents, and store them where one statement does that; return their ids.

    Else none is stored: return None, and what `store_many` is to be given.
    """
    embedded = yield from embed_many(facts, documents, memory_store_type)
    target = embedded.store if isinstance(embedded, Spool) else facts.store(memory_store_type)
    if not isinstance(embedded, Spool) and not can_be_read_again(embedded):
        return None, embedded
    found = [*islice(batches(embedded), 2)]
    if len(found) > 1:
        return None, embedded
    rows = [row for batch in found for row in _rows_of(target, batch)]
    stored = yield from write_at_once(target, rows)
    # Not the rows: whoever makes others of it may know of another model by then.
    return ([row.name for row in rows] if stored else None), embedded


def supersede(
    facts: Facts, documents: Iterable[Mapping[str, Any]] | Spool, memory_store_type: StoreName, supersedes: Any
) -> Operation[str]:
    """Store the one document, and end another where it begins; the caller runs this in one transaction."""
    target = documents.store if isinstance(documents, Spool) else facts.store(memory_store_type)
    [row] = _rows_of(target, documents)
    name = _values.id_text(supersedes)
    ended = _NONE if name is None else _values.id_key(name)
    *_, found = yield from fetch_all(
        [*writes.locked(target, [ended, row.values["id"]]), superseding.found(target, ended, row)]
    )
    # Nothing is written before, for a transaction of the caller's may go on.
    if name is None or not found or ended == row.values["id"]:
        raise no_superseded(supersedes, target.name)
    yield from write(target, [row])
    yield from fetch(superseding.end(target, ended, name, row))
    return row.name


# A store of so few documents is searched in a millisecond without an index.
FEW = 1_000
# From so many vectors on, an index is built in a fraction of the time in which they enter it one by one.
_MANY = 2_000


def begun(documents: Iterable[Mapping[str, Any]] | Spool) -> tuple[Iterable[Mapping[str, Any]] | Spool, bool]:
    """Return documents, of which the first may have been read, and whether many come and bring their vectors."""
    given = cast(object, documents)
    if isinstance(documents, Spool) or isinstance(given, Mapping | str | bytes) or not isinstance(given, Iterable):
        # What is none is refused where it is stored.
        return documents, False
    remaining = iter(documents)
    first: list[Mapping[str, Any]] = []
    brought = 0
    for each in islice(remaining, _MANY):
        first.append(each)
        if not isinstance(cast(object, each), Mapping) or each.get(EMBEDDING) is None:
            # No further: texts that are to be embedded are read a batch at a time.
            break
        brought += 1
    # A list is read again by its next reader.
    return documents if can_be_read_again(documents) else chain(first, remaining), brought == _MANY


def is_first_import(
    facts: Facts, documents: Iterable[Mapping[str, Any]] | Spool, memory_store_type: StoreName, brings_many: bool
) -> Operation[bool]:
    """Return True for many vectors that come into a store that holds few documents, whoever they belong to."""
    target = facts.store(memory_store_type)
    many = documents.vectors >= _MANY if isinstance(documents, Spool) else brings_many
    # Of a distributed store every server would be asked how much it holds.
    if not many or target.spec.fields or target.layout.distributed:
        return False
    [(few,)] = yield from fetch(reads.holds_few(target, FEW))
    return few


def check(facts: Facts, data: Mapping[str, Any], memory_store_type: StoreName) -> Operation[None]:
    parts.row_with_parts(facts.store(memory_store_type), data)
    yield from ()


def taken(facts: Facts, ids: Sequence[Any], memory_store_type: StoreName) -> Operation[list[str]]:
    """Return which of some ids a view of a memory stores nothing under, for another memory or agent has them.

    It tells no more than storing does, and is for what stores many documents or none.
    """
    target = facts.store(memory_store_type)
    if target.scope.memory is None:
        return []
    names = {_values.id_key(name): name for name in map(_values.id_text, ids) if name is not None}
    whole = target.within(replace(target.scope, memory=None, agent=None))
    theirs, own = yield from fetch_all(
        [replace(reads.stored_ids(whole, [*names]), of_tenant=True), reads.stored_ids(target, [*names])]
    )
    return [names[key] for key in {key for (key,) in theirs} - {key for (key,) in own}]


def update_by_id(facts: Facts, id: Any, data: Mapping[str, Any], memory_store_type: StoreName) -> Operation[bool]:
    target = facts.store(memory_store_type)
    name = updated_id(id, data)
    if name is None:
        return False
    if target.spec.fields:
        return (yield from parts.update_by_id(target, name, data))
    key = _values.id_key(name)
    embedded = (yield from embedded_rows(target, [data], [key])) if target.embeds else None
    row = parts.row_with_parts(target, data, key) if embedded is None else embedded[0]
    stored = yield from parts.written(target, row, writes.update(target, row, name), row.seen is None)
    if row.seen is not None:
        yield from embed_again(target, row, stored)
    return bool(stored)


def update(facts: Facts, memory_store_type: StoreName, filter: Filter, data: Mapping[str, Any]) -> Operation[int]:
    target = facts.store(memory_store_type)
    keys = merged_keys(data, given_filter(filter, "update()"))
    if target.spec.fields and parts.changes_parts(target, keys):
        return (yield from parts.update(target, filter, keys))
    of_texts = target.embeds and EMBEDDING not in keys and may_change_text(target, keys)
    if not target.spec.fields and (of_texts or parts.is_list_of_parts(keys.get(EMBEDDING))):
        return (yield from _update_texts(target, filter, keys))
    rows = yield from fetch_last(writes.update_matching(target, row_of(target, keys, _NONE), filter))
    return rows[0][0]


def _update_texts(target: Store, filter: Filter, data: Mapping[str, Any]) -> Operation[int]:
    """Merge keys that are embedded: each document has a text of its own then, and vectors of its own."""
    found = yield from fetch(reads.keys_of_matching(target, filter))
    if not found:
        return 0
    rows = yield from embedded_rows(target, [data] * len(found), [id for id, _ in found])
    steps, places = list[Query](), list[int]()
    for row, (_, name) in zip(rows, found, strict=True):
        written = parts.with_pieces(target, row, writes.update(target, row, name, filter))
        places.append(len(steps) + len(written) - (1 if row.pieces is None else 2))
        steps += written
    results = yield from fetch_all(steps)
    updated = [results[place] for place in places]
    for row, stored in zip(rows, updated, strict=True):
        yield from embed_again(target, row, stored)
    return sum(map(len, updated))
