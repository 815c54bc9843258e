"""What the command line does with files: the memory of the reference server, and how hosts are told."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import STORE
from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.errors import InvalidFile
from memorizz.importers import import_file
from memorizz.importers.mcp import read_graph
from memorizz.moving.graph import Entity, Relation

Run = Callable[..., tuple[int, str, str]]

ADA = {"type": "entity", "name": "Ada", "entityType": "person", "observations": ["likes tea", "works on Mondays"]}
ACME = {"type": "entity", "name": "Acme", "entityType": "company", "observations": []}
WORKS = {"type": "relation", "from": "Ada", "to": "Acme", "relationType": "works at"}


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Write lines into a file."""

    def written(*lines: object) -> Path:
        path = tmp_path / "memory.jsonl"
        path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8")
        return path

    return written


def without_type(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key != "type"}


def test_every_dialect_is_read(file: Callable[..., Path]) -> None:
    """The file of the reference server, of old and new versions, of mcp-knowledge-graph, and the whole graph."""
    snake = {"type": "entity", "name": "Acme", "entity_type": "company"}
    graph = {"entities": [without_type(ADA), without_type(ACME)], "relations": [without_type(WORKS)]}
    works = {"type": "relation", "from": "Ada", "to": "Acme", "relation_type": "works at"}
    for lines in (
        [ADA, ACME, WORKS],
        [ADA, ACME, WORKS, ""],
        [{**ADA, "createdAt": "2025-01-01T00:00:00Z", "version": 1}, ACME, WORKS],
        [{"type": "_aim", "source": "mcp-knowledge-graph"}, ADA, ACME, WORKS],
        [without_type(ADA), without_type(ACME), without_type(WORKS)],
        [ADA, snake, works],
        [graph],
        [json.dumps(graph, indent=2)],
        ["\ufeff" + json.dumps(ADA) + "\r", json.dumps(ACME) + "\r", WORKS],
    ):
        found = read_graph(file(*lines))
        assert found.entities == [
            Entity("Ada", "person", ("likes tea", "works on Mondays")),
            Entity("Acme", "company", ()),
        ]
        assert found.relations == [Relation("Ada", "works at", "Acme")]


def test_import_stores_each_fact_once(memorizz: Run, config: PostgreSQLConfig, file: Callable[..., Path]) -> None:
    """Observations and relations become memories of the scope; the same file again, or a longer one, adds no second."""
    path = file(ADA, ACME, WORKS)
    with PostgreSQLProvider(config) as provider:
        for _ in range(2):
            code, out, errors = memorizz("mcp", "import", path, "--memory", "ada", "--agent", "desk", "--json")
            assert (code, errors) == (0, "")
            assert json.loads(out) == {"entities": 2, "relations": 1, "memories": 4, "stored": True}
            stored = {document["content"]: document for document in provider.list_all(STORE)}
            assert sorted(stored) == ["Acme: company", "Ada works at Acme", "Ada: likes tea", "Ada: works on Mondays"]
        assert {document["memory_id"] for document in stored.values()} == {"ada"}
        assert {document["agent_id"] for document in stored.values()} == {"desk"}
        assert stored["Ada: likes tea"]["kind"] == "person"
        # A line that stands there twice is one memory.
        longer = file({**ADA, "observations": ["likes tea", "likes trains"]}, WORKS, WORKS)
        memorizz("mcp", "import", longer, "--memory", "ada", "--agent", "desk")
        assert provider.count(STORE) == 5
        # `memorizz import` gives them the same ids.
        assert import_file(longer, provider.memory("ada", agent="desk")).stored == {STORE: 0}
        _, out, _ = memorizz("mcp", "import", longer, "--memory", "eve", "--json")
        assert json.loads(out)["memories"] == 3
        assert provider.count(STORE) == 8


def test_a_dry_run_stores_nothing(memorizz: Run, config: PostgreSQLConfig, file: Callable[..., Path]) -> None:
    """It reads, checks and counts."""
    with PostgreSQLProvider(config) as provider:
        code, out, _ = memorizz("mcp", "import", file(ADA, WORKS), "--memory", "ada", "--dry-run")
        assert (code, out.startswith("would store 3 memories in ada")) == (0, True)
        assert provider.count(STORE) == 0


WRONG: list[tuple[Any, str]] = [
    ("{", "no JSON"),
    (json.dumps(ADA) + json.dumps(WORKS), "no JSON"),
    ("7", "expected an object"),
    ({"type": "note"}, "expected entity or relation"),
    ({"type": ["entity"]}, "expected entity or relation"),
    ({**ADA, "name": 7}, "name=7: expected a text"),
    ({**ADA, "name": ""}, "name=''"),
    ({**ADA, "entityType": None}, "entityType=None"),
    ({**ADA, "observations": "likes tea"}, "expected a list of texts"),
    ({**ADA, "observations": [{"text": "likes tea"}]}, "expected a list of texts"),
    ({**WORKS, "to": None}, "to=None"),
    ("[" * 100_000, "no JSON"),
]


def test_malformed_lines_are_named_and_nothing_is_stored(
    memorizz: Run, config: PostgreSQLConfig, file: Callable[..., Path]
) -> None:
    """Each wrong line is said with its number; the right ones around them are not stored either."""
    with PostgreSQLProvider(config) as provider:
        for line, said in WRONG:
            code, out, errors = memorizz("mcp", "import", file(ADA, "", line, WORKS), "--memory", "ada")
            assert (code, out) == (1, ""), line
            assert "line 3" in errors
            assert said in errors, line
        _, _, errors = memorizz("mcp", "import", file(ADA, *["{"] * 15, WORKS), "--memory", "ada")
        assert "line 2" in errors
        assert "line 11" in errors
        assert "and 5 more" in errors
        # What no database can hold is found before anything is stored, too.
        code, _, errors = memorizz("mcp", "import", file(WORKS, {**ADA, "observations": ["a\x00b"]}), "--memory", "ada")
        assert (code, "NUL" in errors) == (1, True)
        assert provider.count(STORE) == 0


def test_what_is_no_file_is_said(memorizz: Run, tmp_path: Path) -> None:
    """A path that leads nowhere, a folder, and bytes of another encoding."""
    (tmp_path / "latin").write_bytes(b"\xe4")
    for path, said in ((tmp_path / "nowhere", "No such file"), (tmp_path, "directory"), (tmp_path / "latin", "UTF-8")):
        code, out, errors = memorizz("mcp", "import", path, "--memory", "ada")
        assert (code, out) == (1, "")
        assert said in errors


def test_a_part_of_a_graph_is_named(file: Callable[..., Path]) -> None:
    """In a file that is one object, the place is that in its lists."""
    with pytest.raises(InvalidFile, match=r"relations\[2\]"):
        read_graph(file({"entities": [without_type(ADA)], "relations": [without_type(WORKS), {"from": "Ada"}]}))


# --- hosts --------------------------------------------------------------------------------------------------------


def told(memorizz: Run, *arguments: object) -> str:
    code, out, errors = memorizz("mcp", "config", *arguments)
    assert code == 0, errors
    return out


def test_every_host_is_told_of_a_program(memorizz: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program is named by its path, with the memory and the server; a password is in no line and no file."""
    for name in ("HOST", "PORT", "DB", "USER", "PASSWORD"):
        monkeypatch.delenv(f"POSTGRES_{name}", raising=False)
    monkeypatch.setenv("POSTGRES_HOST", "db.example.com")
    monkeypatch.setenv("POSTGRES_PASSWORD", "geheim")
    options = ["--memory", "ada's", "--model", "openai:text-embedding-3-small"]
    command = [sys.executable, "-m", "memorizz", "mcp", "--memory", "ada's", "--model", "openai:text-embedding-3-small"]
    entry = {"command": command[0], "args": command[1:], "env": {"POSTGRES_HOST": "db.example.com"}}
    for host in ("claude-desktop", "cursor"):
        assert json.loads(told(memorizz, host, *options)) == {"mcpServers": {"memorizz": entry}}
    assert json.loads(told(memorizz, "vscode", *options)) == {"servers": {"memorizz": {"type": "stdio"} | entry}}
    line = shlex.split(told(memorizz, "claude-code", *options))
    assert line[line.index("--") + 1 :] == command
    assert line[: line.index("--")] == [
        "claude", "mcp", "add", "--env", "POSTGRES_HOST=db.example.com", "--scope", "user", "memorizz",
    ]  # fmt: skip
    line = shlex.split(told(memorizz, "codex", *options))
    assert line[: line.index("--")] == ["codex", "mcp", "add", "memorizz", "--env", "POSTGRES_HOST=db.example.com"]
    assert line[line.index("--") + 1 :] == command
    code, out, errors = memorizz("mcp", "config", "cursor", *options)
    assert "geheim" not in out + errors
    assert "~/.pgpass" in errors
    assert code == 0


def test_a_host_is_told_where_the_embedded_server_is(memorizz: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this environment moves it: hosts pass few variables on, and would start another one."""
    for name in ("HOST", "PORT", "DB", "USER", "PASSWORD"):
        monkeypatch.delenv(f"POSTGRES_{name}", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", "/data")

    def environment() -> dict[str, str]:
        return json.loads(told(memorizz, "cursor", "--memory", "ada"))["mcpServers"]["memorizz"].get("env", {})

    assert environment() == {"XDG_DATA_HOME": "/data"}
    monkeypatch.setenv("POSTGRES_HOST", "db.example.com")
    assert environment() == {"POSTGRES_HOST": "db.example.com"}
    for options in (["--dsn", "host=db.example.com"], ["--embedded", "/elsewhere"]):
        assert "XDG_DATA_HOME" not in told(memorizz, "cursor", "--memory", "ada", *options)


@pytest.mark.parametrize("host", ["claude-code", "claude-desktop", "cursor", "vscode", "codex"])
@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://ada:geheim@db.example.com/memories",
        "postgresql://ada@db.example.com/memories?password=geheim",
        "host=db.example.com user=ada dbname=memories password=geheim",
        "host=db.example.com user=ada dbname=memories sslpassword=geheim",
    ],
)
def test_a_password_in_a_connection_string_is_not_printed(memorizz: Run, host: str, dsn: str) -> None:
    """Everything else of the string is; where the password belongs is said."""
    code, out, errors = memorizz("mcp", "config", host, "--memory", "ada", "--dsn", dsn)
    assert code == 0
    assert "geheim" not in out + errors
    assert "~/.pgpass" in errors
    for part in ("db.example.com", "user=ada", "dbname=memories"):
        assert part in out


def test_what_would_print_a_secret_or_two_servers_is_refused(memorizz: Run) -> None:
    """A URL with a user's password in it, a string that is none, and two servers: no message shows the secret."""
    for options in (
        ["--url", "https://ada:geheim@memory.example.com/mcp"],
        ["--memory", "ada", "--dsn", "geheim"],
        ["--memory", "ada", "--dsn", "password=geheim", "--embedded", "/data"],
    ):
        code, out, errors = memorizz("mcp", "config", "cursor", *options)
        assert (code, out) == (1, ""), options
        assert "geheim" not in errors


def test_every_host_is_told_of_a_url(memorizz: Run) -> None:
    """A server that runs is named by its URL; the token by the variable or the question that has it."""
    url = "https://memory.example.com/mcp"
    bearer = {"Authorization": "Bearer ${env:MEMORIZZ_TOKEN}"}
    options = ["--url", url, "--token"]
    assert json.loads(told(memorizz, "cursor", *options))["mcpServers"]["memorizz"] == {"url": url, "headers": bearer}
    assert json.loads(told(memorizz, "cursor", "--url", url))["mcpServers"]["memorizz"] == {"url": url}
    vscode = json.loads(told(memorizz, "vscode", *options))
    assert vscode["servers"]["memorizz"]["type"] == "http"
    assert vscode["servers"]["memorizz"]["headers"]["Authorization"] == f"Bearer ${{input:{vscode['inputs'][0]['id']}}}"
    assert told(memorizz, "codex", *options).split()[-2:] == ["--bearer-token-env-var", "MEMORIZZ_TOKEN"]
    assert '--header "Authorization: Bearer $MEMORIZZ_TOKEN"' in told(memorizz, "claude-code", *options)
    code, _, errors = memorizz("mcp", "config", "claude-desktop", *options)
    assert (code, "leave --url out" in errors) == (1, True)


def test_an_unknown_host_is_said(memorizz: Run) -> None:
    """The message names those that are known; without a memory nothing is printed."""
    code, out, errors = memorizz("mcp", "config", "emacs", "--memory", "ada")
    assert (code, out, "claude-code, claude-desktop, cursor, vscode, codex" in errors) == (1, "", True)
    code, out, errors = memorizz("mcp", "config", "cursor")
    assert (code, out, "--memory" in errors) == (1, "", True)


def test_a_tenant_is_said_where_the_server_is_started(
    memorizz: Run, config: PostgreSQLConfig, file: Callable[..., Path]
) -> None:
    """With --tenant the memory is that tenant's, and nothing is stored beside it."""
    with PostgreSQLProvider(config) as provider:
        code, _, errors = memorizz("mcp", "import", file(ADA), "--memory", "ada", "--tenant", "acme")
        assert (code, errors) == (0, "")
        assert [view.count(STORE) for view in (provider, provider.tenant("acme"))] == [0, 2]
