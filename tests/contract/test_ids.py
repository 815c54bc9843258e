"""Ids: the caller's own come back exactly, on every call that takes one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from bson import ObjectId

from memorizz.memory_provider.memory_type import MemoryType
from naming import stable

LONG = MemoryType.LONG_TERM_MEMORY
UNKNOWN = ["65a0000000000000000000ff", "00000000-0000-7000-8000-000000000001", "nobody"]
MALFORMED = ["", "a\0b", "\ud800", None, 5, 1.5, b"bytes", [], {}, object()]

OWN = [
    "65a000000000000000000001",
    ObjectId("65a000000000000000000001"),
    "user-42",
    "018f3c5e-0000-7000-8000-000000000001",
    "018F3C5E-0000-7000-8000-000000000001",
    "{018f3c5e-0000-7000-8000-000000000001}",
    UUID("018f3c5e-0000-7000-8000-000000000001"),
    "  spaces  ",
    "Ünïcødé \U0001f600",
    "'; DROP TABLE agents; --",
    "%s %(id)s {}",
    "x" * 5000,
    "0",
]


@pytest.mark.parametrize("id", OWN, ids=lambda id: f"{type(id).__name__}-{str(id)[:40]}")
@pytest.mark.parametrize("key", ["id", "_id"])
def test_an_id_of_the_callers_comes_back(api: Any, key: str, id: Any) -> None:
    """An id of any text, ObjectId or UUID is the document's, as its text, under `id` and `_id`, for every call."""
    assert api.store({key: id, "name": "Ada"}, LONG) == str(id)
    for form in (id, str(id)):
        stored = api.retrieve_by_id(form, LONG)
        assert stored["id"] == stored["_id"] == str(id)
        assert api.update_by_id(form, {"n": 1}, LONG) is True
        assert api.count(LONG, {"id": form}) == api.count(LONG, {"_id": form}) == 1
        assert [each["_id"] for each in api.retrieve_by_query({"_id": {"$in": [form]}}, LONG)] == [str(id)]
    assert api.delete_by_id(id, LONG) is True
    assert api.retrieve_by_id(id, LONG) is None


def test_id_and_its_alias_may_both_be_given(api: Any) -> None:
    """`id` and `_id` of the same id, in whatever form, are one id."""
    oid = ObjectId("65a000000000000000000001")
    assert api.store({"id": str(oid), "_id": oid}, LONG) == str(oid)


def test_upper_and_lower_case_are_two_ids(api: Any) -> None:
    """An id is a text: a UUID in upper case is another one than in lower case."""
    upper = "018F3C5E-0000-7000-8000-00000000000A"
    api.store_many([{"id": upper, "n": 1}, {"id": upper.lower(), "n": 2}], LONG)
    assert api.retrieve_by_id(upper, LONG)["n"] == 1
    assert api.retrieve_by_id(upper.lower(), LONG)["n"] == 2


@pytest.mark.parametrize("id", UNKNOWN + MALFORMED, ids=stable)
def test_an_unknown_or_malformed_id_finds_nothing(api: Any, id: Any) -> None:
    """No id that is asked for is ever an exception."""
    api.store({"name": "Ada"}, LONG)
    assert api.retrieve_by_id(id, LONG) is None
    assert api.delete_by_id(id, LONG) is False
    assert api.update_by_id(id, {}, LONG) is False
    assert api.retrieve_memagent(id) is None
    assert api.delete_memagent(id) is False
    assert api.delete_memagent(id, cascade=True) is False
    assert api.update_memagent_memory_ids(id, ["m"]) is False
    assert api.delete_memagent_memory_ids(id) is False
    assert api.count(LONG) == 1


def test_every_read_carries_both_ids(api: Any) -> None:
    """`id` and `_id` are the same str in whatever returns a document."""
    id = api.store({"_id": "own", "name": "n", "content": "tea", "memory_id": "m", "embedding": [1, 0, 0, 0]}, LONG)
    documents = [
        api.retrieve_by_id(id, LONG),
        api.retrieve_by_name("n", LONG),
        *api.retrieve_by_query({"name": "n"}, LONG),
        *api.retrieve_by_query("tea", LONG),
        *api.retrieve_by_query({"embedding": [1, 0, 0, 0]}, LONG),
        *api.list_all(LONG),
        *api.iterate(LONG),
        *api.retrieve_memory_components_by_query(query_embedding=[1, 0, 0, 0], memory_id="m"),
    ]
    assert [(each["id"], each["_id"]) for each in documents] == [("own", "own")] * 8
