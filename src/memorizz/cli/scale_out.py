"""memorizz scale-out: the stores of a schema on several servers, by their tenant."""

from __future__ import annotations

from typing import Annotated

import typer

from memorizz.cli import _show
from memorizz.cli._common import AsJSON, Server, open_maintenance


def scale_out(
    shards: Annotated[
        int | None,
        typer.Option(
            min=1, max=64000, metavar="NUMBER", help="In how many shards; the server's citus.shard_count by default."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the statements.")] = False,
    *,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Have Citus distribute the stores over its servers, by their tenant.

    Connect to the coordinator, as the owner of the tables. What was interrupted is done by the same command again.
    """
    with open_maintenance(server) as maintenance:
        done = maintenance.scale_out(shards, dry_run=dry_run)
    if as_json:
        _show.print_json(done)
        return
    if dry_run:
        for statement in done.statements:
            print(f"{statement};")
        return
    _show.say(server.where, "dim")
    if done.tables:
        _show.say(f"{done.tables} tables are distributed over {done.servers} servers")
        _show.say("programs that have the stores open learn of it from what Citus refuses: better open them again now")
    else:
        _show.say(f"the stores were distributed before, over {done.servers} servers now")
