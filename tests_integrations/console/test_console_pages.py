"""Conversations, the map of the vectors, and how the database is."""

from __future__ import annotations

from playwright.sync_api import expect

from conftest import LONG, TURNS, Looking, Served
from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.maintenance import Maintenance, Noted


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
    expect(words).to_have_text(said[-30:])
    assert words.last.evaluate("e => getComputedStyle(e).direction") == "rtl"
    page.get_by_role("link", name="Earlier").click()
    expect(words).to_have_text(said[11:41])
    page.get_by_role("link", name="The newest").click()
    page.get_by_label("Show this turn whole").last.click()
    expect(page.locator(".content")).to_have_text(said[-1])


def test_a_turn_shows_what_was_recalled_for_it(looking: Looking, served: Served, provider: PostgreSQLProvider) -> None:
    """Under it, the best first, each linked to what it is now, of whatever memory; what is gone is said to be."""
    provider.remember("tea without <i>milk</i>", "ada", id="tea")
    provider.remember("a drink at four", "shared", id="drink")
    provider.remember("another drink", "ada", id="gone")
    hits = provider.recall("Which tea?")
    turn = {"role": "user", "conversation_id": "c"}
    provider.remember("Which tea?", "ada", store=TURNS, recalled=hits, **turn)
    many = [{"store": LONG, "id": f"none {n}"} for n in range(9)]
    provider.remember("And then?", "ada", store=TURNS, recalled=many, **turn)
    strange = {"recalled": [5, {}, {"store": "nowhere", "id": "x"}, {"store": LONG, "id": 5}], "memory_id": "ada"}
    provider.store({"content": "Strange", **turn, **strange}, TURNS)
    provider.delete_by_id("gone", LONG)
    looking.open(served())
    page = looking.at("/conversation?memory=ada&conversation=c")
    recalled = page.locator(".recalled")
    expect(recalled).to_have_count(3)
    recalled.first.locator("summary").click()
    first = recalled.first.get_by_role("listitem")
    expect(first).to_have_count(3)
    expect(first.first).to_contain_text(f"{hits[0]['score']:.3f}")
    expect(recalled.first.get_by_role("link")).to_have_count(2)
    expect(recalled.first).to_contain_text("not here any more: gone")
    expect(recalled.nth(1)).to_contain_text("And 4 more")
    expect(recalled.last).to_contain_text("not here any more: x")
    recalled.first.get_by_role("link", name="a drink at four").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("drink")
    page.go_back()
    recalled.first.locator("summary").click()
    recalled.first.get_by_role("link", name="tea without <i>milk</i>").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("tea")
    assert "memory=ada" in page.url


def test_what_was_recalled_is_not_shown_to_another(
    looking: Looking, served: Served, provider: PostgreSQLProvider
) -> None:
    """With --memory a turn does not lead to what other memories say."""
    provider.remember("secret tea", "bob", id="bobs")
    provider.remember("Tea?", "ada", store=TURNS, recalled=provider.recall("tea"))
    looking.open(served("--memory", "ada"))
    page = looking.at("/conversation")
    expect(page.locator(".recalled")).to_contain_text("not here any more: bobs")
    expect(page.locator("main")).not_to_contain_text("secret")


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


def test_what_was_noted_is_drawn(
    looking: Looking, served: Served, provider: PostgreSQLProvider, config: PostgreSQLConfig
) -> None:
    """Each measure of each store as a line with its last value; the same as numbers; what was not measured is said."""
    looking.open(served())
    page = looking.at("/health")
    course = page.get_by_role("region", name="What was noted").first
    expect(course).to_contain_text("memorizz stats --note")
    with Maintenance(config) as maintenance:
        for count in (10, 2000, 30000):
            maintenance.note([Noted(LONG, documents=count, bytes=count * 1000), Noted("toolbox", documents=0)])
        maintenance.note([Noted(LONG, recall=0.9996, median_ms=4.25)])
        maintenance.note([Noted("old", recall=1)] * 99)
    page = looking.at("/health")
    course = page.get_by_role("region", name="What was noted").first
    row = course.get_by_role("row").filter(has_text="long term memory").first
    for text in ("30,000", "29 MB", "99.96 %", "4.2"):
        expect(row).to_contain_text(text)
    expect(row.locator("polyline")).to_have_count(4)
    expect(row).to_contain_text("10, then")
    points = [pair.split(",") for pair in (row.locator("polyline").first.get_attribute("points") or "").split()]
    assert [float(x) for x, _ in points] == sorted(float(x) for x, _ in points)
    assert [float(y) for _, y in points] == sorted((float(y) for _, y in points), reverse=True)
    expect(course.get_by_role("row").filter(has_text="toolbox").first).to_contain_text("not noted")
    page.locator("summary").filter(has_text="as numbers").click()
    expect(page.get_by_role("region", name="As numbers").get_by_role("row")).to_have_count(41)


def test_a_view_is_not_told_how_the_database_is(looking: Looking, served: Served) -> None:
    """What is of all tenants together is not shown to one."""
    looking.open(served("--tenant", "acme"))
    page = looking.at("/health")
    expect(page.get_by_role("alert")).to_be_visible()
    looking.complaints.clear()  # the 404 itself
