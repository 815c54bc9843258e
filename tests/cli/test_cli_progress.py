"""How far a command is, in words: what is done, how much of it, how fast, and for how long still."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from memorizz import PostgreSQLProvider, moving
from memorizz.cli import _progress
from memorizz.memory_provider.policies import Policy
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


@pytest.mark.parametrize(
    ("due", "share", "rate", "left", "expected"),
    [(0, 0, None, None, "0%, 0 due"), (1234, 0.25, 456.7, 90, "25%, 1,234 due, 457/s, 1 min 30 s left")],
)
def test_the_line_of_tidying(due: int, share: float, rate: float | None, left: float | None, expected: str) -> None:
    """The part of the work, for how much is due shows only as it is gone through; what was due so far, and the pace."""
    assert _progress.tidying_line(due, share, rate, left) == expected


@pytest.mark.skipif(sys.platform == "win32", reason="it has no pseudo-terminals")
@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("tidy",), ("tidying", "100%, 3 due")),
        (("tidy", "--tenant", "acme", "--dry-run"), ("tidying", "100%, 1 due")),
        (("duplicates", "long_term_memory"), ("comparing long_term_memory", "4 of 4")),
        (("consolidate", "long_term_memory", "--yes"), ("comparing long_term_memory", "4 of 4")),
        (("recall", "--sample", "3"), ("searching long_term_memory", "3 of 3")),
    ],
)
def test_long_work_has_a_bar(
    provider: PostgreSQLProvider, migrated_dsn: str, command: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    """On a terminal, on stderr: how far it is, and of how much; nothing of it is among what it prints."""
    provider.keep_history("long_term_memory")
    provider.set_policy("toolbox", Policy(keep_last=1))
    for view, count in ((provider, 3), (provider.tenant("acme"), 2)):
        view.store_many([{"content": f"tool {n}"} for n in range(count)], "toolbox")
    memories = [{"content": f"memory {n // 2}", "embedding": [1.0, float(n // 2), 0.0, 0.0]} for n in range(4)]
    provider.store_many(memories, "long_term_memory")
    main, terminal = os.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "memorizz", *command, "--dsn", migrated_dsn],
        stdout=subprocess.PIPE, stderr=terminal, check=True, text=True, env=os.environ | {"TERM": "xterm"},
    )  # fmt: skip
    os.close(terminal)
    shown = os.read(main, 100_000).decode()
    os.close(main)
    for each in expected:
        assert each in shown
    assert expected[0] not in done.stdout
