"""What a provider does when it opens: look at the server, make the indexes that are missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

from memorizz.errors import SchemaError
from memorizz.memory_provider.mongodb._collections import all_stores, make_indexes, vector_indexes
from memorizz.memory_provider.mongodb._steps import Command, Operation
from memorizz.memory_provider.mongodb._stores import Database
from memorizz.memory_provider.mongodb.config import MongoDBConfig

_OLDEST = 6


def opened(config: MongoDBConfig) -> Operation[Database]:
    """Return what a provider needs to know; make what is missing, where the configuration says so."""
    build: Mapping[str, Any] = yield Command({"buildInfo": 1}, admin=True)
    if build["versionArray"][0] < _OLDEST:
        raise SchemaError(f"MongoDB {build['version']} is too old: {_OLDEST}.0 or newer is needed ({config.where})")
    hello: Mapping[str, Any] = yield Command({"hello": 1}, admin=True)
    database = Database(
        config.db_name,
        config.embedding_dimensions,
        config.on_invalid_text,
        # A standalone server is in no set, and is no router of a cluster.
        transactional="setName" in hello or hello.get("msg") == "isdbgrid",
        identity=(yield from identity(make=config.create_indexes)),
    )
    stores = yield from all_stores(database)
    for store in stores if config.create_indexes else ():
        yield from make_indexes(store.collection, config)
    if not config.vector_search:
        return database
    found = yield from vector_indexes(stores, make=config.create_indexes)
    return replace(database, vector_indexes=found)


# --- the identity of a database -----------------------------------------------------------------------------------

IDENTITY = "memorizz_identity"
_KEY = "identity"


def identity(*, make: bool) -> Operation[str | None]:
    """Return the text that tells this database from all others; None where it has none and none is made.

    It is one document in a collection of its own. Where several programs make it at once, one succeeds and all read
    the same. None also where this user lacks the right to read or make it.
    """
    found = yield from _read_identity()
    if found is None and make:
        insert = {"insert": IDENTITY, "documents": [{"_id": _KEY, "identity": str(uuid4())}]}
        yield Command(insert, optional=True)
        found = yield from _read_identity()
    return found


def _read_identity() -> Operation[str | None]:
    found = yield Command({"find": IDENTITY, "filter": {"_id": _KEY}, "limit": 1}, optional=True)
    documents = cast("list[Mapping[str, Any]]", found["cursor"]["firstBatch"] if found is not None else [])
    return str(documents[0]["identity"]) if documents else None
