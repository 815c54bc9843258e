"""memorizz language: another language of the words."""

from __future__ import annotations

from typing import Annotated

import typer

from memorizz.cli import _progress, _show
from memorizz.cli._common import DSN, AsJSON, Embedded, SchemaName, config, existing, place


def language(
    name: Annotated[str, typer.Argument(help="A text search configuration, such as german; simple for no language.")],
    dsn: DSN = None,
    schema: SchemaName = None,
    embedded: Embedded = None,
    as_json: AsJSON = False,
) -> None:
    """Change the language of the words, while memories are read and stored.

    Interrupted, even killed, the same command again goes on.
    """
    from memorizz.memory_provider.postgresql.maintenance import Maintenance

    settings = existing(config(dsn, schema, embedded))
    with Maintenance(settings) as maintenance, _progress.of_work("words of") as watch:
        # Only where somebody looks is it worth counting.
        rows = {} if watch is None else {each.name: each.rows or 0 for each in maintenance.measure()[0]}

        def tell(store: str, done: int) -> None:
            assert watch is not None
            watch(store, done, rows.get(store, 0))

        try:
            changed = maintenance.change_language(name, None if watch is None else tell)
        except KeyboardInterrupt:
            _show.complain("interrupted; questions look for words of both languages: the same command again goes on")
            raise typer.Exit(130) from None
        known = maintenance.facts().layout.text_search_config
    if as_json:
        _show.print_json({"language": known, "changed": changed})
        return
    _show.say(place(settings), "dim")
    _show.say(f"words are in {known.removeprefix('pg_catalog.')}; {changed:,} memories got other words")
