"""Which of the hits of a search are returned: reranked by a caller's function, diverse, equal ones once."""

from __future__ import annotations

import asyncio
import random
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any

import pytest

from memorizz.errors import ConfigurationError
from memorizz.memory_provider.base import SearchOptions

FACTS, TURNS = "long_term_memory", "conversation_memory"
START = datetime(2026, 1, 1, tzinfo=UTC)
EAST, NORTH = [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]
ORDER = ["t0", "t1", "t2", "t3", "t4"]


@pytest.fixture
def kept(api: Any) -> Any:
    """A provider with five texts, of which the first says most of tea."""
    api.store_many([{"id": f"t{n}", "content": "tea " * (5 - n) + f"number{n}"} for n in range(5)], FACTS)
    return api


def ids(hits: Any) -> list[str]:
    return [hit["id"] for hit in hits]


def backwards(_: str, hits: list[Any]) -> list[Any]:
    return hits[::-1]


def by_id(_: str, hits: list[Any]) -> list[Any]:
    return sorted(hits, key=lambda hit: hit["id"])


# --- rerank -------------------------------------------------------------------------------------------------------


def test_the_best_hits_are_put_in_another_order(kept: Any) -> None:
    """The function gets the question and the best hits; what it was not given stays behind them."""
    given: list[Any] = []

    def noting(question: str, hits: list[Any]) -> list[Any]:
        given.append((question, ids(hits)))
        return hits[::-1]

    hits = kept.retrieve_by_query("tea", FACTS, 5, rerank=noting, rerank_limit=3, rerank_timeout=60, explain=True)
    assert given == [("tea", ["t0", "t1", "t2"])]
    assert (ids(hits), hits.rerank_failure) == (["t2", "t1", "t0", "t3", "t4"], None)
    assert hits.explanation["rerank"]["hits"] == 3
    assert hits[0]["score"] < hits[2]["score"]


def test_more_are_reranked_than_are_wanted(kept: Any) -> None:
    """So that one from further behind can be the first; an offset counts behind that, as does a budget."""
    hits = kept.retrieve_by_query("tea", FACTS, 1, rerank=backwards, rerank_timeout=60)
    assert ids(hits) == ["t4"]
    hits = kept.retrieve_by_query("tea", FACTS, 2, rerank=backwards, rerank_timeout=60, offset=1, max_tokens=1)
    assert (ids(hits), hits.left_out) == (["t3"], 1)


def test_what_it_does_to_its_hits_is_not_seen(kept: Any) -> None:
    """It is given copies, may return copies of those, and may sort its list in place."""

    def rewriting(_: str, hits: list[Any]) -> Iterator[Any]:
        for hit in hits:
            hit["content"] = "gone"
        hits.reverse()
        return ({"id": hit["id"]} for hit in hits)

    hits = kept.retrieve_by_query("tea", FACTS, 5, rerank=rewriting, rerank_timeout=60)
    assert (ids(hits), hits.rerank_failure) == (ORDER[::-1], None)
    assert all("tea" in hit["content"] and "score" in hit for hit in hits)


class Broken(Exception):
    """What goes wrong in a function of the caller's."""


def _raising(_: str, hits: list[Any]) -> Any:
    raise Broken("of no use")


def _exiting(_: str, hits: list[Any]) -> Any:
    raise SystemExit(1)


async def _awaited_raising(_: str, hits: list[Any]) -> Any:
    raise Broken("of no use")


def _lazily_raising(_: str, hits: list[Any]) -> Iterator[Any]:
    yield hits[0]
    raise Broken("of no use")


WRONG: dict[str, tuple[Any, str]] = {
    "raises": (_raising, "raised .*Broken: of no use"),
    "exits": (_exiting, "raised SystemExit: 1"),
    "raises late": (_lazily_raising, "raised .*Broken: of no use"),
    "too few": (lambda _, hits: hits[:2], "returned 2 of 5 hits"),
    "none": (lambda _, hits: [], "returned 0 of 5 hits"),
    "twice": (lambda _, hits: [*hits[:4], hits[0]], "returned the hit 't0' twice"),
    "too many": (lambda _, hits: [*hits, hits[0]], "returned the hit 't0' twice"),
    "without end": (lambda _, hits: cycle(hits), "returned the hit 't0' twice"),
    "foreign": (lambda _, hits: [*hits[:4], {"id": "other"}], "returned a hit that it was not given, 'other'"),
    "ids": (lambda _, hits: ids(hits), "returned a str"),
    "numbers": (lambda _, hits: [0.5] * 5, "returned a float"),
    "nothing": (lambda _, hits: None, "returned a NoneType"),
    "one": (lambda _, hits: hits[0], "returned a dict"),
    "text": (lambda _, hits: "t0", "returned a str"),
}


def test_what_goes_wrong_leaves_the_order_of_the_scores(kept: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the function raises or returns; the result says what it was, and so does the log."""
    scores = [hit["score"] for hit in kept.retrieve_by_query("tea", FACTS, 5)]
    for wrong, (rerank, said) in WRONG.items():
        hits = kept.retrieve_by_query("tea", FACTS, 5, rerank=rerank, rerank_timeout=60)
        assert (ids(hits), [hit["score"] for hit in hits]) == (ORDER, pytest.approx(scores)), wrong
        assert re.search(said, hits.rerank_failure), wrong
        assert hits.rerank_failure in caplog.text


def test_what_hangs_is_not_waited_for(kept: Any) -> None:
    """Within the time that was given; with none it is not even called."""
    end, called = threading.Event(), list[int]()

    def hanging(_: str, hits: list[Any]) -> list[Any]:
        called.append(1)
        end.wait()
        return hits[::-1]

    try:
        for seconds, times in ((0.05, 1), (0, 1)):
            hits = kept.retrieve_by_query("tea", FACTS, 5, rerank=hanging, rerank_timeout=seconds)
            assert ids(hits) == ORDER
            assert hits.rerank_failure == f"rerank has not answered within {seconds:g} s"
            assert len(called) == times
    finally:
        end.set()


def test_calls_that_hang_do_not_pile_up(kept: Any) -> None:
    """A function that never returns takes so many threads and no more; once they are back, it is asked again."""
    end, called = threading.Event(), list[int]()

    def hanging(_: str, hits: list[Any]) -> list[Any]:
        called.append(1)
        end.wait()
        return hits

    options = SearchOptions(rerank=hanging, rerank_timeout=0.001)
    try:
        failures = [kept.retrieve_by_query("tea", FACTS, 1, options=options).rerank_failure for _ in range(70)]
        assert "still running" in failures[-1]
        assert len(called) <= 64
    finally:
        end.set()
        for thread in threading.enumerate():
            if thread.name == "memorizz-rerank":
                thread.join()
    assert kept.retrieve_by_query("tea", FACTS, 5, rerank=by_id, rerank_timeout=60).rerank_failure is None


async def _awaited(_: str, hits: list[Any]) -> list[Any]:
    await asyncio.sleep(0)
    return hits[::-1]


async def _awaited_hanging(_: str, hits: list[Any]) -> list[Any]:
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return hits


async def _cancelled(_: str, hits: list[Any]) -> list[Any]:
    raise asyncio.CancelledError


class _Awaited:
    async def __call__(self, _: str, hits: list[Any]) -> list[Any]:
        return hits[::-1]


def test_one_that_is_to_be_awaited(kept: Any, kind: str) -> None:
    """An async provider awaits it, whatever it looks like; another says that it cannot."""
    for rerank in (_awaited, lambda _, hits: _awaited(_, hits), _Awaited()):
        hits = kept.retrieve_by_query("tea", FACTS, 5, rerank=rerank, rerank_timeout=60)
        if kind == "async":
            assert (ids(hits), hits.rerank_failure) == (ORDER[::-1], None)
        else:
            assert ids(hits) == ORDER
            assert "must be awaited" in hits.rerank_failure


def test_one_that_is_awaited_in_vain(kept: Any, kind: str) -> None:
    """What hangs, also against its cancellation, what raises, and what takes itself for cancelled."""
    for rerank, seconds, said in (
        (_awaited_hanging, 0.05, "within 0.05 s"),
        (_awaited_raising, 60, "of no use"),
        (_cancelled, 60, "cancelled"),
    ):
        hits = kept.retrieve_by_query("tea", FACTS, 5, rerank=rerank, rerank_timeout=seconds)
        assert ids(hits) == ORDER
        assert (said if kind == "async" else "must be awaited") in hits.rerank_failure


def test_nothing_is_asked_about_nothing(kept: Any) -> None:
    """Without hits the function is not called."""
    hits = kept.retrieve_by_query("coffee", FACTS, 5, rerank=_raising)
    assert (hits, hits.rerank_failure) == ([], None)


# --- pages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{}, {"unique": True}, {"diverse": 0.4}, {"rerank": by_id, "rerank_timeout": 60}],
    ids=["scored", "unique", "diverse", "reranked"],
)
@pytest.mark.parametrize("store", [FACTS, TURNS])
def test_pages_fit_each_other(api: Any, store: str, options: dict[str, Any]) -> None:
    """Ranked by meaning and words, page by page: no hit comes twice, so none is left out either."""
    chance = random.Random(1)
    kept: list[dict[str, Any]] = []
    for n in range(300):
        said = " ".join(chance.choices(["tea", "milk", "bread", "owl", "wall", "ship"], k=chance.randint(2, 9)))
        vector = [chance.gauss(0, 1) for _ in range(4)]
        turn = {"conversation_id": f"c{n % 7}", "timestamp": START + timedelta(minutes=n)} if store == TURNS else {}
        kept.append({"id": f"d{n}", "content": f"{said} {n}", "memory_id": "m", "embedding": vector, **turn})
    api.store_many(kept, store)
    query = {"embedding": EAST, "$text": {"$search": "tea milk"}, "memory_id": "m"}
    pages = [ids(api.retrieve_by_query(query, store, 10, offset=10 * page, **options)) for page in range(5)]
    found = [id for page in pages for id in page]
    assert len(set(found)) == len(found) == 50


# --- diverse ------------------------------------------------------------------------------------------------------


def test_what_is_like_a_better_one_stands_behind(api: Any) -> None:
    """With more weight further; a hit without a vector is like none; with 0 the score alone decides."""
    vectors = {"a": [1, 0, 0, 0], "b": [0.99, 0.1, 0, 0], "c": [0.7, 0.7, 0, 0], "d": [0.6, 0, 0.8, 0]}
    api.store_many([{"id": id, "content": "x", "embedding": vector} for id, vector in vectors.items()], FACTS)

    def found(diverse: float, limit: int = 4, **more: Any) -> Any:
        return api.retrieve_by_query({"embedding": EAST}, FACTS, limit, diverse=diverse, **more)

    assert ids(found(0)) == ["a", "b", "c", "d"]
    assert ids(found(0.9)) == ["a", "d", "c", "b"]
    assert ids(found(1.0, 2)) == ["a", "d"]
    assert ids(found(0.9, 2, offset=1)) == ["d", "c"]
    hits = found(0.9, explain=True)
    assert hits.explanation["diverse"] == {"looked_at": 4, "without_vector": 0}
    assert all("embedding" not in hit and hit["score"] == pytest.approx(1 - hit["distance"]) for hit in hits)
    assert all(len(hit["embedding"]) == 4 for hit in found(0.9, include_embedding=True))


def test_a_hit_without_a_vector_is_like_none(api: Any) -> None:
    """Where no hit has one, the order is that of the scores."""
    api.store_many([{"id": f"t{n}", "content": "tea " * (5 - n)} for n in range(5)], FACTS)
    assert ids(api.retrieve_by_query("tea", FACTS, 5, diverse=0.5)) == ORDER
    api.store_many([{"id": f"t{n}", "embedding": EAST} for n in (0, 1, 2)], FACTS)
    hits = api.retrieve_by_query("tea", FACTS, 5, diverse=1.0, explain=True)
    assert ids(hits)[:3] == ["t0", "t3", "t4"]
    assert hits.explanation["diverse"]["without_vector"] == 2


def test_diverse_behind_a_reranker(api: Any) -> None:
    """The place that the function gave is what likeness is weighed against."""
    documents = [{"id": id, "content": "tea", "embedding": v} for id, v in (("a", EAST), ("b", EAST), ("c", NORTH))]
    api.store_many(documents, FACTS)
    query = {"embedding": EAST, "$text": {"$search": "tea"}}
    hits = api.retrieve_by_query(query, FACTS, 3, rerank=by_id, rerank_timeout=60)
    assert ids(hits) == ["a", "b", "c"]
    hits = api.retrieve_by_query(query, FACTS, 3, diverse=0.6, rerank=by_id, rerank_timeout=60)
    assert ids(hits) == ["a", "c", "b"]


# --- equal ones once ----------------------------------------------------------------------------------------------


def test_of_equal_texts_the_best_is_returned(api: Any) -> None:
    """It names the others, so that nothing is lost in silence; texts by others, and other texts, are not equal."""
    said = [("a", "tea tea", "Ada"), ("b", "tea tea", "Bob"), ("c", "tea tea", "Ada"), ("d", "tea", "Ada")]
    api.store_many([{"id": id, "content": text, "role": role, "memory_id": "m"} for id, text, role in said], TURNS)
    for query in ("tea", {"memory_id": "m"}):
        hits = api.retrieve_by_query(query, TURNS, 5, unique=True, explain=True)
        assert {hit["id"]: hit.get("_equal") for hit in hits} == {"a": ["c"], "b": None, "d": None}
        assert hits.explanation["unique"] == {"looked_at": 4, "equal": 1}
        assert len(api.retrieve_by_query(query, TURNS, 5)) == 4


def test_what_differs_in_what_is_asked_for_is_not_equal(api: Any) -> None:
    """A memory that the filter names, but not a time that it only bounds."""
    api.store_many([{"id": f"{m}{n}", "content": "tea", "memory_id": m, "n": n} for m in "ab" for n in (1, 2)], FACTS)

    def found(where: Any) -> set[str]:
        return set(ids(api.retrieve_by_query("tea", FACTS, 9, unique=True, where=where)))

    assert found(None) == {"a1"}
    assert found({"memory_id": {"$in": ["a", "b"]}}) == {"a1", "b1"}
    assert found({"$or": [{"n": 1}, {"n": 2}]}) == {"a1", "a2"}
    assert found({"n": {"$gt": 0}, "memory_id": {"$exists": True}}) == {"a1"}
    assert found({"id": {"$in": ["a1", "a2", "b2"]}}) == {"a1", "a2", "b2"}


def test_as_many_as_are_wanted_are_found_behind_equal_ones(api: Any) -> None:
    """However many equal ones stand before them; what has no text is equal to nothing."""
    api.store_many([{"content": "tea tea", "memory_id": "m"} for _ in range(300)], FACTS)
    api.store_many([{"content": "tea and milk", "memory_id": "m"}, *({"memory_id": "m"} for _ in range(3))], FACTS)
    hits = api.retrieve_by_query("tea", FACTS, 2, unique=True)
    assert [hit["content"] for hit in hits] == ["tea tea", "tea and milk"]
    assert len(hits[0]["_equal"]) == 299
    hits = api.retrieve_by_query({"memory_id": "m"}, FACTS, 9, unique=True, touch=True)
    assert len(hits) == 5
    assert api.count(FACTS, {"access_count": 1}) == 5
    id = api.store(hits[0], FACTS)
    assert "_equal" not in api.retrieve_by_id(id, FACTS)


def test_all_together(api: Any) -> None:
    """Equal ones go before the function is asked; what it has put in order is counted, touched and shown."""
    api.store_many([{"id": f"t{n}", "content": f"tea {'abc'[n % 3]}", "memory_id": "m"} for n in range(9)], FACTS)
    options = SearchOptions(unique=True, diverse=0.1, max_tokens=2, touch=True)
    hits = api.retrieve_by_query("tea", FACTS, 9, options=options, rerank=backwards, rerank_timeout=60)
    assert (ids(hits), hits.left_out, hits.rerank_failure) == (["t2"], 2, None)
    assert api.count(FACTS, {"access_count": 1}) == 1


def test_recall_chooses_of_all_stores_together(api: Any) -> None:
    """Equal texts in two stores are one, and a function may order hits of two stores that have one id."""
    for store in (FACTS, TURNS):
        api.store_many([{"id": "a", "content": "tea"}, {"id": "b", "content": f"tea in {store}"}], store)
    hits = api.recall("tea", limit=9, unique=True)
    assert sorted(hit["content"] for hit in hits) == ["tea", f"tea in {TURNS}", f"tea in {FACTS}"]
    every = [hit["content"] for hit in api.recall("tea", limit=9)]
    for rerank in (backwards, lambda _, hits: [{"id": hit["id"]} for hit in hits[::-1]]):
        hits = api.recall("tea", limit=9, rerank=rerank, rerank_timeout=60)
        assert hits.rerank_failure is None
        assert sorted(hit["content"] for hit in hits) == sorted(every)
    assert [hit["content"] for hit in api.recall("tea", limit=9, rerank=backwards, rerank_timeout=60)] == every[::-1]
    assert len(api.recall("tea", limit=1, rerank=backwards, rerank_timeout=60, diverse=0.5)) == 1


# --- what cannot be -----------------------------------------------------------------------------------------------

BAD: list[dict[str, Any]] = [
    {"rerank": 5},
    {"rerank": "model"},
    *({"rerank": _raising, "rerank_limit": wrong} for wrong in (0, -1, 1.5, None)),
    *({"rerank": _raising, "rerank_timeout": wrong} for wrong in (-1, float("nan"), float("inf"), "1", None)),
    *({"diverse": wrong} for wrong in (-0.1, 1.1, 10**400, float("nan"), "0.5", None, True)),
    *({"unique": wrong} for wrong in (1, "content", None)),
]


def test_what_is_no_option() -> None:
    """It is refused when it is given, by name."""
    for options in BAD:
        with pytest.raises(ConfigurationError, match=next(reversed(options))):
            SearchOptions(**options)


def test_what_has_nothing_to_go_by(api: Any) -> None:
    """A function without a question, likeness without a ranking."""
    for query in ({"memory_id": "m"}, {"embedding": EAST}):
        with pytest.raises(ConfigurationError, match="rerank: it is given the question"):
            api.retrieve_by_query(query, FACTS, 5, rerank=_raising)
    with pytest.raises(ConfigurationError, match=r"diverse=0\.5: nothing in the query ranks"):
        api.retrieve_by_query({"memory_id": "m"}, FACTS, 5, diverse=0.5)
