"""Policies: what of a store is due, by which rule, and that it goes in batches that wait for nobody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from contract.conftest import MONGODB
from memorizz.errors import ConfigurationError, MemorizzError
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.options import Call
from memorizz.memory_provider.policies import Policy
from memorizz.memory_provider.postgresql import operations
from memorizz.memory_provider.postgresql._steps import Batch
from memorizz.memory_provider.postgresql.maintenance import Maintenance

LONG, TURNS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY
DAY = timedelta(days=1)


@pytest.fixture
def api(api: Any, server_name: str) -> Iterator[Any]:
    """A provider whose stores have no policies after a test: the next one has the same database."""
    if server_name == MONGODB:
        pytest.skip("PostgreSQL alone has policies")
    yield api
    for store in (LONG, TURNS):
        api.set_policy(store, None)
    for tenant in ("tidy1", "tidy2"):
        api.tenant(tenant).run_many([Call("delete_all", store) for store in (LONG, TURNS)])


@pytest.fixture
def connection(api: Any, config: Any) -> Iterator[Any]:
    """Another program beside the library."""
    with psycopg.connect(config.conninfo, autocommit=True) as connection:
        yield connection


def left(api: Any, store: Any = LONG) -> str:
    return " ".join(sorted(each["id"] for each in api.list_all(store)))


def aged(id: str, days: float, **keys: Any) -> dict[str, Any]:
    """Return a document that was stored, and last changed, so many days ago."""
    return {"id": id, "created_at": datetime.now(UTC) - days * DAY, **keys}


def test_mongodb_has_none(open_provider: Any, kind: str) -> None:
    """And says so, rather than keeping what should have gone."""
    mongodb = open_provider(kind, MONGODB)
    for call in (lambda: mongodb.set_policy(LONG, Policy(keep_last=1)), mongodb.policies, mongodb.apply_policies):
        with pytest.raises(ConfigurationError, match="PostgreSQL has"):
            call()


def test_a_policy_that_leaves_few_agents_is_warned_of(api: Any, caplog: pytest.LogCaptureFixture) -> None:
    """They belong to no memory, so that all of them count as one."""
    api.set_policy(MemoryType.MEMAGENT, Policy(max_documents=5))
    assert "keep_last" not in caplog.text
    api.set_policy(MemoryType.MEMAGENT, Policy(keep_last=5))
    assert "agents: its documents belong to no memory" in caplog.text
    api.set_policy(MemoryType.MEMAGENT, None)


def test_a_policy_is_data(api: Any) -> None:
    """It is noted with the store, for every program; a new one takes its place, and None takes it away."""
    policy = Policy(expire_after=90 * DAY, least_importance=0.1, half_life=30 * DAY, keep_last=7, max_documents=99)
    api.set_policy(LONG, policy)
    api.set_policy(TURNS, Policy(keep_last=1))
    assert api.policies() == api.tenant("tidy1").policies() == {TURNS.value: Policy(keep_last=1), LONG.value: policy}
    api.set_policy(TURNS, Policy(keep_last=2))
    api.set_policy(LONG, None)
    assert api.policies() == {TURNS.value: Policy(keep_last=2)}
    for wrong in ({"keep_last": 1}, "90 days", True):
        with pytest.raises(ConfigurationError, match="expected a Policy"):
            api.set_policy(LONG, wrong)
    with pytest.raises(ConfigurationError, match="unknown memory store"):
        api.set_policy("nothing", Policy(keep_last=1))
    with pytest.raises(ConfigurationError, match="view"):
        api.tenant("tidy1").set_policy(LONG, None)


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"half_life": DAY},
        {"half_life": DAY, "keep_last": 1},
        {"expire_after": 90},
        {"expire_after": -DAY},
        {"keep_last": 0},
        {"keep_last": True},
        {"max_documents": 1.5},
        {"least_importance": 0},
        {"least_importance": float("nan")},
        {"least_importance": "1"},
    ],
    ids=str,
)
def test_what_is_no_rule_is_refused(rules: dict[str, Any]) -> None:
    """Before it is noted."""
    with pytest.raises(ConfigurationError):
        Policy(**rules)


def test_what_is_old_goes(api: Any) -> None:
    """By its last change; a document that is changed begins anew."""
    api.set_policy(LONG, Policy(expire_after=10 * DAY))
    api.store_many([aged("old", 11), aged("changed", 11), aged("new", 9)], LONG)
    api.update_by_id("changed", {"n": 1}, LONG)
    shown = api.apply_policies(dry_run=True)
    assert (left(api), shown.deleted, shown.dry_run) == ("changed new old", {LONG.value: 1}, True)
    done = api.apply_policies(by="nightly")
    assert (left(api), done.deleted, done.by, done.left) == ("changed new", {LONG.value: 1}, "nightly", 0)
    assert done.digest == shown.digest
    assert api.apply_policies().deleted == {}


def test_what_has_sunk_goes(api: Any) -> None:
    """Halved for each half-life since its last change or counted read; what has no importance stays."""
    api.set_policy(LONG, Policy(least_importance=0.25, half_life=10 * DAY))
    scores = {"a": (0.9, 21), "b": (1.1, 19), "c": (0.2, 0), "d": (-1, 0), "e": (1e-300, 0), "f": (1e300, 9999)}
    api.store_many([aged(id, days, importance_score=score) for id, (score, days) in scores.items()], LONG)
    api.store_many([aged("none", 999), aged("read", 21, importance_score=0.9)], LONG)
    api.retrieve_by_id("read", LONG, touch=True)
    api.apply_policies()
    assert left(api) == "b f none read"


def test_of_each_memory_the_newest_stay(api: Any) -> None:
    """By their time, and of equal times in the order in which they were stored; those of no memory count as one."""
    api.set_policy(TURNS, Policy(keep_last=2))
    noon = datetime(2026, 1, 1, tzinfo=UTC)
    for memory in ("m", "n", None):
        turns = [{"id": f"{memory}{n}", "memory_id": memory, "timestamp": noon} for n in range(3)]
        api.store_many([*turns, {"id": f"{memory}9", "memory_id": memory, "timestamp": noon + DAY}], TURNS)
    api.store({"id": "alone", "memory_id": "o"}, TURNS)
    assert api.memory("n").apply_policies().deleted == {TURNS.value: 2}
    assert left(api.memory("m"), TURNS) == "m0 m1 m2 m9"
    assert api.apply_policies().deleted == {TURNS.value: 4}
    assert left(api, TURNS) == "None2 None9 alone m2 m9 n2 n9"


def test_each_tenant_has_so_many(api: Any) -> None:
    """The least important go, of equals the oldest; each rule counts what the ones before have left."""
    api.set_policy(LONG, Policy(expire_after=10 * DAY, keep_last=3, max_documents=4))
    one, two = api.tenant("tidy1"), api.tenant("tidy2")
    for view in (one, two):
        view.store_many([aged(f"old{n}", 20, memory_id="m", importance_score=9) for n in range(5)], LONG)
        view.store_many([aged(f"m{n}", 9 - n, memory_id="m") for n in range(5)], LONG)
        view.store_many([aged(f"n{n}", 9 - n, memory_id="n", importance_score=n % 2) for n in range(3)], LONG)
    assert one.memory("m").apply_policies().deleted == {LONG.value: 7}
    assert left(one.memory("m")) == "m2 m3 m4"
    one.apply_policies()
    assert left(one) == "m3 m4 n1 n2"
    assert two.count(LONG) == 13
    assert api.apply_policies().deleted == {}


def test_maintenance_goes_through_all_tenants(api: Any, config: Any) -> None:
    """What has expired goes too; a dry run removes nothing."""
    api.set_policy(LONG, Policy(keep_last=1))
    tenants = ("", "tidy1", "tidy2")
    views = [api, *map(api.tenant, tenants[1:])]
    for view in views:
        view.store_many([{"id": "1"}, {"id": "2"}, {"id": "3", "expires_at": datetime.now(UTC)}], LONG)
    # Other tests may have left tenants of their own.
    with Maintenance(config) as maintenance:
        shown = {each.tenant: each for each in maintenance.tidy(dry_run=True)}
        told: list[tuple[int, float]] = []
        tidied = maintenance.tidy(by="nightly", watch=lambda *so_far: told.append(so_far))
        done = {each.tenant: each for each in tidied}
    assert told == sorted(told)
    assert told[-1] == (sum((each.expired or 0) + each.receipt.documents for each in tidied), 1)
    for tenant in tenants:
        assert (shown[tenant].expired, shown[tenant].receipt.documents) == (None, 1)
        assert (done[tenant].expired, done[tenant].receipt.documents, done[tenant].receipt.by) == (1, 1, "nightly")
    assert [left(view) for view in views] == ["2", "2", "2"]


def test_where_a_history_is_kept_it_has_what_went(api: Any) -> None:
    """The receipt says so, and it can be restored."""
    api.keep_history(LONG)
    try:
        api.set_policy(LONG, Policy(keep_last=1))
        api.store_many([{"id": "a", "n": 1}, {"id": "b"}], LONG)
        assert any("history of long_term_memory" in place for place in api.apply_policies().not_reached)
        last = api.versions("a", LONG)[-1]
        assert (last.operation, last.document) == ("policy", None)
        assert api.restore("a", LONG, api.versions("a", LONG)[0].number) is True
        assert api.retrieve_by_id("a", LONG)["n"] == 1
    finally:
        api.drop_history(LONG, yes=True)


def test_nobody_is_waited_for(api: Any, connection: Any) -> None:
    """What another writer has in hand stays until the next time, and is counted."""
    api.set_policy(LONG, Policy(expire_after=DAY))
    api.store_many([aged(f"{n}", 9) for n in range(3)], LONG)
    with connection.transaction():
        connection.execute("SELECT 1 FROM long_term_memory WHERE data ->> '_id' = '1' FOR UPDATE")
        done = api.apply_policies()
        assert (done.documents, done.left, left(api)) == (2, 1, "1")
    assert api.apply_policies().documents == 1


def test_what_is_changed_meanwhile_stays(api: Any, connection: Any) -> None:
    """Between being looked at and being deleted a document may become another one."""

    def interrupted(facts: Any) -> Any:
        operation, result, changed = operations.apply_policies(facts), None, False
        while True:
            try:
                step = operation.send(result)
            except StopIteration as done:
                return done.value
            if isinstance(step, Batch) and not changed:
                connection.execute("UPDATE long_term_memory SET updated_at = now() WHERE data ->> '_id' = '1'")
                changed = True
            result = yield step

    api.set_policy(LONG, Policy(expire_after=DAY))
    api.store_many([aged(f"{n}", 9) for n in range(3)], LONG)
    done = api.run(interrupted)
    assert (done.documents, done.left, left(api)) == (2, 1, "1")


def test_what_was_broken_off_goes_on(api: Any, connection: Any) -> None:
    """The batches that were done stay done, and the same call again does the others."""
    api.set_policy(LONG, Policy(expire_after=DAY))
    api.store_many([aged(f"{n}", 9, n=n) for n in range(1_200)], LONG)
    connection.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN IF (SELECT count(*) FROM long_term_memory) < 500 THEN RAISE EXCEPTION $$no more$$; "
        "END IF; RETURN NULL; END'; "
        "CREATE TRIGGER refuse AFTER DELETE ON long_term_memory FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
    )
    try:
        with pytest.raises(MemorizzError, match="no more"):
            api.apply_policies()
        assert api.count(LONG) == 700
    finally:
        connection.execute("DROP FUNCTION refuse() CASCADE")
    assert api.apply_policies().documents == 700


@pytest.mark.parametrize("dry_run", [True, False])
def test_it_says_how_far_it_is(api: Any, dry_run: bool) -> None:
    """How many are deleted, or would be, and the part of the work that is done, up to all of it."""
    for store in (LONG, TURNS):
        api.set_policy(store, Policy(keep_last=100))
        api.store_many([aged(f"{n}", 1) for n in range(1_200)], store)
    told: list[tuple[int, float]] = []
    done = api.apply_policies(dry_run=dry_run, watch=lambda *so_far: told.append(so_far))
    assert told == sorted(told)
    assert (told[0], told[-1]) == ((0, 0), (2_200, 1))
    assert done.documents == 2_200
    if not dry_run:
        assert [due for due, _ in told] == [0, 500, 1_000, 1_100, 1_100, 1_600, 2_100, 2_200, 2_200]
