"""What stands in each peer's process: the rows, and a loop that does what it is told and says how long that took.

The peers have an environment of their own, so nothing of this project is imported here. A line of JSON comes in for
each thing to do, a line of JSON goes out.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import numpy as np


@dataclass(frozen=True)
class Row:
    """What is stored, in the form that an embedding service and a program have it in."""

    number: int
    memory_id: str
    text: str
    vector: list[float]

    @property
    def id(self) -> str:
        return str(UUID(int=self.number + 1))


@dataclass(frozen=True)
class Question:
    """What is searched for, as a text for those who embed themselves and as a vector for the others."""

    number: int
    vector: list[float]

    @property
    def text(self) -> str:
        return f"q{self.number}"


class Peer(Protocol):
    """A store, by its own documented calls. A search returns the numbers of what it found."""

    def load(self, rows: Sequence[Row]) -> None:
        """Store all of them, and have the vector index at the end."""
        ...

    def store(self, row: Row) -> Any: ...

    def store_many(self, rows: Sequence[Row]) -> Any: ...

    def get(self, row: Row) -> Any: ...

    def search(self, question: Question, memory_id: str | None, limit: int) -> list[Any]: ...

    def numbers(self, hits: list[Any]) -> list[int]:
        """Return the numbers of the rows that were found; not timed."""
        ...


class Rows:
    """The rows, from the files that the benchmark has written."""

    def __init__(self, folder: Path) -> None:
        self._vectors = np.load(folder / "vectors.npy", mmap_mode="r")
        self._questions = np.load(folder / "questions.npy").tolist()
        self._documents = json.loads((folder / "documents.json").read_text("utf-8"))

    def row(self, number: int) -> Row:
        document = self._documents[number % len(self._documents)]
        # New documents have the vectors and texts of old ones.
        vector = self._vectors[number % len(self._vectors)].tolist()
        return Row(number, document["memory_id"], f"{number} {document['content']}", vector)

    def rows(self, first: int, count: int) -> list[Row]:
        return [self.row(number) for number in range(first, first + count)]

    def vector_of(self, text: str) -> list[float]:
        """Be the embedding model: a text begins with the number of its row or, after a q, of its question."""
        name = text.partition(" ")[0]
        return self._questions[int(name[1:])] if name.startswith("q") else self.row(int(name)).vector

    def question(self, number: int) -> Question:
        return Question(number, self._questions[number])


def serve(make: Callable[[str, int, Rows], Peer]) -> None:
    """Make the peer, and do what comes."""
    told = json.loads(sys.stdin.readline())
    rows = Rows(Path(told["folder"]))
    peer = make(told["conninfo"], told["dimensions"], rows)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(_do(peer, rows, json.loads(line))), flush=True)


def _do(peer: Peer, rows: Rows, asked: dict[str, Any]) -> dict[str, Any]:
    do = asked["do"]
    if do == "search":
        question = rows.question(asked["question"])
        started = time.perf_counter()
        hits = peer.search(question, asked["memory_id"], asked["limit"])
        return {"ms": _since(started), "numbers": peer.numbers(hits)}
    chosen = rows.rows(asked["first"], asked.get("count", 1))
    calls = {"load": peer.load, "store_many": peer.store_many}
    one = {"store": peer.store, "get": peer.get}
    started = time.perf_counter()
    answer = calls[do](chosen) if do in calls else one[do](chosen[0])
    return {"ms": _since(started), "found": bool(answer)}


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
