"""Every SELECT that is no search.

A statement is composed once for each shape and kept with its store; what differs from call to call is bound. `d` is the
document's row in each of them, as in the conditions of the filters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, LiteralString, cast
from uuid import UUID

from psycopg import sql

from memorizz.memory_provider.postgresql import facts
from memorizz.memory_provider.postgresql._steps import Query
from memorizz.memory_provider.postgresql.facts import Store, composed_once
from memorizz.memory_provider.postgresql.rows import GIVEN_ID, SELECTED, TIMES
from memorizz.memory_provider.postgresql.sql import citus, key
from memorizz.memory_provider.postgresql.sql.lookup import filtered
from memorizz.memory_provider.postgresql.sql.order import order
from memorizz.memory_provider.postgresql.sql.vectors import is_embedded, is_wholly_embedded, sent
from memorizz.memory_provider.postgresql.sql.visible import expired, holding, rows_of, visible

NEWEST: LiteralString = "ORDER BY d.created_at DESC, d.seq DESC LIMIT 1"


def trusted_sql(text: str) -> sql.SQL:
    """Take as SQL what was put together from constants: a condition of the filters, a file of the migrations."""
    return sql.SQL(cast(LiteralString, text))


@cache
def sql_file(name: str) -> sql.SQL:
    """Return the SQL of a file of the migrations, with its named gaps."""
    return trusted_sql(files("memorizz.memory_provider.postgresql.migrations").joinpath(name).read_text("utf-8"))


def selected(store: Store, include_embedding: bool) -> sql.Composed:
    """Return the columns that rows.document_of reads, or rows.document_with_embedding."""
    columns: list[sql.Composable] = [
        _SENT.get(name, _AS_IT_IS).format(sql.Identifier("d", name), sql.Identifier(name)) for name in SELECTED
    ]
    return sql.SQL(", ").join([*columns, sent(store)] if include_embedding else columns)


_AS_IT_IS = sql.SQL("{} AS {}")
# Times leave as UTC, for in the session's own zone the first and the last of them lie outside of Python's years. An id
# is a text in a document, which the server makes of it in a tenth of the time.
_SENT = {**dict.fromkeys(TIMES, sql.SQL("{} AT TIME ZONE INTERVAL '0' AS {}")), "id": sql.SQL("{}::text AS {}")}


def bound(store: Store, **values: Any) -> dict[str, Any]:
    """Return the parameters of a statement on a store: its scope's, and these."""
    return {**store.scope.parameters, **values}


# --- documents ----------------------------------------------------------------------------------------------------


@composed_once
def _select(store: Store, where: str, order: str, include_embedding: bool, ended: bool = True) -> bytes:
    template = sql.SQL("SELECT {columns} FROM {table} AS d WHERE {visible} AND {where} {order}")
    return template.format(
        columns=selected(store, include_embedding),
        table=rows_of(store),
        visible=holding(store, ended),
        where=trusted_sql(where),
        order=trusted_sql(order),
    ).as_bytes(None)


@composed_once
def _by_id(store: Store, include_embedding: bool) -> bytes:
    return _select(store, key.is_it(store).as_string(None), "", include_embedding)


def by_id(store: Store, id: UUID, include_embedding: bool) -> Query:
    return Query(_by_id(store, include_embedding), bound(store, id=id))


def newest_by_name(store: Store, name: str, include_embedding: bool) -> Query:
    return Query(_select(store, "d.name = %(name)s", NEWEST, include_embedding), bound(store, name=name))


def matching(
    store: Store,
    filter: Mapping[str, Any] | None,
    include_embedding: bool,
    limit: int | None,
    order_by: str | None = None,
    offset: int = 0,
    ended: bool = True,
) -> Query:
    """Return documents that match, oldest first or in another order; `ended` ones too, or those alone that hold."""
    found, ordered = filtered(store, filter), order(store.spec, order_by or "created_at")
    skipped = " OFFSET %(offset)s" if offset else ""
    last = f"ORDER BY {ordered.sql} LIMIT %(limit)s{skipped}"
    statement = _select(store, found.sql, last, include_embedding, ended)
    parameters = bound(store, **found.parameters, **ordered.parameters, limit=limit, offset=offset)
    return Query(statement, parameters, custom_plan=bool(filter or order_by or store.scope.is_narrow))


@composed_once
def _keys(store: Store, where: str) -> bytes:
    template = sql.SQL("SELECT d.id, {name} FROM {table} AS d WHERE {visible} AND {where} ORDER BY {key}")
    return template.format(
        name=NAME, table=rows_of(store), visible=visible(store), where=trusted_sql(where), key=key.KEY
    ).as_bytes(None)


def keys_of_matching(store: Store, filter: Mapping[str, Any]) -> Query:
    """Return which documents match, in the order of their keys: the primary key and the id of each."""
    found = filtered(store, filter)
    return Query(_keys(store, found.sql), bound(store, **found.parameters), custom_plan=True)


# A document's id, as its caller knows it.
NAME = sql.SQL("coalesce(d.data ->> {}, d.id::text)").format(sql.Literal(GIVEN_ID))


@composed_once
def _page(store: Store, where: str, include_embedding: bool, newest_first: bool) -> bytes:
    template = sql.SQL(
        "SELECT {columns}, d.created_at AT TIME ZONE INTERVAL '0', d.seq FROM {table} AS d WHERE {visible} AND {where} "
        "AND (d.created_at, d.seq) {behind} (%(created_at)s::timestamptz, %(seq)s::bigint) "
        "ORDER BY d.created_at {order}, d.seq {order} LIMIT %(limit)s"
    )
    return template.format(
        columns=selected(store, include_embedding),
        table=rows_of(store),
        visible=visible(store),
        where=trusted_sql(where),
        behind=sql.SQL("<" if newest_first else ">"),
        order=sql.SQL("DESC" if newest_first else "ASC"),
    ).as_bytes(None)


def page(
    store: Store,
    filter: Mapping[str, Any] | None,
    include_embedding: bool,
    after: tuple[Any, int],
    limit: int,
    newest_first: bool = False,
) -> Query:
    """Return the documents that match behind a position, oldest or newest first; each row ends with its position."""
    found = filtered(store, filter)
    parameters = bound(store, **found.parameters, created_at=after[0], seq=after[1], limit=limit)
    return Query(_page(store, found.sql, include_embedding, newest_first), parameters, custom_plan=True)


@composed_once
def _stored_ids(store: Store) -> bytes:
    template = sql.SQL("SELECT d.id FROM {table} AS d WHERE {among}")
    return template.format(table=rows_of(store), among=key.among(store)).as_bytes(None)


def stored_ids(store: Store, ids: Sequence[UUID]) -> Query:
    """Return which of some ids a store has, of expired documents too."""
    return Query(_stored_ids(store), bound(store, ids=list(ids)))


@composed_once
def _position(store: Store) -> bytes:
    template = sql.SQL("SELECT d.created_at AT TIME ZONE INTERVAL '0', d.seq FROM {table} AS d WHERE {is_it}")
    return template.format(table=rows_of(store), is_it=key.is_it(store)).as_bytes(None)


def position(store: Store, id: UUID) -> Query:
    """Return where a document stands among all of its store, expired or not."""
    return Query(_position(store), bound(store, id=id))


@composed_once
def _count(store: Store, where: str) -> bytes:
    if store.scope.as_of is not None:
        template = sql.SQL("SELECT count(*) FROM {table} AS d WHERE {visible} AND {where}")
        return template.format(table=rows_of(store), visible=visible(store), where=trusted_sql(where)).as_bytes(None)
    # When a document expires, no index has that counts them: all are counted, and those that have expired taken away.
    template = sql.SQL(
        "SELECT count(*) - (SELECT count(*) FROM {table} AS d WHERE {expired} AND {where}) "
        "FROM {table} AS d WHERE {in_scope} AND {where}"
    )
    return template.format(
        table=store.table, expired=expired(store), in_scope=key.in_scope(store), where=trusted_sql(where)
    ).as_bytes(None)


def count(store: Store, filter: Mapping[str, Any] | None) -> Query:
    found = filtered(store, filter)
    return Query(
        _count(store, found.sql), bound(store, **found.parameters), custom_plan=bool(filter) or store.scope.is_narrow
    )


@composed_once
def _holds_few(store: Store) -> bytes:
    # Of all tenants, and of expired documents too: a vector index is of the whole table.
    template = sql.SQL("SELECT count(*) <= %(most)s FROM (SELECT FROM {table} LIMIT %(most)s::bigint + 1) AS d")
    return template.format(table=rows_of(store)).as_bytes(None)


def holds_few(store: Store, most: int) -> Query:
    """Return whether a store has no more than so many documents, its scope's or not."""
    return Query(_holds_few(store), {"most": most})


# --- conversations ------------------------------------------------------------------------------------------------


@composed_once
def _history(store: Store, whose: tuple[str, ...], before: LiteralString, include_embedding: bool) -> bytes:
    # The newest come first from the index and are turned round by the caller.
    template = sql.SQL(
        "SELECT {columns} FROM {table} AS d WHERE {visible} AND {whose} {before}"
        'ORDER BY d."timestamp" DESC, d.seq DESC LIMIT %(limit)s'
    )
    return template.format(
        columns=selected(store, include_embedding),
        table=rows_of(store),
        visible=visible(store),
        whose=_of(whose),
        before=sql.SQL(before),
    ).as_bytes(None)


def _of(columns: Sequence[str]) -> sql.Composed:
    """Return the condition that columns have the values that are bound under their names."""
    equal = [sql.SQL("{} = {}").format(sql.Identifier("d", name), sql.Placeholder(name)) for name in columns]
    return sql.SQL(" AND ").join(equal)


def newest_turns(store: Store, whose: Mapping[str, str], limit: int | None, include_embedding: bool) -> Query:
    parameters = bound(store, **whose, limit=limit)
    return Query(_history(store, tuple(whose), "", include_embedding), parameters, custom_plan=True)


def turns_before(
    store: Store,
    whose: Mapping[str, str],
    limit: int | None,
    before: tuple[datetime | str, int],
    include_embedding: bool,
) -> Query:
    earlier: LiteralString = 'AND (d."timestamp", d.seq) < (%(timestamp)s::timestamptz, %(seq)s::bigint) '
    parameters = bound(store, **whose, limit=limit, timestamp=before[0], seq=before[1])
    return Query(_history(store, tuple(whose), earlier, include_embedding), parameters, custom_plan=True)


@composed_once
def _turn_position(store: Store, whose: tuple[str, ...]) -> bytes:
    template = sql.SQL(
        "SELECT d.\"timestamp\" AT TIME ZONE INTERVAL '0', d.seq FROM {table} AS d WHERE {is_it} AND {whose}"
    )
    return template.format(table=rows_of(store), is_it=key.is_it(store), whose=_of(whose)).as_bytes(None)


def turn_position(store: Store, whose: Mapping[str, str], id: UUID) -> Query:
    """Return where a turn stands in a history, expired or not."""
    return Query(_turn_position(store, tuple(whose)), bound(store, id=id, **whose))


@composed_once
def _context(store: Store) -> bytes:
    template = sql.SQL(
        "SELECT {columns}, hit.id AS of, d.place FROM (SELECT d.* FROM {table} AS d WHERE {among}) AS hit "
        "CROSS JOIN LATERAL ("
        '(SELECT d.*, -row_number() OVER (ORDER BY d."timestamp" DESC, d.seq DESC) AS place FROM {table} AS d '
        'WHERE {visible} AND d.memory_id = hit.memory_id AND (d."timestamp", d.seq) < (hit."timestamp", hit.seq) '
        'ORDER BY d."timestamp" DESC, d.seq DESC LIMIT %(turns)s) UNION ALL '
        '(SELECT d.*, row_number() OVER (ORDER BY d."timestamp", d.seq) AS place FROM {table} AS d '
        'WHERE {visible} AND d.memory_id = hit.memory_id AND (d."timestamp", d.seq) > (hit."timestamp", hit.seq) '
        'ORDER BY d."timestamp", d.seq LIMIT %(turns)s)) AS d ORDER BY d.place'
    )
    return template.format(
        columns=selected(store, False), table=rows_of(store), among=key.among(store), visible=visible(store)
    ).as_bytes(None)


def context(store: Store, ids: Sequence[UUID], turns: int) -> Query:
    """Return the turns around others, in order; each row ends with whose it is and its place, below 0 before it."""
    return Query(_context(store), bound(store, ids=list(ids), turns=turns), custom_plan=True)


@composed_once
def _speakers(store: Store, where: str, newest: LiteralString) -> bytes:
    # Whoever speaks in a memory has spoken lately; each order is that of an index.
    template = sql.SQL(
        "SELECT part FROM (SELECT d.{label} AS label FROM {table} AS d "
        "WHERE {visible} AND {where} AND d.{label} IS NOT NULL ORDER BY {newest} LIMIT 2000) AS d, "
        "regexp_split_to_table(lower(d.label), '[^[:alnum:]_]+') AS part "
        "WHERE part = ANY (%(names)s::text[]) GROUP BY part HAVING count(*) >= %(least)s"
    )
    return template.format(
        table=rows_of(store),
        visible=visible(store),
        where=trusted_sql(where),
        newest=sql.SQL(newest),
        label=sql.Identifier(store.spec.label),
    ).as_bytes(None)


def speakers(store: Store, filter: Mapping[str, Any], names: Sequence[str]) -> Query:
    """Return which of some names are those of speakers.

    A `name` is as a rule a title of its own; one that many documents share is whose they are.
    """
    found = filtered(store, filter)
    newest = 'd."timestamp" DESC, d.seq DESC' if "memory_id" in filter else "d.created_at DESC, d.seq DESC"
    least = 1 if store.spec.label == "role" else _SHARED
    parameters = bound(store, **found.parameters, names=list(names), least=least)
    return Query(_speakers(store, found.sql, newest), parameters, custom_plan=True)


_SHARED = 10

# --- embedding ----------------------------------------------------------------------------------------------------


@composed_once
def _texts(store: Store) -> bytes:
    template = sql.SQL(
        "SELECT d.id, d.{label}, d.content, d.{embedding} IS NOT NULL FROM {table} AS d WHERE {among} AND {visible}"
    )
    return template.format(
        label=sql.Identifier(store.spec.label),
        embedding=store.embedding,
        table=rows_of(store),
        among=key.among(store),
        visible=visible(store),
    ).as_bytes(None)


def texts(store: Store, ids: Sequence[UUID]) -> Query:
    """Return what is embedded of some documents: ids, labels and contents; and whether they have a vector."""
    return Query(_texts(store), bound(store, ids=list(ids)))


@composed_once
def _embeddings(store: Store) -> bytes:
    template = sql.SQL("SELECT d.id, {sent} FROM {table} AS d WHERE {among}")
    return template.format(sent=sent(store), table=rows_of(store), among=key.among(store)).as_bytes(None)


def embeddings(store: Store, ids: Sequence[UUID]) -> Query:
    """Return the embeddings of some documents, by their ids."""
    return Query(_embeddings(store), bound(store, ids=list(ids)))


@composed_once
def _without_vector(store: Store) -> bytes:
    template = sql.SQL(
        "SELECT d.id, d.{label}, d.content, {name} FROM {table} AS d "
        "WHERE {visible} AND NOT {embedded} AND d.content IS NOT NULL "
        "AND {after} ORDER BY {key} LIMIT %(limit)s"
    )
    return template.format(
        label=sql.Identifier(store.spec.label),
        name=NAME,
        table=rows_of(store),
        visible=visible(store),
        embedded=is_wholly_embedded(store),
        after=key.AFTER,
        key=key.KEY,
    ).as_bytes(None)


def without_vector(store: Store, after: UUID | None, limit: int) -> Query:
    """Return what is embedded of the next documents that lack vectors, in the order of their keys; and their ids."""
    return Query(_without_vector(store), bound(store, after=after, limit=limit), custom_plan=True)


@composed_once
def _sample(store: Store) -> bytes:
    template = sql.SQL(
        "SELECT {sent}, d.memory_id FROM {table} AS d JOIN (SELECT {key} FROM {table} AS d "
        "WHERE {visible} AND {embedded} ORDER BY random() LIMIT %(rows)s) AS taken ON {same}"
    )
    return template.format(
        sent=sent(store),
        key=key.KEY,
        embedded=is_embedded(store),
        table=rows_of(store),
        visible=visible(store),
        same=key.same("d", "taken"),
    ).as_bytes(None)


def sample(store: Store, rows: int) -> Query:
    """Return some vectors of a store, taken at random, and the memories that they are of."""
    return Query(_sample(store), bound(store, rows=rows))


# --- around a search ----------------------------------------------------------------------------------------------


def explained(statement: bytes) -> bytes:
    return b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement


@composed_once
def _set_locally(store: Store, names: tuple[str, ...]) -> bytes:
    calls = [sql.SQL("set_config({}, {}, true)").format(sql.Literal(name), sql.Placeholder(name)) for name in names]
    return sql.SQL("SELECT {}, {}").format(sql.SQL(", ").join(calls), facts.version(store.layout)).as_bytes(None)


def set_locally(store: Store, settings: Mapping[str, str]) -> Query:
    """Set what holds until the end of the transaction; the row ends with the version of today's facts."""
    return Query(_set_locally(store, tuple(settings)), settings, before=citus.said(store.layout, settings))


def reset(store: Store, settings: Mapping[str, str]) -> Query:
    """Set back to what the session began with, until the end of the transaction."""
    return Query(
        b"SELECT set_config(name, reset_val, true) FROM pg_settings WHERE name = ANY (%(names)s)",
        {"names": list(settings)},
        before=citus.said(store.layout, dict.fromkeys(settings)),
    )
