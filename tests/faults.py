"""Faults in the middle of calls while a second writer is at the same documents: nothing may be lost, doubled or undone.

    python tests/faults.py --faults 500 [--mongodb]

Starts a server of its own. Each round does one write of the first writer, on the sync or the async API, through a
proxy: the message does not arrive, or it is done and its answer is lost, or a pooler says so, or the backend that has
done it is terminated or killed (kill -9, after which the server recovers). Where the write was done, the second writer
changes the same documents before the first one knows anything. What the call said is then held against what is stored.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import psycopg
from psycopg.conninfo import make_conninfo

from apis import Blocking, Loop
from memorizz.errors import ConnectionFailed, MemorizzError
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.mongodb import AsyncMongoDBProvider, MongoDBConfig, MongoDBProvider
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider, PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer
from mongod import mongod
from proxy import Cut, MongoDBProxy, PostgreSQLProxy

LONG, AGENTS = MemoryType.LONG_TERM_MEMORY, MemoryType.MEMAGENT
Seen = dict[str, Any]


@dataclass(frozen=True)
class Write:
    """A write of the first writer: its call, the mark of the message that does it and MongoDB's command, and what is
    there with it.

    `second` is what the second writer does behind it, `both` what is there then; `before` are the documents of the
    beginning: "a" and "b" with n = 0.
    """

    call: Callable[[Any], Any]
    mark: bytes
    command: str
    done: Seen
    second: Callable[[Any], Any]
    both: Seen
    store: MemoryType = LONG


def _block(api: Any) -> None:
    with api.transaction() as transaction:
        transaction.store({"id": "c", "n": 1}, LONG)
        transaction.update_by_id("a", {"n": 1}, LONG)


def _set(id: str, n: Any) -> Callable[[Any], Any]:
    return lambda other: other.store({"id": id, "n": n}, LONG)


BEFORE = {"a": 0, "b": 0}
WRITES: dict[str, Write] = {
    "store": Write(
        lambda api: api.store({"id": "c", "n": 1}, LONG), b"INSERT INTO", "update", {"a": 0, "b": 0, "c": 1},
        lambda other: other.delete_by_id("c", LONG), BEFORE,
    ),
    "store without an id": Write(
        lambda api: api.store({"n": 1}, LONG), b"INSERT INTO", "insert", {"a": 0, "b": 0, "new": 1},
        _set("a", 2), {"a": 2, "b": 0, "new": 1},
    ),
    "merge": Write(
        lambda api: api.store({"id": "a", "n": 1}, LONG), b"INSERT INTO", "update", {"a": 1, "b": 0},
        _set("a", 2), {"a": 2, "b": 0},
    ),
    "update_by_id": Write(
        lambda api: api.update_by_id("a", {"n": 1}, LONG), b"UPDATE", "update", {"a": 1, "b": 0},
        _set("a", 2), {"a": 2, "b": 0},
    ),
    "delete_by_id": Write(
        lambda api: api.delete_by_id("a", LONG), b"DELETE FROM", "findAndModify", {"b": 0},
        _set("a", 2), {"a": 2, "b": 0},
    ),
    "delete_all": Write(lambda api: api.delete_all(LONG), b"DELETE FROM", "delete", {}, _set("c", 2), {"c": 2}),
    "store_many": Write(
        lambda api: api.store_many([{"id": "c", "n": 1}, {"id": "a", "n": 1}], LONG), b"INSERT INTO",
        "commitTransaction", {"a": 1, "b": 0, "c": 1}, _set("a", 2), {"a": 2, "b": 0, "c": 1},
    ),
    "transaction": Write(
        _block, b"COMMIT", "commitTransaction",
        {"a": 1, "b": 0, "c": 1}, _set("a", 2), {"a": 2, "b": 0, "c": 1},
    ),
    "update_memagent_memory_ids": Write(
        lambda api: api.update_memagent_memory_ids("agent", ["1"]), b"UPDATE", "update", {"agent": ["1"]},
        lambda other: other.update_memagent_memory_ids("agent", ["2"]), {"agent": ["2"]}, AGENTS,
    ),
}  # fmt: skip
# How often each, out of 15.
FAULTS = {"on the way": 3, "answer": 6, "pooler": 2, "terminate": 3, "kill -9": 1}
MONGODB_FAULTS = {"on the way": 1, "answer": 2}


@dataclass
class Count:
    """What came of the rounds; `wrong` is empty where all is well."""

    rounds: Counter[str] = field(default_factory=Counter[str])
    outcomes: Counter[str] = field(default_factory=Counter[str])
    behind: int = 0
    wrong: list[str] = field(default_factory=list[str])


@dataclass
class Scene:
    """The first writer on either API behind a proxy, and the second writer, who reaches the server directly."""

    apis: dict[str, Any]
    other: PostgreSQLProvider | MongoDBProvider
    proxy: PostgreSQLProxy | MongoDBProxy
    dsn: str
    faults: Mapping[str, int]

    def mark(self, write: Write) -> bytes:
        if isinstance(self.proxy, PostgreSQLProxy):
            return write.mark
        # A command is the first field of its message: a text, or for a commit the number 1.
        kind = b"\x10" if write.command == "commitTransaction" else b"\x02"
        return kind + write.command.encode() + b"\0"

    def begin(self) -> None:
        patient(lambda: [self.other.delete_all(store) for store in (LONG, AGENTS)])
        patient(lambda: self.other.store_many([{"id": id, "n": 0} for id in BEFORE], LONG))
        patient(lambda: self.other.store({"id": "agent", "memory_ids": ["0"]}, AGENTS))

    def seen(self, store: MemoryType) -> Seen:
        """What is stored, by id; a list shows a document that is there twice."""
        found: Seen = {}
        for each in patient(lambda: self.other.list_all(store)):
            name = each["id"] if len(each["id"]) < 36 else "new"
            value = each.get("n", each.get("memory_ids"))
            found[name] = value if name not in found else ("twice", found[name], value)
        return found

    def end_backend(self, how: str) -> None:
        """End the backends that serve the first writer."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            pids = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'first' AND datname = current_database()"
            ).fetchall()
            for (pid,) in pids:
                if how == "terminate":
                    connection.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        if how == "kill -9":
            for (pid,) in pids:
                os.kill(pid, signal.SIGKILL)


def patient(call: Callable[[], Any]) -> Any:
    """Make a call of the second writer again while the server recovers: what it does may be done twice."""
    give_up = time.monotonic() + 60
    while True:
        try:
            return call()
        except (MemorizzError, psycopg.Error):
            if time.monotonic() > give_up:
                raise
            time.sleep(0.05)


def one(scene: Scene, chosen: random.Random, count: Count) -> None:
    """Make one fault in the middle of one write, and look what became of it."""
    api, name = chosen.choice(list(scene.apis)), chosen.choice(list(WRITES))
    fault = chosen.choices([*scene.faults], [*scene.faults.values()])[0]
    write = WRITES[name]
    scene.begin()
    second: list[bool] = []

    def behind() -> None:
        """The answer is known to the proxy alone: the second writer sees what was done, and writes."""
        if fault in ("terminate", "kill -9"):
            scene.end_backend(fault)
        patient(lambda: write.second(scene.other))
        second.append(True)

    scene.proxy.cut(
        scene.mark(write), cast(Cut, fault if fault in ("on the way", "answer", "pooler") else "answer"), then=behind
    )
    try:
        write.call(scene.apis[api])
        outcome = "success"
    except ConnectionFailed as error:
        outcome = "unknown" if "the outcome is unknown" in str(error) else "known to have failed"
    except MemorizzError as error:
        outcome = type(error).__name__
    sent = scene.proxy.sent
    scene.proxy.cut(b"", "answer")
    found = scene.seen(write.store)
    undone = {"agent": ["0"]} if write.store is AGENTS else BEFORE
    # Behind what was done stands what the second writer did, and nothing of the first comes after it.
    allowed = (
        [write.both] if second else {"success": [write.done], "unknown": [undone, write.done]}.get(outcome, [undone])
    )
    count.rounds[fault] += 1
    count.outcomes[outcome] += 1
    count.behind += bool(second)
    if found not in allowed or not sent or (second and outcome not in ("unknown", "success")):
        count.wrong.append(f"{name} ({api}, {fault}): {outcome}, sent {sent} times, stored {found}, expected {allowed}")


def run(scene: Scene, faults: int, seed: int, tell: Callable[[str], object] = bool) -> Count:
    chosen, count = random.Random(seed), Count()
    for number in range(1, faults + 1):
        one(scene, chosen, count)
        if number % 50 == 0:
            tell(f"{number} faults, {len(count.wrong)} wrong")
    return count


@contextmanager
def scene(dsn: str, loop: Loop) -> Iterator[Scene]:
    """Open both writers on a database whose server may be killed."""
    with ExitStack() as stack:
        other = stack.enter_context(PostgreSQLProvider(PostgreSQLConfig(dsn=dsn, embedding_dimensions=4, max_size=2)))
        proxy = PostgreSQLProxy(dsn)
        stack.callback(proxy.close)
        through = make_conninfo(proxy.conninfo, application_name="first")
        config = PostgreSQLConfig(dsn=through, embedding_dimensions=4, min_size=1, max_size=1)
        apis = {
            "sync": stack.enter_context(PostgreSQLProvider(config)),
            "async": stack.enter_context(Blocking(AsyncPostgreSQLProvider(config), loop)),
        }
        yield Scene(apis, other, proxy, dsn, FAULTS)


@contextmanager
def mongodb_scene(uri: str, loop: Loop) -> Iterator[Scene]:
    """Open both writers on a database of a replica set."""
    with ExitStack() as stack:
        other = stack.enter_context(MongoDBProvider(MongoDBConfig(uri, "memorizz_faults", embedding_dimensions=4)))
        proxy = MongoDBProxy(uri)
        stack.callback(proxy.close)
        config = MongoDBConfig(proxy.uri, "memorizz_faults", embedding_dimensions=4, create_indexes=False)
        apis = {
            "sync": stack.enter_context(MongoDBProvider(config)),
            "async": stack.enter_context(Blocking(AsyncMongoDBProvider(config), loop)),
        }
        yield Scene(apis, other, proxy, uri, MONGODB_FAULTS)


@contextmanager
def postgresql(loop: Loop) -> Iterator[Scene]:
    """Start an embedded server for one scene."""
    with tempfile.TemporaryDirectory(prefix="memorizz-faults-") as folder:
        Path(folder).chmod(0o711)  # The server's own user must reach its data.
        server = EmbeddedServer(Path(folder) / "data")
        try:
            with scene(server.acquire(), loop) as opened:
                yield opened
        finally:
            server.release()


@contextmanager
def mongodb(loop: Loop) -> Iterator[Scene]:
    """Start a replica set for one scene."""
    with mongod() as uri, mongodb_scene(uri, loop) as opened:
        yield opened


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mongodb", action="store_true", help="a replica set of one mongod instead")
    options = parser.parse_args()
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    started = time.monotonic()
    loop = Loop()
    with mongodb(loop) if options.mongodb else postgresql(loop) as opened:
        count = run(opened, options.faults, options.seed, lambda text: print(text, flush=True))
    loop.stop()
    print(f"faults: {dict(count.rounds)}")
    print(f"outcomes: {dict(count.outcomes)}; a second writer behind what was done: {count.behind}")
    print(f"lost, doubled or undone: {len(count.wrong)}; {(time.monotonic() - started) / 60:.1f} minutes")
    print("\n".join(count.wrong))
    return bool(count.wrong)


if __name__ == "__main__":
    sys.exit(main())
