"""Connections to MongoDB that break in the middle of a call, while somebody else writes.

A replica set knows by a number what changes one document, so that the driver may send it again; nothing else is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo import MongoClient

from apis import Blocking, Loop
from memorizz.errors import ConnectionFailed, OperationTimeout
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.mongodb import AsyncMongoDBProvider, MongoDBConfig, MongoDBProvider
from mongod import mongod
from proxy import Cut, MongoDBProxy

LONG, AGENTS = MemoryType.LONG_TERM_MEMORY, MemoryType.MEMAGENT
PAST = datetime(2020, 1, 1, tzinfo=UTC)
COMMIT = b"\x10commitTransaction\0"


def named(command: str) -> bytes:
    """What a message has that holds a command."""
    return b"\x02" + command.encode() + b"\0"


@dataclass
class Between:
    """A provider that reaches its server through a proxy, and another one that reaches it directly."""

    api: Any
    proxy: MongoDBProxy
    other: MongoDBProvider

    def begin(self) -> None:
        for store in (LONG, AGENTS):
            self.other.delete_all(store)
        self.other.store_many(
            [{"id": id, "name": id, "memory_id": "m", "embedding": [1, 0, 0, 0]} for id in "ab"], LONG
        )
        self.other.store({"id": "agent", "memory_ids": ["m"]}, AGENTS)

    def documents(self, store: MemoryType = LONG) -> dict[str, Any]:
        """The documents that there are, by id, each with its `n` or its memories."""
        return {each["id"]: each.get("n", each.get("memory_ids")) for each in self.other.list_all(store)}


@pytest.fixture(params=["blocking", "async"])
def open_api(request: pytest.FixtureRequest, loop: Loop) -> Callable[[MongoDBConfig], Any]:
    if request.param == "blocking":
        return MongoDBProvider
    return lambda config: Blocking(AsyncMongoDBProvider(config), loop)


def between(open_api: Callable[[MongoDBConfig], Any], config: MongoDBConfig, **options: Any) -> Iterator[Between]:
    proxy = MongoDBProxy(config.uri)
    through = MongoDBConfig(proxy.uri, config.db_name, embedding_dimensions=4, create_indexes=False, **options)
    with open_api(through) as api, MongoDBProvider(config) as other:
        both = Between(api, proxy, other)
        both.begin()
        yield both
    proxy.close()


@pytest.fixture(scope="module")
def replicas() -> Iterator[str]:
    """A server of its own: a transaction whose commit does not reach it keeps its documents locked for a minute."""
    with mongod() as uri:
        yield uri


@pytest.fixture(scope="module")
def standalone() -> Iterator[str]:
    with mongod(replica_set=False) as uri:
        yield uri


@pytest.fixture
def there(open_api: Callable[[MongoDBConfig], Any], replicas: str) -> Iterator[Between]:
    """On a replica set."""
    yield from between(open_api, MongoDBConfig(replicas, embedding_dimensions=4))


@pytest.fixture
def alone(open_api: Callable[[MongoDBConfig], Any], standalone: str) -> Iterator[Between]:
    """On a standalone server, which knows nothing of numbers."""
    yield from between(open_api, MongoDBConfig(standalone, embedding_dimensions=4))


@dataclass
class Call:
    """A write: the command it sends, the ids it is about, what somebody else does after it, and what is there then."""

    write: Callable[[Any], Any]
    command: str
    ids: list[str]
    then: Callable[[Any], Any]
    left: dict[str, Any]
    store: MemoryType = LONG


ONE = {
    "store": Call(
        lambda api: api.store({"id": "c", "n": 1}, LONG), "update", ["c"],
        lambda other: other.delete_by_id("c", LONG), {"a": None, "b": None},
    ),
    "merge": Call(
        lambda api: api.store({"id": "a", "n": 1}, LONG), "update", ["a"],
        lambda other: other.update_by_id("a", {"n": 2}, LONG), {"a": 2, "b": None},
    ),
    "update": Call(
        lambda api: api.update_by_id("a", {"n": 1}, LONG), "update", ["a"],
        lambda other: other.update_by_id("a", {"n": 2}, LONG), {"a": 2, "b": None},
    ),
    "delete": Call(
        lambda api: api.delete_by_id("a", LONG), "findAndModify", ["a"],
        lambda other: other.store({"id": "a", "n": 2}, LONG), {"a": 2, "b": None},
    ),
    "delete by name": Call(
        lambda api: api.delete_by_name("a", LONG), "findAndModify", [],
        lambda other: other.store({"id": "c", "name": "a", "n": 2}, LONG), {"b": None, "c": 2},
    ),
    "memories": Call(
        lambda api: api.update_memagent_memory_ids("agent", ["mine"]), "update", ["agent"],
        lambda other: other.update_memagent_memory_ids("agent", ["theirs"]), {"agent": ["theirs"]}, AGENTS,
    ),
    "agent": Call(
        lambda api: api.delete_memagent("agent"), "findAndModify", ["agent"],
        lambda other: other.store({"id": "agent", "n": 2}, AGENTS), {"agent": 2}, AGENTS,
    ),
}  # fmt: skip
SEVERAL = {
    "delete all": Call(
        lambda api: api.delete_all(LONG), "delete", [],
        lambda other: other.store({"id": "c", "n": 2}, LONG), {"c": 2},
    ),
    "purge": Call(
        lambda api: api.purge_expired(LONG), "delete", [],
        lambda other: other.store({"id": "c", "n": 2, "expires_at": PAST}, LONG), {"a": None, "b": None},
    ),
    "touch": Call(
        lambda api: api.retrieve_by_query({"name": "a"}, LONG, touch=True), "update", ["a"],
        lambda other: other.update_by_id("a", {"n": 2}, LONG), {"a": 2, "b": None},
    ),
}  # fmt: skip


@pytest.mark.parametrize("call", ONE)
def test_what_changes_one_document_is_done_once(there: Between, call: str) -> None:
    """Its answer is lost, somebody else writes, and it is sent again: that does nothing, and brings the answer."""
    each = ONE[call]
    for at in ("answer", "on the way"):
        there.begin()
        there.proxy.cut(named(each.command), at, then=lambda: each.then(there.other))
        assert each.write(there.api) in (True, "c", "a")
        assert there.proxy.sent == 2
        if at == "answer":
            assert there.documents(each.store) == each.left


@pytest.mark.parametrize("call", SEVERAL)
def test_what_changes_several_documents_is_sent_once(there: Between, call: str) -> None:
    """Whether it was done only a read can tell: the error says so, and what somebody else wrote stays."""
    each = SEVERAL[call]
    for at in ("answer", "on the way"):
        there.begin()
        there.proxy.cut(named(each.command), at, then=lambda: each.then(there.other))
        with pytest.raises(ConnectionFailed, match="the outcome is unknown") as raised:
            each.write(there.api)
        assert list(raised.value.ids) == each.ids
        assert there.proxy.sent == 1
        assert there.documents() == (each.left if at == "answer" else {"a": None, "b": None})


@pytest.mark.parametrize("call", [*ONE, *SEVERAL])
def test_a_standalone_server_is_sent_nothing_twice(alone: Between, call: str) -> None:
    """It could not tell: every write whose answer is lost is an error that says so, and has the ids."""
    each = {**ONE, **SEVERAL}[call]
    for at in ("answer", "on the way"):
        alone.begin()
        before = alone.documents(each.store)
        alone.proxy.cut(named(each.command), at, then=lambda: each.then(alone.other))
        with pytest.raises(ConnectionFailed, match="the outcome is unknown") as raised:
            each.write(alone.api)
        assert list(raised.value.ids) == each.ids
        assert alone.proxy.sent == 1
        assert alone.documents(each.store) == (each.left if at == "answer" else before)


# --- transactions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["on the way", "answer"])
def test_a_transaction_that_is_lost_before_its_end_is_made_again(there: Between, at: Cut) -> None:
    """Nothing of it is kept, so that store_many does it again where it can read its documents again."""
    there.proxy.cut(named("update"), at)
    assert there.api.store_many([{"id": "c", "n": 1}, {"id": "a", "n": 1}], LONG) == ["c", "a"]
    assert there.documents() == {"a": 1, "b": None, "c": 1}
    there.begin()
    there.proxy.cut(named("update"), at)
    with pytest.raises(ConnectionFailed) as raised:
        there.api.store_many(({"id": id, "n": 1} for id in "ca"), LONG)
    assert "unknown" not in str(raised.value)
    assert raised.value.ids == ()
    assert there.documents() == {"a": None, "b": None}


@pytest.mark.parametrize("at", ["on the way", "answer"])
def test_a_block_that_is_lost_before_its_end_is_not_made_again(there: Between, at: Cut) -> None:
    """It is the caller's: nothing of it is kept, and that is known."""

    def block() -> None:
        with there.api.transaction() as transaction:
            transaction.store({"id": "c"}, LONG)
            there.proxy.cut(named("findAndModify"), at)
            transaction.delete_by_id("a", LONG)

    with pytest.raises(ConnectionFailed) as raised:
        block()
    assert "unknown" not in str(raised.value)
    assert there.documents() == {"a": None, "b": None}


@pytest.mark.parametrize("at", ["on the way", "answer"])
def test_a_commit_is_done_once(there: Between, at: Cut) -> None:
    """The server knows by its number which one it is: sent again, it undoes nothing that somebody wrote behind it."""
    there.proxy.cut(COMMIT, at, then=lambda: there.other.update_by_id("a", {"n": 2}, LONG))
    assert there.api.store_many([{"id": "c", "n": 1}, {"id": "a", "n": 1}], LONG) == ["c", "a"]
    assert there.proxy.sent == 2
    assert there.documents() == {"a": 2 if at == "answer" else 1, "b": None, "c": 1}


def in_a_block(api: Any) -> None:
    with api.transaction() as transaction:
        transaction.store({"id": "c", "n": 1}, LONG)
        transaction.update_by_id("a", {"n": 1}, LONG)


WHOLE = {
    "store many": lambda api: api.store_many([{"id": "c", "n": 1}, {"id": "a", "n": 1}], LONG),
    "block": in_a_block,
}


@pytest.fixture
def hasty(open_api: Callable[[MongoDBConfig], Any], replicas: str) -> Iterator[Between]:
    """On a replica set, with a second for each operation, in which the driver sends a commit again and again."""
    yield from between(open_api, MongoDBConfig(replicas, embedding_dimensions=4), operation_timeout=1.0)
    with MongoClient(replicas) as client:
        client.admin.command("killAllSessions", [])


@pytest.mark.parametrize("at", ["on the way", "answer"])
@pytest.mark.parametrize("call", WHOLE)
def test_a_commit_without_an_answer_is_unknown(hasty: Between, call: str, at: Cut) -> None:
    """It may have been done: the error says so, names the documents, and the transaction is not made again."""
    hasty.proxy.cut(COMMIT, at, times=1_000_000)
    with pytest.raises((ConnectionFailed, OperationTimeout), match="the outcome is unknown") as raised:
        WHOLE[call](hasty.api)
    assert list(raised.value.ids) == ["c", "a"]
    assert hasty.proxy.sent >= 2
    assert hasty.documents() == ({"a": 1, "b": None, "c": 1} if at == "answer" else {"a": None, "b": None})


def test_an_agent_with_its_memories_is_deleted_whole(hasty: Between) -> None:
    """A cascade whose connection breaks in the middle is made again; where its end is lost, it names the agent."""
    hasty.proxy.cut(named("delete"), "answer")
    assert hasty.api.delete_memagent("agent", cascade=True) is True
    assert (hasty.documents(), hasty.documents(AGENTS)) == ({}, {})
    hasty.begin()
    hasty.proxy.cut(COMMIT, "answer", times=1_000_000)
    with pytest.raises((ConnectionFailed, OperationTimeout), match="the outcome is unknown") as raised:
        hasty.api.delete_memagent("agent", cascade=True)
    assert set(raised.value.ids) == {"agent"}


# --- batches on a standalone server -------------------------------------------------------------------------------


def test_a_batch_of_a_standalone_server_names_all_that_it_cannot_tell(alone: Between) -> None:
    """What was inserted is deleted again, unless somebody has changed it since; what was merged is unknown."""
    alone.proxy.cut(named("update"), "answer", then=lambda: alone.other.update_by_id("c", {"n": 2}, LONG))
    with pytest.raises(ConnectionFailed, match="the outcome is unknown") as raised:
        alone.api.store_many([{"id": id, "n": 1} for id in "acd"], LONG)
    assert list(raised.value.ids) == ["a", "c", "d"]
    assert alone.proxy.sent == 1
    assert alone.documents() == {"a": 1, "b": None, "c": 2}


# --- timeouts and reads -------------------------------------------------------------------------------------------


def test_no_answer_in_time_is_unknown_too(hasty: Between) -> None:
    """A write that was sent may have been done; the error is OperationTimeout, and has the ids."""
    hasty.proxy.cut(named("update"), "hold", times=1_000_000)
    with pytest.raises(OperationTimeout, match="the outcome is unknown") as raised:
        hasty.api.store({"id": "c", "n": 1}, LONG)
    assert raised.value.ids == ("c",)
    assert hasty.documents() == {"a": None, "b": None, "c": 1}


@pytest.mark.parametrize("at", ["on the way", "answer"])
def test_a_read_whose_answer_is_lost_is_made_again(there: Between, at: Cut) -> None:
    """It changes nothing, be it one document, a search or a stream."""
    reads: list[Callable[[Any], Any]] = [
        lambda api: api.retrieve_by_id("a", LONG)["id"] == "a",
        lambda api: len(api.retrieve_by_query({"embedding": [1, 0, 0, 0]}, LONG, limit=2)) == 2,
        lambda api: len(list(api.iterate(LONG, batch_size=1))) == 2,
    ]
    for read in reads:
        there.proxy.cut(named("aggregate"), at)
        assert read(there.api)
        assert there.proxy.sent >= 2
