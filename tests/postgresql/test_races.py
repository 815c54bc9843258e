"""Races: many threads, one store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from memorizz.errors import InvalidDocument
from memorizz.memory_provider import _values
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider

LONG = MemoryType.LONG_TERM_MEMORY
TURNS = MemoryType.CONVERSATION_MEMORY
# Whether one of those who are connected to a database waits for another.
WAITING = "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def wide(open_api: Callable[..., Any], config: PostgreSQLConfig) -> Iterator[Any]:
    """A provider with a connection for each of sixteen threads."""
    with open_api(config.replace(max_size=16)) as api:
        yield api


def at_once(threads: int, call: Callable[[int], Any]) -> list[Any]:
    """Call a function with 0, 1, ... in so many threads that start together; return what the calls bring."""
    barrier = threading.Barrier(threads)

    def work(n: int) -> Any:
        barrier.wait()
        return call(n)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, range(threads)))


@pytest.mark.parametrize("call", ["store", "store_many", "transaction"])
def test_sixteen_threads_storing_one_id_make_one_document(wide: Any, call: str) -> None:
    """Each brings a key of its own, and the one document in the end has them all."""

    def store(n: int) -> Any:
        document = {"_id": "one", f"key{n}": n, "name": "Ada"}
        if call == "store":
            return wide.store(document, LONG)
        if call == "store_many":
            return wide.store_many([document], LONG)[0]
        with wide.transaction() as tx:
            return tx.store(document, LONG)

    assert at_once(16, store) == ["one"] * 16
    [stored] = wide.list_all(LONG)
    assert {key: stored[key] for key in stored if key.startswith("key")} == {f"key{n}": n for n in range(16)}


def test_an_id_that_another_transaction_stores_meanwhile_is_merged(wide: Any, config: PostgreSQLConfig) -> None:
    """Many new documents go in together: they wait for the other, and are then stored all the same."""
    with psycopg.connect(config.conninfo) as other, ThreadPoolExecutor(1) as thread:
        key = _values.id_key("d7")
        other.execute("INSERT INTO long_term_memory (id, data) VALUES (%s, %s)", (key, '{"_id": "d7", "theirs": 1}'))
        stored = thread.submit(wide.store_many, [{"id": f"d{n}", "n": n} for n in range(30)], LONG)
        while other.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() != (1,):
            assert not stored.done()
        other.commit()
        assert stored.result(30) == [f"d{n}" for n in range(30)]
    found = {each["id"]: each for each in wide.list_all(LONG)}
    assert len(found) == 30
    assert (found["d7"]["n"], found["d7"]["theirs"]) == (7, 1)


def test_nothing_is_stored_where_another_memory_stores_one_of_the_ids_meanwhile(
    wide: Any, config: PostgreSQLConfig
) -> None:
    """One statement stores all: it has begun with the others when it learns whose the id is."""
    with psycopg.connect(config.conninfo) as other, ThreadPoolExecutor(1) as thread:
        key = _values.id_key("d7")
        other.execute("INSERT INTO long_term_memory (id, memory_id) VALUES (%s, 'theirs')", (key,))
        stored = thread.submit(wide.memory("ours").store_many, [{"id": f"d{n}", "n": n} for n in range(9)], LONG)
        while other.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() != (1,):
            assert not stored.done()
        other.commit()
        with pytest.raises(InvalidDocument, match="'d7' in this memory"):
            stored.result(30)
    assert wide.count(LONG) == 1


def test_what_has_expired_meanwhile_is_replaced_among_others(wide: Any, config: PostgreSQLConfig) -> None:
    """A document that expires under the one statement that merges it with others is not merged, but made anew."""
    wide.store({"id": "d7", "old": 1}, LONG)
    with psycopg.connect(config.conninfo) as other, ThreadPoolExecutor(1) as thread:
        other.execute("UPDATE long_term_memory SET expires_at = '2020-01-01'")
        stored = thread.submit(wide.store_many, [{"id": f"d{n}", "n": n} for n in range(9)], LONG)
        while other.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() != (1,):
            assert not stored.done()
        other.commit()
        assert stored.result(30) == [f"d{n}" for n in range(9)]
    found = {each["id"]: each for each in wide.list_all(LONG)}
    assert len(found) == 9
    assert (found["d7"]["n"], "old" in found["d7"]) == (7, False)


def test_updates_of_one_document_lose_nothing(wide: Any) -> None:
    """Eight threads that merge different keys, many times, all end up in it."""
    wide.store({"id": "one"}, LONG)

    def update(n: int) -> bool:
        return all(wide.update_by_id("one", {f"key{n}": i, "name": f"{n}"}, LONG) for i in range(20))

    assert at_once(8, update) == [True] * 8
    stored = wide.retrieve_by_id("one", LONG)
    assert [stored[f"key{n}"] for n in range(8)] == [19] * 8


@pytest.mark.parametrize("call", ["store", "store_many", "update_by_id", "update"])
def test_the_later_change_of_a_document_has_the_later_time(wide: Any, config: PostgreSQLConfig, call: str) -> None:
    """Also where it was asked for first, and has waited for the transaction of the other one."""
    wide.store({"id": "one", "name": "Ada"}, LONG)
    changes: dict[str, Callable[[], Any]] = {
        "store": lambda: wide.store({"id": "one", "waited": True}, LONG),
        "store_many": lambda: wide.store_many([{"id": "one", "waited": True}, {"id": "two"}], LONG),
        "update_by_id": lambda: wide.update_by_id("one", {"waited": True}, LONG),
        "update": lambda: wide.update(LONG, {"name": "Ada"}, {"waited": True}),
    }
    with ThreadPoolExecutor(1) as thread, psycopg.connect(config.conninfo, autocommit=True) as observer:
        with wide.transaction() as tx:
            tx.update_by_id("one", {"n": 1}, LONG)
            changed = thread.submit(changes[call])
            while observer.execute(WAITING).fetchone() != (True,):
                assert not changed.done()
            tx.update_by_id("one", {"n": 2}, LONG)
            before = tx.retrieve_by_id("one", LONG)["updated_at"]
        changed.result(30)
    found = wide.retrieve_by_id("one", LONG)
    assert (found["n"], found["waited"]) == (2, True)
    assert found["updated_at"] > before


def test_a_reader_of_store_many_sees_none_or_all(wide: Any, provider: PostgreSQLProvider) -> None:
    """While batches are written, every read sees nothing of them, and afterwards everything."""
    seen: list[int] = []

    def documents() -> Iterator[dict[str, Any]]:
        for n in range(1200):
            if n == 1100:
                seen.extend(
                    (
                        provider.count(TURNS),
                        len(provider.list_all(TURNS)),
                        len(provider.retrieve_by_query({"embedding": [1, 0, 0, 0]}, TURNS, limit=9)),
                        len(provider.retrieve_conversation_history_ordered_by_timestamp("m")),
                    )
                )
            yield {"memory_id": "m", "n": n, "embedding": [1, n % 50, 0, 0]}

    assert len(wide.store_many(documents(), TURNS)) == 1200
    assert seen == [0, 0, 0, 0]
    assert wide.count(TURNS) == 1200


def test_delete_by_name_by_eight_threads_deletes_eight_documents(wide: Any) -> None:
    """Each of them deletes another one, and says True for it; who comes too late says False."""
    wide.store_many([{"name": "Ada", "n": n} for n in range(10)], LONG)
    assert at_once(8, lambda n: wide.delete_by_name("Ada", LONG)) == [True] * 8
    assert [each["n"] for each in wide.list_all(LONG)] == [0, 1]
    assert sorted(at_once(8, lambda n: wide.delete_by_name("Ada", LONG))) == [False] * 6 + [True] * 2
    assert wide.count(LONG) == 0


def test_delete_by_name_takes_the_next_where_it_came_too_late(
    wide: Any, migrated_dsn: str, wait_for: Callable[..., Any]
) -> None:
    """Whoever waited for a document that somebody else then deleted deletes the next of that name, and says True."""
    wide.store_many([{"name": "Ada", "n": n} for n in range(2)], LONG)
    with (
        psycopg.connect(migrated_dsn, autocommit=True) as looking,
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(migrated_dsn) as other,
    ):
        other.execute("DELETE FROM long_term_memory WHERE data @> '{\"n\": 1}'")
        deleted = pool.submit(wide.delete_by_name, "Ada", LONG)
        wait_for(lambda: looking.execute(WAITING).fetchone() == (True,), "delete_by_name to wait")
        other.commit()
        assert deleted.result(30) is True
    assert wide.count(LONG) == 0


@pytest.mark.parametrize("change", ["delete", "update"])
def test_what_stops_matching_meanwhile_is_left(
    wide: Any, migrated_dsn: str, wait_for: Callable[..., Any], change: str
) -> None:
    """A change of what matches waits for another transaction, and looks again at what that has made of it."""
    wide.store_many([{"id": id, "n": 1} for id in "ab"], LONG)
    arguments = [{"n": 1}] if change == "delete" else [{"n": 1}, {"n": 3}]
    with (
        psycopg.connect(migrated_dsn, autocommit=True) as looking,
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(migrated_dsn) as other,
    ):
        other.execute("UPDATE long_term_memory SET data = data || '{\"n\": 2}' WHERE data ->> '_id' = 'b'")
        changed = pool.submit(getattr(wide, change), LONG, *arguments)
        wait_for(lambda: looking.execute(WAITING).fetchone() == (True,), f"{change} to wait")
        other.commit()
        assert changed.result(30) == 1
    assert wide.distinct(LONG, "n") == ([2] if change == "delete" else [2, 3])


WRITES: dict[str, Callable[[Any], Any]] = {
    "store": lambda api: api.store({"id": "d0", "n": 1}, LONG),
    "store_many": lambda api: api.store_many([{"id": f"d{n}", "n": 1} for n in range(3)], LONG),
    "copy": lambda api: api.store_many([{"id": f"d{n}", "n": 1} for n in range(30)], LONG),
    "update_by_id": lambda api: api.update_by_id("d0", {"n": 1}, LONG),
    "touch": lambda api: api.retrieve_by_query({"embedding": [1, 0, 0, 0]}, LONG, touch=True),
    "delete_by_id": lambda api: api.delete_by_id("d0", LONG),
    "delete_by_name": lambda api: api.delete_by_name("Ada", LONG),
    "update": lambda api: api.update(LONG, {"id": "d0"}, {"n": 1}),
    "delete": lambda api: api.delete(LONG, {"id": "d0"}),
    "delete_all": lambda api: api.delete_all(LONG),
    "purge_expired": lambda api: api.purge_expired(LONG),
    "delete_memagent": lambda api: api.delete_memagent("agent", cascade=True),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_change_of_a_table_that_writers_wait_for_meets_no_deadlock(
    wide: Any, config: PostgreSQLConfig, write: str
) -> None:
    """It has locked writers out, and then readers: a writer that waits holds no reader's lock in its way."""
    wide.store_many(
        [{"id": f"d{n}", "name": "Ada", "memory_id": "m", "embedding": [1, n, 0, 0]} for n in range(3)], LONG
    )
    wide.store({"name": "gone", "expires_at": "2020-01-01"}, LONG)
    wide.store({"id": "agent", "memory_ids": ["m"]}, MemoryType.MEMAGENT)
    with psycopg.connect(config.conninfo) as other, ThreadPoolExecutor(1) as thread:
        other.execute("LOCK TABLE long_term_memory IN SHARE ROW EXCLUSIVE MODE")
        written = thread.submit(WRITES[write], wide)
        while other.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() != (1,):
            assert not written.done()
        other.execute("LOCK TABLE long_term_memory IN ACCESS EXCLUSIVE MODE")
        other.commit()
        assert written.result(30)


def test_delete_by_id_says_true_to_one(wide: Any) -> None:
    """Of eight that delete the same document one has."""
    for _ in range(5):
        id = wide.store({}, LONG)
        assert sorted(at_once(8, lambda n, id=id: wide.delete_by_id(id, LONG))) == [False] * 7 + [True]


def test_an_expired_id_is_taken_over_once(wide: Any) -> None:
    """Threads that store under an expired document's id make one new document of all their keys."""
    wide.store({"id": "one", "old": 1, "expires_at": "2020-01-01"}, LONG)
    assert at_once(8, lambda n: wide.store({"id": "one", f"key{n}": n}, LONG)) == ["one"] * 8
    [stored] = wide.list_all(LONG)
    assert {key for key in stored if key.startswith("key")} == {f"key{n}" for n in range(8)}
    assert "old" not in stored


def test_turns_of_one_thread_keep_their_order_among_many(wide: Any) -> None:
    """Eight that tell into one memory at once: each one's turns read back in the order in which it told them."""

    def tell(n: int) -> None:
        for i in range(15):
            wide.store({"memory_id": "m", "role": str(n), "i": i}, TURNS)

    at_once(8, tell)
    history = wide.retrieve_conversation_history_ordered_by_timestamp("m")
    assert [[turn["i"] for turn in history if turn["role"] == str(n)] for n in range(8)] == [list(range(15))] * 8


def test_one_config_opened_by_many_at_once(open_api: Callable[..., Any], dsn: str) -> None:
    """Eight providers opened by threads on an empty database all come up."""
    config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=4, max_size=1)

    def work(n: int) -> int:
        with open_api(config) as api:
            return len(api.store({}, LONG))

    assert at_once(8, work) == [36] * 8


def test_a_provider_closed_under_its_callers_is_said(wide: Any) -> None:
    """Calls that are under way when the provider is closed end well or with ProviderClosed, and none hangs."""
    started = threading.Barrier(5)

    def work(n: int) -> str:
        started.wait()
        try:
            while True:
                wide.store({}, LONG)
        except Exception as error:
            return type(error).__name__

    with ThreadPoolExecutor(4) as pool:
        results = [pool.submit(work, n) for n in range(4)]
        started.wait()
        wide.close()
        assert [result.result(30) for result in results] == ["ProviderClosed"] * 4
