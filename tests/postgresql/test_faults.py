"""Faults, as they happen: killed and stopped servers, full pools, deadlocks, read-only servers, cancelled tasks."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import psycopg
import pytest

from memorizz.errors import (
    ConnectionFailed,
    DatabaseError,
    OperationTimeout,
    PoolTimeout,
    ReadOnlyError,
    StorageFull,
)
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

LONG = MemoryType.LONG_TERM_MEMORY
Sql = psycopg.Connection[Any]


def lose(sql: Sql, pids: list[int]) -> None:
    """End backends as an administrator or a failover does, and wait until they are gone."""
    for pid in pids:
        sql.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])


CALLS: dict[str, Callable[[Any, str], Any]] = {
    "read": lambda api, id: api.retrieve_by_id(id, LONG),
    "store": lambda api, id: api.store({"a": 1}, LONG),
    "update": lambda api, id: api.update_by_id(id, {"a": 1}, LONG),
    "delete": lambda api, id: api.delete_by_id(id, LONG),
    "batch": lambda api, id: api.purge_expired() == 0,
    "search": lambda api, id: api.retrieve_by_query({"embedding": [1, 0, 0, 0]}, LONG, limit=50),
    "transaction": lambda api, id: api.store_many([{"id": id}, {"id": id}], LONG),
}


# --- lost connections ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", CALLS)
def test_a_call_after_the_connection_was_ended_works(
    open_api: Callable[..., Any], own_database: Any, sql: Sql, call: str
) -> None:
    """A pooled connection that the server ended while it was idle is noticed before anything is sent."""
    with open_api(own_database.config()) as api:
        id = api.store({"name": "Ada", "embedding": [1, 0, 0, 0]}, LONG)
        lose(sql, own_database.backends(sql))
        assert CALLS[call](api, id)


def test_a_whole_pool_of_ended_connections_is_replaced(
    open_api: Callable[..., Any], own_database: Any, sql: Sql, wait_for: Callable[..., Any]
) -> None:
    """After a failover that ended every connection of a pool, each of as many callers is served."""
    with open_api(own_database.config(min_size=6, max_size=6, pool_timeout=5)) as api:
        wait_for(lambda: len(own_database.backends(sql)) == 6, "the pool to fill")
        lose(sql, own_database.backends(sql))
        assert [result() for result in [in_thread(lambda: api.count(LONG)) for _ in range(6)]] == [0] * 6


def test_a_call_after_kill_9_of_a_backend_works(
    open_api: Callable[..., Any], own_database: Any, wait_for: Callable[..., Any]
) -> None:
    """A killed backend takes the whole server through recovery; the next call waits for it and nothing is lost."""
    with open_api(own_database.config(min_size=1, max_size=1)) as api:
        id = api.store({"name": "Ada"}, LONG)
        with psycopg.connect(own_database.dsn) as connection:
            [pid] = own_database.backends(connection)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not psutil.pid_exists(pid), "the backend's end")
        assert api.retrieve_by_id(id, LONG)["name"] == "Ada"
        assert api.store({"id": "b"}, LONG) == "b"
        assert api.count(LONG) == 2


def test_a_call_after_a_restart_of_the_server_works(
    open_api: Callable[..., Any], own_database: Any, own_server: EmbeddedServer
) -> None:
    """A server that was stopped and started again between two calls is a server like before."""
    with open_api(own_database.config()) as api:
        api.store({"name": "Ada"}, LONG)
        own_server.stop()
        own_server.acquire()
        own_server.release()
        assert api.retrieve_by_name("Ada", LONG) is not None
        assert api.delete_by_name("Ada", LONG) is True


def test_a_connection_lost_in_a_transaction_loses_all_of_it(
    open_api: Callable[..., Any], own_database: Any, sql: Sql
) -> None:
    """What was lost on the way is a ConnectionFailed, nothing is stored, and the provider goes on."""

    def block() -> None:
        with api.transaction() as tx:
            tx.store({"id": "a"}, LONG)
            lose(sql, own_database.backends(sql))
            tx.store({"id": "b"}, LONG)

    with open_api(own_database.config()) as api:
        with pytest.raises(ConnectionFailed):
            block()
        assert api.count(LONG) == 0
        assert api.store({"id": "c"}, LONG) == "c"


def test_a_transaction_whose_connection_is_lost_at_its_end_is_an_error(
    open_api: Callable[..., Any], own_database: Any, sql: Sql
) -> None:
    """A block that ends well but cannot be committed does not look as if it had been."""

    def block() -> None:
        with api.transaction() as tx:
            tx.store({"id": "a"}, LONG)
            lose(sql, own_database.backends(sql))

    with open_api(own_database.config()) as api:
        with pytest.raises(ConnectionFailed):
            block()
        assert api.count(LONG) == 0


# --- time ---------------------------------------------------------------------------------------------------------


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("call", ["read", "store", "batch", "transaction"])
def test_a_server_that_does_not_answer_is_given_up(
    open_api: Callable[..., Any], own_database: Any, sql: Sql, call: str
) -> None:
    """A stopped backend is an OperationTimeout; its connection is given up, and the pool's only place is free again."""
    with open_api(own_database.config(max_size=1, operation_timeout=1)) as api:
        id = api.store({"name": "Ada"}, LONG)
        [pid] = own_database.backends(sql)
        with stopped(pid):
            with pytest.raises(OperationTimeout, match="operation_timeout"):
                CALLS[call](api, id)
            assert api.retrieve_by_id(id, LONG)["name"] == "Ada"


def test_an_operation_that_waits_for_a_lock_is_given_up(
    open_api: Callable[..., Any], own_database: Any, sql: Sql
) -> None:
    """A document that somebody else has locked is an OperationTimeout, in a transaction too, and nothing is stored."""

    def block() -> None:
        with api.transaction() as tx:
            tx.store({"id": "b"}, LONG)
            tx.update_by_id("a", {"n": 1}, LONG)

    with open_api(own_database.config(operation_timeout=0.3)) as api:
        api.store({"id": "a"}, LONG)
        with sql.transaction():
            sql.execute("SELECT FROM long_term_memory FOR UPDATE")
            with pytest.raises(OperationTimeout):
                api.update_by_id("a", {"n": 1}, LONG)
            with pytest.raises(OperationTimeout):
                block()
        assert [(each["id"], each.get("n")) for each in api.list_all(LONG)] == [("a", None)]


def test_the_servers_own_timeout_is_an_operation_timeout(
    open_api: Callable[..., Any], own_database: Any, sql: Sql
) -> None:
    """statement_timeout and lock_timeout of the server are told as what they are."""
    for setting in ("statement_timeout", "lock_timeout"):
        with open_api(own_database.config(options=f"-c {setting}=100ms")) as api:
            api.store({"id": "a"}, LONG)
            with sql.transaction():
                sql.execute("SELECT FROM long_term_memory FOR UPDATE")
                with pytest.raises(OperationTimeout):
                    api.update_by_id("a", {"n": 1}, LONG)


def test_statements_behind_one_that_failed_can_be_sent_again(
    open_api: Callable[..., Any], own_database: Any, sql: Sql
) -> None:
    """Of several in one round trip, those that the server passed over are not taken for prepared from then on."""
    config = own_database.config(options="-c statement_timeout=200ms", max_size=1, prepare_threshold=1)
    with open_api(config) as api:
        for calls in (1, 2, 3):
            with sql.transaction():
                sql.execute(f"LOCK TABLE {api.stores()[0].name} IN ACCESS EXCLUSIVE MODE")
                with pytest.raises(OperationTimeout):
                    api.purge_expired()
            assert [api.purge_expired() for _ in range(calls)] == [0] * calls


def test_what_the_server_refuses_is_said_once(
    open_api: Callable[..., Any], own_database: Any, sql: Sql, caplog: pytest.LogCaptureFixture
) -> None:
    """By the error: no log of the driver has it too, where answers come while there is more to send."""
    with open_api(own_database.config()) as api:
        sql.execute("ALTER TABLE long_term_memory ADD CONSTRAINT agreed CHECK (content <> 'refused')")
        with pytest.raises(DatabaseError, match="agreed"):
            api.store_many([{"id": "a", "content": "refused"}, *({"id": "a", "n": n} for n in range(400))], LONG)
        assert api.count(LONG) == 0
    assert [each.getMessage() for each in caplog.records if each.name.startswith("psycopg")] == []


def test_a_frozen_server_is_not_called_a_full_pool(
    open_api: Callable[..., Any], own_database: Any, own_server: EmbeddedServer, sql: Sql
) -> None:
    """A server that accepts no connection any more, and does not refuse one, is a ConnectionFailed that says so."""
    config = own_database.config(min_size=0, max_size=1, pool_timeout=0.3, connect_timeout=2)
    with open_api(config) as api:
        assert api.count(LONG) == 0
        lose(sql, own_database.backends(sql))
        with stopped(own_server.status().pid or 0), pytest.raises(ConnectionFailed, match="Failed to connect"):
            api.count(LONG)
        assert api.count(LONG) == 0


SENT = ["read", "store", "update", "delete", "batch", "search", "transaction"]


@pytest.mark.parametrize("call", SENT)
def test_the_servers_transaction_timeout_is_an_operation_timeout(
    open_api: Callable[..., Any], own_database: Any, sql: Sql, wait_for: Callable[..., Any], call: str
) -> None:
    """What took longer than transaction_timeout is told as that, and not sent again: one session ends, and no more."""
    with open_api(own_database.config(options="-c transaction_timeout=200ms")) as api:
        id = api.store({"name": "Ada", "embedding": [1, 0, 0, 0]}, LONG)
        with sql.transaction():
            sql.execute("LOCK TABLE long_term_memory, conversation_memory")
            with pytest.raises(OperationTimeout, match="transaction_timeout"):
                CALLS[call](api, id)
        assert wait_for(lambda: ended(sql), "the end of the session") == (1, 0)
        assert api.retrieve_by_id(id, LONG)["name"] == "Ada"


@pytest.mark.parametrize("call", SENT)
def test_a_session_that_is_ended_on_purpose_is_not_gone_on_with(
    open_api: Callable[..., Any], own_database: Any, sql: Sql, wait_for: Callable[..., Any], call: str
) -> None:
    """Whoever ends what takes too long has ended it: it is told as a termination, and no other session goes on."""
    with open_api(own_database.config()) as api, psycopg.connect(own_database.dsn, autocommit=True) as other:
        id = api.store({"name": "Ada", "embedding": [1, 0, 0, 0]}, LONG)
        with sql.transaction():
            sql.execute("LOCK TABLE long_term_memory, conversation_memory")
            result = in_thread(lambda: CALLS[call](api, id))
            lose(other, [wait_for(lambda: waiting(other), "the call to wait for the lock")])
            error = result()
        assert isinstance(error, ConnectionFailed)
        assert "ended this connection on purpose" in str(error)
        assert wait_for(lambda: ended(sql), "the end of the session") == (0, 1)
        assert api.retrieve_by_id(id, LONG)["name"] == "Ada"


def ended(sql: Sql) -> tuple[int, int] | None:
    """How many sessions the server has ended by a fatal error of theirs and by an administrator; None for neither."""
    sql.execute("SELECT pg_stat_clear_snapshot()")
    found = sql.execute(
        "SELECT sessions_fatal::int, sessions_killed::int FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone()
    return found if found is not None and any(found) else None


def test_an_exhausted_pool_is_a_pool_timeout(open_api: Callable[..., Any], own_database: Any) -> None:
    """Whoever finds no free connection is told so within pool_timeout, and what to raise."""
    with open_api(own_database.config(max_size=1, pool_timeout=0.3)) as api:
        started = time.monotonic()
        with api.transaction():
            for call in (lambda: api.count(LONG), lambda: api.transaction().__enter__()):
                with pytest.raises(PoolTimeout, match="max_size"):
                    call()
        assert time.monotonic() - started < 10
        assert api.count(LONG) == 0


# --- conflicts ----------------------------------------------------------------------------------------------------


def in_thread(call: Callable[[], Any]) -> Callable[[], Any]:
    """Start a call in a thread; the function returned waits for what it returns."""
    brought: list[Any] = []

    def run() -> None:
        try:
            brought.append(call())
        except Exception as error:
            brought.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def result() -> Any:
        thread.join(30)
        return brought[0]

    return result


def waiting(sql: Sql) -> int | None:
    """The pid of a session of a provider that waits for a lock."""
    row = sql.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'memorizz' AND datname = current_database() "
        "AND wait_event_type = 'Lock'"
    ).fetchone()
    return row and row[0]


def is_waiting(sql: Sql) -> bool:
    return waiting(sql) is not None


IDS = [f"0190f5c8-0000-7000-8000-00000000000{n}" for n in (1, 2)]


def test_a_deadlock_is_tried_again(
    open_api: Callable[..., Any], own_database: Any, sql: Sql, wait_for: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """The victim of a deadlock, of which nothing was done, is tried again and succeeds."""
    caplog.set_level(logging.DEBUG, "memorizz.postgresql")
    with (
        psycopg.connect(own_database.dsn, options="-c deadlock_timeout=1min") as other,
        open_api(own_database.config(options="-c deadlock_timeout=500ms")) as api,
    ):
        # Whatever order they are deleted in, by key or as they were stored, a comes before b.
        for name, id in zip("ab", IDS, strict=True):
            api.store({"id": id, "name": name}, LONG)
        other.execute("SELECT FROM long_term_memory WHERE name = 'b' FOR UPDATE")
        deleted = in_thread(lambda: api.delete_all(LONG))
        wait_for(lambda: is_waiting(sql), "delete_all to wait for b")
        other.execute("UPDATE long_term_memory SET content = 'x' WHERE name = 'a'")
        other.commit()
        assert deleted() is True
        assert api.count(LONG) == 0
    assert "deadlock detected" in caplog.text


class Queue:
    """Documents that are used up when they are read, and not by an iterator."""

    def __init__(self, documents: list[dict[str, Any]]) -> None:
        self._documents = documents

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while self._documents:
            yield self._documents.pop(0)


@pytest.mark.parametrize("kind", [list, tuple, Queue, iter], ids=lambda kind: kind.__name__)
def test_documents_are_stored_again_only_where_they_are_still_there(
    open_api: Callable[..., Any], own_database: Any, sql: Sql, wait_for: Callable[..., Any], kind: Any
) -> None:
    """store_many that lost a race is tried again with a list, and fails with what its first attempt used up."""
    failed: list[BaseException] = []

    def store() -> list[str]:
        try:
            return api.store_many(kind([{"id": id, "n": 1} for id in ("a", "b")]), LONG)
        except DatabaseError as error:
            failed.append(error)
            return []

    options = "-c default_transaction_isolation=serializable"
    with open_api(own_database.config(options=options)) as api, psycopg.connect(own_database.dsn) as other:
        api.store_many([{"id": "a"}, {"id": "b"}], LONG)
        other.execute("UPDATE long_term_memory SET content = 'theirs'")
        stored = in_thread(store)
        wait_for(lambda: is_waiting(sql), "store_many to wait")
        other.commit()
        ids = stored()
        if kind in (list, tuple):
            assert (ids, failed, api.count(LONG, {"n": 1})) == (["a", "b"], [], 2)
        else:
            assert (ids, api.count(LONG, {"n": 1})) == ([], 0)
            assert "could not serialize" in str(failed[0])


def test_a_serialization_failure_is_tried_again(
    open_api: Callable[..., Any], own_database: Any, sql: Sql, wait_for: Callable[..., Any]
) -> None:
    """On a server whose default is serializable, a lost race is run again and merges what the winner wrote."""
    options = "-c default_transaction_isolation=serializable"
    with open_api(own_database.config(options=options)) as api, psycopg.connect(own_database.dsn) as other:
        api.store({"id": "a"}, LONG)
        other.execute("UPDATE long_term_memory SET content = 'theirs'")
        updated = in_thread(lambda: api.update_by_id("a", {"name": "ours"}, LONG))
        wait_for(lambda: is_waiting(sql), "update_by_id to wait")
        other.commit()
        assert updated() is True
        stored = api.retrieve_by_id("a", LONG)
        assert (stored["name"], stored["content"]) == ("ours", "theirs")


def test_two_store_many_in_opposite_orders_both_succeed(open_api: Callable[..., Any], own_database: Any) -> None:
    """Writers of the same ids in opposite orders do not end in each other's deadlock."""
    ids = [f"id-{n}" for n in range(200)]
    with open_api(own_database.config(max_size=4, options="-c deadlock_timeout=10ms")) as api:
        api.store_many([{"id": id} for id in ids], LONG)
        for _ in range(5):
            calls = [
                in_thread(lambda order=order, key=key: api.store_many([{"id": id, key: 1} for id in order], LONG))
                for order, key in ((ids, "up"), (ids[::-1], "down"))
            ]
            assert [result() for result in calls] == [ids, ids[::-1]]
        assert api.count(LONG, {"up": 1, "down": 1}) == 200


# --- what the server refuses --------------------------------------------------------------------------------------


def test_a_read_only_server_reads(open_api: Callable[..., Any], own_database: Any) -> None:
    """Reads work, every write is a ReadOnlyError, and the provider goes on."""
    with open_api(own_database.config()) as api:
        id = api.store({"name": "Ada", "embedding": [1, 0, 0, 0]}, LONG)
    with open_api(own_database.config(options="-c default_transaction_read_only=on")) as api:
        for call in ("store", "update", "delete", "batch", "transaction"):
            with pytest.raises(ReadOnlyError, match="read-only"):
                CALLS[call](api, id)
        assert CALLS["read"](api, id)["name"] == "Ada"
        assert len(CALLS["search"](api, id)) == 1


def test_a_quota_that_is_used_up_is_storage_full(open_api: Callable[..., Any], own_database: Any) -> None:
    """A read that needs more temporary space than the server grants is a StorageFull."""
    with open_api(own_database.config()) as api:
        api.store_many([{"content": "x" * 1000, "n": n} for n in range(300)], LONG)
    options = "-c temp_file_limit=64kB -c work_mem=64kB -c enable_indexscan=off -c enable_incremental_sort=off"
    with open_api(own_database.config(options=options)) as api:
        with pytest.raises(StorageFull, match="room"):
            api.list_all(LONG)
        assert api.count(LONG) == 300


def test_a_full_disk_is_storage_full(open_api: Callable[..., Any], own_database: Any, sql: Sql) -> None:
    """The server's disk_full is a StorageFull that says so, and nothing is stored."""
    sql.execute(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END$$;"
        "CREATE TRIGGER full_disk AFTER INSERT ON long_term_memory FOR EACH STATEMENT EXECUTE FUNCTION full_disk()"
    )
    with open_api(own_database.config()) as api:
        for call in ("store", "transaction"):
            with pytest.raises(StorageFull, match="No space left on device"):
                CALLS[call](api, "a")
        assert api.count(LONG) == 0


def test_a_broken_transaction_does_not_look_whole(open_api: Callable[..., Any], own_database: Any, sql: Sql) -> None:
    """Where an error of the server was caught in a block, later calls in it and its end are errors; nothing is kept."""

    def block() -> None:
        with api.transaction() as tx:
            tx.store({"id": "b"}, LONG)
            with pytest.raises(OperationTimeout):
                tx.update_by_id("a", {"n": 1}, LONG)
            with pytest.raises(DatabaseError, match="aborted"):
                tx.store({"id": "c"}, LONG)

    with open_api(own_database.config(options="-c lock_timeout=50ms")) as api:
        api.store({"id": "a"}, LONG)
        with sql.transaction():
            sql.execute("SELECT FROM long_term_memory FOR UPDATE")
            with pytest.raises(DatabaseError, match="nothing of the transaction was kept"):
                block()
        assert [each["id"] for each in api.list_all(LONG)] == ["a"]


# --- cancelled tasks ----------------------------------------------------------------------------------------------


def test_a_cancelled_task_leaves_the_pool_clean(own_database: Any, sql: Sql, wait_for: Callable[..., Any]) -> None:
    """A task cancelled in the middle of a call, or of a transaction, leaves nothing behind and no connection in use."""

    async def in_transaction(provider: AsyncPostgreSQLProvider) -> None:
        async with provider.transaction() as tx:
            await tx.store({"id": "b"}, LONG)
            await tx.update_by_id("a", {"n": 1}, LONG)

    async def main() -> None:
        async with AsyncPostgreSQLProvider(own_database.config(max_size=1)) as provider:
            await provider.store({"id": "a"}, LONG)
            for call in (lambda: provider.update_by_id("a", {"n": 1}, LONG), lambda: in_transaction(provider)):
                with sql.transaction():
                    sql.execute("SELECT FROM long_term_memory FOR UPDATE")
                    task = asyncio.ensure_future(call())
                    await asyncio.to_thread(wait_for, lambda: is_waiting(sql), "the call to wait for the lock")
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                assert [(each["id"], each.get("n")) for each in await provider.list_all(LONG)] == [("a", None)]
            assert len(own_database.backends(sql)) == 1

    asyncio.run(main())
