"""The contract suite: written once, for every provider and face; here it runs on PostgreSQL 18 and 16.

Its tests are many and small, so they share one open provider for each face and version, emptied before each test.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from faces import Blocking, Loop
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider, PostgreSQLConfig, PostgreSQLProvider

# The server of MEMORIZZ_TEST_DSN has the version it has.
_VERSIONS = [18] if "MEMORIZZ_TEST_DSN" in os.environ else [18, 16]


@pytest.fixture(params=_VERSIONS, ids="PostgreSQL {}".format)
def pg_version(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture(scope="session")
def open_provider(servers: Callable[[int], str], loop: Loop) -> Iterator[Callable[[str, int], Any]]:
    """Give the one provider of a face and a version, opened on a database of its own when it is first asked for."""
    opened: dict[tuple[str, int], Any] = {}
    with ExitStack() as closing:

        def provider(kind: str, version: int) -> Any:
            if (kind, version) not in opened:
                name = f"memorizz_contract_{os.getpid()}_{kind}"
                closing.callback(_administer, servers(version), f"DROP DATABASE {name} WITH (FORCE)")
                _administer(servers(version), f"CREATE DATABASE {name}")
                config = PostgreSQLConfig(dsn=make_conninfo(servers(version), dbname=name), embedding_dimensions=4)
                face = (
                    PostgreSQLProvider(config)
                    if kind == "blocking"
                    else Blocking(AsyncPostgreSQLProvider(config), loop)
                )
                opened[kind, version] = closing.enter_context(face)
            return opened[kind, version]

        yield provider


@pytest.fixture(params=["blocking", "async"])
def face(request: pytest.FixtureRequest, open_provider: Callable[[str, int], Any], pg_version: int) -> Any:
    """A provider on either face, with empty stores; its calls block."""
    provider = open_provider(request.param, pg_version)
    for memory_type in MemoryType:
        provider.delete_all(memory_type)
    return provider


def _administer(server: str, statement: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)
