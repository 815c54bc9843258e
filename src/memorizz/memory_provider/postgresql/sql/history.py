"""Every statement on the changes of a store's documents.

A row of the history is a change, with the version that it ended: migrations/history.sql. A change is found by the key
of its document, in the tenant; whether a version is of the scope, its own `memory_id` says.
"""

from __future__ import annotations

from uuid import UUID

from psycopg import sql

from memorizz.memory_provider.postgresql._steps import Query
from memorizz.memory_provider.postgresql.facts import Store, composed_once
from memorizz.memory_provider.postgresql.sql.key import COLUMNS, PART_IS, in_scope
from memorizz.memory_provider.postgresql.sql.past import STATE, columns
from memorizz.memory_provider.postgresql.sql.reads import bound, selected
from memorizz.memory_provider.postgresql.sql.visible import LIVE

_CHANGE = ("version", "changed_at", "operation", "actor", "call")
_EVERY_CHANGE = sql.SQL(
    "SELECT {selected}, d.seq, {in_scope}, d.version, d.changed_at AT TIME ZONE INTERVAL '0', d.operation, d.actor, "
    "d.call FROM (SELECT {of_version} FROM {history} AS d WHERE {is_it} UNION ALL SELECT {of_present}, {nothing} "
    "FROM {table} AS d WHERE {is_it} AND {live}) AS d ORDER BY d.version NULLS LAST"
)


@composed_once
def _changes(store: Store) -> bytes:
    return _EVERY_CHANGE.format(
        selected=selected(store, False),
        in_scope=in_scope(store),
        of_version=columns("d", (*COLUMNS, *STATE, *_CHANGE)),
        of_present=columns("d", (*COLUMNS, *STATE)),
        nothing=sql.SQL("NULL::bigint, NULL::timestamptz, NULL, NULL, NULL"),
        history=store.history,
        table=store.table,
        is_it=PART_IS,
        live=LIVE,
    ).as_bytes(None)


def changes(store: Store, id: UUID) -> Query:
    """Return every change of a document, in order, and last what stands in the store, without a change.

    A row is the version that the change ended, its seq, whether that is of the scope, and the change.
    """
    return Query(_changes(store), bound(store, id=id))
