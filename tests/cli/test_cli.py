"""What all commands have in common."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from memorizz.memory_provider.postgresql import PostgreSQLProvider

COMMANDS = ["demo", "doctor", "index", "mcp", "migrate", "recall", "stats", "search", "show", "server"]
# A whole call of each command that looks at a database.
CALLS = [
    ["demo"], ["doctor"], ["migrate"], ["migrate", "--check"], ["stats"], ["search", "tea"], ["show", "1"],
    ["index", "list"], ["index", "build"], ["index", "rebuild"], ["index", "drop", "--invalid"], ["recall"],
]  # fmt: skip
NOBODY = "host=localhost port=1 dbname=postgres connect_timeout=2"


def python(program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False)


def test_help_names_every_command(memorizz: Callable[..., Any]) -> None:
    """Who types memorizz --help sees what there is."""
    shown = memorizz("--help")
    assert shown.code == 0
    for command in COMMANDS:
        assert re.search(rf"\b{command}\b", shown.stdout), command


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(memorizz: Callable[..., Any], command: str) -> None:
    """Each command has its own help."""
    shown = memorizz(command, "--help")
    assert shown.code == 0
    assert f"memorizz {command}" in shown.stdout or command in shown.stdout


def test_version(memorizz: Callable[..., Any]) -> None:
    """--version is the version of the distribution."""
    shown = memorizz("--version")
    assert shown.code == 0
    assert re.fullmatch(r"memorizz-postgresql \d+\.\d+\.\S+\n", shown.stdout)


def test_a_wrong_command_is_a_usage_error(memorizz: Callable[..., Any]) -> None:
    """What does not exist is said, with exit code 2, on stderr."""
    shown = memorizz("forgot")
    assert shown.code == 2
    assert shown.stdout == ""
    assert "forgot" in shown.stderr


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_it_says_what_to_install(missing: str) -> None:
    """Without typer or rich there is one line, exit code 1 and no traceback."""
    result = python(
        f"import sys\nsys.modules[{missing!r}] = None\nfrom memorizz.__main__ import main\nsys.argv = ['memorizz', "
        "'server', 'status']\nmain()"
    )
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "memorizz: the command line is not installed: pip install 'memorizz-postgresql[cli]'"
    ]


def test_another_missing_module_is_not_blamed_on_the_extra() -> None:
    """What is broken inside is shown as it is."""
    result = python("import sys\nsys.modules['memorizz.errors'] = None\nfrom memorizz.__main__ import main\nmain()")
    assert result.returncode == 1
    assert "memorizz.errors" in result.stderr
    assert "pip install" not in result.stderr


def test_it_runs_as_a_module() -> None:
    """python -m memorizz is the same command."""
    command = [sys.executable, "-W", "error", "-m", "memorizz", "--version"]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    assert result.stdout.startswith("memorizz-postgresql ")


def test_help_loads_no_driver() -> None:
    """What the commands need is loaded when they run, so that --help is there at once."""
    result = python(
        "import sys\nfrom memorizz.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "print('LOADED', *sorted({'psycopg', 'psycopg_pool', 'numpy', 'psutil'} & set(sys.modules)))"
    )
    assert result.stdout.splitlines()[-1] == "LOADED"


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_an_unreachable_server_is_one_message(memorizz: Callable[..., Any], call: list[str]) -> None:
    """Exit code 1 and what was tried, no traceback; doctor says the same on its page."""
    shown = memorizz(*call, "--dsn", NOBODY)
    assert shown.code == 1
    said = shown.stdout if call == ["doctor"] else shown.stderr
    assert "Failed to connect to PostgreSQL" in " ".join(said.split())
    assert "port 1" in " ".join(said.split())
    assert "Traceback" not in said


SECRET = "xyzzy-1789"


@pytest.mark.parametrize(
    "dsn",
    [
        f"{NOBODY} password={SECRET}",
        f"host=localhost password={SECRET} port",
        f"postgresql://postgres:{SECRET}@localhost:1/postgres",
    ],
    ids=["keywords", "malformed", "url"],
)
@pytest.mark.parametrize("call", [["doctor"], ["doctor", "--json"], ["stats"]], ids=" ".join)
def test_no_password_is_printed_without_a_connection(memorizz: Callable[..., Any], dsn: str, call: list[str]) -> None:
    """A password given in the dsn appears nowhere, however the connection fails."""
    shown = memorizz(*call, "--dsn", dsn)
    assert shown.code == 1
    assert shown.stdout or shown.stderr
    assert SECRET not in shown.stdout + shown.stderr


def test_no_password_is_printed_by_any_command(memorizz: Callable[..., Any], migrated_dsn: str) -> None:
    """A password given in the dsn is in no output of a command that works."""
    for call in CALLS:
        for json in ([], ["--json"]):
            shown = memorizz(*call, *json, "--dsn", make_conninfo(migrated_dsn, password=SECRET))
            assert shown.stdout or shown.stderr
            assert SECRET not in shown.stdout + shown.stderr


def test_two_servers_are_one_too_many(memorizz: Callable[..., Any], tmp_path: Path) -> None:
    """--dsn and --embedded exclude each other."""
    shown = memorizz("stats", "--dsn", NOBODY, "--embedded", tmp_path)
    assert shown.code == 1
    assert "give one of them" in shown.stderr


@pytest.mark.parametrize("call", [call for call in CALLS if call not in (["demo"], ["migrate"])])
def test_looking_makes_no_server(memorizz: Callable[..., Any], tmp_path: Path, call: list[str]) -> None:
    """Where there is no embedded server, a command that only looks says so and makes none."""
    shown = memorizz(*call, "--embedded", tmp_path / "none")
    assert shown.code == 1
    assert "there is no embedded server in" in shown.stdout + shown.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("call", [["stats"], ["search", "tea"], ["show", "1"], ["index", "build"], ["recall"]])
def test_looking_makes_no_tables(memorizz: Callable[..., Any], dsn: str, call: list[str]) -> None:
    """Where there are no tables, a command that only looks says so and makes none."""
    for _ in range(2):
        shown = memorizz(*call, "--dsn", dsn)
        assert shown.code == 1
        assert shown.stdout == ""
        assert "there are no memories in schema 'public'" in shown.stderr


def test_the_environment_names_the_server(
    memorizz: Callable[..., Any], migrated_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without options a command takes the server of POSTGRES_*."""
    monkeypatch.setenv("POSTGRES_HOST", "localhost")
    monkeypatch.setenv("POSTGRES_PORT", "1")
    shown = memorizz("stats")
    assert shown.code == 1
    assert "host localhost, port 1, database memorizz" in shown.stderr


def test_a_forbidden_embedded_server_is_not_used(memorizz: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """MEMORIZZ_EMBEDDED=0 holds for the command line too."""
    monkeypatch.setenv("MEMORIZZ_EMBEDDED", "0")
    shown = memorizz("stats")
    assert shown.code == 1
    assert "no server is configured" in shown.stderr


def test_a_document_cannot_command_the_terminal(
    memorizz: Callable[..., Any], provider: PostgreSQLProvider, migrated_dsn: str
) -> None:
    """Control characters of a stored text are shown, not obeyed; square brackets and colons are left alone."""
    content = "tea \x1b]0;owned\x07 \x9b31m [bold]not bold[/bold] :smile: \u202eaet\u2066"
    name = provider.store({"content": content, "\x1b[2J": 1}, "long_term_memory")
    for call in (["search", "tea"], ["show", name]):
        for json in ([], ["--json"]):
            shown = memorizz(*call, *json, "--dsn", migrated_dsn, columns=200).stdout
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
            assert "[bold]not bold[/bold] :smile:" in shown


@pytest.mark.parametrize(
    "call",
    [
        ["show", "a\nb\x1b[2J"],
        ["show", "--store", "a\nb\x1b[2J", "1"],
        ["search", "--filter", '{"a\\nb": {"$a\\nb": 1}}', "tea"],
        ["search", "--filter", '["a\\nb"]', "tea"],
        ["embed", "--model", "a\nb\x1b[2J"],
    ],
    ids=" ".join,
)
def test_what_is_wrong_is_one_line(memorizz: Callable[..., Any], migrated_dsn: str, call: list[str]) -> None:
    """An argument of several lines makes no second line of a complaint, in which another one could be faked."""
    shown = memorizz(*call, "--dsn", migrated_dsn)
    assert shown.code == 1
    assert len(shown.stderr.splitlines()) == 1
    assert "a\\nb" in shown.stderr
