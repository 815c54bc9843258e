"""Views of tenants and memories in the place of a provider."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kept import Kept, check_stays

from memorizz import PostgreSQLConfig
from memorizz.integrations.strands import MemorizzMemoryStore


def texts(store: MemorizzMemoryStore) -> Any:
    return [each.content for each in asyncio.run(store.search("tea"))]


KEPT = {
    "memory store": Kept(
        lambda view: MemorizzMemoryStore("ada", view),
        lambda store: asyncio.run(store.add("Ada drinks tea.")),
        texts,
        "ada",
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_each_stays_in_its_view(config: PostgreSQLConfig, name: str) -> None:
    """Of two tenants and of none, nobody reads or replaces what another has; in the view of a memory it stays, or says
    why not."""
    check_stays(config, KEPT[name])
