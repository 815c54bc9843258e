"""Every page of the console, in light and dark, on a telephone and on a large screen, with scripts and without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page

from conftest import LONG, TURNS, Looking, Served
from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.console import Console
from memorizz.console._app import app
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider
from memorizz.memory_provider.postgresql.maintenance import Maintenance, Noted

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><a href=javascript:alert(3)>x</a>"
HEBREW = "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd, (a < b)! "
# It turns what follows round, in a page that does not keep it apart.
TURNED = "\u202eturned\u202c"
ONE = {"store": LONG, "id": SCRIPT}
# Of each page what it is asked, by the path of its route; that of no route is the page of what is not there.
ASKED: dict[str, list[dict[str, str]]] = {
    "/": [{}, {"memory": SCRIPT}, {"tenant": HEBREW}],
    "/memories": [{}, {"store": LONG}, {"q": "alert tea"}, {"q": HEBREW, "by": "words"}, {"q": "x", "filter": "{"}],
    "/document": [ONE, {"store": LONG, "id": "long"}, {**ONE, "at": "now"}, {"store": LONG, "id": "gone"}],
    "/conversations": [{}],
    "/conversation": [{"memory": HEBREW, "conversation": SCRIPT}],
    "/map": [{}, {"store": "toolbox"}],
    "/health": [{}],
    "/forget": [{"memory": SCRIPT}, {}],
    "/nowhere": [{}],
}
NO_PAGES = {"/points", "/assets/{name}", "/favicon.ico"}
# Asked for what cannot be answered: the status that says so.
REFUSED = {"/memories?q=x&filter=%7B": 400, "/forget?": 400, "/nowhere?": 404}

# What a person who does not see well, or has no mouse, would stumble over.
CHECKS = (Path(__file__).parent / "checks.js").read_text("utf-8")


def test_every_page_is_tried(config: PostgreSQLConfig) -> None:
    """The table names each route that there is, so that a new page cannot be forgotten."""
    console = Console(provider=AsyncPostgreSQLProvider(config), write=True)
    routes: list[Any] = [*app(console, "token").routes]
    read = {route.path for route in routes if "GET" in route.methods}
    assert read == (ASKED.keys() | NO_PAGES) - {"/nowhere"}


def test_every_page_at_every_width(
    browser: Browser, served: Served, provider: PostgreSQLProvider, config: PostgreSQLConfig
) -> None:
    """Whatever is in it: never wider than the window nor over 300 kB, nothing that the browser complains of.

    Headings come in order, every field has a label, every link and button a name, what has the focus shows it, and
    every text stands out from its ground by 4.5.
    """
    now = _fill(provider, config)
    address = served("--write")
    wrong: list[str] = []
    # Without scripts the colors are the same.
    ways = [*product(("light", "dark"), (360, 1600), (True,)), *product(("light",), (360, 1600), (False,))]
    for scheme, width, scripts in ways:
        with _window(browser, address, scheme, width, scripts) as looking:
            for path, query in ((path, query) for path, asked in ASKED.items() for query in asked):
                where = f"{path}?{urlencode({**query, 'at': now} if 'at' in query else query)}"
                wrong += [
                    f"{where} {scheme} {width} {'' if scripts else 'no scripts '}{said}"
                    for said in _seen(looking, where)
                ]
    assert not wrong, "\n".join(wrong)


def _seen(looking: Looking, where: str) -> Iterator[str]:
    """Return what is wrong with a page."""
    answer = looking.page.goto(looking.root + where)
    assert answer is not None
    wanted = REFUSED.get(where, 200)
    if answer.status != wanted:
        yield f"status {answer.status}"
    if wanted != 200:
        # The browser says that, too.
        looking.complaints[:] = [said for said in looking.complaints if f"status of {wanted} " not in said]
    if len(answer.body()) >= 300_000:
        yield f"{len(answer.body()):,} bytes"
    yield from looking.page.evaluate(CHECKS)
    yield from looking.complaints
    looking.complaints.clear()


@contextmanager
def _window(browser: Browser, address: str, scheme: Any, width: int, scripts: bool) -> Iterator[Looking]:
    with browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
        java_script_enabled=scripts,
        reduced_motion="reduce",
    ) as context:
        looking = Looking(context.new_page())
        looking.open(address)
        # From now on what has the focus has it by the keyboard.
        looking.page.keyboard.press("Tab")
        yield looking


def _fill(provider: PostgreSQLProvider, config: PostgreSQLConfig) -> str:
    """Store what is hostile, long or runs from right to left, in every place that is shown; return a time after it."""
    provider.keep_history(LONG)
    hostile = {"content": SCRIPT, "name": SCRIPT, "memory_id": SCRIPT, SCRIPT: HEBREW, "metadata": {HEBREW: [SCRIPT]}}
    provider.store({"id": SCRIPT, **hostile}, LONG)
    provider.store({"id": SCRIPT, "content": SCRIPT + TURNED, HEBREW: TURNED}, LONG)
    wide = {"content": "w" * 9_000, "m" * 900: "x" * 9_000, **{f"key {n}": HEBREW for n in range(50)}}
    provider.store({"id": "long", "memory_id": "m" * 900, **wide}, LONG)
    provider.store({"id": "gone", "content": HEBREW * 100}, LONG)
    provider.delete_by_id("gone", LONG)
    texts = [SCRIPT, HEBREW * 30, TURNED, "tea " * 500, "t" * 500, "\U0001f469\U0001f3fd\u200d\U0001f680" * 60, ""]
    provider.store_many([{"content": text, "memory_id": HEBREW} for text in texts * 5], LONG)
    recalled = [{"store": LONG, "id": id, "score": 0.5} for id in (SCRIPT, "long", "gone", "x" * 500)]
    turns = [
        {"role": role, "content": text, "memory_id": HEBREW, "conversation_id": SCRIPT, "recalled": recalled}
        for role, text in product(("user", "assistant", SCRIPT, HEBREW * 9), texts)
    ]
    provider.store_many(turns, TURNS)
    provider.tenant(HEBREW).store({"content": HEBREW, "memory_id": SCRIPT}, LONG)
    with Maintenance(config) as maintenance:
        for count in (10, 2000):
            maintenance.note([Noted(LONG, documents=count, bytes=count * 1000, recall=0.99, median_ms=4.2)])
    return datetime.now(UTC).isoformat()


def test_the_checks_can_fail(browser: Browser) -> None:
    """Each of them, on a page that has everything wrong."""
    page: Page
    with browser.new_context(viewport={"width": 360, "height": 800}) as context:
        page = context.new_page()
        page.set_content(
            "<!doctype html><body style='background: #fff'><h2>Two</h2><h4>Four</h4><h1 id=a>One</h1><h1 id=a>1</h1>"
            "<p style='color: #aaa'>pale</p><p style='width: 999px'>wide</p><input><a href='#a'></a><img src='data:,'>"
            "<button style='outline: none'>unseen</button><input aria-label=x placeholder=pale>"
            "<style>input::placeholder { color: #bbb }</style></body>"
        )
        page.keyboard.press("Tab")
        said = "\n".join(page.evaluate(CHECKS))
    for each in ("wider", "language", "title", "main", "2 headings", "h4", "twice", "label", "name", "alt", "focus"):
        assert each in said
    assert said.count("contrast") == 2
