"""memorizz index: look at the indexes, build what is missing, build again, drop; the stores stay in use meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from memorizz.cli import _index_page, _progress, _show
from memorizz.cli._common import AsJSON, Commands, Server, Yes, confirm, open_maintenance
from memorizz.errors import ConfigurationError

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql.maintenance import Job, Maintenance

commands = Commands(
    help="List, build, rebuild and drop the indexes of the stores, which stay in use meanwhile.", no_args_is_help=True
)

_HNSW = "How the vector index is built"
_BUILD = "While it is built"

Store = Annotated[str | None, typer.Option(metavar="NAME", help="One store; all of them by default.")]
Kind = Annotated[
    str | None,
    typer.Option(help="hnsw, halfvec (half the size) or none (only the others).", rich_help_panel=_HNSW),
]
M = Annotated[
    int | None, typer.Option("--m", help="Neighbours of each vector, 2 to 100; 24 by default.", rich_help_panel=_HNSW)
]
EfConstruction = Annotated[
    int | None,
    typer.Option(help="Vectors looked at to find them, up to 1000; 128 by default.", rich_help_panel=_HNSW),
]
Memory = Annotated[
    str | None,
    typer.Option(
        "--maintenance-work-mem",
        metavar="SIZE",
        help="Memory for it, such as 2GB: of this session only.",
        rich_help_panel=_BUILD,
    ),
]
LockTimeout = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        min=0,
        help="Give up when another transaction is in the way for so long; 0 waits, and says for whom.",
        rich_help_panel=_BUILD,
    ),
]


@commands.command(name="list")
def list_(
    store: Store = None,
    *,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Show every index: what it is, what it covers, its size, how often it is used, whether it is valid."""
    with open_maintenance(server) as maintenance:
        found = maintenance.database()
        wanted = None if store is None else maintenance.facts().store(store).name
        indexes = [(index, rows) for index, rows in maintenance.indexes() if wanted in (None, index.store)]
    if as_json:
        listed = [{**asdict(index), "rows": rows} for index, rows in indexes]
        _show.print_json({"schema": found.schema, "indexes": listed})
        return
    server.say_schema(found)
    _show.say()
    _index_page.show(indexes)


@commands.command()
def build(
    store: Store = None,
    kind: Kind = None,
    m: M = None,
    ef_construction: EfConstruction = None,
    json_keys: Annotated[
        bool,
        typer.Option(
            "--json-keys",
            help="An index for filters on keys without a column, metadata included. With it every update of such a "
            "key enters the vector into its index again, and is several times slower: asks first.",
        ),
    ] = False,
    maintenance_work_mem: Memory = None,
    lock_timeout: LockTimeout = 0,
    yes: Yes = False,
    *,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Build the indexes that are missing, or left invalid by an interrupted build.

    Memories can be read and stored meanwhile. Ctrl-C ends it and leaves nothing behind.
    """
    with open_maintenance(server) as maintenance:
        jobs = maintenance.plan_build(
            store, kind=cast(Any, kind), m=m, ef_construction=ef_construction, json_keys=json_keys
        )
        if jobs and json_keys:
            confirm("Every update of a key without a column then enters its vector into its index again. Build?", yes)
        _make(server, maintenance, jobs, maintenance_work_mem, lock_timeout, as_json)


@commands.command()
def rebuild(
    name: Annotated[
        str | None, typer.Argument(help="One index, of any kind; the vector indexes by default.", metavar="[NAME]")
    ] = None,
    store: Store = None,
    kind: Kind = None,
    m: M = None,
    ef_construction: EfConstruction = None,
    maintenance_work_mem: Memory = None,
    lock_timeout: LockTimeout = 0,
    *,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Build vector indexes again: as they are, or of another kind, m or ef-construction.

    The old one serves until the new one is finished, so there must be room for both. Memories can be read and stored
    meanwhile. Ctrl-C ends it and leaves the old one.
    """
    if kind == "none":
        raise ConfigurationError("--kind none: `memorizz index drop NAME` removes an index")
    with open_maintenance(server) as maintenance:
        jobs = maintenance.plan_rebuild(name, store, kind=cast(Any, kind), m=m, ef_construction=ef_construction)
        _make(server, maintenance, jobs, maintenance_work_mem, lock_timeout, as_json)


@commands.command()
def drop(
    name: Annotated[str | None, typer.Argument(help="The index.", metavar="[NAME]")] = None,
    invalid: Annotated[
        bool, typer.Option("--invalid", help="All that interrupted builds have left: they slow writes, and serve none.")
    ] = False,
    yes: Yes = False,
    lock_timeout: LockTimeout = 0,
    *,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Drop one index, or all that are invalid; primary keys never."""
    if (name is None) is not invalid:
        raise ConfigurationError("drop what? give the NAME of an index, or --invalid")
    with open_maintenance(server) as maintenance:
        indexes = maintenance.plan_drop(name)
        names = [index.name for index in indexes]
        if names:
            confirm(f"Drop {', '.join(names)}?", yes)
            with _show.waiting(f"dropping {', '.join(names)}"):
                maintenance.drop(indexes, lock_seconds=lock_timeout)
    if as_json:
        _show.print_json({"dropped": names})
        return
    for each in names:
        _show.say(f"dropped  {each}")
    if not names:
        _show.say("no index is invalid")


def _make(
    server: Server,
    maintenance: Maintenance,
    jobs: Sequence[Job],
    memory: str | None,
    lock_timeout: float,
    as_json: bool,
) -> None:
    """Say what is going to be done and what it needs, do it, say what was done."""
    found, work_mem = maintenance.database(), maintenance.maintenance_work_mem()
    if not as_json:
        server.say_schema(found)
        _show.say()
        _index_page.show_plan(jobs, work_mem, memory)
    done: list[dict[str, Any]] = []
    with _progress.of_build() as watch:
        try:
            for made in maintenance.make(jobs, memory=memory, lock_seconds=lock_timeout, watch=watch):
                done.append(_index_page.report(made))
                if not as_json:
                    _index_page.show_made(made)
        except KeyboardInterrupt as interrupt:
            left = getattr(interrupt, "__notes__", None)
            sys.stdout.flush()
            _show.complain(f"interrupted; {left[0] if left else 'what was begun is removed again'}")
            raise typer.Exit(130) from None
    if as_json:
        _show.print_json({"schema": found.schema, "made": done})
        return
    if not jobs:
        _show.say("nothing is missing")
