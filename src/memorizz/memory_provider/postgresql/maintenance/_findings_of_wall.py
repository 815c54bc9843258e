"""What is said where row-level security keeps the rows of the stores from whoever looks."""

from __future__ import annotations

from collections.abc import Iterator

from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.maintenance._doctor import Examination
from memorizz.memory_provider.postgresql.maintenance._finding import Finding, Level, command


def unseen(facts: Examination, config: PostgreSQLConfig) -> Iterator[Finding]:
    walled = facts.facts is not None and facts.facts.application_role is not None
    if walled and facts.rights.read and any(store.rows is None for store in facts.stores):
        yield Finding(
            Level.NOTE,
            "tenants",
            f"row-level security keeps the memories from the user {facts.server.user}: how many there are, and what is "
            "wrong with them, was not looked at",
            f"run {command('doctor', config)} as the owner of the tables",
        )
