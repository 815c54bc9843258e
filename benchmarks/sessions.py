"""How many sessions of the server and how many processes it takes to open an embedded provider and to let a pool grow.

The server runs, as it does where another process uses it. What opens is a process of its own, which counts what it
starts; the sessions are the server's own count, once all of them have ended.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.lab import Lab
from benchmarks.report import Part, Record, Table, target
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider, PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

TAKES = "10 seconds"
LONG = MemoryType.LONG_TERM_MEMORY
POOL = 8
# Sessions and processes.
GOALS = {"open": (3, 1), "grow": (8, 0)}
_NAMES = {"open": "open an embedded provider and count", "grow": f"let its pool grow to {POOL}"}
_STARTS_PROCESSES = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec")


def measure(lab: Lab) -> Iterator[Part]:
    with tempfile.TemporaryDirectory(prefix="memorizz-benchmark-") as folder:
        # The server's own user must reach its data.
        Path(folder).chmod(0o711)
        server = EmbeddedServer(Path(folder) / "data")
        conninfo = server.acquire()
        try:
            results = [result for api in ("sync", "async") for result in _counted(str(server.path), conninfo, api)]
        finally:
            server.release()
    yield Part("sessions", {"results": results}, "an embedded server that runs already, with its tables")


def _counted(path: str, conninfo: str, api: str) -> Iterator[Record]:
    """Open and close, then open, grow and close: what the second took more is what growing takes."""
    _child(path, api, grow=False)
    with psycopg.connect(conninfo, autocommit=True) as asking:
        before = _sessions(asking)
        opening = _child(path, api, grow=False)
        opened = _sessions(asking)
        growing = _child(path, api, grow=True)
        grown = _sessions(asking)
    opens = opened - before
    yield {"step": "open", "api": api, "sessions": opens, "processes": opening["opened"]}
    more = growing["grown"] - growing["opened"]
    yield {"step": "grow", "api": api, "sessions": grown - opened - opens, "processes": more}


def _sessions(asking: psycopg.Connection[Any]) -> int:
    """Return how many sessions the server has had, once there are no others."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    while asking.execute(others).fetchone() != (0,):
        time.sleep(0.02)
    row = asking.execute("SELECT sum(sessions)::int FROM pg_stat_database").fetchone()
    assert row is not None
    return row[0]


def _child(path: str, api: str, *, grow: bool) -> dict[str, int]:
    command = [sys.executable, "-m", "benchmarks.sessions"]
    asked = json.dumps([path, api, grow])
    done = subprocess.run(command, input=asked, text=True, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def tables(record: Record) -> list[Table]:
    body: list[tuple[str, ...]] = []
    for each in record["results"]:
        had, goal = (each["sessions"], each["processes"]), GOALS[each["step"]]
        reached = all(count <= most for count, most in zip(had, goal, strict=True))
        name = f"{_NAMES[each['step']]}, {each['api']}"
        body.append((name, *map(str, had), f"≤ {goal[0]} and {goal[1]}", target(reached)))
    return [Table("What opening takes", ("", "sessions", "processes", "goal", ""), body)]


# --- the process that opens ---------------------------------------------------------------------------------------


def _main() -> None:
    path, api, grow = json.load(sys.stdin)
    started = [0]

    def note(event: str, _: Any) -> None:
        started[0] += event in _STARTS_PROCESSES

    sys.addaudithook(note)
    config = PostgreSQLConfig.embedded(path, min_size=1, max_size=POOL)
    counts = _sync(config, started, grow) if api == "sync" else asyncio.run(_async(config, started, grow))
    json.dump(counts, sys.stdout)


def _sync(config: PostgreSQLConfig, started: list[int], grow: bool) -> dict[str, int]:
    with PostgreSQLProvider(config) as provider:
        provider.count(LONG)
        opened = started[0]
        everybody = threading.Barrier(POOL)

        def hold() -> None:
            with provider.transaction() as tx:
                tx.count(LONG)
                everybody.wait()

        with ExitStack() as joining:
            for thread in [threading.Thread(target=hold) for _ in range(POOL if grow else 0)]:
                thread.start()
                joining.callback(thread.join)
        return {"opened": opened, "grown": started[0]}


async def _async(config: PostgreSQLConfig, started: list[int], grow: bool) -> dict[str, int]:
    async with AsyncPostgreSQLProvider(config) as provider:
        await provider.count(LONG)
        opened = started[0]

        async def hold(held: AsyncExitStack) -> None:
            tx = await held.enter_async_context(provider.transaction())
            await tx.count(LONG)

        async with AsyncExitStack() as held:
            await asyncio.gather(*(hold(held) for _ in range(POOL if grow else 0)))
        return {"opened": opened, "grown": started[0]}


if __name__ == "__main__":
    _main()
