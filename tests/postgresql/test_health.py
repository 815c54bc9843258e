"""health(): whether calls can be made now, answered whatever the server does."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psutil
import psycopg
import pytest
from psycopg_pool import ConnectionPool

from memorizz.memory_provider.base import Health
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider, PostgreSQLProvider
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

LONG = MemoryType.LONG_TERM_MEMORY
# Far longer than a probe is asked to wait, far shorter than a call would.
SOON = 25


@contextmanager
def frozen(server: EmbeddedServer) -> Iterator[None]:
    """Stop a server with all its processes."""
    parent = psutil.Process(server.status().pid)
    stopped = [parent, *parent.children(recursive=True)]
    for each in stopped:
        os.kill(each.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in reversed(stopped):
            os.kill(each.pid, signal.SIGCONT)


def soon(call: Callable[[], Any]) -> Any:
    """Return what a call returns, which is not to wait for what the test has stopped."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(call).result(SOON)


def test_a_provider_that_is_well(open_api: Callable[..., Any], own_database: Any) -> None:
    """It says of which version the server is, that the schema fits, and what the pool holds; in a view too."""
    with open_api(own_database.config(max_size=3)) as api:
        for view in (api, api.tenant("acme").memory("ada")):
            found = view.health()
            assert (found.ok, found.error, found.pending) == (True, None, 0)
            assert found.server.startswith("PostgreSQL 18.")
            assert found.pool.keys() == {"open", "idle", "most", "waiting"}
            assert found.pool["idle"] <= found.pool["open"] <= found.pool["most"] == 3
            as_json = found.as_json()
            assert as_json.pop("seconds") >= 0
            assert as_json == {"ok": True, "error": None, "server": found.server, "pending": 0, "pool": found.pool}


def test_a_frozen_server_is_told_at_once(
    open_api: Callable[..., Any], own_database: Any, own_server: EmbeddedServer
) -> None:
    """It is not waited for until a call or the pool would give up; afterwards all is well again."""
    with open_api(own_database.config(pool_timeout=600, operation_timeout=600)) as api:
        assert api.health().ok
        with frozen(own_server):
            found = soon(lambda: api.health(0.3))
            again = soon(lambda: api.health(0.3))
        assert "OperationTimeout: no answer within 0.3 s" in found.error
        assert again.error.split(":")[0] in ("OperationTimeout", "ConnectionFailed")
        assert (found.server, found.pending) == (None, None)
        assert api.health(SOON).ok
        assert api.count(LONG) == 0


def test_a_frozen_server_behind_a_pool_that_is_given(own_database: Any, own_server: EmbeddedServer) -> None:
    """Its connections, which are in a transaction as soon as they are asked, are not waited for either."""
    with (
        ConnectionPool[psycopg.Connection[Any]](own_database.dsn, min_size=1, max_size=1, open=True) as pool,
        PostgreSQLProvider(own_database.config(operation_timeout=600), pool=pool) as provider,
    ):
        assert provider.health().ok
        with frozen(own_server):
            found = soon(lambda: provider.health(0.3))
        assert found.error.startswith("OperationTimeout: no answer within 0.3 s")
        assert provider.health(SOON).ok


def test_a_pool_without_a_free_connection(open_api: Callable[..., Any], own_database: Any) -> None:
    """Then no call can be made: it says so, and that others wait is seen in the numbers."""
    with open_api(own_database.config(max_size=1, pool_timeout=600)) as api:
        with api.transaction():
            found = soon(lambda: api.health(0.2))
            assert found.error.startswith("PoolTimeout: all connections were in use for 0.2 s")
            assert (found.pool["most"], found.pool["idle"]) == (1, 0)
        assert api.health(SOON).ok


@pytest.mark.parametrize(
    ("change", "error", "pending"),
    [
        ("DELETE FROM memorizz_migrations", "lacks", True),
        ("INSERT INTO memorizz_migrations (version, name) VALUES (9999, 'later')", "upgrade memorizz-postgresql", None),
    ],
)
def test_a_schema_that_does_not_fit(
    open_api: Callable[..., Any], own_database: Any, sql: psycopg.Connection[Any], change: str, error: str, pending: Any
) -> None:
    """One that another version has made or left behind is no schema to work with."""
    with open_api(own_database.config()) as api:
        sql.execute(change.encode())
        found = api.health()
        assert found.error.startswith("SchemaError: ")
        assert error in found.error
        assert found.pending is None if pending is None else found.pending > 0
        assert found.server is not None


def test_a_closed_provider_is_not_well(open_api: Callable[..., Any], own_database: Any) -> None:
    """It answers as any call does, but does not raise it."""
    with open_api(own_database.config()) as api:
        api.close()
        assert api.health().error.startswith("ProviderClosed: ")
        assert api.health().pool is None


def test_an_async_provider_opens_beside_the_probe(own_database: Any, own_server: EmbeddedServer) -> None:
    """One that nobody has called yet is opened by the first probe, which does not wait for it to the end."""

    async def program() -> list[Health]:
        provider = AsyncPostgreSQLProvider(own_database.config(connect_timeout=60))
        with frozen(own_server):
            found = [await asyncio.wait_for(provider.health(0.2), SOON) for _ in range(2)]
        found.append(await provider.health(SOON))
        await provider.close()
        return found

    first, second, last = asyncio.run(program())
    assert first.error is not None
    assert first.error.startswith("ConnectionFailed: not open within 0.2 s: host ")
    assert not second.ok
    assert last.ok


def test_no_password_is_in_it(own_database: Any) -> None:
    """What is wrong names the server, not how to get in."""
    config = own_database.config(password="xyzzy", max_size=1)
    with PostgreSQLProvider(config) as provider:
        provider.health()
        provider.close()
        assert "xyzzy" not in repr(provider.health())
