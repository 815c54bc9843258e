"""What the methods that read do: one generator for each, of the same name."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from memorizz.memory_provider import _values
from memorizz.memory_provider._arguments import (
    check_context,
    checked_batch_size,
    no_document,
    text_argument,
    time_before,
)
from memorizz.memory_provider._questions import asked, components_asked
from memorizz.memory_provider.mongodb import _queries as queries
from memorizz.memory_provider.mongodb._bson import id_keys
from memorizz.memory_provider.mongodb._collections import all_stores, store_of
from memorizz.memory_provider.mongodb._queries import BEGINNING as BEGINNING
from memorizz.memory_provider.mongodb._queries import Place
from memorizz.memory_provider.mongodb._steps import Operation, Record, change, fetch
from memorizz.memory_provider.mongodb._stores import Database, Store
from memorizz.memory_provider.mongodb.search import plan, run, score
from memorizz.memory_provider.mongodb.search.score import Candidate
from memorizz.memory_provider.options import Document, Filter, Hits, SearchOptions, StoreName, checked_limit
from memorizz.memory_provider.stores import CONVERSATIONS

# --- one document -------------------------------------------------------------------------------------------------


def retrieve_by_id(
    database: Database, id: Any, memory_store_type: StoreName, *, include_embedding: bool = False
) -> Operation[Document | None]:
    target = yield from store_of(database, memory_store_type)
    name = _values.id_text(id)
    if name is None:
        return None
    records = yield from fetch(queries.by_id(target, id_keys(name), include_embedding))
    return _first(_documents(target, records, include_embedding))


def retrieve_by_name(
    database: Database, name: str, memory_store_type: StoreName, *, include_embedding: bool = False
) -> Operation[Document | None]:
    target = yield from store_of(database, memory_store_type)
    text = text_argument(name, "name")
    if text is None:
        return None
    records = yield from fetch(queries.newest_by_name(target, text, include_embedding))
    return _first(_documents(target, records, include_embedding))


def _documents(target: Store, records: Iterable[Record], include_embedding: bool) -> list[Document]:
    return [target.document(record, include_embedding) for record in records]


def _first(documents: list[Document]) -> Document | None:
    return documents[0] if documents else None


# --- searching ----------------------------------------------------------------------------------------------------


def retrieve_by_query(
    database: Database, query: Filter | str, memory_store_type: StoreName, limit: int, options: SearchOptions
) -> Operation[Hits]:
    target = yield from store_of(database, memory_store_type)
    check_context(options, target.spec)
    question = asked(query, limit, options)
    search = plan.parse(target, question)
    if search.limit == 0:
        return Hits()
    if search.ranked:
        served = yield from run.run(search, target)
        found = Hits(score.hit(target, search, each, bool(options.explain)) for each in served.hits)
        records = [each.record for each in served.hits]
    else:
        read = queries.matching(target, question.filter, options.include_embedding, search.limit)
        records = yield from fetch(read)
        served = run.only_filtered(read)
        found = Hits(_documents(target, records, options.include_embedding))
    if options.touch and records:
        touched = queries.touched([record["_id"] for record in records])
        yield from change(target.collection, touched, writes=[hit["id"] for hit in found])
    if options.context:
        for hit, record in zip(found, records, strict=True):
            hit["_context"] = yield from _context(target, record, options.context)
    if options.explain:
        found.explanation = run.explanation(search, served)
        if options.explain == "plan":
            found.explanation["plan"] = yield from run.explained(served.reads)
    return found


def _context(target: Store, record: Record, turns: int) -> Operation[dict[str, list[Document]]]:
    """Return the turns before and after one, in order."""
    memory_id = record.get("memory_id")
    if not isinstance(memory_id, str):
        return {"before": [], "after": []}
    place = queries.place_of(record, "timestamp")
    before = yield from fetch(queries.newest_turns(target, memory_id, turns, place, False))
    after = yield from fetch(queries.next_turns(target, memory_id, turns, place))
    return {"before": _documents(target, reversed(before), False), "after": _documents(target, after, False)}


def retrieve_memory_components_by_query(
    database: Database,
    query: str | None = None,
    query_embedding: Any = None,
    memory_id: str | None = None,
    memory_type: StoreName | None = None,
    limit: int = 5,
) -> Operation[list[Document]]:
    if memory_type is None:
        stores = [store for store in (yield from all_stores(database)) if _is_comparable(store)]
    else:
        stores = [(yield from store_of(database, memory_type))]
    search = plan.parse(stores[0], components_asked(query, query_embedding, memory_id, limit))
    if search.limit == 0:
        return []
    found: list[tuple[Store, list[Candidate], float]] = []
    for each in stores:
        served = yield from run.run(search, each)
        found.append((each, served.hits, served.best))
    return score.merged(search, found)


def _is_comparable(store: Store) -> bool:
    """Return True for a store of memories whose vectors can be compared with those of the seven."""
    return store.spec.memories and (store.dimensions, store.spec.distance) == (store.database.dimensions, "cosine")


# --- many documents -----------------------------------------------------------------------------------------------


def list_all(
    database: Database, memory_store_type: StoreName, *, include_embedding: bool = False
) -> Operation[list[Document]]:
    target = yield from store_of(database, memory_store_type)
    records = yield from fetch(queries.matching(target, None, include_embedding, None))
    return _documents(target, records, include_embedding)


def page(
    database: Database,
    memory_store_type: StoreName,
    filter: Filter | None,
    batch_size: int,
    include_embedding: bool,
    after: Place,
) -> Operation[tuple[list[Document], Place | None]]:
    """Return the next documents of an iteration, and the place to go on from, None at the end."""
    target = yield from store_of(database, memory_store_type)
    read = queries.page(target, filter, include_embedding, after, checked_batch_size(batch_size))
    records = yield from fetch(read)
    place = queries.place_of(records[-1], "created_at") if len(records) == batch_size else None
    return _documents(target, records, include_embedding), place


def place_of(database: Database, id: Any, memory_store_type: StoreName) -> Operation[Place]:
    """Return the place in an iteration that a document has, expired or not."""
    target = yield from store_of(database, memory_store_type)
    name = _values.id_text(id)
    records = [] if name is None else (yield from fetch(queries.place(target, id_keys(name), "created_at")))
    if not records:
        raise no_document(id, target.spec)
    return queries.place_of(records[0], "created_at")


def count(database: Database, memory_store_type: StoreName, filter: Filter | None = None) -> Operation[int]:
    target = yield from store_of(database, memory_store_type)
    records = yield from fetch(queries.count(target, filter))
    return records[0]["n"] if records else 0


# --- conversations ------------------------------------------------------------------------------------------------


def retrieve_conversation_history_ordered_by_timestamp(
    database: Database,
    memory_id: str,
    limit: int | None = None,
    before: str | datetime | None = None,
    *,
    include_embedding: bool = False,
) -> Operation[list[Document]]:
    target = database.store(CONVERSATIONS)
    if limit is not None:
        checked_limit(limit)
    memory = text_argument(memory_id, "memory_id")
    if memory is None:
        return []
    place = (yield from _turn_place(target, memory, before)) if before is not None else None
    if limit == 0:
        return []
    records = yield from fetch(queries.newest_turns(target, memory, limit, place, include_embedding))
    return _documents(target, reversed(records), include_embedding)


def _turn_place(target: Store, memory_id: str, before: str | datetime) -> Operation[Place]:
    """Return the place in a history that a turn's id or a time names; an id wins over a time of the same text."""
    name = _values.id_text(before)
    if name is not None:
        records = yield from fetch(queries.place(target, id_keys(name), "timestamp", memory_id=memory_id))
        if records:
            return queries.place_of(records[0], "timestamp")
    return queries.before_all_of(time_before(before, memory_id))
