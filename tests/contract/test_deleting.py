"""delete_by_id, delete_by_name, delete_all."""

from __future__ import annotations

from typing import Any

from memorizz.memory_provider.memory_type import MemoryType

LONG = MemoryType.LONG_TERM_MEMORY
SHORT = MemoryType.SHORT_TERM_MEMORY


def test_delete_by_id_deletes_one_document(api: Any) -> None:
    """True for the one that was there, False the second time, and no other store is touched."""
    api.store_many([{"id": "a"}, {"id": "b"}], LONG)
    api.store({"id": "a"}, SHORT)
    assert api.delete_by_id("a", LONG) is True
    assert api.delete_by_id("a", LONG) is False
    assert [each["id"] for each in api.list_all(LONG)] == ["b"]
    assert [each["id"] for each in api.list_all(SHORT)] == ["a"]


def test_an_id_can_be_used_again(api: Any) -> None:
    """A document stored under a deleted one's id is new: nothing of the old one is in it."""
    api.store({"id": "a", "old": 1, "name": "old"}, LONG)
    api.delete_by_id("a", LONG)
    api.store({"id": "a", "new": 1}, LONG)
    stored = api.retrieve_by_id("a", LONG)
    assert "old" not in stored
    assert "name" not in stored


def test_delete_by_name_deletes_the_one_that_is_shown(api: Any) -> None:
    """The newest, one at a time, until there is none."""
    api.store_many([{"name": "Ada", "n": n} for n in range(3)] + [{"name": "Bob", "n": 9}], LONG)
    for left in (2, 1, 0):
        assert api.retrieve_by_name("Ada", LONG)["n"] == left
        assert api.delete_by_name("Ada", LONG) is True
        assert api.count(LONG, {"name": "Ada"}) == left
    assert api.delete_by_name("Ada", LONG) is False
    assert api.count(LONG) == 1


def test_delete_all_empties_only_that_store(api: Any) -> None:
    """True, also where there was nothing."""
    for memory_type in MemoryType:
        api.store_many([{}, {}], memory_type)
    assert api.delete_all(LONG) is True
    assert api.delete_all(LONG) is True
    assert {store: api.count(store) for store in MemoryType} == {**dict.fromkeys(MemoryType, 2), LONG: 0}


def test_a_deleted_document_is_in_no_read(api: Any) -> None:
    """Not by name, not by meaning, not by words."""
    api.store({"id": "a", "name": "Ada", "content": "tea", "embedding": [1, 0, 0, 0]}, LONG)
    api.delete_by_id("a", LONG)
    assert api.retrieve_by_name("Ada", LONG) is None
    assert api.retrieve_by_query("tea", LONG) == api.retrieve_by_query({"embedding": [1, 0, 0, 0]}, LONG) == []
