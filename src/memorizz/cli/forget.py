"""memorizz forget: a memory, or all that a tenant has, in all stores at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from memorizz.cli import _show
from memorizz.cli._common import AsJSON, Server, Tenant, Whose, Yes, confirm, open_provider

if TYPE_CHECKING:
    from memorizz.memory_provider.base import Receipt


def forget(
    memory_id: Annotated[str | None, typer.Argument(help="The id of the memory.", metavar="[MEMORY]")] = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="In the place of a memory, all that the tenant has, and its history.")
    ] = False,
    by: Annotated[str | None, typer.Option(help="Who forgets, for the receipt.", metavar="NAME")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and delete nothing.")] = False,
    yes: Yes = False,
    tenant: Tenant = None,
    *,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Delete every document of a memory in all stores, and print the receipt."""
    with open_provider(server, Whose(tenant)) as provider:
        receipt = provider.forget(memory_id, everything=everything, by=by, dry_run=True)
        if not dry_run:
            what = f"all of the tenant {tenant}" if memory_id is None else f"the memory {memory_id}"
            agents = "" if memory_id is None else f" and {len(receipt.agents)} agents that list it"
            confirm(f"Forget {what}, {receipt.documents} documents{agents}?", yes)
            receipt = provider.forget(memory_id, everything=everything, by=by)
    if as_json:
        _show.print_json({"memory_id": memory_id, "tenant": tenant, **receipt.as_json()})
    else:
        print_receipt(receipt, f"{'would be forgotten' if receipt.dry_run else 'forgotten'}: {memory_id or tenant}")


def print_receipt(receipt: Receipt, heading: str) -> None:
    """Print what went, and where copies may be."""
    _show.heading(heading)
    pairs = [(store, f"{count} documents") for store, count in receipt.deleted.items()]
    pairs += [(store, f"{count} versions that had ended") for store, count in receipt.versions.items()]
    pairs += [("agents", f"{len(receipt.agents)} no longer list it")] if receipt.agents else []
    pairs += [("digest", receipt.digest), ("at", receipt.at.isoformat(timespec="seconds"))]
    pairs += [("by", receipt.by)] if receipt.by else []
    pairs += [("stored meanwhile", f"{receipt.left} documents: forget it again")] if receipt.left else []
    _show.show(_show.pairs(pairs), 2)
    _show.say("not reached:")
    for each in receipt.not_reached:
        _show.say(f"  {each}")
