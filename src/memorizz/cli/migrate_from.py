"""memorizz migrate-from: all memories of another place, into this one."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memorizz.cli import _move_page, _progress
from memorizz.cli._common import AsJSON, Server, Whose, open_target
from memorizz.errors import ConfigurationError

if TYPE_CHECKING:
    from memorizz.moving import Source

_SOURCE = "What to read"
_HELD = "Where the target holds documents already (else that is refused)"


SourceText = Annotated[
    str,
    typer.Argument(
        help="A mongodb:// URI, the folder of a mongodump, or a PostgreSQL string or URL.", metavar="SOURCE"
    ),
]
Database = Annotated[
    str | None,
    typer.Option(help="MongoDB's database; the URI's own, or memorizz.", metavar="NAME", rich_help_panel=_SOURCE),
]
SourceSchema = Annotated[
    str | None,
    typer.Option(help="Schema of the tables, in a PostgreSQL source.", metavar="NAME", rich_help_panel=_SOURCE),
]
Stores = Annotated[
    list[str] | None,
    typer.Option(help="One store; give it again for more; all by default.", metavar="NAME", rich_help_panel=_SOURCE),
]
Merge = Annotated[
    bool, typer.Option("--merge", help="Keep them, and merge those of the same id.", rich_help_panel=_HELD)
]
Replace = Annotated[
    bool, typer.Option("--replace", help="Delete them first, in the stores that are copied.", rich_help_panel=_HELD)
]
Yes = Annotated[bool, typer.Option("--yes", help="With --replace: do not ask.", rich_help_panel=_HELD)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Write nothing: list what is stored, and what would not fit.")]
JournalFile = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="Where it is noted how far the copy has come; else in the user's own folder."),
]
BatchSize = Annotated[int, typer.Option(help="Documents that are written at once.", min=1, max=10_000)]


def migrate_from(
    source: SourceText,
    db: Database = None,
    source_schema: SourceSchema = None,
    store: Stores = None,
    merge: Merge = False,
    replace: Replace = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    journal: JournalFile = None,
    batch_size: BatchSize = 500,
    *,
    whose: Whose,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Copy all memories of another place into this one, and compare both when it is done.

    Every id, time and vector stays as it is. Interrupted, even killed, the same command again goes on where it was.
    Exit code 1: something could not be copied, or differs.
    """
    from memorizz.moving import copy, dimensions

    if merge and replace:
        raise ConfigurationError("--merge and --replace are two ways to treat what is there: give one of them")
    with (
        _source(source, db, source_schema) as opened,
        open_target(server, whose, lambda: dimensions(opened), dry_run=dry_run) as target,
        _progress.of_documents() as watch,
        _move_page.going_on(),
    ):
        report = copy(
            opened,
            target,
            store,
            batch_size=batch_size,
            existing="merge" if merge else "replace" if replace else "refuse",
            dry_run=dry_run,
            journal=journal,
            progress=watch,
            confirm=_move_page.confirming(server.where, yes),
        )
    _move_page.conclude(report, as_json)


@contextmanager
def _source(text: str, db: str | None, schema: str | None) -> Generator[Source]:
    """Open what SOURCE names."""
    from memorizz.memory_provider.mongodb import MongoDBConfig, MongoDBProvider
    from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
    from memorizz.moving import Dump, ProviderSource

    if text.startswith(("mongodb://", "mongodb+srv://")):
        # Nothing is made in a database that is only read.
        options = MongoDBConfig(text, db or _named(text) or "memorizz", create_indexes=False)
        with MongoDBProvider(options) as provider:
            yield ProviderSource(provider)
        return
    if "=" not in text and "://" not in text:
        yield Dump(text, db)
        return
    settings = PostgreSQLConfig(dsn=text, schema=schema, embedding_dimensions=None, auto_migrate=False)
    with PostgreSQLProvider(settings) as provider:
        yield ProviderSource(provider)


def _named(uri: str) -> str:
    """Return the database that a URI of MongoDB names, or an empty text."""
    return uri.partition("://")[2].partition("?")[0].partition("/")[2]
