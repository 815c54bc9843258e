"""How a search is planned: what is asked, which way it is served, whether what came back can be trusted.

pgvector's HNSW index filters after it has searched: under a filter that few rows near the query pass, it silently
returns too few. So a way is tried, and what it brings is accepted only where it cannot have lost a row:

SOME    A filter: read the matching rows and compare them, or the best of them by their bits as in BITS. Accepted when
        there were no more than MOST says.
FEW     SOME saw few rows under the same filter a little before, and the distance alone ranks: compare every matching
        row, read whole. Always accepted.
INDEX   Search the index for the nearest rows and keep those that match. Accepted when some more match than are wanted:
        the nearest rows of the store hold the nearest matching ones, if enough of them match. Where too few do, their
        share says how many the index must look at, and it is asked once more if that is not too many.
BITS    Rank every matching row by the signs of its numbers, compare the best of them. Accepted, but only taken where
        it was measured, on vectors of this store, to keep what it must (measure_recall).
EXACT   Compare every matching row. Always accepted.

Whether the index can serve a filter depends on what lies near the query, not on how many rows match in all; trying it
costs a few milliseconds and no statistics can tell beforehand. So it is remembered what searches under a filter have
shown, for a while.

pgvector's iterative scan goes on by itself, but what it brings once the rows around the query are used up is not what
is nearest: in a memory of 4 % asked about another subject 20 of its first 400 matched in 8 of 400 questions, and held
0.34 of the nearest. The figures behind the constants: benchmarks/RESULTS.md and SEARCH.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from memorizz.memory_provider import _values
from memorizz.memory_provider._questions import MAX_EF_SEARCH, Options, Question
from memorizz.memory_provider.base import Ranking
from memorizz.memory_provider.postgresql._conditions import Condition, condition
from memorizz.memory_provider.postgresql._stores import Store, Vector

# ef_search: at least this, or the index loses more than one in a hundred of the nearest.
_EF_SEARCH = 100
# Under a filter, at most so many because too few matched: more cost about what the next way does.
_MOST_SEARCHED = 400
# So many more than are wanted must match, and more are looked at than the share of those that match asks for.
_MARGIN = 2
_RESERVE = 1.3
# Under the same filter the index then looks at so many times more rows at once whenever they were too few, and at so
# many times fewer after some searches: in a simulation of filters that leave 5 to 20 % near the query, what costs least
# in all, a second round trip against looking further in each search.
_MORE, _FEWER = 1.15, 0.9
# The bits serve where they were measured to keep this share of the nearest, never for vectors of fewer dimensions: of
# few signs there are too few to tell neighbours apart.
ENOUGH_BITS = 0.99
LEAST_BITS = 128
# How many of the best by their bits are compared: at most so many, fewer where so few were measured to be enough, and
# ten times what is wanted in any case.
BY_BITS = 800
# The same of the rows that SOME reads, where the bits serve.
BY_BITS_OF_SOME = 200
# How many of each side, nearest and best by words, are scored in full: at least this, or five times the limit.
_DEPTH = 50
# How many words of a question are searched for: ranking takes time for each of them in each row that has one, up to a
# second for these in 100,000 turns. A question that a person asks has fewer.
MOST_WORDS = 64
# For so many searches under a filter it is remembered what they have shown: of the index, for the next query may lie
# elsewhere; that the rows are few, for all of them are compared then, however many they have become; and that they are
# many, which costs little where it is no longer true. The index is given up after so many failures in a row. For so
# many filters of a store.
_REMEMBERED = 16
_MANY_REMEMBERED = 64
_GIVEN_UP = 3
_FILTERS = 1000


class Way(Enum):
    """A way to serve a search; the value says why it is taken."""

    # An Enum's own is Python, and a search asks for it ten times.
    __hash__ = object.__hash__

    SOME = "the filter may leave few rows: compare them"
    FEW = "the filter left few rows the last time: compare all that match"
    INDEX = "search the HNSW index"
    BITS = "rank every row that matches by its bits, compare the best"
    EXACT = "compare every row that matches"


# How many rows SOME compares: it costs about what searching the index under a filter costs.
MOST = 1000
# Up to so many are few: of more it costs more to carry the rows whole than to find the nearest again.
FEW = 200


@dataclass(slots=True)
class Search:
    """What a caller asked for, checked.

    `names` are the words of the question that may name a speaker; where the question was embedded here, those that do,
    and they were cut out of it before. `memory_id` is the memory in which the filter stays, where it is one.
    """

    vector: Vector | None
    words: str | None
    condition: Condition
    limit: int
    options: Options
    ranking: Ranking
    names: Sequence[str] = ()
    names_cut: bool = False
    memory_id: str | None = None

    filtered: bool = field(init=False)
    # Whether the score has other parts than the cosine similarity.
    scored: bool = field(init=False)
    # How many of the nearest are wanted.
    depth: int = field(init=False)
    # How many the index must find: under a filter some more, for what it finds last may hide what is nearer.
    wide: int = field(init=False)

    def __post_init__(self) -> None:
        self.filtered = self.condition.sql != "TRUE"
        self.scored = self.words is not None or self.ranking.recency > 0 or self.ranking.importance > 0
        self.depth = max(_DEPTH, 5 * self.limit) if self.scored else self.limit
        self.wide = self.depth + max(_MARGIN, self.depth // 4) if self.filtered else self.depth

    @property
    def ranked(self) -> bool:
        return self.vector is not None or self.words is not None

    @property
    def dimensions(self) -> int:
        return (len(self.vector) - 4) // 4 if self.vector is not None else 0

    @property
    def only_distance(self) -> bool:
        """Whether nothing but the distance ranks, and nothing is written."""
        return not (self.scored or self.options.touch)

    def by_bits(self, compared: int) -> int:
        """How many of the best by their bits are compared, where so many were measured to be enough."""
        return max(compared, 10 * self.depth)

    @property
    def ef_search(self) -> int:
        """How many rows the index is to look at, unless too few of them match."""
        wanted = max(_EF_SEARCH, (4 if self.filtered else 2) * self.depth)
        return min(self.options.ef_search or wanted, MAX_EF_SEARCH)


_RANKING = Ranking()


def parse(store: Store, question: Question) -> Search:
    """Return the search for a question; raises InvalidDocument, DimensionMismatch or FilterError."""
    vector = question.vector(store.vector)
    return Search(
        vector,
        question.words,
        condition(question.filter, store.schema.vector_column),
        question.limit,
        question.options,
        question.options.ranking or _RANKING,
        question.names,
        memory_id=_values.searched(question.filter.get("memory_id")),
    )


class Tried:
    """What searches under one filter have shown; forgotten after some, for rows come and go.

    It spares time. Where it is no longer true it costs some, and no rows: whatever a way brings is complete, or not
    accepted.
    """

    __slots__ = ("_failures", "_searches", "ef_search", "few", "many")

    def __init__(self) -> None:
        self._searches = 0
        # Whether SOME saw few rows, or too many.
        self.few = self.many = False
        # How many rows the index is to look at because of fewer too few matched; and failures in a row.
        self.ef_search = self._failures = 0

    def note(self, way: Way, accepted: bool, seen: int) -> None:
        if way is Way.SOME:
            self.few, self.many = seen <= FEW, not accepted
        elif way is Way.INDEX:
            self._failures = 0 if accepted else self._failures + 1

    def widen(self, ef_search: int) -> None:
        """Note how many rows the index had to look at: one query that needs many more is no reason for all to."""
        self.ef_search = min(math.ceil(self.ef_search * _MORE), ef_search) if self.ef_search else ef_search

    def end(self) -> None:
        """Count a search."""
        self._searches += 1
        if self._searches % _REMEMBERED == 0:
            self.few = False
            self._failures = 0
            self.ef_search = int(self.ef_search * _FEWER)
        if self._searches >= _MANY_REMEMBERED:
            self.__init__()

    @property
    def not_near(self) -> bool:
        """Whether the index is to be left out."""
        return self._failures >= _GIVEN_UP


def tried(search: Search, store: Store) -> Tried:
    """Return what is known of a search's filter in a store."""
    values = [repr(each) for each in search.condition.parameters.values()]
    key = (search.condition.sql, *values)
    if len(store.tried) > _FILTERS:
        store.tried.clear()
    return store.tried.setdefault(key, Tried())


def ways(search: Search, store: Store, tried: Tried) -> Sequence[Way]:
    """Decide how to serve a search: the ways to try, in order; the last one is always accepted."""
    if search.vector is None or search.options.exact:
        return (Way.EXACT,)
    indexed = store.index != "none" and search.wide <= MAX_EF_SEARCH
    if not search.filtered:
        return (Way.INDEX, Way.EXACT) if indexed else (Way.EXACT,)
    # What makes the score is read of the candidates alone.
    if tried.few and not search.scored:
        return (Way.FEW,)
    return [
        *([] if tried.many else [Way.SOME]),
        *([Way.INDEX] if indexed and not tried.not_near else []),
        Way.BITS if store.name in store.schema.bits else Way.EXACT,
    ]


def accepted(way: Way, search: Search, seen: int) -> bool:
    """Say whether a way has lost nothing. `seen` are the rows that matched, for INDEX of those near."""
    if way is Way.SOME:
        return seen <= MOST
    return way is not Way.INDEX or seen >= search.wide


def wider(search: Search, ef_search: int, seen: int) -> int | None:
    """Return how many rows the index must look at for enough to match, after `seen` of `ef_search` did.

    None where those are too many, or the caller has said how many.
    """
    if not search.filtered or search.options.ef_search or ef_search >= _MOST_SEARCHED:
        return None
    if seen * _MOST_SEARCHED < search.wide * ef_search:
        return None
    return min(math.ceil(search.wide * ef_search / seen * _RESERVE), _MOST_SEARCHED)


# The plan_cache_mode in which a statement is planned once for all values.
KEPT = "force_generic_plan"


def settings(search: Search, ways: Sequence[Way], ef_search: int) -> dict[str, str]:
    """Return what the statements of a batch, one for each way, need set in their transaction."""
    # Compiling a statement takes longer than these statements do. Planned for its values, it may be prepared.
    needed = {"jit": "off", "plan_cache_mode": "force_custom_plan"}
    if Way.INDEX in ways:
        # The planner takes vectors that are stored apart to cost nothing, and sorts them all rather than ask the index.
        needed |= {"hnsw.ef_search": str(ef_search), "hnsw.iterative_scan": "off", "enable_sort": "off"}
        # No value decides how the one table is read, save that a memory may have an index of its own; and to plan it
        # takes 0.1 of 1.5 ms.
        sole_memory = len(ways) == 1 and search.memory_id is not None
        if all(way is Way.INDEX for way in ways) and search.only_distance and (sole_memory or not search.filtered):
            needed["plan_cache_mode"] = KEPT
    return needed
