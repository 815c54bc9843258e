"""memorizz export and memorizz import: memories into a file, and out of it again."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from memorizz.cli._common import DSN, AsJSON, Embedded, MemoryID, SchemaName, Tenant, config, memories, place, receiving

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql import PostgreSQLConfig

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
    tenant: Tenant = None,
    memory: MemoryID = None,
    dsn: DSN = None,
    schema: SchemaName = None,
    embedded: Embedded = None,
    as_json: AsJSON = False,
) -> None:
    """Write memories into a file, or into a pipe: ids, times and embeddings included, where the format has them.

    Programs may read and store meanwhile; what they store while it runs may be in the file or not. Exit code 1: some
    documents could not be exported, and are listed.
    """
    from memorizz import moving
    from memorizz.cli import _move_page, _progress, _show
    from memorizz.errors import ConfigurationError

    to_stdout = file == "-"
    if to_stdout and as_json:
        raise ConfigurationError("--json reports on stdout, where the export goes: name a FILE")
    if to_stdout and sys.stdout.isatty() and format not in (None, "jsonl", "mcp", "mem0"):
        raise ConfigurationError(f"{format} is not for a terminal: name a FILE, or a program to pipe it to")
    settings = config(dsn, schema, embedded, auto_migrate=False)
    with memories(settings, tenant=tenant, memory=memory) as provider, _progress.of_documents() as watch:
        if not to_stdout:
            exported = moving.export(provider, file, stores=store, format=format, force=force, progress=watch)
        else:
            # Not sys.stdout's own buffer, which Python would write once more at its end where nobody reads any more.
            with open(sys.stdout.fileno(), "wb", closefd=False) as out:
                exported = moving.export(provider, out, stores=store, format=format, progress=watch)
    if as_json:
        _show.print_json({"file": file, **exported.to_dict()})
    elif not to_stdout:
        _show_counts(settings, exported, file)
    if not exported.ok:
        _move_page.complain_of(exported)
        raise typer.Exit(1)


def import_(
    file: Annotated[
        str, typer.Argument(metavar="[FILE]", help="What `memorizz export` has written; - is stdin.")
    ] = "-",
    store: Store = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Merge into what is there: the same id is the same memory.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Delete what is there in the stores that are loaded.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --replace: do not ask.")] = False,
    max_document_mb: Annotated[
        int, typer.Option(metavar="N", min=1, help="Refuse a file with a document of more than N MB.")
    ] = 4,
    without_embeddings: Annotated[bool, typer.Option("--without-embeddings", help="Leave the embeddings out.")] = False,
    tenant: Tenant = None,
    memory: MemoryID = None,
    dsn: DSN = None,
    schema: SchemaName = None,
    embedded: Embedded = None,
    as_json: AsJSON = False,
) -> None:
    """Load memories out of a file, or out of a pipe: all of them, or none if anything is wrong.

    Refuses stores that hold memories, unless --merge or --replace is said.
    """
    from memorizz import moving
    from memorizz.cli import _move_page, _progress, _show

    _check_import(file, merge, replace)
    existing: Any = "merge" if merge else "replace" if replace else "refuse"
    source: str | IO[bytes] = sys.stdin.buffer if file == "-" else file
    settings = config(dsn, schema, embedded)
    with moving.opened(source, max_document_mb * 2**20) as found:
        dimensions = None if without_embeddings else found.manifest.dimensions
        with (
            receiving(settings, lambda: dimensions, tenant=tenant, memory=memory) as provider,
            _progress.of_documents() as watch,
        ):
            if replace:
                _move_page.confirm_replacing(provider, found.chosen(store), place(settings), yes)
            counts = found.load(
                provider, stores=store, existing=existing, embeddings=not without_embeddings, progress=watch
            )
    if as_json:
        _show.print_json({"file": file, "stores": counts})
    else:
        _show_counts(settings, counts, file)


def _check_import(file: str, merge: bool, replace: bool) -> None:
    from memorizz.errors import ConfigurationError

    if merge and replace:
        raise ConfigurationError("--merge and --replace are two ways: give one of them")
    if file == "-" and sys.stdin.isatty():
        raise ConfigurationError("import what? name a FILE, or pipe an export into it")


def _show_counts(settings: PostgreSQLConfig, counts: Mapping[str, int], file: str) -> None:
    from memorizz.cli import _show

    _show.say(f"{file}, {place(settings)}", "dim")
    rows = [[store, f"{count:,}"] for store, count in counts.items()]
    _show.show(_show.table({"store": _show.LEFT, "documents": _show.RIGHT}, rows, ["all", f"{sum(counts.values()):,}"]))
