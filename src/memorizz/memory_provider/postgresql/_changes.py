"""Every INSERT, UPDATE, DELETE and COPY.

As in _queries, a statement is composed once for each shape, and what differs from call to call is bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, LiteralString
from uuid import UUID

from psycopg import sql

from memorizz.memory_provider._documents import KEYS, Kind
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql._queries import LIVE, NEWEST
from memorizz.memory_provider.postgresql._steps import Copy, Query
from memorizz.memory_provider.postgresql._stores import Row, Schema, Store, Vector, bits_of

_CASTS = {
    Kind.TEXT: sql.SQL("::text"),
    Kind.NUMBER: sql.SQL("::float8"),
    Kind.INTEGER: sql.SQL("::bigint"),
    Kind.TIME: sql.SQL("::timestamptz"),
    Kind.OBJECT: sql.SQL("::jsonb"),
}

# --- writing ------------------------------------------------------------------------------------------------------


def _value(store: Store, column: str) -> sql.Composable:
    """The placeholder of a column, with its type, so that a statement means the same whatever is bound."""
    schema = store.schema
    if column == schema.vector_column:
        return sql.SQL("{}::{}").format(sql.Placeholder(column), sql.Identifier(schema.vector_schema, "vector"))
    if column == schema.bits_column:
        return sql.SQL("{}::bit({})").format(sql.Placeholder(column), sql.Literal(schema.dimensions))
    return sql.Placeholder(column) + _CASTS[KEYS[column].kind]


def _merge(store: Store, merged: Sequence[str], source: Mapping[str, sql.Composable]) -> sql.Composed:
    """The assignments that merge given keys into a document, whose values are in `source`.

    A key with a column leaves `data`, where an earlier None of it may stand.
    """
    keys = sql.SQL("d.data")
    columns = [name for name in merged if name in KEYS]
    if columns:
        keys = sql.SQL("(d.data - {}::text[])").format(sql.Literal(columns))
    assignments: list[sql.Composable] = [
        sql.SQL("{} = {}").format(sql.Identifier(name), source[name]) for name in merged
    ]
    assignments.append(sql.SQL("data = {} || {}").format(keys, source["data"]))
    assignments.append(sql.SQL("updated_at = clock_timestamp()"))
    return sql.SQL(", ").join(assignments)


@lru_cache(maxsize=1024)
def _upsert(store: Store, inserted: tuple[str, ...], merged: tuple[str, ...]) -> bytes:
    template = sql.SQL(
        "INSERT INTO {table} AS d (id, data{names}) VALUES (%(id)s, %(data)s::jsonb{values}) "
        "ON CONFLICT ON CONSTRAINT {primary_key} DO UPDATE SET {merge} WHERE {live} RETURNING true"
    )
    return template.format(
        table=store.table,
        names=sql.Composed([sql.SQL(", {}").format(sql.Identifier(name)) for name in inserted]),
        values=sql.Composed([sql.SQL(", {}").format(_value(store, name)) for name in inserted]),
        primary_key=store.primary_key,
        merge=_merge(store, merged, {name: sql.Identifier("excluded", name) for name in (*merged, "data")}),
        live=LIVE,
    ).as_bytes(None)


def upsert(store: Store, row: Row) -> Query:
    """Insert a document, or merge it into the one with its id. Brings no row where that one has expired."""
    return Query(_upsert(store, row.inserted, row.merged), row.values)


# How a column's value travels in COPY, whose binary form takes what the type's own input takes.
_COPIED = {
    Kind.TEXT: "text",
    Kind.NUMBER: "float8",
    Kind.INTEGER: "int8",
    Kind.TIME: "timestamptz",
    Kind.OBJECT: "bytea",
}


@lru_cache(maxsize=1024)
def _copy(store: Store, inserted: tuple[str, ...]) -> bytes:
    names = sql.SQL(", ").join(map(sql.Identifier, ("id", "data", *inserted)))
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(store.table, names).as_bytes(None)


def copy(store: Store, rows: Sequence[Row]) -> Copy:
    """Insert new documents; a column that only some of them set is NULL in the others."""
    inserted = tuple(sorted({name for row in rows for name in row.inserted}))
    # Vectors and bits are in the form that they have in COPY.
    kinds = [KEYS[name].kind if name in KEYS else Kind.OBJECT for name in inserted]
    json = {"data", *(name for name in inserted if name in KEYS and KEYS[name].kind is Kind.OBJECT)}

    def copied(name: str, value: Any) -> Any:
        return _JSONB_VERSION + value.encode() if name in json and value is not None else value

    return Copy(
        _copy(store, inserted),
        ["uuid", "bytea", *(_COPIED[kind] for kind in kinds)],
        [tuple(copied(name, row.values.get(name)) for name in ("id", "data", *inserted)) for row in rows],
    )


_JSONB_VERSION = b"\x01"

# Around a COPY that may fail where an INSERT does not.
SAVEPOINT = b"SAVEPOINT memorizz_copy"
RELEASE_SAVEPOINT = b"RELEASE SAVEPOINT memorizz_copy"
ROLLBACK_TO_SAVEPOINT = b"ROLLBACK TO SAVEPOINT memorizz_copy"


@lru_cache(maxsize=1024)
def _update(store: Store, merged: tuple[str, ...]) -> bytes:
    source: dict[str, sql.Composable] = {name: _value(store, name) for name in merged}
    template = sql.SQL("UPDATE {table} AS d SET {merge} WHERE d.id = %(id)s AND {live} RETURNING true")
    return template.format(
        table=store.table, merge=_merge(store, merged, source | {"data": sql.SQL("%(data)s::jsonb")}), live=LIVE
    ).as_bytes(None)


def update(store: Store, row: Row) -> Query:
    """Merge a document into the one with its id; brings a row where there is one."""
    return Query(_update(store, row.merged), row.values)


@lru_cache(maxsize=64)
def _add_vector(store: Store) -> bytes:
    columns = (store.schema.vector_column, store.schema.bits_column)
    template = sql.SQL(
        "UPDATE {table} AS d SET {assignments}, updated_at = clock_timestamp() WHERE d.id = %(id)s AND {live} "
        "AND d.{embedding} IS NULL AND d.content = %(content)s AND d.{said_by} IS NOT DISTINCT FROM %(said_by)s::text "
        "RETURNING true"
    )
    return template.format(
        table=store.table,
        assignments=sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), _value(store, name)) for name in columns
        ),
        live=LIVE,
        embedding=store.embedding,
        said_by=sql.Identifier(store.said_by),
    ).as_bytes(None)


def add_vector(store: Store, key: UUID, said_by: str | None, content: str, vector: Vector) -> Query:
    """Give a document the vector of its text; brings a row unless it has got another text or a vector meanwhile."""
    made = {store.schema.vector_column: vector, store.schema.bits_column: bits_of(vector)}
    return Query(_add_vector(store), {"id": key, "said_by": said_by, "content": content, **made})


# --- deleting -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _delete_by_id(store: Store) -> bytes:
    template = sql.SQL("DELETE FROM {table} AS d WHERE d.id = %(id)s RETURNING {live}")
    return template.format(table=store.table, live=LIVE).as_bytes(None)


def delete_by_id(store: Store, key: UUID) -> Query:
    """Delete one document; brings a row that says whether it was still live."""
    return Query(_delete_by_id(store), {"id": key}, repeatable=False)


@lru_cache(maxsize=64)
def _delete_newest(store: Store) -> bytes:
    # The lock makes two callers at once delete two documents, and not one of them report what the other deleted. A part
    # that is not materialized may be run again for each row, and finds the next newest every time.
    template = sql.SQL(
        "WITH newest AS MATERIALIZED ("
        "SELECT d.id FROM {table} AS d WHERE {live} AND d.name = %(name)s {newest} FOR UPDATE) "
        "DELETE FROM {table} AS d USING newest WHERE d.id = newest.id RETURNING true"
    )
    return template.format(table=store.table, live=LIVE, newest=sql.SQL(NEWEST)).as_bytes(None)


def delete_newest_by_name(store: Store, name: str) -> Query:
    return Query(_delete_newest(store), {"name": name}, repeatable=False)


@lru_cache(maxsize=64)
def _delete_all(store: Store) -> bytes:
    return sql.SQL("DELETE FROM {table}").format(table=store.table).as_bytes(None)


def delete_all(store: Store) -> Query:
    return Query(_delete_all(store))


@lru_cache(maxsize=64)
def _delete_expired(store: Store, where: LiteralString) -> bytes:
    template = sql.SQL(
        "WITH gone AS (DELETE FROM {table} AS d WHERE d.expires_at <= now() {where} RETURNING 1) "
        "SELECT count(*) FROM gone"
    )
    return template.format(table=store.table, where=sql.SQL(where)).as_bytes(None)


def delete_expired(store: Store, key: UUID | None = None) -> Query:
    """Delete what has expired, or only the document under `key`; brings how many."""
    if key is not None:
        return Query(_delete_expired(store, "AND d.id = %(id)s"), {"id": key}, repeatable=False)
    return Query(_delete_expired(store, ""), repeatable=False)


@lru_cache(maxsize=16)
def _delete_agent_and_memories(schema: Schema) -> bytes:
    agents = schema.store(MemoryType.MEMAGENT)
    template = sql.SQL(
        "WITH gone AS (DELETE FROM {agents} AS d WHERE d.id = %(id)s RETURNING d.*), "
        "own AS MATERIALIZED ("
        "SELECT own.memory_id FROM gone AS d, {listed} AS own (memory_id) WHERE {live} EXCEPT "
        "SELECT other.memory_id FROM {agents} AS d, {listed} AS other (memory_id) WHERE d.id <> %(id)s AND {live}), "
        "{deletes} SELECT {live} FROM gone AS d"
    )
    listed = sql.SQL(
        "jsonb_array_elements_text("
        "CASE jsonb_typeof(d.data -> 'memory_ids') WHEN 'array' THEN d.data -> 'memory_ids' END)"
    )
    deletes = sql.SQL(", ").join(
        sql.SQL("{} AS (DELETE FROM {} WHERE memory_id = ANY (ARRAY(SELECT memory_id FROM own)))").format(
            sql.Identifier(f"of_{memory_type.value}"), schema.store(memory_type).table
        )
        for memory_type in MemoryType
        if memory_type is not MemoryType.MEMAGENT
    )
    return template.format(agents=agents.table, live=LIVE, listed=listed, deletes=deletes).as_bytes(None)


def delete_agent_and_memories(schema: Schema, key: UUID) -> Query:
    """Delete an agent and what carries its memory_ids, save the memories that another agent lists."""
    return Query(_delete_agent_and_memories(schema), {"id": key}, repeatable=False)


# --- what was measured ---------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _note_bits(schema: Schema) -> bytes:
    template = sql.SQL(
        "INSERT INTO {table} (store, model, recall, compared, rows) "
        "VALUES (%(store)s, %(model)s, %(recall)s, %(compared)s, %(rows)s) "
        "ON CONFLICT ON CONSTRAINT memorizz_bits_pkey "
        "DO UPDATE SET (recall, compared, rows, measured_at) = "
        "(excluded.recall, excluded.compared, excluded.rows, now())"
    )
    return template.format(table=sql.Identifier(schema.name, "memorizz_bits")).as_bytes(None)


def note_bits(store: Store, recall: float, compared: int, rows: int) -> Query:
    """Note what the bits of a store's vectors were measured to keep, and how many of the best are to be compared."""
    parameters = {"store": store.name, "model": store.schema.model_id, "recall": recall, "compared": compared}
    return Query(_note_bits(store.schema), {**parameters, "rows": rows})
