"""A console to look at, and a browser to look with."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from memorizz import PostgreSQLConfig, PostgreSQLProvider

LONG, TURNS = "long_term_memory", "conversation_memory"

# Three topics, each a direction: what a text is about is which words of them it has.
EMBEDDER = """
TOPICS = (("tea", "drink", "coffee"), ("train", "travel"), ("code", "python"))


class Embedder:
    name, dimensions = "topics", 4

    def embed(self, texts, *, kind="document"):
        found = [[float(sum(word in text.lower() for word in topic)) for topic in TOPICS] for text in texts]
        return [[*each, 0.1] for each in found]
"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or the one that Playwright has installed."""
    with sync_playwright() as playwright:
        # Without a sandbox of its own: it looks at nothing but what the tests serve, also as root.
        launched = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def provider(config: PostgreSQLConfig, tmp_path: Path) -> Iterator[PostgreSQLProvider]:
    """The memories, with an embedder that knows three topics."""
    (tmp_path / "embedder.py").write_text(EMBEDDER, "utf-8")
    loaded: dict[str, object] = {}
    exec(EMBEDDER, loaded)
    with PostgreSQLProvider(config, embedder=loaded["Embedder"]()) as opened:  # type: ignore[operator]
        yield opened


Served = Callable[..., str]


@pytest.fixture
def served(provider: PostgreSQLProvider, environment: dict[str, str], tmp_path: Path) -> Iterator[Served]:
    """Start `memorizz console` on the memories, with more arguments; return the address that it prints."""
    with ExitStack() as ended:

        def start(*arguments: str) -> str:
            command = [sys.executable, "-m", "memorizz", "console", "--no-browser", "--model", "embedder:Embedder"]
            process = subprocess.Popen(
                [*command, *arguments], env=environment, cwd=tmp_path, stderr=subprocess.PIPE, encoding="utf-8"
            )
            ended.enter_context(process)
            ended.callback(process.kill)
            assert process.stderr is not None
            said = process.stderr.readline().split()
            assert said[:1] == ["memorizz:"], (said, process.stderr.read())
            return said[1]

        yield start


class Looking:
    """A page of the browser, and what the browser had to complain about."""

    def __init__(self, page: Page) -> None:
        self.page, self.complaints = page, list[str]()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        # Nothing is fetched from anywhere else.
        page.on(
            "request",
            lambda asked: None if "//127.0.0.1:" in asked.url else self.complaints.append(asked.url),
        )

    def open(self, address: str) -> Page:
        """Open a console by the address that it printed; return its first page."""
        self.root = address.partition("/?")[0]
        self.page.goto(address)
        self.page.wait_for_url(f"{self.root}/")
        return self.page

    def at(self, path: str) -> Page:
        self.page.goto(self.root + path)
        return self.page


@pytest.fixture
def looking(browser: Browser) -> Iterator[Looking]:
    """A window of 1,280 pixels; that the browser had nothing to complain about is seen at the end."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        context.set_default_timeout(10_000)
        found = Looking(context.new_page())
        yield found
        assert found.complaints == []
