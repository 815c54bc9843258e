"""Providers on the MongoDB of the run."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.mongodb import MongoDBConfig, MongoDBProvider

Mongo = MongoClient[dict[str, Any]]

_numbers = itertools.count()


@pytest.fixture(scope="session")
def client(mongodb_uri: Callable[[], str]) -> Iterator[Mongo]:
    """A client of the tests' own, as another program would have it."""
    with MongoClient(mongodb_uri()) as client:
        yield client


@pytest.fixture
def fresh(client: Mongo) -> Iterator[Database[dict[str, Any]]]:
    """A database that is new and empty, for the tests of what opening makes of it."""
    name = f"memorizz_test_{os.getpid()}_{next(_numbers)}"
    yield client[name]
    client.drop_database(name)


@pytest.fixture(scope="session")
def opened(client: Mongo, mongodb_uri: Callable[[], str]) -> Iterator[MongoDBProvider]:
    """One provider for all tests: to make a database and its indexes takes as long as ten tests."""
    config = MongoDBConfig(mongodb_uri(), f"memorizz_test_{os.getpid()}", embedding_dimensions=4)
    with MongoDBProvider(config) as provider:
        yield provider
    client.drop_database(config.db_name)


@pytest.fixture
def provider(opened: MongoDBProvider) -> MongoDBProvider:
    """A provider of the sync API, with empty stores, and none but the seven."""
    for spec in opened.stores()[len(MemoryType) :]:
        opened.drop_store(spec.name, yes=True)
    for memory_type in MemoryType:
        opened.delete_all(memory_type)
    return opened


@pytest.fixture
def config(provider: MongoDBProvider) -> MongoDBConfig:
    """What opens another provider on the same database."""
    return provider.config


@pytest.fixture
def database(client: Mongo, provider: MongoDBProvider) -> Database[dict[str, Any]]:
    """The same database, as another program has it."""
    return client[provider.config.db_name]
