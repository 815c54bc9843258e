"""Faults while two tenants write and their history is kept: rows and history must agree for every id.

    python tests/faults_of_history.py --faults 500

Starts a server of its own. Two tenants write to documents of the same ids without a pause, one on the sync API and one
on the async one, while backends of theirs are killed (kill -9, after which the server recovers) or terminated, and
connections are cut: before a message arrives, or with its answer, or as a pooler does. At the end the versions of each
document are held against what each call has said: what was done is there, in order and once; what failed is not; what
is unknown is there or not, all of its transaction; the last version is what stands in the store, and a view of the
time of a version has that.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import psycopg
from psycopg.conninfo import make_conninfo

from apis import Blocking, Loop
from faults import patient
from memorizz.errors import MemorizzError
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider, PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer
from proxy import Cut, PostgreSQLProxy

LONG = MemoryType.LONG_TERM_MEMORY
IDS = "abcdef"
TENANTS = ("acme", "beta")
# How often each, out of 7.
FAULTS = {"kill -9": 2, "terminate": 2, "on the way": 1, "answer": 1, "pooler": 1}
MARKS = (b"INSERT INTO", b"UPDATE", b"DELETE FROM", b"COMMIT")
# Of so many versions it is looked whether a view of their time has them.
LOOKED_AT = 300
Outcome = Literal["done", "unknown", "failed"]


@dataclass(frozen=True)
class Attempt:
    """A change that was asked for: the number that the document has then, None where it was deleted."""

    number: int | None
    outcome: Outcome


@dataclass
class Writer:
    """One tenant's writer, which changes one document after another until it is told to stop."""

    tenant: str
    api: Any
    numbers: Iterator[int]
    chosen: random.Random
    attempts: dict[str, list[Attempt]] = field(default_factory=lambda: {id: [] for id in IDS})
    # The numbers of transactions, and the ids that each of them is of.
    together: dict[int, Sequence[str]] = field(default_factory=dict[int, Sequence[str]])
    outcomes: Counter[str] = field(default_factory=Counter[str])
    over: threading.Event = field(default_factory=threading.Event)
    failed: list[BaseException] = field(default_factory=list[BaseException])

    def run(self) -> None:
        try:
            while not self.over.is_set():
                self._write()
        except BaseException as error:
            self.failed.append(error)
            raise

    def _write(self) -> None:
        number, kind = next(self.numbers), self.chosen.choice(["store", "vector", "update", "delete", "two"])
        ids = self.chosen.sample(IDS, 2 if kind == "two" else 1)
        document = {"n": number, "content": f"{self.tenant} {number}"}
        if kind == "vector":
            document["embedding"] = [1.0, float(number), 0.0, 0.0]
        try:
            if kind == "update":
                # Where its answer was lost, it may have been sent again, and found nothing any more.
                is_done = self.api.update_by_id(ids[0], document, LONG)
            elif kind == "delete":
                is_done = self.api.delete_by_id(ids[0], LONG)
            else:
                is_done = bool(self.api.store_many([{"id": id, **document} for id in ids], LONG))
            outcome: Outcome = "done" if is_done else "unknown"
        except MemorizzError as error:
            outcome = "unknown" if "the outcome is unknown" in str(error) else "failed"
        self.outcomes[outcome] += 1
        if kind == "two":
            self.together[number] = ids
        for id in ids:
            self.attempts[id].append(Attempt(None if kind == "delete" else number, outcome))


@dataclass
class Scene:
    """The two writers, each behind a proxy of its own, and a provider that reaches the server directly."""

    writers: Sequence[Writer]
    proxies: Sequence[PostgreSQLProxy]
    direct: PostgreSQLProvider
    dsn: str


@dataclass
class Count:
    """What came of the faults; `wrong` is empty where all is well."""

    faults: Counter[str] = field(default_factory=Counter[str])
    versions: int = 0
    wrong: list[str] = field(default_factory=list[str])


def run(scene: Scene, faults: int, seed: int, tell: Callable[[str], object] = bool) -> Count:
    chosen, count = random.Random(seed), Count()
    threads = [threading.Thread(target=writer.run) for writer in scene.writers]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, faults + 1):
            fault = chosen.choices([*FAULTS], [*FAULTS.values()])[0]
            time.sleep(chosen.uniform(0, 0.05))
            _make(scene, fault, chosen)
            count.faults[fault] += 1
            _await_writes(scene)
            if number % 50 == 0:
                tell(f"{number} faults")
    finally:
        for proxy in scene.proxies:
            proxy.cut(b"", "answer")
        for writer, thread in zip(scene.writers, threads, strict=True):
            writer.over.set()
            thread.join()
    for writer in scene.writers:
        _compare(scene, writer, chosen, count)
    return count


def _make(scene: Scene, fault: str, chosen: random.Random) -> None:
    """Make one fault in the middle of what the writers do."""
    if fault not in ("kill -9", "terminate"):
        proxy = chosen.choice(scene.proxies)
        proxy.cut(chosen.choice(MARKS), cast(Cut, fault))
        give_up = time.monotonic() + 5
        while not proxy.sent and time.monotonic() < give_up:
            time.sleep(0.005)
        return
    pids = patient(lambda: _backends(scene.dsn))
    pid = chosen.choice(pids)
    if fault == "kill -9":
        os.kill(pid, signal.SIGKILL)
        patient(lambda: scene.direct.count(LONG))
    else:
        patient(lambda: _terminate(scene.dsn, pid))


def _backends(dsn: str) -> list[int]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = ANY (%s) AND datname = current_database()",
            [list(TENANTS)],
        ).fetchall()
    if not rows:
        raise psycopg.OperationalError("the writers are connecting")
    return [pid for (pid,) in rows]


def _terminate(dsn: str, pid: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s)", [pid])


def _await_writes(scene: Scene) -> None:
    """Wait until each writer has written again."""
    before = [writer.outcomes["done"] for writer in scene.writers]
    give_up = time.monotonic() + 120
    while any(writer.outcomes["done"] <= was for writer, was in zip(scene.writers, before, strict=True)):
        if time.monotonic() > give_up or any(writer.failed for writer in scene.writers):
            raise RuntimeError("a writer writes no more")
        time.sleep(0.002)


def _compare(scene: Scene, writer: Writer, chosen: random.Random, count: Count) -> None:
    """Hold what is kept against what each call has said."""
    view = scene.direct.tenant(writer.tenant)
    found = {id: view.versions(id, LONG) for id in IDS}
    numbers = {id: [each.document and each.document["n"] for each in versions] for id, versions in found.items()}
    for id, versions in found.items():
        where = f"{writer.tenant} {id}"
        count.versions += len(versions)
        if not _agree(writer.attempts[id], numbers[id]):
            count.wrong.append(f"{where}: {len(versions)} versions, {len(writer.attempts[id])} attempts")
        stored = view.retrieve_by_id(id, LONG)
        if stored != (versions[-1].document if versions else None):
            count.wrong.append(f"{where}: the last version is not what is stored")
        for version in chosen.sample(versions, min(LOOKED_AT // len(IDS), len(versions))):
            then = view.at(cast(Any, version.since)).retrieve_by_id(id, LONG)
            if then != version.document:
                count.wrong.append(f"{where}: version {version.number} is not what its time has")
    for number, ids in writer.together.items():
        if len({number in numbers[id] for id in ids}) > 1:
            count.wrong.append(f"{writer.tenant}: of the transaction {number} there is a half")


def _agree(attempts: Sequence[Attempt], versions: Sequence[int | None]) -> bool:
    """Return True if the versions are those of all that was done and of some of what is unknown, in order."""
    places = {0}
    for attempt in attempts:
        further = {place + 1 for place in places if place < len(versions) and versions[place] == attempt.number}
        if attempt.outcome != "failed":
            places = further if attempt.outcome == "done" else places | further
    return len(versions) in places


@contextmanager
def scene(dsn: str, loop: Loop, seed: int = 1) -> Iterator[Scene]:
    """Open both writers on a database whose server may be killed, with the history on."""
    with ExitStack() as stack:
        direct = stack.enter_context(PostgreSQLProvider(PostgreSQLConfig(dsn=dsn, embedding_dimensions=4, max_size=2)))
        direct.keep_history(LONG)
        writers, proxies = list[Writer](), list[PostgreSQLProxy]()
        for place, tenant in enumerate(TENANTS):
            proxies.append(PostgreSQLProxy(dsn))
            stack.callback(proxies[-1].close)
            through = make_conninfo(proxies[-1].conninfo, application_name=tenant)
            config = PostgreSQLConfig(dsn=through, embedding_dimensions=4, min_size=1, max_size=1)
            provider = Blocking(AsyncPostgreSQLProvider(config), loop) if place else PostgreSQLProvider(config)
            api = stack.enter_context(cast(Any, provider)).tenant(tenant)
            # No number is both tenants'.
            writers.append(Writer(tenant, api, itertools.count(1 + place, 2), random.Random(seed + place)))
        yield Scene(writers, proxies, direct, dsn)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    started, loop = time.monotonic(), Loop()
    with tempfile.TemporaryDirectory(prefix="memorizz-faults-") as folder:
        Path(folder).chmod(0o711)  # The server's own user must reach its data.
        server = EmbeddedServer(Path(folder) / "data")
        try:
            with scene(server.acquire(), loop, options.seed) as opened:
                count = run(opened, options.faults, options.seed, lambda text: print(text, flush=True))
        finally:
            server.release()
    loop.stop()
    print(f"faults: {dict(count.faults)}")
    for writer in opened.writers:
        print(f"calls of {writer.tenant}: {dict(writer.outcomes)}")
    print(f"versions: {count.versions}, of {len(IDS)} ids of {len(TENANTS)} tenants")
    print(
        f"lost, doubled, or not as the history has it: {len(count.wrong)}; {(time.monotonic() - started) / 60:.1f} min"
    )
    print("\n".join(count.wrong))
    return bool(count.wrong)


if __name__ == "__main__":
    sys.exit(main())
