"""Views of tenants and memories in the place of a provider."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kept import Kept, check_stays
from pydantic_ai import ModelRequest, UserPromptPart
from pydantic_ai.conversation import Conversation

from memorizz import PostgreSQLConfig
from memorizz.integrations.pydantic_ai import MemorizzConversationStore, MemorizzMemory

NO_RUN: Any = None


def save(store: MemorizzConversationStore) -> None:
    asked = ModelRequest(parts=[UserPromptPart("tea")])
    asyncio.run(store.save(Conversation(conversation_id="c", messages=[asked])))


def texts(memory: MemorizzMemory) -> Any:
    return [each["text"] for each in asyncio.run(memory.search_memory(NO_RUN, "tea"))["memories"]]


KEPT = {
    "conversation store": Kept(
        MemorizzConversationStore,
        save,
        lambda store: [each.conversation_id for each in asyncio.run(store.read_records())],
    ),
    "memory": Kept(
        lambda view: MemorizzMemory("ada", view),
        lambda memory: asyncio.run(memory.add_memory(NO_RUN, "Ada drinks tea.")),
        texts,
        "ada",
    ),
    "memory of a run": Kept(
        lambda view: MemorizzMemory(lambda run: "ada", view),
        lambda memory: asyncio.run(memory.add_memory(NO_RUN, "Ada drinks tea.")),
        texts,
        "ada",
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_each_stays_in_its_view(config: PostgreSQLConfig, name: str) -> None:
    """Of two tenants and of none, nobody reads or replaces what another has; in the view of a memory it stays, or says
    why not."""
    check_stays(config, KEPT[name])
