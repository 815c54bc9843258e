"""What another process changes under an open provider: its next call knows, without being opened again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import psycopg
import pytest
from models import Model

from memorizz.errors import SchemaError
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider, facts
from memorizz.memory_provider.postgresql._steps import Query
from memorizz.memory_provider.postgresql.layout import Layout
from memorizz.memory_provider.postgresql.maintenance import Maintenance
from memorizz.memory_provider.stores import StoreSpec

LONG = "long_term_memory"
_random = np.random.default_rng(5)
VECTORS = _random.standard_normal((60, 4))


@pytest.fixture
def filled(open_api: Callable[..., Any], config: PostgreSQLConfig) -> Any:
    """A provider, open, with 60 memories."""
    with open_api(config) as api:
        api.store_many([{"content": f"tea {n}", "memory_id": "m", "embedding": VECTORS[n]} for n in range(60)], LONG)
        yield api


def memorizz(dsn: str, *arguments: str) -> str:
    """Run the command in another process."""
    command = [sys.executable, "-m", "memorizz", *arguments, "--dsn", dsn]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def route(api: Any) -> str:
    hits = api.retrieve_by_query({"embedding": VECTORS[0]}, LONG, limit=5, explain=True)
    assert hits[0]["content"] == "tea 0"
    return hits.explanation["route"]


def test_an_index_that_comes_and_goes(filled: Any, migrated_dsn: str) -> None:
    """Dropped, built and rebuilt as another kind by another process, the index serves the very next search, or not."""
    name = f"{LONG}_embedding_idx"
    assert route(filled) == "index"
    memorizz(migrated_dsn, "index", "drop", name, "--yes")
    assert route(filled) == "exact"
    memorizz(migrated_dsn, "index", "build", "--store", LONG)
    assert route(filled) == "index"
    memorizz(migrated_dsn, "index", "rebuild", "--store", LONG, "--kind", "halfvec")
    assert route(filled) == "index"
    statement = filled.retrieve_by_query({"embedding": VECTORS[0]}, LONG, explain=True).explanation["statement"]
    assert "halfvec" in statement


def test_a_search_inside_of_a_transaction_knows_too(filled: Any, migrated_dsn: str) -> None:
    """Also in a transaction that was open when the index went."""
    with filled.transaction() as transaction:
        assert route(transaction) == "index"
        memorizz(migrated_dsn, "index", "build", "--store", "personas")
        assert route(transaction) == "index"


def test_facts_that_change_faster_than_a_search_goes(open_api: Callable[..., Any], config: PostgreSQLConfig) -> None:
    """All indexes are made again, one after the other, each while the search is on its way: it is made again, too."""
    changes = 0

    def change(texts: Sequence[str]) -> None:
        nonlocal changes
        if changes < 12 and texts == ["tea"]:
            changes += 1
            maintenance.drop(maintenance.plan_drop("personas_embedding_idx"))
            list(maintenance.make(maintenance.plan_build("personas")))

    with Maintenance(config) as maintenance, open_api(config, embedder=Model("toy", 4, change)) as api:
        api.store({"content": "green tea"}, LONG)
        assert [hit["content"] for hit in api.retrieve_by_query("tea", LONG)] == ["green tea"]
    assert changes == 12


def test_no_round_trip_more_where_nothing_changed(filled: Any, migrated_dsn: str) -> None:
    """The version of the facts comes with what a search sends anyway: its statements are two, in one pipeline."""
    route(filled)
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        before = _commits(connection)
        for _ in range(20):
            route(filled)
        assert _commits(connection) - before < 40


def _commits(connection: psycopg.Connection[Any]) -> int:
    connection.execute("SELECT pg_stat_clear_snapshot()")
    row = connection.execute("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()").fetchone()
    assert row is not None
    return row[0]


def test_facts_are_read_by_a_statement_that_is_not_compiled(migrated_dsn: str) -> None:
    """In tables that were never analyzed too it is expected to cost less than what PostgreSQL compiles, for seconds."""
    layout = Layout("public", "", "public", "simple")
    query = next(facts.read(layout))
    assert isinstance(query, Query)
    with psycopg.connect(migrated_dsn) as connection:
        [(plan,)] = connection.execute(b"EXPLAIN (FORMAT json) " + query.sql, query.parameters).fetchall()
        [(limit,)] = connection.execute("SELECT boot_val FROM pg_settings WHERE name = 'jit_above_cost'").fetchall()
    assert plan[0]["Plan"]["Total Cost"] < float(limit) / 2


def test_measuring_changes_nothing(filled: Any, migrated_dsn: str) -> None:
    """What searches find, and by which route, is the same after another process has measured their recall."""
    before = filled.retrieve_by_query({"embedding": VECTORS[3], "memory_id": "m"}, LONG, limit=10, explain=True)
    assert "Nothing to change." in memorizz(migrated_dsn, "recall", "--store", LONG, "--sample", "5")
    after = filled.retrieve_by_query({"embedding": VECTORS[3], "memory_id": "m"}, LONG, limit=10, explain=True)
    assert (after, after.explanation["route"]) == (before, before.explanation["route"])


def test_a_store_that_another_process_makes(filled: Any, config: PostgreSQLConfig) -> None:
    """It is known at its first mention, and unknown once it is dropped."""
    with PostgreSQLProvider(config) as other:
        other.create_store(StoreSpec("tickets", dimensions=2))
        filled.store({"embedding": [1, 0]}, "tickets")
        assert other.count("tickets") == 1
        other.drop_store("tickets", yes=True)
        with pytest.raises(ValueError, match="unknown memory store 'tickets'"):
            filled.store({"embedding": [1, 0]}, "tickets")


@pytest.mark.parametrize("call", ["store", "search"])
def test_a_model_that_is_changed(
    open_api: Callable[..., Any], config: PostgreSQLConfig, migrated_dsn: str, call: str
) -> None:
    """A provider with embedders of both models goes on by itself; one without is told, and nothing is done."""
    from memorizz.memory_provider.postgresql.maintenance import Maintenance, Reembedding

    old, new = Model("old", 4), Model("new", 3)
    with open_api(config, embedder=[old, new]) as follows, open_api(config) as has_none:
        follows.store({"content": "green tea"}, LONG)
        with Maintenance(config) as maintenance:
            change = Reembedding(maintenance, new)
            change.begin()
            change.fill()
            change.switch()
        if call == "store":
            follows.store({"content": "black coffee"}, LONG)
        assert follows.retrieve_by_query("green tea", LONG)[0]["content"] == "green tea"
        assert follows.embedding_model == "new"
        with pytest.raises(SchemaError, match="was changed while this provider was open"):
            has_none.retrieve_by_query({"embedding": [1, 0, 0, 0]}, LONG)
