"""Dates in metadata: Haystack compares texts that are ISO dates as times.

So each is noted beside the metadata, in a form whose order as a text is that of the times: what the clock on the wall
said, and, where the date has a zone, the instant in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

WALL, INSTANT = "wall", "instant"


def date_of(value: object) -> datetime | None:
    """Return the date that a value is, None for any other: a datetime, or an ISO text that begins with a whole day.

    A week ("2025-W06-1") is no date, for Haystack does not have it equal to its day.
    """
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or value[4:5] != "-" or value[7:8] != "-" or value[10:11] not in ("", "T", "t", " "):
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None


def wall(date: datetime) -> str:
    """Return what the clock said where a date is from."""
    return date.replace(tzinfo=None).isoformat(timespec="microseconds")


def instant(date: datetime) -> str:
    """Return a date with a zone in UTC."""
    return wall(date.astimezone(UTC))


def dates_in(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dates of metadata, each under the key that it has there."""
    found: dict[str, Any] = {}
    for key, value in meta.items():
        if isinstance(value, Mapping):
            noted: dict[str, Any] = dates_in(cast("Mapping[str, Any]", value))
        elif (date := date_of(value)) is not None:
            noted = {WALL: wall(date)} if date.tzinfo is None else {WALL: wall(date), INSTANT: instant(date)}
        else:
            continue
        if noted:
            found[key] = noted
    return found
