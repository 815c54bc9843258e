"""Views of tenants and memories in the place of a provider."""

from __future__ import annotations

import asyncio

import pytest
from kept import Kept, check_stays

from memorizz import PostgreSQLConfig
from memorizz.integrations.anthropic import MemorizzAsyncMemoryTool, MemorizzMemoryTool

FILE = {"command": "create", "path": "/memories/tea.md", "file_text": "Ada drinks tea."}
VIEW = {"command": "view", "path": "/memories"}


KEPT = {
    "tool": Kept(
        lambda view: MemorizzMemoryTool("ada", view), lambda tool: tool.call(FILE), lambda tool: tool.call(VIEW), "ada"
    ),
    "async tool": Kept(
        lambda view: MemorizzAsyncMemoryTool("ada", view),
        lambda tool: asyncio.run(tool.call(FILE)),
        lambda tool: asyncio.run(tool.call(VIEW)),
        "ada",
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_each_stays_in_its_view(config: PostgreSQLConfig, name: str) -> None:
    """Of two tenants and of none, nobody reads or replaces what another has; in the view of a memory it stays, or says
    why not."""
    check_stays(config, KEPT[name])
