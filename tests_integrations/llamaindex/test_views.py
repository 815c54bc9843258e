"""Views of tenants and memories in the place of a provider."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kept import Kept, check_stays
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.schema import TextNode

from memorizz import PostgreSQLConfig
from memorizz.integrations.llamaindex import (
    MemorizzChatStore,
    MemorizzKVStore,
    MemorizzMemoryChatStore,
    MemorizzVectorStore,
)


def vector_store(view: Any) -> MemorizzVectorStore:
    return MemorizzVectorStore(view, embed_dim=2)


KEPT = {
    "vector store": Kept(
        vector_store,
        lambda store: store.add([TextNode(id_="tea", text="Ada drinks tea.", embedding=[1.0, 0.0])]),
        lambda store: [node.node_id for node in store.get_nodes()],
        "",
    ),
    "chat store": Kept(
        MemorizzChatStore,
        lambda store: store.set_messages("ada", [ChatMessage("tea")]),
        lambda store: [store.get_keys(), [each.content for each in store.get_messages("ada")]],
        "ada",
    ),
    "chat store of a Memory": Kept(
        MemorizzMemoryChatStore,
        lambda store: asyncio.run(store.set_messages("ada", [ChatMessage("tea")])),
        lambda store: [each.content for each in asyncio.run(store.get_messages("ada"))],
        "ada",
    ),
    "key-value store": Kept(
        MemorizzKVStore, lambda store: store.put("a", {"b": 1}), lambda store: [store.get("a"), store.get_all()]
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_each_stays_in_its_view(config: PostgreSQLConfig, name: str) -> None:
    """Of two tenants and of none, nobody reads or replaces what another has; in the view of a memory it stays, or says
    why not."""
    check_stays(config, KEPT[name])
