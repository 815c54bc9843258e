"""What is said of stores that Citus has distributed, or is to have."""

from __future__ import annotations

from collections.abc import Iterator

from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.maintenance._doctor import Examination
from memorizz.memory_provider.postgresql.maintenance._finding import Finding, Level, command


def distribution(facts: Examination, config: PostgreSQLConfig) -> Iterator[Finding]:
    if facts.facts is None:
        return
    if facts.half_distributed and not facts.undistributed:
        left = (
            f"on the coordinator what is on the workers now, of {facts.half_distributed[0]} for one"
            if facts.facts.layout.distributed
            else "foreign keys in the place of triggers: the pieces of a long text that is replaced stay, unseen"
        )
        yield Finding(
            Level.WARNING, "distribution", f"an interrupted scale-out has left {left}", command("scale-out", config)
        )
    if not facts.facts.layout.distributed:
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
            "Citus distributes the stores by their tenant: sizes are those of all shards, and those of single indexes "
            "only with Citus 13.1 or newer; dead rows, settings and how often an index is used are the coordinator's",
        )
