"""What is known of a database and of a store in it, and how a document becomes a record and a record a document.

A store is a collection, a document one flat record in it, under its id. What MongoDB has no place for
stands under one key of ours, `_memorizz`: `seq`, which grows with every document stored and decides ties; `us`, the
microseconds of the times, of which a BSON date has only the milliseconds; `parts`, those of a content in parts, whose
text is in `content`, where the text index finds it; and `words`, the terms that it misses in name, role and content.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, cast

from memorizz.errors import InvalidDocument
from memorizz.memory_provider import _values
from memorizz.memory_provider._cosines import Cosines
from memorizz.memory_provider._documents import (
    CLOCKS,
    CONTENT,
    EMBEDDING,
    EXPIRES_AT,
    ID_KEYS,
    KEYS,
    PERIOD,
    Kind,
    check_period,
    fitted,
    given_id,
    is_clock,
    is_parts,
    own_items,
    text_of_parts,
    with_lifetime,
)
from memorizz.memory_provider._values import InvalidText
from memorizz.memory_provider.mongodb._bson import (
    OWN,
    as_mapping,
    decoded,
    encoded,
    escaped,
    id_keys,
    id_name,
    joined,
    split,
    unescaped,
)
from memorizz.memory_provider.mongodb._steps import Record
from memorizz.memory_provider.mongodb._words import stored_terms
from memorizz.memory_provider.scopes import EVERYTHING, Scope
from memorizz.memory_provider.stores import SEVEN, StoreSpec, unknown_store

# The key under which a field `id` is given back that differs from `_id`.
FOREIGN_ID = "foreign_id"
SEQ, MICROSECONDS, PARTS, WORDS = f"{OWN}.seq", f"{OWN}.us", f"{OWN}.parts", f"{OWN}.words"
# What is searched by words.
TEXTS = ("name", "role", CONTENT)


@dataclass(frozen=True, slots=True)
class VectorIndex:
    """An index that $vectorSearch can use, and the keys that it can filter by."""

    name: str
    filterable: frozenset[str] = frozenset()


# Compared by identity.
@dataclass(frozen=True, eq=False)
class Database:
    """What is known of a database since a provider has opened it."""

    name: str
    dimensions: int | None
    on_invalid_text: InvalidText = "error"
    # Of the words: one of MongoDB's text search languages, or "none".
    language: str = "none"
    # Whether the server can do several changes as one: a replica set or a sharded cluster.
    transactional: bool = True
    # The collections that $vectorSearch serves, and with which index; None where it is not to be used.
    vector_indexes: Mapping[str, VectorIndex] | None = None
    # Tells these collections from all others, by whatever address they are reached.
    identity: str | None = None
    scope: Scope = EVERYTHING
    # Of the vectors of the seven stores; None until there are enough to measure them.
    cosines: Cosines | None = None

    def within(self, scope: Scope) -> Database:
        """Return the same for a scope."""
        return replace(self, scope=scope)

    def store(self, name: str) -> Store:
        """Return one of the seven stores by its name; raises UnknownStore."""
        try:
            return self.stores[name]
        except (KeyError, TypeError):
            raise unknown_store(name, self.stores) from None

    @cached_property
    def stores(self) -> Mapping[str, Store]:
        """The seven stores."""
        indexes = self.vector_indexes or {}
        return {spec.name: Store(self, spec, spec.name, indexes.get(spec.name)) for spec in SEVEN}


@dataclass(frozen=True)
class Row:
    """A document on its way to its collection.

    `name` is its id as the caller knows it, `key` what it is inserted under, `keys` where it may stand already.
    `given` are the fields that it sets, `rests` the microseconds of the times among them, `merged` and `merged_rests`
    those of them that a document which exists takes too; `parts` are those of a content in parts. `is_new` says that
    the id was made for it, so that there is none.
    """

    name: str
    key: Any
    keys: list[Any]
    given: Record
    rests: dict[str, int]
    is_new: bool
    parts: Any = None

    @cached_property
    def words(self) -> dict[str, str]:
        """The terms that the text index would miss in each of its texts."""
        texts = {path: self.given[path] for path in TEXTS if path in self.given}
        return {path: stored_terms(text) if isinstance(text, str) else "" for path, text in texts.items()}

    @property
    def merged(self) -> Record:
        return {path: value for path, value in self.given.items() if path not in CLOCKS}

    @property
    def merged_rests(self) -> dict[str, int]:
        return {path: rest for path, rest in self.rests.items() if path not in CLOCKS}


@dataclass(frozen=True, eq=False)
class Store:
    """One collection, and the index of it that $vectorSearch can use."""

    database: Database
    spec: StoreSpec
    collection: str
    vector_index: VectorIndex | None = None

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def scope(self) -> Scope:
        return self.database.scope

    @property
    def dimensions(self) -> int | None:
        """How long its vectors are; None where they are of any length."""
        return self.spec.dimensions or self.database.dimensions

    def vector(self, value: Any) -> list[float]:
        """Return a vector in single precision; raises InvalidDocument or DimensionMismatch."""
        dimensions = self.dimensions
        if dimensions is None:
            # Any length is taken; what is no vector at all is told below.
            dimensions = len(value) if hasattr(value, "__len__") else 1
        single = _values.vector(value, dimensions=dimensions, store=self.name)
        return cast("list[float]", single.tolist())

    def row(self, document: Mapping[str, Any], name: str | None = None) -> Row:
        """Return the row for a document, under the id `name` or else under the document's own or a new one."""
        given: Record = {}
        rests: dict[str, int] = {}
        own = given_id(document)
        document, lifetime = with_lifetime(self.scope.document(document))
        free: dict[Any, Any] = {}
        for path, value in own_items(document):
            if not self._put(path, value, given, rests):
                free[path] = value
        if lifetime is not None:
            moment = datetime.now(UTC) + timedelta(seconds=lifetime)
            given[EXPIRES_AT], rests[EXPIRES_AT] = split(moment)
        period = [given[path] and joined(given[path], rests[path]) for path in PERIOD if path in given]
        if len(period) == len(PERIOD):
            check_period(*period)
        written = _values.to_json(free, "", self.database.on_invalid_text)
        for path, value in json.loads(written).items():
            given[escaped(path)] = encoded(value, path)
        name = name or own
        is_new = name is None
        name = name or str(_values.new_id())
        parts = self._parts(document.get(CONTENT))
        return Row(name, _key(document, name), id_keys(name), given, rests, is_new, parts)

    def _parts(self, content: Any) -> Any:
        """Return the parts of a content in parts as BSON has them, else None."""
        if not is_parts(content):
            return None
        return encoded(json.loads(_values.to_json(content, CONTENT, self.database.on_invalid_text)), CONTENT)

    def _put(self, path: Any, value: Any, given: Record, rests: dict[str, int]) -> bool:
        """Put a key that has a kind of its own where it belongs; say whether it has."""
        if path == EMBEDDING:
            given[path] = None if value is None else self.vector(value)
            return True
        key = KEYS.get(path) if isinstance(path, str) else None
        if key is None:
            return False
        if value is None:
            if not is_clock(path, self.spec):
                given[path] = None
            return True
        fit = fitted(key, value, self.database.on_invalid_text)
        if key.kind is Kind.TIME:
            given[path], rests[path] = split(fit)
        elif key.kind is Kind.OBJECT:
            given[path] = encoded(json.loads(fit), path)
        else:
            given[path] = fit
        return True

    def new_record(self, row: Row) -> Record:
        """Return what the record of a new document has before anything is merged into it: id, scope, times, place."""
        clocks = {path: (row.given[path], row.rests[path]) for path in CLOCKS if path in row.given}
        created = clocks.setdefault("created_at", split(datetime.now(UTC)))
        clocks.setdefault("updated_at", created)
        if self.spec.timeline:
            clocks["timestamp"] = created
        rests = {path: rest for path, (_, rest) in clocks.items()}
        times = {path: moment for path, (moment, _) in clocks.items()}
        return {"_id": row.key, **self.scope.keys, **times, OWN: {"seq": _values.new_id().bytes, "us": rests}}

    def document(self, record: Record, include_embedding: bool = False) -> dict[str, Any]:
        """Return the document of a record."""
        own = as_mapping(record.get(OWN))
        rests, parts = as_mapping(own.get("us")), decoded(own.get("parts"))
        name = id_name(record["_id"])
        document: dict[str, Any] = {"id": name, "_id": name}
        for field, value in record.items():
            path = unescaped(field)
            key = KEYS.get(path)
            if key is not None and key.kind is Kind.TIME:
                document[path] = _time(value, rests.get(path))
            elif path != EMBEDDING and field != OWN and path not in ID_KEYS:
                document[path] = decoded(value)
        # Unless another program has changed the text since.
        if is_parts(parts) and text_of_parts(parts) == document.get(CONTENT):
            document[CONTENT] = parts
        # Here both are the same text; a field of another program's must not be lost.
        if record.get("id") is not None and id_name(record["id"]) != name:
            document.setdefault(FOREIGN_ID, decoded(record["id"]))
        if include_embedding:
            document[EMBEDDING] = numbers(record.get(EMBEDDING))
        return document


def _key(document: Mapping[str, Any], name: str) -> Any:
    """Return what a document is inserted under: an ObjectId where it was given as one."""
    for path in ID_KEYS:
        if type(document.get(path)).__name__ == "ObjectId":
            return document[path]
    return name


def _time(value: Any, rest: Any) -> Any:
    """Return a time as an aware datetime; what another program has stored in its place as it is."""
    if isinstance(value, datetime):
        return joined(value, rest)
    if isinstance(value, str):
        try:
            return _values.time(value, "")
        except InvalidDocument:
            pass
    return decoded(value)


def numbers(value: Any) -> Any:
    """Return the numbers of a vector, which other programs may have stored as a BSON vector; what is none as it is."""
    if isinstance(value, str | dict):
        return decoded(value)
    try:
        if hasattr(value, "as_vector"):
            value = value.as_vector().data
        return None if value is None else [_number(each) for each in value]
    except (TypeError, ValueError):
        return decoded(value)


def _number(value: Any) -> float:
    if isinstance(value, str | bool):
        raise TypeError  # As the aggregation compares neither.
    return float(value.to_decimal() if hasattr(value, "to_decimal") else value)


def key_of(record: Record) -> str:
    """Return what tells a record from all others of its collection; an `_id` may be an object, which has no hash."""
    return repr(record["_id"])
