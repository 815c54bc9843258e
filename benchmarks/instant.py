"""An embedder that answers at once: the vector of a question is looked up by the number that it ends with."""

from __future__ import annotations

import os
from typing import Any

import numpy as np


class Embedder:
    """What `memorizz mcp --model benchmarks.instant:Embedder` loads; the file of its vectors is in the environment."""

    name = "instant"

    def __init__(self) -> None:
        self._vectors = np.load(os.environ["MEMORIZZ_BENCHMARK_VECTORS"])

    @property
    def dimensions(self) -> int:
        return self._vectors.shape[1]

    def embed(self, texts: list[str], *, kind: str = "document") -> Any:
        return self._vectors[[int(text.rpartition(" ")[2]) % len(self._vectors) for text in texts]]
