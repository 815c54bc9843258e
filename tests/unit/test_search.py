"""How a search is planned, without a server: every decision in one table."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memorizz.memory_provider.postgresql._search import (
    MOST,
    Search,
    Tried,
    Way,
    accepted,
    parse,
    settings,
    tried,
    ways,
    wider,
)
from memorizz.memory_provider.postgresql._stores import SELECTED, Schema, Store

from memorizz.errors import ConfigurationError, DimensionMismatch, FilterError, InvalidDocument
from memorizz.memory_provider._questions import asked, weights, without_names
from memorizz.memory_provider.base import Ranking, SearchOptions
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import _operations as operations
from memorizz.memory_provider.postgresql import _queries as queries
from memorizz.memory_provider.postgresql import _search
from memorizz.memory_provider.postgresql._steps import Batch, Query

SOME, FEW, INDEX, BITS, EXACT = Way
FEW_ROWS_AT_MOST = _search.FEW
LONG, TURNS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY
VECTOR = {"embedding": [1.0, 0.0, 0.0, 0.0]}
WORDS = {"$text": {"$search": "tea with Ada"}}
FILTER = {"memory_id": "m1"}

HNSW = Schema("public", "public", 4)
HALFVEC = replace(HNSW, index="halfvec")
NO_INDEX = replace(HNSW, index="none")
DROPPED = replace(HNSW, indexes=frozenset({(LONG.value, "none")}))
OF_ITS_OWN = replace(NO_INDEX, indexes=frozenset({(LONG.value, "hnsw")}))
GOOD_BITS = replace(HNSW, bits={LONG.value: 800})
BITS_ALONE = replace(GOOD_BITS, index="none")
BITS_ELSEWHERE = replace(HNSW, bits={TURNS.value: 800})


def search(query: Any, limit: int = 10, schema: Schema = HNSW, store: MemoryType = LONG, **options: Any) -> Search:
    return parse(schema.store(store), asked(query, limit, SearchOptions(**options)))


# --- which way ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "limit", "schema", "options", "expected"),
    [
        # Nothing but words: no index of vectors has a say.
        (WORDS, 10, HNSW, {}, [EXACT]),
        (WORDS | FILTER, 10, HNSW, {}, [EXACT]),
        ("tea", 10, GOOD_BITS, {}, [EXACT]),
        # Without a filter the nearest are the index's, as far as it goes.
        (VECTOR, 10, HNSW, {}, [INDEX, EXACT]),
        (VECTOR, 10, HALFVEC, {}, [INDEX, EXACT]),
        (VECTOR, 1000, HNSW, {}, [INDEX, EXACT]),
        (VECTOR, 1001, HNSW, {}, [EXACT]),
        (VECTOR, 10, NO_INDEX, {}, [EXACT]),
        (VECTOR, 10, DROPPED, {}, [EXACT]),
        (VECTOR, 10, OF_ITS_OWN, {}, [INDEX, EXACT]),
        # Bits are for filters.
        (VECTOR, 10, GOOD_BITS, {}, [INDEX, EXACT]),
        (VECTOR, 10, BITS_ALONE, {}, [EXACT]),
        # With a filter: first it is seen whether the rows are few.
        (VECTOR | FILTER, 10, HNSW, {}, [SOME, INDEX, EXACT]),
        (VECTOR | FILTER, 10, HALFVEC, {}, [SOME, INDEX, EXACT]),
        # Some more than are wanted must match, and the index brings 1,000 at most.
        (VECTOR | FILTER, 800, HNSW, {}, [SOME, INDEX, EXACT]),
        (VECTOR | FILTER, 801, HNSW, {}, [SOME, EXACT]),
        (VECTOR | FILTER, 1001, HNSW, {}, [SOME, EXACT]),
        (VECTOR | FILTER, 10, NO_INDEX, {}, [SOME, EXACT]),
        (VECTOR | FILTER, 10, DROPPED, {}, [SOME, EXACT]),
        (VECTOR | FILTER, 10, OF_ITS_OWN, {}, [SOME, INDEX, EXACT]),
        (VECTOR | FILTER, 10, GOOD_BITS, {}, [SOME, INDEX, BITS]),
        (VECTOR | FILTER, 1001, GOOD_BITS, {}, [SOME, BITS]),
        (VECTOR | FILTER, 10, BITS_ALONE, {}, [SOME, BITS]),
        (VECTOR | FILTER, 10, BITS_ELSEWHERE, {}, [SOME, INDEX, EXACT]),
        # With words, five times as many are wanted of the nearest.
        (VECTOR | WORDS, 10, HNSW, {}, [INDEX, EXACT]),
        (VECTOR | WORDS, 200, HNSW, {}, [INDEX, EXACT]),
        (VECTOR | WORDS, 201, HNSW, {}, [EXACT]),
        (VECTOR | WORDS | FILTER, 160, HNSW, {}, [SOME, INDEX, EXACT]),
        (VECTOR | WORDS | FILTER, 161, HNSW, {}, [SOME, EXACT]),
        (VECTOR | WORDS | FILTER, 201, GOOD_BITS, {}, [SOME, BITS]),
        # As with any other part of the score.
        (VECTOR, 201, HNSW, {"ranking": Ranking(recency=0.1)}, [EXACT]),
        (VECTOR, 201, HNSW, {"ranking": Ranking(importance=0.1)}, [EXACT]),
        (VECTOR, 201, HNSW, {"ranking": Ranking(meaning=1, words=0)}, [INDEX, EXACT]),
        # The caller wants it exact.
        (VECTOR, 10, HNSW, {"exact": True}, [EXACT]),
        (VECTOR | FILTER, 10, HNSW, {"exact": True}, [EXACT]),
        (VECTOR | FILTER, 10, GOOD_BITS, {"exact": True}, [EXACT]),
        (VECTOR | WORDS | FILTER, 10, HNSW, {"exact": True, "ef_search": 40}, [EXACT]),
        # How it is read, and how far the index looks, change nothing.
        (VECTOR, 10, HNSW, {"ef_search": 1}, [INDEX, EXACT]),
        (VECTOR | FILTER, 10, HNSW, {"touch": True, "min_score": 0.5}, [SOME, INDEX, EXACT]),
    ],
)
def test_which_ways_are_tried(
    query: Any, limit: int, schema: Schema, options: dict[str, Any], expected: list[Way]
) -> None:
    """By the query, the limit, the index and the bits of the store, and what the caller says."""
    assert list(ways(search(query, limit, schema, **options), schema.store(LONG), Tried())) == expected


@pytest.mark.parametrize("query", [VECTOR, WORDS, VECTOR | FILTER, VECTOR | WORDS, VECTOR | WORDS | FILTER])
@pytest.mark.parametrize("schema", [HNSW, HALFVEC, NO_INDEX, DROPPED, GOOD_BITS, BITS_ALONE])
@pytest.mark.parametrize("limit", [1, 10, 201, 1000, 100_000])
def test_the_last_way_is_always_accepted(query: Any, schema: Schema, limit: int) -> None:
    """A search ends with an answer, whatever was seen."""
    asked = search(query, limit, schema)
    last = ways(asked, schema.store(LONG), Tried())[-1]
    assert all(accepted(last, asked, seen) for seen in (0, 1, 1_000_000))


@pytest.mark.parametrize(
    ("way", "query", "limit", "seen", "expected"),
    [
        (SOME, VECTOR | FILTER, 10, 0, True),
        (SOME, VECTOR | FILTER, 10, MOST, True),
        (SOME, VECTOR | FILTER, 10, MOST + 1, False),
        # As many as are wanted were near: nothing was lost. Under a filter some more must be.
        (INDEX, VECTOR, 10, 10, True),
        (INDEX, VECTOR, 10, 9, False),
        (INDEX, VECTOR | FILTER, 10, 12, True),
        (INDEX, VECTOR | FILTER, 10, 11, False),
        (INDEX, VECTOR | FILTER, 100, 125, True),
        (INDEX, VECTOR | FILTER, 100, 124, False),
        (INDEX, VECTOR, 1000, 999, False),
        # Wanted are the candidates, not the hits.
        (INDEX, VECTOR | WORDS, 1, 49, False),
        (INDEX, VECTOR | WORDS, 1, 50, True),
        (INDEX, VECTOR | WORDS, 20, 99, False),
        (INDEX, VECTOR | WORDS, 20, 100, True),
        # These have compared all that match.
        (FEW, VECTOR | FILTER, 10, 0, True),
        (FEW, VECTOR | FILTER, 10, MOST + 1, True),
        (BITS, VECTOR | FILTER, 10, 0, True),
        (EXACT, VECTOR | FILTER, 10, 0, True),
        (EXACT, WORDS, 10, 0, True),
    ],
)
def test_what_is_accepted(way: Way, query: Any, limit: int, seen: int, expected: bool) -> None:
    """What a way brings is taken only where it cannot have lost a row."""
    assert accepted(way, search(query, limit), seen) is expected


# --- how many are looked at ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "limit", "given", "expected"),
    [
        (VECTOR, 1, None, 100),
        (VECTOR, 50, None, 100),
        (VECTOR, 51, None, 102),
        (VECTOR, 500, None, 1000),
        (VECTOR, 1000, None, 1000),
        (VECTOR | FILTER, 1, None, 100),
        (VECTOR | FILTER, 101, None, 404),
        (VECTOR | FILTER, 1000, None, 1000),
        (VECTOR | WORDS, 1, None, 100),
        (VECTOR | WORDS, 20, None, 200),
        (VECTOR | WORDS | FILTER, 100, None, 1000),
        (VECTOR, 10, 1, 1),
        (VECTOR | FILTER, 10, 40, 40),
        (VECTOR, 10, 1000, 1000),
    ],
)
def test_ef_search(query: Any, limit: int, given: int | None, expected: int) -> None:
    """It follows the limit and the filter, within what pgvector can, unless the caller says."""
    assert search(query, limit, ef_search=given).ef_search == expected


@pytest.mark.parametrize(
    ("query", "limit", "compared", "depth", "by_bits"),
    [
        (VECTOR, 1, 800, 1, 800),
        (VECTOR, 1, 200, 1, 200),
        (VECTOR, 100, 800, 100, 1000),
        (VECTOR | WORDS, 1, 800, 50, 800),
        (VECTOR | WORDS, 10, 200, 50, 500),
        (WORDS, 101, 800, 505, 5050),
    ],
)
def test_depth(query: Any, limit: int, compared: int, depth: int, by_bits: int) -> None:
    """More than the limit where more than the distance makes the score."""
    asked = search(query, limit)
    assert (asked.depth, asked.by_bits(compared)) == (depth, by_bits)


@pytest.mark.parametrize(
    ("query", "limit", "options", "ef_search", "seen", "expected"),
    [
        # As many as the share of those that matched asks for, some more, and not too many.
        (VECTOR | FILTER, 10, {}, 100, 11, 142),
        (VECTOR | FILTER, 10, {}, 100, 10, 156),
        (VECTOR | FILTER, 10, {}, 100, 4, 390),
        (VECTOR | FILTER, 10, {}, 100, 3, 400),
        (VECTOR | FILTER, 10, {}, 200, 6, 400),
        # Where none matched, or so few that too many would have to be looked at, other ways are better.
        (VECTOR | FILTER, 10, {}, 100, 2, None),
        (VECTOR | FILTER, 10, {}, 100, 0, None),
        (VECTOR | FILTER, 10, {}, 400, 11, None),
        (VECTOR | FILTER, 100, {}, 400, 124, None),
        # Without a filter there are no more; and what the caller says is done.
        (VECTOR, 10, {}, 100, 9, None),
        (VECTOR | FILTER, 10, {"ef_search": 100}, 100, 11, None),
    ],
)
def test_how_many_more_are_looked_at(
    query: Any, limit: int, options: dict[str, Any], ef_search: int, seen: int, expected: int | None
) -> None:
    """The rows near the query say how many of them it takes for enough to match."""
    assert wider(search(query, limit, **options), ef_search, seen) == expected


PLANNED = {"jit": "off", "plan_cache_mode": "force_custom_plan"}
PLANNED_ONCE = {"jit": "off", "plan_cache_mode": "force_generic_plan"}
BY_INDEX = {"hnsw.ef_search": "123", "hnsw.iterative_scan": "off", "enable_sort": "off"}


@pytest.mark.parametrize(
    ("query", "options", "ways", "expected"),
    [
        (VECTOR | FILTER, {}, [FEW], PLANNED),
        (VECTOR | FILTER, {}, [SOME], PLANNED),
        (VECTOR | FILTER, {}, [BITS], PLANNED),
        (VECTOR | FILTER, {}, [EXACT], PLANNED),
        # No value decides how the index is read: of the whole store, or of one memory, whose own index is asked for.
        (VECTOR, {}, [INDEX], PLANNED_ONCE | BY_INDEX),
        (VECTOR, {}, [INDEX, INDEX], PLANNED_ONCE | BY_INDEX),
        (VECTOR | FILTER, {}, [INDEX], PLANNED_ONCE | BY_INDEX),
        (VECTOR | FILTER | {"role": "user"}, {}, [INDEX], PLANNED_ONCE | BY_INDEX),
        # A memory may have one in this store and none in that; and any filter may be for a memory that has one.
        (VECTOR | FILTER, {}, [INDEX, INDEX], PLANNED | BY_INDEX),
        (VECTOR | FILTER, {}, [FEW, INDEX], PLANNED | BY_INDEX),
        (VECTOR | {"memory_id": {"$in": ["m1"]}}, {}, [INDEX], PLANNED | BY_INDEX),
        (VECTOR | {"$and": [FILTER]}, {}, [INDEX], PLANNED | BY_INDEX),
        # Where more is joined, how many rows it is decides how.
        (VECTOR, {"touch": True}, [INDEX], PLANNED | BY_INDEX),
        (VECTOR | WORDS, {}, [INDEX], PLANNED | BY_INDEX),
        (VECTOR, {"ranking": Ranking(recency=0.1)}, [INDEX], PLANNED | BY_INDEX),
        (VECTOR, {}, [INDEX, EXACT], PLANNED | BY_INDEX),
        (VECTOR, {}, [EXACT], PLANNED),
    ],
)
def test_what_is_set_for_the_statements(
    query: Any, options: dict[str, Any], ways: list[Way], expected: dict[str, str]
) -> None:
    """What the index is to do, and how the statements of a batch are planned."""
    assert settings(search(query, **options), ways, 123) == expected


def by_index(ef_search: int, query: Any) -> dict[str, str]:
    """What is set where the index is asked."""
    asked = search(query)
    own_index = {} if asked.memory_id is None else {"own_index": queries.own_index(HNSW.store(LONG), asked.memory_id)}
    return settings(asked, [INDEX], ef_search) | own_index


def seen(rows: int) -> list[tuple[Any, ...]]:
    """What a statement brings that found one row and saw some."""
    return [(uuid4(), {}, *(None,) * (len(SELECTED) - 2), 0.5, None, None, 1, rows)]


def queries_of(step: Any) -> list[Query]:
    return list(step.queries) if isinstance(step, Batch) else [step]


@pytest.mark.parametrize("words", [{}, WORDS], ids=["meaning", "meaning and words"])
@pytest.mark.parametrize("touch", [False, True])
def test_each_way_is_one_round_trip(words: Any, touch: bool) -> None:
    """Settings and statement go together; the next way is tried where the one before may have lost a row."""
    schema = replace(HNSW)
    asked = search(VECTOR | FILTER | words)
    operation = operations.retrieve_by_query(
        schema, VECTOR | FILTER | words, LONG, 10, SearchOptions(touch=touch, explain=True)
    )
    step = next(operation)
    sent = [queries_of(step)]
    expected = [*ways(asked, schema.store(LONG), Tried())]
    # More than are compared match; and of those near the query too few.
    for way in expected[:-1]:
        sent.append(queries_of(operation.send([[], seen(MOST + 1 if way is SOME else 1)])))
    for way, batch in zip(expected, sent, strict=True):
        *before, statement = batch
        needed = settings(replace(asked, options=SearchOptions(touch=touch)), [way], asked.ef_search)
        own_index = {"own_index"} if needed["plan_cache_mode"] == "force_generic_plan" else set[str]()
        assert [query.parameters.keys() for query in before] == [needed.keys() | own_index]
        assert needed.items() <= before[0].parameters.items()
        # What is touched must not be counted twice.
        assert statement.repeatable is not touch
    with pytest.raises(StopIteration) as end:
        operation.send([[], []])
    assert end.value.value == []
    assert end.value.value.explanation["tried"] == [way.name.lower() for way in expected]


def test_what_is_accepted_ends_the_search() -> None:
    """No further way is tried."""
    operation = operations.retrieve_by_query(HNSW, VECTOR | FILTER, LONG, 10, SearchOptions())
    next(operation)
    with pytest.raises(StopIteration):
        operation.send([[], seen(MOST)])


def test_the_index_is_asked_once_more_where_too_few_match() -> None:
    """For as many rows as it takes; the next searches under the filter begin with them, the other filters do not."""
    schema = replace(HNSW)

    def first(query: Any) -> tuple[Any, dict[str, str]]:
        operation = operations.retrieve_by_query(schema, query, LONG, 10, SearchOptions(explain=True))
        return operation, dict(next(operation).queries[0].parameters)

    operation, _ = first(VECTOR | FILTER)
    operation.send([[], seen(MOST + 1)])
    again = operation.send([[], seen(10)])
    assert dict(again.queries[0].parameters) == by_index(156, VECTOR | FILTER)
    with pytest.raises(StopIteration) as end:
        operation.send([[], seen(12)])
    explanation = end.value.value.explanation
    assert (explanation["tried"], explanation["ef_search"]) == (["some", "index", "index"], 156)
    assert first(VECTOR | FILTER)[1] == by_index(156, VECTOR | FILTER)
    operation, _ = first(VECTOR | FILTER)
    # Once, whatever it brings.
    assert dict(operation.send([[], seen(11)]).queries[0].parameters) == by_index(222, VECTOR | FILTER)
    assert dict(operation.send([[], seen(11)]).queries[0].parameters) == PLANNED
    assert first(VECTOR | {"memory_id": "m2"})[1] == PLANNED


def test_what_one_search_looks_at_is_not_the_next_ones() -> None:
    """Neither what the caller says nor what a large limit needs."""
    schema = replace(HNSW)
    for limit, options in ((10, SearchOptions(ef_search=1000)), (400, SearchOptions())):
        operation = operations.retrieve_by_query(schema, VECTOR, LONG, limit, options)
        next(operation)
        with pytest.raises(StopIteration):
            operation.send([[], seen(400)])
    again = next(operations.retrieve_by_query(schema, VECTOR, LONG, 10, SearchOptions()))
    assert dict(again.queries[0].parameters) == by_index(100, VECTOR)


# --- what was tried before ----------------------------------------------------------------------------------------


MANY, FEW_ROWS = (SOME, MOST + 1), (SOME, FEW_ROWS_AT_MOST)
NOT_NEAR, NEAR = (INDEX, 11), (INDEX, 12)


def known(*noted: tuple[Way, int]) -> Tried:
    """What is known after some ways have seen so many rows."""
    found = Tried()
    for way, rows in noted:
        found.note(way, accepted(way, search(VECTOR | FILTER), rows), rows)
    return found


@pytest.mark.parametrize(
    ("query", "noted", "expected"),
    [
        (VECTOR, [], [SOME, INDEX, EXACT]),
        (VECTOR, [NEAR, (EXACT, 10)], [SOME, INDEX, EXACT]),
        (VECTOR, [(SOME, FEW_ROWS_AT_MOST + 1)], [SOME, INDEX, EXACT]),
        (VECTOR, [(SOME, MOST)], [SOME, INDEX, EXACT]),
        # What makes the score is read of the candidates alone.
        (VECTOR, [FEW_ROWS], [FEW]),
        (VECTOR | WORDS, [FEW_ROWS], [SOME, INDEX, EXACT]),
        # Too many rows stay too many.
        (VECTOR, [MANY], [INDEX, EXACT]),
        (VECTOR, [FEW_ROWS, MANY], [INDEX, EXACT]),
        # The next query may lie nearer to what matches.
        (VECTOR, [NOT_NEAR] * 2, [SOME, INDEX, EXACT]),
        (VECTOR, [NOT_NEAR] * 3, [SOME, EXACT]),
        (VECTOR, [NOT_NEAR] * 2 + [NEAR, NOT_NEAR], [SOME, INDEX, EXACT]),
        (VECTOR, [MANY] + [NOT_NEAR] * 3, [EXACT]),
    ],
)
def test_what_earlier_searches_showed_spares_ways(query: Any, noted: Any, expected: list[Way]) -> None:
    """What searches under the same filter showed to be of no use is left out, and few rows are not counted again."""
    assert list(ways(search(query | FILTER), HNSW.store(LONG), known(*noted))) == expected


@pytest.mark.parametrize(
    ("noted", "left", "searches"),
    [([FEW_ROWS], SOME, 16), ([MANY], SOME, 64), ([MANY] + [NOT_NEAR] * 3, INDEX, 16)],
)
def test_what_was_tried_is_forgotten(noted: Any, left: Way, searches: int) -> None:
    """Rows come and go, and the next query may lie elsewhere: after some searches a way is tried again."""
    found = known(*noted)
    for _ in range(searches):
        assert left not in ways(search(VECTOR | FILTER), HNSW.store(LONG), found)
        found.end()
    assert left in ways(search(VECTOR | FILTER), HNSW.store(LONG), found)


def test_how_many_the_index_looks_at_follows_what_was_needed() -> None:
    """Some more whenever it was too few, but no more than was needed; fewer again after some searches."""
    found = Tried()
    found.widen(200)
    assert found.ef_search == 200
    found.widen(400)
    assert found.ef_search == 230
    found.widen(240)
    assert found.ef_search == 240
    looked_at: list[int] = []
    for _ in range(63):
        found.end()
        looked_at.append(found.ef_search)
    assert looked_at == [240] * 15 + [216] * 16 + [194] * 16 + [174] * 16
    found.end()
    assert found.ef_search == 0


def test_each_filter_of_each_store_is_known_by_itself() -> None:
    """What one memory showed says nothing of another, nor of another store; and not all filters are kept for ever."""
    schema = replace(HNSW)
    mine = tried(search(VECTOR | {"memory_id": "m1"}), schema.store(LONG))
    assert tried(search(VECTOR | {"memory_id": "m1"}, limit=3), schema.store(LONG)) is mine
    assert tried(search(VECTOR | {"memory_id": "m2"}), schema.store(LONG)) is not mine
    assert tried(search(VECTOR | {"memory_id": {"$in": ["m1"]}}), schema.store(LONG)) is not mine
    assert tried(search(VECTOR | {"memory_id": "m1"}), schema.store(TURNS)) is not mine
    for place in range(1500):
        tried(search(VECTOR | {"memory_id": f"m{place}"}), schema.store(LONG))
    assert len(schema.store(LONG).tried) <= 1001


def test_a_search_of_one_shape_is_one_statement() -> None:
    """Put together once, whatever the values and the limit."""
    shapes = [
        queries_of(
            next(operations.retrieve_by_query(HNSW, VECTOR | {"memory_id": memory}, LONG, limit, SearchOptions()))
        )
        for memory, limit in (("m1", 10), ("m2", 1), ("m3", 500))
    ]
    assert shapes[0][-1].sql is shapes[1][-1].sql is shapes[2][-1].sql


# --- what is asked ------------------------------------------------------------------------------------------------


def test_a_query_is_read() -> None:
    """The vector, the words, the filter and the limit; and the words that may be a name."""
    question = asked(VECTOR | WORDS | FILTER | {"limit": 3}, 10, SearchOptions())
    assert (question.limit, question.words, question.filter) == (3, "tea with Ada", FILTER)
    assert question.names == ("ada", "tea", "with")
    found = parse(HNSW.store(LONG), question)
    assert (found.limit, found.words, found.dimensions) == (3, "tea with Ada", 4)
    assert found.ranked
    assert found.filtered
    assert found.scored
    question = asked("the user asked Ada", 7, SearchOptions())
    assert (question.limit, question.embedding, question.filter) == (7, None, {})
    # Roles that everybody has are no names.
    assert question.names == ("ada", "asked", "the")
    assert not parse(HNSW.store(LONG), question).filtered


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
    found = weights(Ranking(**given), store, meaning="embedding" in query, names_cut=names_cut)
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
        ("Who is a.b or axb?", ["a.b"], "Who is or axb?"),
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


def test_a_store_is_told_apart_by_its_index() -> None:
    """Each store is searched by the index that it has."""
    stores: list[Store] = [DROPPED.store(LONG), DROPPED.store(TURNS), OF_ITS_OWN.store(LONG), OF_ITS_OWN.store(TURNS)]
    assert [store.index for store in stores] == ["none", "hnsw", "hnsw", "none"]
