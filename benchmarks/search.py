"""python -m benchmarks.search: how complete and how fast each way of a search is, for every share of matching rows.

The figures behind the constants of _search.py. Searches for documents of the store itself, moved a little, under
filters that leave 1 row to all of them, and inside one memory (a memory is a subject here: the hardest case is the
vector of one subject asked of another). All ways take turns in one run.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean, median
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks import report
from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql import _queries as queries
from memorizz.memory_provider.postgresql import _ranking, _search
from memorizz.memory_provider.postgresql._search import Options, Search, Way
from memorizz.memory_provider.postgresql._steps import Operation, fetch_all
from memorizz.memory_provider.postgresql._stores import Schema

STORE = "long_term_memory"
SHARES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
LIMIT = 10
# Comparing more than this many rows one by one is not what FEW is for.
_FEW_AT_MOST = 5000
HEAD = ("filter", "matching", "served by", "recall", "served ms", "few ms", "index ms", "index serves", "bits ms",
        "bits recall", "exact ms")  # fmt: skip


@dataclass
class Line:
    """What was measured under one kind of filter."""

    name: str
    matching: list[int] = field(default_factory=list[int])
    routes: Counter[str] = field(default_factory=Counter[str])
    recall: list[float] = field(default_factory=list[float])
    bits_recall: list[float] = field(default_factory=list[float])
    index_serves: list[bool] = field(default_factory=list[bool])
    ms: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def cells(self) -> tuple[str, ...]:
        routes = ", ".join(f"{route} {count}" for route, count in self.routes.most_common())
        times = {name: f"{median(each):.1f}" for name, each in self.ms.items()}
        return (
            self.name,
            f"{median(self.matching):,.0f}",
            routes,
            f"{mean(self.recall):.3f}",
            times["served"],
            times.get("few", "-"),
            times["index"],
            f"{mean(self.index_serves):.0%}",
            times["bits"],
            f"{mean(self.bits_recall):.3f}",
            times["exact"],
        )


def documents(rows: int, dimensions: int) -> Iterator[dict[str, Any]]:
    """Make documents: a memory is a subject, vectors of a subject lie around it, the score is even from 0 to 1."""
    subjects = max(20, min(1000, rows // 1000))
    generator = np.random.default_rng(1)
    centres = generator.standard_normal((subjects, dimensions))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    for _ in range(rows):
        subject = int(generator.integers(subjects))
        vector = centres[subject] + generator.standard_normal(dimensions) / np.sqrt(dimensions)
        yield {"memory_id": f"c{subject}", "importance_score": float(generator.random()), "embedding": vector}


def moved(vector: Sequence[float], generator: np.random.Generator) -> np.ndarray:
    """Return a question near a vector."""
    near = np.asarray(vector) + 0.5 * generator.standard_normal(len(vector)) / np.sqrt(len(vector))
    return near / np.linalg.norm(near)


def main() -> None:
    options = _options()
    dsn = {"dsn": options.dsn} if options.dsn else {}
    config = PostgreSQLConfig(
        **dsn, schema=options.schema, embedding_dimensions=options.dimensions, operation_timeout=None
    )
    with PostgreSQLProvider(config) as provider:
        if provider.count(STORE) < options.rows:
            print(f"storing {options.rows:,} documents of {options.dimensions} dimensions ...")
            provider.store_many(documents(options.rows, options.dimensions), STORE)
        lines = [measured(provider, name, options.repeat) for name in ("own subject", "another subject", *SHARES)]
        facts = report.machine(config.conninfo, options.rows)
    for name, fact in facts.items():
        print(f"{name}: {fact}")
    report.show(f"{options.rows:,} rows of {options.dimensions} dimensions", HEAD, [line.cells() for line in lines])


def measured(provider: PostgreSQLProvider, name: str | float, repeat: int) -> Line:
    line = Line(name if isinstance(name, str) else f"{name:.2%} of all")
    generator = np.random.default_rng(2)
    sample = provider.retrieve_by_query(
        {"importance_score": {"$gt": 0.2}}, STORE, limit=repeat * 50, include_embedding=True
    )
    for document in random.Random(3).sample(sample, repeat):
        question = moved(document["embedding"], generator)
        filter: dict[str, Any] = {"importance_score": {"$lt": name}}
        if isinstance(name, str):
            other = random.Random(len(line.recall)).choice(sample)["memory_id"]
            filter = {"memory_id": document["memory_id"] if name == "own subject" else other}
        elif name == 1.0:
            filter = {}
        _measure(provider, line, {"embedding": question, **filter})
    return line


def _measure(provider: PostgreSQLProvider, line: Line, query: dict[str, Any]) -> None:
    filter = {key: value for key, value in query.items() if key != "embedding"}
    line.matching.append(provider.count(STORE, filter))
    # What is read for the first time comes from the disk, for whoever is first.
    provider.run(_one_way, query, Way.EXACT)
    started = perf_counter()
    served = provider.retrieve_by_query(query, STORE, limit=LIMIT, explain=True)
    line.ms.setdefault("served", []).append((perf_counter() - started) * 1000)
    line.routes[served.explanation["route"]] += 1
    found: dict[Way, tuple[list[Any], int]] = {}
    for way in (Way.FEW, Way.INDEX, Way.BITS, Way.EXACT):
        if way is Way.FEW and (not filter or line.matching[-1] > _FEW_AT_MOST):
            continue
        started = perf_counter()
        found[way] = provider.run(_one_way, query, way)
        line.ms.setdefault(way.name.lower(), []).append((perf_counter() - started) * 1000)
    truth = set(found[Way.EXACT][0])
    line.recall.append(len({hit["id"] for hit in served} & truth) / len(truth) if truth else 1.0)
    line.bits_recall.append(len(set(found[Way.BITS][0]) & truth) / len(truth) if truth else 1.0)
    line.index_serves.append(found[Way.INDEX][1] >= LIMIT)


def _one_way(schema: Schema, query: dict[str, Any], way: Way) -> Operation[tuple[list[Any], int]]:
    """Search in one way, whether or not its answer would be accepted."""
    store = schema.store(STORE)
    search: Search
    search, _ = _search.parse(store, query, LIMIT, Options())
    statement = _ranking.statement(search, store, way)
    if way is Way.FEW:
        statement = replace(statement, parameters={**statement.parameters, "most": _FEW_AT_MOST})
    settings = _search.settings(search, way)
    before = [queries.set_locally(settings)] if settings else []
    rows = (yield from fetch_all([*before, statement]))[-1]
    return [hit["id"] for hit in _ranking.hits(store, search, rows, False)], _ranking.seen(rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, default=1536)
    parser.add_argument("--repeat", type=int, default=20, help="questions of each kind (20)")
    parser.add_argument("--schema", default="memorizz_benchmark_search", help="kept, and used again when it is full")
    parser.add_argument("--dsn", help="the server; else the one of POSTGRES_HOST and so on")
    return parser.parse_args()


if __name__ == "__main__":
    main()
