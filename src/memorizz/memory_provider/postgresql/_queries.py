"""Every SELECT that is no search.

A statement is composed once for each shape and kept; what differs from call to call is bound. `d` is the document's
row in each of them, as in the conditions of the filters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache, wraps
from typing import Any, LiteralString, ParamSpec, cast
from uuid import UUID

from psycopg import sql

from memorizz.memory_provider.postgresql._conditions import condition
from memorizz.memory_provider.postgresql._indexes import memory_index
from memorizz.memory_provider.postgresql._steps import Query
from memorizz.memory_provider.postgresql._stores import GIVEN_ID, SELECTED, TIMES, Store

# A document is there until it has expired.
LIVE = sql.SQL("(d.expires_at IS NULL OR d.expires_at > now())")


def raw(text: str) -> sql.SQL:
    """Take as SQL what was put together from constants: a condition of the filters, a file of the migrations."""
    return sql.SQL(cast(LiteralString, text))


def selected(store: Store, include_embedding: bool) -> sql.Composed:
    """Return the columns that Store.document reads, or Store.document_with_embedding."""
    columns: list[sql.Composable] = [
        _SENT.get(name, _AS_IT_IS).format(sql.Identifier("d", name), sql.Identifier(name)) for name in SELECTED
    ]
    return sql.SQL(", ").join([*columns, sent(store)] if include_embedding else columns)


def sent(store: Store) -> sql.Composed:
    """Return the embedding as bytes: a connection may have a reader for vectors of its own."""
    send = sql.Identifier(store.schema.vector_schema, "vector_send")
    return sql.SQL("{}(d.{}) AS embedding").format(send, store.embedding)


_AS_IT_IS = sql.SQL("{} AS {}")
# Times leave as UTC, for in the session's own zone the first and the last of them lie outside of Python's years. An id
# is a text in a document, which the server makes of it in a tenth of the time.
_SENT = {**dict.fromkeys(TIMES, sql.SQL("{} AT TIME ZONE INTERVAL '0' AS {}")), "id": sql.SQL("{}::text AS {}")}


P = ParamSpec("P")
# A condition of thousands of alternatives is not asked twice, and would fill the cache with megabytes.
_LONG = 4096


def cached_by_shape(build: Callable[P, bytes]) -> Callable[P, bytes]:
    """Keep the statements that a function composes, save the very long ones."""
    keep = lru_cache(maxsize=1024)(build)

    @wraps(build)
    def statement(*args: P.args, **kwargs: P.kwargs) -> bytes:
        long = any(isinstance(each, str) and len(each) > _LONG for each in args)
        return build(*args, **kwargs) if long else keep(*args, **kwargs)

    return statement


# --- reading ------------------------------------------------------------------------------------------------------


@cached_by_shape
def _select(store: Store, where: str, order: LiteralString, include_embedding: bool) -> bytes:
    template = sql.SQL("SELECT {columns} FROM {table} AS d WHERE {live} AND {where} {order}")
    return template.format(
        columns=selected(store, include_embedding), table=store.table, live=LIVE, where=raw(where), order=sql.SQL(order)
    ).as_bytes(None)


def by_id(store: Store, key: UUID, include_embedding: bool) -> Query:
    return Query(_select(store, "d.id = %(id)s", "", include_embedding), {"id": key})


def newest_by_name(store: Store, name: str, include_embedding: bool) -> Query:
    return Query(_select(store, "d.name = %(name)s", NEWEST, include_embedding), {"name": name})


NEWEST: LiteralString = "ORDER BY d.created_at DESC, d.seq DESC LIMIT 1"


def matching(
    store: Store, filter: Mapping[str, Any] | None, include_embedding: bool, limit: int | None, touch: bool = False
) -> Query:
    """Documents that match, oldest first."""
    found = condition(filter, store.schema.vector_column)
    statement = _select(store, found.sql, "ORDER BY d.created_at, d.seq LIMIT %(limit)s", include_embedding)
    if touch:
        statement = touching(store, statement)
    parameters = {**found.parameters, "limit": limit}
    return Query(statement, parameters, repeatable=not touch, custom_plan=bool(filter))


@lru_cache(maxsize=256)
def touching(store: Store, statement: bytes) -> bytes:
    """Return a statement that also counts the documents which another one reads as accessed."""
    # A materialized part is read in the order in which it was made.
    template = sql.SQL("WITH hits AS MATERIALIZED ({hits}), {touched} SELECT * FROM hits")
    return template.format(hits=raw(statement.decode()), touched=touched(store, "")).as_bytes(None)


def touched(store: Store, enough: LiteralString) -> sql.Composed:
    """Return the part of a statement that counts what its part `hits` brings as accessed."""
    return sql.SQL(
        "touched AS (UPDATE {table} AS d SET access_count = coalesce(d.access_count, 0) + 1, last_accessed = now() "
        "FROM hits WHERE d.id = hits.id::uuid {enough})"
    ).format(table=store.table, enough=sql.SQL(enough))


@cached_by_shape
def _page(store: Store, where: str, include_embedding: bool) -> bytes:
    template = sql.SQL(
        "SELECT {columns}, d.created_at AT TIME ZONE INTERVAL '0', d.seq FROM {table} AS d WHERE {live} AND {where} "
        "AND (d.created_at, d.seq) > (%(created_at)s::timestamptz, %(seq)s::bigint) "
        "ORDER BY d.created_at, d.seq LIMIT %(limit)s"
    )
    return template.format(
        columns=selected(store, include_embedding), table=store.table, live=LIVE, where=raw(where)
    ).as_bytes(None)


def page(
    store: Store, filter: Mapping[str, Any] | None, include_embedding: bool, after: tuple[Any, int], limit: int
) -> Query:
    """The documents that match after a place, oldest first; each row ends with its own place."""
    found = condition(filter, store.schema.vector_column)
    parameters = {**found.parameters, "created_at": after[0], "seq": after[1], "limit": limit}
    return Query(_page(store, found.sql, include_embedding), parameters, custom_plan=True)


@lru_cache(maxsize=64)
def _held(store: Store) -> bytes:
    template = sql.SQL("SELECT id FROM {table} WHERE id = ANY (%(ids)s::uuid[])")
    return template.format(table=store.table).as_bytes(None)


def held(store: Store, keys: Sequence[UUID]) -> Query:
    """Which of some ids a store has, of expired documents too."""
    return Query(_held(store), {"ids": list(keys)})


@lru_cache(maxsize=64)
def _place(store: Store) -> bytes:
    template = sql.SQL("SELECT created_at AT TIME ZONE INTERVAL '0', seq FROM {table} WHERE id = %(id)s")
    return template.format(table=store.table).as_bytes(None)


def place(store: Store, key: UUID) -> Query:
    """Where a document stands among all of its store, expired or not."""
    return Query(_place(store), {"id": key})


@cached_by_shape
def _count(store: Store, where: str) -> bytes:
    template = sql.SQL("SELECT count(*) FROM {table} AS d WHERE {live} AND {where}")
    return template.format(table=store.table, live=LIVE, where=raw(where)).as_bytes(None)


def count(store: Store, filter: Mapping[str, Any] | None) -> Query:
    found = condition(filter, store.schema.vector_column)
    return Query(_count(store, found.sql), found.parameters, custom_plan=bool(filter))


@lru_cache(maxsize=64)
def _history(store: Store, before: LiteralString, include_embedding: bool) -> bytes:
    # The newest come first from the index and are turned round by the caller.
    template = sql.SQL(
        "SELECT {columns} FROM {table} AS d WHERE {live} AND d.memory_id = %(memory_id)s {before}"
        'ORDER BY d."timestamp" DESC, d.seq DESC LIMIT %(limit)s'
    )
    return template.format(
        columns=selected(store, include_embedding), table=store.table, live=LIVE, before=sql.SQL(before)
    ).as_bytes(None)


def newest_turns(store: Store, memory_id: str, limit: int | None, include_embedding: bool) -> Query:
    parameters = {"memory_id": memory_id, "limit": limit}
    return Query(_history(store, "", include_embedding), parameters, custom_plan=True)


def turns_before(
    store: Store, memory_id: str, limit: int | None, place: tuple[datetime, int], include_embedding: bool
) -> Query:
    before: LiteralString = 'AND (d."timestamp", d.seq) < (%(timestamp)s::timestamptz, %(seq)s::bigint) '
    parameters = {"memory_id": memory_id, "limit": limit, "timestamp": place[0], "seq": place[1]}
    return Query(_history(store, before, include_embedding), parameters, custom_plan=True)


@lru_cache(maxsize=64)
def _turn_place(store: Store) -> bytes:
    template = sql.SQL(
        "SELECT \"timestamp\" AT TIME ZONE INTERVAL '0', seq FROM {table} "
        "WHERE id = %(id)s AND memory_id = %(memory_id)s"
    )
    return template.format(table=store.table).as_bytes(None)


def turn_place(store: Store, memory_id: str, key: UUID) -> Query:
    """Where a turn stands in the history of its memory, expired or not."""
    return Query(_turn_place(store), {"id": key, "memory_id": memory_id})


@lru_cache(maxsize=64)
def _context(store: Store) -> bytes:
    template = sql.SQL(
        "SELECT {columns}, found.id AS of, d.place FROM unnest(%(ids)s::uuid[]) AS found (id) "
        "JOIN {table} AS hit ON hit.id = found.id "
        "CROSS JOIN LATERAL ("
        '(SELECT d.*, -row_number() OVER (ORDER BY d."timestamp" DESC, d.seq DESC) AS place FROM {table} AS d '
        'WHERE {live} AND d.memory_id = hit.memory_id AND (d."timestamp", d.seq) < (hit."timestamp", hit.seq) '
        'ORDER BY d."timestamp" DESC, d.seq DESC LIMIT %(turns)s) UNION ALL '
        '(SELECT d.*, row_number() OVER (ORDER BY d."timestamp", d.seq) AS place FROM {table} AS d '
        'WHERE {live} AND d.memory_id = hit.memory_id AND (d."timestamp", d.seq) > (hit."timestamp", hit.seq) '
        'ORDER BY d."timestamp", d.seq LIMIT %(turns)s)) AS d ORDER BY d.place'
    )
    return template.format(columns=selected(store, False), table=store.table, live=LIVE).as_bytes(None)


def context(store: Store, keys: Sequence[UUID], turns: int) -> Query:
    """The turns around others, in order; each row ends with whose it is and its place, below 0 before it."""
    return Query(_context(store), {"ids": list(keys), "turns": turns}, custom_plan=True)


@cached_by_shape
def _speakers(store: Store, where: str, newest: LiteralString) -> bytes:
    # Whoever speaks in a memory has spoken lately; each order is that of an index.
    template = sql.SQL(
        "SELECT part FROM (SELECT d.{said_by} AS said_by FROM {table} AS d "
        "WHERE {live} AND {where} AND d.{said_by} IS NOT NULL ORDER BY {newest} LIMIT 2000) AS d, "
        "regexp_split_to_table(lower(d.said_by), '\\W+') AS part "
        "WHERE part = ANY (%(names)s::text[]) GROUP BY part HAVING count(*) >= %(least)s"
    )
    return template.format(
        table=store.table, live=LIVE, where=raw(where), newest=sql.SQL(newest), said_by=sql.Identifier(store.said_by)
    ).as_bytes(None)


def speakers(store: Store, filter: Mapping[str, Any], names: Sequence[str]) -> Query:
    """Which of some names are those of speakers.

    Outside of conversations a `name` is as a rule a title of its own; one that many documents share is whose they are.
    """
    found = condition(filter, store.schema.vector_column)
    newest = 'd."timestamp" DESC, d.seq DESC' if "memory_id" in filter else "d.created_at DESC, d.seq DESC"
    parameters = {**found.parameters, "names": list(names), "least": 1 if store.said_by == "role" else _SHARED}
    return Query(_speakers(store, found.sql, newest), parameters, custom_plan=True)


_SHARED = 10


@lru_cache(maxsize=64)
def _texts(store: Store, prefix: str) -> bytes:
    template = sql.SQL(
        "SELECT d.id, {prefix}, d.content FROM {table} AS d WHERE d.id = ANY (%(ids)s::uuid[]) AND {live}"
    )
    return template.format(prefix=sql.Identifier("d", prefix), table=store.table, live=LIVE).as_bytes(None)


def texts(store: Store, prefix: str, keys: Sequence[UUID]) -> Query:
    """What is embedded of some documents: their ids, what stands before the content, and the content."""
    return Query(_texts(store, prefix), {"ids": list(keys)})


@lru_cache(maxsize=64)
def _without_vector(store: Store) -> bytes:
    template = sql.SQL(
        "SELECT d.id, d.{said_by}, d.content, coalesce(d.data ->> {given_id}, d.id::text) FROM {table} AS d "
        "WHERE {live} AND d.{embedding} IS NULL AND d.content IS NOT NULL "
        "AND (%(after)s::uuid IS NULL OR d.id > %(after)s::uuid) ORDER BY d.id LIMIT %(limit)s"
    )
    return template.format(
        said_by=sql.Identifier(store.said_by),
        given_id=sql.Literal(GIVEN_ID),
        table=store.table,
        live=LIVE,
        embedding=store.embedding,
    ).as_bytes(None)


def without_vector(store: Store, after: UUID | None, limit: int) -> Query:
    """What is embedded of the next documents that have no vector, in the order of their keys; and their ids."""
    return Query(_without_vector(store), {"after": after, "limit": limit}, custom_plan=True)


@lru_cache(maxsize=64)
def _sample(store: Store) -> bytes:
    template = sql.SQL(
        "SELECT {sent}, d.memory_id FROM {table} AS d JOIN (SELECT id FROM {table} AS d "
        "WHERE {live} AND d.{embedding} IS NOT NULL ORDER BY random() LIMIT %(rows)s) AS taken USING (id)"
    )
    return template.format(sent=sent(store), embedding=store.embedding, table=store.table, live=LIVE).as_bytes(None)


def sample(store: Store, rows: int) -> Query:
    """Some vectors of a store, taken at random, and the memories that they are of."""
    return Query(_sample(store), {"rows": rows})


@lru_cache(maxsize=256)
def explained(statement: bytes) -> bytes:
    return b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement


@lru_cache(maxsize=64)
def _set(names: tuple[str, ...]) -> bytes:
    values: dict[str, sql.Composable] = {name: sql.Placeholder(name) for name in names}
    if values.pop(_OWN_INDEX, None) is not None:
        values["plan_cache_mode"] = _KEPT_WITHOUT
    calls = [sql.SQL("set_config({}, {}, true)").format(sql.Literal(name), value) for name, value in values.items()]
    return sql.SQL("SELECT {}").format(sql.SQL(", ").join(calls)).as_bytes(None)


def set_locally(settings: Mapping[str, str], own_index: str | None = None) -> Query:
    """Set what holds until the end of the transaction; where there is such an index, plans are for their values."""
    parameters = settings if own_index is None else {**settings, _OWN_INDEX: own_index}
    return Query(_set(tuple(parameters)), parameters)


_OWN_INDEX = "own_index"
# To ask for its name takes a microsecond, and what another process has built since is seen at once.
_KEPT_WITHOUT = sql.SQL(
    "CASE WHEN to_regclass(%(own_index)s) IS NULL THEN %(plan_cache_mode)s ELSE 'force_custom_plan' END"
)


@lru_cache(maxsize=1024)
def own_index(store: Store, memory_id: str) -> str:
    """Return the name, as the server reads it, of the vector index that one memory would have of its own."""
    return sql.Identifier(store.schema.name, memory_index(store, memory_id)).as_string()


def reset(settings: Mapping[str, str]) -> Query:
    """Set back to what the session began with, until the end of the transaction."""
    return Query(
        b"SELECT set_config(name, reset_val, true) FROM pg_settings WHERE name = ANY (%(names)s)",
        {"names": list(settings)},
    )
