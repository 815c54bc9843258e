"""CrewAI without a network, and a storage for each test."""

from __future__ import annotations

import itertools
import os
import tempfile
import warnings
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

# Before CrewAI is imported, which reports to its makers and keeps files in the user's home otherwise.
os.environ |= {
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "CREWAI_TESTING": "true",
    "OTEL_SDK_DISABLED": "true",
    "CREWAI_STORAGE_DIR": tempfile.mkdtemp(prefix="memorizz-crewai-"),
}

from memorizz import PostgreSQLConfig, PostgreSQLProvider

# Its own modules warn of each other.
with warnings.catch_warnings(action="ignore"):
    from memorizz.integrations.crewai import MemorizzStorage

_numbers = itertools.count()


@pytest.fixture(scope="session")
def provider(server: str) -> Iterator[PostgreSQLProvider]:
    """One for the run, in which each test has a store of its own."""
    schema = f"crewai_{os.getpid()}"
    with PostgreSQLProvider(PostgreSQLConfig(dsn=server, schema=schema, embedding_dimensions=4)) as provider:
        yield provider
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


@pytest.fixture
def name() -> str:
    return f"memories_{next(_numbers)}"


@pytest.fixture
def storage(provider: PostgreSQLProvider, name: str) -> MemorizzStorage:
    """A storage whose store is made with the first record."""
    return MemorizzStorage(provider, store=name)
