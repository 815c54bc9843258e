"""Every read and every change that is no search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from memorizz.memory_provider._documents import CONTENT, EMBEDDING
from memorizz.memory_provider.mongodb._bson import OWN, as_mapping, id_keys, split
from memorizz.memory_provider.mongodb._conditions import condition
from memorizz.memory_provider.mongodb._steps import Delete, Filter, Insert, Order, Read, Record, Stage, Take, Update
from memorizz.memory_provider.mongodb._stores import MICROSECONDS, SEQ, Row, Store

# Where a document stands among others: a time, its microseconds, what was stored first, and for what others have stored
# the id.
Place = tuple[Any, Any, Any, Any]
# A record that another program has stored may have the very same place.
BEGINNING: Place = (None, None, None, None)


ALL: Filter = {}


def visible() -> Filter:
    """Return the query for what has not expired by now; only a date expires."""
    return {"expires_at": {"$not": {"$lte": datetime.now(UTC)}}}


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
    bound = [*(_sorted_by(_literal(value), operator) for value in place[:3]), _literal(place[3])]
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
    is_empty: Any = {"$eq": [value, _literal(list[Any]())]}
    held = {"$cond": [{"$isArray": [value]}, end, {"$ifNull": [value, None]}]}
    return {"$cond": [is_least, [0], {"$cond": [is_empty, [1], [2, held]]}]}


# --- reading ------------------------------------------------------------------------------------------------------


def _read(
    store: Store, query: Filter, order: Order | None, limit: int | None, include_embedding: bool, *more: Filter
) -> Read:
    pipeline: list[Stage] = [{"$match": both(query, visible(), *more)}]
    if order is not None:
        pipeline.append({"$sort": order})
    if limit is not None:
        pipeline.append({"$limit": limit})
    return Read(store.collection, pipeline if include_embedding else [*pipeline, {"$unset": EMBEDDING}])


def by_id(store: Store, keys: Sequence[Any], include_embedding: bool) -> Read:
    return _read(store, by_keys(keys), None, 1, include_embedding)


def newest_by_name(store: Store, name: str, include_embedding: bool) -> Read:
    return _read(store, {"name": name}, ordered("created_at", -1), 1, include_embedding)


def matching(store: Store, filter: Mapping[str, Any] | None, include_embedding: bool, limit: int | None) -> Read:
    """Documents that match, oldest first."""
    return _read(store, condition(filter), ordered("created_at"), limit, include_embedding)


def page(store: Store, filter: Mapping[str, Any] | None, include_embedding: bool, after: Place, limit: int) -> Read:
    """The documents that match after a place, oldest first."""
    behind = _compared("created_at", "$gt", after) if after is not BEGINNING else ALL
    return _read(store, condition(filter), ordered("created_at"), limit, include_embedding, behind)


def count(store: Store, filter: Mapping[str, Any] | None) -> Read:
    return Read(store.collection, [{"$match": both(condition(filter), visible())}, {"$count": "n"}])


def newest_turns(
    store: Store, memory_id: str, limit: int | None, before: Place | None, include_embedding: bool
) -> Read:
    """The turns of a memory, the newest first."""
    earlier = _compared("timestamp", "$lt", before) if before is not None else ALL
    return _read(store, {"memory_id": memory_id}, ordered("timestamp", -1), limit, include_embedding, earlier)


def next_turns(store: Store, memory_id: str, limit: int, after: Place) -> Read:
    """The turns of a memory behind a place, the oldest first."""
    later = _compared("timestamp", "$gt", after)
    return _read(store, {"memory_id": memory_id}, ordered("timestamp"), limit, False, later)


def place(store: Store, keys: Sequence[Any], time: str, **equal: str) -> Read:
    """What says where a document stands, expired or not."""
    fields = {time: 1, OWN: 1}
    return Read(store.collection, [{"$match": {**by_keys(keys), **equal}}, {"$limit": 1}, {"$project": fields}])


def memory_ids(store: Store) -> Read:
    """The ids of all agents, and the memories that they list."""
    return Read(store.collection, [{"$match": visible()}, {"$project": {"memory_ids": 1}}])


# --- changing -----------------------------------------------------------------------------------------------------


def stored(row: Row, new: Record) -> Insert | Update:
    """Insert a document, as Store.new_record has it, or merge it into the one with its id, where that is visible."""
    if row.is_new:
        own = {"seq": new[OWN]["seq"], "us": new[OWN]["us"] | row.rests}
        own |= {} if row.parts is None else {"parts": row.parts}
        return Insert(new | row.given | {OWN: own})
    has_expired = {"$and": [{"$eq": [{"$type": "$expires_at"}, "date"]}, {"$lte": ["$expires_at", datetime.now(UTC)]}]}
    # A record that was not there has an id and nothing else.
    is_new = {"$or": [{"$eq": ["$$ROOT", {"_id": "$_id"}]}, has_expired]}
    begin = {"$mergeObjects": [_literal(new), {"_id": {"$ifNull": ["$_id", _literal(row.key)]}}]}
    # What is given stands in the statement once, for a document of 16 MB to fit into it.
    pipeline = [
        {"$replaceWith": {"$cond": [is_new, begin, _merged(*_now())]}},
        {"$replaceWith": _merged(row.merged, row.merged_rests, row.parts)},
    ]
    return Update(by_keys(row.keys), pipeline, upsert=True)


def inserted_once(record: Record) -> Update:
    """Insert a record where there is none of its id."""
    return Update(
        {"_id": record["_id"]}, [{"$replaceWith": {"$mergeObjects": [_literal(record), "$$ROOT"]}}], upsert=True
    )


def updated(row: Row) -> Update:
    """Merge a document into the one with its id."""
    fields, rests = _now()
    merged = _merged(row.merged | fields, row.merged_rests | rests, row.parts)
    return Update(both(by_keys(row.keys), visible()), [{"$replaceWith": merged}])


def _now() -> tuple[Record, dict[str, int]]:
    """Return what every change sets: the fields, and the microseconds of the times among them."""
    moment, rest = split(datetime.now(UTC))
    return {"updated_at": moment}, {"updated_at": rest}


def _merged(fields: Record, rests: Mapping[str, int], parts: Any = None) -> Mapping[str, Any]:
    """Return the expression that merges fields into a record; where the content is among them, so are its parts."""
    own: Mapping[str, Any] = {"us": _us_with(rests)}
    if parts is not None:
        own = {**own, "parts": _literal(parts)}
    own = own_with(own)
    if parts is None and CONTENT in fields:
        own = {"$unsetField": {"field": "parts", "input": own}}
    return {"$mergeObjects": ["$$ROOT", _literal(fields), {OWN: own}]}


def own_with(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the expression that adds to what is ours in a record; another program may have put anything there."""
    return {"$mergeObjects": [_object(f"${OWN}"), fields]}


def _us_with(rests: Mapping[str, int]) -> Mapping[str, Any]:
    return {"$mergeObjects": [_object(f"${MICROSECONDS}"), _literal(rests)]}


def _object(path: str) -> Mapping[str, Any]:
    return {"$cond": [{"$eq": [{"$type": path}, "object"]}, path, {}]}


def _literal(value: Any) -> Mapping[str, Any]:
    return {"$literal": value}


def touched(keys: Sequence[Any]) -> Update:
    """Count some documents as accessed."""
    moment, rest = split(datetime.now(UTC))
    counted = {"$add": [{"$cond": [{"$isNumber": "$access_count"}, "$access_count", 0]}, 1]}
    ours = own_with({"us": _us_with({"last_accessed": rest})})
    changes = {"access_count": counted, "last_accessed": moment, OWN: ours}
    return Update({"_id": {"$in": list(keys)}}, [{"$set": changes}], many=True)


def delete_unchanged(records: Iterable[Record]) -> Delete:
    """Delete documents that were new, save those that somebody has changed since."""
    times = ("updated_at", f"{MICROSECONDS}.updated_at")
    of_each = ((each["_id"], each[OWN]["seq"], each["updated_at"], each[OWN]["us"]["updated_at"]) for each in records)
    return Delete({"$or": [dict(zip(("_id", SEQ, *times), each, strict=True)) for each in of_each]})


def delete_by_id(store: Store, name: str) -> Take:
    return Take(store.collection, by_keys(id_keys(name)), writes=[name])


def delete_newest_by_name(store: Store, name: str) -> Take:
    return Take(store.collection, both({"name": name}, visible()), ordered("created_at", -1))


def delete_expired() -> Delete:
    return Delete({"expires_at": {"$lte": datetime.now(UTC)}})


def delete_memories(memory_ids: Sequence[str]) -> Delete:
    return Delete({"memory_id": {"$in": list(memory_ids)}})
