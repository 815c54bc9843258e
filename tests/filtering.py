"""What a filter means, read plainly in Python, and what filters are tried with: the same for every provider."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from json import loads
from typing import Any
from uuid import UUID

import numpy as np
from hypothesis import strategies as st

from memorizz.errors import InvalidDocument
from memorizz.memory_provider import _documents, _values

Document = Mapping[str, Any]

# --- the plain reading --------------------------------------------------------------------------------------------

MISSING = object()
NOTHING = object()
TIMES = {column.name for column in _documents.KEYS.values() if column.kind is _documents.Kind.TIME}
IDS = ("id", "_id")


class Reading:
    """What a filter means, rule by rule; `number` is how two numbers of different kinds are told apart or equal."""

    def __init__(self, number: Callable[[Any], Decimal]) -> None:
        self.number = number

    def found_in(self, documents: Sequence[Document], filter: Mapping[str, Any]) -> set[str]:
        wanted = plain(filter)
        return {document["id"] for document in documents if self.matches(document, wanted)}

    def matches(self, document: Document, filter: Mapping[str, Any]) -> bool:
        """Tell whether a document matches a filter, one rule of the contract per line."""
        return all(self.clause(document, key, operand) for key, operand in filter.items())

    def clause(self, document: Document, key: str, operand: Any) -> bool:
        if key == "$and":
            return all(self.matches(document, each) for each in operand)
        if key == "$or":
            return any(self.matches(document, each) for each in operand)
        if key == "$nor":
            return not any(self.matches(document, each) for each in operand)
        if key == "$not":
            return not self.matches(document, operand)
        if is_operators(operand):
            return all(self.operator(document, key, name, inner) for name, inner in operand.items())
        return self.operator(document, key, "$eq", operand)

    def operator(self, document: Document, key: str, name: str, operand: Any) -> bool:
        stored = look_up(document, key)
        if name == "$not":
            return not self.clause(document, key, operand)
        if name in ("$ne", "$nin"):
            return not self.operator(document, key, "$eq" if name == "$ne" else "$in", operand)
        if name == "$in":
            return any(self.operator(document, key, "$eq", each) for each in operand)
        if name == "$exists":
            return (stored is not MISSING) is operand
        if isinstance(operand, Decimal):
            # A number, and where it is to be equal also the text as which it is stored.
            forms = [loads(f"{operand:f}"), *([str(operand)] if name in ("$eq", "$contains") else [])]
            return any(self.operator(document, key, name, each) for each in forms)
        wanted = comparable(operand, key)
        if name == "$eq":
            return self.same(None if stored is MISSING else stored, wanted)
        if name == "$contains":
            return self.contains(stored, wanted)
        if name in ("$prefix", "$suffix"):
            return self.affix(name, stored, wanted)
        if kind(stored) != kind(wanted) or kind(stored) not in ("number", "str", "bool", "datetime"):
            return False
        left, right = self.sortable(stored), self.sortable(wanted)
        return {"$gt": left > right, "$gte": left >= right, "$lt": left < right, "$lte": left <= right}[name]

    def same(self, left: Any, right: Any) -> bool:
        if kind(left) != kind(right):
            return False
        if isinstance(left, list):
            return len(left) == len(right) and all(map(self.same, left, right))
        if isinstance(left, dict):
            return left.keys() == right.keys() and all(self.same(left[key], right[key]) for key in left)
        return self.sortable(left) == self.sortable(right)

    def contains(self, stored: Any, wanted: Any) -> bool:
        if isinstance(stored, list):
            return any(self.same(each, wanted) for each in stored)
        return isinstance(stored, str | dict) and isinstance(wanted, str) and wanted in stored

    def affix(self, name: str, stored: Any, wanted: Any) -> bool:
        if kind(stored) != kind(wanted) or len(stored) < len(wanted):
            return False
        part = stored[: len(wanted)] if name == "$prefix" else stored[len(stored) - len(wanted) :]
        if isinstance(wanted, str):
            return part == wanted
        return all(each == {"$exists": True} or self.same(held, each) for held, each in zip(part, wanted, strict=True))

    def sortable(self, value: Any) -> Any:
        return self.number(value) if kind(value) == "number" else value


# JSON's numbers are decimals, of which 1e23 is one; as a double it is a little less.
AS_DECIMALS = Reading(lambda number: Decimal(repr(number)))
AS_DOUBLES = Reading(Decimal)


def plain(value: Any) -> Any:
    """Return a filter whose values are such as documents give back, or NOTHING where no document can hold them."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set):
        return [each if isinstance(each, Decimal) else plain(each) for each in value]
    if isinstance(value, Decimal):
        return value
    try:
        return loads(_values.to_json(value, ""))
    except InvalidDocument:
        return NOTHING


def is_id(value: Any) -> bool:
    """Tell whether a filter may have a value under the key of an id."""
    return value is None or isinstance(value, str | UUID) or value is Mood.CALM


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
    *(Decimal("25.00"), Decimal("-3"), Decimal("1E+30")),
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
OPERATORS += ["$prefix", "$suffix"]


def is_operators(operand: Any) -> bool:
    return isinstance(operand, dict) and bool(operand) and all(key in OPERATORS for key in operand)


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
    if key in IDS:
        operand = operand.filter(is_id)
    names = draw(st.lists(st.sampled_from([*OPERATORS, "", ""]), min_size=1, max_size=2, unique=True))
    if "" in names:
        return draw(operand.filter(lambda value: not (isinstance(value, dict) and "$" in value)))
    found: dict[str, Any] = {}
    for name in names:
        if name == "$exists":
            found[name] = draw(st.booleans())
        elif name in ("$prefix", "$suffix"):
            segments = [part for value in held if isinstance(value, list) for part in value]
            segment = st.sampled_from([*segments, {"$exists": True}, "a"]) | values
            found[name] = draw(
                st.sampled_from(TEXTS) | (st.lists(segment, max_size=3) if key not in IDS else st.just(""))
            )
        elif name == "$not":
            found[name] = draw(operators(documents, key).filter(lambda value: is_operators(value)))
        else:
            found[name] = draw(st.lists(operand, max_size=4) if name in ("$in", "$nin") else operand)
    return found


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
    (
        {"memory_id": {"$prefix": "m"}, "metadata.topic": {"$prefix": "Te", "$suffix": "ea"}, "id": {"$prefix": "t"}},
        True,
    ),
    ({"memory_id": {"$prefix": "%"}}, False),
    ({"tags": {"$prefix": ["tea"], "$suffix": [7]}}, True),
    ({"tags": {"$prefix": ["te"]}}, False),
    ({"tags": {"$prefix": ["tea", {"$exists": True}], "$suffix": []}}, True),
    ({"tags": {"$prefix": ["tea", 7, {"$exists": True}]}}, False),
    ({"tags": {"$prefix": "tea"}}, False),
    ({"$nor": [{"nothing": {"$gt": 5}}, {"age": {"$lt": 5}}], "$not": {"name": "x"}}, True),
    ({"$or": [{"age": 1}, {"$and": [{"age": {"$ne": 1}}, {"memory_id": {"$gt": "m"}}]}]}, True),
    ({"metadata": {"topic": "Tea"}}, True),
    ({"metadata": {"$eq": {}}}, False),
    ({}, True),
    ({"$not": {}}, False),
    (None, True),
]
