"""What the methods that read do: one generator for each, of the same name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from memorizz.memory_provider import _values
from memorizz.memory_provider._arguments import (
    checked_batch_size,
    checked_page,
    no_document,
    text_argument,
    time_before,
    turns_of,
)
from memorizz.memory_provider._choosing import chosen
from memorizz.memory_provider._filters import listed_key
from memorizz.memory_provider._questions import (
    Question,
    asked,
    check_context,
    components_asked,
    recalled,
    tell_words_alone,
)
from memorizz.memory_provider.mongodb import _queries as queries
from memorizz.memory_provider.mongodb._bson import decoded, id_keys, joined
from memorizz.memory_provider.mongodb._collections import all_stores, store_of
from memorizz.memory_provider.mongodb._queries import BEGINNING as BEGINNING
from memorizz.memory_provider.mongodb._queries import END as END
from memorizz.memory_provider.mongodb._queries import Place
from memorizz.memory_provider.mongodb._steps import Operation, Record, change, fetch
from memorizz.memory_provider.mongodb._stores import Database, Store
from memorizz.memory_provider.mongodb.search import plan, run, score
from memorizz.memory_provider.mongodb.search.run import Served
from memorizz.memory_provider.mongodb.search.score import Candidate
from memorizz.memory_provider.options import Document, Filter, Hits, SearchOptions, StoreName, checked_limit
from memorizz.memory_provider.stores import CONVERSATIONS, StoreSpec

# --- one document -------------------------------------------------------------------------------------------------


def retrieve_by_id(
    database: Database, id: Any, memory_store_type: StoreName, *, touch: bool = False, include_embedding: bool = False
) -> Operation[Document | None]:
    target = yield from store_of(database, memory_store_type)
    name = _values.id_text(id)
    if name is None:
        return None
    records = yield from fetch(queries.by_id(target, id_keys(name), include_embedding))
    if touch and records:
        yield from change(target.collection, queries.touched(target, [records[0]["_id"]]), writes=[name])
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
    database: Database,
    query: Filter | str,
    memory_store_type: StoreName,
    limit: int,
    options: SearchOptions,
    where: Filter | None = None,
) -> Operation[Hits]:
    target = yield from store_of(database, memory_store_type)
    check_context(options, target.spec)
    question = asked(query, limit, options, where)
    search = plan.parse(target, question)
    if search.limit == 0:
        return Hits()
    if isinstance(query, str):
        _tell_words_alone(query, database, [target])
    served: list[Served] = []
    records: dict[str, Record] = {}

    def find(limit: int, offset: int) -> Operation[list[tuple[StoreSpec, Document]]]:
        if search.ranked:
            served[:] = [(yield from run.run(replace(search, limit=limit), target))]
            found = served[0].hits[offset:]
            hits = [score.hit(target, search, each, bool(options.explain)) for each in found]
            read = [each.record for each in found]
        else:
            wanted = search.options.include_embedding
            matching = queries.matching(
                target, question.filter, wanted, limit - offset, options.order_by, offset, options.ended
            )
            read = yield from fetch(matching)
            served[:] = [run.only_filtered(matching)]
            hits = _documents(target, read, wanted)
        records.update((hit["id"], record) for hit, record in zip(hits, read, strict=True))
        return [(target.spec, hit) for hit in hits]

    found = yield from chosen(question, find)
    if options.touch and found:
        touched = queries.touched(target, [records[hit["id"]]["_id"] for hit in found])
        yield from change(target.collection, touched, writes=[hit["id"] for hit in found])
    if options.context:
        for hit in found:
            hit["_context"] = yield from _context(target, records[hit["id"]], options.context)
    if options.explain:
        found.explanation = run.explanation(search, target, served[0]) | (found.explanation or {})
        if options.explain == "plan":
            found.explanation["plan"] = yield from run.explained(served[0].reads)
    return found


def _context(target: Store, record: Record, turns: int) -> Operation[dict[str, list[Document]]]:
    """Return the turns before and after one, in order."""
    memory_id = record.get("memory_id")
    if not isinstance(memory_id, str):
        return {"before": [], "after": []}
    place = queries.place_of(record, "timestamp")
    before = yield from fetch(queries.newest_turns(target, {"memory_id": memory_id}, turns, place, False))
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
    question = components_asked(query, query_embedding, memory_id, limit)
    if query_embedding is None:
        _tell_words_alone(query, database, stores)
    return (yield from _best_of(stores, question))


_PLAIN = SearchOptions()


def recall(
    database: Database,
    text: str,
    memory_id: str | None = None,
    limit: int = 5,
    where: Filter | None = None,
    options: SearchOptions = _PLAIN,
) -> Operation[Hits]:
    stores = [store for store in (yield from all_stores(database)) if _is_comparable(store)]
    question = recalled(text, memory_id, limit, where, options)
    _tell_words_alone(text, database, stores)
    return (yield from _best_of(stores, question))


def _tell_words_alone(question: Any, database: Database, stores: Sequence[Store]) -> None:
    if stores[0].spec.embedded:
        remedy = (
            "in MongoDB a provider takes no embedder; give the question's vector too, query_embedding= or "
            '{"embedding": [...], "$text": {"$search": ...}}'
        )
        tell_words_alone(question, f"mongodb {database.name}", remedy)


def _best_of(stores: Sequence[Store], question: Question) -> Operation[Hits]:
    """Return the best documents of several stores, merged by score."""
    search = plan.parse(stores[0], question)
    if search.limit == 0:
        return Hits()

    def find(limit: int, offset: int) -> Operation[list[tuple[StoreSpec, Document]]]:
        limited = replace(search, limit=limit)
        found: list[tuple[Store, list[Candidate], float]] = []
        for each in stores:
            served = yield from run.run(limited, each)
            found.append((each, served.hits, served.best))
        best = score.merged(limited, found)[offset:]
        for store, document in best:
            document["_store"] = store.name
        return [(store.spec, document) for store, document in best]

    return (yield from chosen(question, find))


def _is_comparable(store: Store) -> bool:
    """Return True for a store of memories whose vectors can be compared with those of the seven."""
    return store.spec.memories and (store.dimensions, store.spec.distance) == (store.database.dimensions, "cosine")


# --- many documents -----------------------------------------------------------------------------------------------


def list_all(
    database: Database, memory_store_type: StoreName, *, order_by: str | None = None, include_embedding: bool = False
) -> Operation[list[Document]]:
    target = yield from store_of(database, memory_store_type)
    records = yield from fetch(queries.matching(target, None, include_embedding, None, order_by))
    return _documents(target, records, include_embedding)


def page(
    database: Database,
    memory_store_type: StoreName,
    filter: Filter | None,
    batch_size: int,
    include_embedding: bool,
    after: Place,
    newest_first: bool = False,
) -> Operation[tuple[list[Document], Place | None]]:
    """Return the next documents of an iteration, and the place to go on from, None at the end."""
    target = yield from store_of(database, memory_store_type)
    read = queries.page(target, filter, include_embedding, after, checked_batch_size(batch_size), newest_first)
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


def distinct(
    database: Database,
    memory_store_type: StoreName,
    key: str,
    filter: Filter | None = None,
    limit: int | None = None,
    offset: int = 0,
    *,
    depth: int | None = None,
) -> Operation[list[Any]]:
    target = yield from store_of(database, memory_store_type)
    read = queries.distinct(target, listed_key(key), filter, *checked_page(limit, offset, depth))
    values = [record["_id"] for record in ((yield from fetch(read)) if limit != 0 else ())]
    return [
        joined(value["v"], value.get("rest")) if isinstance(value["v"], datetime) else decoded(value["v"])
        for value in values
    ]


# --- conversations ------------------------------------------------------------------------------------------------


def retrieve_conversation_history_ordered_by_timestamp(
    database: Database,
    memory_id: str | None = None,
    limit: int | None = None,
    before: str | datetime | None = None,
    *,
    conversation_id: str | None = None,
    include_embedding: bool = False,
) -> Operation[list[Document]]:
    target = database.store(CONVERSATIONS)
    if limit is not None:
        checked_limit(limit)
    whose = turns_of(memory_id, conversation_id)
    if whose is None:
        return []
    place = (yield from _turn_place(target, whose, before)) if before is not None else None
    if limit == 0:
        return []
    records = yield from fetch(queries.newest_turns(target, whose, limit, place, include_embedding))
    return _documents(target, reversed(records), include_embedding)


def _turn_place(target: Store, whose: Mapping[str, str], before: str | datetime) -> Operation[Place]:
    """Return the place in a history that a turn's id or a time names; an id wins over a time of the same text."""
    name = _values.id_text(before)
    if name is not None:
        records = yield from fetch(queries.place(target, id_keys(name), "timestamp", **whose))
        if records:
            return queries.place_of(records[0], "timestamp")
    return queries.before_all_of(time_before(before, whose))
