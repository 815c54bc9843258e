"""The pages of `memorizz console`: how long each takes a browser's request, and how large it is.

The first page is that of a console that has just begun: another one for each time it is asked for. Every other page is
asked for in turns, over connections of one client, as a browser would.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from benchmarks.data import Data
from benchmarks.lab import Lab
from benchmarks.report import Part, Record, Table, number, target
from memorizz.memory_provider.memory_type import MemoryType

TAKES = "4 minutes"
ROOT = Path(__file__).parent.parent
LONG, TURNS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY
ROWS, DIMENSIONS, _TURNS = 100_000, 64, 1000
# In milliseconds, and in bytes.
FIRST, LARGEST = 200, 300_000
_PAGES = {
    "overview": "/",
    "a list": f"/memories?store={LONG}",
    "a search in a store": f"/memories?store={LONG}&q=tea+garden&by=words",
    "a search in all stores": "/memories?q=tea+garden&by=words",
    "a document": "",  # whose id is known once they are stored
    "conversations": "/conversations",
    "a conversation": "/conversation?memory=conversation&conversation=part-1",
    "the map": f"/map?store={LONG}",
    "its points": f"/points?store={LONG}",
    "health": "/health",
}


def measure(lab: Lab) -> Iterator[Part]:
    rows, dimensions = lab.rows or ROWS, lab.dimensions or DIMENSIONS
    schema = f"memorizz_benchmark_console_{rows}_{dimensions}"
    config = lab.config(schema, embedding_dimensions=dimensions)
    if not lab.holds(schema, LONG, rows):
        lab.drop(schema)
        with lab.filling(config) as provider:
            provider.store_many(Data(rows, dimensions).documents(), LONG)
            provider.store_many(Data(_TURNS, dimensions).turns(), TURNS)
    with lab.connect() as connection:
        connection.execute(f"SET search_path TO {schema}")  # of letters and digits
        [id] = connection.execute(f"SELECT id FROM {LONG} ORDER BY seq LIMIT 1").fetchone() or ("",)
    pages = _PAGES | {"a document": f"/document?store={LONG}&id={id}"}
    times = max(3, lab.repeat // 20)
    first = [_first(lab, schema) for _ in range(times)]
    took: dict[str, list[float]] = {page: [] for page in pages}
    size: dict[str, int] = {}
    with _served(lab, schema) as (host, token):
        connection, cookie = _opened(host, token)
        for turn in range(times + 1):
            for page, path in pages.items():
                started = time.perf_counter()
                size[page] = len(_read(connection, path, cookie))
                if turn:  # the first is for warming up
                    took[page].append((time.perf_counter() - started) * 1000)
        connection.close()
    record = {
        "first": median(first),
        "pages": {page: {"milliseconds": median(took[page]), "bytes": size[page]} for page in pages},
    }
    yield Part(
        f"console/{rows}",
        record,
        f"{rows:,} memories of {dimensions} dimensions and {_TURNS:,} turns; {times} times each",
    )


def tables(record: Record) -> list[Table]:
    first = record["first"]
    body = [
        (
            "the first page of a console that has begun",
            number(first, "ms"),
            f"≤ {FIRST} ms",
            target(first <= FIRST),
            "",
            "",
        )
    ]
    for page, each in record["pages"].items():
        fits = target(each["bytes"] <= LARGEST)
        body.append(
            (
                page,
                number(each["milliseconds"], "ms"),
                "",
                "",
                f"{each['bytes'] / 1000:.1f} kB of {LARGEST // 1000}",
                fits,
            )
        )
    return [Table("Pages of the console", ("page", "median", "goal", "", "size", ""), body)]


def _first(lab: Lab, schema: str) -> float:
    """Return how long the overview takes a console that has just begun."""
    with _served(lab, schema) as (host, token):
        started = time.perf_counter()
        connection, cookie = _opened(host, token)
        _read(connection, "/", cookie)
        took = (time.perf_counter() - started) * 1000
        connection.close()
        return took


@contextmanager
def _served(lab: Lab, schema: str) -> Generator[tuple[str, str]]:
    """Start a console; give its host, and the path that opens it."""
    command = ["-m", "memorizz", "console", "--no-browser", "--schema", schema, "--dsn", lab.conninfo]
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    with process:
        assert process.stderr is not None
        address = urlsplit(process.stderr.readline().split()[-1])
        yield address.netloc, f"/?{address.query}"
        process.terminate()


def _opened(host: str, token: str) -> tuple[HTTPConnection, str]:
    """Open the console as a browser does; return the connection, and the cookie that it got."""
    connection = HTTPConnection(host, timeout=120)
    connection.request("GET", token)
    answer = connection.getresponse()
    answer.read()
    return connection, (answer.headers["Set-Cookie"] or "").partition(";")[0]


def _read(connection: HTTPConnection, path: str, cookie: str) -> bytes:
    connection.request("GET", path, headers={"Cookie": cookie})
    answer = connection.getresponse()
    found = answer.read()
    assert answer.status == 200, (path, answer.status, found[:500])
    return found
