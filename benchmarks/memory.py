"""How much memory a stream of documents takes, each measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.data import Data
from benchmarks.lab import Lab
from benchmarks.report import Part, Record, Table, target
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider

TAKES = "2 minutes"
SCHEMA = "memorizz_benchmark_memory"
LIMIT = 150
_PLAIN, _WITH_VECTORS = MemoryType.WORKFLOW_MEMORY, MemoryType.TOOLBOX


def measure(lab: Lab) -> Iterator[Part]:
    """Store and read back streams of documents, without and with vectors."""
    lab.drop(SCHEMA)
    PostgreSQLProvider(lab.config(SCHEMA)).close()
    # What the server does for the index is not what the client needs memory for.
    lab.without_vector_indexes(SCHEMA)
    plain = lab.rows or 100_000
    most: dict[str, float] = {}
    for rows, vectors in ((plain, False), (plain // 5, True)):
        for task in ("store_many", "iterate"):
            name = f"{task} of {rows:,}" + (" with embeddings" if vectors else "")
            print(f"  {name} ...")
            asked = json.dumps([lab.conninfo, task, rows, vectors])
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.memory"], input=asked, text=True, check=True, stdout=subprocess.PIPE
            )
            most[name] = float(done.stdout)
    lab.drop(SCHEMA)
    yield Part("memory", {"megabytes": most}, f"{plain:,} documents, {plain // 5:,} with vectors of 1,536")


def tables(record: Record) -> list[Table]:
    body = [
        (name, f"{each:.0f} MB", f"≤ {LIMIT} MB", target(each <= LIMIT)) for name, each in record["megabytes"].items()
    ]
    return [Table("The most memory that a stream took", ("stream", "above the start", "target", ""), body)]


def _stream(provider: PostgreSQLProvider, task: str, data: Data, vectors: bool) -> None:
    store = _WITH_VECTORS if vectors else _PLAIN
    if task == "store_many":
        provider.store_many(data.documents(embeddings=vectors), store)
    else:
        deque(provider.iterate(store, include_embedding=vectors), maxlen=0)


def megabytes(field: str) -> float:
    """Read how much memory this process has (VmRSS), or has had at most (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise LookupError(field)


def _main() -> None:
    conninfo, task, rows, vectors = json.load(sys.stdin)
    data: Any = Data(rows)
    if vectors and task == "store_many":
        # The vectors are the caller's, and here before the start.
        data.embeddings  # noqa: B018
    with PostgreSQLProvider(PostgreSQLConfig(dsn=conninfo, schema=SCHEMA)) as provider:
        provider.count(_PLAIN)
        # Making the data took more than is left of it: from here on the peak counts anew.
        Path("/proc/self/clear_refs").write_text("5")
        started = megabytes("VmRSS")
        _stream(provider, task, data, vectors)
        print(megabytes("VmHWM") - started)


if __name__ == "__main__":
    _main()
