"""`memorizz chat`, typed into a real terminal: tmux, which shows what stands on the screen."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memorizz import PostgreSQLConfig, PostgreSQLProvider

TURNS = "conversation_memory"


class Terminal:
    """A terminal of 100 columns in which one command runs."""

    def __init__(self, folder: Path, command: str, environment: dict[str, str]) -> None:
        self._tmux = ["tmux", "-S", str(folder / "socket"), "-f", os.devnull]
        self._environment = {**environment, "TERM": "screen-256color", "LC_ALL": "C.UTF-8"}
        # Its screen stays when the command has ended, and says how.
        command = f"{command}; echo ended with $?; exec sleep 600"
        self._run("new-session", "-d", "-x", "100", "-y", "24", "-c", str(folder), command)

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._tmux, *arguments], env=self._environment, check=True, capture_output=True, encoding="utf-8"
        )
        return done.stdout

    def type(self, *keys: str) -> None:
        """Type texts, and keys by their names."""
        for key in keys:
            self._run("send-keys", *([] if key in ("Enter", "C-c", "C-d", "Up") else ["-l"]), key)

    def screen(self) -> str:
        return self._run("capture-pane", "-p")

    def shows(self, *texts: str) -> str:
        """Wait until the screen has all the texts; return it."""
        give_up = time.monotonic() + 60
        while time.monotonic() < give_up:
            shown = self.screen()
            if all(text in shown for text in texts):
                return shown
            time.sleep(0.05)
        raise AssertionError(f"{texts}: {shown}")

    def ends(self) -> str:
        """Type Ctrl+D until the command has ended without an error; return the screen."""
        give_up = time.monotonic() + 60
        while "ended with" not in (shown := self.screen()) and time.monotonic() < give_up:
            # Again, for a key that comes between two lines is nobody's.
            self.type("C-d")
            time.sleep(0.5)
        assert "ended with 0" in shown, shown
        return shown

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], env=self._environment, check=False, capture_output=True)


@pytest.fixture
def provider(config: PostgreSQLConfig) -> Iterator[PostgreSQLProvider]:
    with PostgreSQLProvider(config) as opened:
        yield opened


@pytest.fixture
def terminal(
    provider: PostgreSQLProvider, environment: dict[str, str], tmp_path: Path
) -> Iterator[Callable[..., Terminal]]:
    """Start `memorizz chat` with more arguments in a terminal of its own."""
    assert shutil.which("tmux"), "the tests of memorizz chat need tmux; on Debian: apt install tmux"
    opened: list[Terminal] = []

    def start(*arguments: str) -> Terminal:
        folder = tmp_path / str(len(opened))
        folder.mkdir()
        opened.append(Terminal(folder, shlex.join([sys.executable, "-m", "memorizz", "chat", *arguments]), environment))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def test_recall_is_shown_while_one_types(terminal: Callable[..., Terminal], provider: PostgreSQLProvider) -> None:
    """What is found changes with the line, each with its score and why; then the line is remembered."""
    provider.remember("Ada drinks her tea\x1b[31m without milk.", "ada", id="milk")
    provider.remember("The train leaves at nine.", "ada", id="train")
    provider.remember("Bob drinks tea.", "bob")
    shown = terminal("--memory", "ada")
    shown.shows("\n>", "Ctrl+D ends it")
    shown.type("tea")
    # What a terminal would obey is shown.
    screen = shown.shows("Ada drinks her tea\\x1b[31m without milk.", "= words")
    assert "train" not in screen
    assert "Bob" not in screen
    shown.type(" or the train")
    shown.shows("Ada drinks her tea", "The train leaves at nine.")
    assert provider.count(TURNS) == 0
    shown.type("Enter")
    shown.shows("  long_term_memory  milk")
    (turn,) = provider.list_all(TURNS)
    assert (turn["content"], turn["role"], turn["memory_id"]) == ("tea or the train", "user", "ada")
    assert {each["id"] for each in turn["recalled"]} == {"milk", "train"}
    # A line that is given up is not remembered, and what was typed comes back.
    shown.type("never", "C-c")
    shown.shows("> never\n>")
    shown.type("Up")
    shown.shows("> never\n> tea or the train")
    shown.type("C-c")
    assert "not by its meaning" not in shown.ends()
    assert provider.count(TURNS) == 1


def test_a_conversation_goes_on(terminal: Callable[..., Terminal], provider: PostgreSQLProvider) -> None:
    """After a restart what was said stands there, and the command that answers reads it with what is remembered."""
    provider.remember("Ada drinks her tea without milk.", id="milk")
    answers = ("--command", "tee -a prompts | grep -c .", "--conversation", "c")
    first = terminal(*answers)
    first.shows("\n>")
    first.type("Does Ada take milk?", "Enter")
    first.shows("  long_term_memory  milk", "\n3\n>")
    first.ends()
    assert [(turn["role"], turn["content"]) for turn in provider.list_all(TURNS, order_by="timestamp")] == [
        ("user", "Does Ada take milk?"),
        ("assistant", "3"),
    ]
    again = terminal(*answers)
    again.shows("user: Does Ada take milk?", "assistant: 3", "\n>")
    again.type("And sugar?", "Enter")
    # Nothing is remembered of sugar, but what was said is read again.
    again.shows("\n4\n>")
    again.ends()


def test_a_command_that_takes_too_long_is_given_up(
    terminal: Callable[..., Terminal], provider: PostgreSQLProvider
) -> None:
    """Ctrl+C ends the command and not the conversation; what was said is remembered, without an answer."""
    shown = terminal("--command", "sleep 600")
    shown.shows("\n>")
    shown.type("Well?", "Enter")
    give_up = time.monotonic() + 60
    while not provider.count(TURNS) and time.monotonic() < give_up:
        time.sleep(0.05)
    shown.type("C-c")
    shown.shows("interrupted")
    shown.type("Still there?")
    shown.shows("> Still there?")
    assert [turn["content"] for turn in provider.list_all(TURNS)] == ["Well?"]
