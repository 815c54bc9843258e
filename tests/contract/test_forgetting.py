"""forget: a memory, or what matches a filter, in all stores at once, with a receipt."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from contract.conftest import MONGODB
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


def test_a_tenant_is_forgotten_whole(api: Any, config: Any, server_name: str) -> None:
    """Documents, expired ones too, agents, parts and the history, of which not even a trace stays; nobody else's."""
    if server_name == MONGODB:
        with pytest.raises(ConfigurationError, match="view"):
            api.forget(everything=True)
        return
    api.create_store(StoreSpec("pages", fields=("text",)))
    api.keep_history(LONG)
    try:
        acme, other = api.tenant("acme"), api.tenant("acme2")
        # Other tests may have left tenants of theirs.
        acme.forget(everything=True)
        left = {*tenants_in(config), "", "acme2"}
        for view in (acme, other, api):
            part = {"path": "text", "embedding": [1.0, 0.0, 0.0, 0.0]}
            view.store({"id": "p", "text": "tea", "embedding": [part]}, "pages")
            view.store({"id": "x", "content": "tea", "expires_at": PAST}, LONG)
            view.store_many([{"id": f"{n}", "memory_id": f"{n}"} for n in range(3)], LONG)
            view.update(LONG, {}, {"n": 1})
            view.delete_by_id("0", LONG)
            view.store_memagent({"agent_id": "bot", "memory_ids": ["1"]})
        before = [others(view) for view in (other, api)]
        assert acme.forget(everything=True, dry_run=True).deleted == {"pages": 1, LONG.value: 3, AGENTS.value: 1}
        assert set(tenants_in(config)) == left | {"acme"}
        receipt = acme.forget(everything=True, by="the customer")
        assert receipt.deleted == {"pages": 1, LONG.value: 3, AGENTS.value: 1}
        assert (receipt.versions, receipt.left) == ({LONG.value: 4}, 0)
        assert set(tenants_in(config)) == left
        assert [others(view) for view in (other, api)] == before
        assert (acme.versions("1", LONG), acme.restore("1", LONG, 0)) == ([], False)
        for view in (api, acme.memory("1")):
            with pytest.raises(ConfigurationError):
                view.forget(everything=True)
    finally:
        for view in (api, api.tenant("acme2")):
            view.delete_all(AGENTS)
            view.delete_all(LONG)
        api.drop_history(LONG, yes=True)
        api.drop_store("pages", yes=True)


def others(view: Any) -> Any:
    return [view.list_all(store, include_embedding=True) for store in (*STORES, "pages")] + [view.versions("1", LONG)]


def tenants_in(config: Any) -> list[str]:
    """Return the tenants that any table has a row of."""
    with psycopg.connect(config.conninfo) as connection:
        tables = connection.execute(
            "SELECT format('SELECT tenant FROM %I', relname) FROM pg_attribute "
            "JOIN pg_class ON pg_class.oid = attrelid "
            "WHERE attname = 'tenant' AND relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        (stores,) = connection.execute("SELECT count(*) FROM memorizz_stores").fetchone() or (0,)
        assert len(tables) == 4 * stores
        return [tenant for (tenant,) in connection.execute(" UNION ".join(each for (each,) in tables)).fetchall()]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"memory_id": "a", "filter": {"n": 1}},
        {"filter": {}},
        {"memory_id": 7},
        {"everything": True},
        {"memory_id": "a", "everything": True},
    ],
)
def test_what_is_meant_must_be_said(filled: Any, arguments: dict[str, Any]) -> None:
    """Neither nothing, nor two things, nor everything is taken."""
    with pytest.raises(ConfigurationError):
        filled.forget(**arguments)
    with pytest.raises(ConfigurationError, match="dry_run"):
        filled.forget("a", dry_run="no")
    with pytest.raises(FilterError):
        filled.forget(filter={"n": {"$near": 1}})
    assert filled.count(LONG) == 5
