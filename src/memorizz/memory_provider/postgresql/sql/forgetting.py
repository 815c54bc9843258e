"""The statements that forget, in every store: what has expired goes too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg import sql

from memorizz.memory_provider.postgresql._steps import Query
from memorizz.memory_provider.postgresql.facts import Store, composed_once
from memorizz.memory_provider.postgresql.sql import key
from memorizz.memory_provider.postgresql.sql.conditions import condition
from memorizz.memory_provider.postgresql.sql.reads import NAME, bound, trusted_sql
from memorizz.memory_provider.postgresql.sql.vectors import embedding_of
from memorizz.memory_provider.postgresql.sql.visible import expired, visible
from memorizz.memory_provider.postgresql.sql.writes import those_locked


def _there(store: Store) -> sql.Composed:
    """Return the condition that a row is of the scope of a store, whether it has expired or not."""
    return sql.SQL("({} OR {})").format(visible(store), expired(store))


@composed_once
def _forget(store: Store, where: str, dry_run: bool) -> bytes:
    template = sql.SQL(
        "SELECT {name} FROM {table} AS d WHERE {there} AND {where}"
        if dry_run
        else "DELETE FROM {table} AS d USING {found} WHERE {same} RETURNING {name}"
    )
    return template.format(
        table=store.table,
        found=those_locked(store, where, "FOR UPDATE", _there(store)),
        there=_there(store),
        where=trusted_sql(where),
        same=key.same("d", "found"),
        name=NAME,
    ).as_bytes(None)


def forget(store: Store, filter: Mapping[str, Any], dry_run: bool) -> Query:
    """Delete all that match, expired ones too, or only look at them; a row for each, its id."""
    found = condition(filter, embedding_of(store))
    statement = _forget(store, found.sql, dry_run)
    return Query(statement, bound(store, **found.parameters), repeatable=dry_run, custom_plan=True)


@composed_once
def _forget_in_agents(agents: Store, dry_run: bool) -> bytes:
    listing = sql.SQL(
        "{there} AND jsonb_typeof(d.data -> 'memory_ids') = 'array' AND d.data -> 'memory_ids' ? %(memory_id)s::text"
    ).format(there=_there(agents))
    template = sql.SQL(
        "SELECT {name} FROM {table} AS d WHERE {listing} AND d.memory_id IS DISTINCT FROM %(memory_id)s::text"
        if dry_run
        else "UPDATE {table} AS d SET updated_at = statement_timestamp(), "
        "data = jsonb_set(d.data, '{{memory_ids}}', (d.data -> 'memory_ids') - %(memory_id)s::text) "
        "FROM {found} WHERE {same} RETURNING {name}"
    )
    return template.format(
        table=agents.table,
        listing=listing,
        found=those_locked(agents, "true", "FOR NO KEY UPDATE", listing),
        same=key.same("d", "found"),
        name=NAME,
    ).as_bytes(None)


def forget_in_agents(agents: Store, memory_id: str, dry_run: bool) -> Query:
    """Take a memory out of the agents that list it and are not of it, or only look at them; a row for each, its id."""
    return Query(_forget_in_agents(agents, dry_run), bound(agents, memory_id=memory_id), repeatable=dry_run)
