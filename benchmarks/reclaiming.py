"""What a mass delete leaves behind, and what it takes to have the room and the speed back.

Of a store a share is deleted. Its size, and how well and fast it is searched, are measured before, while the dead rows
are there, while `reclaim` works, and after. The yardstick is SQL by hand: the vector index of what is left, built once.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mean, median
from threading import Event, Thread
from time import perf_counter

import numpy as np

from benchmarks.data import Data
from benchmarks.lab import Lab
from benchmarks.report import Part, Record, Table, number
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLProvider
from memorizz.memory_provider.postgresql.maintenance import Maintenance

TAKES = "6 minutes"
SCHEMA = "memorizz_benchmark_reclaiming"
LONG = MemoryType.LONG_TERM_MEMORY.value
ROWS, DIMENSIONS, LIMIT, QUESTIONS = 100_000, 384, 10, 100
LOTS, SHARES = 10, (0.5, 0.9)


def measure(lab: Lab) -> Iterator[Part]:
    rows, dimensions = lab.rows or ROWS, lab.dimensions or DIMENSIONS
    data = Data(rows, dimensions)
    results = [_deleted(lab, data, share) for share in SHARES]
    yield Part(f"reclaiming/{rows}", {"results": results}, f"{rows:,} documents of {dimensions:,} dimensions")


def _deleted(lab: Lab, data: Data, share: float) -> Record:
    lab.drop(SCHEMA)
    lots = np.random.default_rng(1).integers(LOTS, size=data.rows)
    config = lab.config(SCHEMA, embedding_dimensions=data.dimensions)
    table = f"{SCHEMA}.{LONG}"
    size = f"SELECT pg_total_relation_size('{table}')"
    with PostgreSQLProvider(config) as provider, Maintenance(config) as maintenance:
        documents = (each | {"lot": int(lot)} for each, lot in zip(data.documents(), lots, strict=True))
        provider.store_many(documents, LONG)
        searched = [_searched(provider, data, np.ones(data.rows, bool))]
        sizes = [lab.ask(size)]
        left = lots >= share * LOTS
        started = perf_counter()
        deleted = provider.delete(LONG, {"lot": {"$lt": share * LOTS}})
        seconds = perf_counter() - started
        searched.append(_searched(provider, data, left))
        ended = Event()
        meanwhile: list[Record] = []

        def ask() -> None:
            while not ended.is_set():
                meanwhile.append(_searched(provider, data, left))

        asking = Thread(target=ask)
        asking.start()
        (given_back,) = maintenance.reclaim(LONG)
        ended.set()
        asking.join()
        # The first began while it worked; the last may have ended after it.
        searched += [meanwhile[0], _searched(provider, data, left)]
        sizes.append(lab.ask(size))
    with lab.connect() as connection:
        connection.execute("SET maintenance_work_mem = '2GB'")
        started = perf_counter()
        connection.execute(f"REINDEX INDEX {table}_embedding_idx")
        by_hand = perf_counter() - started
    lab.drop(SCHEMA)
    return {
        "share": share,
        "deleted": deleted,
        "delete": seconds,
        "reclaim": given_back.seconds,
        "by hand": by_hand,
        "bytes": sizes,
        "searched": searched,
    }


def _searched(provider: PostgreSQLProvider, data: Data, left: np.ndarray) -> Record:
    """Return how much of the nearest of what is left is found, and how fast."""
    recalls: list[float] = []
    took: list[float] = []
    for question in data.questions[:QUESTIONS]:
        similar = np.where(left, data.embeddings @ question, -1)
        started = perf_counter()
        hits = provider.retrieve_by_query({"embedding": question}, LONG, LIMIT)
        took.append((perf_counter() - started) * 1000)
        nearest = set(np.argpartition(-similar, LIMIT)[:LIMIT].tolist())
        recalls.append(len(nearest & {hit["number"] for hit in hits}) / LIMIT)
    return {"recall": mean(recalls), "ms": median(took)}


def tables(record: Record) -> list[Table]:
    times = [
        (f"{each['share']:.0%}", f"{each['delete']:.1f} s", f"{each['reclaim']:.1f} s", f"{each['by hand']:.1f} s",
         f"{each['reclaim'] / each['by hand']:.2f}", *(f"{size / 2**20:,.0f} MB" for size in each["bytes"]))
        for each in record["results"]
    ]  # fmt: skip
    searched = [
        (f"{each['share']:.0%}", *(f"{of['recall']:.3f}, {number(of['ms'], 'ms')}" for of in each["searched"]))
        for each in record["results"]
    ]
    head = ("deleted", "delete", "reclaim", "the index of what is left, by hand", "ratio", "before", "after")
    when = ("deleted", "before", "dead rows there", "while reclaim works", "after")
    return [
        Table("A mass delete, and its room given back", head, times),
        Table(f"Recall@{LIMIT}, and the median of a search", when, searched),
    ]
