"""Filters without a server: the SQL that they become, and what is refused."""

from __future__ import annotations

import re
from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorizz.errors import FilterError
from memorizz.memory_provider import _documents
from memorizz.memory_provider.postgresql.sql.conditions import condition

PLACEHOLDER = re.compile(r"%\((f[0-9]+)\)s")


@pytest.mark.parametrize(
    ("filter", "sql", "values"),
    [
        (None, "TRUE", []),
        ({}, "TRUE", []),
        ({"memory_id": "m1"}, 'd."memory_id" = %(f0)s::text', ["m1"]),
        ({"memory_id": None}, 'd."memory_id" IS NULL', []),
        ({"memory_id": {"$in": ["m1"]}}, 'd."memory_id" = ANY(%(f0)s::text[])', [["m1"]]),
        (
            {"memory_id": {"$in": ["m1", None]}},
            '(d."memory_id" = ANY(%(f0)s::text[]) OR d."memory_id" IS NULL)',
            [["m1"]],
        ),
        (
            {"created_at": {"$lt": "2026-01-31"}},
            'd."created_at" < %(f0)s::timestamptz',
            [datetime(2026, 1, 31, tzinfo=UTC)],
        ),
        ({"importance_score": {"$gte": 1}}, 'd."importance_score" >= %(f0)s::float8', [1.0]),
        (
            {"id": "0190f5c8-0000-7000-8000-000000000001"},
            'd."id" = %(f0)s::uuid',
            [UUID(int=0x190F5C8000070008000000000000001)],
        ),
        ({"metadata.topic": "tea"}, 'd."metadata" @> %(f0)s::jsonb', ['{"topic":"tea"}']),
        ({"age": {"$in": [7, 25]}}, 'd."data" @> ANY(%(f0)s::jsonb[])', [['{"age":7}', '{"age":25}']]),
        ({"tags.0": "a"}, '(d."data" -> %(f0)s::text #> %(f1)s::text[]) = %(f2)s::jsonb', ["tags", ["0"], '"a"']),
        ({"role": "a", "name": "b"}, '(d."role" = %(f0)s::text AND d."name" = %(f1)s::text)', ["a", "b"]),
        ({"role": {"$ne": "a"}}, '(d."role" = %(f0)s::text) IS NOT TRUE', ["a"]),
        ({"memory_id": UUID(int=5)}, 'd."memory_id" = %(f0)s::text', [str(UUID(int=5))]),
        ({"role": 5}, 'd."role" = %(f0)s::text', [None]),
        ({"memory_id": "a\0"}, 'd."memory_id" = %(f0)s::text', [None]),
    ],
)
def test_becomes_the_plainest_sql(filter: Any, sql: str, values: list[Any]) -> None:
    """A comparison with a column is one that an index on the column serves; what can match nothing is NULL."""
    found = condition(filter)
    assert found.sql == sql
    assert list(found.parameters.values()) == values


@pytest.mark.parametrize("key", ["content", "_id", "topic", "metadata.topic"])
def test_orders_texts_by_code_point_on_every_server(key: str) -> None:
    """Texts are ordered by code point, whatever the collation of the database is."""
    assert ' COLLATE "C" > ' in condition({key: {"$gt": "a"}}).sql


# --- no user's text in the SQL ------------------------------------------------------------------------------------

KNOWN = {*_documents.KEYS, *_documents.ID_KEYS, _documents.EMBEDDING}

anything = st.text(max_size=8)
# A number in a path, which may index a list, is another form.
names = anything.filter(lambda name: name not in KNOWN and not re.search(r"^\$|\.|^[0-9]+$", name))
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)


def filters_with(key: str, text: str, number: float) -> list[dict[str, Any]]:
    """Filters of every form, of one key and a few values."""
    return [
        {key: text, "memory_id": text, "importance_score": number, "_id": text},
        *({key: {name: value}} for name in ("$eq", "$ne", "$gt", "$lte", "$contains") for value in (text, number)),
        *({name: {"$gt": text, "$in": [text]}} for name in (*_documents.KEYS, "id")),
        {key: {"$contains": [text]}, f"{key}.x{key}": {"$nin": [number, text]}, f"{key}.0": [text, {key: number}]},
        {"$nor": [{key: {"$exists": True}}, {"$not": {key: {"$not": {"$eq": {key: text}}}}}]},
    ]


@settings(max_examples=50)
@given(st.tuples(names, anything, numbers), st.tuples(names, anything, numbers))
def test_the_sql_knows_the_form_of_a_filter_and_nothing_of_its_content(one: Any, other: Any) -> None:
    """Two filters of one form are one statement, whatever their keys and values are; each value is a parameter."""
    for ours, theirs in zip(filters_with(*one), filters_with(*other), strict=True):
        found = condition({"$and": [ours]})
        assert found.sql == condition({"$and": [theirs]}).sql
        assert set(PLACEHOLDER.findall(found.sql)) == set(found.parameters)
        assert "%" not in PLACEHOLDER.sub("", found.sql)


def test_leaves_the_filter_alone() -> None:
    """The caller's filter is not changed."""
    filter = {"a": {"$in": [1, {"b": [2]}], "$not": {"$gt": 5}}, "$or": [{"id": "x"}, {"name": None}]}
    before = deepcopy(filter)
    condition(filter)
    assert filter == before


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter", "message"),
    [
        (5, "the filter expects a dict such as .*; got a int"),
        ([], "the filter expects a dict such as .*; got an empty list"),
        ({5: 1}, "a key of the filter expects a str; got a int"),
        ({"$foo": 1}, r"unknown operator \$foo beside keys; expected one of \$and, \$or, \$nor, \$not, \$text"),
        ({"$text": {"$search": "tea"}}, r"\$text ranks, it is no filter: .*retrieve_by_query"),
        ({"$or": [{"$text": {"$search": "tea"}}]}, r"\$text ranks, it is no filter"),
        ({"$gt": 1}, r"unknown operator \$gt beside keys"),
        ({"a": {"$foo": 1}}, r"unknown operator \$foo under 'a'; expected one of \$eq, .*\$not"),
        ({"a": {"$and": [{"b": 1}]}}, r"unknown operator \$and under 'a'"),
        ({"a": {"$regex": "x"}}, r"unknown operator \$regex under 'a'"),
        ({"memory_id": 5}, r"\$eq under 'memory_id' expects an id, which is a str, a UUID or an ObjectId; .*got a int"),
        ({"id": {"$in": ["a", 5.0]}}, r"\$in under 'id' expects an id.*; got a float"),
        ({"conversation_id": ["a"]}, r"\$eq under 'conversation_id' expects an id.*; several in \$in; got a list"),
        ({"_id": {"$not": {"$gt": True}}}, r"\$gt under '_id' expects an id.*; got a bool"),
        ({"a": Decimal("NaN")}, r"\$eq under 'a' expects a number: NaN is not a finite number"),
        ({"a": {"$gt": Decimal("1E+5000")}}, r"\$gt under 'a' expects a number: .* more than 4300 digits"),
        ({"a": {"$not": {"$foo": 1}}}, r"unknown operator \$foo under 'a'"),
        ({"a": {"$gt": 1, "b": 2}}, r"'a' mixes operators with the plain key 'b'.*use \$eq"),
        ({"a": {"$gt": 1, 5: 2}}, "'a' mixes operators with the plain key 5"),
        ({"a": {5: 2}}, r"\$eq expects a value that a document can hold.* keys are strings"),
        ({"a": {"$in": 5}}, r"\$in under 'a' expects a list of values.*; got a int"),
        ({"a": {"$in": "abc"}}, r"\$in under 'a' expects a list of values.*; got a str"),
        ({"a.b": {"$nin": {"c": 1}}}, r"\$nin under 'a.b' expects a list of values.*; got a dict"),
        ({"a": {"$in": None}}, r"\$in under 'a' expects a list of values.*; got a NoneType"),
        ({"name": {"$exists": "yes"}}, r"\$exists under 'name' expects True or False; got a str"),
        ({"a": {"$exists": 1}}, r"\$exists under 'a' expects True or False; got a int"),
        ({"$and": {}}, r"\$and expects a list of at least one filter.*; got an empty dict"),
        ({"$or": []}, r"\$or expects a list of at least one filter.*; got an empty list"),
        ({"$nor": [5]}, r"each filter in \$nor expects a dict.*; got a int"),
        ({"$not": 5}, r"\$not expects a dict.*; got a int"),
        ({"a": {"$not": 5}}, r"\$not under 'a' expects operators such as .*use \$ne; got a int"),
        ({"a": {"$not": {}}}, r"\$not under 'a' expects operators such as .*; got an empty dict"),
        ({"a": {"$not": {"b": 1}}}, r"\$not under 'a' expects operators such as .*; got a dict"),
        ({"a": object()}, r"\$eq expects a value that a document can hold.*'a' .*object"),
        ({"a": {"$in": [1, b"x"]}}, r"\$in expects a value that a document can hold.*'a' .*bytes"),
        (
            {"importance_score": {"$gt": float("nan")}},
            r"\$gt expects a value that a document can hold.*nan is not a finite",
        ),
        (
            {"a": {"b": [float("inf")]}},
            r"\$eq expects a value that a document can hold.*'a.b\[0\]'.*inf is not a finite",
        ),
        ({"a": ["\0", object()]}, r"\$eq expects a value that a document can hold.*'a\[1\]'.*object"),
        ({"embedding": [1.0, 2.0]}, r"\$eq under 'embedding' .*\$exists"),
        ({"embedding.0": {"$exists": True}}, r"'embedding.0' .*\$exists"),
        ({"embedding": {"$not": {"$eq": None}}}, r"\$eq under 'embedding' .*\$exists"),
    ],
)
def test_refuses_what_it_does_not_understand(filter: Any, message: str) -> None:
    """An unknown operator or a malformed operand is an error that names it and says what was expected."""
    with pytest.raises(FilterError, match=message):
        condition(filter)


def test_refuses_a_filter_without_end() -> None:
    """A filter that is nested too deep, or in itself, is an error and no crash."""
    beside: dict[str, Any] = {}
    beside["$not"] = {"$or": [beside]}
    under: dict[str, Any] = {}
    under["$not"] = under
    held: list[Any] = []
    held.append(held)
    for filter in (beside, {"a": under}, {"a": held}):
        with pytest.raises(FilterError, match=r"nested .* in itself"):
            condition(filter)


def test_refuses_more_parameters_than_a_statement_can_have() -> None:
    """A filter with too many comparisons is an error that says how to write it shorter."""
    with pytest.raises(FilterError, match=r"more than 32000 .*\$in"):
        condition({"$or": [{"memory_id": str(number)} for number in range(33_000)]})
