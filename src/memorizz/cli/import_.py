"""memorizz import: memories out of a file, of `memorizz export` or of another program."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from memorizz.cli import _progress, _show
from memorizz.cli._common import (
    DSN,
    AsJSON,
    Embedded,
    MemoryID,
    SchemaName,
    Tenant,
    config,
    has_tables,
    place,
    receiving,
)
from memorizz.cli.export import Store, show_counts
from memorizz.errors import ConfigurationError, one_line, quoted

if TYPE_CHECKING:
    from datetime import tzinfo

    from memorizz.importers import Noted, Report
    from memorizz.memory_provider.postgresql import PostgreSQLConfig

_OURS, _OTHERS = "A file of memorizz export", "A file of another program"

_OF_OURS = ("store", "merge", "replace", "yes", "without_embeddings")
_OF_OTHERS = ("timezone", "date_order", "agent", "dry_run", "with_embeddings")


def _list_formats(wanted: bool) -> None:
    if wanted:
        from memorizz.importers._registry import FORMATS

        rows = [[each.name, each.title] for each in FORMATS]
        _show.show(_show.table({"--format": _show.LEFT, "is": _show.WIDE}, rows))
        raise typer.Exit


def _ours(name: str, help: str) -> Any:
    return typer.Option(name, help=help, rich_help_panel=_OURS)


def _others(name: str, metavar: str | None, help: str) -> Any:
    return typer.Option(name, metavar=metavar, help=help, rich_help_panel=_OTHERS)


File = Annotated[
    str,
    typer.Argument(
        metavar="[FILE]",
        help="Of `memorizz export`, or of another program: a file, a folder, a postgresql:// URL; - is stdin.",
    ),
]
FormatName = Annotated[str | None, _others("--format", "NAME", "What it is; by default that is seen.")]
Formats = Annotated[bool, typer.Option("--formats", callback=_list_formats, is_eager=True, help="List the formats.")]
Merge = Annotated[bool, _ours("--merge", "Merge into what is there: the same id is the same memory.")]
Replace = Annotated[bool, _ours("--replace", "Delete what is there in the stores that are loaded.")]
Yes = Annotated[bool, _ours("--yes", "With --replace: do not ask.")]
WithoutEmbeddings = Annotated[bool, _ours("--without-embeddings", "Leave the embeddings out.")]
Timezone = Annotated[str | None, _others("--timezone", "ZONE", "Of clocks that say none, Europe/Rome; else UTC.")]
DateOrder = Annotated[str | None, _others("--date-order", "dmy|mdy|ymd", "Of dates that do not show it.")]
AgentID = Annotated[str | None, _others("--agent", "ID", "Whose they are, within --memory.")]
WithEmbeddings = Annotated[
    bool, _others("--with-embeddings", None, "Take vectors along, which the model of this schema has made.")
]
DryRun = Annotated[bool, _others("--dry-run", None, "Store nothing, and say what would be.")]
MaxDocument = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Refuse a document of more than N MB, 4 by default; a conversation, 64."),
]


def import_(
    file: File = "-",
    format: FormatName = None,
    formats: Formats = False,
    store: Store = None,
    merge: Merge = False,
    replace: Replace = False,
    yes: Yes = False,
    without_embeddings: WithoutEmbeddings = False,
    timezone: Timezone = None,
    date_order: DateOrder = None,
    with_embeddings: WithEmbeddings = False,
    dry_run: DryRun = False,
    agent: AgentID = None,
    max_document_mb: MaxDocument = None,
    tenant: Tenant = None,
    memory: MemoryID = None,
    dsn: DSN = None,
    schema: SchemaName = None,
    embedded: Embedded = None,
    as_json: AsJSON = False,
) -> None:
    """Load memories out of a file, or out of a pipe: of `memorizz export`, of ChatGPT, of others (--formats).

    A file of `memorizz export` is loaded whole or not at all; stores that hold memories are refused, unless --merge or
    --replace is said. Of a file of another program what is new is added, once all of it is read and found whole. Exit
    code 1: some documents could not be stored, and are listed.
    """
    given = dict(locals())
    _check(file, merge, replace)
    settings = config(dsn, schema, embedded)
    with _opened(file) as source:
        if format is None and _is_ours(source):
            _refuse(given, _OF_OTHERS, "is for files of other programs, and this one is of memorizz export")
            _load(source, settings, given)
        else:
            _refuse(given, _OF_OURS, "is for files of memorizz export, which this one is not")
            _take_over(source, settings, given)


def _check(file: str, merge: bool, replace: bool) -> None:
    if merge and replace:
        raise ConfigurationError("--merge and --replace are two ways: give one of them")
    if file == "-" and sys.stdin.isatty():
        raise ConfigurationError("import what? name a FILE, or pipe an export into it")


def _refuse(given: Mapping[str, Any], names: tuple[str, ...], why: str) -> None:
    for name in names:
        if given[name]:
            raise ConfigurationError(f"--{name.replace('_', '-')} {why}: leave it out")


@contextmanager
def _opened(file: str) -> Generator[str | IO[bytes]]:
    """Open what can be read only once, a pipe under whatever name; all else stays a path."""
    if file == "-":
        yield sys.stdin.buffer
    elif os.path.exists(file) and stat.S_ISFIFO(os.stat(file).st_mode):
        with open(file, "rb") as pipe:
            yield pipe
    else:
        yield file


def _is_ours(source: str | IO[bytes]) -> bool:
    from memorizz import moving

    if not isinstance(source, str):
        peek: Any = getattr(source, "peek", None)
        return peek is None or moving.is_export(peek(100))
    if not os.path.isfile(source):
        return False
    try:
        with open(source, "rb") as file:
            return moving.is_export(file.read(100))
    except OSError:
        # Whoever reads it says so.
        return False


# --- of memorizz export -------------------------------------------------------------------------------------------


def _load(source: str | IO[bytes], settings: PostgreSQLConfig, given: Mapping[str, Any]) -> None:
    from memorizz import moving
    from memorizz.cli import _move_page

    stores, embeddings = given["store"], not given["without_embeddings"]
    existing: Any = "merge" if given["merge"] else "replace" if given["replace"] else "refuse"
    with moving.opened(source, (given["max_document_mb"] or 4) * 2**20) as found:
        dimensions = found.manifest.dimensions if embeddings else None
        with (
            receiving(settings, lambda: dimensions, tenant=given["tenant"], memory=given["memory"]) as provider,
            _progress.of_documents() as watch,
        ):
            if existing == "replace":
                _move_page.confirm_replacing(provider, found.chosen(stores), place(settings), given["yes"])
            counts = found.load(provider, stores=stores, existing=existing, embeddings=embeddings, progress=watch)
    if given["as_json"]:
        _show.print_json({"file": given["file"], "stores": counts})
    else:
        show_counts(settings, counts, given["file"])


# --- of another program -------------------------------------------------------------------------------------------


def _take_over(source: str | IO[bytes], settings: PostgreSQLConfig, given: Mapping[str, Any]) -> None:
    from memorizz import importers

    if given["agent"] is not None and given["memory"] is None:
        raise ConfigurationError("--agent is one within a memory: say which with --memory")
    options: dict[str, Any] = {name: given[name] for name in ("format", "date_order")}
    options |= {"timezone": _zone(given["timezone"]), "embeddings": given["with_embeddings"]}
    if given["max_document_mb"] is not None:
        options["max_document_bytes"] = given["max_document_mb"] * 2**20
    scope = {name: given[name] for name in ("tenant", "memory", "agent")}
    dry_run = given["dry_run"]
    with importers.opened(source, **options) as found, _going_on(), _progress.of_import() as watch:
        if dry_run and not has_tables(settings):
            # What would be stored can be said without them, save what they cannot hold.
            report = found.store_into(None, dry_run=True, progress=watch)
        else:
            with receiving(settings, lambda: None, dry_run=dry_run, **scope) as provider:
                report = found.store_into(provider, dry_run=dry_run, progress=watch)
    if given["as_json"]:
        _show.print_json(report.to_dict())
    else:
        _show_report(report, settings)
    if not report.ok:
        raise typer.Exit(1)


@contextmanager
def _going_on() -> Generator[None]:
    """Say of what interrupts an import that it can be gone on with."""
    try:
        yield
    except KeyboardInterrupt:
        _show.complain("interrupted; what was stored until then stays, the same command again stores the rest")
        raise typer.Exit(130) from None


def _zone(name: str | None) -> tzinfo:
    from datetime import UTC
    from zoneinfo import ZoneInfo

    if name is None:
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ConfigurationError(
            f"--timezone {quoted(name)} is not known here: expected a name like Europe/Rome (on Windows, and where a "
            "system has none, `pip install tzdata` brings them)"
        ) from None


def _show_report(report: Report, settings: PostgreSQLConfig) -> None:
    _show.say(f"{report.source} ({report.format}), {place(settings)}", "dim")
    new = "would be stored" if report.dry_run else "stored"
    rows = [[store, f"{count:,}", f"{report.there[store]:,}"] for store, count in report.stored.items()]
    if rows:
        columns = {"store": _show.LEFT, new: _show.RIGHT, "already there": _show.RIGHT}
        _show.show(_show.table(columns, rows))
    else:
        _show.say("there is nothing in it to store")
    _list("left out", report.left_out)
    _list("assumed", report.remarks)
    _list("NOT STORED", report.refused)
    if report.dry_run:
        _show.say("nothing was written", "dim")


def _list(title: str, notes: Mapping[str, Noted]) -> None:
    for reason, noted in notes.items():
        _show.say(one_line(f"{title}: {noted.count:,}, {_show.shortened(reason, 300)}"), "yellow")
        for each in noted.places:
            _show.say(one_line(f"  {_show.shortened(each, 200)}"), "dim")
        if noted.count > len(noted.places):
            _show.say(f"  and {noted.count - len(noted.places):,} more", "dim")
