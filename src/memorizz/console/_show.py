"""How values are written for people. What is in a memory is text: the templates escape it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from memorizz.memory_provider._documents import text_of

# Characters of a text in a list.
SHORT = 360


def number(value: float | None) -> str:
    """Return a count with its thousands apart."""
    return "?" if value is None else f"{value:,}"


def size(count: float) -> str:
    """Return an amount of bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TB"


def score(value: float) -> str:
    """Return a score, or a part of one."""
    return f"{value:.3f}".replace("-", "\N{MINUS SIGN}")


def moment(value: datetime | str | None) -> str:
    """Return a time to the second, in UTC."""
    if not isinstance(value, datetime):
        return value or ""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


_STEPS = (("s", 60), ("min", 60), ("h", 24), ("days", 30), ("months", 12), ("years", 10_000))


def ago(value: datetime | str | None) -> str:
    """Return how long ago a time was, roughly."""
    if not isinstance(value, datetime):
        return value or ""
    passed = (datetime.now(UTC) - value).total_seconds()
    if passed < 0:
        return moment(value)
    for unit, length in _STEPS:
        if passed < length:
            return f"{passed:.0f} {unit} ago"
        passed /= length
    return moment(value)


def text(document: Mapping[str, Any]) -> str:
    """Return what a document says, or else what it is called."""
    return str(text_of(document) or document.get("instruction") or document.get("name") or "")


def short(value: str, most: int = SHORT) -> str:
    """Return the beginning of a text."""
    return value if len(value) <= most else f"{value[:most]}\N{HORIZONTAL ELLIPSIS}"


def pretty(value: Any) -> str:
    """Return a value as JSON on several lines, a text as it is."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, indent=2, default=_other)


def _other(value: Any) -> str:
    return moment(value) if isinstance(value, datetime) else str(value)


def plain(name: str) -> str:
    """Return the name of a store in words."""
    return name.replace("_", " ")
