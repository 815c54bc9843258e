"""What stands in the process of a LangGraph store, this project's or LangGraph's own: both are used by the same calls.

A line of JSON comes in for each thing to do, a line of JSON goes out with how long that took.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from langgraph.store.base import BaseStore, PutOp

THREADS = 8


def langgraph(conninfo: str, index: Any) -> BaseStore:
    """Open it as PostgresStore.from_conn_string does, with a pool for its threads."""
    from langgraph.store.postgres import PostgresStore
    from psycopg.rows import dict_row
    from psycopg_pool import ConnectionPool

    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    store = PostgresStore(ConnectionPool(conninfo, min_size=1, max_size=10, kwargs=options, open=True), index=index)
    store.setup()
    return store


def memorizz(conninfo: str, index: Any) -> BaseStore:
    from memorizz.integrations.langgraph import MemorizzStore

    return MemorizzStore(conninfo, index=index)


class Work:
    """What is asked of a store; memory n is in namespace n % groups of `memories`."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.rows, self.groups, dimensions = told["rows"], told["groups"], told["dimensions"]
        self.batch = told["batch"]
        self._vectors = np.random.default_rng(7).standard_normal((self.rows, dimensions), dtype=np.float32)
        index = {"dims": dimensions, "embed": self._embed, "fields": ["text"]}
        self.store = {"langgraph": langgraph, "memorizz": memorizz}[told["store"]](told["conninfo"], index)

    def _embed(self, texts: Any) -> list[list[float]]:
        """Be the embedding model: a text begins with the number of its vector."""
        return [self._vectors[int(text.partition(" ")[0]) % self.rows].tolist() for text in texts]

    def _op(self, number: int, indexed: bool) -> PutOp:
        value = {"text": f"{number} is a memory of some length, as an agent would keep it", "number": number}
        return PutOp(self._namespace(number), str(number), value, index=None if indexed else False)

    def _namespace(self, number: int) -> tuple[str, ...]:
        return "memories", str(number % self.groups)

    def load(self, turn: int) -> None:
        """Put a batch of all items, that of the turn."""
        first = turn * self.batch
        self.store.batch([self._op(number, True) for number in range(first, min(first + self.batch, self.rows))])

    def spread(self, turn: int) -> None:
        """Put one item in each of 10,000 namespaces."""
        ops = [PutOp(("many", str(number)), "item", {"n": number}, index=False) for number in range(10_000)]
        for first in range(0, len(ops), self.batch):
            self.store.batch(ops[first : first + self.batch])

    def put(self, turn: int) -> None:
        self.store.batch([self._op(self.rows + turn, False)])

    def put_with_vector(self, turn: int) -> None:
        self.store.batch([self._op(2 * self.rows + turn, True)])

    def put_100(self, turn: int) -> None:
        first = 3 * self.rows + 100 * turn
        self.store.batch([self._op(number, False) for number in range(first, first + 100)])

    def get(self, turn: int) -> None:
        number = turn % self.rows * 7919 % self.rows
        assert self.store.get(self._namespace(number), str(number)) is not None

    def search(self, turn: int) -> int:
        """Return how many of the ten are found, of which each namespace has more."""
        return len(self.store.search(self._namespace(turn), query=f"{turn * 31} is asked", limit=10))

    def list_namespaces(self, turn: int) -> None:
        assert len(self.store.list_namespaces(prefix=("many",), limit=10_000)) == 10_000

    def threads(self, turn: int) -> None:
        """Get eight times, put once and search once, in each of eight threads."""

        def each(thread: int) -> None:
            place = random.Random(turn * THREADS + thread).randrange(self.rows)
            for step in range(8):
                self.get(place + step)
            self.store.batch([self._op(9 * self.rows + turn * THREADS + thread, False)])
            self.search(place)

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(each, range(THREADS)))


def main() -> None:
    work = Work(json.loads(sys.stdin.readline()))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        do: Callable[[int], int | None] = getattr(work, asked["do"])
        started = time.perf_counter()
        found = do(asked["turn"])
        print(json.dumps({"ms": (time.perf_counter() - started) * 1000, "found": found}), flush=True)


main()
