"""The statements of policies: noted with the stores, what is due by one, and deleting it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString
from uuid import UUID

from psycopg import sql

from memorizz.memory_provider.policies import Policy
from memorizz.memory_provider.postgresql._steps import Query
from memorizz.memory_provider.postgresql.facts import Store, composed_once
from memorizz.memory_provider.postgresql.layout import Layout
from memorizz.memory_provider.postgresql.sql import key
from memorizz.memory_provider.postgresql.sql.reads import NAME, bound
from memorizz.memory_provider.postgresql.sql.visible import visible
from memorizz.memory_provider.postgresql.sql.writes import deleted, those_locked


def noted(layout: Layout) -> Query:
    """Return the stores that have a policy, each with it."""
    statement = sql.SQL("SELECT name, policy FROM {} WHERE policy IS NOT NULL ORDER BY id").format(
        layout.table("stores")
    )
    return Query(statement.as_bytes(None))


def note(layout: Layout, store: str, policy: str | None) -> Query:
    """Note the policy of a store, as JSON, or that it has none."""
    statement = sql.SQL("UPDATE {} SET policy = %(policy)s::jsonb WHERE name = %(name)s").format(layout.table("stores"))
    return Query(statement.as_bytes(None), {"name": store, "policy": policy})


# One rule after the other, each among what the ones before have left. What is in an index is not read for it.
_DUE = sql.SQL("""
WITH aged AS (
    SELECT {key}, d.xmin::text AS version, d.memory_id, d.seq, coalesce(d."timestamp", d.created_at) AS at,
        {importance} AS importance,
        coalesce(d.updated_at <= statement_timestamp() - make_interval(secs => %(expire_after)s::float8), false)
            OR coalesce({importance} < %(least_importance)s::float8, false) AS goes
    FROM {table} AS d WHERE {visible}
), counted AS (SELECT d.*, goes OR {beyond_last} AS too_old FROM aged AS d),
ranked AS (SELECT d.*, too_old OR {beyond_most} AS too_many FROM counted AS d)
SELECT d.id, {name}, going.version, count(*) OVER () FROM ranked AS going JOIN {table} AS d ON {same}
WHERE going.too_many ORDER BY {key} LIMIT %(limit)s
""")
# Halved so often there is nothing left of it, and what is too small for a number in double precision is an error.
_IMPORTANCE = sql.SQL(
    "CASE WHEN abs(d.importance_score) < 1e-280 THEN 0 ELSE d.importance_score * power(0.5::float8, "
    "least(greatest(coalesce(extract(epoch FROM statement_timestamp() - greatest(d.updated_at, d.last_accessed))"
    "::float8 / %(half_life)s::float8, 0), 0), 60)) END"
)
_BEYOND_LAST: LiteralString = (
    "row_number() OVER (PARTITION BY goes, memory_id ORDER BY at DESC, seq DESC) > %(keep_last)s::bigint"
)
_BEYOND_MOST: LiteralString = (
    "row_number() OVER (PARTITION BY too_old ORDER BY coalesce(importance, 0) DESC, at DESC, seq DESC) "
    "> %(max_documents)s::bigint"
)


@composed_once
def _due(store: Store, keeps_last: bool, has_most: bool) -> bytes:
    return _DUE.format(
        key=key.KEY,
        importance=_IMPORTANCE,
        table=store.table,
        visible=visible(store),
        beyond_last=sql.SQL(_BEYOND_LAST if keeps_last else "false"),
        beyond_most=sql.SQL(_BEYOND_MOST if has_most else "false"),
        name=NAME,
        same=key.same("d", "going"),
    ).as_bytes(None)


def due(store: Store, policy: Policy, limit: int | None) -> Query:
    """Return what a policy deletes, in the order of the keys: of each its key, its id, which version was seen, and how
    many there are, those beyond the limit too.

    In a view of a memory nothing is too many for the tenant.
    """
    has_most = policy.max_documents is not None and store.scope.memory is None
    rules = dict.fromkeys(Policy.__dataclass_fields__) | policy.as_json()
    statement = _due(store, policy.keep_last is not None, has_most)
    return Query(statement, bound(store, **rules, limit=limit), custom_plan=True)


# What has been changed or read since it was looked at is another version.
_SEEN: LiteralString = (
    "(d.id, d.xmin::text) IN (SELECT * FROM unnest(%(ids)s::uuid[], %(versions)s::text[]) AS seen (id, version))"
)


@composed_once
def _delete(store: Store) -> bytes:
    found = those_locked(store, _SEEN, "FOR UPDATE SKIP LOCKED", key.among(store))
    return deleted(store, found, NAME).as_bytes(None)


def delete(store: Store, ids: Sequence[UUID], versions: Sequence[str]) -> Query:
    """Delete documents as they were seen; return the ids of those that nobody has locked or changed."""
    return Query(_delete(store), bound(store, ids=list(ids), versions=list(versions)), repeatable=False)
