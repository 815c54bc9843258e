"""From MongoDB to PostgreSQL and back, and what stands in a database that other programs have filled."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Decimal128, ObjectId
from pymongo import MongoClient

from memorizz.errors import ConfigurationError, ConnectionFailed
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.mongodb import MongoDBConfig, MongoDBProvider
from memorizz.memory_provider.postgresql import PostgreSQLProvider
from memorizz.moving import copy

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
            ]
        )
    with MongoDBProvider(mongo) as source:
        report = next(each for each in copy(source, target).stores if each.store == LONG.value)
    assert sorted(each.id for each in report.problems) == ["nan", "short", "text"]
    assert (report.copied, report.different) == (2, 0)
    found = {each["id"]: each for each in target.list_all(LONG, include_embedding=True)}
    assert found["507f1f77bcf86cd799439011"]["price"] == "1.10"
    assert found["507f1f77bcf86cd799439011"]["embedding"] == [1, 0, 0, 0]
    assert found["dated"]["created_at"] == datetime(2024, 1, 1, tzinfo=UTC)
    assert found["dated"]["foreign_id"] == "mine"


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
