"""The contract suite: written once, for every provider and API; here it runs on PostgreSQL 18 and 16, and on MongoDB.

Its tests are many and small, so they share one open provider for each API and server, emptied before each test.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from apis import Blocking, Loop
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.mongodb import AsyncMongoDBProvider, MongoDBConfig, MongoDBProvider
from memorizz.memory_provider.options import Call
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider, PostgreSQLConfig, PostgreSQLProvider
from mongod import drop_database

MONGODB = "MongoDB"
# The server of MEMORIZZ_TEST_DSN has the version it has.
_SERVERS = ["PostgreSQL 18", *(() if "MEMORIZZ_TEST_DSN" in os.environ else ("PostgreSQL 16",)), MONGODB]
_FACES: dict[tuple[str, str], Any] = {
    ("blocking", "PostgreSQL"): PostgreSQLProvider,
    ("async", "PostgreSQL"): AsyncPostgreSQLProvider,
    ("blocking", MONGODB): MongoDBProvider,
    ("async", MONGODB): AsyncMongoDBProvider,
}


@pytest.fixture(params=_SERVERS)
def server_name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["blocking", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def made(servers: Callable[[int], str], mongodb_uri: Callable[[], str]) -> Iterator[Callable[[str, str], Any]]:
    """Make a database for an API on a server, and give what opens it; it is dropped at the end."""
    configs: dict[tuple[str, str], Any] = {}
    with ExitStack() as closing:

        def config(kind: str, server_name: str) -> Any:
            if (kind, server_name) not in configs:
                name = f"memorizz_contract_{os.getpid()}_{kind}"
                if server_name == MONGODB:
                    uri = mongodb_uri()
                    closing.callback(drop_database, uri, name)
                    configs[kind, server_name] = MongoDBConfig(uri, name, embedding_dimensions=4)
                else:
                    server = servers(int(server_name.split()[1]))
                    closing.callback(_administer, server, f"DROP DATABASE {name} WITH (FORCE)")
                    _administer(server, f"CREATE DATABASE {name}")
                    dsn = make_conninfo(server, dbname=name)
                    configs[kind, server_name] = PostgreSQLConfig(dsn=dsn, embedding_dimensions=4)
            return configs[kind, server_name]

        yield config


@pytest.fixture(scope="session")
def open_provider(made: Callable[[str, str], Any], loop: Loop) -> Iterator[Callable[[str, str], Any]]:
    """Give the one provider of an API on a server, opened when it is first asked for."""
    opened: dict[tuple[str, str], Any] = {}
    with ExitStack() as closing:

        def provider(kind: str, server_name: str) -> Any:
            if (kind, server_name) not in opened:
                api = _open(kind, server_name, loop, made(kind, server_name))
                opened[kind, server_name] = closing.enter_context(api)
            return opened[kind, server_name]

        yield provider


def _open(kind: str, server_name: str, loop: Loop, config: Any) -> Any:
    provider = _FACES[kind, server_name.split()[0]](config)
    return provider if kind == "blocking" else Blocking(provider, loop)


@pytest.fixture
def api(kind: str, server_name: str, open_provider: Callable[[str, str], Any]) -> Any:
    """A provider on either API, with empty stores; its calls block."""
    provider = open_provider(kind, server_name)
    provider.run_many([Call("delete_all", memory_type) for memory_type in MemoryType])
    return provider


@pytest.fixture
def config(kind: str, server_name: str, made: Callable[[str, str], Any]) -> Any:
    """What opens another provider on the same database."""
    return made(kind, server_name)


@pytest.fixture
def open_api(kind: str, server_name: str, loop: Loop) -> Callable[[Any], Any]:
    """Open another provider on the same API; its calls block."""
    return lambda config: _open(kind, server_name, loop, config)


def _administer(server: str, statement: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)
