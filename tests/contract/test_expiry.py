"""expires_at and purge_expired."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from memorizz.errors import ConfigurationError
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
