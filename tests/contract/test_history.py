"""retrieve_conversation_history_ordered_by_timestamp."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from memorizz.errors import ConfigurationError, FilterError
from memorizz.memory_provider.memory_type import MemoryType

TURNS = MemoryType.CONVERSATION_MEMORY
NOON = datetime(2024, 5, 6, 12, tzinfo=UTC)


def tell(api: Any, turns: list[tuple[int, int]]) -> list[str]:
    """Store turns (number, minutes after noon) of the memory m, in this order."""
    documents = [
        {
            "n": n,
            "memory_id": "m",
            "role": "user",
            "content": f"turn {n}",
            "timestamp": NOON + timedelta(minutes=minute),
        }
        for n, minute in turns
    ]
    return api.store_many(documents, TURNS)


def history(api: Any, *args: Any, **kwargs: Any) -> list[int]:
    return [turn["n"] for turn in api.retrieve_conversation_history_ordered_by_timestamp("m", *args, **kwargs)]


def test_a_history_is_oldest_first(api: Any) -> None:
    """By the turn's timestamp, not by when it was stored; only this memory's turns."""
    tell(api, [(2, 20), (0, 0), (1, 10)])
    api.store({"n": 9, "memory_id": "other"}, TURNS)
    api.store({"n": 8}, TURNS)
    api.store({"n": 7, "memory_id": "m"}, MemoryType.LONG_TERM_MEMORY)
    assert history(api) == [0, 1, 2]


def test_a_limit_keeps_the_newest(api: Any) -> None:
    """The newest N, still oldest first; 0 is none, more than there are is all, None is all."""
    tell(api, [(n, n) for n in range(5)])
    assert history(api, 2) == history(api, limit=2) == [3, 4]
    assert history(api, 0) == []
    assert history(api, 99) == history(api, None) == [0, 1, 2, 3, 4]


def test_ties_keep_the_order_of_storing(api: Any) -> None:
    """Turns of the same time come in the order in which they were stored, also when limited and when updated later."""
    ids = tell(api, [(n, 0) for n in range(6)])
    api.update_by_id(ids[1], {"content": "new"}, TURNS)
    api.store({"id": ids[0], "content": "new"}, TURNS)
    assert history(api) == [0, 1, 2, 3, 4, 5]
    assert history(api, 2) == [4, 5]


def test_turns_without_timestamp_keep_the_order_of_storing(api: Any) -> None:
    """A chat that gives no times reads back as it was told, stored one by one or all at once."""
    for n in range(3):
        api.store({"n": n, "memory_id": "m"}, TURNS)
    api.store_many([{"n": n, "memory_id": "m"} for n in range(3, 600)], TURNS)
    assert history(api) == list(range(600))


def test_before_a_turn_pages_back_exactly(api: Any) -> None:
    """Paging by the first turn's id meets each turn once, ties included."""
    tell(api, [(0, 0), (1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 2)])
    pages: list[list[int]] = []
    before = None
    while page := api.retrieve_conversation_history_ordered_by_timestamp("m", limit=2, before=before):
        pages.append([turn["n"] for turn in page])
        before = page[0]["id"]
    assert pages == [[5, 6], [3, 4], [1, 2], [0]]


def test_before_a_turn_without_limit_is_all_before(api: Any) -> None:
    """`before` alone brings every earlier turn; the first turn has none before it."""
    ids = tell(api, [(n, 0) for n in range(4)])
    assert history(api, before=ids[2]) == [0, 1]
    assert history(api, before=ids[0]) == []


def test_before_takes_an_own_id(api: Any) -> None:
    """ObjectIds and ids of any text are ids here too."""
    oid = ObjectId()
    api.store_many([{"n": 0, "memory_id": "m"}, {"_id": oid, "n": 1, "memory_id": "m"}], TURNS)
    assert history(api, before=oid) == history(api, before=str(oid)) == [0]


@pytest.mark.parametrize(
    "before",
    [NOON + timedelta(minutes=2), datetime(2024, 5, 6, 12, 2), "2024-05-06T12:02:00Z", "2024-05-06T14:02:00+02:00"],
    ids=str,
)
def test_before_a_time_pages_back(api: Any, before: Any) -> None:
    """A datetime or an ISO string brings the turns before it, and none of that very time."""
    tell(api, [(n, n) for n in range(5)])
    assert history(api, before=before) == [0, 1]
    assert history(api, limit=1, before=before) == [1]


@pytest.mark.parametrize("before", ["nobody", "65a0000000000000000000ff", "", "\0", 5, [], "24 May"], ids=repr)
def test_before_something_else_is_refused(api: Any, before: Any) -> None:
    """What is neither a turn of this memory nor a time is a FilterError, not a silent history."""
    tell(api, [(0, 0)])
    with pytest.raises(FilterError, match="before"):
        api.retrieve_conversation_history_ordered_by_timestamp("m", before=before)


def test_before_a_turn_of_another_memory_is_refused(api: Any) -> None:
    """The id of somebody else's turn says nothing about this history."""
    id = api.store({"memory_id": "other"}, TURNS)
    with pytest.raises(FilterError, match="no such turn"):
        api.retrieve_conversation_history_ordered_by_timestamp("m", before=id)


@pytest.mark.parametrize("limit", [-1, 1.5, "2", True], ids=repr)
def test_a_limit_is_a_whole_number(api: Any, limit: Any) -> None:
    """Anything else is a ConfigurationError."""
    with pytest.raises(ConfigurationError, match="limit"):
        api.retrieve_conversation_history_ordered_by_timestamp("m", limit=limit)


@pytest.mark.parametrize("memory_id", ["nobody", "", "m\0", "\ud800", None, "x" * 5000], ids=lambda m: repr(m)[:20])
def test_an_unknown_memory_has_no_history(api: Any, memory_id: Any) -> None:
    """Whatever is asked for, no exception."""
    tell(api, [(0, 0)])
    api.store({"memory_id": None}, TURNS)
    assert api.retrieve_conversation_history_ordered_by_timestamp(memory_id) == []


def test_a_turn_in_the_history_is_whole(api: Any) -> None:
    """A turn comes with all its keys, times as aware UTC datetimes, without embedding."""
    api.store(
        {"memory_id": "m", "conversation_id": "c", "role": "user", "content": "hi", "timestamp": NOON.isoformat(),
         "tokens": 2, "embedding": [1, 0, 0, 0]}, TURNS,
    )  # fmt: skip
    [turn] = api.retrieve_conversation_history_ordered_by_timestamp("m")
    assert {key: turn[key] for key in turn if key not in ("id", "_id", "created_at", "updated_at")} == {
        "memory_id": "m", "conversation_id": "c", "role": "user", "content": "hi", "timestamp": NOON, "tokens": 2,
    }  # fmt: skip


# --- of a conversation --------------------------------------------------------------------------------------------


def test_a_history_of_a_conversation(api: Any) -> None:
    """Its turns alone, of every memory or of one; the newest N, oldest first, a page at a time."""
    ids = [api.store({"memory_id": f"m{n % 2}", "conversation_id": f"c{n % 3}", "n": n}, TURNS) for n in range(30)]
    api.store({"conversation_id": "c0", "n": 99, "expires_at": "2020-01-01"}, TURNS)

    def turns(*args: Any, **kwargs: Any) -> list[int]:
        return [each["n"] for each in api.retrieve_conversation_history_ordered_by_timestamp(*args, **kwargs)]

    assert turns(conversation_id="c0") == list(range(0, 30, 3))
    assert turns(limit=2, conversation_id="c0") == [24, 27]
    assert turns(None, 2, ids[24], conversation_id="c0") == [18, 21]
    assert turns("m1", conversation_id="c0") == list(range(3, 30, 6))
    assert turns("m1", 1, conversation_id="c0") == [27]
    assert turns(conversation_id="c9") == turns("m9", conversation_id="c0") == turns(conversation_id="c\0") == []
    assert turns("m1", conversation_id="c\0") == turns("m\0", conversation_id="c1") == []
    with pytest.raises(FilterError, match="c1"):
        turns(None, 2, ids[24], conversation_id="c1")


def test_whose_turns_is_said(api: Any) -> None:
    """Without a memory and a conversation nothing is read; what is no id is refused."""
    assert api.retrieve_conversation_history_ordered_by_timestamp() == []
    with pytest.raises(ConfigurationError, match="conversation_id"):
        api.retrieve_conversation_history_ordered_by_timestamp(conversation_id=5)
