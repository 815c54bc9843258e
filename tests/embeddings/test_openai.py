"""The embedders of OpenAI-compatible endpoints, on both APIs, against a real server."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from httpx2 import create_ssl_context
from openai_endpoint import (
    Answer,
    Endpoint,
    drip,
    hang,
    hang_up,
    in_lists,
    refuse,
    say,
    vector,
    well_once,
    with_vectors,
)

from memorizz.embeddings import AsyncOpenAIEmbedder, OpenAIEmbedder
from memorizz.errors import ConfigurationError, EmbeddingFailed

KEY = "sk-a-secret-key-0123456789"

Open = Callable[..., Any]


def expected(*texts: str) -> np.ndarray:
    return np.array([vector(text) for text in texts], dtype=np.float32)


# --- what is asked ------------------------------------------------------------------------------------------------


def test_vectors_come_in_the_order_of_the_texts(embedder: Any) -> None:
    """The server's order does not matter, its index does."""
    found = embedder.embed(["first", "second one", "third"])
    np.testing.assert_array_equal(found, expected("first", "second one", "third"))
    assert found.dtype == np.float32


def test_no_texts_need_no_request(embedder: Any, endpoint: Endpoint) -> None:
    """Nothing to embed brings an empty array of the right width."""
    assert embedder.embed([]).shape == (0, 4)
    assert endpoint.requests == []


def test_many_texts_go_in_batches(open_embedder: Open, endpoint: Endpoint) -> None:
    """A request holds up to batch_size texts, and the batches come back in order."""
    texts = [f"text {number}" for number in range(5)]
    np.testing.assert_array_equal(open_embedder(batch_size=2).embed(texts), expected(*texts))
    assert [request["input"] for request in endpoint.requests] == [texts[:2], texts[2:4], texts[4:]]


def test_long_texts_go_in_smaller_batches(embedder: Any, endpoint: Endpoint) -> None:
    """A request stays below the number of tokens that OpenAI takes in one, whatever the texts are made of."""
    texts = ["a" * 200_000, "b" * 100_000, "é" * 100_000, "c" * 200_000, "d" * 400_000, "e"]
    np.testing.assert_array_equal(embedder.embed(texts), expected(*texts))
    assert [len(request["input"]) for request in endpoint.requests] == [2, 1, 1, 1, 1]


def test_queries_and_documents_have_their_prefixes(open_embedder: Open, endpoint: Endpoint) -> None:
    """Models that tell queries from documents see which is which."""
    embedder = open_embedder(query_prefix="query: ", document_prefix="passage: ")
    embedder.embed(["one"], kind="query")
    embedder.embed(["two"])
    assert [request["input"] for request in endpoint.requests] == [["query: one"], ["passage: two"]]


def test_texts_are_cut_on_wish(open_embedder: Open, endpoint: Endpoint) -> None:
    """max_characters keeps the beginning of a text."""
    open_embedder(max_characters=4).embed(["a long text"])
    assert endpoint.requests[0]["input"] == ["a lo"]


def test_a_lone_surrogate_is_a_question_mark(embedder: Any, endpoint: Endpoint) -> None:
    """Text that is no valid Unicode can still be embedded."""
    embedder.embed(["broken \ud800 text", "caf\u00e9"])
    assert endpoint.requests[0]["input"] == ["broken ? text", "caf\u00e9"]


@pytest.mark.parametrize(
    ("model", "options", "asked"),
    [
        ("text-embedding-3-small", {"dimensions": 4}, 4),
        ("text-embedding-3-large", {"dimensions": 3072}, None),
        ("text-embedding-3-large", {"dimensions": None}, None),
        ("text-embedding-ada-002", {"dimensions": 4}, None),
        ("other", {"dimensions": 4}, None),
        ("other", {"dimensions": 4, "shorten": True}, 4),
        ("deployment", {"dimensions": 4, "name": "text-embedding-3-large"}, 4),
        ("text-embedding-3-large", {"dimensions": 4, "name": "ours"}, 4),
    ],
)
def test_the_length_is_asked_for_where_the_model_can_shorten(
    open_embedder: Open, endpoint: Endpoint, model: str, options: dict[str, Any], asked: int | None
) -> None:
    """`dimensions` reaches the models that understand it; the others refuse a request that holds it."""
    endpoint.script = [refuse(403)]
    with pytest.raises(EmbeddingFailed):
        open_embedder(model, **options).embed(["text"])
    assert endpoint.requests[0].get("dimensions") == asked
    assert endpoint.requests[0]["model"] == model


def test_the_key_is_a_bearer_token(open_embedder: Open, endpoint: Endpoint) -> None:
    """A key that was given is sent; headers that were given are sent too."""
    open_embedder(api_key=f" {KEY}\n", headers={"X-Team": "memory"}).embed(["text"])
    assert endpoint.headers[0]["authorization"] == f"Bearer {KEY}"
    assert endpoint.headers[0]["x-team"] == "memory"
    assert "api-key" not in endpoint.headers[0]


def test_given_headers_win_over_the_key(open_embedder: Open, endpoint: Endpoint) -> None:
    """A token of one's own replaces the one that would be made of the key."""
    open_embedder(api_key=KEY, headers={"Authorization": "Bearer mine"}).embed(["text"])
    assert endpoint.headers[0]["authorization"] == "Bearer mine"


def test_the_environments_key_is_for_openai_alone(
    open_embedder: Open, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OPENAI_API_KEY is never sent to another host."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    open_embedder().embed(["text"])
    assert KEY not in str(endpoint.headers)


def test_the_environments_endpoint_is_asked(
    open_embedder: Open, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without base_url texts and key go to OPENAI_BASE_URL, and nowhere else."""
    monkeypatch.setenv("OPENAI_BASE_URL", f" {endpoint.url}/ ")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    open_embedder(base_url=None).embed(["text"])
    assert endpoint.headers[0]["authorization"] == f"Bearer {KEY}"
    assert endpoint.paths == ["/v1/embeddings"]


def test_a_given_url_wins_over_the_environments(
    open_embedder: Open, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With base_url OPENAI_BASE_URL is not asked, and the environment's key not sent."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    open_embedder().embed(["text"])
    assert len(endpoint.requests) == 1
    assert KEY not in str(endpoint.headers)


@pytest.mark.parametrize("url", ["localhost:11434/v1", "http://[::1/v1", f"http://user:{KEY}@host/v1"])
def test_a_bad_endpoint_of_the_environment_is_named(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """The error names the variable, and shows no password in it."""
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(ConfigurationError, match=r"^OPENAI_BASE_URL ") as raised:
        OpenAIEmbedder(api_key="key")
    assert KEY not in str(raised.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("ALL_PROXY", "nonsense://127.0.0.1:1"), ("HTTPS_PROXY", "nonsense://x"), ("SSL_CERT_FILE", "/no/certificates")],
)
@pytest.mark.parametrize("kind", [OpenAIEmbedder, AsyncOpenAIEmbedder])
def test_a_bad_proxy_of_the_environment_is_told(
    kind: type[OpenAIEmbedder], monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """What the HTTP client cannot use is an error when the embedder is made, which names the variables."""
    monkeypatch.setattr(httpx2, "create_ssl_context", create_ssl_context)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=r"SSL_CERT_FILE.*HTTPS_PROXY, ALL_PROXY"):
        kind("model", base_url="http://127.0.0.1:1", dimensions=4)


def test_the_query_of_the_url_is_kept(open_embedder: Open, endpoint: Endpoint) -> None:
    """Azure's api-version travels with every request."""
    url = endpoint.url.removesuffix("/v1") + "/openai/deployments/mine/?api-version=2024-10-21"
    open_embedder(base_url=url).embed(["text"])
    assert endpoint.paths == ["/openai/deployments/mine/embeddings?api-version=2024-10-21"]


# --- formats of answers -------------------------------------------------------------------------------------------


def test_base64_is_asked_for(embedder: Any, endpoint: Endpoint) -> None:
    """Vectors travel as base64, which is a quarter as long as lists of numbers."""
    embedder.embed(["text"])
    assert endpoint.requests[0]["encoding_format"] == "base64"


def test_a_server_may_ignore_base64(embedder: Any, endpoint: Endpoint) -> None:
    """Lists of numbers are understood whatever was asked for."""
    endpoint.script = [in_lists]
    np.testing.assert_array_equal(embedder.embed(["one", "four"]), expected("one", "four"))


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_may_refuse_base64(embedder: Any, endpoint: Endpoint, status: int) -> None:
    """A refused format is replaced by the other one, and that is remembered."""
    endpoint.script = [refuse(status, "unknown field")]
    np.testing.assert_array_equal(embedder.embed(["one"]), expected("one"))
    embedder.embed(["two"])
    assert [request.get("encoding_format") for request in endpoint.requests] == ["base64", None, None]


def test_a_refused_text_does_not_cost_the_format(embedder: Any, endpoint: Endpoint) -> None:
    """Where both formats are refused it was the text; the next request asks for base64 again."""
    endpoint.script = [refuse(400, "too long"), refuse(400, "too long")]
    with pytest.raises(EmbeddingFailed, match="answered 400: too long") as raised:
        embedder.embed(["text"])
    assert raised.value.status == 400
    assert not raised.value.transient
    embedder.embed(["text"])
    assert [request.get("encoding_format") for request in endpoint.requests] == ["base64", None, "base64"]


def test_an_index_may_be_missing(embedder: Any, endpoint: Endpoint) -> None:
    """Without an index the vectors are taken in the order in which they came."""
    endpoint.script = [with_vectors(lambda found: [{"embedding": item["embedding"]} for item in found])]
    np.testing.assert_array_equal(embedder.embed(["one", "three"]), expected("one", "three"))


def _replaced(value: Any) -> Answer:
    return with_vectors(lambda found: [{**found[0], "embedding": value}, *found[1:]])


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (say(b"<html>a page</html>"), "no JSON: <html>a page</html>"),
        (say(b'{"data": ['), "no JSON"),
        (say(b"[" * 100_000), "no JSON"),
        (say(b""), "the answer is empty"),
        (say(b" \n"), "the answer is empty"),
        (say(b"null"), "holds no vectors: null"),
        (say({"data": None}), 'holds no vectors: {"data": null}'),
        (say({"data": [None, None]}), "the answer holds null in the place of the vector with index 0, for 'one'"),
        (say({"data": []}), "expected 2 vectors, one per text, got 0"),
        (say(b"[]"), "holds no vectors"),
        (say({"error": {"message": "model not loaded"}}), "holds no vectors: model not loaded"),
        (say({"data": [1, 2]}), "the answer holds 1 in the place of the vector with index 0, for 'one'"),
        (say({"data": [{"index": 1}, {"index": 0}]}), 'holds {"index": 0} in the place of the vector with index 0'),
        (with_vectors(lambda found: found[:1]), "expected 2 vectors, one per text, got 1"),
        (with_vectors(lambda found: found * 2), "expected 2 vectors, one per text, got 4"),
        (with_vectors(lambda found: [found[0], found[0]]), "index from 0 to 1, each once"),
        (with_vectors(lambda found: [found[0], {**found[1], "index": "one"}]), "index from 0 to 1, each once"),
        (with_vectors(lambda found: [found[0], {**found[1], "index": []}]), "each once, got [0, []]"),
        (with_vectors(lambda found: [found[0], {**found[1], "index": None}]), "each once, got [0, None]"),
        (with_vectors(lambda found: [found[0], {**found[1], "embedding": None}]), "null in the place of the vector"),
        (with_vectors(lambda found: [found[0], {**found[1], "embedding": None}]), "with index 1, for 'two'"),
        (_replaced([None] * 4), "the answer holds [null, null, null, null] in the place of the vector with index 0"),
        (_replaced([1, 2, 3, None]), "holds [1, 2, 3, null] in the place"),
        (_replaced([[1, 2, 3, 4]]), "holds [[1, 2, 3, 4]] in the place"),
        (_replaced(["1"] * 4), "in the place of the vector"),
        (_replaced([None] * 4000), "null, n... in the place"),
        (_replaced([]), "expected vectors of 4 dimensions, got 0 for the text at position 0, 'one'"),
        (_replaced([1.0, 2.0]), "expected vectors of 4 dimensions, got 2"),
        (_replaced([float("nan")] * 4), "the vector of the text at position 0, 'one' holds nan at index 0"),
        (_replaced([1e39] * 4), "single precision"),
        (_replaced([0.0] * 4), "all zero"),
        (_replaced("no base64"), "in the place of the vector"),
        (_replaced("AAAA"), "in the place of the vector"),
        (_replaced("!AACAPwAAgD8AAIA/AACAPw=="), "in the place of the vector"),
        (_replaced({"a": 1}), "in the place of the vector"),
        (_replaced(None), "the answer holds null in the place of the vector with index 0, for 'one'"),
    ],
)
def test_a_wrong_answer_is_an_error(embedder: Any, endpoint: Endpoint, answer: Answer, message: str) -> None:
    """What is no vector of the right length for every text is not used, and the error names the model."""
    endpoint.script = [answer]
    with pytest.raises(EmbeddingFailed) as raised:
        embedder.embed(["one", "two"])
    assert message in str(raised.value)
    assert "'model'" in str(raised.value)
    assert len(endpoint.requests) == 1


# --- failures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_failure_is_tried_again(embedder: Any, endpoint: Endpoint, status: int) -> None:
    """Too many requests and errors of the server pass."""
    endpoint.script = [refuse(status), refuse(status)]
    np.testing.assert_array_equal(embedder.embed(["text"]), expected("text"))
    assert len(endpoint.requests) == 3


def test_a_failed_batch_is_tried_again_alone(open_embedder: Open, endpoint: Endpoint) -> None:
    """Batches that were answered are not asked for again."""
    endpoint.script = [in_lists, refuse(500)]
    embedder = open_embedder(batch_size=1)
    np.testing.assert_array_equal(embedder.embed(["one", "three"]), expected("one", "three"))
    assert [request["input"] for request in endpoint.requests] == [["one"], ["three"], ["three"]]


def test_a_broken_connection_is_tried_again(embedder: Any, endpoint: Endpoint) -> None:
    """An answer that ends in the middle is asked for again."""
    endpoint.script = [hang_up]
    np.testing.assert_array_equal(embedder.embed(["text"]), expected("text"))


def test_retry_after_is_honoured(embedder: Any, endpoint: Endpoint) -> None:
    """The server's wish how long to wait goes before the pause of one's own."""
    endpoint.script = [refuse(429, retry_after="0.3")]
    started = time.monotonic()
    embedder.embed(["text"])
    assert 0.3 <= time.monotonic() - started < 5


def test_a_wish_beyond_the_timeout_is_an_error_at_once(embedder: Any, endpoint: Endpoint) -> None:
    """Nobody waits for what cannot come in time."""
    endpoint.script = [refuse(429, "slow down", retry_after="100")]
    started = time.monotonic()
    with pytest.raises(EmbeddingFailed, match="slow down, which asks to wait 100 s") as raised:
        embedder.embed(["text"])
    assert time.monotonic() - started < 5
    assert raised.value.transient
    assert (raised.value.status, raised.value.retry_after) == (429, 100)


@pytest.mark.parametrize("status", [301, 401, 403, 404])
def test_a_lasting_failure_is_an_error_at_once(embedder: Any, endpoint: Endpoint, status: int) -> None:
    """A refusal that will not change is told with its status, the server's words and where it came from."""
    endpoint.script = [refuse(status, "not for you")]
    with pytest.raises(EmbeddingFailed) as raised:
        embedder.embed(["text"])
    assert f"{endpoint.url}/embeddings answered {status}: not for you" in str(raised.value)
    assert raised.value.status == status
    assert not raised.value.transient
    assert len(endpoint.requests) == 1


def test_a_used_up_quota_does_not_pass(embedder: Any, endpoint: Endpoint) -> None:
    """OpenAI refuses those who have not paid as it refuses those who are too fast."""
    endpoint.script = [say({"error": {"message": "pay first", "code": "insufficient_quota"}}, status=429)]
    with pytest.raises(EmbeddingFailed, match="pay first"):
        embedder.embed(["text"])
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "a"}}', "answered 404: a"),
        (b'{"error": "b"}', "answered 404: b"),
        (b'{"detail": "c"}', "answered 404: c"),
        (b'{"message": "d"}', "answered 404: d"),
        (b'{"detail": [{"loc": ["input"]}]}', 'answered 404: [{"loc": ["input"]}]'),
        (b"\xff plain text ", "answered 404: \ufffd plain text"),
        (b"", "answered 404: nothing"),
        (b"x" * 10_000, "xxx ..."),
    ],
)
def test_what_the_server_says_is_told(embedder: Any, endpoint: Endpoint, body: bytes, message: str) -> None:
    """The server's words are found in each of the usual forms, and a long page is cut."""
    endpoint.script = [say(body, status=404)]
    with pytest.raises(EmbeddingFailed) as raised:
        embedder.embed(["text"])
    assert message in str(raised.value)
    assert len(str(raised.value)) < 1000


def test_failures_end_with_the_timeout(open_embedder: Open, endpoint: Endpoint) -> None:
    """A server that keeps failing is given up when the time is over, and the error says what it said."""
    endpoint.script = [refuse(503, "overloaded")] * 1000
    started = time.monotonic()
    with pytest.raises(EmbeddingFailed, match=r"answered 503: overloaded; .*attempts: \d+, timeout: 1 s") as raised:
        open_embedder(timeout=1).embed(["text"])
    assert raised.value.status == 503
    assert time.monotonic() - started < 5
    assert len(endpoint.requests) > 1


def test_a_timeout_does_not_hide_what_was_said(open_embedder: Open, endpoint: Endpoint) -> None:
    """Where the last attempt is cut off, the error still has the server's last words."""
    endpoint.script = [refuse(503, "overloaded"), hang]
    with pytest.raises(EmbeddingFailed, match=r"answered 503: overloaded; then .* did not answer within 1 s") as raised:
        open_embedder(timeout=1).embed(["text"])
    assert raised.value.status == 503


def test_a_timeout_does_not_hide_a_broken_connection(open_embedder: Open, endpoint: Endpoint) -> None:
    """Where there was no answer at all, the error still says what happened to the connection."""
    endpoint.script = [hang_up, hang]
    with pytest.raises(EmbeddingFailed, match=r"embeddings: .*; then .* did not answer within 1 s"):
        open_embedder(timeout=1).embed(["text"])


@pytest.mark.parametrize("answer", [hang, drip])
def test_a_server_that_does_not_end_its_answer(open_embedder: Open, endpoint: Endpoint, answer: Answer) -> None:
    """Silence ends with the timeout, and so does an answer that comes byte by byte."""
    endpoint.script = [answer]
    started = time.monotonic()
    with pytest.raises(EmbeddingFailed, match=r"did not answer within 0\.3 s") as raised:
        open_embedder(timeout=0.3).embed(["text"])
    assert 0.25 <= time.monotonic() - started < 5
    assert raised.value.transient


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_nobody_has_ever_listened(open_embedder: Open, caplog: pytest.LogCaptureFixture, host: str) -> None:
    """A refused connection and an unknown host are an error at once, that says where it was tried."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(EmbeddingFailed, match=rf"http://{host}:{port}/v1/embeddings: .*\[Errno -?\d+\]") as raised:
        open_embedder(base_url=f"http://{host}:{port}/v1", timeout=60).embed(["text"])
    assert raised.value.transient
    assert "trying again" not in caplog.text


def test_who_has_listened_before_may_come_back(
    open_embedder: Open, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that has answered and then refuses connections is waited for, until the time is over."""
    embedder = open_embedder(timeout=1)
    endpoint.script = [well_once]
    embedder.embed(["text"])
    endpoint.stop()
    with pytest.raises(EmbeddingFailed, match=r"gave up, attempts: \d+, timeout: 1 s"):
        embedder.embed(["text"])
    assert "trying again" in caplog.text


def test_attempts_are_logged(embedder: Any, endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever waits can see what for."""
    endpoint.script = [refuse(503, "overloaded")]
    embedder.embed(["text"])
    (record,) = [record for record in caplog.records if record.name == "memorizz.embeddings"]
    assert record.levelno == logging.WARNING
    assert "answered 503: overloaded; trying again in" in record.getMessage()


@pytest.mark.parametrize("options", [{"api_key": KEY}, {"headers": {"Authorization": f"Bearer {KEY}"}}])
@pytest.mark.parametrize("status", [200, 401])
def test_the_key_is_never_shown(
    open_embedder: Open, endpoint: Endpoint, caplog: pytest.LogCaptureFixture, options: dict[str, Any], status: int
) -> None:
    """Not in an error, not in its traceback, not in a log, even where the server says it aloud."""
    caplog.set_level(logging.DEBUG)
    embedder = open_embedder(**options)
    for start in (0, 585):
        said = b"x" * start + f"no such key: {KEY}".encode()
        endpoint.script = [say(said, status=500), say(said, status=status)]
        with pytest.raises(EmbeddingFailed) as raised:
            embedder.embed(["text"])
        shown = "".join(traceback.format_exception(raised.value)) + caplog.text
        assert endpoint.headers[-1]["authorization"] == f"Bearer {KEY}"
        assert "trying again" in shown
        assert KEY[:8] not in shown
        assert start or "no such key: ***" in shown


@pytest.mark.parametrize("kind", [OpenAIEmbedder, AsyncOpenAIEmbedder])
def test_repr_says_what_and_where_without_secrets(kind: type[OpenAIEmbedder]) -> None:
    """The representation names the model, the length and the endpoint, never the key or the query."""
    embedder = kind("model", base_url="http://host/v1?code=secret", api_key=KEY, dimensions=4)
    assert repr(embedder) == f"{kind.__name__}('model', dimensions=4, url='http://host/v1/embeddings')"


# --- texts and options --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["text", ""], "position 1 is blank"),
        ([" \n\t"], "position 0 is blank"),
        (["text", None], "got a NoneType at position 1"),
        ("text", "put it into a list"),
    ],
)
def test_texts_without_words_are_refused(embedder: Any, endpoint: Endpoint, texts: Any, message: str) -> None:
    """What has nothing to embed is an error before anything is sent."""
    with pytest.raises(EmbeddingFailed, match=message):
        embedder.embed(texts)
    assert endpoint.requests == []


def test_openais_models_need_no_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default is OpenAI's small model with the key of the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with OpenAIEmbedder() as embedder:
        assert (embedder.name, embedder.dimensions) == ("text-embedding-3-small", 1536)
        assert "https://api.openai.com/v1/embeddings" in repr(embedder)


def test_a_deployment_may_have_another_name(endpoint: Endpoint) -> None:
    """The store remembers `name`, the endpoint is asked for `model`."""
    with OpenAIEmbedder("mine", name="text-embedding-3-large", base_url=endpoint.url) as embedder:
        assert (embedder.name, embedder.dimensions) == ("text-embedding-3-large", 3072)
        assert embedder.max_tokens == 8191


@pytest.mark.parametrize(
    ("model", "options", "reads"),
    [
        ("text-embedding-ada-002", {"name": "ours"}, 8191),
        ("text-embedding-3-small", {"name": "ours", "max_tokens": 512}, 512),
        ("text-embedding-3-small", {"max_characters": 4000}, 1000),
        ("other", {"dimensions": 4}, None),
        ("other", {"dimensions": 4, "max_tokens": 512}, 512),
    ],
)
def test_how_much_openais_models_read_is_known(
    endpoint: Endpoint, model: str, options: dict[str, Any], reads: int | None
) -> None:
    """Whatever the store calls such a model; what is given wins, and of another nothing is known."""
    with OpenAIEmbedder(model, base_url=endpoint.url, **options) as embedder:
        assert embedder.max_tokens == reads


@pytest.mark.parametrize("kind", [OpenAIEmbedder, AsyncOpenAIEmbedder])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "OPENAI_API_KEY"),
        ({"model": "other", "api_key": KEY}, "'other' is not known here: give dimensions"),
        ({"model": 7, "api_key": KEY}, "the name of the model is 7"),
        ({"model": ["other"], "api_key": KEY}, "the name of the model is ['other']"),
        ({"dimensions": -1, "api_key": KEY}, "dimensions is -1"),
        ({"batch_size": 0, "api_key": KEY}, "batch_size is 0"),
        ({"batch_size": 2049, "api_key": KEY}, "1 to 2048"),
        ({"timeout": 0, "api_key": KEY}, "timeout is 0"),
        ({"timeout": float("nan"), "api_key": KEY}, "timeout is nan"),
        ({"dimensions": 0, "api_key": KEY}, "dimensions is 0"),
        ({"max_characters": 0, "api_key": KEY}, "max_characters is 0"),
        ({"max_characters": -1, "api_key": KEY}, "max_characters is -1"),
        ({"max_tokens": 0, "api_key": KEY}, "max_tokens of the embedder 'text-embedding-3-small' is 0"),
        ({"max_tokens": -1, "api_key": KEY}, "is -1: expected how many tokens"),
        ({"max_tokens": "64", "max_characters": 9, "api_key": KEY}, "is '64': expected how many tokens"),
        ({"base_url": "localhost:11434/v1"}, "base_url is no URL"),
        ({"base_url": "http://[::1/v1"}, "base_url is no URL"),
        ({"base_url": "http://host:port/v1"}, "base_url is no URL"),
        ({"base_url": f"https://user:{KEY}@host/v1"}, "api_key or headers"),
        ({"api_key": f"{KEY}\n{KEY}"}, "no header may hold"),
        ({"api_key": KEY, "headers": {"x-team": "caf\u00e9"}}, "'x-team'"),
    ],
)
def test_a_bad_option_is_told_at_once(kind: type[OpenAIEmbedder], options: dict[str, Any], message: str) -> None:
    """Options are checked when the embedder is made, and the error never shows the key."""
    with pytest.raises(ConfigurationError) as raised:
        kind(**options)
    assert message in str(raised.value)
    assert KEY not in "".join(traceback.format_exception(raised.value))


# --- life ---------------------------------------------------------------------------------------------------------


def test_threads_share_an_embedder(endpoint: Endpoint) -> None:
    """Any number of threads may ask at once."""
    texts = [f"text of thread {number}" for number in range(32)]
    with (
        OpenAIEmbedder("model", base_url=endpoint.url, dimensions=4) as embedder,
        ThreadPoolExecutor(8) as threads,
    ):
        found = threads.map(lambda text: embedder.embed([text])[0], texts)
        np.testing.assert_array_equal(list(found), expected(*texts))


def test_connections_are_kept(embedder: Any, endpoint: Endpoint) -> None:
    """A second call needs no second connection."""
    embedder.embed(["one"])
    embedder.embed(["two"])
    assert len(endpoint.requests) == 2
    assert endpoint.connections == 1


def test_closing_twice_is_fine(embedder: Any, endpoint: Endpoint) -> None:
    """close() closes the connections, and may be called again; a later call opens new ones."""
    embedder.close()
    embedder.embed(["one"])
    embedder.close()
    embedder.close()
    embedder.embed(["two"])
    assert endpoint.connections == 2


FORKING = """
import asyncio, os, sys
from memorizz.embeddings import AsyncOpenAIEmbedder, OpenAIEmbedder
from openai_endpoint import vector

async def ask(embedder, text, close=True):
    found = await embedder.embed([text])
    if close:
        await embedder.close()
    return found

kind, url = sys.argv[1:]
if kind == "blocking":
    embedder = OpenAIEmbedder("model", base_url=url, dimensions=4)
    embed = lambda text: embedder.embed([text])
else:
    embedder = AsyncOpenAIEmbedder("model", base_url=url, dimensions=4)
    loop = asyncio.new_event_loop()
    embed = lambda text: loop.run_until_complete(embedder.embed([text]))
embed("of the parent")
children = []
for number in range(4):
    child = os.fork()
    if not child:
        text = f"of child {number}"
        for _ in range(10):
            found = embedder.embed([text]) if kind == "blocking" else asyncio.run(ask(embedder, text, False))
            if found.tolist() != [vector(text)]:
                os._exit(1)
        os._exit(0)
    children.append(child)
wrong = [child for child in children if os.waitpid(child, 0)[1]]
assert embed("of the parent again").tolist() == [vector("of the parent again")]
sys.exit(bool(wrong))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(("kind", "connections"), [("blocking", 5), ("async", 41)])
def test_an_embedder_may_be_used_before_a_fork(endpoint: Endpoint, kind: str, connections: int) -> None:
    """Each child has connections of its own, and so gets the vectors of its own texts; the parent keeps its own."""
    place = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", FORKING, kind, endpoint.url], env=place, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert endpoint.connections == connections


def test_an_embedder_serves_one_event_loop_after_another(endpoint: Endpoint) -> None:
    """Each loop has connections of its own; what a loop has closed, no other one is given."""
    embedder = AsyncOpenAIEmbedder("model", base_url=endpoint.url, dimensions=4)

    async def ask(text: str) -> None:
        np.testing.assert_array_equal(await embedder.embed([text]), expected(text))
        np.testing.assert_array_equal(await embedder.embed([text]), expected(text))
        await embedder.close()

    for number in range(3):
        asyncio.run(ask(f"of loop {number}"))
    assert endpoint.connections == 3


def test_an_embedder_serves_event_loops_at_once(endpoint: Endpoint) -> None:
    """Loops in several threads share an embedder, and no connection."""
    embedder = AsyncOpenAIEmbedder("model", base_url=endpoint.url, dimensions=4)
    together = threading.Barrier(4)

    async def ask(text: str) -> None:
        for _ in range(5):
            together.wait(30)
            np.testing.assert_array_equal(await embedder.embed([text]), expected(text))
        await embedder.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: asyncio.run(ask(f"of loop {number}")), range(4)))
    assert endpoint.connections == 4


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_connections_of_a_loop_that_is_over_are_not_kept(endpoint: Endpoint) -> None:
    """A program that runs one loop after another, and closes nothing, does not collect connections."""
    embedder = AsyncOpenAIEmbedder("model", base_url=endpoint.url, dimensions=4)
    for _ in range(20):
        asyncio.run(embedder.embed(["text"]))
        gc.collect()
    until = time.monotonic() + 30
    while endpoint.open_connections > 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert endpoint.connections == 20
    assert endpoint.open_connections <= 2

    async def ask_and_close() -> None:
        await embedder.embed(["text"])
        await embedder.close()

    asyncio.run(ask_and_close())
    gc.collect()


async def _cancelled(endpoint: Endpoint) -> float:
    async with AsyncOpenAIEmbedder("model", base_url=endpoint.url, dimensions=4) as embedder:
        task = asyncio.create_task(embedder.embed(["text"]))
        while not endpoint.requests:
            await asyncio.sleep(0.01)
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - started


def test_a_cancelled_call_ends_at_once(endpoint: Endpoint) -> None:
    """Cancelling is not a failure to be tried again."""
    endpoint.script = [hang]
    assert asyncio.run(_cancelled(endpoint)) < 2
    assert len(endpoint.requests) == 1


def test_both_apis_have_the_same_options() -> None:
    """The two classes differ in the IO alone."""
    assert AsyncOpenAIEmbedder.__init__ is OpenAIEmbedder.__init__
