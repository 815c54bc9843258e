"""A database of its own for each test that asks for one, on the MongoDB of the run."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from memorizz.memory_provider.mongodb import MongoDBConfig, MongoDBProvider

_numbers = itertools.count()


@pytest.fixture(scope="session")
def client(mongodb_uri: Callable[[], str]) -> Iterator[MongoClient[dict[str, Any]]]:
    """A client of the tests' own, as another program would have it."""
    with MongoClient(mongodb_uri()) as client:
        yield client


@pytest.fixture
def database(client: MongoClient[dict[str, Any]]) -> Iterator[Database[dict[str, Any]]]:
    """A fresh, empty database."""
    name = f"memorizz_test_{os.getpid()}_{next(_numbers)}"
    yield client[name]
    client.drop_database(name)


@pytest.fixture
def config(mongodb_uri: Callable[[], str], database: Database[dict[str, Any]]) -> MongoDBConfig:
    """What opens the fresh database."""
    return MongoDBConfig(mongodb_uri(), database.name, embedding_dimensions=4)


@pytest.fixture
def provider(config: MongoDBConfig) -> Iterator[MongoDBProvider]:
    """A provider on the blocking face, with empty stores."""
    with MongoDBProvider(config) as provider:
        yield provider
