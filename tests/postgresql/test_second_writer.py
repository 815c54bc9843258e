"""Faults while a second writer is at the same documents: a small run of tests/faults.py."""

from __future__ import annotations

from typing import Any

import faults
from apis import Loop


def test_nothing_is_lost_doubled_or_undone(own_database: Any, loop: Loop) -> None:
    """Of two writers behind a proxy that loses messages and answers, and backends that are ended and killed."""
    with faults.scene(own_database.dsn, loop) as scene:
        count = faults.run(scene, faults=40, seed=7)
    assert count.wrong == []
    assert sum(count.rounds.values()) == 40
    assert count.rounds.keys() == set(faults.FAULTS)
    assert count.outcomes.keys() == {"unknown"}
    assert count.behind > 20
