"""What each method does: one generator per method, of the same name.

An operation knows the schema and its arguments; it yields steps and returns the method's result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from memorizz.errors import ConfigurationError, FilterError, InvalidDocument
from memorizz.memory_provider import _values
from memorizz.memory_provider._agents import agent_document
from memorizz.memory_provider._documents import batches, given_id
from memorizz.memory_provider._questions import asked, checked_limit, components_asked
from memorizz.memory_provider.base import Document, Filter, Hits, SearchOptions, StoreName
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import _changes as changes
from memorizz.memory_provider.postgresql import _queries as queries
from memorizz.memory_provider.postgresql import _ranking, _search
from memorizz.memory_provider.postgresql import _serving as serving
from memorizz.memory_provider.postgresql._embedding import Spool, embed
from memorizz.memory_provider.postgresql._search import Way
from memorizz.memory_provider.postgresql._steps import Operation, fetch, fetch_all
from memorizz.memory_provider.postgresql._steps import Row as Record
from memorizz.memory_provider.postgresql._stores import Row, Schema, Store
from memorizz.memory_provider.postgresql._writing import upsert, write

# --- storing ------------------------------------------------------------------------------------------------------


def store(schema: Schema, data: Mapping[str, Any], memory_store_type: StoreName) -> Operation[str]:
    target = schema.store(memory_store_type)
    document = (yield from embed(target, [data]))[0]
    row = target.row(document)
    yield from upsert(target, [row])
    return row.name


def store_many(
    schema: Schema, documents: Iterable[Mapping[str, Any]] | Spool, memory_store_type: StoreName
) -> Operation[list[str]]:
    # Another thread may have followed a change of the model since: then the columns of these rows are gone, and the
    # server says so.
    target = (documents.schema if isinstance(documents, Spool) else schema).store(memory_store_type)
    names: list[str] = []
    for batch in batches(documents):
        rows = [each if isinstance(each, Row) else target.row(each) for each in batch]
        yield from write(target, rows)
        names += [row.name for row in rows]
    return names


def check(schema: Schema, data: Mapping[str, Any], memory_store_type: StoreName) -> Operation[None]:
    schema.store(memory_store_type).row(data)
    yield from ()


def update_by_id(schema: Schema, id: Any, data: Mapping[str, Any], memory_store_type: StoreName) -> Operation[bool]:
    target = schema.store(memory_store_type)
    name = _values.id_text(id)
    if name is None:
        return False
    if given_id(data) not in (None, name):
        raise InvalidDocument("id", f"the data has the id {given_id(data)!r}, the document to update is {name!r}")
    key = _values.id_key(name)
    document = (yield from embed(target, [data], key))[0]
    rows = yield from fetch(changes.update(target, target.row(document, key)))
    return bool(rows)


# --- reading ------------------------------------------------------------------------------------------------------


def retrieve_by_id(
    schema: Schema, id: Any, memory_store_type: StoreName, *, include_embedding: bool = False
) -> Operation[Document | None]:
    target = schema.store(memory_store_type)
    name = _values.id_text(id)
    if name is None:
        return None
    rows = yield from fetch(queries.by_id(target, _values.id_key(name), include_embedding))
    return _first(_documents(target, rows, include_embedding))


def retrieve_by_name(
    schema: Schema, name: str, memory_store_type: StoreName, *, include_embedding: bool = False
) -> Operation[Document | None]:
    target = schema.store(memory_store_type)
    text = _values.searched(name)
    if text is None:
        return None
    rows = yield from fetch(queries.newest_by_name(target, text, include_embedding))
    return _first(_documents(target, rows, include_embedding))


def retrieve_by_query(
    schema: Schema,
    query: Filter | str,
    memory_store_type: StoreName,
    limit: int,
    options: SearchOptions,
) -> Operation[Hits]:
    target = schema.store(memory_store_type)
    if options.context and target.memory_type is not MemoryType.CONVERSATION_MEMORY:
        raise ConfigurationError(f"context: only turns of a conversation have others around them, not {target.name}")
    question = asked(query, limit, options, embeds=schema.embedder is not None)
    search, filter = _search.parse(target, question), question.filter
    if search.limit == 0:
        return Hits()
    if not question.ranked:
        statement = queries.matching(target, filter, options.include_embedding, search.limit, options.touch)
        rows = yield from fetch(statement)
        found = Hits(_documents(target, rows, options.include_embedding))
        served = serving.Served(Way.EXACT, [Way.EXACT], statement, rows)
    else:
        search = yield from serving.with_meaning(search, question, target)
        if not search.ranked:
            return Hits()
        served = (yield from serving.ranked(search, [target]))[0]
        found = Hits(_ranking.hits(target, search, served.rows, bool(options.explain)))
    if options.context:
        yield from _add_context(target, found, options.context)
    if options.explain:
        found.explanation = serving.explanation(search, served)
        if options.explain == "plan":
            # What is run once more must not count once more.
            again = replace(search, options=replace(options, touch=False))
            plain = queries.matching(target, filter, options.include_embedding, search.limit)
            statement = _ranking.statement(again, target, served.way) if search.ranked else plain
            found.explanation["plan"] = yield from serving.plan(again, target, statement, served)
    return found


def _add_context(target: Store, found: Hits, turns: int) -> Operation[None]:
    around: dict[UUID, dict[str, list[Document]]] = {
        _values.id_key(hit["id"]): {"before": [], "after": []} for hit in found
    }
    if around:
        rows = yield from fetch(queries.context(target, list(around), turns))
        for row in rows:
            around[row[-2]]["before" if row[-1] < 0 else "after"].append(target.document(row))
    for hit in found:
        hit["_context"] = around[_values.id_key(hit["id"])]


def retrieve_memory_components_by_query(
    schema: Schema,
    query: str | None = None,
    query_embedding: Any = None,
    memory_id: str | None = None,
    memory_type: StoreName | None = None,
    limit: int = 5,
) -> Operation[list[Document]]:
    searched = [MemoryType.of(memory_type)] if memory_type is not None else _MEMORIES
    stores = [schema.store(each) for each in searched]
    question = components_asked(query, query_embedding, memory_id, limit, embeds=schema.embedder is not None)
    search = _search.parse(stores[0], question)
    if search.limit == 0:
        return []
    conversations = schema.store(MemoryType.CONVERSATION_MEMORY)
    search = yield from serving.with_meaning(search, question, conversations if conversations in stores else stores[0])
    if not search.ranked:
        return []
    served = yield from serving.ranked(search, stores)
    return _ranking.merged(search, [(store, each.rows) for store, each in zip(stores, served, strict=True)])


_MEMORIES = [member for member in MemoryType if member is not MemoryType.MEMAGENT]


def list_all(
    schema: Schema, memory_store_type: StoreName, *, include_embedding: bool = False
) -> Operation[list[Document]]:
    target = schema.store(memory_store_type)
    rows = yield from fetch(queries.matching(target, None, include_embedding, None))
    return _documents(target, rows, include_embedding)


Place = tuple[datetime, int]
# Before every document: PostgreSQL's times go back further than Python's.
BEGINNING: Place = (datetime.min.replace(tzinfo=UTC), -1)


def page(
    schema: Schema,
    memory_store_type: StoreName,
    filter: Filter | None,
    batch_size: int,
    include_embedding: bool,
    after: Place,
) -> Operation[tuple[list[Document], Place | None]]:
    """Return the next documents of an iteration, and the place to go on from, None at the end."""
    target = schema.store(memory_store_type)
    if checked_limit(batch_size) == 0:
        raise ConfigurationError("batch_size=0: expected a whole number above 0")
    rows = yield from fetch(queries.page(target, filter, include_embedding, after, batch_size))
    place = _place_of(rows[-1]) if len(rows) == batch_size else None
    return _documents(target, rows, include_embedding), place


def place_of(schema: Schema, id: Any, memory_store_type: StoreName) -> Operation[Place]:
    """Return the place in an iteration that a document has, expired or not."""
    target = schema.store(memory_store_type)
    name = _values.id_text(id)
    rows = [] if name is None else (yield from fetch(queries.place(target, _values.id_key(name))))
    if not rows:
        raise FilterError(f"after={id!r}: {target.name} has no document of this id")
    return _place_of(rows[0])


def _place_of(row: Record) -> Place:
    """Return the place that a row ends with."""
    return row[-2].replace(tzinfo=UTC), row[-1]


def count(schema: Schema, memory_store_type: StoreName, filter: Filter | None = None) -> Operation[int]:
    rows = yield from fetch(queries.count(schema.store(memory_store_type), filter))
    return rows[0][0]


def retrieve_conversation_history_ordered_by_timestamp(
    schema: Schema,
    memory_id: str,
    limit: int | None = None,
    before: str | datetime | None = None,
    *,
    include_embedding: bool = False,
) -> Operation[list[Document]]:
    target = schema.store(MemoryType.CONVERSATION_MEMORY)
    if limit is not None:
        checked_limit(limit)
    memory = _values.searched(memory_id)
    if memory is None:
        return []
    if before is None:
        rows = yield from fetch(queries.newest_turns(target, memory, limit, include_embedding))
    else:
        place = yield from _place(target, memory, before)
        rows = yield from fetch(queries.turns_before(target, memory, limit, place, include_embedding))
    rows.reverse()
    return _documents(target, rows, include_embedding)


def _place(target: Store, memory_id: str, before: str | datetime) -> Operation[Place]:
    """Return the place in a history that a turn's id or a time names; an id wins over a time of the same text."""
    name = _values.id_text(before)
    if name is not None:
        rows = yield from fetch(queries.turn_place(target, memory_id, _values.id_key(name)))
        if rows:
            return _place_of(rows[0])
    try:
        # Before every turn of that time.
        return _values.time(before, "before"), -1
    except InvalidDocument:
        raise FilterError(
            f"before={before!r}: expected a time or the id of a turn; the memory {memory_id!r} has no such turn"
        ) from None


# --- deleting -----------------------------------------------------------------------------------------------------


def delete_by_id(schema: Schema, id: Any, memory_store_type: StoreName) -> Operation[bool]:
    target = schema.store(memory_store_type)
    name = _values.id_text(id)
    if name is None:
        return False
    rows = yield from fetch(changes.delete_by_id(target, _values.id_key(name)))
    return _was_live(rows)


def delete_by_name(schema: Schema, name: str, memory_store_type: StoreName) -> Operation[bool]:
    target = schema.store(memory_store_type)
    text = _values.searched(name)
    if text is None:
        return False
    rows = yield from fetch(changes.delete_newest_by_name(target, text))
    return bool(rows)


def delete_all(schema: Schema, memory_store_type: StoreName) -> Operation[bool]:
    yield from fetch(changes.delete_all(schema.store(memory_store_type)))
    return True


def purge_expired(schema: Schema, memory_store_type: StoreName | None = None) -> Operation[int]:
    types = list(MemoryType) if memory_store_type is None else [MemoryType.of(memory_store_type)]
    results = yield from fetch_all([changes.delete_expired(schema.store(each)) for each in types])
    return sum(rows[0][0] for rows in results)


# --- agents -------------------------------------------------------------------------------------------------------


def store_memagent(schema: Schema, agent: Any) -> Operation[str]:
    return store(schema, agent_document(agent), MemoryType.MEMAGENT)


def update_memagent(schema: Schema, agent: Any) -> Operation[bool]:
    document = agent_document(agent)
    name = given_id(document)
    if name is None:
        raise InvalidDocument("id", "the agent has no id, so there is none to update; store_memagent stores a new one")
    return update_by_id(schema, name, document, MemoryType.MEMAGENT)


def retrieve_memagent(schema: Schema, id: Any) -> Operation[Document | None]:
    return retrieve_by_id(schema, id, MemoryType.MEMAGENT)


def list_memagents(schema: Schema) -> Operation[list[Document]]:
    return list_all(schema, MemoryType.MEMAGENT)


def update_memagent_memory_ids(schema: Schema, id: Any, memory_ids: Sequence[str]) -> Operation[bool]:
    if isinstance(memory_ids, str) or not all(isinstance(each, str) for each in cast("Sequence[object]", memory_ids)):
        raise InvalidDocument("memory_ids", "expected a list of str")
    return update_by_id(schema, id, {"memory_ids": list(memory_ids)}, MemoryType.MEMAGENT)


def delete_memagent_memory_ids(schema: Schema, id: Any) -> Operation[bool]:
    return update_by_id(schema, id, {"memory_ids": []}, MemoryType.MEMAGENT)


def delete_memagent(schema: Schema, id: Any, cascade: bool = False) -> Operation[bool]:
    if not cascade:
        return (yield from delete_by_id(schema, id, MemoryType.MEMAGENT))
    name = _values.id_text(id)
    if name is None:
        return False
    rows = yield from fetch(changes.delete_agent_and_memories(schema, _values.id_key(name)))
    return _was_live(rows)


# --- shared -------------------------------------------------------------------------------------------------------


def _documents(target: Store, rows: Iterable[Record], include_embedding: bool) -> list[Document]:
    return list(map(target.document_with_embedding if include_embedding else target.document, rows))


def _first(documents: list[Document]) -> Document | None:
    return documents[0] if documents else None


def _was_live(rows: list[Record]) -> bool:
    return bool(rows) and bool(rows[0][0])
