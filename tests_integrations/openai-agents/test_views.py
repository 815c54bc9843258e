"""Views of tenants and memories in the place of a provider."""

from __future__ import annotations

import asyncio

import pytest
from kept import Kept, check_stays

from memorizz import PostgreSQLConfig
from memorizz.integrations.openai_agents import MemorizzSession

KEPT = {
    "session": Kept(
        lambda view: MemorizzSession("s", view),
        lambda session: asyncio.run(session.add_items([{"role": "user", "content": "tea"}])),
        lambda session: asyncio.run(session.get_items()),
        "s",
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_each_stays_in_its_view(config: PostgreSQLConfig, name: str) -> None:
    """Of two tenants and of none, nobody reads or replaces what another has; in the view of a memory it stays, or says
    why not."""
    check_stays(config, KEPT[name])
