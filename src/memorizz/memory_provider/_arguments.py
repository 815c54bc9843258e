"""The arguments of the methods, checked and read in the same way for every provider."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from memorizz.errors import ConfigurationError, FilterError, InvalidDocument, quoted
from memorizz.memory_provider import _values
from memorizz.memory_provider._documents import given_id
from memorizz.memory_provider.options import SearchOptions, checked_limit
from memorizz.memory_provider.stores import StoreSpec


def text_argument(value: Any, name: str) -> str | None:
    """Return a text that is searched for, None for what no document has; a UUID and an ObjectId are their texts.

    Raises ConfigurationError for what is no text: a number would find nothing, and a dict is no operator.
    """
    if value is not None and not isinstance(_values.as_text(value), str):
        raise ConfigurationError(
            f"{name}={quoted(value)}: expected a str, a UUID or an ObjectId, got {type(value).__name__}"
        )
    return _values.searched(value)


def updated_id(id: Any, data: Mapping[str, Any]) -> str | None:
    """Return the id of the document that is to be updated, None for what is no id.

    Raises InvalidDocument where the data has the id of another document.
    """
    name = _values.id_text(id)
    if name is not None and given_id(data) not in (None, name):
        raise InvalidDocument(
            "id", f"the data has the id {quoted(given_id(data))}, the document to update is {quoted(name)}"
        )
    return name


def check_context(options: SearchOptions, spec: StoreSpec) -> None:
    """Raise ConfigurationError where hits are to come with the documents around them, and there are none."""
    if options.context and not spec.timeline:
        raise ConfigurationError(f"context: only documents with a timeline have others around them, not {spec.name}")


def checked_batch_size(size: int) -> int:
    """Return how many documents are read at a time; raises ConfigurationError for what is no such number."""
    if checked_limit(size, "batch_size") == 0:
        raise ConfigurationError("batch_size=0: expected a whole number above 0")
    return size


def no_document(after: Any, spec: StoreSpec) -> FilterError:
    """Return the error for a document to go on from that is not there."""
    return FilterError(f"after={quoted(after)}: {spec.name} has no document of this id")


def time_before(before: Any, memory_id: str) -> datetime:
    """Return the time before which turns are read, where `before` is the id of none; raises FilterError."""
    try:
        return _values.time(before, "before")
    except InvalidDocument:
        raise FilterError(
            f"before={quoted(before)}: expected a time or the id of a turn; the memory {quoted(memory_id)} has no such "
            "turn"
        ) from None
