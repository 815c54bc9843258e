"""What is said of stores that Citus has distributed, or is to have."""

from __future__ import annotations

from collections.abc import Iterator

from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.maintenance._doctor import Examination
from memorizz.memory_provider.postgresql.maintenance._finding import Finding, Level


def distribution(facts: Examination, config: PostgreSQLConfig) -> Iterator[Finding]:
    if facts.facts is None or not facts.facts.layout.distributed:
        return
    if facts.undistributed:
        yield Finding(
            Level.DANGER,
            "distribution",
            f"the schema is noted as distributed, and Citus does not distribute {facts.undistributed[0]} here, one of "
            f"{len(facts.undistributed)} tables: calls of a tenant may see a part of its documents, or none",
            "connect to the coordinator of Citus, or restore the schema there from a backup",
        )
    else:
        yield Finding(
            Level.NOTE,
            "distribution",
            "Citus distributes the stores by their tenant: what is said here of sizes is what the coordinator has",
        )
