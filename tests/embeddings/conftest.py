"""An endpoint on the loopback interface, and the OpenAI embedders of both APIs behind blocking calls."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from openai_endpoint import DIMENSIONS, Endpoint

from apis import Blocking, Loop
from memorizz.embeddings import AsyncOpenAIEmbedder, OpenAIEmbedder, openai

# Reading the machine's certificates takes longer than most of these tests, and loopback HTTP has no use for them.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """An endpoint that answers well until its script says otherwise."""
    endpoint = Endpoint()
    yield endpoint
    endpoint.stop()


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the machine's proxies and keys out, and the pauses between attempts short."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(openai, "_backoff", lambda _state: 0.02)
    monkeypatch.setattr(httpx2, "create_ssl_context", lambda: NO_CERTIFICATES)


@pytest.fixture(params=["blocking", "async"])
def open_embedder(request: pytest.FixtureRequest, endpoint: Endpoint, loop: Loop) -> Iterator[Callable[..., Any]]:
    """Open an embedder of the endpoint, on one API or the other; the calls of both block."""
    opened: list[Any] = []

    def open_it(model: str = "model", **options: Any) -> Any:
        options = {"base_url": endpoint.url, "dimensions": DIMENSIONS, "timeout": 5, **options}
        if request.param == "blocking":
            opened.append(OpenAIEmbedder(model, **options))
        else:
            opened.append(Blocking(AsyncOpenAIEmbedder(model, **options), loop))
        return opened[-1]

    yield open_it
    for each in opened:
        each.close()


@pytest.fixture
def embedder(open_embedder: Callable[..., Any]) -> Any:
    """An embedder of the endpoint, on either api."""
    return open_embedder()
