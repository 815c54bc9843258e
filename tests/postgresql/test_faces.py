"""What the two faces see to beside the operations: forks, tasks and threads in one transaction, openings cut short."""

from __future__ import annotations

import subprocess
import sys

import pytest

from memorizz.memory_provider.postgresql import PostgreSQLConfig

# --- forks --------------------------------------------------------------------------------------------------------

FORK = """
import asyncio, os, sys
from memorizz.errors import ProviderClosed
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider, PostgreSQLConfig, PostgreSQLProvider

loop = asyncio.new_event_loop()
run = lambda call: loop.run_until_complete(call) if asyncio.iscoroutine(call) else call
kind = AsyncPostgreSQLProvider if sys.argv[1] == "async" else PostgreSQLProvider
provider = kind(PostgreSQLConfig(dsn=sys.argv[2], embedding_dimensions=None, max_size=1))
run(provider.store({"id": "a"}, "long_term_memory"))
for close in (False, True):
    child = os.fork()
    if child == 0:
        loop = asyncio.new_event_loop()
        try:
            run(provider.count("long_term_memory"))
        except ProviderClosed as error:
            assert "open a provider in each process" in str(error), error
        else:
            sys.exit("the child was answered")
        if close:
            run(provider.close())
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0
    # A transaction is not repeated, so that a connection on which the child has hung up would be noticed.
    assert run(provider.store_many([{"id": "b"}], "long_term_memory")) == ["b"]
    assert not provider._pool.get_stats().get("returns_bad"), provider._pool.get_stats()
run(provider.close())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize("face", ["blocking", "async"])
def test_a_forked_child_is_refused_and_its_end_leaves_the_parent_its_connections(
    config: PostgreSQLConfig, face: str
) -> None:
    """A child gets a ProviderClosed; neither its close() nor its sys.exit() hangs up on the parent."""
    command = [sys.executable, "-c", FORK, face, config.conninfo]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
