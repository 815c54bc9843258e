"""How a store's history is begun and ended: what keeps it is in the database, so that nobody's change is missed."""

from __future__ import annotations

from datetime import timedelta

from psycopg import sql

from memorizz.memory_provider.postgresql import distribution, facts
from memorizz.memory_provider.postgresql._steps import Operation, Query, Script, fetch
from memorizz.memory_provider.postgresql.facts import Facts, Store
from memorizz.memory_provider.postgresql.layout import history_table, parts_history_table, parts_table
from memorizz.memory_provider.postgresql.rows import PIECES
from memorizz.memory_provider.postgresql.sql.key import PART, same_of_all
from memorizz.memory_provider.postgresql.sql.past import STATE, columns, plain_columns
from memorizz.memory_provider.postgresql.sql.reads import sql_file, trusted_sql

_TRIGGERS = ("inserted", "updated", "deleted", "truncated")


def _record(store: Store) -> sql.Identifier:
    return sql.Identifier(store.layout.schema, f"memorizz_{store.name}_record")


def _record_parts(store: Store) -> sql.Identifier:
    return sql.Identifier(store.layout.schema, f"memorizz_{store.name}_record_parts")


# What makes no other version: who reads counts itself, and lets what it reads live on; pieces follow from the text.
_COUNTED = ("access_count", "last_accessed", "expires_at", "updated_at", "seq", PIECES)
_COMPARED = [name for name in STATE if name not in _COUNTED]
_EXPIRY = sql.SQL("CASE WHEN o.access_count IS NOT DISTINCT FROM n.access_count THEN {}.expires_at END")


def _compared(of: str) -> sql.Composed:
    return sql.SQL("{}, {}").format(columns(of, _COMPARED), _EXPIRY.format(sql.Identifier(of)))


def recording(store: Store, vector: sql.Identifier | None = None) -> list[Script]:
    """Return what makes the functions that keep a store's history, by default for the vectors that are searched."""
    fields, space = bool(store.spec.fields), store.layout.vector_schema
    names: dict[str, sql.Composable] = {
        "table": store.table,
        "history": store.history,
        "parts": store.parts,
        "parts_history": store.parts_history,
        "columns": plain_columns(STATE),
        "vector": vector or store.embedding,
        "space": sql.Identifier(space),
    }
    of_documents = {
        "old_columns": columns("o", STATE),
        "old_compared": _compared("o"),
        "new_compared": _compared("n"),
    }
    of_parts = {
        **names,
        "part": plain_columns(PART),
        "vector_type": store.vector_type,
        # Of a long text those of another model, on standby, are none.
        "is_one": sql.SQL("true") if fields else sql.SQL("{vector} IS NOT NULL").format(**names),
        "of_today": sql.SQL("" if fields else " AND d.pieces = c.digest"),
        "columns_of_document": columns("d", STATE),
        "same_document": same_of_all("d", "c"),
        "same_history": same_of_all("h", "f"),
        "same_found": same_of_all("d", "f"),
    }
    of_parts["noted"] = sql_file("recorded_parts.sql").format(**of_parts)
    functions = [
        sql_file("recording.sql").format(record=_record(store), **names, **of_documents),
        sql_file("recording_parts.sql").format(record=_record_parts(store), **of_parts),
    ]
    functions += [
        _OWNED.format(record=_literal(record(store)), table=_literal(store.table))
        for record in (_record, _record_parts)
    ]
    return [Script(function.as_bytes(None)) for function in functions]


# They do what their owner may: be that whose tables they are of, whoever makes them.
_OWNED = sql.SQL(
    "DO $do$ BEGIN EXECUTE (SELECT format('ALTER FUNCTION %s() OWNER TO %I', {record}, pg_get_userbyid(relowner)) "
    "FROM pg_class WHERE oid = {table}::regclass); END $do$"
)


def _literal(name: sql.Identifier) -> sql.Literal:
    return sql.Literal(name.as_string(None))


def forget_recording(store: Store) -> Operation[None]:
    """Drop those functions, once nothing calls them."""
    both = sql.SQL("DROP FUNCTION IF EXISTS {}(), {}()").format(_record(store), _record_parts(store))
    yield Script(both.as_bytes(None))


def _note(store: Store, values: str) -> sql.Composed:
    return sql.SQL("UPDATE {} SET {} WHERE name = %(name)s").format(store.layout.table("stores"), trusted_sql(values))


def keep(known: Facts, name: str, retention: timedelta | None) -> Operation[None]:
    """Keep the history of a store from now on, or keep it for another time; the caller runs this in one transaction.

    Raises OperationTimeout where the store is in use.
    """
    known = yield from facts.locked(known.layout)
    store = known.store(name)
    distribution.check_whole(known.layout, f"a history of {store.name}", "takes no triggers, which would keep it")
    values = "history_retention = make_interval(secs => %(seconds)s::float8)"
    if store.kept is None:
        yield from recording(store)
        # From here on nobody else writes until the transaction ends, and then with the triggers.
        for table, record in ((store.table, _record(store)), (store.parts, _record_parts(store))):
            triggers = sql_file("recording_triggers.sql").format(record=record, table=table)
            yield Script(triggers.as_bytes(None))
        values += ", history_since = clock_timestamp()"
    seconds = None if retention is None else retention.total_seconds()
    yield from fetch(Query(_note(store, values).as_bytes(None), {"name": store.name, "seconds": seconds}))
    yield from fetch(facts.moved_on(known.layout))


_LOST = b"""
SELECT name, bool_or(is_gone) FROM (
    SELECT store.name, to_regclass(format('%%I.%%I', %(schema)s::text, store.history)) IS NULL AS is_gone, (
        SELECT count(*) FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
        WHERE tgrelid = to_regclass(format('%%I.%%I', %(schema)s::text, store.of))
            AND tgname = ANY (%(triggers)s::text[]) AND tgenabled IN ('O', 'A') AND proname = store.record
    ) AS triggers
    FROM unnest(%(stores)s::text[], %(tables)s::text[], %(histories)s::text[], %(records)s::text[])
        AS store (name, of, history, record)
) AS store
WHERE is_gone OR triggers < cardinality(%(triggers)s::text[])
GROUP BY name ORDER BY name
"""


def lost(known: Facts) -> Operation[list[tuple[str, bool]]]:
    """Return the stores whose history is to be kept and is not, each with whether the table of the history is gone."""
    kept = [store.name for store in known.stores.values() if store.kept is not None]
    wanted = {
        "schema": known.layout.schema,
        "stores": kept * 2,
        "tables": [*kept, *map(parts_table, kept)],
        "histories": [*map(history_table, kept), *map(parts_history_table, kept)],
        "records": [f"memorizz_{name}_record{of}" for of in ("", "_parts") for name in kept],
        "triggers": [f"memorizz_{what}_history" for what in _TRIGGERS],
    }
    return [(name, is_gone) for name, is_gone in (yield from fetch(Query(_LOST, wanted)))]


def drop(known: Facts, name: str) -> Operation[None]:
    """Delete the history of a store and keep none from now on; the caller runs this in one transaction.

    Raises OperationTimeout where the store is in use.
    """
    store = (yield from facts.locked(known.layout)).store(name)
    if store.kept is None:
        return
    triggers = [
        sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(sql.Identifier(f"memorizz_{what}_history"), table)
        for table in (store.table, store.parts)
        for what in _TRIGGERS
    ]
    yield Script(sql.SQL("; ").join(triggers).as_bytes(None))
    yield from forget_recording(store)
    yield Script(sql.SQL("TRUNCATE {}, {}").format(store.history, store.parts_history).as_bytes(None))
    none = _note(store, "history_since = NULL, history_retention = NULL")
    yield from fetch(Query(none.as_bytes(None), {"name": store.name}))
    yield from fetch(facts.moved_on(known.layout))
