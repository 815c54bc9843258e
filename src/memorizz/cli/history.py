"""memorizz history: keep what documents were, store by store, show it, take changes back, or keep it no longer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memorizz.cli import _show
from memorizz.cli._common import (
    AsJSON,
    Commands,
    Server,
    StoreName,
    Whose,
    Yes,
    confirm,
    open_maintenance,
    open_provider,
)
from memorizz.errors import ConfigurationError

if TYPE_CHECKING:
    from memorizz.memory_provider.base import Version
    from memorizz.memory_provider.postgresql._steps import Operation
    from memorizz.memory_provider.postgresql.facts import Facts

commands = Commands(
    help="Keep the history of a store, show what a memory was, take changes back, or keep it no longer.",
    no_args_is_help=True,
)


@commands.command()
def on(
    store: StoreName,
    days: Annotated[
        float | None, typer.Option(min=0.001, max=1_000_000, metavar="DAYS", help="For how long; for ever by default.")
    ] = None,
    *,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Keep every version of a store's documents from now on, or for another time."""
    with open_provider(server) as provider:
        provider.keep_history(store, None if days is None else timedelta(days=days))
    list_(server=server, as_json=as_json)


@commands.command()
def off(
    store: StoreName,
    yes: Yes = False,
    *,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Delete the history of a store, and keep none from now on."""
    with open_maintenance(server) as maintenance:
        kept = maintenance.facts().store(store).kept
    if kept is not None:
        confirm(f"Delete every version of the documents of {store} that has ended?", yes)
        with open_provider(server) as provider:
            provider.drop_history(store, yes=True)
    list_(server=server, as_json=as_json)


@commands.command()
def show(
    id: Annotated[str, typer.Argument(help="The id of a memory, also of one that is deleted.")],
    store: Annotated[
        str | None,
        typer.Option(help="Look in one store only; in all whose history is kept by default.", metavar="NAME"),
    ] = None,
    *,
    whose: Whose,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Print the versions of a memory, the newest first: who changed what, and from what into what."""
    with open_provider(server, whose) as view:
        kept = view.run(_kept) if store is None else [store]
        if not kept:
            raise ConfigurationError(
                "the history of no store is kept: `memorizz history on STORE` keeps it from now on"
            )
        found = {each: versions for each in kept if (versions := view.versions(id, each))}
    told = {each: _told(versions) for each, versions in found.items()}
    if as_json:
        _show.print_json({"stores": [{"store": each, "versions": versions} for each, versions in told.items()]})
    else:
        for each, versions in told.items():
            _show.heading(f"{each}  {id}")
            for version in versions:
                _print(version)
        if not told:
            _show.complain(f"no history has a memory with the id {id}: there was none, or not since it is kept")
    if not told:
        raise typer.Exit(1)


def _kept(facts: Facts) -> Operation[list[str]]:
    """Return the stores whose history is kept."""
    yield from ()
    return [store.name for store in facts.stores.values() if store.kept is not None]


def _told(versions: Sequence[Version]) -> list[dict[str, Any]]:
    """Return versions, the newest first, each with how it differs from the one before."""
    from memorizz.memory_provider._versions import with_changes

    return [{**asdict(each), "changes": changes} for each, changes in reversed(with_changes(versions))]


def _print(version: dict[str, Any]) -> None:
    said = [
        str(version["number"]),
        version["operation"] or "before the history",
        *([f"by {version['actor']}"] if version["actor"] else []),
        *([_show.when(version["since"])] if version["since"] else []),
        *([version["call"]] if version["call"] else []),
    ]
    _show.code("  ".join(said), style="bold")
    changes = [(name, _sides(sides)) for name, sides in version["changes"].items()]
    _show.show(_show.pairs(changes), 2)


def _sides(sides: dict[str, Any]) -> str:
    one, other = (_show.shortened(_show.value(sides[side])) if side in sides else "nothing" for side in ("from", "to"))
    return f"{one} -> {other}"


@commands.command()
def undo(
    call: Annotated[str, typer.Argument(help="What was done together, as its versions have it.", metavar="CALL")],
    *,
    whose: Whose,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Take back all that a call has changed, in every store whose history is kept."""
    with open_provider(server, whose) as view:
        done = view.undo(call=call)
    if as_json:
        _show.print_json({"undone": done})
        return
    for store, ids in done.items():
        _show.say(f"{store}: {len(ids)} documents are what they were")
    if not done:
        _show.say("nothing was changed by it")


@commands.command(name="list")
def list_(*, server: Server, as_json: AsJSON = False) -> None:
    """Show of which stores a history is kept, since when and for how long."""
    with open_maintenance(server) as maintenance:
        kept = {store.name: store.kept for store in maintenance.facts().stores.values()}
    if as_json:
        _show.print_json({"kept": {name: each for name, each in kept.items() if each is not None}})
        return
    _show.say(server.where, "dim")
    for name, each in kept.items():
        if each is None:
            _show.say(f"{name}: none")
        else:
            how_long = "for ever" if each.retention is None else f"for {each.retention}"
            _show.say(f"{name}: since {each.since.isoformat(timespec='seconds')}, {how_long}")
