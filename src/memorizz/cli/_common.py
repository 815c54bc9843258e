"""The options that every command has, and what they open."""

from __future__ import annotations

import inspect
import logging
import os
import shlex
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_type_hints

import typer

from memorizz.cli import _show
from memorizz.errors import ConfigurationError, SchemaError

if TYPE_CHECKING:
    from memorizz.embeddings import Embedder
    from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
    from memorizz.memory_provider.postgresql.maintenance import Database, Maintenance

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
StoreName = Annotated[str, typer.Argument(help="The store.", metavar="STORE")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


# --- options that stand together ----------------------------------------------------------------------------------


class Commands(typer.Typer):
    """Commands, of which a parameter may be a dataclass: its fields are options of the command."""

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        """Return the decorator that adds a command, and leaves the function as it is."""
        return _adding(super().command(name, **options))

    def callback(self, **options: Any) -> Callable[[Any], Any]:
        """Return the decorator that adds what is done before a command, and leaves the function as it is."""
        return _adding(super().callback(**options))


def _adding(decorator: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def add(function: Any) -> Any:
        decorator(_with_fields_as_options(function))
        return function

    return add


def _with_fields_as_options(function: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(function, eval_str=True)
    groups: dict[str, Any] = {
        name: each.annotation for name, each in signature.parameters.items() if is_dataclass(each.annotation)
    }

    @wraps(function)
    def run(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{each.name: given.pop(each.name) for each in fields(group)})
        function(**given)

    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        parameters += _options(groups[name]) if name in groups else [parameter]
    cast(Any, run).__signature__ = signature.replace(parameters=parameters)
    return run


def _options(group: Any) -> list[inspect.Parameter]:
    """Return the fields of a dataclass as parameters."""
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=hints[each.name])
        for each in fields(group)
    ]


@dataclass(frozen=True)
class Whose:
    """The options that say whose memories are meant."""

    tenant: Tenant = None
    memory: MemoryID = None

    def view(self, provider: PostgreSQLProvider, agent: str | None = None) -> PostgreSQLProvider:
        """Return the view of a provider that is asked for, which has the methods of a provider."""
        view: Any = provider if self.tenant is None else provider.tenant(self.tenant)
        return view if self.memory is None else view.memory(self.memory, agent=agent)


@dataclass(frozen=True)
class Server:
    """The options that name a server, and the schema on it."""

    # It may hold a password.
    dsn: DSN = field(default=None, repr=False)
    schema: SchemaName = None
    embedded: Embedded = None

    def config(self, **options: Any) -> PostgreSQLConfig:
        """Return what to connect to; the vectors are as long as the schema says, unless `options` say it."""
        from memorizz.memory_provider.postgresql import PostgreSQLConfig

        options = {"schema": self.schema, "embedding_dimensions": None} | options
        self.check_is_one()
        if self.dsn is not None:
            return PostgreSQLConfig(dsn=self.dsn, **options)
        if self.embedded is not None:
            return PostgreSQLConfig.embedded(self.embedded, **options)
        # Which server was taken, every command says itself.
        logging.getLogger("memorizz.config").setLevel(logging.ERROR)
        return PostgreSQLConfig.auto(**options)

    def check_is_one(self) -> None:
        """Raise ConfigurationError where the options name two servers."""
        if self.dsn is not None and self.embedded is not None:
            raise ConfigurationError("--dsn and --embedded name two servers: give one of them")

    @property
    def where(self) -> str:
        """What is connected to, in words and without the password."""
        return self.config().where

    def say_schema(self, database: Database) -> None:
        """Say which schema of which database is meant, and where that is."""
        _show.say(f"schema {database.schema} of database {database.name}: {self.where}", "dim")

    @property
    def typed(self) -> str:
        """The options that name the same place on another command line; what may hold a password is left out."""
        options = {"--embedded": self.embedded, "--schema": self.schema}
        named = "".join(f" {name} {shlex.quote(str(value))}" for name, value in options.items() if value is not None)
        return named if self.dsn is None else f" --dsn ...{named}"


# --- what they open -----------------------------------------------------------------------------------------------


@contextmanager
def open_maintenance(server: Server) -> Generator[Maintenance]:
    """Open a database that has memories; raises where there are none, and makes neither a server nor tables."""
    from memorizz.memory_provider.postgresql.maintenance import Maintenance

    with Maintenance(require_server(server.config())) as maintenance:
        found = maintenance.database()
        if not found.has_migrations:
            raise SchemaError(
                f"there are no memories in schema {found.schema!r} of database {found.name!r}: name another one with "
                "--schema (the demo's is memorizz_demo), or make the tables there with `memorizz migrate`"
            )
        yield maintenance


@contextmanager
def open_provider(
    server: Server,
    whose: Whose | None = None,
    embedder: Embedder | Callable[[str | None], Embedder | None] | None = None,
) -> Generator[PostgreSQLProvider]:
    """Open a provider of memories that are there, or a view of it.

    The embedder may be what makes one of the schema's model.
    """
    from memorizz.memory_provider.postgresql import PostgreSQLProvider

    with open_maintenance(server) as maintenance:
        made = embedder(maintenance.facts().model.name) if callable(embedder) else embedder
        with PostgreSQLProvider(server.config(auto_migrate=False), embedder=made) as provider:
            yield (whose or Whose()).view(provider)


@contextmanager
def open_target(
    server: Server,
    whose: Whose,
    dimensions: Callable[[], int | None],
    *,
    agent: str | None = None,
    dry_run: bool = False,
    embedder: Embedder | None = None,
) -> Generator[PostgreSQLProvider]:
    """Open a provider to store into, or a view of it.

    Where there are no tables yet, they are made for vectors of `dimensions()`; `dry_run` makes neither a server nor
    tables, and raises SchemaError.
    """
    from memorizz.memory_provider.postgresql import PostgreSQLProvider
    from memorizz.memory_provider.postgresql.maintenance import Maintenance

    config = server.config()
    with Maintenance(require_server(config) if dry_run else config) as maintenance:
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
        yield whose.view(provider, agent)


def has_tables(server: Server) -> bool:
    """Return True if there are tables for memories; makes neither a server nor tables."""
    from memorizz.memory_provider.postgresql.maintenance import Maintenance

    config = server.config()
    path = _embedded_path(config)
    if path is not None and not os.path.exists(path):
        return False
    with Maintenance(config) as maintenance:
        return maintenance.database().has_migrations


def require_server(config: PostgreSQLConfig) -> PostgreSQLConfig:
    """Return the configuration of a server to look at; raises where looking would have to make it first."""
    path = _embedded_path(config)
    if path is not None and not os.path.exists(path):
        raise ConfigurationError(
            f"there is no embedded server in {path} yet, so nothing is stored in it: `memorizz demo` makes one with "
            "something in it; for a server of your own set POSTGRES_HOST or give --dsn"
        )
    return config


def _embedded_path(config: PostgreSQLConfig) -> Path | None:
    """Return the data folder of the configured server, None where it is no embedded one."""
    from memorizz.memory_provider.postgresql.embedded import default_path

    if config.embedded_server is None:
        return None
    return config.embedded_server.path or default_path()


def load_extra(module: str) -> Any:
    """Return a module of ours that needs an extra; raises ConfigurationError, which names the extra, without it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigurationError(str(error)) from error


# --- people -------------------------------------------------------------------------------------------------------


def confirm(question: str, yes: bool) -> None:
    """Ask before something is done; where nobody can answer, `yes` has to be said beforehand."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{question} stdin is not a terminal: pass --yes")
    typer.confirm(question, abort=True, err=True)


@contextmanager
def interruptible(message: str) -> Generator[None]:
    """Say at Ctrl-C how things stand, and end the command with exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        _show.complain(f"interrupted; {message}")
        raise typer.Exit(130) from None
