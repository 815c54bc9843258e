"""delete and update by a filter, and store with if_absent."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from documents import own, same
from filtering import ZOO, filters
from memorizz.errors import ConfigurationError, DimensionMismatch, FilterError, InvalidDocument
from memorizz.memory_provider.memory_type import MemoryType
from ways import WAYS, change

LONG, SHORT = MemoryType.LONG_TERM_MEMORY, MemoryType.SHORT_TERM_MEMORY
PAST = datetime(2020, 1, 1, tzinfo=UTC)
EAST, NORTH = [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]

few = settings(max_examples=25)


def ids(api: Any, filter: dict[str, Any] | None = None) -> list[str]:
    return [each["id"] for each in api.iterate(LONG, filter)]


# --- delete -------------------------------------------------------------------------------------------------------


def test_delete_deletes_what_matches(api: Any) -> None:
    """It says how many; nothing else is touched, in this store or another one."""
    api.store_many([{"id": id, "n": n} for n, id in enumerate("abcd")], LONG)
    api.store({"id": "a", "n": 0}, SHORT)
    assert api.delete(LONG, {"n": {"$lt": 2}}) == 2
    assert api.delete(LONG, {"n": {"$lt": 2}}) == 0
    assert api.delete(LONG, {"id": {"$in": ["d", "x"]}}) == 1
    assert ids(api) == ["c"]
    assert api.count(SHORT) == 1


def test_delete_of_everything_is_said(api: Any) -> None:
    """An empty filter is all of a store; no filter is an error, and deletes nothing."""
    api.store_many([{}, {}], LONG)
    for nothing in (None, "", "a", []):
        with pytest.raises(FilterError, match="every document"):
            api.delete(LONG, nothing)
    assert api.delete(LONG, {}) == 2
    assert api.count(LONG) == 0


def test_delete_counts_no_expired_documents(api: Any) -> None:
    """They are as good as gone."""
    api.store_many([{"id": "a", "n": 1, "expires_at": PAST}, {"id": "b", "n": 1}], LONG)
    assert api.delete(LONG, {"n": 1}) == 1


@few
@given(filter=filters(ZOO))
def test_delete_takes_what_count_counts(api: Any, filter: dict[str, Any]) -> None:
    """Any filter deletes just the documents that it matches."""
    api.delete_all(LONG)
    api.store_many(ZOO, LONG)
    wanted = set(ids(api, filter))
    assert api.delete(LONG, filter) == len(wanted)
    assert set(ids(api)) == {each["id"] for each in ZOO} - wanted


# --- update -------------------------------------------------------------------------------------------------------


def test_update_merges_into_what_matches(api: Any) -> None:
    """Keys not given stay, updated_at moves, created_at does not; it says how many."""
    api.store_many([{"id": id, "name": id, "n": n, "created_at": PAST} for n, id in enumerate("abc")], LONG)
    assert api.update(LONG, {"n": {"$gte": 1}}, {"role": "x", "tags": ["t"], "name": None}) == 2
    assert own(api.retrieve_by_id("a", LONG)) == {"name": "a", "n": 0}
    stored = api.retrieve_by_id("b", LONG)
    assert own(stored) == {"name": None, "n": 1, "role": "x", "tags": ["t"]}
    assert stored["created_at"] == PAST < stored["updated_at"]
    assert api.update(LONG, {"n": 7}, {"role": "y"}) == 0
    assert api.update(LONG, {}, {"n": 9}) == 3
    assert api.count(LONG, {"n": 9}) == 3


def test_update_of_everything_is_said(api: Any) -> None:
    """No filter is an error, and changes nothing."""
    api.store({"id": "a"}, LONG)
    with pytest.raises(FilterError, match="every document"):
        api.update(LONG, None, {"n": 1})
    assert api.count(LONG, {"n": 1}) == 0


def test_update_touches_no_expired_document(api: Any) -> None:
    """It is not there to be changed, nor counted."""
    api.store({"id": "a", "n": 1, "expires_at": PAST}, LONG)
    assert api.update(LONG, {"n": 1}, {"expires_at": None}) == 0
    assert api.retrieve_by_id("a", LONG) is None


def test_update_sets_and_clears_vectors(api: Any) -> None:
    """An embedding that is given becomes that of every match, and None takes it away; a wrong one changes nothing."""
    api.store_many([{"id": "a", "embedding": EAST}, {"id": "b"}], LONG)
    assert api.update(LONG, {}, {"embedding": NORTH}) == 2
    found = api.retrieve_by_query({"embedding": NORTH}, LONG, 5, include_embedding=True)
    assert [each["embedding"] for each in found] == [NORTH, NORTH]
    with pytest.raises(DimensionMismatch):
        api.update(LONG, {}, {"embedding": [1.0], "n": 1})
    assert api.update(LONG, {"id": "a"}, {"embedding": None}) == 1
    assert [each["id"] for each in api.retrieve_by_query({"embedding": NORTH}, LONG, 5)] == ["b"]


@pytest.mark.parametrize("data", [{"$set": {"n": 2}}, {"n": 2, "$inc": {"m": 1}}])
def test_updates_take_no_operators(api: Any, data: dict[str, Any]) -> None:
    """MongoDB's would be keys of these names: they are refused, and nothing is changed."""
    api.store({"id": "a", "n": 1}, LONG)
    with pytest.raises(InvalidDocument, match=r"'\$(set|inc)': an update takes no operators"):
        api.update(LONG, {"n": 1}, data)
    with pytest.raises(InvalidDocument, match=r"'\$(set|inc)': an update takes no operators"):
        api.update_by_id("a", data, LONG)
    assert own(api.retrieve_by_id("a", LONG)) == {"n": 1}


def test_update_keeps_ids(api: Any) -> None:
    """A document that was read may be given back under its own id; another id is refused."""
    api.store_many([{"id": "a", "n": 1}, {"id": "b", "n": 1}], LONG)
    read = {**api.retrieve_by_id("a", LONG), "n": 2}
    assert api.update(LONG, {"_id": "a"}, read) == 1
    for filter in ({"n": 1}, {"id": "b"}, {}):
        with pytest.raises(InvalidDocument, match="does not name it"):
            api.update(LONG, filter, read)
    assert [each["n"] for each in api.list_all(LONG)] == [2, 1]


def test_of_many_that_compare_and_set_one_wins(api: Any) -> None:
    """Twenty callers move one document on from the same revision: one has done so, and its keys are there."""
    for revision in range(5):
        api.store({"id": "a", "revision": revision, "content": "tea"}, LONG)

        def move(caller: int, revision: int = revision) -> int:
            new = {"revision": revision + 1, "by": caller, "content": f"tea of {caller}"}
            return api.update(LONG, {"id": "a", "revision": revision}, new)

        with ThreadPoolExecutor(20) as threads:
            moved = list(threads.map(move, range(20)))
        assert sorted(moved) == [*[0] * 19, 1]
        assert own(api.retrieve_by_id("a", LONG)) == {
            "revision": revision + 1,
            "by": moved.index(1),
            "content": f"tea of {moved.index(1)}",
        }


@few
@given(filter=filters(ZOO), n=st.integers())
def test_update_reaches_what_count_counts(api: Any, filter: dict[str, Any], n: int) -> None:
    """Any filter changes just the documents that it matches."""
    api.delete_all(LONG)
    api.store_many(ZOO, LONG)
    wanted = set(ids(api, filter))
    assert api.update(LONG, filter, {"changed": n}) == len(wanted)
    assert set(ids(api, {"changed": n})) == wanted


# --- if_absent ----------------------------------------------------------------------------------------------------


def test_if_absent_stores_what_is_not_there(api: Any) -> None:
    """The id where it was stored, None where there is one; of that nothing changes."""
    document = {"id": "a", "name": "Ada", "content": [{"type": "text", "text": "tea"}], "n": 1, "embedding": EAST}
    assert api.store(document, LONG, if_absent=True) == "a"
    before = api.retrieve_by_id("a", LONG, include_embedding=True)
    assert same(before["content"], document["content"])
    assert api.store({"id": "a", "n": 2, "new": 1, "embedding": NORTH}, LONG, if_absent=True) is None
    assert api.retrieve_by_id("a", LONG, include_embedding=True) == before
    assert api.store(document, LONG) == "a"


def test_if_absent_without_an_id_is_new(api: Any) -> None:
    """Each is stored, under an id of its own."""
    made = [api.store({"n": 1}, LONG, if_absent=True) for _ in range(2)]
    assert sorted(ids(api)) == sorted(made)


def test_if_absent_takes_the_place_of_an_expired_document(api: Any) -> None:
    """It is as good as gone, and nothing of it is in the new one."""
    api.store({"id": "a", "old": 1, "created_at": PAST, "expires_at": PAST}, LONG)
    assert api.store({"id": "a", "new": 1}, LONG, if_absent=True) == "a"
    stored = api.retrieve_by_id("a", LONG)
    assert own(stored) == {"new": 1}
    assert stored["created_at"] > PAST


def test_of_many_that_store_if_absent_one_does(api: Any) -> None:
    """Twenty callers store the same id, new or expired: one gets it, and its document is the one that is there."""
    for there in ({}, {"id": "a", "expires_at": PAST}):
        api.delete_all(LONG)
        if there:
            api.store(there, LONG)
        with ThreadPoolExecutor(20) as threads:
            made = list(threads.map(lambda n: api.store({"id": "a", "n": n}, LONG, if_absent=True), range(20)))
        assert [each for each in made if each is not None] == ["a"]
        assert api.retrieve_by_id("a", LONG)["n"] == made.index("a")


def test_if_absent_is_a_flag(api: Any) -> None:
    """Something else is refused."""
    with pytest.raises(ConfigurationError, match="if_absent"):
        api.store({"id": "a"}, LONG, if_absent="yes")


# --- the vector beside a text -------------------------------------------------------------------------------------

TURNS = MemoryType.CONVERSATION_MEMORY


@pytest.mark.parametrize("way", WAYS)
def test_a_vector_of_the_callers_own_stays(api: Any, way: str) -> None:
    """Where nobody has named a model, a vector is a key like others: what is not given stays."""
    for data in ({"content": "coffee"}, {"role": "Ada"}, {"content": None}, {"n": 1}):
        api.delete_all(TURNS)
        api.store({"id": "a", "content": "tea", "role": "user", "embedding": EAST}, TURNS)
        change(api, way, TURNS, data)
        assert api.retrieve_by_id("a", TURNS, include_embedding=True)["embedding"] == EAST
