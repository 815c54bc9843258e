"""Filters on a real server: what a condition finds is what a plain reading of the filter finds in Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from json import loads
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorizz.errors import InvalidDocument
from memorizz.memory_provider import _documents, _values
from memorizz.memory_provider.postgresql import _stores
from memorizz.memory_provider.postgresql._conditions import condition

Document = Mapping[str, Any]
Find = Callable[..., set[str]]
TYPES = {
    _documents.Kind.TEXT: "text",
    _documents.Kind.NUMBER: "double precision",
    _documents.Kind.INTEGER: "bigint",
    _documents.Kind.TIME: "timestamptz",
    _documents.Kind.OBJECT: "jsonb",
}


# --- the rows -----------------------------------------------------------------------------------------------------


def row(document: Document) -> dict[str, Any]:
    """Lay out a document: keys with a column there, all others in `data`, and a note there for a None."""
    data: dict[str, Any] = {}
    columns: dict[str, Any] = {"id": _values.id_key(document["id"]), "data": data}
    if str(columns["id"]) != document["id"]:
        data[_stores.GIVEN_ID] = document["id"]
    for key, value in document.items():
        if key != "id":
            in_column = (key in _documents.KEYS and value is not None) or key == _documents.EMBEDDING
            (columns if in_column else data)[key] = value
    return columns


@pytest.fixture
def connection(dsn: str) -> Iterator[psycopg.Connection]:
    """A connection to a database with one table `documents`, laid out as the stores are, that holds the zoo."""
    columns = ", ".join(f'"{column.name}" {TYPES[column.kind]}' for column in _documents.KEYS.values())
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            f"CREATE TABLE documents (id uuid PRIMARY KEY, {columns}, embedding float4[], data jsonb NOT NULL)"
        )
        insert(connection, ZOO)
        yield connection


def insert(connection: psycopg.Connection, documents: Sequence[Document]) -> None:
    rows = _values.to_json([row(document) for document in documents], "")
    connection.execute("INSERT INTO documents SELECT * FROM json_populate_recordset(NULL::documents, %s::json)", [rows])


@pytest.fixture
def find(connection: psycopg.Connection) -> Find:
    """A function that returns the ids of the documents that match a filter, among the zoo and more documents."""

    def find(filter: Mapping[str, Any] | None, more: Sequence[Document] = (), **options: bool) -> set[str]:
        found = condition(filter)
        query = f"SELECT coalesce(d.data->>'_id', d.id::text) FROM documents AS d WHERE ({found.sql})"
        with connection.transaction(force_rollback=True) if more else nullcontext():
            if more:
                insert(connection, more)
            return {name for (name,) in connection.execute(query, found.parameters, **options)}

    return find


# --- the plain reading --------------------------------------------------------------------------------------------

MISSING = object()
NOTHING = object()
TIMES = {column.name for column in _documents.KEYS.values() if column.kind is _documents.Kind.TIME}
IDS = ("id", "_id")


def found_in(documents: Sequence[Document], filter: Mapping[str, Any]) -> set[str]:
    wanted = plain(filter)
    return {document["id"] for document in documents if matches(document, wanted)}


def plain(value: Any) -> Any:
    """Return a filter whose values are such as documents give back, or NOTHING where no document can hold them."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(each) for each in value]
    try:
        return loads(_values.to_json(value, ""))
    except InvalidDocument:
        return NOTHING


def matches(document: Document, filter: Mapping[str, Any]) -> bool:
    """Tell whether a document matches a filter, one rule of the contract per line."""
    return all(clause(document, key, operand) for key, operand in filter.items())


def clause(document: Document, key: str, operand: Any) -> bool:
    if key == "$and":
        return all(matches(document, each) for each in operand)
    if key == "$or":
        return any(matches(document, each) for each in operand)
    if key == "$nor":
        return not any(matches(document, each) for each in operand)
    if key == "$not":
        return not matches(document, operand)
    if is_operators(operand):
        return all(operator(document, key, name, inner) for name, inner in operand.items())
    return operator(document, key, "$eq", operand)


def operator(document: Document, key: str, name: str, operand: Any) -> bool:
    stored = look_up(document, key)
    if name == "$not":
        return not clause(document, key, operand)
    if name in ("$ne", "$nin"):
        return not operator(document, key, "$eq" if name == "$ne" else "$in", operand)
    if name == "$in":
        return any(operator(document, key, "$eq", each) for each in operand)
    if name == "$exists":
        return (stored is not MISSING) is operand
    wanted = comparable(operand, key)
    if name == "$eq":
        return same(None if stored is MISSING else stored, wanted)
    if name == "$contains":
        return contains(stored, wanted)
    if kind(stored) != kind(wanted) or kind(stored) not in ("number", "str", "bool", "datetime"):
        return False
    left, right = sortable(stored), sortable(wanted)
    return {"$gt": left > right, "$gte": left >= right, "$lt": left < right, "$lte": left <= right}[name]


def look_up(document: Document, key: str) -> Any:
    if key in IDS:
        return document["id"]
    first, *rest = key.split(".")
    if rest and (first in IDS or (first in _documents.KEYS and first != "metadata")):
        return MISSING
    value: Any = document
    for step in (first, *rest):
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list) and re.fullmatch("0|[1-9][0-9]*", step) and int(step) < len(value):
            value = value[int(step)]
        else:
            return MISSING
    return value


def comparable(operand: Any, key: str) -> Any:
    """Return an operand as the key's column would hold it."""
    if key in TIMES and isinstance(operand, str):
        try:
            return _values.time(operand, "")
        except InvalidDocument:
            return operand
    if key == "importance_score" and kind(operand) == "number" and abs(operand) < 10**308:
        return float(operand)
    return operand


def kind(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number"
    return type(value).__name__


def sortable(value: Any) -> Any:
    return Decimal(repr(value)) if kind(value) == "number" else value


def same(left: Any, right: Any) -> bool:
    if kind(left) != kind(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return sortable(left) == sortable(right)


def contains(stored: Any, wanted: Any) -> bool:
    if isinstance(stored, list):
        return any(same(each, wanted) for each in stored)
    return isinstance(stored, str | dict) and isinstance(wanted, str) and wanted in stored


# --- what is tried ------------------------------------------------------------------------------------------------


class Mood(Enum):
    CALM = "a"
    LOUD = 7


UUIDS = ["0190f5c8-0000-7000-8000-000000000001", "0190f5c8-0000-7000-8000-000000000002"]
NAMES = ["a", "25", "%", "\U0001f600", UUIDS[0].upper()]
TEXTS = ["", "a", "ab", "abc", "a\ufffdb", "B", "7", "25", "100", "é", "null", "%", "\\", "\uffff", "\U0001f600"]
TEXTS += ["'; --", "2026-01-31"]
NUMBERS = [0, 1, 1.0, 7, 25, 100, 0.1, 2.5, -3, 1e23, 10**23, 2**53 + 1, 10**30, 5e-324]
LISTS = [[], [None], ["a"], ["a", "b"], ["b", "a"], [7, 25], [7.0], [True], [["a"]], [["a", "b"]], [{"a": 1}, []]]
OBJECTS = [{}, {"a": 1}, {"a": 1.0, "b": 2}, {"a": None}, {"0": "a", "-1": "b", "01": "ab"}, {"a": {"b": ["a"]}}]
VALUES: list[Any] = [None, True, False, *NUMBERS, *TEXTS, *LISTS, *OBJECTS]
MOMENTS = [datetime(1, 1, 1, tzinfo=UTC), datetime(2026, 1, 31, 12, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)]
STEPS = ["a", "b", "0", "1", "-1", "01", "+0", " 0", "", "99999999999", "$", "é", "'"]
ODDITIES: list[Any] = [
    *(datetime(2026, 1, 31, 13, tzinfo=timezone(timedelta(hours=1))), datetime(2026, 1, 31, 12), date(2026, 1, 31)),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-14:00", "2026-02-30", UUID(UUIDS[0]), Decimal("0.1")),
    *(Mood.CALM, Mood.LOUD, {"a"}, ("a", "b"), np.float32(0.5), np.int64(7), np.bool_(True), 10**400, -(10**400)),
    *("a\0b", "\ud800", ["\0"], {"\0": 1}),
]
COLUMNS: dict[str, list[Any]] = {
    "content": TEXTS,
    "importance_score": [0.0, 0.1, 0.5, 1.0, 7.0, 25.0, 1e23, 1e308, 5e-324],
    "access_count": [0, 1, 7, 25, 2**53 + 1, 2**63 - 1, -(2**63)],
    "metadata": [*OBJECTS, *({"a": value} for value in VALUES)],
    "created_at": MOMENTS,
}


def zoo() -> Iterator[Document]:
    """Documents that hold every value under a key of their own, and at times a column's value or None."""
    ids = [*UUIDS, *NAMES]
    for number, value in enumerate(VALUES):
        document = {"id": ids[number] if number < len(ids) else f"zoo-{number}", "a": value, "b": VALUES[-number]}
        for place, (key, held) in enumerate(COLUMNS.items()):
            turn = (number + place) % 6
            if turn > 1:
                document[key] = held[number % len(held)]
            elif turn:
                document[key] = None
        yield document if number % 11 else {"id": document["id"]}


ZOO = list(zoo())
OPERATORS = ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$contains", "$not"]


def is_operators(operand: Any) -> bool:
    return isinstance(operand, dict) and bool(operand) and all(key in OPERATORS for key in operand)


@pytest.mark.parametrize(
    "key", [*IDS, *COLUMNS, "name", "a", "a.a", "a.0", "a.-1", "metadata.a", "metadata.a.0", "content.a"]
)
def test_every_operator_with_every_value(find: Find, key: str) -> None:
    """Each operator under a key finds what it says, for values of every type."""
    for operand in [*VALUES, *ODDITIES, *UUIDS, *NAMES, *MOMENTS]:
        for name in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$contains", "$in"):
            filter = {key: {name: [operand, "a", 25] if name == "$in" else operand}}
            assert find(filter) == found_in(ZOO, filter), filter
    for there in (True, False):
        assert find({key: {"$exists": there}}) == found_in(ZOO, {key: {"$exists": there}})


scalars = st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.sampled_from(TEXTS)
scalars |= st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3)
scalars |= st.floats(allow_nan=False, allow_infinity=False)
objects = st.dictionaries(st.sampled_from(STEPS), scalars, max_size=3)
values = scalars | st.lists(scalars | objects | st.lists(scalars, max_size=2), max_size=3) | objects
documents = st.lists(
    st.fixed_dictionaries(
        {"id": st.uuids().map(str)},
        optional={key: st.sampled_from(held) | st.none() for key, held in COLUMNS.items()}
        | dict.fromkeys(["a", "b", "", "0", "-1", "a.b", "'"], values),
    ),
    max_size=3,
)
keys = (
    st.sampled_from([*IDS, *COLUMNS, "a", "b", "name"])
    | st.builds(lambda first, step: f"{first}.{step}", st.sampled_from(["a", "metadata"]), st.sampled_from(STEPS))
    | st.lists(st.sampled_from(STEPS), min_size=1, max_size=3).map(".".join).filter(lambda key: key[:1] != "$")
    | st.sampled_from(["content.a", "id.a", "_id.0", "created_at.0", "\0", "a.\ud800", "metadata.\0", "a" + ".a" * 300])
)


@st.composite
def filters(draw: st.DrawFn, documents: Sequence[Document], depth: int = 0) -> dict[str, Any]:
    """A filter of any form, whose values are often such as the documents hold."""
    name = draw(st.sampled_from(["", "", "$and", "$or", "$nor", "$not"])) if depth < 3 else ""
    inner = filters(documents, depth + 1)
    if name == "$not":
        return {"$not": draw(inner)}
    if name:
        return {name: draw(st.lists(inner, min_size=1, max_size=3))}
    chosen = draw(st.lists(keys, min_size=0 if depth else 1, max_size=2, unique=True))
    return {key: draw(operators(documents, key)) for key in chosen}


@st.composite
def operators(draw: st.DrawFn, documents: Sequence[Document], key: str) -> Any:
    """What may stand under a key: a value, or operators."""
    held = [value for document in (*ZOO, *documents) if (value := look_up(document, key)) is not MISSING]
    parts = [part for value in held if isinstance(value, list | dict | str) for part in value]
    common = st.sampled_from([*held, *held, *parts]) if held else st.none()
    operand = common | common | values | st.sampled_from(UUIDS + NAMES + MOMENTS + ODDITIES)
    names = draw(st.lists(st.sampled_from([*OPERATORS, "", ""]), min_size=1, max_size=2, unique=True))
    if "" in names:
        return draw(operand.filter(lambda value: not (isinstance(value, dict) and "$" in value)))
    found: dict[str, Any] = {}
    for name in names:
        if name == "$exists":
            found[name] = draw(st.booleans())
        elif name == "$not":
            found[name] = draw(operators(documents, key).filter(lambda value: is_operators(value)))
        else:
            found[name] = draw(st.lists(operand, max_size=4) if name in ("$in", "$nin") else operand)
    return found


@settings(max_examples=200)
@given(st.data())
def test_finds_what_a_plain_reading_finds(find: Find, data: st.DataObject) -> None:
    """Any filter finds in the database just those documents that match it in Python, whatever they hold."""
    more = data.draw(documents)
    filter = data.draw(filters(more))
    assert find(filter, more) == found_in([*ZOO, *more], filter)


TEA = {"id": "tea", "memory_id": "m1", "role": None, "age": 25, "tags": ["tea", 7], "metadata": {"topic": "Tea"}}


SENTENCES: list[tuple[Mapping[str, Any] | None, bool]] = [
    ({"memory_id": "m1", "metadata.topic": "Tea"}, True),
    ({"id": "tea", "_id": {"$in": ["tea", "coffee"]}}, True),
    ({"_id": {"$gte": "te", "$lt": "tf", "$contains": "ea"}}, True),
    ({"age": {"$gt": 7, "$lt": 100}}, True),
    ({"age": {"$gt": "100"}}, False),
    ({"age": 25.0}, True),
    ({"age": {"$in": [True, "25", [25]]}}, False),
    ({"tags": ["tea", 7]}, True),
    ({"tags": "tea"}, False),
    ({"tags": {"$contains": "tea"}, "metadata": {"$contains": "topic"}}, True),
    ({"tags.0": "tea", "tags.1": {"$gte": 7}, "metadata.topic": {"$contains": "ea"}}, True),
    ({"tags.-1": 7}, False),
    ({"tags.2": None, "nothing": None, "role": None}, True),
    ({"role": {"$exists": True}, "nothing": {"$exists": False}, "name": {"$exists": False}}, True),
    ({"nothing": {"$ne": 5}, "name": {"$nin": ["a"]}, "age": {"$not": {"$gt": 25}}}, True),
    ({"nothing": {"$ne": None}}, False),
    ({"nothing": {"$lte": None}}, False),
    ({"$nor": [{"nothing": {"$gt": 5}}, {"age": {"$lt": 5}}], "$not": {"name": "x"}}, True),
    ({"$or": [{"age": 1}, {"$and": [{"age": {"$ne": 1}}, {"memory_id": {"$gt": "m"}}]}]}, True),
    ({"metadata": {"topic": "Tea"}}, True),
    ({"metadata": {"$eq": {}}}, False),
    ({}, True),
    ({"$not": {}}, False),
    (None, True),
]


def test_reads_as_the_contract_says(find: Find) -> None:
    """The contract's own sentences hold, one by one."""
    for filter, found in SENTENCES:
        assert ("tea" in find(filter, [TEA])) is found, filter


@pytest.mark.parametrize("options", [{"prepare": True}, {"prepare": False}, {"binary": True}])
def test_needs_no_help_with_types(find: Find, options: dict[str, bool]) -> None:
    """One statement serves values of every type, prepared or not."""
    for operand in [*ODDITIES, *OBJECTS, *MOMENTS, *LISTS, "a", 7, 0.1, True, None]:
        for key in ("_id", "content", "importance_score", "access_count", "created_at", "a", "a.0", "metadata.a", "\0"):
            filter = {key: {"$nin": [operand, None], "$not": {"$gt": operand}}}
            assert find(filter, **options) == found_in(ZOO, filter), filter


def test_tells_whether_there_is_an_embedding(connection: psycopg.Connection, find: Find) -> None:
    """An embedding can be filtered by whether it is there."""
    connection.execute("UPDATE documents SET embedding = '{1,2}' WHERE id = %s", [UUIDS[0]])
    assert find({"embedding": {"$exists": True}}) == {UUIDS[0]}
    assert len(find({"embedding": {"$exists": False}})) == len(ZOO) - 1


def test_stays_within_what_the_server_can_take(find: Find) -> None:
    """The longest and the deepest filter that is accepted runs, and a path longer than documents have is missing."""
    assert len(find({"$or": [{"a": {"$lt": -5}}] * 3_000 + [{}]})) == len(ZOO)
    assert len(find({"a": {"$nin": ["nothing", *range(1000, 70_000)]}})) == len(ZOO)
    deep: dict[str, Any] = {"a": {"$exists": True}}
    for _ in range(32):
        deep = {"$not": {"$and": [deep, {"a": {"$ne": "nothing"}}]}}
    assert find(deep) == found_in(ZOO, deep)
    for depth in (250, 300, 20_000):
        for operator, operand in {"$eq": "a", "$gt": 5, "$in": ["a"], "$contains": "a", "$exists": True}.items():
            assert find({"a" + ".a" * depth: {operator: operand}}) == set()


@pytest.mark.parametrize(
    ("filter", "index"),
    [
        ({"memory_id": "m1"}, "memory_id"),
        ({"memory_id": {"$in": ["m1", "m2"]}}, "memory_id"),
        ({"created_at": {"$gte": "2026-01-01", "$lt": datetime(2026, 2, 1)}}, "created_at"),
        ({"_id": "user-42"}, "documents_pkey"),
        ({"id": {"$in": ["user-42", UUID(UUIDS[0])]}}, "documents_pkey"),
        ({"topic": "tea"}, "data"),
        ({"topic.main": {"$in": ["tea", 7]}}, "data"),
        ({"metadata.topic": "tea", "metadata.year": 2026}, "metadata"),
    ],
)
def test_is_served_by_an_index(connection: psycopg.Connection, filter: Mapping[str, Any], index: str) -> None:
    """Equality, `$in` and ranges on indexed columns, and equality inside JSON, can use an index alone."""
    connection.execute("CREATE INDEX memory_id ON documents (memory_id)")
    connection.execute("CREATE INDEX created_at ON documents (created_at)")
    connection.execute("CREATE INDEX data ON documents USING gin (data jsonb_path_ops)")
    connection.execute("CREATE INDEX metadata ON documents USING gin (metadata jsonb_path_ops)")
    connection.execute("SET enable_seqscan = off")
    found = condition(filter)
    plan = connection.execute(f"EXPLAIN SELECT FROM documents AS d WHERE ({found.sql})", found.parameters).fetchall()
    text = "\n".join(line for (line,) in plan)
    assert re.search(rf"Scan (using|on) {index}\b", text), text
    assert "Filter:" not in text
