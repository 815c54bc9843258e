"""Memories from one schema into another, against COPY by hand of the same rows and the build of the index behind it.

By hand, the rows go out of the one table and into the other in PostgreSQL's own binary form, unread, and nothing is
compared at the end. `moving.copy` runs in a process of its own, whose memory is told.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from psycopg import sql

from benchmarks import memory
from benchmarks.data import Data
from benchmarks.lab import Lab
from benchmarks.report import Part, Record, Table, target
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.moving import Progress, copy

TAKES = "30 minutes"
SOURCE, BY_HAND, COPIED = (f"memorizz_benchmark_{name}" for name in ("source", "by_hand", "copied"))
STORE = MemoryType.LONG_TERM_MEMORY
SHARE = 0.8
MEGABYTES = 300


def measure(lab: Lab) -> Iterator[Part]:
    """Move the same documents by hand and by copy, in turns."""
    rows, turns = lab.rows or 100_000, 2
    if not lab.holds(SOURCE, STORE, rows):
        lab.drop(SOURCE)
        with PostgreSQLProvider(lab.config(SOURCE, index="none")) as provider:
            provider.store_many(Data(rows).documents(), STORE)
    record: Record = {"rows": rows, "by hand": [], "copy": []}
    for turn in range(turns):
        for way, move in (("by hand", _by_hand), ("copy", _copied))[:: 1 if turn % 2 else -1]:
            print(f"  {way} ...")
            record[way].append(move(lab))
            print(f"  {record[way][-1]}")
    lab.drop(SOURCE)
    yield Part("moving", record, f"{rows:,} documents with vectors of 1,536")


def _by_hand(lab: Lab) -> dict[str, float]:
    """Copy the rows without reading them, then build the index."""
    lab.drop(BY_HAND)
    PostgreSQLProvider(lab.config(BY_HAND)).close()
    indexes = lab.without_vector_indexes(BY_HAND)
    started = time.perf_counter()
    with lab.connect() as out, lab.connect() as into:
        names = sql.SQL(", ").join(map(sql.Identifier, _columns(out)))
        send = sql.SQL("COPY (SELECT {} FROM {} ORDER BY created_at, seq) TO STDOUT (FORMAT BINARY)")
        take = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)")
        there, here = sql.Identifier(SOURCE, STORE.value), sql.Identifier(BY_HAND, STORE.value)
        with (
            out.cursor().copy(send.format(names, there)) as reading,
            into.cursor().copy(take.format(here, names)) as writing,
        ):
            for block in reading:
                writing.write(block)
        copied = time.perf_counter()
        for index in indexes:
            if STORE.value in index:
                into.execute(index)
    built = time.perf_counter()
    lab.drop(BY_HAND)
    return {"copying": copied - started, "indexing": built - copied}


def _columns(connection: psycopg.Connection[Any]) -> list[str]:
    found = connection.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s "
        "AND is_generated = 'NEVER' AND column_name <> 'seq'",
        (SOURCE, STORE.value),
    )
    return [name for (name,) in found]


def _copied(lab: Lab) -> dict[str, float]:
    """Move them by moving.copy, in a process of its own."""
    lab.drop(COPIED)
    PostgreSQLProvider(lab.config(COPIED)).close()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.moving"], input=lab.conninfo, text=True, check=True, stdout=subprocess.PIPE
    )
    lab.drop(COPIED)
    return json.loads(done.stdout)


def tables(record: Record) -> list[Table]:
    times = {
        way: {
            phase: median(each.get(phase, 0.0) for each in record[way])
            for phase in ("copying", "indexing", "verifying")
        }
        for way in ("by hand", "copy")
    }
    whole = {way: sum(phases.values()) for way, phases in times.items()}
    body = [
        (way, *(f"{seconds:.0f} s" if seconds else "" for seconds in phases.values()), f"{whole[way]:.0f} s")
        for way, phases in times.items()
    ]
    loaded = {way: phases["copying"] + phases["indexing"] for way, phases in times.items()}
    share, most = loaded["by hand"] / loaded["copy"], max(each["megabytes"] for each in record["copy"])
    return [
        Table(
            "How long each part took", ("way", "documents", "vector index", "comparing both sides", "together"), body
        ),
        Table(
            "Rate and memory of moving.copy",
            ("", "", "target", ""),
            [
                ("rate, index included", f"{share:.0%} of by hand", f"≥ {SHARE:.0%}", target(share >= SHARE)),
                ("the same, both sides compared", f"{whole['by hand'] / whole['copy']:.0%} of by hand", "", ""),
                ("memory", f"{most:.0f} MB", f"≤ {MEGABYTES} MB", target(most <= MEGABYTES)),
            ],
        ),
    ]


def _main() -> None:
    conninfo = sys.stdin.read()
    ends: dict[str, float] = {}

    def watch(progress: Progress) -> None:
        ends[progress.phase] = time.perf_counter()

    options = {"dsn": conninfo, "embedding_dimensions": None}
    with (
        PostgreSQLProvider(PostgreSQLConfig(schema=SOURCE, **options)) as source,
        PostgreSQLProvider(PostgreSQLConfig(schema=COPIED, **options)) as into,
        tempfile.TemporaryDirectory() as folder,
    ):
        started = time.perf_counter()
        report = copy(source, into, [STORE], journal=Path(folder) / "journal", progress=watch)
        if not report.ok:
            raise SystemExit(f"it went wrong: {report}")
    # The build tells of itself a few times a second, so that its end is when comparing begins: after its first batch.
    parts = {"copying": ends["copying"] - started, "indexing": ends["indexing"] - ends["copying"]}
    # ru_maxrss would be that of the process that started this one, if that is larger.
    megabytes = memory.megabytes("VmHWM")
    print(json.dumps({**parts, "verifying": ends["verifying"] - ends["indexing"], "megabytes": megabytes}))


if __name__ == "__main__":
    _main()
