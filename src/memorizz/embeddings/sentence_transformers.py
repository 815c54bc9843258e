"""An embedder that runs a sentence-transformers model on this machine."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from importlib import import_module
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memorizz.embeddings._vectors import check_vectors
from memorizz.embeddings.base import Kind, check_texts, checked_window, missing
from memorizz.errors import ConfigurationError, quoted

_ENDLESS = 10**6


class SentenceTransformerEmbedder:
    """An Embedder for any model that sentence-transformers can load: a folder, or a name on the Hugging Face hub.

    The model reads `max_tokens` of a text, and longer documents are embedded in pieces.
    """

    def __init__(
        self,
        model_or_path: str | PathLike[str],
        *,
        name: str | None = None,
        batch_size: int = 32,
        device: str | None = None,
        query_prefix: str | None = None,
        document_prefix: str | None = None,
        normalize: bool = True,
    ) -> None:
        """Load the model, which takes seconds.

        `name`, which the store remembers, is by default the last part of the path or of the name. `device` is torch's
        ("cpu", "cuda", "mps"), by default the best there is. The prefixes are put before the texts; by default they
        are the model's own prompts, where it has any. `normalize` makes every vector one of length 1.
        """
        try:
            # Only here: it takes seconds, and nobody else needs torch.
            library: Any = import_module("sentence_transformers")
        except ImportError as error:
            raise missing("sentence-transformers", error) from error
        if batch_size < 1:
            raise ConfigurationError(f"batch_size is {quoted(batch_size)}, expected at least 1")
        path = fspath(model_or_path)
        try:
            self._model: Any = library.SentenceTransformer(path, device=device)
        except (OSError, ValueError, RuntimeError) as error:
            raise ConfigurationError(f"cannot load the embedding model {quoted(path, 200)}: {error}") from error
        self.name = name or Path(path).absolute().name
        self._batch_size = batch_size
        self._prefixes: dict[Kind, str | None] = {"query": query_prefix, "document": document_prefix}
        self._normalize = normalize
        # In many versions of the tokenizers two threads at once fail with "Already borrowed". Each process has a lock
        # of its own: one that is held during a fork stays locked in the child.
        self._locks: dict[int, threading.Lock] = {}
        reads: Any = getattr(self._model, "max_seq_length", None)
        # A model without a window has no such number, or one beyond all texts.
        self.max_tokens = None if reads is None or reads >= _ENDLESS else checked_window(int(reads), self.name)
        # Measured, because not every model knows it.
        self.dimensions = len(self._encode(["length"], "document")[0])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, dimensions={self.dimensions})"

    def embed(self, texts: Sequence[str], *, kind: Kind = "document") -> NDArray[np.float32]:
        """Return the vectors of texts, in order, as an array of shape (texts, dimensions).

        Threads take turns: torch uses every core for one call already.
        """
        check_texts(self.name, texts)
        vectors: Any = self._encode(list(texts), kind) if texts else []
        return check_vectors(self.name, self.dimensions, texts, vectors)

    def _encode(self, texts: list[str], kind: Kind) -> Any:
        encode = self._model.encode_query if kind == "query" else self._model.encode_document
        with self._locks.setdefault(os.getpid(), threading.Lock()):
            return encode(
                texts,
                prompt=self._prefixes[kind],
                batch_size=self._batch_size,
                normalize_embeddings=self._normalize,
                show_progress_bar=False,
            )
