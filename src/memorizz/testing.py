"""Fixtures of pytest: each test gets memories of its own, empty ones, in a real PostgreSQL.

In the conftest.py at the top of your tests:

    pytest_plugins = ["memorizz.testing"]

and in a test:

    def test_it_remembers(memorizz_provider):
        memorizz_provider.remember("Ada drinks tea.", memory_id="ada")

The server is that of MEMORIZZ_TEST_DSN, whose user may make databases, else an embedded one in a temporary folder,
started for the session. Each test has a database, copied from one that has the tables, while the test before it runs,
and dropped after it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider

# Nothing that a test stores needs to outlive the machine.
_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@pytest.fixture(scope="session")
def memorizz_options() -> Mapping[str, Any]:
    """Give the options of PostgreSQLConfig that the tests' memories are opened with; define it anew to have others."""
    return {"embedding_dimensions": 384, "max_size": 4}


@pytest.fixture(scope="session")
def memorizz_server() -> Generator[str]:
    """Give the connection string of the server: MEMORIZZ_TEST_DSN, else an embedded one that the session starts."""
    given = os.environ.get("MEMORIZZ_TEST_DSN")
    if given is not None:
        yield given
        return
    from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

    folder = Path(tempfile.mkdtemp(prefix="memorizz-testing-"))
    try:
        # root's server runs as another user, who has to be let in.
        folder.chmod(0o711)
        server = EmbeddedServer(folder / "data", settings=_SETTINGS)
        try:
            yield server.acquire()
        finally:
            server.release()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def memorizz_template(memorizz_server: str, memorizz_options: Mapping[str, Any]) -> Generator[str]:
    """Give the name of the database that those of the tests are copied from."""
    from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider

    name = _new_name()
    _administer(memorizz_server, "CREATE DATABASE {}", name)
    try:
        PostgreSQLProvider(PostgreSQLConfig(dsn=_in(memorizz_server, name), **memorizz_options)).close()
        yield name
    finally:
        _administer(memorizz_server, "DROP DATABASE {} WITH (FORCE)", name)


class _Databases:
    """Databases for tests, of which the next is made while a test runs, and the last dropped."""

    def __init__(self, server: str, template: str) -> None:
        self._server, self._template = server, template
        self._aside = ThreadPoolExecutor(1, "memorizz-testing")
        self._dropped: Future[None] | None = None
        self._next = self._aside.submit(self._make)

    def _make(self) -> str:
        name = _new_name()
        # By its files: through the log takes longer.
        _administer(self._server, "CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, self._template)
        return name

    def _drop(self, name: str) -> None:
        _administer(self._server, "DROP DATABASE {} WITH (FORCE)", name)

    def take(self) -> str:
        name = self._next.result()
        self._next = self._aside.submit(self._make)
        return name

    def give_back(self, name: str) -> None:
        """Drop a database; raises what the drop before it has."""
        before, self._dropped = self._dropped, self._aside.submit(self._drop, name)
        if before is not None:
            before.result()

    def close(self) -> None:
        try:
            self._drop(self._next.result())
            if self._dropped is not None:
                self._dropped.result()
        finally:
            self._aside.shutdown()


@pytest.fixture(scope="session")
def memorizz_databases(memorizz_server: str, memorizz_template: str) -> Generator[_Databases]:
    """Give the databases of the tests."""
    databases = _Databases(memorizz_server, memorizz_template)
    try:
        yield databases
    finally:
        databases.close()


@pytest.fixture
def memorizz_config(
    memorizz_server: str, memorizz_databases: _Databases, memorizz_options: Mapping[str, Any]
) -> Generator[PostgreSQLConfig]:
    """Give what opens this test's memories, for a provider of the async API, or one with an embedder."""
    from memorizz.memory_provider.postgresql import PostgreSQLConfig

    name = memorizz_databases.take()
    try:
        yield PostgreSQLConfig(dsn=_in(memorizz_server, name), **memorizz_options)
    finally:
        memorizz_databases.give_back(name)


@pytest.fixture
def memorizz_provider(memorizz_config: PostgreSQLConfig) -> Generator[PostgreSQLProvider]:
    """Give a provider of the blocking API with this test's memories, without an embedder."""
    from memorizz.memory_provider.postgresql import PostgreSQLProvider

    with PostgreSQLProvider(memorizz_config) as provider:
        yield provider


def _new_name() -> str:
    return f"memorizz_test_{uuid.uuid4().hex}"


def _in(server: str, database: str) -> str:
    from psycopg.conninfo import make_conninfo

    return make_conninfo(server, dbname=database)


def _administer(server: str, statement: Any, *names: str) -> None:
    import psycopg
    from psycopg import sql

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
