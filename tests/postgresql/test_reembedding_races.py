"""The embedding model changes while others store and search, and while the program that changes it is killed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import Model, vector_by

from apis import reembedding
from memorizz.errors import ConfigurationError
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig
from memorizz.memory_provider.postgresql.maintenance import Maintenance, Reembedding

LONG, TURNS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY
WORKER = Path(__file__).parent / "reembedding_worker.py"
# Of one length, so that nothing but the model tells their vectors apart.
OLD, NEW = Model("old", 4), Model("new", 4)


class Crowd:
    """Threads that store, change, delete and search all the time; what should be there, they remember."""

    def __init__(self, api: Any) -> None:
        self.api = api
        self.texts: dict[str, str] = {}
        self.errors: list[BaseException] = []
        self.searches = 0
        self.models: set[str] = set()
        self._over = threading.Event()
        self._threads = [
            *(threading.Thread(target=self._again, args=(self._write, n)) for n in range(2)),
            threading.Thread(target=self._again, args=(self._search, 2)),
        ]

    @contextmanager
    def at_work(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()
        assert self.errors == []

    def _again(self, work: Callable[[random.Random, int], None], number: int) -> None:
        chance = random.Random(number)
        turn = 0
        while not self._over.is_set() and not self.errors:
            try:
                work(chance, turn * 10 + number)
            except BaseException as error:
                self.errors.append(error)
            turn += 1
            # The machine is for those who change the model, too.
            time.sleep(0.005)

    def _write(self, chance: random.Random, number: int) -> None:
        mine = [id for id in list(self.texts) if id.endswith(f"-{number % 10}")]
        kind = chance.random()
        if kind < 0.4 or not mine:
            id = f"{number}-{number % 10}"
            self.api.store({"id": id, "content": f"text {number}"}, LONG)
            self.texts[id] = f"text {number}"
        elif kind < 0.5:
            new = {f"{number}.{n}-{number % 10}": f"many {number}.{n}" for n in range(5)}
            self.api.store_many([{"id": id, "content": text} for id, text in new.items()], LONG)
            self.texts |= new
        elif kind < 0.8:
            id = chance.choice(mine)
            assert self.api.update_by_id(id, {"content": f"changed {number}"}, LONG)
            self.texts[id] = f"changed {number}"
        elif kind < 0.9:
            assert self.api.update_by_id(chance.choice(mine), {"seen": number}, LONG)
        else:
            id = chance.choice(mine)
            assert self.api.delete_by_id(id, LONG)
            del self.texts[id]

    def _search(self, chance: random.Random, number: int) -> None:
        """Search, and see whose vectors were compared with whose question."""
        text = f"text {chance.randrange(50)}"
        hits = self.api.retrieve_by_query(text, LONG, 5, include_embedding=True)
        found = {model.name for hit in hits for model in (OLD, NEW) if model.made(hit["embedding"], hit["content"])}
        assert len(found) == (1 if hits else 0), [hit["content"] for hit in hits]
        for model in (each for each in (OLD, NEW) if each.name in found):
            question = vector_by(model.name, text, 4)
            for hit in hits:
                if "_distance" in hit:
                    assert hit["_distance"] == pytest.approx(1 - cosine(question, hit["embedding"]), abs=1e-5)
        self.models |= found
        self.searches += 1

    def check(self, model: Model) -> None:
        """All is there that should be, and every vector is of the model and of today's text."""
        found = {each["id"]: each for each in self.api.list_all(LONG, include_embedding=True)}
        assert {id: each["content"] for id, each in found.items()} == self.texts
        assert all(model.made(each["embedding"], each["content"]) for each in found.values())


def cosine(one: Any, other: Any) -> float:
    one, other = np.asarray(one, float), np.asarray(other, float)
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


@pytest.fixture
def crowd(open_api: Callable[..., Any], config: PostgreSQLConfig) -> Iterator[Crowd]:
    with open_api(config.replace(max_size=6), embedder=[OLD, NEW]) as api:
        crowd = Crowd(api)
        stored = {f"{n}-x": f"text {n}" for n in range(150)}
        api.store_many([{"id": id, "content": text} for id, text in stored.items()], LONG)
        crowd.texts |= stored
        yield crowd


@pytest.mark.parametrize(
    ("open_api", "open_maintenance"), [("blocking", "blocking"), ("async", "async")], indirect=True
)
def test_there_and_back_among_others(
    crowd: Crowd, open_maintenance: Callable[..., Any], config: PostgreSQLConfig, wait_for: Callable[..., Any]
) -> None:
    """Nobody notices: no write is lost, no call fails, and no search compares vectors of two models."""
    with crowd.at_work(), open_maintenance(config) as maintenance:
        forth, back = reembedding(maintenance, NEW), reembedding(maintenance, OLD)
        forth.begin()
        forth.fill()
        list(maintenance.make(forth.plan_indexes()))
        held = [forth.switch(), back.back(), forth.switch()]
        searches = crowd.searches
        wait_for(lambda: crowd.searches >= searches + 3 or crowd.errors, "searches of the new model")
    crowd.check(NEW)
    assert crowd.models == {"old", "new"}
    assert max(held) < 5


POINTS = [
    "columns added",
    "batch 1",
    "batch 3",
    "vectors written",
    "index",
    "about to exchange",
    "half exchanged",
    "exchanged",
]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("open_api", ["blocking"], indirect=True)
def test_killed_and_gone_on_with(crowd: Crowd, config: PostgreSQLConfig, migrated_dsn: str, point: str) -> None:
    """Wherever the program that changes the model is killed, everything is as before or as after; the next goes on."""
    with crowd.at_work():
        done = subprocess.run(
            [sys.executable, str(WORKER), migrated_dsn, point, "4"], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")
        with Maintenance(config) as maintenance:
            change = Reembedding(maintenance, NEW)
            searched = change.change().searched.name
            assert searched == ("new" if point == "exchanged" else "old")
            if searched == "old":
                change.begin()
                change.fill()
                list(maintenance.make(change.plan_indexes()))
                change.switch()
            else:
                with pytest.raises(ConfigurationError, match="already"):
                    Reembedding(maintenance, NEW).begin()
            assert change.plan_indexes() == []
    crowd.check(NEW)
