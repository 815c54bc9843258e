"""Export and import: what comes back is what was there, or nothing."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from documents import documents, same
from memorizz.errors import InvalidFile
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.moving import export, load

LONG = MemoryType.LONG_TERM_MEMORY
TURNS = MemoryType.CONVERSATION_MEMORY
FORMATS = ["jsonl", "jsonl.gz", "jsonl.zst", "parquet"]

every_format = pytest.mark.parametrize("format", FORMATS)


@pytest.fixture
def other(config: PostgreSQLConfig) -> Iterator[PostgreSQLProvider]:
    """A provider of another schema, with empty stores."""
    with PostgreSQLProvider(config.replace(schema="other")) as provider:
        yield provider


def everything(provider: Any) -> dict[str, list[dict[str, Any]]]:
    return {store.value: provider.list_all(store, include_embedding=True) for store in MemoryType}


def clear(provider: Any) -> None:
    for store in MemoryType:
        provider.delete_all(store)


# --- what comes back ----------------------------------------------------------------------------------------------

vectors = st.none() | st.lists(
    st.floats(-1e6, 1e6, width=32).filter(lambda x: x == 0 or abs(x) > 1e-6), min_size=4, max_size=4
).filter(any)
memories = st.lists(
    st.tuples(st.sampled_from(list(MemoryType)), documents, vectors, st.datetimes(timezones=st.just(UTC))), max_size=8
)


@every_format
@settings(max_examples=25)
@given(stored=memories)
def test_whatever_is_exported_comes_back(
    provider: Any, other: Any, format: str, stored: list[tuple[MemoryType, dict[str, Any], Any, datetime]]
) -> None:
    """Every value, time, id and vector is the same in the provider that it is loaded into, in the same order."""
    clear(provider)
    clear(other)
    for store, document, vector, created in stored:
        provider.store({**document, "embedding": vector, "created_at": created}, store)
    file = io.BytesIO()
    counts = export(provider, file, format=format)
    file.seek(0)
    assert load(file, other) == counts
    assert sum(counts.values()) == len(stored)
    assert same(everything(other), everything(provider))


# --- what is refused ----------------------------------------------------------------------------------------------


def some(provider: Any) -> None:
    """Store a little of everything."""
    for n in range(3):
        turn = {"memory_id": "m", "content": f"tea {n}", "role": None, "n": 2**70, "x": 0.5, "embedding": [1, n, 0, 0]}
        provider.store({"id": f"turn-{n}", "timestamp": datetime(2026, 1, 1, tzinfo=UTC), **turn}, TURNS)
    provider.store_memagent({"id": "agent", "memory_ids": ["m"], "metadata": {"a": None}})


@pytest.fixture
def exported(provider: Any) -> Callable[[str], bytes]:
    """Give an export of a few documents in a format."""
    some(provider)

    def make(format: str) -> bytes:
        file = io.BytesIO()
        export(provider, file, format=format)
        return file.getvalue()

    return make


def is_refused(file: bytes, target: Any) -> bool:
    """Say whether a file is refused, in which case nothing of it is stored."""
    try:
        load(io.BytesIO(file), target)
    except InvalidFile as error:
        return bool(error.where) and not any(everything(target).values())
    return False


@every_format
def test_a_file_that_is_cut_off_is_refused(exported: Any, other: Any, format: str) -> None:
    """Wherever a file ends too early, it is refused, and nothing of it stays."""
    whole = exported(format)
    for length in {*range(0, len(whole), len(whole) // 60 + 1), *range(len(whole) - 12, len(whole))}:
        assert is_refused(whole[:length], other), length


@every_format
def test_a_file_that_goes_on_is_refused(exported: Any, other: Any, format: str) -> None:
    """What follows the end of an export is no part of it, were it only an empty line."""
    whole = exported(format)
    for more in (b"\n", b"x", whole):
        assert is_refused(whole + more, other), more


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_a_file_that_is_altered_is_refused(exported: Any, other: Any, format: str) -> None:
    """Whichever byte is another, the file is refused, and nothing of it stays."""
    whole = exported(format)
    for place in range(0, len(whole), len(whole) // 150 + 1):
        assert is_refused(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :], other), place


@pytest.mark.parametrize("format", ["jsonl.gz", "jsonl.zst"])
def test_a_compressed_file_that_is_altered_is_refused(provider: Any, exported: Any, other: Any, format: str) -> None:
    """A byte that is another is seen, save where it means nothing, as the times in the head of a gzip file."""
    whole = exported(format)
    accepted = 0
    for place in range(0, len(whole), len(whole) // 150 + 1):
        if not is_refused(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :], other):
            assert same(everything(other), everything(provider)), place
            clear(other)
            accepted += 1
    assert accepted <= 3
