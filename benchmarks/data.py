"""Made-up documents: clustered unit vectors, memories of exactly 1 % of the rows each, one long conversation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np

DIMENSIONS = 1536
MEMORIES = 100
_SUBJECTS = 200
# Vectors of a model fill few of their dimensions; noise in all 1,536 would have no near neighbours to be found.
_LATENT = 48
_TALK = "tea garden winter music letter train harbour recipe doctor budget school flight window paper island river"
_WORDS = f"{_TALK} market kitchen engine holiday camera forest meeting ticket bicycle story".split()
_START = datetime(2026, 1, 1, tzinfo=UTC)

Document = dict[str, Any]


@dataclass(frozen=True)
class Data:
    """The documents of a run; the same for the same number of rows."""

    rows: int
    seed: int = 7

    @cached_property
    def _centres(self) -> np.ndarray:
        return self._random("centres").standard_normal((_SUBJECTS, _LATENT))

    @cached_property
    def _directions(self) -> np.ndarray:
        return self._random("directions").standard_normal((_LATENT, DIMENSIONS))

    def _random(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, *purpose.encode()])

    def vectors(self, purpose: str, subjects: np.ndarray) -> np.ndarray:
        """Make a unit vector for each subject, single precision."""
        random = self._random(purpose)
        latent = self._centres[subjects] + 0.6 * random.standard_normal((len(subjects), _LATENT))
        vectors = latent @ self._directions + 0.05 * random.standard_normal((len(subjects), DIMENSIONS))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    @cached_property
    def embeddings(self) -> np.ndarray:
        """The vectors of the documents: a memory has two subjects, and is asked about all of them."""
        number = np.arange(self.rows)
        memory, which = number % MEMORIES, number // MEMORIES % 2
        return self.vectors("documents", (2 * memory + which) % _SUBJECTS)

    @cached_property
    def questions(self) -> np.ndarray:
        """Vectors to search for, near any subject."""
        return self.vectors("questions", self._random("asked").integers(_SUBJECTS, size=500))

    def documents(self, *, embeddings: bool = True) -> Iterator[Document]:
        """Make the documents, `rows` of them; each memory has exactly 1 % where `rows` is a multiple of 100."""
        for number in range(self.rows):
            document = document_of(number)
            if embeddings:
                document["embedding"] = self.embeddings[number]
            yield document

    def turns(self) -> Iterator[Document]:
        """Make one conversation of `rows` turns."""
        for number in range(self.rows):
            moment = _START + timedelta(seconds=number)
            yield {
                "memory_id": "conversation",
                "conversation_id": f"part-{number // 100}",
                "role": ("user", "assistant")[number % 2],
                "content": _text(number, 30),
                "timestamp": moment,
                "created_at": moment,
                "tokens": number % 90,
                "embedding": self.embeddings[number],
            }

    def nearest(self, question: np.ndarray, memory: int | None = None, count: int = 10) -> set[int]:
        """Return the numbers of the documents that are nearest to a question, of one memory or of all."""
        numbers = np.arange(self.rows) if memory is None else np.arange(memory, self.rows, MEMORIES)
        similarity = self.embeddings[numbers] @ question
        return set(numbers[np.argsort(-similarity)[:count]].tolist())


def document_of(number: int) -> Document:
    """Make a document without a vector."""
    return {
        "name": f"document-{number}",
        "memory_id": memory_id(number % MEMORIES),
        "content": _text(number, 40),
        "importance_score": number % 10 / 10,
        "metadata": {"source": "benchmark", "page": number % 300},
        "created_at": _START + timedelta(seconds=number),
        "number": number,
        "tags": [_WORDS[number % 7], _WORDS[number % 11]],
        "language": "en",
    }


def memory_id(memory: int) -> str:
    return f"memory-{memory}"


def _text(number: int, words: int) -> str:
    return " ".join(_WORDS[(number * 7 + place * place + place) % len(_WORDS)] for place in range(words))
