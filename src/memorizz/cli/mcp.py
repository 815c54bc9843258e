"""memorizz mcp: a memory as a server of the Model Context Protocol, for every host that speaks it."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from memorizz.cli import _show
from memorizz.cli._common import AsJSON, Commands, Server, Tenant, Whose, load_extra, open_target
from memorizz.cli._embedder import HELP, Dimensions, ModelName, embedder, imported
from memorizz.cli._mcp_hosts import HOSTS, MCPServer
from memorizz.errors import ConfigurationError

if TYPE_CHECKING:
    from memorizz.mcp import Memory, Scope, Tokens

commands = Commands(
    invoke_without_command=True,
    help="Serve a memory to Claude, Cursor, VS Code, Codex and whatever else speaks MCP.",
)

_HTTP = "Over HTTP"
STORE = "long_term_memory"

MemoryID = Annotated[
    str | None,
    typer.Option("--memory", metavar="ID", envvar="MEMORIZZ_MEMORY", help="Which memory it is; no call leaves it."),
]
AgentID = Annotated[
    str | None,
    typer.Option("--agent", metavar="ID", envvar="MEMORIZZ_AGENT", help="Whose memories in it; all by default."),
]
Store = Annotated[str, typer.Option(metavar="NAME", help="The store that they are kept in.")]
Model = Annotated[str | None, typer.Option(metavar="MODEL", help=f"{HELP} Without one, words alone are searched.")]
HTTP = Annotated[bool, typer.Option("--http", help="Serve at http://HOST:PORT/mcp, not stdio.", rich_help_panel=_HTTP)]
Host = Annotated[str, typer.Option(metavar="ADDRESS", help="What to listen on.", rich_help_panel=_HTTP)]
Port = Annotated[int, typer.Option(min=0, max=65535, rich_help_panel=_HTTP)]
TokensPlace = Annotated[
    str | None,
    typer.Option(
        "--tokens",
        metavar="FILE",
        envvar="MEMORIZZ_TOKENS",
        help='Who may: a JSON file, {"a token": {"tenant": "NAME", "memory": "ID", "agent": "ID"}}, or '
        "module:attribute, a function that returns the Scope of a token.",
        rich_help_panel=_HTTP,
    ),
]
Names = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="NAME",
        help="A name that it is reached by, memory.example.com; may be repeated.",
        rich_help_panel=_HTTP,
    ),
]


@dataclass(frozen=True)
class Served:
    """The options that say which memory it is, and what embeds for it."""

    memory: MemoryID = None
    agent: AgentID = None
    tenant: Tenant = None
    store: Store = STORE
    model: Model = None
    name: ModelName = None
    dimensions: Dimensions = None


@commands.callback()
def serve(
    ctx: typer.Context,
    *,
    served: Served,
    http: HTTP = False,
    host: Host = "127.0.0.1",
    port: Port = 8765,
    tokens: TokensPlace = None,
    allow: Names = None,
    server: Server,
) -> None:
    """Serve a memory to Claude, Cursor, VS Code, Codex and whatever else speaks MCP, over stdio or HTTP.

    Which memory it is, is said here and never by a model. `memorizz mcp config HOST` says how a host is told of it.
    """
    if ctx.invoked_subcommand is not None:
        _refuse_options_before(ctx)
        return
    load_extra("memorizz.mcp")
    from memorizz.mcp import Scope, serve_http, serve_stdio

    who = _who(served, tokens, host if http else None)
    with ExitStack() as opened:
        # Over stdio there is nothing but the protocol in stdout, and a model that is loaded may print.
        with redirect_stdout(sys.stderr):
            kept = opened.enter_context(_memory(server, served))
        if http:
            serve_http(kept, who, host, port, allow or (), _ready)
        elif isinstance(who, Scope):
            _end_with_a_signal(opened)
            if sys.stdin.isatty():
                hint = "`memorizz mcp config HOST` prints what tells one of it"
                print(
                    f"memorizz: serving over stdin and stdout, to a host that starts this command; {hint}",
                    file=sys.stderr,
                )
            serve_stdio(kept, who)


@commands.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="The memory file of the reference memory server, memory.jsonl.")],
    *,
    served: Served,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and check it, and store nothing.")] = False,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Take over the memories of the reference memory server: all of a file, or nothing of it.

    The same file again changes nothing. Lines that cannot be read are named, each with its place.
    """
    load_extra("memorizz.mcp")
    from memorizz.importers import stable_id
    from memorizz.importers.mcp import read_graph
    from memorizz.moving.graph import documents

    graph = read_graph(file)
    scope = _scope(served)

    def id_of(*parts: str) -> str:
        # As `memorizz import` has it: whichever of the two comes second adds nothing.
        return stable_id("mcp", served.store, parts, scope.memory_id, scope.agent_id)

    with _memory(server, served, dry_run=dry_run) as kept:
        # What stands there twice is one memory.
        made = {document["id"]: document for document in documents(graph, id_of)}.values()
        for document in made:
            kept.check(scope, document)
        if not dry_run:
            kept.store_all(scope, made)
    counts = {"entities": len(graph.entities), "relations": len(graph.relations), "memories": len(made)}
    if as_json:
        _show.print_json({**counts, "stored": not dry_run})
        return
    did = "would store" if dry_run else "stored"
    _show.say(f"{did} {counts['memories']:,} memories in {scope.memory_id}: {counts['entities']:,} entities with what "
              f"is known of them, {counts['relations']:,} relations")  # fmt: skip


@commands.command(name="config")
def config_(
    host: Annotated[str, typer.Argument(metavar="|".join(HOSTS), help="Which host is to be told.")],
    *,
    served: Served,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="A server that runs already, http://.../mcp, with --http.")
    ] = None,
    token: Annotated[bool, typer.Option("--token", help="That server wants a token, from MEMORIZZ_TOKEN.")] = False,
    server: Server,
) -> None:
    """Print the line, or the JSON, that tells a host of the memory. Changes nothing."""
    chosen = HOSTS.get(host)
    if chosen is None:
        raise ConfigurationError(f"unknown host {host}: expected one of {', '.join(HOSTS)}")
    if url is not None:
        if not chosen.takes_urls:
            raise ConfigurationError(f"the file of {chosen.title} has no place for a URL: leave --url out")
        if re.match("[^/?#]*//[^/?#]*@", url):
            raise ConfigurationError("the URL is printed: leave user and password out, --token has a token asked for")
        if not url.startswith(("http://", "https://")):
            raise ConfigurationError("--url: expected http://... or https://..., as a rule with /mcp at the end")
        described = MCPServer(url=url, has_token=token)
    else:
        if served.memory is None:
            raise ConfigurationError("which memory is it? say --memory ID: any text of your own")
        variables, dsn = _named_server(server)
        folder = server.embedded and server.embedded.absolute()
        given = {**vars(served), "dsn": dsn, "schema": server.schema, "embedded": folder}
        wanted = {key: value for key, value in given.items() if value is not None and (key, value) != ("store", STORE)}
        options = [part for key, value in wanted.items() for part in (f"--{key}", str(value))]
        # A host knows neither this environment nor its PATH.
        command = [sys.executable, "-m", "memorizz", "mcp", *options]
        described = MCPServer(command, variables)
    print(f"{chosen.title}: {chosen.place}", file=sys.stderr)
    print(_show.plain(chosen.write(described)))


def _named_server(server: Server) -> tuple[dict[str, str], str | None]:
    """Return the variables that name the server here, and the connection string; a password is in neither."""
    from memorizz.memory_provider.postgresql._conninfo import without_secrets

    server.check_is_one()
    if server.embedded is not None:
        return {}, None
    dsn = server.dsn
    known_here = {"PGPASSWORD"}
    secrets, variables = list[str](), list[str]()
    if dsn is not None:
        dsn, secrets = without_secrets(dsn)
    else:
        known_here.add("POSTGRES_PASSWORD")
        variables = [f"POSTGRES_{each}" for each in ("HOST", "PORT", "DB", "USER")]
        # A host passes few variables on; where none of those is set, this one says where the embedded server is.
        variables = [each for each in variables if os.environ.get(each)] or ["XDG_DATA_HOME"]
    if secrets or known_here & {*os.environ}:
        print("the password is not printed: put it into ~/.pgpass, which libpq reads", file=sys.stderr)
    return {name: os.environ[name] for name in variables if name in os.environ}, dsn


def _ready(url: str) -> None:
    print(f"memorizz: {url}", file=sys.stderr, flush=True)


def _end_with_a_signal(opened: ExitStack) -> None:
    """Have a signal close what is open and end the process: nothing else wakes the thread that reads stdin."""

    def end(number: int, frame: FrameType | None) -> None:
        opened.close()
        os._exit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


def _refuse_options_before(ctx: typer.Context) -> None:
    for name in ctx.params:
        source = ctx.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"options stand behind `{ctx.invoked_subcommand}`", param_hint=f"--{name}")


def _scope(served: Served) -> Scope:
    from memorizz.mcp import Scope

    if served.memory is None:
        raise ConfigurationError("which memory is it? say --memory ID, or set MEMORIZZ_MEMORY: any text of your own")
    return Scope(served.memory, served.agent)


def _who(served: Served, tokens: str | None, host: str | None) -> Scope | Tokens:
    """Return whom to serve: `host` is what to listen on, None where that is stdio."""
    from memorizz.mcp import Tokens
    from memorizz.mcp._http import check_reach

    if tokens is None:
        scope = _scope(served)
        if host is not None:
            check_reach(host, scope)
        return scope
    if host is None:
        raise ConfigurationError("--tokens is for --http: over stdio there is one client, which started the server")
    if served.memory is not None or served.agent is not None:
        raise ConfigurationError("--memory and --agent are not for --tokens, where each token says them")
    if ":" in tokens and not Path(tokens).exists():
        return Tokens(imported("--tokens", tokens))
    return Tokens.of_file(Path(tokens))


@contextmanager
def _memory(server: Server, served: Served, *, dry_run: bool = False) -> Generator[Memory]:
    """Open the memories; where there are no tables yet, they are made, for the vectors of the model."""
    from memorizz.mcp import Memory

    if served.model is None and (served.name is not None or served.dimensions is not None):
        raise ConfigurationError("--name and --dimensions are of a --model")
    made = None if served.model is None else embedder(served.model, served.name, served.dimensions)
    length = None if made is None else made.dimensions
    with open_target(server, Whose(served.tenant), lambda: length, embedder=made, dry_run=dry_run) as provider:
        yield Memory(provider, served.store)
