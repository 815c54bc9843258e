"""A filter, a dict with Mongo's operators, is read and checked: the same for every provider.

    {"memory_id": "m1", "importance_score": {"$gt": 0.5, "$ne": 1}}

becomes a tree of All, Either, Not and Clause, in which only $eq, $gt, $gte, $lt, $lte, $in, $exists, $contains, $prefix
and $suffix are left: the others are complements of these. What a clause holds for is said in docs/filters.md; each
provider asks its server for just that.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, cast

from memorizz.errors import FilterError, InvalidDocument, quoted
from memorizz.memory_provider import _values
from memorizz.memory_provider._documents import CONTENT, EMBEDDING, ID_KEYS, REFERENCES

Order = Literal["$gt", "$gte", "$lt", "$lte"]

_MAX_DEPTH = 64
# No document is nested deeper than this, so that a longer path is a missing key.
_MAX_PATH = 256


@dataclass(slots=True)
class Value:
    """A value to compare with, as JSON gives it back, and its JSON: None for a text that no document can hold."""

    plain: Any
    json: str | None


ANY = Value(None, None)


@dataclass(slots=True)
class Field:
    """What a key points at: the steps from the document to a value in it; a None in them leads to nothing.

    `name` is the key of the document, empty where there can be none such, `path` are the steps from there on.
    `in_parts`: it is the content as a list of parts, or something in them, and not the text.
    """

    key: str
    steps: Sequence[str | None]
    in_parts: bool = False
    name: str = field(init=False)
    path: Sequence[str | None] = field(init=False)
    is_id: bool = field(init=False)

    def __post_init__(self) -> None:
        self.name, self.path = self.steps[0] or "", self.steps[1:]
        self.is_id = not self.path and self.name in ID_KEYS
        self.in_parts = self.in_parts or (self.name == CONTENT and bool(self.path))


@dataclass(slots=True)
class Clause:
    """What one key must be.

    `$in` has several values, `$exists` none, the others one. `$first` and `$last` are `$prefix` and `$suffix` of a
    list: their values are the elements that it begins or ends with, ANY where it may be any.
    """

    field: Field
    operator: Literal["$eq", "$in", "$exists", "$contains", "$prefix", "$suffix", "$first", "$last"] | Order
    values: Sequence[Value] = ()


@dataclass(slots=True)
class All:
    """Every part holds; of none, always."""

    parts: Sequence[Node]


@dataclass(slots=True)
class Either:
    """At least one part holds."""

    parts: Sequence[Node]


@dataclass(slots=True)
class Not:
    """The part does not hold: a plain complement."""

    part: Node


Node = All | Either | Not | Clause


def parsed(filter: Mapping[str, Any] | None) -> Node:
    """Return what a filter says; no filter matches all. Raises FilterError where it is malformed."""
    return _filter({} if filter is None else filter, "the filter", 0)


def ordering(order_by: str) -> tuple[Field, bool]:
    """Return what key documents are ordered by, and whether in descending order."""
    return _field(order_by.removeprefix("-"), "$exists"), order_by.startswith("-")


def listed_key(key: Any) -> Field:
    """Return the key whose values are to be listed; raises FilterError for what is none."""
    if not isinstance(key, str) or not key:
        raise _wrong("distinct()", "the name of a key", key)
    return _field(key, "distinct()")


def both(filter: Mapping[str, Any], where: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the filter for what two of them match; raises FilterError where the second is none."""
    if not isinstance(cast(object, where), Mapping):
        raise _wrong("where", "a filter, a dict such as {'name': 'Ada'}", where)
    return {**filter, **where} if filter.keys().isdisjoint(where) else {"$and": [filter, where]}


# --- logic --------------------------------------------------------------------------------------------------------

_LOGIC: Mapping[str, Callable[[Sequence[Node]], Node]] = {
    "$and": All,
    "$or": Either,
    "$nor": lambda parts: Not(Either(parts)),
}


def _filter(filter: Any, where: str, depth: int) -> Node:
    if not isinstance(filter, Mapping):
        raise _wrong(where, "a dict such as {'name': 'Ada'}", filter)
    if depth > _MAX_DEPTH:
        raise FilterError(f"the filter is nested more than {_MAX_DEPTH} levels deep, or in itself; flatten it")
    return All([_part(key, operand, depth) for key, operand in cast("Mapping[Any, Any]", filter).items()])


def _part(key: Any, operand: Any, depth: int) -> Node:
    if not isinstance(key, str):
        raise _wrong("a key of the filter", "a str", key)
    if key in _LOGIC:
        if not isinstance(operand, list | tuple) or not operand:
            raise _wrong(key, f"a list of at least one filter, {{'{key}': [{{'name': 'Ada'}}, ...]}}", operand)
        filters = cast("Sequence[Any]", operand)
        return _LOGIC[key]([_filter(each, f"each filter in {key}", depth + 1) for each in filters])
    if key == "$not":
        return Not(_filter(operand, key, depth + 1))
    if key == "$text":
        raise FilterError("$text ranks, it is no filter: in retrieve_by_query it stands beside the filters")
    if key.startswith("$"):
        raise _unknown(key, "beside keys", [*_LOGIC, "$not", "$text"])
    return _under(key, _operators(key, operand), depth)


def _operators(key: str, operand: Any) -> Mapping[str, Any]:
    """Return the operators under a key; a value stands for `$eq`."""
    if not isinstance(operand, Mapping):
        return {"$eq": operand}
    names = list(cast("Mapping[Any, Any]", operand))
    plain = [name for name in names if not (isinstance(name, str) and name.startswith("$"))]
    if len(plain) == len(names):
        return {"$eq": operand}
    if plain:
        raise FilterError(
            f"{quoted(key)} mixes operators with the plain key {quoted(plain[0])}; expected operators only, or a whole "
            "object: to compare with an object that has such keys use $eq"
        )
    return cast("Mapping[str, Any]", operand)


def _under(key: str, operators: Mapping[str, Any], depth: int) -> Node:
    parts: list[Node] = []
    for name, operand in operators.items():
        if name == "$not":
            if _operators(key, operand) is not operand:
                raise _wrong(
                    f"$not under {quoted(key)}", "operators such as {'$gt': 5}; to exclude a value use $ne", operand
                )
            parts.append(Not(_filter({key: operand}, name, depth + 1)))
        elif name in _OPERATORS:
            parts.append(_OPERATORS[name](_field(str.__str__(key), name), name, operand))
        else:
            raise _unknown(name, f"under {quoted(key)}", [*_OPERATORS, "$not"])
    return All(parts)


def _wrong(where: str, expected: str, got: Any) -> FilterError:
    empty = "an empty" if isinstance(got, Sized) and not len(got) else "a"
    return FilterError(f"{where} expects {expected}; got {empty} {type(cast(object, got)).__name__}")


def _unknown(operator: str, where: str, known: Iterable[str]) -> FilterError:
    return FilterError(f"unknown operator {operator} {where}; expected one of {', '.join(known)}")


# --- fields and values --------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _field(key: str, operator: str) -> Field:
    steps = key.split(".")
    if steps[0] == EMBEDDING and (len(steps) > 1 or operator != "$exists"):
        raise FilterError(
            f"{operator} under {quoted(key)} is not possible, expected $exists: a vector is no value to filter by; "
            "to search by it, give it as 'embedding' at the top of the query"
        )
    return Field(key, tuple(map(_step, steps)) if len(steps) <= _MAX_PATH else (None,))


def _step(step: str) -> str | None:
    try:
        return _values.text(step, "")
    except InvalidDocument:
        return None


_SCALARS = frozenset({str, int, bool, type(None)})


def _value(operand: Any, operator: str, key: str) -> Value:
    if key in REFERENCES and operand is not None and not isinstance(_values.as_text(operand), str):
        raise _wrong(
            f"{operator} under {quoted(key)}", "an id, which is a str, a UUID or an ObjectId; several in $in", operand
        )
    if isinstance(operand, Decimal):
        return _number(operand, operator, key)
    try:
        written = _values.to_json(operand, key)
        # What has no other form than its own needs not be read back.
        return Value(operand if type(operand) in _SCALARS else json.loads(written), written)
    except InvalidDocument:
        pass
    try:
        return Value(json.loads(_values.to_json(operand, key, "replace")), None)
    except InvalidDocument as error:
        what = f"{operator} expects a value that a document can hold, {quoted(error.path, 200)} is none"
        raise FilterError(f"{what}: {error.reason}") from None


def _number(operand: Decimal, operator: str, key: str) -> Value:
    try:
        written = _values.number(operand, key)
    except InvalidDocument as error:
        raise FilterError(f"{operator} under {quoted(key)} expects a number: {error.reason}") from None
    number = json.loads(written)
    # With a fraction, and larger than a double.
    return Value(number if abs(number) != math.inf else int(operand), written)


def _forms(operand: Any, operator: str, key: str) -> list[Value]:
    """Return the values that equal an operand: a decimal is a number, and the text as which it would be stored."""
    forms = [operand, str(operand)] if isinstance(operand, Decimal) and key not in REFERENCES else [operand]
    return [_value(each, operator, key) for each in forms]


# --- operators ----------------------------------------------------------------------------------------------------


_PARTS = Field(CONTENT, (CONTENT,), in_parts=True)


def _clause(field: Field, name: Any, values: Sequence[Value]) -> Node:
    """Return the clause for some values; of a content, lists and objects are compared with its parts."""
    parts = [value for value in values if isinstance(value.plain, list | dict)] if field.key == CONTENT else []
    if not parts:
        return Clause(field, name, values)
    texts = [value for value in values if not isinstance(value.plain, list | dict)]
    in_parts = Clause(_PARTS, name, parts)
    return Either([Clause(field, name, texts), in_parts]) if texts else in_parts


def _one(field: Field, name: Any, operand: Any) -> Node:
    return Clause(field, name, [_value(operand, name, field.key)])


def _equal(field: Field, name: str, operand: Any) -> Node:
    forms = _forms(operand, name, field.key)
    return _clause(field, "$in" if len(forms) > 1 else "$eq", forms)


def _contains(field: Field, name: str, operand: Any) -> Node:
    return Either([_clause(field, "$contains", [form]) for form in _forms(operand, name, field.key)])


def _in(field: Field, name: str, operand: Any) -> Node:
    if not isinstance(operand, list | tuple | set | frozenset):
        raise _wrong(f"{name} under {quoted(field.key)}", f"a list of values, {{'{name}': [...]}}", operand)
    forms = [_forms(each, name, field.key) for each in cast("Iterable[Any]", operand)]
    return _clause(field, "$in", [form for each in forms for form in each])


_WILDCARD = {"$exists": True}
_OF_LISTS: Mapping[str, Any] = {"$prefix": "$first", "$suffix": "$last"}


def _affix(field: Field, name: Any, operand: Any) -> Node:
    if isinstance(_values.as_text(operand), str):
        return Clause(field, name, [_value(operand, name, field.key)])
    if not isinstance(operand, list | tuple) or field.key in REFERENCES:
        raise _wrong(f"{name} under {quoted(field.key)}", "a text, or the elements of a list", operand)
    parts = [ANY if each == _WILDCARD else _value(each, name, field.key) for each in cast("Sequence[object]", operand)]
    return Clause(_PARTS if field.key == CONTENT else field, _OF_LISTS[name], parts)


def _exists(field: Field, name: str, operand: Any) -> Node:
    if not isinstance(operand, bool):
        raise _wrong(f"{name} under {quoted(field.key)}", "True or False", operand)
    found = Clause(field, "$exists")
    return found if operand else Not(found)


def _unequal(field: Field, name: str, operand: Any) -> Node:
    return Not(_equal(field, name, operand))


_OPERATORS: Mapping[str, Callable[[Field, str, Any], Node]] = {
    "$eq": _equal,
    "$ne": _unequal,
    "$gt": _one,
    "$gte": _one,
    "$lt": _one,
    "$lte": _one,
    "$in": _in,
    "$nin": lambda field, name, operand: Not(_in(field, name, operand)),
    "$exists": _exists,
    "$contains": _contains,
    "$prefix": _affix,
    "$suffix": _affix,
}
