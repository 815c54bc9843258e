"""What goes wrong around the storage: a client that dies in a batch, a server that is restarted."""

from __future__ import annotations

import subprocess
import sys
import time

from records import record

from memorizz import PostgreSQLConfig
from memorizz.integrations.crewai import MemorizzStorage
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

# Saves the same 200 records again and again, each batch with its own number, until it is killed.
DYING = """
import sys
from crewai.memory.types import MemoryRecord
from memorizz.integrations.crewai import MemorizzStorage

storage = MemorizzStorage(sys.argv[1])
for number in range(100_000):
    storage.save([MemoryRecord(id=str(id), content=str(number), embedding=[1.0, id]) for id in range(200)])
    print(number, flush=True)
"""


def test_of_a_batch_whose_client_dies_all_or_nothing_is_there(dsn: str) -> None:
    """Wherever in a batch a process is killed, its records are those of one batch, and another process goes on."""
    process = subprocess.Popen([sys.executable, "-c", DYING, dsn], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with MemorizzStorage(dsn) as storage:
        for _ in range(3):
            assert process.stdout.readline()
        time.sleep(0.01)
        process.kill()
        process.wait()
        process.stdout.close()
        found = storage.list_records(limit=None)
        assert len(found) == 200
        assert len({each.content for each in found}) == 1
        storage.save([record("0", [1.0, 0.0], content="mine")])
        assert storage.search([1.0, 0.0], limit=1)[0][0].content == "mine"


def test_a_restarted_server_is_a_server_like_before(own_server: EmbeddedServer) -> None:
    """After a restart the same object goes on, and what was kept is there."""
    conninfo = own_server.status().conninfo
    assert conninfo is not None
    with MemorizzStorage(PostgreSQLConfig(dsn=conninfo, max_size=4)) as storage:
        storage.save([record("a", [1.0, 0.0])])
        own_server.stop()
        own_server.acquire()
        assert storage.search([1.0, 0.0])[0][0].id == "a"
        own_server.stop()
        own_server.acquire()
        storage.save([record("b", [1.0, 0.0])])
        assert storage.count() == 2
