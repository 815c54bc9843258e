"""Views of tenants and memories in the place of a provider."""

from __future__ import annotations

import pytest
from haystack import Document
from kept import Kept, check_stays

from memorizz import PostgreSQLConfig
from memorizz.integrations.haystack import MemorizzDocumentStore

KEPT = {
    "document store": Kept(
        MemorizzDocumentStore,
        lambda store: store.write_documents([Document(id="tea", content="Ada drinks tea.")]),
        lambda store: [[each.id for each in store.filter_documents()], store.count_documents()],
        "",
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_each_stays_in_its_view(config: PostgreSQLConfig, name: str) -> None:
    """Of two tenants and of none, nobody reads or replaces what another has; in the view of a memory it stays, or says
    why not."""
    check_stays(config, KEPT[name])
