"""What `memorizz recall` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from memorizz.cli import _show

Report = Mapping[str, Any]

# Below this a search is not what it should be.
ENOUGH = 0.99


def show(reports: Sequence[Report]) -> None:
    """Print what was measured, store by store, and what to change."""
    for report in reports:
        _show.say()
        _show.heading(report["store"], _beside(report))
        _show.say()
        if report["ways"]:
            columns = {"search": _show.LEFT, "recall": _show.RIGHT, "ms": _show.RIGHT, "exact ms": _show.RIGHT}
            _show.show(_show.table({**columns, "by": _show.WIDE}, [_row(way) for way in report["ways"]]), 2)
            _show.say()
        for advice in report["advice"]:
            _show.show(Text(_show.plain(_show.to_type(advice))), 2)
    if not reports:
        _show.say("no store has vectors: there is nothing to measure")
    _show.say()


def percent(share: float) -> str:
    """Return a share so that what is not all does not look like all."""
    return "100 %" if share == 1 else f"{min(share * 100, 99.99):.4g} %"


def _beside(report: Report) -> str:
    return f"{report['rows']:,} vectors, {report['sample']:,} searched for, {report['limit']} hits each"


def _row(way: Mapping[str, Any]) -> list[str | Text]:
    found = way["recall"]
    return [
        way["search"],
        "" if found is None else Text(percent(found), "green" if found >= ENOUGH else "yellow"),
        _time(way["median_ms"]),
        _time(way["exact_ms"]),
        ", ".join(f"{route} {count}" for route, count in way["routes"].items()),
    ]


def _time(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.1f}"
