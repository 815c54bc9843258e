"""memorizz demo: what it stores, what it shows, what it leaves alone."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from memorizz.cli._demo_page import QUESTION
from memorizz.demo import load
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider

COUNTS = {store: len(documents) for store, documents in load().documents.items()}
SECTIONS = [
    "By meaning",
    "Inside one memory",
    "With a filter",
    "A conversation, read back",
    "An agent and its memory",
    "Next",
]


def demo_config(dsn: str) -> PostgreSQLConfig:
    return PostgreSQLConfig(dsn=dsn, schema="memorizz_demo", embedding_dimensions=None)


@pytest.mark.parametrize("columns", [80, 120])
def test_the_page(memorizz: Callable[..., Any], dsn: str, columns: int) -> None:
    """The page has its sections in order, fits the terminal, and has no colours where it is no terminal."""
    shown = memorizz("demo", "--dsn", dsn, columns=columns)
    assert shown.code == 0
    assert shown.stderr == ""
    places = [shown.stdout.index(f"\n{title} ") for title in SECTIONS]
    assert places == sorted(places)
    assert "\x1b" not in shown.stdout
    assert "Mira gets hives from cashews" in shown.stdout
    # Only a command to copy may be longer than a line.
    long = [line for line in shown.stdout.splitlines() if len(line) > columns]
    assert all(line.startswith("  memorizz ") for line in long)


def test_the_second_run_finds_what_the_first_stored(memorizz: Callable[..., Any], dsn: str) -> None:
    """The first run stores, the second says since when it is there, and both find the same."""
    first = memorizz("demo", "--dsn", dsn)
    assert f"Stored {sum(COUNTS.values())} memories" in first.stdout
    second = memorizz("demo", "--dsn", dsn)
    assert f"Already there: {sum(COUNTS.values())} memories" in second.stdout
    third = memorizz("demo", "--dsn", dsn, "--json").json
    assert third["stored"]["now"] is False
    assert third["stored"]["by_store"] == COUNTS


def test_json(memorizz: Callable[..., Any], dsn: str) -> None:
    """The same as JSON, in which every question's best hit is the intended one."""
    result = memorizz("demo", "--dsn", dsn, "--json").json
    assert set(result) == {"where", "schema", "server", "stored", "searches", "history", "agent"}
    assert result["stored"]["documents"] == sum(COUNTS.values())
    intended = {query.intended for query in load().queries}
    for name, search in result["searches"].items():
        assert search["hits"][0]["id"] in intended, name
        assert "embedding" not in search["hits"][0]
    assert {hit["memory_id"] for hit in result["searches"]["inside_one_memory"]["hits"]} == {"ada"}
    assert {hit["metadata"]["topic"] for hit in result["searches"]["with_filter"]["hits"]} == {"cycling"}
    times = [turn["timestamp"] for turn in result["history"]["turns"]]
    assert times == sorted(times)
    assert len(times) == result["history"]["limit"]
    assert result["agent"]["agent"]["name"] == "Juno"
    assert {hit["memory_id"] for hit in result["agent"]["hits"]} == {"tomas"}


def test_a_question_of_ones_own(memorizz: Callable[..., Any], dsn: str) -> None:
    """Is asked by its meaning, offline, and answered by a memory that shares no word with it."""
    shown = memorizz("demo", QUESTION, "--dsn", dsn)
    assert (shown.code, shown.stderr) == (0, "")
    assert "Stored 235 memories" in shown.stdout
    result = memorizz("demo", QUESTION, "--dsn", dsn, "--json").json
    assert set(result) == {"where", "schema", "server", "stored", "searches"}
    best = result["searches"]["by_meaning"]["hits"][0]
    assert best["content"].startswith("Loud bangs frighten Biscuit")
    words = [set(re.findall(r"[a-z]+", text.lower())) for text in (QUESTION, best["content"])]
    assert not words[0] & words[1]
    refused = memorizz("demo", "  ", "--dsn", dsn)
    assert (refused.code, "the question is blank" in refused.stderr) == (1, True)


def test_nothing_else_is_touched(memorizz: Callable[..., Any], migrated_dsn: str) -> None:
    """A store of other dimensions in the default schema stays as it is."""
    with PostgreSQLProvider(PostgreSQLConfig(dsn=migrated_dsn, embedding_dimensions=None)) as provider:
        name = provider.store({"content": "mine"}, "long_term_memory")
        assert memorizz("demo", "--dsn", migrated_dsn).code == 0
        assert [found["id"] for found in provider.list_all("long_term_memory")] == [name]
        assert provider.count("agents") == 0


def test_what_was_lost_is_stored_again(memorizz: Callable[..., Any], dsn: str) -> None:
    """Where some of the data is missing, it is completed, and what is there stays."""
    memorizz("demo", "--dsn", dsn)
    with PostgreSQLProvider(demo_config(dsn)) as provider:
        provider.delete_all("toolbox")
        provider.store({"content": "one more"}, "personas")
        assert memorizz("demo", "--dsn", dsn, "--json").json["stored"]["now"] is True
        assert provider.count("toolbox") == COUNTS["toolbox"]
        assert provider.count("personas") == COUNTS["personas"] + 1


def test_a_failed_start_leaves_nothing(memorizz: Callable[..., Any], dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data that cannot be stored whole is not stored at all."""
    data = load()
    data.documents["agents"].append({"id": 1.5})
    monkeypatch.setattr("memorizz.demo.load", lambda: data)
    shown = memorizz("demo", "--dsn", dsn)
    assert shown.code == 1
    assert "1.5 is no id" in shown.stderr
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT count(*) FROM memorizz_demo.long_term_memory").fetchall()
    assert rows == [(0,)]


def test_what_to_do_next_works(memorizz: Callable[..., Any], dsn: str) -> None:
    """The commands that the page ends with do what it says they do."""
    page = memorizz("demo", "--dsn", dsn).stdout
    commands = [shlex.split(line) for line in page.splitlines() if line.startswith("  memorizz ")]
    assert len(commands) == 4
    for _, *arguments in commands:
        shown = memorizz(*(dsn if part == "..." else part for part in arguments))
        # A server for tests may well have what the doctor warns of.
        assert shown.code == 0 or arguments[0] == "doctor"
        assert shown.stderr == ""


@pytest.mark.parametrize("called", ["by path", "beside", "by name", "as a module"])
def test_what_it_tells_to_type_can_be_typed_there(migrated_dsn: str, tmp_path: Path, called: str) -> None:
    """In an environment that is not active, by its path; where it is on the PATH, by its name."""
    script = Path(sys.executable).with_name("memorizz")
    program = {
        "by path": [script],
        "beside": [os.path.relpath(script, script.parent.parent)],
        "by name": ["memorizz"],
        "as a module": [sys.executable, "-m", "memorizz"],
    }[called]
    paths = [str(script.parent)] * (called == "by name") + ["/usr/bin", "/bin"]
    place = script.parent.parent if called == "beside" else tmp_path
    environment = os.environ | {"PATH": os.pathsep.join(paths), "COLUMNS": "80"}
    run = partial(subprocess.run, cwd=place, env=environment, capture_output=True, encoding="utf-8", check=True)
    shown = run([*program, "demo", "--dsn", migrated_dsn]).stdout
    commands = [line.strip() for line in shown.splitlines() if " --dsn " in line]
    assert len(commands) == 4
    assert all(command.startswith("memorizz ") is (called == "by name") for command in commands)
    for command in commands:
        # The doctor's code is 1, for a server of tests is set to lose what a crash takes.
        done = run(command.replace("...", shlex.quote(migrated_dsn)), shell=True, check=" doctor " not in command)
        assert done.stdout.strip()
