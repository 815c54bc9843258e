"""What is measured: each operation by hand-written psycopg and by the provider, in turns."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from benchmarks.data import MEMORIES, Data, document_of, memory_id
from benchmarks.lab import Lab
from benchmarks.raw import AsyncRaw, Raw
from benchmarks.report import Part, Record, Table, number, target
from benchmarks.timing import in_turns, in_turns_awaited
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider, PostgreSQLProvider

TAKES = "4 minutes"
SCHEMA = "memorizz_benchmark"
LONG, SHORT = MemoryType.LONG_TERM_MEMORY, MemoryType.SHORT_TERM_MEMORY
_THREADS = 8
_LIMIT = 10
# What is set once for a session is one statement less for each search, but a pooler hands the session to others.
_OF_SESSION = "raw with settings of the session, ef_search 40"


@dataclass(frozen=True)
class Result:
    """What an operation took, in milliseconds, or how many a second there were; `ratio` is provider to raw."""

    name: str
    raw: float
    provider: float
    target: float | None
    repeated: int
    unit: str = "ms"
    note: str = ""

    @property
    def ratio(self) -> float:
        return self.provider / self.raw

    @property
    def reached(self) -> bool | None:
        if self.target is None:
            return None
        return self.ratio <= self.target if self.unit == "ms" else self.ratio >= self.target


@dataclass(frozen=True)
class Operation:
    """One operation, done both ways; each is told the number of the turn, so that both do the same work.

    It is repeated `share` times as often as the command line says.
    """

    name: str
    target: float | None
    share: float
    raw: Callable[[int], Any]
    provider: Callable[[int], Any]
    note: Callable[[], str] = lambda: ""

    def measure(self, repeat: int) -> list[Result]:
        count = max(5, round(repeat * self.share))
        took = in_turns({"raw": self.raw, "provider": self.provider}, count)
        return [Result(self.name, median(took["raw"]), median(took["provider"]), self.target, count, note=self.note())]


def measure(lab: Lab) -> Iterator[Part]:
    rows = lab.rows or 10_000
    print(f"storing {rows:,} documents twice, and a conversation of {rows:,} turns ...")
    with closing(Bench(lab, rows)) as bench:
        bench.check()
        results: list[Result] = []
        for name, measured in bench.measurements().items():
            print(f"  {name} ...")
            results += measured(lab.repeat)
    data = f"{rows:,} documents and a conversation of {rows:,} turns, 1,536 dimensions, HNSW"
    yield Part("operations", {"results": [asdict(result) for result in results]}, data)


def tables(record: Record) -> list[Table]:
    body = [_line(Result(**each)) for each in record["results"]]
    return [Table("Provider / raw", ("operation", "raw", "provider", "ratio", "target", "", "turns", ""), body)]


def _line(result: Result) -> tuple[str, ...]:
    return (
        result.name,
        number(result.raw, result.unit),
        number(result.provider, result.unit),
        f"{result.ratio:.2f}",
        "" if result.target is None else f"{'≤' if result.unit == 'ms' else '≥'} {result.target}",
        target(result.reached),
        str(result.repeated),
        result.note,
    )


class Bench:
    """A schema full of data and the two ways to it."""

    def __init__(self, lab: Lab, rows: int) -> None:
        self.data = Data(rows)
        self.config = lab.config(SCHEMA)
        self._lab = lab
        lab.drop(SCHEMA)
        self.ids = self._fill()
        self.provider = PostgreSQLProvider(self.config)
        self.raw = Raw(lab.conninfo, SCHEMA, lab.vector_schema)
        self.async_raw = AsyncRaw(lab.conninfo, SCHEMA, lab.vector_schema)

    def close(self) -> None:
        self.raw.close()
        self.provider.close()
        self._lab.drop(SCHEMA)
        gc.unfreeze()

    def _fill(self) -> list[str]:
        with self._lab.filling(self.config) as provider:
            ids = provider.store_many(self.data.documents(), LONG)
            provider.store_many(self.data.documents(), SHORT)
            provider.store_many(self.data.turns(), MemoryType.CONVERSATION_MEMORY)
        # What is there now is not the garbage of what is measured.
        gc.collect()
        gc.freeze()
        return ids

    # --- the operations -------------------------------------------------------------------------------------------

    def operations(self) -> list[Operation]:
        raw, provider = self.raw, self.provider
        return [
            Operation(
                "store one",
                1.2,
                1,
                lambda turn: raw.store(self._new(turn)),
                lambda turn: provider.store(self._new(turn), SHORT),
            ),
            Operation(
                "store_many of 1,000",
                1.2,
                1 / 40,
                lambda turn: raw.store_many([self._new(turn + each) for each in range(1000)]),
                lambda turn: provider.store_many([self._new(turn + each) for each in range(1000)], SHORT),
            ),
            Operation(
                "retrieve_by_id",
                1.6,
                10,
                lambda turn: raw.retrieve_by_id(self._id(turn)),
                lambda turn: provider.retrieve_by_id(self._id(turn), LONG),
            ),
            Operation(
                f"top {_LIMIT}, no filter",
                1.3,
                2,
                lambda turn: raw.nearest_behind_a_pooler(self._question(turn), _LIMIT),
                lambda turn: provider.retrieve_by_query({"embedding": self._question(turn)}, LONG, _LIMIT),
                self._recall,
            ),
            Operation(
                f"top {_LIMIT}, no filter, {_OF_SESSION}",
                None,
                2,
                lambda turn: raw.nearest(self._question(turn), _LIMIT),
                lambda turn: provider.retrieve_by_query({"embedding": self._question(turn)}, LONG, _LIMIT),
            ),
            Operation(
                f"top {_LIMIT} inside a memory of 1 %",
                1.3,
                2,
                lambda turn: raw.nearest_in_memory(self._question(turn), _LIMIT, memory_id(turn % MEMORIES)),
                lambda turn: provider.retrieve_by_query(self._asked_of_memory(turn), LONG, _LIMIT),
                self._recall_in_memory,
            ),
            Operation("list_all", 1.4, 1 / 8, lambda _: raw.list_all(), lambda _: provider.list_all(LONG)),
            Operation(
                "history",
                1.4,
                1 / 8,
                lambda _: raw.history("conversation"),
                lambda _: provider.retrieve_conversation_history_ordered_by_timestamp("conversation"),
            ),
        ]

    def _new(self, turn: int) -> dict[str, Any]:
        return document_of(turn) | {"embedding": self.data.embeddings[turn % self.data.rows]}

    def _id(self, turn: int) -> str:
        # A step that meets every document before it meets one again.
        return self.ids[turn * 7919 % len(self.ids)]

    def _question(self, turn: int) -> Any:
        return self.data.questions[turn % len(self.data.questions)]

    def _asked_of_memory(self, turn: int) -> dict[str, Any]:
        return {"embedding": self._question(turn), "memory_id": memory_id(turn % MEMORIES)}

    # --- the same answer ------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Fail where the two ways do not give the same documents, for then they cannot be compared."""
        for operation in self.operations():
            if "store" not in operation.name:
                assert operation.raw(3) == operation.provider(3), operation.name
        plan = self.raw.explain_nearest(self._question(0), _LIMIT)
        # Of a few thousand vectors, all are compared.
        assert "embedding_idx" in plan or self.data.rows < 10_000, plan

    def _recall(self) -> str:
        by_raw = self._recalled(lambda turn: self.raw.nearest_behind_a_pooler(self._question(turn), _LIMIT))
        by_provider = self._recalled(
            lambda turn: self.provider.retrieve_by_query({"embedding": self._question(turn)}, LONG, _LIMIT)
        )
        return f"recall@{_LIMIT} {by_provider:.3f}, of raw {by_raw:.3f}"

    def _recall_in_memory(self) -> str:
        recall = self._recalled(
            lambda turn: self.provider.retrieve_by_query(self._asked_of_memory(turn), LONG, _LIMIT), in_memory=True
        )
        return f"recall@{_LIMIT} {recall:.3f}"

    def _recalled(self, search: Callable[[int], Any], *, in_memory: bool = False) -> float:
        """Return which part of the nearest documents a search finds, against all vectors compared in numpy."""
        shares: list[float] = []
        for turn in range(200):
            nearest = self.data.nearest(self._question(turn), turn % MEMORIES if in_memory else None, _LIMIT)
            shares.append(len({hit["number"] for hit in search(turn)} & nearest) / len(nearest))
        return sum(shares) / len(shares)

    # --- threads and the async face -------------------------------------------------------------------------------

    def measurements(self) -> dict[str, Callable[[int], list[Result]]]:
        """Return everything that can be measured, by its name; each is told how often to repeat."""
        by_name = {operation.name: operation.measure for operation in self.operations()}
        return by_name | {f"{_THREADS} threads, top {_LIMIT}": self._threads, "async": self._async_face}

    def _threads(self, repeat: int) -> list[Result]:
        """Count the searches of eight threads in a second, by rounds in turns."""
        rounds = max(3, repeat // 30)
        searches = [each for each in self.operations() if each.name.startswith(f"top {_LIMIT}, no filter")]
        ways = [searches[0].provider, *(search.raw for search in searches)]
        counts: list[list[float]] = [[] for _ in ways]
        for turn in range(-1, rounds):
            for place in range(len(ways)) if turn % 2 else reversed(range(len(ways))):
                throughput = _throughput(ways[place])
                if turn >= 0:
                    counts[place].append(throughput)
        provider, raw, of_session = map(median, counts)
        name = f"{_THREADS} threads, top {_LIMIT}"
        return [
            Result(name, raw, provider, 0.75, rounds, unit="/s"),
            Result(f"{name}, {_OF_SESSION}", of_session, provider, None, rounds, unit="/s"),
        ]

    def _async_face(self, repeat: int) -> list[Result]:
        return asyncio.run(self._awaited(repeat))

    async def _awaited(self, repeat: int) -> list[Result]:
        raw = self.async_raw
        await raw.open()
        async with AsyncPostgreSQLProvider(self.config) as provider:
            by_id = await _measure_async(
                "async retrieve_by_id",
                repeat * 5,
                lambda turn: raw.retrieve_by_id(self._id(turn)),
                lambda turn: provider.retrieve_by_id(self._id(turn), LONG),
            )
            search = await _measure_async(
                f"async top {_LIMIT}, no filter",
                repeat * 2,
                lambda turn: raw.nearest(self._question(turn), _LIMIT),
                lambda turn: provider.retrieve_by_query({"embedding": self._question(turn)}, LONG, _LIMIT),
            )
        await raw.close()
        return [by_id, search]


def _throughput(way: Callable[[int], Any], seconds: float = 1.5) -> float:
    """Return how often a second eight threads can do something."""
    counts = [0] * _THREADS
    stop = time.perf_counter() + seconds

    def work(thread: int) -> None:
        while time.perf_counter() < stop:
            way(thread * 61 + counts[thread])
            counts[thread] += 1

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(_THREADS)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - started)


async def _measure_async(name: str, count: int, raw: Callable[[int], Any], provider: Callable[[int], Any]) -> Result:
    took = await in_turns_awaited({"raw": raw, "provider": provider}, count)
    return Result(name, median(took["raw"]), median(took["provider"]), None, count)
