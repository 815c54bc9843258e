"""memorizz import, of files of other programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from memorizz.importers._registry import FORMATS
from memorizz.memory_provider.postgresql import PostgreSQLProvider

TALK = "conversation_memory"


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """What ChatGPT exports, with a message and one of a tool."""

    def node(id: str, role: str, parent: str | None) -> dict[str, Any]:
        content = {"content_type": "text", "parts": [f"Ada likes tea, says {id}."]}
        return {"id": id, "parent": parent, "message": {"id": id, "author": {"role": role}, "content": content}}

    mapping = {"m1": node("m1", "user", None), "m2": node("m2", "tool", "m1")}
    path = tmp_path / "conversations.json"
    path.write_text(
        json.dumps([{"id": "c1", "title": "Tea", "create_time": 1e9, "mapping": mapping, "current_node": "m2"}])
    )
    return path


def test_a_dry_run_says_what_an_import_would_do(
    memorizz: Callable[..., Any], provider: PostgreSQLProvider, migrated_dsn: str, export: Path
) -> None:
    """What would be stored, what is left out and where, what is assumed; and nothing is written."""
    shown = memorizz("import", export, "--dsn", migrated_dsn, "--dry-run", columns=100)
    assert shown.code == 0, shown.stderr
    for line in ("would be stored", "left out: 1, a message of the system, or of a tool", "conversation 1, message m2",
                 "assumed: 1, it says no time", "nothing was written"):  # fmt: skip
        assert line in shown.stdout
    assert provider.count(TALK) == 0


def test_a_dry_run_needs_no_server(memorizz: Callable[..., Any], migrated_dsn: str, export: Path) -> None:
    """Neither one that runs nor tables, and makes neither."""
    folder = export.parent / "embedded"
    for where in (("--embedded", folder), ("--dsn", migrated_dsn, "--schema", "none")):
        shown = memorizz("import", export, *where, "--dry-run", "--json")
        assert (shown.code, shown.json["stored"], shown.json["target"]) == (0, {TALK: 1}, None)
    assert not folder.exists()
    assert memorizz("stats", "--dsn", migrated_dsn, "--schema", "none").code == 1


def test_an_import_is_within_a_tenant_a_memory_and_an_agent(
    memorizz: Callable[..., Any], provider: PostgreSQLProvider, migrated_dsn: str, export: Path
) -> None:
    """And a second one adds nothing."""
    whose = ("--tenant", "acme", "--memory", "ada", "--agent", "guide")
    shown = memorizz("import", export, "--dsn", migrated_dsn, *whose, "--json")
    assert (shown.code, shown.json["stored"], shown.json["ok"]) == (0, {TALK: 1}, True)
    assert shown.json["left_out"] == {
        "a message of the system, or of a tool": {"count": 1, "places": ["conversation 1, message m2"]}
    }
    [kept] = provider.tenant("acme").memory("ada", agent="guide").list_all(TALK)
    assert (kept["content"], kept["role"], kept["memory_id"], kept["agent_id"]) == (
        "Ada likes tea, says m1.", "user", "ada", "guide",
    )  # fmt: skip
    assert memorizz("import", export, "--dsn", migrated_dsn, *whose, "--json").json["there"] == {TALK: 1}
    assert provider.count(TALK) == 0


def test_a_pipe_is_imported(provider: PostgreSQLProvider, migrated_dsn: str, export: Path) -> None:
    """From stdin, and from a pipe that has a name."""
    command = [sys.executable, "-m", "memorizz", "import", "--dsn", migrated_dsn, "--json"]
    done = subprocess.run(command, input=export.read_bytes(), capture_output=True, check=True)
    assert json.loads(done.stdout)["stored"] == {TALK: 1}
    pipe = export.parent / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cp", export, pipe]):
        done = subprocess.run([*command, pipe], capture_output=True, check=True)
    assert json.loads(done.stdout)["there"] == {TALK: 1}


def test_what_an_import_is_not_for_is_refused(
    memorizz: Callable[..., Any], provider: PostgreSQLProvider, migrated_dsn: str, export: Path
) -> None:
    """Options of the other kind of file, names that are none, files of no format; each says what was expected."""
    ours = export.parent / "memories.jsonl"
    assert memorizz("export", ours, "--dsn", migrated_dsn).code == 0
    other = export.parent / "tea.txt"
    other.write_text("tea")
    for arguments, expected in (
        ((export, "--merge"), "--merge is for files of memorizz export, which this one is not: leave it out"),
        ((export, "--store", "agents"), "--store is for files of memorizz export"),
        ((ours, "--dry-run"), "--dry-run is for files of other programs, and this one is of memorizz export"),
        ((export, "--agent", "a"), "--agent is one within a memory: say which with --memory"),
        ((export, "--timezone", "Mars/Base"), "--timezone 'Mars/Base' is not known here"),
        ((export, "--date-order", "x"), "date_order='x': expected 'dmy', 'mdy' or 'ymd'"),
        ((export, "--format", "x"), "format 'x': expected one of chatgpt"),
        ((other,), "tea.txt is of no format that is known here"),
        ((export.parent / "none",), "none cannot be read: No such file or directory"),
    ):
        shown = memorizz("import", *arguments, "--dsn", migrated_dsn)
        assert shown.code == 1, arguments
        assert expected in shown.stderr, shown.stderr
    assert provider.count(TALK) == 0


def test_the_formats_are_listed(memorizz: Callable[..., Any]) -> None:
    """Each with its name, without a file."""
    shown = memorizz("import", "--formats")
    assert shown.code == 0
    assert [line.split()[0] for line in shown.stdout.splitlines()[2:] if line.strip()] == [
        each.name for each in FORMATS
    ]


def test_an_import_that_is_interrupted_says_how_to_go_on(
    memorizz: Callable[..., Any],
    provider: PostgreSQLProvider,
    migrated_dsn: str,
    export: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the exit code of Ctrl+C."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PostgreSQLProvider, "store_many", interrupt)
    shown = memorizz("import", export, "--dsn", migrated_dsn)
    assert (shown.code, shown.stderr) == (
        130, "memorizz: interrupted; what was stored until then stays, the same command again stores the rest\n",
    )  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="it has no pseudo-terminals")
def test_progress_of_an_import_is_shown_on_a_terminal(
    provider: PostgreSQLProvider, migrated_dsn: str, export: Path
) -> None:
    """How many documents are stored."""
    main, terminal = os.openpty()
    command = [sys.executable, "-m", "memorizz", "import", export, "--dsn", migrated_dsn]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=terminal, check=True, env=os.environ | {"TERM": "xterm"})
    os.close(terminal)
    assert b"storing" in os.read(main, 100_000)
    os.close(main)


# --- memory stores ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "name"), [("markdown", "notes"), ("mcp", "memory.jsonl"), ("mem0", "memories.json")]
)
def test_what_is_exported_for_others_is_imported(
    memorizz: Callable[..., Any],
    provider: PostgreSQLProvider,
    migrated_dsn: str,
    tmp_path: Path,
    format: str,
    name: str,
) -> None:
    """One memory of one tenant, into a folder or a file, and into another tenant's."""
    of = provider.tenant("acme")
    of.store({"id": "tea", "content": "Ada likes tea", "memory_id": "ada"}, "long_term_memory")
    of.store({"id": "no", "content": "Bob likes coffee", "memory_id": "bob"}, "long_term_memory")
    path = tmp_path / name
    whose = ("--tenant", "acme", "--memory", "ada")
    shown = memorizz("export", path, "--format", format, "--dsn", migrated_dsn, *whose, "--json")
    assert shown.code == 0, shown.stderr
    assert shown.json["stores"]["long_term_memory"] == 1
    for stored in (1, 0):
        shown = memorizz("import", path, "--dsn", migrated_dsn, "--tenant", "other", "--json")
        assert shown.code == 0, shown.stderr
        assert (shown.json["format"], shown.json["stored"]) == (format, {"long_term_memory": stored})
    [tea] = provider.tenant("other").list_all("long_term_memory")
    assert tea["content"].endswith("Ada likes tea")
    assert (tea["id"] == "tea") == (format == "markdown")


def test_a_database_is_imported_by_its_url(
    memorizz: Callable[..., Any], provider: PostgreSQLProvider, migrated_dsn: str
) -> None:
    """With its vectors where that is said; its password is never printed."""
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA of_mem0")
        connection.execute("CREATE TABLE of_mem0.mem0 (id uuid PRIMARY KEY, vector public.vector(4), payload jsonb)")
        row = json.dumps({"data": "Ada likes tea", "user_id": "ada"})
        connection.execute("INSERT INTO of_mem0.mem0 VALUES (gen_random_uuid(), '[1,2,3,4]', %s)", (row,))
        named = conninfo_to_dict(migrated_dsn) | {
            "options": "-csearch_path=of_mem0,public",
            "password": "hunter2secret",
        }
        url = f"postgresql://?{urlencode(named)}"
        for more, stored in (["--dry-run"], 0), ([], 1):
            shown = memorizz("import", url, "--with-embeddings", *more, "--dsn", migrated_dsn, "--json")
            assert shown.code == 0, shown.stderr
            assert (shown.json["format"], shown.json["stored"]) == ("mem0", {"long_term_memory": 1})
            assert "hunter2secret" not in shown.stdout + shown.stderr
            assert provider.count("long_term_memory") == stored
        assert provider.list_all("long_term_memory", include_embedding=True)[0]["embedding"] == [1, 2, 3, 4]
        connection.execute("DROP SCHEMA of_mem0 CASCADE")
    refused = memorizz("import", url.replace("of_mem0", "nowhere"), "--dsn", migrated_dsn)
    assert refused.code == 1
    assert "is of no format that is known here (its tables: " in refused.stderr
    assert "hunter2secret" not in refused.stdout + refused.stderr
