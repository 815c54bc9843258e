"""Removing what has expired and what is due by policies, of every tenant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from memorizz.errors import ConfigurationError
from memorizz.memory_provider.base import Receipt
from memorizz.memory_provider.postgresql import operations, wall
from memorizz.memory_provider.postgresql._steps import Operation, Query, fetch_all
from memorizz.memory_provider.postgresql.facts import Facts
from memorizz.memory_provider.postgresql.sql import key
from memorizz.memory_provider.scopes import EVERYTHING


@dataclass(frozen=True, slots=True)
class Tidied:
    """What was removed of a tenant, "" for what is of none.

    expired: how many documents had expired; None in a dry run.
    receipt: what was due by the policies.
    """

    tenant: str
    expired: int | None
    receipt: Receipt


def tidied(
    known: Facts, by: str | None, dry_run: bool, watch: Callable[[int, float], None] | None
) -> Operation[list[Tidied]]:
    """Remove what is due, tenant by tenant; raises ConfigurationError for a role that does not see them."""
    if known.application_role is not None and (yield from wall.exempt(known.layout)) is None:
        raise ConfigurationError(
            "row-level security keeps this role from seeing all tenants: connect as the owner of the tables, or tidy a "
            "tenant that you name"
        )
    statements = [key.tenants(store).as_bytes(None) for store in known.stores.values()]
    found = yield from fetch_all([Query(statement, {"limit": None}) for statement in statements])
    tenants = sorted({tenant for rows in found for (tenant,) in rows})
    done: list[Tidied] = []
    before = 0

    def tell(deleted: int, share: float) -> None:
        if watch is not None:
            watch(before + deleted, (len(done) + share) / len(tenants))

    for tenant in tenants:
        seen = known.within(EVERYTHING.of_tenant(tenant) if tenant else EVERYTHING)
        tell(0, 0)
        expired = None if dry_run else (yield from operations.purge_expired(seen))
        before += expired or 0
        receipt = yield from operations.apply_policies(seen, by=by, dry_run=dry_run, watch=tell)
        before += receipt.documents
        done.append(Tidied(tenant, expired, receipt))
    return done
