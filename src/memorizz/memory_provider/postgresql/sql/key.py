"""The key of every table: (tenant, id). No other module knows its columns.

A statement is of one tenant, may be of one memory of it, and of one agent in that, which it binds with its scope. A
condition on documents takes their store and holds for its scope; NEW_IS, OF_TENANT, PART_IS and PARTS_AMONG hold for
the whole tenant: for the tables of parts, which have the key alone, and of the history, where a document may have been
of several memories.
"""

from __future__ import annotations

from psycopg import sql

from memorizz.memory_provider.postgresql.facts import Store

# Of the row `d`, to be selected or ordered by, so that rows are locked in one order.
KEY = sql.SQL("d.tenant, d.id")
OF_TENANT = sql.SQL("d.tenant = %(tenant)s::text")
_OF_MEMORY = sql.SQL("d.tenant = %(tenant)s::text AND d.memory_id = %(of_memory)s::text")
_OF_AGENT = sql.SQL(
    "d.tenant = %(tenant)s::text AND d.memory_id = %(of_memory)s::text AND d.data @> %(of_agent)s::jsonb"
)
# That a row is of no tenant.
OF_NOBODY = sql.SQL("d.tenant = ''")
# That `d` comes behind a row in the order of the key, or that there is none to come behind; in all tenants.
BEHIND = sql.SQL("(%(after)s::uuid IS NULL OR (d.tenant, d.id) > (%(after_tenant)s::text, %(after)s::uuid))")
# The same in one tenant.
AFTER = sql.SQL("(%(after)s::uuid IS NULL OR d.id > %(after)s::uuid)")
# That `d` is the one whose id `found` has.
IS_FOUND = sql.SQL("d.id = found.id")
# Says whose rows the transaction is about, which the policies of the tables ask (migrations/wall.sql): a tenant's, and
# of which of its memories, '' for all.
SET_SCOPE = b"SELECT set_config('memorizz.tenant', %(tenant)s, true), set_config('memorizz.memory', %(memory)s, true)"
# That `d`, which an INSERT finds in the place of its own row, is of the scope of that. Nothing is bound: where the rows
# of a SELECT are inserted, Citus brings no values to this part.
_OF_EXCLUDED_TENANT = sql.SQL("d.tenant = excluded.tenant")
_OF_EXCLUDED_MEMORY = sql.SQL("d.tenant = excluded.tenant AND d.memory_id = excluded.memory_id")
_OF_EXCLUDED_AGENT = sql.SQL(
    "d.tenant = excluded.tenant AND d.memory_id = excluded.memory_id "
    "AND d.data -> 'agent_id' = excluded.data -> 'agent_id'"
)
# The columns, as CREATE TABLE and INSERT name them.
COLUMNS = ("tenant", "id")
NAMES = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
# The key of a document's part.
PART = (*COLUMNS, "path", "start", "stop", "digest")
# How a table that is in partitions is: all documents of a tenant are in one.
BY_TENANT = sql.SQL("PARTITION BY HASH (tenant)")
# That `d` is of the tenant that the lookup is for (migrations/lookup.sql), before other conditions.
AND_MINE = sql.SQL("d.tenant = mine AND")
# What the b-trees begin with.
WHOSE = sql.Identifier("tenant")


_IS = sql.SQL("({} AND d.id = %(id)s::uuid)")
_AMONG = sql.SQL("({} AND d.id = ANY ({}))")
_IDS = sql.SQL("%(ids)s::uuid[]")
# That `n` is the new document beside the one that a statement names.
NEW_IS = sql.SQL("(n.tenant = %(tenant)s::text AND n.id = %(new)s::uuid)")
# The key of the new row `n`.
OF_NEW = sql.SQL("%(tenant)s::text, n.id")
PART_IS = _IS.format(OF_TENANT)
PARTS_AMONG = _AMONG.format(OF_TENANT, _IDS)


def scope_settings(tenant: str, memory: str) -> dict[str, str | None]:
    """Return what SET_SCOPE sets."""
    return {"memorizz.tenant": tenant, "memorizz.memory": memory}


def tenants(store: Store) -> sql.Composed:
    """Return the statement that lists the tenants that have documents in a store, in order.

    It binds how many at most as `limit`, None for all. Each is found behind the last one, however many rows it has.
    """
    # Citus takes nothing recursive of several shards.
    statement = _DISTINCT_TENANTS if store.layout.distributed else _TENANTS
    return statement.format(table=store.table)


_DISTINCT_TENANTS = sql.SQL("SELECT DISTINCT d.tenant FROM {table} AS d ORDER BY d.tenant LIMIT %(limit)s::bigint")
_TENANTS = sql.SQL(
    "WITH RECURSIVE tenants AS ((SELECT tenant FROM {table} ORDER BY tenant LIMIT 1) UNION ALL "
    "SELECT (SELECT d.tenant FROM {table} AS d WHERE d.tenant > tenants.tenant ORDER BY d.tenant LIMIT 1) "
    "FROM tenants WHERE tenants.tenant IS NOT NULL) "
    "SELECT tenant FROM tenants WHERE tenant IS NOT NULL LIMIT %(limit)s::bigint"
)


def in_scope(store: Store) -> sql.SQL:
    """Return the condition that `d` is of the scope of a store."""
    if store.scope.agent is not None:
        return _OF_AGENT
    return OF_TENANT if store.scope.memory is None else _OF_MEMORY


def in_scope_of_excluded(store: Store) -> sql.SQL:
    """Return the condition that `d`, which is in the place of a row that is inserted, is of the scope of a store."""
    if store.scope.agent is not None:
        return _OF_EXCLUDED_AGENT
    return _OF_EXCLUDED_TENANT if store.scope.memory is None else _OF_EXCLUDED_MEMORY


def in_partition(store: Store, alias: str) -> sql.Composable:
    """Return the condition that a row is of the tenant, where that says in which part of a table it is; else true.

    It is for what an index is asked without a filter, which leaves rows out only once they have been found.
    """
    of_tenant = sql.SQL("{}.tenant = %(tenant)s::text").format(sql.Identifier(alias))
    return of_tenant if store.spec.partitions is not None or store.layout.distributed else sql.SQL("true")


def is_it(store: Store) -> sql.Composed:
    """Return the condition that `d` is the one row that a statement names."""
    return _IS.format(in_scope(store))


def among(store: Store, ids: sql.Composable = _IDS) -> sql.Composed:
    """Return the condition that `d` is one of the rows with these ids, an array."""
    return _AMONG.format(in_scope(store), ids)


def among_all(ids: sql.Composable) -> sql.Composed:
    """Return the condition that `d` is one of the rows with these ids, whichever of the tenant's memories has it."""
    return _AMONG.format(OF_TENANT, ids)


def of(alias: str) -> sql.Composed:
    """Return the columns of the key of an alias."""
    return sql.SQL(", ").join(sql.Identifier(alias, column) for column in COLUMNS)


def same(left: str, right: str) -> sql.Composed:
    """Return the condition that two aliases are the same row, in a statement that is of one tenant.

    It says which tenant, too: so it is known before anything is read where the rows of both are.
    """
    return sql.SQL("{} AND {}.tenant = %(tenant)s::text").format(same_of_all(left, right), sql.Identifier(left))


def same_of_all(left: str, right: str) -> sql.Composed:
    """Return the condition that two aliases are the same row, of whichever tenant."""
    equal = sql.SQL("{} = {}")
    return sql.SQL(" AND ").join(
        equal.format(sql.Identifier(left, column), sql.Identifier(right, column)) for column in COLUMNS
    )
