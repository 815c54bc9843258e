"""What an endpoint with OpenAI's embeddings API is asked, and how its answer is read. No IO, no HTTP client."""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from numpy.typing import NDArray

from memorizz.errors import ConfigurationError, quoted

_OPENAI = "https://api.openai.com/v1"

# The length of each model's vectors.
DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
# What each of them reads of a text.
MAX_TOKENS = 8191
# Models of OpenAI that make shorter vectors on request.
SHORTENED = ("text-embedding-3-small", "text-embedding-3-large")

# OpenAI takes 2,048 texts and 300,000 tokens in one request. A token is at least one byte.
MAX_TEXTS = 2048
_MAX_BYTES = 300_000

# How much of a failure is shown, with what the server says about it.
_MAX_SHOWN = 600
_MAX_VALUE = 80
# A word of a header that is at least this long may be a secret.
_MIN_SECRET = 8


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to ask. `shown` is the URL without its query; `headers` hold the key and are never shown."""

    url: str
    shown: str
    headers: Mapping[str, str] = field(repr=False)

    def showable(self, text: str) -> str:
        """Return the beginning of a text without any secret: servers and proxies like to repeat what they were sent."""
        for word in sorted({word for value in self.headers.values() for word in value.split()}, key=len, reverse=True):
            if len(word) >= _MIN_SECRET:
                text = text.replace(word, "***")
        return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]} ..."


def endpoint(base_url: str | None, api_key: str | None, headers: Mapping[str, str] | None) -> Endpoint:
    """Return where to ask for embeddings, from what the API's own clients call the base URL.

    Without one it is that of OPENAI_BASE_URL, else OpenAI's. The query of the base URL (Azure's api-version) is kept.
    The key travels as `api-key` to Azure, else as a bearer token; headers that were given win over it. OPENAI_API_KEY
    is for OPENAI_BASE_URL and OpenAI alone: no other host is sent it.
    """
    for option, given in (("base_url", base_url), ("api_key", api_key)):
        if not isinstance(cast(object, given), str | None):
            raise ConfigurationError(f"{option} is a {type(given).__name__}, expected a str or None")
    if headers is not None and not _is_of_texts(headers):
        raise ConfigurationError("headers is no dict of texts")
    of_environment = None if base_url is not None else os.environ.get("OPENAI_BASE_URL", "").strip()
    named = "OPENAI_BASE_URL" if of_environment else "base_url"
    try:
        parts = urlsplit(of_environment or base_url or _OPENAI)
    except ValueError as error:
        raise ConfigurationError(f"{named} is no URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{named} is no URL of an HTTP endpoint, such as http://localhost:11434/v1")
    if "@" in parts.netloc:
        raise ConfigurationError(f"{named} holds a user or a password; give them as api_key or headers instead")
    path = parts.path.rstrip("/").removesuffix("/embeddings") + "/embeddings"
    at_openai = f".{parts.hostname}".endswith(".openai.com")
    if api_key is None and (of_environment or at_openai):
        api_key = os.environ.get("OPENAI_API_KEY")
    sent = {name.lower(): value.strip() for name, value in (headers or {}).items()}
    if at_openai and not api_key and "authorization" not in sent:
        raise ConfigurationError("OpenAI asks for a key: set OPENAI_API_KEY or give api_key")
    if api_key and parts.hostname.endswith(".azure.com") and "authorization" not in sent:
        sent.setdefault("api-key", api_key.strip())
    elif api_key:
        sent.setdefault("authorization", f"Bearer {api_key.strip()}")
    for name, value in sent.items():
        # The HTTP client's own error would show the value.
        if not (value.isascii() and value.isprintable()):
            raise ConfigurationError(f"the value of the header {quoted(name)} holds characters that no header may hold")
    return Endpoint(
        url=urlunsplit((parts.scheme, parts.netloc, path, parts.query, "")),
        shown=urlunsplit((parts.scheme, parts.netloc, path, "", "")),
        headers=sent,
    )


def _is_of_texts(headers: object) -> bool:
    if not isinstance(headers, Mapping):
        return False
    return all(isinstance(part, str) for item in cast("Mapping[Any, Any]", headers).items() for part in item)


def batches(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    """Cut texts into what one request may hold."""
    batch: list[str] = []
    room = _MAX_BYTES
    for text in texts:
        length = len(text.encode(errors="replace"))
        if batch and (len(batch) == size or length > room):
            yield batch
            batch, room = [], _MAX_BYTES
        batch.append(text)
        room -= length
    if batch:
        yield batch


def request(model: str, texts: Sequence[str], *, dimensions: int | None, in_base64: bool) -> bytes:
    """Return the body of a request; what is not asked for is left out, since some servers refuse to hear of it."""
    asked: dict[str, Any] = {"model": model, "input": texts}
    if in_base64:
        asked["encoding_format"] = "base64"
    if dimensions is not None:
        asked["dimensions"] = dimensions
    # A lone surrogate, which is no character, becomes a question mark.
    return json.dumps(asked, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def vectors(body: bytes, texts: Sequence[str]) -> list[NDArray[np.float32]]:
    """Return the vectors of an answer, in the order of the texts. Raises ValueError that says what is wrong."""
    if not body.strip():
        raise ValueError("the answer is empty")
    try:
        answer: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError(f"the answer is no JSON: {message(body)}") from None
    items: Any = cast("dict[str, Any]", answer).get("data") if isinstance(answer, dict) else None
    if not isinstance(items, list):
        raise ValueError(f"the answer holds no vectors: {message(body)}")  # noqa: TRY004 the server's mistake
    found = cast("list[Any]", items)
    if len(found) != len(texts):
        raise ValueError(f"expected {len(texts)} vectors, one per text, got {len(found)}")
    # Without an index they come in the order of the texts.
    indexes: list[Any] = [
        cast("dict[str, Any]", item).get("index", position) if isinstance(item, dict) else position
        for position, item in enumerate(found)
    ]
    if any(type(index) is not int for index in indexes) or set(indexes) != set(range(len(texts))):
        raise ValueError(
            f"expected vectors with an index from 0 to {len(texts) - 1}, each once, got {quoted(indexes, 200)}"
        )
    by_index = dict(zip(indexes, found, strict=True))
    return [_vector(by_index[index], index, text) for index, text in enumerate(texts)]


def _vector(item: Any, index: int, text: str) -> NDArray[np.float32]:
    value: Any = cast("dict[str, Any]", item).get("embedding", item) if isinstance(item, dict) else item
    try:
        if isinstance(value, str):
            return np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4")
        # With a type given at once null would become NaN.
        array = np.array(value)
        if array.ndim == 1 and array.dtype.kind in "iuf":
            with np.errstate(over="ignore"):
                return array.astype(np.float32)
    except ValueError:
        pass
    shown = json.dumps(value)
    shown = shown if len(shown) <= _MAX_VALUE else f"{shown[:_MAX_VALUE]}..."
    raise ValueError(f"the answer holds {shown} in the place of the vector with index {index}, for {quoted(text, 40)}")


def message(body: bytes) -> str:
    """Return what a server says in the body of a refusal, in one of the forms that such servers use."""
    try:
        said: Any = json.loads(body)
    except (ValueError, RecursionError):
        said = body.decode(errors="replace").strip()
    for key in ("error", "detail", "message"):
        if isinstance(said, dict) and key in said:
            said = cast("dict[str, Any]", said)[key]
    return (said if isinstance(said, str) else json.dumps(said)) or "nothing"


def is_transient(status: int, body: bytes) -> bool:
    """Return True if asking again may help. A used-up quota is refused with the status of too many requests."""
    return status >= 500 or (status in (408, 425, 429) and b"insufficient_quota" not in body)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds the server asks to wait, written as milliseconds, seconds or a date."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        value = headers.get(name, "")
        try:
            seconds = float(value) / unit
        except ValueError:
            continue
        return max(seconds, 0) if math.isfinite(seconds) else None
    try:
        moment = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max((moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0)
