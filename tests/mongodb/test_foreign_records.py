"""Records that another program has stored, with anything under any key: none of them makes a store unreadable."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson import Binary, Code, DatetimeMS, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.dbref import DBRef
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from memorizz.errors import InvalidDocument
from memorizz.memory_provider.base import Ranking
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.mongodb import MongoDBConfig, MongoDBProvider
from memorizz.memory_provider.mongodb._bson import LARGE, OWN
from memorizz.memory_provider.stores import StoreSpec

Mongo = Database[dict[str, Any]]
LONG, TURNS, AGENTS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY, MemoryType.MEMAGENT
EAST = [1.0, 0.0, 0.0, 0.0]
NOON = datetime(2024, 5, 6, 12, tzinfo=UTC)
HUGE = Decimal128("9.999999999999999999999999999999999E+6144")

VALUES: dict[str, Any] = {
    "NaN": math.nan,
    "infinity": -math.inf,
    "decimal": Decimal128("1.5"),
    "huge decimal": HUGE,
    "decimal NaN": Decimal128("NaN"),
    "year 20000": DatetimeMS(569_000_000_000_000),
    "before Christ": DatetimeMS(-70_000_000_000_000),
    "last date": DatetimeMS(2**63 - 1),
    "text": "text",
    "empty": "",
    "number": 7,
    "int64": Int64(2**63 - 1),
    "yes": True,
    "none": None,
    "list": ["tea", 1, None],
    "list of dates": [NOON, datetime(2030, 1, 1, tzinfo=UTC)],
    "empty list": [],
    "object": {"a": {"b": 1}},
    "bytes": b"\0\xff",
    "broken UUID": Binary(b"short", 4),
    "regex": Regex("^a"),
    "code": Code("function() {}", {"a": 1}),
    "timestamp": Timestamp(1, 2),
    "reference": DBRef("other", 5),
    "lookalike": {"$ref": 5},
    "least": MinKey(),
    "greatest": MaxKey(),
    "large": {LARGE: "text"},
    "larger": {LARGE: 5, "b": 1},
    "largest": {LARGE: "p9999" + "9" * 9999},
}
KEYS = [
    "name", "memory_id", "conversation_id", "role", "content", "importance_score", "access_count", "metadata",
    "timestamp", "created_at", "updated_at", "last_accessed", "expires_at", "embedding", "id", "memory_ids", "other",
    OWN, f"{OWN}.seq", f"{OWN}.us", f"{OWN}.us.created_at", f"{OWN}.us.timestamp", f"{OWN}.us.expires_at",
]  # fmt: skip
VECTORS: dict[str, Any] = {
    "NaN": [math.nan, 0, 0, 0],
    "infinity": [math.inf, 1, 0, 0],
    "huge": [1e300, 1e300, 1e300, 1e300],
    "decimals": [Decimal128("1"), Decimal128("0"), Decimal128("0"), Decimal128("0")],
    "huge decimals": [HUGE, HUGE, HUGE, HUGE],
    "texts": ["1", "0", "0", "0"],
    "lists": [[1], [0], [0], [0]],
    "nothing": [None, None, None, None],
    "zeros": [0, 0, 0, 0],
    "short": [1, 0],
    "text": "east",
    "object": {"0": 1},
    "integers": [1, 0, 0, 0],
}
EXACT = {"decimals", "integers"}


def record(key: str, value: Any, **more: Any) -> dict[str, Any]:
    """A record of another program, with a value under a key or under one of ours."""
    whole: dict[str, Any] = {"memory_id": "m", "content": "green tea", "embedding": EAST, "timestamp": NOON, **more}
    inner = whole
    *outer, last = key.split(".")
    for each in outer:
        inner = inner.setdefault(each, {})
    inner[last] = value
    return whole


@pytest.fixture
def collection(provider: MongoDBProvider, database: Mongo) -> Iterator[Callable[[Any, list[dict[str, Any]]], None]]:
    """Put records where a provider reads them, as another program does; with them one of ours."""

    def put(store: MemoryType, records: list[dict[str, Any]]) -> None:
        database[store.value].insert_many([RawBSONDocument(bson.encode(each)) for each in records])
        provider.store({"id": "ours", "memory_id": "m", "content": "green tea", "embedding": EAST}, store)

    yield put
    for store in MemoryType:
        database[store.value].delete_many({})


def read_all(provider: MongoDBProvider, store: MemoryType) -> None:
    """Read in every way there is: each document once."""
    ids = sorted(each["id"] for each in provider.list_all(store, include_embedding=True))
    assert len(ids) == len(set(ids)) == provider.count(store)
    for size in (1, 2, 100):
        assert sorted(each["id"] for each in provider.iterate(store, batch_size=size)) == ids
    for query in ({"embedding": EAST}, {"$text": {"$search": "tea"}}, {"embedding": EAST, "$text": {"$search": "tea"}}):
        for ranking in (None, Ranking(recency=0.2, importance=0.2)):
            hits = provider.retrieve_by_query(query, store, limit=99, ranking=ranking, touch=True, explain=True)
            assert "ours" in [hit["id"] for hit in hits]
            assert all(math.isfinite(hit["_score"]) for hit in hits)
    found = provider.retrieve_memory_components_by_query("tea", EAST, "m", limit=99)
    assert all(math.isfinite(each["_score"]) for each in found)


@pytest.mark.parametrize("key", KEYS)
def test_anything_under_a_key_is_read(provider: MongoDBProvider, collection: Callable[..., None], key: str) -> None:
    """In a list, a stream, a search and a history, whole; and a document beside it is found as ever."""
    records = [record(key, value, _id=name) for name, value in VALUES.items()]
    visible = [each for each in records if key != "expires_at" or each["_id"] not in ("before Christ", "list of dates")]
    for store in (LONG, TURNS, AGENTS):
        collection(store, records)
        assert {each["id"] for each in provider.list_all(store)} == {each["_id"] for each in visible} | {"ours"}
        read_all(provider, store)
    turns = provider.retrieve_conversation_history_ordered_by_timestamp("m")
    assert "ours" in [turn["id"] for turn in turns]
    paged: list[str] = []
    before = None
    while page := provider.retrieve_conversation_history_ordered_by_timestamp("m", 3, before):
        paged = [turn["id"] for turn in page] + paged
        before = page[0]["id"]
    assert paged == [turn["id"] for turn in turns]
    for turn in provider.retrieve_by_query({"embedding": EAST}, TURNS, limit=99, context=1):
        assert set(turn["_context"]) == {"before", "after"}


@pytest.mark.parametrize("key", KEYS)
def test_what_is_read_can_be_changed(provider: MongoDBProvider, collection: Callable[..., None], key: str) -> None:
    """A key is merged into it, it is counted as accessed, found by its id, and deleted."""
    records = [record(key, value, _id=name) for name, value in VALUES.items() if key != "expires_at"]
    collection(LONG, records) if records else None
    for each in records:
        id = each["_id"]
        assert provider.update_by_id(id, {"n": 1, "last_accessed": NOON}, LONG) is True
        assert provider.store({"id": id, "n": 2}, LONG) == id
        stored = provider.retrieve_by_id(id, LONG)
        assert stored is not None
        assert (stored["n"], stored["last_accessed"]) == (2, NOON)
        assert provider.delete_by_id(id, LONG) is True


@pytest.mark.parametrize("filter", ["name", "importance_score", "timestamp", "metadata.a", "other", "other.a", "id"])
def test_filters_pass_over_what_they_cannot_compare(
    provider: MongoDBProvider, collection: Callable[..., None], filter: str
) -> None:
    """No operator fails on any value; of an id only a text is asked."""
    collection(LONG, [record(filter.partition(".")[0], value, _id=name) for name, value in VALUES.items()])
    for operand in (1, "tea", NOON, 2**70, [1], {"a": 1}, None, True):
        for operator in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$contains", "$exists"):
            value = [operand] if operator in ("$in", "$nin") else True if operator == "$exists" else operand
            if operator in ("$gt", "$gte", "$lt", "$lte") and (operand is None or isinstance(operand, list | dict)):
                continue
            if filter == "id" and operator != "$exists" and not isinstance(operand, str | None):
                continue
            provider.count(LONG, {filter: {operator: value}})


@pytest.mark.parametrize("distance", ["cosine", "l2", "inner_product"])
def test_vectors_that_cannot_be_compared_are_passed_over(
    provider: MongoDBProvider, database: Mongo, distance: Any
) -> None:
    """By each distance: a hit is as near as it is, and what has no distance is no hit by it."""
    provider.create_store(StoreSpec("compared", distance=distance))
    try:
        [listed] = database["memorizz_stores"].find({"_id": "compared"})
        records = [{"_id": name, "content": "tea", "embedding": vector} for name, vector in VECTORS.items()]
        database[listed["collection"]].insert_many(records)
        nearest = {"cosine": 0.0, "l2": 0.0, "inner_product": -1.0}[distance]
        hits = provider.retrieve_by_query({"embedding": EAST}, "compared", limit=99)
        assert {hit["id"]: hit["distance"] for hit in hits if hit["id"] in EXACT} == dict.fromkeys(EXACT, nearest)
        assert all(math.isfinite(hit["distance"]) for hit in hits)
        query = {"embedding": EAST, "$text": {"$search": "tea"}}
        both = provider.retrieve_by_query(query, "compared", limit=99, include_embedding=True)
        assert {hit["id"] for hit in both} == set(VECTORS)
        assert all(math.isfinite(hit["score"]) for hit in both)
        assert {hit["id"]: hit["distance"] for hit in both if "distance" in hit} == {
            hit["id"]: pytest.approx(hit["distance"]) for hit in hits
        }
    finally:
        provider.drop_store("compared", yes=True)


@pytest.mark.parametrize("id", [{"a": 1}, 5, 5.5, True, NOON, b"id", Decimal128("1"), None, "", MinKey()], ids=repr)
def test_an_id_of_any_kind(provider: MongoDBProvider, collection: Callable[..., None], id: Any) -> None:
    """A document has it as a text, in every read; where it can be no id of ours, nothing else finds it."""
    collection(LONG, [record("n", 1, _id=id)])
    read_all(provider, LONG)
    [other] = [each for each in provider.list_all(LONG) if each["id"] != "ours"]
    assert isinstance(other["id"], str)


def test_numbers_that_json_lacks_are_read(provider: MongoDBProvider, collection: Callable[..., None]) -> None:
    """As Python has them; to store them again is refused with their place."""
    collection(LONG, [{"_id": "a", "x": math.nan, "metadata": {"y": [math.inf]}}])
    document = provider.retrieve_by_id("a", LONG)
    assert document is not None
    assert math.isnan(document["x"])
    assert document["metadata"] == {"y": [math.inf]}
    with pytest.raises(InvalidDocument, match=r"metadata\.y\[0\]"):
        provider.store({**document, "x": 0}, LONG)


def test_a_text_that_is_none_is_read(provider: MongoDBProvider, config: MongoDBConfig, database: Mongo) -> None:
    """MongoDB keeps bytes that are no UTF-8; they come as replacement characters, and hide no document beside them."""
    raw = bson.encode({"_id": "a", "place": "caf?", "memory_id": "m"}).replace(b"caf?", b"caf\xe9")
    database[LONG.value].insert_one(RawBSONDocument(raw))  # pyright: ignore[reportArgumentType]
    provider.store({"id": "b"}, LONG)
    assert [each.get("place") for each in provider.list_all(LONG)] == ["caf\ufffd", None]


def test_an_agent_with_anything_for_memories(provider: MongoDBProvider, collection: Callable[..., None]) -> None:
    """A cascade counts the texts in lists as memories, and passes over everything else."""
    collection(AGENTS, [{"_id": name, "memory_ids": value} for name, value in VALUES.items()])
    agent = provider.store_memagent({"memory_ids": ["m", "tea"]})
    provider.store_many([{"memory_id": "m"}, {"memory_id": "tea"}], LONG)
    assert provider.delete_memagent(agent, cascade=True) is True
    assert [each["memory_id"] for each in provider.list_all(LONG)] == ["tea"]
    for name in VALUES:
        assert provider.delete_memagent(name, cascade=True) is True


def test_ids_that_look_alike_are_two_documents(provider: MongoDBProvider, collection: Callable[..., None]) -> None:
    """1 and True, and an ObjectId beside an object, are told apart in a search by meaning and words."""
    ids: list[Any] = [1, True, ObjectId("65a000000000000000000001"), {"a": 1}]
    collection(LONG, [record("n", 1, _id=id) for id in ids])
    hits = provider.retrieve_by_query({"embedding": EAST, "$text": {"$search": "tea"}}, LONG, limit=9)
    assert len(hits) == 5
