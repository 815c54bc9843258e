"""What goes wrong around the store and the checkpointer: a client that dies, a server that is restarted."""

from __future__ import annotations

import subprocess
import sys
import time

from langgraph.checkpoint.base import empty_checkpoint

from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.integrations.langgraph import MemorizzSaver, MemorizzStore
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

# Puts the same 300 keys again and again, each batch with its own number, until it is killed.
DYING = """
import sys
from langgraph.store.base import PutOp
from memorizz import PostgreSQLConfig
from memorizz.integrations.langgraph import MemorizzStore

with MemorizzStore(PostgreSQLConfig(dsn=sys.argv[1], embedding_dimensions=4)) as store:
    for number in range(100_000):
        store.batch([PutOp(("n", str(key % 7)), str(key), {"n": number}) for key in range(300)])
        print(number, flush=True)
"""


def test_of_a_batch_whose_client_dies_all_or_nothing_is_there(config: PostgreSQLConfig, dsn: str) -> None:
    """Wherever in a batch a process is killed, its items are those of one batch, and the store goes on."""
    with MemorizzStore(config) as store:
        for wait in (0.0, 0.007, 0.023):
            process = subprocess.Popen([sys.executable, "-c", DYING, dsn], stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            for _ in range(3):
                process.stdout.readline()
            time.sleep(wait)
            process.kill()
            process.wait()
            process.stdout.close()
            found = store.search((), limit=1000)
            assert len(found) == 300
            assert len({item.value["n"] for item in found}) == 1
        store.put(("n", "0"), "0", {"n": "mine"})
        item = store.get(("n", "0"), "0")
        assert item is not None
        assert item.value == {"n": "mine"}


def test_a_restarted_server_is_a_server_like_before(own_server: EmbeddedServer) -> None:
    """After a restart the same objects go on, and what was kept is there."""
    conninfo = own_server.status().conninfo
    assert conninfo is not None
    config = PostgreSQLConfig(dsn=conninfo, embedding_dimensions=4, max_size=4)
    with PostgreSQLProvider(config) as provider:
        saver, store = MemorizzSaver(provider), MemorizzStore(provider)
        store.put(("a",), "k", {"n": 1})
        stored = saver.put({"configurable": {"thread_id": "t"}}, empty_checkpoint(), {"step": 1}, {})
        own_server.stop()
        own_server.acquire()
        item = store.get(("a",), "k")
        assert item is not None
        assert item.value == {"n": 1}
        found = saver.get_tuple(stored)
        assert found is not None
        assert found.metadata == {"step": 1}
        own_server.stop()
        own_server.acquire()
        store.put(("a",), "k", {"n": 2})
        saver.put_writes(stored, [("c", 1)], "task")
        assert store.search(())[0].value == {"n": 2}
