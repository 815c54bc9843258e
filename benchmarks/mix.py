"""A day of many memories: searches in 2,000 and in 10,000 of them, another one each time, among stores and reads.

Memories are as large as those of people: a few have very many rows, most have few. What a provider remembers of the
searches before helps where the same memory is asked again soon; here that is seldom. By hand, on both tables, each
memory is compared whole by one prepared statement, and a search of all is as complete as the provider's.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from statistics import mean, median
from typing import Any

import numpy as np

from benchmarks.clustered import LONG, Stored
from benchmarks.data import Data, Document, document_of, memory_id
from benchmarks.lab import Lab
from benchmarks.raw import Raw
from benchmarks.raw_tables import MINIMAL, OWN
from benchmarks.report import Part, Record, Table, number
from benchmarks.timing import Way, in_turns
from memorizz.memory_provider.postgresql import PostgreSQLProvider

TAKES = "15 minutes, of which 12 build the indexes"
PROVIDER = "provider"
LIMIT = 10
MEMORIES = (2_000, 10_000)
IMPORTANT = 0.5
AS_MUCH = 0.001
IN_MEMORY, SOME, EVERYWHERE, STORE, READ = (
    "top 10 in a memory",
    f"top 10 in a memory, importance_score ≥ {IMPORTANT}",
    "top 10, no filter",
    "store one",
    "retrieve_by_id",
)
# How often each is done in a hundred turns.
KINDS = {IN_MEMORY: 60, SOME: 10, EVERYWHERE: 10, STORE: 10, READ: 10}


@dataclass(frozen=True)
class Crowd(Data):
    """Documents in so many memories, the largest of which has about a hundredth of them."""

    crowd: int = 2_000

    @cached_property
    def memories(self) -> np.ndarray:
        """The number of each row's memory; each memory has a row at least."""
        weights = 1 / (np.arange(self.crowd) + 10)
        drawn = self._random("memories").choice(self.crowd, size=self.rows - self.crowd, p=weights / weights.sum())
        return self._random("order").permutation(np.concatenate([np.arange(self.crowd), drawn]))

    @cached_property
    def embeddings(self) -> np.ndarray:
        """The vectors of the documents: a memory has four subjects, and is asked about all there are."""
        which = self._random("which").integers(4, size=self.rows)
        return self.vectors("documents", (self.memories * 7 + which) % 200)

    @cached_property
    def rows_of(self) -> list[np.ndarray]:
        order = np.argsort(self.memories, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.memories, minlength=self.crowd))[:-1])

    def documents(self, *, embeddings: bool = True) -> Iterator[Document]:
        for row in range(self.rows):
            document = document_of(row) | {"memory_id": memory_id(int(self.memories[row]))}
            yield document | ({"embedding": self.embeddings[row]} if embeddings else {})


@dataclass(frozen=True)
class Turn:
    kind: str
    memory: int
    question: np.ndarray
    number: int


def _turns(data: Crowd, count: int) -> list[Turn]:
    chance = random.Random(11)
    kinds = chance.choices(list(KINDS), weights=list(KINDS.values()), k=count)
    questions = data.questions
    return [
        Turn(kind, chance.randrange(data.crowd), questions[chance.randrange(len(questions))], number)
        for number, kind in enumerate(kinds)
    ]


def measure(lab: Lab) -> Iterator[Part]:
    rows, dimensions = lab.rows or 100_000, lab.dimensions or 384
    for crowd in MEMORIES:
        data = Crowd(max(rows, crowd), dimensions, crowd=crowd)
        with closing(Stored(lab, f"mix_{crowd}", data)) as stored, PostgreSQLProvider(stored.config) as provider:
            print(f"  {crowd:,} memories ...")
            raws = [Raw(lab, table) for table in stored.tables]
            record = _measured(data, provider, raws, lab.repeat * 10)
            for raw in raws:
                raw.close()
        name = f"{data.rows:,} rows of {dimensions:,} dimensions in {crowd:,} memories"
        yield Part(f"mix/{crowd}x{data.rows}x{dimensions}", {"memories": crowd, **record}, name)


def _measured(data: Crowd, provider: PostgreSQLProvider, raws: list[Raw], count: int) -> Record:
    turns = _turns(data, count)
    everywhere = data.recall(lambda turn: provider.retrieve_by_query({"embedding": _question(data, turn)}, LONG, LIMIT))
    found = {PROVIDER: everywhere}
    for raw in raws:
        recall = partial(data.recall, lambda turn, raw=raw: raw.nearest(_question(data, turn), LIMIT))
        found[raw.table.kind] = raw.fit(recall, everywhere - AS_MUCH)
    ids = [document["id"] for document in provider.iterate(LONG)]
    ways = {PROVIDER: _provided(data, provider, ids)} | {raw.table.kind: _by_hand(data, raw, ids) for raw in raws}
    recalls: dict[str, list[float]] = {name: [] for name in ways}

    def note(name: str, turn: int, answer: Any) -> None:
        if turns[turn].kind == IN_MEMORY:
            truth = _nearest(data, turns[turn])
            recalls[name].append(len({hit["number"] for hit in answer} & truth) / len(truth))

    by_turn: dict[str, Way] = {
        name: lambda turn, way=way: way[turns[turn].kind](turns[turn]) for name, way in ways.items()
    }
    took = in_turns(by_turn, count, note=note)
    return {
        "turns": count,
        "kinds": {kind: _times(took, [turn.number for turn in turns if turn.kind == kind]) for kind in KINDS},
        "all": _times(took, range(count)),
        "recall": {IN_MEMORY: {name: mean(each) for name, each in recalls.items()}, EVERYWHERE: found},
    }


def _question(data: Data, turn: int) -> np.ndarray:
    return data.questions[turn % len(data.questions)]


def _nearest(data: Crowd, turn: Turn) -> set[int]:
    numbers = data.rows_of[turn.memory]
    return set(numbers[np.argsort(-(data.embeddings[numbers] @ turn.question))[:LIMIT]].tolist())


def _new(data: Crowd, turn: Turn) -> Document:
    """Make a document of a memory that nobody asks, so that what is found stays the same."""
    return document_of(data.rows + turn.number) | {"memory_id": "new", "embedding": -turn.question}


def _provided(data: Crowd, provider: PostgreSQLProvider, ids: list[str]) -> Mapping[str, Callable[[Turn], Any]]:
    def search(turn: Turn, **more: Any) -> Any:
        query = {"embedding": turn.question, "memory_id": memory_id(turn.memory), **more}
        return provider.retrieve_by_query(query, LONG, LIMIT)

    return {
        IN_MEMORY: search,
        SOME: partial(search, importance_score={"$gte": IMPORTANT}),
        EVERYWHERE: lambda turn: provider.retrieve_by_query({"embedding": turn.question}, LONG, LIMIT),
        STORE: lambda turn: provider.store(_new(data, turn), LONG),
        READ: lambda turn: provider.retrieve_by_id(ids[turn.memory * 7919 % len(ids)], LONG),
    }


def _by_hand(data: Crowd, raw: Raw, ids: list[str]) -> Mapping[str, Callable[[Turn], Any]]:
    return {
        IN_MEMORY: lambda turn: raw.nearest_in_memory(turn.question, LIMIT, memory_id(turn.memory)),
        SOME: lambda turn: raw.nearest_important(turn.question, LIMIT, memory_id(turn.memory), IMPORTANT),
        EVERYWHERE: lambda turn: raw.nearest(turn.question, LIMIT),
        STORE: lambda turn: raw.store(_new(data, turn)),
        READ: lambda turn: raw.retrieve_by_id(ids[turn.memory * 7919 % len(ids)]),
    }


def _times(took: Mapping[str, list[float]], turns: Any) -> Record:
    return {
        name: {"median": median(times[turn] for turn in turns), "mean": mean(times[turn] for turn in turns)}
        for name, times in took.items()
    }


def tables(record: Record) -> list[Table]:
    rows = {**record["kinds"], f"all {record['turns']:,} turns": record["all"]}
    body: list[tuple[str, ...]] = []
    for kind, times in rows.items():
        cells: list[str] = []
        for table in (MINIMAL, OWN):
            ratios = [times[PROVIDER][which] / times[table][which] for which in ("median", "mean")]
            cells += [number(times[table]["median"], "ms"), *(f"{ratio:.2f}" for ratio in ratios)]
        found = record["recall"].get(kind, {})
        recall = ", ".join(f"{name} {each:.3f}" for name, each in found.items())
        body.append((kind, number(times[PROVIDER]["median"], "ms"), *cells, recall))
    head = (
        *("", PROVIDER, f"by hand, {MINIMAL}", "ratio of medians", "of means"),
        *(f"by hand, {OWN}", "ratio of medians", "of means", f"recall@{LIMIT}"),
    )
    return [Table(f"{record['memories']:,} memories, another one each time", head, body)]
