"""The options that every command has, and the configuration that they make."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memorizz.errors import ConfigurationError, SchemaError

if TYPE_CHECKING:
    from memorizz.embeddings import Embedder
    from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
    from memorizz.memory_provider.postgresql.maintenance import Maintenance

_PANEL = "Which server (else POSTGRES_HOST and so on, else the embedded one)"

DSN = Annotated[
    str | None,
    typer.Option(
        metavar="STRING",
        help="libpq string or postgresql:// URL; its password is better kept in PGPASSWORD or ~/.pgpass.",
        rich_help_panel=_PANEL,
    ),
]
SchemaName = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Schema of the tables; the connection's own by default.", rich_help_panel=_PANEL),
]
Embedded = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="Data folder of an embedded server.", rich_help_panel=_PANEL),
]
_WHOSE = "Whose (else all that is of no tenant)"
Tenant = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", envvar="MEMORIZZ_TENANT", help="One tenant's alone; no call leaves it.", rich_help_panel=_WHOSE
    ),
]
MemoryID = Annotated[
    str | None,
    typer.Option("--memory", metavar="ID", help="One memory alone; no call leaves it.", rich_help_panel=_WHOSE),
]
AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]
Id = Annotated[str, typer.Argument(help="The id of a memory.")]
Limit = Annotated[int, typer.Option(help="How many to show.", min=1)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def config(dsn: str | None, schema: str | None, embedded: Path | None, **options: Any) -> PostgreSQLConfig:
    """Return what to connect to; the vectors are as long as the schema says, unless `options` say it."""
    from memorizz.memory_provider.postgresql import PostgreSQLConfig

    options = {"schema": schema, "embedding_dimensions": None} | options
    check_one_server(dsn, embedded)
    if dsn is not None:
        return PostgreSQLConfig(dsn=dsn, **options)
    if embedded is not None:
        return PostgreSQLConfig.embedded(embedded, **options)
    # Which server was taken, every command says itself.
    logging.getLogger("memorizz.config").setLevel(logging.ERROR)
    return PostgreSQLConfig.auto(**options)


def check_one_server(dsn: str | None, embedded: Path | None) -> None:
    """Raise ConfigurationError where the options name two servers."""
    if dsn is not None and embedded is not None:
        raise ConfigurationError("--dsn and --embedded name two servers: give one of them")


@contextmanager
def looking(config: PostgreSQLConfig) -> Generator[Maintenance]:
    """Open a database that has memories; raises where there are none, and makes neither a server nor tables."""
    from memorizz.memory_provider.postgresql.maintenance import Maintenance

    with Maintenance(existing(config)) as maintenance:
        found = maintenance.database()
        if not found.has_migrations:
            raise SchemaError(
                f"there are no memories in schema {found.schema!r} of database {found.name!r}: name another one with "
                "--schema (the demo's is memorizz_demo), or make the tables there with `memorizz migrate`"
            )
        yield maintenance


@contextmanager
def memories(
    config: PostgreSQLConfig,
    embedder: Embedder | Callable[[str | None], Embedder | None] | None = None,
    *,
    tenant: str | None = None,
    memory: str | None = None,
) -> Generator[PostgreSQLProvider]:
    """Open a provider of memories that are there, or a view of it.

    The embedder may be what makes one of the schema's model.
    """
    from memorizz.memory_provider.postgresql import PostgreSQLProvider

    with looking(config) as maintenance:
        made = embedder(maintenance.facts().model.name) if callable(embedder) else embedder
        with PostgreSQLProvider(config, embedder=made) as provider:
            yield _within(provider, tenant, memory)


def _within(
    provider: PostgreSQLProvider, tenant: str | None, memory: str | None, agent: str | None = None
) -> PostgreSQLProvider:
    """Return the view that is asked for, which has the methods of a provider."""
    view: Any = provider if tenant is None else provider.tenant(tenant)
    return view if memory is None else view.memory(memory, agent=agent)


@contextmanager
def receiving(
    config: PostgreSQLConfig,
    dimensions: Callable[[], int | None],
    *,
    dry_run: bool = False,
    embedder: Embedder | None = None,
    tenant: str | None = None,
    memory: str | None = None,
    agent: str | None = None,
) -> Generator[PostgreSQLProvider]:
    """Open a provider to store into, or a view of it.

    Where there are no tables yet, they are made for vectors of `dimensions()`; `dry_run` makes neither a server nor
    tables, and raises SchemaError.
    """
    from memorizz.memory_provider.postgresql import PostgreSQLProvider
    from memorizz.memory_provider.postgresql.maintenance import Maintenance

    with Maintenance(existing(config) if dry_run else config) as maintenance:
        found = maintenance.database()
    if not found.has_migrations:
        length = dimensions()
        if dry_run:
            wanted = "" if length is None else f" --dimensions {length}"
            raise SchemaError(
                f"schema {found.schema!r} has no tables to say what fits: `memorizz migrate{wanted}` makes them"
            )
        config = config.replace(embedding_dimensions=length)
    with PostgreSQLProvider(config, embedder=embedder) as provider:
        yield _within(provider, tenant, memory, agent)


def has_tables(config: PostgreSQLConfig) -> bool:
    """Return True if there are tables for memories; makes neither a server nor tables."""
    from memorizz.memory_provider.postgresql.maintenance import Maintenance

    path = embedded_path(config)
    if path is not None and not os.path.exists(path):
        return False
    with Maintenance(config) as maintenance:
        return maintenance.database().has_migrations


def existing(config: PostgreSQLConfig) -> PostgreSQLConfig:
    """Return the configuration of a server to look at; raises where looking would have to make it first."""
    path = embedded_path(config)
    if path is not None and not os.path.exists(path):
        raise ConfigurationError(
            f"there is no embedded server in {path} yet, so nothing is stored in it: `memorizz demo` makes one with "
            "something in it; for a server of your own set POSTGRES_HOST or give --dsn"
        )
    return config


def embedded_path(config: PostgreSQLConfig) -> Path | None:
    """Return the data folder of the configured server, None where it is no embedded one."""
    from memorizz.memory_provider.postgresql.embedded import default_path

    if config.embedded_server is None:
        return None
    return config.embedded_server.path or default_path()


def place(config: PostgreSQLConfig) -> str:
    """Say in words what is connected to, without the password."""
    return config.where


def repeated(config: PostgreSQLConfig, dsn: str | None, embedded: Path | None) -> str:
    """Return the options that name the same place on another command line; what may hold a password is left out."""
    options = (
        " --dsn ..." if dsn is not None else f" --embedded {shlex.quote(str(embedded))}" if embedded is not None else ""
    )
    return f"{options} --schema {config.schema}" if config.schema is not None else options


def confirm(question: str, yes: bool) -> None:
    """Ask before something is done; where nobody can answer, `yes` has to be said beforehand."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{question} stdin is not a terminal: pass --yes")
    typer.confirm(question, abort=True, err=True)
