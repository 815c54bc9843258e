"""What was, and what the console changes where it is told that it may."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

from playwright.sync_api import expect
from test_console_gate import asked, cookie_of

from conftest import LONG, Looking, Served
from memorizz import PostgreSQLProvider


def with_versions(provider: PostgreSQLProvider) -> None:
    provider.keep_history(LONG)
    provider.store({"id": "tea", "content": "black tea", "memory_id": "ada"}, LONG)
    provider.acting("<i>agent</i>").update_by_id("tea", {"content": "green tea", "cups": 2}, LONG)


def test_versions_are_shown_with_what_differs(looking: Looking, served: Served, provider: PostgreSQLProvider) -> None:
    """Who changed which key, from what into what; and every page as of then, by a link or by the slider."""
    with_versions(provider)
    looking.open(served())
    page = looking.at(f"/document?store={LONG}&id=tea")
    newest = page.locator(".versions > li").first
    expect(newest).to_contain_text("by <i>agent</i>")
    expect(newest.locator("del")).to_have_text(["black tea"])
    expect(newest.locator("ins")).to_have_text(["green tea", "2"])
    assert page.get_by_role("button", name="Restore").count() == page.get_by_text("Edit").count() == 0
    page.get_by_role("link", name="as it was then").click()
    expect(page.locator(".content")).to_have_text("black tea")
    page.get_by_role("link", name="Memories").click()
    page.get_by_role("searchbox").fill("green tea")
    expect(page.locator(".said")).to_have_text(["black tea"])
    page.get_by_role("link", name="Back to now").click()
    expect(page.locator(".content, .said").first).to_have_text("green tea")
    slider = page.get_by_role("slider")
    assert slider.input_value() == slider.get_attribute("max")
    slider.press("Home")
    expect(page.locator(".notice")).to_contain_text("As of")
    page.get_by_role("slider").press("End")
    expect(page.locator(".notice")).to_have_count(0)
    # Before there was anything, the library says so.
    page = looking.at(f"/memories?store={LONG}&at=2020-01-01")
    expect(page.locator(".problem")).to_contain_text("begins")


def test_it_edits_deletes_restores_and_undoes(looking: Looking, served: Served, provider: PostgreSQLProvider) -> None:
    """Each by a form, in the console's name, so that it can be taken back; what others changed meanwhile stays."""
    with_versions(provider)
    looking.open(served("--write"))
    page = looking.at(f"/document?store={LONG}&id=tea")
    page.get_by_text("Edit", exact=True).click()
    page.get_by_label("Text").fill("white tea\n<b>&amp;")
    page.get_by_label("Other keys").fill('{"cups": null, "new": [1]}')
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".content")).to_have_text("white tea\n<b>&amp;", use_inner_text=True)
    edited = provider.retrieve_by_id("tea", LONG)
    assert (edited["content"], edited["cups"], edited["new"]) == ("white tea\n<b>&amp;", None, [1])
    assert provider.versions("tea", LONG)[-1].actor == "console"
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("status")).to_contain_text("Taken back: 1 document.")
    assert provider.retrieve_by_id("tea", LONG)["content"] == "green tea"

    page = looking.at(f"/document?store={LONG}&id=tea")
    page.get_by_text("Edit", exact=True).click()
    page.get_by_label("Text").fill("mine")
    provider.update_by_id("tea", {"content": "theirs"}, LONG)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("meanwhile")
    assert provider.retrieve_by_id("tea", LONG)["content"] == "theirs"

    page = looking.at(f"/document?store={LONG}&id=tea")
    page.get_by_text("Delete", exact=True).click()
    page.get_by_role("button", name="Delete this document").click()
    expect(page.get_by_role("status").first).to_contain_text("Deleted")
    assert provider.count(LONG) == 0
    page = looking.at(f"/document?store={LONG}&id=tea")
    expect(page.locator(".notice")).to_contain_text("deleted")
    page.get_by_role("button", name="Restore").last.click()
    expect(page.locator(".content")).to_have_text("black tea")
    looking.complaints.clear()  # the refusal itself


def test_forgetting_shows_first_what_would_go(looking: Looking, served: Served, provider: PostgreSQLProvider) -> None:
    """The receipt of a dry run, then that of the deed; other memories stay."""
    provider.store_many([{"content": f"tea {n}", "memory_id": "ada"} for n in range(3)], LONG)
    provider.store({"content": "tea", "memory_id": "bob"}, LONG)
    looking.open(served("--write"))
    page = looking.at("/?memory=ada")
    page.get_by_role("link", name="Forget this memory").click()
    expect(page.locator("main")).to_contain_text("3 documents")
    assert provider.count(LONG) == 4
    page.get_by_role("button", name="Forget 3 documents").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Forgotten")
    assert [each["memory_id"] for each in provider.list_all(LONG)] == ["bob"]


def test_only_its_own_forms_change_something(served: Served, provider: PostgreSQLProvider) -> None:
    """With the cookie alone, or from elsewhere, a form does nothing; nor does one that is about the past."""
    with_versions(provider)
    address = served("--write")
    cookie = cookie_of(address)
    target = f"?{urlencode({'store': LONG, 'id': 'tea', 'memory': 'ada'})}"
    own = f"http://{urlsplit(address).netloc}"
    for path in ("/edit", "/delete", "/restore", "/undo", "/forget"):
        for headers in ({"Origin": own}, {}, {"Origin": "http://evil.example"}):
            answer, _ = asked(address, path + target, "POST", Cookie=cookie, **headers)
            assert answer.status == 403, (path, headers)
        assert asked(address, path + target, "POST", Origin=own)[0].status == 401
    assert provider.retrieve_by_id("tea", LONG)["content"] == "green tea"
