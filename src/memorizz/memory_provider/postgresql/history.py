"""How a store's history is begun and ended: what keeps it is in the database, so that nobody's change is missed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from importlib.resources import files

from psycopg import sql

from memorizz.memory_provider.postgresql import facts
from memorizz.memory_provider.postgresql._steps import Operation, Query, Script, fetch
from memorizz.memory_provider.postgresql.facts import Facts, Store
from memorizz.memory_provider.postgresql.layout import history_table
from memorizz.memory_provider.postgresql.rows import PIECES
from memorizz.memory_provider.postgresql.sql.past import STATE
from memorizz.memory_provider.postgresql.sql.reads import trusted_sql

# How long writers that are in the way are waited for, while others wait behind us.
_LOCK_MILLISECONDS = 200
_TRIGGERS = ("inserted", "updated", "deleted", "truncated")


@cache
def _template(name: str) -> sql.SQL:
    return trusted_sql(files("memorizz.memory_provider.postgresql.migrations").joinpath(name).read_text("utf-8"))


def _record(store: Store) -> sql.Identifier:
    return sql.Identifier(store.layout.schema, f"memorizz_{store.name}_record")


def _columns(names: Sequence[str], of: str | None = None) -> sql.Composed:
    each = [sql.Identifier(name) if of is None else sql.Identifier(of, name) for name in names]
    return sql.SQL(", ").join(each)


# What makes no other version: who reads counts itself, and lets what it reads live on; pieces follow from the text.
_COUNTED = ("access_count", "last_accessed", "expires_at", "updated_at", "seq", PIECES)
_COMPARED = [name for name in STATE if name not in _COUNTED]
_EXPIRY = sql.SQL("CASE WHEN o.access_count IS NOT DISTINCT FROM n.access_count THEN {}.expires_at END")


def _compared(of: str) -> sql.Composed:
    return sql.SQL("{}, {}").format(_columns(_COMPARED, of), _EXPIRY.format(sql.Identifier(of)))


def recording(store: Store, vector: sql.Identifier | None = None) -> Script:
    """Return what makes the function that keeps a store's history, or makes it again for another column of vectors."""
    function = _template("recording.sql").format(
        record=_record(store),
        table=store.table,
        history=store.history,
        columns=_columns(STATE),
        old_columns=_columns(STATE, "o"),
        old_compared=_compared("o"),
        new_compared=_compared("n"),
        vector=vector or store.embedding,
        space=sql.Identifier(store.layout.vector_schema),
    )
    return Script(function.as_bytes(None))


def forget_recording(store: Store) -> Operation[None]:
    """Drop that function, once nothing calls it."""
    yield Script(sql.SQL("DROP FUNCTION IF EXISTS {}()").format(_record(store)).as_bytes(None))


def _locked(known: Facts) -> Operation[Facts]:
    """Return the facts of today, which nobody else changes until the end of the transaction."""
    lock = sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE; SET LOCAL lock_timeout = {}").format(
        sql.Identifier(known.layout.schema, "memorizz_stores"), sql.Literal(_LOCK_MILLISECONDS)
    )
    yield Script(lock.as_bytes(None))
    return (yield from facts.read(known.layout))


def _note(store: Store, values: str) -> sql.Composed:
    return sql.SQL("UPDATE {} SET {} WHERE name = %(name)s").format(
        sql.Identifier(store.layout.schema, "memorizz_stores"), trusted_sql(values)
    )


def keep(known: Facts, name: str, retention: timedelta | None) -> Operation[None]:
    """Keep the history of a store from now on, or keep it for another time; the caller runs this in one transaction.

    Raises OperationTimeout where the store is in use.
    """
    store = (yield from _locked(known)).store(name)
    values = "history_retention = make_interval(secs => %(seconds)s::float8)"
    if store.kept is None:
        yield recording(store)
        # From here on nobody else writes until the transaction ends, and then with the triggers.
        triggers = _template("recording_triggers.sql").format(record=_record(store), table=store.table)
        yield Script(triggers.as_bytes(None))
        values += ", history_since = clock_timestamp()"
    seconds = None if retention is None else retention.total_seconds()
    yield from fetch(Query(_note(store, values).as_bytes(None), {"name": store.name, "seconds": seconds}))
    yield from fetch(facts.moved_on(known.layout))


_LOST = b"""
SELECT store.name, to_regclass(format('%%I.%%I', %(schema)s::text, store.history)) IS NULL
FROM unnest(%(stores)s::text[], %(histories)s::text[]) AS store (name, history)
WHERE to_regclass(format('%%I.%%I', %(schema)s::text, store.history)) IS NULL OR (
    SELECT count(*) FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
    WHERE tgrelid = to_regclass(format('%%I.%%I', %(schema)s::text, store.name)) AND tgname = ANY (%(triggers)s::text[])
        AND tgenabled IN ('O', 'A') AND proname = 'memorizz_' || store.name || '_record'
) < cardinality(%(triggers)s::text[])
ORDER BY 1
"""


def lost(known: Facts) -> Operation[list[tuple[str, bool]]]:
    """Return the stores whose history is to be kept and is not, each with whether the table of the history is gone."""
    kept = [store.name for store in known.stores.values() if store.kept is not None]
    wanted = {
        "schema": known.layout.schema,
        "stores": kept,
        "histories": [history_table(name) for name in kept],
        "triggers": [f"memorizz_{what}_history" for what in _TRIGGERS],
    }
    return [(name, is_gone) for name, is_gone in (yield from fetch(Query(_LOST, wanted)))]


def drop(known: Facts, name: str) -> Operation[None]:
    """Delete the history of a store and keep none from now on; the caller runs this in one transaction.

    Raises OperationTimeout where the store is in use.
    """
    store = (yield from _locked(known)).store(name)
    if store.kept is None:
        return
    triggers = [
        sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(sql.Identifier(f"memorizz_{what}_history"), store.table)
        for what in _TRIGGERS
    ]
    yield Script(sql.SQL("; ").join(triggers).as_bytes(None))
    yield from forget_recording(store)
    yield Script(sql.SQL("TRUNCATE {}").format(store.history).as_bytes(None))
    none = _note(store, "history_since = NULL, history_retention = NULL")
    yield from fetch(Query(none.as_bytes(None), {"name": store.name}))
    yield from fetch(facts.moved_on(known.layout))
