"""A filter becomes one SQL condition on the rows of a store.

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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any

from psycopg import sql

from memorizz.errors import FilterError, InvalidDocument
from memorizz.memory_provider import _values
from memorizz.memory_provider._documents import EMBEDDING, KEYS, Kind
from memorizz.memory_provider._filters import ANY, All, Clause, Either, Field, Node, Not, Value, parsed
from memorizz.memory_provider.postgresql.facts import Store
from memorizz.memory_provider.postgresql.rows import GIVEN_ID
from memorizz.memory_provider.postgresql.sql.vectors import embedding_of
from memorizz.memory_provider.scopes import MEMORY

# The protocol counts parameters in 16 bits, and the statement around the condition has some of its own.
_MAX_PARAMETERS = 32_000


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on the table alias `d`, and its parameters.

    It can stand beside AND as it is. Where it is NULL the row does not match.
    """

    sql: str
    parameters: Mapping[str, Any]
    held: Held = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True)
class Held:
    """What every row that matches a condition has: a memory; in its JSON, one of some objects. None says nothing."""

    memory: str | None = None
    data: Sequence[str] | None = None
    metadata: Sequence[str] | None = None


_NOTHING = Held()


def condition(filter: Mapping[str, Any] | None, store: Store | None = None) -> Condition:
    """Return the condition that holds for the rows of a store whose documents match `filter`; no filter matches all.

    Without a store it is for one that has its vectors where all have them at first.
    """
    if isinstance(filter, dict) and len(filter) <= _FEW:
        items = tuple(filter.items())
        for key, value in items:
            if not (type(key) is type(value) is str and len(key) + len(value) <= _SHORT):
                break
        else:
            return _of_texts(items)
    return _condition(filter, store)


# The same memory, conversation or role is asked for again and again; a page of text is not, and would fill the memory.
_FEW, _SHORT = 8, 256


@lru_cache(maxsize=1024)
def _of_texts(items: tuple[tuple[str, str], ...]) -> Condition:
    # No text equals a vector, so that it is the same for every store.
    return _condition(dict(items), None)


def _condition(filter: Mapping[str, Any] | None, store: Store | None) -> Condition:
    bind, node = Bind(), parsed(filter)
    return Condition(_sql(node, bind, store), bind, _held(node))


def _together(node: Node) -> Iterator[Clause]:
    """Yield the clauses that all hold."""
    if isinstance(node, Clause):
        yield node
    elif isinstance(node, All):
        for part in node.parts:
            yield from _together(part)


def _held(node: Node) -> Held:
    """Return what the clauses say that stand together at the top of a filter; nothing where an id says more."""
    memory: str | None = None
    objects: dict[str, list[str]] = {}
    single: dict[str, list[str]] = {}
    for clause in _together(node):
        if clause.operator not in ("$eq", "$in"):
            continue
        at = place_of(clause.field, clause.operator)
        if at is _ID:
            return _NOTHING
        if isinstance(at, JsonPlace):
            contained = at.contained(clause.values)
            if clause.operator == "$eq" and contained:
                single.setdefault(at.column, []).extend(contained)
            elif contained is not None:
                objects[at.column] = contained
        elif at.key == MEMORY and clause.operator == "$eq" and clause.values[0].json is not None:
            memory = _as_text(clause.values[0].plain)
    # One object with all keys; of a key that is there twice, the last counts, and says less than both.
    objects |= {column: [f"{{{','.join(each[1:-1] for each in all)}}}"] for column, all in single.items()}
    return Held(memory, objects.get(_DATA), objects.get(_METADATA)) if memory or objects else _NOTHING


class Bind(dict[str, Any]):
    """The parameters of a condition by their names f0, f1, ...; a call keeps a value and returns its placeholder."""

    def __init__(self, prefix: str = "f") -> None:
        super().__init__()
        self.prefix = prefix

    def __call__(self, value: Any, type: str) -> str:
        if len(self) >= _MAX_PARAMETERS:
            raise FilterError(f"the filter has more than {_MAX_PARAMETERS} values; list values of one key in one $in")
        name = f"{self.prefix}{len(self)}"
        self[name] = value
        # The server cannot always infer the type, and a prepared statement must not change it.
        return f"%({name})s::{type}"


def _sql(node: Node, bind: Bind, store: Store | None) -> str:
    match node:
        case All(parts):
            return _all([_sql(part, bind, store) for part in parts])
        case Either(parts):
            return _any([_sql(part, bind, store) for part in parts])
        case Not(part):
            return f"({_sql(part, bind, store)}) IS NOT TRUE"
        case Clause(field, operator, values):
            return _clause(place_of(field, operator, store), operator, values, bind)


def _all(parts: Sequence[str]) -> str:
    return f"({' AND '.join(parts)})" if len(parts) > 1 else "".join(parts) or "TRUE"


def _any(parts: Sequence[str]) -> str:
    return f"({' OR '.join(parts)})" if len(parts) > 1 else parts[0]


def _clause(at: _Place, operator: str, values: Sequence[Value], bind: Bind) -> str:
    if operator == "$exists":
        return at.exists(bind)
    if operator == "$in":
        found = at.is_in(values, bind)
        return _any([found, at.is_none(bind)]) if any(value.plain is None for value in values) else found
    if operator == "$contains":
        return at.contains(values[0], bind)
    if operator in ("$prefix", "$suffix"):
        return at.affix(operator, values[0], bind)
    if operator in ("$first", "$last"):
        return at.part_of_list(operator, values, bind)
    if operator == "$eq":
        return at.is_none(bind) if values[0].plain is None else at.equals(values[0], bind)
    return at.compares(_SIGNS[operator], values[0], bind)


# Whether the first begins or ends with the second.
_AFFIX = {"$prefix": "{0} ^@ {1}", "$suffix": "right({0}, length({1})) = {1}"}
_NO_STEPS = "'{}'"
_SIGNS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


# --- values -------------------------------------------------------------------------------------------------------


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


# --- places: what a field is in a row ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Column:
    """A key that has a column; `convert` makes a value comparable with it, None if it cannot be."""

    key: str
    sql: str
    type: str
    convert: Callable[[Any], Any]

    def exists(self, bind: Bind) -> str:
        return _column_exists(self.key, self.sql, bind)

    def is_none(self, bind: Bind) -> str:
        return f"{self.sql} IS NULL"

    def equals(self, value: Value, bind: Bind) -> str:
        return f"{self.sql} = {self._bound(value, bind)}"

    def is_in(self, values: Iterable[Value], bind: Bind) -> str:
        converted = [self.convert(value.plain) for value in values if value.json is not None]
        comparable = [value for value in converted if value is not None]
        return f"{self.sql} = ANY({bind(comparable, f'{self.type}[]')})"

    @property
    def ordered(self) -> str:
        # The order of texts must be the same on every server: by code point.
        return f'{self.sql} COLLATE "C"' if self.type == "text" else self.sql

    def compares(self, sign: str, value: Value, bind: Bind) -> str:
        return f"{self.ordered} {sign} {self._bound(value, bind)}"

    def contains(self, value: Value, bind: Bind) -> str:
        return f"strpos({self.sql}, {self._bound(value, bind)}) > 0" if self.type == "text" else "FALSE"

    def affix(self, operator: str, value: Value, bind: Bind) -> str:
        return _AFFIX[operator].format(self.sql, self._bound(value, bind)) if self.type == "text" else "FALSE"

    def part_of_list(self, operator: str, values: Sequence[Value], bind: Bind) -> str:
        return "FALSE"

    def _bound(self, value: Value, bind: Bind) -> str:
        return bind(None if value.json is None else self.convert(value.plain), self.type)


@dataclass(frozen=True, slots=True)
class JsonPlace:
    """A key inside a JSONB column; `path` leads to it, and a None in it leads to nothing."""

    key: str
    column: str
    path: Sequence[str | None]

    def exists(self, bind: Bind) -> str:
        return f"{self.at(bind)} IS NOT NULL" if self.path else _column_exists(self.key, self.column, bind)

    def is_none(self, bind: Bind) -> str:
        return f"coalesce(jsonb_typeof({self.at(bind)}), 'null') = 'null'"

    def equals(self, value: Value, bind: Bind) -> str:
        if self._is_containment([value]):
            return f"{self.column} @> {bind(self._around(value), 'jsonb')}"
        return f"{self.at(bind)} = {bind(value.json, 'jsonb')}"

    def is_in(self, values: Sequence[Value], bind: Bind) -> str:
        if self._is_containment(values):
            return f"{self.column} @> ANY({bind([self._around(value) for value in values], 'jsonb[]')})"
        return f"{self.at(bind)} = ANY({bind([value.json for value in values], 'jsonb[]')})"

    def contained(self, values: Sequence[Value]) -> list[str] | None:
        """Return the objects one of which the column contains where the key has one of the values; None if unknown."""
        if any(value.plain is None for value in values) or not self._is_containment(values):
            return None
        return [each for value in values if (each := self._around(value)) is not None]

    def compares(self, sign: str, value: Value, bind: Bind) -> str:
        at = self.at(bind)
        if isinstance(value.plain, str):
            text = bind(value.json and value.plain, "text")
            return f"(jsonb_typeof({at}) = 'string' AND ({at} #>> '{{}}') COLLATE \"C\" {sign} {text})"
        ordered = isinstance(value.plain, bool | int | float)
        bound = bind(value.json if ordered else None, "jsonb")
        return f"(jsonb_typeof({at}) = jsonb_typeof({bound}) AND {at} {sign} {bound})"

    def contains(self, value: Value, bind: Bind) -> str:
        at = self.at(bind)
        if isinstance(value.plain, str):
            # The operator ? looks for a key of an object and for a text in a list.
            text = bind(value.json and value.plain, "text")
            return f"({at} ? {text} OR (jsonb_typeof({at}) = 'string' AND strpos({at} #>> '{{}}', {text}) > 0))"
        if isinstance(value.plain, list | dict):
            items = f"jsonb_array_elements(CASE jsonb_typeof({at}) WHEN 'array' THEN {at} END)"
            return f"EXISTS (SELECT FROM {items} AS item (value) WHERE item.value = {bind(value.json, 'jsonb')})"
        return f"{at} @> {bind(f'[{value.json}]', 'jsonb')}"

    def affix(self, operator: str, value: Value, bind: Bind) -> str:
        at = self.at(bind)
        text = bind(value.json and value.plain, "text")
        return f"(jsonb_typeof({at}) = 'string' AND {_AFFIX[operator].format(f'({at} #>> {_NO_STEPS})', text)})"

    def part_of_list(self, operator: str, values: Sequence[Value], bind: Bind) -> str:
        known = [value for value in values if value is not ANY]
        together = Value([], f"[{','.join(value.json for value in known if value.json is not None)}]")
        # An index on the JSON serves the first of them.
        parts = [f"{self.column} @> {bind(self._around(together), 'jsonb')}"] if known and self._has_only_keys() else []
        at = self.at(bind)
        parts.append(f"jsonb_typeof({at}) = 'array'")
        for place, value in enumerate(values, 0 if operator == "$first" else -len(values)):
            found = "IS NOT NULL" if value is ANY else f"= {bind(value.json, 'jsonb')}"
            parts.append(f"{at} -> {place} {found}")
        return _all(parts)

    def at(self, bind: Bind) -> str:
        """Return the JSON value that the path leads to; SQL NULL where the key is missing."""
        at = self.column
        for step in self.path:
            # The operator #> takes 0 for an index or a key, but -1 and " 1" too; -> takes a text for a key only.
            at += f" #> {bind([step], 'text[]')}" if _is_index(step) else f" -> {bind(step, 'text')}"
        return f"({at})"

    def _is_containment(self, values: Iterable[Value]) -> bool:
        """Tell whether the column contains {key: value} just where the key's value equals one of these.

        A list or an object is contained in more than what equals it, and a number in the path may index a list.
        """
        return self._has_only_keys() and not any(isinstance(value.plain, list | dict) for value in values)

    def _has_only_keys(self) -> bool:
        return bool(self.path) and not any(map(_is_index, self.path))

    def _around(self, value: Value) -> str | None:
        if None in self.path or value.json is None:
            return None
        keys = [json.dumps(step) for step in self.path]
        return "".join(f"{{{key}:" for key in keys) + value.json + "}" * len(keys)


_Place = _Column | JsonPlace


def _sql_column(name: str) -> str:
    return f"d.{sql.Identifier(name).as_string()}"


def _column_exists(key: str, column: str, bind: Bind) -> str:
    # A key that was given as None is remembered in the JSON of all other keys.
    return f"({column} IS NOT NULL OR {_DATA} ? {bind(key, 'text')})"


_DATA, _METADATA = _sql_column("data"), _sql_column("metadata")
_TYPES: Mapping[Kind, tuple[str, Callable[[Any], Any]]] = {
    Kind.TEXT: ("text", _as_text),
    Kind.NUMBER: ("float8", _as_double),
    # As numeric a bigint compares exactly with any number.
    Kind.INTEGER: ("numeric", _as_number),
    Kind.TIME: ("timestamptz", _as_time),
}
_COLUMNS: Mapping[str, _Column] = {
    column.name: _Column(column.name, _sql_column(column.name), *_TYPES[column.kind])
    for column in KEYS.values()
    if column.kind in _TYPES
}
_ID = _Column("id", _sql_column("id"), "uuid", _as_id)
_ID_TEXT = _Column("id", f"coalesce({_DATA} ->> '{GIVEN_ID}', {_ID.sql}::text)", "text", _as_text)


def place_of(field: Field, operator: str, store: Store | None = None) -> _Place:
    """Return where a field is, for an operator: an id is looked up as the primary key, and compared as its text."""
    if field.name == EMBEDDING:
        vectors = _sql_column(EMBEDDING) if store is None else embedding_of(store)
        return _Column(EMBEDDING, vectors, "text", _as_text)
    if field.is_id:
        return _ID if operator in ("$eq", "$in", "$exists") else _ID_TEXT
    name = field.name
    if name in _COLUMNS and not field.path and not field.in_parts:
        return _COLUMNS[name]
    if name in KEYS and name not in _COLUMNS:
        return JsonPlace(field.key, _sql_column(name), field.path)
    return JsonPlace(field.key, _DATA, field.steps)


def _is_index(step: str | None) -> bool:
    return step is not None and re.fullmatch("0|[1-9][0-9]*", step) is not None
