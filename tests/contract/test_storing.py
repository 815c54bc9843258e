"""store, store_many and update_by_id: inserting and merging."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from bson import ObjectId

from memorizz.errors import ConfigurationError, DimensionMismatch, InvalidDocument
from memorizz.memory_provider.memory_type import MemoryType
from naming import stable

LONG = MemoryType.LONG_TERM_MEMORY
TURNS = MemoryType.CONVERSATION_MEMORY
EAST, NORTH = [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]
LONG_AGO = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)


class Mood(Enum):
    CALM = "calm"


class Vector:
    """Becomes an array, as pgvector's Vector does."""

    def to_numpy(self) -> Any:
        return np.array([0.5, 0.25, 0, -1], dtype=np.float32)


def own(document: dict[str, Any]) -> dict[str, Any]:
    """The part of a document that is the user's."""
    return {key: value for key, value in document.items() if key not in ("id", "_id", "created_at", "updated_at")}


# --- store: insert ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory_type", list(MemoryType))
def test_a_document_is_stored_and_read_back(api: Any, memory_type: MemoryType) -> None:
    """In each of the seven stores, what goes in under a new id comes out."""
    id = api.store({"name": "Ada", "content": "likes tea", "embedding": EAST, "shoe": 38}, memory_type)
    stored = api.retrieve_by_id(id, memory_type)
    stored.pop("timestamp", None)  # a turn has one
    assert own(stored) == {"name": "Ada", "content": "likes tea", "shoe": 38}
    assert stored["id"] == stored["_id"] == id


@pytest.mark.parametrize("memory_type", list(MemoryType))
def test_a_store_is_named_by_its_member_or_its_value(api: Any, memory_type: MemoryType) -> None:
    """A store's string value is as good as the member."""
    id = api.store({"name": "Ada"}, memory_type.value)
    assert api.retrieve_by_id(id, memory_type)["name"] == "Ada"


def test_a_new_id_is_a_uuid_that_sorts_by_time(api: Any) -> None:
    """Ids that the provider makes are canonical UUIDv7."""
    ids = [api.store({}, LONG) for _ in range(3)]
    assert [UUID(id).version for id in ids] == [7, 7, 7]
    assert [str(UUID(id)) for id in ids] == ids == sorted(ids)


def test_documents_without_id_are_never_merged(api: Any) -> None:
    """The same name twice is two documents."""
    first, second = api.store({"name": "Ada"}, LONG), api.store({"name": "Ada"}, LONG)
    assert first != second
    assert api.count(LONG) == 2


def test_an_id_of_none_is_no_id(api: Any) -> None:
    """`_id: None` inserts a new document under a new id."""
    first, second = api.store({"_id": None, "id": None}, LONG), api.store({"_id": None}, LONG)
    assert first != second
    assert api.count(LONG) == 2


def test_an_empty_document_is_a_document(api: Any) -> None:
    """A document needs no key at all."""
    assert own(api.retrieve_by_id(api.store({}, LONG), LONG)) == {}


def test_the_callers_dict_is_not_changed(api: Any) -> None:
    """store adds nothing to and takes nothing from what it was given."""
    data = {"name": "Ada", "tags": ["a"], "metadata": {"a": {"b": 1}}, "embedding": EAST, "x": {1, 2}, "_score": 1.0}
    before = {**data, "tags": ["a"], "metadata": {"a": {"b": 1}}, "embedding": list(EAST), "x": {1, 2}}
    api.store(data, LONG)
    assert data == before


def test_times_given_on_insert_are_kept(api: Any) -> None:
    """created_at and updated_at of a new document are the caller's where given."""
    id = api.store({"created_at": LONG_AGO, "updated_at": LONG_AGO.replace(year=2002)}, LONG)
    stored = api.retrieve_by_id(id, LONG)
    assert (stored["created_at"], stored["updated_at"]) == (LONG_AGO, LONG_AGO.replace(year=2002))


def test_times_not_given_are_now(api: Any) -> None:
    """created_at and updated_at of a new document are the time of storing, aware and in UTC."""
    before = datetime.now(UTC)
    stored = api.retrieve_by_id(api.store({}, LONG), LONG)
    assert abs((stored["created_at"] - before).total_seconds()) < 60
    assert stored["created_at"].tzinfo is UTC
    assert stored["updated_at"] >= stored["created_at"]


def test_a_turn_without_timestamp_gets_its_created_at(api: Any) -> None:
    """A conversation's turn always has a timestamp; given as None it counts as not given."""
    for turn in ({}, {"timestamp": None}, {"created_at": LONG_AGO}, {"created_at": LONG_AGO, "timestamp": None}):
        stored = api.retrieve_by_id(api.store(turn, TURNS), TURNS)
        assert stored["timestamp"] == stored["created_at"]
    assert stored["timestamp"] == LONG_AGO


def test_a_timestamp_given_is_kept(api: Any) -> None:
    """A turn's own timestamp is not its created_at."""
    stored = api.retrieve_by_id(api.store({"timestamp": LONG_AGO}, TURNS), TURNS)
    assert stored["timestamp"] == LONG_AGO
    assert stored["created_at"] > LONG_AGO


def test_a_document_elsewhere_than_in_conversations_has_no_timestamp(api: Any) -> None:
    """Only turns get a timestamp of their own."""
    assert "timestamp" not in api.retrieve_by_id(api.store({}, LONG), LONG)


# --- store: merge -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["id", "_id"])
def test_storing_under_an_id_merges_the_given_keys(api: Any, key: str) -> None:
    """Keys given replace, keys not given stay, and the document stays one."""
    id = api.store({"name": "Ada", "content": "tea", "shoe": 38, "nested": {"a": 1, "b": 2}}, LONG)
    assert api.store({key: id, "content": "coffee", "nested": {"c": 3}, "hat": 7}, LONG) == id
    assert own(api.retrieve_by_id(id, LONG)) == {
        "name": "Ada", "content": "coffee", "shoe": 38, "nested": {"c": 3}, "hat": 7,
    }  # fmt: skip
    assert api.count(LONG) == 1


def test_merging_moves_updated_at_and_not_created_at(api: Any) -> None:
    """updated_at tells of the last change; created_at stays, whatever is given later."""
    id = api.store({"name": "Ada"}, LONG)
    first = api.retrieve_by_id(id, LONG)
    api.store({"id": id, "shoe": 38, "created_at": LONG_AGO, "updated_at": LONG_AGO}, LONG)
    second = api.retrieve_by_id(id, LONG)
    assert second["created_at"] == first["created_at"]
    assert second["updated_at"] > first["updated_at"]


def test_a_turn_keeps_its_timestamp_when_merged(api: Any) -> None:
    """Storing a turn again without timestamp, or with None, does not move it in the history."""
    id = api.store({"timestamp": LONG_AGO}, TURNS)
    api.store({"id": id, "content": "a"}, TURNS)
    api.store({"id": id, "timestamp": None}, TURNS)
    assert api.retrieve_by_id(id, TURNS)["timestamp"] == LONG_AGO


def test_an_id_belongs_to_one_store(api: Any) -> None:
    """The same id in two stores is two documents."""
    api.store({"id": "one", "name": "long"}, LONG)
    api.store({"id": "one", "name": "turn"}, TURNS)
    assert api.retrieve_by_id("one", LONG)["name"] == "long"
    assert api.retrieve_by_id("one", TURNS)["name"] == "turn"


def test_a_key_of_none_is_not_a_missing_key(api: Any) -> None:
    """None comes back as None, in keys with a column and without, and replaces what was there; a value replaces it."""
    keys = [
        "name",
        "content",
        "role",
        "memory_id",
        "conversation_id",
        "importance_score",
        "metadata",
        "expires_at",
        "x",
    ]
    id = api.store(dict.fromkeys(keys), LONG)
    assert own(api.retrieve_by_id(id, LONG)) == dict.fromkeys(keys)
    api.store({"id": id, "name": "Ada", "importance_score": 0.5, "metadata": {}, "x": 1}, LONG)
    expected = dict.fromkeys(keys) | {"name": "Ada", "importance_score": 0.5, "metadata": {}, "x": 1}
    assert own(api.retrieve_by_id(id, LONG)) == expected
    api.store({"id": id, "name": None, "metadata": None, "x": None}, LONG)
    assert own(api.retrieve_by_id(id, LONG)) == expected | {"name": None, "metadata": None, "x": None}


def test_an_embedding_of_none_clears_it(api: Any) -> None:
    """embedding: None takes the vector away; leaving the key out keeps it."""
    id = api.store({"embedding": EAST}, LONG)
    api.store({"id": id, "name": "Ada"}, LONG)
    assert api.retrieve_by_id(id, LONG, include_embedding=True)["embedding"] == EAST
    api.store({"id": id, "embedding": None}, LONG)
    assert api.retrieve_by_id(id, LONG, include_embedding=True)["embedding"] is None
    assert api.retrieve_by_query({"embedding": EAST}, LONG) == []


def test_a_recalled_document_can_be_stored_back_as_it_is(api: Any) -> None:
    """A hit with _id, id, score, distance and times goes back without leaving a trace of the search."""
    id = api.store({"name": "Ada", "content": "tea", "embedding": EAST, "shoe": 38}, LONG)
    [hit] = api.retrieve_by_query({"embedding": EAST}, LONG, limit=1)
    assert {"score", "distance", "_score", "_distance", "_id"} <= set(hit)
    hit["content"] = "coffee"
    assert api.store(hit, LONG) == id
    stored = api.retrieve_by_id(id, LONG)
    assert own(stored) == {"name": "Ada", "content": "coffee", "shoe": 38}
    assert stored["created_at"] == hit["created_at"]
    assert api.retrieve_by_id(id, LONG, include_embedding=True)["embedding"] == EAST


def test_a_score_of_the_users_own_is_never_lost(api: Any) -> None:
    """A document's own score and distance come back from a search and survive storing the hit back."""
    id = api.store({"score": 7, "distance": "far", "embedding": EAST}, LONG)
    [hit] = api.retrieve_by_query({"embedding": EAST}, LONG)
    assert (hit["score"], hit["distance"]) == (7, "far")
    assert hit["_score"] == pytest.approx(1.0)
    api.store(hit, LONG)
    assert own(api.retrieve_by_id(id, LONG)) == {"score": 7, "distance": "far"}


def test_a_score_changed_after_a_recall_is_the_users(api: Any) -> None:
    """score is dropped on the way back only while it is still the search's."""
    id = api.store({"embedding": EAST}, LONG)
    [hit] = api.retrieve_by_query({"embedding": EAST}, LONG)
    api.store({**hit, "score": 42}, LONG)
    assert own(api.retrieve_by_id(id, LONG)) == {"score": 42}


def test_a_score_without_a_search_is_the_users(api: Any) -> None:
    """A document that never came from a search may have keys called score and distance."""
    id = api.store({"score": 0.9, "distance": 0.1}, LONG)
    assert own(api.retrieve_by_id(id, LONG)) == {"score": 0.9, "distance": 0.1}


def test_underscored_keys_of_a_search_are_never_stored(api: Any) -> None:
    """_score, _distance and _explanation are the search's alone."""
    id = api.store({"_score": 1, "_distance": 2, "_explanation": "x", "a": 1}, LONG)
    assert own(api.retrieve_by_id(id, LONG)) == {"a": 1}


# --- store: what a value may be -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("text \U0001f600 ünï", "text \U0001f600 ünï"),
        (0, 0),
        (2**70, 2**70),
        (1e23, 1e23),
        (0.1, 0.1),
        (True, True),
        (None, None),
        ([1, [2, {"a": None}]], [1, [2, {"a": None}]]),
        ({}, {}),
        (LONG_AGO, "2001-02-03T04:05:06+00:00"),
        (UUID(int=7), str(UUID(int=7))),
        (ObjectId("65a000000000000000000001"), "65a000000000000000000001"),
        (Mood.CALM, "calm"),
        (Decimal("1.10"), "1.10"),
        ({3}, [3]),
        ((1, 2), [1, 2]),
        (np.float32(0.5), 0.5),
        (np.int64(5), 5),
        (np.bool_(True), True),
        (np.array([1, 2]), [1, 2]),
    ],
    ids=repr,
)
def test_a_value_comes_back_as_json_has_it(api: Any, value: Any, kept: Any) -> None:
    """What JSON has comes back the same, type included; what it has not comes back as the contract says."""
    stored = api.retrieve_by_id(api.store({"key": value, "metadata": {"deep": [value]}}, LONG), LONG)
    assert stored["key"] == kept
    assert type(stored["key"]) is type(kept)
    assert stored["metadata"] == {"deep": [kept]}


@pytest.mark.parametrize(
    "vector",
    [
        (0.5, 0.25, 0, -1),
        np.array([0.5, 0.25, 0, -1]),
        np.array([0.5, 0.25, 0, -1], dtype=np.float32),
        np.array([0.5, 0.25, 0, -1], dtype=np.float16),
        np.array([[0.5, 9], [0.25, 9], [0, 9], [-1, 9]])[:, 0],
        Vector(),
    ],
    ids=["tuple", "float64", "float32", "float16", "strided", "to_numpy"],
)
def test_an_embedding_may_be_any_sequence_of_numbers(api: Any, vector: Any) -> None:
    """Tuples, numpy arrays of any float type and what becomes one are as good as lists; a list of float comes back."""
    id = api.store({"embedding": vector}, LONG)
    stored = api.retrieve_by_id(id, LONG, include_embedding=True)["embedding"]
    assert stored == [0.5, 0.25, 0.0, -1.0]
    assert {type(number) for number in stored} == {float}


@pytest.mark.parametrize("key", ["created_at", "updated_at", "timestamp", "last_accessed", "expires_at"])
@pytest.mark.parametrize(
    "moment",
    [
        datetime(2101, 2, 3, 4, 5, 6, 7, tzinfo=UTC),
        datetime(2101, 2, 3, 4, 5, 6, 7),
        "2101-02-03T04:05:06.000007Z",
        "2101-02-03T05:05:06.000007+01:00",
        "2101-02-03 04:05:06.000007",
    ],
    ids=["aware", "naive", "Z", "offset", "naive text"],
)
def test_a_time_is_an_aware_datetime_outside(api: Any, key: str, moment: Any) -> None:
    """Times may be given as datetimes or ISO strings, naive ones as UTC; they come back as aware UTC datetimes."""
    stored = api.retrieve_by_id(api.store({key: moment}, LONG), LONG)
    assert stored[key] == datetime(2101, 2, 3, 4, 5, 6, 7, tzinfo=UTC)
    assert stored[key].tzinfo is UTC


@pytest.mark.parametrize(
    ("document", "path", "reason"),
    [
        ({"a": {"b": [1, object()]}}, "a.b[1]", "object"),
        ({"a": float("nan")}, "a", "nan"),
        ({"metadata": {"x": float("inf")}}, "metadata.x", "inf"),
        ({"content": "a\0b"}, "content", "NUL"),
        ({"a": {"b\0": 1}}, "a.b\0", "NUL"),
        ({"a": "\ud800"}, "a", "surrogate"),
        ({"name": 5}, "name", "str"),
        ({"role": ["user"]}, "role", "str"),
        ({"memory_id": 1}, "memory_id", "str"),
        ({"importance_score": "high"}, "importance_score", "number"),
        ({"importance_score": True}, "importance_score", "number"),
        ({"metadata": ["not", "an", "object"]}, "metadata", "dict"),
        ({"created_at": "yesterday"}, "created_at", "ISO 8601"),
        ({"expires_at": 5}, "expires_at", "datetime"),
        ({"name": "é" * 513}, "name", "1024"),
        ({"a": {1: 2}}, "a", "strings"),
        ({"embedding": [1, 2, 3, float("nan")]}, "embedding", "NaN"),
        ({"embedding": [0, 0, 0, 0]}, "embedding", "zero"),
        ({"embedding": [1e39, 0, 0, 0]}, "embedding", "finite"),
        ({"embedding": "abcd"}, "embedding", "list"),
        ({"embedding": [[1, 2, 3, 4]]}, "embedding", "list"),
        ({"id": 5}, "id", "id"),
        ({"id": ""}, "id", "id"),
        ({"_id": "a\0"}, "_id", "id"),
        ({"id": "a", "_id": "b"}, "_id", "two ids"),
    ],
    ids=lambda value: stable(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_stored_is_refused_by_its_path(
    api: Any, document: dict[str, Any], path: str, reason: str
) -> None:
    """A value that cannot be kept is an InvalidDocument that names its key path, and nothing is stored."""
    with pytest.raises(InvalidDocument, match=reason) as caught:
        api.store(document, LONG)
    assert caught.value.path == path
    with pytest.raises(InvalidDocument):
        api.store_many([{"name": "fine"}, document], LONG)
    assert api.count(LONG) == 0


def test_a_decimal_fits_the_keys_of_numbers(api: Any) -> None:
    """It becomes the nearest double, and the integer that it is; what is no such number is refused."""
    id = api.store({"importance_score": Decimal("0.1"), "access_count": Decimal("3.0")}, LONG)
    stored = api.retrieve_by_id(id, LONG)
    assert (stored["importance_score"], stored["access_count"]) == (0.1, 3)
    assert (type(stored["importance_score"]), type(stored["access_count"])) == (float, int)
    assert api.count(LONG, {"importance_score": Decimal("0.1"), "access_count": {"$lte": Decimal("3.5")}}) == 1
    for value in (Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity"), Decimal("1e400")):
        for key in ("importance_score", "access_count"):
            with pytest.raises(InvalidDocument, match="expected a"):
                api.store({key: value}, LONG)
    with pytest.raises(InvalidDocument, match="64-bit integer"):
        api.store({"access_count": Decimal("3.5")}, LONG)
    with pytest.raises(InvalidDocument, match="finite number"):
        api.store({"price": Decimal("NaN")}, LONG)


def test_a_decimal_in_a_filter_is_a_number(api: Any) -> None:
    """It compares with the numbers that documents hold; and what was stored as a decimal, a text, equals it too."""
    prices = [0.5, 1, 1.5, 2**70, "1.5", Decimal("1.50"), True, None]
    api.store_many([{"id": f"p{place}", "price": price, "tags": [price]} for place, price in enumerate(prices)], LONG)

    def found(filter: dict[str, Any]) -> list[str]:
        return [each["id"] for each in api.retrieve_by_query(filter, LONG, limit=9)]

    assert found({"price": {"$gt": Decimal("0.5")}}) == ["p1", "p2", "p3"]
    assert found({"price": {"$lte": Decimal("1.0")}}) == ["p0", "p1"]
    assert found({"price": Decimal("1.50")}) == ["p2", "p5"]
    assert found({"price": {"$in": [Decimal("1.0"), Decimal(2**70)]}}) == ["p1", "p3"]
    assert found({"price": {"$ne": Decimal("1.50")}}) == ["p0", "p1", "p3", "p4", "p6", "p7"]
    assert found({"tags": {"$contains": Decimal("1.50")}}) == ["p2", "p5"]


def test_an_indexed_text_holds_1024_bytes(api: Any) -> None:
    """The longest name, memory_id, role and conversation_id come back whole."""
    longest = dict.fromkeys(["name", "memory_id", "role", "conversation_id"], "é" * 512)
    id = api.store(longest, LONG)
    assert own(api.retrieve_by_id(id, LONG)) == longest
    assert api.retrieve_by_name("é" * 512, LONG)["id"] == id


def test_the_wrong_length_is_named(api: Any) -> None:
    """An embedding of another length is an error that names expected, got and the store."""
    with pytest.raises(DimensionMismatch, match="vector dimension mismatch") as caught:
        api.store({"embedding": [1.0, 2.0]}, LONG)
    assert (caught.value.expected, caught.value.got, caught.value.store) == (4, 2, "long_term_memory")


@pytest.mark.parametrize("data", [None, "text", 5, ["a"], [("a", 1)]], ids=repr)
def test_a_document_is_a_dict(api: Any, data: Any) -> None:
    """Anything but a mapping is refused as a document."""
    with pytest.raises(InvalidDocument, match="expected a dict"):
        api.store(data, LONG)


@pytest.mark.parametrize("name", ["nope", "", "PERSONAS", None, 5], ids=repr)
def test_an_unknown_store_is_refused_with_the_seven(api: Any, name: Any) -> None:
    """Anything but the seven stores is a ConfigurationError that lists them."""
    with pytest.raises(ConfigurationError) as caught:
        api.store({}, name)
    assert all(member.value in str(caught.value) for member in MemoryType)


# --- store_many ---------------------------------------------------------------------------------------------------


def test_store_many_returns_the_ids_in_order(api: Any) -> None:
    """Documents with and without ids are stored in the order given, and named in it."""
    ids = api.store_many([{"n": 0}, {"id": "one", "n": 1}, {"n": 2}, {"_id": ObjectId(b"b" * 12), "n": 3}], LONG)
    assert [ids[1], ids[3]] == ["one", "62" * 12]
    assert [api.retrieve_by_id(id, LONG)["n"] for id in ids] == [0, 1, 2, 3]
    assert [document["id"] for document in api.list_all(LONG)] == ids


@pytest.mark.parametrize("documents", [[], (), iter([])], ids=["list", "tuple", "iterator"])
def test_store_many_of_nothing_stores_nothing(api: Any, documents: Any) -> None:
    """No documents are no ids."""
    assert api.store_many(documents, LONG) == []
    assert api.list_all(LONG) == []


def test_store_many_merges_the_same_id_in_order(api: Any) -> None:
    """An id that comes twice is one document with the keys of both, the later ones winning."""
    ids = api.store_many([{"id": "x", "a": 1, "b": 1}, {"id": "y"}, {"id": "x", "b": 2, "c": 2}], LONG)
    assert ids == ["x", "y", "x"]
    assert own(api.retrieve_by_id("x", LONG)) == {"a": 1, "b": 2, "c": 2}
    assert api.count(LONG) == 2


def test_store_many_of_many_inserts_and_merges(api: Any) -> None:
    """New documents with and without ids, some that exist, some that come twice, with whatever keys: as one by one."""
    api.store_many([{"id": f"d{n}", "n": -1, "kept": n} for n in range(0, 60, 7)], LONG)
    api.store({"id": "d1", "old": True, "expires_at": "2001-01-01"}, LONG)
    documents: list[dict[str, Any]] = [
        {"id": f"d{n}", "n": n}
        | ({"name": f"Ada {n}"} if n % 2 else {})
        | ({"created_at": f"2001-01-{n % 28 + 1:02}"} if n % 3 else {"role": None})
        | ({"embedding": [1, n, 0, 0]} if n % 5 else {})
        for n in range(60)
    ]
    documents += [{"id": "d5", "again": 1}, {"content": "no id"}, {"id": "d5", "again": 2}]
    ids = api.store_many(documents, LONG)
    assert [*ids[:61], ids[62]] == [*(f"d{n}" for n in range(60)), "d5", "d5"]
    found = {each["id"]: each for each in api.list_all(LONG, include_embedding=True)}
    assert len(found) == 61
    assert found[ids[61]]["content"] == "no id"
    assert found["d5"]["again"] == 2
    for n in range(60):
        stored = found[f"d{n}"]
        assert (stored["n"], stored.get("kept")) == (n, None if n % 7 else n)
        assert stored.get("name") == (f"Ada {n}" if n % 2 else None)
        assert ("role" in stored) == (n % 3 == 0)
        assert stored["embedding"] == ([1, n, 0, 0] if n % 5 else None)
        assert (stored["created_at"].year == 2001) == bool(n % 3 and n % 7), n
    assert "old" not in found["d1"]


def test_store_many_keeps_the_order_of_documents_of_all_kinds(api: Any) -> None:
    """Whatever some of them bring: a lifetime, a name, a time of their own."""
    timed = {"timestamp": datetime(2020, 1, 1, tzinfo=UTC)}
    kinds: list[dict[str, Any]] = [{}, {"ttl": 3600}, timed, {"name": "n"}, {"expires_at": None}]
    documents = [{"n": n, **kinds[n % len(kinds)]} for n in range(40)]
    ids = api.store_many(documents, LONG)
    assert [each["n"] for each in api.list_all(LONG)] == list(range(40))
    assert [each["id"] for each in api.list_all(LONG)] == ids


def test_store_many_takes_a_generator_of_any_length(api: Any) -> None:
    """A generator longer than one batch is stored whole, in order."""
    ids = api.store_many(({"n": n} for n in range(1203)), LONG)
    assert [document["n"] for document in api.list_all(LONG)] == list(range(1203))
    assert len(set(ids)) == 1203


def test_store_many_is_all_or_nothing(api: Any) -> None:
    """A generator that fails, or brings something wrong, after many good documents leaves none of them."""

    def failing(last: Any) -> Iterator[Any]:
        for n in range(700):
            yield {"n": n}
        if isinstance(last, Exception):
            raise last
        yield last

    with pytest.raises(ZeroDivisionError):
        api.store_many(failing(ZeroDivisionError()), LONG)
    with pytest.raises(InvalidDocument):
        api.store_many(failing({"bad": object()}), LONG)
    with pytest.raises(DimensionMismatch):
        api.store_many(failing({"embedding": [1.0]}), LONG)
    assert api.count(LONG) == 0


@pytest.mark.parametrize("documents", [{"name": "one"}, "text"], ids=repr)
def test_store_many_refuses_one_document(api: Any, documents: Any) -> None:
    """A dict in place of a list of dicts is a mistake that is said."""
    with pytest.raises(InvalidDocument, match="iterable"):
        api.store_many(documents, LONG)


def test_store_many_merges_into_what_is_stored(api: Any) -> None:
    """Each document is stored as by store."""
    id = api.store({"name": "Ada", "a": 1, "embedding": EAST}, LONG)
    api.store_many([{"id": id, "b": 2}, {"id": id, "embedding": NORTH}], LONG)
    stored = api.retrieve_by_id(id, LONG, include_embedding=True)
    assert own(stored) == {"name": "Ada", "a": 1, "b": 2, "embedding": NORTH}


# --- update_by_id -------------------------------------------------------------------------------------------------


def test_update_merges(api: Any) -> None:
    """update_by_id merges keys as store does and says True."""
    id = api.store({"name": "Ada", "a": 1, "embedding": EAST}, LONG)
    before = api.retrieve_by_id(id, LONG)
    assert api.update_by_id(id, {"a": 2, "b": None, "embedding": NORTH, "created_at": LONG_AGO}, LONG) is True
    after = api.retrieve_by_id(id, LONG, include_embedding=True)
    assert own(after) == {"name": "Ada", "a": 2, "b": None, "embedding": NORTH}
    assert after["created_at"] == before["created_at"]
    assert after["updated_at"] > before["updated_at"]


def test_update_is_true_when_nothing_changed(api: Any) -> None:
    """True says that the document exists."""
    id = api.store({"a": 1}, LONG)
    assert api.update_by_id(id, {"a": 1}, LONG) is True
    assert api.update_by_id(id, {}, LONG) is True
    assert own(api.retrieve_by_id(id, LONG)) == {"a": 1}


@pytest.mark.parametrize(
    "id", ["65a0000000000000000000ff", str(UUID(int=1)), "", "a\0", "\ud800", None, 5, []], ids=repr
)
def test_update_of_an_unknown_id_is_false(api: Any, id: Any) -> None:
    """An unknown or malformed id is False, and nothing is stored."""
    assert api.update_by_id(id, {"a": 1}, LONG) is False
    assert api.count(LONG) == 0


def test_update_takes_a_recalled_document(api: Any) -> None:
    """The document's own id in the data is fine, and the search's keys are dropped."""
    id = api.store({"_id": ObjectId("65a000000000000000000001"), "embedding": EAST, "a": 1}, LONG)
    [hit] = api.retrieve_by_query({"embedding": EAST}, LONG)
    assert api.update_by_id(ObjectId(id), hit, LONG) is True
    assert own(api.retrieve_by_id(id, LONG)) == {"a": 1}


def test_update_refuses_the_id_of_another_document(api: Any) -> None:
    """Data with another id than the document's is refused, not silently stored elsewhere."""
    id = api.store({"a": 1}, LONG)
    with pytest.raises(InvalidDocument, match="other"):
        api.update_by_id(id, {"id": "other", "a": 2}, LONG)
    assert own(api.retrieve_by_id(id, LONG)) == {"a": 1}


def test_update_refuses_what_store_refuses(api: Any) -> None:
    """A wrong value is refused by its path and changes nothing."""
    id = api.store({"a": 1}, LONG)
    with pytest.raises(InvalidDocument, match="NUL"):
        api.update_by_id(id, {"a": 2, "b": "\0"}, LONG)
    with pytest.raises(DimensionMismatch):
        api.update_by_id(id, {"a": 2, "embedding": [1]}, LONG)
    assert own(api.retrieve_by_id(id, LONG)) == {"a": 1}


# --- before storing -----------------------------------------------------------------------------------------------


def test_a_document_can_be_checked_before_it_is_stored(api: Any) -> None:
    """check raises what store would raise, with the key path, and stores nothing."""
    for wrong in ({"a": {"b": [object()]}}, {"embedding": [1.0]}, {"name": 5}, {"id": "a", "_id": "b"}, ["x"]):
        with pytest.raises(InvalidDocument) as checked:
            api.check(wrong, LONG)
        with pytest.raises(InvalidDocument) as stored:
            api.store(wrong, LONG)
        assert (checked.value.path, str(checked.value)) == (stored.value.path, str(stored.value))
    assert api.check({"id": "a", "content": "tea", "embedding": [1, 0, 0, 0]}, LONG) is None
    assert api.count(LONG) == 0


def test_a_provider_says_what_it_is(api: Any) -> None:
    """Where the memories are, how long their vectors are, and no model while nobody has named one."""
    api.count(LONG)
    assert api.embedding_dimensions == 4
    assert api.embedding_model is None
    assert isinstance(api.location, str)
    assert api.location


def test_the_same_memories_have_one_identity(api: Any, config: Any, open_api: Callable[[Any], Any]) -> None:
    """Every provider of the same memories has the same."""
    api.count(LONG)
    with open_api(config) as same:
        same.count(LONG)
        assert isinstance(api.identity, str)
        assert same.identity == api.identity
