"""Conversations, the map of the vectors, and how the database is."""

from __future__ import annotations

from playwright.sync_api import expect

from conftest import LONG, TURNS, Looking, Served
from memorizz import PostgreSQLProvider


def test_a_conversation_reads_as_a_chat(looking: Looking, served: Served, provider: PostgreSQLProvider) -> None:
    """The newest turns, oldest first, earlier ones behind a link; each in its own direction, whatever is in it."""
    said = [f"<b>turn</b> {n}" for n in range(70)] + ["\u05e9\u05dc\u05d5\u05dd"]
    turns = [{"role": "user" if n % 2 else "assistant", "content": text} for n, text in enumerate(said)]
    provider.store_many([{**turn, "memory_id": "ada", "conversation_id": "c 1/2"} for turn in turns], TURNS)
    provider.store({"role": "user", "content": "elsewhere", "memory_id": "bob", "conversation_id": "d"}, TURNS)
    page = looking.open(served())
    page.get_by_role("link", name="Conversations").click()
    expect(page.locator(".hits > li")).to_have_count(2)
    page.get_by_role("link", name=said[-1]).click()
    words = page.locator(".words")
    expect(words).to_have_text(said[-40:])
    assert words.last.evaluate("e => getComputedStyle(e).direction") == "rtl"
    page.get_by_role("link", name="Earlier").click()
    expect(words).to_have_text(said[:31])
    page.get_by_role("link", name="The newest").click()
    page.get_by_label("Show this turn whole").last.click()
    expect(page.locator(".content")).to_have_text(said[-1])


def test_the_map_leads_to_a_document(looking: Looking, served: Served, provider: PostgreSQLProvider) -> None:
    """Points for vectors; by keys, by the mouse and as a table they say what they are; near-duplicates are marked."""
    provider.store_many(
        [
            {"id": "tea", "content": "tea", "embedding": [1, 0, 0, 0]},
            {"id": "more", "content": "more tea", "embedding": [1, 0.01, 0, 0]},
            {"id": "train", "content": "a train", "embedding": [0, 1, 0, 0]},
            {"id": "code", "content": "code", "embedding": [0, 0, 1, 0]},
            {"id": "none", "content": "without", "embedding": None},
        ],
        LONG,
    )
    looking.open(served())
    page = looking.at("/map")
    expect(page.get_by_role("combobox", name="Store")).to_have_value(LONG)
    points = page.locator("svg.map circle")
    expect(points).to_have_count(4)
    expect(page.locator("svg.map circle.twin")).to_have_count(2)
    expect(page.get_by_role("region", name="Nearly equal").locator(".said")).to_have_text(["more tea", "tea"])
    picture = page.locator("svg.map")
    picture.focus()
    seen = set[str]()
    for key in ["ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowUp", "ArrowDown", "ArrowDown", "ArrowRight", "ArrowUp"]:
        page.keyboard.press(key)
        seen.add(page.locator("#chosen").inner_text())
    assert {"a train", "code"} <= seen
    points.last.hover()
    expect(page.locator("circle.here")).to_have_count(1)
    here = page.locator("#chosen").inner_text()
    picture.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".content")).to_have_text(here.removesuffix(" (nearly equal to another)"))
    page.go_back()
    page.locator("summary").click()
    expect(page.get_by_role("row")).to_have_count(5)
    page = looking.at("/map?store=toolbox")
    expect(page.locator("main")).to_contain_text("No document here has a vector")


def test_health_says_what_to_do(looking: Looking, served: Served, provider: PostgreSQLProvider) -> None:
    """The doctor's findings, each with the command to copy; sizes, indexes, and what came in the last weeks."""
    provider.store_many([{"content": f"tea {n}"} for n in range(3)], LONG)
    looking.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    looking.open(served())
    page = looking.at("/health")
    # The servers of tests do not wait for their disks.
    finding = page.locator(".findings li").filter(has_text="fsync")
    finding.get_by_role("button").click()
    expect(finding.get_by_role("button")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == finding.locator("code").inner_text()
    expect(page.get_by_role("row").filter(has_text="long term memory").first).to_contain_text("3")
    expect(page.locator(".weeks tr").last).to_contain_text("3")
    expect(page.locator("main")).to_contain_text("long_term_memory_embedding_idx")


def test_a_view_is_not_told_how_the_database_is(looking: Looking, served: Served) -> None:
    """What is of all tenants together is not shown to one."""
    looking.open(served("--tenant", "acme"))
    page = looking.at("/health")
    expect(page.get_by_role("alert")).to_be_visible()
    looking.complaints.clear()  # the 404 itself
