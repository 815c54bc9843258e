"""Whatever is typed in the place of an argument: a message and an exit code, and never a traceback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from memorizz.cli import app

# The last is what Python makes of bytes that are no text.
VALUES = (
    "",
    "x",
    "-1",
    "1e999",
    "nan",
    "9" * 40,
    "a\nb",
    "é",
    "[1,",
    "m:n:o",
    "x" * 3000,
    "\udcff",
)
# Starting a server in a folder of any name, and the demo in it, are tested where there is one.
LEFT_OUT = {"embedded", "help", "install_completion", "show_completion"}


def commands(group: Any, path: tuple[str, ...] = (), whole: bool = False) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each command below a group with the words that call it; without `whole`, those that start no server."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name), whole)
        elif whole or (*path, name)[0] not in ("demo", "server"):
            yield (*path, name), command


COMMANDS = [*commands(typer.main.get_command(app))]


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS])
def test_any_value_of_any_option_is_no_traceback(
    memorizz: Callable[..., Any],
    migrated_dsn: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: tuple[str, ...],
    command: Any,
) -> None:
    """On a terminal of 60 columns; what is refused is named on stderr with exit code 1 or 2."""
    monkeypatch.chdir(tmp_path)
    needed = ["tea"] * sum(each.param_type_name == "argument" and each.required for each in command.params)
    if path == ("export",):
        needed = ["memories.jsonl"]  # else they go to stdout, which a test has none of
    if path == ("console",):
        # It would serve until somebody ends it.
        monkeypatch.setattr("memorizz.console.serve", lambda *_: None)
    if path == ("chat",):
        monkeypatch.setattr("memorizz.cli.chat._lines", lambda _: iter(["tea"]))
    for place, parameter in enumerate(command.params):
        if parameter.name in LEFT_OUT or getattr(parameter, "is_flag", False):
            continue
        # A third of the values each, other ones for the next: all of them would take minutes.
        for value in VALUES[place % 3 :: 3]:
            given = [*needed, f"{parameter.opts[-1]}={value}"]
            if parameter.param_type_name == "argument":
                given = ["--", value, *needed[1:]]
            dsn = [] if parameter.name == "dsn" else ["--dsn", migrated_dsn]
            shown = memorizz(*path, *dsn, *given, columns=60)
            assert shown.code in (0, 1, 2), (path, given)
            assert "Traceback" not in shown.stderr + shown.stdout, (path, given)
            assert shown.code == 0 or shown.stderr or path == ("doctor",), (path, given)
