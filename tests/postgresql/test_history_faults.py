"""Faults while two tenants write and their history is kept: a small run of tests/faults_of_history.py."""

from __future__ import annotations

from typing import Any

import faults_of_history
from apis import Loop


def test_rows_and_history_agree_after_faults(own_database: Any, loop: Loop) -> None:
    """Killed and terminated backends and cut connections: what was done has a version, once, and what failed none."""
    with faults_of_history.scene(own_database.dsn, loop) as scene:
        count = faults_of_history.run(scene, faults=12, seed=2)
    assert count.wrong == []
    assert count.faults.keys() == set(faults_of_history.FAULTS)
    assert count.versions > 0
