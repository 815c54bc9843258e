"""The versions of a document: which of them a time or a number names, and in what two of them differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from memorizz.errors import ConfigurationError, InvalidDocument, quoted
from memorizz.memory_provider import _values
from memorizz.memory_provider.options import Document, Version

# What a provider counts and dates itself, and what says a thing again.
_NOT_COMPARED = frozenset(("_id", "updated_at", "last_accessed", "access_count"))


def moment(given: Any, name: str) -> datetime | int:
    """Return a time, or the number of a version; raises ConfigurationError for what is neither."""
    if type(given) is int:
        return given
    try:
        return _values.time(given, name)
    except InvalidDocument:
        raise ConfigurationError(
            f"{name}={quoted(given)}: expected a datetime, a text in ISO 8601, or the number of a version"
        ) from None


def version_of(versions: Sequence[Version], to: datetime | int) -> Version | None:
    """Return the version that was there at a time, or has a number; None where none was, or has it."""
    if isinstance(to, int):
        return next((each for each in versions if each.number == to), None)
    return next((each for each in reversed(versions) if each.since is None or each.since <= to), None)


def difference(before: Document | None, after: Document | None) -> dict[str, dict[str, Any]]:
    """Return the keys in which two documents differ, with what each of the two has there."""
    one: Mapping[str, Any] = before or {}
    other: Mapping[str, Any] = after or {}
    found: dict[str, dict[str, Any]] = {}
    for key in sorted((one.keys() | other.keys()) - _NOT_COMPARED):
        sides = {side: document[key] for side, document in (("from", one), ("to", other)) if key in document}
        if len(sides) == 1 or not _same(sides["from"], sides["to"]):
            found[key] = sides
    return found


def with_changes(versions: Sequence[Version]) -> list[tuple[Version, dict[str, dict[str, Any]]]]:
    """Return versions, each with how it differs from the one before."""
    before = [None, *(each.document for each in versions)]
    return [
        (each, difference(one, each.document) if one and each.document else {})
        for one, each in zip(before, versions, strict=False)
    ]


def _same(one: Any, other: Any) -> bool:
    """Return True for equal values; a boolean is no number."""
    return _values.to_json([one], "") == _values.to_json([other], "")
