"""Views of tenants and memories in the place of a provider."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.adk.memory.memory_entry import MemoryEntry
from google.genai import types
from kept import Kept, check_stays

from memorizz import PostgreSQLConfig
from memorizz.integrations.google_adk import MemorizzMemoryService, MemorizzSessionService

USER = {"app_name": "app", "user_id": "ada"}
ENTRY = MemoryEntry(id="m", content=types.Content(parts=[types.Part(text="Ada drinks tea.")]))


def sessions(service: MemorizzSessionService) -> Any:
    return [each.id for each in asyncio.run(service.list_sessions(**USER)).sessions]


def texts(service: MemorizzMemoryService) -> Any:
    found = asyncio.run(service.search_memory(**USER, query="tea")).memories
    return [part.text for each in found for part in each.content.parts or []]


KEPT = {
    "sessions": Kept(
        MemorizzSessionService,
        lambda service: asyncio.run(service.create_session(**USER, session_id="s", state={"app:n": 1})),
        sessions,
    ),
    "memory": Kept(
        MemorizzMemoryService, lambda service: asyncio.run(service.add_memory(**USER, memories=[ENTRY])), texts
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_each_stays_in_its_view(config: PostgreSQLConfig, name: str) -> None:
    """Of two tenants and of none, nobody reads or replaces what another has; in the view of a memory it stays, or says
    why not."""
    check_stays(config, KEPT[name])
