"""How much memory a stream of documents takes, each measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.data import Data
from benchmarks.operations import SCHEMA, drop, without_vector_indexes
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider

LIMIT = 150
_PLAIN, _WITH_VECTORS = MemoryType.WORKFLOW_MEMORY, MemoryType.TOOLBOX


@dataclass(frozen=True)
class Growth:
    """The most memory that a stream took above what the process had before, in MB."""

    name: str
    megabytes: float

    @property
    def reached(self) -> bool:
        return self.megabytes <= LIMIT


def measure(conninfo: str, plain: int = 100_000, with_vectors: int = 20_000) -> list[Growth]:
    """Store and read back streams of documents, without and with vectors."""
    drop(conninfo)
    PostgreSQLProvider(PostgreSQLConfig(dsn=conninfo, schema=SCHEMA)).close()
    # What the server does for the index is not what the client needs memory for.
    without_vector_indexes(conninfo)
    results: list[Growth] = []
    for rows, vectors in ((plain, False), (with_vectors, True)):
        for task in ("store_many", "iterate"):
            name = f"{task} of {rows:,}" + (" with embeddings" if vectors else "")
            asked = json.dumps([conninfo, task, rows, vectors])
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.memory"], input=asked, text=True, check=True, stdout=subprocess.PIPE
            )
            results.append(Growth(name, float(done.stdout)))
    drop(conninfo)
    return results


def _stream(provider: PostgreSQLProvider, task: str, data: Data, vectors: bool) -> None:
    store = _WITH_VECTORS if vectors else _PLAIN
    if task == "store_many":
        provider.store_many(data.documents(embeddings=vectors), store)
    else:
        deque(provider.iterate(store, include_embedding=vectors), maxlen=0)


def _megabytes(field: str) -> float:
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
        started = _megabytes("VmRSS")
        _stream(provider, task, data, vectors)
        print(_megabytes("VmHWM") - started)


if __name__ == "__main__":
    _main()
