"""memorizz history: keep what documents were, store by store, take changes back, or keep it no longer."""

from __future__ import annotations

from typing import Annotated

import typer

from memorizz.cli._common import (
    DSN,
    AsJSON,
    Embedded,
    MemoryID,
    SchemaName,
    Tenant,
    config,
    confirm,
    looking,
    memories,
    place,
)

commands = typer.Typer(
    help="Keep the history of a store, take changes back, or keep it no longer.", no_args_is_help=True
)

Store = Annotated[str, typer.Argument(help="The store.", metavar="STORE")]


@commands.command()
def on(
    store: Store,
    days: Annotated[
        float | None, typer.Option(min=0.001, max=1_000_000, metavar="DAYS", help="For how long; for ever by default.")
    ] = None,
    dsn: DSN = None,
    schema: SchemaName = None,
    embedded: Embedded = None,
    as_json: AsJSON = False,
) -> None:
    """Keep every version of a store's documents from now on, or for another time."""
    from datetime import timedelta

    with memories(config(dsn, schema, embedded, auto_migrate=False)) as provider:
        provider.keep_history(store, None if days is None else timedelta(days=days))
    list_(dsn, schema, embedded, as_json)


@commands.command()
def off(
    store: Store,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dsn: DSN = None,
    schema: SchemaName = None,
    embedded: Embedded = None,
    as_json: AsJSON = False,
) -> None:
    """Delete the history of a store, and keep none from now on."""
    settings = config(dsn, schema, embedded, auto_migrate=False)
    with looking(settings) as maintenance:
        kept = maintenance.facts().store(store).kept
    if kept is not None:
        confirm(f"Delete every version of the documents of {store} that has ended?", yes)
        with memories(settings) as provider:
            provider.drop_history(store, yes=True)
    list_(dsn, schema, embedded, as_json)


@commands.command()
def undo(
    call: Annotated[str, typer.Argument(help="What was done together, as its versions have it.", metavar="CALL")],
    tenant: Tenant = None,
    memory: MemoryID = None,
    dsn: DSN = None,
    schema: SchemaName = None,
    embedded: Embedded = None,
    as_json: AsJSON = False,
) -> None:
    """Take back all that a call has changed, in every store whose history is kept."""
    from memorizz.cli import _show

    with memories(config(dsn, schema, embedded, auto_migrate=False), tenant=tenant, memory=memory) as seen:
        done = seen.undo(call=call)
    if as_json:
        _show.print_json({"undone": done})
        return
    for store, ids in done.items():
        _show.say(f"{store}: {len(ids)} documents are what they were")
    if not done:
        _show.say("nothing was changed by it")


@commands.command(name="list")
def list_(dsn: DSN = None, schema: SchemaName = None, embedded: Embedded = None, as_json: AsJSON = False) -> None:
    """Show of which stores a history is kept, since when and for how long."""
    from memorizz.cli import _show

    settings = config(dsn, schema, embedded)
    with looking(settings) as maintenance:
        kept = {store.name: store.kept for store in maintenance.facts().stores.values()}
    if as_json:
        _show.print_json({"kept": {name: each for name, each in kept.items() if each is not None}})
        return
    _show.say(place(settings), "dim")
    for name, each in kept.items():
        if each is None:
            _show.say(f"{name}: none")
        else:
            how_long = "for ever" if each.retention is None else f"for {each.retention}"
            _show.say(f"{name}: since {each.since.isoformat(timespec='seconds')}, {how_long}")
