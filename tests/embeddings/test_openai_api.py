"""The parts of the OpenAI embedders that do no IO: where to ask, with which key, and how long to wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorizz.embeddings import _openai_api as api


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1/embeddings"),
        ("http://localhost:11434/v1/", "http://localhost:11434/v1/embeddings"),
        ("http://host/v1/embeddings", "http://host/v1/embeddings"),
        ("http://host", "http://host/embeddings"),
        (
            "https://name.openai.azure.com/openai/deployments/mine?api-version=2024-10-21",
            "https://name.openai.azure.com/openai/deployments/mine/embeddings?api-version=2024-10-21",
        ),
    ],
)
def test_the_url_is_the_base_url_and_embeddings(base_url: str, url: str) -> None:
    """A base URL is what OpenAI's own clients call so; the whole URL is fine too."""
    assert api.endpoint(base_url, "key", None).url == url


@pytest.mark.parametrize(
    ("base_url", "headers"),
    [
        ("https://api.openai.com/v1", {"authorization": "Bearer given"}),
        ("http://localhost:11434/v1", {"authorization": "Bearer given"}),
        ("https://openai.azure.com.example.org/v1", {"authorization": "Bearer given"}),
        ("https://name.openai.azure.com/openai/v1", {"api-key": "given"}),
        ("https://name.cognitiveservices.azure.com/openai/v1", {"api-key": "given"}),
    ],
)
def test_the_key_travels_as_the_host_wants_it(base_url: str, headers: dict[str, str]) -> None:
    """Azure has a header of its own for keys."""
    assert api.endpoint(base_url, "given", None).headers == headers


@pytest.mark.parametrize(
    ("base_url", "sent"),
    [
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com/v1", True),
        ("https://name.openai.azure.com/openai/v1", False),
        ("https://notopenai.com/v1", False),
        ("https://api.openai.com.example.org/v1", False),
        ("http://localhost:11434/v1", False),
    ],
)
def test_the_environments_key_goes_to_openai_alone(base_url: str, sent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """OPENAI_API_KEY goes to OpenAI's hosts and to no other, however its name looks."""
    monkeypatch.setenv("OPENAI_API_KEY", "from the environment")
    assert ("from the environment" in str(api.endpoint(base_url, None, None).headers)) == sent


def test_an_endpoint_shows_no_secret() -> None:
    """Neither the representation nor a text that was made showable has a key or a token in it."""
    endpoint = api.endpoint("http://host/v1?code=hidden", "a-long-key", {"x-token": "another-secret"})
    assert "a-long-key" not in repr(endpoint)
    assert "another-secret" not in repr(endpoint)
    assert endpoint.showable("a-long-key and another-secret") == "*** and ***"
    nested = api.endpoint("http://host", "a-long-key", {"x-token": "a-long-key-with-more"})
    assert nested.showable("a-long-key-with-more") == "***"
    assert "hidden" not in endpoint.shown


@given(st.lists(st.text(max_size=20)), st.integers(1, 5))
def test_batches_hold_every_text_once(texts: list[str], size: int) -> None:
    """Cutting into batches loses nothing, keeps the order, and fills a batch as far as it may."""
    batches = list(api.batches(texts, size))
    assert [text for batch in batches for text in batch] == texts
    assert all(len(batch) == size for batch in batches[:-1])
    assert all(batches)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "7", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
    ],
)
def test_retry_after_is_read_in_each_form(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds and dates say how long to wait; anything else says nothing."""
    assert api.retry_after(headers) == seconds


def test_retry_after_may_be_a_date() -> None:
    """A date in the future is so many seconds away."""
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    seconds = api.retry_after({"retry-after": moment})
    assert seconds is not None
    assert 25 < seconds <= 30
