"""Views of tenants and memories in the place of a provider."""

from __future__ import annotations

import pytest
from kept import Kept, check_stays
from langchain_core.messages import HumanMessage
from langchain_core.outputs import Generation
from topics import Topics

from memorizz import PostgreSQLConfig
from memorizz.integrations.langchain import (
    MemorizzByteStore,
    MemorizzChatMessageHistory,
    MemorizzSemanticCache,
    MemorizzVectorStore,
)

KEPT = {
    "vector store": Kept(
        lambda view: MemorizzVectorStore(Topics(), view),
        lambda store: store.add_texts(["tea"], ids=["tea"]),
        lambda store: [each.page_content for each in store.similarity_search("tea")],
        "",
    ),
    "history": Kept(
        lambda view: MemorizzChatMessageHistory("s", view),
        lambda history: history.add_messages([HumanMessage("tea", id="m")]),
        lambda history: [each.text for each in history.messages],
        "s",
    ),
    "cache": Kept(
        lambda view: MemorizzSemanticCache(Topics(), view),
        lambda cache: cache.update("tea?", "model", [Generation(text="Yes.")]),
        lambda cache: cache.lookup("tea?", "model"),
    ),
    "byte store": Kept(
        MemorizzByteStore, lambda store: store.mset([("tea", b"1")]), lambda store: [*store.yield_keys()]
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_each_stays_in_its_view(config: PostgreSQLConfig, name: str) -> None:
    """Of two tenants and of none, nobody reads or replaces what another has; in the view of a memory it stays, or says
    why not."""
    check_stays(config, KEPT[name])
