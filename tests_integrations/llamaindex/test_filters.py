"""MetadataFilters give what LlamaIndex's own evaluation of them gives, nested ones too."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters
from llama_index.core.vector_stores.utils import build_metadata_filter_fn

from memorizz import PostgreSQLProvider
from memorizz.errors import FilterError
from memorizz.integrations.llamaindex import MemorizzVectorStore

METADATA: dict[str, dict[str, Any]] = {
    "tea": {"kind": "Green Tea", "n": 1, "tags": ["hot", "leaf"], "a.b": "dotted", "done": True},
    "coffee": {"kind": "coffee", "n": 2.5, "tags": ["hot"], "a": {"b": "nested"}, "done": False},
    "water": {"kind": "", "n": -3, "tags": [], "100%": "pure"},
    "milk": {"kind": None, "n": 0, "tags": ["cold", "0", 1], "$where": "cow"},
    "nothing": {},
}

Is = FilterOperator
FILTERS: list[tuple[str, FilterOperator, Any]] = [
    ("kind", Is.EQ, "coffee"),
    ("kind", Is.NE, "coffee"),
    ("n", Is.EQ, 1),
    ("done", Is.EQ, 1),
    ("done", Is.EQ, 0),
    ("done", Is.NE, 1),
    ("n", Is.GT, 0),
    ("n", Is.GTE, 0),
    ("n", Is.LT, 2.5),
    ("n", Is.LTE, 2.5),
    ("n", Is.IN, [1, 7]),
    ("n", Is.IN, [2.5]),
    ("kind", Is.IN, ["coffee", "Green Tea"]),
    ("kind", Is.IN, []),
    ("kind", Is.NIN, ["coffee"]),
    ("kind", Is.NIN, []),
    ("tags", Is.CONTAINS, "hot"),
    ("tags", Is.CONTAINS, 1),
    ("tags", Is.ANY, ["cold", "leaf"]),
    ("tags", Is.ANY, []),
    ("tags", Is.ALL, ["hot", "leaf"]),
    ("tags", Is.ALL, []),
    ("kind", Is.TEXT_MATCH, "Tea"),
    ("kind", Is.TEXT_MATCH, "tea"),
    ("kind", Is.TEXT_MATCH, ""),
    ("kind", Is.TEXT_MATCH_INSENSITIVE, "TEA"),
    ("kind", Is.TEXT_MATCH_INSENSITIVE, "%"),
    ("kind", Is.IS_EMPTY, None),
    ("tags", Is.IS_EMPTY, None),
    ("nobody", Is.IS_EMPTY, None),
    ("nobody", Is.NE, "x"),
    ("a.b", Is.EQ, "dotted"),
    ("a", Is.IS_EMPTY, None),
    ("100%", Is.EQ, "pure"),
    ("$where", Is.EQ, "cow"),
]
NODES = [TextNode(id_=id, text=id, metadata=each, embedding=[1.0, 0.0]) for id, each in METADATA.items()]


@pytest.fixture
def store(provider: PostgreSQLProvider) -> MemorizzVectorStore:
    made = MemorizzVectorStore(provider, embed_dim=2)
    made.add(NODES)
    return made


def ids(store: MemorizzVectorStore, filters: MetadataFilters | None) -> list[str]:
    return [node.node_id for node in store.get_nodes(filters=filters)]


def expected(filters: MetadataFilters) -> list[str]:
    """What LlamaIndex's evaluation finds, where filters are nested by the rules of those that are not."""

    def matches(filters: MetadataFilters, id: str) -> bool:
        found = [
            matches(each, id)
            if isinstance(each, MetadataFilters)
            else build_metadata_filter_fn(METADATA.__getitem__, MetadataFilters(filters=[each]))(id)
            for each in filters.filters
        ]
        if filters.condition is FilterCondition.AND:
            return all(found)
        return any(found) == (filters.condition is FilterCondition.OR)

    return [id for id in METADATA if matches(filters, id)]


def test_every_operator(store: MemorizzVectorStore) -> None:
    """Alone and under not, of values of every kind, of keys with dots and signs in them, and of what is not there."""
    for key, operator, value in FILTERS:
        one = MetadataFilter(key=key, operator=operator, value=value)
        for condition in FilterCondition:
            filters = MetadataFilters(filters=[one], condition=condition)
            assert ids(store, filters) == expected(filters), (key, operator, value, condition)


def test_every_two_together_and_nested(store: MemorizzVectorStore) -> None:
    """All, at least one and none of them, one level deeper and two."""
    for place, (key, operator, value) in enumerate(FILTERS):
        one = MetadataFilter(key=key, operator=operator, value=value)
        other = MetadataFilter(**dict(zip(("key", "operator", "value"), FILTERS[place - 7], strict=True)))
        for condition in FilterCondition:
            two = MetadataFilters(filters=[one, other], condition=condition)
            nested = MetadataFilters(
                filters=[MetadataFilters(filters=[two, other], condition="or"), MetadataFilter(key="n", value=2.5)],
                condition="not" if condition is FilterCondition.AND else "or",
            )
            for filters in (two, nested):
                assert ids(store, filters) == expected(filters), filters


def test_no_filters_are_all(store: MemorizzVectorStore) -> None:
    """None, and a list of none, whatever the condition."""
    for filters in (None, *(MetadataFilters(filters=[], condition=each) for each in FilterCondition)):
        assert ids(store, filters) == list(METADATA)


def test_the_document_of_a_node_is_a_key(store: MemorizzVectorStore) -> None:
    """Under the names that other stores give it in the metadata."""
    source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="book")}
    store.add([TextNode(id_="page", text="page", relationships=source, embedding=[1.0, 0.0])])
    for key in ("ref_doc_id", "doc_id", "document_id"):
        assert ids(store, MetadataFilters(filters=[MetadataFilter(key=key, value="book")])) == ["page"]


@pytest.mark.parametrize(
    ("operator", "value", "said"),
    [
        (Is.IN, "abc", "'in' under 'kind' expects a list, got str"),
        (Is.ANY, 1, "'any' under 'kind' expects a list, got int"),
        (Is.ALL, None, "'all' under 'kind' expects a list, got NoneType"),
        (Is.TEXT_MATCH, 1, "'text_match' under 'kind' expects a text, got int"),
        (Is.TEXT_MATCH_INSENSITIVE, None, "'text_match_insensitive' under 'kind' expects a text, got NoneType"),
    ],
)
def test_what_an_operator_cannot_take(
    store: MemorizzVectorStore, operator: FilterOperator, value: Any, said: str
) -> None:
    """It is an error that says what was expected."""
    filters = MetadataFilters(filters=[MetadataFilter(key="kind", operator=operator, value=value)])
    with pytest.raises(FilterError, match=said):
        ids(store, filters)


def test_none_asks_for_what_is_missing(store: MemorizzVectorStore) -> None:
    """Equal to None is what is None or not there, where LlamaIndex's own evaluation finds nothing."""
    equal = MetadataFilters(filters=[MetadataFilter(key="kind", value=None)])
    other = MetadataFilters(filters=[MetadataFilter(key="kind", value=None, operator=Is.NE)])
    assert ids(store, equal) == ["milk", "nothing"]
    assert ids(store, other) == ["tea", "coffee", "water"]
