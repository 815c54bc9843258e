"""memorizz import: memories out of a file, of `memorizz export` or of another program."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import IO, TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from memorizz.cli import _move_page, _progress, _show
from memorizz.cli._common import AsJSON, Server, Whose, has_tables, interruptible, open_target
from memorizz.cli.export import Store, show_counts
from memorizz.errors import ConfigurationError, one_line, quoted

if TYPE_CHECKING:
    from memorizz.importers import Noted, Report

_OURS, _OTHERS = "A file of memorizz export", "A file of another program"


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
WithEmbeddings = Annotated[
    bool, _others("--with-embeddings", None, "Take vectors along, which the model of this schema has made.")
]
DryRun = Annotated[bool, _others("--dry-run", None, "Store nothing, and say what would be.")]
AgentID = Annotated[str | None, _others("--agent", "ID", "Whose they are, within --memory.")]
MaxDocument = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Refuse a document of more than N MB, 4 by default; a conversation, 64."),
]


@dataclass(frozen=True)
class Ours:
    """The options for a file of `memorizz export`."""

    store: Store = None
    merge: Merge = False
    replace: Replace = False
    yes: Yes = False
    without_embeddings: WithoutEmbeddings = False


@dataclass(frozen=True)
class Others:
    """The options for a file of another program."""

    timezone: Timezone = None
    date_order: DateOrder = None
    with_embeddings: WithEmbeddings = False
    dry_run: DryRun = False
    agent: AgentID = None


def import_(
    file: File = "-",
    format: FormatName = None,
    formats: Formats = False,
    *,
    ours: Ours,
    others: Others,
    max_document_mb: MaxDocument = None,
    whose: Whose,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Load memories out of a file, or out of a pipe: of `memorizz export`, of ChatGPT, of others (--formats).

    A file of `memorizz export` is loaded whole or not at all; stores that hold memories are refused, unless --merge or
    --replace is said. Of a file of another program what is new is added, once all of it is read and found whole. Exit
    code 1: some documents could not be stored, and are listed.
    """
    if ours.merge and ours.replace:
        raise ConfigurationError("--merge and --replace are two ways: give one of them")
    if file == "-" and sys.stdin.isatty():
        raise ConfigurationError("import what? name a FILE, or pipe an export into it")
    with _opened(file) as source:
        if format is None and _is_ours(source):
            _refuse(others, "is for files of other programs, and this one is of memorizz export")
            counts = _load(source, ours, (max_document_mb or 4) * 2**20, whose, server)
            if as_json:
                _show.print_json({"file": file, "stores": counts})
            else:
                show_counts(server, counts, file)
            return
        _refuse(ours, "is for files of memorizz export, which this one is not")
        report = _take_over(source, format, others, max_document_mb, whose, server)
    if as_json:
        _show.print_json(report.to_dict())
    else:
        _show_report(report, server)
    if not report.ok:
        raise typer.Exit(1)


def _refuse(options: Ours | Others, why: str) -> None:
    """Raise ConfigurationError for an option that is given and is not for this file."""
    for name, value in vars(options).items():
        if value:
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


def _load(source: str | IO[bytes], options: Ours, most: int, whose: Whose, server: Server) -> dict[str, int]:
    """Load a file of `memorizz export`, and return how many documents of each store."""
    from memorizz import moving

    embeddings = not options.without_embeddings
    with moving.opened(source, most) as found:
        dimensions = found.manifest.dimensions if embeddings else None
        with open_target(server, whose, lambda: dimensions) as provider, _progress.of_documents() as watch:
            if options.replace:
                _move_page.confirm_replacing(provider, found.chosen(options.store), server.where, options.yes)
            return found.load(
                provider,
                stores=options.store,
                existing="merge" if options.merge else "replace" if options.replace else "refuse",
                embeddings=embeddings,
                progress=watch,
            )


def _take_over(
    source: str | IO[bytes], format: str | None, given: Others, most: int | None, whose: Whose, server: Server
) -> Report:
    """Store what is new in a file of another program, and return what became of it."""
    from memorizz import importers

    if given.agent is not None and whose.memory is None:
        raise ConfigurationError("--agent is one within a memory: say which with --memory")
    options: dict[str, Any] = {"format": format, "date_order": given.date_order, "embeddings": given.with_embeddings}
    if most is not None:
        options["max_document_bytes"] = most * 2**20
    with (
        importers.opened(source, timezone=_zone(given.timezone), **options) as found,
        interruptible("what was stored until then stays, the same command again stores the rest"),
        _progress.of_import() as watch,
    ):
        if given.dry_run and not has_tables(server):
            # What would be stored can be said without them, save what they cannot hold.
            return found.store_into(None, dry_run=True, progress=watch)
        with open_target(server, whose, lambda: None, agent=given.agent, dry_run=given.dry_run) as provider:
            return found.store_into(provider, dry_run=given.dry_run, progress=watch)


def _zone(name: str | None) -> tzinfo:
    if name is None:
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ConfigurationError(
            f"--timezone {quoted(name)} is not known here: expected a name like Europe/Rome (on Windows, and where a "
            "system has none, `pip install tzdata` brings them)"
        ) from None


def _show_report(report: Report, server: Server) -> None:
    _show.say(f"{report.source} ({report.format}), {server.where}", "dim")
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
