"""Faults while a second writer is at the same documents of a replica set: a small run of tests/faults.py."""

from __future__ import annotations

import faults
from apis import Loop
from mongod import mongod


def test_nothing_of_a_replica_set_is_lost_doubled_or_undone(loop: Loop) -> None:
    """What changes one document and what commits is done once, and said to be done; several documents are unknown."""
    with mongod() as uri, faults.mongodb_scene(uri, loop) as scene:
        count = faults.run(scene, faults=40, seed=7)
    assert count.wrong == []
    assert count.rounds.keys() == set(faults.MONGODB_FAULTS)
    assert count.outcomes.keys() == {"success", "unknown"}
    assert count.behind > 20
