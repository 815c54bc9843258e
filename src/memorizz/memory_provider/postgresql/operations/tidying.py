"""What the policies of the stores do: they are noted with the stores, and what is due by them is deleted in batches."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from memorizz.memory_provider._forgetting import checked_by, receipt
from memorizz.memory_provider.base import Receipt, StoreName
from memorizz.memory_provider.policies import Policy, checked_policy
from memorizz.memory_provider.postgresql import facts
from memorizz.memory_provider.postgresql._steps import Operation, fetch, fetch_all
from memorizz.memory_provider.postgresql.facts import Facts, Store
from memorizz.memory_provider.postgresql.operations.deleting import advise
from memorizz.memory_provider.postgresql.sql import forgetting
from memorizz.memory_provider.postgresql.sql import policies as sql

logger = logging.getLogger("memorizz.postgresql")

# Looked at anew after so many, and deleted so many at once, each time in a transaction of its own.
_LOOKED_AT, _AT_ONCE = 100_000, 500


def set_policy(known: Facts, memory_store_type: StoreName, policy: Any) -> Operation[None]:
    store, checked = known.store(memory_store_type), checked_policy(policy)
    if checked is not None and checked.keep_last is not None and not store.spec.memories:
        logger.warning(
            "%s: its documents belong to no memory, which counts as one: keep_last leaves the newest %d of each tenant",
            store.name,
            checked.keep_last,
        )
    yield from fetch(sql.note(known.layout, store.name, None if checked is None else json.dumps(checked.as_json())))


def policies(known: Facts) -> Operation[dict[str, Policy]]:
    return {name: Policy.from_json(noted) for name, noted in (yield from fetch(sql.noted(known.layout)))}


def apply_policies(
    known: Facts, *, by: str | None = None, dry_run: bool = False, watch: Callable[[int, float], None] | None = None
) -> Operation[Receipt]:
    checked_by(by)
    # Another program may have made a store since the facts were read.
    known = yield from facts.today(known)
    deleted: dict[str, list[str]] = {}
    kept: list[str] = []
    left = 0
    rules = yield from policies(known)

    def tell(now: int, share: float) -> None:
        if watch is not None:
            watch(now + sum(map(len, deleted.values())), (len(deleted) + share) / len(rules))

    for name, policy in rules.items():
        store = known.store(name)
        tell(0, 0)
        deleted[name], over = yield from _apply(store, policy, dry_run, tell)
        advise(store, 0 if dry_run else len(deleted[name]))
        left += over
        if store.kept is not None:
            kept.append(f"the history of {name}, as long as it is kept: forget() reaches it")
    if rules:
        tell(0, 0)
    return receipt(deleted, [], by, dry_run, None if dry_run else left, not_reached=kept)


def _apply(
    store: Store, policy: Policy, dry_run: bool, tell: Callable[[int, float], None]
) -> Operation[tuple[list[str], int]]:
    """Delete what is due; return the ids of what was deleted, and how much was left for others had it in hand."""
    deleted: list[str] = []
    while True:
        rows = yield from fetch(sql.due(store, policy, None if dry_run else _LOOKED_AT))
        if dry_run:
            return [name for _, name, *_ in rows], 0
        before, due = len(deleted), rows[0][3] if rows else 0
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            delete = sql.delete(store, [row[0] for row in some], [row[2] for row in some])
            _, gone, _ = yield from fetch_all([forgetting.operation("policy"), delete, forgetting.operation()])
            deleted += [name for (name,) in gone]
            tell(len(deleted), (before + start + len(some)) / (before + due))
        if len(rows) < _LOOKED_AT or len(deleted) == before:
            return deleted, len(rows) - (len(deleted) - before)
