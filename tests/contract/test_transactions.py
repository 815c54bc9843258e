"""transaction(): the same methods, all or nothing; close()."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from memorizz.errors import InvalidDocument, MemorizzError, ProviderClosed
from memorizz.memory_provider.memory_type import MemoryType

LONG = MemoryType.LONG_TERM_MEMORY
TURNS = MemoryType.CONVERSATION_MEMORY
EAST = [1.0, 0.0, 0.0, 0.0]


def test_a_transaction_is_kept_at_its_end(api: Any) -> None:
    """What was stored inside, in several stores, is there afterwards, and only afterwards for others."""
    with api.transaction() as tx:
        tx.store({"id": "a"}, LONG)
        tx.store_many([{"id": "b"}, {"id": "c"}], TURNS)
        assert (tx.count(LONG), tx.count(TURNS)) == (1, 2)
        assert (api.count(LONG), api.count(TURNS)) == (0, 0)
    assert (api.count(LONG), api.count(TURNS)) == (1, 2)


class Own(BaseException):
    """An exception of the caller's."""


@pytest.mark.parametrize("error", [ValueError("mine"), KeyError(5), Own()], ids=repr)
def test_an_exception_rolls_everything_back_and_leaves_as_raised(api: Any, error: BaseException) -> None:
    """Nothing is stored, and the caller meets the very exception that was raised."""
    api.store({"id": "stays"}, LONG)

    def block() -> None:
        with api.transaction() as tx:
            tx.store({"id": "a"}, LONG)
            tx.delete_by_id("stays", LONG)
            tx.store({"id": "a"}, TURNS)
            raise error

    with pytest.raises(type(error)) as caught:
        block()
    assert caught.value is error
    assert [each["id"] for each in api.list_all(LONG)] == ["stays"]
    assert api.count(TURNS) == 0


def test_every_method_works_inside(api: Any) -> None:
    """A transaction has the methods of a provider, and they see what it did."""
    with api.transaction() as tx:
        id = tx.store({"name": "n", "content": "tea", "memory_id": "m", "embedding": EAST}, TURNS)
        assert tx.retrieve_by_id(id, TURNS)["name"] == "n"
        assert tx.retrieve_by_name("n", TURNS)["id"] == id
        for query in ({"name": "n"}, {"embedding": EAST}, "tea"):
            assert [hit["id"] for hit in tx.retrieve_by_query(query, TURNS, limit=50)] == [id]
        assert [each["id"] for each in tx.list_all(TURNS)] == [each["id"] for each in tx.iterate(TURNS)] == [id]
        assert tx.update_by_id(id, {"a": 1}, TURNS) is True
        assert [t["a"] for t in tx.retrieve_conversation_history_ordered_by_timestamp("m")] == [1]
        assert len(tx.retrieve_memory_components_by_query("tea", EAST, "m")) == 1
        agent = tx.store_memagent({"memory_ids": []})
        assert tx.update_memagent({"id": agent, "a": 1}) is True
        assert tx.update_memagent_memory_ids(agent, ["m"]) is True
        assert tx.retrieve_memagent(agent)["memory_ids"] == ["m"]
        assert tx.delete_memagent_memory_ids(agent) is True
        assert len(tx.list_memagents()) == 1
        assert tx.delete_memagent(agent, cascade=True) is True
        assert tx.purge_expired() == 0
        assert tx.delete_by_name("n", TURNS) is True
        assert tx.delete_by_id(id, TURNS) is False
        assert tx.delete_all(TURNS) is True
    assert api.count(TURNS) == 0


def test_a_mistake_caught_inside_breaks_nothing(api: Any) -> None:
    """An error that never reached the server can be caught, and the rest is kept."""
    with api.transaction() as tx:
        tx.store({"id": "a"}, LONG)
        with pytest.raises(InvalidDocument):
            tx.store({"bad": object()}, LONG)
        tx.store({"id": "b"}, LONG)
    assert api.count(LONG) == 2


def test_a_transaction_that_is_over_is_over(api: Any) -> None:
    """The methods of a finished transaction are refused, and not run outside of one."""
    with api.transaction() as tx:
        pass
    with pytest.raises(ProviderClosed, match="over"):
        tx.store({}, LONG)
    with pytest.raises(ProviderClosed, match="over"):
        list(tx.iterate(LONG))
    assert api.count(LONG) == 0


def test_transactions_do_not_see_each_other(api: Any) -> None:
    """Two at once are two, and a call on the provider inside a block is not part of the block."""
    with api.transaction() as one, api.transaction() as two:
        one.store({"id": "1"}, LONG)
        two.store({"id": "2"}, LONG)
        assert [each["id"] for each in one.list_all(LONG)] == ["1"]
        assert [each["id"] for each in two.list_all(LONG)] == ["2"]
        api.store({"id": "3"}, LONG)
    assert api.count(LONG) == 3


# --- concurrency --------------------------------------------------------------------------------------------------


def test_threads_share_a_provider(api: Any) -> None:
    """Eight threads at once store and read their own, and nothing is lost or mixed up."""
    failures: list[Exception] = []

    def work(thread: int) -> None:
        try:
            for n in range(20):
                id = api.store({"memory_id": f"m{thread}", "n": n, "embedding": EAST}, TURNS)
                assert api.retrieve_by_id(id, TURNS)["memory_id"] == f"m{thread}"
            turns = api.retrieve_conversation_history_ordered_by_timestamp(f"m{thread}")
            assert [turn["n"] for turn in turns] == list(range(20))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert api.count(TURNS) == 160


# --- closing ------------------------------------------------------------------------------------------------------

CALLS: list[Callable[[Any], Any]] = [
    lambda api: api.store({}, LONG),
    lambda api: api.store_many([{}], LONG),
    lambda api: api.retrieve_by_id("x", LONG),
    lambda api: api.retrieve_by_id("", LONG),
    lambda api: api.retrieve_by_name("x", LONG),
    lambda api: api.retrieve_by_query({}, LONG),
    lambda api: api.retrieve_by_query({}, LONG, limit=0),
    lambda api: api.update_by_id("x", {}, LONG),
    lambda api: api.delete_by_id("x", LONG),
    lambda api: api.delete_by_name("x", LONG),
    lambda api: api.delete_all(LONG),
    lambda api: api.list_all(LONG),
    lambda api: list(api.iterate(LONG)),
    lambda api: api.count(LONG),
    lambda api: api.retrieve_conversation_history_ordered_by_timestamp("m"),
    lambda api: api.store_memagent({}),
    lambda api: api.update_memagent({"id": "x"}),
    lambda api: api.retrieve_memagent("x"),
    lambda api: api.list_memagents(),
    lambda api: api.update_memagent_memory_ids("x", []),
    lambda api: api.delete_memagent_memory_ids("x"),
    lambda api: api.delete_memagent("x", cascade=True),
    lambda api: api.retrieve_memory_components_by_query("tea"),
    lambda api: api.purge_expired(),
    lambda api: api.transaction().__enter__(),
]


def test_a_call_after_close_is_refused(open_api: Callable[..., Any], config: Any) -> None:
    """Every method of a closed provider raises ProviderClosed; closing twice is fine."""
    api = open_api(config)
    api.store({}, LONG)
    api.close()
    api.close()
    for call in CALLS:
        with pytest.raises(ProviderClosed, match="closed"):
            call(api)


def test_a_provider_is_a_context_manager(open_api: Callable[..., Any], config: Any) -> None:
    """Leaving the block closes the provider, also by an exception, which is not swallowed."""
    api = open_api(config)

    def block() -> None:
        with api:
            api.store({}, LONG)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()
    with pytest.raises(MemorizzError):
        api.count(LONG)


def test_what_was_stored_outlives_the_provider(open_api: Callable[..., Any], config: Any) -> None:
    """The next provider on the same database finds it."""
    with open_api(config) as api:
        id = api.store({"name": "Ada"}, LONG)
    with open_api(config) as api:
        assert api.retrieve_by_id(id, LONG)["name"] == "Ada"
