"""How a search is planned: what is asked, which way it is served, whether what came back can be trusted.

pgvector's HNSW index filters after it has searched: under a filter that few rows near the query pass, it silently
returns too few. So a way is tried, and what it brings is accepted only where it cannot have lost a row:

FEW     A filter: read the matching rows, at most MOST_COMPARED of them, and compare each. Accepted when there were no
        more.
INDEX   Search the index for the nearest ef_search rows and keep those that match. Accepted when as many match as are
        wanted: the nearest rows of the store hold the nearest matching ones, if enough of them match.
BITS    Rank every matching row by the signs of its numbers, compare the best of them. Accepted, but only taken where
        it was measured, on vectors of this store, to keep what it must (measure_recall).
EXACT   Compare every matching row. Always accepted.

Whether the index can serve a filter depends on what lies near the query, not on how many rows match in all; trying it
costs a few milliseconds and no statistics can tell beforehand. The figures behind the constants: benchmarks/SEARCH.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, cast

from memorizz.errors import ConfigurationError, FilterError
from memorizz.memory_provider.base import LARGEST_WEIGHT, Ranking, is_number
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import _values
from memorizz.memory_provider.postgresql._filters import Condition, condition
from memorizz.memory_provider.postgresql._stores import EMBEDDING, Store, Vector

# FEW compares at most this many rows; comparing them costs about what searching the index under a filter costs.
MOST_COMPARED = 1000
# ef_search: at least this, or the index loses more than one in a hundred of the nearest.
_EF_SEARCH = 100
# Under a filter, so that it is enough for one in forty of the rows near the query to match.
_EF_SEARCH_FILTERED = 400
_MAX_EF_SEARCH = 1000  # pgvector's
# What of a question is searched for, in characters: the parser of tsquery ends at some three times as many.
_MAX_QUESTION = 100_000
_MAX_LIMIT = 1_000_000_000
# The bits serve where they were measured to keep this share of the nearest, never for vectors of fewer dimensions: of
# few signs there are too few to tell neighbours apart.
ENOUGH_BITS = 0.99
LEAST_BITS = 128
# How many of the best by their bits are compared: at least this, or ten times what is wanted.
BY_BITS = 400
# How many of each side, nearest and best by words, are scored in full: at least this, or five times the limit.
_DEPTH = 50
# Roles that everybody has are no names.
_COMMON_ROLES = frozenset({"user", "assistant", "system", "tool", "function", "human", "ai", "agent", "bot"})


class Way(Enum):
    """A way to serve a search; the value says why it is taken."""

    FEW = "the filter may leave few rows: compare each of them"
    INDEX = "search the HNSW index"
    BITS = "rank every row that matches by its bits, compare the best"
    EXACT = "compare every row that matches"


@dataclass(frozen=True, slots=True)
class Options:
    """How the caller wants it searched, beside what is searched for."""

    include_embedding: bool = False
    exact: bool = False
    ef_search: int | None = None
    ranking: Ranking | None = None
    min_score: float | None = None
    touch: bool = False

    def __post_init__(self) -> None:
        if self.ef_search is not None and not 1 <= checked_limit(self.ef_search, "ef_search") <= _MAX_EF_SEARCH:
            raise ConfigurationError(f"ef_search={self.ef_search}: expected 1 to {_MAX_EF_SEARCH}")
        score, ranking = cast("tuple[object, object]", (self.min_score, self.ranking))
        if score is not None and not (is_number(score) and abs(score) <= LARGEST_WEIGHT):
            raise ConfigurationError(f"min_score={score!r}: expected a finite number")
        if not isinstance(ranking, Ranking | None):
            raise ConfigurationError(f"ranking: expected a Ranking, got {type(ranking).__name__}")


@dataclass(frozen=True, slots=True)
class Search:
    """What a caller asked for, checked.

    `names` are the words of the question that may name a speaker; where they were looked up and cut out of the text
    that was embedded, those that do.
    """

    vector: Vector | None
    words: str | None
    condition: Condition
    limit: int
    options: Options
    ranking: Ranking
    names: Sequence[str] = ()
    names_cut: bool = False

    @property
    def ranked(self) -> bool:
        return self.vector is not None or self.words is not None

    @property
    def dimensions(self) -> int:
        return (len(self.vector) - 4) // 4 if self.vector is not None else 0

    @property
    def filtered(self) -> bool:
        return self.condition.sql != "TRUE"

    @property
    def scored(self) -> bool:
        """Whether the score has other parts than the cosine similarity."""
        return self.words is not None or self.ranking.recency > 0 or self.ranking.importance > 0

    @property
    def depth(self) -> int:
        """How many of the nearest are wanted."""
        return max(_DEPTH, 5 * self.limit) if self.scored else self.limit

    @property
    def by_bits(self) -> int:
        """How many of the best by their bits are compared."""
        return max(BY_BITS, 10 * self.depth)

    @property
    def ef_search(self) -> int:
        """How many rows the index is to look at."""
        wanted = max(_EF_SEARCH_FILTERED, 4 * self.depth) if self.filtered else max(_EF_SEARCH, 2 * self.depth)
        return min(self.options.ef_search or wanted, _MAX_EF_SEARCH)


def parse(
    store: Store, query: Mapping[str, Any] | str, limit: int, options: Options
) -> tuple[Search, Mapping[str, Any]]:
    """Return the search that a query asks for, and the filter in it."""
    if isinstance(query, str):
        query = {"$text": {"$search": query}}
    if not isinstance(cast(object, query), Mapping):
        raise FilterError(f"a query is a dict or a str, got {type(query).__name__}")
    filter = dict(query)
    limit = checked_limit(filter.pop("limit", limit))
    words = _words(filter.pop("$text")) if "$text" in filter else None
    vector = None
    if EMBEDDING in filter and not isinstance(filter[EMBEDDING], Mapping):
        vector = store.vector(filter.pop(EMBEDDING))
    names = tuple(sorted(set(_NAMES.findall(words.lower())) - _COMMON_ROLES)) if words is not None else ()
    return Search(vector, words, condition(filter), limit, options, options.ranking or Ranking(), names), filter


_NAMES = re.compile(r"\w+")


def checked_limit(limit: Any, name: str = "limit") -> int:
    if not isinstance(limit, int) or isinstance(limit, bool) or not 0 <= limit <= _MAX_LIMIT:
        raise ConfigurationError(f"{name}={limit!r}: expected a whole number from 0 to {_MAX_LIMIT:,}")
    return limit


def _words(operand: Any) -> str:
    words: object = None
    if isinstance(operand, Mapping) and len(cast("Mapping[str, Any]", operand)) == 1:
        words = cast("Mapping[str, Any]", operand).get("$search")
    if not isinstance(words, str):
        raise FilterError(f'$text: expected {{"$search": "the words"}}, got {operand!r:.80}')
    return _values.text(words[:_MAX_QUESTION], "$search", "replace").replace("\ufffd", " ")


def weights(search: Search, store: Store) -> Ranking:
    """Return the ranking, with the weights that suit a store's documents where the caller gave none."""
    ranking = search.ranking
    turns = store.memory_type is MemoryType.CONVERSATION_MEMORY
    # A name that is still in the vector must not count twice.
    speaker = (0.05 if turns and search.names_cut else 0.0) if ranking.speaker is None else ranking.speaker
    session = (0.2 if turns else 0.0) if ranking.session is None else ranking.session
    # Words alone make the whole of the score.
    words = 1.0 if ranking.words is None and search.vector is None else 0.3 if ranking.words is None else ranking.words
    return replace(ranking, speaker=speaker, session=session, words=words)


def without_names(question: str, names: Sequence[str]) -> str:
    """Return the question without some names: small models follow a name to whoever is addressed by it."""
    if not names:
        return question
    pattern = rf"\b(?:{'|'.join(map(re.escape, names))})(?:['\u2019]s)?\b"
    rest = " ".join(re.sub(pattern, " ", question, flags=re.IGNORECASE).split())
    return rest if _NAMES.search(rest) else question


def ways(search: Search, store: Store) -> Sequence[Way]:
    """Decide how to serve a search: the ways to try, in order; the last one is always accepted."""
    if search.vector is None or search.options.exact:
        return (Way.EXACT,)
    indexed = store.index != "none" and search.depth <= _MAX_EF_SEARCH
    if not search.filtered:
        return (Way.INDEX, Way.EXACT) if indexed else (Way.EXACT,)
    last = Way.BITS if store.name in store.schema.bits else Way.EXACT
    return (Way.FEW, Way.INDEX, last) if indexed else (Way.FEW, last)


def accepted(way: Way, search: Search, seen: int) -> bool:
    """Say whether a way has lost nothing. `seen` are the rows that matched, for FEW of all, for INDEX of those near."""
    if way is Way.FEW:
        return seen <= MOST_COMPARED
    return way is not Way.INDEX or seen >= search.depth


def settings(search: Search, way: Way) -> dict[str, str]:
    """Return what the statement needs set in its transaction."""
    if way is Way.FEW:
        return {}
    # Compiling a statement takes longer than these statements do. Planned for its values, it may be prepared.
    needed = {"jit": "off", "plan_cache_mode": "force_custom_plan"}
    if way is Way.INDEX:
        # The planner takes vectors that are stored apart to cost nothing, and sorts them all rather than ask the index.
        needed |= {"hnsw.ef_search": str(search.ef_search), "hnsw.iterative_scan": "off", "enable_sort": "off"}
    return needed
