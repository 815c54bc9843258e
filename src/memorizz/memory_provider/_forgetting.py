"""What a memory is forgotten by, and the receipt for it, in every provider."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from memorizz.errors import ConfigurationError, quoted
from memorizz.memory_provider._arguments import given_filter, text_argument
from memorizz.memory_provider.options import NOT_REACHED, Filter, Receipt


def checked_by(by: Any) -> None:
    """Raise ConfigurationError for what is no name of who deletes."""
    if by is not None and not isinstance(by, str):
        raise ConfigurationError(f"by={quoted(by)}: expected who forgets, as a text")


def forgotten_by(
    memory_id: Any, filter: Filter | None, everything: bool, tenant: str, by: Any
) -> tuple[str | None, Mapping[str, Any]]:
    """Return the memory that is forgotten, None where something else says what, and the filter of its documents."""
    checked_by(by)
    if [memory_id is None, filter is None, not everything].count(False) != 1:
        raise ConfigurationError("forget: expected memory_id=, filter= or everything=True, one of them")
    if everything:
        if not tenant:
            raise ConfigurationError(
                "forget(everything=True) forgets a whole tenant, and belongs to a view of it: "
                "provider.tenant(...).forget(everything=True)"
            )
        return None, {}
    if memory_id is None:
        given = given_filter(filter, "forget()")
        if not given:
            raise ConfigurationError(
                "forget: filter={} is everything: delete_all() empties a store, everything=True a tenant"
            )
        return None, given
    memory = text_argument(memory_id, "memory_id")
    if not memory:
        raise ConfigurationError("memory_id: expected the id of a memory, got a text that none can have")
    return memory, {"memory_id": memory}


def receipt(
    deleted: Mapping[str, Iterable[str]],
    agents: Iterable[str],
    by: str | None,
    dry_run: bool,
    left: int | None,
    versions: Mapping[str, int] | None = None,
    not_reached: Sequence[str] = (),
) -> Receipt:
    """Return the receipt for documents, given as the ids of each store, and for how many versions of each.

    `not_reached` is where they are too, beside what no statement reaches.
    """
    ids = {store: list(each) for store, each in deleted.items()}
    lines = sorted(f"{store}\t{id}\n" for store, each in ids.items() for id in each)
    return Receipt(
        deleted={store: len(each) for store, each in ids.items() if each},
        versions={store: count for store, count in (versions or {}).items() if count},
        agents=sorted(agents),
        digest=hashlib.sha256("".join(lines).encode()).hexdigest(),
        at=datetime.now(UTC),
        by=by,
        dry_run=dry_run,
        left=left,
        not_reached=(*not_reached, *NOT_REACHED),
    )
