"""expires_at and purge_expired."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from memorizz.errors import ConfigurationError, InvalidDocument
from memorizz.memory_provider.memory_type import MemoryType

LONG = MemoryType.LONG_TERM_MEMORY
TURNS = MemoryType.CONVERSATION_MEMORY
PAST, FUTURE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2120, 1, 1, tzinfo=UTC)
EAST = [1.0, 0.0, 0.0, 0.0]


def test_an_expired_document_is_in_no_read(api: Any) -> None:
    """Nor in a count, an update or a deletion; it is as if it were gone."""
    api.store(
        {"id": "x", "name": "n", "content": "tea", "memory_id": "m", "embedding": EAST, "expires_at": PAST}, TURNS
    )
    assert api.retrieve_by_id("x", TURNS) is None
    assert api.retrieve_by_name("n", TURNS) is None
    for query in ({}, {"name": "n"}, {"embedding": EAST}, "tea", {"embedding": EAST, "$text": {"$search": "tea"}}):
        assert api.retrieve_by_query(query, TURNS) == []
    assert api.retrieve_by_query({"embedding": EAST}, TURNS, exact=True) == []
    assert api.list_all(TURNS) == list(api.iterate(TURNS)) == []
    assert api.count(TURNS) == 0
    assert api.retrieve_conversation_history_ordered_by_timestamp("m") == []
    assert api.retrieve_memory_components_by_query("tea", EAST, "m") == []
    assert api.update_by_id("x", {"a": 1}, TURNS) is False
    assert api.delete_by_name("n", TURNS) is False
    assert api.delete_by_id("x", TURNS) is False


def test_a_document_lives_until_then(api: Any) -> None:
    """A time to come, and None, expire nothing; the time comes back."""
    api.store_many([{"id": "f", "expires_at": FUTURE}, {"id": "n", "expires_at": None}], LONG)
    assert api.retrieve_by_id("f", LONG)["expires_at"] == FUTURE
    assert api.retrieve_by_id("n", LONG)["expires_at"] is None
    assert api.count(LONG) == 2


@pytest.mark.parametrize("never", [{"expires_at": None}, {"ttl": None}])
@pytest.mark.parametrize("call", ["store", "store_many", "update_by_id", "update"])
def test_what_never_expires_has_no_time(api: Any, call: str, never: dict[str, Any]) -> None:
    """None is no time far away: filters, `distinct` and an order find none."""
    if call.startswith("store"):
        api.store({"id": "a", **never}, LONG) if call == "store" else api.store_many([{"id": "a", **never}] * 20, LONG)
    else:
        api.store({"id": "a", "ttl": 3600}, LONG)
        assert api.update_by_id("a", never, LONG) if call == "update_by_id" else api.update(LONG, {"id": "a"}, never)
    api.store({"id": "b", "expires_at": FUTURE}, LONG)
    assert api.count(LONG, {"expires_at": None}) == 1
    assert api.count(LONG, {"expires_at": {"$gt": PAST}}) == 1
    assert api.distinct(LONG, "expires_at") == [FUTURE]
    assert [each["id"] for each in api.list_all(LONG, order_by="-expires_at")] == ["b", "a"]
    assert api.retrieve_by_id("a", LONG, touch=True)["expires_at"] is None
    assert api.count(LONG, {"expires_at": None}) == 1


def test_an_update_can_move_the_expiry(api: Any) -> None:
    """A time that is passed makes a document expire; None takes the expiry away while it lives."""
    api.store_many([{"id": "a", "expires_at": FUTURE}, {"id": "b", "expires_at": FUTURE}], LONG)
    assert api.update_by_id("a", {"expires_at": PAST}, LONG) is True
    assert api.update_by_id("b", {"expires_at": None}, LONG) is True
    assert [(each["id"], each["expires_at"]) for each in api.list_all(LONG)] == [("b", None)]


@pytest.mark.parametrize("call", ["store", "store_many"])
def test_an_expired_id_is_free(api: Any, call: str) -> None:
    """A document stored under an expired one's id is a new one: nothing of the old is in it, and it is newer."""
    api.store({"id": "a", "old": 1, "created_at": PAST, "expires_at": PAST, "embedding": EAST}, LONG)
    new = {"id": "a", "new": 1}
    assert (api.store(new, LONG) if call == "store" else api.store_many([{"id": "b"}, new], LONG)[1]) == "a"
    stored = api.retrieve_by_id("a", LONG, include_embedding=True)
    assert {"old", "expires_at"}.isdisjoint(stored)
    assert (stored["new"], stored["embedding"]) == (1, None)
    assert stored["created_at"] > PAST


def test_an_expired_id_twice_in_store_many_is_merged_in_order(api: Any) -> None:
    """The second merges with the first, and neither with what had expired."""
    api.store({"id": "a", "old": 1, "expires_at": PAST}, LONG)
    api.store_many([{"id": "a", "n": 1, "x": 1}, {"id": "a", "n": 2}], LONG)
    stored = api.retrieve_by_id("a", LONG)
    assert (stored["n"], stored["x"], "old" in stored) == (2, 1, False)


def test_an_agent_that_expired_protects_no_memory(api: Any) -> None:
    """cascade asks the living agents only; an expired agent is not there to be deleted."""
    id = api.store_memagent({"memory_ids": ["m"]})
    expired = api.store_memagent({"memory_ids": ["m"], "expires_at": PAST})
    api.store({"memory_id": "m"}, LONG)
    assert api.delete_memagent(expired) is False
    assert api.delete_memagent(id, cascade=True) is True
    assert api.count(LONG) == 0


def test_an_agent_that_expired_is_not_deleted_with_its_memory(api: Any) -> None:
    """cascade for an agent that is not there any more is False and deletes nobody's memory."""
    expired = api.store_memagent({"memory_ids": ["m"], "expires_at": PAST})
    api.store({"memory_id": "m"}, LONG)
    assert api.delete_memagent(expired, cascade=True) is False
    assert api.count(LONG) == 1


def test_purge_removes_what_has_expired(api: Any) -> None:
    """From one store or from all, and says how many; what lives stays."""
    for memory_type in MemoryType:
        api.store_many([{"expires_at": PAST}, {"expires_at": PAST}, {"expires_at": FUTURE}, {}], memory_type)
    assert api.purge_expired(LONG) == 2
    assert api.purge_expired(LONG) == 0
    assert api.purge_expired() == 12
    assert api.purge_expired() == 0
    assert [api.count(memory_type) for memory_type in MemoryType] == [2] * 7


def test_purge_of_an_unknown_store_is_refused(api: Any) -> None:
    """A wrong name purges nothing, least of all everything."""
    api.store({"expires_at": PAST}, LONG)
    with pytest.raises(ConfigurationError, match="personas"):
        api.purge_expired("nope")
    assert api.purge_expired() == 1


def test_a_turn_that_expired_still_marks_its_place(api: Any) -> None:
    """Paging back goes on from a turn that expired on the way."""
    api.store_many([{"id": "a", "memory_id": "m"}, {"id": "b", "memory_id": "m"}], TURNS)
    api.update_by_id("b", {"expires_at": PAST + timedelta(days=1)}, TURNS)
    [turn] = api.retrieve_conversation_history_ordered_by_timestamp("m", before="b")
    assert turn["id"] == "a"


# --- ttl ----------------------------------------------------------------------------------------------------------


def lives_on(document: Any, seconds: float, since: datetime) -> bool:
    """Tell whether a document expires so many seconds after a call that began then, and ends now."""
    left = document["expires_at"] - timedelta(seconds=seconds)
    return since - timedelta(seconds=5) <= left <= datetime.now(UTC) + timedelta(seconds=5)


@pytest.mark.parametrize("ttl", [3600, 3600.0, timedelta(hours=1)])
@pytest.mark.parametrize("call", ["store", "store_many", "update_by_id", "update", "if_absent"])
def test_a_ttl_says_when_a_document_expires(api: Any, call: str, ttl: Any) -> None:
    """So long after it was stored or updated with it; it is kept in seconds, whatever stores it."""
    since, document = datetime.now(UTC), {"id": "a", "n": 1, "ttl": ttl}
    if call.startswith("update"):
        api.store({"id": "a", "n": 1}, LONG)
        assert (
            api.update_by_id("a", {"ttl": ttl}, LONG) if call == "update_by_id" else api.update(LONG, {}, {"ttl": ttl})
        )
    elif call == "store_many":
        api.store_many([document, *({"id": f"x{n}", "ttl": ttl} for n in range(20)), {"id": "y"}], LONG)
        assert "expires_at" not in api.retrieve_by_id("y", LONG)
        assert lives_on(api.retrieve_by_id("x9", LONG), 3600, since)
    else:
        api.store(document, LONG, if_absent=call == "if_absent")
    stored = api.retrieve_by_id("a", LONG)
    assert stored["ttl"] == 3600
    assert lives_on(stored, 3600, since)
    assert api.count(LONG, {"ttl": {"$lte": 3600}, "expires_at": {"$gt": since}}) == api.count(LONG, {"ttl": 3600})


def test_lifetimes_of_different_kinds_are_stored_together(api: Any) -> None:
    """Whole seconds, parts of them, a timedelta and none beside each other; whole numbers come back whole."""
    since, lifetimes = datetime.now(UTC), [60, 0.5 + 60, timedelta(minutes=1), None, 61]
    for _ in range(2):
        api.store_many([{"id": f"x{n}", "ttl": ttl} for n, ttl in enumerate(lifetimes)] * 5, LONG)
        stored = [api.retrieve_by_id(f"x{n}", LONG) for n in range(len(lifetimes))]
        assert [each["ttl"] for each in stored] == [60, 60.5, 60, None, 61]
        assert isinstance(stored[0]["ttl"], int)
        assert all(lives_on(each, each["ttl"], since) for each in stored if each["ttl"])


def test_a_ttl_ends_a_document(api: Any) -> None:
    """When its time is over it is in no read, and a touch does not bring it back."""
    api.store({"id": "a", "ttl": 1e-6}, LONG)
    assert api.retrieve_by_id("a", LONG, touch=True) is None
    assert api.retrieve_by_query({}, LONG, 5, touch=True) == []
    assert api.purge_expired(LONG) == 1


@pytest.mark.parametrize("read", ["by_id", "by_query"])
def test_a_touch_lets_a_document_live_on(api: Any, read: str) -> None:
    """A read with touch=True moves the expiry of documents that have a ttl, and of no others; a plain read does not."""
    soon = datetime.now(UTC) + timedelta(minutes=1)
    created = {"created_at": PAST, "expires_at": soon}
    api.store_many([{"id": "a", "ttl": 3600, **created}, {"id": "b", **created}, {"id": "c"}], LONG)
    for touch in (False, True):
        since = datetime.now(UTC)
        for id in "abc":
            if read == "by_id":
                assert api.retrieve_by_id(id, LONG, touch=touch)["id"] == id
            else:
                assert len(api.retrieve_by_query({"id": id}, LONG, touch=touch)) == 1
        a, b, c = (api.retrieve_by_id(id, LONG) for id in "abc")
        assert lives_on(a, 3600, since) is touch
        assert b["expires_at"] == soon
        assert "expires_at" not in c
        assert [each.get("access_count", 0) for each in (a, b, c)] == [int(touch)] * 3


def test_a_write_without_ttl_moves_nothing(api: Any) -> None:
    """Other keys are merged, and the expiry stays as it is; None ends it."""
    api.store({"id": "a", "ttl": 3600}, LONG)
    before = api.retrieve_by_id("a", LONG)
    api.update_by_id("a", {"n": 1}, LONG)
    after = api.retrieve_by_id("a", LONG)
    assert (after["expires_at"], after["ttl"]) == (before["expires_at"], 3600)
    api.update_by_id("a", {"ttl": None}, LONG)
    assert api.retrieve_by_id("a", LONG)["expires_at"] is None


def test_a_ttl_and_an_expiry_contradict_each_other(api: Any) -> None:
    """Save in a document that was read: stored back, or somewhere else, it expires when it would have."""
    for document in ({"ttl": 60, "expires_at": FUTURE}, {"ttl": timedelta(1), "expires_at": None}):
        with pytest.raises(InvalidDocument, match="ttl"):
            api.store(document, LONG)
    api.store({"id": "a", "ttl": 3600}, LONG)
    read = api.retrieve_by_id("a", LONG)
    api.store(read, LONG)
    api.store_many([{**read, "id": f"b{n}", "_id": f"b{n}"} for n in range(20)], LONG)
    assert {(each["ttl"], each["expires_at"]) for each in api.list_all(LONG)} == {(3600, read["expires_at"])}


@pytest.mark.parametrize("ttl", [0, -1, "60", True, float("nan"), float("inf"), 10**12, timedelta(0), [60]])
def test_a_ttl_is_seconds(api: Any, ttl: Any) -> None:
    """Anything else is refused, by every call that stores."""
    for call in (
        lambda: api.store({"id": "a", "ttl": ttl}, LONG),
        lambda: api.store_many([{"ttl": ttl}], LONG),
        lambda: api.update_by_id("a", {"ttl": ttl}, LONG),
        lambda: api.update(LONG, {}, {"ttl": ttl}),
    ):
        with pytest.raises(InvalidDocument, match="ttl"):
            call()
