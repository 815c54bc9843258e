"""The aggregations that serve a search: the nearest, and the best by words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from memorizz.memory_provider._documents import EMBEDDING
from memorizz.memory_provider.mongodb._bson import OWN
from memorizz.memory_provider.mongodb._conditions import equalities
from memorizz.memory_provider.mongodb._queries import both, holding, own_with
from memorizz.memory_provider.mongodb._steps import Read, Stage
from memorizz.memory_provider.mongodb._stores import SEQ, Store, VectorIndex
from memorizz.memory_provider.mongodb.search.plan import MAX_CANDIDATES, Route, Search
from memorizz.memory_provider.stores import Distance

# What an aggregation adds to a record, beside what is ours in it already.
DISTANCE, RANK = "distance", "rank"
# How many $vectorSearch looks at for each that it is to find, as its documentation advises.
_CANDIDATES = 20

# --- the nearest --------------------------------------------------------------------------------------------------


def nearest(search: Search, store: Store, route: Route) -> Read:
    """Return the aggregation that finds the nearest documents that match, each with its exact distance."""
    assert search.vector is not None
    comparable = {EMBEDDING: {"$size": len(search.vector), **_ONLY_NUMBERS}}
    pipeline: list[Stage] = [
        {"$match": both(search.condition, holding(store, search.options.ended), comparable)},
        {"$set": {OWN: own_with({DISTANCE: _distance(search.vector, store.spec.distance)})}},
        # What another program has stored may have no direction, or no end.
        {"$match": {f"{OWN}.{DISTANCE}": {"$gt": -math.inf, "$lt": math.inf}}},
        {"$sort": {f"{OWN}.{DISTANCE}": 1, SEQ: 1, "_id": 1}},
        {"$limit": search.depth},
    ]
    if route is Route.INDEX:
        assert store.vector_index is not None
        pipeline.insert(0, {"$vectorSearch": vector_search(search, store.vector_index)})
    return Read(store.collection, pipeline)


_ONLY_NUMBERS = {"$not": {"$elemMatch": {"$not": {"$type": "number"}}}}


def vector_search(search: Search, index: VectorIndex) -> Mapping[str, Any]:
    """Return the request to $vectorSearch."""
    filter = equalities(search.filter, index.filterable)
    # Twice what is wanted, for some of it may have expired or ended.
    limit = 2 * search.depth
    candidates = search.options.ef_search or _CANDIDATES * limit
    request = {
        "index": index.name,
        "path": EMBEDDING,
        "queryVector": search.vector,
        "numCandidates": min(max(candidates, limit), MAX_CANDIDATES),
        "limit": limit,
    }
    return {**request, "filter": filter} if filter else request


def _distance(vector: Sequence[float], kind: Distance) -> Any:
    """Return the distance of a record's vector as a double, of pgvector's three kinds; None where it has none."""
    return {"$convert": {"input": _exact_distance(vector, kind), "to": "double", "onError": None, "onNull": None}}


def _exact_distance(vector: Sequence[float], kind: Distance) -> Any:
    """Return the distance of a record's vector, a decimal where another program has stored decimals.

    One term for each dimension takes half the time of a loop over them.
    """
    at = [{"$arrayElemAt": [f"${EMBEDDING}", place]} for place in range(len(vector))]
    if kind == "l2":
        squares = [{"$pow": [{"$subtract": [each, x]}, 2]} for each, x in zip(at, vector, strict=True)]
        return {"$sqrt": {"$add": squares}}
    product = {"$add": [{"$multiply": [each, x]} for each, x in zip(at, vector, strict=True)]}
    return {"$multiply": [-1.0, product]} if kind == "inner_product" else _cosine_distance(vector, product)


def _cosine_distance(vector: Sequence[float], product: Any) -> Any:
    """Return the cosine distance by the inner product; None for a vector without a direction.

    The length of the record's vector is taken from its mean and deviation, which the server computes in one go: the
    sum of the squares is n * (deviation^2 + mean^2).
    """
    at = f"${EMBEDDING}"
    length = math.sqrt(sum(x * x for x in vector))
    squares = {"$add": [{"$pow": [{"$stdDevPop": at}, 2]}, {"$pow": [{"$avg": at}, 2]}]}
    both_lengths = {"$multiply": [length * math.sqrt(len(vector)), {"$sqrt": squares}]}
    cosine = {"$max": [-1.0, {"$min": [1.0, {"$divide": [product, "$$lengths"]}]}]}
    distance = {"$cond": [{"$gt": ["$$lengths", 0]}, {"$subtract": [1.0, cosine]}, None]}
    return {"$let": {"vars": {"lengths": both_lengths}, "in": distance}}


# --- the best by words --------------------------------------------------------------------------------------------


def with_words(search: Search, store: Store, keys: Sequence[Any] | None = None) -> Read:
    """Return the aggregation that finds the documents with the most of the words, with their text scores.

    It looks among `keys`, or among all.
    """
    among = {} if keys is None else {"_id": {"$in": list(keys)}}
    words = {"$text": {"$search": search.terms}}
    return Read(
        store.collection,
        [
            {"$match": both(words, search.condition, holding(store, search.options.ended), among)},
            {"$set": {OWN: own_with({RANK: {"$meta": "textScore"}})}},
            {"$sort": {f"{OWN}.{RANK}": -1, SEQ: 1, "_id": 1}},
            {"$limit": search.depth if keys is None else len(keys)},
        ],
    )


def shown(value: Any) -> Any:
    """Return a pipeline for a person to read, in which a long list is only counted."""
    if isinstance(value, dict):
        return {key: shown(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        items = cast("Sequence[Any]", value)
        return list(map(shown, items)) if len(items) <= _LONG else f"<{len(items)} values>"
    return value


_LONG = 16
