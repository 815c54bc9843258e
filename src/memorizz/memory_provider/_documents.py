"""What a document is, in every provider: its ids, the keys that have a kind of their own, and what is computed.

A key with a kind must fit it; any other key holds any JSON value. `content` may be a list of parts, as chat APIs send
them: it is kept as it is, and its text, which is searched, embedded and compared, is that of its parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from itertools import islice
from typing import Any, TypeGuard, TypeVar, cast

from memorizz.errors import InvalidDocument, quoted
from memorizz.memory_provider import _values
from memorizz.memory_provider._values import InvalidText
from memorizz.memory_provider.stores import StoreSpec


class Kind(Enum):
    """What a key holds."""

    # An Enum's own is Python, and each key of each document asks for it.
    __hash__ = object.__hash__

    TEXT = "a text"
    NUMBER = "a number in double precision"
    INTEGER = "a 64-bit integer"
    TIME = "a time"
    OBJECT = "an object"


@dataclass(frozen=True, slots=True)
class Key:
    """A key with a kind of its own; `limit` is in bytes, for text that is indexed."""

    name: str
    kind: Kind
    limit: int | None = None


_INDEXED_TEXT = 1024
CONTENT = "content"

KEYS: Mapping[str, Key] = {
    key.name: key
    for key in (
        Key("name", Kind.TEXT, _INDEXED_TEXT),
        Key("memory_id", Kind.TEXT, _INDEXED_TEXT),
        Key("conversation_id", Kind.TEXT, _INDEXED_TEXT),
        Key("role", Kind.TEXT, _INDEXED_TEXT),
        Key(CONTENT, Kind.TEXT),
        Key("importance_score", Kind.NUMBER),
        Key("access_count", Kind.INTEGER),
        Key("metadata", Kind.OBJECT),
        Key("timestamp", Kind.TIME),
        Key("created_at", Kind.TIME),
        Key("updated_at", Kind.TIME),
        Key("last_accessed", Kind.TIME),
        Key("expires_at", Kind.TIME),
        Key("valid_from", Kind.TIME),
        Key("valid_until", Kind.TIME),
    )
}

ID_KEYS = ("id", "_id")
# The keys that hold ids, of the document and of what it belongs to.
REFERENCES = frozenset((*ID_KEYS, "memory_id", "conversation_id"))
EMBEDDING = "embedding"
# After how many seconds without a read or a write a document expires.
TTL, EXPIRES_AT = "ttl", "expires_at"
LONGEST_TTL = 1000 * 365.25 * 86400
# From when on, and until before when, what a document says holds; and which document says what holds then.
PERIOD = VALID_FROM, VALID_UNTIL = "valid_from", "valid_until"
SUPERSEDED_BY = "superseded_by"
# What was recalled for a turn: a list of objects with the store, the id and the score of each hit.
RECALLED = "recalled"
# What a search adds to its hits; dropped again when such a document is stored back.
_COMPUTED = ("score", "distance")
_ALWAYS_COMPUTED = ("_score", "_distance", "_explanation", "_context", "_part", "_equal", "_store")

CLOCKS = ("created_at", "updated_at")


def is_clock(key: str, spec: StoreSpec) -> bool:
    """Return True for a time that every document has, so that None means the same as leaving it out."""
    return key in CLOCKS or (key == "timestamp" and spec.timeline)


def given_id(document: Mapping[str, Any]) -> str | None:
    """Return the id that a document carries, or None.

    Raises InvalidDocument for what is no document, for what is no id, and for two ids.
    """
    if not isinstance(cast(object, document), Mapping):
        raise InvalidDocument("", f"expected a dict, got {type(document).__name__}")
    name: str | None = None
    for key in ID_KEYS:
        value = document.get(key)
        if value is None:
            continue
        found = _values.id_text(value)
        if found is None:
            raise InvalidDocument(key, no_id(value))
        if name is not None and found != name:
            raise InvalidDocument("_id", f"the document has two ids, id={quoted(name)} and _id={quoted(found)}")
        name = found
    return name


def with_lifetime(document: Mapping[str, Any]) -> tuple[Mapping[str, Any], float | None]:
    """Return a document with its ttl in seconds; and that, where it is to expire so many seconds from now, else None.

    Raises InvalidDocument for a ttl that is none, and for an expires_at beside it in a document that was not read.
    """
    if TTL not in document:
        return document, None
    if document[TTL] is None:
        return (document if EXPIRES_AT in document else {**document, EXPIRES_AT: None}), None
    seconds = _seconds(document[TTL])
    if EXPIRES_AT not in document:
        return {**document, TTL: seconds}, float(seconds)
    if document.get("created_at") is None:
        raise InvalidDocument(
            EXPIRES_AT,
            "it follows from the ttl that stands beside it: leave one of them out; only a document that was read, with "
            "its created_at, has both",
        )
    return {**document, TTL: seconds}, None


def _seconds(ttl: Any) -> float:
    seconds: Any = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if isinstance(seconds, Decimal) or (
        not isinstance(seconds, int | float) and _values.is_of_numpy(seconds, "integer", "floating")
    ):
        seconds = float(seconds)
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 < seconds <= LONGEST_TTL:
        raise InvalidDocument(
            TTL, f"expected seconds above 0, up to those of 1,000 years, or a timedelta or None; got {quoted(ttl)}"
        )
    return seconds


def ends_too_soon(given: str = "") -> InvalidDocument:
    """Return the error for a document that would hold until before it does."""
    return InvalidDocument(VALID_UNTIL, f"expected a time that is not before valid_from{given}")


def check_period(since: datetime | None, until: datetime | None) -> None:
    """Raise InvalidDocument where a document would hold until before it does."""
    if since is not None and until is not None and until < since:
        raise ends_too_soon(f": it is {quoted(str(until))}, and valid_from is {quoted(str(since))}")


def no_superseded(id: object, place: str) -> InvalidDocument:
    """Return the error for an id that no document has which this one can supersede."""
    return InvalidDocument(
        "supersedes",
        f"{place}: nothing supersedes {quoted(id)}, and nothing is stored; expected the id of another document of the "
        "same memory, one that retrieve_by_id finds, and a document to supersede it that none has superseded itself",
    )


def no_id(value: object) -> str:
    """Return why a value is refused as an id."""
    return f"{quoted(value)} is no id: expected a text without NUL, a UUID or an ObjectId"


def own_items(document: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """Return the items that are the user's: not the ids, and not what a search has added."""
    if document.keys().isdisjoint(_ALWAYS_COMPUTED):
        return [item for item in document.items() if item[0] not in ID_KEYS]
    dropped = {*ID_KEYS, *computed_keys(document)}
    return [item for item in document.items() if item[0] not in dropped]


def computed_keys(document: Mapping[str, Any]) -> set[str]:
    """Return the keys of a document that are a search's, and dropped where it is stored."""
    keys = {key for key in _ALWAYS_COMPUTED if key in document}
    for key in _COMPUTED:
        if f"_{key}" in keys and key in document and _is_same(document[key], document[f"_{key}"]):
            keys.add(key)
    return keys


def _is_same(value: Any, computed: Any) -> bool:
    return isinstance(value, int | float) and isinstance(computed, int | float) and value == computed


def is_parts(value: object, key: object = CONTENT) -> TypeGuard[Sequence[Any]]:
    """Return True for a content that is a list of parts."""
    return key == CONTENT and isinstance(value, list | tuple)


def text_of_parts(parts: Iterable[Any]) -> str:
    """Return the text of the parts that have one, a line for each."""
    return "\n".join(text for text in map(_text_of_part, parts) if text is not None)


def text_of(document: Mapping[str, Any]) -> str:
    """Return the text of a content, whatever it is made of; an empty one where there is none."""
    content = document.get(CONTENT)
    return (text_of_parts(content) if is_parts(content) else content) or ""


def _text_of_part(part: Any) -> str | None:
    text: object = cast("Mapping[str, Any]", part).get("text") if isinstance(part, Mapping) else part
    if isinstance(text, Mapping):
        text = cast("Mapping[str, Any]", text).get("value")
    return text if isinstance(text, str) else None


def _text(value: Any, key: Key, on_invalid: InvalidText) -> str:
    if type(value) is str:
        return _values.text(value, key.name, on_invalid, key.limit)
    if is_parts(value, key.name):
        return _checked_parts(value, key, on_invalid)
    found = _values.as_text(value)
    if not isinstance(found, str):
        expected = "a str, a list of parts or None" if key.name == CONTENT else "a str or None"
        raise InvalidDocument(key.name, f"expected {expected}, got {type(value).__name__}")
    return _values.text(found, key.name, on_invalid, key.limit)


def _checked_parts(parts: Sequence[Any], key: Key, on_invalid: InvalidText) -> str:
    texts: list[str] = []
    for place, part in enumerate(parts):
        path = f"{key.name}[{place}]"
        if not isinstance(part, Mapping | str):
            expected = "expected a part, {'type': 'text', 'text': ...} or another object, or a str"
            raise InvalidDocument(path, f"{expected}; got {type(part).__name__}")
        text = _text_of_part(part)
        if text is not None:
            texts.append(_values.text(text, path if isinstance(part, str) else f"{path}.text", on_invalid))
    return "\n".join(texts)


def _number(value: Any, key: Key, on_invalid: InvalidText) -> float:
    is_number = isinstance(value, int | float | Decimal) or _values.is_of_numpy(value, "integer", "floating")
    if is_number and not isinstance(value, bool):
        try:
            number = float(cast(float, value))
        except (OverflowError, ValueError):
            number = float("inf")
        # A decimal becomes the nearest double, as 0.1 in a program's text does.
        if number - number == 0 and (number == value or isinstance(value, Decimal)):
            return number
    raise InvalidDocument(
        key.name, f"expected a finite number in double precision or None, got {quoted(cast(object, value))}"
    )


def _whole(value: Any, key: Key, on_invalid: InvalidText) -> int:
    is_whole = isinstance(value, int) or (isinstance(value, Decimal) and _is_whole(value))
    is_whole = is_whole or _values.is_of_numpy(value, "integer")
    if is_whole and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return int(cast(int, value))
    raise InvalidDocument(key.name, f"expected a 64-bit integer or None, got {quoted(cast(object, value))}")


def _is_whole(value: Decimal) -> bool:
    return value.is_finite() and value == value.to_integral_value()


def _moment(value: Any, key: Key, on_invalid: InvalidText) -> datetime:
    return _values.time(value, key.name)


def _object(value: Any, key: Key, on_invalid: InvalidText) -> str:
    if not isinstance(value, Mapping):
        raise InvalidDocument(key.name, f"expected a dict or None, got {type(value).__name__}")
    return _values.to_json(value, key.name, on_invalid)


READERS: Mapping[Kind, Callable[[Any, Key, InvalidText], Any]] = {
    Kind.TEXT: _text,
    Kind.NUMBER: _number,
    Kind.INTEGER: _whole,
    Kind.TIME: _moment,
    Kind.OBJECT: _object,
}


def fitted(key: Key, value: Any, on_invalid: InvalidText) -> Any:
    """Return the value of a key as its kind has it, an object as JSON; raises InvalidDocument where it does not fit."""
    return READERS[key.kind](value, key, on_invalid)


# Documents that are sent at once: enough to hide the round trip, few enough to hold.
_BATCH = 500

Item = TypeVar("Item")


def batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield the items of an iterable in lists, as many as are stored at once."""
    if isinstance(items, Mapping | str | bytes) or not isinstance(cast(object, items), Iterable):
        raise InvalidDocument("", "store_many takes an iterable of dicts; use store for one document")
    remaining = iter(items)
    while batch := list(islice(remaining, _BATCH)):
        yield batch
