"""What every command has, read from the commands themselves: a new one has it too, or is named here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import typer.main
from test_cli_arguments import commands

from memorizz.cli import app
from memorizz.memory_provider.postgresql import PostgreSQLProvider

OPTIONS = {
    " ".join(path): {name for each in command.params for name in each.opts}
    for path, command in commands(typer.main.get_command(app), whole=True)
}
# They serve until they are ended, or print what another program reads as it is.
WITHOUT_JSON = {"console", "mcp config"}
# They are about servers, and not about what is in one; the demo has a schema of its own.
OF_SERVERS = {"server start", "server stop", "server status", "server list", "demo"}
# They are about whole stores, schemas and databases.
OF_ALL = {
    "doctor", "migrate", "stats", "re-embed", "language", "index list", "index build", "index rebuild", "index drop",
    "history on", "history off", "history list", "policy set", "policy off", "policy list", "tenants enable",
    "tenants disable", "scale-out", "reclaim",
}  # fmt: skip
# `forget` names the memory by its argument; what policies say of a memory alone is not all of them.
OF_TENANTS = {"forget", "tidy"}


def lacking(option: str, *groups: set[str]) -> set[str]:
    """The commands that have not an option, without those that have a reason."""
    return {name for name, options in OPTIONS.items() if option not in options} - set().union(*groups)


def test_what_every_command_has() -> None:
    """JSON for programs, a server to name, a schema, a tenant and a memory, wherever they make sense."""
    assert lacking("--json", WITHOUT_JSON) == set()
    for option in ("--dsn", "--schema", "--embedded"):
        assert lacking(option, OF_SERVERS) == set(), option
    assert lacking("--tenant", OF_SERVERS, OF_ALL) == set()
    assert lacking("--memory", OF_SERVERS, OF_ALL, OF_TENANTS) == set()
    # Every name above is a command that there is, and lacks it.
    assert lacking("--json") == WITHOUT_JSON
    assert lacking("--schema") == OF_SERVERS
    assert lacking("--tenant") == OF_SERVERS | OF_ALL
    assert lacking("--memory") == OF_SERVERS | OF_ALL | OF_TENANTS


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_it(shell: str) -> None:
    """What a shell asks when somebody presses Tab is answered with the commands that begin so."""
    typed = "memorizz history s"
    asks = {
        "_MEMORIZZ_COMPLETE": f"complete_{shell}", "COMP_WORDS": typed, "COMP_CWORD": "2",
        "_TYPER_COMPLETE_ARGS": typed, "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }  # fmt: skip
    program = "import sys; sys.argv = ['memorizz']; from memorizz.__main__ import main; main()"
    answer = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | asks, check=False, capture_output=True, encoding="utf-8"
    )
    assert "show" in answer.stdout
    assert "undo" not in answer.stdout


def test_a_memory_s_history_is_printed(
    memorizz: Callable[..., Any], migrated_dsn: str, provider: PostgreSQLProvider
) -> None:
    """Every version, the newest first, with who made it, and from what into what; of a deleted one too."""
    assert "no store is kept" in memorizz("history", "show", "tea", "--dsn", migrated_dsn).stderr
    provider.keep_history("toolbox")
    provider.store({"id": "tea", "content": "black tea", "memory_id": "ada", "old": 1}, "toolbox")
    provider.acting("ada").update_by_id("tea", {"content": "green tea", "cups": 2}, "toolbox")
    provider.delete_by_id("tea", "toolbox")
    (found,) = memorizz("history", "show", "tea", "--json", "--dsn", migrated_dsn).json["stores"]
    assert found["store"] == "toolbox"
    deleted, updated, inserted = found["versions"]
    assert [each["operation"] for each in found["versions"]] == ["delete", "update", "insert"]
    assert (updated["actor"], deleted["document"], inserted["changes"]) == ("ada", None, {})
    assert updated["changes"] == {"content": {"from": "black tea", "to": "green tea"}, "cups": {"to": 2}}
    page = memorizz("history", "show", "tea", "--store", "toolbox", "--dsn", migrated_dsn)
    assert page.code == 0
    assert "black tea -> green tea" in page.stdout
    assert "nothing -> 2" in page.stdout
    assert "by ada" in page.stdout
    for nobody in (["none"], ["tea", "--memory", "bob"], ["tea", "--tenant", "acme"]):
        assert memorizz("history", "show", *nobody, "--dsn", migrated_dsn).code == 1
