"""What the providers of both APIs ask of the driver without waiting. Importing this does not load it."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager

from memorizz.errors import ConfigurationError
from memorizz.memory_provider.mongodb._stores import Database
from memorizz.memory_provider.mongodb.config import MongoDBConfig

logger = logging.getLogger("memorizz.mongodb")


@contextmanager
def needs_extra() -> Generator[None]:
    """Say what to install where the block cannot import the driver."""
    try:
        yield
    except ImportError as error:
        raise ConfigurationError(f"{error}: MongoDB needs pip install 'memorizz-postgresql[mongodb]'") from None


def check_transactional(database: Database, config: MongoDBConfig) -> None:
    """Raise ConfigurationError for a server that has no transactions."""
    if not database.transactional:
        raise ConfigurationError(
            f"{config.where} is a standalone server, which has no transactions: make it a replica set of one "
            "(mongod --replSet rs0, then rs.initiate() in mongosh)"
        )


def was_rolled_back(error: Exception) -> bool:
    """Return True if a transaction that failed so may be tried again as a whole."""
    from memorizz.memory_provider.mongodb import _errors

    return _errors.was_rolled_back(error)
