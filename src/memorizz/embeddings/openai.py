"""Embedders for HTTP endpoints with OpenAI's embeddings API: OpenAI, Azure, Ollama, vLLM, LM Studio and others.

    OpenAIEmbedder()                                  OPENAI_BASE_URL or else OpenAI, the key from OPENAI_API_KEY
    OpenAIEmbedder("nomic-embed-text", base_url="http://localhost:11434/v1", dimensions=768)              Ollama
    OpenAIEmbedder("text-embedding-3-small", base_url="https://NAME.openai.azure.com/openai/v1", api_key=...)
    OpenAIEmbedder("text-embedding-3-small", api_key=...,
        base_url="https://NAME.openai.azure.com/openai/deployments/DEPLOYMENT?api-version=2024-10-21")    Azure

The two classes differ in the IO alone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Generic, NoReturn, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from memorizz.embeddings import _openai_api as api
from memorizz.embeddings._vectors import check_vectors
from memorizz.embeddings.base import MIN_TOKENS, Kind, check_texts, checked_window, missing
from memorizz.errors import ConfigurationError, EmbeddingFailed, quoted

try:
    import httpx2
    from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception
    from tenacity.stop import stop_before_delay
    from tenacity.wait import wait_random_exponential
except ImportError as error:
    raise missing("openai", error) from error

logger = logging.getLogger("memorizz.embeddings")

# The pause after the n-th failure is a random part of 0.5 * 2**(n - 1) seconds, of 8 at most.
_backoff = wait_random_exponential(multiplier=0.5, max=8)

_LONGEST = 7 * 24 * 3600

Client = TypeVar("Client", httpx2.Client, httpx2.AsyncClient)


class _Shared(Generic[Client]):
    """Everything but the IO."""

    def __init__(
        self,
        model: str = "text-embedding-3-small",
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        dimensions: int | None = None,
        shorten: bool = False,
        name: str | None = None,
        batch_size: int = 128,
        timeout: float = 60.0,
        headers: Mapping[str, str] | None = None,
        query_prefix: str = "",
        document_prefix: str = "",
        max_characters: int | None = None,
        max_tokens: int | None = None,
    ) -> None:
        """Say where to ask; nothing is sent yet.

        `model` is what the endpoint calls the model (Azure: the deployment), `name` what the store remembers, the same
        unless given. `dimensions` is the length of the model's vectors, known for OpenAI's models; where it is less
        than such a model's own, or with `shorten=True`, the endpoint is asked for vectors of that length. Without
        `base_url` the endpoint is that of OPENAI_BASE_URL, else OpenAI's. Without `api_key` OPENAI_API_KEY is used,
        for these two alone and not for a `base_url` of another host. A request holds up to `batch_size` texts and may
        take `timeout` seconds, all its retries included. The prefixes are put before the texts, for models that tell
        queries from documents. The model reads `max_tokens` of a text, known for OpenAI's: longer documents are
        embedded in pieces. What a text has beyond `max_characters` is cut off; by default nothing is, and a text that
        is too long for the model is the endpoint's error.
        """
        self.name = name or model
        known = _known(self.name, model)
        self.dimensions = _length(known, dimensions)
        _check(batch_size, timeout, max_characters)
        self._model = model
        shortened = known in api.SHORTENED and self.dimensions != api.DIMENSIONS[known]
        self._asked_length = self.dimensions if shorten or shortened else None
        self._endpoint = api.endpoint(base_url, api_key, headers)
        self._headers = {**self._endpoint.headers, "content-type": "application/json"}
        self._batch_size = batch_size
        self._timeout = timeout
        self._late = f"{self._endpoint.shown} did not answer within {timeout:g} s"
        self._prefixes: dict[Kind, str] = {"query": query_prefix, "document": document_prefix}
        self._max_characters = max_characters
        # A token has up to four characters: so a piece is not cut off.
        cut = None if max_characters is None else max(max_characters // 4, MIN_TOKENS)
        window = api.MAX_TOKENS if known in api.DIMENSIONS else None
        reads = window if max_tokens is None else checked_window(max_tokens, self.name)
        self.max_tokens = min((each for each in (reads, cut) if each is not None), default=None)
        self._in_base64 = True
        self._answered = False
        try:
            httpx2.URL(self._endpoint.url)
        except httpx2.InvalidURL as error:
            raise ConfigurationError(f"base_url is no URL: {error}") from None
        self._clients: dict[tuple[int, asyncio.AbstractEventLoop | None], Client] = {}
        try:
            # Reading the machine's certificates takes a while, and all clients may share them.
            self._certificates = httpx2.create_ssl_context()
            # What is wrong with the proxies that the environment names is told at once.
            self._open()
        except ImportError as error:
            raise ConfigurationError(
                "the environment names a SOCKS proxy (ALL_PROXY, HTTPS_PROXY): it needs pip install 'httpx2[socks]'"
            ) from error
        except (OSError, ValueError, httpx2.InvalidURL) as error:
            raise ConfigurationError(
                f"the HTTP client cannot be made: {error}; check the environment's certificates (SSL_CERT_FILE, "
                "SSL_CERT_DIR) and proxies (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY)"
            ) from error

    def _open(self) -> Client:
        """Return a new client; nothing is sent yet."""
        raise NotImplementedError

    def _client(self, loop: asyncio.AbstractEventLoop | None = None) -> Client:
        """Return the client of this process and event loop.

        Two processes on one connection would get each other's answers, and a connection belongs to the event loop that
        opened it. In a forked child the parent's clients are left alone: they stay open for the parent.
        """
        mine = (os.getpid(), loop)
        client = self._clients.get(mine)
        if client is not None:
            return client
        for key in list(self._clients):
            if key[1] is not None and key[1].is_closed():
                self._clients.pop(key, None)
        return self._clients.setdefault(mine, self._open())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, dimensions={self.dimensions}, url={self._endpoint.shown!r})"

    def _batches(self, texts: Sequence[str], kind: Kind) -> Iterator[list[str]]:
        check_texts(self.name, texts)
        prefix = self._prefixes[kind]
        return api.batches((prefix + text[: self._max_characters] for text in texts), self._batch_size)

    def _request(self, batch: Sequence[str], in_base64: bool) -> bytes:
        return api.request(self._model, batch, dimensions=self._asked_length, in_base64=in_base64)

    def _read(
        self, status: int, headers: Mapping[str, str], body: bytes, batch: Sequence[str], in_base64: bool
    ) -> list[NDArray[np.float32]]:
        """Return the vectors of an answer; raise EmbeddingFailed where it holds none."""
        self._answered = True
        if 200 <= status < 300:
            try:
                return api.vectors(body, batch)
            except ValueError as error:
                raise self._failed(str(error), status) from None
        said = f"{self._endpoint.shown} answered {status}: {api.message(body)}"
        if status in (400, 422):
            # Some servers refuse base64 rather than ignore the wish. Where they refuse lists too, it was not that.
            self._in_base64 = not in_base64
            raise self._failed(said, status, transient=in_base64, retry_after=0.0)
        raise self._failed(said, status, transient=api.is_transient(status, body), retry_after=api.retry_after(headers))

    # --- failures and retries -------------------------------------------------------------------------------------

    def _failed(self, reason: str, status: int | None = None, **options: Any) -> EmbeddingFailed:
        return EmbeddingFailed(self.name, self._endpoint.showable(reason), status=status, **options)

    @contextmanager
    def _translated_errors(self) -> Generator[None]:
        """Turn what the HTTP client raises into EmbeddingFailed."""
        try:
            yield
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise self._failed(self._late, transient=True) from error
        except httpx2.TransportError as error:
            raise self._failed(f"{self._endpoint.shown}: {_said(error)}", transient=True) from error
        except httpx2.HTTPError as error:
            raise self._failed(f"{self._endpoint.shown}: {_said(error)}") from error

    def _policy(self) -> dict[str, Any]:
        """How one request is tried again, on either API."""
        failures: list[EmbeddingFailed] = []

        def remember(state: RetryCallState) -> None:
            failures.append(_error(state))
            logger.warning("%s; trying again in %.1f s", failures[-1], state.upcoming_sleep)

        def give_up(state: RetryCallState) -> NoReturn:
            raise self._given_up([*failures, _error(state)]) from _error(state)

        return {
            "retry": retry_if_exception(self._is_worth_repeating),
            "wait": _pause,
            "stop": stop_before_delay(self._timeout),
            "before_sleep": remember,
            "retry_error_callback": give_up,
        }

    def _is_worth_repeating(self, error: BaseException) -> bool:
        """Return True if asking again may help. Where nobody has ever answered the address is wrong, more likely."""
        refused = isinstance(error.__cause__, httpx2.ConnectError)
        return isinstance(error, EmbeddingFailed) and error.transient and (self._answered or not refused)

    def _given_up(self, failures: Sequence[EmbeddingFailed]) -> EmbeddingFailed:
        last = failures[-1]
        # What went wrong before the timeout cut the last attempt off tells more than the timeout does.
        said = next((failure for failure in reversed(failures) if failure.reason != self._late), last)
        reason = last.reason if said.reason == last.reason else f"{said.reason}; then {last.reason}"
        asked = f", which asks to wait {last.retry_after:g} s" if last.retry_after else ""
        return EmbeddingFailed(
            self.name,
            f"{reason}{asked}; gave up, attempts: {len(failures)}, timeout: {self._timeout:g} s",
            status=said.status,
            transient=True,
            retry_after=last.retry_after,
        )


class OpenAIEmbedder(_Shared[httpx2.Client]):
    """An Embedder that asks an HTTP endpoint. Any number of threads may use it; close it when done.

    It may be made before a fork: each process has connections of its own.
    """

    def _open(self) -> httpx2.Client:
        return httpx2.Client(headers=self._headers, verify=self._certificates)

    def embed(self, texts: Sequence[str], *, kind: Kind = "document") -> NDArray[np.float32]:
        """Return the vectors of texts, in order, as an array of shape (texts, dimensions).

        Too many requests, errors of the server and broken connections are tried again, after the pause that the server
        asks for or a growing random one, until `timeout` is over; a host that cannot be reached only once it has
        answered before. Raises EmbeddingFailed, with the status and what the server said.
        """
        vectors: list[NDArray[np.float32]] = []
        for batch in self._batches(texts, kind):
            deadline = time.monotonic() + self._timeout
            for attempt in Retrying(**self._policy()):
                with attempt, self._translated_errors():
                    vectors += self._ask(batch, deadline)
        return check_vectors(self.name, self.dimensions, texts, vectors)

    def _ask(self, batch: Sequence[str], deadline: float) -> list[NDArray[np.float32]]:
        in_base64 = self._in_base64
        body = bytearray()
        with self._client().stream(
            "POST", self._endpoint.url, content=self._request(batch, in_base64), timeout=_remaining(deadline)
        ) as response:
            # The client's timeout is one for each piece; a server that drips would never run into it.
            for piece in response.iter_bytes():
                body += piece
                _remaining(deadline)
        return self._read(response.status_code, response.headers, bytes(body), batch, in_base64)

    def close(self) -> None:
        """Close the connections of this process; a later call opens new ones."""
        client = self._clients.pop((os.getpid(), None), None)
        if client is not None:
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncOpenAIEmbedder(_Shared[httpx2.AsyncClient]):
    """OpenAIEmbedder, awaited. Each event loop has connections of its own: close it in each that has used it."""

    def _open(self) -> httpx2.AsyncClient:
        # The whole of a request has one timeout, which is asyncio's.
        return httpx2.AsyncClient(headers=self._headers, verify=self._certificates, timeout=None)

    async def embed(self, texts: Sequence[str], *, kind: Kind = "document") -> NDArray[np.float32]:
        """Return the vectors of texts, as OpenAIEmbedder.embed does."""
        vectors: list[NDArray[np.float32]] = []
        for batch in self._batches(texts, kind):
            deadline = time.monotonic() + self._timeout
            async for attempt in AsyncRetrying(**self._policy()):
                with attempt, self._translated_errors():
                    vectors += await self._ask(batch, deadline)
        return check_vectors(self.name, self.dimensions, texts, vectors)

    async def _ask(self, batch: Sequence[str], deadline: float) -> list[NDArray[np.float32]]:
        in_base64 = self._in_base64
        async with asyncio.timeout(_remaining(deadline)):
            client = self._client(asyncio.get_running_loop())
            response = await client.post(self._endpoint.url, content=self._request(batch, in_base64))
        return self._read(response.status_code, response.headers, response.content, batch, in_base64)

    async def close(self) -> None:
        """Close the connections of this event loop; a later call opens new ones."""
        client = self._clients.pop((os.getpid(), asyncio.get_running_loop()), None)
        if client is not None:
            await client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


def _said(error: BaseException) -> str:
    """Return what the HTTP client says, and what the system has said to it where it keeps that for itself."""
    inner: Any = error
    while below := inner.__cause__ or inner.__context__:
        inner = cast(Any, below).exceptions[0] if isinstance(below, ExceptionGroup) else below
    said = str(error) or type(error).__name__
    return f"{said} ({inner})" if isinstance(inner, OSError) and str(inner) not in said else said


def _error(state: RetryCallState) -> EmbeddingFailed:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, EmbeddingFailed)
    return error


def _pause(state: RetryCallState) -> float:
    asked = _error(state).retry_after
    return _backoff(state) if asked is None else asked


def _remaining(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _known(name: str, model: str) -> str:
    """Return whichever says which model it is: a store may call OpenAI's as it likes, and so may a deployment."""
    for each in (name, model):
        if not isinstance(cast(object, each), str):
            raise ConfigurationError(f"the name of the model is {quoted(each)}, expected a str")
    return name if name in api.DIMENSIONS else model


def _length(name: str, dimensions: int | None) -> int:
    length = api.DIMENSIONS.get(name) if dimensions is None else dimensions
    if length is None:
        raise ConfigurationError(
            f"the length of the vectors of {quoted(name)} is not known here: give dimensions, as the model's "
            "documentation has it"
        )
    if not _is_whole(length):
        raise ConfigurationError(f"dimensions is {quoted(length)}, expected a whole number of at least 1")
    return length


def _check(batch_size: int, timeout: float, max_characters: int | None) -> None:
    if not _is_whole(batch_size) or batch_size > api.MAX_TEXTS:
        raise ConfigurationError(f"batch_size is {quoted(batch_size)}, a request holds 1 to {api.MAX_TEXTS} texts")
    # More than a week is more than a socket's timeout can be.
    if not isinstance(cast(object, timeout), int | float) or not 0 < timeout <= _LONGEST:
        raise ConfigurationError(
            f"timeout is {quoted(timeout)}, expected a number of seconds above 0, up to {_LONGEST}"
        )
    if max_characters is not None and not _is_whole(max_characters):
        raise ConfigurationError(
            f"max_characters is {quoted(max_characters)}, expected a whole number of at least 1, or None for all"
        )


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 1
