"""How much memory the streams take: a bounded part of what flows through them."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import sys
import threading
import psutil
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider

COUNT = int(sys.argv[2])
process = psutil.Process()
highest, done = 0, threading.Event()

def watch():
    global highest
    while not done.wait(0.005):
        highest = max(highest, process.memory_info().rss)

with PostgreSQLProvider(PostgreSQLConfig(dsn=sys.argv[1], embedding_dimensions=4, index="none")) as provider:
    provider.store_many([{"n": -1}], "personas")
    start = process.memory_info().rss
    watcher = threading.Thread(target=watch)
    watcher.start()
    ids = provider.store_many(
        ({"n": n, "content": "c" * 1000, "embedding": [1, n, 0, 0]} for n in range(COUNT)), "long_term_memory")
    assert len(ids) == COUNT
    del ids
    count = 0
    for document in provider.iterate("long_term_memory", include_embedding=True):
        count += 1
    assert count == COUNT
    done.set()
    watcher.join()
    print((highest - start) / 2**20)
"""


def test_streams_hold_no_store_in_memory(dsn: str) -> None:
    """store_many of a generator, and iterate, of 20,000 documents stay under 30 MB above the start.

    A fifth of 100,000 under 150 MB, so that it takes seconds: what is held is a batch and the ids.
    """
    command = [sys.executable, "-c", _SCRIPT, dsn, "20000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 30
