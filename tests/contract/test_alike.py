"""One search with one set of options is answered alike at both ends: PostgreSQL and MongoDB, beside each other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from memorizz.errors import InvalidDocument
from memorizz.memory_provider.base import Ranking
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.options import Call

FACTS, TURNS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY
EAST = [1.0, 0.0, 0.0, 0.0]
# A quarter of them has no vector, a third an equal text, a fifth no text. Each word stands once in texts of one length,
# so that the two servers' scores of words, which are made differently, are shares of the same.
DOCUMENTS: list[dict[str, Any]] = [
    {
        "id": f"d{n:02}",
        "memory_id": "ada" if n % 7 else "bob",
        "conversation_id": f"c{n // 5}",
        "role": "user" if n % 2 else "assistant",
        **({} if n % 5 == 4 else {"content": f"tea leaves number{n % 9}" if n % 3 else "green tea leaves"}),
        **(
            {}
            if n % 4 == 3
            else {"embedding": [math.cos(n / 9), math.sin(n / 9) * math.cos(n), math.sin(n / 9) * math.sin(n), 0.1]}
        ),
    }
    for n in range(24)
]
QUERIES: dict[str, Any] = {
    "meaning": {"embedding": EAST},
    "meaning in a memory": {"embedding": EAST, "memory_id": "ada"},
    "words": "green",
    "both": {"embedding": EAST, "$text": {"$search": "green"}},
    "neither": {"memory_id": {"$in": ["ada", "bob"]}},
}


def backwards(_: str, hits: list[Any]) -> list[Any]:
    return hits[::-1]


def failing(_: str, hits: list[Any]) -> list[Any]:
    return hits[:1]


OPTIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "offset": {"offset": 3},
    "unique": {"unique": True},
    "diverse": {"diverse": 0.4},
    "very diverse": {"diverse": 1.0},
    "few tokens": {"max_tokens": 9},
    "no tokens": {"max_tokens": 0},
    "tokens by a counter": {"max_tokens": 7, "count_tokens": lambda text: len(text.split())},
    "reranked": {"rerank": backwards, "rerank_timeout": 60},
    "the best reranked": {"rerank": backwards, "rerank_timeout": 60, "rerank_limit": 4},
    "reranked in vain": {"rerank": failing, "rerank_timeout": 60},
    "weights": {"ranking": Ranking(meaning=0.2, words=0.5, session=0.3, asking=0.2)},
    "ranks": {"ranking": Ranking(fusion="rrf")},
    "a least score": {"min_score": 0.5},
    "all": {"unique": True, "diverse": 0.2, "max_tokens": 20, "rerank": backwards, "rerank_timeout": 60, "offset": 1},
}
# What cannot be asked of what has nothing to go by.
_WITHOUT = {("neither", "diverse"), ("neither", "rerank"), ("meaning", "rerank"), ("meaning in a memory", "rerank")}
CASES = [
    (query, options)
    for query in QUERIES
    for options, given in OPTIONS.items()
    if not any((query, key) in _WITHOUT for key in given)
]


@pytest.fixture
def ends(kind: str, open_provider: Callable[[str, str], Any]) -> list[Any]:
    """A provider of each end, with the same documents in two stores."""
    providers = [open_provider(kind, "PostgreSQL 18"), open_provider(kind, "MongoDB")]
    for provider in providers:
        provider.run_many([Call("delete_all", memory_type) for memory_type in MemoryType])
        for store in (FACTS, TURNS):
            provider.store_many(DOCUMENTS, store)
    return providers


def told(hits: Any) -> Any:
    """What a search answers, without what is each server's own: times, and the way of the search."""
    way = hits.explanation or {}
    return {
        "hits": [
            (
                hit["id"],
                {key: pytest.approx(hit[key], abs=1e-5) for key in ("score", "distance") if key in hit},
                hit.get("_equal"),
                {part: pytest.approx(value, abs=1e-5) for part, value in hit.get("_explanation", {}).items()},
                sorted(hit.keys() - {"created_at", "updated_at", "timestamp"}),
            )
            for hit in hits
        ],
        "left out": hits.left_out,
        "rerank failure": hits.rerank_failure,
        "chosen": {key: _timeless(way.get(key)) for key in ("unique", "diverse", "rerank", "cosines")},
    }


def _timeless(said: Any) -> Any:
    return {key: value for key, value in said.items() if key != "seconds"} if isinstance(said, dict) else said


def test_every_option_is_answered_alike(ends: list[Any]) -> None:
    """The same hits in the same order, with the same scores and parts of them, for each query with each option."""
    for store in (FACTS, TURNS):
        for query, name in CASES:
            asked = dict(OPTIONS[name])
            answers = [told(end.retrieve_by_query(QUERIES[query], store, 8, explain=True, **asked)) for end in ends]
            assert answers[0] == answers[1], (store.value, query, name)
            assert answers[0]["hits"] or name in ("a least score", "all"), (store.value, query, name)


def test_recall_is_answered_alike(ends: list[Any]) -> None:
    """Over all stores together, too."""
    for name, options in OPTIONS.items():
        if options.keys() <= {"unique", "diverse", "rerank", "rerank_limit", "rerank_timeout"}:
            answers = [told(end.recall("green", limit=8, **options)) for end in ends]
            assert answers[0] == answers[1], name


def test_explain_says_the_same_things(ends: list[Any]) -> None:
    """The route, why it was taken and which were tried; the rest is each server's own."""
    for query, asked in QUERIES.items():
        ways = [end.retrieve_by_query(asked, FACTS, 3, explain="plan").explanation for end in ends]
        for way in ways:
            assert {"route", "why", "tried", "cosines", "plan"} <= way.keys(), query
            assert way["tried"][-1] == way["route"]
            assert way["plan"]


def test_vectors_of_pieces_are_no_vector(ends: list[Any]) -> None:
    """In a store of one vector for each document a list of them is an error that says so, and nothing is stored."""
    for end in ends:
        with pytest.raises(InvalidDocument, match="embedding"):
            end.store({"id": "pieces", "content": "tea", "embedding": [EAST, EAST]}, FACTS)
        assert end.retrieve_by_id("pieces", FACTS) is None
