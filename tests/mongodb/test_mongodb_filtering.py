"""Filters on a real MongoDB: what a condition finds is what a plain reading of the filter finds in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo.collection import Collection
from pymongo.database import Database as Mongo

from filtering import (
    AS_DOUBLES,
    COLUMNS,
    IDS,
    MOMENTS,
    NAMES,
    ODDITIES,
    SENTENCES,
    TEA,
    UUIDS,
    VALUES,
    ZOO,
    Document,
    documents,
    filters,
    is_id,
)
from memorizz.errors import FilterError
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.mongodb import MongoDBProvider
from memorizz.memory_provider.mongodb._bson import OWN, sortable
from memorizz.memory_provider.mongodb._conditions import condition
from memorizz.memory_provider.mongodb._stores import Database

LONG = MemoryType.LONG_TERM_MEMORY
STORE = Database("test", None).store(LONG)
Find = Callable[..., set[str]]
Records = Collection[dict[str, Any]]

# MongoDB's numbers are doubles and integers.
found_in = AS_DOUBLES.found_in


def record(document: Document) -> dict[str, Any]:
    """Lay out a document as it is stored, without what a new one gets beside."""
    row = STORE.row(document)
    none = {key: None for key, value in document.items() if value is None}
    return {"_id": row.key, **none, **row.given, OWN: {"us": row.rests}}


@pytest.fixture
def records(database: Mongo[dict[str, Any]]) -> Records:
    """A collection that holds the zoo."""
    collection = database["documents"]
    collection.drop()
    collection.insert_many([record(document) for document in ZOO])
    return collection


@pytest.fixture
def find(records: Records) -> Find:
    """A function that returns the ids of the documents that match a filter, among the zoo and more documents."""

    def find(filter: Mapping[str, Any] | None, more: Sequence[Document] = ()) -> set[str]:
        if more:
            records.insert_many([record(document) for document in more])
        try:
            return {
                each["_id"] for each in records.aggregate([{"$match": condition(filter)}, {"$project": {"_id": 1}}])
            }
        finally:
            if more:
                records.delete_many({"_id": {"$in": [document["id"] for document in more]}})

    return find


@pytest.mark.parametrize(
    "key", [*IDS, *COLUMNS, "name", "a", "a.a", "a.0", "a.-1", "metadata.a", "metadata.a.0", "content.a"]
)
def test_every_operator_with_every_value(find: Find, key: str) -> None:
    """Each operator under a key finds what it says, for values of every type."""
    for operand in [*VALUES, *ODDITIES, *UUIDS, *NAMES, *MOMENTS]:
        for name in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$contains", "$in"):
            filter = {key: {name: ([operand, "a"] if key in IDS else [operand, "a", 25]) if name == "$in" else operand}}
            if key in IDS and not is_id(operand):
                with pytest.raises(FilterError, match=r"expects an id, .*; got "):
                    find(filter)
            else:
                assert find(filter) == found_in(ZOO, filter), filter
    for there in (True, False):
        assert find({key: {"$exists": there}}) == found_in(ZOO, {key: {"$exists": there}})


@settings(max_examples=200)
@given(st.data())
def test_finds_what_a_plain_reading_finds(find: Find, data: st.DataObject) -> None:
    """Any filter finds in the database just those documents that match it in Python, whatever they hold."""
    more = data.draw(documents)
    filter = data.draw(filters(more))
    assert find(filter, more) == found_in([*ZOO, *more], filter)


def test_reads_as_the_contract_says(find: Find) -> None:
    """The contract's own sentences hold, one by one."""
    for filter, found in SENTENCES:
        assert ("tea" in find(filter, [TEA])) is found, filter


def test_stays_within_what_the_server_can_take(find: Find) -> None:
    """A long filter runs, and a path longer than documents have is missing."""
    assert len(find({"$or": [{"a": {"$lt": -5}}] * 3_000 + [{}]})) == len(ZOO)
    assert len(find({"a": {"$nin": ["nothing", *range(1000, 70_000)]}})) == len(ZOO)
    for depth in (250, 300, 20_000):
        for operator, operand in {"$eq": "a", "$gt": 5, "$in": ["a"], "$contains": "a", "$exists": True}.items():
            assert find({"a" + ".a" * depth: {operator: operand}}) == set()


def answered(find: Find, filter: Mapping[str, Any], more: Sequence[Document] = ()) -> set[str] | None:
    """Return what a filter finds, None where it is refused as too deep; no error of the driver's."""
    try:
        return find(filter, more)
    except FilterError as error:
        return None if "nested deeper" in str(error) else set()


def test_a_deep_filter_is_answered_or_refused(find: Find) -> None:
    """However deep a filter is nested, it finds what it says, up to a depth from which on it is a FilterError."""
    deep: dict[str, Any] = {"a": {"$exists": True}}
    found: list[set[str] | None] = []
    for _ in range(32):
        deep = {"$not": {"$and": [deep, {"a": {"$ne": "nothing"}}]}}
        found.append(answered(find, deep))
        assert found[-1] in (None, found_in(ZOO, deep))
    depth = found.index(None)
    assert depth > 8
    assert set(map(type, found[depth:])) == {type(None)}


def test_a_deep_value_is_answered_or_refused(find: Find) -> None:
    """A deep value can be compared with, up to a depth from which on it is a FilterError."""
    value: Any = "a"
    found: list[set[str] | None] = []
    for level in range(100):
        value = [value] if level % 2 else {"a": value}
        found.append(answered(find, {"b": value}, [{"id": "deep", "b": value}]))
    depth = found.index(None)
    assert depth > 8
    assert found == [{"deep"}] * depth + [None] * (100 - depth)


@given(numbers=st.lists(st.integers(-(10**40), 10**40) | st.integers(-100, 100), min_size=2, max_size=8))
def test_the_texts_of_large_integers_sort_as_they_do(numbers: list[int]) -> None:
    """Whatever their signs and lengths."""
    assert sorted(numbers, key=sortable) == sorted(numbers)


@pytest.mark.parametrize(
    ("filter", "index"),
    [
        ({"memory_id": "m1"}, "memorizz_history"),
        ({"memory_id": {"$in": ["m1", "m2"]}}, "memorizz_history"),
        ({"name": "Ada"}, "memorizz_name"),
        ({"created_at": {"$gte": "2026-01-01", "$lt": datetime(2026, 2, 1)}}, "memorizz_created_at"),
        ({"_id": "user-42"}, "_id_"),
        ({"id": {"$in": ["user-42", ObjectId()]}}, "_id_"),
    ],
)
def test_is_served_by_an_index(
    provider: MongoDBProvider, database: Mongo[dict[str, Any]], filter: Mapping[str, Any], index: str
) -> None:
    """Equality, `$in` and ranges on the keys that have an index use it."""
    provider.store({"memory_id": "m1", "name": "Ada"}, LONG)
    pipeline = [{"$match": condition(filter)}]
    aggregate = {"aggregate": LONG.value, "pipeline": pipeline, "cursor": {}}
    plan = str(database.command("explain", aggregate, verbosity="queryPlanner")["queryPlanner"]["winningPlan"])
    assert f"'indexName': '{index}'" in plan or (index == "_id_" and "IDHACK" in plan), plan
