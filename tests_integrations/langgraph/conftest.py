"""Stores on a fresh database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from letters import DIMENSIONS, embed

from memorizz import PostgreSQLConfig
from memorizz.integrations.langgraph import MemorizzStore


@pytest.fixture
def opened(config: PostgreSQLConfig) -> Iterator[Callable[..., MemorizzStore]]:
    """Opens stores on the fresh database, and closes them after the test."""
    stores: list[MemorizzStore] = []

    def make(**options: Any) -> MemorizzStore:
        stores.append(MemorizzStore(config, **options))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[..., MemorizzStore]) -> MemorizzStore:
    return opened()


@pytest.fixture
def indexed(opened: Callable[..., MemorizzStore]) -> MemorizzStore:
    """A store in which the key `text` of values is searched by meaning."""
    return opened(index={"dims": DIMENSIONS, "embed": embed, "fields": ["text"]})
