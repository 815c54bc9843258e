"""Filters on a real server: what a condition finds is what a plain reading of the filter finds in Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filtering import (
    AS_DECIMALS,
    COLUMNS,
    IDS,
    LISTS,
    MOMENTS,
    NAMES,
    OBJECTS,
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
from memorizz.memory_provider import _documents, _values
from memorizz.memory_provider.postgresql.rows import GIVEN_ID
from memorizz.memory_provider.postgresql.sql.conditions import condition

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
        data[GIVEN_ID] = document["id"]
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


# --- what is found ------------------------------------------------------------------------------------------------

# PostgreSQL's JSON has decimals.
found_in = AS_DECIMALS.found_in


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


@pytest.mark.parametrize("options", [{"prepare": True}, {"prepare": False}, {"binary": True}])
def test_needs_no_help_with_types(find: Find, options: dict[str, bool]) -> None:
    """One statement serves values of every type, prepared or not."""
    for operand in [*ODDITIES, *OBJECTS, *MOMENTS, *LISTS, "a", 7, 0.1, True, None]:
        for key in ("_id", "content", "importance_score", "access_count", "created_at", "a", "a.0", "metadata.a", "\0"):
            if key != "_id" or is_id(operand):
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
