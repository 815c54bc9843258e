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
    provider.store_many([{"n": -1, "embedding": [1, 0, 0, 0]}], "personas")
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


_WITHOUT_VECTORS = """
import sys
from datetime import UTC, datetime
from decimal import Decimal
from memorizz import PostgreSQLConfig, PostgreSQLProvider

tea = {"id": "t", "memory_id": "ada", "content": "Ada drinks tea", "importance_score": Decimal("0.5"), "ttl": 3600.5,
       "access_count": 2, "metadata": {"at": datetime.now(UTC), "hot": True, "tags": {"a"}}}
with PostgreSQLProvider(PostgreSQLConfig(dsn=sys.argv[1], embedding_dimensions=4)) as provider:
    provider.store(tea, "personas")
    provider.store_many([{"n": 1}, {"n": 2}], "personas")
    provider.update_by_id("t", {"n": 3}, "personas")
    assert provider.retrieve_by_query("tea", "personas")[0]["id"] == "t"
    assert provider.retrieve_by_id("t", "personas") and provider.count("personas") == 3
    assert len(list(provider.iterate("personas"))) == 3
    print("numpy" in sys.modules)
    provider.update_by_id("t", {"embedding": [1, 0, 0, 0]}, "personas")
    print("numpy" in sys.modules)
"""


def test_numpy_is_loaded_for_the_first_vector(dsn: str) -> None:
    """Whoever stores, searches by words and reads without any does not pay for it: a quarter of the memory."""
    done = subprocess.run([sys.executable, "-c", _WITHOUT_VECTORS, dsn], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["False", "True"], "")
