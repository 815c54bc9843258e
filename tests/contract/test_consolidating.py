"""duplicates and consolidate: what says the same in a memory is found, merged by a rule, and can be undone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.conftest import MONGODB
from memorizz.errors import ConfigurationError, FilterError
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.stores import StoreSpec

LONG, TURNS, AGENTS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY, MemoryType.MEMAGENT
NOON = datetime(2026, 5, 6, 12, tzinfo=UTC)


@pytest.fixture
def api(api: Any, server_name: str) -> Any:
    if server_name == MONGODB:
        pytest.skip("PostgreSQL alone compares documents with each other")
    return api


@pytest.fixture
def kept(api: Any) -> Iterator[Any]:
    """That the history of the store is kept, for one test: the next one has the same database."""
    api.keep_history(LONG)
    yield api
    api.drop_history(LONG, yes=True)


def at(degrees: float) -> list[float]:
    """Return the vector in a direction: the similarity of two is the cosine of the angle between them."""
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0.0, 0.0]


def doc(id: str, minute: int, **keys: Any) -> dict[str, Any]:
    return {"id": id, "memory_id": "m", "created_at": NOON + timedelta(minutes=minute), **keys}


def groups(found: Any) -> dict[str, list[str]]:
    return {group.kept: [*group.others] for group in found}


def test_mongodb_says_so(open_provider: Any, kind: str) -> None:
    """Rather than nothing being found there."""
    mongodb = open_provider(kind, MONGODB)
    for call in (mongodb.duplicates, mongodb.consolidate):
        with pytest.raises(ConfigurationError, match="PostgreSQL does"):
            call(LONG, "m")


def test_the_newest_stands_for_those_near_it(api: Any) -> None:
    """Each is in the group of the first that is near enough, by the angle; the nearest first; no chain is one group."""
    turned = {"a": 0, "b": 8, "c": 16, "d": 24, "far": 90}
    api.store_many([doc(id, n, embedding=at(angle)) for n, (id, angle) in enumerate(turned.items())], LONG)
    cos = math.cos(math.radians(10))
    found = api.duplicates(LONG, "m", similarity=cos)
    assert groups(found) == {"d": ["c"], "b": ["a"]}
    assert found[0].others["c"] == pytest.approx(math.cos(math.radians(8)), abs=1e-6)
    assert groups(api.duplicates(LONG, "m", similarity=cos, limit=1)) == {"d": ["c"]}
    assert groups(api.duplicates(LONG, "m", similarity=math.cos(math.radians(17)))) == {"d": ["c", "b"]}
    assert groups(api.duplicates(LONG, "m", similarity=cos, where={"id": {"$ne": "d"}})) == {"c": ["b"]}
    assert groups(api.duplicates(LONG, "m", similarity=0.001)) == {"far": ["d", "c", "b"]}
    assert api.duplicates(LONG, "m", similarity=1) == []


def test_equal_texts_need_no_vectors(api: Any) -> None:
    """Of an equal name; blank ones and parts of a content are no texts, and what ends is left; one that has a vector
    stays."""
    api.store_many(
        [
            doc("v", 0, content="tea", embedding=at(0)),
            doc("w", 1, content="tea"),
            doc("x", 2, content="tea", name="Ada"),
            doc("y", 3, content=[{"type": "text", "text": "tea"}]),
            doc("z", 4, content="Tea"),
            *(doc(f"blank-{n}", 5, content=" ") for n in range(2)),
            *(doc(f"nothing-{n}", 5) for n in range(2)),
            *(doc(f"ends-{n}", 5, content="tea", valid_until=NOON + n * timedelta(days=9999)) for n in range(2)),
            *(doc(f"expires-{n}", 5, content="tea", ttl=999) for n in range(2)),
        ],
        LONG,
    )
    assert [group.others for group in api.duplicates(LONG, "m")] == [{"w": 1.0}]
    assert groups(api.duplicates(LONG, "m", similarity=1)) == {"v": ["w"]}


def test_memories_and_tenants_stay_apart(api: Any) -> None:
    """Those of no memory are one of their own; a view has its own alone."""
    same: dict[str, Any] = {"content": "tea", "embedding": at(0)}
    api.store_many([{"id": f"{memory}{n}", "memory_id": memory, **same} for memory in "ab" for n in (1, 2)], LONG)
    api.store_many([{"id": f"none{n}", **same} for n in (1, 2)], LONG)
    other = api.tenant("consolidating")
    other.store_many([{"id": f"a{n}", "memory_id": "a", **same} for n in (1, 2, 3)], LONG)
    assert groups(api.duplicates(LONG, "a")) == {"a2": ["a1"]}
    assert groups(api.duplicates(LONG)) == {"none2": ["none1"]}
    assert groups(api.memory("b").duplicates(LONG)) == {"b2": ["b1"]}
    assert groups(other.duplicates(LONG, "a")) == {"a3": ["a2", "a1"]}
    assert other.duplicates(LONG) == []
    with pytest.raises(ConfigurationError, match="no call leads out of"):
        api.memory("b").duplicates(LONG, "a")
    other.delete_all(LONG)


def test_it_is_merged_by_the_rule(kept: Any) -> None:
    """The newest keeps what it has, and takes over what it lacks of the newest that has it; the others are gone."""
    kept.store_many(
        [
            doc("1", 0, content="Tea?", embedding=at(2), topic="drinks", old=1, metadata={"a": 1, "b": 1}),
            doc("2", 1, content="tea", embedding=at(1), old=2, nothing=None, access_count=3, importance_score=0.5),
            doc("3", 2, content="Tea.", name="Ada", embedding=at(0), topic=None, metadata={"b": 2}, access_count=1),
            doc("4", 3, content="coffee", embedding=at(90)),
            doc("5", 4, content="Tea.", embedding=at(0), memory_id="n"),
        ],
        LONG,
    )
    was = {each["id"]: each for each in kept.list_all(LONG, include_embedding=True)}
    shown = kept.consolidate(LONG, "m", dry_run=True)
    assert (shown.dry_run, shown.call, groups(shown.groups)) == (True, None, {"3": ["2", "1"]})
    assert {each["id"]: each for each in kept.list_all(LONG, include_embedding=True)} == was
    done = kept.acting("ada").consolidate(LONG, "m")
    assert (done.groups, done.merged, done.dry_run) == (shown.groups, 2, False)
    assert done.as_json()["groups"][0]["kept"] == "3"
    now = {each["id"]: each for each in kept.list_all(LONG, include_embedding=True)}
    assert now.keys() == {"3", "4", "5"}
    assert (now["4"], now["5"]) == (was["4"], was["5"])
    took = {"old": 2, "nothing": None, "access_count": 4, "importance_score": 0.5, "created_at": NOON}
    assert now["3"] == {**was["3"], **took, "metadata": {"a": 1, "b": 2}, "updated_at": now["3"]["updated_at"]}
    last = kept.versions("3", LONG)[-1]
    assert (last.operation, last.actor, last.call) == ("consolidate", "ada", done.call)
    assert kept.consolidate(LONG, "m").groups == []


def test_it_is_undone(kept: Any) -> None:
    """By its call, whole: ids, keys, times and vectors are what they were, and are found as they were."""
    kept.store_many([doc(f"{n}", n, content=f"tea {n}", embedding=at(n / 10), n=n) for n in range(450)], LONG)
    was = kept.list_all(LONG, include_embedding=True)
    done = kept.consolidate(LONG, "m", similarity=math.cos(math.radians(5)))
    assert done.merged == 450 - len(done.groups)
    assert kept.count(LONG) == len(done.groups)
    undone = kept.undo(call=done.call)
    assert len(undone[LONG.value]) == 450
    now = kept.list_all(LONG, include_embedding=True)
    assert [{**each, "updated_at": None} for each in now] == [{**each, "updated_at": None} for each in was]
    assert kept.retrieve_by_query({"embedding": at(20)}, LONG, 1)[0]["id"] == "200"


def test_without_a_history_nothing_is_merged(api: Any) -> None:
    """For it could not be undone; what would be merged is said all the same."""
    api.store_many([doc(f"{n}", n, content="tea") for n in range(2)], LONG)
    with pytest.raises(ConfigurationError, match="keep_history"):
        api.consolidate(LONG, "m")
    assert api.count(LONG) == 2
    assert api.consolidate(LONG, "m", dry_run=True).merged == 1


def test_what_has_no_duplicates_is_refused(api: Any) -> None:
    """Turns, agents, and documents of several vectors; similarities that are none."""
    api.create_store(StoreSpec("pages", fields=("text",)))
    try:
        for store, why in ((TURNS, "place in time"), (AGENTS, "not embedded"), ("pages", "several vectors")):
            with pytest.raises(ConfigurationError, match=why):
                api.duplicates(store, "m")
    finally:
        api.drop_store("pages", yes=True)
    for similarity in (0, -1, 1.1, "1", None, True, math.nan):
        with pytest.raises(ConfigurationError, match="similarity="):
            api.duplicates(LONG, "m", similarity=similarity)
    with pytest.raises(FilterError):
        api.duplicates(LONG, "m", where={"n": {"$near": 1}})


@settings(max_examples=15)
@given(angles=st.lists(st.integers(0, 360), max_size=12), width=st.integers(1, 60))
def test_afterwards_no_two_are_near(kept: Any, angles: list[int], width: int) -> None:
    """What was merged was near what it is merged into; what stays is not near anything that stays."""
    kept.delete_all(LONG)
    kept.store_many([doc(f"{n}", n, embedding=at(angle)) for n, angle in enumerate(angles)], LONG)
    # Between whole degrees, where rounding decides nothing.
    least = math.cos(math.radians(width + 0.5))
    done = kept.consolidate(LONG, "m", similarity=least)
    stay = [int(each["id"]) for each in kept.list_all(LONG)]

    def near(one: int, other: int) -> bool:
        return math.cos(math.radians(angles[one] - angles[other])) >= least

    for group in done.groups:
        assert all(near(int(group.kept), int(other)) for other in group.others)
        assert all(int(other) < int(group.kept) for other in group.others)
    assert sorted([*stay, *(int(other) for group in done.groups for other in group.others)]) == [*range(len(angles))]
    assert not any(near(one, other) for one in stay for other in stay if one < other)


def test_it_says_how_far_it_is(kept: Any) -> None:
    """How many are compared, of how many, up to all of them; merging them says so too."""
    kept.store_many([doc(f"{n}", n, content=f"memory {n // 2}") for n in range(250)], LONG)
    for call in (kept.duplicates, kept.consolidate):
        told: list[tuple[int, int]] = []
        call(LONG, "m", watch=lambda *so_far: told.append(so_far))  # noqa: B023 - called in this round
        assert told == [(0, 250), (200, 250), (250, 250)]
