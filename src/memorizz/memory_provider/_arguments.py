"""The arguments of the methods, checked and read in the same way for every provider."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, cast

from memorizz.errors import ConfigurationError, FilterError, InvalidDocument, quoted
from memorizz.memory_provider import _values
from memorizz.memory_provider._documents import CONTENT, ID_KEYS, RECALLED, given_id
from memorizz.memory_provider.options import checked_limit
from memorizz.memory_provider.stores import StoreSpec

_UPDATE_OPERATORS = frozenset(
    {"$set", "$setOnInsert", "$unset", "$rename", "$inc", "$mul", "$min", "$max", "$currentDate", "$bit"}
    | {"$push", "$addToSet", "$pull", "$pullAll", "$pop"}
)


def text_argument(value: Any, name: str) -> str | None:
    """Return a text that is searched for, None for what no document has; a UUID and an ObjectId are their texts.

    Raises ConfigurationError for what is no text: a number would find nothing, and a dict is no operator.
    """
    if value is not None and not isinstance(_values.as_text(value), str):
        raise ConfigurationError(
            f"{name}={quoted(value)}: expected a str, a UUID or an ObjectId, got {type(value).__name__}"
        )
    return _values.searched(value)


def text_document(text: Any, memory_id: str | None, keys: Mapping[str, Any], recalled: Any = None) -> dict[str, Any]:
    """Return the document that a text to be remembered makes, with what was recalled for it.

    Raises InvalidDocument for what is no text, or blank, and for what are no hits.
    """
    if not isinstance(text, str) or not text.strip():
        said = "a blank text" if isinstance(text, str) else f"a {type(text).__name__}"
        raise InvalidDocument(CONTENT, f"expected a text to remember, got {said}; store() takes a whole document")
    if CONTENT in keys:
        raise InvalidDocument(CONTENT, "the text to remember is the content: give one of them")
    whose = {} if memory_id is None else {"memory_id": memory_id}
    found = {} if recalled is None else {RECALLED: _references(recalled)}
    return {**keys, CONTENT: text, **whose, **found}


def _references(hits: Any) -> list[dict[str, Any]]:
    """Return where the hits of a search are kept, each with its score."""
    if isinstance(hits, Mapping | str | bytes) or not isinstance(hits, Iterable):
        raise InvalidDocument(
            RECALLED, f"expected the hits that recall() returned, got {type(cast(object, hits)).__name__}"
        )
    return [_reference(hit, f"{RECALLED}[{place}]") for place, hit in enumerate(cast("Iterable[Any]", hits))]


def _reference(hit: Any, path: str) -> dict[str, Any]:
    if not isinstance(hit, Mapping):
        raise InvalidDocument(path, f"expected a hit of recall(), got {type(hit).__name__}")
    found = cast("Mapping[str, Any]", hit)
    store, id = found.get("_store", found.get("store")), given_id(found)
    if not isinstance(store, str) or id is None:
        raise InvalidDocument(
            path, 'expected a hit of recall(); one of another search gets its store beside it, {**hit, "store": name}'
        )
    return {"store": str(store), "id": id, "score": found.get("_score", found.get("score"))}


def updated_id(id: Any, data: Mapping[str, Any]) -> str | None:
    """Return the id of the document that is to be updated, None for what is no id.

    Raises InvalidDocument where the data has the id of another document, and for MongoDB's update operators.
    """
    _check_plain(data)
    name = _values.id_text(id)
    if name is not None and given_id(data) not in (None, name):
        raise InvalidDocument(
            "id", f"the data has the id {quoted(given_id(data))}, the document to update is {quoted(name)}"
        )
    return name


def given_filter(filter: Any, what: str) -> Mapping[str, Any]:
    """Return the filter of a method that changes what matches; raises FilterError for what is no dict."""
    if not isinstance(filter, Mapping):
        raise FilterError(
            f"{what} expects a filter, a dict, got {type(filter).__name__}; {{}} means every document of the store"
        )
    return cast("Mapping[str, Any]", filter)


def merged_keys(data: Mapping[str, Any], filter: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is merged into the documents that match a filter, which keep their ids.

    Raises InvalidDocument where the data has an id that the filter does not name, and for MongoDB's update operators.
    """
    name = given_id(data)
    _check_plain(data)
    if name is not None and all(_values.id_text(filter.get(key)) != name for key in ID_KEYS):
        raise InvalidDocument(
            "id", f"the data has the id {quoted(name)}, and the filter does not name it: documents keep their ids"
        )
    return {key: value for key, value in data.items() if key not in ID_KEYS}


def _check_plain(data: object) -> None:
    """Raise InvalidDocument for {"$set": {...}}: merged as it is, it would be a key of that name."""
    if isinstance(data, Mapping):
        for key in _UPDATE_OPERATORS & cast("Mapping[str, Any]", data).keys():
            raise InvalidDocument(key, "an update takes no operators, it merges the keys it is given: {'key': value}")


def checked_batch_size(size: int) -> int:
    """Return how many documents are read at a time; raises ConfigurationError for what is no such number."""
    if checked_limit(size, "batch_size") == 0:
        raise ConfigurationError("batch_size=0: expected a whole number above 0")
    return size


def checked_page(limit: int | None, offset: int, depth: int | None) -> tuple[int | None, int, int | None]:
    """Return how many values are listed, behind how many, and how long lists are; raises ConfigurationError."""
    if depth is not None and checked_limit(depth, "depth") == 0:
        raise ConfigurationError("depth=0: expected a whole number above 0, or None for whole lists")
    return None if limit is None else checked_limit(limit), checked_limit(offset, "offset"), depth


def no_document(after: Any, spec: StoreSpec) -> FilterError:
    """Return the error for a document to go on from that is not there."""
    return FilterError(f"after={quoted(after)}: {spec.name} has no document of this id")


def turns_of(memory_id: Any, conversation_id: Any) -> dict[str, str] | None:
    """Return what the turns of a history have in common, None for what no turn has; None names nobody's turns."""
    given = {"memory_id": memory_id, "conversation_id": conversation_id}
    named = {name: text_argument(value, name) for name, value in given.items() if value is not None}
    found = {name: text for name, text in named.items() if text is not None}
    return found if found and len(found) == len(named) else None


def time_before(before: Any, whose: Mapping[str, str]) -> datetime:
    """Return the time before which turns are read, where `before` is the id of none; raises FilterError."""
    try:
        return _values.time(before, "before")
    except InvalidDocument:
        raise FilterError(
            f"before={quoted(before)}: expected a time or the id of a turn, and there is no such turn of "
            f"{' and '.join(f'{name}={quoted(value)}' for name, value in whose.items())}"
        ) from None
