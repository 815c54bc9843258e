"""What each method does: one generator per method, of the same name.

An operation knows the database and its arguments; it yields steps and returns the method's result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from memorizz.errors import ConfigurationError, FilterError, InvalidDocument
from memorizz.memory_provider import _values
from memorizz.memory_provider._agents import agent_document as agent_document
from memorizz.memory_provider._agents import agent_memories as agent_memories
from memorizz.memory_provider._agents import agent_with_id as agent_with_id
from memorizz.memory_provider._documents import batches, given_id
from memorizz.memory_provider._questions import asked, checked_limit, components_asked
from memorizz.memory_provider.base import Document, Filter, Hits, SearchOptions, StoreName
from memorizz.memory_provider.mongodb import _queries as queries
from memorizz.memory_provider.mongodb import _ranking, _search
from memorizz.memory_provider.mongodb._bson import check_size, id_keys
from memorizz.memory_provider.mongodb._collections import all_stores, store_of
from memorizz.memory_provider.mongodb._queries import BEGINNING as BEGINNING
from memorizz.memory_provider.mongodb._queries import Place
from memorizz.memory_provider.mongodb._ranking import Candidate
from memorizz.memory_provider.mongodb._search import Search, Way
from memorizz.memory_provider.mongodb._steps import Command, Delete, Operation, Read, Record, change, fetch, take
from memorizz.memory_provider.mongodb._stores import Database, Store
from memorizz.memory_provider.stores import AGENTS, CONVERSATIONS

# --- storing ------------------------------------------------------------------------------------------------------


def store(database: Database, data: Mapping[str, Any], memory_store_type: StoreName) -> Operation[str]:
    target = yield from store_of(database, memory_store_type)
    row = target.row(data)
    yield from change(target.collection, queries.stored(target, row))
    return row.name


def store_many(
    database: Database, documents: Iterable[Mapping[str, Any]], memory_store_type: StoreName
) -> Operation[list[str]]:
    target = yield from store_of(database, memory_store_type)
    names: list[str] = []
    inserted: list[Any] = []
    try:
        for batch in batches(documents):
            rows = [target.row(each) for each in batch]
            inserted += [row.key for row in rows if row.is_new]
            done = yield from change(target.collection, *(queries.stored(target, row) for row in rows))
            inserted += done.inserted
            names += [row.name for row in rows]
    except Exception:
        # A server without transactions keeps what was sent before; what was not there can at least be taken away.
        if not database.transactional and inserted:
            yield from change(target.collection, Delete({"_id": {"$in": inserted}}))
        raise
    return names


def check(database: Database, data: Mapping[str, Any], memory_store_type: StoreName) -> Operation[None]:
    target = yield from store_of(database, memory_store_type)
    row = target.row(data)
    check_size({**target.begun(row), **row.given})


def update_by_id(database: Database, id: Any, data: Mapping[str, Any], memory_store_type: StoreName) -> Operation[bool]:
    target = yield from store_of(database, memory_store_type)
    name = _values.id_text(id)
    if name is None:
        return False
    if given_id(data) not in (None, name):
        raise InvalidDocument("id", f"the data has the id {given_id(data)!r}, the document to update is {name!r}")
    changed = yield from change(target.collection, queries.updated(target.row(data, name)))
    return changed.matched > 0


# --- reading ------------------------------------------------------------------------------------------------------


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
    text = _values.searched(name)
    if text is None:
        return None
    records = yield from fetch(queries.newest_by_name(target, text, include_embedding))
    return _first(_documents(target, records, include_embedding))


def retrieve_by_query(
    database: Database,
    query: Filter | str,
    memory_store_type: StoreName,
    limit: int,
    options: SearchOptions,
) -> Operation[Hits]:
    target = yield from store_of(database, memory_store_type)
    if options.context and not target.spec.timeline:
        raise ConfigurationError(f"context: only turns of a conversation have others around them, not {target.name}")
    question = asked(query, limit, options)
    search = _search.parse(target, question)
    if search.limit == 0:
        return Hits()
    if search.ranked:
        served = yield from ranked(search, target)
        found = Hits(_ranking.hit(target, search, each, bool(options.explain)) for each in served.hits)
        records = [each.record for each in served.hits]
    else:
        read = queries.matching(target, question.filter, options.include_embedding, search.limit)
        served = _Served(Way.EXACT, [Way.EXACT], [read], [], 0.0)
        records = yield from fetch(read)
        found = Hits(_documents(target, records, options.include_embedding))
    if options.touch and records:
        yield from change(target.collection, queries.touched([record["_id"] for record in records]))
    if options.context:
        for hit, record in zip(found, records, strict=True):
            hit["_context"] = yield from _context(target, record, options.context)
    if options.explain:
        found.explanation = _explanation(search, served)
        if options.explain == "plan":
            found.explanation["plan"] = yield from _plans(served.reads)
    return found


@dataclass(frozen=True, slots=True)
class _Served:
    """How a search was served in one store: the way that was accepted, all that were tried, and what it brought."""

    way: Way
    tried: Sequence[Way]
    reads: Sequence[Read]
    hits: list[Candidate]
    best: float


def ranked(search: Search, target: Store) -> Operation[_Served]:
    """Search in a store: what is near, by the first way whose answer can be trusted, and what has the words."""
    near: list[Record] = []
    said: list[Record] = []
    reads: list[Read] = []
    tried: list[Way] = []
    way = Way.EXACT
    for way in _search.ways(search, target) if search.vector is not None else ():
        read = _search.near(search, target, way)
        near = yield from fetch(read)
        reads.append(read)
        tried.append(way)
        if _search.accepted(way, search, len(near)):
            break
    if search.terms:
        read = _search.said(search, target)
        said = yield from fetch(read)
        reads.append(read)
        others = _unsaid(near, said) if len(said) == search.depth else []
        if others:
            # What is near may have the words too, though less of them than the best.
            said += yield from fetch(_search.said(search, target, others))
    found = _ranking.candidates(search, target, near, said)
    best = max((each.rank for each in found), default=0.0)
    return _Served(way, tried or [way], reads, _ranking.rank(search, target, found), best)


def _unsaid(near: Iterable[Record], said: Iterable[Record]) -> list[Any]:
    keys = {record["_id"] for record in said}
    return [record["_id"] for record in near if record["_id"] not in keys]


def _context(target: Store, record: Record, turns: int) -> Operation[dict[str, list[Document]]]:
    """Return the turns before and after one, in order."""
    memory_id = record.get("memory_id")
    if not isinstance(memory_id, str):
        return {"before": [], "after": []}
    place = queries.place_of(record, "timestamp")
    before = yield from fetch(queries.newest_turns(target, memory_id, turns, place, False))
    after = yield from fetch(queries.next_turns(target, memory_id, turns, place))
    return {"before": _documents(target, reversed(before), False), "after": _documents(target, after, False)}


def _explanation(search: Search, served: _Served) -> dict[str, Any]:
    """Return how a search was served, for a person to read."""
    why = served.way.value if search.vector is not None else "ask the text index, keep what matches"
    return {
        "route": served.way.name.lower(),
        "why": why if search.ranked else "nothing ranks: read what matches, the oldest first",
        "tried": [way.name.lower() for way in served.tried],
        "pipelines": [_search.shown(read.pipeline) for read in served.reads],
    }


def _plans(reads: Iterable[Read]) -> Operation[list[Any]]:
    """Return what MongoDB's explain says of some aggregations, which it runs."""
    plans: list[Any] = []
    for read in reads:
        aggregate: dict[str, Any] = {"aggregate": read.collection, "pipeline": list(read.pipeline), "cursor": {}}
        plans.append((yield Command({"explain": aggregate, "verbosity": "executionStats"})))
    return plans


def retrieve_memory_components_by_query(
    database: Database,
    query: str | None = None,
    query_embedding: Any = None,
    memory_id: str | None = None,
    memory_type: StoreName | None = None,
    limit: int = 5,
) -> Operation[list[Document]]:
    if memory_type is None:
        default = (database.dimensions, "cosine")
        memories = yield from _memories(database)
        stores = [store for store in memories if (store.dimensions, store.spec.distance) == default]
    else:
        stores = [(yield from store_of(database, memory_type))]
    question = components_asked(query, query_embedding, memory_id, limit)
    search = _search.parse(stores[0], question)
    if search.limit == 0:
        return []
    found: list[tuple[Store, list[Candidate], float]] = []
    for each in stores:
        served = yield from ranked(search, each)
        found.append((each, served.hits, served.best))
    return _ranking.merged(search, found)


def _memories(database: Database) -> Operation[list[Store]]:
    """Return the stores whose documents belong to memories."""
    return [store for store in (yield from all_stores(database)) if store.spec.memories]


def list_all(
    database: Database, memory_store_type: StoreName, *, include_embedding: bool = False
) -> Operation[list[Document]]:
    target = yield from store_of(database, memory_store_type)
    records = yield from fetch(queries.matching(target, None, include_embedding, None))
    return _documents(target, records, include_embedding)


def place_of(database: Database, id: Any, memory_store_type: StoreName) -> Operation[Place]:
    """Return the place in an iteration that a document has, expired or not."""
    target = yield from store_of(database, memory_store_type)
    name = _values.id_text(id)
    records = [] if name is None else (yield from fetch(queries.place(target, id_keys(name), "created_at")))
    if not records:
        raise FilterError(f"after={id!r}: {target.name} has no document of this id")
    return queries.place_of(records[0], "created_at")


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
    if checked_limit(batch_size) == 0:
        raise ConfigurationError("batch_size=0: expected a whole number above 0")
    records = yield from fetch(queries.page(target, filter, include_embedding, after, batch_size))
    place = queries.place_of(records[-1], "created_at") if len(records) == batch_size else None
    return _documents(target, records, include_embedding), place


def count(database: Database, memory_store_type: StoreName, filter: Filter | None = None) -> Operation[int]:
    target = yield from store_of(database, memory_store_type)
    records = yield from fetch(queries.count(target, filter))
    return records[0]["n"] if records else 0


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
    memory = _values.searched(memory_id)
    if memory is None:
        return []
    place = (yield from _place(target, memory, before)) if before is not None else None
    if limit == 0:
        return []
    records = yield from fetch(queries.newest_turns(target, memory, limit, place, include_embedding))
    return _documents(target, reversed(records), include_embedding)


def _place(target: Store, memory_id: str, before: str | datetime) -> Operation[Place]:
    """Return the place in a history that a turn's id or a time names; an id wins over a time of the same text."""
    name = _values.id_text(before)
    if name is not None:
        records = yield from fetch(queries.place(target, id_keys(name), "timestamp", memory_id=memory_id))
        if records:
            return queries.place_of(records[0], "timestamp")
    try:
        return queries.before_all_of(_values.time(before, "before"))
    except InvalidDocument:
        raise FilterError(
            f"before={before!r}: expected a time or the id of a turn; the memory {memory_id!r} has no such turn"
        ) from None


# --- deleting -----------------------------------------------------------------------------------------------------


def delete_by_id(database: Database, id: Any, memory_store_type: StoreName) -> Operation[bool]:
    target = yield from store_of(database, memory_store_type)
    name = _values.id_text(id)
    if name is None:
        return False
    return _was_live((yield from take(queries.taken_by_keys(target, id_keys(name)))))


def delete_by_name(database: Database, name: str, memory_store_type: StoreName) -> Operation[bool]:
    target = yield from store_of(database, memory_store_type)
    text = _values.searched(name)
    if text is None:
        return False
    return (yield from take(queries.taken_by_name(target, text))) is not None


def delete_all(database: Database, memory_store_type: StoreName) -> Operation[bool]:
    target = yield from store_of(database, memory_store_type)
    yield from change(target.collection, Delete({}))
    return True


def purge_expired(database: Database, memory_store_type: StoreName | None = None) -> Operation[int]:
    if memory_store_type is None:
        stores = yield from all_stores(database)
    else:
        stores = [(yield from store_of(database, memory_store_type))]
    gone = 0
    for each in stores:
        changed = yield from change(each.collection, queries.expired())
        gone += changed.deleted
    return gone


# --- agents -------------------------------------------------------------------------------------------------------


def delete_memagent(database: Database, id: Any, cascade: bool = False) -> Operation[bool]:
    agents = database.store(AGENTS)
    name = _values.id_text(id)
    if name is None:
        return False
    own = (yield from _own_memories(agents, name)) if cascade else []
    # The agent goes last: where the server cannot do it as one, a cascade that broke off can be done again.
    for each in (yield from _memories(database)) if own else ():
        yield from change(each.collection, queries.of_memories(own))
    return _was_live((yield from take(queries.taken_by_keys(agents, id_keys(name)))))


def _own_memories(agents: Store, name: str) -> Operation[list[str]]:
    """Return the memories that an agent lists and no other does."""
    records = yield from fetch(queries.memory_ids(agents))
    listed: dict[bool, set[str]] = {True: set(), False: set()}
    for record in records:
        memory_ids = record.get("memory_ids")
        if isinstance(memory_ids, list):
            texts = {each for each in cast("list[Any]", memory_ids) if isinstance(each, str)}
            listed[record["_id"] in id_keys(name)] |= texts
    return sorted(listed[True] - listed[False])


# --- shared -------------------------------------------------------------------------------------------------------


def _documents(target: Store, records: Iterable[Record], include_embedding: bool) -> list[Document]:
    return [target.document(record, include_embedding) for record in records]


def _first(documents: list[Document]) -> Document | None:
    return documents[0] if documents else None


def _was_live(record: Record | None) -> bool:
    """Say whether a record that was deleted had not expired."""
    if record is None:
        return False
    expires_at = record.get("expires_at")
    return not isinstance(expires_at, datetime) or expires_at > datetime.now(UTC)
