"""Stores of a caller's own in MongoDB: what is kept beside them, and what is never taken for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from memorizz.memory_provider.mongodb import MongoDBConfig, MongoDBProvider
from memorizz.memory_provider.stores import StoreSpec

TICKETS = StoreSpec("tickets", dimensions=3, distance="l2")


@pytest.fixture
def another(config: MongoDBConfig) -> Iterator[Callable[[], MongoDBProvider]]:
    """Open another provider of the same database, as another program does."""
    with ExitStack() as closing:
        yield lambda: closing.enter_context(MongoDBProvider(config))


def test_made_by_many_at_once_it_is_made_once(
    provider: MongoDBProvider, another: Callable[[], MongoDBProvider]
) -> None:
    """Ten who make the same store, of which none is refused, make one."""
    with ThreadPoolExecutor(10) as threads:
        list(threads.map(lambda each: each.create_store(TICKETS), [another() for _ in range(10)]))
    assert [spec for spec in provider.stores() if spec.name == "tickets"] == [TICKETS]


def test_a_collection_of_another_program_is_left_alone(provider: MongoDBProvider, database: Any) -> None:
    """A store that is named like it neither shows its documents nor takes them along when it is dropped."""
    database["orders"].insert_one({"_id": 1})
    try:
        provider.create_store(StoreSpec("orders"))
        assert provider.count("orders") == 0
        provider.store({"name": "mine"}, "orders")
        provider.drop_store("orders", yes=True)
        assert list(database["orders"].find()) == [{"_id": 1}]
    finally:
        database.drop_collection("orders")


def test_a_transaction_knows_what_others_have_made(
    provider: MongoDBProvider, another: Callable[[], MongoDBProvider]
) -> None:
    """A store that another program has made while this one was open is there in its next transaction."""
    another().create_store(TICKETS)
    with provider.transaction() as transaction:
        transaction.store({"id": "t", "embedding": [1, 2, 2]}, "tickets")
    assert provider.retrieve_by_query({"embedding": [0, 0, 1]}, "tickets")[0]["distance"] == pytest.approx(6**0.5)
    assert another().retrieve_by_id("t", "tickets") is not None


def test_what_is_found_by_its_words_has_its_own_distance(provider: MongoDBProvider) -> None:
    """A hit that only its words brought is measured as its store measures, too."""
    provider.create_store(TICKETS)
    provider.store_many([{"content": "green tea", "embedding": [n + 1, 0, 0]} for n in range(60)], "tickets")
    provider.store({"content": "the printer is broken", "embedding": [3, 100, 0]}, "tickets")
    query = {"embedding": [3, 0, 0], "$text": {"$search": "printer"}}
    hits = provider.retrieve_by_query(query, "tickets", limit=2)
    assert [(hit["content"], hit["distance"]) for hit in hits] == [("green tea", 0), ("the printer is broken", 100)]
