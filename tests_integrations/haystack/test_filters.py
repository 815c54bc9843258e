"""Filters give what Haystack's own evaluation of them gives, errors included."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from itertools import product
from typing import Any

import psycopg
import pytest
from haystack.dataclasses import Document
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.errors import FilterError
from psycopg import sql
from psycopg.conninfo import make_conninfo

from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.integrations.haystack import MemorizzDocumentStore

VALUES: list[Any] = [
    7,
    25,
    100,
    2.5,
    0,
    1,
    True,
    False,
    "100",
    "text",
    "",
    None,
    [1, "a"],
    {"er": 1},
    "2025-02-03",
    "2025-02-03T04:05:06",
    "2025-02-03T04:05:06.000000",
    "2025-02-03T04:05:06+02:00",
    "2025-02-03T02:05:06Z",
    "2025-02-03T04:05:06Z",
]
DOCUMENTS = [
    *(Document(id=f"v{number}", content=f"{number}", meta={"x": value}) for number, value in enumerate(VALUES)),
    Document(id="missing", content=None, meta={"deep": {"er": {"date": "2025-02-03", "n": 1}}}),
]


@pytest.fixture(scope="module")
def stores(server: str) -> Any:
    """The same documents in ours and in Haystack's."""
    name = f"haystack_filters_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    dsn = make_conninfo(server, dbname=name)
    with PostgreSQLProvider(PostgreSQLConfig(dsn=dsn, embedding_dimensions=4)) as provider:
        ours, theirs = MemorizzDocumentStore(provider, embedding_dimension=3), InMemoryDocumentStore()
        for store in (ours, theirs):
            store.write_documents(DOCUMENTS)
        yield ours, theirs
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def outcome(find: Callable[[dict[str, Any]], list[Document]], filters: dict[str, Any]) -> Any:
    try:
        return [document.id for document in find(filters)]
    except FilterError:
        return "FilterError"
    except TypeError:
        # Haystack's own, for a list that is compared with a number.
        return "FilterError"


def ids(documents: list[Document]) -> list[str]:
    return [document.id for document in documents]


def compared(stores: Any, filters: dict[str, Any]) -> None:
    ours, theirs = stores
    assert outcome(ours.filter_documents, filters) == outcome(theirs.filter_documents, filters), filters


@pytest.mark.parametrize("operator", ["==", "!="])
@pytest.mark.parametrize("value", [*VALUES, datetime(2025, 2, 3, 4, 5, 6)], ids=repr)
def test_equality(stores: Any, operator: str, value: Any) -> None:
    """By value: True is 1, None is missing too, dates are times, in any form and zone."""
    compared(stores, {"field": "meta.x", "operator": operator, "value": value})


AMONG: list[Any] = [[], [None], [1], [7, "text"], ["2025-02-03"], [[1, "a"]], 5, "text", (1, 2)]


@pytest.mark.parametrize("operator", ["in", "not in"])
@pytest.mark.parametrize(
    "value", [[], [None], [1], [7, "text"], ["2025-02-03"], [[1, "a"]], 5, "text", (1, 2)], ids=repr
)
def test_among(stores: Any, operator: str, value: Any) -> None:
    """Of a list as of its values; anything but a list is an error."""
    compared(stores, {"field": "meta.x", "operator": operator, "value": value})


ORDERED = [7, 0, 1, True, 2.5, -1e300, None, *VALUES[14:], datetime(2025, 2, 3, 4, 5, 6)]
_COMPARABLE = [
    ("v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v11", "missing"),
    tuple(f"v{number}" for number in range(14, 20)),
]


@pytest.mark.parametrize("operator", [">", ">=", "<", "<="])
@pytest.mark.parametrize(
    "value", [7, 0, 1, True, 2.5, -1e300, None, *VALUES[14:], datetime(2025, 2, 3, 4, 5, 6)], ids=repr
)
@pytest.mark.parametrize("among", [*_COMPARABLE, ("v9",), ("v2", "v14"), ("v12",), ("missing",)], ids=repr)
def test_order(stores: Any, operator: str, value: Any, among: tuple[str, ...]) -> None:
    """Numbers with numbers, dates with dates, None with nothing; an error where a document's value is neither."""
    order = {"field": "meta.x", "operator": operator, "value": value}
    here = {"field": "id", "operator": "in", "value": list(among)}
    compared(stores, {"operator": "AND", "conditions": [here, order]})


@pytest.mark.parametrize("value", ["text", "1", "", [1], {"a": 1}], ids=repr)
@pytest.mark.parametrize("operator", [">", ">=", "<", "<="])
def test_what_has_no_order_is_an_error(stores: Any, operator: str, value: Any) -> None:
    """Whatever the documents are."""
    with pytest.raises(FilterError):
        stores[0].filter_documents({"field": "meta.x", "operator": operator, "value": value})


PARTS: list[dict[str, Any]] = [
    {"field": "meta.x", "operator": "==", "value": 7},
    {"field": "meta.x", "operator": "in", "value": [7, 25]},
    {"field": "meta.x", "operator": "==", "value": None},
    {"field": "meta.x", "operator": ">", "value": 7},
    {"field": "meta.x", "operator": "!=", "value": "text"},
    {"field": "id", "operator": "in", "value": ["v0", "v1", "v2"]},
]


@pytest.mark.parametrize("operator", ["AND", "OR", "NOT"])
@pytest.mark.parametrize("parts", list(product(PARTS, PARTS)), ids=str)
def test_logic(stores: Any, operator: str, parts: tuple[dict[str, Any], ...]) -> None:
    """NOT of several is not all of them; a comparison that is not come to is no error, one that is come to is."""
    compared(stores, {"operator": operator, "conditions": list(parts)})
    inner = {"operator": "NOT", "conditions": [parts[0]]}
    compared(stores, {"operator": operator, "conditions": [inner, parts[1]]})


@pytest.mark.parametrize("operator", ["AND", "OR", "NOT"])
def test_logic_of_nothing(stores: Any, operator: str) -> None:
    """As all() and any() have it."""
    compared(stores, {"operator": operator, "conditions": []})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("x", 7),
        ("id", "v1"),
        ("content", "1"),
        ("content", None),
        ("meta.deep.er.n", 1),
        ("meta.deep.er.date", "2025-02-03T00:00:00"),
        ("meta.no", None),
        ("meta.x.er", 1),
        ("embedding", None),
        ("score", None),
        ("blob", None),
        ("meta", {"x": 7}),
    ],
)
def test_fields(stores: Any, field: str, value: Any) -> None:
    """A name that is no field of a document is one of the metadata; a path leads into objects."""
    compared(stores, {"field": field, "operator": "==", "value": value})


COMPARED = [
    *product(["==", "!="], [7, 1, "v1", "2025-02-03", None, {"er": 1}, [1, "a"], True]),
    *product(["in", "not in"], [[7, "v1"], [None], [{"er": 1}, [1, "a"]], []]),
    *product([">", ">=", "<", "<="], [7, True, "2025-02-03", None]),
]


@pytest.mark.parametrize(("operator", "value"), COMPARED, ids=repr)
def test_fields_that_are_no_metadata(stores: Any, operator: str, value: Any) -> None:
    """Compared with any value they are found, or are not, or the order that they do not have is an error."""
    for field in ("id", "score", "blob.mime_type", "blob.meta.x", "id.x", "meta.deep.er.no"):
        compared(stores, {"field": field, "operator": operator, "value": value})


@pytest.mark.parametrize("operator", [">", ">=", "<", "<="])
@pytest.mark.parametrize("value", [7, "2025-02-03"])
def test_a_text_that_is_no_metadata_has_no_order(stores: Any, operator: str, value: Any) -> None:
    """Whatever the metadata has under the same name."""
    store, _ = stores
    dated = Document(
        id="dated", content="text", meta={"content": "2025-02-02", "id": "2025-02-02", "given": {"score": "2025-02-02"}}
    )
    store.write_documents([dated])
    try:
        for field in ("content", "id"):
            with pytest.raises(FilterError, match="order"):
                store.filter_documents({"field": field, "operator": operator, "value": value})
        assert store.filter_documents({"field": "score", "operator": operator, "value": value}) == []
    finally:
        store.delete_documents(["dated"])


def test_only_metadata_has_paths(stores: Any) -> None:
    """A name with a dot that does not begin with `meta.` is missing, also where the metadata has such a path."""
    for filters, found in (({"operator": "==", "value": 1}, 0), ({"operator": "!=", "value": 1}, len(DOCUMENTS))):
        assert len(stores[0].filter_documents({"field": "deep.er.n", **filters})) == found


def test_a_week_is_no_day(stores: Any) -> None:
    """A text that does not begin with a whole day is equal to itself alone."""
    store, _ = stores
    store.write_documents([Document(id="week", meta={"week": "2025-W06-1"})])
    try:
        assert store.filter_documents({"field": "meta.week", "operator": "==", "value": "2025-02-03"}) == []
        assert ids(store.filter_documents({"field": "meta.week", "operator": "==", "value": "2025-W06-1"})) == ["week"]
    finally:
        store.delete_documents(["week"])


@pytest.mark.parametrize(
    "filters",
    [
        {"field": "meta.x"},
        {"field": "meta.x", "operator": "=="},
        {"operator": "AND"},
        {"conditions": []},
        {"operator": "AND", "conditions": [5]},
        {"operator": "AND", "conditions": 5},
        {"field": 5, "operator": "==", "value": 1},
        {"meta.x": 5},
        [{"field": "meta.x", "operator": "==", "value": 1}],
    ],
    ids=repr,
)
def test_a_broken_filter_is_an_error(stores: Any, filters: Any) -> None:
    """Both of the errors that Haystack has for it."""
    with pytest.raises(FilterError) as raised:
        stores[0].filter_documents(filters)
    assert isinstance(raised.value, ValueError)


@pytest.mark.parametrize(
    "filters",
    [
        {"field": "meta.x", "operator": "~", "value": 1},
        {"operator": "XOR", "conditions": []},
        {"field": "embedding", "operator": "==", "value": [1.0, 2.0, 3.0]},
        {"field": "meta.x", "operator": "==", "value": object()},
    ],
    ids=["operator", "logic", "vector", "object"],
)
def test_what_is_unknown_is_an_error(stores: Any, filters: Any) -> None:
    """Nothing is ignored."""
    with pytest.raises(FilterError):
        stores[0].filter_documents(filters)
