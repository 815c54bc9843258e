"""The course of what was noted of the stores, as lines to look at and numbers to read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from memorizz.console import _show

# So many stores, and so many points of a line and lines of the table: the page stays below 300 kB.
_STORES, _POINTS, _NUMBERS = 24, 60, 40
# Of a picture, in pixels; a margin keeps the line whole at its edges.
WIDE, HIGH = 90, 32
_MARGIN = 3


@dataclass(frozen=True)
class Measure:
    """What can be noted of a store, what it is called, and how it is written."""

    key: str
    title: str
    written: Callable[[Any], str]


def _percent(share: float) -> str:
    return "100 %" if share == 1 else f"{min(share * 100, 99.99):.4g} %"


MEASURES = (
    Measure("documents", "Documents", _show.number),
    Measure("bytes", "Table and indexes", _show.size),
    Measure("recall", "Recall", _percent),
    Measure("median_ms", "Search, ms", "{:.1f}".format),
)


@dataclass(frozen=True)
class Line:
    """One measure of a store: its points in the picture, the first and the last value as they are written."""

    points: str
    last: tuple[float, float]
    first_value: str
    last_value: str


@dataclass(frozen=True)
class Course:
    """What was noted: from when to when, a line or None for each measure of each store, and the newest numbers."""

    since: datetime
    until: datetime
    stores: list[tuple[str, list[Line | None]]]
    left_out: int
    numbers: list[tuple[datetime, str, list[str]]]

    @classmethod
    def of(cls, noted: Sequence[Any]) -> Course | None:
        """Return the course of what was noted, the oldest first; None where nothing was."""
        if not noted:
            return None
        since, until = noted[0].at, noted[-1].at
        names = sorted({each.store for each in noted})
        stores = [
            (
                name,
                [_line([each for each in noted if each.store == name], measure, since, until) for measure in MEASURES],
            )
            for name in names[:_STORES]
        ]
        numbers = [
            (each.at, each.store, [_written(each, measure) for measure in MEASURES])
            for each in reversed(noted[-_NUMBERS:])
        ]
        return cls(since, until, stores, len(names[_STORES:]), numbers)


def _written(noted: Any, measure: Measure) -> str:
    value = getattr(noted, measure.key)
    return "" if value is None else measure.written(value)


def _line(noted: Sequence[Any], measure: Measure, since: datetime, until: datetime) -> Line | None:
    known = [(each.at, getattr(each, measure.key)) for each in noted if getattr(each, measure.key) is not None]
    if not known:
        return None
    # The last is always among them.
    step = -(-len(known) // _POINTS)
    values = known[::-1][::step][::-1]
    least, most = 0.0, max(value for _, value in values) or 1
    if measure.key == "recall":
        # What is lost of a share stands out near 1, and not from 0 on.
        least, most = min(0.9, *(value for _, value in values)), 1.0
    whole = max(until - since, timedelta(seconds=1))
    points = [
        (
            _MARGIN + (WIDE - 2 * _MARGIN) * ((at - since) / whole),
            HIGH - _MARGIN - (HIGH - 2 * _MARGIN) * (value - least) / (most - least),
        )
        for at, value in values
    ]
    return Line(
        " ".join(f"{x:.1f},{y:.1f}" for x, y in points),
        points[-1],
        measure.written(values[0][1]),
        measure.written(values[-1][1]),
    )
