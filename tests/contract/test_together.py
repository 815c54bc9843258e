"""run_many: calls of different methods, in order, all or nothing."""

from __future__ import annotations

from typing import Any

import pytest

from documents import own
from memorizz.errors import ConfigurationError, FilterError, InvalidDocument
from memorizz.memory_provider.base import Call
from memorizz.memory_provider.memory_type import MemoryType

LONG, SHORT = MemoryType.LONG_TERM_MEMORY, MemoryType.SHORT_TERM_MEMORY
EAST = [1.0, 0.0, 0.0, 0.0]

CALLS = [
    Call("store", {"id": "a", "n": 1, "embedding": EAST}, LONG),
    Call("retrieve_by_id", "a", LONG),
    Call("update", LONG, {"n": 1}, {"n": 2}),
    Call("count", LONG, {"n": 2}),
    Call("retrieve_by_query", {"embedding": EAST}, LONG, limit=5, where={"n": 2}),
    Call("store_many", [{"id": "b", "n": 2}, {"id": "a", "m": 3}], LONG),
    Call("distinct", LONG, "n"),
    Call("store", {"id": "a", "n": 9}, LONG, if_absent=True),
    Call("delete", LONG, {"id": "b"}),
    Call("retrieve_by_id", "b", LONG),
    Call("list_all", memory_store_type=LONG),
    Call("delete_all", LONG),
    Call("count", LONG),
]


@pytest.mark.parametrize("inside", [False, True])
def test_each_call_sees_the_ones_before_it(api: Any, inside: bool) -> None:
    """The results are those of the calls made one after the other, in their order, also in a transaction."""
    if inside:
        with api.transaction() as transaction:
            found = transaction.run_many(CALLS)
    else:
        found = api.run_many(CALLS)
    assert found[0] == "a"
    assert own(found[1]) == {"n": 1}
    assert found[2:4] == [1, 1]
    assert [hit["id"] for hit in found[4]] == ["a"]
    assert found[5:10] == [["b", "a"], [2], None, 1, None]
    assert [own(each) for each in found[10]] == [{"n": 2, "m": 3}]
    assert found[11:] == [True, 0]


def test_reads_of_different_kinds_line_up(api: Any) -> None:
    """Also of several stores, and where some find nothing."""
    api.store_many([{"id": id, "name": id, "n": n} for n, id in enumerate("abc")], LONG)
    api.store({"id": "a", "name": "short"}, SHORT)
    ids = ["a", "x", "b", None, "c"]
    found = api.run_many([
        *(Call("retrieve_by_id", id, LONG) for id in ids),
        Call("retrieve_by_name", "short", SHORT),
        Call("retrieve_by_query", {"n": {"$gte": 1}}, LONG, 5, order_by="-n"),
        Call("retrieve_by_query", {}, LONG, 0),
    ])  # fmt: skip
    assert [each and each["id"] for each in found[:6]] == ["a", None, "b", None, "c", "a"]
    assert [each["id"] for each in found[6]] == ["c", "b"]
    assert found[7] == []
    assert api.run_many([]) == []


@pytest.mark.parametrize("wrong", [Call("count", LONG, {"a": {"$near": 1}}), Call("store", {"ttl": -1}, LONG)])
@pytest.mark.parametrize("more", [[], [Call("store", {"id": "y"}, LONG)]])
def test_nothing_is_kept_where_one_fails(api: Any, wrong: Call, more: list[Call]) -> None:
    """Whatever came before it."""
    with pytest.raises((FilterError, InvalidDocument)):
        api.run_many([Call("store", {"n": 1}, LONG), *more, wrong])
    assert api.count(LONG) == 0


def test_nothing_is_kept_where_the_callers_counter_fails(api: Any) -> None:
    """Though the statements of all calls had succeeded by then."""

    def fails(text: str) -> int:
        raise LookupError("no such model")

    read = Call("retrieve_by_query", {}, LONG, max_tokens=10, count_tokens=fails)
    with pytest.raises(LookupError, match="no such model"):
        api.run_many([Call("store", {"content": "tea"}, LONG), read])
    assert api.count(LONG) == 0


def test_what_can_be_read_once_is_kept(api: Any) -> None:
    """A call may be made several times, by a caller too: each time it has all of its arguments."""
    calls = [
        Call("store_many", ({"id": id} for id in "ab"), LONG),
        Call("store_many", documents=iter([{"id": "c"}]), memory_store_type=LONG),
        Call("store_memagent", {"id": "agent"}),
        Call("update_memagent_memory_ids", "agent", (id for id in "mn")),
    ]
    for _ in range(2):
        assert api.run_many(calls) == [["a", "b"], ["c"], "agent", True]
        assert api.count(LONG) == 3
        assert api.retrieve_memagent("agent")["memory_ids"] == ["m", "n"]


@pytest.mark.parametrize("calls", [iter([Call("count", LONG)]), Call("count", LONG), None, 5])
def test_calls_are_a_list(api: Any, calls: Any) -> None:
    """What could be gone through only once would do nothing."""
    with pytest.raises(ConfigurationError, match="list of Calls"):
        api.run_many(calls)


@pytest.mark.parametrize("calls", [["count"], [Call("iterate", LONG)], [Call("run", LONG)], [Call("__init__")],
                                   [Call("count")], [Call("count", LONG, no=1)]])  # fmt: skip
def test_what_is_no_call_is_refused(api: Any, calls: Any) -> None:
    """By what it is."""
    with pytest.raises(ConfigurationError, match="Call"):
        api.run_many(calls)
