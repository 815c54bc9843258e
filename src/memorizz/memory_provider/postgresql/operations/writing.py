"""How documents get into a store: by COPY where they are many and new, else by an INSERT that merges."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from uuid import UUID

from memorizz.errors import DatabaseError
from memorizz.memory_provider._documents import TTL, is_clock
from memorizz.memory_provider.postgresql._steps import Operation, Query, Script, fetch, fetch_all
from memorizz.memory_provider.postgresql.facts import Store
from memorizz.memory_provider.postgresql.operations import parts
from memorizz.memory_provider.postgresql.rows import Row
from memorizz.memory_provider.postgresql.sql import parts as sql
from memorizz.memory_provider.postgresql.sql import writes

# With fewer, one pipeline is faster than what COPY takes around it.
_WORTH_COPYING = 10


def write(target: Store, rows: Sequence[Row]) -> Operation[None]:
    """Insert documents, or merge them into those with their ids, in order; the caller runs this in one transaction.

    Those that exist are locked first, in one order: two callers with the same ids do not wait for each other.
    """
    given = [row.values["id"] for row in rows if not row.is_new]
    if not given or len(rows) == 1:
        stored: set[UUID] = set()
    else:
        [*_, rows_of_ids] = yield from fetch_all(writes.locked(target, given))
        stored = {id for (id,) in rows_of_ids}
    yield from _insert(target, rows, stored)
    if target.spec.fields:
        yield from fetch_all(parts.replaced(target, rows))
    yield from _add_pieces(target, rows)


def _add_pieces(target: Store, rows: Sequence[Row]) -> Operation[None]:
    """Add the pieces of long texts, one text at a time: their vectors are larger than they are."""
    long = [(row.values["id"], row.pieces) for row in rows if row.pieces is not None]
    if long:
        yield from fetch_all(parts.noted(target))
    for id, pieces in long:
        yield from fetch(sql.add_pieces(target, id, pieces))


def _insert(target: Store, rows: Sequence[Row], stored: set[UUID]) -> Operation[None]:
    if len(rows) < _WORTH_COPYING:
        yield from _upsert(target, rows)
        return
    new: list[Row] = []
    others: list[Row] = []
    for row in rows:
        (others if row.values["id"] in stored else new).append(row)
        stored.add(row.values["id"])
    # A time that is missing becomes the server's own, which COPY does only for a column that it leaves out.
    for (lives, _), group in groupby(new, key=lambda row: _columns_of_time(target, row)):
        run = list(group)
        # COPY computes nothing, as the end of a lifetime is, and is refused under row-level security.
        if lives or target.walled or not (yield from _copy(target, run)):
            yield from _upsert(target, run)
    yield from _upsert(target, others)


def _columns_of_time(target: Store, row: Row) -> tuple[bool, list[str]]:
    """Return whether the end of a document's lifetime is to be computed, and which times it brings."""
    return row.values.get(TTL) is not None, [name for name in row.inserted if is_clock(name, target.spec)]


def _copy(target: Store, rows: Sequence[Row]) -> Operation[bool]:
    """Insert documents by COPY; False where they are to be inserted in another way.

    Another transaction may have stored one of their ids meanwhile, and under row-level security there is no COPY.
    """
    yield Script(writes.SAVEPOINT)
    try:
        yield writes.copy(target, rows)
    except DatabaseError:
        yield Script(writes.ROLLBACK_TO_SAVEPOINT)
        return False
    yield Script(writes.RELEASE_SAVEPOINT)
    return True


def _upsert(target: Store, rows: Sequence[Row]) -> Operation[None]:
    """Insert documents, or merge them into those with their ids."""
    if not rows:
        return
    results = yield from fetch_all([writes.upsert(target, row) for row in rows])
    expired = [row for row, stored in zip(rows, results, strict=True) if not stored]
    if expired:
        yield from store_again(target, expired)


def store_again(target: Store, rows: Sequence[Row]) -> Operation[None]:
    """Store documents under the ids of expired ones, which must not be merged with them."""
    steps: list[Query] = []
    for row in rows:
        upsert = parts.with_pieces(target, row, writes.upsert(target, row))
        steps += [writes.delete_expired(target, row.values["id"]), *upsert]
    yield from fetch_all(steps)
    for row in rows:
        yield from parts.check_own(target, row)
