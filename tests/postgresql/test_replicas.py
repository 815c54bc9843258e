"""Read replicas: reads go to a hot standby that streams, is killed, lags, conflicts with vacuum and is promoted."""

from __future__ import annotations

import logging
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from memorizz.errors import ConfigurationError, MemorizzError
from memorizz.memory_provider.base import SearchOptions
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.options import Call
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.driver import _replicas_async, _replicas_sync
from memorizz.memory_provider.postgresql.maintenance import Maintenance
from memorizz.memory_provider.stores import StoreSpec

LONG, TURNS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY
LOG = "memorizz.postgresql"
EAST = [1.0, 0.0, 0.0, 0.0]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left out is tried again soon, and a connection is asked often."""
    for module in (_replicas_async, _replicas_sync):
        monkeypatch.setattr(module, "LEFT_OUT_SECONDS", 0.1)
        monkeypatch.setattr(module, "FIT_SECONDS", 0.2)


class Pair:
    """A primary, its replica, and what writes on the primary beside the provider."""

    def __init__(self, database: Any, standby: Any, other: PostgreSQLProvider) -> None:
        self.database, self.standby, self.other = database, standby, other
        self.dsn = standby.dsn(database.dsn)

    def config(self, **options: Any) -> PostgreSQLConfig:
        host = conninfo_to_dict(self.dsn)["host"]
        return self.database.config(**{"replicas": [make_conninfo(host=host)]} | options)

    def on_replica(self, statement: str) -> Any:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            return connection.execute(statement).fetchone()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let the replica replay nothing in a block."""
        self.catch_up()
        self.on_replica("SELECT pg_wal_replay_pause()")
        while self.on_replica("SELECT pg_get_wal_replay_pause_state()") != ("paused",):
            pass
        try:
            yield
        finally:
            self.on_replica("SELECT pg_wal_replay_resume()")

    def catch_up(self) -> None:
        """Return when the replica has replayed all that is written."""
        self.standby.catch_up(self.database.dsn)


@pytest.fixture
def pair(own_database: Any, standby: Any) -> Iterator[Pair]:
    yield from _pair(own_database, standby)


@pytest.fixture
def pair_to_part(own_database: Any, fresh_standby: Any) -> Iterator[Pair]:
    yield from _pair(own_database, fresh_standby)


def _pair(database: Any, standby: Any) -> Iterator[Pair]:
    with PostgreSQLProvider(database.config()) as other:
        other.store_many([_document("a"), _document("b")], LONG)
        other.store({"id": "t", "role": "user", "content": "tea", "memory_id": "m", "embedding": EAST}, TURNS)
        pair = Pair(database, standby, other)
        pair.catch_up()
        yield pair


def _document(id: str, **keys: Any) -> dict[str, Any]:
    return {"id": id, "name": id, "content": "tea", "memory_id": "m", "embedding": EAST, **keys}


# Each finds the documents of the store; none but those of today.
READS: dict[str, Callable[[Any], Any]] = {
    "retrieve_by_id": lambda api: [api.retrieve_by_id(id, LONG) for id in ("a", "b", "c")],
    "retrieve_by_name": lambda api: [api.retrieve_by_name(name, LONG) for name in ("a", "b", "c")],
    "by a filter": lambda api: api.retrieve_by_query({"memory_id": "m"}, LONG, 5),
    "by a vector": lambda api: api.retrieve_by_query({"embedding": EAST}, LONG, 5),
    "by words": lambda api: api.retrieve_by_query({"$text": {"$search": "tea"}}, LONG, 5),
    "by both": lambda api: api.retrieve_by_query("tea", LONG, 5, exact=True),
    "components": lambda api: api.retrieve_memory_components_by_query("tea", memory_type=LONG),
    "recall": lambda api: [hit for hit in api.recall("tea") if hit["id"] != "t"],
    "list_all": lambda api: api.list_all(LONG),
    "iterate": lambda api: list(api.iterate(LONG)),
    "distinct": lambda api: [{"id": name} for name in api.distinct(LONG, "name")],
    "count": lambda api: [{"id": id} for id in "abc"[: api.count(LONG)]],
    "of a memory": lambda api: api.memory("m").list_all(LONG),
}


def ids(found: Any) -> list[str]:
    return sorted(each["id"] for each in found if each is not None)


def found_by(api: Any) -> dict[str, list[str]]:
    return {name: ids(read(api)) for name, read in READS.items()}


OLD, NEW = {name: ["a", "b"] for name in READS}, {name: ["a", "b", "c"] for name in READS}


def test_reads_go_to_the_replica_and_writes_to_the_primary(pair: Pair, open_api: Callable[..., Any]) -> None:
    """Whatever only reads has what the replica has; whatever may write, and a transaction, has what the primary has."""
    with open_api(pair.config(replica_lag=None)) as api, pair.paused():
        pair.other.store(_document("c"), LONG)
        assert found_by(api) == OLD
        assert ids(api.retrieve_conversation_history_ordered_by_timestamp("m")) == ["t"]
        with api.transaction() as transaction:
            assert found_by(transaction) == NEW
        assert api.retrieve_by_id("c", LONG, touch=True)["id"] == "c"
        touched = api.retrieve_by_query({"memory_id": "m"}, LONG, 5, options=SearchOptions(touch=True))
        assert ids(touched) == NEW["count"]
        assert api.run_many([Call("count", LONG)]) == [3]
        assert api.update_by_id("c", {"n": 1}, LONG)
        assert api.delete_by_id("c", LONG)


def test_what_a_provider_has_written_it_reads(pair: Pair, open_api: Callable[..., Any]) -> None:
    """By whichever call and in whichever view it was written, also where the replica does not replay."""
    writes: list[Callable[[Any], Any]] = [
        lambda api: api.store(_document("c"), LONG),
        lambda api: api.store_many([_document("c")], LONG),
        lambda api: api.memory("m").store(_document("c"), LONG),
        lambda api: api.run_many([Call("store", _document("c"), LONG)]),
        _in_transaction,
    ]
    with open_api(pair.config(replica_lag=None)) as api:
        for write in writes:
            api.delete(LONG, {"id": "c"})
            with pair.paused():
                assert found_by(api) == OLD
                write(api)
                assert found_by(api) == NEW


def _in_transaction(api: Any) -> None:
    with api.transaction() as transaction:
        transaction.store(_document("c"), LONG)


def test_a_position_lets_another_program_read_what_was_written(pair: Pair, open_api: Callable[..., Any]) -> None:
    """Through every view; without it the replica has what it has, and once it has replayed it serves again."""
    with open_api(pair.config(replica_lag=None)) as api:
        with pair.paused():
            pair.other.store(_document("c"), LONG)
            position = pair.other.position()
            assert found_by(api.after(position)) == NEW
            assert found_by(api.after("1/0/1").after(position)) == NEW
            assert ids(api.after(position).memory("m").list_all(LONG)) == NEW["count"]
            assert ids(api.memory("m").after(position).list_all(LONG)) == NEW["count"]
            assert found_by(api) == OLD
        pair.catch_up()
        with pair.paused():
            # From the replica, for the primary has one more.
            pair.other.store(_document("d"), LONG)
            assert found_by(api.after(position)) == NEW


def test_a_view_of_a_time_reads_the_primary(pair: Pair, open_api: Callable[..., Any]) -> None:
    """What was there then is the same whenever it is asked: a replica might not have it yet."""
    pair.other.keep_history(LONG)
    pair.catch_up()
    with open_api(pair.config(replica_lag=None)) as api, pair.paused():
        pair.other.store(_document("c"), LONG)
        now = pair.other.versions("c", LONG)[0].since
        assert ids(api.list_all(LONG)) == OLD["count"]
        assert ids(api.at(now).list_all(LONG)) == NEW["count"]


def test_a_replica_that_lags_is_left_out(
    pair: Pair, open_api: Callable[..., Any], wait_for: Callable[..., Any]
) -> None:
    """Once it is further behind than `replica_lag`, reads go to the primary; when it has caught up, to the replica."""
    with open_api(pair.config(replica_lag=0.3)) as api:
        with pair.paused():
            pair.other.store(_document("c"), LONG)
            wait_for(lambda: api.count(LONG) == 3, "the primary's answer")
        wait_for(lambda: _is_served_by_replica(pair, api), "the replica's answer")


def _is_served_by_replica(pair: Pair, api: Any) -> bool:
    """Return True where a read of a provider is one of the replica: what is stored just before is missed."""
    with pair.paused():
        id = pair.other.store({"content": "new"}, LONG)
        try:
            return api.retrieve_by_id(id, LONG) is None
        finally:
            pair.other.delete_by_id(id, LONG)


def test_a_replica_that_dies_is_not_noticed(
    pair: Pair, open_api: Callable[..., Any], wait_for: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Killed with kill -9 between and under reads, every read succeeds; when it is back, it is read again."""
    with open_api(pair.config(replica_lag=None)) as api:
        wait_for(lambda: _is_served_by_replica(pair, api), "the replica's answer")
        with caplog.at_level(logging.INFO, "memorizz.postgresql"), _reading(api) as read:
            wait_for(lambda: read() > 20, "reads")
            pair.standby.kill()
            seen = read()
            wait_for(lambda: read() > seen + 20, "reads without the replica")
            assert found_by(api) == OLD
        pair.standby.start()
        wait_for(lambda: _is_served_by_replica(pair, api), "the replica's answer")
    told = [each.getMessage() for each in caplog.records if (each.name, each.levelname) == (LOG, "WARNING")]
    assert len(told) == 1
    assert told[0].startswith("the replica is left out for ")


@contextmanager
def _reading(api: Any) -> Iterator[Callable[[], int]]:
    """Read without a pause in two threads; give how often that was done. Raises what a read raised."""
    stop, errors, counts = threading.Event(), list[BaseException](), [0, 0]

    def read(n: int) -> None:
        try:
            while not stop.is_set():
                assert ids(api.retrieve_by_query({"embedding": EAST}, LONG, 5)) == OLD["count"]
                counts[n] += 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read, args=[n]) for n in range(2)]
    for each in threads:
        each.start()
    try:
        yield lambda: sum(counts) if not errors else 10**9
    finally:
        stop.set()
        for each in threads:
            each.join()
    assert errors == []


def test_a_replica_that_hangs_is_left_out(
    pair: Pair, open_api: Callable[..., Any], wait_for: Callable[..., Any]
) -> None:
    """One that answers nothing any more costs the reads that it has begun their patience; they are done elsewhere."""
    with open_api(pair.config(replica_lag=None, operation_timeout=2.0)) as api:
        wait_for(lambda: _is_served_by_replica(pair, api), "the replica's answer")
        pair.standby.signal(signal.SIGSTOP)
        try:
            pair.other.store(_document("c"), LONG)
            assert found_by(api) == NEW
        finally:
            pair.standby.signal(signal.SIGCONT)
        wait_for(lambda: _is_served_by_replica(pair, api), "the replica's answer")


def test_vacuum_on_the_primary_is_not_noticed(
    pair: Pair, open_api: Callable[..., Any], wait_for: Callable[..., Any]
) -> None:
    """What the replica ends because vacuum's records come first is read elsewhere, and right."""
    rows, words = 3000, "tea with milk " * 100
    pair.other.store_many(({"id": f"{n}", "content": words} for n in range(rows)), TURNS)
    pair.catch_up()
    stop, errors = threading.Event(), list[BaseException]()

    def churn() -> None:
        with psycopg.connect(pair.database.dsn, autocommit=True) as connection:
            while not stop.is_set():
                connection.execute("UPDATE conversation_memory SET access_count = access_count + 1 WHERE name IS NULL")
                connection.execute("VACUUM conversation_memory")

    def conflicts() -> int:
        with psycopg.connect(make_conninfo(pair.dsn, dbname="postgres"), autocommit=True) as connection:
            [(count,)] = connection.execute(
                "SELECT sum(confl_snapshot + confl_lock)::int FROM pg_stat_database_conflicts"
            )
        return count

    churning = threading.Thread(target=churn)
    with open_api(pair.config(replica_lag=None)) as api:
        churning.start()
        try:

            def provoked() -> bool:
                assert len(api.list_all(TURNS)) == rows + 1
                assert api.count(TURNS, {"content": {"$suffix": "milk "}}) in (0, rows)
                return conflicts() >= 3

            wait_for(provoked, "conflicts with recovery", 60)
        finally:
            stop.set()
            churning.join()
    assert errors == []


def test_a_promoted_replica_is_none_any_more(
    pair_to_part: Pair, open_api: Callable[..., Any], wait_for: Callable[..., Any]
) -> None:
    """It takes writes of its own from then on, which the primary has not."""
    pair = pair_to_part
    with open_api(pair.config()) as api:
        wait_for(lambda: _is_served_by_replica(pair, api), "the replica's answer")
        pair.on_replica("SELECT pg_promote()")
        with PostgreSQLProvider(pair.database.config(pair.dsn)) as promoted:
            promoted.store(_document("c"), LONG)
        wait_for(lambda: api.count(LONG) == 2, "the primary's answer")
        with api.transaction():
            pass
        assert found_by(api) == OLD


def test_a_replica_of_an_older_timeline_is_not_read_after_a_write(
    pair_to_part: Pair, standby: Any, open_api: Callable[..., Any], wait_for: Callable[..., Any]
) -> None:
    """After a failover, one that has come further than the new primary has other rows there."""
    pair = pair_to_part
    pair.on_replica("SELECT pg_promote()")
    wait_for(lambda: pair.on_replica("SELECT NOT pg_is_in_recovery()") == (True,), "the promotion")
    with psycopg.connect(pair.database.dsn, autocommit=True) as before:
        before.execute("CREATE TABLE lost AS SELECT generate_series(1, 50000)")
    standby.catch_up(pair.database.dsn)
    host = conninfo_to_dict(standby.dsn(pair.database.dsn))["host"]
    config = pair.database.config(pair.dsn, replicas=[make_conninfo(host=host)], replica_lag=None)
    with open_api(config) as api, open_api(config) as reader:
        api.store(_document("c"), LONG)
        position = api.position()
        for _ in range(5):
            assert found_by(api) == NEW
            assert found_by(reader.after(position)) == NEW
        # Whoever asks for nothing gets what it has.
        wait_for(lambda: found_by(reader) == OLD, "the replica's answer")


def test_a_replica_that_is_slowly_connected_to_stays(
    pair: Pair, open_api: Callable[..., Any], wait_for: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Reads that find all connections in use go elsewhere while another one is made; the replica is not to blame."""
    made: list[float] = []

    def password() -> str:
        made.append(time.monotonic())
        time.sleep(0.3 if len(made) > 3 else 0)
        return "unasked"

    config = pair.config(replica_lag=None, max_size=4).replace(password=password)
    with caplog.at_level(logging.DEBUG, LOG), open_api(config) as api:
        wait_for(lambda: _is_served_by_replica(pair, api), "the replica's answer")
        caplog.clear()
        before = len(made)
        with _reading(api) as read, _reading(api):
            wait_for(lambda: len(made) > before and read() > 200, "more connections")
    assert "left out" not in caplog.text


def test_another_server_is_no_replica(
    pair: Pair, open_api: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A server that follows nobody, or holds other memories, is never read, and the log says why."""
    host = conninfo_to_dict(pair.database.dsn)["host"]
    with caplog.at_level(logging.DEBUG, LOG):
        with open_api(pair.config(replicas=[make_conninfo(host=host)])) as api:
            assert found_by(api) == OLD
        pair.other.store(_document("of others"), LONG)
        with psycopg.connect(pair.database.dsn, autocommit=True) as connection:
            connection.execute("CREATE SCHEMA another")
        with open_api(pair.config(schema="another", replica_lag=None)) as api:
            pair.catch_up()
            with psycopg.connect(pair.database.dsn, autocommit=True) as connection:
                connection.execute("UPDATE another.memorizz_settings SET identity = gen_random_uuid()")
            pair.catch_up()
            assert api.count(LONG) == 0
    for why in ("it follows no primary: it was promoted", "it holds other memories in schema 'another'"):
        assert why in caplog.text


def test_facts_that_a_replica_has_not_replayed(pair: Pair, open_api: Callable[..., Any]) -> None:
    """A store that the replica knows nothing of is served by the primary, also where it was made by another program."""
    with open_api(pair.config(replica_lag=None)) as api, pair.paused():
        assert found_by(api) == OLD
        api.create_store(StoreSpec("notes"))
        api.store(_document("n"), "notes")
        assert ids(api.list_all("notes")) == ["n"]
        with PostgreSQLProvider(pair.config(replica_lag=None)) as later:
            assert ids(later.list_all("notes")) == ["n"]
            assert ids(later.recall("tea")) == ["a", "b", "n", "t"]


def test_facts_that_the_replica_has_first(pair: Pair, open_api: Callable[..., Any]) -> None:
    """A change of an open provider's facts that only another program knows is followed, on the replica as elsewhere."""
    with open_api(pair.config(replica_lag=None)) as api:
        assert found_by(api) == OLD
        pair.other.create_store(StoreSpec("notes"))
        pair.other.store(_document("n"), "notes")
        pair.catch_up()
        assert ids(api.retrieve_by_query({"embedding": EAST}, LONG, 5)) == OLD["count"]
        assert ids(api.retrieve_by_query({"embedding": EAST}, "notes", 5)) == ["n"]


def test_a_primary_that_is_gone_leaves_the_reads(pair: Pair, open_api: Callable[..., Any]) -> None:
    """Where the provider has not written, reads need no primary, for as long as the replica counts as fit."""
    name = conninfo_to_dict(pair.database.dsn)["dbname"]
    with open_api(pair.config(replica_lag=None)) as api, pair.paused():
        assert found_by(api) == OLD
        with psycopg.connect(pair.database.dsn, dbname="postgres", autocommit=True) as connection:
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            try:
                connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
                assert found_by(api) == OLD
            finally:
                connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def test_one_of_two_replicas_is_not_there(pair: Pair, open_api: Callable[..., Any]) -> None:
    """The other one is read."""
    replicas = ["host=/nowhere", *pair.config().replicas]
    with open_api(pair.config(replicas=replicas, replica_lag=None)) as api, pair.paused():
        pair.other.store(_document("c"), LONG)
        assert found_by(api) == OLD


def test_tenants_are_apart_on_a_replica(pair: Pair, open_api: Callable[..., Any]) -> None:
    """Behind the wall each read tells the replica, too, whose rows it is about."""
    role = f"memorizz_app_{uuid.uuid4().hex[:12]}"
    with Maintenance(pair.database.config()) as maintenance:
        maintenance.enable_tenants(role)
    with open_api(pair.config(replica_lag=None).replace(user=role)) as api:
        for tenant in ("mine", "theirs"):
            api.tenant(tenant).store_many([_document("a"), _document(tenant)], LONG)
            # Now it is known how far the replica has to be.
            assert api.tenant(tenant).count(LONG) == 2
        with pair.paused():
            for tenant in ("mine", "theirs"):
                pair.other.tenant(tenant).store(_document("c"), LONG)
                found = found_by(api.tenant(tenant))
                assert found["list_all"] == found["by a vector"] == found["by words"] == ["a", tenant]
                assert {id for each in found.values() for id in each} <= {"a", "b", tenant}
            with pytest.raises(ConfigurationError, match="a call without a tenant"):
                api.list_all(LONG)


def test_an_error_of_a_call_is_the_same(pair: Pair, open_api: Callable[..., Any]) -> None:
    """What is wrong with a call is told as ever."""
    calls: list[Callable[[Any], Any]] = [
        lambda api: api.count(LONG, {"content": {"$suffix": 1}}),
        lambda api: api.count("nothing"),
        lambda api: api.store({"n": object()}, LONG),
        lambda api: api.after("yesterday"),
    ]
    with open_api(pair.config()) as api, open_api(pair.database.config()) as alone:
        for call in calls:
            told: list[str] = []
            for each in (api, alone):
                with pytest.raises(MemorizzError) as raised:
                    call(each)
                told.append(repr(raised.value))
            assert told[0] == told[1]
