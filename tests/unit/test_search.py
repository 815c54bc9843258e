"""How a search is planned, without a server: every decision in one table."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorizz.errors import ConfigurationError, DimensionMismatch, FilterError, InvalidDocument
from memorizz.memory_provider._questions import asked, weights, without_names, written_as_names
from memorizz.memory_provider.base import Ranking, SearchOptions
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql.facts import Model, Store
from memorizz.memory_provider.postgresql.layout import Layout
from memorizz.memory_provider.postgresql.search.plan import (
    MAX_SCANNED,
    Answer,
    Route,
    Search,
    dimension,
    is_complete,
    parse,
    remember,
    routes,
    settings,
    wider,
)
from memorizz.memory_provider.stores import SEVEN, Distance, IndexKind, StoreSpec, VectorField

SCAN, INDEX, BITS, EXACT = Route.SCAN, Route.INDEX, Route.BITS, Route.EXACT
LONG, TURNS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY
SPECS = {MemoryType(spec.name): spec for spec in SEVEN}
VECTOR = {"embedding": [1.0, 0.0, 0.0, 0.0]}
WORDS = {"$text": {"$search": "tea with Ada"}}
FILTER = {"memory_id": "m1"}


def store(dimensions: int = 4, index: IndexKind = "hnsw", distance: Distance = "cosine") -> Store:
    """Make what is known of a store."""
    layout = Layout("public", "an identity", "public", "pg_catalog.english")
    vector = VectorField(dimensions, distance, index)
    return Store(layout, StoreSpec("memories", distance=distance), Model(1, None, dimensions), vector)


def search(query: Any, limit: int = 10, **options: Any) -> Search:
    return parse(store(), asked(query, limit, SearchOptions(**options)))


# --- which routes -------------------------------------------------------------------------------------------------

HNSW, HALFVEC, NO_INDEX = store(), store(index="halfvec"), store(index="none")
# Signs tell neighbours apart only where there are enough of them.
LONG_VECTORS, NO_INDEX_BUT_BITS = store(128), store(128, "none")
OTHER_DISTANCE = store(128, distance="l2")


@pytest.mark.parametrize(
    ("query", "limit", "of", "options", "expected"),
    [
        # Nothing but words: no index of vectors has a say.
        (WORDS, 10, HNSW, {}, [EXACT]),
        (WORDS | {"name": "Ada"}, 10, HNSW, {}, [EXACT]),
        # A memory may be small enough to be read.
        (WORDS | FILTER, 10, HNSW, {}, [SCAN, EXACT]),
        ("tea", 10, LONG_VECTORS, {}, [EXACT]),
        # Without a filter the nearest are the index's, as far as it goes.
        (VECTOR, 10, HNSW, {}, [INDEX, EXACT]),
        (VECTOR, 10, HALFVEC, {}, [INDEX, EXACT]),
        (VECTOR, 10, LONG_VECTORS, {}, [INDEX, EXACT]),
        (VECTOR, 1001, HNSW, {}, [EXACT]),
        (VECTOR, 10, NO_INDEX, {}, [EXACT]),
        (VECTOR, 10, NO_INDEX_BUT_BITS, {}, [EXACT]),
        # With a filter: first it is seen whether the rows are few.
        (VECTOR | FILTER, 10, HNSW, {}, [SCAN, INDEX, EXACT]),
        (VECTOR | FILTER, 10, HALFVEC, {}, [SCAN, INDEX, EXACT]),
        (VECTOR | FILTER, 1001, HNSW, {}, [SCAN, EXACT]),
        (VECTOR | FILTER, 10, NO_INDEX, {}, [SCAN, EXACT]),
        (VECTOR | FILTER, 10, LONG_VECTORS, {}, [SCAN, INDEX, BITS, EXACT]),
        (VECTOR | FILTER, 1001, LONG_VECTORS, {}, [SCAN, BITS, EXACT]),
        (VECTOR | FILTER, 10, NO_INDEX_BUT_BITS, {}, [SCAN, BITS, EXACT]),
        # Signs are about directions.
        (VECTOR | FILTER, 10, OTHER_DISTANCE, {}, [SCAN, INDEX, EXACT]),
        # With words, or another part of the score, more are wanted of the nearest.
        (VECTOR | WORDS, 10, HNSW, {}, [INDEX, EXACT]),
        (VECTOR | WORDS, 300, HNSW, {}, [EXACT]),
        (VECTOR | WORDS | FILTER, 10, LONG_VECTORS, {}, [SCAN, INDEX, BITS, EXACT]),
        (VECTOR, 300, HNSW, {"ranking": Ranking(recency=0.1)}, [EXACT]),
        (VECTOR, 300, HNSW, {"ranking": Ranking(importance=0.1)}, [EXACT]),
        (VECTOR, 300, HNSW, {"ranking": Ranking(meaning=1, words=0)}, [INDEX, EXACT]),
        # The caller wants it exact.
        (VECTOR, 10, HNSW, {"exact": True}, [EXACT]),
        (VECTOR | FILTER, 10, LONG_VECTORS, {"exact": True}, [EXACT]),
        (VECTOR | WORDS | FILTER, 10, HNSW, {"exact": True, "ef_search": 40}, [EXACT]),
        # How it is read, and how far the index looks, change nothing.
        (VECTOR, 10, HNSW, {"ef_search": 1}, [INDEX, EXACT]),
        (VECTOR | FILTER, 10, HNSW, {"touch": True, "min_score": 0.5}, [SCAN, INDEX, EXACT]),
    ],
)
def test_which_routes_are_tried(
    query: Any, limit: int, of: Store, options: dict[str, Any], expected: list[Route]
) -> None:
    """By the query, the limit, the vectors and the index of the store, and what the caller says."""
    assert routes(search(query, limit, **options), of) == expected


@pytest.mark.parametrize("query", [VECTOR, WORDS, VECTOR | FILTER, VECTOR | WORDS, VECTOR | WORDS | FILTER])
@pytest.mark.parametrize("of", [HNSW, HALFVEC, NO_INDEX, LONG_VECTORS, OTHER_DISTANCE])
@pytest.mark.parametrize("limit", [1, 10, 201, 1000, 100_000])
def test_the_last_route_is_always_accepted(query: Any, of: Store, limit: int) -> None:
    """A search ends with an answer, whatever was seen."""
    found = search(query, limit)
    last = routes(found, of)[-1]
    assert all(is_complete(last, found, of, Answer(seen), 100) for seen in (0, 1, 1_000_000))


def test_routes_that_were_in_vain_are_left_out_for_a_while() -> None:
    """Under the same filter of the same store; a search that found its answer notes nothing.

    One that is scored asks more of a route than one by the distance alone, and keeps that from none.
    """
    of, mine, other = store(128), search(VECTOR | FILTER), search(VECTOR | {"memory_id": "m2"})
    every = routes(mine, of)
    remember(mine, of, SCAN, True)
    assert routes(mine, of) == every
    remember(mine, of, SCAN, False)
    remember(mine, of, INDEX, False)
    left = [BITS, EXACT]
    assert routes(mine, of) == routes(search(VECTOR | FILTER, limit=3), of) == left
    assert routes(other, of) == routes(search(VECTOR | WORDS | FILTER), of) == every
    assert routes(mine, store(128)) == every
    searches = 0
    while routes(mine, of) == left:
        remember(mine, of, BITS, True)
        searches += 1
    assert routes(mine, of) == every
    assert 8 <= searches <= 128


def test_not_every_filter_is_kept_for_ever() -> None:
    """Values of filters are endless; what is known of them takes bounded room, and none of it is a value."""
    of = store()
    for place in range(5000):
        remember(search(VECTOR | {"memory_id": f"m{place}"}), of, SCAN, False)
    assert len(of.shown) <= 2000
    assert not any(isinstance(key, str) for key in of.shown)


# --- what is complete ---------------------------------------------------------------------------------------------


def spread(count: int, dimensions: float, first: float = 0.5, last: float = 1.0) -> list[float]:
    """Make cosine distances as they are where rows fill a space of so many dimensions, up to the farthest."""
    return [last * max(n / count, (first / last) ** dimensions) ** (2 / dimensions) for n in range(1, count + 1)]


FLAT, CURVED, DENSE = spread(30, 4), spread(30, 50), spread(30, 200)
EQUAL = [0.1] * 30
# Of one distance from the limit on, as duplicates are.
TIED = [*spread(30, 4)[:8], *[spread(30, 4)[-1]] * 22]


def test_the_local_dimension() -> None:
    """It is the number of directions that the neighbours fill; equal distances say nothing."""
    for dimensions in (2, 8, 40, 300):
        found = dimension(sorted(spread(2000, dimensions, first=0)), HNSW)
        assert found == pytest.approx(dimensions, rel=0.1)
    # Of l2 the distance itself is the chord.
    lengths = [math.sqrt(each) for each in spread(2000, 8, first=0)]
    assert dimension(lengths, store(distance="l2")) == pytest.approx(8, rel=0.1)
    assert dimension(EQUAL, HNSW) == math.inf
    assert dimension([0.0] * 30, HNSW) == math.inf
    # A document that is asked for by its own vector is at distance 0, or below it by a rounding.
    assert 0 < dimension([-1e-9, 0.0, *FLAT], HNSW) < 8
    assert dimension(FLAT, store(distance="inner_product")) == math.inf


@pytest.mark.parametrize(
    ("route", "query", "limit", "answer", "ef_search", "expected"),
    [
        # All that match were compared, or more match.
        (SCAN, VECTOR | FILTER, 10, Answer(0), 0, True),
        (SCAN, VECTOR | FILTER, 10, Answer(MAX_SCANNED), 0, True),
        (SCAN, VECTOR | FILTER, 10, Answer(MAX_SCANNED + 1), 0, False),
        # Of 800 compared the nearest stand in the first quarter by their bits.
        (BITS, VECTOR | FILTER, 10, Answer(1), 0, True),
        (BITS, VECTOR | FILTER, 10, Answer(200), 0, True),
        (BITS, VECTOR | FILTER, 10, Answer(201), 0, False),
        (BITS, VECTOR | FILTER, 1000, Answer(2500), 0, True),
        (BITS, VECTOR | FILTER, 1000, Answer(2501), 0, False),
        (EXACT, VECTOR | FILTER, 10, Answer(0), 0, True),
        # Some more than are wanted were found, and how they lie lets the graph find the nearest.
        (INDEX, VECTOR, 10, Answer(distances=FLAT), 100, True),
        (INDEX, VECTOR | FILTER, 10, Answer(distances=FLAT[:12]), 100, True),
        (INDEX, VECTOR | FILTER, 10, Answer(distances=FLAT[:11]), 100, False),
        (INDEX, VECTOR | FILTER, 1, Answer(distances=FLAT[:11]), 100, False),
        (INDEX, VECTOR, 30, Answer(distances=FLAT), 100, False),
        (INDEX, VECTOR, 10, Answer(), 100, False),
        # Where they fill many directions the index looks further, and then no more is asked of it.
        (INDEX, VECTOR | FILTER, 10, Answer(distances=CURVED), 100, False),
        (INDEX, VECTOR | FILTER, 10, Answer(distances=CURVED), 400, True),
        (INDEX, VECTOR | FILTER, 10, Answer(distances=DENSE), 400, False),
        (INDEX, VECTOR, 10, Answer(distances=DENSE), 400, False),
        (INDEX, VECTOR, 10, Answer(distances=DENSE), 1000, True),
        # Which of several at one distance are the first only the table knows.
        (INDEX, VECTOR, 10, Answer(distances=EQUAL), 1000, False),
        (INDEX, VECTOR, 10, Answer(distances=TIED), 1000, False),
        (INDEX, VECTOR, 3, Answer(distances=TIED), 1000, True),
        # Of what is scored, the candidates are wanted, not the hits.
        (INDEX, VECTOR | WORDS, 1, Answer(distances=spread(49, 4)), 100, False),
        (INDEX, VECTOR | WORDS, 1, Answer(distances=spread(60, 4)), 100, True),
    ],
)
def test_what_is_complete(route: Route, query: Any, limit: int, answer: Answer, ef_search: int, expected: bool) -> None:
    """The answer itself shows that nothing is missing, or another route is tried."""
    assert is_complete(route, search(query, limit), HNSW, answer, ef_search) is expected


def test_the_callers_own_ef_search_is_trusted() -> None:
    """It says how far the index looks, and how sure the answer is; a list that is too short is no answer."""
    assert is_complete(INDEX, search(VECTOR, limit=1, ef_search=1), HNSW, Answer(distances=[0.5]), 1)
    assert not is_complete(INDEX, search(VECTOR, limit=2, ef_search=1), HNSW, Answer(distances=[0.5]), 1)
    own = search(VECTOR | FILTER, ef_search=40)
    assert is_complete(INDEX, own, HNSW, Answer(distances=DENSE), 40)
    assert not is_complete(INDEX, own, HNSW, Answer(distances=DENSE[:11]), 40)
    assert not is_complete(INDEX, own, HNSW, Answer(distances=EQUAL), 40)


def test_no_inner_product_shows_that_it_is_complete() -> None:
    """It is no distance of a geometry: only how far the index has looked counts."""
    products = store(distance="inner_product")
    assert not is_complete(INDEX, search(VECTOR | FILTER), products, Answer(distances=FLAT), 400)
    assert is_complete(INDEX, search(VECTOR), products, Answer(distances=FLAT), 1000)


@pytest.mark.parametrize(
    ("query", "options", "ef_search", "distances", "expected"),
    [
        # As many as the share of those that matched asks for, with a reserve, up to what other routes cost.
        (VECTOR | FILTER, {}, 100, FLAT[:11], 142),
        (VECTOR | FILTER, {}, 100, FLAT[:4], 390),
        (VECTOR | FILTER, {}, 100, FLAT[:3], 400),
        (VECTOR | FILTER, {}, 100, FLAT[:2], None),
        (VECTOR | FILTER, {}, 100, [], None),
        (VECTOR | FILTER, {}, 400, FLAT[:11], None),
        # Enough matched, and how they lie asks for more, or says that the index is in vain.
        (VECTOR | FILTER, {}, 100, CURVED, 400),
        (VECTOR | FILTER, {}, 100, DENSE, None),
        (VECTOR | FILTER, {}, 100, TIED, None),
        (VECTOR | FILTER, {}, 100, EQUAL, None),
        # Without a filter it goes as far as it can, before every row is compared.
        (VECTOR, {}, 100, DENSE, 1000),
        (VECTOR, {}, 100, FLAT[:11], 1000),
        (VECTOR, {}, 1000, DENSE, None),
        # What the caller says is done.
        (VECTOR | FILTER, {"ef_search": 100}, 100, CURVED, None),
    ],
)
def test_how_many_more_are_looked_at(
    query: Any, options: dict[str, Any], ef_search: int, distances: list[float], expected: int | None
) -> None:
    """The rows found say how many of them it takes; None where that would be in vain."""
    assert wider(search(query, **options), HNSW, Answer(distances=distances), ef_search) == expected


@given(
    st.lists(st.floats(0, 2), min_size=2, max_size=60).map(sorted),
    st.sampled_from([VECTOR, VECTOR | FILTER, VECTOR | WORDS]),
    st.integers(1, 20),
)
def test_looking_further_comes_to_an_end(distances: list[float], query: Any, limit: int) -> None:
    """Whatever the index finds: each time more is looked at, within what pgvector can, and not often."""
    asked, ef_search, asks = search(query, limit), 100, 0
    answer = Answer(distances=distances)
    while not is_complete(INDEX, asked, HNSW, answer, ef_search):
        further = wider(asked, HNSW, answer, ef_search)
        if further is None:
            break
        assert ef_search < further <= 1000
        ef_search, asks = further, asks + 1
    assert asks <= 2


# --- how many are looked at ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", [VECTOR, VECTOR | FILTER, VECTOR | WORDS, VECTOR | WORDS | FILTER])
def test_what_is_looked_at_follows_the_limit(query: Any) -> None:
    """Always more than are wanted, never fewer for a larger limit, within what pgvector can; and what a caller says."""
    looked_at = [search(query, limit).ef_search for limit in range(1, 1001)]
    assert looked_at == sorted(looked_at)
    assert looked_at[0] >= 40
    assert looked_at[-1] == 1000
    assert all(search(query, limit).ef_search >= min(2 * limit, 1000) for limit in (1, 50, 100, 500))
    assert [search(query, 10, ef_search=given).ef_search for given in (1, 40, 1000)] == [1, 40, 1000]


def test_what_is_set_for_the_statements() -> None:
    """What only scans needs nothing set; the index is told how far to look; one plan for all only where it is one."""
    assert settings(search(VECTOR | FILTER), [SCAN, SCAN], 0, []) == {}
    for route in (BITS, EXACT):
        assert "hnsw.ef_search" not in settings(search(VECTOR | FILTER), [route], 0, [])
    for query, routes_of_stores, mode in (
        (VECTOR, [INDEX], "force_generic_plan"),
        (VECTOR, [INDEX, INDEX], "force_generic_plan"),
        (VECTOR | FILTER, [INDEX], "force_custom_plan"),
        (VECTOR | WORDS, [INDEX], "force_custom_plan"),
        (VECTOR | FILTER, [SCAN, INDEX], "force_custom_plan"),
    ):
        needed = settings(search(query), routes_of_stores, 123, [])
        assert (needed["hnsw.ef_search"], needed["plan_cache_mode"]) == ("123", mode)


# --- what is asked ------------------------------------------------------------------------------------------------


def test_a_query_is_read() -> None:
    """The vector, the words, the filter and the limit; and the words that may be a name."""
    question = asked(VECTOR | WORDS | FILTER | {"limit": 3}, 10, SearchOptions())
    assert (question.limit, question.words, question.filter) == (3, "tea with Ada", FILTER)
    assert question.names == ("ada", "tea", "with")
    found = parse(HNSW, question)
    assert (found.limit, found.words) == (3, "tea with Ada")
    assert found.ranked
    assert found.filtered
    assert found.scored
    question = asked("the user asked Ada", 7, SearchOptions())
    assert (question.limit, question.embedding, question.filter) == (7, None, {})
    # Roles that everybody has are no names.
    assert question.names == ("ada", "asked", "the")
    assert not parse(HNSW, question).filtered


def test_what_is_no_query_of_meaning_or_words() -> None:
    """A filter alone, also one on the embedding, ranks nothing."""
    for query in ({}, FILTER, {"embedding": {"$exists": True}}):
        assert not search(query).ranked
    assert search({"embedding": {"$exists": True}}).filtered


def test_the_callers_query_is_not_changed() -> None:
    """What is taken out of it is taken out of a copy."""
    query = VECTOR | WORDS | FILTER | {"limit": 3}
    before = dict(query)
    search(query)
    assert query == before


@pytest.mark.parametrize(
    ("query", "limit", "error"),
    [
        (None, 1, FilterError),
        (5, 1, FilterError),
        ([], 1, FilterError),
        ({"$text": "tea"}, 1, FilterError),
        ({"$text": {}}, 1, FilterError),
        ({"$text": {"$search": None}}, 1, FilterError),
        ({"$text": {"$search": ["tea"]}}, 1, FilterError),
        ({"$text": {"$search": "tea", "$language": "english"}}, 1, FilterError),
        ({"$text": {"search": "tea"}}, 1, FilterError),
        ({"$and": [{"$text": {"$search": "tea"}}]}, 1, FilterError),
        ({"embedding": [1.0]}, 1, DimensionMismatch),
        ({"embedding": [1.0, 2.0, 3.0, math.nan]}, 1, InvalidDocument),
        ({"embedding": None}, 1, InvalidDocument),
        ({"embedding": "1, 2, 3, 4"}, 1, InvalidDocument),
        (VECTOR, -1, ConfigurationError),
        (VECTOR, True, ConfigurationError),
        (VECTOR, 2**63, ConfigurationError),
        (VECTOR, 1.5, ConfigurationError),
        (VECTOR, "10", ConfigurationError),
        (VECTOR, None, ConfigurationError),
        (VECTOR | {"limit": -1}, 1, ConfigurationError),
    ],
)
def test_what_cannot_be_asked(query: Any, limit: Any, error: type[Exception]) -> None:
    """Refused before anything is sent."""
    with pytest.raises(error):
        search(query, limit)


def test_an_error_of_words_shows_what_is_expected() -> None:
    """And what was given."""
    with pytest.raises(FilterError, match=r"\$text: expected \{\"\$search\": \"the words\"\}, got \{'\$find': 'tea'\}"):
        search({"$text": {"$find": "tea"}})


@pytest.mark.parametrize("ef_search", [0, -1, 1001, 2**40, 1.0, "40", True])
def test_an_ef_search_that_cannot_be(ef_search: Any) -> None:
    """It is a whole number that pgvector takes."""
    with pytest.raises(ConfigurationError, match="ef_search"):
        SearchOptions(ef_search=ef_search)


@pytest.mark.parametrize("min_score", ["0.5", math.nan, math.inf, [1]])
def test_a_min_score_that_cannot_be(min_score: Any) -> None:
    """It is a finite number."""
    with pytest.raises(ConfigurationError, match="min_score"):
        SearchOptions(min_score=min_score)


def test_a_ranking_is_a_ranking() -> None:
    """A dict of weights is none."""
    with pytest.raises(ConfigurationError, match="Ranking"):
        SearchOptions(ranking={"words": 1})  # type: ignore[arg-type]


# --- the ranking --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "store", "names_cut", "given", "expected"),
    [
        # Both: .7 and .6, or .3 once names were cut out; conversations add the session, and the speaker of the name.
        (VECTOR | WORDS, LONG, False, {}, {"meaning": 0.7, "words": 0.6, "speaker": 0.0, "session": 0.0}),
        (VECTOR | WORDS, TURNS, False, {}, {"meaning": 0.7, "words": 0.6, "speaker": 0.0, "session": 0.4}),
        (VECTOR | WORDS, TURNS, True, {}, {"meaning": 0.7, "words": 0.3, "speaker": 0.05, "session": 0.4}),
        (VECTOR | WORDS, LONG, True, {}, {"meaning": 0.7, "words": 0.3, "speaker": 0.0, "session": 0.0}),
        # Words alone make the whole.
        (WORDS, LONG, False, {}, {"words": 1.0, "speaker": 0.0, "session": 0.0}),
        (WORDS, TURNS, False, {}, {"words": 1.0, "speaker": 0.0, "session": 0.4}),
        # What is given is taken, also 0.
        (
            WORDS,
            TURNS,
            True,
            {"words": 0.4, "speaker": 0.0, "session": 0.0},
            {"words": 0.4, "speaker": 0, "session": 0},
        ),
        (VECTOR | WORDS, LONG, False, {"speaker": 0.5, "session": 0.6}, {"speaker": 0.5, "session": 0.6}),
        (VECTOR | WORDS, LONG, False, {"meaning": 0.0, "words": 0.0}, {"meaning": 0.0, "words": 0.0}),
        # Off unless asked for.
        (VECTOR | WORDS, TURNS, True, {}, {"recency": 0.0, "half_life": 30.0, "importance": 0.0, "fusion": "score"}),
        (VECTOR, LONG, False, {"recency": 0.1, "half_life": 7}, {"recency": 0.1, "half_life": 7}),
    ],
)
def test_weights(query: Any, store: MemoryType, names_cut: bool, given: Any, expected: Any) -> None:
    """Those that suit the store and the query, where the caller gives none."""
    found = weights(Ranking(**given), SPECS[store], meaning="embedding" in query, names_cut=names_cut)
    assert {name: getattr(found, name) for name in expected} == expected
    assert all(getattr(found, each.name) is not None for each in fields(Ranking))


@pytest.mark.parametrize("name", ["meaning", "words", "speaker", "session", "recency", "importance", "half_life"])
@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf, "0.5", [1]])
def test_a_weight_that_cannot_be(name: str, weight: Any) -> None:
    """A weight is a number of at least 0; the error names it."""
    with pytest.raises(ConfigurationError, match=name):
        Ranking(**{name: weight})


@pytest.mark.parametrize("name", ["meaning", "recency", "importance", "half_life"])
def test_a_weight_that_is_always_one(name: str) -> None:
    """None means the default only where there is one."""
    with pytest.raises(ConfigurationError, match=name):
        Ranking(**{name: None})


@pytest.mark.parametrize(("given", "what"), [({"fusion": "sum"}, "fusion"), ({"half_life": 0}, "half_life")])
def test_a_ranking_that_cannot_be(given: Any, what: str) -> None:
    """The error names what is wrong."""
    with pytest.raises(ConfigurationError, match=what):
        Ranking(**given)


# --- names --------------------------------------------------------------------------------------------------------


def test_names_are_written_as_names() -> None:
    """With a capital, or in a script without; an ordinary word that is a role too is none."""
    question = "Which data did Ada, BOB and 田中 of sales give the planner, Eve?"
    names = ["data", "ada", "bob", "sales", "planner", "eve", "田中", "zoe"]
    assert written_as_names(question, names) == ["ada", "bob", "eve", "田中"]


@pytest.mark.parametrize(
    ("question", "names", "expected"),
    [
        ("When did Caroline go to the museum?", ["caroline"], "When did go to the museum?"),
        ("What is Caroline's favourite tea?", ["caroline"], "What is favourite tea?"),
        ("What is Caroline\u2019s favourite tea?", ["caroline"], "What is favourite tea?"),
        ("CAROLINE and Melanie: who won?", ["caroline", "melanie"], "and : who won?"),
        ("When did Caroline leave?", [], "When did Caroline leave?"),
        # Whole words only.
        ("Is Art an artist of Bartholomew's?", ["art"], "Is an artist of Bartholomew's?"),
        # A name that looks like a pattern is no pattern.
        ("Who is A.b or Axb?", ["a.b"], "Who is or Axb?"),
        # Written as names are.
        ("Did Planner lose my planner?", ["planner"], "Did lose my planner?"),
        ("田中 drinks tea", ["田中"], "drinks tea"),
        # Of nothing there is no meaning.
        ("Caroline", ["caroline"], "Caroline"),
        ("Caroline's Melanie", ["caroline", "melanie"], "Caroline's Melanie"),
        ("Was hat Jürgen gesagt?", ["jürgen"], "Was hat gesagt?"),
    ],
)
def test_names_are_cut_out(question: str, names: list[str], expected: str) -> None:
    """With their 's, whatever their case."""
    assert without_names(question, names) == expected


@given(st.text(), st.lists(st.text(min_size=1), max_size=4))
def test_cutting_names_leaves_a_question(question: str, names: list[str]) -> None:
    """Never an error, and never nothing of something."""
    assert bool(without_names(question, names)) == bool(question)


# --- stores and vectors --------------------------------------------------------------------------------------------


def test_any_vector_is_taken_as_it_comes() -> None:
    """A list, a tuple and an array of numpy are the same vector."""
    vectors = ([1, 0, 0, 0], (1.0, 0.0, 0.0, 0.0), np.array([1, 0, 0, 0]), np.array([1, 0, 0, 0], dtype=np.float16))
    assert len({search({"embedding": vector}).vector for vector in vectors}) == 1


def test_an_array_of_another_class_is_what_it_holds() -> None:
    """Also where it is masked: nothing is made up for what is under the mask."""
    masked: Any = np.ma.array([1.0, 0.0, 0.0, 0.0], mask=[0, 1, 0, 0])
    assert search({"embedding": masked}).vector == search(VECTOR).vector
    assert search({"embedding": masked.astype(np.float32)}).vector == search(VECTOR).vector


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", ">f4"])
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_told(kind: str, wrong: float) -> None:
    """By an error of ours and no warning of numpy's, however large the numbers are; also by a NaN that signals."""
    vectors = [np.array([1.0, wrong, 0.0, 0.0]).astype(kind)]
    vectors.append(np.array([0x7FF0000000000001, 1, 0, 0], "u8").view("f8"))
    vectors.append(np.array([1e300, 1e300, 0.0, 0.0]))
    for vector in vectors:
        with pytest.raises(InvalidDocument):
            search({"embedding": vector})
