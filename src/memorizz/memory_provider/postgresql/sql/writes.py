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
from memorizz.memory_provider.postgresql.facts import Facts, Store, composed_once
from memorizz.memory_provider.postgresql.rows import PIECES, Row, Vector
from memorizz.memory_provider.postgresql.sql import key, lookup
from memorizz.memory_provider.postgresql.sql.conditions import condition
from memorizz.memory_provider.postgresql.sql.reads import NEWEST, bound, trusted_sql
from memorizz.memory_provider.postgresql.sql.vectors import embedding_of, is_wholly_embedded, text_is_seen, text_stays
from memorizz.memory_provider.postgresql.sql.visible import expired, visible
from memorizz.memory_provider.stores import AGENTS

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
    return sql.SQL("coalesce({}, {})").format(value, expiry(sql.Placeholder(TTL))) if column == EXPIRES_AT else value


def signs(store: Store, vector: sql.Composable) -> sql.Composed:
    """Return the bits of a vector, one for each of its numbers."""
    quantize = sql.Identifier(store.layout.vector_schema, "binary_quantize")
    return sql.SQL("{}({})::bit({})").format(quantize, vector, sql.Literal(store.model.dimensions))


def expiry(seconds: sql.Composable) -> sql.Composed:
    """Return when what lives so many seconds from now on expires; NULL for NULL."""
    return sql.SQL("clock_timestamp() + make_interval(secs => {}::float8)").format(seconds)


def merge(store: Store, merged: Sequence[str], source: Mapping[str, sql.Composable], guarded: bool) -> sql.Composed:
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
    values["updated_at"] = sql.SQL("clock_timestamp()")
    return sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in values.items())


KEY_COLUMNS = sql.SQL(", ").join(map(sql.Identifier, key.COLUMNS))


def new(store: Store, inserted: Sequence[str]) -> sql.Composed:
    """Return the columns of a new document, and their values."""
    return sql.SQL("({key}, data{names}) VALUES ({values}, %(data)s::jsonb{others})").format(
        key=KEY_COLUMNS,
        names=sql.Composed([sql.SQL(", {}").format(sql.Identifier(name)) for name in inserted]),
        values=sql.SQL(", ").join(map(sql.Placeholder, key.COLUMNS)),
        others=sql.Composed([sql.SQL(", {}").format(_value(store, name)) for name in inserted]),
    )


@composed_once
def _upsert(store: Store, inserted: tuple[str, ...], merged: tuple[str, ...], guarded: bool) -> bytes:
    template = sql.SQL(
        "INSERT INTO {table} AS d {new} "
        "ON CONFLICT ({key}) DO UPDATE SET {merge} WHERE {visible} RETURNING {is_embedded}"
    )
    return template.format(
        table=store.table,
        new=new(store, inserted),
        key=KEY_COLUMNS,
        merge=merge(store, merged, {name: sql.Identifier("excluded", name) for name in (*merged, "data")}, guarded),
        visible=visible(store),
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
    return Query(statement, row.values if row.seen is None else _guarded(row), repeatable=False, writes=(row.name,))


@composed_once
def _insert(store: Store, inserted: tuple[str, ...]) -> bytes:
    template = sql.SQL("INSERT INTO {table} AS d {new} ON CONFLICT ({key}) DO NOTHING RETURNING true")
    return template.format(table=store.table, new=new(store, inserted), key=KEY_COLUMNS).as_bytes(None)


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
    return [Query(_lock(store)), Query(_locked(store), bound(store, ids=list(ids)))]


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
    found = condition(filter, embedding_of(store))
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
        "UPDATE {table} AS d SET {assignments}, updated_at = clock_timestamp() WHERE {is_it} AND {visible} "
        "AND NOT {embedded} AND d.content = %(content)s AND d.{label} IS NOT DISTINCT FROM %(label)s::text "
        "RETURNING true"
    )
    return template.format(
        table=store.table,
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
        "UPDATE {table} AS d SET access_count = coalesce(d.access_count, 0) + 1, last_accessed = clock_timestamp(), "
        "expires_at = CASE WHEN d.expires_at IS NOT NULL AND jsonb_typeof(d.data -> {ttl}) = 'number' "
        "THEN {expiry} ELSE d.expires_at END "
        "FROM (WITH free AS MATERIALIZED ("
        "SELECT {key} FROM {table} AS d WHERE {among} AND {visible} ORDER BY {key} FOR NO KEY UPDATE SKIP LOCKED) "
        "SELECT * FROM free) AS free WHERE {same} RETURNING {key}"
    )
    return template.format(
        table=store.table,
        ttl=sql.Literal(TTL),
        # Another program may have put any number there.
        expiry=expiry(
            sql.SQL("least((d.data ->> {})::numeric, {})").format(sql.Literal(TTL), sql.Literal(LONGEST_TTL))
        ),
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
    template = sql.SQL("DELETE FROM {table} AS d WHERE {is_it} RETURNING {visible}")
    return template.format(table=store.table, is_it=key.is_it(store), visible=visible(store)).as_bytes(None)


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
    template = sql.SQL(
        "WITH gone AS (DELETE FROM {table} AS d USING {found} WHERE {same} RETURNING 1) SELECT count(*) FROM gone"
    )
    found = those_locked(store, where, "FOR UPDATE")
    return template.format(table=store.table, found=found, same=key.same("d", "found")).as_bytes(None)


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


def of_agents(facts: Facts) -> list[Store]:
    """Return the stores of what agents remember."""
    return [store for store in facts.stores.values() if store.spec.memories]


def delete_agent_and_memories(facts: Facts, id: UUID, name: str) -> Query:
    """Delete an agent and what carries its memory_ids, save the memories that another agent lists.

    The row says whether the agent had not expired, and how many were deleted of each of `of_agents(facts)`.
    """
    agents = facts.store(AGENTS)
    template = sql.SQL(
        "WITH gone AS (DELETE FROM {agents} AS d WHERE {is_it} RETURNING d.*), "
        "own AS MATERIALIZED ("
        "SELECT own.memory_id FROM gone AS d, {listed} AS own (memory_id) WHERE {visible} EXCEPT "
        "SELECT other.memory_id FROM {agents} AS d, {listed} AS other (memory_id) WHERE NOT {is_it} AND {visible}), "
        "{deletes} SELECT {visible}, {counts} FROM gone AS d"
    )
    # A number, which another program may have put there, is no id.
    listed = sql.SQL(
        "LATERAL (SELECT item #>> '{{}}' FROM jsonb_array_elements("
        "CASE jsonb_typeof(d.data -> 'memory_ids') WHEN 'array' THEN d.data -> 'memory_ids' END) AS item "
        "WHERE jsonb_typeof(item) = 'string')"
    ).format()
    delete = sql.SQL(
        "{} AS (DELETE FROM {} AS d WHERE ({} OR {}) AND d.memory_id = ANY (ARRAY(SELECT memory_id FROM own)) "
        "RETURNING 1)"
    )
    stores = [(sql.Identifier(f"of_{store.name}"), store) for store in of_agents(facts)]
    deletes = [delete.format(name, store.table, visible(store), expired(store)) for name, store in stores]
    counts = [sql.SQL("(SELECT count(*) FROM {})").format(name) for name, _ in stores]
    statement = template.format(
        agents=agents.table,
        is_it=key.is_it(agents),
        visible=visible(agents),
        listed=listed,
        deletes=sql.SQL(", ").join(deletes),
        counts=sql.SQL(", ").join(counts),
    )
    return Query(statement.as_bytes(None), bound(agents, id=id), repeatable=False, writes=(name,))
