"""memorizz list, add, edit and delete."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.embeddings import LocalEmbedder

LONG = "long_term_memory"


@pytest.fixture
def dsn(dsn: str) -> str:
    """A database whose vectors are those of the embedder that is at hand."""
    with PostgreSQLProvider(dsn, embedder="local"):
        return dsn


def test_a_memory_is_added_edited_and_deleted(memorizz: Callable[..., Any], dsn: str) -> None:
    """Its text is embedded, keys that are not named stay, and what is gone is not found again."""
    added = memorizz("add", "Ada drinks tea.", "--data", '{"topic": "drinks"}', "--memory", "ada", "--dsn", dsn)
    assert (added.code, added.stderr) == (0, "")
    id = added.stdout.strip()
    with PostgreSQLProvider(dsn, embedder="local") as provider:
        stored = provider.retrieve_by_id(id, LONG, include_embedding=True)
        assert (stored["content"], stored["topic"], stored["memory_id"]) == ("Ada drinks tea.", "drinks", "ada")
        assert stored["embedding"] == pytest.approx(LocalEmbedder().embed(["Ada drinks tea."])[0], abs=1e-3)
        assert memorizz("edit", id, "Ada drinks coffee.", "--dsn", dsn).stdout == f"changed in {LONG}\n"
        stored = provider.retrieve_by_id(id, LONG, include_embedding=True)
        assert (stored["content"], stored["topic"]) == ("Ada drinks coffee.", "drinks")
        assert stored["embedding"] == pytest.approx(LocalEmbedder().embed(["Ada drinks coffee."])[0], abs=1e-3)
    changed = memorizz("edit", id, "--data", '{"topic": null}', "--dsn", dsn, "--json")
    assert changed.json == {"store": LONG, "changed": True}
    refused = memorizz("delete", id, "--dsn", dsn)
    assert (refused.code != 0, "--yes" in refused.stderr) == (True, True)
    assert memorizz("delete", id, "--yes", "--dsn", dsn).stdout == f"deleted from {LONG}\n"
    gone = memorizz("delete", id, "--yes", "--dsn", dsn)
    assert (gone.code, id in gone.stderr) == (1, True)
    assert memorizz("edit", id, "x", "--dsn", dsn).code == 1


def test_what_is_added_without_a_vector_is_said_beside_the_id(memorizz: Callable[..., Any], dsn: str) -> None:
    """The id alone is on stdout, for a program to take; what the memory lacks is on stderr."""
    at = ("--dsn", dsn, "--schema", "models_unknown")
    with PostgreSQLProvider(PostgreSQLConfig(dsn=dsn, schema="models_unknown")) as provider:
        added = memorizz("add", "Ada drinks tea.", *at)
        assert provider.retrieve_by_id(added.stdout.removesuffix("\n"), LONG)["content"] == "Ada drinks tea."
        assert "without a vector" in added.stderr
        edited = memorizz("edit", added.stdout.strip(), "Ada drinks coffee.", *at)
        assert (edited.stdout, "without a vector" in edited.stderr) == (f"changed in {LONG}\n", True)


def test_what_is_asked_wrongly_changes_nothing(memorizz: Callable[..., Any], dsn: str) -> None:
    """An edit without a change, data that is no object, a blank text and an id of two stores are errors that say so."""
    with PostgreSQLProvider(PostgreSQLConfig(dsn=dsn, embedding_dimensions=None)) as provider:
        provider.store({"id": "a"}, LONG)
        provider.store({"id": "a"}, "personas")
        for arguments, said in (
            (("edit", "a"), "nothing to change"),
            (("edit", "a", "x", "--data", "[]"), "--data"),
            (("add", " "), "blank"),
            (("edit", "a", "x"), "--store"),
            (("delete", "a", "--yes"), "--store"),
        ):
            failed = memorizz(*arguments, "--dsn", dsn)
            assert (failed.code != 0, said in failed.stderr) == (True, True), (arguments, failed.stderr)
        assert [each.keys() & {"content"} for each in provider.list_all(LONG)] == [set()]
        assert memorizz("delete", "a", "--store", "personas", "--yes", "--dsn", dsn).code == 0
        assert (provider.count(LONG), provider.count("personas")) == (1, 0)


def test_memories_are_listed_by_their_age(memorizz: Callable[..., Any], dsn: str) -> None:
    """Over all stores, the oldest or the newest first, those that a filter, a store or a memory has."""
    with PostgreSQLProvider(PostgreSQLConfig(dsn=dsn, embedding_dimensions=None)) as provider:
        for n, (store, memory) in enumerate([(LONG, "ada"), ("short_term_memory", "ada"), (LONG, "bob")]):
            provider.store({"id": str(n), "memory_id": memory, "content": f"text {n}"}, store)

    def ids(*arguments: str) -> list[str]:
        return [
            each["document"]["id"] for each in memorizz("list", *arguments, "--dsn", dsn, "--json").json["documents"]
        ]

    assert ids() == ["0", "1", "2"]
    assert ids("--newest", "--limit", "2") == ["2", "1"]
    assert ids("--memory", "ada", "--newest") == ["1", "0"]
    assert ids("--store", LONG) == ["0", "2"]
    assert ids("--filter", '{"content": "text 2"}') == ["2"]
    assert "text 1" in memorizz("list", "--dsn", dsn).stdout


def test_a_tenants_memories_are_a_tenants(memorizz: Callable[..., Any], dsn: str) -> None:
    """What is added for one is neither listed, changed nor deleted for another, nor for none."""
    id = memorizz("add", "Acme sells tea.", "--tenant", "acme", "--dsn", dsn).stdout.strip()
    for others in ((), ("--tenant", "other"), ("--tenant", "acme", "--memory", "ada")):
        assert memorizz("list", *others, "--dsn", dsn, "--json").json == {"documents": []}
        assert memorizz("edit", id, "x", *others, "--dsn", dsn).code == 1
        assert memorizz("delete", id, "--yes", *others, "--dsn", dsn).code == 1
    assert "Acme sells tea." in memorizz("list", "--tenant", "acme", "--dsn", dsn).stdout
    assert memorizz("delete", id, "--yes", "--tenant", "acme", "--dsn", dsn).code == 0


def test_a_text_may_come_from_stdin(memorizz: Callable[..., Any], dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text of several lines, or one that starts with a dash, goes in by -."""
    monkeypatch.setattr("sys.stdin", io.StringIO("- tea\n- milk\n"))
    id = memorizz("add", "-", "--dsn", dsn).stdout.strip()
    assert "- tea\\n- milk" in memorizz("show", id, "--dsn", dsn, "--json").stdout


def test_a_shell_completes_commands() -> None:
    """What a shell asks on the tab key is answered with the commands that begin so."""
    asked = {"_MEMORIZZ_COMPLETE": "complete_bash", "COMP_WORDS": "memorizz edi", "COMP_CWORD": "1"}
    command = [str(Path(sys.executable).with_name("memorizz"))]
    answer = subprocess.run(command, env=os.environ | asked, capture_output=True, text=True, check=False)
    assert answer.stdout.split() == ["edit"]
