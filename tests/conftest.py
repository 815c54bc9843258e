"""A real PostgreSQL for every test: the server of MEMORIZZ_TEST_DSN, else the embedded one; a database per test."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg import sql
from psycopg.conninfo import make_conninfo

import in_memory  # noqa: F401  the servers' folders
from apis import Blocking, Loop
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider, PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer
from memorizz.memory_provider.postgresql.maintenance import AsyncMaintenance, Maintenance
from mongod import GIVEN_URI, mongod

DIMENSIONS = 4
GIVEN_SERVER = os.environ.get("MEMORIZZ_TEST_DSN")
# Nothing a test stores needs to outlive the machine.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}

_numbers = itertools.count()

# The database of a test outlives the examples of a property test, which is what they are written for.
settings.register_profile(
    "memorizz", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
# What lands is not decided by luck: the same examples each time. Whoever runs the tests by hand draws new ones.
settings.register_profile("gate", settings.get_profile("memorizz"), derandomize=True)
settings.load_profile("memorizz")


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[int], str]]:
    """Give the connection string of a server of a major version; it is started once and stopped at the end."""
    running: dict[int, EmbeddedServer] = {}
    folders: list[Path] = []
    conninfos: dict[int, str] = {}

    def server(version: int) -> str:
        if GIVEN_SERVER is not None:
            return GIVEN_SERVER
        if version not in running:
            # Not below pytest's folder, which the next session closes to the server's own user.
            path = Path(tempfile.mkdtemp(prefix=f"memorizz-test-pg{version}-"))
            path.chmod(0o711)
            folders.append(path)
            running[version] = EmbeddedServer(path / "data", version=version, settings=FAST)
            conninfos[version] = running[version].acquire()
        return conninfos[version]

    yield server
    for each in running.values():
        each.release()
    for folder in folders:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def mongodb_uri() -> Iterator[Callable[[], str]]:
    """Give the uri of a MongoDB that is a replica set; it is started once, when it is first asked for."""
    with ExitStack() as stopping:
        started: list[str] = []

        def uri() -> str:
            if not started:
                started.append(GIVEN_URI or stopping.enter_context(mongod()))
            return started[0]

        yield uri


@pytest.fixture
def pg_version() -> int:
    return 18


@pytest.fixture
def server(servers: Callable[[int], str], pg_version: int) -> str:
    """The connection string of the server that this test runs on."""
    return servers(pg_version)


@pytest.fixture(scope="session")
def templates() -> Iterator[dict[str, str]]:
    """The template databases made so far, by server."""
    made: dict[str, str] = {}
    yield made
    for server, name in made.items():
        _administer(server, "DROP DATABASE {}", name)


@pytest.fixture
def dsn(server: str) -> Iterator[str]:
    """The connection string of a fresh, empty database."""
    yield from _database(server, "template1")


@pytest.fixture
def migrated_dsn(server: str, templates: dict[str, str]) -> Iterator[str]:
    """The connection string of a fresh database with the tables, for vectors of DIMENSIONS dimensions."""
    if server not in templates:
        name = _new_name()
        _administer(server, "CREATE DATABASE {}", name)
        PostgreSQLProvider(_config(make_conninfo(server, dbname=name))).close()
        templates[server] = name
    yield from _database(server, templates[server])


@pytest.fixture
def config(migrated_dsn: str) -> PostgreSQLConfig:
    """What opens the fresh database with the tables."""
    return _config(migrated_dsn)


@pytest.fixture
def provider(config: PostgreSQLConfig) -> Iterator[PostgreSQLProvider]:
    """A provider on the blocking API, with empty stores."""
    with PostgreSQLProvider(config) as provider:
        yield provider


@pytest.fixture(scope="session")
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.stop()


@pytest.fixture(params=["blocking", "async"])
def open_api(request: pytest.FixtureRequest, loop: Loop) -> Callable[..., Any]:
    """Open a provider on one API or the other; the calls of both block."""

    def open_it(*args: Any, **kwargs: Any) -> Any:
        if request.param == "blocking":
            return PostgreSQLProvider(*args, **kwargs)
        return Blocking(AsyncPostgreSQLProvider(*args, **kwargs), loop)

    return open_it


@pytest.fixture(params=["blocking", "async"])
def open_maintenance(request: pytest.FixtureRequest, loop: Loop) -> Callable[[PostgreSQLConfig], Any]:
    """Return what opens the maintenance of a database on one API or the other; the calls of both block."""

    def open_it(config: PostgreSQLConfig) -> Any:
        return Maintenance(config) if request.param == "blocking" else Blocking(AsyncMaintenance(config), loop)

    return open_it


@pytest.fixture
def api(open_api: Callable[..., Any], config: PostgreSQLConfig) -> Iterator[Any]:
    """A provider on either API, with empty stores; its calls block."""
    with open_api(config) as provider:
        yield provider


def _config(dsn: str) -> PostgreSQLConfig:
    return PostgreSQLConfig(dsn=dsn, embedding_dimensions=DIMENSIONS, max_size=4)


def _database(server: str, template: str) -> Iterator[str]:
    name = _new_name()
    _administer(server, "CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, template)
    yield make_conninfo(server, dbname=name)
    _administer(server, "DROP DATABASE {} WITH (FORCE)", name)


def _new_name() -> str:
    return f"memorizz_test_{os.getpid()}_{next(_numbers)}"


def _administer(server: str, statement: Any, *names: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
