"""The statement that deletes an agent with what it remembers."""

from __future__ import annotations

from uuid import UUID

from psycopg import sql

from memorizz.memory_provider.postgresql._steps import Query
from memorizz.memory_provider.postgresql.facts import Facts, Store
from memorizz.memory_provider.postgresql.sql import key
from memorizz.memory_provider.postgresql.sql.reads import bound
from memorizz.memory_provider.postgresql.sql.visible import expired, visible
from memorizz.memory_provider.stores import AGENTS


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
