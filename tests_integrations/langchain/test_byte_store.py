"""The byte store beyond langchain-tests, and LangChain's own classes that take one."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from topics import Topics

from memorizz import PostgreSQLProvider
from memorizz.errors import InvalidDocument
from memorizz.integrations.langchain import MemorizzByteStore

STRANGE = [" ", "a.b", "100%", "10_", "a'b", '"', "x" * 10_000, "a/b", "a\\b", "ä"]


@pytest.fixture
def store(provider: PostgreSQLProvider) -> MemorizzByteStore:
    return MemorizzByteStore(provider)


def test_keys_and_values_of_any_kind(store: MemorizzByteStore) -> None:
    """Whatever is in a key, it is that one key; whatever is in a value, it comes back."""
    values = [bytes([n]) * n for n in range(len(STRANGE))]
    store.mset(list(zip(STRANGE, values, strict=True)))
    assert store.mget(STRANGE) == values
    assert list(store.yield_keys()) == STRANGE
    store.mdelete(["10_", "no"])
    assert store.mget(["10_", "100%"]) == [None, values[2]]


@pytest.mark.parametrize("prefix", ["10", "100%", "10_", "a", "a.", "a\\", "x" * 9_999, "z", "", None])
def test_a_prefix_is_text(store: MemorizzByteStore, prefix: str | None) -> None:
    """No character of it is a wildcard."""
    store.mset([(key, b"") for key in STRANGE])
    assert list(store.yield_keys(prefix=prefix)) == [key for key in STRANGE if key.startswith(prefix or "")]


def test_a_key_that_cannot_be_kept_is_refused_whole(store: MemorizzByteStore) -> None:
    """An empty one, a NUL or None is an error, and no pair of the call is stored."""
    nothing: Any = None
    for wrong in ("", "a\x00b", nothing):
        with pytest.raises(InvalidDocument, match="id"):
            store.mset([("fine", b""), (wrong, b"")])
    assert list(store.yield_keys()) == []
    assert store.mget(["a\x00b", ""]) == [None, None]


def test_the_last_of_a_key_stays(store: MemorizzByteStore) -> None:
    """In one call as over several."""
    store.mset([("key", b"one"), ("key", b"two")])
    assert store.mget(["key"]) == [b"two"]
    store.mset([])
    assert store.mget([]) == []


def test_keys_are_read_a_page_at_a_time(store: MemorizzByteStore) -> None:
    """More keys than a page holds, sync and async, and a writer between the pages."""
    keys = [f"key{number}" for number in range(2500)]
    store.mset([(key, b"") for key in keys])
    assert list(store.yield_keys()) == keys
    assert len(store.mget(keys)) == 2500

    async def awaited() -> list[str]:
        return [key async for key in store.ayield_keys(prefix="key1")]

    assert asyncio.run(awaited()) == [key for key in keys if key.startswith("key1")]


def test_threads_and_loops(store: MemorizzByteStore) -> None:
    """50 threads and three loops write and read one object at once."""

    def in_thread(number: int) -> list[bytes | None]:
        store.mset([("shared", b""), (f"{number}", str(number).encode())])
        return store.mget([f"{number}"])

    async def in_loop(number: int) -> list[bytes | None]:
        await store.amset([("shared", b""), (f"{number}", str(number).encode())])
        return await store.amget([f"{number}"])

    with ThreadPoolExecutor(53) as pool:
        loops = [pool.submit(asyncio.run, in_loop(number)) for number in range(50, 53)]
        found = [*pool.map(in_thread, range(50)), *(loop.result() for loop in loops)]
    assert found == [[str(number).encode()] for number in range(53)]


def test_embeddings_are_cached_in_it(store: MemorizzByteStore, embedding: Topics) -> None:
    """CacheBackedEmbeddings embeds a text once."""
    from langchain_classic.embeddings import CacheBackedEmbeddings

    cached = CacheBackedEmbeddings.from_bytes_store(embedding, store, namespace="topics", key_encoder="sha256")
    assert cached.embed_documents(["tea"]) == cached.embed_documents(["tea"])
    assert embedding.given == ["tea"]
