"""A store in partitions answers every call as a store in one table does, whichever the tenant."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from memorizz.errors import ConfigurationError
from memorizz.memory_provider.options import Call
from memorizz.memory_provider.policies import Policy
from memorizz.memory_provider.stores import StoreSpec

ONE, SOME = "in_one_table", "in_partitions"
TENANTS = ("acme", "globex", "initech", "hooli", "umbrella")
PAST = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture
def both(api: Any) -> Iterator[Any]:
    """A provider with two stores of one spec, save that one is in three partitions."""
    api.create_store(StoreSpec(ONE, dimensions=4))
    api.create_store(StoreSpec(SOME, dimensions=4, partitions=3))
    yield api
    for store in (ONE, SOME):
        api.drop_store(store, yes=True)


@pytest.fixture
def tenants(both: Any, server_name: str) -> Any:
    if server_name == "MongoDB":
        pytest.skip("has no views by tenant")
    return both


def documents(tenant: str) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{tenant}-{n}",
            "name": f"note {n % 7}",
            "memory_id": f"m{n % 3}",
            "content": f"{tenant} says {'tea' if n % 4 else 'coffee'} number{n}",
            "embedding": [1.0, n, n % 5, 1],
            "n": n,
            "metadata": {"even": n % 2 == 0},
        }
        for n in range(40)
    ]


def plain(found: Any) -> Any:
    """Return documents without what the clock and the store have put into them."""
    if isinstance(found, list):
        return [plain(each) for each in found]
    if isinstance(found, dict):
        left = ("created_at", "updated_at", "last_accessed", "timestamp", "expires_at", "_store")
        return {key: plain(value) for key, value in found.items() if key not in left}
    return pytest.approx(found) if isinstance(found, float) else found


def done(view: Any, store: str, tenant: str) -> Iterator[Any]:
    """Do everything that a view does with documents, and yield what it returns."""
    meaning, words = {"embedding": [1, 9, 4, 1]}, {"$text": {"$search": "coffee"}}
    yield view.store(documents(tenant)[0], store)
    yield view.store_many(documents(tenant), store)
    yield view.store({"id": f"{tenant}-1", "n": 100}, store)
    yield view.store({"id": f"{tenant}-1", "n": 1000}, store, if_absent=True)
    yield view.count(store), view.count(store, {"memory_id": "m1"}), view.count(store, {"metadata.even": True})
    yield view.distinct(store, "name")
    for query in (meaning, words, meaning | words, meaning | {"memory_id": "m2"}, words | {"n": {"$gt": 20}}):
        for exact in (False, True):
            hits = view.retrieve_by_query(query, store, 5, exact=exact, include_embedding=True)
            yield plain(hits)
    yield [each["id"] for each in view.iterate(store, batch_size=7)]
    yield [each["id"] for each in view.list_all(store)]
    yield view.retrieve_by_id(f"{tenant}-3", store)["content"], view.retrieve_by_id("acme-3", store) is None
    yield view.retrieve_by_name("note 2", store)["n"]
    yield (
        view.update_by_id(f"{tenant}-3", {"content": "cocoa"}, store),
        view.update(store, {"n": {"$gt": 37}}, {"k": 1}),
    )
    yield plain(view.retrieve_by_query({"$text": {"$search": "cocoa"}}, store, touch=True))
    yield view.run_many([Call("count", store), Call("delete_by_id", f"{tenant}-4", store), Call("count", store)])
    with view.transaction() as together:
        together.store({"id": "new", "content": "milk"}, store)
        together.delete_by_name("note 5", store)
    yield view.store({"content": "no milk"}, store, supersedes="new") is not None
    yield plain(view.retrieve_by_query({"$text": {"$search": "milk"}}, store))[0]["content"]
    yield view.store({"id": "old", "expires_at": PAST}, store), view.count(store), view.purge_expired(store)
    yield view.delete(store, {"memory_id": "m2"}), view.count(store, {"memory_id": "m2"})
    yield view.delete(store, {"n": {"$lt": 10}}), view.count(store)
    yield view.delete_by_name("note 6", store), view.delete_by_id(f"{tenant}-30", store)
    yield [each["id"] for each in view.list_all(store) if each["id"] != "new"][:-1]


def test_every_call_returns_the_same(tenants: Any) -> None:
    """For five tenants, of which some share a partition; and what one does is nothing to the others."""
    for tenant in TENANTS:
        view = tenants.tenant(tenant)
        for one, some in zip(done(view, ONE, tenant), done(view, SOME, tenant), strict=True):
            assert some == one
    counts = [(tenants.tenant(tenant).count(ONE), tenants.tenant(tenant).count(SOME)) for tenant in TENANTS]
    assert len(set(counts)) == 1
    assert counts[0][0] == counts[0][1] > 0
    assert tenants.tenant(TENANTS[0]).delete_all(SOME)
    assert tenants.tenant(TENANTS[1]).forget(everything=True).left == 0
    assert [tenants.tenant(tenant).count(SOME) for tenant in TENANTS] == [0, 0] + [counts[0][0]] * 3
    assert tenants.count(SOME) == 0


def test_a_policy_is_applied_there_too(tenants: Any) -> None:
    """The newest of each tenant's memories are kept, by their own count."""
    for tenant in TENANTS:
        tenants.tenant(tenant).store_many([{"memory_id": "m", "n": n} for n in range(5)], SOME)
    tenants.set_policy(SOME, Policy(keep_last=2))
    for tenant in TENANTS:
        assert tenants.tenant(tenant).apply_policies().deleted[SOME]
        assert sorted(each["n"] for each in tenants.tenant(tenant).list_all(SOME)) == [3, 4]


def test_its_history_is_that_of_one_table(tenants: Any) -> None:
    """Versions, a view as of a time, undo and restore, of documents whose tenants are in different partitions."""
    found: dict[str, list[Any]] = {}
    for store in (ONE, SOME):
        tenants.keep_history(store)
        for tenant in TENANTS[:3]:
            acting = tenants.tenant(tenant).acting("ada", f"into {store}")
            acting.store_many(documents(tenant)[:6], store)
            acting.update_by_id(f"{tenant}-1", {"content": "cocoa"}, store)
            now = tenants.tenant(tenant).versions(f"{tenant}-1", store)[-1].since
            tenants.tenant(tenant).acting("bob", f"gone from {store}").delete_all(store)
            view = tenants.tenant(tenant)
            then = view.at(now).retrieve_by_query({"embedding": [1, 1, 1, 1]}, store, 3)
            listed = found.setdefault(store, [])
            listed += [
                plain(then),
                view.count(store),
                len(view.undo(call=f"gone from {store}")[store]),
                view.count(store),
            ]
            listed += [[version.operation for version in view.versions(f"{tenant}-1", store)]]
            listed += [view.restore(f"{tenant}-1", store, 1), view.retrieve_by_id(f"{tenant}-1", store)["content"]]
    assert found[SOME] == found[ONE]


def test_documents_of_several_vectors(api: Any, server_name: str) -> None:
    """Parts are in partitions with their documents, are found, replaced and deleted with them, and have a history."""
    if server_name == "MongoDB":
        pytest.skip("has one vector for a document")
    for store, partitions in ((ONE, None), (SOME, 3)):
        api.create_store(StoreSpec(store, dimensions=2, fields=("text", "notes[*]"), partitions=partitions))
    try:
        found: dict[str, list[Any]] = {}
        for store in (ONE, SOME):
            api.keep_history(store)
            begun = api.store({"id": "first"}, store) and api.versions("first", store)[-1].since
            for tenant in TENANTS:
                view, listed = api.tenant(tenant), found.setdefault(store, [])
                parts = [{"path": "text", "embedding": [1, 0]}, {"path": "notes[0]", "embedding": [0, 1]}]
                view.store({"id": "a", "text": tenant, "notes": ["two"], "embedding": parts}, store)
                view.store({"id": "b", "text": "three", "embedding": [{"path": "text", "embedding": [1, 1]}]}, store)
                listed.append(plain(view.retrieve_by_query({"embedding": [0, 1]}, store, 5, include_embedding=True)))
                view.update_by_id("a", {"notes": []}, store)
                listed.append(plain(view.retrieve_by_query({"embedding": [0, 1]}, store, 5)))
                listed.append([view.delete_by_id("b", store), view.count(store)])
                listed.append([len(view.undo(since=begun)[store]), len(view.list_all(store))])
        assert found[SOME] == found[ONE]
    finally:
        for store in (ONE, SOME):
            api.drop_store(store, yes=True)


@pytest.mark.parametrize("partitions", [0, 1, -3, 129, 2.0, "4", True])
def test_how_many_there_cannot_be(partitions: Any) -> None:
    """A spec says at once how many there may be."""
    with pytest.raises(ConfigurationError, match="expected 2 to 128, or None for one table"):
        StoreSpec(SOME, partitions=partitions)


def test_a_name_that_leaves_no_room(api: Any) -> None:
    """The names of a partition's indexes are made of that of the store, which is shorter there."""
    with pytest.raises(ConfigurationError, match=r"too long for a store in partitions.*up to 32"):
        StoreSpec("x" * 33, partitions=2)
    longest = StoreSpec("x" * 32, partitions=128, index="none", dimensions=2)
    api.create_store(longest)
    assert api.stores()[-1] == longest
    api.drop_store("x" * 32, yes=True)


def test_another_number_of_partitions_is_another_spec(both: Any) -> None:
    """Neither more nor fewer, nor none."""
    both.create_store(StoreSpec(SOME, dimensions=4, partitions=3))
    for partitions in (None, 2, 4):
        with pytest.raises(ConfigurationError, match=f"partitions is 3, not {partitions}"):
            both.create_store(StoreSpec(SOME, dimensions=4, partitions=partitions))
