"""The columns of two embedding models in one store, and the SQL that adds, fills, exchanges and drops them.

One model's vectors are searched, the other's are on standby: those of the model to come while they are made, those of
the model before once it is no longer searched. Both are the same to what is here.

A third column, `embeddings_of`, holds the `updated_at` of the document that both vectors are of. Every change of a
document moves `updated_at`, so that whoever writes need know nothing of the other model: where the two times differ,
the standby vector is not of today's document. Where they are equal and there is none, there was no text for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from psycopg import sql

from memorizz.memory_provider._documents import CONTENT
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import facts, history
from memorizz.memory_provider.postgresql._steps import Operation, Query, Script, fetch, fetch_all
from memorizz.memory_provider.postgresql.facts import Facts, Model, Store
from memorizz.memory_provider.postgresql.layout import STANDBY, Layout, vector_column
from memorizz.memory_provider.postgresql.operations.parts import WaitingPart, waiting_parts
from memorizz.memory_provider.postgresql.rows import GIVEN_ID, PIECES, Floats, Pieces, Vector, moment
from memorizz.memory_provider.postgresql.sql import key, writes
from memorizz.memory_provider.postgresql.sql.parts import with_parts
from memorizz.memory_provider.postgresql.sql.vectors import is_embedded, nth_given
from memorizz.memory_provider.postgresql.sql.visible import LIVE
from memorizz.memory_provider.scopes import Scope

_OF = sql.Identifier("embeddings_of")


@dataclass(frozen=True, eq=False)
class Models:
    """The model whose vectors are searched in some stores, and the one whose vectors are on standby there.

    `stores` has each store with the vectors that are searched, `pairs` each with those and with the others.
    """

    layout: Layout
    searched: Model
    standby: Model | None
    stores: Sequence[Store]
    pairs: Sequence[tuple[Store, Store]]


@dataclass(frozen=True, slots=True)
class Count:
    """How far a store is: its documents with a vector, with both, without a text to make one of, still to be done."""

    store: str
    vectors: int
    both: int
    without_text: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A document whose standby vector is not of today's document; `parts` are those that have vectors of their own."""

    scope: Scope
    id: UUID
    seq: int
    updated_at: datetime | str
    embedded: bool
    label: str | None = None
    content: str | None = None
    parts: Sequence[WaitingPart] = ()


def models(known: Facts, store: MemoryType | str) -> Models:
    """Return the models of a store, and all stores that share them."""
    model = known.store(store).model
    stores = [each for each in known.stores.values() if each.model.id == model.id]
    pairs = [(each, known.standby[each.name]) for each in stores if each.name in known.standby]
    return Models(known.layout, model, pairs[0][1].model if pairs else None, stores, pairs)


# --- beginning and ending -----------------------------------------------------------------------------------------


def lock_models(layout: Layout, lock_seconds: float) -> Operation[None]:
    """Wait no longer than this for any lock of this transaction, and keep others from changing the models meanwhile."""
    statement = sql.SQL("SET LOCAL lock_timeout = {}; LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE")
    tables = layout.table("stores")
    yield Script(statement.format(sql.Literal(round(lock_seconds * 1000)), tables).as_bytes(None))


def begin(now: Models, name: str, dimensions: int) -> Operation[None]:
    """Add the columns of another model to every store, which takes no longer than getting hold of it."""
    insert = sql.SQL("INSERT INTO {} (name, dimensions) VALUES (%(name)s, %(dimensions)s) RETURNING id")
    noted = {"name": name, "dimensions": dimensions}
    rows = yield from fetch(Query(insert.format(now.layout.table("embedding_models")).as_bytes(None), noted))
    id, column = rows[0][0], vector_column(rows[0][0])
    space = now.layout.vector_schema
    yield facts.lock_tables(now.stores)
    for store in now.stores:
        # What is there has no bits yet, so that the constraint need not be checked.
        statement = sql.SQL(
            "ALTER TABLE {table} ADD COLUMN {vector} {type}({dimensions}), ADD COLUMN {bits} bit({dimensions}), "
            "ADD COLUMN {of} timestamptz, ALTER COLUMN {vector} SET STORAGE EXTERNAL, ADD CONSTRAINT {check} "
            "CHECK ({bits} IS NULL OR {bits} = {quantize}({vector})::bit({dimensions})) NOT VALID; "
            "ALTER TABLE {parts} ADD COLUMN {vector} {type}({dimensions}), ALTER COLUMN {vector} SET STORAGE EXTERNAL"
        ).format(
            table=store.table,
            parts=store.parts,
            vector=sql.Identifier(column + STANDBY),
            bits=sql.Identifier(f"{column}_bits{STANDBY}"),
            of=_OF,
            check=sql.Identifier(f"{column}_bits_check"),
            type=store.vector_type,
            quantize=sql.Identifier(space, "binary_quantize"),
            dimensions=sql.Literal(dimensions),
        )
        yield Script(statement.as_bytes(None))
    note = sql.SQL("UPDATE {} SET standby_model = %(standby)s WHERE model = %(model)s").format(
        now.layout.table("stores")
    )
    yield from fetch(Query(note.as_bytes(None), {"standby": id, "model": now.searched.id}))
    yield from fetch(facts.moved_on(now.layout))


def drop(now: Models) -> Operation[None]:
    """Drop the columns on standby, and all indexes on them."""
    assert now.standby is not None
    yield facts.lock_tables(now.stores)
    for _, standby in now.pairs:
        statement = sql.SQL(
            "ALTER TABLE {table} DROP COLUMN {vector}, DROP COLUMN {bits}, DROP COLUMN {of}; "
            "ALTER TABLE {parts} DROP COLUMN {vector}"
        ).format(
            table=standby.table,
            parts=standby.parts,
            vector=standby.embedding,
            bits=sql.Identifier(standby.bits_column),
            of=_OF,
        )
        yield Script(statement.as_bytes(None))
    forget = [
        sql.SQL("UPDATE {} SET standby_model = NULL WHERE standby_model = %(id)s").format(now.layout.table("stores")),
        sql.SQL("DELETE FROM {} WHERE id = %(id)s AND current_since IS NULL").format(
            now.layout.table("embedding_models")
        ),
    ]
    for statement in forget:
        yield from fetch(Query(statement.as_bytes(None), {"id": now.standby.id}))
    yield from fetch(facts.moved_on(now.layout))


def forget_pieces(now: Models) -> Operation[None]:
    """Delete the pieces of a model that is gone: they have no vector."""
    for store in now.stores:
        if not store.spec.fields:
            statement = sql.SQL("DELETE FROM {} WHERE {} IS NULL").format(store.parts, store.embedding)
            yield from fetch(Query(statement.as_bytes(None)))


# --- filling ------------------------------------------------------------------------------------------------------


def _waits(store: Store, standby: Store) -> sql.Composed:
    return sql.SQL("({live} AND ({searched} OR {standby}) AND d.{of} IS DISTINCT FROM d.updated_at)").format(
        live=LIVE, searched=is_embedded(store, of_all=True), standby=is_embedded(standby, of_all=True), of=_OF
    )


def waiting(store: Store, standby: Store, after: Waiting | None, limit: int) -> Operation[list[Waiting]]:
    """Return the next documents to be done, of every tenant, in the order of their keys."""
    statement = sql.SQL(
        "SELECT {columns}, {embedded}, d.{label}, d.content, {key}, d.seq, d.updated_at AT TIME ZONE INTERVAL '0' "
        "FROM {table} AS d WHERE {waits} AND {after} ORDER BY {key} LIMIT %(limit)s"
    ).format(
        columns=with_parts(store) if store.spec.fields else sql.SQL("NULL"),
        embedded=is_embedded(store, of_all=True),
        label=sql.Identifier(store.spec.label),
        table=store.table,
        waits=_waits(store, standby),
        after=key.BEHIND,
        key=key.KEY,
    )
    behind = {"after": after and after.id, "after_tenant": after and after.scope.tenant}
    query = Query(statement.as_bytes(None), {**behind, "limit": limit}, custom_plan=True)
    found: list[Waiting] = []
    for row in (yield from fetch(query)):
        embedded, label, content, tenant, id, seq, updated_at = row[-7:]
        parts = waiting_parts(store, row) if store.spec.fields else ()
        found.append(Waiting(Scope(tenant), id, seq, moment(updated_at), embedded, label, content, parts))
    return found


@dataclass(frozen=True, slots=True)
class Made:
    """The standby vectors of a document: of its text, of the pieces of a long one, of its parts in their order."""

    vector: Vector | None = None
    pieces: Pieces | None = None
    parts: Sequence[np.ndarray[Any, Any]] = ()


def fill(standby: Store, done: Sequence[tuple[Waiting, Made]]) -> Operation[None]:
    """Write standby vectors, save those of documents that were changed meanwhile or are being changed."""
    vector = sql.SQL("%(vector)s::{}").format(standby.vector_type)
    # Nobody is waited for while rows of others are held, so that no two wait for each other.
    statement = sql.SQL(
        "UPDATE {table} AS d SET {vector} = {made}, {bits} = {signs}, "
        "pieces = coalesce(d.pieces, %(pieces)s::uuid), {of} = d.updated_at FROM (SELECT {key} FROM {table} AS d "
        "WHERE {is_it} AND d.seq = %(seq)s AND d.updated_at = %(updated_at)s::timestamptz "
        "FOR NO KEY UPDATE SKIP LOCKED) AS free WHERE {same}"
    ).format(
        table=standby.table,
        vector=standby.embedding,
        made=vector,
        bits=sql.Identifier(standby.bits_column),
        signs=writes.signs(standby, vector),
        of=_OF,
        key=key.KEY,
        is_it=key.is_it(standby),
        same=key.same_of_all("d", "free"),
    )
    text = statement.as_bytes(None)
    if not standby.pieces and any(made.pieces is not None for _, made in done):
        yield from fetch(facts.has_pieces(standby))
    steps: list[Query] = []
    for row, made in done:
        if len(steps) >= _AT_ONCE or made.pieces is not None:
            # The vectors of a long text take room enough.
            yield from fetch_all(steps)
            steps = []
        written = {**row.scope.parameters, "id": row.id, "seq": row.seq, "updated_at": row.updated_at}
        pieces = made.pieces
        steps.append(Query(text, {**written, "vector": made.vector, PIECES: pieces and pieces.id}))
        if pieces is not None:
            steps.append(Query(_of_pieces(standby), {**written, **pieces.parameters()}))
        if row.parts:
            numbers = Floats.of(np.concatenate(made.parts))
            paths, starts, digests = ([part[place] for part in row.parts] for place in range(3))
            given = {"paths": paths, "starts": starts, "digests": digests, "vectors": numbers}
            steps.append(Query(_of_parts(standby), {**written, **given}))
    yield from fetch_all(steps)


_AT_ONCE = 64


# That the statement before has written the document `d`.
_IS_DONE = sql.SQL(
    "{is_it} AND d.seq = %(seq)s AND d.updated_at = %(updated_at)s::timestamptz AND d.{of} = d.updated_at"
)


def _of_pieces(standby: Store) -> bytes:
    """Return the statement that writes the pieces of a long text, beside those that the other model reads."""
    statement = sql.SQL(
        "INSERT INTO {parts} AS p ({columns}, path, start, stop, digest, {vector}) "
        "SELECT {of}, {content}, given.start, given.stop, d.pieces, {given} FROM {table} AS d "
        "CROSS JOIN unnest(%(starts)s::integer[], %(stops)s::integer[]) WITH ORDINALITY AS given (start, stop, place) "
        "WHERE {is_done} ON CONFLICT ({columns}, path, start, stop, digest) DO UPDATE SET {vector} = excluded.{vector}"
    )
    return statement.format(
        parts=standby.parts,
        columns=key.NAMES,
        vector=standby.embedding,
        of=key.of("d"),
        content=sql.Literal(CONTENT),
        given=nth_given(standby),
        table=standby.table,
        is_done=_IS_DONE.format(is_it=key.is_it(standby), of=_OF),
    ).as_bytes(None)


def _of_parts(standby: Store) -> bytes:
    """Return the statement that writes the vectors of a document's parts."""
    statement = sql.SQL(
        "UPDATE {parts} AS p SET {vector} = {given} FROM {table} AS d "
        "CROSS JOIN unnest(%(paths)s::text[], %(starts)s::integer[], %(digests)s::uuid[]) WITH ORDINALITY "
        "AS given (path, start, digest, place) "
        "WHERE {is_done} AND {same} AND (p.path, p.start, p.digest) = (given.path, given.start, given.digest)"
    )
    return statement.format(
        parts=standby.parts,
        vector=standby.embedding,
        given=nth_given(standby),
        table=standby.table,
        is_done=_IS_DONE.format(is_it=key.is_it(standby), of=_OF),
        same=key.same_of_all("p", "d"),
    ).as_bytes(None)


def counts(now: Models) -> Operation[list[Count]]:
    """Return how far each store is."""
    template = sql.SQL(
        "SELECT count(*) FILTER (WHERE {searched}), count(*) FILTER (WHERE {searched} AND {both}), "
        "count(*) FILTER (WHERE {without_text}), count(*) FILTER (WHERE {waits}) FROM {table} AS d WHERE {live}"
    )
    queries = [
        Query(
            template.format(
                searched=is_embedded(store, of_all=True),
                both=_has_both(store, standby),
                without_text=_without_text(store, standby),
                waits=_waits(store, standby),
                table=store.table,
                live=LIVE,
            ).as_bytes(None)
        )
        for store, standby in now.pairs
    ]
    results = yield from fetch_all(queries)
    return [Count(store.name, *rows[0]) for (store, _), rows in zip(now.pairs, results, strict=True)]


def _has_both(store: Store, standby: Store) -> sql.Composed:
    """Return the condition that `d`, which has a vector that is searched, has one on standby for it, and for each."""
    if not store.spec.fields:
        return is_embedded(standby, of_all=True)
    return sql.SQL("NOT EXISTS (SELECT FROM {} AS p WHERE {} AND p.{} IS NOT NULL AND p.{} IS NULL)").format(
        store.parts, key.same_of_all("p", "d"), store.embedding, standby.embedding
    )


def _without_text(store: Store, standby: Store) -> sql.Composed:
    return sql.SQL("{} AND NOT ({}) AND d.{} = d.updated_at").format(
        is_embedded(store, of_all=True), _has_both(store, standby), _OF
    )


def without_text(now: Models, limit: int) -> Operation[list[tuple[str, str]]]:
    """Return the store and the id of documents that have a vector and no text, up to so many of each store."""
    listed: list[tuple[str, str]] = []
    for store, standby in now.pairs:
        statement = sql.SQL(
            "SELECT coalesce(d.data ->> {id}, d.id::text) FROM {table} AS d WHERE {live} AND {without_text} "
            "ORDER BY d.seq LIMIT %(limit)s"
        ).format(
            id=sql.Literal(GIVEN_ID),
            table=store.table,
            live=LIVE,
            without_text=_without_text(store, standby),
        )
        rows = yield from fetch(Query(statement.as_bytes(None), {"limit": limit}))
        listed += [(store.name, row[0]) for row in rows]
    return listed


# --- exchanging ---------------------------------------------------------------------------------------------------


def block_writers(stores: Sequence[Store], idle_seconds: float) -> Operation[None]:
    """Keep every writer out of the stores until the end of the transaction; readers go on.

    Where this program stops in the middle, the server ends the transaction, so that no writer waits for longer.
    """
    listed = sql.SQL(", ").join(store.table for store in sorted(stores, key=lambda store: store.name))
    statement = sql.SQL(
        "SET LOCAL idle_in_transaction_session_timeout = {}; LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE"
    ).format(sql.Literal(round(idle_seconds * 1000)), listed)
    yield Script(statement.as_bytes(None))


def exchange(now: Models) -> Operation[None]:
    """Put the standby columns in the place of those that are searched, and those on standby."""
    assert now.standby is not None
    yield facts.lock_tables(now.stores)
    rename = sql.SQL("ALTER TABLE {} RENAME COLUMN {} TO {}")
    statements: list[sql.Composable] = []
    for store, standby in now.pairs:
        renamed = [(name, name + STANDBY) for name in (store.vector_column, store.bits_column)]
        renamed += [(name, name.removesuffix(STANDBY)) for name in (standby.vector_column, standby.bits_column)]
        statements += [rename.format(store.table, *map(sql.Identifier, names)) for names in renamed]
        statements += [rename.format(store.parts, *map(sql.Identifier, names)) for names in (renamed[0], renamed[2])]
        statements.append(_other_vectors(store, standby))
    # All at once: readers wait for it.
    yield Script(sql.SQL("; ").join(statements).as_bytes(None))
    for store, standby in now.pairs:
        if store.kept is not None:
            yield from history.recording(store, sql.Identifier(standby.vector_column.removesuffix(STANDBY)))
    for statement in (
        sql.SQL("UPDATE {} SET current_since = now() WHERE id = %(standby)s").format(
            now.layout.table("embedding_models")
        ),
        sql.SQL("UPDATE {} SET model = standby_model, standby_model = model WHERE model = %(model)s").format(
            now.layout.table("stores")
        ),
    ):
        ids = {"standby": now.standby.id, "model": now.searched.id}
        yield from fetch(Query(statement.as_bytes(None), ids))
    yield from fetch(facts.moved_on(now.layout))


def _other_vectors(store: Store, standby: Store) -> sql.Composed:
    """Return what lets versions have vectors of the other model; no question is compared with those that they had."""
    vector = sql.Identifier(standby.vector_column.removesuffix(STANDBY))
    template = sql.SQL(
        "ALTER TABLE {history} DROP COLUMN {gone}, ADD COLUMN {vector} {type}({dimensions}), "
        "ALTER COLUMN {vector} SET STORAGE EXTERNAL"
    )
    changed = [
        template.format(
            history=history,
            gone=store.embedding,
            vector=vector,
            type=store.vector_type,
            dimensions=sql.Literal(standby.model.dimensions),
        )
        for history in (store.history, store.parts_history)
    ]
    return sql.SQL("; ").join(changed)
