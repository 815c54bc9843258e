"""Views of tenants and memories in the place of a provider."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kept import Kept, check_stays

from memorizz import PostgreSQLConfig
from memorizz.integrations.claude_agent_sdk import MemorizzSessionStore

KEY: Any = {"project_key": "p", "session_id": "s"}
ENTRY: Any = {"type": "user", "uuid": "u"}


KEPT = {
    "session store": Kept(
        MemorizzSessionStore,
        lambda store: asyncio.run(store.append(KEY, [ENTRY])),
        lambda store: [asyncio.run(store.load(KEY)), asyncio.run(store.list_sessions("p"))],
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_each_stays_in_its_view(config: PostgreSQLConfig, name: str) -> None:
    """Of two tenants and of none, nobody reads or replaces what another has; in the view of a memory it stays, or says
    why not."""
    check_stays(config, KEPT[name])
