"""What the methods that read do: one generator for each, of the same name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from memorizz.memory_provider import _values
from memorizz.memory_provider._arguments import (
    check_context,
    checked_batch_size,
    no_document,
    text_argument,
    time_before,
)
from memorizz.memory_provider._documents import EMBEDDING
from memorizz.memory_provider._questions import asked, checked_limit, components_asked
from memorizz.memory_provider.base import Document, Filter, Hits, SearchOptions, StoreName
from memorizz.memory_provider.postgresql._steps import Operation, Query, Row, fetch, fetch_all
from memorizz.memory_provider.postgresql.facts import Facts, Store
from memorizz.memory_provider.postgresql.rows import document_of, document_with_embedding, from_binary, moment
from memorizz.memory_provider.postgresql.search import plan, run, score
from memorizz.memory_provider.postgresql.search.plan import Route
from memorizz.memory_provider.postgresql.search.run import Served
from memorizz.memory_provider.postgresql.sql import reads, writes
from memorizz.memory_provider.stores import CONVERSATIONS

# --- one document -------------------------------------------------------------------------------------------------


def retrieve_by_id(
    facts: Facts, id: Any, memory_store_type: StoreName, *, include_embedding: bool = False
) -> Operation[Document | None]:
    store = facts.store(memory_store_type)
    name = _values.id_text(id)
    if name is None:
        return None
    return (yield from _first(reads.by_id(store, _values.id_key(name), include_embedding), include_embedding))


def retrieve_by_name(
    facts: Facts, name: str, memory_store_type: StoreName, *, include_embedding: bool = False
) -> Operation[Document | None]:
    store = facts.store(memory_store_type)
    text = text_argument(name, "name")
    if text is None:
        return None
    return (yield from _first(reads.newest_by_name(store, text, include_embedding), include_embedding))


def _first(query: Query, include_embedding: bool) -> Operation[Document | None]:
    documents = _documents((yield from fetch(query)), include_embedding)
    return documents[0] if documents else None


def _documents(rows: Sequence[Row], include_embedding: bool) -> list[Document]:
    read = document_with_embedding if include_embedding else document_of
    return [read(row) for row in rows]


# --- searching ----------------------------------------------------------------------------------------------------


def retrieve_by_query(
    facts: Facts, query: Filter | str, memory_store_type: StoreName, limit: int, options: SearchOptions
) -> Operation[Hits]:
    store = facts.store(memory_store_type)
    check_context(options, store.spec)
    question = asked(query, limit, options, embeds=store.embedder is not None)
    search = plan.parse(store, question)
    if search.limit == 0:
        return Hits()
    if question.ranked:
        if question.text is not None:
            search = yield from run.embed_question(search, question, [store])
            if not search.ranked:
                return Hits()
        served = (yield from run.run(facts, search, [store]))[0]
        found = Hits(score.hits(store, search, served.rows, bool(options.explain)))
    else:
        statement = reads.matching(store, question.filter, options.include_embedding, search.limit)
        rows = yield from fetch(statement)
        found = Hits(_documents(rows, options.include_embedding))
        served = Served(Route.EXACT, [Route.EXACT], statement, rows)
    if options.touch and found:
        yield from _touch(store, [_values.id_key(hit["id"]) for hit in found])
    if options.context:
        yield from _add_context(store, found, options.context)
    if options.explain:
        found.explanation = run.explanation(search, served)
        if options.explain == "plan":
            found.explanation["plan"] = yield from run.explained(facts, search, store, served)
    return found


# How often documents are counted that are locked: for 0.1 s in all.
_TOUCHES = 20


def _touch(store: Store, ids: list[UUID]) -> Operation[None]:
    """Count documents as accessed: after other searches that count them, but not after a writer that takes its time."""
    for _ in range(_TOUCHES):
        counted = {row[-1] for row in (yield from fetch(writes.touch(store, ids)))}
        ids = [id for id in ids if id not in counted]
        if not ids:
            return
        yield from fetch(writes.PAUSE)


def _add_context(store: Store, found: Hits, turns: int) -> Operation[None]:
    around: dict[UUID, dict[str, list[Document]]] = {
        _values.id_key(hit["id"]): {"before": [], "after": []} for hit in found
    }
    if around:
        rows = yield from fetch(reads.context(store, list(around), turns))
        for row in rows:
            around[row[-2]]["before" if row[-1] < 0 else "after"].append(document_of(row))
    for hit in found:
        hit["_context"] = around[_values.id_key(hit["id"])]


def retrieve_memory_components_by_query(
    facts: Facts,
    query: str | None = None,
    query_embedding: Any = None,
    memory_id: str | None = None,
    memory_type: StoreName | None = None,
    limit: int = 5,
) -> Operation[list[Document]]:
    stores = _memories(facts) if memory_type is None else [facts.store(memory_type)]
    first = stores[0]
    question = components_asked(query, query_embedding, memory_id, limit, embeds=first.embedder is not None)
    search = plan.parse(first, question)
    if search.limit == 0:
        return []
    search = yield from run.embed_question(search, question, stores)
    if not search.ranked:
        return []
    # Their embeddings are read for those that are returned, and not for all candidates of all stores.
    light = replace(search, options=replace(search.options, include_embedding=len(stores) == 1))
    served = yield from run.run(facts, light, stores)
    best = score.merged(light, [(store, each.rows) for store, each in zip(stores, served, strict=True)])
    if not light.options.include_embedding:
        yield from _add_embeddings(best)
    return [document for _, document in best]


def _add_embeddings(found: Sequence[tuple[Store, Document]]) -> Operation[None]:
    stores = {store.name: store for store, _ in found}
    wanted = {name: {_values.id_key(hit["id"]): hit for of, hit in found if of.name == name} for name in stores}
    results = yield from fetch_all([reads.embeddings(stores[name], [*hits]) for name, hits in wanted.items()])
    for hits, rows in zip(wanted.values(), results, strict=True):
        for id, sent in rows:
            hits[id][EMBEDDING] = None if sent is None else from_binary(sent)


def retrieve_from_all_stores(facts: Facts, query: Filter, limit: int) -> Operation[list[tuple[str, Document]]]:
    """Return the best documents of all stores, agents too, each with the name of its store; the query has words."""
    question = asked(query, limit, SearchOptions())
    searches = [(store, plan.parse(store, question)) for store in facts.stores.values()]
    found: list[tuple[Store, list[Row]]] = []
    for store, search in searches:
        found.append((store, (yield from run.run(facts, search, [store]))[0].rows))
    return [(store.name, document) for store, document in score.merged(searches[0][1], found)]


def _memories(facts: Facts) -> list[Store]:
    """Return the stores that are searched where none is named: those of memories whose vectors can be compared."""
    first = facts.store(CONVERSATIONS)
    return [
        store
        for store in facts.stores.values()
        if store.spec.memories and (store.model, store.spec.distance) == (first.model, first.spec.distance)
    ]


# --- many documents -----------------------------------------------------------------------------------------------


def list_all(
    facts: Facts, memory_store_type: StoreName, *, include_embedding: bool = False
) -> Operation[list[Document]]:
    store = facts.store(memory_store_type)
    rows = yield from fetch(reads.matching(store, None, include_embedding, None))
    return _documents(rows, include_embedding)


Position = tuple[datetime | str, int]
# Before every document.
BEGINNING: Position = ("-infinity", -1)


def page(
    facts: Facts,
    memory_store_type: StoreName,
    filter: Filter | None,
    batch_size: int,
    include_embedding: bool,
    after: Position,
) -> Operation[tuple[list[Document], Position | None]]:
    """Return the next documents of an iteration, and the position to go on from, None at the end."""
    store = facts.store(memory_store_type)
    rows = yield from fetch(reads.page(store, filter, include_embedding, after, checked_batch_size(batch_size)))
    position = _position_of(rows[-1]) if len(rows) == batch_size else None
    return _documents(rows, include_embedding), position


def place_of(facts: Facts, id: Any, memory_store_type: StoreName) -> Operation[Position]:
    """Return the position in an iteration that a document has, expired or not."""
    store = facts.store(memory_store_type)
    name = _values.id_text(id)
    rows = [] if name is None else (yield from fetch(reads.position(store, _values.id_key(name))))
    if not rows:
        raise no_document(id, store.spec)
    return _position_of(rows[0])


def _position_of(row: Row) -> Position:
    """Return the position that a row ends with."""
    return moment(row[-2]), row[-1]


def count(facts: Facts, memory_store_type: StoreName, filter: Filter | None = None) -> Operation[int]:
    rows = yield from fetch(reads.count(facts.store(memory_store_type), filter))
    return rows[0][0]


# --- conversations ------------------------------------------------------------------------------------------------


def retrieve_conversation_history_ordered_by_timestamp(
    facts: Facts,
    memory_id: str,
    limit: int | None = None,
    before: str | datetime | None = None,
    *,
    include_embedding: bool = False,
) -> Operation[list[Document]]:
    store = facts.store(CONVERSATIONS)
    if limit is not None:
        checked_limit(limit)
    memory = text_argument(memory_id, "memory_id")
    if memory is None:
        return []
    if before is None:
        rows = yield from fetch(reads.newest_turns(store, memory, limit, include_embedding))
    else:
        position = yield from _turn_position(store, memory, before)
        rows = yield from fetch(reads.turns_before(store, memory, limit, position, include_embedding))
    rows.reverse()
    return _documents(rows, include_embedding)


def _turn_position(store: Store, memory_id: str, before: str | datetime) -> Operation[Position]:
    """Return the position in a history that a turn's id or a time names; an id wins over a time of the same text."""
    name = _values.id_text(before)
    if name is not None:
        rows = yield from fetch(reads.turn_position(store, memory_id, _values.id_key(name)))
        if rows:
            return _position_of(rows[0])
    # Before every turn of that time.
    return time_before(before, memory_id), -1
