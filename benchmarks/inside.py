"""Search inside a memory of 10, 100 and 1,000 rows, against one prepared statement by hand.

The statement compares every row of the memory, so it finds all there is to find; the provider is to find as much.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from statistics import median
from typing import Any

from benchmarks.clustered import LONG, Stored
from benchmarks.data import Cell, Shares, memory_number
from benchmarks.lab import Lab
from benchmarks.raw import Raw
from benchmarks.raw_tables import MINIMAL, OWN
from benchmarks.report import Part, Record, Table, number, target
from benchmarks.timing import Way, in_turns
from memorizz.memory_provider.postgresql import PostgreSQLProvider

TAKES = "8 minutes, of which 6 build the indexes; no more than 2 after cells with --keep"
PROVIDER = "provider"
LIMIT = 10
# The ratio to the minimal table, by the share of the rows: memories of 10, 100 and 1,000 of 100,000.
GOALS = {"0.01 %": 1.3, "0.1 %": 1.25, "1 %": 1.0}
AS_MUCH = 0.001


def measure(lab: Lab) -> Iterator[Part]:
    rows, dimensions = lab.rows or 100_000, lab.dimensions or 384
    data = Shares(rows, dimensions)
    cells = [cell for cell in data.cells if cell.name in GOALS and cell.memories]
    with closing(Stored(lab, "cells", data)) as stored, PostgreSQLProvider(stored.config) as provider:
        raws = [Raw(lab, table) for table in stored.tables]
        results = [_measured(cell, data, provider, raws, lab.repeat * 2) for cell in cells]
        for raw in raws:
            raw.close()
    name = f"{rows:,} rows of {dimensions:,} dimensions, clustered"
    yield Part(f"inside/{rows}x{dimensions}", {"rows": rows, "results": results}, name)


def _measured(cell: Cell, data: Shares, provider: PostgreSQLProvider, raws: list[Raw], turns: int) -> Record:
    print(f"  {cell.name} ...")
    memories = cell.memories or []

    def asked(turn: int) -> tuple[Any, str]:
        return cell.questions[turn % len(cell.questions)], memories[turn % len(memories)]

    def provided(turn: int) -> Any:
        vector, memory = asked(turn)
        return provider.retrieve_by_query({"embedding": vector, "memory_id": memory}, LONG, LIMIT)

    def by_hand(raw: Raw, turn: int) -> Any:
        vector, memory = asked(turn)
        return raw.nearest_in_memory(vector, LIMIT, memory)

    truths = [data.nearest_in(*asked(turn), LIMIT) for turn in range(turns)]
    ways: dict[str, Way] = {PROVIDER: provided} | {raw.table.kind: partial(by_hand, raw) for raw in raws}
    recalls: dict[str, list[float]] = {name: [] for name in ways}

    def note(name: str, turn: int, hits: Any) -> None:
        recalls[name].append(len({hit["number"] for hit in hits} & truths[turn]) / len(truths[turn]))

    took = in_turns(ways, turns, note=note)
    return {
        "share": cell.name,
        "rows": round(median(int((data.memories == memory_number(each)).sum()) for each in memories)),
        "turns": turns,
        "ms": {name: median(times) for name, times in took.items()},
        "recall": {name: sum(each) / len(each) for name, each in recalls.items()},
    }


def tables(record: Record) -> list[Table]:
    body: list[tuple[str, ...]] = []
    for each in record["results"]:
        ms, recall = each["ms"], each["recall"]
        ratio, goal = ms[PROVIDER] / ms[MINIMAL], GOALS[each["share"]]
        equal = recall[PROVIDER] >= recall[MINIMAL] - AS_MUCH
        body.append(
            (
                f"{each['rows']:,} rows",
                f"{recall[PROVIDER]:.3f}",
                f"{recall[MINIMAL]:.3f}",
                number(ms[PROVIDER], "ms"),
                number(ms[MINIMAL], "ms"),
                f"{ratio:.2f}",
                f"≤ {goal}",
                target(ratio <= goal and equal),
                number(ms[OWN], "ms"),
                f"{ms[PROVIDER] / ms[OWN]:.2f}",
                str(each["turns"]),
            )
        )
    head = (
        *("memory", f"recall@{LIMIT}", "by hand", PROVIDER, f"by hand, {MINIMAL}", "ratio", "goal", ""),
        *(f"by hand, {OWN}", "ratio", "turns"),
    )
    return [Table("Top 10 inside a memory, against one prepared statement by hand", head, body)]
