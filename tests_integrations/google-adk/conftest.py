"""One database for a module: every test has an app of its own in it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from memorizz import PostgreSQLConfig, PostgreSQLProvider

_numbers = itertools.count()


@pytest.fixture(scope="module")
def shared_dsn(server: str) -> Iterator[str]:
    """The connection string of the module's database."""
    name = f"memorizz_adk_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield make_conninfo(server, dbname=name)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="module")
def provider(shared_dsn: str) -> Iterator[PostgreSQLProvider]:
    """A provider of the module's database."""
    with PostgreSQLProvider(PostgreSQLConfig(dsn=shared_dsn, embedding_dimensions=4, max_size=8)) as provider:
        yield provider


@pytest.fixture
def app() -> str:
    """An app that no other test has."""
    return f"app{next(_numbers)}"
