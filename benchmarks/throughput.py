"""How many searches a second eight threads and sixty-four tasks do, against the same by hand with a pool as large."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from statistics import median
from typing import Any

from benchmarks.clustered import LONG, Stored
from benchmarks.data import MEMORIES, Data, memory_id
from benchmarks.lab import Lab
from benchmarks.raw import AsyncRaw, Raw
from benchmarks.raw_tables import MINIMAL, OWN
from benchmarks.report import Part, Record, Table, number, target
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider, PostgreSQLProvider

TAKES = "4 minutes"
PROVIDER = "provider"
THREADS, TASKS = 8, 64
LIMIT = 10
IN_MEMORY, EVERYWHERE = "top 10 in a memory of 1 %", "top 10, no filter"
# The share of what is done by hand on the minimal table.
GOALS = {IN_MEMORY: 0.9, EVERYWHERE: 0.75}
AS_MUCH = 0.001
_SECONDS = 1.5

Counts = dict[str, float]


def measure(lab: Lab) -> Iterator[Part]:
    data = Data(lab.rows or 10_000, lab.dimensions or 384)
    rounds = max(3, lab.repeat // 30)
    with closing(Stored(lab, "throughput", data)) as stored:
        raws = [Raw(lab, table) for table in stored.tables]
        with PostgreSQLProvider(stored.config) as provider:
            recalls = _fitted(data, provider, raws)
            results = _by_threads(data, provider, raws, rounds)
        ef_search = {raw.table.kind: raw.ef_search for raw in raws}
        for raw in raws:
            raw.close()
        async_raws = [AsyncRaw(lab, raw.table, raw.ef_search) for raw in raws]
        results += asyncio.run(_by_tasks(data, stored, async_raws, rounds))
    record = {"results": results, "recall": recalls, "ef_search": ef_search, "rounds": rounds}
    name = f"{data.rows:,} rows of {data.dimensions:,} dimensions, clustered"
    yield Part(f"throughput/{data.rows}x{data.dimensions}", record, name)


def _searches(data: Data, each: Any) -> dict[str, Callable[[int], Any]]:
    """Return both searches, of the provider or by hand, on either API."""

    def question(turn: int) -> Any:
        return data.questions[turn % len(data.questions)]

    def memory(turn: int) -> str:
        return memory_id(turn % MEMORIES)

    if isinstance(each, Raw | AsyncRaw):
        return {
            IN_MEMORY: lambda turn: each.nearest_in_memory(question(turn), LIMIT, memory(turn)),
            EVERYWHERE: lambda turn: each.nearest(question(turn), LIMIT),
        }
    return {
        IN_MEMORY: lambda turn: each.retrieve_by_query(
            {"embedding": question(turn), "memory_id": memory(turn)}, LONG, LIMIT
        ),
        EVERYWHERE: lambda turn: each.retrieve_by_query({"embedding": question(turn)}, LONG, LIMIT),
    }


def _fitted(data: Data, provider: PostgreSQLProvider, raws: list[Raw]) -> dict[str, Counts]:
    """Let the index be searched by hand for as much as the provider finds; return what all of them find."""
    searches = _searches(data, provider)
    found = data.recall(searches[EVERYWHERE])
    recalls: dict[str, Counts] = {
        IN_MEMORY: {PROVIDER: data.recall(searches[IN_MEMORY], in_memory=True)},
        EVERYWHERE: {PROVIDER: found},
    }
    for raw in raws:
        by_hand = _searches(data, raw)
        recalls[IN_MEMORY][raw.table.kind] = data.recall(by_hand[IN_MEMORY], in_memory=True)
        recalls[EVERYWHERE][raw.table.kind] = raw.fit(partial(data.recall, by_hand[EVERYWHERE]), found - AS_MUCH)
    return recalls


# --- threads ------------------------------------------------------------------------------------------------------


def _by_threads(data: Data, provider: PostgreSQLProvider, raws: list[Raw], rounds: int) -> list[Record]:
    ways = {PROVIDER: _searches(data, provider)} | {raw.table.kind: _searches(data, raw) for raw in raws}
    results: list[Record] = []
    for search in GOALS:
        print(f"  {THREADS} threads, {search} ...")
        counts: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(-1, rounds):
            for name in _order(ways, turn):
                count = _in_threads(ways[name][search])
                if turn >= 0:
                    counts[name].append(count)
        results.append(_result(f"{THREADS} threads", search, counts))
    return results


def _in_threads(way: Callable[[int], Any]) -> float:
    """Return how often a second the threads can do something."""
    counts = [0] * THREADS
    stop = time.perf_counter() + _SECONDS

    def work(thread: int) -> None:
        while time.perf_counter() < stop:
            way(thread * 61 + counts[thread])
            counts[thread] += 1

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - started)


# --- tasks --------------------------------------------------------------------------------------------------------


async def _by_tasks(data: Data, stored: Stored, raws: list[AsyncRaw], rounds: int) -> list[Record]:
    results: list[Record] = []
    async with AsyncPostgreSQLProvider(stored.config) as provider:
        for raw in raws:
            await raw.open()
        ways = {PROVIDER: _searches(data, provider)} | {raw.table.kind: _searches(data, raw) for raw in raws}
        for search in GOALS:
            print(f"  {TASKS} tasks, {search} ...")
            counts: dict[str, list[float]] = {name: [] for name in ways}
            for turn in range(-1, rounds):
                for name in _order(ways, turn):
                    count = await _in_tasks(ways[name][search])
                    if turn >= 0:
                        counts[name].append(count)
            results.append(_result(f"{TASKS} tasks", search, counts))
        for raw in raws:
            await raw.close()
    return results


async def _in_tasks(way: Callable[[int], Awaitable[Any]]) -> float:
    """Return how often a second the tasks can do something."""
    counts = [0] * TASKS
    stop = time.perf_counter() + _SECONDS

    async def work(task: int) -> None:
        while time.perf_counter() < stop:
            await way(task * 61 + counts[task])
            counts[task] += 1

    started = time.perf_counter()
    await asyncio.gather(*(work(task) for task in range(TASKS)))
    return sum(counts) / (time.perf_counter() - started)


def _order(ways: Mapping[str, Any], turn: int) -> list[str]:
    return list(ways)[:: 1 if turn % 2 else -1]


def _result(crowd: str, search: str, counts: Mapping[str, list[float]]) -> Record:
    return {"crowd": crowd, "search": search, "per_second": {name: median(each) for name, each in counts.items()}}


def tables(record: Record) -> list[Table]:
    body: list[tuple[str, ...]] = []
    for each in record["results"]:
        rates, recall, goal = each["per_second"], record["recall"][each["search"]], GOALS[each["search"]]
        share = rates[PROVIDER] / rates[MINIMAL]
        body.append(
            (
                f"{each['crowd']}, {each['search']}",
                number(rates[PROVIDER], "/s"),
                number(rates[MINIMAL], "/s"),
                f"{share:.2f}",
                f"≥ {goal}",
                target(share >= goal),
                number(rates[OWN], "/s"),
                f"{rates[PROVIDER] / rates[OWN]:.2f}",
                ", ".join(f"{name} {found:.3f}" for name, found in recall.items()),
            )
        )
    head = (*("", PROVIDER, f"by hand, {MINIMAL}", "share", "goal", "", f"by hand, {OWN}", "share", f"recall@{LIMIT}"),)
    return [Table("Searches a second", head, body)]
