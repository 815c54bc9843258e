"""Documents in MongoDB: how they lie there, and those that another program has put there."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from bson import Binary, Decimal128, Int64, MinKey, ObjectId, Regex, Timestamp
from bson.binary import BinaryVectorDtype
from hypothesis import given
from hypothesis import strategies as st
from pymongo.database import Database

from memorizz.errors import InvalidDocument
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.mongodb import MongoDBConfig, MongoDBProvider
from memorizz.memory_provider.mongodb._bson import OWN, decoded, encoded, escaped, unescaped

Mongo = Database[dict[str, Any]]
LONG = MemoryType.LONG_TERM_MEMORY
TURNS = MemoryType.CONVERSATION_MEMORY
EAST = [1.0, 0.0, 0.0, 0.0]
NOON = datetime(2024, 5, 6, 12, tzinfo=UTC)


def plain(document: dict[str, Any] | None) -> dict[str, Any]:
    assert document is not None
    return {key: value for key, value in document.items() if key not in ("created_at", "updated_at")}


# --- as they lie there --------------------------------------------------------------------------------------------


def test_a_document_is_a_flat_record_that_others_can_read(provider: MongoDBProvider, database: Mongo) -> None:
    """Keys are fields, values are BSON's own, a time is a date, a vector an array; only `_memorizz` is added."""
    oid = ObjectId()
    document = {"name": "Ada", "n": 7, "x": 0.5, "tags": ["a"], "metadata": {"a": {"b": None}}, "embedding": EAST}
    provider.store({"_id": oid, "timestamp": NOON, **document}, LONG)
    [record] = database[LONG.value].find()
    assert record.pop("_id") == oid
    assert record.pop("timestamp") == NOON.replace(tzinfo=None)
    own, created_at, updated_at = record.pop(OWN), record.pop("created_at"), record.pop("updated_at")
    assert record == document
    assert isinstance(created_at, datetime)
    assert created_at == updated_at
    assert set(own) == {"seq", "us", "words"}


@pytest.mark.parametrize("key", ["$gt", "a.b", "", "$", ".", "_memorizz", "\uff04", "\uff0e", "\uff3c", "language"])
def test_a_key_of_any_kind_can_be_stored_and_asked_for(provider: MongoDBProvider, key: str) -> None:
    """Dollars, dots and names of ours and of MongoDB's come back, at the top and inside."""
    for value in (1, "German", None):
        document = {"id": "a", key: value, "inner": {key: [{key: value}]}}
        provider.store(document, LONG)
        assert plain(provider.retrieve_by_id("a", LONG)) == {**document, "_id": "a"}
    assert provider.count(LONG, {"inner": {"$eq": {key: [{key: None}]}}}) == 1


@given(key=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_the_name_of_a_field_says_its_key(key: str) -> None:
    """No two keys share a field, and none is a path, an operator or a field of ours."""
    assert unescaped(escaped(key)) == key
    assert not {"$", "."} & set(escaped(key))
    assert escaped(key) != OWN


def test_an_object_that_looks_like_a_reference_stays_an_object(provider: MongoDBProvider) -> None:
    """{"$ref": ...} is a value like any other."""
    value = {"$ref": 5, "$id": [1], "$db": None, "x": {"$ref": "a", "$id": "b"}}
    id = provider.store({"value": value}, LONG)
    stored = provider.retrieve_by_id(id, LONG)
    assert stored is not None
    assert stored["value"] == value


def test_the_id_of_a_document_keeps_its_kind(provider: MongoDBProvider, database: Mongo) -> None:
    """An ObjectId is stored as one, its text as a text; each finds the document in either form."""
    one, other = ObjectId(), ObjectId()
    provider.store_many([{"_id": one}, {"_id": str(other)}], LONG)
    assert [record["_id"] for record in database[LONG.value].find()] == [one, str(other)]
    for oid in (one, other):
        for form in (oid, str(oid)):
            assert provider.store({"_id": form, "seen": str(form)}, LONG) == str(oid)
    assert [record["_id"] for record in database[LONG.value].find()] == [one, str(other)]
    assert provider.count(LONG, {"seen": {"$in": [str(one), str(other)]}}) == 2


@pytest.mark.parametrize("own_id", [True, False], ids=["own id", "new id"])
def test_a_document_may_have_nearly_16_megabytes(provider: MongoDBProvider, own_id: bool) -> None:
    """What MongoDB can hold is stored; what is larger is an InvalidDocument that says so, be it so by merging."""
    given = {"id": "large"} if own_id else {}
    id = provider.store({**given, "text": "x" * 15_000_000}, LONG)
    with pytest.raises(InvalidDocument, match="16 MB"):
        provider.store({**given, "text": "x" * 17_000_000}, LONG)
    for merge in (provider.update_by_id, lambda id, data, type: provider.store({**data, "id": id}, type)):
        with pytest.raises(InvalidDocument, match="16 MB"):
            merge(id, {"more": "x" * 5_000_000}, LONG)
    with pytest.raises(InvalidDocument, match="16 MB"):
        provider.store_many([{}, {"text": "x" * 17_000_000}], LONG)
    assert provider.count(LONG) == 1


@pytest.mark.parametrize("depth", [10, 149, 150, 200])
def test_a_value_may_be_nested_as_deep_as_mongodb_takes(provider: MongoDBProvider, depth: int) -> None:
    """Stored, merged and read back, or an InvalidDocument that says how deep; never an error of the driver's."""
    value: Any = "a"
    for _ in range(depth):
        value = {"a": value}
    for document in ({"value": value}, {"id": "a", "value": value}, {"id": "a", "metadata": value}):
        if depth > 150:
            with pytest.raises(InvalidDocument, match="150 levels"):
                provider.store(document, LONG)
        else:
            stored = provider.retrieve_by_id(provider.store(document, LONG), LONG)
            assert stored is not None
            assert document.items() <= stored.items()


# --- as others have put them there --------------------------------------------------------------------------------


def test_documents_of_another_program_are_documents(provider: MongoDBProvider, database: Mongo) -> None:
    """With an ObjectId, a time in milliseconds and nothing of ours they are read, found, merged and deleted."""
    oid = ObjectId()
    database[TURNS.value].insert_one(
        {"_id": oid, "memory_id": "m", "role": "user", "content": "green tea", "timestamp": NOON, "embedding": EAST}
    )
    turn = {"memory_id": "m", "role": "user", "content": "green tea", "timestamp": NOON}
    expected = {"id": str(oid), "_id": str(oid), **turn}
    assert provider.retrieve_by_id(oid, TURNS) == provider.retrieve_by_id(str(oid), TURNS) == expected
    assert provider.retrieve_conversation_history_ordered_by_timestamp("m") == [expected]
    for query in ({"_id": oid}, "tea", {"embedding": EAST}, {"timestamp": NOON}):
        assert [hit["id"] for hit in provider.retrieve_by_query(query, TURNS)] == [str(oid)]
    later = NOON + timedelta(microseconds=1_234_567)
    assert provider.update_by_id(str(oid), {"timestamp": later, "n": 1}, TURNS) is True
    assert provider.store({"_id": oid, "m": 2}, TURNS) == str(oid)
    stored = provider.retrieve_by_id(oid, TURNS)
    assert stored is not None
    assert (stored["timestamp"], stored["n"], stored["m"]) == (later, 1, 2)
    assert provider.delete_by_id(str(oid), TURNS) is True
    assert database[TURNS.value].count_documents({}) == 0


def test_every_order_takes_documents_of_another_program(provider: MongoDBProvider, database: Mongo) -> None:
    """Without created_at, or with a text or a date in its place, each comes once in a stream, ours behind or among."""
    others = [{"_id": ObjectId(), "n": n, "memory_id": "m"} for n in range(3)]
    texts = [{"_id": f"t{n}", "n": n, "memory_id": "m", "created_at": f"2020-01-0{n}T00:00:00Z"} for n in range(3, 5)]
    dates = [{"_id": n, "n": n, "memory_id": "m", "created_at": NOON} for n in range(5, 8)]
    database[LONG.value].insert_many([*others, *texts, *dates])
    provider.store_many([{"n": n, "memory_id": "m"} for n in range(8, 11)], LONG)
    for size in (1, 2, 3, 100):
        assert [each["n"] for each in provider.iterate(LONG, batch_size=size)] == list(range(11))
    assert [each["n"] for each in provider.iterate(LONG, after=others[1]["_id"])] == list(range(2, 11))
    assert [each["n"] for each in provider.list_all(LONG)] == list(range(11))
    assert provider.list_all(LONG)[3]["created_at"] == datetime(2020, 1, 3, tzinfo=UTC)


def test_pages_of_a_history_take_turns_of_another_program(provider: MongoDBProvider, database: Mongo) -> None:
    """Turns without a time, of the same time, and ours are met once each."""
    turns = [{"_id": ObjectId(), "n": n, "memory_id": "m"} for n in range(2)]
    turns += [{"_id": ObjectId(), "n": n, "memory_id": "m", "timestamp": NOON} for n in range(2, 5)]
    database[TURNS.value].insert_many(turns)
    provider.store_many([{"n": n, "memory_id": "m", "timestamp": NOON} for n in range(5, 7)], TURNS)
    met: list[int] = []
    before = None
    while page := provider.retrieve_conversation_history_ordered_by_timestamp("m", 2, before):
        met = [turn["n"] for turn in page] + met
        before = page[0]["id"]
    assert met == list(range(7))


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        (Int64(5), 5),
        (NOON, "2024-05-06T12:00:00+00:00"),
        (ObjectId("65a000000000000000000001"), "65a000000000000000000001"),
        (UUID(int=7), str(UUID(int=7))),
        (Decimal128("1.10"), "1.10"),
        (b"\0\1", {"$binary": {"base64": "AAE=", "subType": "00"}}),
        (Regex("^a", "i"), {"$regularExpression": {"pattern": "^a", "options": "i"}}),
        (Timestamp(5, 6), {"$timestamp": {"t": 5, "i": 6}}),
        (MinKey(), {"$minKey": 1}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_that_json_has_not_are_read_by_a_rule(
    provider: MongoDBProvider, database: Mongo, stored: Any, read: Any
) -> None:
    """As the contract has their kin, or as MongoDB's Extended JSON; the document can be stored again as it was read."""
    collection = database.get_collection(LONG.value, codec_options=database.codec_options.with_options(
        uuid_representation=4))  # fmt: skip
    collection.insert_one({"_id": "a", "x": stored, "metadata": {"deep": [stored]}})
    document = provider.retrieve_by_id("a", LONG)
    assert document == {"id": "a", "_id": "a", "x": read, "metadata": {"deep": [read]}}
    assert type(document["x"]) is type(read)
    provider.store(document, LONG)
    assert plain(provider.retrieve_by_id("a", LONG)) == document


def test_a_date_that_python_has_not_is_read(provider: MongoDBProvider, database: Mongo) -> None:
    """A date after the year 9999 fails no read."""
    database.command("insert", LONG.value, documents=[{"_id": "a"}])
    far = {
        "$set": {"x": {"$add": [datetime(9999, 1, 1), 10**14]}, "created_at": {"$add": [datetime(9999, 1, 1), 10**14]}}
    }
    database[LONG.value].update_one({}, [far])
    [document] = provider.list_all(LONG)
    assert re.search("numberLong", str(document["x"]))


def test_a_vector_in_binary_is_read(provider: MongoDBProvider, database: Mongo) -> None:
    """Others may keep a vector as a BSON vector; a search by aggregation passes over it."""
    vector = Binary.from_vector([1.0, 0.0, 0.0, 0.0], BinaryVectorDtype.FLOAT32)
    database[LONG.value].insert_one({"_id": "a", "embedding": vector})
    stored = provider.retrieve_by_id("a", LONG, include_embedding=True)
    assert stored is not None
    assert stored["embedding"] == EAST
    assert provider.retrieve_by_query({"embedding": EAST}, LONG) == []
    assert provider.count(LONG, {"embedding": {"$exists": True}}) == 1


def test_vectors_of_several_lengths_are_read_and_searched_each_by_its_own(
    config: MongoDBConfig, database: Mongo
) -> None:
    """Without embedding_dimensions any length is stored; a search compares those that are as long as its vector."""
    with MongoDBProvider(MongoDBConfig(config.uri, config.db_name)) as provider:
        for n in (2, 3, 3, 4):
            provider.store({"n": n, "embedding": [1.0] * n}, LONG)
        odd = [{"embedding": value} for value in ([0.0] * 3, ["a"] * 3, [1, 2, float("nan")], [], None, "abc")]
        database[LONG.value].insert_many(odd)
        for n, found in ((2, 1), (3, 2), (4, 1), (5, 0)):
            hits = provider.retrieve_by_query({"embedding": [2.0] * n}, LONG, limit=9)
            assert [hit["n"] for hit in hits] == [n] * found
            assert [hit["score"] for hit in hits] == pytest.approx([1.0] * found)
        assert provider.embedding_dimensions is None
        assert len(provider.list_all(LONG)) == 10
    with MongoDBProvider(config) as provider:
        lengths = [
            len(each["embedding"] or []) for each in provider.iterate(LONG, {"n": {"$gt": 0}}, include_embedding=True)
        ]
        assert lengths == [2, 3, 3, 4]
        assert [hit["n"] for hit in provider.retrieve_by_query({"embedding": EAST}, LONG, limit=9)] == [4]


@given(value=st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
                          lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner)))  # fmt: skip
def test_what_is_encoded_is_decoded(value: Any) -> None:
    """Any JSON value comes back, type included."""
    assert repr(decoded(encoded(value))) == repr(value)
