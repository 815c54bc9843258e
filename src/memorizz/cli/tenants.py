"""memorizz tenants: the wall that the database keeps between tenants."""

from __future__ import annotations

from typing import Annotated

import typer

from memorizz.cli import _show
from memorizz.cli._common import AsJSON, Commands, Server, open_maintenance

commands = Commands(help="Have the database keep tenants apart.", no_args_is_help=True)


@commands.command()
def enable(
    role: Annotated[str, typer.Option(metavar="NAME", help="Whom applications connect as; made where there is none.")],
    memories: Annotated[
        bool | None,
        typer.Option(
            "--memories/--no-memories", help="Keep the memories of a tenant apart too; else it stays as it is."
        ),
    ] = None,
    *,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Put row-level security on the tables of all stores, for a role that applications connect as.

    Run it as the owner of the tables. Again, it puts the wall into what has lost it.
    """
    with open_maintenance(server) as maintenance:
        wall = maintenance.enable_tenants(role, memories=memories)
    if as_json:
        _show.print_json(wall)
        return
    _show.say(server.where, "dim")
    _show.say(f"{wall.tables} tables keep tenants apart for role {wall.role}")
    if wall.memories:
        _show.say("they keep the memories of a tenant apart too, where a call or a transaction says one")
    if wall.made:
        _show.say(f"the role is new, and has no password yet: psql's \\password {wall.role} gives it one")
    if wall.out_of_reach:
        _show.say(f"{wall.out_of_reach:,} documents are of no tenant, and out of reach for that role")
    _show.say("applications connect as that role now; as that role, too, prove it:")
    _show.code(f"memorizz doctor --tenants --dsn 'user={wall.role} ...'{Server(schema=server.schema).typed}", 2)


@commands.command()
def disable(*, server: Server, as_json: AsJSON = False) -> None:
    """Take the row-level security down, and the rights of the role that it was for.

    Run it as the owner of the tables.
    """
    with open_maintenance(server) as maintenance:
        role = maintenance.disable_tenants()
    if as_json:
        _show.print_json({"role": role})
        return
    _show.say(server.where, "dim")
    _show.say("there is no wall" if role is None else f"the wall is down; role {role} is left, without rights")
