"""What a provider does when it opens: look at the server, make the indexes that are missing."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

from memorizz.errors import SchemaError
from memorizz.memory_provider._cosines import SAMPLE, Cosines, measured_of
from memorizz.memory_provider._documents import EMBEDDING
from memorizz.memory_provider.mongodb._collections import all_stores, make_indexes, vector_indexes
from memorizz.memory_provider.mongodb._steps import Command, Operation
from memorizz.memory_provider.mongodb._stores import Database, Store, numbers
from memorizz.memory_provider.mongodb.config import MongoDBConfig

logger = logging.getLogger("memorizz.mongodb")

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
        language=config.text_language,
        # A standalone server is in no set, and is no router of a cluster.
        transactional="setName" in hello or hello.get("msg") == "isdbgrid",
        identity=(yield from identity(make=config.create_indexes)),
    )
    stores = yield from all_stores(database)
    languages: dict[str, str | None] = {}
    for store in stores if config.create_indexes else ():
        languages[store.collection] = yield from make_indexes(store.collection, config)
    _check_language(config, languages)
    measured = yield from cosines([*database.stores.values()], make=config.create_indexes)
    database = replace(database, cosines=measured)
    if not config.vector_search:
        return database
    found = yield from vector_indexes(stores, make=config.create_indexes)
    return replace(database, vector_indexes=found)


def _check_language(config: MongoDBConfig, languages: Mapping[str, str | None]) -> None:
    """Tell the log where the words are of another language than the configuration asks for; a default asks for none."""
    others = {name: of for name, of in languages.items() if of not in (None, config.text_language)}
    if others and config.text_language != "english":
        logger.warning(
            "text_language=%r is not used for the words of %s, whose text index was made for %s: drop that index "
            "(memorizz_words), and the next provider that opens makes it anew",
            config.text_language, ", ".join(others), " and ".join(sorted(map(str, {*others.values()}))),
        )  # fmt: skip


# --- the identity of a database -----------------------------------------------------------------------------------

IDENTITY = "memorizz_identity"
_KEY, _COSINES = "identity", "cosines"


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
    documents = yield from _noted(_KEY)
    return str(documents[0]["identity"]) if documents else None


def _noted(key: str) -> Operation[list[Mapping[str, Any]]]:
    return _batch((yield Command({"find": IDENTITY, "filter": {"_id": key}, "limit": 1}, optional=True)))


def _batch(reply: Any) -> list[Mapping[str, Any]]:
    return cast("list[Mapping[str, Any]]", reply["cursor"]["firstBatch"] if reply is not None else [])


# --- how far apart its vectors lie --------------------------------------------------------------------------------


def cosines(stores: Sequence[Store], *, make: bool) -> Operation[Cosines | None]:
    """Return how far apart the vectors of the seven stores lie, as was noted beside the identity of the database.

    It is measured once there are enough of them in one store; None till then.
    """
    for noted in (yield from _noted(_COSINES)):
        return Cosines(noted["mean"], noted["deviation"])
    for store in stores if make else ():
        # The sample comes first: then the server need not read the whole collection.
        pipeline = [
            {"$sample": {"size": 5 * SAMPLE}},
            {"$match": {EMBEDDING: {"$type": "number"}}},
            {"$limit": SAMPLE},
            {"$project": {EMBEDDING: 1}},
        ]
        aggregate = {"aggregate": store.collection, "pipeline": pipeline, "cursor": {"batchSize": SAMPLE}}
        found = _batch((yield Command(aggregate, optional=True)))
        measured = measured_of([numbers(record[EMBEDDING]) for record in found])
        if measured is not None:
            document = {"_id": _COSINES, "mean": measured.mean, "deviation": measured.deviation}
            yield Command({"insert": IDENTITY, "documents": [document]}, optional=True)
            return measured
    return None
