"""Views of tenants and memories in the place of a provider."""

from __future__ import annotations

import pytest
from kept import Kept, check_stays
from records import ids, record

from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.integrations.crewai import MemorizzFlowPersistence, MemorizzStorage

X = [1.0, 0.0, 0.0]


def save(storage: MemorizzStorage) -> None:
    storage.save([record("tea", X, scope="/crew")])


def read(storage: MemorizzStorage) -> list[object]:
    return [ids(storage.search(X)), ids(storage.list_records()), storage.count(), storage.list_scopes()]


def test_reset_of_a_view_drops_nobody_elses_records(provider: PostgreSQLProvider) -> None:
    """A tenant's records go, the store and what others have in it stay."""
    acme, globex = MemorizzStorage(provider.tenant("acme")), MemorizzStorage(provider.tenant("globex"))
    save(acme)
    save(globex)
    acme.reset()
    assert (acme.count(), globex.count()) == (0, 1)


KEPT = {
    "storage": Kept(MemorizzStorage, save, read, ""),
    "storage of a memory": Kept(lambda view: MemorizzStorage(view, memory_id="ada"), save, read, "ada"),
    "flows": Kept(
        MemorizzFlowPersistence,
        lambda flows: flows.save_state("f", "one", {"id": "f"}),
        lambda flows: flows.load_state("f"),
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_each_stays_in_its_view(config: PostgreSQLConfig, name: str) -> None:
    """Of two tenants and of none, nobody reads or replaces what another has; in the view of a memory it stays, or says
    why not."""
    check_stays(config, KEPT[name])
