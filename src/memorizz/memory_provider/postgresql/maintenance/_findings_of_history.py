"""What is said of a history that is to be kept and is not."""

from __future__ import annotations

from collections.abc import Iterator

from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.maintenance._doctor import Examination
from memorizz.memory_provider.postgresql.maintenance._finding import Finding, Level, command


def histories(facts: Examination, config: PostgreSQLConfig) -> Iterator[Finding]:
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
