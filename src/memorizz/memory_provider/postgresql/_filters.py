"""A filter, a dict with Mongo's operators, becomes one SQL condition on the rows of a store.

    {"memory_id": "m1", "metadata.topic": "tea", "importance_score": {"$gt": 0.5}}

becomes, with three parameters f0, f1 and f2,

    (d."memory_id" = %(f0)s::text AND d."metadata" @> %(f1)s::jsonb AND d."importance_score" > %(f2)s::float8)

Three rules keep this short and safe:

- A key or a value of the caller's is always a parameter, so that one shape of filter is one statement.
- What can match nothing (a text for a number's column, a NUL in a text) is bound as NULL, because a comparison with
  NULL is never true. A condition that is NULL says no, and AND and OR pass that on. Only a complement has to spell it
  out: `IS NOT TRUE`.
- A comparison with a column stays plain, so that an index on the column serves it. On JSON, equality is containment
  where that means the same, so that an index on the JSON serves it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from psycopg import sql

from memorizz.errors import FilterError, InvalidDocument
from memorizz.memory_provider.postgresql import _stores, _values
from memorizz.memory_provider.postgresql._stores import Kind

_MAX_DEPTH = 64
# The protocol counts parameters in 16 bits, and the statement around the condition has some of its own.
_MAX_PARAMETERS = 32_000
# No document is nested deeper than this, so that a longer path is a missing key.
_MAX_PATH = 256


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on the table alias `d`, and its parameters.

    It can stand beside AND as it is. Where it is NULL the row does not match.
    """

    sql: str
    parameters: Mapping[str, Any]


def condition(filter: Mapping[str, Any] | None) -> Condition:
    """Return the condition that holds for the rows whose documents match `filter`; no filter matches all."""
    bind = _Bind()
    return Condition(_filter({} if filter is None else filter, "the filter", bind, 0), bind)


class _Bind(dict[str, Any]):
    """The parameters of a condition by their names f0, f1, ...; a call keeps a value and returns its placeholder."""

    def __call__(self, value: Any, type: str) -> str:
        if len(self) >= _MAX_PARAMETERS:
            raise FilterError(f"the filter has more than {_MAX_PARAMETERS} values; list values of one key in one $in")
        name = f"f{len(self)}"
        self[name] = value
        # The server cannot always infer the type, and a prepared statement must not change it.
        return f"%({name})s::{type}"


# --- filters and logic --------------------------------------------------------------------------------------------


def _all(parts: Sequence[str]) -> str:
    return f"({' AND '.join(parts)})" if len(parts) > 1 else "".join(parts) or "TRUE"


def _any(parts: Sequence[str]) -> str:
    return f"({' OR '.join(parts)})" if len(parts) > 1 else parts[0]


def _complement(part: str) -> str:
    return f"({part}) IS NOT TRUE"


_LOGIC: Mapping[str, Callable[[Sequence[str]], str]] = {
    "$and": _all,
    "$or": _any,
    "$nor": lambda parts: _complement(_any(parts)),
}


def _filter(filter: Any, where: str, bind: _Bind, depth: int) -> str:
    if not isinstance(filter, Mapping):
        raise _wrong(where, "a dict such as {'name': 'Ada'}", filter)
    if depth > _MAX_DEPTH:
        raise FilterError(f"the filter is nested more than {_MAX_DEPTH} levels deep, or in itself; flatten it")
    clauses = cast("Mapping[Any, Any]", filter).items()
    return _all([_clause(key, operand, bind, depth) for key, operand in clauses])


def _clause(key: Any, operand: Any, bind: _Bind, depth: int) -> str:
    if not isinstance(key, str):
        raise _wrong("a key of the filter", "a str", key)
    if key in _LOGIC:
        if not isinstance(operand, list | tuple) or not operand:
            raise _wrong(key, f"a list of at least one filter, {{'{key}': [{{'name': 'Ada'}}, ...]}}", operand)
        filters = cast("Sequence[Any]", operand)
        return _LOGIC[key]([_filter(each, f"each filter in {key}", bind, depth + 1) for each in filters])
    if key == "$not":
        return _complement(_filter(operand, key, bind, depth + 1))
    if key.startswith("$"):
        raise _unknown(key, "beside keys", [*_LOGIC, "$not"])
    return _under(key, _operators(key, operand), bind, depth)


def _operators(key: str, operand: Any) -> Mapping[str, Any]:
    """Return the operators under a key; a value stands for `$eq`."""
    names = list(cast("Mapping[Any, Any]", operand)) if isinstance(operand, Mapping) else []
    plain = [name for name in names if not (isinstance(name, str) and name.startswith("$"))]
    if len(plain) == len(names):
        return {"$eq": operand}
    if plain:
        raise FilterError(
            f"{key!r} mixes operators with the plain key {plain[0]!r}; expected operators only, or a whole object: "
            "to compare with an object that has such keys use $eq"
        )
    return cast("Mapping[str, Any]", operand)


def _under(key: str, operators: Mapping[str, Any], bind: _Bind, depth: int) -> str:
    parts: list[str] = []
    for name, operand in operators.items():
        if name == "$not":
            if _operators(key, operand) is not operand:
                raise _wrong(f"$not under {key!r}", "operators such as {'$gt': 5}; to exclude a value use $ne", operand)
            parts.append(_complement(_filter({key: operand}, name, bind, depth + 1)))
        elif name in _OPERATORS:
            parts.append(_OPERATORS[name](_field(key, name), name, operand, bind))
        else:
            raise _unknown(name, f"under {key!r}", [*_OPERATORS, "$not"])
    return _all(parts)


def _wrong(where: str, expected: str, got: Any) -> FilterError:
    empty = "an empty" if isinstance(got, Sized) and not len(got) else "a"
    return FilterError(f"{where} expects {expected}; got {empty} {type(cast(object, got)).__name__}")


def _unknown(operator: str, where: str, known: Iterable[str]) -> FilterError:
    return FilterError(f"unknown operator {operator} {where}; expected one of {', '.join(known)}")


# --- values -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Value:
    """A value to compare with, as JSON gives it back, and its JSON: None for a text that no document can hold."""

    plain: Any
    json: str | None


def _value(operand: Any, operator: str, key: str) -> _Value:
    try:
        written = _values.to_json(operand, key)
        return _Value(json.loads(written), written)
    except InvalidDocument:
        pass
    try:
        return _Value(json.loads(_values.to_json(operand, key, "replace")), None)
    except InvalidDocument as error:
        what = f"{operator} expects a value that a document can hold, {error.path!r} is none"
        raise FilterError(f"{what}: {error.reason}") from None


def _as_text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _as_number(value: Any) -> Decimal | None:
    return Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _as_double(value: Any) -> float | None:
    number = _as_number(value)
    # A Decimal too large for a float becomes infinity, as which it still compares rightly.
    return None if number is None else float(number)


def _as_time(value: Any) -> Any:
    try:
        return _values.time(value, "")
    except InvalidDocument:
        return None


def _as_id(value: Any) -> Any:
    name = _values.id_text(value)
    return None if name is None else _values.id_key(name)


# --- fields: what a key points at ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Column:
    """A key that has a column; `convert` makes a value comparable with it, None if it cannot be."""

    key: str
    sql: str
    type: str
    convert: Callable[[Any], Any]

    def exists(self, bind: _Bind) -> str:
        return _column_exists(self.key, self.sql, bind)

    def is_none(self, bind: _Bind) -> str:
        return f"{self.sql} IS NULL"

    def equals(self, value: _Value, bind: _Bind) -> str:
        return f"{self.sql} = {self._bound(value, bind)}"

    def is_in(self, values: Iterable[_Value], bind: _Bind) -> str:
        converted = [self.convert(value.plain) for value in values if value.json is not None]
        comparable = [value for value in converted if value is not None]
        return f"{self.sql} = ANY({bind(comparable, f'{self.type}[]')})"

    def compares(self, sign: str, value: _Value, bind: _Bind) -> str:
        # The order of texts must be the same on every server: by code point.
        collation = ' COLLATE "C"' if self.type == "text" else ""
        return f"{self.sql}{collation} {sign} {self._bound(value, bind)}"

    def contains(self, value: _Value, bind: _Bind) -> str:
        return f"strpos({self.sql}, {self._bound(value, bind)}) > 0" if self.type == "text" else "FALSE"

    def _bound(self, value: _Value, bind: _Bind) -> str:
        return bind(None if value.json is None else self.convert(value.plain), self.type)


@dataclass(frozen=True, slots=True)
class _Json:
    """A key inside a JSONB column; `path` leads to it, and a None in it leads to nothing."""

    key: str
    column: str
    path: Sequence[str | None]

    def exists(self, bind: _Bind) -> str:
        return f"{self._at(bind)} IS NOT NULL" if self.path else _column_exists(self.key, self.column, bind)

    def is_none(self, bind: _Bind) -> str:
        return f"coalesce(jsonb_typeof({self._at(bind)}), 'null') = 'null'"

    def equals(self, value: _Value, bind: _Bind) -> str:
        if self._is_containment([value]):
            return f"{self.column} @> {bind(self._around(value), 'jsonb')}"
        return f"{self._at(bind)} = {bind(value.json, 'jsonb')}"

    def is_in(self, values: Sequence[_Value], bind: _Bind) -> str:
        if self._is_containment(values):
            return f"{self.column} @> ANY({bind([self._around(value) for value in values], 'jsonb[]')})"
        return f"{self._at(bind)} = ANY({bind([value.json for value in values], 'jsonb[]')})"

    def compares(self, sign: str, value: _Value, bind: _Bind) -> str:
        at = self._at(bind)
        if isinstance(value.plain, str):
            text = bind(value.json and value.plain, "text")
            return f"(jsonb_typeof({at}) = 'string' AND ({at} #>> '{{}}') COLLATE \"C\" {sign} {text})"
        ordered = isinstance(value.plain, bool | int | float)
        bound = bind(value.json if ordered else None, "jsonb")
        return f"(jsonb_typeof({at}) = jsonb_typeof({bound}) AND {at} {sign} {bound})"

    def contains(self, value: _Value, bind: _Bind) -> str:
        at = self._at(bind)
        if isinstance(value.plain, str):
            # The operator ? looks for a key of an object and for a text in a list.
            text = bind(value.json and value.plain, "text")
            return f"({at} ? {text} OR (jsonb_typeof({at}) = 'string' AND strpos({at} #>> '{{}}', {text}) > 0))"
        if isinstance(value.plain, list | dict):
            items = f"jsonb_array_elements(CASE jsonb_typeof({at}) WHEN 'array' THEN {at} END)"
            return f"EXISTS (SELECT FROM {items} AS item (value) WHERE item.value = {bind(value.json, 'jsonb')})"
        return f"{at} @> {bind(f'[{value.json}]', 'jsonb')}"

    def _at(self, bind: _Bind) -> str:
        """Return the JSON value that the path leads to; SQL NULL where the key is missing."""
        at = self.column
        for step in self.path:
            # The operator #> takes 0 for an index or a key, but -1 and " 1" too; -> takes a text for a key only.
            at += f" #> {bind([step], 'text[]')}" if _is_index(step) else f" -> {bind(step, 'text')}"
        return f"({at})"

    def _is_containment(self, values: Iterable[_Value]) -> bool:
        """Tell whether the column contains {key: value} just where the key's value equals one of these.

        A list or an object is contained in more than what equals it, and a number in the path may index a list.
        """
        only_keys = self.path and not any(map(_is_index, self.path))
        return bool(only_keys) and not any(isinstance(value.plain, list | dict) for value in values)

    def _around(self, value: _Value) -> str | None:
        if None in self.path or value.json is None:
            return None
        keys = [json.dumps(step) for step in self.path]
        return "".join(f"{{{key}:" for key in keys) + value.json + "}" * len(keys)


_Field = _Column | _Json


def _sql_column(name: str) -> str:
    return f"d.{sql.Identifier(name).as_string()}"


def _column_exists(key: str, column: str, bind: _Bind) -> str:
    # A key that was given as None is remembered in the JSON of all other keys.
    return f"({column} IS NOT NULL OR {_DATA} ? {bind(key, 'text')})"


_DATA = _sql_column("data")
_TYPES: Mapping[Kind, tuple[str, Callable[[Any], Any]]] = {
    Kind.TEXT: ("text", _as_text),
    Kind.NUMBER: ("float8", _as_double),
    # As numeric a bigint compares exactly with any number.
    Kind.INTEGER: ("numeric", _as_number),
    Kind.TIME: ("timestamptz", _as_time),
}
_COLUMNS: Mapping[str, _Column] = {
    column.name: _Column(column.name, _sql_column(column.name), *_TYPES[column.kind])
    for column in _stores.COLUMNS.values()
    if column.kind in _TYPES
}
_EMBEDDING = _Column(_stores.EMBEDDING, _sql_column(_stores.EMBEDDING), "text", _as_text)
_ID = _Column("id", _sql_column("id"), "uuid", _as_id)
_ID_TEXT = _Column("id", f"coalesce({_DATA} ->> '{_stores.GIVEN_ID}', {_ID.sql}::text)", "text", _as_text)


def _field(key: str, operator: str) -> _Field:
    """Return what a key points at, for an operator: an id is looked up as the primary key, and compared as its text."""
    first, *rest = key.split(".")
    if first == _stores.EMBEDDING:
        if rest or operator != "$exists":
            raise FilterError(
                f"{operator} under {key!r} is not possible, expected $exists: a vector is no value to filter by; "
                "to search by it, give it as 'embedding' at the top of the query"
            )
        return _EMBEDDING
    if not rest and first in _stores.ID_KEYS:
        return _ID_TEXT if operator in _ORDERS or operator == "$contains" else _ID
    if not rest and first in _COLUMNS:
        return _COLUMNS[first]
    if first in _stores.COLUMNS and first not in _COLUMNS:
        return _Json(key, _sql_column(first), _path(rest))
    return _Json(key, _DATA, _path([first, *rest]))


def _path(steps: Sequence[str]) -> Sequence[str | None]:
    return [_step(step) for step in steps] if len(steps) <= _MAX_PATH else [None]


def _step(step: str) -> str | None:
    try:
        return _values.text(step, "")
    except InvalidDocument:
        return None


def _is_index(step: str | None) -> bool:
    return step is not None and re.fullmatch("0|[1-9][0-9]*", step) is not None


# --- operators ----------------------------------------------------------------------------------------------------

_Operator = Callable[[_Field, str, Any, _Bind], str]


def _equals(field: _Field, name: str, operand: Any, bind: _Bind) -> str:
    value = _value(operand, name, field.key)
    return field.is_none(bind) if value.plain is None else field.equals(value, bind)


def _is_in(field: _Field, name: str, operand: Any, bind: _Bind) -> str:
    if not isinstance(operand, list | tuple | set | frozenset):
        raise _wrong(f"{name} under {field.key!r}", f"a list of values, {{'{name}': [...]}}", operand)
    values = [_value(each, name, field.key) for each in cast("Iterable[Any]", operand)]
    found = field.is_in(values, bind)
    return _any([found, field.is_none(bind)]) if any(value.plain is None for value in values) else found


def _exists(field: _Field, name: str, operand: Any, bind: _Bind) -> str:
    if not isinstance(operand, bool):
        raise _wrong(f"{name} under {field.key!r}", "True or False", operand)
    return field.exists(bind) if operand else _complement(field.exists(bind))


def _contains(field: _Field, name: str, operand: Any, bind: _Bind) -> str:
    return field.contains(_value(operand, name, field.key), bind)


def _compares(field: _Field, name: str, operand: Any, bind: _Bind) -> str:
    return field.compares(_ORDERS[name], _value(operand, name, field.key), bind)


def _not(operator: _Operator) -> _Operator:
    return lambda field, name, operand, bind: _complement(operator(field, name, operand, bind))


_ORDERS: Mapping[str, str] = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_OPERATORS: Mapping[str, _Operator] = {
    "$eq": _equals,
    "$ne": _not(_equals),
    **dict.fromkeys(_ORDERS, _compares),
    "$in": _is_in,
    "$nin": _not(_is_in),
    "$exists": _exists,
    "$contains": _contains,
}
