"""What is measured: each operation by the provider and by hand-written psycopg on two tables, in turns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from typing import Any

from benchmarks.bench import LIMIT, LONG, PROVIDER, SHORT, Bench, Operation
from benchmarks.data import MEMORIES, memory_id
from benchmarks.lab import Lab
from benchmarks.raw import AsyncRaw
from benchmarks.raw_tables import MINIMAL, OWN
from benchmarks.reading import READING
from benchmarks.report import Part, Record, Table, number, target
from benchmarks.timing import Times, in_turns, in_turns_awaited
from benchmarks.writing import WRITING
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider

TAKES = "12 minutes"
TASKS = 64
# What has no row, and why.
NOT_COMPARED = {
    **dict.fromkeys(("tenant", "memory", "acting", "after"), "gives a view, which asks nothing"),
    **dict.fromkeys(("check", "embedded", "stores", "policies"), "asks no server that does the work"),
    **dict.fromkeys(("location", "identity", "embedding_dimensions", "embedding_model", "has_embedder"), "a fact"),
    **dict.fromkeys(
        ("create_store", "drop_store", "keep_history", "drop_history", "set_policy", "note_embedding_model", "close"),
        "once in the life of a store, or of a provider",
    ),
    **dict.fromkeys(("health", "position"), "is its statement"),
    **dict.fromkeys(("embed_missing", "measure_recall"), "takes what its model or its exact searches take"),
    **dict.fromkeys(("apply_policies", "consolidate"), "tidies a whole store or memory, which nobody waits for"),
    "loading": "by scale and by moving",
    "without_twins": "takes two keys out of a dict",
}


@dataclass(frozen=True)
class Result:
    """What an operation took, in milliseconds; `by_hand` by the table, the target is of the minimal one."""

    name: str
    provider: float
    by_hand: dict[str, float]
    target: float | None
    repeated: int
    note: str = ""


def measure(lab: Lab) -> Iterator[Part]:
    rows = lab.rows or 10_000
    print(f"storing {rows:,} documents and a conversation of {rows:,} turns, twice ...")
    with closing(Bench(lab, rows)) as bench:
        bench.check([each for each in READING + WRITING if each.alike])
        results: list[Result] = []
        for operation in READING + WRITING:
            print(f"  {operation.name} ...")
            results.append(_measured(bench, operation, lab.repeat))
        print("  async ...")
        results += asyncio.run(_awaited(lab, bench))
    of = f"{lab.dimensions or 1536:,} dimensions, HNSW"
    data = f"{rows:,} documents and a conversation of {rows:,} turns, {of}"
    yield Part("operations", {"results": [asdict(result) for result in results]}, data)


def tables(record: Record) -> list[Table]:
    body = [_line(Result(**each)) for each in record["results"]]
    head = (
        *("operation", "provider", f"by hand, {MINIMAL}", "ratio", "goal", ""),
        *(f"by hand, {OWN}", "ratio", "turns", ""),
    )
    return [Table("Provider against psycopg by hand, of equal recall", head, body)]


def _line(result: Result) -> tuple[str, ...]:
    ratios = {table: result.provider / took for table, took in result.by_hand.items()}
    figures = {table: (number(took, "ms"), f"{ratios[table]:.2f}") for table, took in result.by_hand.items()}
    return (
        result.name,
        number(result.provider, "ms"),
        *figures[MINIMAL],
        "" if result.target is None else f"≤ {result.target}",
        target(None if result.target is None else round(ratios[MINIMAL], 2) <= result.target),
        *figures.get(OWN, ("", "")),
        str(result.repeated),
        result.note,
    )


def _measured(bench: Bench, operation: Operation, repeat: int) -> Result:
    ways: dict[str, Callable[[int], Any]] = {PROVIDER: partial(operation.provider, bench)}
    for table, by_hand in bench.by_hand.items():
        if table == MINIMAL or operation.own:
            ways[table] = partial(operation.by_hand, bench, by_hand)
    count = max(5, round(repeat * operation.share))
    took = in_turns(ways, count, before=operation.before and partial(operation.before, bench))
    return _result(operation.name, took, operation.goal, count, operation.note(bench) if operation.note else "")


# --- the async API ----------------------------------------------------------------------------------------------------


async def _awaited(lab: Lab, bench: Bench) -> list[Result]:
    raws = {
        table: {store: AsyncRaw(lab, by_hand[store].table) for store in (LONG, SHORT)}
        for table, by_hand in bench.by_hand.items()
    }
    opened = [raw for of_table in raws.values() for raw in of_table.values()]
    for raw in opened:
        await raw.open()
    results: list[Result] = []
    async with AsyncPostgreSQLProvider(bench.config) as provider:
        by_id: dict[str, Any] = {PROVIDER: lambda turn: provider.retrieve_by_id(bench.id(LONG, turn), LONG)}
        top: dict[str, Any] = {PROVIDER: lambda turn: provider.retrieve_by_query(bench.asked(turn), LONG, LIMIT)}
        store: dict[str, Any] = {PROVIDER: lambda turn: provider.store(bench.new(turn), SHORT)}
        for table, of_table in raws.items():
            by_id[table] = lambda turn, raw=of_table[LONG]: raw.retrieve_by_id(bench.id(LONG, turn))
            top[table] = lambda turn, raw=of_table[LONG]: raw.nearest_in_memory(
                bench.question(turn), LIMIT, memory_id(turn % MEMORIES)
            )
            store[table] = lambda turn, raw=of_table[SHORT]: raw.store(bench.new(turn))
        searched = f"top {LIMIT} in a memory of 1 %"
        for name, ways, share in (("retrieve_by_id", by_id, 5), (f"retrieve_by_query: {searched}", top, 2)):
            count = max(5, lab.repeat * share)
            results.append(_result(f"async {name}", await in_turns_awaited(ways, count), None, count))
        for name, ways, goal in (("get", by_id, 1.05), (searched, top, 1.1), ("store", store, 1.1)):
            together = {way: partial(_together, call) for way, call in ways.items()}
            count = max(5, lab.repeat // 4)
            took = await in_turns_awaited(together, count)
            results.append(_result(f"{TASKS} tasks at once: {name}", took, goal, count))
    for raw in opened:
        await raw.close()
    return results


async def _together(call: Callable[[int], Awaitable[Any]], turn: int) -> None:
    await asyncio.gather(*(call(turn * TASKS + task) for task in range(TASKS)))


def _result(name: str, took: Times, goal: float | None, count: int, note: str = "") -> Result:
    by_hand = {table: median(times) for table, times in took.items() if table != PROVIDER}
    return Result(name, median(took[PROVIDER]), by_hand, goal, count, note)
