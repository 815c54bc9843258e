"""How a search is planned: what is asked, which routes can serve it, and when an answer is complete.

pgvector's HNSW index filters after it has searched: under a filter that few rows near the query pass, it silently
returns too few, and far away from the query those that it returns are not the nearest. So a route is tried, and its
answer is accepted only where the answer itself shows that nothing is missing:

SCAN    A filter: read the matching rows and compare them all. Accepted where they were no more than MAX_SCANNED.
INDEX   Search the HNSW index and keep the rows that match. Accepted where some more match than are wanted, where their
        distances differ enough for the graph to lead to the nearest (`dimension`), and where the last ones do not tie.
        Where too few match or their distances lie close together, it is searched once more, further.
BITS    Rank every matching row by the signs of its vector, and compare the best of them. Accepted where the nearest,
        as many as are returned and a dozen at least, all stand in the first quarter of what was compared, those behind
        them that differ in as many signs included: then further ones lie behind it with little chance. Of the others
        that a score is made for with them, one or the other may be missing.
EXACT   Compare every matching row. Always accepted.

The figures behind the constants: docs/benchmarks.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from memorizz.memory_provider._choosing import looked_at, searched
from memorizz.memory_provider._questions import Question
from memorizz.memory_provider.options import MAX_EF_SEARCH, Ranking, SearchOptions
from memorizz.memory_provider.postgresql.facts import Store
from memorizz.memory_provider.postgresql.rows import Vector
from memorizz.memory_provider.postgresql.sql.conditions import Condition, condition
from memorizz.memory_provider.scopes import EVERYTHING, Scope

# How many rows SCAN compares: that many cost about what a search of the index under a filter costs.
MAX_SCANNED = 1000
# How many rows the index looks at: at first, and at most where a filter leaves few of them or there is none. Further
# costs more than the next route does.
_EF_SEARCH = 100
_MAX_EF_SEARCH_FILTERED = 400
# So many more than are wanted must match, for what the index finds last may hide what is nearer; and so many in all,
# for fewer distances say nothing.
_MARGIN = 2
MIN_FOUND = 12
# What the index looks at goes so much beyond what the share of the matching rows asks for.
_RESERVE = 1.3
# Up to this local dimension the first search of the index finds 99 of 100 of the nearest, and the wider one up to that.
_EASY_DIMENSION, _HARD_DIMENSION = 40.0, 60.0
# Of the rows ranked by their bits so many are compared, or ten times what is wanted; never for shorter vectors, whose
# few signs do not tell neighbours apart.
COMPARED_BY_BITS = 800
MIN_BITS = 128
# How many of each side, nearest and best by words, are scored in full: at least this, or five times the limit.
_DEPTH = 50
# How many words of a question are searched for: ranking takes time for each of them in each row that has one.
MAX_WORDS = 64
# For so many searches under a filter it is remembered which routes were in vain, for so many filters of a store.
_REMEMBERED = 32
_MAX_REMEMBERED = 1000


class Route(Enum):
    """A way to serve a search; the value says why it is taken."""

    # An Enum's own is Python, and a search asks for it ten times.
    __hash__ = object.__hash__

    SCAN = "the filter may leave few rows: compare them"
    INDEX = "search the HNSW index"
    BITS = "rank every row that matches by the signs of its vector, compare the best"
    EXACT = "compare every row that matches"


@dataclass(slots=True)
class Search:
    """What a caller asked for, checked.

    `names` are the words of the question that may name a speaker; where the question was embedded here, those that do,
    and they were cut out of it before.
    """

    vector: Vector | None
    words: str | None
    condition: Condition
    limit: int
    options: SearchOptions
    ranking: Ranking
    names: Sequence[str] = ()
    names_cut: bool = False
    # How many hits a page has, of `limit` rows that are looked at: how many are scored goes by that, so that the best
    # are the same, whatever is chosen of them and on whichever page.
    wanted: int | None = None
    scope: Scope = EVERYTHING
    # Whether an index leads to the rows that match: to those of a memory, or of a tenant where nothing else is asked.
    led_to: bool = False
    # The column in whose order that index has them.
    along: str | None = None

    filtered: bool = field(init=False)
    # Whether the score has other parts than the distance.
    scored: bool = field(init=False)
    # How many of the nearest are wanted, and how many the index must find.
    depth: int = field(init=False)
    wide: int = field(init=False)
    # How many of the best by their bits are compared, and on how many of the nearest that answer rests.
    compared: int = field(init=False)
    sure: int = field(init=False)
    # A number for the filter, and whether it is scored: its values may be long, and are not to be kept.
    filter_key: int = field(init=False)

    def __post_init__(self) -> None:
        self.filtered = self.condition.sql != "TRUE" or self.scope.is_narrow
        self.scored = self.words is not None or self.ranking.recency > 0 or self.ranking.importance > 0
        wanted = self.limit if self.wanted is None else self.wanted
        self.depth = max(_DEPTH, 5 * wanted, self.limit) if self.scored else self.limit
        margin = max(_MARGIN, self.depth // 4) if self.filtered else _MARGIN
        self.wide = max(self.depth + margin, MIN_FOUND)
        self.compared = max(COMPARED_BY_BITS, 10 * self.depth)
        self.sure = max(self.limit, MIN_FOUND)
        filter = self.condition
        self.filter_key = hash((filter.sql, self.scope, self.scored, *map(repr, filter.parameters.values())))

    @property
    def ranked(self) -> bool:
        return self.vector is not None or self.words is not None

    @property
    def ef_search(self) -> int:
        """How many rows the index is to look at first."""
        wanted = max(_EF_SEARCH, (4 if self.filtered else 2) * self.depth)
        return min(self.options.ef_search or wanted, MAX_EF_SEARCH)


_RANKING = Ranking()


def parse(store: Store, question: Question) -> Search:
    """Return the search for a question; raises InvalidDocument, DimensionMismatch or FilterError."""
    matches, scope = condition(question.filter, store), store.scope
    along = None
    if scope.memory is not None or matches.held.memory is not None:
        along = "timestamp"
    elif scope.is_narrow and matches.sql == "TRUE":
        along = "created_at"
    return Search(
        question.vector(store.vector_of),
        question.words,
        matches,
        looked_at(question),
        searched(question.options),
        question.options.ranking or _RANKING,
        question.names,
        wanted=question.limit,
        scope=scope,
        led_to=along is not None or "memory_id" in question.filter,
        # What was at a time is in no index.
        along=along if scope.as_of is None else None,
    )


def routes(search: Search, store: Store) -> list[Route]:
    """Return the routes to try, in order; the last one is always accepted."""
    if search.options.exact or (search.vector is None and not search.led_to):
        # By words alone that is the index of the words.
        return [Route.EXACT]
    # No index is of a time that is past.
    indexed = store.vector.index != "none" and search.wide <= MAX_EF_SEARCH and store.scope.as_of is None
    if not search.filtered:
        return [*([Route.INDEX] if indexed else []), Route.EXACT]
    bits = store.model.dimensions >= MIN_BITS and store.spec.distance == "cosine" and not store.spec.fields
    nearest = [*([Route.INDEX] if indexed else []), *([Route.BITS] if bits else [])]
    possible = [Route.SCAN, *(nearest if search.vector is not None else []), Route.EXACT]
    known = store.shown.get(search.filter_key)
    return possible if known is None else [route for route in possible if route not in known.in_vain]


# --- when an answer is complete -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Answer:
    """What a route says of its own answer.

    `seen`: of SCAN the rows that match, of BITS the last place, in the order by bits, that one of the nearest
    shares.
    `distances`: of INDEX, those of the rows it found, in order.
    """

    seen: int = 0
    distances: Sequence[float] = ()


def is_complete(route: Route, search: Search, store: Store, answer: Answer, ef_search: int) -> bool:
    """Return True if an answer shows that it holds what is wanted."""
    if route is Route.SCAN:
        return answer.seen <= MAX_SCANNED
    if route is Route.BITS:
        return answer.seen * 4 <= search.compared
    if route is Route.EXACT:
        return True
    found = answer.distances
    # A caller who says how far the index looks may want no more than that.
    enough = search.depth if search.options.ef_search and not search.filtered else search.wide
    if len(found) < enough or (not search.scored and _ties(found, search.limit)):
        return False
    if not search.filtered and ef_search >= MAX_EF_SEARCH:
        return True
    limit = _EASY_DIMENSION if ef_search < _MAX_EF_SEARCH_FILTERED else _HARD_DIMENSION
    return search.options.ef_search is not None or dimension(found, store) <= limit


def wider(search: Search, store: Store, answer: Answer, ef_search: int) -> int | None:
    """Return how many rows the index is to look at once more; None where that is in vain, or the caller's to say."""
    most = _MAX_EF_SEARCH_FILTERED if search.filtered else MAX_EF_SEARCH
    found = len(answer.distances)
    if search.options.ef_search or ef_search >= most or found * most < search.wide * ef_search:
        return None
    if found < search.wide and search.filtered and ef_search <= search.ef_search:
        return min(math.ceil(search.wide * ef_search / found * _RESERVE), most)
    if not search.scored and _ties(answer.distances, search.limit):
        return None
    return most if not search.filtered or dimension(answer.distances, store) <= _HARD_DIMENSION else None


def _ties(distances: Sequence[float], limit: int) -> bool:
    """Return True if rows of one distance lie on both sides of the limit, so that some of them may be missing."""
    return 0 < limit < len(distances) and distances[limit - 1] == distances[-1]


def dimension(distances: Sequence[float], store: Store) -> float:
    """Return the local intrinsic dimension around a query, from the distances of the rows found, in order.

    The maximum likelihood estimate (Levina and Bickel 2004; Amsaleg et al. 2015): the fewer directions the neighbours
    fill, the better a graph leads to the nearest of them. Where the rows found lie far from the query, all about
    equally far, it is large, and what was found may not be the nearest.
    """
    if store.spec.distance == "inner_product":
        # No distance of the geometry in which the neighbours lie.
        return math.inf
    halved = 0.5 if store.spec.distance == "cosine" else 1.0  # chords, of which the cosine distance is half the square
    farthest = max(distances[-1], 1e-12)
    logs = halved * sum(math.log(max(each, 1e-12) / farthest) for each in distances[:-1])
    return (len(distances) - 1) / -logs if logs < 0 else math.inf


# --- what searches have shown -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Shown:
    """The routes that were in vain under one filter, for so many searches. It spares time, and decides no answer.

    Where a score is made, more is asked of a route: one that is in vain there may serve the distance alone.
    """

    in_vain: set[Route] = field(default_factory=set[Route])
    searches: int = 0


def remember(search: Search, store: Store, route: Route, accepted: bool) -> None:
    """Note what a route has shown; only where it failed, so that the many small memories take no room."""
    known = store.shown.get(search.filter_key)
    if known is None:
        if accepted or not search.filtered:
            return
        if len(store.shown) >= _MAX_REMEMBERED:
            store.shown.clear()
        store.shown[search.filter_key] = known = Shown()
    if not accepted:
        known.in_vain.add(route)
    known.searches += accepted
    if known.searches >= _REMEMBERED:
        store.shown.pop(search.filter_key, None)


def settings(search: Search, routes: Sequence[Route], ef_search: int, stores: Sequence[Store]) -> dict[str, Any]:
    """Return what statements of these routes need set in their transaction; nothing where all of them only scan."""
    if routes.count(Route.SCAN) == len(routes):
        return {}
    # Compiling a statement takes longer than these statements do. Planned for its values, it may be prepared.
    needed = {"jit": "off", "plan_cache_mode": "force_custom_plan"}
    if Route.INDEX in routes:
        # The planner takes vectors that are stored apart to cost nothing, and sorts them all rather than ask the index.
        needed |= {"hnsw.ef_search": str(ef_search), "hnsw.iterative_scan": "off", "enable_sort": "off"}
        # By the values alone Citus knows which shard is asked.
        in_one = all(store.spec.partitions is None and not store.layout.distributed for store in stores)
        if in_one and not (search.filtered or search.scored):
            # No value decides how the one table is read, and to plan it takes 0.1 of 1.5 ms.
            needed["plan_cache_mode"] = "force_generic_plan"
    return needed
