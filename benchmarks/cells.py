"""Search under every share of matching rows: how complete, how fast, and how fast the best SQL by hand would be.

A cell is one kind of filter. The provider searches as it does for anybody; by hand every way is tried that is known,
on a minimal table and on the provider's own, and the fastest of those that find as much as the provider does is what a
cell is compared with. The provider takes turns with one of them at a time: a way by hand that comes after another of
its kind finds the same connection, code and pages warm. The truth are all vectors compared in numpy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Any

from benchmarks.clustered import LONG, Stored
from benchmarks.data import Cell, Document, Shares
from benchmarks.lab import Lab
from benchmarks.raw_search import RawSearch, RawWay, ways
from benchmarks.raw_tables import MINIMAL, OWN
from benchmarks.report import Part, Record, Table, target
from benchmarks.timing import Way, in_turns
from memorizz.memory_provider.postgresql import PostgreSQLProvider

TAKES = "40 minutes, of which 8 build the indexes"
LIMIT = 10
ENOUGH = 0.99
# As much is what differs by no more than one in a thousand of the nearest: three hits of 300 questions.
AS_MUCH = 0.001
RATIO = 1.25
OURS = "provider"
_FINALISTS = 3
# What is compared takes its turns so often: the ratio of one pair was 1.30 and 1.21 of 200 turns each, in one run.
_ROUNDS = 3
# All ways take so many turns, and no more than twenty where that takes longer.
_SURVEY, _SECONDS = 60, 20.0


@dataclass
class Found:
    """What one way found, and how long it took."""

    recalls: list[float] = field(default_factory=list[float])
    short: int = 0
    ms: float = 0.0

    @property
    def recall(self) -> float:
        return mean(self.recalls)

    def add(self, hits: Sequence[Document], truth: set[int]) -> None:
        self.recalls.append(len({hit["number"] for hit in hits} & truth) / len(truth))
        self.short += len(hits) < len(truth)


@dataclass(frozen=True)
class Asked:
    """A cell, with the question of each turn and its true answer."""

    cell: Cell
    data: Shares
    truths: list[set[int]] = field(default_factory=list[set[int]])

    def question(self, turn: int) -> tuple[Any, str | None]:
        memories = self.cell.memories
        memory = memories[turn % len(memories)] if memories is not None else None
        return self.cell.questions[turn % len(self.cell.questions)], memory

    def find_truths(self, turns: int) -> None:
        """Compare all vectors, before anything is timed: numpy's threads would go on beside what comes next."""
        for turn in range(len(self.truths), turns):
            self.truths.append(self.data.nearest_in(*self.question(turn), LIMIT))


def measure(lab: Lab) -> Iterator[Part]:
    """Measure the cells of one data set for each length of the vectors."""
    rows = lab.rows or 100_000
    for dimensions in [lab.dimensions] if lab.dimensions else [384, 1536]:
        data = Shares(rows, dimensions)
        with closing(Stored(lab, "cells", data)) as stored:
            raws = {table.kind: RawSearch(lab, table, dimensions) for table in stored.tables}
            with PostgreSQLProvider(stored.config) as provider:
                cells = [_cell(Asked(cell, data), provider, raws, lab.repeat) for cell in data.cells]
            for raw in raws.values():
                raw.close()
        record = {"rows": rows, "dimensions": dimensions, "build_seconds": stored.build_seconds}
        name = f"{rows:,} rows of {dimensions:,} dimensions, clustered"
        yield Part(f"cells/{rows}x{dimensions}", record | {"cells": cells}, name)


def _cell(asked: Asked, provider: PostgreSQLProvider, raws: Mapping[str, RawSearch], repeat: int) -> Record:
    """Try every way in turns, then let the best on each table take turns with the provider for longer."""
    print(f"  {asked.cell.name} ...")

    def ours(turn: int, **options: Any) -> Any:
        vector, memory = asked.question(turn)
        filter = {} if memory is None else {"memory_id": memory}
        return provider.retrieve_by_query({"embedding": vector, **filter}, LONG, LIMIT, **options)

    record: Record = {
        "name": asked.cell.name,
        "share": asked.cell.share,
        "routes": dict(Counter(ours(turn, explain=True).explanation["route"] for turn in range(50))),
        "tries": dict(Counter(len(ours(turn, explain=True).explanation["tried"]) for turn in range(50))),
        OURS: _summary(provided := _measured(asked, {OURS: ours}, repeat)[OURS]),
        "turns": len(provided.recalls),
        "best": {},
        "tried": {},
    }
    for kind, raw in raws.items():
        filtered = asked.cell.memories is not None
        by_hand = {way.name: _by_hand(asked, way, raw) for way in ways(raw.table, filtered)}
        tried = _measured(asked, {OURS: ours, **by_hand}, _SURVEY)
        record["surveyed"] = _summary(tried.pop(OURS))
        record["best"][kind] = _best(asked, {OURS: ours, **by_hand}, tried, provided.recall - AS_MUCH, repeat)
        record["tried"][kind] = [{"name": name, **_summary(each)} for name, each in tried.items()]
    return record


def _best(asked: Asked, ways: Mapping[str, Way], tried: Mapping[str, Found], recall: float, repeat: int) -> Record:
    """Let the fastest ways by hand that find so much take turns for longer, and the best of them with the provider."""
    good = sorted((name for name in tried if tried[name].recall >= recall), key=lambda name: tried[name].ms)
    complete: list[str] = []
    found: dict[str, Found] = {}
    # More questions may tell that a way finds less than it seemed; the exact ways are good in any case.
    while not complete:
        finalists, good = good[:_FINALISTS], good[_FINALISTS:]
        found = _measured(asked, {name: ways[name] for name in finalists}, repeat)
        complete = [name for name in finalists if found[name].recall >= recall]
    best = min(complete, key=lambda name: found[name].ms)
    found = _measured(asked, {name: ways[name] for name in (OURS, best)}, repeat, rounds=_ROUNDS)
    return {"name": best, **_summary(found[best]), "provider_ms": found[OURS].ms}


def _by_hand(asked: Asked, way: RawWay, raw: RawSearch) -> Way:
    return lambda turn: raw.find(way, *asked.question(turn), LIMIT)


def _measured(asked: Asked, ways: Mapping[str, Way], turns: int, rounds: int = 1) -> dict[str, Found]:
    asked.find_truths(turns)
    found = {name: Found() for name in ways}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        took = in_turns(
            ways,
            turns,
            warm=2,
            seconds=_SECONDS,
            note=lambda name, turn, hits: found[name].add(hits, asked.truths[turn]),
        )
        for name in ways:
            times[name] += took[name]
    for name, each in found.items():
        each.ms = median(times[name])
    return found


def _summary(found: Found) -> Record:
    return {"recall": found.recall, "short": found.short, "ms": found.ms}


# --- what is told -------------------------------------------------------------------------------------------------

_HEAD = ("filter leaves", "recall@10", "short lists", "served by", "round trips", f"best by hand, {MINIMAL}", "",
         "provider", "ratio", f"best by hand, {OWN}", "", "provider", f"ratio, target {RATIO}", "")  # fmt: skip


def tables(record: Record) -> list[Table]:
    """Return what a part is told by: the cells, and every way by hand in each of them."""
    body = [_line(cell) for cell in record["cells"]]
    title = f"Provider against the best SQL by hand of the same recall, within {AS_MUCH}"
    kinds = [kind for kind in (MINIMAL, OWN) if kind in record["cells"][0]["tried"]]
    return [Table(title, _HEAD, body), *(_tried(record, kind) for kind in kinds)]


def _line(cell: Record) -> tuple[str, ...]:
    ours = cell[OURS]
    ratios = {kind: best["provider_ms"] / best["ms"] for kind, best in cell["best"].items()}
    by_hand: list[str] = []
    for kind in (MINIMAL, OWN):
        best = cell["best"].get(kind)
        by_hand += (
            (f"{best['ms']:.2f} ms", best["name"], f"{best['provider_ms']:.2f} ms", f"{ratios[kind]:.2f}")
            if best
            else ("", "", "", "")
        )
    # JSON has made texts of the numbers.
    trips = [int(tries) for tries, count in cell["tries"].items() for _ in range(count)]
    return (
        cell["name"],
        f"{ours['recall']:.3f}",
        str(ours["short"]),
        ", ".join(f"{route} {count}" for route, count in Counter(cell["routes"]).most_common()),
        f"{mean(trips):.1f}",
        *by_hand,
        target(ratios[OWN] <= RATIO and ours["recall"] >= ENOUGH and not ours["short"]),
    )


def _tried(record: Record, kind: str) -> Table:
    names = list(dict.fromkeys(way["name"] for cell in record["cells"] for way in cell["tried"][kind]))
    body: list[tuple[str, ...]] = []
    for name in names:
        line = [name]
        for cell in record["cells"]:
            way = next((way for way in cell["tried"][kind] if way["name"] == name), None)
            line.append("" if way is None else f"{way['recall']:.2f}, {way['ms']:.1f}")
        body.append(tuple(line))
    head = ("by hand: recall@10, ms", *(cell["name"] for cell in record["cells"]))
    return Table(f"What was tried by hand on the {kind}", head, body)
