"""Properties, on documents and calls that hypothesis makes up: whatever goes in comes out, and nobody else's."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from documents import documents, moments, numbers, own, same, texts
from memorizz.errors import InvalidDocument
from memorizz.memory_provider.memory_type import MemoryType

LONG = MemoryType.LONG_TERM_MEMORY
TURNS = MemoryType.CONVERSATION_MEMORY

# About a second for each.
few = settings(max_examples=25)


# --- documents ----------------------------------------------------------------------------------------------------


@few
@given(document=documents)
def test_whatever_goes_in_comes_out(api: Any, document: dict[str, Any]) -> None:
    """Any keys and values of JSON, nested, and None in keys that have a column, come back the same in each read."""
    id = api.store(document, LONG)
    stored = own(api.retrieve_by_id(id, LONG))
    assert same(stored, document)
    assert same([own(each) for each in api.list_all(LONG)][-1], document)


@few
@given(document=documents)
def test_a_document_that_was_read_can_be_stored_again(api: Any, document: dict[str, Any]) -> None:
    """Storing what was read, under its id or as a new document, changes nothing in it."""
    id = api.store(document, LONG)
    first = api.retrieve_by_id(id, LONG)
    api.store(first, LONG)
    assert same(own(api.retrieve_by_id(id, LONG)), document)
    other = api.store(own(first), LONG)
    assert same(own(api.retrieve_by_id(other, LONG)), document)


@few
@given(steps=st.lists(st.tuples(st.sampled_from(["store", "store_many", "update"]), documents), min_size=1, max_size=6))
def test_merging_is_what_a_dict_does(api: Any, steps: list[tuple[str, dict[str, Any]]]) -> None:
    """After any calls that merge into one document it holds what dict.update would have left."""
    id, model = api.store({}, LONG), {}
    for call, document in steps:
        model.update(document)
        if call == "store":
            api.store({**document, "_id": id}, LONG)
        elif call == "store_many":
            api.store_many([{**document, "id": id}], LONG)
        else:
            assert api.update_by_id(id, document, LONG) is True
    assert same(own(api.retrieve_by_id(id, LONG)), model)


@few
@given(batch=st.lists(st.tuples(st.sampled_from("abc"), documents), max_size=8))
def test_store_many_is_store_in_order(api: Any, batch: list[tuple[str, dict[str, Any]]]) -> None:
    """However often an id comes, a batch leaves what its documents one after another would have left."""
    api.delete_all(LONG)
    model: dict[str, dict[str, Any]] = {}
    for id, document in batch:
        model.setdefault(id, {}).update(document)
    assert api.store_many([{**document, "_id": id} for id, document in batch], LONG) == [id for id, _ in batch]
    assert same({each["id"]: own(each) for each in api.list_all(LONG)}, model)


@few
@given(text=st.text(min_size=1))
def test_text_that_cannot_be_stored_is_refused_and_no_other(api: Any, text: str) -> None:
    """A text is stored and comes back, or holds a NUL or a lone surrogate and is an InvalidDocument, in any place."""
    possible = "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)
    for document in ({"content": text}, {"free": [text]}, {"metadata": {text: 1}}):
        if possible:
            stored = api.retrieve_by_id(api.store(document, LONG), LONG)
            assert own(stored) == document
        else:
            with pytest.raises(InvalidDocument):
                api.store(document, LONG)


@few
@given(moment=moments)
def test_times_come_back_to_the_microsecond(api: Any, moment: datetime) -> None:
    """In whatever form a time is given, it is the same time."""
    forms = [moment, moment.replace(tzinfo=None), moment.isoformat()]
    ids = api.store_many([{"created_at": form, "expires_at": None, "timestamp": form} for form in forms], LONG)
    for id in ids:
        stored = api.retrieve_by_id(id, LONG)
        assert stored["created_at"] == stored["timestamp"] == moment


# --- ids ----------------------------------------------------------------------------------------------------------


@few
@given(ids=st.lists(texts.filter(bool) | st.uuids().map(str) | st.uuids().map(lambda id: str(id).upper()), unique=True,
                    min_size=1, max_size=5))  # fmt: skip
def test_any_text_is_an_id(api: Any, ids: list[str]) -> None:
    """Ids of any text come back, are found, and are never mixed up."""
    api.delete_all(LONG)
    assert api.store_many([{"_id": id, "n": n} for n, id in enumerate(ids)], LONG) == ids
    for n, id in enumerate(ids):
        stored = api.retrieve_by_id(id, LONG)
        assert (stored["id"], stored["_id"], stored["n"]) == (id, id, n)
        assert [each["n"] for each in api.retrieve_by_query({"_id": id}, LONG, limit=9)] == [n]
    assert api.delete_by_id(ids[0], LONG) is True
    assert [each["id"] for each in api.list_all(LONG)] == ids[1:]


@few
@given(id=st.text() | st.none() | st.integers() | st.binary())
def test_no_id_that_is_asked_for_is_an_error(api: Any, id: Any) -> None:
    """Anything at all is an id that no document has."""
    assert api.retrieve_by_id(id, LONG) is None
    assert api.update_by_id(id, {}, LONG) is False
    assert api.delete_by_id(id, LONG) is False
    assert api.delete_memagent(id, cascade=True) is False


# --- memories -----------------------------------------------------------------------------------------------------

memory_ids = st.sampled_from(["m", "M", "m ", "", "m%", "m_", "m'", '{"a":1}', "\U0001f600", "null"])
directions = st.integers(0, 359).map(lambda angle: [math.cos(angle), math.sin(angle), 0.25, 0.0])
words = st.lists(st.sampled_from(["tea", "coffee", "cup", "the"]), max_size=3).map(" ".join)
turns = st.lists(st.tuples(memory_ids, directions, words, st.integers(0, 3)), min_size=1, max_size=12)


@few
@given(told=turns, asked=memory_ids, direction=directions, limit=st.integers(0, 13))
def test_nobody_elses_memory_is_returned(
    api: Any, told: list[tuple[str, list[float], str, int]], asked: str, direction: list[float], limit: int
) -> None:
    """Every search in a memory brings that memory's documents, as many as there are up to the limit, and no other."""
    api.delete_all(TURNS)
    api.store_many(
        [
            {
                "n": n,
                "memory_id": memory,
                "embedding": vector,
                "content": content,
                "timestamp": datetime(2024, 1, day + 1),
            }
            for n, (memory, vector, content, day) in enumerate(told)
        ],
        TURNS,
    )
    mine = [n for n, (memory, *_) in enumerate(told) if memory == asked]
    filter = {"memory_id": asked, "limit": limit}
    found = api.retrieve_by_query(filter, TURNS)
    assert [each["n"] for each in found] == mine[:limit]

    similarity = {
        n: np.dot(told[n][1], direction) / np.linalg.norm(told[n][1]) / np.linalg.norm(direction) for n in mine
    }
    found = api.retrieve_by_query({**filter, "embedding": direction}, TURNS)
    assert {each["n"] for each in found} <= set(mine)
    assert [each["score"] for each in found] == pytest.approx(
        sorted(similarity.values(), reverse=True)[:limit], abs=1e-6
    )

    found = api.retrieve_memory_components_by_query(query_embedding=direction, memory_id=asked, limit=limit)
    assert {each["memory_id"] for each in found} <= {asked}
    assert len(found) == min(limit, len(mine))

    found = api.retrieve_by_query({**filter, "$text": {"$search": "tea cup"}}, TURNS)
    hits = [n for n in mine if {"tea", "cup"} & set(told[n][2].split())]
    assert {each["n"] for each in found} <= set(hits)
    assert len(found) == min(limit, len(hits))

    history = api.retrieve_conversation_history_ordered_by_timestamp(asked)
    assert [each["n"] for each in history] == sorted(mine, key=lambda n: told[n][3])


@few
@given(days=st.lists(st.integers(0, 3), min_size=1, max_size=12), limit=st.integers(1, 5))
def test_paging_back_meets_each_turn_once(api: Any, days: list[int], limit: int) -> None:
    """Page by page from the newest, a history is the whole history."""
    api.delete_all(TURNS)
    api.store_many(
        [{"n": n, "memory_id": "m", "timestamp": datetime(2024, 1, day + 1)} for n, day in enumerate(days)], TURNS
    )
    met: list[int] = []
    before = None
    while page := api.retrieve_conversation_history_ordered_by_timestamp("m", limit, before):
        met = [turn["n"] for turn in page] + met
        before = page[0]["_id"]
    assert met == sorted(range(len(days)), key=lambda n: days[n])


# --- vectors and numbers ------------------------------------------------------------------------------------------


@few
@given(vector=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=4, max_size=4))
def test_embeddings_come_back_exactly(api: Any, vector: list[float]) -> None:
    """Every single-precision number comes back as it is, and a document is nearest to itself."""
    length = float(np.linalg.norm(vector))
    assume(1e-14 < length < 1e17)
    api.delete_all(LONG)
    id = api.store({"embedding": vector}, LONG)
    stored = api.retrieve_by_id(id, LONG, include_embedding=True)
    assert stored["embedding"] == vector
    for exact in (True, False):
        [hit] = api.retrieve_by_query({"embedding": vector}, LONG, exact=exact)
        assert hit["score"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("length", [1e-45, 1e-30, 1e-16, 1e19, 3e38])
def test_vectors_that_cannot_be_compared_are_refused(api: Any, length: float) -> None:
    """Numbers so small or so large that their squares leave single precision would have no score."""
    for call in (
        lambda: api.store({"embedding": [length, 0, 0, 0]}, LONG),
        lambda: api.retrieve_by_query({"embedding": [length, 0, 0, 0]}, LONG),
    ):
        with pytest.raises(InvalidDocument, match="length"):
            call()


mixed = st.lists(numbers | texts | st.booleans() | st.none(), max_size=8)


@few
@given(stored=mixed, bound=numbers)
def test_numbers_compare_with_numbers_alone(api: Any, stored: list[Any], bound: Any) -> None:
    """`$gt` and its kin find the numbers that Python would, never a text, a bool or a None."""
    api.delete_all(LONG)
    api.store_many([{"_id": f"{n}", "value": value} for n, value in enumerate(stored)], LONG)
    numeric = {str(n): value for n, value in enumerate(stored) if type(value) in (int, float)}
    for operator, holds in (
        ("$gt", lambda value: value > bound),
        ("$gte", lambda value: value >= bound),
        ("$lt", lambda value: value < bound),
        ("$lte", lambda value: value <= bound),
        ("$eq", lambda value: value == bound),
    ):
        found = {each["_id"] for each in api.iterate(LONG, {"value": {operator: bound}})}
        assert found == {id for id, value in numeric.items() if holds(value)}, operator
