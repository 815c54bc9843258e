"""Every read and every change that is no search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from memorizz.memory_provider._documents import (
    CONTENT,
    EMBEDDING,
    EXPIRES_AT,
    LONGEST_TTL,
    TTL,
    VALID_FROM,
    VALID_UNTIL,
    is_clock,
)
from memorizz.memory_provider._filters import Field, ordering
from memorizz.memory_provider.mongodb._bson import OWN, as_mapping, id_keys, split
from memorizz.memory_provider.mongodb._conditions import condition, literal, value_at
from memorizz.memory_provider.mongodb._ordering import sort_keys
from memorizz.memory_provider.mongodb._steps import Delete, Filter, Insert, Order, Read, Record, Stage, Take, Update
from memorizz.memory_provider.mongodb._stores import MICROSECONDS, SEQ, WORDS, Row, Store
from memorizz.memory_provider.stores import StoreSpec

# Where a document stands among others: a time, its microseconds, what was stored first, and for what others have stored
# the id.
Place = tuple[Any, Any, Any, Any]
# A record that another program has stored may have the very same place.
BEGINNING: Place = (None, None, None, None)
# Nothing is compared with it, from whichever side an iteration begins.
END: Place = BEGINNING


ALL: Filter = {}


def in_scope(store: Store) -> Filter:
    """Return the query for what is of the scope of a store, expired or not."""
    scope = store.scope
    of_memory = {} if scope.memory is None else {"memory_id": scope.memory}
    # A plain comparison would look into lists.
    return of_memory | ({} if scope.agent is None else {"$expr": {"$eq": ["$agent_id", literal(scope.agent)]}})


def visible(store: Store) -> Filter:
    """Return the query for what is of the scope of a store and has not expired by now; only a date expires."""
    return {"expires_at": {"$not": {"$lte": datetime.now(UTC)}}, **in_scope(store)}


def holding(store: Store, ended: bool) -> Filter:
    """Return the query for what is visible and found by searches: what it says holds, or has `ended` too."""
    if ended:
        return visible(store)
    now = datetime.now(UTC)
    return {VALID_FROM: {"$not": {"$gt": now}}, VALID_UNTIL: {"$not": {"$lte": now}}, **visible(store)}


def both(*queries: Filter) -> Filter:
    """Return the query for what all of some match."""
    parts = [query for query in queries if query]
    return {"$and": parts} if len(parts) > 1 else parts[0] if parts else {}


def by_keys(keys: Sequence[Any]) -> Filter:
    return {"_id": keys[0] if len(keys) == 1 else {"$in": list(keys)}}


def ordered(time: str, direction: int = 1) -> Order:
    """Return the order by a time, and of the same time by what was stored first."""
    return {time: direction, f"{MICROSECONDS}.{time}": direction, SEQ: direction, "_id": direction}


def place_of(record: Record, time: str) -> Place:
    """Return where a record stands in the order by a time."""
    own = as_mapping(record.get(OWN))
    return record.get(time), as_mapping(own.get("us")).get(time), own.get("seq"), record["_id"]


def before_all_of(moment: datetime) -> Place:
    """Return the place before everything of a time."""
    return (*split(moment), None, None)


def _compared(time: str, operator: str, place: Place) -> Filter:
    """Return the query for what stands before a place, or after it."""
    held = (f"${time}", _own_field(f"us.{time}"), _own_field("seq"))
    at = [*(_sorted_by(field, operator) for field in held), "$_id"]
    bound = [*(_sorted_by(literal(value), operator) for value in place[:3]), literal(place[3])]
    exact: Filter = {"$expr": {operator: [at, bound]}}
    if not isinstance(place[0], datetime):
        return exact
    # An index finds the time; what sorts before every date is before it too, and what sorts after them is after it.
    return both({time: {"$not": {"$lt" if operator == "$gt" else "$gt": place[0]}}}, exact)


def _own_field(path: str) -> Any:
    # A path through a list finds a list.
    is_list = {"$or": [{"$isArray": [f"${OWN}"]}, {"$isArray": [f"${OWN}.us"]}]}
    return {"$cond": [is_list, None, f"${OWN}.{path}"]}


def _sorted_by(value: Any, operator: str) -> Any:
    """Return what compares as a value is sorted, whatever another program has stored.

    What is missing sorts as null does, a list as the least or the greatest in it, and an empty one before null.
    """
    end = {"$first" if operator == "$gt" else "$last": {"$sortArray": {"input": value, "sortBy": 1}}}
    is_least: Any = {"$eq": [{"$type": value}, "minKey"]}
    is_empty: Any = {"$eq": [value, literal(list[Any]())]}
    held = {"$cond": [{"$isArray": [value]}, end, {"$ifNull": [value, None]}]}
    return {"$cond": [is_least, [0], {"$cond": [is_empty, [1], [2, held]]}]}


# --- reading ------------------------------------------------------------------------------------------------------


def _read(
    store: Store, query: Filter, order: Order | None, limit: int | None, include_embedding: bool, *more: Filter
) -> Read:
    pipeline: list[Stage] = [{"$match": both(query, visible(store), *more)}]
    if order is not None:
        pipeline.append({"$sort": order})
    if limit is not None:
        pipeline.append({"$limit": limit})
    return Read(store.collection, pipeline if include_embedding else [*pipeline, {"$unset": EMBEDDING}])


def by_id(store: Store, keys: Sequence[Any], include_embedding: bool) -> Read:
    return _read(store, by_keys(keys), None, 1, include_embedding)


def newest_by_name(store: Store, name: str, include_embedding: bool) -> Read:
    return _read(store, {"name": name}, ordered("created_at", -1), 1, include_embedding)


def matching(
    store: Store,
    filter: Mapping[str, Any] | None,
    include_embedding: bool,
    limit: int | None,
    order_by: str | None = None,
    offset: int = 0,
    ended: bool = True,
) -> Read:
    """Documents that match, oldest first or in another order; `ended` ones too, or those alone that hold."""
    there = holding(store, ended)
    pipeline: list[Stage] = [{"$match": both(condition(filter), there)}, *sorted_by(store.spec, order_by)]
    pipeline += [{"$skip": offset}] if offset else []
    pipeline += [{"$limit": limit}] if limit is not None else []
    return Read(store.collection, pipeline if include_embedding else [*pipeline, {"$unset": EMBEDDING}])


def sorted_by(spec: StoreSpec, order_by: str | None) -> list[Stage]:
    """Return the stages that order records by a key, or a key after a minus."""
    field, descending = ordering(order_by or "created_at")
    direction = -1 if descending else 1
    if is_clock(field.name, spec) and not field.path:
        return [{"$sort": ordered(field.name, direction)}]
    rest = {"rest": _own_field(f"us.{field.name}")} if not field.path else {}
    keys = sort_keys(value_at(field)) | rest
    order = {f"{_SORT}.{name}": 1 if name == "last" else direction for name in keys}
    # What has no order is last either way.
    return [
        {"$set": {OWN: own_with({"sort": keys})}},
        {"$sort": {**order, SEQ: direction, "_id": direction}},
    ]


_SORT = f"{OWN}.sort"


def page(
    store: Store,
    filter: Mapping[str, Any] | None,
    include_embedding: bool,
    after: Place,
    limit: int,
    newest_first: bool = False,
) -> Read:
    """The documents that match behind a place, oldest or newest first."""
    operator, direction = ("$lt", -1) if newest_first else ("$gt", 1)
    behind = _compared("created_at", operator, after) if after is not BEGINNING else ALL
    return _read(store, condition(filter), ordered("created_at", direction), limit, include_embedding, behind)


def count(store: Store, filter: Mapping[str, Any] | None) -> Read:
    return Read(store.collection, [{"$match": both(condition(filter), visible(store))}, {"$count": "n"}])


def distinct(
    store: Store,
    field: Field,
    filter: Mapping[str, Any] | None,
    limit: int | None,
    offset: int,
    depth: int | None,
) -> Read:
    """The values of a key, each once and in order, under `_id.v`; of a time the microseconds under `_id.rest`."""
    value = value_at(field)
    rest = _own_field(f"us.{field.name}") if not field.path else None
    whole = {"v": value, "rest": {"$cond": [{"$eq": [{"$type": value}, "date"]}, {"$ifNull": [rest, 0]}, 0]}}
    cut = {"v": {"$cond": [{"$isArray": "$v"}, {"$slice": ["$v", depth]}, "$v"]}}
    keys = sort_keys("$_id.v")
    # What is no list and has an order, or is a list; as a part of an object it is sorted by its elements.
    kept = {"$or": [{"$eq": [sort_keys("$v")["last"], 0]}, {"$isArray": "$v"}]}
    order = dict.fromkeys((*(f"sort.{name}" for name in keys), "_id.rest", "list"), 1)
    pipeline: list[Stage] = [
        {"$match": both(condition(filter), visible(store))},
        {"$project": {"_id": 0, **whole}},
        {"$match": {"$expr": kept}},
        *([{"$set": cut}] if depth is not None else []),
        {"$group": {"_id": {"v": "$v", "rest": "$rest"}}},
        {"$set": {"sort": keys, "list": {"v": "$_id.v"}}},
        {"$sort": order},
        *([{"$skip": offset}] if offset else []),
        *([{"$limit": limit}] if limit else []),
        {"$project": {"_id": 1}},
    ]
    return Read(store.collection, pipeline)


def newest_turns(
    store: Store, whose: Mapping[str, str], limit: int | None, before: Place | None, include_embedding: bool
) -> Read:
    """The turns of a history, the newest first."""
    earlier = _compared("timestamp", "$lt", before) if before is not None else ALL
    return _read(store, whose, ordered("timestamp", -1), limit, include_embedding, earlier)


def next_turns(store: Store, memory_id: str, limit: int, after: Place) -> Read:
    """The turns of a memory behind a place, the oldest first."""
    later = _compared("timestamp", "$gt", after)
    return _read(store, {"memory_id": memory_id}, ordered("timestamp"), limit, False, later)


def place(store: Store, keys: Sequence[Any], time: str, **equal: str) -> Read:
    """What says where a document stands, expired or not."""
    fields = {time: 1, OWN: 1}
    query = {**by_keys(keys), **equal, **in_scope(store)}
    return Read(store.collection, [{"$match": query}, {"$limit": 1}, {"$project": fields}])


def memory_ids(store: Store) -> Read:
    """The ids of all agents, and the memories that they list."""
    return Read(store.collection, [{"$match": visible(store)}, {"$project": {"memory_ids": 1}}])


def ids(store: Store, query: Filter) -> Read:
    """The ids of all that match, expired ones too."""
    return Read(store.collection, [{"$match": both(query, in_scope(store))}, {"$project": {"_id": 1}}])


# --- changing -----------------------------------------------------------------------------------------------------


def stored(store: Store, row: Row, new: Record) -> Insert | Update:
    """Insert a document, as Store.new_record has it, or merge it into the one with its id, where that is visible."""
    if row.is_new:
        return Insert(_whole(row, new))
    is_new, begin = _is_new(), _with_key(row, new)
    # What is given stands in the statement once, for a document of 16 MB to fit into it.
    pipeline = [
        {"$replaceWith": {"$cond": [is_new, begin, _merged(*_now())]}},
        {"$replaceWith": _merged(row.merged, row.merged_rests, row)},
    ]
    return Update(by_keys(row.keys), _of_own(store, pipeline), upsert=True)


def stored_if_absent(store: Store, row: Row, new: Record) -> Insert | Update:
    """Insert a document, as Store.new_record has it, where none with its id is visible."""
    if row.is_new:
        return Insert(_whole(row, new))
    pipeline = [{"$replaceWith": {"$cond": [_is_new(), _with_key(row, _whole(row, new)), "$$ROOT"]}}]
    return Update(by_keys(row.keys), _of_own(store, pipeline), upsert=True)


def _of_own(store: Store, pipeline: Sequence[Stage]) -> Sequence[Stage]:
    """Return the stages that write a record, which leave one of another memory or agent as it is."""
    if not store.scope.keys:
        return pipeline
    there = {"$ne": ["$$ROOT", {"_id": "$_id"}]}
    differs = [{"$ne": [f"${key}", literal(name)]} for key, name in store.scope.keys.items()]
    others = {"$and": [there, {"$or": differs}]}
    return [{"$replaceWith": {"$cond": [others, "$$ROOT", stage["$replaceWith"]]}} for stage in pipeline]


def _whole(row: Row, new: Record) -> Record:
    """Return the record of a new document."""
    own = {"seq": new[OWN]["seq"], "us": new[OWN]["us"] | row.rests}
    own |= {} if row.parts is None else {"parts": row.parts}
    own |= {"words": row.words} if any(row.words.values()) else {}
    return new | row.given | {OWN: own}


def _is_new() -> Mapping[str, Any]:
    """Return whether there was no record, or one that has expired."""
    has_expired = {"$and": [{"$eq": [{"$type": "$expires_at"}, "date"]}, {"$lte": ["$expires_at", datetime.now(UTC)]}]}
    # A record that was not there has an id and nothing else.
    return {"$or": [{"$eq": ["$$ROOT", {"_id": "$_id"}]}, has_expired]}


def _with_key(row: Row, record: Record) -> Mapping[str, Any]:
    """Return a record under the key that is there, or else under that of a row."""
    return {"$mergeObjects": [literal(record), {"_id": {"$ifNull": ["$_id", literal(row.key)]}}]}


def inserted_once(record: Record) -> Update:
    """Insert a record where there is none of its id."""
    return Update(
        {"_id": record["_id"]}, [{"$replaceWith": {"$mergeObjects": [literal(record), "$$ROOT"]}}], upsert=True
    )


def updated(store: Store, row: Row, query: Filter | None = None) -> Update:
    """Merge a document into the one with its id, or into all that match a query."""
    fields, rests = _now()
    merged = _merged(row.merged | fields, row.merged_rests | rests, row)
    found = by_keys(row.keys) if query is None else query
    return Update(both(found, visible(store)), [{"$replaceWith": merged}], many=query is not None)


def _now() -> tuple[Record, dict[str, int]]:
    """Return what every change sets: the fields, and the microseconds of the times among them."""
    moment, rest = split(datetime.now(UTC))
    return {"updated_at": moment}, {"updated_at": rest}


def _merged(fields: Record, rests: Mapping[str, int], row: Row | None = None) -> Mapping[str, Any]:
    """Return the expression that merges fields into a record, and with texts what is made of them."""
    own: Mapping[str, Any] = {"us": _us_with(rests)}
    parts = None if row is None else row.parts
    if row is not None and row.words:
        own = {**own, "words": {"$mergeObjects": [_object(f"${WORDS}"), literal(row.words)]}}
    if parts is not None:
        own = {**own, "parts": literal(parts)}
    own = own_with(own)
    if parts is None and CONTENT in fields:
        own = {"$unsetField": {"field": "parts", "input": own}}
    return {"$mergeObjects": ["$$ROOT", literal(fields), {OWN: own}]}


def own_with(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the expression that adds to what is ours in a record; another program may have put anything there."""
    return {"$mergeObjects": [_object(f"${OWN}"), fields]}


def _us_with(rests: Mapping[str, int]) -> Mapping[str, Any]:
    return {"$mergeObjects": [_object(f"${MICROSECONDS}"), literal(rests)]}


def _object(path: str) -> Mapping[str, Any]:
    return {"$cond": [{"$eq": [{"$type": path}, "object"]}, path, {}]}


def listing(memory_id: str) -> Filter:
    """Return the query for the agents that list a memory and are not of it."""
    is_listed: Filter = {"memory_ids": {"$elemMatch": {"$eq": memory_id}}}
    return both(is_listed, {"memory_id": {"$ne": memory_id}})


def without_memory(store: Store, memory_id: str) -> Update:
    """Take a memory out of the agents that list it."""
    fields, rests = _now()
    left = {"$filter": {"input": "$memory_ids", "cond": {"$ne": ["$$this", literal(memory_id)]}}}
    merged = [{"$replaceWith": _merged(fields, rests)}, {"$set": {"memory_ids": left}}]
    return Update(both(listing(memory_id), in_scope(store)), merged, many=True)


def touched(store: Store, keys: Sequence[Any]) -> Update:
    """Count some documents as accessed, and let those that expire by a ttl live on."""
    moment, rest = split(datetime.now(UTC))
    lives = {"$and": [{"$isNumber": f"${TTL}"}, {"$eq": [{"$type": f"${EXPIRES_AT}"}, "date"]}]}
    expiry = {"$add": [moment, {"$multiply": [{"$min": [f"${TTL}", LONGEST_TTL]}, 1000]}]}
    counted = {"$add": [{"$cond": [{"$isNumber": "$access_count"}, "$access_count", 0]}, 1]}
    rests = {"$mergeObjects": [_us_with({"last_accessed": rest}), {"$cond": [lives, {EXPIRES_AT: 0}, {}]}]}
    changes = {"access_count": counted, "last_accessed": moment, OWN: own_with({"us": rests})}
    changes[EXPIRES_AT] = {"$cond": [lives, expiry, f"${EXPIRES_AT}"]}
    return Update(both({"_id": {"$in": list(keys)}}, visible(store)), [{"$set": changes}], many=True)


def delete_unchanged(records: Iterable[Record]) -> Delete:
    """Delete documents that were new, save those that somebody has changed since."""
    times = ("updated_at", f"{MICROSECONDS}.updated_at")
    of_each = ((each["_id"], each[OWN]["seq"], each["updated_at"], each[OWN]["us"]["updated_at"]) for each in records)
    return Delete({"$or": [dict(zip(("_id", SEQ, *times), each, strict=True)) for each in of_each]})


def delete_by_id(store: Store, name: str) -> Take:
    return Take(store.collection, {**by_keys(id_keys(name)), **in_scope(store)}, writes=[name])


def delete_newest_by_name(store: Store, name: str) -> Take:
    return Take(store.collection, both({"name": name}, visible(store)), ordered("created_at", -1))


def delete_matching(store: Store, filter: Mapping[str, Any]) -> Delete:
    return Delete(both(condition(filter), visible(store)))


def delete_expired(store: Store) -> Delete:
    return Delete({"expires_at": {"$lte": datetime.now(UTC)}, **in_scope(store)})


def delete_memories(store: Store, memory_ids: Sequence[str]) -> Delete:
    return Delete(both({"memory_id": {"$in": list(memory_ids)}}, in_scope(store)))
