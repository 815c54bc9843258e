"""Embedding models of which every vector says whose it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def vector_by(model: str, text: str, dimensions: int) -> np.ndarray:
    """Return the vector that a model makes of a text: another model makes another one."""
    digest = hashlib.sha256(f"{model}|{text}".encode()).digest()
    return np.random.default_rng(list(digest)).standard_normal(dimensions).astype(np.float32)


class Model:
    """An embedder; `before` is called with the texts before it answers."""

    def __init__(self, name: str, dimensions: int, before: Callable[[Sequence[str]], Any] | None = None) -> None:
        self.name = name
        self.dimensions = dimensions
        self.before = before
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str], *, kind: str = "document") -> Any:
        self.texts += texts
        if self.before is not None:
            self.before(texts)
        return [vector_by(self.name, text, self.dimensions) for text in texts]

    def made(self, vector: Any, text: str) -> bool:
        """Return True if a vector is what this model makes of a text."""
        return (
            vector is not None
            and len(vector) == self.dimensions
            and bool(np.allclose(vector, vector_by(self.name, text, self.dimensions)))
        )
