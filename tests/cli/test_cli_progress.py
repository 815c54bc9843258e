"""How far a command is, in words: what is done, how much of it, how fast, and for how long still."""

from __future__ import annotations

import pytest

from memorizz import moving
from memorizz.cli import _progress
from memorizz.memory_provider.postgresql.maintenance import Progress


@pytest.mark.parametrize(
    ("progress", "left", "expected"),
    [
        (Progress("starting"), None, "starting"),
        (Progress("building index: loading tuples", 30, 120), None, "loading tuples, 25%"),
        (Progress("building index: loading tuples", 30, 120), 90, "loading tuples, 25%, 1 min 30 s left"),
        (Progress("waiting for old snapshots", 1, 4), None, "waiting for old snapshots, 25%"),
        (Progress("waiting for old snapshots", 0, 2, "process 7"), None, "waits for process 7"),
    ],
)
def test_the_line_of_a_build(progress: Progress, left: float | None, expected: str) -> None:
    """What it does, how far it is, how long it will take, who is in the way."""
    assert _progress.build_line(progress, left) == expected


@pytest.mark.parametrize(
    ("progress", "rate", "left", "expected"),
    [
        (moving.Progress("copying", "toolbox", 0, 1234), None, None, "0 of 1,234"),
        (moving.Progress("copying", "toolbox", 200, 1200), 1500.4, 42, "200 of 1,200, 1,500/s, 42 s left"),
        (moving.Progress("indexing", "toolbox", 0.25, 1), 0.1, 7.5, "25%, 7.5 s left"),
    ],
)
def test_the_line_of_documents(
    progress: moving.Progress, rate: float | None, left: float | None, expected: str
) -> None:
    """How many are done and how many in a second; of an index, the part that is built."""
    assert _progress.documents_line(progress, rate, left) == expected


def test_the_time_that_is_left() -> None:
    """It is estimated from the pace of the phase, not at its very beginning, and afresh for each phase."""
    now = 100.0
    pace = _progress.Pace(lambda: now)
    assert pace.measure(("one", "a"), 10, 100) == (None, None)
    now = 110.0
    assert pace.measure(("one", "a"), 20, 100) == (1, 80)
    assert pace.measure(("one", "b"), 5, 10) == (None, None)
    now = 112.0
    assert pace.measure(("one", "b"), 9, 10) == (2, 0.5)
    assert pace.measure(("one", "b"), 9, 0) == (2, None)
    assert pace.measure(("two", "b"), 9, 10) == (None, None)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.04, "0.0 s"), (9.9, "9.9 s"), (42, "42 s"), (60, "1 min 00 s"), (7260, "2 h 01 min")]
)
def test_durations(seconds: float, expected: str) -> None:
    """A time is as precise as anybody wants it."""
    assert _progress.duration(seconds) == expected
