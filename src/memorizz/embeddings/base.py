"""What an embedder is, and how the providers ask one: texts in, checked vectors out. No IO of its own."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from memorizz.errors import ConfigurationError, EmbeddingFailed, quoted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from memorizz.embeddings._vectors import Vectors

Kind = Literal["query", "document"]


# A shorter text says too little to be found by.
MIN_TOKENS = 16

# What an embedder's failure may be. The last two are no Exceptions: they mean something to whoever runs a generator or
# a task, and would end it in silence. All others that are none, such as KeyboardInterrupt, are for the whole program.
_FAILURES = (Exception, GeneratorExit, asyncio.CancelledError)


class Embedder(Protocol):
    """Turns texts into vectors. Both kinds of provider take one; the async one runs it in a thread.

    It may have a `max_tokens`: how many tokens of a text the model reads. A document whose text is longer has a vector
    for each of its pieces then.
    """

    @property
    def name(self) -> str:
        """The name of the model; the store remembers it, for vectors of two models cannot be compared."""
        ...

    @property
    def dimensions(self) -> int:
        """The length of the vectors."""
        ...

    def embed(self, texts: list[str], *, kind: Kind = "document") -> Vectors:
        """Return one vector per text, in order: a two-dimensional array or a list of lists.

        `kind` tells what is searched for from what is searched in, for the models that want to know. Where some of the
        texts fail, all do: raise. Whatever is raised reaches the caller as the cause of an EmbeddingFailed; one that
        is raised here stays as it is.
        """
        ...


class AsyncEmbedder(Protocol):
    """An Embedder that is awaited. Only the async provider takes one."""

    @property
    def name(self) -> str:
        """The name of the model."""
        ...

    @property
    def dimensions(self) -> int:
        """The length of the vectors."""
        ...

    async def embed(self, texts: list[str], *, kind: Kind = "document") -> Vectors:
        """Return one vector per text, as by Embedder.embed."""
        ...


def check_embedder(embedder: object, label: str) -> None:
    """Raise ConfigurationError for what is no embedder; `label` says where it was given."""
    if isinstance(embedder, type):
        raise ConfigurationError(f"{label} is the class {embedder.__name__}: give an embedder that it makes")
    missing = [each for each in ("name", "dimensions", "embed") if not hasattr(embedder, each)]
    if missing:
        raise ConfigurationError(
            f"{label} is no embedder, it is of type {type(embedder).__name__} and has no {', '.join(missing)}: "
            "expected one of memorizz.embeddings, or an object of yours with name, dimensions and embed(texts, *, kind)"
        )


def window(embedder: Embedder | AsyncEmbedder) -> int | None:
    """Return how many tokens of a text an embedder reads, its `max_tokens`, where it says so."""
    return checked_window(getattr(embedder, "max_tokens", None), embedder.name)


def checked_window(tokens: object, name: str) -> int | None:
    """Return a `max_tokens` as it is; raises ConfigurationError, which names the embedder, for what is none."""
    if tokens is None or (type(tokens) is int and tokens >= MIN_TOKENS):
        return tokens
    raise ConfigurationError(
        f"max_tokens of the embedder {name!r} is {quoted(tokens)}: expected how many tokens of a text its "
        f"model reads, a whole number from {MIN_TOKENS} on, or None"
    )


def is_async(embedder: Embedder | AsyncEmbedder) -> bool:
    """Return True if an embedder must be awaited."""
    return inspect.iscoroutinefunction(embedder.embed)


def check_blocking(embedder: Embedder | AsyncEmbedder) -> None:
    """Raise ConfigurationError for an embedder that must be awaited."""
    if is_async(embedder):
        raise ConfigurationError(
            f"{type(embedder).__name__} must be awaited: give it to an async provider, or give this one an embedder "
            "whose embed() is an ordinary method"
        )


def embed_blocking(embedder: Embedder, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
    """Return the vectors of texts as an array of shape (texts, dimensions), asking a blocking embedder.

    Raises EmbeddingFailed for a text that is blank, for whatever the embedder raises, and for an answer of the wrong
    count or length, or with numbers that are not finite; ConfigurationError for an embedder that must be awaited.
    """
    from memorizz.embeddings._vectors import check_vectors

    check_blocking(embedder)
    check_texts(embedder.name, texts)
    try:
        vectors: Vectors = embedder.embed(list(texts), kind=kind) if texts else []
        return check_vectors(embedder.name, embedder.dimensions, texts, vectors)
    except EmbeddingFailed:
        raise
    except _FAILURES as error:
        raise _failed(embedder, error) from error


async def embed_awaiting(embedder: Embedder | AsyncEmbedder, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
    """Return the vectors of texts as embed_blocking does; a blocking embedder runs in a thread.

    Where the task is cancelled, CancelledError passes.
    """
    from memorizz.embeddings._vectors import check_vectors

    if not is_async(embedder):
        # A StopIteration would never come out of the thread: embed_blocking lets none pass.
        return await asyncio.to_thread(embed_blocking, cast(Embedder, embedder), texts, kind)
    check_texts(embedder.name, texts)
    task = _task()
    try:
        vectors: Any = await cast(AsyncEmbedder, embedder).embed(list(texts), kind=kind) if texts else []
        return check_vectors(embedder.name, embedder.dimensions, texts, vectors)
    except EmbeddingFailed:
        raise
    except _FAILURES as error:
        if not isinstance(error, Exception) and _is_ending(task):
            raise
        raise _failed(embedder, error) from error


def _failed(embedder: Embedder | AsyncEmbedder, error: BaseException) -> EmbeddingFailed:
    said = " ".join("".join(traceback.format_exception_only(error)).split())
    return EmbeddingFailed(embedder.name, said, transient=isinstance(error, TimeoutError | ConnectionError))


def _task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _is_ending(task: asyncio.Task[Any] | None) -> bool:
    """Return True if a task is cancelled, or its coroutine closed from outside, which no task is running then."""
    return task is None or task is not _task() or task.cancelling() > 0


def check_texts(model: str, texts: Sequence[str]) -> None:
    """Raise EmbeddingFailed unless every text has something to embed.

    A blank text has no direction that anything could be near to. Some models refuse it, others answer with a vector
    that is near to every short text: whoever asks leaves blank texts out.
    """
    if isinstance(texts, str):
        raise EmbeddingFailed(model, "expected a list of texts, got one str; put it into a list")
    for position, text in enumerate(texts):
        if not isinstance(cast(object, text), str):
            raise EmbeddingFailed(model, f"expected texts, got a {type(text).__name__} at position {position}")
        if not text.strip():
            raise EmbeddingFailed(model, f"the text at position {position} is blank; leave it out, it has no meaning")


def missing(extra: str, error: ImportError) -> ConfigurationError:
    """Return the error that says what to install."""
    return ConfigurationError(f"{error}: this embedder needs pip install 'memorizz-postgresql[{extra}]'")
