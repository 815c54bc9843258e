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
from uuid import UUID

from psycopg import sql

from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import facts
from memorizz.memory_provider.postgresql._steps import Operation, Query, Script, fetch, fetch_all
from memorizz.memory_provider.postgresql.facts import Facts, Model, Store
from memorizz.memory_provider.postgresql.layout import STANDBY, Layout, vector_column
from memorizz.memory_provider.postgresql.rows import GIVEN_ID, Vector, bits_of, moment
from memorizz.memory_provider.postgresql.sql import key
from memorizz.memory_provider.postgresql.sql.reads import bound
from memorizz.memory_provider.postgresql.sql.visible import visible

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
    """A document whose standby vector is not of today's document."""

    id: UUID
    seq: int
    updated_at: datetime | str
    embedded: bool
    label: str | None
    content: str | None


def models(known: Facts, store: MemoryType | str) -> Models:
    """Return the models of a store, and all stores that share them."""
    model = known.store(store).model
    stores = [each for each in known.stores.values() if each.model.id == model.id]
    pairs = [(each, known.standby[each.name]) for each in stores if each.name in known.standby]
    return Models(known.layout, model, pairs[0][1].model if pairs else None, stores, pairs)


def _table(layout: Layout, name: str) -> sql.Identifier:
    return sql.Identifier(layout.schema, f"memorizz_{name}")


# --- beginning and ending -----------------------------------------------------------------------------------------


def lock_models(layout: Layout, lock_seconds: float) -> Operation[None]:
    """Wait no longer than this for any lock of this transaction, and keep others from changing the models meanwhile."""
    statement = sql.SQL("SET LOCAL lock_timeout = {}; LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE")
    tables = _table(layout, "stores")
    yield Script(statement.format(sql.Literal(round(lock_seconds * 1000)), tables).as_bytes(None))


def _lock_tables(stores: Sequence[Store]) -> Operation[None]:
    """Lock tables for a change of their columns, in one order, before any of them is changed."""
    listed = sql.SQL(", ").join(store.table for store in sorted(stores, key=lambda store: store.name))
    yield Script(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(listed).as_bytes(None))


def begin(now: Models, name: str, dimensions: int) -> Operation[None]:
    """Add the columns of another model to every store, which takes no longer than getting hold of it."""
    insert = sql.SQL("INSERT INTO {} (name, dimensions) VALUES (%(name)s, %(dimensions)s) RETURNING id")
    noted = {"name": name, "dimensions": dimensions}
    rows = yield from fetch(Query(insert.format(_table(now.layout, "embedding_models")).as_bytes(None), noted))
    id, column = rows[0][0], vector_column(rows[0][0])
    space = now.layout.vector_schema
    yield from _lock_tables(now.stores)
    for store in now.stores:
        # What is there has no bits yet, so that the constraint need not be checked.
        statement = sql.SQL(
            "ALTER TABLE {table} ADD COLUMN {vector} {type}({dimensions}), ADD COLUMN {bits} bit({dimensions}), "
            "ADD COLUMN {of} timestamptz, ALTER COLUMN {vector} SET STORAGE EXTERNAL, ADD CONSTRAINT {check} "
            "CHECK ({bits} IS NULL OR {bits} = {quantize}({vector})::bit({dimensions})) NOT VALID"
        ).format(
            table=store.table,
            vector=sql.Identifier(column + STANDBY),
            bits=sql.Identifier(f"{column}_bits{STANDBY}"),
            of=_OF,
            check=sql.Identifier(f"{column}_bits_check"),
            type=sql.Identifier(space, "vector"),
            quantize=sql.Identifier(space, "binary_quantize"),
            dimensions=sql.Literal(dimensions),
        )
        yield Script(statement.as_bytes(None))
    note = sql.SQL("UPDATE {} SET standby_model = %(standby)s WHERE model = %(model)s").format(
        _table(now.layout, "stores")
    )
    yield from fetch(Query(note.as_bytes(None), {"standby": id, "model": now.searched.id}))
    yield from fetch(facts.moved_on(now.layout))


def drop(now: Models) -> Operation[None]:
    """Drop the columns on standby, and all indexes on them."""
    assert now.standby is not None
    yield from _lock_tables(now.stores)
    for _, standby in now.pairs:
        statement = sql.SQL("ALTER TABLE {} DROP COLUMN {}, DROP COLUMN {}, DROP COLUMN {}").format(
            standby.table, standby.embedding, sql.Identifier(standby.bits_column), _OF
        )
        yield Script(statement.as_bytes(None))
    forget = [
        sql.SQL("UPDATE {} SET standby_model = NULL WHERE standby_model = %(id)s").format(_table(now.layout, "stores")),
        sql.SQL("DELETE FROM {} WHERE id = %(id)s AND current_since IS NULL").format(
            _table(now.layout, "embedding_models")
        ),
    ]
    for statement in forget:
        yield from fetch(Query(statement.as_bytes(None), {"id": now.standby.id}))
    yield from fetch(facts.moved_on(now.layout))


# --- filling ------------------------------------------------------------------------------------------------------


def _waits(store: Store, standby: Store) -> sql.Composed:
    return sql.SQL(
        "({visible} AND (d.{searched} IS NOT NULL OR d.{standby} IS NOT NULL) AND d.{of} IS DISTINCT FROM d.updated_at)"
    ).format(visible=visible(store), searched=store.embedding, standby=standby.embedding, of=_OF)


def waiting(store: Store, standby: Store, after: UUID | None, limit: int) -> Operation[list[Waiting]]:
    """Return the next documents to be done, in the order of their ids."""
    statement = sql.SQL(
        "SELECT d.id, d.seq, d.updated_at AT TIME ZONE INTERVAL '0', d.{searched} IS NOT NULL, d.{label}, d.content "
        "FROM {table} AS d WHERE {waits} AND {after} ORDER BY {key} LIMIT %(limit)s"
    ).format(
        searched=store.embedding,
        label=sql.Identifier(store.spec.label),
        table=store.table,
        waits=_waits(store, standby),
        after=key.AFTER,
        key=key.KEY,
    )
    query = Query(statement.as_bytes(None), bound(store, after=after, limit=limit), custom_plan=True)
    rows = yield from fetch(query)
    return [Waiting(row[0], row[1], moment(row[2]), *row[3:]) for row in rows]


def fill(standby: Store, done: Sequence[tuple[Waiting, Vector | None]]) -> Operation[None]:
    """Write standby vectors, save those of documents that were changed meanwhile or are being changed."""
    # Nobody is waited for while rows of others are held, so that no two wait for each other.
    statement = sql.SQL(
        "UPDATE {table} AS d SET {vector} = %(vector)s::{type}, {bits} = %(bits)s::bit({dimensions}), "
        "{of} = d.updated_at FROM (SELECT {key} FROM {table} AS d "
        "WHERE {is_it} AND d.seq = %(seq)s AND d.updated_at = %(updated_at)s::timestamptz "
        "FOR NO KEY UPDATE SKIP LOCKED) AS free WHERE {same}"
    ).format(
        table=standby.table,
        vector=standby.embedding,
        type=sql.Identifier(standby.layout.vector_schema, "vector"),
        bits=sql.Identifier(standby.bits_column),
        dimensions=sql.Literal(standby.model.dimensions),
        of=_OF,
        key=key.KEY,
        is_it=key.IS,
        same=key.same("d", "free"),
    )
    text = statement.as_bytes(None)
    yield from fetch_all(
        [
            Query(
                text,
                bound(
                    standby,
                    id=row.id,
                    seq=row.seq,
                    updated_at=row.updated_at,
                    vector=vector,
                    bits=None if vector is None else bits_of(vector),
                ),
            )
            for row, vector in done
        ]
    )


def counts(now: Models) -> Operation[list[Count]]:
    """Return how far each store is."""
    template = sql.SQL(
        "SELECT count(d.{searched}), count(*) FILTER (WHERE d.{searched} IS NOT NULL AND d.{standby} IS NOT NULL), "
        "count(*) FILTER (WHERE {without_text}), count(*) FILTER (WHERE {waits}) FROM {table} AS d WHERE {visible}"
    )
    queries = [
        Query(
            template.format(
                searched=store.embedding,
                standby=standby.embedding,
                without_text=_without_text(store, standby),
                waits=_waits(store, standby),
                table=store.table,
                visible=visible(store),
            ).as_bytes(None),
            bound(store),
        )
        for store, standby in now.pairs
    ]
    results = yield from fetch_all(queries)
    return [Count(store.name, *rows[0]) for (store, _), rows in zip(now.pairs, results, strict=True)]


def _without_text(store: Store, standby: Store) -> sql.Composed:
    return sql.SQL("d.{} IS NOT NULL AND d.{} IS NULL AND d.{} = d.updated_at").format(
        store.embedding, standby.embedding, _OF
    )


def without_text(now: Models, limit: int) -> Operation[list[tuple[str, str]]]:
    """Return the store and the id of documents that have a vector and no text, up to so many of each store."""
    listed: list[tuple[str, str]] = []
    for store, standby in now.pairs:
        statement = sql.SQL(
            "SELECT coalesce(d.data ->> {id}, d.id::text) FROM {table} AS d WHERE {visible} AND {without_text} "
            "ORDER BY d.seq LIMIT %(limit)s"
        ).format(
            id=sql.Literal(GIVEN_ID),
            table=store.table,
            visible=visible(store),
            without_text=_without_text(store, standby),
        )
        rows = yield from fetch(Query(statement.as_bytes(None), bound(store, limit=limit)))
        listed += [(store.name, row[0]) for row in rows]
    return listed


# --- exchanging ---------------------------------------------------------------------------------------------------


def block_writers(now: Models, idle_seconds: float) -> Operation[None]:
    """Keep every writer out of the stores until the end of the transaction; readers go on.

    Where this program stops in the middle, the server ends the transaction, so that no writer waits for longer.
    """
    listed = sql.SQL(", ").join(store.table for store in sorted(now.stores, key=lambda store: store.name))
    statement = sql.SQL(
        "SET LOCAL idle_in_transaction_session_timeout = {}; LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE"
    ).format(sql.Literal(round(idle_seconds * 1000)), listed)
    yield Script(statement.as_bytes(None))


def exchange(now: Models) -> Operation[None]:
    """Put the standby columns in the place of those that are searched, and those on standby."""
    assert now.standby is not None
    yield from _lock_tables(now.stores)
    rename = sql.SQL("ALTER TABLE {} RENAME COLUMN {} TO {}")
    statements: list[sql.Composable] = []
    for store, standby in now.pairs:
        renamed = [(name, name + STANDBY) for name in (store.vector_column, store.bits_column)]
        renamed += [(name, name.removesuffix(STANDBY)) for name in (standby.vector_column, standby.bits_column)]
        statements += [rename.format(store.table, *map(sql.Identifier, names)) for names in renamed]
    # All at once: readers wait for it.
    yield Script(sql.SQL("; ").join(statements).as_bytes(None))
    for statement in (
        sql.SQL("UPDATE {} SET current_since = now() WHERE id = %(standby)s").format(
            _table(now.layout, "embedding_models")
        ),
        sql.SQL("UPDATE {} SET model = standby_model, standby_model = model WHERE model = %(model)s").format(
            _table(now.layout, "stores")
        ),
    ):
        ids = {"standby": now.standby.id, "model": now.searched.id}
        yield from fetch(Query(statement.as_bytes(None), ids))
    yield from fetch(facts.moved_on(now.layout))
