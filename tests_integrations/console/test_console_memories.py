"""What the console shows of the memories, in a browser."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, ViewportSize, expect

from conftest import LONG, TURNS, Looking, Served
from memorizz import PostgreSQLProvider

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><a href=javascript:alert(3)>x</a>"


def test_the_overview_leads_into_a_memory(looking: Looking, served: Served, provider: PostgreSQLProvider) -> None:
    """Stores with their counts, the memories in use; of one that is chosen, every page shows it alone."""
    provider.store_many([{"content": f"tea {n}", "memory_id": "ada"} for n in range(3)], LONG)
    provider.store({"content": "a train", "memory_id": "bob"}, LONG)
    provider.tenant("acme").store({"content": "theirs", "memory_id": "eve"}, LONG)
    page = looking.open(served())
    row = page.get_by_role("row").filter(has_text="long term memory")
    expect(row).to_contain_text("4")
    expect(page.locator("main")).not_to_contain_text("eve")
    expect(page.get_by_role("region", name="Tenants").get_by_role("link")).to_have_text(["acme"])
    page.get_by_role("link", name="ada").last.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Memory ada")
    expect(row).to_contain_text("3")
    page.get_by_role("link", name="long term memory").first.click()
    expect(page.locator(".hits > li")).to_have_count(3)
    page.get_by_label("Memory", exact=True).fill("")
    page.get_by_label("Tenant").fill("acme")
    page.get_by_role("button", name="Look").click()
    expect(page.locator("main")).to_contain_text("theirs")


def test_a_list_has_every_document_once(looking: Looking, served: Served, provider: PostgreSQLProvider) -> None:
    """From page to page, the newest first, also where all are of one time; what has come meanwhile moves nothing."""
    provider.store_many([{"content": f"tea no. {n};", "created_at": LONG_AGO} for n in range(100)], LONG)
    looking.open(served())
    page = looking.at(f"/memories?store={LONG}")
    seen = page.locator(".said").all_text_contents()
    provider.store({"content": "new"}, LONG)
    older = page.get_by_role("link", name="Older")
    while older.count():
        looking.at(older.get_attribute("href") or "")
        seen += page.locator(".said").all_text_contents()
    assert [each.strip() for each in seen] == [f"tea no. {n};" for n in reversed(range(100))]
    page.get_by_role("link", name="The newest").click()
    expect(page.locator(".said").first).to_have_text("new")


def test_a_search_answers_while_one_types(looking: Looking, served: Served, provider: PostgreSQLProvider) -> None:
    """By meaning, words or both; each hit says what its score is made of, and each store by which route."""
    provider.store_many(
        [{"content": "A drink at four", "role": "user"}, {"content": "The train is late", "role": "assistant"}], LONG
    )
    provider.store({"content": "Tea, please", "role": "user", "memory_id": "ada"}, TURNS)
    looking.open(served())
    page = looking.at("/memories")
    page.evaluate("window.stayed = true")
    page.get_by_role("searchbox").press_sequentially("tea")
    expect(page.get_by_role("status")).to_contain_text("hits for")
    group = page.get_by_role("region", name="conversation memory")
    expect(group.locator(".scored").first).to_contain_text("meaning")
    expect(group.locator(".why").first).to_contain_text("words")
    # By meaning it is nearer than what has other words.
    expect(page.get_by_role("region", name="long term memory").locator(".said").first).to_have_text("A drink at four")
    page.locator("summary").first.click()
    expect(page.locator(".how").first).to_contain_text("SELECT")
    page.get_by_text("words", exact=True).first.click()
    expect(page.locator(".hits > li")).to_have_count(1)
    page.get_by_role("searchbox").fill("train")
    page.get_by_label("Role or name").fill("assistant")
    expect(page.locator(".said")).to_have_text(["The train is late"])
    page.get_by_label("Filter").fill("{no json")
    expect(page.locator(".problem")).to_contain_text("no JSON")
    looking.complaints.clear()  # the 400 itself
    page.get_by_label("Filter").fill('{"role": "user"}')
    expect(page.get_by_role("status")).to_contain_text("0 hits")
    assert page.evaluate("window.stayed")
    assert "q=train" in page.url


def test_a_document_is_shown_whole(looking: Looking, served: Served, provider: PostgreSQLProvider) -> None:
    """All its keys, whatever they hold; its vector, and what is nearest to it."""
    id = "of/ours?&x=1#é"
    provider.store({"id": id, "content": "green tea", "metadata": {"deep": [1, {"er": "ok"}]}, "mood": None}, LONG)
    provider.store({"content": "a drink"}, LONG)
    looking.open(served())
    page = looking.at(f"/memories?store={LONG}")
    page.get_by_text("green tea").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(id)
    shown = page.locator(".keys")
    for text in ("metadata", '"er": "ok"', "mood", "none", "created_at"):
        expect(shown).to_contain_text(text)
    expect(page.locator("main")).to_contain_text("4 dimensions")
    expect(page.get_by_role("region", name="Nearest")).to_contain_text("a drink")
    looking.page.goto(f"{looking.root}/document?store={LONG}&id=nobody")
    expect(page.get_by_role("alert")).to_contain_text("no document")
    looking.complaints.clear()  # the 404 itself


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_hostile_and_long_content_stays_text(
    looking: Looking, served: Served, provider: PostgreSQLProvider, scheme: str
) -> None:
    """Scripts in any key are text, on every page; a page is never over 300 kB, nor wider than its window."""
    hostile = {"content": SCRIPT, "name": SCRIPT, "memory_id": SCRIPT, SCRIPT: SCRIPT, "metadata": {SCRIPT: [SCRIPT]}}
    provider.store({"id": SCRIPT, **hostile}, LONG)
    provider.store({"content": "<&>" * 70_000, "x": "\U0001f600" * 50_000, "y": ["<" * 50_000], "z": "w" * 9_000}, LONG)
    provider.store({"id": "wide", **{f"key {n} &": "<" * 99 for n in range(3000)}}, LONG)
    hits = [{"store": LONG, "id": SCRIPT, "score": 0.5}] * 9
    turn = {"role": "user", "content": '"' * 9_000, "memory_id": "zh", "recalled": hits}
    provider.store_many([turn] * 50, TURNS)
    provider.store_many(
        [{"content": "\u05e9\u05dc\u05d5\u05dd " * 200, "memory_id": "m" * 900} for _ in range(60)], LONG
    )
    looking.open(served())
    page = looking.page
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    paths = [
        f"/document?store={LONG}&id=wide",
        "/conversation?memory=zh",
        "/",
        "/conversations",
        "/map",
        "/health",
        "/memories",
        f"/memories?store={LONG}",
        "/memories?q=alert",
        "/memories?q=%3Cscript%3E&by=words",
    ]
    looking.at(f"/memories?store={LONG}&q=alert&by=words")
    expect(page.locator(".said")).to_have_text([SCRIPT])
    paths += [each.get_attribute("href") or "" for each in page.locator(".said").all()]
    looking.at("/memories?store=long_term_memory&filter=" + '{"y": {"$exists": true}}')
    paths += [each.get_attribute("href") or "" for each in page.locator(".said").all()]
    for width in (360, 1600):
        page.set_viewport_size({"width": width, "height": 900})
        for path in paths:
            answer = page.goto(looking.root + path)
            assert answer is not None
            assert (answer.status, len(answer.body()) < 300_000) == (200, True), path
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (path, width)
            assert page.locator("main script, main img").count() == 0


def test_it_is_used_without_a_mouse(looking: Looking, served: Served, provider: PostgreSQLProvider) -> None:
    """The first key leads past the side, / to the search, j to the hits; every field has a label."""
    provider.store({"content": "tea", "id": "x"}, LONG)
    page = looking.open(served())
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("tea")
    page.keyboard.press("Enter")
    page.wait_for_url("**/memories?q=tea**")
    page.keyboard.press("j")
    expect(page.locator(".said").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("x")
    for path in ("/", "/memories?q=tea", f"/document?store={LONG}&id=x", "/map", "/health", "/conversations"):
        looking.at(path)
        assert page.locator("h1").count() == page.locator("main").count() == page.locator("nav").count() == 1
        unnamed = (
            "[...document.querySelectorAll('input:not([type=hidden]), select, textarea')].filter(e => !e.labels.length)"
        )
        assert page.evaluate(f"{unnamed}.length") == 0
        assert page.evaluate("document.querySelectorAll('button:empty, a:empty').length") == 0


def test_only_the_tenant_that_was_named_is_shown(
    looking: Looking, served: Served, provider: PostgreSQLProvider
) -> None:
    """With --tenant and --memory no address leads out."""
    provider.tenant("acme").store({"content": "ours", "memory_id": "ada"}, LONG)
    provider.tenant("acme").store({"content": "of bob", "memory_id": "bob"}, LONG)
    provider.store({"content": "secret", "memory_id": "ada"}, LONG)
    page = looking.open(served("--tenant", "acme", "--memory", "ada"))
    looking.at(f"/memories?store={LONG}")
    expect(page.locator(".said")).to_have_text(["ours"])
    for query in ("tenant=other", "memory=bob", "tenant=acme&memory=bob"):
        looking.at(f"/memories?store={LONG}&{query}")
        expect(page.get_by_role("alert")).to_contain_text(
            "no call leads out of" if "tenant=other" in query else "memory"
        )
        expect(page.locator("main")).not_to_contain_text("of bob")
    looking.complaints.clear()  # the 400s themselves


def test_light_or_dark_is_chosen_once(looking: Looking, served: Served) -> None:
    """The button changes what the system asks for, on every page from then on."""
    page = looking.open(served())
    ground = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="light")
    light = page.evaluate(ground)
    page.get_by_role("button", name="Dark or light").click()
    dark = page.evaluate(ground)
    assert dark != light
    looking.at("/memories")
    assert page.evaluate(ground) == dark
    page.get_by_role("button", name="Dark or light").click()
    assert page.evaluate(ground) == light


def test_it_works_without_scripts(browser: Browser, served: Served, provider: PostgreSQLProvider) -> None:
    """Where a browser runs none, one searches, edits and forgets all the same, at the width of a telephone too."""
    provider.store_many([{"id": "x", "content": "tea", "memory_id": "ada"}, {"content": "a train"}], LONG)
    viewport: ViewportSize = {"width": 360, "height": 800}
    with browser.new_context(java_script_enabled=False, viewport=viewport) as context:
        page = context.new_page()
        page.goto(served("--write"))
        page.get_by_role("searchbox").fill("tea")
        page.get_by_role("button", name="Search").click()
        page.get_by_role("link", name="tea").first.click()
        page.get_by_text("Edit", exact=True).click()
        page.get_by_label("Text").fill("green tea")
        page.get_by_role("button", name="Save").click()
        expect(page.locator(".content")).to_have_text("green tea")
        page.get_by_role("link", name="ada").first.click()
        page.get_by_role("link", name="Forget this memory").click()
        page.get_by_role("button", name="Forget 1 document").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Forgotten")
    assert [each["content"] for each in provider.list_all(LONG)] == ["a train"]
