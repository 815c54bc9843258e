"""Every INSERT, UPDATE and DELETE of documents; those of many at once are in `many`.

As in `reads`, a statement is composed once for each shape, and what differs from call to call is bound. Rows that are
not new are locked in the order of their keys, so that two writers of the same documents never wait for each other.
Whoever writes takes a writer's lock on the table before a reader's: to hold the weaker one while it waits for the
stronger would be a deadlock with a change of the table that has locked writers out and now waits for readers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString
from uuid import UUID

from psycopg import sql

from memorizz.memory_provider._documents import EXPIRES_AT, KEYS, LONGEST_TTL, TTL, Kind
from memorizz.memory_provider.postgresql._steps import Query
from memorizz.memory_provider.postgresql.facts import Store, composed_once
from memorizz.memory_provider.postgresql.rows import PIECES, Row, Vector
from memorizz.memory_provider.postgresql.sql import key, lookup
from memorizz.memory_provider.postgresql.sql.conditions import condition
from memorizz.memory_provider.postgresql.sql.reads import NEWEST, bound, trusted_sql
from memorizz.memory_provider.postgresql.sql.vectors import is_wholly_embedded, text_is_seen, text_stays
from memorizz.memory_provider.postgresql.sql.visible import expired, visible

TYPES = {
    Kind.TEXT: sql.SQL("text"),
    Kind.NUMBER: sql.SQL("float8"),
    Kind.INTEGER: sql.SQL("bigint"),
    Kind.TIME: sql.SQL("timestamptz"),
    Kind.OBJECT: sql.SQL("jsonb"),
}

# --- storing ------------------------------------------------------------------------------------------------------


def _value(store: Store, column: str) -> sql.Composable:
    """Return the placeholder of a column, with its type, so that a statement means the same whatever is bound."""
    vector = sql.SQL("{}::{}").format(sql.Placeholder(store.vector_column), store.vector_type)
    if column == store.vector_column:
        return vector
    if column == store.bits_column:
        return signs(store, vector)
    if column == PIECES:
        return sql.SQL("{}::uuid").format(sql.Placeholder(column))
    value = sql.SQL("{}::{}").format(sql.Placeholder(column), TYPES[KEYS[column].kind])
    # One of the two is NULL. Citus takes no clock in a COALESCE.
    return sql.SQL("least({}, {})").format(value, expiry(sql.Placeholder(TTL))) if column == EXPIRES_AT else value


def signs(store: Store, vector: sql.Composable) -> sql.Composed:
    """Return the bits of a vector, one for each of its numbers."""
    quantize = sql.Identifier(store.layout.vector_schema, "binary_quantize")
    return sql.SQL("{}({})::bit({})").format(quantize, vector, sql.Literal(store.model.dimensions))


def expiry(seconds: sql.Composable) -> sql.Composed:
    """Return when what lives so many seconds from now on expires; NULL for NULL."""
    return sql.SQL("statement_timestamp() + make_interval(secs => {}::float8)").format(seconds)


def moment(store: Store) -> sql.SQL:
    """Return when a document is changed: also for a statement that has waited for another, later than that one.

    Citus takes it from no statement that changes rows; when the statement began has to do there.
    """
    return sql.SQL("statement_timestamp()" if store.layout.distributed else "clock_timestamp()")


# `clock.now` is when the transaction began: Citus takes no clock where rows are returned, nor in a CASE or a COALESCE.
# Without OFFSET PostgreSQL puts it there before Citus looks.
CLOCK = sql.SQL("(SELECT now() AS now OFFSET 0) AS clock")


def merge(
    store: Store,
    merged: Sequence[str],
    source: Mapping[str, sql.Composable],
    guarded: bool,
    now: sql.Composable | None = None,
) -> sql.Composed:
    """Return the assignments that merge given keys into a document, whose values are in `source`.

    A key with a column leaves `data`, where an earlier None of it may stand. A vector belongs to the text beside it, so
    that it goes with a text that is merged without one. `guarded`: it is kept or set only where the text is still the
    one that was seen when it was decided.
    """
    keys = sql.SQL("d.data")
    columns = [name for name in merged if name in KEYS]
    if columns:
        keys = sql.SQL("(d.data - {}::text[])").format(sql.Literal(columns))
    values: dict[str, sql.Composable] = {name: source[name] for name in merged}
    stays = text_is_seen(store) if guarded else text_stays(store, merged, source)
    for name in (store.vector_column, store.bits_column, PIECES) if stays is not None else ():
        kept = values.get(name, sql.Identifier("d", name))
        values[name] = sql.SQL("CASE WHEN {} THEN {} END").format(stays, kept)
    values["data"] = sql.SQL("{} || {}").format(keys, source["data"])
    values["updated_at"] = moment(store) if now is None else now
    return sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in values.items())


def new(store: Store, inserted: Sequence[str]) -> sql.Composed:
    """Return the columns of a new document, and their values."""
    return sql.SQL("({key}, data{names}) VALUES ({values}, %(data)s::jsonb{others})").format(
        key=key.NAMES,
        names=sql.Composed([sql.SQL(", {}").format(sql.Identifier(name)) for name in inserted]),
        values=sql.SQL(", ").join(map(sql.Placeholder, key.COLUMNS)),
        others=sql.Composed([sql.SQL(", {}").format(_value(store, name)) for name in inserted]),
    )


def merged_or_not(
    store: Store, inserted: Sequence[str], merged: Sequence[str], guarded: bool
) -> tuple[sql.Composable, sql.Composable]:
    """Return what a document is given where there is one of its id, and the condition that it is merged into that.

    Citus takes no clock there. The times of the new row come from one; and what has expired is deleted before, by
    `without_expired`.
    """
    source = excluded(merged)
    if not store.layout.distributed:
        return merge(store, merged, source, guarded), visible(store)
    now = sql.SQL("excluded.updated_at")
    if "updated_at" in inserted:
        now = sql.SQL("greatest(d.updated_at, excluded.updated_at)")
    return merge(store, merged, source, guarded, now), key.in_scope_of_excluded(store)


def excluded(merged: Sequence[str]) -> dict[str, sql.Composable]:
    """Return the values of the new row that is not inserted, for there is one of its key."""
    return {name: sql.Identifier("excluded", name) for name in (*merged, "data")}


@composed_once
def _expired_among(store: Store) -> bytes:
    template = sql.SQL("DELETE FROM {} AS d WHERE {} AND {}")
    return template.format(store.table, expired(store), key.among(store)).as_bytes(None)


def without_expired(store: Store, rows: Sequence[Row]) -> Sequence[Query]:
    """Return what is sent before documents are merged into those of their ids, where Citus has distributed them."""
    if not store.layout.distributed:
        return ()
    ids = [row.values["id"] for row in rows if not row.is_new]
    return (Query(_expired_among(store), bound(store, ids=ids)),) if ids else ()


@composed_once
def _upsert(store: Store, inserted: tuple[str, ...], merged: tuple[str, ...], guarded: bool) -> bytes:
    template = sql.SQL(
        "INSERT INTO {table} AS d {new} ON CONFLICT ({key}) DO UPDATE SET {merge} WHERE {there} RETURNING {is_embedded}"
    )
    merge, there = merged_or_not(store, inserted, merged, guarded)
    return template.format(
        table=store.table,
        new=new(store, inserted),
        key=key.NAMES,
        merge=merge,
        there=there,
        is_embedded=_is_embedded(store, guarded),
    ).as_bytes(None)


def _is_embedded(store: Store, guarded: bool) -> sql.Composable:
    """Return what says whether a document has a vector, where that depends on what was stored.

    Other statements name no column of a model, so that they go on when another one is searched.
    """
    return sql.SQL("d.{} IS NOT NULL").format(store.embedding) if guarded else sql.SQL("true")


def upsert(store: Store, row: Row) -> Query:
    """Insert a document, or merge it into the one with its id; a guarded row says whether it has a vector then.

    No row comes back where the document of its id has expired.
    """
    # Under an id that was made for it there is nothing to merge with.
    statement = _upsert(store, row.inserted, () if row.is_new else row.merged, row.seen is not None)
    values = row.values if row.seen is None else _guarded(row)
    before = without_expired(store, [row])
    return Query(statement, values, repeatable=False, writes=(row.name,), before=before)


@composed_once
def _insert(store: Store, inserted: tuple[str, ...]) -> bytes:
    template = sql.SQL("INSERT INTO {table} AS d {new} ON CONFLICT ({key}) DO NOTHING RETURNING true")
    return template.format(table=store.table, new=new(store, inserted), key=key.NAMES).as_bytes(None)


def insert(store: Store, row: Row) -> Query:
    """Insert a document; no row comes back where there is one of its id, expired or not."""
    return Query(_insert(store, row.inserted), row.values, repeatable=False, writes=(row.name,))


def _guarded(row: Row) -> dict[str, Any]:
    assert row.seen is not None
    return {**row.values, "seen_label": row.seen.label, "seen_content": row.seen.content}


@composed_once
def _lock(store: Store) -> bytes:
    # Not its partitions: whoever changes the table locks it first, and of them a writer needs one.
    return sql.SQL("LOCK TABLE ONLY {} IN ROW EXCLUSIVE MODE").format(store.table).as_bytes(None)


@composed_once
def _locked(store: Store) -> bytes:
    template = sql.SQL("SELECT d.id FROM {table} AS d WHERE {among} ORDER BY {key} FOR NO KEY UPDATE")
    return template.format(table=store.table, among=key.among(store), key=key.KEY).as_bytes(None)


def locked(store: Store, ids: Sequence[UUID]) -> list[Query]:
    """Lock the documents of these ids that exist, expired or not, until the transaction ends; return their ids."""
    found = Query(_locked(store), bound(store, ids=list(ids)))
    # Citus would take the lock of the table on every server, where one shard is asked.
    return [found] if store.layout.distributed else [Query(_lock(store)), found]


@composed_once
def _update(store: Store, merged: tuple[str, ...], guarded: bool, where: str) -> bytes:
    template = sql.SQL(
        "UPDATE {table} AS d SET {merge} WHERE {is_it} AND {visible} AND {where} RETURNING {is_embedded}"
    )
    return template.format(
        table=store.table,
        merge=merge(store, merged, values_given(store, merged), guarded),
        is_it=key.is_it(store),
        visible=visible(store),
        where=trusted_sql(where),
        is_embedded=_is_embedded(store, guarded),
    ).as_bytes(None)


def values_given(store: Store, merged: Sequence[str]) -> dict[str, sql.Composable]:
    """Return the values that are bound for an update."""
    return {**{name: _value(store, name) for name in merged}, "data": sql.SQL("%(data)s::jsonb")}


def update(store: Store, row: Row, name: str, filter: Mapping[str, Any] | None = None) -> Query:
    """Merge a document into the one with its id, where that matches; then a row comes back, as from `upsert`."""
    found = condition(filter, store)
    statement = _update(store, row.merged, row.seen is not None, found.sql)
    values = row.values if row.seen is None else _guarded(row)
    return Query(statement, {**values, **found.parameters}, repeatable=False, writes=(name,))


# Those that match, locked in the order of their keys. As a part that is materialized it is run once.
_FOUND = sql.SQL(
    "(WITH found AS MATERIALIZED ("
    "SELECT {key} FROM {table} AS d WHERE {there} AND {where} ORDER BY {key} {lock}) SELECT * FROM found) AS found"
)


def those_locked(store: Store, where: str, lock: LiteralString, there: sql.Composable | None = None) -> sql.Composed:
    """Return the keys of all that match, locked; `there` is what says which are looked at: those that are visible."""
    return _FOUND.format(
        key=key.KEY, table=store.table, there=there or visible(store), where=trusted_sql(where), lock=sql.SQL(lock)
    )


_DELETED = sql.SQL("DELETE FROM {table} AS d USING {found} WHERE {same} RETURNING {returned}")


def deleted(store: Store, found: sql.Composable, returned: sql.Composable) -> sql.Composed:
    """Return the statement that deletes those that were `found` and locked."""
    return _DELETED.format(table=store.table, found=found, same=key.same("d", "found"), returned=returned)


@composed_once
def _update_matching(store: Store, merged: tuple[str, ...], where: str) -> bytes:
    template = sql.SQL(
        "WITH done AS (UPDATE {table} AS d SET {merge} FROM {found} WHERE {same} RETURNING 1) SELECT count(*) FROM done"
    )
    return template.format(
        table=store.table,
        merge=merge(store, merged, values_given(store, merged), False),
        found=those_locked(store, where, "FOR NO KEY UPDATE"),
        same=key.same("d", "found"),
    ).as_bytes(None)


def update_matching(store: Store, row: Row, filter: Mapping[str, Any]) -> Query:
    """Merge a document into all that match; the row says how many. One that is changed meanwhile is looked at again."""
    found = lookup.filtered(store, filter)
    statement = _update_matching(store, row.merged, found.sql)
    return Query(statement, {**row.values, **found.parameters}, repeatable=False, custom_plan=True)


@composed_once
def _add_vector(store: Store) -> bytes:
    template = sql.SQL(
        "UPDATE {table} AS d SET {assignments}, updated_at = {moment} WHERE {is_it} AND {visible} "
        "AND NOT {embedded} AND d.content = %(content)s AND d.{label} IS NOT DISTINCT FROM %(label)s::text "
        "RETURNING true"
    )
    return template.format(
        table=store.table,
        moment=moment(store),
        assignments=sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), _value(store, name))
            for name in (store.vector_column, store.bits_column, PIECES)
        ),
        is_it=key.is_it(store),
        visible=visible(store),
        embedded=is_wholly_embedded(store),
        label=sql.Identifier(store.spec.label),
    ).as_bytes(None)


def add_vector(store: Store, id: UUID, label: str | None, content: str, vector: Vector, pieces: UUID | None) -> Query:
    """Give a document the vector of its text, or of the first of its pieces.

    No row comes back where it has got another text or a vector meanwhile.

    Sent twice, it changes nothing more.
    """
    made = {store.vector_column: vector, PIECES: pieces}
    return Query(_add_vector(store), bound(store, id=id, label=label, content=content, **made))


@composed_once
def _touch(store: Store) -> bytes:
    template = sql.SQL(
        "UPDATE {table} AS d SET access_count = coalesce(d.access_count, 0) + 1, last_accessed = free.now, "
        "expires_at = CASE WHEN d.expires_at IS NOT NULL AND jsonb_typeof(d.data -> {ttl}) = 'number' "
        "THEN to_timestamp(free.seconds + least((d.data ->> {ttl})::numeric, {longest})::float8) "
        "ELSE d.expires_at END FROM (WITH free AS MATERIALIZED ("
        "SELECT {key} FROM {table} AS d WHERE {among} AND {visible} ORDER BY {key} FOR NO KEY UPDATE SKIP LOCKED) "
        "SELECT free.*, statement_timestamp() AS now, extract(epoch FROM statement_timestamp())::float8 AS seconds "
        "FROM free) AS free WHERE {same} RETURNING {key}"
    )
    return template.format(
        table=store.table,
        ttl=sql.Literal(TTL),
        # Another program may have put any number there.
        longest=sql.Literal(LONGEST_TTL),
        key=key.KEY,
        among=key.among(store),
        visible=visible(store),
        same=key.same("d", "free"),
    ).as_bytes(None)


def touch(store: Store, ids: Sequence[UUID]) -> Query:
    """Count documents as accessed, and let those that expire by a ttl live on; return the keys of those counted.

    Those that are locked at the moment are left out.
    """
    return Query(_touch(store), bound(store, ids=list(ids)), repeatable=False)


# Lets those that lock a row for a moment end.
PAUSE = Query(b"SELECT pg_sleep(0.005)")


# --- deleting -----------------------------------------------------------------------------------------------------


@composed_once
def _delete_by_id(store: Store) -> bytes:
    template = sql.SQL(
        "DELETE FROM {table} AS d USING {clock} WHERE {is_it} "
        "RETURNING {in_scope} AND (d.expires_at IS NULL OR d.expires_at > clock.now)"
    )
    return template.format(
        table=store.table, clock=CLOCK, is_it=key.is_it(store), in_scope=key.in_scope(store)
    ).as_bytes(None)


def delete_by_id(store: Store, id: UUID, name: str) -> Query:
    """Delete one document; the row says whether it had not expired."""
    return Query(_delete_by_id(store), bound(store, id=id), repeatable=False, writes=(name,))


@composed_once
def _delete_newest(store: Store) -> bytes:
    # The lock makes two callers at once delete two documents, and not one of them report what the other deleted. A part
    # that is not materialized may be run again for each row, and finds the next newest every time.
    template = sql.SQL(
        "DELETE FROM {table} AS d USING (WITH newest AS MATERIALIZED ("
        "SELECT {key} FROM {table} AS d WHERE {visible} AND d.name = %(name)s {newest} FOR UPDATE) "
        "SELECT * FROM newest) AS newest WHERE {same} RETURNING true"
    )
    return template.format(
        table=store.table,
        key=key.KEY,
        visible=visible(store),
        newest=sql.SQL(NEWEST),
        same=key.same("d", "newest"),
    ).as_bytes(None)


def delete_newest_by_name(store: Store, name: str) -> Query:
    return Query(_delete_newest(store), bound(store, name=name), repeatable=False)


@composed_once
def _delete_matching(store: Store, where: str) -> bytes:
    gone = deleted(store, those_locked(store, where, "FOR UPDATE"), sql.SQL("1"))
    return sql.SQL("WITH gone AS ({}) SELECT count(*) FROM gone").format(gone).as_bytes(None)


def delete_matching(store: Store, filter: Mapping[str, Any]) -> Query:
    """Delete all that match; the row says how many."""
    found = lookup.filtered(store, filter)
    return Query(
        _delete_matching(store, found.sql), bound(store, **found.parameters), repeatable=False, custom_plan=True
    )


@composed_once
def _delete_all(store: Store) -> bytes:
    template = sql.SQL(
        "WITH gone AS (DELETE FROM {table} AS d WHERE {visible} OR {expired} RETURNING 1) SELECT count(*) FROM gone"
    )
    return template.format(table=store.table, visible=visible(store), expired=expired(store)).as_bytes(None)


def delete_all(store: Store) -> Query:
    """Delete every document; the row says how many."""
    return Query(_delete_all(store), bound(store), repeatable=False)


@composed_once
def _delete_expired(store: Store, of_one: bool) -> bytes:
    template = sql.SQL(
        "WITH gone AS (DELETE FROM {table} AS d WHERE {expired} AND {of_one} RETURNING 1) SELECT count(*) FROM gone"
    )
    of = key.is_it(store) if of_one else sql.SQL("true")
    return template.format(table=store.table, expired=expired(store), of_one=of).as_bytes(None)


def delete_expired(store: Store, id: UUID | None = None) -> Query:
    """Delete what has expired, or only the document of an id; the row says how many. Sent twice, it deletes no more."""
    if id is None:
        return Query(_delete_expired(store, False), bound(store))
    return Query(_delete_expired(store, True), bound(store, id=id))
