"""delete_by_id, delete_by_name, delete_all."""

from __future__ import annotations

from typing import Any

from memorizz.memory_provider.memory_type import MemoryType

LONG = MemoryType.LONG_TERM_MEMORY
SHORT = MemoryType.SHORT_TERM_MEMORY


def test_delete_by_id_deletes_one_document(face: Any) -> None:
    """True for the one that was there, False the second time, and no other store is touched."""
    face.store_many([{"id": "a"}, {"id": "b"}], LONG)
    face.store({"id": "a"}, SHORT)
    assert face.delete_by_id("a", LONG) is True
    assert face.delete_by_id("a", LONG) is False
    assert [each["id"] for each in face.list_all(LONG)] == ["b"]
    assert [each["id"] for each in face.list_all(SHORT)] == ["a"]


def test_an_id_can_be_used_again(face: Any) -> None:
    """A document stored under a deleted one's id is new: nothing of the old one is in it."""
    face.store({"id": "a", "old": 1, "name": "old"}, LONG)
    face.delete_by_id("a", LONG)
    face.store({"id": "a", "new": 1}, LONG)
    stored = face.retrieve_by_id("a", LONG)
    assert "old" not in stored
    assert "name" not in stored


def test_delete_by_name_deletes_the_one_that_is_shown(face: Any) -> None:
    """The newest, one at a time, until there is none."""
    face.store_many([{"name": "Ada", "n": n} for n in range(3)] + [{"name": "Bob", "n": 9}], LONG)
    for left in (2, 1, 0):
        assert face.retrieve_by_name("Ada", LONG)["n"] == left
        assert face.delete_by_name("Ada", LONG) is True
        assert face.count(LONG, {"name": "Ada"}) == left
    assert face.delete_by_name("Ada", LONG) is False
    assert face.count(LONG) == 1


def test_delete_all_empties_only_that_store(face: Any) -> None:
    """True, also where there was nothing."""
    for memory_type in MemoryType:
        face.store_many([{}, {}], memory_type)
    assert face.delete_all(LONG) is True
    assert face.delete_all(LONG) is True
    assert {store: face.count(store) for store in MemoryType} == {**dict.fromkeys(MemoryType, 2), LONG: 0}


def test_a_deleted_document_is_in_no_read(face: Any) -> None:
    """Not by name, not by meaning, not by words."""
    face.store({"id": "a", "name": "Ada", "content": "tea", "embedding": [1, 0, 0, 0]}, LONG)
    face.delete_by_id("a", LONG)
    assert face.retrieve_by_name("Ada", LONG) is None
    assert face.retrieve_by_query("tea", LONG) == face.retrieve_by_query({"embedding": [1, 0, 0, 0]}, LONG) == []
