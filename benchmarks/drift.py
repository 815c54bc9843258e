"""Recall inside a memory that is unlike everything that was measured before it came.

A store of many subjects is measured (`measure_recall`), which changes nothing; then one memory grows in it that is
about one subject alone. Its vectors are so near to one another that little of them, such as their signs, does not tell
which are nearest. It is asked about its own subject and about others, by the provider that was open all the time and by
one that opens afterwards; the truth is the provider's own exact search.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import mean, median
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.data import Document
from benchmarks.lab import Lab
from benchmarks.report import Part, Record, Table, number, target
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLProvider

TAKES = "15 minutes, of which 10 at 1,536 dimensions"
SCHEMA = "memorizz_benchmark_drift"
LONG = MemoryType.LONG_TERM_MEMORY
RECALL, LIMIT, QUESTIONS = 0.99, 10, 50
MEASURED = 6000
SIZES = {128: (2_000, 15_000, 30_000), 384: (2_000, 15_000, 30_000), 1536: (2_000, 15_000)}
_SUBJECTS, _NOISE = 500, 0.3
_OWN, _MEMORY = 7, "of one subject"


@dataclass(frozen=True)
class Subjects:
    """Unit vectors with noise around the centres of subjects; a memory of all of them, and what one is asked."""

    dimensions: int
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(3))
    centres: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "centres", self.random.standard_normal((_SUBJECTS, self.dimensions)))

    def vectors(self, subjects: np.ndarray) -> np.ndarray:
        noise = self.random.standard_normal((len(subjects), self.dimensions))
        vectors = self.centres[subjects] + _NOISE * noise
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def measured(self) -> Iterator[Document]:
        """Make as many documents of each subject, in 20 memories."""
        subjects = np.arange(MEASURED) % _SUBJECTS
        for subject, vector in zip(subjects, self.vectors(subjects), strict=True):
            yield {"memory_id": f"memory-{subject % 20}", "content": f"subject {subject}", "embedding": vector}

    def of_one_subject(self, count: int) -> Iterator[Document]:
        for vector in self.vectors(np.full(count, _OWN)):
            yield {"memory_id": _MEMORY, "content": f"subject {_OWN}", "embedding": vector}

    def questions(self) -> dict[str, np.ndarray]:
        others = self.random.integers(_OWN + 1, _SUBJECTS, size=QUESTIONS)
        return {"its own": self.vectors(np.full(QUESTIONS, _OWN)), "others": self.vectors(others)}


def measure(lab: Lab) -> Iterator[Part]:
    """Let a memory grow beside what was measured, without a vector index and with one."""
    for dimensions, all_sizes in SIZES.items():
        sizes = [size for size in all_sizes if lab.rows is None or size <= lab.rows]
        if lab.dimensions not in (None, dimensions):
            continue
        results = [result for index in ("none", "hnsw") for result in _grown(lab, dimensions, index, sizes)]
        name = f"{MEASURED:,} rows of {_SUBJECTS} subjects, {dimensions:,} dimensions, then a memory of one subject"
        yield Part(f"drift/{dimensions}", {"results": results}, name)


def _grown(lab: Lab, dimensions: int, index: str, sizes: list[int]) -> Iterator[Record]:
    lab.drop(SCHEMA)
    data = Subjects(dimensions)
    config = lab.config(SCHEMA, embedding_dimensions=dimensions, index=index)
    with PostgreSQLProvider(config) as open_before:
        open_before.store_many(data.measured(), LONG)
        open_before.measure_recall(LONG)
        questions, has = data.questions(), 0
        for size in sizes:
            print(f"  index {index}, a memory of {size:,} rows ...")
            open_before.store_many(data.of_one_subject(size - has), LONG)
            has = size
            with PostgreSQLProvider(config) as opened_after:
                for name, provider in (("open", open_before), ("new", opened_after)):
                    for about, vectors in questions.items():
                        asked = {"index": index, "rows": size, "provider": name, "about": about}
                        yield asked | _asked(provider, vectors)
    lab.drop(SCHEMA)


def _asked(provider: PostgreSQLProvider, vectors: np.ndarray) -> Record:
    recalls: list[float] = []
    routes: Counter[str] = Counter()
    took: list[float] = []
    for vector in vectors:
        query: dict[str, Any] = {"embedding": vector, "memory_id": _MEMORY}
        started = perf_counter()
        hits = provider.retrieve_by_query(query, LONG, LIMIT)
        took.append((perf_counter() - started) * 1000)
        truth = {hit["id"] for hit in provider.retrieve_by_query(query, LONG, LIMIT, exact=True)}
        recalls.append(len(truth & {hit["id"] for hit in hits}) / LIMIT)
        routes[provider.retrieve_by_query(query, LONG, LIMIT, explain=True).explanation["route"]] += 1
    return {"recall": mean(recalls), "worst": min(recalls), "routes": dict(routes), "ms": median(took)}


def tables(record: Record) -> list[Table]:
    body = [
        (
            each["index"],
            f"{each['rows']:,}",
            each["provider"],
            each["about"],
            f"{each['recall']:.3f}",
            f"{each['worst']:.1f}",
            target(each["recall"] >= RECALL),
            ", ".join(f"{route} {count}" for route, count in each["routes"].items()),
            number(each["ms"], "ms"),
        )
        for each in record["results"]
    ]
    found = (f"recall@{LIMIT}", "the worst of all", f"≥ {RECALL}")
    head = ("index", "rows of the memory", "provider", "asked about", *found, "served by", "median")
    return [Table("Recall inside a memory unlike what was measured", head, body)]
