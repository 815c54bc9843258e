"""Who reaches the console, and who does not."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

import pytest

from conftest import LONG, Served
from memorizz import PostgreSQLProvider

SECRET = "nobody else may read this"


def asked(address: str, path: str = "/", method: str = "GET", **headers: str) -> tuple[HTTPResponse, str]:
    """Send one request as it goes over the wire; return the answer and what it says."""
    connection = HTTPConnection(urlsplit(address).netloc, timeout=20)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    said = answer.read().decode()
    connection.close()
    return answer, said


def cookie_of(address: str) -> str:
    answer, _ = asked(address, f"/?{urlsplit(address).query}")
    return (answer.headers["Set-Cookie"] or "").partition(";")[0]


@pytest.fixture
def address(served: Served, provider: PostgreSQLProvider) -> str:
    provider.store({"id": "x", "content": SECRET}, LONG)
    return served()


def test_only_the_printed_address_opens_it(address: str) -> None:
    """Without the token, with another, from a page elsewhere or by another name nothing is shown."""
    opened, _ = asked(address, f"/?{urlsplit(address).query}")
    (flags,) = [each.lower() for each in opened.headers.get_all("Set-Cookie", [])]
    assert (opened.status, "httponly" in flags, "samesite=strict" in flags) == (200, True, True)
    cookie, host = cookie_of(address), urlsplit(address).netloc
    document = f"/document?store={LONG}&id=x"
    answer, said = asked(address, document, Cookie=cookie)
    assert (answer.status, SECRET in said) == (200, True)

    name = cookie.partition("=")[0]
    refused = [
        (401, document, {}),
        (401, document, {"Cookie": f"{name}=guessed"}),
        (401, document, {"Authorization": f"Bearer {cookie.partition('=')[2]}"}),
        (403, "/?token=guessed", {"Cookie": cookie}),
        (421, document, {"Cookie": cookie, "Host": "evil.example"}),
        (421, document, {"Cookie": cookie, "Host": f"127.0.0.1.evil.example:{host.rpartition(':')[2]}"}),
        (403, document, {"Cookie": cookie, "Origin": "http://evil.example"}),
        (403, document, {"Cookie": cookie, "Origin": "null"}),
        (403, document, {"Cookie": cookie, "Origin": "http://127.0.0.1:1"}),
    ]
    for status, path, headers in refused:
        answer, said = asked(address, path, **headers)
        assert (answer.status, SECRET in said) == (status, False), (path, headers)
    assert asked(address, document, Cookie=cookie, Origin=f"http://{host}")[0].status == 200


def test_every_answer_forbids_scripts_of_others(address: str) -> None:
    """Pages, refusals and files say so: nothing inline, nothing from elsewhere, in no frame, kept by no cache."""
    cookie = cookie_of(address)
    for path in ("/", "/memories?q=nobody", "/nowhere", "/assets/console.css", "/assets/nothing"):
        for headers in ({"Cookie": cookie}, {}):
            answer, _ = asked(address, path, **headers)
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cache-Control"] in ("no-store", "no-cache")


def test_it_changes_nothing_unless_told_to(address: str) -> None:
    """Without --write there is nothing that takes a form."""
    for path in ("/", "/memories", "/document", "/delete", "/edit", "/forget"):
        answer, _ = asked(address, path, "POST", Cookie=cookie_of(address))
        assert answer.status in (404, 405)
