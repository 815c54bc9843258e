"""Connections: whose they are, that none is leaked, what is logged about them."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads
from psycopg.types.string import TextLoader
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from apis import Blocking, Loop
from memorizz.errors import ConfigurationError, ConnectionFailed, MemorizzError, OperationTimeout, PoolTimeout
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import (
    AsyncPostgreSQLProvider,
    PooledPostgreSQLProvider,
    PostgreSQLConfig,
    PostgreSQLProvider,
)

LONG = MemoryType.LONG_TERM_MEMORY
EAST = [1.0, 0.0, 0.0, 0.0]


@pytest.fixture
def connection(migrated_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection beside the provider's."""
    with psycopg.connect(migrated_dsn, autocommit=True, application_name="beside") as connection:
        yield connection


def states(connection: psycopg.Connection[Any]) -> list[str]:
    """What the connections of others to this database are doing."""
    rows = connection.execute(
        "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend'"
    )
    return [state for (state,) in rows]


def use(api: Any) -> None:
    """Use a provider in each of the ways in which it talks to the server."""
    id = api.store({"name": "Ada", "content": "tea", "memory_id": "m", "embedding": EAST}, LONG)
    assert api.retrieve_by_id(id, LONG, include_embedding=True)["embedding"] == EAST
    assert api.update_by_id(id, {"a": 1}, LONG) is True
    assert len(api.store_many([{"a": n} for n in range(3)], LONG)) == 3
    assert [hit["id"] for hit in api.retrieve_by_query({"embedding": EAST}, LONG, limit=50)] == [id]
    assert [hit["id"] for hit in api.retrieve_by_query("tea", LONG)] == [id]
    assert len(list(api.iterate(LONG, batch_size=2))) == api.count(LONG) == 4
    with api.transaction() as tx:
        tx.delete_by_id(id, LONG)
    assert api.purge_expired() == 0
    assert api.delete_all(LONG) is True


# --- leaks --------------------------------------------------------------------------------------------------------


def test_a_thousand_failing_calls_leave_the_pool_idle(
    api: Any, connection: psycopg.Connection[Any], wait_for: Callable[..., Any]
) -> None:
    """Whatever went wrong, no connection is left in use or in a transaction, and there are no more than the pool's."""
    connection.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'refused'; END$$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON long_term_memory FOR EACH ROW EXECUTE FUNCTION refuse()"
    )

    def in_transaction() -> None:
        with api.transaction() as tx:
            tx.store({}, LONG)

    failing: list[Callable[[], Any]] = [
        lambda: api.store({}, LONG),
        lambda: api.store_many([{}, {}], LONG),
        in_transaction,
        lambda: api.store({"bad": object()}, LONG),
        lambda: api.store_many(iter([{"a": 1}, {"bad": object()}]), LONG),
        lambda: api.retrieve_by_query({"a": {"$near": 1}}, LONG),
        lambda: api.retrieve_by_query({"embedding": [1]}, LONG),
        lambda: api.count("nope"),
    ]
    for n in range(1000):
        with pytest.raises(MemorizzError):
            failing[n % len(failing)]()
    assert states(connection) in (["idle"] * n for n in range(1, 5))
    assert api.count(LONG) == 0


def test_an_iteration_that_is_left_holds_no_connection(api: Any, connection: psycopg.Connection[Any]) -> None:
    """Between two batches, and after the last that is read, no transaction is open."""
    api.store_many([{} for _ in range(6)], LONG)
    streams = [api.iterate(LONG, batch_size=2) for _ in range(10)]
    for stream in streams:
        next(stream)
    assert set(states(connection)) == {"idle"}
    assert api.count(LONG) == 6


def test_close_ends_every_connection(
    open_api: Callable[..., Any], config: PostgreSQLConfig, connection: psycopg.Connection[Any],
    wait_for: Callable[..., Any],
) -> None:  # fmt: skip
    """After close the server serves nobody."""
    with open_api(config.replace(min_size=3)) as api:
        use(api)
        assert states(connection)
    wait_for(lambda: not states(connection), "the connections to end")


def test_a_provider_that_is_dropped_ends_its_connections(
    config: PostgreSQLConfig, connection: psycopg.Connection[Any], wait_for: Callable[..., Any]
) -> None:
    """A provider that nobody closed and nobody has any more leaves no connection."""
    provider: Any = PostgreSQLProvider(config)
    use(provider)
    del provider
    gc.collect()
    wait_for(lambda: not states(connection), "the connections to end")


def test_an_async_provider_that_is_dropped_ends_its_connections(
    config: PostgreSQLConfig, connection: psycopg.Connection[Any], wait_for: Callable[..., Any]
) -> None:
    """The same on the async API, while its event loop runs on."""

    async def main() -> None:
        provider: Any = AsyncPostgreSQLProvider(config)
        assert await provider.count(LONG) == 0
        del provider
        gc.collect()
        await asyncio.to_thread(wait_for, lambda: not states(connection), "the connections to end")

    asyncio.run(main())


def test_an_opening_that_fails_leaves_no_connection(
    open_api: Callable[..., Any], config: PostgreSQLConfig, connection: psycopg.Connection[Any],
    wait_for: Callable[..., Any],
) -> None:  # fmt: skip
    """A provider that could not open holds nothing."""
    for _ in range(5):
        with pytest.raises(MemorizzError):
            open_api(config.replace(embedding_dimensions=99)).count(LONG)
    wait_for(lambda: not states(connection), "the connections to end")


_BLOCKING = """
import sys
import time
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
provider = PostgreSQLProvider(PostgreSQLConfig(dsn=sys.argv[1], embedding_dimensions=4, min_size=2))
provider.store({"name": "Ada"}, "long_term_memory")
print(provider.count("long_term_memory"))
"""
_ASYNC = """
import asyncio, sys
from memorizz.memory_provider.postgresql import PostgreSQLConfig, AsyncPostgreSQLProvider
async def main():
    # The pool warns of a connection that was still being made at the end.
    config = PostgreSQLConfig(dsn=sys.argv[1], embedding_dimensions=4, min_size=1, max_size=1)
    provider = AsyncPostgreSQLProvider(config)
    await provider.store({"name": "Ada"}, "long_term_memory")
    print(await provider.count("long_term_memory"))
    return provider
provider = asyncio.run(main())
"""


@pytest.mark.parametrize("script", [_BLOCKING, _ASYNC], ids=["blocking", "async"])
def test_a_script_that_never_closes_ends_well(
    migrated_dsn: str, script: str, connection: psycopg.Connection[Any], wait_for: Callable[..., Any]
) -> None:
    """It exits by itself, says nothing, and leaves no connection."""
    command = [sys.executable, "-X", "dev", "-c", script, migrated_dsn]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("1\n", "", 0)
    wait_for(lambda: not states(connection), "the connections to end")


_ENDING_WHILE_CONNECTING = """
import asyncio, sys
from memorizz.memory_provider.postgresql import PostgreSQLConfig, AsyncPostgreSQLProvider
async def main():
    config = PostgreSQLConfig(dsn=sys.argv[1], embedding_dimensions=4, min_size=1, max_size=3)
    provider = AsyncPostgreSQLProvider(config)
    await provider.count("long_term_memory")
    # The pool has grown by one while the first was waited for. Once it has both, it grows again for the third one here.
    while provider._pool.get_stats()["pool_available"] < 2:
        await asyncio.sleep(0.01)
    counts = await asyncio.gather(*[provider.count("long_term_memory") for _ in range(3)])
    await asyncio.sleep(0.1)
    print(counts, provider._pool.get_stats()["pool_size"])
    return provider
provider = asyncio.run(main())
"""


def test_a_script_ends_while_its_pool_is_connecting(
    migrated_dsn: str, connection: psycopg.Connection[Any], wait_for: Callable[..., Any]
) -> None:
    """The end of the event loop cancels the pool's workers, also one that is waiting for the server."""
    # The server takes a second to answer whoever connects.
    slow = psycopg.conninfo.make_conninfo(migrated_dsn, options="-c post_auth_delay=1")
    command = [sys.executable, "-X", "dev", "-c", _ENDING_WHILE_CONNECTING, slow]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.returncode) == ("[0, 0, 0] 3\n", 0)
    wait_for(lambda: not states(connection), "the connections to end")


# --- pools --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["blocking", "async"])
def open_on_pool(request: pytest.FixtureRequest, migrated_dsn: str, loop: Loop) -> Iterator[Callable[..., Any]]:
    """Open a provider of either API on a pool that is the caller's; returns both."""
    pools: list[Any] = []

    def open_it(
        operation_timeout: float = 60, schema: str | None = None, configure: Any = None, **options: Any
    ) -> tuple[Any, Any]:
        options = {"min_size": 1, "max_size": 2} | options
        config = PostgreSQLConfig(
            dsn=migrated_dsn, embedding_dimensions=4, operation_timeout=operation_timeout, schema=schema
        )
        kwargs = options.pop("kwargs", {})
        # What is one class for each API comes as a pair.
        n = int(request.param == "async")
        options["kwargs"] = {name: each[n] if isinstance(each, tuple) else each for name, each in kwargs.items()}
        if request.param == "blocking":
            pools.append(pool := ConnectionPool(migrated_dsn, open=True, configure=configure, **options))
            return PostgreSQLProvider(config, pool=pool), pool

        async def configure_it(connection: Any) -> None:
            if configure is not None and (awaitable := configure(connection)) is not None:
                await awaitable

        async def start() -> Any:
            pool: Any = AsyncConnectionPool(migrated_dsn, open=False, configure=configure_it, **options)
            await pool.open()
            return pool, AsyncPostgreSQLProvider(config, pool=pool)

        pool, provider = loop.run(start())
        pools.append(Blocking(pool, loop))
        return Blocking(provider, loop), pools[-1]

    yield open_it
    for pool in pools:
        pool.close()


@pytest.mark.parametrize(
    "kwargs",
    [{}, {"autocommit": True}, {"row_factory": dict_row}, {"autocommit": True, "prepare_threshold": None}],
    ids=["plain", "autocommit", "dict rows", "unprepared"],
)
def test_a_pool_of_the_callers_is_used_and_not_closed(open_on_pool: Callable[..., Any], kwargs: dict[str, Any]) -> None:
    """Whatever its connections are like; after close the pool is open, and its connections are as they were."""
    api, pool = open_on_pool(kwargs=kwargs)
    use(api)
    api.close()
    with pytest.raises(MemorizzError, match="closed"):
        api.count(LONG)
    assert pool.get_stats()["requests_num"] > 10
    assert pool.closed is False
    with pool.connection() as connection:
        assert connection.autocommit is kwargs.get("autocommit", False)


STRANGE = {"content": "tea", "n": 1.5, "big": 10**20, "times": {"at": None}, "embedding": EAST, "memory_id": "m"}


def _with_own_loaders(connection: Any) -> None:
    set_json_loads(lambda text: json.loads(text, parse_float=Decimal), connection)
    connection.adapters.register_loader("timestamptz", TextLoader)
    connection.adapters.register_loader("uuid", TextLoader)


def _with_repeatable_read(connection: Any) -> Any:
    return connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)


@pytest.mark.parametrize("autocommit", [True, False], ids=["autocommit", "transactions"])
@pytest.mark.parametrize(
    "options",
    [
        {"cursor_factory": (psycopg.ClientCursor, psycopg.AsyncClientCursor)},
        {"cursor_factory": (psycopg.RawCursor, psycopg.AsyncRawCursor)},
        {"row_factory": dict_row},
        {"prepare_threshold": 0},
        {"options": "-c default_transaction_isolation=repeatable\\ read -c standard_conforming_strings=off"},
        {"configure": _with_own_loaders},
        {"configure": _with_repeatable_read},
    ],
    ids=["client cursors", "raw cursors", "dict rows", "prepared at once", "session", "own loaders", "repeatable read"],
)
def test_a_pool_of_any_kind_gives_the_same(
    open_on_pool: Callable[..., Any], options: dict[str, Any], autocommit: bool
) -> None:
    """Its cursors, rows, loaders and transactions change no result, also while the schema is made."""
    api, _ = open_on_pool(
        configure=options.get("configure"),
        kwargs={"autocommit": autocommit, **{name: each for name, each in options.items() if name != "configure"}},
        schema="own",
    )
    use(api)
    id = api.store(STRANGE, LONG)
    query = {"embedding": EAST, "memory_id": "m"}
    with PostgreSQLProvider(api.config) as plain:
        assert api.retrieve_by_id(id, LONG) == plain.retrieve_by_id(id, LONG)
        assert api.retrieve_by_query(query, LONG, explain=True) == plain.retrieve_by_query(query, LONG, explain=True)
        found = api.retrieve_by_query(query, LONG, explain="plan").explanation["plan"]
        assert isinstance(found[0]["Plan"]["Total Cost"], float)
        assert type(api.retrieve_by_id(id, LONG)["n"]) is float
        assert plain.count(LONG) == 1


def test_what_a_plain_connection_stored_is_committed(open_on_pool: Callable[..., Any], migrated_dsn: str) -> None:
    """On connections without autocommit each call is committed, and rolled back when it fails."""
    api, _ = open_on_pool()
    api.store({"id": "a"}, LONG)
    with pytest.raises(MemorizzError):
        api.store_many([{"id": "b"}, {"id": 5}], LONG)
    with psycopg.connect(migrated_dsn) as connection:
        assert connection.execute("SELECT count(*) FROM long_term_memory").fetchone() == (1,)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_pool_in_another_encoding_is_refused(open_on_pool: Callable[..., Any], encoding: str) -> None:
    """The server would take what is sent for something else: it is an error, and nothing is stored."""
    with pytest.raises(ConfigurationError, match=f"client_encoding={encoding}"):
        open_on_pool(kwargs={"client_encoding": encoding})[0].store({"content": "caf\u00e9"}, LONG)


# What close() does to a connection of such a pool is to give it back.
POOLS = pytest.mark.parametrize("options", [{}, {"close_returns": True}], ids=["plain", "close returns"])


@POOLS
def test_a_dead_connection_of_the_callers_pool_is_replaced(
    open_on_pool: Callable[..., Any], connection: psycopg.Connection[Any], options: dict[str, Any]
) -> None:
    """The server has hung up meanwhile: the next call gets another one, whatever it does."""
    api, pool = open_on_pool(max_size=1, **options)
    api.store({"id": "a"}, LONG)
    connection.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    api.store({"id": "b"}, LONG)
    assert api.count(LONG) == 2
    assert pool.get_stats()["pool_available"] == 1


@POOLS
def test_a_pool_of_the_callers_gives_up_too(
    open_on_pool: Callable[..., Any], migrated_dsn: str, options: dict[str, Any]
) -> None:
    """operation_timeout holds while a connection is lent, for statements and in transactions, and not afterwards."""

    def block() -> None:
        with api.transaction() as tx:
            tx.update_by_id("a", {"n": 1}, LONG)

    api, pool = open_on_pool(operation_timeout=0.3, **options)
    api.store({"id": "a"}, LONG)
    with psycopg.connect(migrated_dsn) as other:
        other.execute("SELECT FROM long_term_memory FOR UPDATE")
        for call in (lambda: api.update_by_id("a", {"n": 1}, LONG), block):
            with pytest.raises(OperationTimeout, match="operation_timeout"):
                call()
    with pool.connection() as connection:
        connection.execute("SELECT pg_sleep(0.5)")
    assert api.update_by_id("a", {"n": 1}, LONG) is True


def test_an_interruption_loses_no_connection(
    migrated_dsn: str, config: PostgreSQLConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while a connection is lent, before anybody has it: it goes back, and the next call gets it."""

    def interrupt(_: Any) -> bool:
        raise KeyboardInterrupt

    with PostgreSQLProvider(config.replace(min_size=1, max_size=1, pool_timeout=1)) as provider:
        with monkeypatch.context() as patched:
            patched.setattr("memorizz.memory_provider.postgresql.driver._sync.is_alive", interrupt)
            with pytest.raises(KeyboardInterrupt):
                provider.count(LONG)
        assert provider.count(LONG) == 0


def test_a_pool_needs_no_configured_server(
    migrated_dsn: str, monkeypatch: pytest.MonkeyPatch, loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    """With a pool and no config no server is looked for: the vectors' length is the schema's."""
    monkeypatch.setenv("MEMORIZZ_EMBEDDED", "0")
    with ConnectionPool(migrated_dsn, min_size=1, open=True) as pool, PostgreSQLProvider(pool=pool) as provider:
        use(provider)
        assert provider.config.database == psycopg.conninfo.conninfo_to_dict(migrated_dsn)["dbname"]

    async def main() -> int:
        async with (
            AsyncConnectionPool(migrated_dsn, min_size=1) as pool,
            AsyncPostgreSQLProvider(pool=pool) as provider,
        ):
            return await provider.count(LONG)

    assert loop.run(main()) == 0
    assert caplog.text == ""


def test_a_pool_is_sized_by_the_config(
    open_api: Callable[..., Any], config: PostgreSQLConfig, connection: psycopg.Connection[Any],
    wait_for: Callable[..., Any],
) -> None:  # fmt: skip
    """min_size connections are kept, no more than max_size are made."""
    with open_api(config.replace(min_size=3, max_size=3)) as api:
        api.count(LONG)
        wait_for(lambda: len(states(connection)) == 3, "the pool to fill")
        with api.transaction() as one, api.transaction() as two, api.transaction() as three:
            assert [tx.count(LONG) for tx in (one, two, three)] == [0, 0, 0]
            assert len(states(connection)) == 3


def test_the_pooled_provider_takes_its_sizes(
    config: PostgreSQLConfig, connection: psycopg.Connection[Any], wait_for: Callable[..., Any]
) -> None:
    """PooledPostgreSQLProvider(config, min_conn, max_conn) is a PostgreSQLProvider with a pool of that size."""
    with PooledPostgreSQLProvider(config, min_conn=2, max_conn=5) as provider:
        assert isinstance(provider, PostgreSQLProvider)
        assert (provider.config.min_size, provider.config.max_size) == (2, 5)
        wait_for(lambda: len(states(connection)) == 2, "the pool to fill")
        use(provider)
    with PooledPostgreSQLProvider(config) as provider:
        assert (provider.config.min_size, provider.config.max_size) == (1, 20)


def test_a_full_pool_is_not_taken_for_a_server_that_is_gone(open_api: Callable[..., Any], own_database: Any) -> None:
    """A pool that could not connect says why; once it can again, a full one is a full one, and nothing is tried."""
    name = psycopg.conninfo.conninfo_to_dict(own_database.dsn)["dbname"]
    beside = psycopg.connect(own_database.dsn, dbname="postgres", autocommit=True)

    def sessions() -> int:
        row = beside.execute("SELECT sessions FROM pg_stat_database WHERE datname = %s", [name]).fetchone()
        assert row is not None
        return row[0]

    with beside, open_api(own_database.config(min_size=1, max_size=1, pool_timeout=1)) as api:
        assert api.count(LONG) == 0
        beside.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        beside.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", [name])
        with pytest.raises(ConnectionFailed, match="not currently accepting"):
            api.count(LONG)
        beside.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        with api.transaction() as tx:
            assert tx.count(LONG) == 0
            before = sessions()
            for _ in range(3):
                with pytest.raises(PoolTimeout, match="max_size"):
                    api.count(LONG)
            assert sessions() == before


def test_who_waits_while_the_pool_gives_up_is_served_once_the_server_is_back(
    open_api: Callable[..., Any], own_database: Any
) -> None:
    """The first caller is told why; the second, who still waits when the server answers again, gets a connection."""
    name = psycopg.conninfo.conninfo_to_dict(own_database.dsn)["dbname"]
    beside = psycopg.connect(own_database.dsn, dbname="postgres", autocommit=True)
    with beside, open_api(own_database.config(max_size=1, pool_timeout=1)) as api, ThreadPoolExecutor() as threads:
        assert api.count(LONG) == 0
        beside.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        beside.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", [name])
        first = threads.submit(api.count, LONG)
        time.sleep(0.5)
        second = threads.submit(api.count, LONG)
        with pytest.raises(ConnectionFailed, match="not currently accepting"):
            first.result()
        # Until the pool has given up, too.
        time.sleep(0.2)
        beside.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert second.result() == 0


@pytest.mark.parametrize(("threshold", "prepared"), [(None, False), (0, True), (5, True)])
def test_statements_are_prepared_by_the_threshold(
    config: PostgreSQLConfig, connection: psycopg.Connection[Any], threshold: int | None, prepared: bool
) -> None:
    """prepare_threshold=None prepares nothing, for poolers that hand a session to another; else statements are."""
    connection.execute(
        "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN NEW.role := (SELECT count(*) FROM pg_prepared_statements); RETURN NEW; END$$;"
        "CREATE TRIGGER tell BEFORE INSERT ON long_term_memory FOR EACH ROW EXECUTE FUNCTION tell()"
    )
    with PostgreSQLProvider(config.replace(prepare_threshold=threshold, max_size=1)) as provider:
        for _ in range(10):
            id = provider.store({"name": "Ada", "embedding": EAST}, LONG)
            provider.retrieve_by_id(id, LONG)
            provider.retrieve_by_query({"embedding": EAST, "name": "Ada"}, LONG, limit=50)
            provider.store_many([{"a": 1}, {"a": 2}], LONG)
        last = provider.retrieve_by_id(provider.store({}, LONG), LONG)
    assert last is not None
    assert (int(last["role"]) > 0) is prepared


# --- a session that is not UTC ------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata", "UTC+14", "<+0545>-05:45"])
def test_the_sessions_time_zone_changes_nothing(
    open_api: Callable[..., Any], config: PostgreSQLConfig, zone: str
) -> None:
    """Times come back as they went in, the first and the last that there are too, in whatever zone the server lives."""
    times = ["0001-01-01T00:00:00+00:00", "1969-07-20T20:17:40.123456+00:00", "9999-12-31T23:59:59.999999+00:00"]
    with open_api(config.replace(libpq={"options": f"-c TimeZone={zone}"})) as api:
        for moment in times:
            id = api.store({"timestamp": moment, "created_at": moment}, LONG)
            stored = api.retrieve_by_id(id, LONG)
            assert [stored[key].isoformat() for key in ("timestamp", "created_at")] == [moment, moment]
            assert api.count(LONG, {"timestamp": moment}) == 1
        assert [each["created_at"].isoformat() for each in api.iterate(LONG, batch_size=1)] == times
        ids = api.store_many([{"memory_id": "m", "timestamp": moment} for moment in times], "conversation_memory")
        for n, id in enumerate(ids):
            turns = api.retrieve_conversation_history_ordered_by_timestamp("m", before=id)
            assert [turn["timestamp"].isoformat() for turn in turns] == times[:n]


# --- logs ---------------------------------------------------------------------------------------------------------


def test_debug_logging_tells_no_secret(
    open_api: Callable[..., Any], config: PostgreSQLConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """At DEBUG each statement is logged with its time, and no password, no content and no embedding."""
    caplog.set_level(logging.DEBUG)
    secret = config.replace(password="s3cret-password")
    with open_api(secret) as api:
        api.store({"content": "s3cret-content", "embedding": [0.123456, 0.2, 0.3, 0.4]}, LONG)
        api.store_many([{"content": "s3cret-content", "embedding": [0.123456, 0.2, 0.3, 0.4]}], LONG)
        api.retrieve_by_query({"content": "s3cret-content", "embedding": [0.123456, 0.2, 0.3, 0.4]}, LONG, limit=50)
        with pytest.raises(MemorizzError):
            api.store({"id": "s3cret-content", "_id": "s3cret-other"}, LONG)
    ours = [record for record in caplog.records if record.name == "memorizz.postgresql"]
    assert any("INSERT INTO" in record.getMessage() and " ms" in record.getMessage() for record in ours)
    assert any("ORDER BY" in record.getMessage() for record in ours)
    assert "s3cret" not in caplog.text
    assert "0.123456" not in caplog.text
    assert "\\x3d" not in caplog.text


def test_nothing_is_logged_above_info_in_good_times(
    open_api: Callable[..., Any], dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Opening, migrating, using and closing warn of nothing."""
    with open_api(PostgreSQLConfig(dsn=dsn, embedding_dimensions=4)) as api:
        use(api)
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def test_records_have_fields(
    open_api: Callable[..., Any], config: PostgreSQLConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """A formatter that writes JSON finds numbers under stable names; in none of it is what was stored or asked, or the
    way in."""
    caplog.set_level(logging.DEBUG, "memorizz")
    with open_api(config.replace(password="s3cret")) as api:
        api.store_many([{"content": "xyzzy tea", "embedding": [0.123456, 0, 0, 0]} for _ in range(3)], LONG)
        api.retrieve_by_query({"$text": {"$search": "xyzzy"}}, LONG)
        api.purge_expired()
        with pytest.raises(MemorizzError):
            api.retrieve_by_query({"xyzzy": {"$nothing": 1}}, LONG)
    usual = vars(logging.makeLogRecord({})).keys() | {"message", "asctime", "taskName"}
    told = [{key: each for key, each in vars(record).items() if key not in usual} for record in caplog.records]
    lines = json.dumps([told, [record.getMessage() for record in caplog.records]])
    assert [secret for secret in ("xyzzy", "s3cret", "0.123456") if secret in lines] == []
    statements = [each for each in told if "seconds" in each]
    assert all(each.keys() == {"seconds", "rows", "statements"} for each in statements)
    assert all(type(each["seconds"]) is float and type(each["rows"]) is int for each in statements)
    assert max(each["statements"] for each in statements) > 1
