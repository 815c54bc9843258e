"""How many documents get into a store: together, those that are new by one statement, the others merged by a few."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from memorizz.errors import DatabaseError
from memorizz.memory_provider.postgresql._errors import was_refused
from memorizz.memory_provider.postgresql._steps import Batch, Operation, Query, fetch, fetch_all
from memorizz.memory_provider.postgresql.facts import Store
from memorizz.memory_provider.postgresql.operations import parts
from memorizz.memory_provider.postgresql.rows import Row
from memorizz.memory_provider.postgresql.sql import many, writes
from memorizz.memory_provider.postgresql.sql import parts as sql


def write(target: Store, rows: Sequence[Row], meanwhile: Callable[[], None] | None = None) -> Operation[None]:
    """Insert documents, or merge them into those with their ids, in order; the caller runs this in one transaction.

    Those that exist are locked first, in one order: two callers with the same ids do not wait for each other.
    `meanwhile` is called while the server works.
    """
    stored = yield from _locked(target, rows)
    new: list[Row] = []
    known: dict[object, list[Row]] = {}
    others: list[Row] = []
    seen: set[UUID] = set()
    for row in rows:
        id = row.values["id"]
        if id in seen or len(rows) == 1:
            others.append(row)
        elif id not in stored:
            new.append(row)
        elif row.seen is None:
            known.setdefault((row.inserted, row.merged), []).append(row)
        else:
            others.append(row)
        seen.add(id)
    together = [*(many.insert(target, new) if new else ())]
    together += [each for group in known.values() for each in many.merge(target, group)]
    together += [([row], writes.upsert(target, row)) for row in others]
    results = yield Batch([query for _, query in together], meanwhile=meanwhile)
    yield from _write_again(target, rows, _left_out(together, results))
    if target.spec.fields:
        yield from fetch_all(parts.replaced(target, rows))
    yield from _add_pieces(target, rows)


def write_at_once(target: Store, rows: Sequence[Row]) -> Operation[bool]:
    """Insert or merge documents by one statement, which needs no transaction around it: all of them or none.

    Return False where none is stored: one has expired, or they take more than one statement.
    """
    statement = _at_once(target, rows)
    if statement is None:
        return not rows
    try:
        found = yield from fetch(statement)
    except DatabaseError as error:
        if not was_refused(error):
            raise
        return False
    return bool(found) or all(row.is_new for row in rows)


def _at_once(target: Store, rows: Sequence[Row]) -> Query | None:
    """Return the statement that stores documents, None where there are none or they take several statements."""
    simple = all(row.seen is None and row.pieces is None for row in rows)
    if not rows or not simple or target.spec.fields or target.layout.distributed:
        return None
    if len(rows) == 1:
        return writes.upsert(target, rows[0])
    if all(row.is_new for row in rows):
        together = [*many.insert(target, rows)]
    elif len({row.merged for row in rows}) == 1 and len({row.values["id"] for row in rows}) == len(rows):
        together = [*many.upsert(target, rows)]
    else:
        return None
    return together[0][1] if len(together) == 1 else None


def _locked(target: Store, rows: Sequence[Row]) -> Operation[set[UUID]]:
    given = [row.values["id"] for row in rows if not row.is_new]
    if not given or len(rows) == 1:
        return set()
    [*_, found] = yield from fetch_all(writes.locked(target, given))
    return {id for (id,) in found}


def _left_out(
    together: Sequence[tuple[Sequence[Row], Query]], results: Sequence[list[tuple[object, ...]]]
) -> set[UUID]:
    """Return the ids of documents that were not stored: they have expired, or another transaction has stored them."""
    left: set[UUID] = set()
    for (group, _), found in zip(together, results, strict=True):
        if len(group) == 1 and found:
            continue
        there = {each for (each,) in found}
        left.update(id for row in group if not row.is_new and (id := row.values["id"]) not in there)
    return left


def _write_again(target: Store, rows: Sequence[Row], ids: set[UUID]) -> Operation[None]:
    again = [row for row in rows if row.values["id"] in ids]
    results = yield from fetch_all([writes.upsert(target, row) for row in again])
    expired = [row for row, stored in zip(again, results, strict=True) if not stored]
    if expired:
        yield from store_again(target, expired)


def _add_pieces(target: Store, rows: Sequence[Row]) -> Operation[None]:
    """Add the pieces of long texts, one text at a time: their vectors are larger than they are."""
    long = [(row.values["id"], row.pieces) for row in rows if row.pieces is not None]
    if long:
        yield from fetch_all(parts.noted(target))
    for id, pieces in long:
        yield from fetch(sql.add_pieces(target, id, pieces))


def store_again(target: Store, rows: Sequence[Row]) -> Operation[None]:
    """Store documents under the ids of expired ones, which must not be merged with them."""
    steps: list[Query] = []
    for row in rows:
        upsert = parts.with_pieces(target, row, writes.upsert(target, row))
        steps += [writes.delete_expired(target, row.values["id"]), *upsert]
    yield from fetch_all(steps)
    for row in rows:
        yield from parts.check_own(target, row)
