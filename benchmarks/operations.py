"""What is measured: each operation by the provider and by hand-written psycopg on two tables, in turns."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from benchmarks.data import MEMORIES, Data, document_of, memory_id
from benchmarks.lab import Lab
from benchmarks.raw import AsyncRaw, Raw
from benchmarks.raw_tables import MINIMAL, OWN, RawTable, make_minimal, minimal, own, own_turns
from benchmarks.report import Part, Record, Table, number, target
from benchmarks.timing import Times, in_turns, in_turns_awaited
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider, PostgreSQLProvider

TAKES = "6 minutes"
SCHEMA, SCHEMA_BY_HAND = "memorizz_benchmark", "memorizz_benchmark_minimal"
LONG, SHORT, TURNS = MemoryType.LONG_TERM_MEMORY, MemoryType.SHORT_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY
PROVIDER = "provider"
_LIMIT = 10
# As much is what differs by no more than one in a thousand of the nearest.
_AS_MUCH = 0.001


@dataclass(frozen=True)
class Result:
    """What an operation took, in milliseconds; `by_hand` by the table, the target is of the provider's own."""

    name: str
    provider: float
    by_hand: dict[str, float]
    target: float | None
    repeated: int
    note: str = ""


@dataclass(frozen=True)
class Operation:
    """One operation, done by the provider and by hand; each is told the number of the turn, so that all do the same.

    It is repeated `share` times as often as the command line says.
    """

    name: str
    target: float | None
    share: float
    by_hand: Callable[[_ByHand, int], Any]
    provider: Callable[[int], Any]
    note: Callable[[], str] | None = None


def measure(lab: Lab) -> Iterator[Part]:
    rows = lab.rows or 10_000
    print(f"storing {rows:,} documents and a conversation of {rows:,} turns, twice ...")
    with closing(Bench(lab, rows)) as bench:
        bench.check()
        results: list[Result] = []
        for operation in bench.operations():
            print(f"  {operation.name} ...")
            results.append(bench.measure(operation, lab.repeat))
        print("  async ...")
        results += asyncio.run(bench.awaited(lab.repeat))
    of = f"{lab.dimensions or 1536:,} dimensions, HNSW"
    data = f"{rows:,} documents and a conversation of {rows:,} turns, {of}"
    yield Part("operations", {"results": [asdict(result) for result in results]}, data)


def tables(record: Record) -> list[Table]:
    body = [_line(Result(**each)) for each in record["results"]]
    head = (
        "operation",
        "provider",
        f"by hand, {MINIMAL}",
        "ratio",
        f"by hand, {OWN}",
        "ratio",
        "target",
        "",
        "turns",
        "",
    )
    return [Table("Provider against psycopg by hand, of equal recall", head, body)]


def _line(result: Result) -> tuple[str, ...]:
    ratios = {table: result.provider / took for table, took in result.by_hand.items()}
    reached = None if result.target is None else ratios[OWN] <= result.target
    cells: list[str] = []
    for table in (MINIMAL, OWN):
        known = table in ratios
        cells += [number(result.by_hand[table], "ms") if known else "", f"{ratios[table]:.2f}" if known else ""]
    return (
        result.name,
        number(result.provider, "ms"),
        *cells,
        "" if result.target is None else f"≤ {result.target}",
        target(reached),
        str(result.repeated),
        result.note,
    )


class _ByHand:
    """The tables of one kind, each by hand."""

    def __init__(self, lab: Lab, documents: RawTable, written: RawTable, turns: RawTable) -> None:
        self.documents, self.written, self.turns = (Raw(lab, table) for table in (documents, written, turns))

    def close(self) -> None:
        for raw in (self.documents, self.written, self.turns):
            raw.close()


class Bench:
    """The same data in a schema of the provider's and in minimal tables, and the ways to it."""

    def __init__(self, lab: Lab, rows: int) -> None:
        self.data = Data(rows, lab.dimensions or 1536)
        self.config = lab.config(SCHEMA, embedding_dimensions=self.data.dimensions)
        self._lab = lab
        self.ids = self._fill()
        self.provider = PostgreSQLProvider(self.config)
        self.by_hand = {
            MINIMAL: _ByHand(lab, *(minimal(SCHEMA_BY_HAND, store.value) for store in (LONG, SHORT, TURNS))),
            OWN: _ByHand(lab, own(lab, SCHEMA, LONG.value), own(lab, SCHEMA, SHORT.value), own_turns(lab, SCHEMA)),
        }

    def close(self) -> None:
        for each in (*self.by_hand.values(), self.provider):
            each.close()
        self._lab.drop(SCHEMA)
        self._lab.drop(SCHEMA_BY_HAND)
        gc.unfreeze()

    def _fill(self) -> list[str]:
        self._lab.drop(SCHEMA)
        with self._lab.filling(self.config) as provider:
            ids = provider.store_many(self.data.documents(), LONG)
            provider.store_many(self.data.documents(), SHORT)
            provider.store_many(self.data.turns(), TURNS)
        with PostgreSQLProvider(self.config) as provider:
            for store in (LONG, SHORT, TURNS):
                table = minimal(SCHEMA_BY_HAND, store.value)
                make_minimal(self._lab, table, self.data.dimensions, provider.iterate(store, include_embedding=True))
        # What is there now is not the garbage of what is measured.
        gc.collect()
        gc.freeze()
        return ids

    def measure(self, operation: Operation, repeat: int) -> Result:
        ways: dict[str, Callable[[int], Any]] = {PROVIDER: operation.provider}
        for table, by_hand in self.by_hand.items():
            ways[table] = lambda turn, by_hand=by_hand: operation.by_hand(by_hand, turn)
        count = max(5, round(repeat * operation.share))
        note = operation.note() if operation.note else ""
        return _result(operation.name, in_turns(ways, count), operation.target, count, note)

    # --- the operations -------------------------------------------------------------------------------------------

    def operations(self) -> list[Operation]:
        provider = self.provider
        return [
            Operation(
                "store one",
                1.2,
                1,
                lambda by_hand, turn: by_hand.written.store(self._new(turn)),
                lambda turn: provider.store(self._new(turn), SHORT),
            ),
            Operation(
                "store_many of 1,000",
                1.2,
                1 / 40,
                lambda by_hand, turn: by_hand.written.store_many([self._new(turn + each) for each in range(1000)]),
                lambda turn: provider.store_many([self._new(turn + each) for each in range(1000)], SHORT),
            ),
            Operation(
                "retrieve_by_id",
                1.6,
                10,
                lambda by_hand, turn: by_hand.documents.retrieve_by_id(self._id(turn)),
                lambda turn: provider.retrieve_by_id(self._id(turn), LONG),
            ),
            Operation(
                f"top {_LIMIT}, no filter",
                1.3,
                2,
                lambda by_hand, turn: by_hand.documents.nearest(self._question(turn), _LIMIT),
                self._nearest,
                self._recall,
            ),
            Operation(
                f"top {_LIMIT} inside a memory of 1 %",
                1.3,
                2,
                lambda by_hand, turn: by_hand.documents.nearest_in_memory(
                    self._question(turn), _LIMIT, memory_id(turn % MEMORIES)
                ),
                self._nearest_in_memory,
                self._recall_in_memory,
            ),
            Operation(
                "list_all",
                1.4,
                1 / 8,
                lambda by_hand, _: by_hand.documents.list_all(),
                lambda _: provider.list_all(LONG),
            ),
            Operation(
                "count of all",
                1.2,
                1,
                lambda by_hand, _: by_hand.documents.count(),
                lambda _: provider.count(LONG),
            ),
            Operation(
                "count of a memory of 1 %",
                1.2,
                2,
                lambda by_hand, turn: by_hand.documents.count_memory(memory_id(turn % MEMORIES)),
                lambda turn: provider.count(LONG, {"memory_id": memory_id(turn % MEMORIES)}),
            ),
            Operation(
                "history",
                1.4,
                1 / 8,
                lambda by_hand, _: by_hand.turns.history("conversation"),
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

    def _nearest(self, turn: int) -> Any:
        return self.provider.retrieve_by_query({"embedding": self._question(turn)}, LONG, _LIMIT)

    def _nearest_in_memory(self, turn: int) -> Any:
        return self.provider.retrieve_by_query(self._asked(turn), LONG, _LIMIT)

    def _asked(self, turn: int) -> dict[str, Any]:
        return {"embedding": self._question(turn), "memory_id": memory_id(turn % MEMORIES)}

    # --- the same answer ------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Let the index be searched for equal recall; fail where the ways do not give the same documents."""
        recall = self.data.recall(self._nearest)
        for by_hand in self.by_hand.values():
            raw = by_hand.documents
            raw.fit(
                lambda raw=raw: self.data.recall(lambda turn: raw.nearest(self._question(turn), _LIMIT)),
                recall - _AS_MUCH,
            )
        for operation in self.operations():
            if "store" not in operation.name:
                given = operation.provider(3)
                assert operation.by_hand(self.by_hand[OWN], 3) == given, operation.name
                assert _keys(operation.by_hand(self.by_hand[MINIMAL], 3)) == _keys(given), operation.name

    def _recall(self) -> str:
        found = {PROVIDER: self.data.recall(self._nearest)}
        for table, by_hand in self.by_hand.items():
            raw = by_hand.documents
            found[f"{table}, ef_search {raw.ef_search}"] = self.data.recall(
                lambda turn, raw=raw: raw.nearest(self._question(turn), _LIMIT)
            )
        return f"recall@{_LIMIT}: " + "; ".join(f"{name} {recall:.3f}" for name, recall in found.items())

    def _recall_in_memory(self) -> str:
        recall = self.data.recall(self._nearest_in_memory, in_memory=True)
        return f"recall@{_LIMIT} {recall:.3f}; by hand every row is compared"

    # --- the async API --------------------------------------------------------------------------------------------

    async def awaited(self, repeat: int) -> list[Result]:
        raws = {table: AsyncRaw(self._lab, by_hand.documents.table) for table, by_hand in self.by_hand.items()}
        for raw in raws.values():
            await raw.open()
        async with AsyncPostgreSQLProvider(self.config) as provider:
            by_id = {PROVIDER: lambda turn: provider.retrieve_by_id(self._id(turn), LONG)}
            in_memory = {PROVIDER: lambda turn: provider.retrieve_by_query(self._asked(turn), LONG, _LIMIT)}
            for table, raw in raws.items():
                by_id[table] = lambda turn, raw=raw: raw.retrieve_by_id(self._id(turn))
                in_memory[table] = lambda turn, raw=raw: raw.nearest_in_memory(
                    self._question(turn), _LIMIT, memory_id(turn % MEMORIES)
                )
            results = [
                _result("async retrieve_by_id", await in_turns_awaited(by_id, repeat * 5), None, repeat * 5),
                _result(
                    f"async top {_LIMIT} inside a memory of 1 %",
                    await in_turns_awaited(in_memory, repeat * 2),
                    None,
                    repeat * 2,
                ),
            ]
        for raw in raws.values():
            await raw.close()
        return results


def _result(name: str, took: Times, target: float | None, count: int, note: str = "") -> Result:
    by_hand = {table: median(times) for table, times in took.items() if table != PROVIDER}
    return Result(name, median(took[PROVIDER]), by_hand, target, count, note)


def _keys(answer: Any) -> list[str] | int:
    """Return the ids of what an operation returned, or the number that it counted."""
    if isinstance(answer, int):
        return answer
    return [each["id"] for each in (answer if isinstance(answer, list) else [answer])]
