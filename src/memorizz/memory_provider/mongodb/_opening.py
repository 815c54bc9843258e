"""What a provider does when it opens: look at the server, make the indexes that are missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from uuid import uuid4

from memorizz.errors import SchemaError
from memorizz.memory_provider._documents import EMBEDDING
from memorizz.memory_provider.mongodb._bson import LANGUAGE
from memorizz.memory_provider.mongodb._queries import ordered
from memorizz.memory_provider.mongodb._steps import Command, Operation
from memorizz.memory_provider.mongodb._stores import Database, VectorIndex
from memorizz.memory_provider.mongodb.config import MongoDBConfig
from memorizz.memory_provider.stores import SEVEN

_OLDEST = 6
_VECTOR_INDEX = "memorizz_embedding"
# What a search can filter by inside of $vectorSearch: the keys that say whose memory it is.
_FILTERABLE = ("memory_id", "conversation_id", "name", "role")


def opened(config: MongoDBConfig) -> Operation[Database]:
    """Return what a provider needs to know; make what is missing, where the configuration says so."""
    build: Mapping[str, Any] = yield Command({"buildInfo": 1}, admin=True)
    if build["versionArray"][0] < _OLDEST:
        raise SchemaError(f"MongoDB {build['version']} is too old: {_OLDEST}.0 or newer is needed ({config.where})")
    hello: Mapping[str, Any] = yield Command({"hello": 1}, admin=True)
    if config.create_indexes:
        for spec in SEVEN:
            yield from _make_indexes(spec.name, config)
    return Database(
        config.db_name,
        config.embedding_dimensions,
        config.on_invalid_text,
        # A standalone server is in no set, and is no router of a cluster.
        transactional="setName" in hello or hello.get("msg") == "isdbgrid",
        vector_indexes=(yield from _vector_indexes(config)) if config.vector_search else None,
        identity=(yield from identity(make=config.create_indexes)),
    )


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


# --- the indexes of a collection ----------------------------------------------------------------------------------


def indexes(config: MongoDBConfig) -> list[dict[str, Any]]:
    """Return what a collection's indexes are to be."""
    keys: dict[str, dict[str, Any]] = {
        "memorizz_created_at": dict(ordered("created_at")),
        "memorizz_name": {"name": 1, **ordered("created_at")},
        "memorizz_history": {"memory_id": 1, **ordered("timestamp")},
        "memorizz_words": {"name": "text", "role": "text", "content": "text"},
    }
    made = [{"name": name, "key": key} for name, key in keys.items()]
    # Else a caller's key `language` would choose the language of its document, and be refused where it is none.
    made[-1] |= {"default_language": config.text_language, "language_override": LANGUAGE}
    return made


def _make_indexes(collection: str, config: MongoDBConfig) -> Operation[None]:
    """Make the indexes that a collection lacks, and with them the collection; what another program has made stays."""
    known = yield Command({"listIndexes": collection}, optional=True)
    there = cast("list[Mapping[str, Any]]", known["cursor"]["firstBatch"] if known is not None else [])
    names = {each["name"] for each in there}
    has_text = any("textIndexVersion" in each for each in there)
    missing = [each for each in indexes(config) if each["name"] not in names]
    missing = [each for each in missing if not (has_text and "default_language" in each)]
    if missing:
        yield Command({"createIndexes": collection, "indexes": missing})


# --- $vectorSearch ------------------------------------------------------------------------------------------------


def _vector_indexes(config: MongoDBConfig) -> Operation[dict[str, VectorIndex]]:
    """Return the indexes that $vectorSearch can use; make them where the server could have them."""
    found: dict[str, VectorIndex] = {}
    for spec in SEVEN:
        listed = yield Command(listing(spec.name), optional=True)
        if listed is None:
            # The server has no search of this kind.
            break
        index = usable(listed["cursor"]["firstBatch"], config.embedding_dimensions)
        if index is None and config.create_indexes and config.embedding_dimensions is not None:
            # It is built while this goes on; till it can be used, $vectorSearch brings nothing, and searches are exact.
            # A cluster may refuse it, for the smallest may have only a few.
            yield Command(creation(spec.name, config.embedding_dimensions), optional=True)
            index = VectorIndex(_VECTOR_INDEX, frozenset(_FILTERABLE))
        if index is not None:
            found[spec.name] = index
    return found


def listing(collection: str) -> Mapping[str, Any]:
    """Return the command that lists the search indexes of a collection."""
    return {"aggregate": collection, "pipeline": [{"$listSearchIndexes": {}}], "cursor": {}}


def creation(collection: str, dimensions: int) -> Mapping[str, Any]:
    """Return the command that has an index for $vectorSearch built."""
    fields: list[dict[str, Any]] = [
        {"type": "vector", "path": EMBEDDING, "numDimensions": dimensions, "similarity": "cosine"},
        *({"type": "filter", "path": key} for key in _FILTERABLE),
    ]
    index = {"name": _VECTOR_INDEX, "type": "vectorSearch", "definition": {"fields": fields}}
    return {"createSearchIndexes": collection, "indexes": [index]}


def usable(listed: list[Mapping[str, Any]], dimensions: int | None) -> VectorIndex | None:
    """Return the first index of a list that $vectorSearch can compare the embeddings with, whoever has made it."""
    for each in listed:
        if each.get("type") != "vectorSearch":
            continue
        fields = cast("list[Mapping[str, Any]]", each["latestDefinition"]["fields"])
        vectors = [
            field
            for field in fields
            if field.get("type") == "vector"
            and field.get("path") == EMBEDDING
            and field.get("similarity") == "cosine"
            and dimensions in (None, field.get("numDimensions"))
        ]
        if vectors:
            filterable = {str(field["path"]) for field in fields if field.get("type") == "filter"}
            return VectorIndex(each["name"], frozenset(filterable.intersection(_FILTERABLE)))
    return None
