"""Stores of a caller's own in MongoDB: made once, found by everybody, and gone when they are dropped."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from pymongo.database import Database

from memorizz.errors import ConfigurationError, MemorizzError
from memorizz.memory_provider._drive._sync import drive
from memorizz.memory_provider.mongodb import MongoDBConfig, MongoDBProvider, operations
from memorizz.memory_provider.mongodb._collections import indexes
from memorizz.memory_provider.mongodb._steps import Step, Write
from memorizz.memory_provider.stores import SEVEN, StoreSpec

Mongo = Database[dict[str, Any]]
TICKETS = StoreSpec("tickets", dimensions=3, distance="l2")
SEVEN_NAMES = {spec.name for spec in SEVEN}


@pytest.fixture
def own(config: MongoDBConfig, fresh: Mongo) -> MongoDBConfig:
    """What opens a provider on a database that is new; no indexes, which take long, but those of created stores."""
    return MongoDBConfig(config.uri, fresh.name, embedding_dimensions=4, create_indexes=False)


def collections(database: Mongo) -> set[str]:
    """The collections of created stores."""
    return {each for each in database.list_collection_names() if not each.startswith("memorizz_")} - SEVEN_NAMES


def test_made_by_many_at_once_it_is_made_once(own: MongoDBConfig, fresh: Mongo) -> None:
    """Each of ten is told that it is there, it has one collection, with its indexes, and nothing else is left."""

    def make(_: int) -> None:
        with MongoDBProvider(own) as provider:
            provider.create_store(TICKETS)

    with ThreadPoolExecutor(10) as threads:
        list(threads.map(make, range(10)))
    with MongoDBProvider(own) as provider:
        assert provider.stores() == [*SEVEN, TICKETS]
    [collection] = collections(fresh)
    assert set(fresh[collection].index_information()) == {"_id_", *(index["name"] for index in indexes(own))}


def test_made_at_once_with_other_specs_one_is_made(own: MongoDBConfig, fresh: Mongo) -> None:
    """The others are told what it is."""

    def make(dimensions: int) -> MemorizzError | None:
        with MongoDBProvider(own) as provider:
            try:
                return provider.create_store(StoreSpec("tickets", dimensions=dimensions))
            except MemorizzError as error:
                return error

    with ThreadPoolExecutor(4) as threads:
        told = list(threads.map(make, range(1, 5)))
    assert told.count(None) == 1
    assert all("is there with another spec: dimensions is" in str(error) for error in told if error is not None)
    assert len(collections(fresh)) == 1


def test_what_is_written_while_its_store_is_dropped_is_in_no_later_one(own: MongoDBConfig, fresh: Mongo) -> None:
    """A write that found the store before it was dropped comes too late for it, and too early for the next one."""
    with MongoDBProvider(own) as provider, MongoDBProvider(own) as other:
        provider.create_store(TICKETS)

        def perform(step: Step) -> Any:
            if isinstance(step, Write):
                other.drop_store("tickets", yes=True)
                other.create_store(StoreSpec("tickets", dimensions=2))
            database, connection = provider._opened()  # pyright: ignore[reportPrivateUsage]
            assert database is not None
            return connection.perform(step)

        database, _ = provider._opened()  # pyright: ignore[reportPrivateUsage]
        drive(operations.store(database, {"embedding": [1, 0, 0]}, "tickets"), perform)
        assert provider.count("tickets") == other.count("tickets") == 0
        assert provider.store({"embedding": [1, 0]}, "tickets")


CALLS: dict[str, Callable[[Any], Any]] = {
    "store": lambda provider: provider.store({}, "tickets"),
    "store_many": lambda provider: provider.store_many([{}], "tickets"),
    "update_by_id": lambda provider: provider.update_by_id("a", {}, "tickets"),
    "retrieve_by_id": lambda provider: provider.retrieve_by_id("a", "tickets"),
    "retrieve_by_query": lambda provider: provider.retrieve_by_query("tea", "tickets"),
    "delete_all": lambda provider: provider.delete_all("tickets"),
    "iterate": lambda provider: list(provider.iterate("tickets")),
    "drop_store": lambda provider: provider.drop_store("tickets", yes=True),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_dropped_store_is_unknown_to_every_call(own: MongoDBConfig, fresh: Mongo, call: str) -> None:
    """Also in a provider that has used it before; and no write makes its collection again."""
    with MongoDBProvider(own) as provider, MongoDBProvider(own) as other:
        provider.create_store(TICKETS)
        provider.store({"id": "a"}, "tickets")
        other.drop_store("tickets", yes=True)
        with pytest.raises(ConfigurationError, match=r"unknown memory store 'tickets': expected .* agents$"):
            CALLS[call](provider)
        assert collections(fresh) == set()


def test_the_indexes_of_a_store_are_made_again(own: MongoDBConfig, fresh: Mongo) -> None:
    """As those of the seven stores, when a provider opens."""
    with MongoDBProvider(own) as provider:
        provider.create_store(TICKETS)
    [collection] = collections(fresh)
    fresh[collection].drop_indexes()
    with MongoDBProvider(MongoDBConfig(own.uri, own.db_name)) as provider:
        provider.store({"content": "green tea"}, "tickets")
        assert len(provider.retrieve_by_query("tea", "tickets")) == 1


def test_what_is_no_name_is_no_question(own: MongoDBConfig) -> None:
    """A name is a text and never an operator; what no text of MongoDB's can be is an unknown store."""
    with MongoDBProvider(own) as provider:
        provider.create_store(TICKETS)
        for name in ({"$ne": 1}, ["tickets"], None, 7, "\ud800", "a\0b", b"tickets"):
            for call in (partial(provider.count, name), partial(provider.drop_store, name, yes=True)):
                with pytest.raises(ConfigurationError, match="unknown memory store"):
                    call()
        assert len(provider.stores()) == 8
