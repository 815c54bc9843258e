"""Searches on MongoDB: their scores, the route that they take, and what is asked of $vectorSearch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorizz.errors import ConfigurationError
from memorizz.memory_provider._drive._sync import drive
from memorizz.memory_provider._questions import asked
from memorizz.memory_provider.base import Ranking, SearchOptions
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.mongodb import MongoDBConfig, MongoDBProvider, operations
from memorizz.memory_provider.mongodb._collections import create_store, creation, listing, store_of, usable
from memorizz.memory_provider.mongodb._opening import opened
from memorizz.memory_provider.mongodb._steps import Command, Read, Record, Step, Update, Write
from memorizz.memory_provider.mongodb._stores import Database, VectorIndex
from memorizz.memory_provider.mongodb.search import pipelines, plan
from memorizz.memory_provider.mongodb.search.plan import Route
from memorizz.memory_provider.stores import StoreSpec

LONG = MemoryType.LONG_TERM_MEMORY
TURNS = MemoryType.CONVERSATION_MEMORY
EAST, NORTH = [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]
ONLY = {"speaker": 0.0, "session": 0.0}


def towards(degrees: float) -> list[float]:
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0.0, 0.0]


def numbers(documents: Any) -> list[int]:
    return [document["n"] for document in documents]


# --- scores -------------------------------------------------------------------------------------------------------

vectors = st.lists(st.floats(-100, 100, width=32), min_size=4, max_size=4).filter(lambda v: np.linalg.norm(v) > 0.01)


@settings(max_examples=30)
@given(stored=st.lists(vectors, min_size=1, max_size=20), asked=vectors)
def test_the_aggregation_computes_the_cosine(
    provider: MongoDBProvider, stored: list[list[float]], asked: list[float]
) -> None:
    """Each distance is 1 minus the cosine that numpy computes, and the nearest comes first."""
    provider.delete_all(LONG)
    provider.store_many([{"n": n, "embedding": vector} for n, vector in enumerate(stored)], LONG)
    hits = provider.retrieve_by_query({"embedding": asked}, LONG, limit=20)
    lengths = np.linalg.norm(stored, axis=1) * np.linalg.norm(asked)
    cosines = np.array(stored) @ np.array(asked) / lengths
    assert [hit["score"] for hit in hits] == pytest.approx(sorted(cosines, reverse=True), abs=1e-6)
    assert [hit["score"] for hit in hits] == pytest.approx([cosines[hit["n"]] for hit in hits], abs=1e-6)


def test_many_dimensions_are_compared(config: MongoDBConfig) -> None:
    """One term for each of 1,536 dimensions is no more than the server takes."""
    rng = np.random.default_rng(0)
    stored = rng.normal(size=(30, 1536)).astype(np.float32)
    with MongoDBProvider(MongoDBConfig(config.uri, config.db_name)) as provider:
        provider.store_many([{"n": n, "embedding": vector} for n, vector in enumerate(stored)], LONG)
        hits = provider.retrieve_by_query({"embedding": stored[7]}, LONG, limit=30)
    cosines = stored @ stored[7] / np.linalg.norm(stored, axis=1) / np.linalg.norm(stored[7])
    assert numbers(hits) == list(np.argsort(-cosines))
    assert [hit["score"] for hit in hits] == pytest.approx(sorted(cosines, reverse=True), abs=1e-5)


def test_a_score_is_the_sum_of_its_parts(provider: MongoDBProvider) -> None:
    """Meaning, words, speaker, session, neighbours, recency and importance add up as docs/search.md says."""
    now = datetime.now(UTC)
    turn = {"memory_id": "m", "conversation_id": "c", "importance_score": 0.5}
    provider.store_many(
        [
            {**turn, "n": 1, "role": "Ada", "content": "tea", "embedding": EAST, "timestamp": now - timedelta(days=30)},
            {**turn, "n": 2, "role": "user", "content": "coffee", "embedding": towards(60), "timestamp": now},
        ],
        TURNS,
    )
    ranking = Ranking(meaning=0.7, words=0.3, speaker=0.05, session=0.2, recency=0.1, half_life=30, importance=0.4)
    query = {"embedding": EAST, "$text": {"$search": "Does Ada like tea?"}}
    hits = provider.retrieve_by_query(query, TURNS, 2, ranking=ranking, explain=True)
    first = {"meaning": 0.7, "words": 0.3, "speaker": 0.05, "recency": 0.05, "importance": 0.2}
    second = {"meaning": 0.35, "recency": 0.1, "importance": 0.2}
    session = 0.2 * sum(first.values())
    for hit, parts, other in zip(hits, (first, second), (second, first), strict=True):
        expected = {**parts, "session": session, "neighbours": 0.05 * sum(other.values())}
        assert hit["_explanation"] == pytest.approx(expected, abs=1e-5)
        assert hit["score"] == pytest.approx(sum(expected.values()), abs=1e-5)
    assert [hit["distance"] for hit in hits] == pytest.approx([0.0, 0.5], abs=1e-6)


def test_ranks_are_fused_by_their_reciprocals(provider: MongoDBProvider) -> None:
    """fusion="rrf" puts 1 / (10 + rank) in the place of either share."""
    provider.store_many(
        [{"n": 1, "content": "tea", "embedding": NORTH}, {"n": 2, "content": "tea tea pot", "embedding": EAST},
         {"n": 3, "embedding": towards(10)}], LONG,
    )  # fmt: skip
    query = {"embedding": EAST, "$text": {"$search": "tea"}}
    ranking = Ranking(meaning=0.7, words=0.3, fusion="rrf", **ONLY)
    hits = provider.retrieve_by_query(query, LONG, 3, ranking=ranking)
    by_words = numbers(provider.retrieve_by_query("tea", LONG, 3))
    ranks = {n: 0.3 / (11 + place) for place, n in enumerate(by_words)}
    expected = {n: 0.7 / (11 + place) + ranks.get(n, 0) for place, n in enumerate((2, 3, 1))}
    assert {hit["n"]: hit["score"] for hit in hits} == pytest.approx(expected)


def test_what_is_near_is_scored_by_its_words_too(provider: MongoDBProvider) -> None:
    """However many have more of the words, the nearest gets its share for those that it has."""
    provider.store(
        {"n": 0, "content": "tea, and a word or two about something else altogether", "embedding": EAST}, LONG
    )
    provider.store_many([{"n": n, "content": "tea", "embedding": NORTH} for n in range(1, 80)], LONG)
    query = {"embedding": EAST, "$text": {"$search": "tea"}}
    [hit] = provider.retrieve_by_query(query, LONG, 1, explain=True)
    assert hit["n"] == 0
    assert 0 < hit["_explanation"]["words"] < 0.6


def test_what_is_said_is_scored_by_its_meaning_too(provider: MongoDBProvider) -> None:
    """However many are nearer, a hit by words gets its share for its vector; one of another length has none."""
    provider.store_many([{"n": n, "embedding": towards(n / 10)} for n in range(80)], LONG)
    provider.store({"n": 99, "content": "tea", "embedding": towards(60)}, LONG)
    query = {"embedding": EAST, "$text": {"$search": "tea"}}
    ranking = Ranking(meaning=0.7, words=0.9, **ONLY)
    [hit] = provider.retrieve_by_query(query, LONG, 1, ranking=ranking, explain=True)
    assert hit["n"] == 99
    assert hit["_explanation"] == pytest.approx({"meaning": 0.35, "words": 0.9}, abs=1e-6)
    assert hit["distance"] == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("words", ['"green tea"', "-tea", "tea -coffee", "te\u0301a", "TEA", 'a "', "tea\n\ttea"])
def test_words_have_no_operators(provider: MongoDBProvider, words: str) -> None:
    """What MongoDB takes for a phrase or an exclusion is a word like any other; accents are not minded."""
    provider.store_many([{"n": 1, "content": "tea and coffee"}, {"n": 2, "content": "tea"}], LONG)
    found = numbers(provider.retrieve_by_query(words, LONG, 5))
    assert sorted(found) == ([] if words == 'a "' else [1, 2])


def test_the_least_score_leaves_out_what_is_below(provider: MongoDBProvider) -> None:
    """min_score counts before the limit."""
    provider.store_many([{"n": n, "embedding": towards(n)} for n in (0, 60, 90)], LONG)
    assert numbers(provider.retrieve_by_query({"embedding": EAST}, LONG, 9, min_score=0.4)) == [0, 60]


# --- beside the hits ----------------------------------------------------------------------------------------------


def test_turns_come_with_those_around_them(provider: MongoDBProvider) -> None:
    """context=N brings N turns before and after each hit, in order, also in transactions and without a memory."""
    noon = datetime(2024, 5, 6, 12, tzinfo=UTC)
    turns = [{"n": n, "memory_id": "m", "timestamp": noon, "embedding": towards(n)} for n in range(7)]
    provider.store_many([*turns, {"n": 9, "embedding": towards(170)}], TURNS)
    for where in (provider,):
        [hit] = where.retrieve_by_query({"embedding": towards(3)}, TURNS, context=2)
        assert {side: numbers(around) for side, around in hit["_context"].items()} == {
            "before": [1, 2],
            "after": [4, 5],
        }
    [hit] = provider.retrieve_by_query({"n": 9}, TURNS, context=2)
    assert hit["_context"] == {"before": [], "after": []}


def test_hits_can_be_counted_as_accessed(provider: MongoDBProvider) -> None:
    """touch=True moves access_count and last_accessed of the hits alone, ranked or not; updated_at stays."""
    provider.store_many([{"id": "a", "embedding": EAST, "access_count": None}, {"id": "b", "embedding": NORTH}], LONG)
    before = provider.retrieve_by_id("a", LONG)
    for query in ({"embedding": EAST}, {"_id": "a"}):
        [hit] = provider.retrieve_by_query(query, LONG, touch=True)
        assert hit["id"] == "a"
    touched, other = provider.retrieve_by_id("a", LONG), provider.retrieve_by_id("b", LONG)
    assert touched is not None
    assert before is not None
    assert (touched["access_count"], touched["updated_at"]) == (2, before["updated_at"])
    assert abs((datetime.now(UTC) - touched["last_accessed"]).total_seconds()) < 60
    assert other is not None
    assert "access_count" not in other


def test_only_turns_have_others_around_them(provider: MongoDBProvider) -> None:
    """context elsewhere, and an explanation of another kind, are refused."""
    for wrong in ({"context": 1}, {"context": -1}, {"explain": "all"}):
        with pytest.raises(ConfigurationError):
            provider.retrieve_by_query({}, LONG, **wrong)


# --- the way of a search ------------------------------------------------------------------------------------------


def test_a_search_says_how_it_was_served(provider: MongoDBProvider) -> None:
    """Without $vectorSearch every search is exact, and says so; "plan" adds what MongoDB says of the aggregations."""
    provider.store({"content": "tea", "embedding": EAST}, LONG)
    for query, stages, why in (
        ({"embedding": EAST}, 1, "compare every document that matches, in an aggregation"),
        ("tea", 1, "ask the text index, keep what matches"),
        ({"embedding": EAST, "$text": {"$search": "tea"}}, 2, "compare every document that matches, in an aggregation"),
        ({}, 1, "nothing ranks: read what matches, in its order"),
    ):
        hits = provider.retrieve_by_query(query, LONG, explain="plan")
        said = hits.explanation
        assert said is not None
        assert (said["route"], said["tried"], said["why"]) == ("exact", ["exact"], why)
        assert len(said["pipelines"]) == len(said["plan"]) == stages
        assert all("executionStats" in str(plan) for plan in said["plan"])
        assert provider.retrieve_by_query(query, LONG).explanation is None


def test_an_explanation_shows_no_long_vector() -> None:
    """What is longer than a line is counted."""
    assert pipelines.shown({"a": [1.5] * 1536, "b": [{"c": (1, 2)}]}) == {"a": "<1536 values>", "b": [{"c": [1, 2]}]}


INDEX = VectorIndex("vectors", frozenset({"memory_id", "conversation_id", "name", "role"}))
ATLAS = Database("atlas", 4, vector_indexes={LONG: INDEX, TURNS: INDEX})


def parse(query: dict[str, Any], limit: int = 10, **options: Any) -> Any:
    return plan.parse(ATLAS.store(LONG), asked({"embedding": EAST, **query}, limit, SearchOptions(**options)))


@pytest.mark.parametrize(
    ("query", "options", "routes"),
    [
        ({}, {}, [Route.INDEX, Route.EXACT]),
        ({"memory_id": "m"}, {}, [Route.INDEX, Route.EXACT]),
        ({"$text": {"$search": "tea"}}, {}, [Route.INDEX, Route.EXACT]),
        ({}, {"exact": True}, [Route.EXACT]),
        ({}, {"limit": 5000}, [Route.INDEX, Route.EXACT]),
        ({}, {"limit": 5001}, [Route.EXACT]),
    ],
)
def test_the_routes_of_a_search(query: dict[str, Any], options: dict[str, Any], routes: Sequence[Route]) -> None:
    """$vectorSearch first, where there is an index and it can bring as many; then every document."""
    assert list(plan.routes(parse(query, **options), ATLAS.store(LONG))) == routes
    assert list(plan.routes(parse(query, **options), Database("plain", 4).store(LONG))) == [Route.EXACT]


@pytest.mark.parametrize(
    ("query", "filter"),
    [
        ({}, None),
        ({"memory_id": "m", "n": {"$gt": 5}}, {"memory_id": {"$eq": "m"}}),
        (
            {"$and": [{"memory_id": "m"}, {"role": {"$eq": "user"}}]},
            {"memory_id": {"$eq": "m"}, "role": {"$eq": "user"}},
        ),
        ({"$or": [{"memory_id": "m"}, {"role": "user"}]}, None),
        ({"$not": {"memory_id": "m"}}, None),
        ({"memory_id": None}, None),
        ({"memory_id": "\0"}, None),
        ({"content": "tea"}, None),
    ],
)
def test_the_request_to_vector_search(query: dict[str, Any], filter: dict[str, Any] | None) -> None:
    """As the documentation has it: what is searched for, of how many candidates, and what the index can filter by."""
    request = pipelines.vector_search(parse(query), INDEX)
    expected = {"index": "vectors", "path": "embedding", "queryVector": EAST, "numCandidates": 400, "limit": 20}
    assert request == (expected if filter is None else {**expected, "filter": filter})


@pytest.mark.parametrize(
    ("limit", "ef_search", "candidates"), [(10, 100, 100), (10, 5, 20), (1000, None, 10_000), (5000, None, 10_000)]
)
def test_the_candidates_are_between_the_limit_and_what_is_allowed(
    limit: int, ef_search: int | None, candidates: int
) -> None:
    """numCandidates is at least `limit` and at most 10,000, which are the documented bounds; ef_search chooses it."""
    request = pipelines.vector_search(parse({}, limit, ef_search=ef_search), INDEX)
    assert request["numCandidates"] == candidates
    assert request["limit"] == 2 * limit <= candidates


def test_what_vector_search_brings_is_filtered_and_measured_again() -> None:
    """It is the first stage, as it must be; behind it the whole filter, what has expired, and the exact distance."""
    search = parse({"memory_id": "m", "n": 5})
    index = list(pipelines.nearest(search, ATLAS.store(LONG), Route.INDEX).pipeline)
    exact = list(pipelines.nearest(search, ATLAS.store(LONG), Route.EXACT).pipeline)
    assert list(index[0]) == ["$vectorSearch"]
    assert [next(iter(stage)) for stage in index[1:]] == ["$match", "$set", "$match", "$sort", "$limit"]
    assert pipelines.shown(index[2:]) == pipelines.shown(exact[1:])
    assert "expires_at" in str(index[1])


@pytest.mark.parametrize(("near", "route"), [(3, "index"), (2, "exact"), (0, "exact")])
def test_too_few_from_the_index_are_not_taken(near: int, route: str) -> None:
    """A search is never short: where $vectorSearch brings fewer than wanted, every document is compared."""
    asked_for: list[str] = []

    def perform(step: Step) -> list[Record]:
        assert isinstance(step, Read)
        asked_for.append(next(iter(step.pipeline[0])))
        brought = near if asked_for[-1] == "$vectorSearch" else 3
        return [{"_id": f"{n}", "_memorizz": {"distance": n / 10}} for n in range(brought)]

    query = {"embedding": EAST, "limit": 3}
    hits = drive(operations.retrieve_by_query(ATLAS, query, LONG, 1, SearchOptions(explain=True)), perform)
    assert [hit["id"] for hit in hits] == ["0", "1", "2"]
    assert asked_for == (["$vectorSearch"] if route == "index" else ["$vectorSearch", "$match"])
    assert hits.explanation is not None
    assert hits.explanation["route"] == route


# --- the index for $vectorSearch ----------------------------------------------------------------------------------


def definition(**changes: Any) -> dict[str, Any]:
    """What $listSearchIndexes says of an index, as its documentation shows it."""
    vector = {"type": "vector", "path": "embedding", "numDimensions": 4, "similarity": "cosine", **changes}
    fields = [vector, {"type": "filter", "path": "memory_id"}, {"type": "filter", "path": "genre"}]
    return {
        "id": "648b4ad4d697b73bf9d2e5e0", "name": "theirs", "type": "vectorSearch", "status": "READY",
        "queryable": True, "latestDefinitionVersion": {"version": 0}, "latestDefinition": {"fields": fields},
    }  # fmt: skip


def test_an_index_of_others_is_used_where_it_fits() -> None:
    """On the embeddings, by cosine, of their length; and filtered by what it can filter by."""
    text = {"name": "words", "type": "search", "latestDefinition": {"mappings": {"dynamic": True}}}
    assert usable([text, definition()], 4, "cosine") == VectorIndex("theirs", frozenset({"memory_id"}))
    assert usable([definition()], None, "cosine") is not None
    assert usable([definition(similarity="euclidean")], 4, "l2") is not None
    assert usable([definition(similarity="dotProduct")], 4, "inner_product") is not None
    wrong: list[dict[str, Any]] = [{"numDimensions": 5}, {"path": "vector"}, {"similarity": "euclidean"}]
    for changes in wrong:
        assert usable([definition(**changes)], 4, "cosine") is None
    assert usable([text], 4, "cosine") is None


class Atlas:
    """Answers what a provider asks when it opens, as a cluster with search would; keeps what was asked."""

    def __init__(self, listed: list[dict[str, Any]] | None) -> None:
        self.listed = listed
        self.asked: list[Any] = []
        self.stores: list[Record] = []

    def __call__(self, step: Step) -> Any:
        if isinstance(step, Read):
            return self.stores
        if isinstance(step, Write):
            [change] = step.changes
            assert isinstance(change, Update)
            self.stores.append(change.pipeline[0]["$replaceWith"]["$mergeObjects"][0]["$literal"])
            return None
        assert isinstance(step, Command)
        name = next(iter(step.command))
        if name == "aggregate" and step.command["pipeline"][0] == {"$listSearchIndexes": {}}:
            return None if self.listed is None else {"cursor": {"firstBatch": self.listed}}
        if name == "createSearchIndexes":
            assert step.optional
            self.asked.append(step.command)
        return {"versionArray": [8, 0, 0, 0], "version": "8.0.0", "setName": "rs", "cursor": {"firstBatch": []}}


CONFIG = MongoDBConfig("mongodb://nowhere", embedding_dimensions=4)


def test_an_index_is_built_where_the_server_has_search_and_no_index() -> None:
    """For each store, as the documentation has the command; where a length is known and indexes are to be made."""
    atlas = Atlas([])
    database = drive(opened(CONFIG), atlas)
    assert atlas.asked == [creation(memory_type.value, 4, "cosine") for memory_type in MemoryType]
    assert set(database.vector_indexes or {}) == set(MemoryType)
    assert creation("agents", 4, "cosine") == {
        "createSearchIndexes": "agents",
        "indexes": [
            {
                "name": "memorizz_embedding",
                "type": "vectorSearch",
                "definition": {
                    "fields": [
                        {"type": "vector", "path": "embedding", "numDimensions": 4, "similarity": "cosine"},
                        {"type": "filter", "path": "memory_id"},
                        {"type": "filter", "path": "conversation_id"},
                        {"type": "filter", "path": "name"},
                        {"type": "filter", "path": "role"},
                    ]
                },
            }
        ],
    }
    assert listing("agents") == {"aggregate": "agents", "pipeline": [{"$listSearchIndexes": {}}], "cursor": {}}


@pytest.mark.parametrize(
    ("config", "listed", "served"),
    [
        (CONFIG, [definition()], 7),
        (CONFIG, None, 0),
        (MongoDBConfig("mongodb://nowhere"), [], 0),
        (MongoDBConfig("mongodb://nowhere", embedding_dimensions=4, create_indexes=False), [], 0),
        (MongoDBConfig("mongodb://nowhere", embedding_dimensions=4, vector_search=False), [definition()], 0),
    ],
    ids=["there is one", "no search", "no length", "not to be made", "not to be used"],
)
def test_no_index_is_built_where_none_is_wanted(
    config: MongoDBConfig, listed: list[dict[str, Any]] | None, served: int
) -> None:
    """Where one is there, the server has no search, no length is known, or the configuration says no."""
    atlas = Atlas(listed)
    database = drive(opened(config), atlas)
    assert atlas.asked == []
    assert len(database.vector_indexes or {}) == served


@pytest.mark.parametrize(
    ("distance", "similarity"), [("cosine", "cosine"), ("l2", "euclidean"), ("inner_product", "dotProduct")]
)
def test_a_store_of_ones_own_gets_its_index(distance: Any, similarity: str) -> None:
    """With its length and its distance; the providers that are open ask it from then on, as those opened later do."""
    atlas = Atlas([])
    database = drive(opened(CONFIG), atlas)
    atlas.asked.clear()
    drive(create_store(database, CONFIG, StoreSpec("tickets", dimensions=3, distance=distance)), atlas)
    [command] = atlas.asked
    assert command["createSearchIndexes"] == atlas.stores[0]["collection"]
    [field] = [each for each in command["indexes"][0]["definition"]["fields"] if each["type"] == "vector"]
    assert (field["numDimensions"], field["similarity"]) == (3, similarity)
    atlas.listed = [definition(numDimensions=3, similarity=similarity)]
    for each in (database, drive(opened(CONFIG), atlas)):
        assert drive(store_of(each, "tickets"), atlas).vector_index is not None


@pytest.mark.parametrize(
    ("config", "spec"),
    [
        (CONFIG, StoreSpec("tickets", index="none")),
        (MongoDBConfig("mongodb://nowhere"), StoreSpec("tickets")),
        (MongoDBConfig("mongodb://nowhere", embedding_dimensions=4, vector_search=False), StoreSpec("tickets")),
    ],
    ids=["not wanted", "no length", "not to be used"],
)
def test_a_store_of_ones_own_without_an_index(config: MongoDBConfig, spec: StoreSpec) -> None:
    """Where its spec wants none, its vectors have any length, or the configuration says no, its searches are exact."""
    atlas = Atlas([])
    database = drive(opened(config), atlas)
    atlas.asked.clear()
    drive(create_store(database, config, spec), atlas)
    assert atlas.asked == []
    assert drive(store_of(database, "tickets"), atlas).vector_index is None
