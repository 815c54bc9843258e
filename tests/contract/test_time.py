"""What was: the history of a store, versions of a document, and views as of a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.conftest import MONGODB
from memorizz.errors import ConfigurationError, InvalidDocument, ReadOnlyError
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.options import Call
from memorizz.memory_provider.postgresql import PostgreSQLProvider
from memorizz.memory_provider.stores import StoreSpec

LONG, TURNS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY
EAST, NORTH, WEST = [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0]
DAY = timedelta(days=1)


@pytest.fixture
def store(api: Any, server_name: str) -> Iterator[str]:
    """A store whose history is kept, for one test: the next one has the same database."""
    if server_name == MONGODB:
        pytest.skip("MongoDB keeps no history")
    api.keep_history(LONG)
    yield LONG.value
    api.drop_history(LONG, yes=True)


@pytest.fixture
def execute(config: Any, server_name: str) -> Iterator[Any]:
    """What runs plain SQL beside the library, as another program does."""
    if server_name == MONGODB:
        pytest.skip("MongoDB keeps no history")
    with psycopg.connect(config.conninfo, autocommit=True) as connection:

        def run(statement: LiteralString) -> list[Any]:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

        yield run


HISTORY: LiteralString = "memorizz_long_term_memory_history"


def contents(found: list[Any]) -> list[Any]:
    return [each.document and each.document.get("content") for each in found]


def now(api: Any, id: str, store: str) -> datetime:
    """Return the time of a document's last change."""
    return api.retrieve_by_id(id, store)["updated_at"]


def test_mongodb_says_that_it_keeps_none(api: Any, server_name: str) -> None:
    """Each method that needs a history is an error that says where there is one, and nothing is silently missing."""
    if server_name != MONGODB:
        return
    for call in (
        lambda: api.keep_history(LONG),
        lambda: api.drop_history(LONG, yes=True),
        lambda: api.versions("a", LONG),
        lambda: api.diff("a", LONG, 1),
        lambda: api.diff_memory("a", LONG, "2020-01-01"),
        lambda: api.at(datetime.now(UTC)),
        lambda: api.acting("ada"),
        lambda: api.restore("a", LONG, 1),
        lambda: api.undo(call="c"),
    ):
        with pytest.raises(ConfigurationError, match="keeps no history of its documents: PostgreSQL does"):
            call()


# --- what is kept -------------------------------------------------------------------------------------------------


def test_every_way_of_changing_makes_a_version(api: Any, store: str, execute: Any) -> None:
    """Calls of every kind and plain SQL alike; reading and counting make none."""
    api.store({"id": "a", "content": "1", "n": 0}, store)
    api.store({"id": "a", "content": "2"}, store)
    api.store_many([{"id": "a", "content": "3"}, {"id": "b"}], store)
    api.update_by_id("a", {"content": "4"}, store)
    api.update(store, {"n": 0}, {"content": "5"})
    api.run_many([Call("update_by_id", "a", {"content": "6"}, store)])
    with api.transaction() as tx:
        tx.update_by_id("a", {"content": "7"}, store)
    execute("UPDATE long_term_memory SET content = '8' WHERE content = '7'")
    api.retrieve_by_id("a", store, touch=True)
    api.retrieve_by_query({"n": 0}, store, touch=True)
    api.delete(store, {"n": 0})
    assert contents(api.versions("a", store)) == [*"12345678", None]
    operations = [each.operation for each in api.versions("a", store)]
    assert operations == ["insert", *["update"] * 7, "delete"]
    assert contents(api.versions("b", store)) == [None]
    assert [each.operation for each in api.versions("b", store)] == ["insert"]
    execute("UPDATE long_term_memory SET id = gen_random_uuid()")
    assert [each.operation for each in api.versions("b", store)] == ["insert", "delete"]
    api.store({"id": "c"}, store)
    execute("TRUNCATE long_term_memory CASCADE")
    assert [each.operation for each in api.versions("c", store)] == ["insert", "delete"]


def test_what_expires_is_kept_as_a_version(api: Any, store: str) -> None:
    """A purge deletes as anybody does; and what is stored under the id of an expired document is another one."""
    gone = datetime.now(UTC) + timedelta(milliseconds=1)
    api.store({"id": "a", "content": "1", "expires_at": gone}, store)
    api.store({"id": "b", "content": "1", "expires_at": gone}, store)
    api.store({"id": "b", "content": "2"}, store)
    assert api.purge_expired(store) == 1
    assert contents(api.versions("a", store)) == ["1", None]
    assert contents(api.versions("b", store))[-1] == "2"
    assert [each.operation for each in api.versions("b", store)][-2:] == ["delete", "insert"]


def test_many_at_once_are_kept(api: Any, store: str) -> None:
    """Documents that come together have a version each, of one time and one call."""
    ids = api.store_many([{"content": str(n), "embedding": EAST} for n in range(20)], store)
    found = [api.versions(id, store) for id in ids]
    assert [contents(each) for each in found] == [[str(n)] for n in range(20)]
    assert len({each[0].call for each in found}) == 1


def test_nothing_is_kept_unless_asked(api: Any, server_name: str) -> None:
    """Without a history versions are an error, not an empty answer; the error says what begins one."""
    if server_name == MONGODB:
        return
    api.store({"id": "a"}, LONG)
    view = api.at(datetime.now(UTC))
    for call in (
        lambda: api.versions("a", LONG),
        lambda: api.diff("a", LONG, 1),
        lambda: view.list_all(LONG),
        lambda: view.recall("tea"),
    ):
        with pytest.raises(ConfigurationError, match=r"keep_history\("):
            call()


def test_a_version_says_by_whom_and_from_which_call(api: Any, store: str) -> None:
    """In calls, pipelines and transactions; and what comes behind in the same transaction is not theirs."""
    api.acting("ada").store({"id": "a"}, store)
    api.acting("ada", call="c-1").memory("m").store({"id": "b"}, store)
    api.acting("bob").store_many([{"id": f"n{n}"} for n in range(20)], store)
    api.store({"id": "c"}, store)
    with api.transaction() as tx:
        tx.acting("cy").update_by_id("c", {"n": 1}, store)
        tx.update_by_id("c", {"n": 2}, store)
        tx.acting("cy").store_many([{"id": f"m{n}"} for n in range(20)], store)
        tx.update_by_id("c", {"n": 3}, store)
    api.acting("dee").run_many([Call("store", {"id": "d"}, store), Call("delete_by_id", "c", store)])
    made = {id: [each.actor for each in api.versions(id, store)] for id in ("a", "b", "n7", "c", "m7", "d")}
    assert made == {
        "a": ["ada"], "b": ["ada"], "n7": ["bob"], "c": [None, "cy", None, None, "dee"], "m7": ["cy"], "d": ["dee"],
    }  # fmt: skip
    assert api.versions("b", store)[0].call == "c-1"
    assert len({each.call for each in api.versions("c", store)}) == 3
    for wrong in ("", None, 5, "a\0b", "a" * 1025):
        with pytest.raises(ConfigurationError, match="name="):
            api.acting(wrong)


def test_a_history_can_be_ended_and_begun_again(api: Any, store: str) -> None:
    """It is deleted whole, after a question; of the time between nothing is claimed, also by a provider that knows of
    none of it."""
    api.store({"id": "a", "content": "1"}, store)
    then = now(api, "a", store)
    with pytest.raises(ConfigurationError, match="yes=True"):
        api.drop_history(store)
    api.drop_history(store, yes=True)
    with pytest.raises(ConfigurationError, match="no history of long_term_memory"):
        api.versions("a", store)
    api.update_by_id("a", {"content": "2"}, store)
    api.keep_history(store)
    api.keep_history(store)
    assert [(each.number, each.since, each.document["content"]) for each in api.versions("a", store)] == [
        (0, None, "2")
    ]
    api.update_by_id("a", {"content": "3"}, store)
    assert contents(api.versions("a", store)) == ["2", "3"]
    with pytest.raises(ConfigurationError, match="is before that"):
        api.at(then).list_all(store)


def test_old_facts_are_noticed(api: Any, store: str, config: Any, open_api: Any) -> None:
    """A provider that was opened before another one ended a history and began it anew asks for nothing of before."""
    with open_api(config) as other:
        api.store({"id": "a"}, store)
        then = now(api, "a", store)
        assert [each["id"] for each in other.at(then).list_all(store)] == ["a"]
        api.drop_history(store, yes=True)
        api.keep_history(store)
        with pytest.raises(ConfigurationError, match="is before that"):
            other.at(then).list_all(store)


def test_a_retention_ends_versions(api: Any, store: str, execute: Any) -> None:
    """purge_expired deletes what is older than that; no time before it is answered, and documents stay."""
    api.store({"id": "a", "content": "1"}, store)
    api.update_by_id("a", {"content": "2"}, store)
    execute(f"UPDATE {HISTORY} SET changed_at = changed_at - interval '3 days'")
    execute("UPDATE memorizz_stores SET history_since = now() - interval '9 days' WHERE name = 'long_term_memory'")
    api.keep_history(store, 2 * DAY)
    api.update_by_id("a", {"content": "3"}, store)
    api.purge_expired()
    assert contents(api.versions("a", store)) == ["2", "3"]
    assert [each["content"] for each in api.at(datetime.now(UTC) - DAY).list_all(store)] == ["2"]
    with pytest.raises(ConfigurationError, match="the history of long_term_memory begins"):
        api.at(datetime.now(UTC) - 3 * DAY).list_all(store)
    for wrong in (0, 5, "1 day", timedelta(0), -DAY):
        with pytest.raises(ConfigurationError, match="retention="):
            api.keep_history(store, wrong)


def test_a_store_that_is_dropped_takes_its_history_along(api: Any, execute: Any) -> None:
    """Made again under its name it has none."""
    for _ in range(2):
        api.create_store(StoreSpec("diary", index="none"))
        with pytest.raises(ConfigurationError, match="no history"):
            api.versions("a", "diary")
        api.keep_history("diary")
        api.store({"id": "a"}, "diary")
        assert execute("SELECT count(*) FROM memorizz_diary_history") == [(1,)]
        api.drop_store("diary", yes=True)


def test_a_vector_is_kept_once(api: Any, store: str, execute: Any) -> None:
    """Changes that leave it as it is copy none, and each version still has its own."""
    api.store({"id": "a", "n": 0, "embedding": EAST}, store)
    times = [now(api, "a", store)]
    for change in ({"n": 1}, {"n": 2}, {"embedding": NORTH}, {"n": 3}, {"embedding": None}, {"n": 4}):
        api.update_by_id("a", change, store)
        times.append(now(api, "a", store))
    api.delete_by_id("a", store)
    found = [api.at(time).retrieve_by_id("a", store, include_embedding=True) for time in times]
    assert [each["embedding"] for each in found] == [EAST, EAST, EAST, NORTH, NORTH, None, None]
    assert execute(f"SELECT count(embedding), count(*) FROM {HISTORY}") == [(2, 8)]


# --- as of a time -------------------------------------------------------------------------------------------------


def test_every_read_is_of_the_time(api: Any, store: str) -> None:
    """By id, name, filter, words, vector and both, listed and counted: what there was then, and nothing else."""
    api.store_many(
        [{"id": id, "name": "x", "memory_id": "m", "content": "tea", "n": 1, "embedding": EAST} for id in "abc"], store
    )
    api.store({"id": "d", "memory_id": "n", "content": "tea"}, store)
    then = now(api, "d", store)
    api.update_by_id("a", {"content": "milk", "embedding": WEST, "n": 2, "name": "y"}, store)
    api.update_by_id("b", {"memory_id": "n"}, store)
    api.delete_by_id("c", store)
    api.store({"id": "e", "memory_id": "m", "content": "tea", "embedding": EAST}, store)
    past = api.at(then)
    for view, ids in (
        (past, "abcd"),
        (past.memory("m"), "abc"),
        (past.memory("n"), "d"),
        (api.memory("m").at(then), "abc"),
    ):
        assert {each["id"] for each in view.list_all(store)} == {*ids}
        assert {each["id"] for each in view.iterate(store, batch_size=2)} == {*ids}
        assert {each["id"] for each in view.retrieve_by_query("tea", store, 9)} == {*ids}
        assert view.count(store) == len(ids)
        of_vector = {*ids} & {*"abc"}
        for query in (
            {"embedding": EAST},
            {"embedding": EAST, "n": 1},
            {"embedding": EAST, "$text": {"$search": "tea"}, "n": 1},
        ):
            hits = view.retrieve_by_query(query, store, 9)
            assert {hit["id"] for hit in hits} == of_vector
            assert all(hit["distance"] == 0 for hit in hits)
    assert past.retrieve_by_id("a", store)["content"] == "tea"
    assert past.retrieve_by_id("e", store) is None
    assert past.retrieve_by_name("x", store)["id"] == "c"
    assert past.distinct(store, "n") == [1]
    assert past.count(store, {"content": "milk"}) == 0
    assert [each["id"] for each in past.retrieve_by_query({"n": 1}, store, 2, order_by="-id")] == ["c", "b"]
    assert past.run_many([Call("count", store), Call("retrieve_by_id", "c", store)])[0] == 4
    assert past.retrieve_by_query("tea", store, explain=True).explanation["route"] in ("scan", "exact")
    with api.transaction() as tx:
        assert tx.at(then).count(store) == 4


def test_a_conversation_is_read_as_it_was(api: Any, server_name: str) -> None:
    """In its order, page by page."""
    if server_name == MONGODB:
        return
    api.keep_history(TURNS)
    try:
        api.store_many([{"id": f"t{n}", "memory_id": "m", "role": "user", "content": str(n)} for n in range(5)], TURNS)
        then = now(api, "t4", TURNS)
        api.update_by_id("t1", {"content": "changed"}, TURNS)
        api.delete_by_id("t3", TURNS)
        past = api.at(then.isoformat())
        read = past.retrieve_conversation_history_ordered_by_timestamp
        assert [each["content"] for each in read("m")] == [*"01234"]
        assert [each["content"] for each in read("m", limit=2, before="t3")] == ["1", "2"]
        hit = past.retrieve_by_query({"content": "2"}, TURNS, context=1)[0]
        assert [each["content"] for each in hit["_context"]["before"] + hit["_context"]["after"]] == ["1", "3"]
    finally:
        api.drop_history(TURNS, yes=True)


def test_what_had_not_expired_yet_is_there(api: Any, store: str, execute: Any) -> None:
    """Whether it has been purged since or not; what had expired by then is not."""
    for id in "ab":
        api.store({"id": id, "expires_at": datetime.now(UTC) + DAY}, store)
    api.store({"id": "c", "expires_at": datetime.now(UTC) + timedelta(microseconds=1)}, store)
    api.store({"id": "d"}, store)
    then = now(api, "d", store)
    execute("UPDATE long_term_memory SET expires_at = now(), access_count = 1 WHERE expires_at > now()")
    api.delete_by_id("b", store)
    assert {each["id"] for each in api.at(then).list_all(store)} >= {"b", "d"}
    assert "c" not in {each["id"] for each in api.at(then).list_all(store)}


WRITES: dict[str, Any] = {
    "store": lambda view: view.store({"id": "a", "n": 2}, LONG),
    "store_many": lambda view: view.store_many([{"id": "a"}] * 12, LONG),
    "update": lambda view: view.update(LONG, {}, {"n": 2}),
    "update_by_id": lambda view: view.update_by_id("a", {"n": 2}, LONG),
    "delete": lambda view: view.delete(LONG, {}),
    "delete_by_id": lambda view: view.delete_by_id("a", LONG),
    "delete_by_name": lambda view: view.delete_by_name("x", LONG),
    "delete_all": lambda view: view.delete_all(LONG),
    "delete_memagent": lambda view: view.delete_memagent("a", cascade=True),
    "forget": lambda view: view.forget("m"),
    "purge_expired": lambda view: view.purge_expired(),
    "touch": lambda view: view.retrieve_by_id("a", LONG, touch=True),
    "touch hits": lambda view: view.retrieve_by_query({}, LONG, touch=True),
    "remember": lambda view: view.remember("tea", store=LONG),
    "embed_missing": lambda view: view.embed_missing(LONG),
    "restore": lambda view: view.restore("a", LONG, 0),
    "undo": lambda view: view.undo(call="c"),
    "run_many": lambda view: view.run_many([Call("count", LONG), Call("delete", LONG, {})]),
    "touch in run_many": lambda view: view.run_many([Call("retrieve_by_id", "a", LONG, touch=True)]),
}


def test_what_is_past_is_only_read(api: Any, store: str) -> None:
    """Whatever changes something says so, and nothing is changed."""
    api.store({"id": "a", "name": "x", "memory_id": "m", "n": 1}, store)
    view = api.at(now(api, "a", store))
    before = api.list_all(store)
    for name, write in WRITES.items():
        # No other method than the one that was called is named.
        with pytest.raises(ReadOnlyError, match=r"^this is a view as of"):
            pytest.fail(f"{name}: {write(view)}")
    assert api.list_all(store) == before


def test_what_is_no_time_is_refused(api: Any, store: str) -> None:
    """As a value, with what was expected."""
    wrong: Any
    for wrong in ("yesterday", "", None, 5.5, True, [], {"$gt": 1}):
        with pytest.raises(ConfigurationError, match="expected a datetime"):
            api.at(wrong)
        with pytest.raises(ConfigurationError, match="expected a datetime"):
            api.diff("a", store, wrong)


def test_nothing_has_changed_since_a_time_to_come(api: Any, store: str) -> None:
    """It is an error, and not the answer that nothing was changed."""
    api.store({"id": "a"}, store)
    for call in (
        lambda: api.diff("a", store, datetime.now(UTC) + DAY),
        lambda: api.diff_memory(None, store, datetime.now(UTC) + DAY),
        lambda: api.undo(since=datetime.now(UTC) + DAY),
    ):
        with pytest.raises(ConfigurationError, match="this is to come"):
            call()


def test_a_naive_time_is_utc(api: Any, store: str) -> None:
    """In each call that takes a time."""
    api.store({"id": "a", "n": 1}, store)
    then = now(api, "a", store).replace(tzinfo=None)
    api.update_by_id("a", {"n": 2}, store)
    assert api.at(then).retrieve_by_id("a", store)["n"] == 1
    assert (
        api.diff("a", store, then) == {"n": {"from": 1, "to": 2}} == api.diff_memory(None, store, then)["changed"]["a"]
    )
    assert api.undo(since=then) == {store: ["a"]}
    assert api.restore("a", store, then) is True


STEPS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.one_of(
            st.none(),
            st.fixed_dictionaries(
                {},
                optional={
                    "n": st.integers(0, 2),
                    "memory_id": st.sampled_from("mn"),
                    "embedding": st.sampled_from([EAST, NORTH, None]),
                },
            ),
        ),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=15)
@given(steps=STEPS)
def test_every_time_is_as_it_was_seen_then(api: Any, store: str, steps: list[Any]) -> None:
    """After whatever changes, each state that was ever read is read again as of its time, by every way of reading."""

    def seen(view: Any) -> Any:
        whole = view.list_all(store, include_embedding=True)
        by_vector = view.retrieve_by_query({"embedding": EAST}, store, 9, exact=True)
        return whole, [(hit["id"], hit["distance"]) for hit in by_vector], view.memory("m").count(store)

    api.delete_all(store)
    states: list[tuple[datetime, Any]] = []
    for id, change in steps:
        if change is None:
            api.delete_by_id(id, store)
        else:
            api.store({"id": id, **change}, store)
        api.store({"id": "clock", "at": len(states)}, store)
        states.append((now(api, "clock", store), seen(api)))
    for time, state in states:
        assert seen(api.at(time)) == state


# --- versions and what differs ------------------------------------------------------------------------------------


def test_versions_follow_one_another(api: Any, store: str) -> None:
    """Each begins where the one before ends, also across a time in which there was no document."""
    api.store({"id": "a", "content": "1"}, store)
    api.update_by_id("a", {"content": "2"}, store)
    api.delete_by_id("a", store)
    api.store({"id": "a", "content": "3"}, store)
    found = api.versions("a", store)
    assert contents(found) == ["1", "2", None, "3"]
    assert [each.until for each in found[:-1]] == [each.since for each in found[1:]]
    assert found[-1].until is None
    assert [each.number for each in found] == sorted({each.number for each in found})
    for each in found:
        document = api.at(each.since).retrieve_by_id("a", store)
        assert document == each.document
    for unknown in ("b", "", None, 5):
        assert api.versions(unknown, store) == []


def test_clocks_that_jump_lose_and_double_nothing(api: Any, store: str, execute: Any) -> None:
    """Where the server's clock is set back, versions keep their order, and each time still has one version at most."""
    for n in range(1, 5):
        api.store({"id": "a", "content": str(n)}, store)
    execute(
        f"UPDATE {HISTORY} SET changed_at = changed_at + interval '1 hour' WHERE version = "
        f"(SELECT min(version) + 1 FROM {HISTORY})"
    )
    found = api.versions("a", store)
    assert contents(found) == [*"1234"]
    assert [each.since for each in found] == sorted(each.since for each in found)
    for each in found:
        assert len(api.at(each.since).list_all(store)) == 1


def test_differences(api: Any, store: str) -> None:
    """Between times and versions, in keys that one of them has not too; a boolean is no number."""
    api.store({"id": "a", "city": "Rome", "n": 1, "tags": ["x"], "metadata": {"k": 1}}, store)
    then = now(api, "a", store)
    api.update_by_id("a", {"city": "Oslo", "n": True, "tags": ["x"], "new": None}, store)
    expected = {"city": {"from": "Rome", "to": "Oslo"}, "n": {"from": 1, "to": True}, "new": {"to": None}}
    first, second = (each.number for each in api.versions("a", store))
    for since, until in ((then, None), (first, second), (then, now(api, "a", store).isoformat()), (first, None)):
        assert api.diff("a", store, since, until) == expected
    assert api.diff("a", store, second, first)["city"] == {"from": "Oslo", "to": "Rome"}
    assert api.diff("a", store, second) == {}
    assert api.diff("b", store, then) == {}
    api.delete_by_id("a", store)
    assert api.diff("a", store, then)["city"] == {"from": "Rome"}
    with pytest.raises(ConfigurationError, match="has no version 99999"):
        api.diff("a", store, 99999)
    with pytest.raises(ConfigurationError, match="is before that"):
        api.diff("a", store, datetime(2020, 1, 1, tzinfo=UTC))


def test_differences_of_a_memory(api: Any, store: str) -> None:
    """What was added, changed and gone, also by moving from one memory to another; what is as it was is not there."""
    memory = api.memory("m")
    memory.store_many([{"id": id, "city": "Rome"} for id in "abcd"], store)
    api.store({"id": "theirs", "memory_id": "n"}, store)
    then = now(api, "theirs", store)
    api.update_by_id("a", {"city": "Oslo"}, store)
    api.delete_by_id("b", store)
    api.update_by_id("c", {"city": "Oslo"}, store)
    api.update_by_id("c", {"city": "Rome"}, store)
    api.update_by_id("d", {"memory_id": "n"}, store)
    middle = now(api, "d", store)
    api.update_by_id("theirs", {"memory_id": "m"}, store)
    for found in (api.diff_memory("m", store, then), memory.diff_memory(None, store, then)):
        assert found["changed"] == {"a": {"city": {"from": "Rome", "to": "Oslo"}}}
        assert [*found["added"]] == ["theirs"]
        assert found["gone"]["b"]["city"] == found["gone"]["d"]["city"] == "Rome"
    assert api.diff_memory("m", store, then, middle)["added"] == {}
    assert [*api.diff_memory("m", store, middle, then)["added"]] == ["b", "d"]
    assert [*api.diff_memory(None, store, then)["changed"]] == ["a", "d", "theirs"]
    assert api.tenant("another").diff_memory("m", store, then) == {"added": {}, "changed": {}, "gone": {}}
    api.forget("m")
    assert api.diff_memory("m", store, then) == {"added": {}, "changed": {}, "gone": {}}
    with pytest.raises(ConfigurationError, match="is before that"):
        api.diff_memory("m", store, "2020-01-01")
    with pytest.raises(ConfigurationError, match="since=5: expected a datetime"):
        api.diff_memory("m", store, 5)


# --- whose --------------------------------------------------------------------------------------------------------


def test_versions_of_others_are_in_no_view(api: Any, store: str) -> None:
    """Of a document that moved from one memory to another, either sees what it was there; tenants see their own."""
    whole = api.tenant("whole")
    whole.store({"id": "a", "memory_id": "m", "content": "of m"}, store)
    then = now(whole, "a", store)
    whole.update_by_id("a", {"memory_id": "n", "content": "of n"}, store)
    api.tenant("another").store({"id": "a", "content": "of other"}, store)
    assert contents(whole.versions("a", store)) == ["of m", "of n"]
    assert contents(whole.memory("m").versions("a", store)) == ["of m"]
    assert contents(whole.memory("n").versions("a", store)) == ["of n"]
    assert contents(api.tenant("another").versions("a", store)) == ["of other"]
    assert api.versions("a", store) == []
    assert whole.memory("n").at(then).list_all(store) == []
    assert [each["content"] for each in whole.memory("m").at(then).list_all(store)] == ["of m"]
    assert api.at(then).list_all(store) == []
    for view in (whole, whole.memory("m")):
        with pytest.raises(ConfigurationError, match="ask the provider itself"):
            view.keep_history(store)
        with pytest.raises(ConfigurationError, match="ask the provider itself"):
            view.drop_history(store, yes=True)


def test_forgetting_reaches_every_version(api: Any, store: str, execute: Any) -> None:
    """Of documents that are there, that were moved, and that are deleted; of a document of another memory now, only
    what it was in this one. It stays that there was something, and nothing of what."""
    api.store_many([{"id": id, "memory_id": "m", "content": "secret", "embedding": EAST} for id in "abcd"], store)
    api.update_by_id("a", {"content": "secret too"}, store)
    api.delete_by_id("b", store)
    api.update_by_id("c", {"memory_id": "n", "content": "kept"}, store)
    api.store({"id": "e", "content": "secret before"}, store)
    api.update_by_id("e", {"memory_id": "m"}, store)
    api.store({"id": "f", "memory_id": "n", "content": "kept"}, store)
    api.update_by_id("f", {"n": 1}, store)
    then = now(api, "f", store)
    before = api.forget("m", dry_run=True)
    receipt = api.forget("m")
    assert receipt.deleted == before.deleted == {store: 3}
    assert receipt.versions == before.versions == {store: 4}
    assert receipt.as_json()["versions"] == {store: 4}
    assert execute(f"SELECT count(*) FROM {HISTORY} AS h WHERE h::text LIKE '%secret%'") == [(0,)]
    assert contents(api.versions("c", store)) == [None, "kept"]
    assert contents(api.versions("f", store)) == ["kept", "kept"]
    for id in "abde":
        assert {*contents(api.versions(id, store))} == {None}
    assert {each["id"] for each in api.at(then).list_all(store)} == {"c", "f"}
    assert api.forget("m").versions == {}


def test_an_agent_lists_a_forgotten_memory_in_no_version(api: Any, server_name: str, execute: Any) -> None:
    """Neither now nor in what it was."""
    if server_name == MONGODB:
        return
    api.keep_history(MemoryType.MEMAGENT)
    try:
        api.store_memagent({"agent_id": "x", "memory_ids": ["gone-for-good", "n"], "n": 1})
        api.update_memagent({"agent_id": "x", "n": 2})
        api.forget("gone-for-good")
        assert [each.document["memory_ids"] for each in api.versions("x", MemoryType.MEMAGENT)] == [["n"]] * 3
    finally:
        api.drop_history(MemoryType.MEMAGENT, yes=True)


# --- taking back --------------------------------------------------------------------------------------------------


def plain(document: Any) -> Any:
    """Return a document without the time of its last change."""
    return None if document is None else {key: value for key, value in document.items() if key != "updated_at"}


def test_a_document_is_put_back_whole(api: Any, store: str) -> None:
    """By a time or a version, also when it was deleted: keys, None, times, parts of a content and vector; a change,
    with every version before it still there."""
    first = {"id": "user-1", "content": [{"type": "text", "text": "tea"}], "n": None, "k": 1, "embedding": EAST}
    api.store({**first, "name": "x", "metadata": {"a": [1]}, "expires_at": datetime.now(UTC) + DAY}, store)
    then, was = now(api, "user-1", store), api.retrieve_by_id("user-1", store, include_embedding=True)
    api.update_by_id("user-1", {"content": "milk", "n": 5, "new": 1, "name": None, "embedding": NORTH}, store)
    number = api.versions("user-1", store)[0].number
    for to in (then, number, then.isoformat()):
        assert api.restore("user-1", store, to) is True
        found = api.retrieve_by_id("user-1", store, include_embedding=True)
        assert plain(found) == plain(was)
        assert found["updated_at"] > was["updated_at"]
        assert [hit["distance"] for hit in api.retrieve_by_query({"embedding": EAST}, store)] == [0]
        api.delete_by_id("user-1", store)
    assert [each.operation for each in api.versions("user-1", store)] == [
        "insert", "update", "restore", "delete", "restore", "delete", "restore", "delete",
    ]  # fmt: skip
    assert api.retrieve_by_query("tea", store) == []
    api.acting("ada").restore("user-1", store, number)
    assert api.versions("user-1", store)[-1].actor == "ada"
    assert len(api.retrieve_by_query("tea", store)) == 1


def test_what_was_not_there_is_not_restored(api: Any, store: str) -> None:
    """False for a time in which there was no document, and for one that nobody has; an error before the history."""
    api.store({"id": "a"}, store)
    before = now(api, "a", store)
    api.store({"id": "b"}, store)
    assert api.restore("b", store, before) is False
    assert api.restore("c", store, before) is False
    assert api.restore("b", store, 99999) is False
    assert api.restore(None, store, before) is False
    assert api.restore("b", store, datetime.now(UTC) + DAY) is True
    assert [each.operation for each in api.versions("b", store)] == ["insert"]
    with pytest.raises(ConfigurationError, match="is before that"):
        api.restore("b", store, "2020-01-01")
    with pytest.raises(ConfigurationError, match="no history of"):
        api.restore("b", TURNS, before)


def test_what_is_forgotten_is_gone(api: Any, store: str) -> None:
    """It is not restored, by no version and no undo, and the error says so."""
    api.store({"id": "a", "memory_id": "m", "content": "secret"}, store)
    then = now(api, "a", store)
    api.acting("x", call="c").update_by_id("a", {"n": 1}, store)
    api.forget("m")
    for call in (
        lambda: api.restore("a", store, then),
        lambda: api.undo(call="c"),
        lambda: api.undo(since=then),
    ):
        with pytest.raises(InvalidDocument, match="forgotten, and is gone"):
            call()
    assert api.count(store) == 0


def test_a_passed_end_is_left_out(api: Any, store: str, execute: Any) -> None:
    """What has expired since and is put back lives on."""
    api.store({"id": "a", "expires_at": datetime.now(UTC) + DAY}, store)
    api.delete_by_id("a", store)
    execute(f"UPDATE {HISTORY} SET expires_at = now() - interval '1 hour' WHERE expires_at IS NOT NULL")
    assert api.restore("a", store, api.versions("a", store)[0].number) is True
    assert "expires_at" not in api.retrieve_by_id("a", store)


def test_a_call_is_undone_whole(api: Any, store: str) -> None:
    """What it changed, deleted and stored, in every store that keeps a history; and undoing that is possible too."""
    api.keep_history(TURNS)
    try:
        api.store_many([{"id": id, "n": 1, "embedding": EAST} for id in "abc"], store)
        api.store({"id": "t", "content": "1"}, TURNS)
        before = [api.list_all(each, include_embedding=True) for each in (store, TURNS)]
        bob = api.acting("bob", call="mistake")
        bob.update(store, {"n": 1}, {"n": 2})
        bob.update_by_id("a", {"n": 3, "embedding": NORTH}, store)
        bob.delete_by_id("b", store)
        bob.store({"id": "d"}, store)
        bob.update_by_id("t", {"content": "2"}, TURNS)
        assert api.acting("ada", call="repair").undo(call="mistake") == {store: [*"abcd"], TURNS.value: ["t"]}
        after = [api.list_all(each, include_embedding=True) for each in (store, TURNS)]
        assert [[plain(each) for each in listed] for listed in after] == [
            [plain(each) for each in listed] for listed in before
        ]
        assert api.versions("a", store)[-1].operation == "undo"
        api.undo(call="repair")
        assert [each["id"] for each in api.list_all(store)] == ["a", "c", "d"]
        assert api.retrieve_by_id("a", store)["n"] == 3
        assert api.undo(call="of nobody") == {}
    finally:
        api.drop_history(TURNS, yes=True)


def test_what_others_have_changed_since_is_not_undone(api: Any, store: str) -> None:
    """Nothing of the call is then; everything since a time is, whoever changed it."""
    api.store_many([{"id": id, "n": 1} for id in "ab"], store)
    then = now(api, "b", store)
    api.acting("bob", call="c").update(store, {}, {"n": 2})
    api.update_by_id("b", {"k": 1}, store)
    with pytest.raises(ConfigurationError, match="others have changed 'b'"):
        api.undo(call="c")
    assert [each["n"] for each in api.list_all(store)] == [2, 2]
    assert api.undo(since=then) == {store: ["a", "b"]}
    assert [(each["n"], "k" in each) for each in api.list_all(store)] == [(1, False)] * 2
    for wrong in ({}, {"call": "c", "since": then}, {"call": 5}, {"since": 5}):
        with pytest.raises(ConfigurationError, match=r"undo: expected|call=5|since=5"):
            api.undo(**wrong)


def test_a_view_takes_back_its_own(api: Any, store: str) -> None:
    """Of a call that changed documents of several memories and tenants, each view undoes what is its own."""
    whole = api.tenant("whole of views")
    whole.store_many([{"id": id, "memory_id": id, "n": 1} for id in "mn"], store)
    api.tenant("another of views").store({"id": "m", "memory_id": "m", "n": 1}, store)
    then = now(whole, "n", store)
    for view in (whole, api.tenant("another of views")):
        view.acting("bob", call="c").update(store, {}, {"n": 2})
    assert whole.memory("m").restore("n", store, then) is False
    assert whole.memory("m").undo(call="c") == {store: ["m"]}
    assert [each["n"] for each in whole.list_all(store)] == [1, 2]
    assert [each["n"] for each in api.tenant("another of views").list_all(store)] == [2]


def test_a_history_that_another_program_begins_or_ends_is_seen(api: Any, config: Any, server_name: str) -> None:
    """By whoever was open before: its versions, what was at a time, and what is taken back, of every store."""
    if server_name == MONGODB:
        pytest.skip("MongoDB keeps no history")
    with PostgreSQLProvider(config) as other:
        id = api.store({"content": "tea"}, LONG)
        try:
            other.keep_history(LONG)
            other.update_by_id(id, {"content": "coffee"}, LONG)
            assert contents(api.versions(id, LONG)) == ["tea", "coffee"]
            other.keep_history(TURNS)
            turn = other.acting("Ada", "a call").store({"content": "hello"}, TURNS)
            other.acting("Ada", "a call").update_by_id(id, {"content": "water"}, LONG)
            assert set(api.undo(call="a call")) == {LONG.value, TURNS.value}
            assert api.retrieve_by_id(id, LONG)["content"] == "coffee"
            assert api.retrieve_by_id(turn, TURNS) is None
            assert api.restore(id, LONG, 0)
            calls: list[Callable[[], Any]] = [
                lambda: api.versions(id, LONG),
                lambda: api.diff(id, LONG, 1),
                lambda: api.restore(id, LONG, 1),
                lambda: api.diff_memory("m", LONG, datetime.now(UTC)),
            ]
            for call in calls:
                other.drop_history(LONG, yes=True)
                with pytest.raises(ConfigurationError, match=r"keep_history\("):
                    call()
                other.keep_history(LONG)
                assert api.versions(id, LONG)
        finally:
            for store in (LONG, TURNS):
                other.drop_history(store, yes=True)
