"""retrieve_by_id, retrieve_by_name, list_all, iterate and count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from memorizz.errors import ConfigurationError, FilterError
from memorizz.memory_provider.memory_type import MemoryType

LONG = MemoryType.LONG_TERM_MEMORY
SHORT = MemoryType.SHORT_TERM_MEMORY
EAST = [1.0, 0.0, 0.0, 0.0]
LONG_AGO = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)


def numbers(documents: Any) -> list[int]:
    return [document["n"] for document in documents]


def test_a_read_returns_a_dict_of_its_own(api: Any) -> None:
    """What a caller does to a returned document reaches no later read."""
    id = api.store({"tags": ["a"]}, LONG)
    api.retrieve_by_id(id, LONG)["tags"].append("b")
    assert api.retrieve_by_id(id, LONG)["tags"] == ["a"]


def test_an_embedding_comes_only_when_asked_for(api: Any) -> None:
    """No read returns the embedding of its own accord, and every read does with include_embedding=True."""
    id = api.store({"id": "x", "name": "n", "content": "tea", "memory_id": "m", "embedding": EAST}, LONG)
    api.store({"id": "x", "memory_id": "m", "embedding": EAST}, MemoryType.CONVERSATION_MEMORY)
    reads = [
        lambda **more: [api.retrieve_by_id(id, LONG, **more)],
        lambda **more: [api.retrieve_by_name("n", LONG, **more)],
        lambda **more: api.retrieve_by_query({"name": "n"}, LONG, **more),
        lambda **more: api.retrieve_by_query("tea", LONG, **more),
        lambda **more: api.retrieve_by_query({"embedding": EAST}, LONG, **more),
        lambda **more: api.list_all(LONG, **more),
        lambda **more: list(api.iterate(LONG, **more)),
        lambda **more: api.retrieve_conversation_history_ordered_by_timestamp("m", **more),
    ]
    for read in reads:
        [plain], [whole] = read(), read(include_embedding=True)
        assert "embedding" not in plain
        assert whole["embedding"] == EAST


def test_a_document_without_embedding_has_none_when_asked_for(api: Any) -> None:
    """include_embedding=True says None where there is no vector."""
    assert api.retrieve_by_id(api.store({}, LONG), LONG, include_embedding=True)["embedding"] is None


# --- by name ------------------------------------------------------------------------------------------------------


def test_the_newest_of_a_name_is_returned(api: Any) -> None:
    """Names are not unique: the newest one is shown, by created_at, and by order of storing where that ties."""
    api.store({"name": "Ada", "n": 1}, LONG)
    api.store({"name": "Ada", "n": 2}, LONG)
    api.store({"name": "Ada", "n": 3, "created_at": LONG_AGO}, LONG)
    assert api.retrieve_by_name("Ada", LONG)["n"] == 2
    api.store_many([{"name": "Bob", "n": n, "created_at": LONG_AGO} for n in range(5)], LONG)
    assert api.retrieve_by_name("Bob", LONG)["n"] == 4


@pytest.mark.parametrize("name", ["Bob", "", "ada", "Ada\0", "\ud800", "x" * 5000, None], ids=repr)
def test_a_name_that_no_document_has_is_none(api: Any, name: Any) -> None:
    """Names are compared exactly, and what can be no name finds nothing."""
    api.store({"name": "Ada"}, LONG)
    api.store({"name": None}, LONG)
    assert api.retrieve_by_name(name, LONG) is None
    assert api.delete_by_name(name, LONG) is False


def test_an_empty_name_is_a_name(api: Any) -> None:
    """The empty text can be stored and found."""
    id = api.store({"name": ""}, LONG)
    assert api.retrieve_by_name("", LONG)["id"] == id


# --- all of them --------------------------------------------------------------------------------------------------


def test_list_all_is_oldest_first(api: Any) -> None:
    """By created_at, and by order of storing where that ties; only one store."""
    api.store_many([{"n": n, "created_at": LONG_AGO + timedelta(days=n % 3)} for n in range(9)], LONG)
    api.store({"n": 99}, SHORT)
    assert numbers(api.list_all(LONG)) == [0, 3, 6, 1, 4, 7, 2, 5, 8]


def test_an_update_does_not_change_the_order(api: Any) -> None:
    """A document that is changed stays where it was."""
    ids = api.store_many([{"n": n} for n in range(5)], LONG)
    api.update_by_id(ids[0], {"content": "new"}, LONG)
    api.store({"id": ids[1], "content": "new"}, LONG)
    assert numbers(api.list_all(LONG)) == [0, 1, 2, 3, 4]


def test_an_empty_store_lists_nothing(api: Any) -> None:
    """An empty store is an empty list, an empty stream and a count of 0."""
    assert api.list_all(LONG) == list(api.iterate(LONG)) == []
    assert api.count(LONG) == 0


@pytest.mark.parametrize("batch_size", [1, 2, 3, 6, 7, 100])
def test_iterate_brings_each_document_once_in_order(api: Any, batch_size: int) -> None:
    """Whatever the size of a batch, from either end, and also where all times are the same."""
    api.store_many([{"n": n, "created_at": LONG_AGO} for n in range(6)], LONG)
    assert numbers(api.iterate(LONG, batch_size=batch_size)) == list(range(6))
    assert numbers(api.iterate(LONG, batch_size=batch_size, newest_first=True)) == [5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_iterate_begins_after_a_document(api: Any, batch_size: int) -> None:
    """Behind the one of that id, in either order, also where all times are the same, and with a filter."""
    ids = api.store_many([{"n": n, "created_at": LONG_AGO} for n in range(6)], LONG)
    for place, id in enumerate(ids):
        rest = list(range(place + 1, 6))
        before = list(range(place - 1, -1, -1))
        assert numbers(api.iterate(LONG, batch_size=batch_size, after=id, newest_first=True)) == before
        assert numbers(api.iterate(LONG, batch_size=batch_size, after=id)) == rest
        assert numbers(api.iterate(LONG, {"n": {"$ne": 4}}, batch_size, after=id)) == [n for n in rest if n != 4]


@pytest.mark.parametrize("id", ["nobody", "", 5, "x\0"], ids=repr)
def test_iterate_after_no_document_is_refused(api: Any, id: Any) -> None:
    """An id that the store has not, or that is none, is a FilterError and no empty stream."""
    api.store({"id": "nobody"}, SHORT)
    with pytest.raises(FilterError, match="no document of this id"):
        list(api.iterate(LONG, after=id))


def test_iterate_and_count_take_a_filter(api: Any) -> None:
    """The filter of a query serves both."""
    api.store_many([{"n": n, "even": n % 2 == 0} for n in range(7)], LONG)
    assert numbers(api.iterate(LONG, {"even": True}, batch_size=2)) == [0, 2, 4, 6]
    assert api.count(LONG, {"even": True}) == 4
    assert api.count(LONG, {}) == api.count(LONG, None) == api.count(LONG) == 7
    assert api.count(LONG, {"n": {"$gte": 5}}) == 2


def test_iterate_survives_changes_underneath(api: Any) -> None:
    """Documents deleted on the way are left out, those stored on the way come, no other is missed or doubled."""
    ids = api.store_many([{"n": n} for n in range(6)], LONG)
    seen: list[int] = []
    for document in api.iterate(LONG, batch_size=2):
        seen.append(document["n"])
        if document["n"] == 1:
            api.delete_by_id(ids[0], LONG)
            api.delete_by_id(ids[3], LONG)
            api.update_by_id(ids[4], {"content": "new"}, LONG)
            api.store({"n": 6}, LONG)
    assert seen == [0, 1, 2, 4, 5, 6]


def test_iterate_can_be_left_early(api: Any) -> None:
    """A stream that is not read to its end holds nothing up."""
    api.store_many([{"n": n} for n in range(6)], LONG)
    stream = api.iterate(LONG, batch_size=2)
    assert next(stream)["n"] == 0
    del stream
    assert api.delete_all(LONG) is True


def test_times_before_the_common_era_of_postgresql_are_listed(api: Any) -> None:
    """The first and the last time that Python knows are times like any other, in every read."""
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    api.store_many([{"n": 1, "created_at": last}, {"n": 0, "created_at": first}], LONG)
    for read in (api.list_all(LONG), list(api.iterate(LONG, batch_size=1))):
        assert [(each["n"], each["created_at"]) for each in read] == [(0, first), (1, last)]


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, "5", None, True], ids=repr)
def test_a_batch_size_is_a_number_above_zero(api: Any, batch_size: Any) -> None:
    """Anything else is a ConfigurationError."""
    with pytest.raises(ConfigurationError, match="expected a whole number"):
        list(api.iterate(LONG, batch_size=batch_size))


def test_a_wrong_filter_is_refused(api: Any) -> None:
    """An unknown operator or a malformed operand is a FilterError in every call that filters."""
    for filter in ({"a": {"$near": 1}}, {"a": {"$in": 5}}, {"$or": []}, ["a"]):
        for call in (api.count, lambda *args: list(api.iterate(*args))):
            with pytest.raises(FilterError):
                call(LONG, filter)
        with pytest.raises(FilterError):
            api.retrieve_by_query(filter, LONG)
