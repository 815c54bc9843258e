"""MemorizzCache: what LangGraph asks of a cache, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from langgraph.cache.base import FullKey

from memorizz import PostgreSQLConfig
from memorizz.integrations.langgraph import MemorizzCache

A: FullKey = (("ns", "a"), "k")
B: FullKey = (("ns", "b"), "k")
ROOT: FullKey = ((), "k")


@pytest.fixture
def cache(config: PostgreSQLConfig) -> Iterator[MemorizzCache]:
    with MemorizzCache(config) as cache:
        yield cache


def test_what_was_set_is_there(cache: MemorizzCache) -> None:
    """Values come back by their keys, as the serializer brings them; keys that are missing are left out."""
    cache.set({A: ({"x": [1, 2]}, None), B: (b"bytes", None), ROOT: (None, None)})
    cache.set({})
    assert cache.get([A, B, ROOT, (("ns",), "k")]) == {A: {"x": [1, 2]}, B: b"bytes", ROOT: None}
    assert cache.get([]) == {}
    cache.set({A: ("again", None)})
    assert cache.get([A]) == {A: "again"}


def test_what_has_expired_is_gone(cache: MemorizzCache) -> None:
    """A value is there for its seconds; set again it begins anew, and without seconds it stays."""
    cache.set({A: (1, 0), B: (2, 3600)})
    time.sleep(0.01)
    assert cache.get([A, B]) == {B: 2}
    cache.set({A: (3, None)})
    assert cache.get([A]) == {A: 3}


def test_namespaces_are_cleared(cache: MemorizzCache) -> None:
    """Some, exactly those; none of none; and everything where none are named."""
    deeper: FullKey = (("ns", "a", "b"), "k")
    cache.set(dict.fromkeys((A, B, ROOT, deeper), (1, None)))
    cache.clear([])
    assert len(cache.get([A, B, ROOT, deeper])) == 4
    cache.clear([("ns", "a"), ("none",)])
    assert set(cache.get([A, B, ROOT, deeper])) == {B, ROOT, deeper}
    cache.clear([()])
    assert set(cache.get([A, B, ROOT, deeper])) == {B, deeper}
    cache.clear()
    assert cache.get([A, B, ROOT, deeper]) == {}


def test_loops_and_threads_share_it(cache: MemorizzCache) -> None:
    """The async twins do the same, from three event loops and 50 threads at once."""

    async def use(loop: int) -> None:
        keys: list[FullKey] = [((f"loop{loop}",), str(number)) for number in range(10)]
        await asyncio.gather(*(cache.aset({key: (key[1], None)}) for key in keys))
        assert await cache.aget(keys) == {key: key[1] for key in keys}
        await cache.aclear([(f"loop{loop}",)])
        assert await cache.aget(keys) == {}

    def threaded(number: int) -> None:
        key: FullKey = (("threads",), str(number))
        cache.set({key: (number, 60)})
        assert cache.get([key]) == {key: number}

    with ThreadPoolExecutor(53) as pool:
        loops = [pool.submit(asyncio.run, use(loop)) for loop in range(3)]
        threads = [pool.submit(threaded, number) for number in range(50)]
        for done in (*loops, *threads):
            done.result()
