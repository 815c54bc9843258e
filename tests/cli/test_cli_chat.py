"""memorizz chat where its lines come from a pipe; tests_integrations/chat types them into a terminal."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest

from memorizz.cli import app
from memorizz.memory_provider.postgresql import PostgreSQLProvider

TURNS = "conversation_memory"
Chat = Callable[..., Any]


@pytest.fixture
def chat(memorizz: Callable[..., Any], migrated_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Chat:
    """Run `memorizz chat` on lines."""

    def run(said: str, *arguments: object) -> Any:
        monkeypatch.setattr(sys, "stdin", io.StringIO(said))
        return memorizz("chat", "--dsn", migrated_dsn, *arguments)

    return run


def test_each_line_is_answered_by_what_memory_recalls(chat: Chat, provider: PostgreSQLProvider) -> None:
    """With scores and why; it is remembered as a turn with what was recalled for it, before the next is looked for."""
    provider.remember("Ada drinks her tea without milk.", "ada", id="milk")
    provider.remember("Bob drinks tea.", "bob", id="bobs")
    shown = chat("Does she take milk?\n\n  \nAnd who asked for milk?\n", "--memory", "ada", "--json").json
    first, second = shown["turns"]
    assert [(hit["store"], hit["document"]["id"]) for hit in first["recalled"]] == [("long_term_memory", "milk")]
    assert first["recalled"][0]["document"]["_explanation"]["words"] > 0
    assert {hit["document"]["id"] for hit in second["recalled"]} == {"milk", first["id"]}
    turns = provider.list_all(TURNS, order_by="timestamp")
    assert [(turn["content"], turn["role"], turn["memory_id"], turn["conversation_id"]) for turn in turns] == [
        ("Does she take milk?", "user", "ada", shown["conversation"]),
        ("And who asked for milk?", "user", "ada", shown["conversation"]),
    ]
    assert [each["id"] for each in turns[0]["recalled"]] == ["milk"]
    page = chat("Milk?\nxyz\n").stdout
    assert "Ada drinks her tea without milk." in page
    assert "nothing is recalled" in page


def test_a_command_answers(chat: Chat, provider: PostgreSQLProvider) -> None:
    """It reads what is remembered, what was said, and the line; its answer is remembered and said the next time."""
    provider.remember("Ada drinks her tea\nwithout milk.", id="milk")
    arguments = ("--command", "cat", "--conversation", "c", "--json")
    (turn,) = chat("Does Ada take milk?", *arguments).json["turns"]
    assert turn["answer"] == ("What is remembered:\n- Ada drinks her tea without milk.\n\nuser: Does Ada take milk?")
    asked, answered = provider.list_all(TURNS, order_by="timestamp")
    assert (answered["role"], answered["content"], answered["conversation_id"]) == ("assistant", turn["answer"], "c")
    assert "recalled" in asked
    assert "recalled" not in answered
    (turn,) = chat("Sugar?", *arguments).json["turns"]
    assert turn["answer"].startswith("What was said:\nuser: Does Ada take milk?\nassistant: What is remembered:")
    assert turn["answer"].endswith("\n\nuser: Sugar?")


@pytest.mark.parametrize(("command", "why"), [("exit 3", "exit code 3"), ("true", "printed nothing")])
def test_a_command_that_fails_answers_nothing(chat: Chat, provider: PostgreSQLProvider, command: str, why: str) -> None:
    """It is said and the exit code is 1; the line is remembered, no answer is, and the next line is read."""
    shown = chat("one\ntwo\n", "--command", command)
    assert (shown.code, shown.stderr.count(why)) == (1, 2)
    assert [turn["content"] for turn in provider.list_all(TURNS, order_by="timestamp")] == ["one", "two"]


def test_a_conversation_is_its_tenants(chat: Chat, provider: PostgreSQLProvider) -> None:
    """With --tenant neither what is recalled nor what was said is of another."""
    provider.remember("Their tea.")
    provider.tenant("acme").remember("Our tea.")
    (turn,) = chat("tea", "--tenant", "acme", "--conversation", "c", "--json").json["turns"]
    assert [hit["document"]["content"] for hit in turn["recalled"]] == ["Our tea."]
    (turn,) = chat("tea", "--conversation", "c", "--command", "cat", "--json").json["turns"]
    assert turn["answer"] == "What is remembered:\n- Their tea.\n\nuser: tea"


class Screen(io.StringIO):
    """What a terminal is to a program."""

    def isatty(self) -> bool:
        return True


def test_the_missing_extra_of_a_terminal_is_named(migrated_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has not installed it reads what to install."""
    for name in [name for name in sys.modules if name.startswith(("memorizz.chat", "prompt_toolkit"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)
    monkeypatch.setattr(sys, "stdin", Screen())
    with redirect_stdout(Screen()), redirect_stderr(io.StringIO()) as stderr, pytest.raises(SystemExit) as end:
        app(["chat", "--dsn", migrated_dsn])
    assert end.value.code == 1
    assert "memorizz-postgresql[chat]" in stderr.getvalue()
