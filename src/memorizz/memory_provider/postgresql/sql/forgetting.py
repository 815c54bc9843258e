"""The statements that forget, in every store: what has expired goes too, and every version that has ended.

Of a change that ended a forgotten version it stays that there was one, unless a whole tenant is forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg import sql

from memorizz.memory_provider.postgresql._steps import Query
from memorizz.memory_provider.postgresql.facts import Store, composed_once
from memorizz.memory_provider.postgresql.sql import key
from memorizz.memory_provider.postgresql.sql.conditions import condition
from memorizz.memory_provider.postgresql.sql.lookup import filtered
from memorizz.memory_provider.postgresql.sql.past import STATE, began, columns, parts_at
from memorizz.memory_provider.postgresql.sql.reads import NAME, bound, trusted_sql
from memorizz.memory_provider.postgresql.sql.visible import expired, visible
from memorizz.memory_provider.postgresql.sql.writes import deleted, moment, those_locked


def _there(store: Store) -> sql.Composed:
    """Return the condition that a row is of the scope of a store, whether it has expired or not."""
    return sql.SQL("({} OR {})").format(visible(store), expired(store))


@composed_once
def _forget(store: Store, where: str, dry_run: bool) -> bytes:
    if not dry_run:
        return deleted(store, those_locked(store, where, "FOR UPDATE", _there(store)), NAME).as_bytes(None)
    template = sql.SQL("SELECT {name} FROM {table} AS d WHERE {there} AND {where}")
    return template.format(name=NAME, table=store.table, there=_there(store), where=trusted_sql(where)).as_bytes(None)


def forget(store: Store, filter: Mapping[str, Any], dry_run: bool) -> Query:
    """Delete all that match, expired ones too, or only look at them; a row for each, its id."""
    found = filtered(store, filter)
    statement = _forget(store, found.sql, dry_run)
    return Query(statement, bound(store, **found.parameters), repeatable=dry_run, custom_plan=True)


FORGETTING = "forget"
# What a change is called by whoever records it, in the transaction.
_OPERATION = b"SELECT set_config('memorizz.operation', %(operation)s, true)"


def operation(name: str = "") -> Query:
    """Return the statement that names what the statements behind it do; without a name it is theirs to say."""
    return Query(_OPERATION, {"operation": name})


# Those of documents that are forgotten, or are gone and were once what is forgotten; of others only what was that.
_VERSIONS = sql.SQL(
    "{of_tenant} AND NOT d.forgotten AND ({among} OR {in_scope} AND {where} "
    "OR ({key}) IN (SELECT {key} FROM {history} AS d WHERE {in_scope} AND {where} "
    "AND NOT EXISTS (SELECT FROM {table} AS p WHERE {same})))"
)


# Of what is forgotten wholly every change of its parts goes; else of the parts that no version has that is left.
_FORGET_PARTS = sql.SQL(
    "DELETE FROM {parts_history} AS e USING (SELECT DISTINCT {of_gone} FROM gone) AS d WHERE {same_gone} "
    "AND NOT EXISTS (SELECT FROM {parts} AS p WHERE ({left_part}) = ({part})) AND NOT EXISTS (SELECT FROM ("
    "SELECT {of_left}, {began} AS before FROM {history} AS h WHERE {same_history} "
    "AND h.seq IS NOT NULL AND NOT h.forgotten AND h.version NOT IN (SELECT version FROM gone)"
    ") AS d CROSS JOIN LATERAL {parts_at} AS p WHERE p.was AND ({left_part}) = ({part}))"
)


def _forget_parts(store: Store) -> sql.Composed:
    """Return the statement that forgets the changes of parts of those whose changes are `gone`."""
    return _FORGET_PARTS.format(
        parts_history=store.parts_history,
        of_gone=key.of("gone"),
        of_left=key.of("h"),
        same_gone=key.same("e", "d"),
        parts=store.parts,
        part=columns("e", key.PART),
        left_part=columns("p", key.PART),
        began=began(store, sql.Identifier("h", "version")),
        history=store.history,
        same_history=key.same("h", "d"),
        parts_at=parts_at(store, sql.Identifier("d", "before")),
    )


@composed_once
def _forget_versions(store: Store, where: str, dry_run: bool) -> bytes:
    versions = _VERSIONS.format(
        of_tenant=key.OF_TENANT,
        among=key.PARTS_AMONG,
        key=key.KEY,
        in_scope=key.in_scope(store),
        where=trusted_sql(where),
        history=store.history,
        table=store.table,
        same=key.same("p", "d"),
    )
    template = sql.SQL(
        "SELECT count(d.seq) FROM {history} AS d WHERE {versions}"
        if dry_run
        else "WITH gone AS (UPDATE {history} AS d SET forgotten = true, {emptied} "
        "FROM (SELECT {key}, d.version, d.seq FROM {history} AS d WHERE {versions} ORDER BY {key}, version FOR UPDATE) "
        "AS found WHERE {same} AND d.version = found.version RETURNING {key}, d.version, found.seq), "
        "parts AS ({forget_parts}) SELECT count(seq) FROM gone"
    )
    empty = sql.SQL("{} = NULL")
    return template.format(
        history=store.history,
        versions=versions,
        emptied=sql.SQL(", ").join(empty.format(sql.Identifier(name)) for name in (*STATE, store.vector_column)),
        key=key.KEY,
        same=key.same("d", "found"),
        forget_parts=_forget_parts(store),
    ).as_bytes(None)


def forget_versions(store: Store, filter: Mapping[str, Any], ids: Sequence[UUID], dry_run: bool) -> Query:
    """Delete all versions of some documents and all that match, or only count them; the row says how many."""
    found = condition(filter, store)
    statement = _forget_versions(store, found.sql, dry_run)
    values = bound(store, **found.parameters, ids=list(ids))
    return Query(statement, values, repeatable=dry_run, custom_plan=True, of_tenant=True)


@composed_once
def _forget_history(store: Store, dry_run: bool) -> bytes:
    template = sql.SQL(
        "SELECT count(d.seq) FROM {history} AS d WHERE {in_scope}"
        if dry_run
        else "WITH gone AS (DELETE FROM {history} AS d WHERE {in_scope} RETURNING {key}, d.version, d.seq), "
        "parts AS ({forget_parts}) SELECT count(seq) FROM gone"
    )
    return template.format(
        history=store.history, in_scope=key.in_scope(store), key=key.KEY, forget_parts=_forget_parts(store)
    ).as_bytes(None)


def forget_history(store: Store, dry_run: bool) -> Query:
    """Delete every change, also that there was one, or only count them; the row says how many versions they ended."""
    return Query(_forget_history(store, dry_run), bound(store), repeatable=dry_run, of_tenant=True)


@composed_once
def _forget_old(store: Store) -> bytes:
    # For an hour more, so that nothing is missing where the clocks of a server and of a program differ.
    template = sql.SQL(
        "DELETE FROM {history} AS d WHERE {in_scope} "
        "AND d.changed_at < now() - make_interval(secs => %(seconds)s::float8, hours => 1)"
    )
    return template.format(history=store.history, in_scope=key.in_scope(store)).as_bytes(None)


@composed_once
def _forget_old_parts(store: Store) -> bytes:
    template = sql.SQL(
        "DELETE FROM {parts_history} AS d WHERE {of_tenant} "
        "AND d.changed_at < now() - make_interval(secs => %(seconds)s::float8, hours => 1) AND NOT EXISTS ("
        "SELECT FROM {history} AS h WHERE {same} AND h.version > d.after AND h.changed_at = d.changed_at)"
    )
    return template.format(
        parts_history=store.parts_history, of_tenant=key.OF_TENANT, history=store.history, same=key.same("h", "d")
    ).as_bytes(None)


def forget_old(store: Store) -> list[Query]:
    """Delete the changes that a store's history need not reach back to. Sent twice, it deletes no more."""
    if store.kept is None or store.kept.retention is None:
        return []
    old = Query(_forget_old(store), bound(store, seconds=store.kept.retention.total_seconds()), of_tenant=True)
    return [old, Query(_forget_old_parts(store), old.parameters, of_tenant=True)]


@composed_once
def _forget_in_agents(agents: Store, dry_run: bool) -> bytes:
    listing = sql.SQL(
        "{there} AND jsonb_typeof(d.data -> 'memory_ids') = 'array' AND d.data -> 'memory_ids' ? %(memory_id)s::text"
    ).format(there=_there(agents))
    template = sql.SQL(
        "SELECT {name} FROM {table} AS d WHERE {listing} AND d.memory_id IS DISTINCT FROM %(memory_id)s::text"
        if dry_run
        else "UPDATE {table} AS d SET updated_at = {moment}, "
        "data = jsonb_set(d.data, '{{memory_ids}}', (d.data -> 'memory_ids') - %(memory_id)s::text) "
        "FROM {found} WHERE {same} RETURNING {name}"
    )
    return template.format(
        table=agents.table,
        moment=moment(agents),
        listing=listing,
        found=those_locked(agents, "true", "FOR NO KEY UPDATE", listing),
        same=key.same("d", "found"),
        name=NAME,
    ).as_bytes(None)


def forget_in_agents(agents: Store, memory_id: str, dry_run: bool) -> Query:
    """Take a memory out of the agents that list it and are not of it, or only look at them; a row for each, its id."""
    return Query(_forget_in_agents(agents, dry_run), bound(agents, memory_id=memory_id), repeatable=dry_run)


@composed_once
def _forget_in_versions(agents: Store) -> bytes:
    template = sql.SQL(
        "UPDATE {history} AS d SET data = jsonb_set(d.data, '{{memory_ids}}', (d.data -> 'memory_ids') - "
        "%(memory_id)s::text) WHERE {in_scope} AND jsonb_typeof(d.data -> 'memory_ids') = 'array' "
        "AND d.data -> 'memory_ids' ? %(memory_id)s::text"
    )
    return template.format(history=agents.history, in_scope=key.in_scope(agents)).as_bytes(None)


def forget_in_versions(agents: Store, memory_id: str) -> Query:
    """Take a memory out of what the agents have listed before. Sent twice, it changes nothing more."""
    return Query(_forget_in_versions(agents), bound(agents, memory_id=memory_id), of_tenant=True)
