"""memorizz policy and memorizz tidy: what of a store goes by itself, and the command that lets it go."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from memorizz.cli import _progress, _show
from memorizz.cli._common import AsJSON, Commands, Server, StoreName, Whose, open_maintenance, open_provider
from memorizz.errors import ConfigurationError

policy = Commands(help="Say what of a store `memorizz tidy` deletes.", no_args_is_help=True)

_LONGEST = 365_250


@policy.command("set")
def set_(
    store: StoreName,
    expire_after: Annotated[
        float | None,
        typer.Option(min=0.001, max=_LONGEST, metavar="DAYS", help="What has not been changed for so long."),
    ] = None,
    least_importance: Annotated[
        float | None, typer.Option(metavar="NUMBER", help="What has an importance_score that has sunk below.")
    ] = None,
    half_life: Annotated[
        float | None,
        typer.Option(
            min=0.001, max=_LONGEST, metavar="DAYS", help="How long it takes an importance_score to sink by half."
        ),
    ] = None,
    keep_last: Annotated[int | None, typer.Option(min=1, help="Of each memory all but the newest so many.")] = None,
    max_documents: Annotated[
        int | None, typer.Option(min=1, help="Of a tenant all but so many, the least important first.")
    ] = None,
    *,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Set the policy of a store, in the place of the one that it has; nothing is deleted by it alone."""
    from memorizz.memory_provider.policies import Policy

    if (expire_after, least_importance, keep_last, max_documents) == (None, None, None, None):
        raise ConfigurationError(
            "a policy needs a rule: --expire-after, --least-importance, --keep-last or --max-documents; "
            f"`memorizz policy off {store}` takes the policy away"
        )
    made = Policy(
        expire_after=None if expire_after is None else timedelta(days=expire_after),
        least_importance=least_importance,
        half_life=None if half_life is None else timedelta(days=half_life),
        keep_last=keep_last,
        max_documents=max_documents,
    )
    with open_provider(server) as provider:
        provider.set_policy(store, made)
    list_(server=server, as_json=as_json)


@policy.command()
def off(store: StoreName, *, server: Server, as_json: AsJSON = False) -> None:
    """Take the policy of a store away."""
    with open_provider(server) as provider:
        provider.set_policy(store, None)
    list_(server=server, as_json=as_json)


@policy.command(name="list")
def list_(*, server: Server, as_json: AsJSON = False) -> None:
    """Show which stores have a policy, and what it says."""
    with open_provider(server) as provider:
        found = provider.policies()
    if as_json:
        _show.print_json({"policies": {store: each.as_json() for store, each in found.items()}})
        return
    for store, each in found.items():
        rules = each.as_json() | {name: str(getattr(each, name)) for name in ("expire_after", "half_life")}
        _show.say(f"{store}: {', '.join(f'{name} {rules[name]}' for name in each.as_json())}")
    if not found:
        _show.say("no store has a policy")


def tidy(
    by: Annotated[str | None, typer.Option(help="Who deletes, for the receipt.", metavar="NAME")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and delete nothing.")] = False,
    tenant: Annotated[
        str | None,
        typer.Option(metavar="NAME", envvar="MEMORIZZ_TENANT", help="One tenant's alone, and not of every tenant."),
    ] = None,
    *,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Delete what has expired and what is due by the policies, of every tenant, or of one; for a nightly job."""
    from memorizz.memory_provider.postgresql.maintenance import Tidied

    if tenant is None:
        with open_maintenance(server) as maintenance, _progress.of_tidying() as watch:
            done = maintenance.tidy(by=by, dry_run=dry_run, watch=watch)
    else:
        with open_provider(server, Whose(tenant)) as view, _progress.of_tidying() as watch:
            expired = None if dry_run else view.purge_expired()
            done = [Tidied(tenant, expired, view.apply_policies(by=by, dry_run=dry_run, watch=watch))]
    if as_json:
        tidied = [{"tenant": each.tenant, "expired": each.expired, **each.receipt.as_json()} for each in done]
        _show.print_json({"tidied": tidied})
        return
    for each in done:
        whose = f"{each.tenant}: " if each.tenant else ""
        rows = [] if not each.expired else [("expired", each.expired)]
        for what, count in [*rows, *each.receipt.deleted.items()]:
            _show.say(f"{whose}{what}: {count} {'would be ' if dry_run else ''}deleted")
        if each.receipt.left:
            _show.say(f"{whose}{each.receipt.left} were in others' hands: the next time")
    if not any(each.expired or each.receipt.deleted for each in done):
        _show.say("nothing is due")
