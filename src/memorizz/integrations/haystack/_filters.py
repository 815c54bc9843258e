"""Haystack's filters as those of the providers.

Haystack raises where it compares the order of values that have none, also if only a document's value is to blame. No
database does, so each filter comes with another one: for the documents that its evaluation would fail at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from operator import ge, gt, le, lt
from typing import Any, NamedTuple, cast

from haystack.errors import FilterError

from memorizz.integrations.haystack._dates import INSTANT, WALL, date_of, instant, wall
from memorizz.memory_provider.base import Filter

ALL: Filter = {}
NONE: Filter = {"id": {"$in": []}}

_ORDERS: Mapping[str, tuple[str, Callable[[Any, Any], bool]]] = {
    ">": ("$gt", gt),
    ">=": ("$gte", ge),
    "<": ("$lt", lt),
    "<=": ("$lte", le),
}
_COLUMNS = ("id", "content", "embedding")
_FIELDS = ("id", "content", "blob", "meta", "score", "embedding", "sparse_embedding")


class MalformedFilter(FilterError, ValueError):
    """A filter that is none: Haystack has it a FilterError in some places, and a ValueError in others."""


class Condition(NamedTuple):
    """Which documents match a filter, and at which its evaluation fails."""

    matches: Filter
    fails: Filter = NONE


def condition(filters: Mapping[str, Any] | None) -> Condition:
    """Return what a filter says; None and an empty one match all. Raises FilterError where it is malformed."""
    return _condition(filters) if filters else Condition(ALL)


def _condition(filters: object) -> Condition:
    if not isinstance(filters, Mapping):
        raise MalformedFilter(f"a filter is a dict, got {type(filters).__name__}")
    given = cast("Mapping[str, Any]", filters)
    return _comparison(given) if "field" in given else _logic(given)


def _needed(given: Mapping[str, Any], key: str) -> Any:
    if key not in given:
        raise MalformedFilter(
            f"'{key}' key missing in {given!r}: a comparison has field, operator and value, a logical condition has "
            "operator and conditions"
        )
    return given[key]


# --- logic --------------------------------------------------------------------------------------------------------


def _logic(given: Mapping[str, Any]) -> Condition:
    operator, conditions = _needed(given, "operator"), _needed(given, "conditions")
    if operator not in ("AND", "OR", "NOT"):
        raise FilterError(f"unknown logical operator {operator!r}: expected AND, OR or NOT")
    if not isinstance(conditions, list | tuple):
        raise MalformedFilter(f"conditions are a list, got {type(conditions).__name__}")
    parts = [_condition(each) for each in cast("Sequence[object]", conditions)]
    if operator == "OR":
        return Condition(_any(*(part.matches for part in parts)), _fails(parts, lambda filter: {"$not": filter}))
    all_match = _all(*(part.matches for part in parts))
    return Condition(all_match if operator == "AND" else {"$not": all_match}, _fails(parts, lambda filter: filter))


def _fails(parts: Sequence[Condition], goes_on: Callable[[Filter], Filter]) -> Filter:
    """Return where one of several conditions fails that are evaluated in turn, while those before let it go on."""
    return _any(
        *(
            _all(*(goes_on(before.matches) for before in parts[:place]), part.fails)
            for place, part in enumerate(parts)
            if part.fails is not NONE
        )
    )


def _all(*filters: Filter) -> Filter:
    return {"$and": list(filters)} if filters else ALL


def _any(*filters: Filter) -> Filter:
    return {"$or": list(filters)} if filters else NONE


# --- comparisons --------------------------------------------------------------------------------------------------


def _comparison(given: Mapping[str, Any]) -> Condition:
    field, operator, value = given["field"], _needed(given, "operator"), _needed(given, "value")
    if not isinstance(field, str):
        raise MalformedFilter(f"a field is a text, got {type(field).__name__}")
    if operator in ("==", "!="):
        equal = _equal(field, value)
    elif operator in ("in", "not in"):
        if not isinstance(value, list):
            raise FilterError(f"'{operator}' expects a list of values, got {type(value).__name__}")
        equal = _any(*(_equal(field, each) for each in cast("list[Any]", value)))
    elif operator in _ORDERS:
        return _ordered(field, operator, value)
    else:
        raise FilterError(f"unknown operator {operator!r}: expected ==, !=, >, >=, <, <=, in or not in")
    return Condition(equal if operator in ("==", "in") else {"$not": equal})


def _path(field: str) -> str | None:
    """Return the key of a document of ours that a field points at; a name that is no field is one of the metadata.

    None for what has a dot and is not in the metadata, where Haystack finds nothing.
    """
    root, dot, rest = field.partition(".")
    if root == "meta":
        return f"metadata{dot}{rest}"
    if dot:
        return None
    if root not in _FIELDS:
        return f"metadata.{field}"
    return field if root in _COLUMNS else f"given.{field}"


def _equal(field: str, value: Any) -> Filter:
    path = _path(field)
    if path is None:
        return ALL if value is None else NONE
    if path == "embedding":
        if value is not None:
            raise FilterError("an embedding can be compared with None only: a vector is no value to filter by")
        return {"embedding": {"$exists": False}}
    if (path == "id" and not isinstance(value, str)) or (path == "content" and not isinstance(value, str | None)):
        return NONE
    # In Python, True is 1.
    forms = [bool(value), int(value)] if isinstance(value, bool | int | float) and value in (0, 1) else [value]
    same: Filter = {path: {"$in": forms}}
    if (date := date_of(value)) is None or not path.startswith("metadata."):
        return same
    return _any(same, _at(_dates(path), "$eq", date))


def _ordered(field: str, operator: str, value: Any) -> Condition:
    if value is None:
        return Condition(NONE)
    name, compare = _ORDERS[operator]
    date = date_of(value)
    if date is None and not isinstance(value, bool | int | float):
        raise FilterError(
            f"'{operator}' compares numbers, and texts that are ISO dates; got {value!r} for {field}, which is neither"
        )
    path = _path(field)
    if path is None:
        return Condition(NONE)
    if path in _COLUMNS:
        # Texts and vectors, of which none has an order with a number or a date.
        return Condition(NONE, {path: {"$exists": True}} if path == "embedding" else {path: {"$ne": None}})
    is_there: Filter = {path: {"$ne": None}}
    if date is None:
        flags = {path: {"$in": [flag for flag in (False, True) if compare(flag, value)]}}
        number = int(value) if isinstance(value, bool) else value
        numbers = _any({path: {"$gte": 0}}, {path: {"$lt": 0}}, {path: {"$in": [False, True]}})
        return Condition(_any({path: {name: number}}, flags), _all(is_there, {"$not": numbers}))
    if not path.startswith("metadata."):
        return Condition(NONE, is_there)
    dates = _dates(path)
    return Condition(_at(dates, name, date), _all(is_there, {f"{dates}.{WALL}": {"$exists": False}}))


def _dates(path: str) -> str:
    return "dates." + path.removeprefix("metadata.")


def _at(dates: str, operator: str, date: datetime) -> Filter:
    """Return a comparison of dates; one without a zone is taken to be in that of the other."""
    on_the_wall: Filter = {f"{dates}.{WALL}": {operator: wall(date)}}
    if date.tzinfo is None:
        return on_the_wall
    path = f"{dates}.{INSTANT}"
    return _any({path: {operator: instant(date)}}, _all({path: {"$exists": False}}, on_the_wall))
