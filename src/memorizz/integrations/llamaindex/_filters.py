"""LlamaIndex's metadata filters as those of the providers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters

from memorizz.errors import FilterError
from memorizz.integrations._providers import escaped
from memorizz.memory_provider.base import Filter

NONE: Filter = {"id": {"$in": []}}

# What other stores keep in the metadata under several names: the document that a node is of.
_DOCUMENT = ("doc_id", "document_id", "ref_doc_id")
_ORDERS = {
    FilterOperator.GT: "$gt",
    FilterOperator.GTE: "$gte",
    FilterOperator.LT: "$lt",
    FilterOperator.LTE: "$lte",
}


def metadata_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is stored of metadata for filters to find: its keys flat, its texts also in small letters."""
    small = {escaped(key): value.lower() for key, value in metadata.items() if isinstance(value, str)}
    return {"metadata": {escaped(key): value for key, value in metadata.items()}, "small": small}


def filter_of(filters: MetadataFilters | None) -> Filter:
    """Return what filters say, nested or not; None and none at all match everything.

    Raises FilterError for a value that an operator cannot take.
    """
    if filters is None or not filters.filters:
        return {}
    parts = [filter_of(each) if isinstance(each, MetadataFilters) else _comparison(each) for each in filters.filters]
    if filters.condition is FilterCondition.OR:
        return {"$or": parts}
    if filters.condition is FilterCondition.NOT:
        return {"$nor": parts}
    return {"$and": parts}


def _comparison(filter: MetadataFilter) -> Filter:
    key, value, operator = filter.key, filter.value, filter.operator
    path = f"metadata.{escaped(key)}"
    if key in _DOCUMENT:
        return {"$or": [_compared(path, key, operator, value), _compared("ref_doc_id", key, operator, value)]}
    return _compared(path, key, operator, value)


def _compared(path: str, key: str, operator: FilterOperator, value: Any) -> Filter:
    if operator in _ORDERS:
        return {path: {_ORDERS[operator]: value}}
    if operator in _COMPARISONS:
        return _COMPARISONS[operator](path, value)
    if operator in _OF_LISTS:
        if not isinstance(value, list):
            raise FilterError(f"{operator.value!r} under {key!r} expects a list, got {type(value).__name__}")
        return _OF_LISTS[operator](path, cast("list[Any]", value))
    if not isinstance(value, str):
        raise FilterError(f"{operator.value!r} under {key!r} expects a text, got {type(value).__name__}")
    if operator is FilterOperator.TEXT_MATCH_INSENSITIVE:
        return {f"small.{path.removeprefix('metadata.')}": {"$contains": value.lower()}}
    return {path: {"$contains": value}}


def _forms(value: Any) -> list[Any]:
    """Return what equals a value in Python, where True is 1; no filter of LlamaIndex's can hold a bool."""
    return [bool(value), value] if isinstance(value, int | float) and value in (0, 1) else [value]


def _equal(path: str, value: Any) -> Filter:
    return {path: {"$in": _forms(value)}}


def _has(path: str, value: Any) -> Filter:
    return {"$or": [{path: {"$contains": form}} for form in _forms(value)]}


def _in(path: str, values: Sequence[Any]) -> Filter:
    return {path: {"$in": [form for value in values for form in _forms(value)]}}


def _any(path: str, values: Sequence[Any]) -> Filter:
    return {"$or": [_has(path, value) for value in values]} if values else NONE


def _all(path: str, values: Sequence[Any]) -> Filter:
    return {"$and": [{path: {"$ne": None}}, *(_has(path, value) for value in values)]}


_COMPARISONS: Mapping[FilterOperator, Callable[[str, Any], Filter]] = {
    FilterOperator.EQ: _equal,
    FilterOperator.NE: lambda path, value: {"$not": _equal(path, value)},
    FilterOperator.CONTAINS: _has,
    FilterOperator.IS_EMPTY: lambda path, _: {"$or": [{path: None}, {path: ""}, {path: {"$eq": []}}]},
}
_OF_LISTS: Mapping[FilterOperator, Callable[[str, list[Any]], Filter]] = {
    FilterOperator.IN: _in,
    FilterOperator.NIN: lambda path, values: {"$not": _in(path, values)},
    FilterOperator.ANY: _any,
    FilterOperator.ALL: _all,
}
