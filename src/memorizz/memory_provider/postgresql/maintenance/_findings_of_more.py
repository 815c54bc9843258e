"""What is said of what a schema may have beside its stores: histories, a wall between tenants, several servers."""

from __future__ import annotations

from collections.abc import Iterator

from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.maintenance._doctor import Examination
from memorizz.memory_provider.postgresql.maintenance._finding import Finding, Level, command


def histories(facts: Examination, config: PostgreSQLConfig) -> Iterator[Finding]:
    """Yield what is wrong with a history that is to be kept."""
    for store, is_gone in facts.lost_histories:
        if is_gone:
            yield Finding(
                Level.DANGER,
                store,
                f"the history of {store} is to be kept, and its table is gone: nothing can be written to the store",
                "restore the table from a backup",
            )
        else:
            again = f"{command(f'history off {store}', config)}, then {command(f'history on {store}', config)}"
            yield Finding(
                Level.DANGER,
                store,
                f"the history of {store} is to be kept, and a trigger that keeps it is gone or disabled: changes are "
                "missing from it",
                f"{again}: that begins another one, and what this one has is lost",
            )


def unseen(facts: Examination, config: PostgreSQLConfig) -> Iterator[Finding]:
    """Say that row-level security keeps the rows of the stores from whoever looks."""
    walled = facts.facts is not None and facts.facts.application_role is not None
    if walled and facts.rights.read and any(store.rows is None for store in facts.stores):
        yield Finding(
            Level.NOTE,
            "tenants",
            f"row-level security keeps the memories from the user {facts.server.user}: how many there are, and what is "
            "wrong with them, was not looked at",
            f"run {command('doctor', config)} as the owner of the tables",
        )


def distribution(facts: Examination, config: PostgreSQLConfig) -> Iterator[Finding]:
    """Yield what is wrong with stores that Citus has distributed, or is to have."""
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
