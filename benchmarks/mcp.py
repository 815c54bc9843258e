"""search_memory over stdio, as a host asks it: the time until the answer is there, and the memory of the server.

The server is `memorizz mcp` in the environment of the integration's tests, which has the SDK; the client writes lines
and reads lines, so that no SDK of its own is measured. The embedder looks its vectors up.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np

from benchmarks.data import MEMORIES, Data, Document
from benchmarks.hybrid import words
from benchmarks.lab import Lab
from benchmarks.report import Part, Record, Table, number, target
from memorizz.memory_provider.memory_type import MemoryType

TAKES = "5 minutes"
LONG = MemoryType.LONG_TERM_MEMORY
ROOT = Path(__file__).parent.parent
PYTHON = ROOT / ".venv-integrations" / "mcp" / "bin" / "python"
P50, MOST = 10.0, 120.0
# Each is asked in a store of all rows: a memory of 1 % of them, and the one that has all.
_ASKED = {"1 % of the store": "memory-7", "the whole store": "all"}


def documents(data: Data, rows: int) -> Iterator[Document]:
    """Make facts, with words as rare as those of people, in memories of 1 %."""
    for place, text in enumerate(words(np.random.default_rng(5), rows, 15)):
        memory = f"memory-{place % MEMORIES}"
        yield {"content": text, "memory_id": memory, "kind": "fact", "embedding": data.embeddings[place]}


def measure(lab: Lab) -> Iterator[Part]:
    if not PYTHON.exists():
        raise SystemExit("the SDK is not here: `make integrations ARGS=mcp` installs it")
    rows, dimensions = lab.rows or 100_000, lab.dimensions or 1536
    data = Data(rows, dimensions)
    record: Record = {"ways": {}}
    for way, memory in _ASKED.items():
        schema = f"memorizz_benchmark_mcp_{rows}_{dimensions}_{memory.replace('-', '_')}"
        config = lab.config(schema, embedding_dimensions=dimensions)
        if not lab.holds(schema, LONG, rows):
            lab.drop(schema)
            print(f"storing {rows:,} memories ...")
            with lab.filling(config) as provider:
                whole = memory == "all"
                made = (each | {"memory_id": "all"} if whole else each for each in documents(data, rows))
                provider.store_many(made, LONG)
        with _served(lab, schema, memory, data) as process:
            record["ways"][way] = _asked(process, lab.repeat)
    yield Part(f"mcp/{rows}", record, f"{rows:,} memories of {dimensions:,} dimensions, 5 words in a question")


@contextmanager
def _served(lab: Lab, schema: str, memory: str, data: Data) -> Generator[subprocess.Popen[str]]:
    """Start the server, and greet it as a host of the newest handshake does."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        np.save(path, data.questions)
        options = ["--memory", memory, "--model", "benchmarks.instant:Embedder", "--schema", schema]
        process = subprocess.Popen(
            [PYTHON, "-m", "memorizz", "mcp", *options, "--dsn", lab.conninfo],
            cwd=ROOT,
            env=os.environ | {"MEMORIZZ_BENCHMARK_VECTORS": str(path), "PYTHONPATH": str(ROOT / "src")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        with process:
            client = {"name": "benchmark", "version": "1"}
            _sent(process, "initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=client)
            yield process
            assert process.stdin is not None
            process.stdin.close()


def _asked(process: subprocess.Popen[str], repeat: int) -> dict[str, float]:
    """Ask `repeat` questions after as many for warming up; return times in milliseconds, and megabytes."""
    asked = words(np.random.default_rng(6), repeat, 5)
    took: list[float] = []
    for turn, text in enumerate([*asked, *asked]):
        started = time.perf_counter()
        answer = _sent(process, "tools/call", name="search_memory", arguments={"query": f"{text} {turn}"})
        took.append((time.perf_counter() - started) * 1000)
        assert answer["result"]["structuredContent"]["count"] == 8, answer
    measured = took[repeat:]
    status = Path(f"/proc/{process.pid}/status").read_text("utf-8")
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return {"p50": median(measured), "p95": quantiles(measured, n=20)[-1], "megabytes": resident / 1024}


def _sent(process: subprocess.Popen[str], method: str, **params: Any) -> Any:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}) + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def tables(record: Record) -> list[Table]:
    body = [
        (
            way,
            number(of["p50"], "ms"),
            number(of["p95"], "ms"),
            f"≤ {P50:.0f} ms",
            target(of["p50"] <= P50),
            f"{of['megabytes']:.0f} MB",
            f"≤ {MOST:.0f} MB",
            target(of["megabytes"] <= MOST),
        )
        for way, of in record["ways"].items()
    ]
    head = ("the memory that is searched is", "p50", "p95", "goal", "", "server's memory", "goal", "")
    return [Table("search_memory over stdio", head, body)]
