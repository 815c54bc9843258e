"""A filter becomes a query that MongoDB matches just the same documents with.

    {"memory_id": "m1", "metadata.topic": "tea"}

becomes

    {"$and": [{"memory_id": {"$eq": "m1"}}, {"$expr": <metadata's topic equals "tea">}]}

MongoDB's own operators look into lists, stop at other kinds and take dots for paths into every element, so a key is
compared by an expression, which takes its value as it is. Only where both mean the same, for keys that hold a text or a
time and for ids, the plain operator is used, so that an index serves it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, cast

from memorizz.errors import FilterError, InvalidDocument
from memorizz.memory_provider import _values
from memorizz.memory_provider._documents import EMBEDDING, ID_KEYS, KEYS, Kind
from memorizz.memory_provider._filters import ANY, All, Clause, Either, Field, Node, Not, Value, parsed
from memorizz.memory_provider.mongodb._bson import (
    LARGE,
    escaped,
    id_keys,
    is_native,
    sortable,
    split,
)
from memorizz.memory_provider.mongodb._steps import Filter
from memorizz.memory_provider.mongodb._stores import MICROSECONDS, PARTS

Expression = Any

_ALL: Filter = {}
_NOTHING: Filter = {"$expr": False}
# The server parses filters up to 100 levels deep, of which the pipeline around this one takes some.
_MAX_DEPTH = 90


def condition(filter: Mapping[str, Any] | None) -> Filter:
    """Return the query for the records whose documents match `filter`; no filter matches all."""
    query = _query(parsed(filter))
    if _depth(query) > _MAX_DEPTH:
        raise FilterError(
            "the filter, or a value in it, is nested deeper than MongoDB takes: flatten it, or ask for less"
        )
    return query


def equalities(filter: Mapping[str, Any], keys: frozenset[str]) -> Filter:
    """Return what of a filter says that one of some keys equals a text: what an index on them can serve by itself."""
    tree = parsed(filter)
    clauses = [part for part in _flat(tree.parts, All) if isinstance(part, Clause)] if isinstance(tree, All) else []
    return {
        clause.field.key: {"$eq": clause.values[0].plain}
        for clause in clauses
        if clause.operator == "$eq"
        and clause.field.key in keys
        and _comparable(Kind.TEXT, clause.values[0]) is not None
    }


def _query(node: Node) -> Filter:
    match node:
        case All(parts):
            queries = [query for query in map(_query, _flat(parts, All)) if query]
            return {"$and": queries} if len(queries) > 1 else queries[0] if queries else _ALL
        case Either(parts):
            return {"$or": [_query(part) for part in _flat(parts, Either)]}
        case Not(part):
            inner = part.parts[0] if isinstance(part, All) and len(part.parts) == 1 else part
            return _query(inner.part) if isinstance(inner, Not) else {"$nor": [_query(inner)]}
        case Clause(field, operator, values):
            return _clause(field, operator, values)


def _flat(parts: Sequence[Node], kind: type[All | Either]) -> list[Node]:
    """Return the parts of a node, with those of parts of the same kind in their place."""
    flat: list[Node] = []
    for part in parts:
        single = isinstance(part, All | Either) and len(part.parts) == 1
        if isinstance(part, All | Either) and (single or isinstance(part, kind)):
            flat += _flat(part.parts, kind)
        else:
            flat.append(part)
    return flat


def _depth(query: Any) -> int:
    deepest, level = 0, [query]
    while level:
        deepest += 1
        level = [item for each in level for item in _inside(each)]
    return deepest


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).values()
    return cast("list[Any]", value) if isinstance(value, list) else ()


def _clause(field: Field, operator: str, values: Sequence[Value]) -> Filter:
    plain = _plain(field, operator, values)
    if plain is not None:
        return plain
    key = KEYS.get(field.name)
    if key is not None and key.kind is Kind.NUMBER and not field.path:
        values = [_as_double(value) for value in values]
    expression = _OPERATORS[operator](value_at(field), values)
    return _NOTHING if expression is False else {"$expr": expression}


def _as_double(value: Value) -> Value:
    """Return a number as a key in double precision would hold it."""
    if isinstance(value.plain, int) and not isinstance(value.plain, bool):
        with suppress(OverflowError):
            return Value(float(value.plain), value.json)
    return value


# --- keys that a plain operator compares rightly ------------------------------------------------------------------


def _plain(field: Field, operator: str, values: Sequence[Value]) -> Filter | None:
    """Return the query by MongoDB's own operators, or None where these mean something else."""
    if operator in _BY_EXPRESSION or field.in_parts:
        return None
    if field.name == EMBEDDING:
        return {EMBEDDING: {"$type": ["array", "binData"]}}
    if field.is_id:
        return _of_id(operator, values)
    key = KEYS.get(field.name)
    if key is None or field.path or key.kind not in (Kind.TEXT, Kind.TIME) or operator == "$exists":
        return None
    if operator in ("$eq", "$in"):
        return _equals(key.name, key.kind, values)
    bound = _comparable(key.kind, values[0])
    if bound is None:
        return _NOTHING
    return _compares_time(key.name, operator, bound) if key.kind is Kind.TIME else {key.name: {operator: bound}}


_BY_EXPRESSION = ("$contains", "$prefix", "$suffix", "$first", "$last")


def _of_id(operator: str, values: Sequence[Value]) -> Filter | None:
    if operator == "$exists":
        return _ALL
    if operator not in ("$eq", "$in"):
        return None
    names = [value.plain for value in values if isinstance(value.plain, str) and value.json is not None]
    return {"_id": {"$in": [key for name in names for key in id_keys(name)]}}


def _equals(name: str, kind: Kind, values: Sequence[Value]) -> Filter:
    """Return the query for the key `name` to equal one of some values, None standing for a missing key too."""
    none = any(value.plain is None for value in values)
    bounds = [bound for value in values if (bound := _comparable(kind, value)) is not None]
    if kind is Kind.TEXT:
        texts = [*bounds, None] if none else bounds
        return {name: {"$eq": texts[0]} if len(texts) == 1 else {"$in": texts}}
    either: list[Filter] = [{name: None}] if none else []
    for bound in bounds:
        moment, rest = split(bound)
        either.append({name: moment, f"{MICROSECONDS}.{name}": rest or {"$in": [0, None]}})
    return {"$or": either} if either else _NOTHING


def _comparable(kind: Kind, value: Value) -> Any:
    """Return a value as a key of a kind holds it, or None where it cannot."""
    if value.json is None:
        return None
    if kind is Kind.TIME:
        try:
            return _values.time(value.plain, "")
        except InvalidDocument:
            return None
    return value.plain if isinstance(value.plain, str) else None


def _compares_time(name: str, operator: str, bound: datetime) -> Filter:
    """Return the query for a time, whose microseconds stand apart, and are missing where they are 0."""
    moment, rest = split(bound)
    rests = f"{MICROSECONDS}.{name}"
    above, below = operator in ("$gt", "$gte"), operator in ("$lt", "$lte")
    further = {name: {"$gt" if above else "$lt": moment}}
    if operator in ("$gte", "$lt") and rest == 0:
        return {name: {operator: moment}}
    last = {"$gte" if operator in ("$gte", "$lt") else "$gt": rest}
    within = {name: moment, rests: {"$not": last} if below else last}
    return {"$or": [further, within]}


# --- values as expressions ----------------------------------------------------------------------------------------


def value_at(field: Field) -> Expression:
    """Return the value that a key points at; missing where it points at nothing."""
    if field.is_id:
        return {"$convert": {"input": "$_id", "to": "string", "onError": None}}
    if field.name in ID_KEYS or None in field.steps:
        return "$$REMOVE"
    first = escaped(field.name)
    # A path cannot name the empty key.
    value: Any = f"${first}" if first else {"$getField": {"field": {"$literal": ""}, "input": "$$ROOT"}}
    if field.in_parts:
        # Another program keeps the parts under the key itself.
        value = {"$ifNull": [f"${PARTS}", value]}
    if not field.path:
        return value
    steps = [{"key": escaped(cast(str, step)), "index": _index(cast(str, step))} for step in field.path]
    return {"$reduce": {"input": {"$literal": steps}, "initialValue": value, "in": _STEP}}


def _index(step: str) -> int | None:
    return int(step) if re.fullmatch("0|[1-9][0-9]{0,8}", step) else None


def is_type(value: Expression, *types: str) -> Expression:
    return {"$in": [{"$type": value}, list(types)]}


_FOUND = {
    "$first": {
        "$filter": {
            "input": {"$objectToArray": "$$value"},
            "as": "pair",
            "cond": {"$eq": ["$$pair.k", "$$this.key"]},
        }
    }
}
# From a value to what is under a key of it, or at an index.
_STEP: Expression = {
    "$switch": {
        "branches": [
            {
                "case": {"$isArray": "$$value"},
                "then": {
                    "$cond": [
                        {"$eq": ["$$this.index", None]},
                        "$$REMOVE",
                        {"$arrayElemAt": ["$$value", "$$this.index"]},
                    ]
                },
            },
            {
                "case": is_type("$$value", "object"),
                "then": {"$let": {"vars": {"found": _FOUND}, "in": "$$found.v"}},
            },
        ],
        "default": "$$REMOVE",
    }
}


def _when(case: Expression, then: Expression) -> Expression:
    """Return an expression that is computed only where another one holds, which `$and` does not promise."""
    return {"$cond": [case, then, False]}


def literal(value: Any) -> Expression:
    """Return a value as it is, which an expression would take for a path or an operator."""
    return {"$literal": value}


# --- operators ----------------------------------------------------------------------------------------------------

_NUMBER = ("int", "long", "double", "decimal")
_NONE = ("missing", "null", "undefined")


def _exists(at: Expression, values: Sequence[Value]) -> Expression:
    return {"$ne": [{"$type": at}, "missing"]}


def _eq(at: Expression, values: Sequence[Value]) -> Expression:
    [value] = values
    if value.plain is None:
        return is_type(at, *_NONE)
    return False if value.json is None else _same(at, value.plain)


def _in(at: Expression, values: Sequence[Value]) -> Expression:
    held = [value.plain for value in values if value.json is not None]
    simple = [value for value in held if _is_simple(value) and value is not None]
    others = [value for value in held if not _is_simple(value)]
    either: list[Expression] = [{"$in": [at, literal(simple)]}] if simple else []
    if None in held:
        either.append(is_type(at, *_NONE))
    either += [_same(at, value) for value in others]
    return {"$or": either} if either else False


def _is_simple(value: Any) -> bool:
    """Return True if BSON compares a value as the contract does."""
    is_number = isinstance(value, int | float)
    return is_native(value) if is_number else not isinstance(value, list | dict)


def _same(at: Expression, value: Any) -> Expression:
    """Return whether a value equals another, whatever the order of the keys in an object."""
    if _is_simple(value):
        return {"$eq": [at, literal(value)]}
    if isinstance(value, int):
        return _compares_number("$eq", at, value)
    at_it = "$$it"
    if isinstance(value, list):
        items = cast("list[Any]", value)
        parts = [_same({"$arrayElemAt": [at_it, place]}, item) for place, item in enumerate(items)]
        size: Expression = {"$size": at_it}
        matching = _when({"$isArray": at_it}, _all({"$eq": [size, len(items)]}, parts))
    else:
        pairs = cast("dict[str, Any]", value).items()
        parts = [_same(_field(at_it, key), item) for key, item in pairs]
        size = {"$size": {"$objectToArray": at_it}}
        matching = _when(is_type(at_it, "object"), _all({"$eq": [size, len(parts)]}, parts))
    return {"$let": {"vars": {"it": at}, "in": matching}}


def _all(first: Expression, parts: list[Expression]) -> Expression:
    return {"$and": [first, *parts]}


def _field(of: Expression, key: str) -> Expression:
    return {"$getField": {"field": literal(escaped(key)), "input": of}}


def _contains(at: Expression, values: Sequence[Value]) -> Expression:
    [value] = values
    if value.json is None:
        return False
    it, plain = "$$it", value.plain
    among = {"$in": [literal(plain), it]} if _is_simple(plain) else _any_same(it, plain)
    branches = [{"case": {"$isArray": it}, "then": among}]
    if isinstance(plain, str):
        part = {"$gte": [{"$indexOfBytes": [it, literal(plain)]}, 0]}
        branches.append({"case": is_type(it, "string"), "then": part})
        branches.append({"case": is_type(it, "object"), "then": {"$ne": [{"$type": _field(it, plain)}, "missing"]}})
    return {"$let": {"vars": {"it": at}, "in": {"$switch": {"branches": branches, "default": False}}}}


def _any_same(items: Expression, value: Any) -> Expression:
    return {"$anyElementTrue": [{"$map": {"input": items, "as": "item", "in": _same("$$item", value)}}]}


def _compares(operator: str) -> Callable[[Expression, Sequence[Value]], Expression]:
    def compare(at: Expression, values: Sequence[Value]) -> Expression:
        [value] = values
        if value.json is None or not isinstance(value.plain, str | bool | int | float):
            return False
        if isinstance(value.plain, str | bool):
            kind = "string" if isinstance(value.plain, str) else "bool"
            return _when(is_type(at, kind), {operator: [at, literal(value.plain)]})
        return _compares_number(operator, at, value.plain)

    return compare


def _compares_number(operator: str, at: Expression, bound: float) -> Expression:
    """Return whether a number compares with another one; either may have more than 64 bits."""
    near = _nearest(operator, bound)
    native = near is not None and _when(is_type("$$it", *_NUMBER), {operator: ["$$it", literal(near)]})
    large = _when(is_type("$$it", "object"), _compares_large(operator, bound))
    return {"$let": {"vars": {"it": at}, "in": {"$or": [native, large]}}}


def _nearest(operator: str, bound: float) -> float | None:
    """Return the number of BSON's that parts its numbers as `bound` does; None where none of them equals it."""
    if is_native(bound):
        return bound
    try:
        near = float(bound)
    except OverflowError:
        near = math.inf if bound > 0 else -math.inf
    if near == bound:
        return near
    if operator == "$eq":
        return None
    wanted_above = operator in ("$gte", "$lt")
    if wanted_above and near < bound:
        return math.nextafter(near, math.inf)
    if not wanted_above and near > bound:
        return math.nextafter(near, -math.inf)
    return near


def _compares_large(operator: str, bound: float) -> Expression:
    """Return whether an integer that is kept as a text compares with a number."""
    whole = math.ceil(bound) if operator in ("$gte", "$lt") else math.floor(bound)
    if operator == "$eq" and whole != bound:
        return False
    held = {"$getField": {"field": literal(LARGE), "input": "$$it"}}
    return _when(is_type(held, "string"), {operator: [held, literal(sortable(whole))]})


def _prefix(at: Expression, values: Sequence[Value]) -> Expression:
    [value] = values
    if value.json is None:
        return False
    return _when(is_type(at, "string"), {"$eq": [{"$indexOfBytes": [at, literal(value.plain)]}, 0]})


def _suffix(at: Expression, values: Sequence[Value]) -> Expression:
    [value] = values
    if value.json is None:
        return False
    # What can be told to be missing is computed beforehand, and then has no length.
    text, size = {"$ifNull": [at, ""]}, len(value.plain)
    end = {"$substrCP": [text, {"$max": [0, {"$subtract": [{"$strLenCP": text}, size]}]}, size]}
    return _when(is_type(at, "string"), {"$eq": [end, literal(value.plain)]})


def _part_of_list(begin: int) -> Callable[[Expression, Sequence[Value]], Expression]:
    def compare(at: Expression, values: Sequence[Value]) -> Expression:
        if any(value.json is None and value is not ANY for value in values):
            return False
        places = enumerate(values, begin * len(values))
        parts = [_same({"$arrayElemAt": ["$$it", place]}, each.plain) for place, each in places if each is not ANY]
        matching = _when({"$isArray": "$$it"}, _all({"$gte": [_size("$$it"), len(values)]}, parts))
        return {"$let": {"vars": {"it": at}, "in": matching}}

    return compare


def _size(items: Expression) -> Expression:
    # Of what is none it would be an error, wherever it stands.
    return {"$cond": [{"$isArray": items}, {"$size": items}, 0]}


_OPERATORS: Mapping[str, Callable[[Expression, Sequence[Value]], Expression]] = {
    "$eq": _eq,
    "$in": _in,
    "$exists": _exists,
    "$contains": _contains,
    "$prefix": _prefix,
    "$suffix": _suffix,
    "$first": _part_of_list(0),
    "$last": _part_of_list(-1),
    **{name: _compares(name) for name in ("$gt", "$gte", "$lt", "$lte")},
}
