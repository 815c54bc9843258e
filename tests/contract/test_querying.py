"""retrieve_by_query and retrieve_memory_components_by_query: by filter, by meaning, by words."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from bson import ObjectId

from memorizz.errors import ConfigurationError, DimensionMismatch, FilterError, InvalidDocument
from memorizz.memory_provider.base import SearchOptions, without_twins
from memorizz.memory_provider.memory_type import MemoryType

LONG = MemoryType.LONG_TERM_MEMORY
SHORT = MemoryType.SHORT_TERM_MEMORY
TURNS = MemoryType.CONVERSATION_MEMORY
EAST, NORTH, WEST = [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0]
LONG_AGO = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)


def towards(degrees: float) -> list[float]:
    """A direction so many degrees from EAST."""
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0.0, 0.0]


def numbers(documents: Any) -> list[int]:
    return [document["n"] for document in documents]


def test_a_hit_without_twin_keys(api: Any) -> None:
    """Says its id, score and distance once, and those of the turns around it; keys of its own are kept."""
    turns = [{"n": n, "memory_id": "m", "content": "tea", "embedding": towards(30 * n)} for n in range(3)]
    api.store_many([*turns, {"n": 3, "embedding": WEST, "score": 0.5, "_own": 1}], TURNS)
    hits = [without_twins(hit) for hit in api.retrieve_by_query({"embedding": NORTH}, TURNS, 9, context=1)]
    assert numbers(hits) == [2, 1, 0, 3]
    for hit in hits:
        assert {"id", "distance", "_context"} <= hit.keys()
        assert not {"_id", "_distance"} & hit.keys()
        for turn in (*hit["_context"]["before"], *hit["_context"]["after"]):
            assert "id" in turn
            assert "_id" not in turn
    assert all("_score" not in hit for hit in hits[:3])
    assert (hits[3]["score"], hits[3]["_own"]) == (0.5, 1)
    assert hits[3]["_score"] < 0.1
    (stored,) = api.retrieve_by_query({"n": 2}, TURNS)
    assert without_twins(stored).keys() == stored.keys() - {"_id"}


# --- by filter ----------------------------------------------------------------------------------------------------


def test_nothing_found_is_an_empty_list(api: Any) -> None:
    """Always a list, whatever the form of the query."""
    for query in ({}, {"name": "Bob"}, {"embedding": EAST}, {"$text": {"$search": "tea"}}, "tea", ""):
        assert api.retrieve_by_query(query, LONG) == []
        assert api.retrieve_by_query(query, LONG, limit=5) == []


def test_one_is_returned_where_no_limit_is_said(api: Any) -> None:
    """The default limit is 1, in a list."""
    api.store_many([{"n": n, "embedding": towards(n)} for n in range(3)], LONG)
    for query in ({}, {"embedding": EAST}):
        assert numbers(api.retrieve_by_query(query, LONG)) == [0]


def test_a_filter_alone_is_oldest_first(api: Any) -> None:
    """Without a ranking the order is that of list_all."""
    api.store_many([{"n": n, "created_at": LONG_AGO + timedelta(days=n % 2), "memory_id": "m"} for n in range(4)], LONG)
    api.store({"n": 9, "memory_id": "other"}, LONG)
    assert numbers(api.retrieve_by_query({"memory_id": "m"}, LONG, limit=10)) == [0, 2, 1, 3]
    assert numbers(api.retrieve_by_query({"memory_id": "m"}, LONG, limit=3)) == [0, 2, 1]
    assert numbers(api.retrieve_by_query({}, LONG, limit=10)) == [0, 2, 1, 3, 9]


def test_a_limit_inside_the_query_wins(api: Any) -> None:
    """`limit` is no filter and beats the argument, in every form of a dict query; the query is not changed."""
    api.store_many([{"n": n, "content": "tea", "embedding": towards(n)} for n in range(5)], LONG)
    for query in ({}, {"embedding": EAST}, {"$text": {"$search": "tea"}}):
        limited = {**query, "limit": 2}
        assert len(api.retrieve_by_query(limited, LONG, limit=4)) == 2
        assert limited["limit"] == 2
        assert len(api.retrieve_by_query(limited, LONG)) == 2


@pytest.mark.parametrize("limit", [-1, 1.0, "5", True, None], ids=repr)
def test_a_limit_is_a_whole_number(api: Any, limit: Any) -> None:
    """Anything else is a ConfigurationError, outside the query and inside it."""
    for query in ({}, {"embedding": EAST}, "tea"):
        with pytest.raises(ConfigurationError, match="limit"):
            api.retrieve_by_query(query, LONG, limit=limit)
    with pytest.raises(ConfigurationError, match="limit"):
        api.retrieve_by_query({"limit": limit}, LONG)


def test_a_limit_of_nothing_brings_nothing(api: Any) -> None:
    """limit=0 is an empty list."""
    api.store({"content": "tea", "embedding": EAST}, LONG)
    for query in ({}, {"embedding": EAST}, "tea"):
        assert api.retrieve_by_query(query, LONG, limit=0) == []


def test_unknown_keys_are_filters(api: Any) -> None:
    """Any key of a document can be asked for, with a column or without, dotted or not."""
    api.store({"n": 1, "user": "u1", "metadata": {"topic": "tea"}, "tags": ["a", "b"], "deep": {"er": [1, 2]}}, LONG)
    api.store({"n": 2, "user": "u2", "metadata": {"topic": "coffee"}}, LONG)
    for query in (
        {"user": "u1"},
        {"metadata.topic": "tea"},
        {"metadata": {"topic": "tea"}},
        {"tags": ["a", "b"]},
        {"tags.0": "a"},
        {"tags": {"$contains": "b"}},
        {"deep.er.1": 2},
        {"deep": {"$contains": "er"}},
        {"user": {"$ne": "u2"}},
        {"user": {"$in": ["u0", "u1"]}},
        {"user": {"$nin": ["u2"]}},
        {"tags": {"$exists": True}},
        {"$or": [{"user": "u1"}, {"user": "u0"}]},
        {"$and": [{"user": "u1"}, {"n": 1}]},
        {"$nor": [{"user": "u2"}]},
        {"$not": {"user": "u2"}},
        {"user": {"$not": {"$eq": "u2"}}},
        {"_id": {"$nin": [ObjectId()]}, "n": {"$lt": 2}},
    ):
        assert numbers(api.retrieve_by_query(query, LONG, limit=5)) == [1], query


def test_numbers_compare_as_numbers(api: Any) -> None:
    """7 is not above 25, in JSON and in a column; a text and a bool are no numbers."""
    api.store_many([{"n": n, "importance_score": n} for n in (7, 25, 100)], LONG)
    api.store_many([{"n": "100"}, {"n": True}, {"n": None}, {}], LONG)
    for key in ("n", "importance_score"):
        assert numbers(api.retrieve_by_query({key: {"$gt": 25}}, LONG, limit=9)) == [100]
        assert numbers(api.retrieve_by_query({key: {"$gte": 25}}, LONG, limit=9)) == [25, 100]
        assert numbers(api.retrieve_by_query({key: {"$lt": 25.5}}, LONG, limit=9)) == [7, 25]


def test_a_missing_key_matches_what_it_should(api: Any) -> None:
    """A missing key matches `$exists: false`, `$ne`, `$nin` and None, and nothing else."""
    api.store({"n": 1}, LONG)
    for operator in ({"$exists": False}, {"$ne": 5}, {"$nin": [5]}, None, {"$in": [None]}, {"$not": {"$gt": 5}}):
        assert api.count(LONG, {"key": operator}) == api.count(LONG, {"role": operator}) == 1, operator
    for operator in ({"$exists": True}, 5, {"$gt": 0}, {"$lt": 9}, {"$in": [5]}, {"$contains": 5}, {"$ne": None}):
        assert api.count(LONG, {"key": operator}) == api.count(LONG, {"role": operator}) == 0, operator


def test_times_are_filterable(api: Any) -> None:
    """With datetimes and with ISO strings, orders included."""
    api.store_many([{"n": n, "created_at": LONG_AGO + timedelta(days=n)} for n in range(4)], LONG)
    day = LONG_AGO + timedelta(days=2)
    for moment in (day, day.replace(tzinfo=None), day.isoformat(), "2001-02-05T05:05:06+01:00"):
        assert numbers(api.retrieve_by_query({"created_at": {"$gte": moment}}, LONG, limit=9)) == [2, 3]
        assert numbers(api.retrieve_by_query({"created_at": moment}, LONG, limit=9)) == [2]
    assert api.count(LONG, {"updated_at": {"$lt": day}}) == 2


@pytest.mark.parametrize(
    "query", [None, 5, ["tea"], {"a": {"$near": 1}}, {"$text": "tea"}, {"$text": {"$search": 5}}, {"a": {"$in": 5}}],
    ids=repr,
)  # fmt: skip
def test_a_malformed_query_is_refused(api: Any, query: Any) -> None:
    """An unknown operator or a query of another form is a FilterError, never ignored."""
    with pytest.raises(FilterError):
        api.retrieve_by_query(query, LONG)


# --- by meaning ---------------------------------------------------------------------------------------------------


def test_the_nearest_come_first(api: Any) -> None:
    """Ranked by cosine similarity: score 1 is the same direction, -1 the opposite; distance is less for nearer."""
    api.store_many([{"n": d, "embedding": [3 * x for x in towards(d)]} for d in (180, 90, 0, 60)], LONG)
    api.store({"n": -1}, LONG)
    hits = api.retrieve_by_query({"embedding": EAST}, LONG, limit=10)
    assert numbers(hits) == [0, 60, 90, 180]
    assert [hit["score"] for hit in hits] == pytest.approx([1, 0.5, 0, -1], abs=1e-6)
    assert [hit["distance"] for hit in hits] == pytest.approx([0, 0.5, 1, 2], abs=1e-6)
    assert [(hit["_score"], hit["_distance"]) for hit in hits] == [(hit["score"], hit["distance"]) for hit in hits]


@pytest.mark.parametrize(
    "embedding", [tuple(EAST), np.array(EAST), np.array(EAST, dtype="f4")], ids=["tuple", "f8", "f4"]
)
def test_a_query_vector_may_be_any_sequence(api: Any, embedding: Any) -> None:
    """A tuple and a numpy array search as a list does."""
    api.store({"n": 1, "embedding": EAST}, LONG)
    assert numbers(api.retrieve_by_query({"embedding": embedding}, LONG)) == [1]


def test_ties_are_in_the_order_of_storing(api: Any) -> None:
    """Documents just as near come oldest first, with a filter and without."""
    api.store_many([{"n": n, "embedding": EAST, "memory_id": "m"} for n in range(8)], LONG)
    for filter in ({}, {"memory_id": "m"}):
        assert numbers(api.retrieve_by_query({"embedding": EAST, **filter}, LONG, limit=8)) == list(range(8))


def test_a_filter_applies_before_the_ranking(api: Any) -> None:
    """Never fewer than `limit` rows while more match, however far behind the others they are."""
    api.store_many([{"n": n, "embedding": towards(n / 100), "memory_id": "near"} for n in range(300)], LONG)
    api.store_many([{"n": n, "embedding": towards(n), "memory_id": "far"} for n in range(90, 100)], LONG)
    hits = api.retrieve_by_query({"embedding": EAST, "memory_id": "far", "n": {"$gt": 91}}, LONG, limit=8)
    assert numbers(hits) == list(range(92, 100))


@pytest.mark.parametrize("limit", [1, 10, 50, 500])
def test_a_search_without_filter_is_never_short(api: Any, limit: int) -> None:
    """As many as asked for, the true ones, in order, with and without exact=True."""
    api.store_many([{"n": n, "embedding": towards(n / 10)} for n in range(500)], LONG)
    hits = api.retrieve_by_query({"embedding": EAST}, LONG, limit=limit)
    assert len(hits) == limit
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)
    exact = api.retrieve_by_query({"embedding": EAST}, LONG, limit=limit, exact=True)
    assert numbers(exact) == list(range(limit))


def test_more_is_asked_for_than_there_is(api: Any) -> None:
    """A limit above the number of documents brings them all."""
    api.store_many([{"n": n, "embedding": towards(n)} for n in range(5)], LONG)
    assert numbers(api.retrieve_by_query({"embedding": EAST}, LONG, limit=2000)) == list(range(5))


def test_deleted_documents_do_not_use_up_the_limit(api: Any) -> None:
    """After most of a store is deleted a search still brings as many as it can."""
    ids = api.store_many([{"n": n, "embedding": towards(n / 10)} for n in range(200)], LONG)
    for id in ids[:195]:
        api.delete_by_id(id, LONG)
    assert sorted(numbers(api.retrieve_by_query({"embedding": EAST}, LONG, limit=5))) == list(range(195, 200))


@pytest.mark.parametrize(
    "embedding", ["text", [float("nan")] * 4, [0, 0, 0, 0], [[1, 0, 0, 0]], None, ["a"] * 4], ids=repr
)
def test_a_query_vector_that_is_none_is_refused(api: Any, embedding: Any) -> None:
    """What is no vector is an InvalidDocument that names `embedding`."""
    with pytest.raises(InvalidDocument) as caught:
        api.retrieve_by_query({"embedding": embedding}, LONG)
    assert caught.value.path == "embedding"


def test_a_query_vector_of_the_wrong_length_is_refused(api: Any) -> None:
    """The error names expected, got and the store, whatever else is asked."""
    for query in ({"embedding": [1.0] * 3}, {"embedding": [1.0] * 3, "limit": 0, "$text": {"$search": "tea"}}):
        with pytest.raises(DimensionMismatch, match=r"vector dimension mismatch.*4.*3"):
            api.retrieve_by_query(query, LONG)


# --- by words -----------------------------------------------------------------------------------------------------


def test_a_str_is_searched_by_its_words(api: Any) -> None:
    """A str query and $text find documents with any of the words, the best first, with a score."""
    api.store({"n": 1, "content": "Ada drinks green tea in the morning"}, LONG)
    api.store({"n": 2, "content": "Bob drinks coffee"}, LONG)
    api.store({"n": 3, "content": "nothing of the kind"}, LONG)
    for query in ("who drinks tea?", {"$text": {"$search": "who drinks tea?"}}):
        hits = api.retrieve_by_query(query, LONG, limit=5)
        assert numbers(hits) == [1, 2]
        assert hits[0]["score"] > hits[1]["score"] > 0
        assert hits[0]["_score"] == hits[0]["score"]


def test_name_and_role_belong_to_the_words(api: Any) -> None:
    """Who spoke can be asked for."""
    api.store_many([{"n": 1, "name": "Ada"}, {"n": 2, "role": "assistant"}, {"n": 3, "content": "tea"}], LONG)
    assert numbers(api.retrieve_by_query("Ada", LONG, limit=5)) == [1]
    assert numbers(api.retrieve_by_query("assistants", LONG, limit=5)) == [2]


def test_words_and_filters_go_together(api: Any) -> None:
    """A filter beside $text applies before the ranking."""
    api.store_many([{"n": n, "content": "tea", "memory_id": f"m{n % 2}"} for n in range(6)], LONG)
    query = {"$text": {"$search": "tea"}, "memory_id": "m1", "n": {"$gt": 1}}
    assert numbers(api.retrieve_by_query(query, LONG, limit=9)) == [3, 5]


@pytest.mark.parametrize(
    "words", ["", " ", "the of and", "!&|():*<->'\"\\", "a\0b", "\ud800", "%s %(x)s", "tea' OR 1=1 --", "x" * 100_000],
    ids=lambda words: repr(words[:20]),
)  # fmt: skip
def test_words_of_any_kind_are_no_error(api: Any, words: str) -> None:
    """Punctuation, stop words, NUL and the like are words that find nothing, or something, and never an error."""
    api.store({"content": "some tea"}, LONG)
    assert isinstance(api.retrieve_by_query(words, LONG), list)
    assert isinstance(api.retrieve_by_query({"$text": {"$search": words}, "embedding": EAST}, LONG), list)


def test_meaning_and_words_go_together(api: Any) -> None:
    """With an embedding and $text a document found by either is found, the one found by both first."""
    api.store({"n": 1, "content": "tea", "embedding": EAST}, LONG)
    api.store({"n": 2, "content": "coffee", "embedding": EAST}, LONG)
    api.store({"n": 3, "content": "tea"}, LONG)
    api.store({"n": 4, "content": "tea", "embedding": EAST, "memory_id": "other"}, LONG)
    hits = api.retrieve_by_query(
        {"embedding": EAST, "$text": {"$search": "tea"}, "memory_id": {"$ne": "other"}}, LONG, limit=9
    )
    assert numbers(hits) == [1, 2, 3]
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)


def test_a_long_text_is_stored_whole_and_found_by_its_beginning(api: Any) -> None:
    """At least the words of the first 200 kB are found; the text has no limit."""
    content = "beginning " + "filler " * 60_000 + "ending"
    id = api.store({"content": content}, LONG)
    assert api.retrieve_by_id(id, LONG)["content"] == content
    assert [hit["id"] for hit in api.retrieve_by_query("beginning", LONG)] == [id]


# --- components ---------------------------------------------------------------------------------------------------


def test_components_carry_embedding_and_score(api: Any) -> None:
    """The rows of a memory come with their vectors and scores, the best first, five by default."""
    api.store_many([{"n": n, "memory_id": "m", "embedding": towards(n)} for n in range(9)], LONG)
    api.store({"n": -1, "memory_id": "other", "embedding": EAST}, LONG)
    hits = api.retrieve_memory_components_by_query(query_embedding=EAST, memory_id="m", memory_type=LONG)
    assert numbers(hits) == [0, 1, 2, 3, 4]
    assert hits[0]["embedding"] == EAST
    assert hits[0]["score"] == pytest.approx(1.0)


def test_components_of_all_stores_are_merged_by_score(api: Any) -> None:
    """Without a store every one but the agents' is searched."""
    others = [member for member in MemoryType if member is not MemoryType.MEMAGENT]
    for n, memory_type in enumerate(others):
        api.store({"n": n, "memory_id": "m", "embedding": towards(10 * n)}, memory_type)
        api.store({"n": 10 + n, "memory_id": "m", "embedding": towards(10 * n + 5)}, memory_type)
    api.store({"n": 99, "memory_id": "m", "embedding": EAST}, MemoryType.MEMAGENT)
    hits = api.retrieve_memory_components_by_query(query_embedding=EAST, memory_id="m", limit=20)
    assert numbers(hits) == [0, 10, 1, 11, 2, 12, 3, 13, 4, 14, 5, 15]
    assert numbers(api.retrieve_memory_components_by_query(query_embedding=EAST, limit=3)) == [0, 10, 1]


def test_components_are_found_by_words_without_a_vector(api: Any) -> None:
    """A query without an embedding is searched by its words, in all stores, with embedding and score."""
    api.store({"n": 1, "memory_id": "m", "content": "green tea", "embedding": NORTH}, LONG)
    api.store({"n": 2, "memory_id": "m", "content": "tea"}, SHORT)
    api.store({"n": 3, "memory_id": "other", "content": "tea"}, SHORT)
    hits = api.retrieve_memory_components_by_query("tea", memory_id="m")
    assert sorted(numbers(hits)) == [1, 2]
    assert {hit["n"]: hit["embedding"] for hit in hits} == {1: NORTH, 2: None}
    assert all(hit["score"] > 0 for hit in hits)


def test_components_are_found_by_both(api: Any) -> None:
    """A query with an embedding ranks by meaning and words."""
    api.store({"n": 1, "memory_id": "m", "content": "tea", "embedding": EAST}, LONG)
    api.store({"n": 2, "memory_id": "m", "content": "coffee", "embedding": EAST}, SHORT)
    hits = api.retrieve_memory_components_by_query("tea", EAST, "m")
    assert numbers(hits) == [1, 2]


def test_a_fact_stands_beside_the_turns_of_a_conversation(api: Any) -> None:
    """What turns gain by others of their session is no gain over other stores: a better fact comes first."""
    turn = {"memory_id": "m", "content": "tea", "embedding": [1.0, 0.5, 0.0, 0.0]}
    in_session = [{**turn, "id": id, "conversation_id": "c"} for id in ("t1", "t2")]
    api.store_many([*in_session, {**turn, "id": "alone"}], "conversation_memory")
    api.store({**turn, "id": "fact", "embedding": EAST}, LONG)
    hits = api.retrieve_memory_components_by_query("tea", EAST, "m")
    assert hits[0]["id"] == "fact"
    assert {hit["id"] for hit in hits} == {"fact", "t1", "t2", "alone"}
    assert len({round(hit["score"], 6) for hit in hits[1:]}) == 1
    # Among themselves it counts.
    hits = api.retrieve_memory_components_by_query("tea", EAST, "m", "conversation_memory")
    assert [hit["id"] for hit in hits] == ["t1", "t2", "alone"]
    assert hits[0]["score"] > hits[2]["score"]


def test_components_need_something_to_search_for(api: Any) -> None:
    """Neither words nor a vector is a ConfigurationError; an unknown store too."""
    with pytest.raises(ConfigurationError, match="query"):
        api.retrieve_memory_components_by_query(memory_id="m")
    with pytest.raises(ConfigurationError, match="personas"):
        api.retrieve_memory_components_by_query("tea", memory_type="nope")
    with pytest.raises(DimensionMismatch):
        api.retrieve_memory_components_by_query(query_embedding=[1.0], memory_id="m")


def test_components_of_an_impossible_memory_are_none(api: Any) -> None:
    """A memory_id that can be none finds nothing."""
    api.store({"memory_id": "m", "embedding": EAST}, LONG)
    for memory_id in ("", "m\0", "\ud800", "M"):
        assert api.retrieve_memory_components_by_query(query_embedding=EAST, memory_id=memory_id) == []


# --- options ------------------------------------------------------------------------------------------------------


def test_options_are_the_keywords_in_one_value(api: Any) -> None:
    """SearchOptions say what the keywords say, and a keyword that is not its default wins over them."""
    api.store_many([{"n": n, "embedding": towards(30 * n)} for n in range(3)], LONG)
    query = {"embedding": EAST}
    options = SearchOptions(include_embedding=True, min_score=0.8, explain=True)
    hits = api.retrieve_by_query(query, LONG, 3, options=options)
    assert numbers(hits) == [0, 1]
    assert all(len(hit["embedding"]) == 4 and hit["_explanation"] for hit in hits)
    assert api.retrieve_by_query(query, LONG, 3, include_embedding=True, min_score=0.8, explain=True) == hits
    assert numbers(api.retrieve_by_query(query, LONG, 3, options=options, min_score=-1)) == [0, 1, 2]
    assert api.retrieve_by_query(query, LONG, 3, options=options, exact=False, explain=False) == hits
    plain = api.retrieve_by_query(query, LONG, 3, options=replace(options, include_embedding=False), explain=True)
    assert numbers(plain) == [0, 1]
    assert not any("embedding" in hit for hit in plain)


@pytest.mark.parametrize(
    "wrong",
    [
        {"exact": 1},
        {"include_embedding": {"$ne": 1}},
        {"touch": "yes"},
        {"ef_search": 0},
        {"ef_search": 1001},
        {"min_score": math.nan},
        {"ranking": {"words": 1}},
        {"context": -1},
        {"context": None},
        {"explain": "all"},
        {"explain": [True]},
        {"options": {"exact": True}},
    ],
    ids=str,
)
def test_an_option_out_of_range_is_named(api: Any, wrong: dict[str, Any]) -> None:
    """It is a ConfigurationError that begins with its name, whatever is searched for."""
    for query in ({}, "tea"):
        with pytest.raises(ConfigurationError, match=f"^{next(iter(wrong))}"):
            api.retrieve_by_query(query, TURNS, **wrong)
