"""health() of a provider on MongoDB."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from apis import Blocking, Loop
from memorizz.memory_provider.mongodb import AsyncMongoDBProvider, MongoDBConfig, MongoDBProvider
from mongod import mongod


@pytest.fixture(params=["blocking", "async"])
def open_api(request: pytest.FixtureRequest, loop: Loop) -> Callable[[MongoDBConfig], Any]:
    """Open a provider on one API or the other; the calls of both block."""
    if request.param == "blocking":
        return MongoDBProvider
    return lambda config: Blocking(AsyncMongoDBProvider(config), loop)


def test_a_frozen_server_is_told_at_once(open_api: Callable[[MongoDBConfig], Any]) -> None:
    """One that has stopped is not waited for as a call waits; before and afterwards all is well, until it is closed."""
    with mongod() as uri, open_api(MongoDBConfig(uri, operation_timeout=600, connect_timeout=600)) as api:
        well = api.health(25)
        assert (well.ok, well.pending, well.pool) == (True, None, None)
        assert well.server.startswith("MongoDB ")
        assert api.memory("ada").health(25).ok
        port = int(uri.split(":")[2].split("/")[0])
        listening = [each for each in psutil.net_connections("tcp") if each.status == "LISTEN"]
        (pid,) = {each.pid for each in listening if each.laddr.port == port}
        os.kill(pid, signal.SIGSTOP)
        try:
            with ThreadPoolExecutor(1) as threads:
                found = threads.submit(lambda: api.health(0.3)).result(25)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert not found.ok
        assert found.error.split(":")[0] in ("OperationTimeout", "ConnectionFailed")
        assert api.health(25).ok
        api.close()
        assert api.health().error.startswith("ProviderClosed: ")
