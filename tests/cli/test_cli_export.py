"""memorizz export and memorizz import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider

LONG = MemoryType.LONG_TERM_MEMORY


@pytest.fixture
def filled(provider: PostgreSQLProvider) -> PostgreSQLProvider:
    """A provider with a memory and an agent."""
    provider.store({"id": "tea", "content": "Ada drinks tea", "embedding": [1, 2, 3, 4]}, LONG)
    provider.store_memagent({"id": "ada", "memory_ids": ["m1"]})
    return provider


def opened(dsn: str, schema: str) -> PostgreSQLProvider:
    return PostgreSQLProvider(PostgreSQLConfig(dsn=dsn, schema=schema, embedding_dimensions=4, auto_migrate=False))


def test_a_backup_is_restored(
    memorizz: Callable[..., Any], filled: PostgreSQLProvider, migrated_dsn: str, tmp_path: Path
) -> None:
    """A file is written and read, tables for its vectors are made, and both commands say how many documents it was."""
    path = tmp_path / "memories.jsonl.zst"
    shown = memorizz("export", path, "--dsn", migrated_dsn)
    assert shown.code == 0, shown.stderr
    assert "long_term_memory             1" in shown.stdout
    shown = memorizz("import", path, "--dsn", migrated_dsn, "--schema", "restored", "--json")
    assert shown.json["stores"] == dict.fromkeys(MemoryType, 0) | {"long_term_memory": 1, "agents": 1}
    with opened(migrated_dsn, "restored") as restored:
        one = {"id": "tea", "memory_store_type": LONG, "include_embedding": True}
        assert restored.retrieve_by_id(**one) == filled.retrieve_by_id(**one)
    assert shown.stderr == ""


def test_an_export_goes_from_one_server_to_another(filled: PostgreSQLProvider, migrated_dsn: str) -> None:
    """Two commands and a pipe between them; nothing but the result is printed."""
    command = [sys.executable, "-m", "memorizz"]
    source = [*command, "export", "--format", "jsonl.gz", "--dsn", migrated_dsn]
    target = [*command, "import", "--dsn", migrated_dsn, "--schema", "piped", "--json"]
    with subprocess.Popen(source, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as exporting:
        importing = subprocess.run(target, stdin=exporting.stdout, capture_output=True, check=True)
        assert exporting.stderr is not None
        assert exporting.stderr.read() == b""
    assert importing.stderr == b""
    assert json.loads(importing.stdout)["stores"]["agents"] == 1
    with opened(migrated_dsn, "piped") as piped:
        assert piped.retrieve_memagent("ada")["memory_ids"] == ["m1"]  # type: ignore[index]


def test_a_pipe_that_nobody_reads_any_more_ends_it(filled: PostgreSQLProvider, migrated_dsn: str) -> None:
    """As with other programs before `head`: an exit code, and no traceback of Python's."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "memorizz", "export", "--dsn", migrated_dsn]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.skipif(sys.platform == "win32", reason="it has no pseudo-terminals")
def test_progress_is_shown_on_a_terminal(filled: PostgreSQLProvider, migrated_dsn: str, tmp_path: Path) -> None:
    """Which store is under way, and how many of its documents are done."""
    main, terminal = os.openpty()
    command = [sys.executable, "-m", "memorizz", "export", tmp_path / "a.jsonl", "--dsn", migrated_dsn]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=terminal, check=True, env=os.environ | {"TERM": "xterm"})
    os.close(terminal)
    assert b"exporting agents" in os.read(main, 100_000)
    os.close(main)


def test_what_is_there_is_merged_or_replaced(
    memorizz: Callable[..., Any], filled: PostgreSQLProvider, migrated_dsn: str, tmp_path: Path
) -> None:
    """Without either the import is refused; one of them is enough."""
    path = tmp_path / "memories.parquet"
    memorizz("export", path, "--dsn", migrated_dsn)
    filled.store({"id": "more"}, LONG)
    shown = memorizz("import", path, "--dsn", migrated_dsn)
    assert shown.code == 1
    assert "already holds 2 documents in long_term_memory" in shown.stderr
    assert memorizz("import", path, "--dsn", migrated_dsn, "--merge").code == 0
    assert filled.count(LONG) == 2
    assert memorizz("import", path, "--dsn", migrated_dsn, "--replace", "--yes").code == 0
    assert filled.count(LONG) == 1
    assert memorizz("import", path, "--dsn", migrated_dsn, "--replace", "--merge").code == 1


def test_an_import_that_replaces_asks(
    memorizz: Callable[..., Any], filled: PostgreSQLProvider, migrated_dsn: str, tmp_path: Path
) -> None:
    """What is there stays where nobody can answer, and where nothing is there nothing is asked."""
    path = tmp_path / "memories.jsonl"
    memorizz("export", path, "--dsn", migrated_dsn)
    refused = memorizz("import", path, "--dsn", migrated_dsn, "--replace")
    assert refused.code == 1
    assert "holds (1 in long_term_memory, 1 in agents), to replace it? stdin is not a terminal" in refused.stderr
    assert filled.count(LONG) == 1
    filled.delete_all(LONG)
    assert memorizz("import", path, "--dsn", migrated_dsn, "--replace", "--store", "long_term_memory").code == 0
    assert filled.count(LONG) == 1


def test_documents_that_cannot_be_exported_are_named(
    memorizz: Callable[..., Any], filled: PostgreSQLProvider, migrated_dsn: str, tmp_path: Path
) -> None:
    """On stderr, with store, id and reason, and exit code 1; the file holds the others."""
    with psycopg.connect(migrated_dsn) as connection:
        connection.execute("UPDATE agents SET role = repeat('x', 2000)")
    path = tmp_path / "memories.jsonl"
    shown = memorizz("export", path, "--json", "--dsn", migrated_dsn)
    assert shown.code == 1
    assert shown.json["ok"] is False
    assert (shown.json["stores"]["agents"], shown.json["stores"]["long_term_memory"]) == (0, 1)
    assert shown.json["not_exported"]["agents"]["listed"][0]["id"] == "ada"
    assert "agents: 1 documents not exported" in shown.stderr
    assert "ada: cannot store 'role'" in shown.stderr
    assert memorizz("import", path, "--dsn", migrated_dsn, "--schema", "restored").code == 0
    piped = [sys.executable, "-m", "memorizz", "export", "--dsn", migrated_dsn]
    assert subprocess.run(piped, capture_output=True, check=False).returncode == 1


def test_a_document_that_is_too_large_is_refused(
    memorizz: Callable[..., Any], filled: PostgreSQLProvider, migrated_dsn: str, tmp_path: Path
) -> None:
    """Unless the limit is raised, which the error says how to do."""
    path = tmp_path / "memories.jsonl.gz"
    filled.store({"id": "large", "content": "x" * 5_000_000}, LONG)
    memorizz("export", path, "--dsn", migrated_dsn)
    into = ["import", path, "--dsn", migrated_dsn, "--schema", "restored"]
    refused = memorizz(*into)
    assert refused.code == 1
    assert "--max-document-mb" in refused.stderr
    assert memorizz(*into, "--max-document-mb", "6").code == 0


def test_some_stores_are_exported(
    memorizz: Callable[..., Any], filled: PostgreSQLProvider, migrated_dsn: str, tmp_path: Path
) -> None:
    """Only the stores that are asked for."""
    shown = memorizz("export", tmp_path / "a.jsonl", "--store", "agents", "--json", "--dsn", migrated_dsn)
    assert shown.json["stores"] == {"agents": 1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["import", "none.jsonl"], "none.jsonl cannot be read: No such file or directory"),
        (["export", "none/a.jsonl"], "none/a.jsonl cannot be written: No such file or directory"),
        (["export", "a.csv"], "a.csv: the name says no format"),
        (["export", "--json"], "--json reports on stdout"),
    ],
)
def test_mistakes_are_one_message(
    memorizz: Callable[..., Any], migrated_dsn: str, arguments: list[str], said: str
) -> None:
    """Exit code 1, and what is wrong on stderr."""
    shown = memorizz(*arguments, "--dsn", migrated_dsn)
    assert (shown.code, shown.stdout) == (1, "")
    assert said in shown.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="it has no pseudo-terminals")
def test_a_terminal_is_no_place_for_an_export(migrated_dsn: str) -> None:
    """What is compressed is not written there, and nothing is waited for from there."""
    main, terminal = os.openpty()
    for arguments, said in (
        (["export", "--format", "parquet"], "parquet is not for a terminal"),
        (["import"], "import what? name a FILE"),
    ):
        command = [sys.executable, "-m", "memorizz", *arguments, "--dsn", migrated_dsn]
        done = subprocess.run(
            command, stdin=terminal, stdout=terminal, stderr=subprocess.PIPE, text=True, check=False, timeout=60
        )
        assert done.returncode == 1
        assert said in done.stderr
    os.close(terminal)
    os.close(main)
