"""memorizz language: another language of the words."""

from __future__ import annotations

from typing import Annotated

import typer

from memorizz.cli import _progress, _show
from memorizz.cli._common import AsJSON, Server, interruptible, require_server


def language(
    name: Annotated[str, typer.Argument(help="A text search configuration, such as german; simple for no language.")],
    *,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Change the language of the words, while memories are read and stored.

    Interrupted, even killed, the same command again goes on.
    """
    from memorizz.memory_provider.postgresql.maintenance import Maintenance

    with Maintenance(require_server(server.config())) as maintenance, _progress.of_work() as watch:
        # Only where somebody looks is it worth counting.
        rows = {} if watch is None else {each.name: each.rows or 0 for each in maintenance.measure()[0]}

        def tell(store: str, done: int) -> None:
            assert watch is not None
            watch("words of", store, done, rows.get(store, 0))

        with interruptible("questions look for words of both languages: the same command again goes on"):
            changed = maintenance.change_language(name, None if watch is None else tell)
        known = maintenance.facts().layout.text_search_config
    if as_json:
        _show.print_json({"language": known, "changed": changed})
        return
    _show.say(server.where, "dim")
    _show.say(f"words are in {known.removeprefix('pg_catalog.')}; {changed:,} memories got other words")
