"""How a search is planned, and the aggregations that serve it.

INDEX   $vectorSearch, where the server has it: the nearest of the store, of which those are kept that match. Accepted
        when as many match as are wanted: then the nearest of the store hold the nearest matching ones.
EXACT   An aggregation compares every document that matches. Always accepted.

$vectorSearch can filter before it searches, by keys of its index: what the filter says of them goes along, so that
more of what it brings is kept. Inside a transaction, where $vectorSearch is not allowed, every search is exact.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, cast

from memorizz.memory_provider._documents import EMBEDDING
from memorizz.memory_provider._questions import Options, Question
from memorizz.memory_provider.base import Ranking
from memorizz.memory_provider.mongodb._bson import OWN
from memorizz.memory_provider.mongodb._conditions import condition, equalities
from memorizz.memory_provider.mongodb._queries import both, live
from memorizz.memory_provider.mongodb._steps import Filter, Read, Stage
from memorizz.memory_provider.mongodb._stores import SEQ, Store, VectorIndex
from memorizz.memory_provider.stores import Distance

# How many of each side, nearest and best by words, are scored in full: at least this, or five times the limit.
_DEPTH = 50
# Of $vectorSearch: how many it looks at for each that it is to bring, as its documentation advises, and at most.
_CANDIDATES = 20
_MOST_CANDIDATES = 10_000

# What an aggregation adds to a record, beside what is ours in it already.
DISTANCE, RANK = "distance", "rank"


class Way(Enum):
    """A way to serve a search; the value says why it is taken."""

    INDEX = "ask $vectorSearch, keep what matches"
    EXACT = "compare every document that matches, in an aggregation"


@dataclass(frozen=True, slots=True)
class Search:
    """What a caller asked for, checked."""

    vector: list[float] | None
    words: str | None
    filter: Mapping[str, Any]
    condition: Filter
    limit: int
    options: Options
    ranking: Ranking
    names: Sequence[str] = field(default_factory=tuple[str, ...])

    @property
    def ranked(self) -> bool:
        return self.vector is not None or self.words is not None

    @property
    def scored(self) -> bool:
        """Whether the score has other parts than the cosine similarity."""
        return self.words is not None or self.ranking.recency > 0 or self.ranking.importance > 0

    @property
    def depth(self) -> int:
        """How many of the nearest, and of the best by words, are wanted."""
        return max(_DEPTH, 5 * self.limit) if self.scored else self.limit

    @property
    def terms(self) -> str:
        """The words alone: quotes and hyphens are operators of MongoDB's."""
        return " ".join(re.findall(r"\w+", self.words or ""))


def parse(store: Store, question: Question) -> Search:
    """Return the search for a question; raises InvalidDocument, DimensionMismatch or FilterError."""
    vector = question.vector(store.vector)
    return Search(
        vector,
        question.words,
        question.filter,
        condition(question.filter),
        question.limit,
        question.options,
        question.options.ranking or Ranking(),
        question.names,
    )


def ways(search: Search, store: Store) -> Sequence[Way]:
    """Decide how to find the nearest: the ways to try, in order; the last one is always accepted."""
    if search.vector is None or search.options.exact or store.vector_index is None:
        return (Way.EXACT,)
    return (Way.INDEX, Way.EXACT) if search.depth <= _MOST_COMPARABLE else (Way.EXACT,)


_MOST_COMPARABLE = _MOST_CANDIDATES // 2


def accepted(way: Way, search: Search, found: int) -> bool:
    """Say whether a way has lost nothing; `found` is how many documents it brought."""
    return way is Way.EXACT or found >= search.depth


# --- the nearest --------------------------------------------------------------------------------------------------


def near(search: Search, store: Store, way: Way) -> Read:
    """Return what brings the nearest documents that match, each with its exact distance."""
    assert search.vector is not None
    comparable = {EMBEDDING: {"$size": len(search.vector), **_ONLY_NUMBERS}}
    pipeline: list[Stage] = [
        {"$match": both(search.condition, live(), comparable)},
        {"$set": {f"{OWN}.{DISTANCE}": _distance(search.vector, store.spec.distance)}},
        # What another program has stored may have no direction, or no end.
        {"$match": {f"{OWN}.{DISTANCE}": {"$gt": -math.inf, "$lt": math.inf}}},
        {"$sort": {f"{OWN}.{DISTANCE}": 1, SEQ: 1, "_id": 1}},
        {"$limit": search.depth},
    ]
    if way is Way.INDEX:
        assert store.vector_index is not None
        pipeline.insert(0, {"$vectorSearch": vector_search(search, store.vector_index)})
    return Read(store.collection, pipeline)


_ONLY_NUMBERS = {"$not": {"$elemMatch": {"$not": {"$type": "number"}}}}


def vector_search(search: Search, index: VectorIndex) -> Mapping[str, Any]:
    """Return the request to $vectorSearch."""
    filter = equalities(search.filter, index.filterable)
    # Twice what is wanted, for some of it may have expired.
    limit = 2 * search.depth
    candidates = search.options.ef_search or _CANDIDATES * limit
    request = {
        "index": index.name,
        "path": EMBEDDING,
        "queryVector": search.vector,
        "numCandidates": min(max(candidates, limit), _MOST_CANDIDATES),
        "limit": limit,
    }
    return {**request, "filter": filter} if filter else request


def _distance(vector: Sequence[float], kind: Distance) -> Any:
    """Return the distance of a record's vector, of pgvector's three kinds; None where it has none.

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


def said(search: Search, store: Store, keys: Sequence[Any] | None = None) -> Read:
    """Return what brings the documents with the most of the words, each with its text score; of `keys`, or of all."""
    among = {} if keys is None else {"_id": {"$in": list(keys)}}
    return Read(
        store.collection,
        [
            {"$match": both({"$text": {"$search": search.terms}}, search.condition, live(), among)},
            {"$set": {f"{OWN}.{RANK}": {"$meta": "textScore"}}},
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
