"""From MongoDB to PostgreSQL and back, and what stands in a database that other programs have filled."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Decimal128, ObjectId
from pymongo import MongoClient

from memorizz.errors import ConfigurationError, ConnectionFailed, InvalidFile
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.mongodb import MongoDBConfig, MongoDBProvider
from memorizz.memory_provider.postgresql import PostgreSQLProvider
from memorizz.moving import copy, export, load

LONG, TALK = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY
LONG_AGO = datetime(2001, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)
_numbers = itertools.count()


@pytest.fixture
def mongo(mongodb_uri: Callable[[], str]) -> Iterator[MongoDBConfig]:
    """A database of its own, without collections and indexes until something is stored."""
    uri, name = mongodb_uri(), f"memorizz_moving_{os.getpid()}_{next(_numbers)}"
    yield MongoDBConfig(uri, name, create_indexes=False)
    with MongoClient[dict[str, Any]](uri) as client:
        client.drop_database(name)


def documents() -> list[dict[str, Any]]:
    return [
        {"_id": ObjectId("507f1f77bcf86cd799439011"), "content": "tea", "embedding": [0.1, 0.2, 0.3, 0.4]},
        {"id": "user-42", "name": None, "metadata": {"a.b": [1, 2.5, None, {"$c": "ü"}]}, "created_at": LONG_AGO},
        {"role": "user", "memory_id": "m", "timestamp": LONG_AGO, "big": 10**30, "small": 2**40, "score": 5},
        {"memory_id": "m", "timestamp": LONG_AGO, "when": LONG_AGO, "access_count": 3},
        {"content": [{"type": "text", "text": "tea"}, {"type": "image_url", "image_url": {"url": "a.b", "$d": None}}]},
    ]


def everything(provider: Any) -> dict[str, list[dict[str, Any]]]:
    return {store.value: provider.list_all(store, include_embedding=True) for store in MemoryType}


def test_what_goes_to_mongodb_comes_back_the_same(
    source: PostgreSQLProvider, target: PostgreSQLProvider, mongo: MongoDBConfig
) -> None:
    """PostgreSQL to MongoDB to PostgreSQL: every document, agent, time and vector, in the same order."""
    for store in MemoryType:
        source.store_many(documents(), store)
    source.store_memagent({"id": "ada", "memory_ids": ["m"]})
    with MongoDBProvider(mongo) as between:
        assert copy(source, between).ok
        assert everything(between) == everything(source)
        assert copy(between, target).ok
    assert everything(target) == everything(source)
    history = target.retrieve_conversation_history_ordered_by_timestamp("m")
    assert [turn.get("when") for turn in history] == [None, LONG_AGO.isoformat()]


def test_what_another_program_has_stored_arrives(target: PostgreSQLProvider, mongo: MongoDBConfig) -> None:
    """ObjectIds, dates, BSON's own types and lengths of vectors: by their rules, or named in the report."""
    with MongoClient[dict[str, Any]](mongo.uri) as client:
        client[mongo.db_name]["long_term_memory"].insert_many(
            [
                {"_id": ObjectId("507f1f77bcf86cd799439011"), "price": Decimal128("1.10"), "embedding": [1.0, 0, 0, 0]},
                {"_id": "short", "embedding": [1.0, 0]},
                {"_id": "text", "embedding": "none"},
                {"_id": "nan", "value": float("nan")},
                {"_id": "dated", "created_at": datetime(2024, 1, 1), "id": "mine"},
                {"_id": "parts", "content": [{"type": "text", "text": "tea"}, {"type": "image", "n": Decimal128("1")}]},
            ]
        )
    with MongoDBProvider(mongo) as source:
        report = next(each for each in copy(source, target).stores if each.store == LONG.value)
    assert sorted(each.id for each in report.problems) == ["nan", "short", "text"]
    assert (report.copied, report.different) == (3, 0)
    found = {each["id"]: each for each in target.list_all(LONG, include_embedding=True)}
    assert found["507f1f77bcf86cd799439011"]["price"] == "1.10"
    assert found["507f1f77bcf86cd799439011"]["embedding"] == [1, 0, 0, 0]
    assert found["parts"]["content"] == [{"type": "text", "text": "tea"}, {"type": "image", "n": "1"}]
    assert found["dated"]["created_at"] == datetime(2024, 1, 1, tzinfo=UTC)
    assert found["dated"]["foreign_id"] == "mine"


# What a search adds to its hits, and a document of another program may have as fields of its own.
OWN = {"_score": 0.5, "_distance": 1, "_context": ["mine"], "_explanation": "mine", "score": 3}


def test_fields_that_no_provider_keeps_are_listed(target: PostgreSQLProvider, mongo: MongoDBConfig) -> None:
    """The document is copied without them, and the report is not ok: names and ids are in it."""
    with MongoClient[dict[str, Any]](mongo.uri) as client:
        equal = {"_id": "hit", "score": 0.5, "_score": 0.5}
        client[mongo.db_name]["long_term_memory"].insert_many([{"_id": "a", "content": "tea", **OWN}, equal])
    with MongoDBProvider(mongo) as source:
        for dry_run in (True, False):
            report = next(each for each in copy(source, target, dry_run=dry_run).stores if each.store == LONG.value)
            assert not report.ok
            assert (report.incomplete, report.not_copied, report.different) == (2, 0, 0)
            assert {each.id: each.reason.split(",")[0] for each in report.omissions} == {
                "a": "without _context",
                "hit": "without _score",
            }
            assert "_context, _distance, _explanation, _score, which" in report.omissions[0].reason
            assert "_score, score, which" in report.omissions[1].reason
        assert report.copied == 2
        found = target.retrieve_by_id("a", LONG)
        assert found is not None
        assert (found["content"], found["score"]) == ("tea", 3)
        exported = export(source, file := io.BytesIO())
        assert not exported.ok
        assert (exported["long_term_memory"], exported.omissions["long_term_memory"].count) == (2, 2)
        assert b"mine" not in file.getvalue()


def test_the_same_database_by_another_address_is_refused(mongo: MongoDBConfig) -> None:
    """Whoever opens it first makes its identity, which the other one reads; all documents stay."""
    other = replace(mongo, uri=mongo.uri.replace("127.0.0.1", "localhost"), create_indexes=True)
    assert other.uri != mongo.uri
    # The source was opened before there was an identity, as migrate-from does it.
    with MongoDBProvider(mongo) as source:
        source.store_many([{"id": f"d{n}"} for n in range(3)], LONG)
        with MongoDBProvider(other) as target:
            for pair in ((source, target), (target, source)):
                with pytest.raises(ConfigurationError, match="are the same memories by two addresses"):
                    copy(*pair, existing="replace")
            assert target.count(LONG) == 3


def test_databases_that_cannot_be_told_apart_are_not_replaced(mongo: MongoDBConfig) -> None:
    """Where nobody has made an identity in either: the error says how one is made."""
    other = replace(mongo, uri=mongo.uri.replace("127.0.0.1", "localhost"))
    with MongoDBProvider(mongo) as source, MongoDBProvider(other) as target:
        source.store({"id": "a"}, LONG)
        with pytest.raises(ConfigurationError, match="open the target with create_indexes=True"):
            copy(source, target, existing="replace")
        assert target.count(LONG) == 1


def test_documents_of_one_id_are_found_when_a_file_is_loaded(target: PostgreSQLProvider, mongo: MongoDBConfig) -> None:
    """An ObjectId and its text are two documents in MongoDB: a file that holds both is refused, and nothing stays."""
    with MongoClient[dict[str, Any]](mongo.uri) as client:
        id = ObjectId()
        client[mongo.db_name]["long_term_memory"].insert_many([{"_id": id, "n": 1}, {"_id": str(id), "n": 2}])
    with MongoDBProvider(mongo) as source:
        exported = export(source, file := io.BytesIO())
    assert exported["long_term_memory"] == 2
    file.seek(0)
    with pytest.raises(InvalidFile, match="some of them have the same id"):
        load(file, target)
    assert target.count(LONG) == 0


def test_a_document_too_large_for_mongodb_is_listed(source: PostgreSQLProvider, mongo: MongoDBConfig) -> None:
    """MongoDB's limit is 16 MB; the others arrive."""
    source.store_many([{"id": "large", "content": "x" * 17 * 2**20}, {"id": "small", "content": "x"}], LONG)
    with MongoDBProvider(mongo) as target:
        for dry_run in (True, False):
            report = next(each for each in copy(source, target, dry_run=dry_run).stores if each.store == LONG.value)
            assert [each.id for each in report.problems] == ["large"]
            assert "16" in report.problems[0].reason
        assert [each["id"] for each in target.list_all(LONG)] == ["small"]


def test_an_interrupted_copy_to_mongodb_goes_on(source: PostgreSQLProvider, mongo: MongoDBConfig) -> None:
    """From the batch that is next, as between any two providers."""
    source.store_many([{"id": f"d{n}", "n": n, "embedding": [1, n, 0, 0]} for n in range(30)], LONG)

    def stop(progress: Any) -> None:
        if progress.done >= 20:
            raise KeyboardInterrupt

    with MongoDBProvider(mongo) as target:
        with pytest.raises(KeyboardInterrupt):
            copy(source, target, batch_size=10, progress=stop)
        assert target.count(LONG) == 20
        report = copy(source, target, batch_size=10)
        assert (report.ok, report.resumed) == (True, True)
        assert everything(target) == everything(source)


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("mongodb://ada:hunter2@127.0.0.1:1/?serverSelectionTimeoutMS=200", ConnectionFailed),
        ("mongodb://ada:hunter2@/", ConfigurationError),
        ("mongodb+ssh://ada:hunter2@host", ConfigurationError),
    ],
    ids=["unreachable", "without a host", "of another kind"],
)
def test_a_source_that_cannot_be_opened_is_said_without_its_password(uri: str, error: type[Exception]) -> None:
    """Before anything is read; the password is in no message."""
    with pytest.raises(error) as refused:
        MongoDBProvider(MongoDBConfig(uri, "memories", connect_timeout=0.5))
    assert "hunter2" not in str(refused.value)
