"""What the methods that read do: one generator for each, of the same name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

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
from memorizz.memory_provider._documents import EMBEDDING
from memorizz.memory_provider._filters import listed_key
from memorizz.memory_provider._questions import (
    Question,
    asked,
    check_context,
    components_asked,
    recalled,
    tell_words_alone,
)
from memorizz.memory_provider.base import Document, Filter, Hits, SearchOptions, StoreName
from memorizz.memory_provider.options import checked_limit
from memorizz.memory_provider.postgresql._steps import Operation, Query, Row, fetch, fetch_all, fetch_last
from memorizz.memory_provider.postgresql.facts import Facts, Store
from memorizz.memory_provider.postgresql.rows import document_of, document_with_embedding, from_sent, moment
from memorizz.memory_provider.postgresql.search import plan, run, score
from memorizz.memory_provider.postgresql.search.plan import Route
from memorizz.memory_provider.postgresql.search.run import Served
from memorizz.memory_provider.postgresql.sql import reads, writes
from memorizz.memory_provider.postgresql.sql.distinct import distinct as sql_distinct
from memorizz.memory_provider.postgresql.sql.replay import POSITION
from memorizz.memory_provider.stores import CONVERSATIONS, StoreSpec


def position(facts: Facts) -> Operation[str]:
    """Return a position behind all that was written before."""
    [(found,)] = yield from fetch(POSITION)
    return found


# --- one document -------------------------------------------------------------------------------------------------


def retrieve_by_id(
    facts: Facts, id: Any, memory_store_type: StoreName, *, touch: bool = False, include_embedding: bool = False
) -> Operation[Document | None]:
    store = facts.store(memory_store_type)
    name = _values.id_text(id)
    if name is None:
        return None
    key = _values.id_key(name)
    query = reads.by_id(store, key, include_embedding)
    if not touch:
        return (yield from _first(query, include_embedding))
    rows, counted = yield from fetch_all([query, writes.touch(store, [key])])
    if rows and not counted:
        yield from _touch(store, [key])
    documents = _documents(rows, include_embedding)
    return documents[0] if documents else None


def retrieve_by_name(
    facts: Facts, name: str, memory_store_type: StoreName, *, include_embedding: bool = False
) -> Operation[Document | None]:
    store = facts.store(memory_store_type)
    text = text_argument(name, "name")
    if text is None:
        return None
    return (yield from _first(reads.newest_by_name(store, text, include_embedding), include_embedding))


def _first(query: Query, include_embedding: bool) -> Operation[Document | None]:
    documents = _documents((yield from fetch_last(query)), include_embedding)
    return documents[0] if documents else None


def _documents(rows: Sequence[Row], include_embedding: bool) -> list[Document]:
    read = document_with_embedding if include_embedding else document_of
    return [read(row) for row in rows]


# --- searching ----------------------------------------------------------------------------------------------------


def retrieve_by_query(
    facts: Facts,
    query: Filter | str,
    memory_store_type: StoreName,
    limit: int,
    options: SearchOptions,
    where: Filter | None = None,
) -> Operation[Hits]:
    store = facts.store(memory_store_type)
    check_context(options, store.spec)
    question = asked(query, limit, options, where, embeds=store.embedder is not None)
    search = plan.parse(store, question)
    if search.limit == 0:
        return Hits()
    if isinstance(query, str):
        _tell_words_alone(query, [store])
    if question.text is not None:
        search = yield from run.embed_question(search, question, [store])
        if not search.ranked:
            return Hits()
    served: list[Served] = []

    def find(limit: int, offset: int) -> Operation[list[tuple[StoreSpec, Document]]]:
        if question.ranked:
            limited = search if limit == search.limit else replace(search, limit=limit)
            served[:] = yield from run.run(facts, limited, [store])
            hits = score.hits(store, search, served[0].rows[offset:], bool(options.explain))
        else:
            wanted = search.options.include_embedding
            statement = reads.matching(
                store, question.filter, wanted, limit - offset, options.order_by, offset, options.ended
            )
            # What `count_tokens` raises takes back what was done before it.
            further = options.touch or options.context or options.explain or options.count_tokens or options.unique
            rows = yield from fetch_last(statement, not further)
            served[:] = [Served(Route.EXACT, [Route.EXACT], statement, rows)]
            hits = _documents(rows, wanted)
        return [(store.spec, hit) for hit in hits]

    found = yield from chosen(question, find)
    if options.touch and found:
        yield from _touch(store, [_values.id_key(hit["id"]) for hit in found])
    if options.context:
        yield from _add_context(store, found, options.context)
    if options.explain:
        found.explanation = run.explanation(search, store, served[0]) | (found.explanation or {})
        if options.explain == "plan":
            found.explanation["plan"] = yield from run.explained(facts, search, store, served[0])
    return found


# How often documents are counted that are locked: for half a second in all. Eight searches that count the same hundred
# at once were seen to take a fifth of one, where a commit takes 10 ms.
_TOUCHES = 100


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
    embeds = stores[0].embedder is not None
    question = components_asked(query, query_embedding, memory_id, limit, embeds=embeds)
    if query_embedding is None:
        _tell_words_alone(query, stores)
    return (yield from _best_of(facts, stores, question))


_PLAIN = SearchOptions()


def recall(
    facts: Facts,
    text: str,
    memory_id: str | None = None,
    limit: int = 5,
    where: Filter | None = None,
    options: SearchOptions = _PLAIN,
) -> Operation[Hits]:
    stores = _memories(facts)
    question = recalled(text, memory_id, limit, where, options, embeds=stores[0].embedder is not None)
    _tell_words_alone(text, stores)
    return (yield from _best_of(facts, stores, question))


def _tell_words_alone(question: Any, stores: Sequence[Store]) -> None:
    store = stores[0]
    if store.embedder is None and store.spec.embedded:
        remedy = (
            "give the provider an embedder, embedder=\"local\" for one (pip install 'memorizz-postgresql[local]'), "
            "and embed what is stored already with `memorizz embed`"
        )
        tell_words_alone(question, store.layout.identity, remedy)


def _best_of(facts: Facts, stores: Sequence[Store], question: Question) -> Operation[Hits]:
    """Return the best documents of several stores, merged by score."""
    search = plan.parse(stores[0], question)
    if search.limit == 0:
        return Hits()
    search = yield from run.embed_question(search, question, stores)
    if not search.ranked:
        return Hits()
    # Their embeddings are read for those that are returned, and not for all candidates of all stores.
    wanted = search.options.include_embedding
    light = replace(search, options=replace(search.options, include_embedding=wanted and len(stores) == 1))

    def find(limit: int, offset: int) -> Operation[list[tuple[StoreSpec, Document]]]:
        limited = replace(light, limit=limit)
        served = yield from run.run(facts, limited, stores)
        found = [(store, each.rows) for store, each in zip(stores, served, strict=True)]
        best = score.merged(limited, found)[offset:]
        if wanted and not light.options.include_embedding:
            yield from _add_embeddings(best)
        for store, document in best:
            document["_store"] = store.name
        return [(store.spec, document) for store, document in best]

    return (yield from chosen(question, find))


def _add_embeddings(found: Sequence[tuple[Store, Document]]) -> Operation[None]:
    stores = {store.name: store for store, _ in found}
    wanted = {name: {_values.id_key(hit["id"]): hit for of, hit in found if of.name == name} for name in stores}
    results = yield from fetch_all([reads.embeddings(stores[name], [*hits]) for name, hits in wanted.items()])
    for hits, rows in zip(wanted.values(), results, strict=True):
        for id, sent in rows:
            hits[id][EMBEDDING] = from_sent(sent)


def retrieve_from_all_stores(
    facts: Facts, text: str, limit: int, where: Filter | None = None
) -> Operation[list[tuple[str, Document]]]:
    """Return the best documents of all stores, agents too, each with the name of its store.

    By meaning and words where there is an embedder of what a store has, else by words.
    """
    stores = [facts.store(name) for name in facts.stores]
    first = next((store for store in stores if store.embeds), None)
    alike = [store for store in stores if first is not None and store.embeds and store.model == first.model]
    question = asked(text, limit, SearchOptions(), where, embeds=first is not None)
    by_words = plan.parse(first or stores[0], question)
    by_meaning = by_words if first is None else (yield from run.embed_question(by_words, question, alike))
    found: list[tuple[Store, list[Row]]] = []
    for store in stores:
        search = by_meaning if store in alike else plan.parse(store, question)
        found.append((store, (yield from run.run(facts, search, [store]))[0].rows))
    return [(store.name, document) for store, document in score.merged(by_meaning, found)]


def _memories(facts: Facts) -> list[Store]:
    """Return the stores that are searched where none is named: those of memories whose vectors can be compared."""
    first = facts.store(CONVERSATIONS)
    return [
        facts.store(store.name)
        for store in facts.stores.values()
        if store.spec.memories and (store.model, store.spec.distance) == (first.model, first.spec.distance)
    ]


# --- many documents -----------------------------------------------------------------------------------------------


def list_all(
    facts: Facts, memory_store_type: StoreName, *, order_by: str | None = None, include_embedding: bool = False
) -> Operation[list[Document]]:
    store = facts.store(memory_store_type)
    rows = yield from fetch_last(reads.matching(store, None, include_embedding, None, order_by))
    return _documents(rows, include_embedding)


Position = tuple[datetime | str, int]
# Before every document, and behind every one.
BEGINNING: Position = ("-infinity", -1)
END: Position = ("infinity", 2**63 - 1)


def page(
    facts: Facts,
    memory_store_type: StoreName,
    filter: Filter | None,
    batch_size: int,
    include_embedding: bool,
    after: Position,
    newest_first: bool = False,
) -> Operation[tuple[list[Document], Position | None]]:
    """Return the next documents of an iteration, and the position to go on from, None at the end."""
    store = facts.store(memory_store_type)
    limit = checked_batch_size(batch_size)
    rows = yield from fetch(reads.page(store, filter, include_embedding, after, limit, newest_first))
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
    rows = yield from fetch_last(reads.count(facts.store(memory_store_type), filter))
    return rows[0][0]


def distinct(
    facts: Facts,
    memory_store_type: StoreName,
    key: str,
    filter: Filter | None = None,
    limit: int | None = None,
    offset: int = 0,
    *,
    depth: int | None = None,
) -> Operation[list[Any]]:
    store = facts.store(memory_store_type)
    query, is_json = sql_distinct(store, listed_key(key), filter, *checked_page(limit, offset, depth))
    rows = yield from fetch_last(query)
    if is_json:
        return _values.decode_each([text for (text,) in rows])
    return [moment(value) if isinstance(value, datetime) else value for (value,) in rows]


# --- conversations ------------------------------------------------------------------------------------------------


def retrieve_conversation_history_ordered_by_timestamp(
    facts: Facts,
    memory_id: str | None = None,
    limit: int | None = None,
    before: str | datetime | None = None,
    *,
    conversation_id: str | None = None,
    include_embedding: bool = False,
) -> Operation[list[Document]]:
    store = facts.store(CONVERSATIONS)
    if limit is not None:
        checked_limit(limit)
    whose = turns_of(memory_id, conversation_id)
    if whose is None:
        return []
    if before is None:
        rows = yield from fetch_last(reads.newest_turns(store, whose, limit, include_embedding))
    else:
        position = yield from _turn_position(store, whose, before)
        rows = yield from fetch(reads.turns_before(store, whose, limit, position, include_embedding))
    rows.reverse()
    return _documents(rows, include_embedding)


def _turn_position(store: Store, whose: Mapping[str, str], before: str | datetime) -> Operation[Position]:
    """Return the position in a history that a turn's id or a time names; an id wins over a time of the same text."""
    name = _values.id_text(before)
    if name is not None:
        rows = yield from fetch(reads.turn_position(store, whose, _values.id_key(name)))
        if rows:
            return _position_of(rows[0])
    # Before every turn of that time.
    return time_before(before, whose), -1
