"""memorizz server: start, stop and look at the embedded server."""

from __future__ import annotations

from typing import Any

import typer

from memorizz.cli import _show
from memorizz.cli._common import AsJSON, Embedded

commands = typer.Typer(help="Start, stop and look at the embedded server.", no_args_is_help=True)


@commands.command()
def start(embedded: Embedded = None, as_json: AsJSON = False) -> None:
    """Start the embedded server, and keep it running until it is stopped."""
    from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

    server = EmbeddedServer(embedded)
    server.pin()
    _print(server, as_json)


@commands.command()
def stop(embedded: Embedded = None, as_json: AsJSON = False) -> None:
    """Stop the embedded server, whoever uses it; what it holds stays."""
    from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

    server = EmbeddedServer(embedded)
    server.stop()
    _print(server, as_json)


@commands.command()
def status(embedded: Embedded = None, as_json: AsJSON = False) -> None:
    """Show whether the embedded server runs, and who uses it."""
    from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

    _print(EmbeddedServer(embedded), as_json)


@commands.command(name="list")
def list_(as_json: AsJSON = False) -> None:
    """List the embedded servers that you have: their data folders, whether they run, and who uses them."""
    from memorizz.memory_provider.postgresql.embedded import known_servers

    found = known_servers()
    if as_json:
        _show.print_json(found)
    elif not found:
        made = "a provider that names no server makes one, and so does `memorizz demo`."
        _show.say(f"You have no embedded server yet: {_show.to_type(made)}")
    else:
        rows = [(str(each.path), _state(each), ", ".join(map(str, each.users)) or "-") for each in found]
        _show.show(_show.table(dict.fromkeys(("data", "server", "used by"), _show.LEFT), rows))


def _state(found: Any) -> str:
    return f"running, pid {found.pid}" if found.running else "not running"


def _print(server: Any, as_json: bool) -> None:
    found = server.status()
    if as_json:
        _show.print_json(found)
        return
    pairs = [("data", str(found.path)), ("server", _state(found))]
    if found.running:
        pairs.append(("used by", ", ".join(map(str, found.users)) or "no program"))
    _show.show(_show.pairs(pairs))
    if found.conninfo is not None:
        _show.say()
        _show.code(f'psql "{found.conninfo}"')
