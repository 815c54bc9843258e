"""Made-up documents: clustered unit vectors, in memories of 1 % of the rows, or of every share that is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
_PIECE = 10_000
_TALK = "tea garden winter music letter train harbour recipe doctor budget school flight window paper island river"
_WORDS = f"{_TALK} market kitchen engine holiday camera forest meeting ticket bicycle story".split()
_START = datetime(2026, 1, 1, tzinfo=UTC)

Document = dict[str, Any]


@dataclass(frozen=True)
class Data:
    """The documents of a run; the same for the same number of rows."""

    rows: int
    dimensions: int = DIMENSIONS
    seed: int = 7

    @cached_property
    def _centres(self) -> np.ndarray:
        return self._random("centres").standard_normal((_SUBJECTS, _LATENT))

    @cached_property
    def _directions(self) -> np.ndarray:
        return self._random("directions").standard_normal((_LATENT, self.dimensions))

    def _random(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, *purpose.encode()])

    def vectors(self, purpose: str, subjects: np.ndarray) -> np.ndarray:
        """Make a unit vector for each subject, single precision."""
        random = self._random(purpose)
        latent = self._centres[subjects] + 0.6 * random.standard_normal((len(subjects), _LATENT))
        made = np.empty((len(subjects), self.dimensions), np.float32)
        # Piece by piece: a million of them would take 6 GB in double precision.
        for start in range(0, len(subjects), _PIECE):
            piece = latent[start : start + _PIECE] @ self._directions
            piece += 0.05 * random.standard_normal(piece.shape)
            made[start : start + _PIECE] = piece / np.linalg.norm(piece, axis=1, keepdims=True)
        return made

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

    def recall(self, search: Callable[[int], Sequence[Document]], *, in_memory: bool = False) -> float:
        """Return which part of the nearest a search finds, which is told the number of its question and memory."""
        shares: list[float] = []
        for turn in range(200):
            nearest = self.nearest(self.questions[turn % len(self.questions)], turn % MEMORIES if in_memory else None)
            shares.append(len({hit["number"] for hit in search(turn)} & nearest) / len(nearest))
        return sum(shares) / len(shares)


@dataclass(frozen=True)
class Cell:
    """A kind of filter: the memories that are searched, None for no filter, and what is asked of them."""

    name: str
    share: float
    memories: Sequence[str] | None
    questions: np.ndarray


# Of each kind, how many memories have which share of the rows; together they have them all. Those of one subject are
# what an index under a filter is worst at: what is near a question about another subject lies in other memories.
_LAYOUT = {"50 %": (0.5, 1), "10 %": (0.1, 2), "4 %": (0.04, 4), "1 %": (0.01, 10), "0.1 %": (0.001, 30)}
_SMALLEST, _OF_ONE_SUBJECT = "0.01 %", "4 %"


@dataclass(frozen=True)
class Shares(Data):
    """Documents in memories of every share of the rows, in no order."""

    @cached_property
    def _kinds(self) -> list[str]:
        """The kind of every memory."""
        rest = 1.0 - sum(share * count for share, count in _LAYOUT.values())
        smallest = [_SMALLEST] * round(rest / 0.0001)
        return [kind for kind, (_, count) in _LAYOUT.items() for _ in range(count)] + smallest

    @cached_property
    def memories(self) -> np.ndarray:
        """The number of each row's memory."""
        shares = [_LAYOUT[kind][0] if kind in _LAYOUT else 0.0001 for kind in self._kinds]
        ends = np.ceil(np.cumsum(shares) * self.rows - 1e-6).astype(int)
        return self._random("memories").permutation(np.searchsorted(ends, np.arange(self.rows), side="right"))

    @cached_property
    def embeddings(self) -> np.ndarray:
        subjects = self._random("subjects").integers(_SUBJECTS, size=self.rows)
        for subject, memory in enumerate(self._of_kind(_OF_ONE_SUBJECT)):
            subjects[self.memories == memory] = subject
        return self.vectors("documents", subjects)

    def _of_kind(self, kind: str) -> list[int]:
        present = set(self.memories.tolist())
        return [number for number, each in enumerate(self._kinds) if each == kind and number in present]

    def documents(self, *, embeddings: bool = True) -> Iterator[Document]:
        for number in range(self.rows):
            document = document_of(number) | {"memory_id": memory_id(int(self.memories[number]))}
            if embeddings:
                document["embedding"] = self.embeddings[number]
            yield document

    @cached_property
    def cells(self) -> list[Cell]:
        """Return what is searched, the smallest share first."""
        own = range(len(self._of_kind(_OF_ONE_SUBJECT)))
        others = self.vectors("questions", self._random("asked").integers(len(own), _SUBJECTS, size=500))
        about = self.vectors("own", np.array([*own] * 100))
        cells = [self._cell(kind, kind, others) for kind in (_SMALLEST, *reversed(_LAYOUT)) if kind != _OF_ONE_SUBJECT]
        return [
            *cells,
            Cell("100 %", 1.0, None, others),
            self._cell(f"{_OF_ONE_SUBJECT}, one subject, asked about another", _OF_ONE_SUBJECT, others),
            self._cell(f"{_OF_ONE_SUBJECT}, one subject, asked about it", _OF_ONE_SUBJECT, about),
        ]

    def _cell(self, name: str, kind: str, questions: np.ndarray) -> Cell:
        share = _LAYOUT[kind][0] if kind in _LAYOUT else 0.0001
        return Cell(name, share, [memory_id(number) for number in self._of_kind(kind)], questions)

    def nearest_in(self, question: np.ndarray, memory: str | None, count: int = 10) -> set[int]:
        """Return the numbers of the documents that are nearest to a question, in one memory or in all."""
        numbers = np.arange(self.rows) if memory is None else np.flatnonzero(self.memories == memory_number(memory))
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


def memory_number(name: str) -> int:
    return int(name.removeprefix("memory-"))


def _text(number: int, words: int) -> str:
    return " ".join(_WORDS[(number * 7 + place * place + place) % len(_WORDS)] for place in range(words))
