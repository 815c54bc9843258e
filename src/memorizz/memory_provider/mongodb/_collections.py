"""The collections of the stores and their indexes; the stores of a caller's own, found, made and dropped.

Each of the seven stores is the collection of its name. A store of a caller's own is listed by a document in
`memorizz_stores`, which says what the store is and which collection it has: its name and some random letters. The
document is read at each call, so that every provider knows a store as soon as it is made and no longer than it is
there. What is still written into a store while it is dropped is in no later store of its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast
from uuid import uuid4

from memorizz.errors import ConfigurationError
from memorizz.memory_provider import _values
from memorizz.memory_provider._documents import EMBEDDING
from memorizz.memory_provider.mongodb._bson import LANGUAGE
from memorizz.memory_provider.mongodb._queries import inserted_once, ordered
from memorizz.memory_provider.mongodb._steps import Command, Operation, Read, Record, Take, change, fetch, take
from memorizz.memory_provider.mongodb._stores import TEXTS, WORDS, Database, Store, VectorIndex
from memorizz.memory_provider.mongodb.config import MongoDBConfig
from memorizz.memory_provider.options import StoreName
from memorizz.memory_provider.stores import (
    Distance,
    StoreSpec,
    UnknownStore,
    check_droppable,
    check_same,
    checked_spec,
    unknown_store,
)

# Where the stores of callers' own are listed.
STORES = "memorizz_stores"


# --- finding stores -----------------------------------------------------------------------------------------------


def store_of(database: Database, name: StoreName) -> Operation[Store]:
    """Return a store by its name; raises UnknownStore, which lists them all, where there is none."""
    try:
        return database.store(name)
    except UnknownStore:
        text = _values.searched(name)
    records = [] if text is None else (yield from fetch(_listed({"_id": text})))
    if not records:
        raise unknown_store(name, [store.name for store in (yield from all_stores(database))])
    return _own_store(database, records[0])


def all_stores(database: Database) -> Operation[list[Store]]:
    """Return the seven stores, then those of callers' own in the order in which they were made."""
    records = yield from fetch(_listed({}))
    return [*database.stores.values(), *(_own_store(database, record) for record in records)]


def specs(database: Database) -> Operation[list[StoreSpec]]:
    """Return what each store is, in the order of `all_stores`."""
    return [store.spec for store in (yield from all_stores(database))]


def _listed(query: Mapping[str, Any]) -> Read:
    return Read(STORES, [{"$match": query}, {"$sort": {"seq": 1}}])


def _own_store(database: Database, record: Record) -> Store:
    index = None
    if database.vector_indexes is not None:
        # Another provider has made it since this one was opened.
        made = _OURS if record.get("vector_index") else None
        index = database.vector_indexes.get(record["collection"], made)
    return Store(database, StoreSpec.from_json(record["spec"]), record["collection"], index)


# --- making and dropping them -------------------------------------------------------------------------------------


def create_store(database: Database, config: MongoDBConfig, spec: StoreSpec) -> Operation[None]:
    """Make a store, unless there is one of this very spec."""
    spec = checked_spec(spec)
    if spec.fields:
        raise ConfigurationError(
            f"fields={spec.fields!r}: MongoDB has one vector for a document: leave fields out, or use PostgreSQL"
        )
    try:
        there = yield from store_of(database, spec.name)
    except UnknownStore:
        made = Store(database, spec, f"{spec.name}_{uuid4().hex[:8]}")
        yield from make_indexes(made.collection, config)
        indexes = (yield from vector_indexes([made], make=True)) if config.vector_search else {}
        noted = {"spec": spec.as_json(), "collection": made.collection, "vector_index": bool(indexes)}
        seq = _values.new_id().bytes
        yield from change(STORES, inserted_once({"_id": spec.name, **noted, "seq": seq}))
        there = yield from store_of(database, spec.name)
        if there.collection != made.collection:
            # Another one was listed before this one.
            yield Command({"drop": made.collection}, writes=())
    check_same(there.spec, spec)


def drop_store(database: Database, name: str) -> Operation[None]:
    """Drop a store of a caller's own with all its documents; raises ConfigurationError for the seven and unknown ones.

    The collection goes first: where it is in use for too long, the store stays.
    """
    check_droppable(name)
    store = yield from store_of(database, name)
    found = yield Command({"listCollections": 1, "filter": {"name": store.collection}, "nameOnly": True})
    if found["cursor"]["firstBatch"]:
        yield Command({"drop": store.collection}, writes=())
    yield from take(Take(STORES, {"_id": store.name, "collection": store.collection}))


# --- the indexes of a collection ----------------------------------------------------------------------------------


def indexes(config: MongoDBConfig) -> list[dict[str, Any]]:
    """Return what a collection's indexes are to be."""
    keys: dict[str, dict[str, Any]] = {
        "memorizz_created_at": dict(ordered("created_at")),
        "memorizz_name": {"name": 1, **ordered("created_at")},
        "memorizz_history": {"memory_id": 1, **ordered("timestamp")},
        "memorizz_conversation": {"conversation_id": 1, **ordered("timestamp")},
        "memorizz_words": {**dict.fromkeys(TEXTS, "text"), **{f"{WORDS}.{text}": "text" for text in TEXTS}},
    }
    made = [{"name": name, "key": key} for name, key in keys.items()]
    # Else a caller's key `language` would choose the language of its document, and be refused where it is none.
    made[-1] |= {"default_language": config.text_language, "language_override": LANGUAGE}
    return made


def make_indexes(collection: str, config: MongoDBConfig) -> Operation[str | None]:
    """Make the indexes that a collection lacks, and with them the collection; what another program has made stays.

    Returns the language of the words where that was there before.
    """
    known = yield Command({"listIndexes": collection}, optional=True)
    there = cast("list[Mapping[str, Any]]", known["cursor"]["firstBatch"] if known is not None else [])
    names = {each["name"] for each in there}
    has_text = any("textIndexVersion" in each for each in there)
    missing = [each for each in indexes(config) if each["name"] not in names]
    missing = [each for each in missing if not (has_text and "default_language" in each)]
    if missing:
        yield Command({"createIndexes": collection, "indexes": missing})
    return next((each["default_language"] for each in there if "textIndexVersion" in each), None)


# --- $vectorSearch ------------------------------------------------------------------------------------------------

_VECTOR_INDEX = "memorizz_embedding"
# What a search can filter by inside of $vectorSearch: the keys that say whose memory it is.
_FILTERABLE = ("memory_id", "conversation_id", "name", "role")
_OURS = VectorIndex(_VECTOR_INDEX, frozenset(_FILTERABLE))
_SIMILARITY: Mapping[Distance, str] = {"cosine": "cosine", "l2": "euclidean", "inner_product": "dotProduct"}


def vector_indexes(stores: Iterable[Store], *, make: bool) -> Operation[dict[str, VectorIndex]]:
    """Return the index that $vectorSearch can use in each collection; `make` it where the server could have it."""
    found: dict[str, VectorIndex] = {}
    for store in stores:
        listed = yield Command(listing(store.collection), optional=True)
        if listed is None:
            # The server has no search of this kind.
            break
        index = usable(listed["cursor"]["firstBatch"], store.dimensions, store.spec.distance)
        if index is None and make and store.dimensions is not None and store.spec.index != "none":
            # It is built while this goes on; till it can be used, $vectorSearch finds nothing, and searches are exact.
            # A cluster may refuse it, for the smallest may have only a few.
            yield Command(creation(store.collection, store.dimensions, store.spec.distance), optional=True)
            index = _OURS
        if index is not None:
            found[store.collection] = index
    return found


def listing(collection: str) -> Mapping[str, Any]:
    """Return the command that lists the search indexes of a collection."""
    return {"aggregate": collection, "pipeline": [{"$listSearchIndexes": {}}], "cursor": {}}


def creation(collection: str, dimensions: int, distance: Distance) -> Mapping[str, Any]:
    """Return the command that has an index for $vectorSearch built."""
    fields: list[dict[str, Any]] = [
        {"type": "vector", "path": EMBEDDING, "numDimensions": dimensions, "similarity": _SIMILARITY[distance]},
        *({"type": "filter", "path": key} for key in _FILTERABLE),
    ]
    index = {"name": _VECTOR_INDEX, "type": "vectorSearch", "definition": {"fields": fields}}
    return {"createSearchIndexes": collection, "indexes": [index]}


def usable(listed: list[Mapping[str, Any]], dimensions: int | None, distance: Distance) -> VectorIndex | None:
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
            and field.get("similarity") == _SIMILARITY[distance]
            and dimensions in (None, field.get("numDimensions"))
        ]
        if vectors:
            filterable = {str(field["path"]) for field in fields if field.get("type") == "filter"}
            return VectorIndex(each["name"], frozenset(filterable.intersection(_FILTERABLE)))
    return None
