"""The columns of two embedding models in one schema, and the SQL that adds, fills, exchanges and drops them.

One model's vectors are searched, the other's stand aside: those of the model to come while they are made, those of the
model before once it is no longer searched. Both are the same to what is here.

A third column, `embeddings_of`, holds the `updated_at` of the document that both vectors are of. Every change of a
document moves `updated_at`, so that whoever writes need know nothing of the other model: where the two times differ,
the vector aside is not of today's document. Where they are equal and there is none aside, there was no text for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from psycopg import sql

from memorizz.errors import SchemaError
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql._migrate import Database
from memorizz.memory_provider.postgresql._queries import LIVE
from memorizz.memory_provider.postgresql._steps import Operation, Query, Script, fetch, fetch_all
from memorizz.memory_provider.postgresql._stores import (
    ASIDE,
    GIVEN_ID,
    IndexKind,
    Schema,
    Store,
    Vector,
    bits_of,
    vector_column,
)

_OF = sql.Identifier("embeddings_of")


@dataclass(frozen=True, slots=True)
class Model:
    """An embedding model; `name` is None where nobody has said it, `searched_since` where it never was searched."""

    id: int
    name: str | None
    dimensions: int
    searched_since: datetime | None


@dataclass(frozen=True, eq=False)
class Models:
    """The model whose vectors are searched, and the one whose vectors stand aside."""

    now: Schema
    then: Schema
    searched: Model
    aside: Model | None

    def stores(self) -> list[tuple[Store, Store]]:
        """Return each store twice: with the vectors that are searched, and with those aside."""
        return [(self.now.store(each), self.then.store(each)) for each in MemoryType]


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
    """A document whose vector aside is not of today's document."""

    id: UUID
    seq: int
    updated_at: datetime
    embedded: bool
    said_by: str | None
    content: str | None


def schema_of(database: Database, kind: IndexKind, aside: bool = False) -> Schema:
    """Return the schema of a database that has one: with the vectors that are searched, or with those aside."""
    return Schema(
        database.schema or "",
        database.vector_schema or "",
        (database.aside_dimensions if aside else database.dimensions) or 0,
        index=kind,
        model_id=(database.aside_id or 0) if aside else database.model_id,
        aside=aside,
    )


def models(found: Database) -> Operation[Models]:
    """Return the models of a schema; raises SchemaError where there is none."""
    if found.schema is None or not found.has_migrations or found.dimensions is None:
        raise SchemaError(f"there are no tables in schema {found.schema!r}: make them with `memorizz migrate`")
    statement = sql.SQL(
        "SELECT id, name, dimensions, current_since AT TIME ZONE INTERVAL '0' FROM {} WHERE id = ANY (%(ids)s::int[])"
    ).format(_table(found.schema))
    rows = yield from fetch(Query(statement.as_bytes(None), {"ids": [found.model_id, found.aside_id]}))
    known = {row[0]: Model(row[0], row[1], row[2], row[3] and row[3].replace(tzinfo=UTC)) for row in rows}
    now, then = schema_of(found, "none"), schema_of(found, "none", aside=True)
    return Models(now, then, known[found.model_id], None if found.aside_id is None else known[found.aside_id])


def _table(schema: str) -> sql.Identifier:
    return sql.Identifier(schema, "memorizz_embedding_models")


# --- beginning and ending -----------------------------------------------------------------------------------------


def hold(schema: Schema, lock_seconds: float) -> Operation[None]:
    """Wait no longer than this for any lock of this transaction, and keep others from changing the models meanwhile."""
    statement = sql.SQL("SET LOCAL lock_timeout = {}; LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE")
    yield Script(statement.format(sql.Literal(round(lock_seconds * 1000)), _table(schema.name)).as_bytes(None))


def begin(schema: Schema, name: str, dimensions: int) -> Operation[None]:
    """Add the columns of another model to every store, which takes no longer than getting hold of it."""
    insert = sql.SQL("INSERT INTO {} (name, dimensions) VALUES (%(name)s, %(dimensions)s) RETURNING id")
    bound = {"name": name, "dimensions": dimensions}
    rows = yield from fetch(Query(insert.format(_table(schema.name)).as_bytes(None), bound))
    column = vector_column(rows[0][0])
    space = schema.vector_schema
    for memory_type in MemoryType:
        # What is there has no bits yet, so that the constraint need not be checked.
        statement = sql.SQL(
            "ALTER TABLE {table} ADD COLUMN {vector} {type}({dimensions}), ADD COLUMN {bits} bit({dimensions}), "
            "ADD COLUMN {of} timestamptz, ALTER COLUMN {vector} SET STORAGE EXTERNAL, ADD CONSTRAINT {check} "
            "CHECK ({bits} IS NULL OR {bits} = {quantize}({vector})::bit({dimensions})) NOT VALID"
        ).format(
            table=schema.store(memory_type).table,
            vector=sql.Identifier(column + ASIDE),
            bits=sql.Identifier(f"{column}_bits{ASIDE}"),
            of=_OF,
            check=sql.Identifier(f"{column}_bits_check"),
            type=sql.Identifier(space, "vector"),
            quantize=sql.Identifier(space, "binary_quantize"),
            dimensions=sql.Literal(dimensions),
        )
        yield Script(statement.as_bytes(None))


def drop(now: Models) -> Operation[None]:
    """Drop the columns that stand aside, and all indexes on them."""
    for _, store in now.stores():
        statement = sql.SQL("ALTER TABLE {} DROP COLUMN {}, DROP COLUMN {}, DROP COLUMN {}").format(
            store.table, store.embedding, sql.Identifier(store.schema.bits_column), _OF
        )
        yield Script(statement.as_bytes(None))
    forget = sql.SQL("DELETE FROM {} WHERE id = %(id)s AND current_since IS NULL").format(_table(now.now.name))
    yield from fetch(Query(forget.as_bytes(None), {"id": now.then.model_id}))


# --- filling ------------------------------------------------------------------------------------------------------


def _waits(store: Store, aside: Store) -> sql.Composed:
    return sql.SQL(
        "({live} AND (d.{searched} IS NOT NULL OR d.{aside} IS NOT NULL) AND d.{of} IS DISTINCT FROM d.updated_at)"
    ).format(live=LIVE, searched=store.embedding, aside=aside.embedding, of=_OF)


def waiting(store: Store, aside: Store, after: UUID | None, limit: int) -> Operation[list[Waiting]]:
    """Return the next documents to be done, in the order of their ids."""
    statement = sql.SQL(
        "SELECT d.id, d.seq, d.updated_at AT TIME ZONE INTERVAL '0', d.{searched} IS NOT NULL, d.{said_by}, d.content "
        "FROM {table} AS d WHERE {waits} AND (%(after)s::uuid IS NULL OR d.id > %(after)s::uuid) "
        "ORDER BY d.id LIMIT %(limit)s"
    ).format(
        searched=store.embedding,
        said_by=sql.Identifier(store.said_by),
        table=store.table,
        waits=_waits(store, aside),
    )
    bound = {"after": after, "limit": limit}
    rows = yield from fetch(Query(statement.as_bytes(None), bound, custom_plan=True))
    return [Waiting(row[0], row[1], row[2].replace(tzinfo=UTC), *row[3:]) for row in rows]


def fill(aside: Store, done: Sequence[tuple[Waiting, Vector | None]]) -> Operation[None]:
    """Write vectors aside, save those of documents that were changed meanwhile or are being changed."""
    # Nobody is waited for while rows of others are held, so that no two wait for each other.
    statement = sql.SQL(
        "UPDATE {table} AS d SET {vector} = %(vector)s::{type}, {bits} = %(bits)s::bit({dimensions}), "
        "{of} = d.updated_at FROM (SELECT d.id FROM {table} AS d "
        "WHERE d.id = %(id)s AND d.seq = %(seq)s AND d.updated_at = %(updated_at)s "
        "FOR NO KEY UPDATE SKIP LOCKED) AS free WHERE d.id = free.id"
    ).format(
        table=aside.table,
        vector=aside.embedding,
        type=sql.Identifier(aside.schema.vector_schema, "vector"),
        bits=sql.Identifier(aside.schema.bits_column),
        dimensions=sql.Literal(aside.schema.dimensions),
        of=_OF,
    )
    text = statement.as_bytes(None)
    yield from fetch_all(
        [
            Query(
                text,
                {
                    "id": row.id,
                    "seq": row.seq,
                    "updated_at": row.updated_at,
                    "vector": vector,
                    "bits": None if vector is None else bits_of(vector),
                },
            )
            for row, vector in done
        ]
    )


def counts(now: Models) -> Operation[list[Count]]:
    """Return how far each store is."""
    template = sql.SQL(
        "SELECT count(d.{searched}), count(*) FILTER (WHERE d.{searched} IS NOT NULL AND d.{aside} IS NOT NULL), "
        "count(*) FILTER (WHERE {without_text}), count(*) FILTER (WHERE {waits}) FROM {table} AS d WHERE {live}"
    )
    queries = [
        Query(
            template.format(
                searched=store.embedding,
                aside=aside.embedding,
                without_text=_without_text(store, aside),
                waits=_waits(store, aside),
                table=store.table,
                live=LIVE,
            ).as_bytes(None)
        )
        for store, aside in now.stores()
    ]
    results = yield from fetch_all(queries)
    return [Count(store.name, *rows[0]) for (store, _), rows in zip(now.stores(), results, strict=True)]


def _without_text(store: Store, aside: Store) -> sql.Composed:
    return sql.SQL("d.{} IS NOT NULL AND d.{} IS NULL AND d.{} = d.updated_at").format(
        store.embedding, aside.embedding, _OF
    )


def without_text(now: Models, limit: int) -> Operation[list[tuple[str, str]]]:
    """Return the store and the id of documents that have a vector and no text, up to so many of each store."""
    listed: list[tuple[str, str]] = []
    for store, aside in now.stores():
        statement = sql.SQL(
            "SELECT coalesce(d.data ->> {id}, d.id::text) FROM {table} AS d WHERE {live} AND {without_text} "
            "ORDER BY d.seq LIMIT %(limit)s"
        ).format(id=sql.Literal(GIVEN_ID), table=store.table, live=LIVE, without_text=_without_text(store, aside))
        rows = yield from fetch(Query(statement.as_bytes(None), {"limit": limit}))
        listed += [(store.name, row[0]) for row in rows]
    return listed


# --- exchanging ---------------------------------------------------------------------------------------------------


def keep_still(now: Models, idle_seconds: float) -> Operation[None]:
    """Keep every writer out of the stores until the end of the transaction; readers go on.

    Where this program stops in the middle, the server ends the transaction, so that no writer waits for longer.
    """
    statement = sql.SQL(
        "SET LOCAL idle_in_transaction_session_timeout = {}; LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE"
    ).format(sql.Literal(round(idle_seconds * 1000)), _tables(now))
    yield Script(statement.as_bytes(None))


def exchange(now: Models) -> Operation[None]:
    """Put the columns aside in the place of those that are searched, and those aside."""
    statements: list[sql.Composable] = [sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(_tables(now))]
    rename = sql.SQL("ALTER TABLE {} RENAME COLUMN {} TO {}")
    for store, aside in now.stores():
        renamed = [(name, name + ASIDE) for name in (store.schema.vector_column, store.schema.bits_column)]
        renamed += [(name, name.removesuffix(ASIDE)) for name in (aside.schema.vector_column, aside.schema.bits_column)]
        statements += [rename.format(store.table, *map(sql.Identifier, names)) for names in renamed]
    # All at once: readers wait for it.
    yield Script(sql.SQL("; ").join(statements).as_bytes(None))
    since = sql.SQL("UPDATE {} SET current_since = now() WHERE id = %(id)s").format(_table(now.now.name))
    yield from fetch(Query(since.as_bytes(None), {"id": now.then.model_id}))


def _tables(now: Models) -> sql.Composed:
    return sql.SQL(", ").join(now.now.store(each).table for each in MemoryType)
