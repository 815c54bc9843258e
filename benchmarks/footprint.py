"""What a provider keeps in memory after a thousand different searches, and what is left of it once it is closed.

Each search asks among 5,000 other ids. It is measured in a process of its own, which gives back to the machine what it
has no use for before it is asked how much it has.
"""

from __future__ import annotations

import ctypes
import gc
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID

from benchmarks.data import Data
from benchmarks.lab import Lab
from benchmarks.memory import megabytes
from benchmarks.report import Part, Record, Table, target
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider

TAKES = "3 minutes"
SCHEMA = "memorizz_benchmark_footprint"
LONG = MemoryType.LONG_TERM_MEMORY
DIMENSIONS, ROWS, SEARCHES, IDS = 64, 100, 1000, 5000
MOST = 5.0
_WARM = 50


def measure(lab: Lab) -> Iterator[Part]:
    lab.drop(SCHEMA)
    with PostgreSQLProvider(lab.config(SCHEMA, embedding_dimensions=DIMENSIONS)) as provider:
        provider.store_many(Data(ROWS, DIMENSIONS).documents(), LONG)
    command = [sys.executable, "-m", "benchmarks.footprint"]
    done = subprocess.run(command, input=lab.conninfo, text=True, check=True, stdout=subprocess.PIPE)
    lab.drop(SCHEMA)
    yield Part("footprint", {"megabytes": json.loads(done.stdout)}, f"{SEARCHES:,} searches among {IDS:,} ids each")


def tables(record: Record) -> list[Table]:
    body = [
        (when, f"{more:+.1f} MB", f"≤ {MOST:.0f} MB", target(more <= MOST))
        for when, more in record["megabytes"].items()
    ]
    return [Table("What is kept in memory", ("", "above the start", "goal", ""), body)]


def _main() -> None:
    config = PostgreSQLConfig(dsn=sys.stdin.read(), schema=SCHEMA, embedding_dimensions=DIMENSIONS)
    # Whatever is loaded once is loaded by this one.
    _after(config, _WARM)
    start = _megabytes()
    kept = _after(config, SEARCHES)
    json.dump({"after the searches": kept - start, "after close()": _megabytes() - start}, sys.stdout)


def _after(config: PostgreSQLConfig, times: int) -> float:
    """Search with a provider that is opened for it and gone after it; return what there was before it went."""
    chance = random.Random(times)
    with PostgreSQLProvider(config) as provider:
        for _ in range(times):
            ids = [str(UUID(int=chance.getrandbits(128))) for _ in range(IDS)]
            query: dict[str, Any] = {"embedding": [chance.random() for _ in range(DIMENSIONS)], "id": {"$in": ids}}
            provider.retrieve_by_query(query, LONG, 10)
        del ids, query
        return _megabytes()


def _megabytes() -> float:
    gc.collect()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
    return megabytes("VmRSS")


if __name__ == "__main__":
    _main()
