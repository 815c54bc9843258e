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


def test_an_expired_document_is_in_no_read(face: Any) -> None:
    """Nor in a count, an update or a deletion; it is as if it were gone."""
    face.store(
        {"id": "x", "name": "n", "content": "tea", "memory_id": "m", "embedding": EAST, "expires_at": PAST}, TURNS
    )
    assert face.retrieve_by_id("x", TURNS) is None
    assert face.retrieve_by_name("n", TURNS) is None
    for query in ({}, {"name": "n"}, {"embedding": EAST}, "tea", {"embedding": EAST, "$text": {"$search": "tea"}}):
        assert face.retrieve_by_query(query, TURNS) == []
    assert face.retrieve_by_query({"embedding": EAST}, TURNS, exact=True) == []
    assert face.list_all(TURNS) == list(face.iterate(TURNS)) == []
    assert face.count(TURNS) == 0
    assert face.retrieve_conversation_history_ordered_by_timestamp("m") == []
    assert face.retrieve_memory_components_by_query("tea", EAST, "m") == []
    assert face.update_by_id("x", {"a": 1}, TURNS) is False
    assert face.delete_by_name("n", TURNS) is False
    assert face.delete_by_id("x", TURNS) is False


def test_a_document_lives_until_then(face: Any) -> None:
    """A time to come, and None, expire nothing; the time comes back."""
    face.store_many([{"id": "f", "expires_at": FUTURE}, {"id": "n", "expires_at": None}], LONG)
    assert face.retrieve_by_id("f", LONG)["expires_at"] == FUTURE
    assert face.retrieve_by_id("n", LONG)["expires_at"] is None
    assert face.count(LONG) == 2


def test_an_update_can_move_the_expiry(face: Any) -> None:
    """A time that is passed makes a document expire; None takes the expiry away while it lives."""
    face.store_many([{"id": "a", "expires_at": FUTURE}, {"id": "b", "expires_at": FUTURE}], LONG)
    assert face.update_by_id("a", {"expires_at": PAST}, LONG) is True
    assert face.update_by_id("b", {"expires_at": None}, LONG) is True
    assert [(each["id"], each["expires_at"]) for each in face.list_all(LONG)] == [("b", None)]


@pytest.mark.parametrize("call", ["store", "store_many"])
def test_an_expired_id_is_free(face: Any, call: str) -> None:
    """A document stored under an expired one's id is a new one: nothing of the old is in it, and it is newer."""
    face.store({"id": "a", "old": 1, "created_at": PAST, "expires_at": PAST, "embedding": EAST}, LONG)
    new = {"id": "a", "new": 1}
    assert (face.store(new, LONG) if call == "store" else face.store_many([{"id": "b"}, new], LONG)[1]) == "a"
    stored = face.retrieve_by_id("a", LONG, include_embedding=True)
    assert {"old", "expires_at"}.isdisjoint(stored)
    assert (stored["new"], stored["embedding"]) == (1, None)
    assert stored["created_at"] > PAST


def test_an_expired_id_twice_in_store_many_is_merged_in_order(face: Any) -> None:
    """The second merges with the first, and neither with what had expired."""
    face.store({"id": "a", "old": 1, "expires_at": PAST}, LONG)
    face.store_many([{"id": "a", "n": 1, "x": 1}, {"id": "a", "n": 2}], LONG)
    stored = face.retrieve_by_id("a", LONG)
    assert (stored["n"], stored["x"], "old" in stored) == (2, 1, False)


def test_an_agent_that_expired_protects_no_memory(face: Any) -> None:
    """cascade asks the living agents only; an expired agent is not there to be deleted."""
    id = face.store_memagent({"memory_ids": ["m"]})
    expired = face.store_memagent({"memory_ids": ["m"], "expires_at": PAST})
    face.store({"memory_id": "m"}, LONG)
    assert face.delete_memagent(expired) is False
    assert face.delete_memagent(id, cascade=True) is True
    assert face.count(LONG) == 0


def test_an_agent_that_expired_is_not_deleted_with_its_memory(face: Any) -> None:
    """cascade for an agent that is not there any more is False and deletes nobody's memory."""
    expired = face.store_memagent({"memory_ids": ["m"], "expires_at": PAST})
    face.store({"memory_id": "m"}, LONG)
    assert face.delete_memagent(expired, cascade=True) is False
    assert face.count(LONG) == 1


def test_purge_removes_what_has_expired(face: Any) -> None:
    """From one store or from all, and says how many; what lives stays."""
    for memory_type in MemoryType:
        face.store_many([{"expires_at": PAST}, {"expires_at": PAST}, {"expires_at": FUTURE}, {}], memory_type)
    assert face.purge_expired(LONG) == 2
    assert face.purge_expired(LONG) == 0
    assert face.purge_expired() == 12
    assert face.purge_expired() == 0
    assert [face.count(memory_type) for memory_type in MemoryType] == [2] * 7


def test_purge_of_an_unknown_store_is_refused(face: Any) -> None:
    """A wrong name purges nothing, least of all everything."""
    face.store({"expires_at": PAST}, LONG)
    with pytest.raises(ConfigurationError, match="personas"):
        face.purge_expired("nope")
    assert face.purge_expired() == 1


def test_a_turn_that_expired_still_marks_its_place(face: Any) -> None:
    """Paging back goes on from a turn that expired on the way."""
    face.store_many([{"id": "a", "memory_id": "m"}, {"id": "b", "memory_id": "m"}], TURNS)
    face.update_by_id("b", {"expires_at": PAST + timedelta(days=1)}, TURNS)
    [turn] = face.retrieve_conversation_history_ordered_by_timestamp("m", before="b")
    assert turn["id"] == "a"
