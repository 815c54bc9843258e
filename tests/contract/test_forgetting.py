"""forget: a memory, or what matches a filter, in all stores at once, with a receipt."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from memorizz.errors import ConfigurationError, FilterError
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.stores import StoreSpec

LONG, AGENTS = MemoryType.LONG_TERM_MEMORY, MemoryType.MEMAGENT
PAST = datetime(2020, 1, 1, tzinfo=UTC)
STORES = [each.value for each in MemoryType]


@pytest.fixture
def filled(api: Any) -> Iterator[Any]:
    """Two memories in every store, one made by a caller too; something expired; two agents that list them."""
    api.create_store(StoreSpec("tickets", memories=False))
    for store in (*STORES, "tickets"):
        api.store_many([{"id": f"{memory}-{n}", "memory_id": memory, "n": n} for memory in "ab" for n in (1, 2)], store)
    api.store({"id": "a-gone", "memory_id": "a", "expires_at": PAST}, LONG)
    api.store({"id": "neither"}, LONG)
    api.store_memagent({"agent_id": "both", "memory_ids": ["a", "b", "a"], "name": "Ada"})
    api.store_memagent({"agent_id": "one", "memory_ids": ["b"]})
    yield api
    # The next test has the same database.
    api.drop_store("tickets", yes=True)


def digest(ids: list[tuple[str, str]]) -> str:
    return hashlib.sha256("".join(sorted(f"{store}\t{id}\n" for store, id in ids)).encode()).hexdigest()


def everything(api: Any) -> Any:
    return {store: api.list_all(store) for store in (*STORES, "tickets")}


def test_a_memory_is_forgotten_everywhere(filled: Any) -> None:
    """In every store, what has expired too, and in what agents list; others' memories stay as they are."""
    before = everything(filled)
    receipt = filled.forget("a", by="Ada herself")
    assert receipt.deleted == dict.fromkeys((*STORES, "tickets"), 2) | {LONG.value: 3}
    assert receipt.documents == 17
    assert (receipt.agents, receipt.by, receipt.dry_run, receipt.left) == (["both"], "Ada herself", False, 0)
    gone = [(store, f"a-{n}") for store in (*STORES, "tickets") for n in (1, 2)] + [(LONG.value, "a-gone")]
    assert receipt.digest == digest(gone)
    assert abs(receipt.at - datetime.now(UTC)) < timedelta(minutes=1)
    assert receipt.not_reached
    assert filled.retrieve_memagent("both")["memory_ids"] == ["b"]
    assert filled.retrieve_memagent("both")["name"] == "Ada"
    kept = {store: [each for each in found if each.get("memory_id") != "a"] for store, found in before.items()}
    kept[AGENTS.value] = [each for each in kept[AGENTS.value] if each["id"] != "both"]
    after = everything(filled)
    after[AGENTS.value] = [each for each in after[AGENTS.value] if each["id"] != "both"]
    assert after == kept
    again = filled.forget("a")
    assert (again.deleted, again.agents, again.digest) == ({}, [], digest([]))


def test_a_dry_run_says_it_before(filled: Any) -> None:
    """The same receipt, and nothing is changed."""
    before = everything(filled)
    shown = filled.forget("a", dry_run=True)
    assert everything(filled) == before
    assert (shown.dry_run, shown.left) == (True, None)
    done = filled.forget("a")
    assert (shown.deleted, shown.agents, shown.digest) == (done.deleted, done.agents, done.digest)


def test_what_matches_a_filter_is_forgotten(filled: Any) -> None:
    """In all stores; agents are left as they are."""
    receipt = filled.forget(filter={"memory_id": {"$in": ["a", "b"]}, "n": 1})
    assert receipt.deleted == dict.fromkeys((*STORES, "tickets"), 2)
    assert receipt.agents == []
    assert filled.retrieve_memagent("both")["memory_ids"] == ["a", "b", "a"]
    assert filled.count(LONG) == 3


def test_in_a_transaction_it_is_undone_with_it(filled: Any) -> None:
    """All or nothing, together with what else happens there."""
    before = everything(filled)

    def forget_and_fail() -> None:
        with filled.transaction() as tx:
            assert tx.forget("a").documents == 17
            assert tx.count(LONG) == 3
            raise KeyError

    with pytest.raises(KeyError):
        forget_and_fail()
    assert everything(filled) == before


@pytest.mark.parametrize("arguments", [{}, {"memory_id": "a", "filter": {"n": 1}}, {"filter": {}}, {"memory_id": 7}])
def test_what_is_meant_must_be_said(filled: Any, arguments: dict[str, Any]) -> None:
    """Neither nothing, nor two things, nor everything is taken."""
    with pytest.raises(ConfigurationError):
        filled.forget(**arguments)
    with pytest.raises(ConfigurationError, match="dry_run"):
        filled.forget("a", dry_run="no")
    with pytest.raises(FilterError):
        filled.forget(filter={"n": {"$near": 1}})
    assert filled.count(LONG) == 5
