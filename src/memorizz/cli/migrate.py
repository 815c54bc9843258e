"""memorizz migrate: make the tables, or bring them to the version of this program."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from memorizz.cli import _show
from memorizz.cli._common import AsJSON, Server, require_server

_NEW = "For a new schema, fixed from then on"


def migrate(
    check: Annotated[bool, typer.Option("--check", help="Only list what is pending; exit code 1 if any.")] = False,
    dimensions: Annotated[
        int | None, typer.Option(help="Length of the vectors; 1536 by default.", rich_help_panel=_NEW)
    ] = None,
    index: Annotated[
        str | None, typer.Option(help="Vector index: hnsw (default), halfvec or none.", rich_help_panel=_NEW)
    ] = None,
    vector_type: Annotated[
        str | None,
        typer.Option(help="How vectors are kept: vector (default) or halfvec.", rich_help_panel=_NEW),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(help="Text search configuration of the words; english by default.", rich_help_panel=_NEW),
    ] = None,
    *,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Make the tables, or bring them to this version; for those who open providers with auto_migrate=False."""
    from memorizz.memory_provider.postgresql.maintenance import Maintenance

    chosen = {"index": index, "vector_type": vector_type, "text_search_config": language}
    options: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
    settings = server.config(embedding_dimensions=dimensions, **options)
    with Maintenance(require_server(settings) if check else settings) as maintenance:
        done = maintenance.pending() if check else maintenance.migrate()
        found = maintenance.database()
        made = None if check and done else maintenance.facts().model.dimensions
    named = [{"version": each.version, "name": each.name} for each in done]
    if as_json:
        key = "pending" if check else "applied"
        _show.print_json({"schema": found.schema, "dimensions": made, key: named})
    else:
        server.say_schema(found)
        for each in done:
            _show.say(f"{'pending' if check else 'applied'}  {each.version} {each.name}")
        if not done:
            _show.say("nothing is pending")
    if check and done:
        raise typer.Exit(1)
