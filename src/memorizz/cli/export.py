"""memorizz export: memories into a file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated

import typer

from memorizz.cli import _move_page, _progress, _show
from memorizz.cli._common import AsJSON, Server, Whose, open_provider
from memorizz.errors import ConfigurationError

Store = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="One store; may be given several times. All by default.")
]


def export(
    file: Annotated[
        str, typer.Argument(metavar="[FILE]", help="A file, for Markdown a new folder; - is stdout.")
    ] = "-",
    store: Store = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="jsonl, jsonl.gz, jsonl.zst or parquet, by default what the file's name ends with; or for others to "
            "read, without embeddings: markdown, mcp or mem0."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    *,
    whose: Whose,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Write memories into a file, or into a pipe: ids, times and embeddings included, where the format has them.

    Programs may read and store meanwhile; what they store while it runs may be in the file or not. Exit code 1: some
    documents could not be exported, and are listed.
    """
    from memorizz import moving

    to_stdout = file == "-"
    if to_stdout and as_json:
        raise ConfigurationError("--json reports on stdout, where the export goes: name a FILE")
    if to_stdout and sys.stdout.isatty() and format not in (None, "jsonl", "mcp", "mem0"):
        raise ConfigurationError(f"{format} is not for a terminal: name a FILE, or a program to pipe it to")
    with open_provider(server, whose) as provider, _progress.of_documents() as watch:
        if not to_stdout:
            exported = moving.export(provider, file, stores=store, format=format, force=force, progress=watch)
        else:
            # Not sys.stdout's own buffer, which Python would write once more at its end where nobody reads any more.
            with open(sys.stdout.fileno(), "wb", closefd=False) as out:
                exported = moving.export(provider, out, stores=store, format=format, progress=watch)
    if as_json:
        _show.print_json({"file": file, **exported.to_dict()})
    elif not to_stdout:
        show_counts(server, exported, file)
    if not exported.ok:
        _move_page.complain_of(exported)
        raise typer.Exit(1)


def show_counts(server: Server, counts: Mapping[str, int], file: str) -> None:
    """Print how many documents of each store were moved."""
    _show.say(f"{file}, {server.where}", "dim")
    rows = [[store, f"{count:,}"] for store, count in counts.items()]
    _show.show(_show.table({"store": _show.LEFT, "documents": _show.RIGHT}, rows, ["all", f"{sum(counts.values()):,}"]))
