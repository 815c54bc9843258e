"""Within a tenant's scope every statement says of each table which tenant it is about: docs/how-to/scale-out.md.

PostgreSQL's own planner is asked, of tables that are partitioned by the hash of the tenant.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql._steps import Batch, Query
from memorizz.memory_provider.postgresql.driver._sync import perform

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_statements.py"
PARTITIONS = 4
# What is of whole stores; a view has none.
OF_WHOLE_STORES = {"keep_history", "drop_history", "drop_store", "set_policy"}
# The vectors of parts are found by the tenant of their document, or in the index on all of them.
PARTS = re.compile(r"memorizz_\w+_parts")


class Tenant:
    """One tenant's view, which asks the provider for what is of whole stores."""

    def __init__(self, provider: PostgreSQLProvider) -> None:
        self._provider, self._view = provider, provider.tenant("acme")

    def tenant(self, name: str) -> Any:
        return self._view

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider if name in OF_WHOLE_STORES else self._view, name)


def statements(config: PostgreSQLConfig) -> Iterator[tuple[str, Query]]:
    """Yield every statement once that a call in the view of a tenant sends, with the call."""
    spec = importlib.util.spec_from_file_location("make_statements", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    seen: set[bytes] = set()
    for call, steps in script.sent(config, Tenant):
        for step in steps:
            for query in step.queries if isinstance(step, Batch) else [step]:
                if query.sql not in seen:
                    seen.add(query.sql)
                    yield call, query


def partition(connection: psycopg.Connection[Any]) -> list[str]:
    """Put partitioned tables in the place of those with documents; return their names."""
    found = "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'tenant'"
    tables = [name for (name,) in connection.execute(found)]
    make = sql.SQL(
        "ALTER TABLE {table} RENAME TO {plain}; "
        "CREATE TABLE {table} (LIKE {plain} INCLUDING ALL) PARTITION BY HASH (tenant)"
    )
    add = sql.SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES WITH (MODULUS {}, REMAINDER {})")
    for name in tables:
        table = sql.Identifier(name)
        connection.execute(make.format(table=table, plain=sql.Identifier(f"{name}_plain")))
        for n in range(PARTITIONS):
            connection.execute(add.format(sql.Identifier(f"{name}__{n}"), table, PARTITIONS, n))
    return tables


def partitions(plan: Any) -> dict[str, set[str]]:
    """Return which partitions of each table a plan reads or changes."""
    found: dict[str, set[str]] = {}
    waiting = [plan]
    while waiting:
        node = waiting.pop()
        table, apart, number = node.get("Relation Name", "").rpartition("__")
        if apart:
            found.setdefault(table, set()).add(number)
        waiting += node.get("Plans", [])
    return found


def test_within_a_tenant_every_statement_needs_one_partition(dsn: str) -> None:
    """Of each table; all routes, all writes, histories, policies and forgetting; no statement is left out."""
    recorded = list(statements(PostgreSQLConfig(dsn=dsn, embedding_dimensions=128)))
    wide: list[str] = []
    planned = 0
    with psycopg.connect(dsn, autocommit=True) as connection:
        tables = partition(connection)
        for call, query in recorded:
            text = query.sql.decode()
            if not isinstance(query, Query) or text.startswith(("EXPLAIN", "LOCK")):
                continue
            if not any(f'"{table}"' in text for table in tables):
                continue
            planned += 1
            [(found,)] = perform(connection, replace(query, sql=b"EXPLAIN (FORMAT JSON) " + query.sql))
            for table, read in partitions(found[0]["Plan"]).items():
                if len(read) > 1 and not PARTS.fullmatch(table):
                    wide.append(f"{call}: {len(read)} partitions of {table}: {text}")
    assert wide == []
    assert planned > 100
