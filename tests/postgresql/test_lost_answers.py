"""Connections that break in the middle of a call: what is sent again, and what only the caller can know."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from memorizz.errors import ConnectionFailed, OperationTimeout
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig
from proxy import Cut, PostgreSQLProxy

LONG, AGENTS = MemoryType.LONG_TERM_MEMORY, MemoryType.MEMAGENT
Call = Callable[[Any], Any]


@pytest.fixture
def proxy(migrated_dsn: str) -> Iterator[PostgreSQLProxy]:
    proxy = PostgreSQLProxy(migrated_dsn)
    yield proxy
    proxy.close()


@pytest.fixture
def beyond(open_api: Callable[..., Any], proxy: PostgreSQLProxy) -> Iterator[Any]:
    """A provider that reaches its server through the proxy, with two documents and an agent."""
    with open_api(PostgreSQLConfig(dsn=proxy.conninfo, embedding_dimensions=4, max_size=1)) as api:
        begin(api)
        yield api


def begin(api: Any) -> None:
    api.delete_all(LONG)
    api.store_many([{"id": id, "name": id, "memory_id": "m", "embedding": [1, 0, 0, 0]} for id in "ab"], LONG)
    api.store({"id": "agent", "memory_ids": ["m"]}, AGENTS)


def in_a_block(api: Any) -> None:
    with api.transaction() as transaction:
        transaction.store({"id": "c", "n": 1}, LONG)
        transaction.delete_by_id("a", LONG)


MANY = [f"{n}" for n in range(30)]
# The call, what of it is lost, the ids that the error names, and the documents that there are when it was done.
WRITES: dict[str, tuple[Call, bytes, list[str], Sequence[str]]] = {
    "store": (lambda api: api.store({"id": "c", "n": 1}, LONG), b"INSERT INTO", ["c"], "abc"),
    "merge": (lambda api: api.store({"id": "a", "n": 1}, LONG), b"INSERT INTO", ["a"], "ab"),
    "update": (lambda api: api.update_by_id("a", {"n": 1}, LONG), b"UPDATE", ["a"], "ab"),
    "delete": (lambda api: api.delete_by_id("a", LONG), b"DELETE", ["a"], "b"),
    "delete by name": (lambda api: api.delete_by_name("a", LONG), b"DELETE", [], "b"),
    "delete all": (lambda api: api.delete_all(LONG), b"DELETE", [], ""),
    "agent": (lambda api: api.delete_memagent("agent", cascade=True), b"COMMIT", ["agent"], ""),
    "store many": (
        lambda api: api.store_many([{"id": "c"}, {"id": "a", "n": 1}], LONG), b"INSERT INTO", ["c", "a"], "abc"
    ),
    "store many new": (
        lambda api: api.store_many([{"id": id} for id in MANY], LONG), b"INSERT INTO", MANY, ["a", "b", *MANY]
    ),
    # They take several statements.
    "store others": (
        lambda api: api.store_many([{"id": "c", "role": "x"}, {"id": "a", "n": 1}], LONG), b"COMMIT", ["c", "a"], "abc"
    ),
    "store many again": (
        lambda api: api.store_many([{"id": id} for id in [*MANY, "0"]], LONG), b"COMMIT", [*MANY, "0"],
        ["a", "b", *MANY],
    ),
    "transaction": (in_a_block, b"COMMIT", ["c", "a"], "bc"),
}  # fmt: skip


CUTS: tuple[Cut, ...] = ("on the way", "answer", "pooler")


def ids_of(api: Any) -> list[str]:
    return sorted(each["id"] for each in api.list_all(LONG))


@pytest.mark.parametrize("call", WRITES)
def test_a_write_whose_answer_is_lost_is_not_sent_again(beyond: Any, proxy: PostgreSQLProxy, call: str) -> None:
    """Whether it was done only a read can tell: the error says so, and names the documents to look for."""
    write, mark, ids, stored = WRITES[call]
    for at in CUTS:
        begin(beyond)
        proxy.cut(mark, at)
        with pytest.raises(ConnectionFailed, match="the outcome is unknown") as raised:
            write(beyond)
        assert list(raised.value.ids) == ids
        assert proxy.sent == 1
        assert ids_of(beyond) == (["a", "b"] if at == "on the way" else sorted(stored))
        write(beyond)
        assert ids_of(beyond) == sorted(stored)


@pytest.mark.parametrize("call", ["store others", "store many again", "transaction"])
def test_a_transaction_that_is_lost_before_its_end_was_not_done(beyond: Any, proxy: PostgreSQLProxy, call: str) -> None:
    """That is known: nothing of it is kept, and the error does not say otherwise."""
    for at in CUTS:
        proxy.cut(b"INSERT INTO", at)
        with pytest.raises(ConnectionFailed) as raised:
            WRITES[call][0](beyond)
        assert "unknown" not in str(raised.value)
        assert raised.value.ids == ()
        assert [(each["id"], each.get("n")) for each in beyond.list_all(LONG)] == [("a", None), ("b", None)]


def test_a_transaction_names_a_thousand_of_its_documents(beyond: Any, proxy: PostgreSQLProxy) -> None:
    """It is done whole or not at all: each of them stands for the others."""
    proxy.cut(b"COMMIT", "answer")
    with pytest.raises(ConnectionFailed, match="the outcome is unknown") as raised:
        beyond.store_many(({"id": f"{n}"} for n in range(1700)), LONG)
    assert list(raised.value.ids) == [f"{n}" for n in range(1000)]
    assert beyond.count(LONG) == 1702


def test_a_search_that_may_have_counted_is_not_made_again(beyond: Any, proxy: PostgreSQLProxy) -> None:
    """With touch=True it writes: each search counts a document once, or the caller is told."""
    query = {"embedding": [1, 0, 0, 0]}
    proxy.cut(b"SKIP LOCKED", "answer")
    with pytest.raises(ConnectionFailed, match="the outcome is unknown"):
        beyond.retrieve_by_query(query, LONG, limit=2, touch=True)
    assert [each["access_count"] for each in beyond.list_all(LONG)] == [1, 1]


READS: dict[str, Call] = {
    "by id": lambda api: api.retrieve_by_id("a", LONG)["id"] == "a",
    "by name": lambda api: api.retrieve_by_name("b", LONG)["id"] == "b",
    "list": lambda api: len(api.list_all(LONG)) == 2,
    "iterate": lambda api: len(list(api.iterate(LONG, batch_size=2))) == 2,
    "count": lambda api: api.count(LONG) == 2,
    "history": lambda api: api.retrieve_conversation_history_ordered_by_timestamp("m") == [],
    "search": lambda api: len(api.retrieve_by_query({"embedding": [1, 0, 0, 0]}, LONG, limit=2)) == 2,
    "all stores": lambda api: len(api.retrieve_memory_components_by_query(query_embedding=[1, 0, 0, 0])) == 2,
}


@pytest.mark.parametrize("call", READS)
def test_a_read_whose_answer_is_lost_is_made_again(beyond: Any, proxy: PostgreSQLProxy, call: str) -> None:
    """On another connection, and the caller notices nothing."""
    for at in CUTS:
        proxy.cut(b"SELECT", at)
        assert READS[call](beyond)
        assert proxy.sent >= 2


WAITING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.mark.parametrize("call", ["merge", "update", "delete", "store many", "store others", "agent"])
def test_a_write_that_the_server_says_it_ended_was_not_done(
    api: Any, migrated_dsn: str, wait_for: Callable[..., Any], call: str
) -> None:
    """An administrator or a shutdown ended it: that is known, and the error does not say otherwise."""
    begin(api)
    with (
        psycopg.connect(migrated_dsn, autocommit=True) as beside,
        psycopg.connect(migrated_dsn) as other,
        ThreadPoolExecutor(1) as thread,
    ):
        other.execute("SELECT FROM long_term_memory FOR UPDATE")
        writing = thread.submit(WRITES[call][0], api)
        (pid,) = wait_for(lambda: beside.execute(WAITING).fetchone(), "the write to wait for the lock")
        beside.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
        with pytest.raises(ConnectionFailed, match="on purpose") as raised:
            writing.result(30)
    assert "unknown" not in str(raised.value)
    assert raised.value.ids == ()
    assert [(each["id"], each.get("n")) for each in api.list_all(LONG)] == [("a", None), ("b", None)]


def test_a_write_that_is_given_up_says_that_it_may_be_done(
    open_api: Callable[..., Any], config: PostgreSQLConfig, migrated_dsn: str
) -> None:
    """operation_timeout ends the waiting, not for sure the work; in a transaction that was not ended, it does."""

    def block() -> None:
        with api.transaction() as transaction:
            transaction.update_by_id("a", {"n": 1}, LONG)

    with open_api(config.replace(operation_timeout=0.3)) as api, psycopg.connect(migrated_dsn) as other:
        api.store({"id": "a"}, LONG)
        other.execute("SELECT FROM long_term_memory FOR UPDATE")
        with pytest.raises(OperationTimeout, match="the outcome is unknown") as raised:
            api.update_by_id("a", {"n": 1}, LONG)
        assert raised.value.ids == ("a",)
        with pytest.raises(OperationTimeout) as raised:
            block()
        assert "unknown" not in str(raised.value)
        assert raised.value.ids == ()


def test_a_server_that_is_gone_floods_no_log(
    open_api: Callable[..., Any], proxy: PostgreSQLProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """Each call is an error that says so; the driver's pool warns of no attempt to connect beside it."""
    config = PostgreSQLConfig(dsn=proxy.conninfo, embedding_dimensions=4, pool_timeout=1.0, connect_timeout=1)
    with open_api(config) as api:
        begin(api)
        proxy.close()
        for _ in range(3):
            with pytest.raises(ConnectionFailed):
                api.store({"n": 1}, LONG)
        assert [record.getMessage() for record in caplog.records if record.name.startswith("psycopg")] == []
