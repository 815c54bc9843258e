"""What an embedder is, and how the providers ask one: texts in, checked vectors out. No IO of its own."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from memorizz.errors import ConfigurationError, EmbeddingFailed

Kind = Literal["query", "document"]
Vectors = NDArray[np.floating[Any]] | Sequence[Sequence[float]]


class Embedder(Protocol):
    """Turns texts into vectors. Both kinds of provider take one; the async one runs it in a thread."""

    @property
    def name(self) -> str:
        """The name of the model; the store remembers it, for vectors of two models cannot be compared."""
        ...

    @property
    def dimensions(self) -> int:
        """The length of the vectors."""
        ...

    def embed(self, texts: Sequence[str], *, kind: Kind = "document") -> Vectors:
        """Return one vector per text, in order: a two-dimensional array or a list of lists.

        `kind` tells what is searched for from what is searched in, for the models that want to know. Where some of the
        texts fail, all do: raise.
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

    async def embed(self, texts: Sequence[str], *, kind: Kind = "document") -> Vectors:
        """Return one vector per text, as by Embedder.embed."""
        ...


def is_async(embedder: Embedder | AsyncEmbedder) -> bool:
    """Tell whether an embedder must be awaited."""
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

    Raises EmbeddingFailed for a text that is blank, and for an answer of the wrong count or length, or with numbers
    that are not finite; ConfigurationError for an embedder that must be awaited.
    """
    check_blocking(embedder)
    check_texts(embedder.name, texts)
    vectors: Vectors = embedder.embed(texts, kind=kind) if texts else []
    return check_vectors(embedder.name, embedder.dimensions, len(texts), vectors)


async def embed_awaiting(embedder: Embedder | AsyncEmbedder, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
    """Return the vectors of texts as embed_blocking does; a blocking embedder runs in a thread."""
    check_texts(embedder.name, texts)
    vectors: Any = []
    if texts:
        if is_async(embedder):
            vectors = await cast(AsyncEmbedder, embedder).embed(texts, kind=kind)
        else:
            vectors = await asyncio.to_thread(embedder.embed, texts, kind=kind)
    return check_vectors(embedder.name, embedder.dimensions, len(texts), vectors)


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


def check_vectors(model: str, dimensions: int, count: int, vectors: Any) -> NDArray[np.float32]:
    """Return vectors as one array, after checking that they are what was asked for."""
    try:
        lengths = [len(vector) for vector in vectors]
        if len(lengths) != count:
            raise EmbeddingFailed(model, f"expected {count} vectors, one per text, got {len(lengths)}")
        wrong = next((length for length in lengths if length != dimensions), None)
        if wrong is not None:
            raise EmbeddingFailed(
                model,
                f"expected vectors of {dimensions} dimensions, got {wrong}; give the embedder the length of its "
                f"model's vectors, dimensions={wrong}, or use the model that has {dimensions}",
            )
        with np.errstate(over="ignore"):
            array = np.asarray(vectors, dtype=np.float32).reshape(count, dimensions)
    except (TypeError, ValueError):
        raise EmbeddingFailed(
            model, f"expected a list of vectors, got a {type(vectors).__name__} that holds something else"
        ) from None
    if not np.isfinite(array).all():
        raise EmbeddingFailed(model, "a vector holds NaN, infinity or a number that single precision cannot hold")
    if not array.any(axis=1).all():
        raise EmbeddingFailed(model, "a vector is all zero: it has no direction, so nothing can be near it")
    return array


def missing(extra: str, error: ImportError) -> ConfigurationError:
    """Return the error that says what to install."""
    return ConfigurationError(f"{error}: this embedder needs pip install 'memorizz-postgresql[{extra}]'")
