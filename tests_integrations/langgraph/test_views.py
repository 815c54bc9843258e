"""Views of tenants and memories in the place of a provider."""

from __future__ import annotations

import pytest
from kept import Kept, check_stays
from langgraph.checkpoint.base import empty_checkpoint
from letters import DIMENSIONS, embed

from memorizz import PostgreSQLConfig
from memorizz.integrations.langgraph import MemorizzCache, MemorizzSaver, MemorizzStore

AT = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
CHECKPOINT = empty_checkpoint()
INDEX = {"dims": DIMENSIONS, "embed": embed, "fields": ["text"]}


def items(store: MemorizzStore) -> list[object]:
    return [[each.value for each in store.search(("a",))], store.get(("a",), "k") is None, store.list_namespaces()]


KEPT = {
    "store": Kept(MemorizzStore, lambda store: store.put(("a",), "k", {"text": "tea"}), items),
    "indexed store": Kept(
        lambda view: MemorizzStore(view, index=INDEX, name="indexed_items"),
        lambda store: store.put(("a",), "k", {"text": "tea"}),
        lambda store: [*items(store), [each.key for each in store.search(("a",), query="tea")]],
    ),
    "saver": Kept(
        MemorizzSaver,
        lambda saver: saver.put(AT, CHECKPOINT, {"source": "loop", "step": 1}, {}),
        lambda saver: len([*saver.list(None)]),
    ),
    "cache": Kept(
        MemorizzCache,
        lambda cache: cache.set({(("a",), "k"): (1, None)}),
        lambda cache: cache.get([(("a",), "k")]),
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_each_stays_in_its_view(config: PostgreSQLConfig, name: str) -> None:
    """Of two tenants and of none, nobody reads or replaces what another has; in the view of a memory it stays, or says
    why not."""
    check_stays(config, KEPT[name])
