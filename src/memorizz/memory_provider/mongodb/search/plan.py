"""What a search is, and the routes that serve it.

INDEX   $vectorSearch, where the server has it: the nearest of the store, of which those are kept that match. Accepted
        when as many match as are wanted: then the nearest of the store hold the nearest matching ones.
EXACT   An aggregation compares every document that matches. Always accepted.

$vectorSearch can filter before it searches, by keys of its index: what the filter says of them goes along, so that
more of what it finds is kept. Inside a transaction, where $vectorSearch is not allowed, every search is exact.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from memorizz.memory_provider._choosing import looked_at, searched
from memorizz.memory_provider._questions import Question
from memorizz.memory_provider.mongodb._conditions import condition
from memorizz.memory_provider.mongodb._steps import Filter
from memorizz.memory_provider.mongodb._stores import Store
from memorizz.memory_provider.mongodb._words import asked_terms
from memorizz.memory_provider.options import Ranking, SearchOptions

# How many of each side, nearest and best by words, are scored in full: at least this, or five times the limit.
_DEPTH = 50
# With its vowel signs, which Python takes for no letters: a word of Hindi or Tamil is none without them.
_WORD = re.compile(r"(?:\w|[^\x00-\x7f\s])+")
# At most so many are looked at by $vectorSearch.
MAX_CANDIDATES = 10_000


class Route(Enum):
    """A way to find the nearest; the value says why it is taken."""

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
    options: SearchOptions
    ranking: Ranking
    names: Sequence[str] = field(default_factory=tuple[str, ...])
    # How many hits a page has, of the `limit` that are looked at: how many are scored goes by that, so that the best
    # are the same, whatever is chosen of them and on whichever page.
    wanted: int = 0

    @property
    def ranked(self) -> bool:
        return self.vector is not None or self.words is not None

    @property
    def scored(self) -> bool:
        """True where the score has other parts than the similarity."""
        return self.words is not None or self.ranking.recency > 0 or self.ranking.importance > 0

    @property
    def depth(self) -> int:
        """How many of the nearest, and of the best by words, are wanted."""
        return max(_DEPTH, 5 * self.wanted, self.limit) if self.scored else self.limit

    @property
    def terms(self) -> str:
        """The words alone, for quotes and hyphens are operators of MongoDB's, and the terms that stand beside them."""
        words = self.words or ""
        return " ".join([*_WORD.findall(words), *asked_terms(words)])


def parse(store: Store, question: Question) -> Search:
    """Return the search for a question; raises InvalidDocument, DimensionMismatch or FilterError."""
    vector = question.vector(store.vector)
    return Search(
        vector,
        question.words,
        # The condition on a memory is in every query; here an index can serve it.
        {**question.filter, **store.scope.keys},
        condition(question.filter),
        looked_at(question),
        searched(question.options),
        question.options.ranking or Ranking(),
        question.names,
        question.limit,
    )


def routes(search: Search, store: Store) -> Sequence[Route]:
    """Return the routes to try, in order; the last one is always accepted."""
    if search.options.exact or store.vector_index is None or search.depth > MAX_CANDIDATES // 2:
        return (Route.EXACT,)
    return (Route.INDEX, Route.EXACT)


def is_accepted(route: Route, search: Search, found: int) -> bool:
    """Return True if a route that found so many documents has missed none."""
    return route is Route.EXACT or found >= search.depth
