"""Facts that end: valid_from, valid_until, and documents that take the place of others."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contract.conftest import MONGODB
from memorizz.errors import ConfigurationError, InvalidDocument
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.options import Call, SearchOptions

LONG, TURNS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY
PAST, FUTURE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2120, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
EAST = [1.0, 0.0, 0.0, 0.0]
# A document that holds, one that has ended, and one that does not hold yet.
THREE: list[dict[str, Any]] = [
    {"id": "holds", "valid_from": PAST, "valid_until": FUTURE},
    {"id": "ended", "valid_until": PAST},
    {"id": "later", "valid_from": FUTURE},
]
QUERIES: list[Any] = [
    {},
    {"memory_id": "m"},
    {"embedding": EAST},
    {"embedding": EAST, "memory_id": "m"},
    "tea",
    {"$text": {"$search": "tea"}, "memory_id": "m"},
    {"embedding": EAST, "$text": {"$search": "tea"}},
]


def ids(found: list[Any]) -> list[str]:
    return sorted(each["id"] for each in found)


def test_what_does_not_hold_is_in_no_search(api: Any) -> None:
    """By a filter, by vector, by words, in a memory, in all stores: only what is asked for by `ended`."""
    for each in THREE:
        api.store({"content": "tea", "memory_id": "m", "embedding": EAST, **each}, TURNS)
    for query in QUERIES:
        for exact in (False, True):
            assert ids(api.retrieve_by_query(query, TURNS, 9, exact=exact)) == ["holds"]
            assert ids(api.retrieve_by_query(query, TURNS, 9, exact=exact, ended=True)) == [
                "ended",
                "holds",
                "later",
            ]
    assert ids(api.recall("tea")) == ids(api.recall("tea", "m", unique=True)) == ["holds"]
    assert ids(api.recall("tea", ended=True)) == ["ended", "holds", "later"]
    assert ids(api.retrieve_memory_components_by_query("tea", EAST, "m")) == ["holds"]
    assert ids(api.retrieve_by_query("tea", TURNS, 9, options=SearchOptions(ended=True))) == [
        "ended",
        "holds",
        "later",
    ]


def test_everything_else_has_it(api: Any) -> None:
    """Reads by id and name, lists, counts, histories, changes and deletions: what has ended is kept, and not gone."""
    api.store_many([{"name": each["id"], "memory_id": "m", **each} for each in THREE], TURNS)
    for each in THREE:
        assert api.retrieve_by_id(each["id"], TURNS).items() >= each.items()
        assert api.retrieve_by_name(each["id"], TURNS)["id"] == each["id"]
    assert ids(api.list_all(TURNS)) == ids(list(api.iterate(TURNS))) == ["ended", "holds", "later"]
    assert api.count(TURNS, {"memory_id": "m"}) == 3
    assert api.count(TURNS, {"valid_until": {"$lte": datetime.now(UTC)}}) == 1
    assert len(api.retrieve_conversation_history_ordered_by_timestamp("m")) == 3
    assert api.update(TURNS, {"memory_id": "m"}, {"k": 1}) == 3
    assert api.delete_by_id("ended", TURNS) is True
    assert api.delete(TURNS, {}) == 2


def test_none_takes_an_end_away(api: Any) -> None:
    """Each of the calls that merge can end a fact, and have it hold again; the key comes back as None."""
    api.store({"id": "a"}, LONG)
    for call in (
        lambda keys: api.store({"id": "a", **keys}, LONG),
        lambda keys: api.store_many([{"id": "a", **keys}], LONG),
        lambda keys: api.update_by_id("a", keys, LONG),
        lambda keys: api.update(LONG, {"id": "a"}, keys),
    ):
        call({"valid_until": PAST})
        assert api.retrieve_by_query({}, LONG) == []
        call({"valid_until": None})
        assert api.retrieve_by_query({}, LONG)[0]["valid_until"] is None


def test_no_document_ends_before_it_begins(api: Any, server_name: str) -> None:
    """In one document, and where keys are merged into what is stored; a naive time is UTC, a moment may be both."""
    backwards = {"valid_from": FUTURE, "valid_until": PAST}
    for call in (
        lambda: api.store(backwards, LONG),
        lambda: api.store_many([{"n": n, **backwards} for n in range(20)], LONG),
        lambda: api.check(backwards, LONG),
        lambda: api.update_by_id("a", backwards, LONG),
    ):
        with pytest.raises(InvalidDocument, match="is not before valid_from: it is"):
            call()
    api.store({"id": "a", "valid_from": datetime(2020, 1, 1), "valid_until": PAST}, LONG)
    assert api.retrieve_by_id("a", LONG)["valid_from"] == api.retrieve_by_id("a", LONG)["valid_until"] == PAST
    if server_name != MONGODB:
        for keys in ({"valid_until": PAST - DAY}, {"valid_from": FUTURE}):
            for call in (
                lambda keys=keys: api.store({"id": "a", **keys}, LONG),
                lambda keys=keys: api.update_by_id("a", keys, LONG),
                lambda keys=keys: api.update(LONG, {"id": "a"}, keys),
            ):
                with pytest.raises(InvalidDocument, match="a time that is not before valid_from"):
                    call()
    for value in (5, "soon", float("nan")):
        with pytest.raises(InvalidDocument, match="valid_until"):
            api.store({"valid_until": value}, LONG)


def test_a_document_supersedes_another(api: Any) -> None:
    """The other one ends where it begins, and says which it is; both are read by id."""
    old = api.store({"content": "Ada lives in Rome.", "memory_id": "m", "valid_until": None}, LONG)
    new = api.store({"content": "Ada lives in Oslo.", "memory_id": "m"}, LONG, supersedes=old)
    assert ids(api.retrieve_by_query("Ada", LONG, 9)) == [new]
    was = api.retrieve_by_id(old, LONG)
    assert was["superseded_by"] == new
    assert PAST < was["valid_until"] <= datetime.now(UTC) + DAY
    api.store({"id": "c", "memory_id": "m", "content": "Ada", "valid_from": FUTURE}, LONG, supersedes=new)
    assert api.retrieve_by_id(new, LONG)["valid_until"] == FUTURE
    assert ids(api.retrieve_by_query("Ada", LONG, 9)) == [new]


def test_what_is_superseded_supersedes_nothing(api: Any) -> None:
    """Else each would end another one of a ring, and none of them would be found any more."""
    for id, other in (("b", "a"), ("c", "b")):
        api.store({"id": other, "memory_id": "m"}, LONG)
        api.store({"id": id, "memory_id": "m"}, LONG, supersedes=other)
    for id in ("a", "b"):
        with pytest.raises(InvalidDocument, match="that none has superseded itself"):
            api.store({"id": id, "memory_id": "m", "n": 1}, LONG, supersedes="c")
    assert ids(api.retrieve_by_query({"memory_id": "m"}, LONG, 9)) == ["c"]


def test_an_end_is_no_later_than_before(api: Any) -> None:
    """What had ended stays so, and what would begin after the new one never holds."""
    for stored, since, until in (
        ({"valid_from": None, "valid_until": PAST}, FUTURE, PAST),
        ({"valid_from": None, "valid_until": FUTURE}, PAST, PAST),
        ({"valid_from": FUTURE, "valid_until": None}, PAST, FUTURE),
        ({"valid_from": PAST, "valid_until": FUTURE}, PAST + DAY, PAST + DAY),
    ):
        api.store({"id": "a", **stored}, LONG)
        assert api.store({"id": "b", "valid_from": since}, LONG, supersedes="a") == "b"
        assert api.retrieve_by_id("a", LONG)["valid_until"] == until


def test_nothing_is_stored_where_there_is_none_to_supersede(api: Any, server_name: str) -> None:
    """An unknown id, its own, an expired one's, one of another memory or tenant: one error, and nothing half done."""
    api.store({"id": "a", "memory_id": "theirs"}, LONG)
    api.store({"id": "x", "expires_at": PAST}, LONG)
    api.store({"id": "mine", "memory_id": "mine"}, LONG)
    views = [api, api.memory("mine"), *([] if server_name == MONGODB else [api.tenant("acme")])]
    for view in views:
        for supersedes in ("a", "none", "new", "x", 5, {"$ne": 1}):
            with pytest.raises(InvalidDocument, match="long_term_memory: nothing supersedes"):
                view.store({"id": "new", "memory_id": "mine"}, LONG, supersedes=supersedes)
    with pytest.raises(InvalidDocument, match="nothing supersedes"):
        api.store({"id": "mine", "n": 1}, LONG, supersedes="a")
    with pytest.raises(ConfigurationError, match="one of the two"):
        api.store({"id": "new"}, LONG, supersedes="a", if_absent=True)
    assert api.retrieve_by_id("new", LONG) is None
    assert "valid_until" not in api.retrieve_by_id("a", LONG)
    # A stored document keeps its memory.
    api.store({"id": "b", "memory_id": "theirs"}, LONG)
    assert api.store({"id": "b", "n": 1}, LONG, supersedes="a") == "b"
    assert api.memory("mine").store({"id": "n"}, LONG, supersedes="mine") == "n"
    assert ids(api.retrieve_by_query({}, LONG, 9)) == ["b", "n"]


def test_a_transaction_supersedes_whole_or_not_at_all(api: Any) -> None:
    """What is superseded is over for a search in it; an error leaves nothing of it, the transaction goes on."""
    api.store({"id": "a"}, LONG)
    with suppress(ZeroDivisionError), api.transaction() as transaction:
        transaction.store({"id": "b"}, LONG, supersedes="a")
        assert ids(transaction.retrieve_by_query({}, LONG, 9)) == ["b"]
        with pytest.raises(InvalidDocument):
            transaction.store({"id": "c"}, LONG, supersedes="none")
        assert ids(transaction.list_all(LONG)) == ["a", "b"]
        raise ZeroDivisionError
    assert ids(api.retrieve_by_query({}, LONG, 9)) == ["a"]
    assert api.run_many([Call("store", {"id": "b"}, LONG, supersedes="a"), Call("count", LONG)]) == ["b", 2]
    assert ids(api.retrieve_by_query({}, LONG, 9)) == ["b"]


def test_a_view_of_a_time_finds_what_held_then(api: Any, server_name: str) -> None:
    """By when it was stored, and by when it holds."""
    if server_name == MONGODB:
        pytest.skip("MongoDB keeps no history")
    api.keep_history(LONG)
    try:
        api.store({"id": "a", "content": "tea", "embedding": EAST}, LONG)
        api.store({"id": "b", "content": "tea", "embedding": EAST, "valid_from": FUTURE}, LONG)
        before = api.retrieve_by_id("b", LONG)["updated_at"]
        api.store({"id": "c", "content": "tea", "embedding": EAST}, LONG, supersedes="a")
        for query in ({}, "tea", {"embedding": EAST}):
            assert ids(api.retrieve_by_query(query, LONG, 9)) == ["c"]
            assert ids(api.at(before).retrieve_by_query(query, LONG, 9)) == ["a"]
            assert ids(api.at(before).retrieve_by_query(query, LONG, 9, ended=True)) == ["a", "b"]
            assert ids(api.at(FUTURE + DAY).retrieve_by_query(query, LONG, 9)) == ["b", "c"]
        assert api.restore("a", LONG, before) is True
        assert ids(api.retrieve_by_query("tea", LONG, 9)) == ["a", "c"]
    finally:
        api.drop_history(LONG, yes=True)
