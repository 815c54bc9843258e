"""Every statement on the changes of a store's documents.

A row of the history is a change, with the version that it ended: migrations/history.sql. A change is found by the key
of its document, in the tenant; whether a version is of the scope, its own `memory_id` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql

from memorizz.memory_provider.postgresql._steps import Query
from memorizz.memory_provider.postgresql.facts import Store, composed_once
from memorizz.memory_provider.postgresql.rows import PIECES
from memorizz.memory_provider.postgresql.sql.key import (
    COLUMNS,
    KEY,
    NAMES,
    OF_TENANT,
    PART,
    PART_IS,
    PARTS_AMONG,
    among,
    in_scope,
    same,
)
from memorizz.memory_provider.postgresql.sql.past import (
    STATE,
    began,
    columns,
    parts_at,
    plain_columns,
    vector_of_version,
)
from memorizz.memory_provider.postgresql.sql.reads import NAME, bound, selected
from memorizz.memory_provider.postgresql.sql.visible import LIVE, rows_of, visible
from memorizz.memory_provider.postgresql.sql.writes import deleted, signs, those_locked

_CHANGE = ("forgotten", "version", "changed_at", "operation", "actor", "call")
_EVERY_CHANGE = sql.SQL(
    "SELECT {selected}, d.seq, {in_scope}, d.forgotten, d.version, d.changed_at AT TIME ZONE INTERVAL '0', "
    "d.operation, d.actor, d.call FROM (SELECT {of_version} FROM {history} AS d WHERE {is_it} "
    "UNION ALL SELECT {of_present}, {nothing} FROM {table} AS d WHERE {is_it} AND {live}) AS d "
    "ORDER BY d.version NULLS LAST"
)


@composed_once
def _changes(store: Store) -> bytes:
    return _EVERY_CHANGE.format(
        selected=selected(store, False),
        in_scope=in_scope(store),
        of_version=columns("d", (*COLUMNS, *STATE, *_CHANGE)),
        of_present=columns("d", (*COLUMNS, *STATE)),
        nothing=sql.SQL("false, NULL::bigint, NULL::timestamptz, NULL, NULL, NULL"),
        history=store.history,
        table=store.table,
        is_it=PART_IS,
        live=LIVE,
    ).as_bytes(None)


def changes(store: Store, id: UUID) -> Query:
    """Return every change of a document, in order, and last what stands in the store, without a change.

    A row is the version that the change ended, its seq, whether that is of the scope or was forgotten, and the change.
    """
    return Query(_changes(store), bound(store, id=id), of_tenant=True)


_CHANGED = sql.SQL("SELECT {selected} FROM {table} AS d WHERE {visible} AND {of_memory} AND {among}")
_CHANGED_SINCE = sql.SQL(
    "ARRAY(SELECT d.id FROM {history} AS d WHERE {of_tenant} AND d.changed_at > %(since)s::timestamptz)"
)


@composed_once
def _changed(store: Store, of_memory: bool) -> bytes:
    return _CHANGED.format(
        selected=selected(store, False),
        table=rows_of(store),
        visible=visible(store),
        of_memory=sql.SQL("d.memory_id = %(memory_id)s::text" if of_memory else "true"),
        among=among(store, _CHANGED_SINCE.format(history=store.history, of_tenant=OF_TENANT)),
    ).as_bytes(None)


def changed(store: Store, since: datetime, *memory_id: str | None) -> Query:
    """Return the documents of a store, or of a memory, as they are for its scope, that have changed since a time."""
    values = bound(store, since=since, **dict(zip(("memory_id",), memory_id, strict=False)))
    return Query(_changed(store, bool(memory_id)), values, custom_plan=True, of_tenant=True)


# --- what is taken back -------------------------------------------------------------------------------------------

# What follows from the state, or is of the change that restores it.
_KEPT = [name for name in STATE if name not in ("updated_at", "expires_at", PIECES)]
# The changes that ended what is restored.
_THOSE = sql.SQL("{} AND d.version = ANY (%(versions)s::bigint[])").format(PARTS_AMONG)
_RESTORE = sql.SQL(
    "INSERT INTO {table} AS d ({key}, {kept}, expires_at, updated_at, {vector}, {bits}, pieces) "
    "OVERRIDING SYSTEM VALUE "
    "SELECT {of_version}, CASE WHEN h.expires_at > now() THEN h.expires_at END, clock_timestamp(), h.vector, "
    "{signs}, CASE WHEN h.vector IS NOT NULL THEN h.pieces END "
    "FROM (SELECT h.*, {vector_of_version} AS vector FROM (SELECT d.* FROM {history} AS d WHERE {those} "
    "AND d.seq IS NOT NULL AND {in_scope}) AS h) AS h ORDER BY {ordered} "
    "ON CONFLICT ({key}) DO UPDATE SET {replaced} WHERE {in_scope} RETURNING d.id, {name}"
)


@composed_once
def _restore(store: Store) -> bytes:
    replaced = [name for name in _KEPT if name != "seq"]
    replaced += ["expires_at", "updated_at", store.vector_column, store.bits_column, PIECES]
    is_new = sql.SQL("{column} = excluded.{column}")
    return _RESTORE.format(
        table=store.table,
        history=store.history,
        key=NAMES,
        kept=plain_columns(_KEPT),
        of_version=columns("h", (*COLUMNS, *_KEPT)),
        ordered=columns("h", COLUMNS),
        vector=store.embedding,
        bits=sql.Identifier(store.bits_column),
        signs=signs(store, sql.Identifier("h", "vector")),
        vector_of_version=vector_of_version(store),
        those=_THOSE,
        in_scope=in_scope(store),
        replaced=sql.SQL(", ").join(is_new.format(column=sql.Identifier(name)) for name in replaced),
        name=NAME,
    ).as_bytes(None)


def restore(store: Store, versions: Sequence[tuple[UUID, int]]) -> Query:
    """Put the versions that some changes ended in the place of what stands in the store; return their keys and ids.

    What would have expired since lives on.
    """
    return Query(_restore(store), _bound(store, versions), repeatable=False, of_tenant=True)


def _bound(store: Store, versions: Sequence[tuple[UUID, int]]) -> dict[str, Any]:
    return bound(store, ids=[id for id, _ in versions], versions=[number for _, number in versions])


# A vector of today stays where that of the version is gone, with the model that made it.
_RESTORE_PARTS = sql.SQL(
    "WITH documents AS MATERIALIZED (SELECT {key}, d.pieces, {began} AS before "
    "FROM {table} AS d JOIN (SELECT {key}, d.version FROM {history} AS d WHERE {those}) AS ended ON {same_ended}), "
    "parts AS MATERIALIZED (SELECT p.* FROM documents AS d CROSS JOIN LATERAL {parts_at} AS p WHERE p.was{of_today}), "
    "gone AS (DELETE FROM {parts} AS p USING documents AS d WHERE {same}{of_fields} AND NOT EXISTS ("
    "SELECT FROM parts AS found WHERE ({part}) = ({found_part})) RETURNING 1) "
    "INSERT INTO {parts} AS p ({names}, {vector}) SELECT {names}, {vector} FROM parts "
    "WHERE (SELECT count(*) FROM gone) >= 0 ON CONFLICT ({names}) DO UPDATE SET {vector} = excluded.{vector} "
    "WHERE excluded.{vector} IS NOT NULL AND NOT coalesce(p.{vector} OPERATOR({space}.=) excluded.{vector}, false)"
)


@composed_once
def _restore_parts(store: Store) -> bytes:
    fields = bool(store.spec.fields)
    return _RESTORE_PARTS.format(
        began=began(store, sql.Identifier("ended", "version")),
        table=store.table,
        key=KEY,
        history=store.history,
        those=_THOSE,
        same_ended=same("ended", "d"),
        parts_at=parts_at(store, sql.Identifier("d", "before")),
        of_today=sql.SQL("" if fields else " AND p.digest = d.pieces"),
        parts=store.parts,
        same=same("p", "d"),
        # Pieces of another text are gone with it.
        of_fields=sql.SQL("" if fields else " AND false"),
        part=columns("p", PART),
        found_part=columns("found", PART),
        names=plain_columns(PART),
        vector=store.embedding,
        space=sql.Identifier(store.layout.vector_schema),
    ).as_bytes(None)


def restore_parts(store: Store, versions: Sequence[tuple[UUID, int]]) -> Query:
    """Put the parts of versions that were restored in the place of what stands in the store."""
    return Query(_restore_parts(store), _bound(store, versions), repeatable=False, of_tenant=True)


@composed_once
def _delete(store: Store) -> bytes:
    found = those_locked(store, "true", "FOR UPDATE", among(store))
    return deleted(store, found, sql.SQL("d.id, {}").format(NAME)).as_bytes(None)


def delete(store: Store, ids: Sequence[UUID]) -> Query:
    """Delete documents that were not there before a change; return their keys and ids."""
    return Query(_delete(store), bound(store, ids=list(ids)), repeatable=False)


@composed_once
def _call_of(store: Store) -> bytes:
    template = sql.SQL("SELECT d.call FROM {history} AS d WHERE {is_it} ORDER BY d.version DESC LIMIT 1")
    return template.format(history=store.history, is_it=PART_IS).as_bytes(None)


def call_of(store: Store, id: UUID) -> Query:
    """Return the call of the last change of a document."""
    return Query(_call_of(store), bound(store, id=id), of_tenant=True)


@composed_once
def _first_changes(store: Store, of_call: bool) -> bytes:
    template = sql.SQL(
        "SELECT DISTINCT ON ({key}) d.id, d.version, d.seq IS NOT NULL, d.forgotten, "
        "{name}, {changed_since} "
        "FROM {history} AS d WHERE {in_scope} AND {which} ORDER BY {key}, d.version"
    )
    later = sql.SQL(
        "EXISTS (SELECT FROM {history} AS later WHERE {same} AND later.version > d.version "
        "AND later.call <> %(call)s::text)"
    ).format(history=store.history, same=same("later", "d"))
    return template.format(
        key=KEY,
        name=NAME,
        changed_since=later if of_call else sql.SQL("false"),
        history=store.history,
        in_scope=in_scope(store),
        which=sql.SQL("d.call = %(call)s::text" if of_call else "d.changed_at > %(since)s::timestamptz"),
    ).as_bytes(None)


def first_changes(store: Store, call: str | None, since: datetime | None) -> Query:
    """Return the first change of each document by a call, or after a time.

    A row is a key, the number of the change, whether there was a document before, whether that was forgotten, the id,
    and whether another call has changed the document since.
    """
    values = bound(store, call=call, since=since)
    return Query(_first_changes(store, call is not None), values, custom_plan=True, of_tenant=True)
