"""The vectors that an embedder returns, checked. It loads numpy, and is loaded for the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memorizz.errors import EmbeddingFailed, quoted

Vectors = NDArray[np.floating[Any]] | Sequence[NDArray[np.floating[Any]]] | Sequence[Sequence[float]]


def check_vectors(model: str, dimensions: int, texts: Sequence[str], vectors: Any) -> NDArray[np.float32]:
    """Return vectors as one array, after checking that they are what was asked for."""
    if vectors is None:
        raise EmbeddingFailed(model, "expected a list of vectors, one per text, got None")
    try:
        found: list[Any] = list(vectors)
        if len(found) != len(texts):
            raise EmbeddingFailed(model, f"expected {len(texts)} vectors, one per text, got {len(found)}")
        for position, vector in enumerate(found):
            if vector is None:
                raise EmbeddingFailed(model, f"expected a vector for {_which(texts, position)}, got None")
            if len(vector) != dimensions:
                raise EmbeddingFailed(
                    model,
                    f"expected vectors of {dimensions} dimensions, got {len(vector)} for {_which(texts, position)}; "
                    f"give the embedder the length of its model's vectors, dimensions={len(vector)}, or use the model "
                    f"that has {dimensions}",
                )
        with np.errstate(over="ignore"):
            array = np.asarray(vectors if hasattr(vectors, "__array__") else found, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise _something_else(model, vectors) from error
    if array.ndim > 2:
        raise _something_else(model, vectors)
    array = array.reshape(len(texts), dimensions)
    _check_numbers(model, texts, found, array)
    return array


def _something_else(model: str, vectors: Any) -> EmbeddingFailed:
    return EmbeddingFailed(
        model, f"expected a list of vectors, got a {type(vectors).__name__} that holds something else"
    )


def _check_numbers(model: str, texts: Sequence[str], vectors: Sequence[Any], array: NDArray[np.float32]) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        position, index = map(int, np.argwhere(~finite)[0])
        number: Any = vectors[position][index]
        raise EmbeddingFailed(
            model,
            f"the vector of {_which(texts, position)} holds {None if number is None else float(number)} at index "
            f"{index}; expected numbers that are finite in single precision",
        )
    directed = array.any(axis=1)
    if not directed.all():
        raise EmbeddingFailed(
            model,
            f"the vector of {_which(texts, int(directed.argmin()))} is all zero: it has no direction, so nothing can "
            "be near it",
        )


def _which(texts: Sequence[str], position: int) -> str:
    return f"the text at position {position}, {quoted(texts[position], 40)}"
