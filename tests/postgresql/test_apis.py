"""What the two APIs see to beside the operations: forks, tasks and threads in one transaction, openings cut short."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from memorizz.errors import ConfigurationError, ConnectionFailed, OperationTimeout, ProviderClosed, SchemaError
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider, PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql._steps import Operation, Query, Row, fetch
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer
from memorizz.memory_provider.postgresql.migrations import _LOCK

LONG = MemoryType.LONG_TERM_MEMORY

# --- forks --------------------------------------------------------------------------------------------------------

FORK = """
import asyncio, os, sys
from memorizz.errors import ProviderClosed
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider, PostgreSQLConfig, PostgreSQLProvider

loop = asyncio.new_event_loop()
run = lambda call: loop.run_until_complete(call) if asyncio.iscoroutine(call) else call
kind = AsyncPostgreSQLProvider if sys.argv[1] == "async" else PostgreSQLProvider
provider = kind(PostgreSQLConfig(dsn=sys.argv[2], embedding_dimensions=None, max_size=1))
run(provider.store({"id": "a"}, "long_term_memory"))
for close in (False, True):
    child = os.fork()
    if child == 0:
        loop = asyncio.new_event_loop()
        try:
            run(provider.count("long_term_memory"))
        except ProviderClosed as error:
            assert "open a provider in each process" in str(error), error
        else:
            sys.exit("the child was answered")
        if close:
            run(provider.close())
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0
    # A transaction is not repeated, so that a connection on which the child has hung up would be noticed.
    assert run(provider.store_many([{"id": "b"}], "long_term_memory")) == ["b"]
    assert not provider._pool.get_stats().get("returns_bad"), provider._pool.get_stats()
run(provider.close())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize("api", ["blocking", "async"])
def test_a_forked_child_is_refused_and_its_end_leaves_the_parent_its_connections(
    config: PostgreSQLConfig, api: str
) -> None:
    """A child gets a ProviderClosed; neither its close() nor its sys.exit() hangs up on the parent."""
    command = [sys.executable, "-c", FORK, api, config.conninfo]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


FORK_INSIDE = """
import asyncio, os, sys
from memorizz.errors import ProviderClosed
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider, PostgreSQLConfig, PostgreSQLProvider

config, fails = PostgreSQLConfig(dsn=sys.argv[2], embedding_dimensions=None, max_size=1), sys.argv[3] == "fails"

def blocking():
    with PostgreSQLProvider(config) as provider:
        with provider.transaction() as tx:
            tx.store({"id": "a"}, "long_term_memory")
            child = os.fork()
            if child == 0:
                try:
                    tx.count("long_term_memory")
                except ProviderClosed:
                    if fails:
                        raise
                return
            os.waitpid(child, 0)
            tx.store({"id": "b"}, "long_term_memory")
        print(provider.count("long_term_memory"))

async def awaiting():
    async with AsyncPostgreSQLProvider(config) as provider:
        async with provider.transaction() as tx:
            await tx.store({"id": "a"}, "long_term_memory")
            child = os.fork()
            if child == 0:
                # Out of an event loop that it shares with its parent a child cannot come in another way.
                try:
                    await tx.count("long_term_memory")
                except ProviderClosed:
                    os._exit(0)
            os.waitpid(child, 0)
            await tx.store({"id": "b"}, "long_term_memory")
        print(await provider.count("long_term_memory"))

parent = os.getpid()
try:
    asyncio.run(awaiting()) if sys.argv[1] == "async" else blocking()
finally:
    if os.getpid() != parent:
        os._exit(1)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize(("api", "how"), [("blocking", "fails"), ("blocking", "ends"), ("async", "exits")])
def test_a_child_forked_inside_a_transaction_leaves_it_to_the_parent(
    config: PostgreSQLConfig, api: str, how: str
) -> None:
    """It is refused, and however it leaves the block, it neither commits nor rolls back what is its parent's."""
    command = [sys.executable, "-c", FORK_INSIDE, api, config.conninfo, how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("2\n", 0), done.stderr


# --- tasks and threads in one transaction -------------------------------------------------------------------------

EAST = [1.0, 0.0, 0.0, 0.0]
COUNT = 20


def documents() -> list[dict[str, Any]]:
    return [{"id": str(n), "name": str(n), "embedding": EAST} for n in range(COUNT)]


def question(n: int) -> dict[str, Any]:
    """Ask for one document in a way that needs settings of the server, so that it is a pipeline."""
    return {"embedding": EAST, "name": str(n)}


def test_tasks_in_one_transaction_each_get_their_own_answer(config: PostgreSQLConfig) -> None:
    """Searches and writes gathered inside one block, each a pipeline or a statement, do not mix."""

    async def main() -> None:
        async with AsyncPostgreSQLProvider(config) as provider, provider.transaction() as tx:
            await tx.store_many(documents(), LONG)
            calls = [tx.retrieve_by_query(question(n), LONG, limit=5) for n in range(COUNT)]
            writes = [tx.update_by_id(str(n), {"n": n}, LONG) for n in range(COUNT)]
            found = await asyncio.wait_for(asyncio.gather(*calls, *writes), 30)
            assert [[hit["id"] for hit in hits] for hits in found[:COUNT]] == [[str(n)] for n in range(COUNT)]
            assert found[COUNT:] == [True] * COUNT

    asyncio.run(main())


def test_threads_in_one_transaction_each_get_their_own_answer(provider: PostgreSQLProvider) -> None:
    """The same with threads."""
    with ThreadPoolExecutor(8) as threads, provider.transaction() as tx:
        tx.store_many(documents(), LONG)
        found = threads.map(lambda n: tx.retrieve_by_query(question(n), LONG, limit=5), range(COUNT))
        assert [[hit["id"] for hit in hits] for hits in found] == [[str(n)] for n in range(COUNT)]


def test_what_outlives_its_transaction_does_not_reach_the_connection(config: PostgreSQLConfig) -> None:
    """Calls that are still on their way when the block ends do nothing on a connection that is others' by then."""

    async def main() -> None:
        async with AsyncPostgreSQLProvider(config.replace(max_size=1)) as provider:
            await provider.store_many(documents(), LONG)
            tasks: list[asyncio.Task[Any]] = []

            async def block() -> None:
                async with provider.transaction() as tx:
                    tasks.extend(asyncio.ensure_future(tx.delete_by_id(str(n), LONG)) for n in range(COUNT))
                    await tasks[0]
                    raise KeyError

            with pytest.raises(KeyError):
                await block()
            late = await asyncio.gather(*tasks, return_exceptions=True)
            assert any(isinstance(each, ProviderClosed) for each in late)
            assert {True} >= {each for each in late if not isinstance(each, ProviderClosed)}
            assert await provider.count(LONG) == COUNT

    asyncio.run(main())


def test_a_search_in_a_transaction_leaves_no_settings_behind(
    open_api: Callable[..., Any], config: PostgreSQLConfig
) -> None:
    """What a search sets for the planner holds for the search, and not for the rest of the block."""
    names = ["enable_sort", "enable_seqscan", "jit", "hnsw.ef_search", "hnsw.iterative_scan"]
    asked = Query(b"SELECT name, setting FROM pg_settings WHERE name = ANY (%(names)s) ORDER BY name", {"names": names})

    def settings(_: Any) -> Operation[list[Row]]:
        return (yield from fetch(asked))

    with open_api(config) as api, api.transaction() as tx:
        tx.store_many(documents(), LONG)
        # The first search loads pgvector, which brings its settings.
        tx.retrieve_by_query({"embedding": EAST}, LONG, exact=True)
        before = tx.run(settings)
        for query in (question(1), {"embedding": EAST}, "tea", {"embedding": EAST, "memory_id": "m"}):
            tx.retrieve_by_query(query, LONG, ef_search=77)
            assert tx.run(settings) == before


# --- event loops --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [False, True], ids=["own pool", "given pool"])
def test_another_event_loop_is_told_to_open_its_own(config: PostgreSQLConfig, given: bool) -> None:
    """The connections belong to the loop that opened the provider: a call and a close in another one say so."""

    async def use(provider: AsyncPostgreSQLProvider) -> int:
        return await provider.count(LONG)

    async def open_it() -> tuple[AsyncPostgreSQLProvider, Any]:
        pool = AsyncConnectionPool(config.conninfo, open=False, min_size=1) if given else None
        if pool is not None:
            await pool.open()
        provider = AsyncPostgreSQLProvider(config, pool=pool)
        assert await provider.count(LONG) == 0
        return provider, pool

    with asyncio.Runner() as first:
        provider, pool = first.run(open_it())
        for call in (use(provider), provider.close(), provider.__aenter__()):
            with pytest.raises(ProviderClosed, match="another event loop"), asyncio.Runner() as another:
                another.run(call)
        assert first.run(use(provider)) == 0
        first.run(provider.close())
        if pool is not None:
            first.run(pool.close())
    # It is closed, and closing it twice is fine anywhere.
    asyncio.run(provider.close())
    with pytest.raises(ProviderClosed, match="is closed"):
        asyncio.run(use(provider))


def test_a_provider_that_failed_to_open_opens_in_another_loop(config: PostgreSQLConfig) -> None:
    """What was never open belongs to no loop."""
    provider = AsyncPostgreSQLProvider(config.replace(schema="own", auto_migrate=False))
    with pytest.raises(SchemaError):
        asyncio.run(provider.count(LONG))
    PostgreSQLProvider(config.replace(schema="own")).close()

    async def use() -> int:
        async with provider:
            return await provider.count(LONG)

    assert asyncio.run(use()) == 0


# --- opening ------------------------------------------------------------------------------------------------------


def test_a_connection_string_is_a_configuration(open_api: Callable[..., Any], config: PostgreSQLConfig) -> None:
    """It says what PostgreSQLConfig(dsn=...) does; what is neither is refused."""
    with open_api(PostgreSQLConfig(dsn=config.conninfo, embedding_dimensions=1536, schema="own")) as api:
        assert api.count(LONG) == 0
    with psycopg.connect(config.conninfo) as connection:
        connection.execute(f'ALTER DATABASE "{connection.info.dbname}" SET search_path = own, public')
    with open_api(config.conninfo) as api:
        assert api.count(LONG) == 0
        assert api.location.endswith("schema own")
    with pytest.raises(ConfigurationError, match="type dict"):
        open_api({"dsn": config.conninfo})


def test_a_password_is_asked_for_each_connection(open_api: Callable[..., Any], config: PostgreSQLConfig) -> None:
    """Also where it must be awaited, on the async API; on the sync one that is refused."""
    asked: list[int] = []

    def password() -> str:
        asked.append(1)
        return "secret"

    async def awaited() -> str:
        return password()

    with open_api(config.replace(password=password, min_size=2, max_size=2)) as api:
        assert api.count(LONG) == 0
        with api.transaction() as one, api.transaction() as two:
            assert one.count(LONG) == two.count(LONG) == 0
        # One looked at the schema, two are in the pool.
        assert len(asked) == 3

    def opened() -> None:
        with open_api(config.replace(password=awaited)) as api:
            assert api.count(LONG) == 0

    if isinstance(api, PostgreSQLProvider):
        with pytest.raises(ConfigurationError, match="must be awaited"):
            opened()
    else:
        opened()


def test_opening_waits_for_the_migration_of_another(open_api: Callable[..., Any], dsn: str) -> None:
    """A migration by another program may take longer than operation_timeout, which holds again after the opening."""
    config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=4, operation_timeout=0.5)
    with ThreadPoolExecutor(1) as thread:
        with psycopg.connect(dsn) as other:
            other.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            opening = thread.submit(opened, open_api, config)
            with pytest.raises(TimeoutError):
                opening.result(1.5)
        api = opening.result(30)
    try:
        with pytest.raises(OperationTimeout):
            api.run(lambda _: fetch(Query(b"SELECT pg_sleep(5)")))
    finally:
        api.close()


def opened(open_api: Callable[..., Any], config: PostgreSQLConfig) -> Any:
    api = open_api(config)
    api.count(LONG)
    return api


def test_a_cancelled_opening_leaves_no_server(folder: Path) -> None:
    """A first use that is cancelled while the embedded server starts, leaves none behind."""

    async def main() -> None:
        provider = AsyncPostgreSQLProvider(PostgreSQLConfig.embedded(folder / "data"))
        task = asyncio.ensure_future(provider.count(LONG))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not (folder / "data").exists() or not EmbeddedServer(folder / "data").status().running

    asyncio.run(main())


def test_an_embedded_config_takes_no_other_server() -> None:
    """replace() refuses what embedded() refuses, and a port is checked."""
    for field in ("host", "port", "database", "user", "password"):
        with pytest.raises(ConfigurationError, match=f"its own {field}"):
            PostgreSQLConfig.embedded("/nowhere").replace(**{field: "1"})
    with pytest.raises(ConfigurationError, match="port='x'"):
        PostgreSQLConfig("localhost").replace(port="x")
    assert PostgreSQLConfig("localhost").replace(port="5433") == PostgreSQLConfig(port=5433)
    assert PostgreSQLConfig.embedded("/nowhere").replace(max_size=3).max_size == 3


# --- servers that die ---------------------------------------------------------------------------------------------


def test_a_server_that_is_gone_is_not_called_a_full_pool(
    open_api: Callable[..., Any], own_database: Any, own_server: EmbeddedServer
) -> None:
    """After the server has gone for good, a call says that it cannot be reached, and works when it is back."""
    with open_api(own_database.config(pool_timeout=1)) as api:
        api.store({"id": "a"}, LONG)
        own_server.stop()
        try:
            for call in (lambda: api.count(LONG), lambda: api.store_many([{"id": "b"}], LONG)):
                with pytest.raises(ConnectionFailed, match="Failed to connect"):
                    call()
        finally:
            own_server.acquire()
            own_server.release()
        assert api.count(LONG) == 1


def test_an_embedded_server_that_was_killed_is_started_again(
    open_api: Callable[..., Any], own_server: EmbeddedServer, wait_for: Callable[..., Any]
) -> None:
    """After kill -9 of the server under an open provider the next calls work, and nothing is lost."""
    config = PostgreSQLConfig.embedded(own_server.path, schema="killed", embedding_dimensions=4)
    with open_api(config) as api:
        id = api.store({"name": "Ada"}, LONG)
        pid = own_server.status().pid
        assert pid is not None
        sessions = psutil.Process(pid).children(recursive=True)
        os.kill(pid, signal.SIGKILL)
        psutil.wait_procs(sessions, 10)
        # The pool may have started another one already.
        wait_for(lambda: own_server.status().pid != pid, "the server's end")
        assert api.retrieve_by_id(id, LONG)["name"] == "Ada"
        assert api.store_many([{"id": "b"}], LONG) == ["b"]
        assert api.delete_all(LONG) is True
