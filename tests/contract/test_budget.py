"""How many hits are returned where they are to fit into a number of tokens."""

from __future__ import annotations

from typing import Any

import pytest

from memorizz.errors import ConfigurationError
from memorizz.memory_provider.base import SearchOptions

STORE = "long_term_memory"


@pytest.fixture
def kept(api: Any) -> Any:
    """A provider with five documents of 20 characters, five tokens each."""
    api.store_many([{"id": f"t{n}", "content": f"tea in the garden {n}.", "memory_id": "m"} for n in range(5)], STORE)
    return api


QUERIES: list[Any] = ["tea", {"memory_id": "m"}]


@pytest.mark.parametrize("query", QUERIES, ids=["ranked", "filtered"])
@pytest.mark.parametrize(("tokens", "fitting"), [(0, 1), (4, 1), (5, 1), (9, 1), (10, 2), (24, 4), (25, 5), (10**9, 5)])
def test_as_many_as_fit(kept: Any, query: Any, tokens: int, fitting: int) -> None:
    """The best, at least one; and it says how many were left out."""
    every = kept.retrieve_by_query(query, STORE, 5)
    hits = kept.retrieve_by_query(query, STORE, 5, max_tokens=tokens)
    assert [hit["id"] for hit in hits] == [hit["id"] for hit in every][:fitting]
    assert hits.left_out == 5 - fitting


def test_without_a_number_none_is_left_out(kept: Any) -> None:
    """The limit alone decides."""
    hits = kept.retrieve_by_query("tea", STORE, 3)
    assert (len(hits), hits.left_out) == (3, 0)


def test_a_counter_of_ones_own(kept: Any) -> None:
    """It is given each text, and no more of them than are needed; a keyword wins over options."""
    seen: list[str] = []

    def words(text: str) -> int:
        seen.append(text)
        return len(text.split())

    options = SearchOptions(max_tokens=100, count_tokens=words)
    hits = kept.retrieve_by_query("tea", STORE, 5, options=options, max_tokens=12)
    assert (len(hits), hits.left_out, len(seen)) == (2, 3, 3)


def test_the_text_of_parts_is_counted(api: Any) -> None:
    """And a document without a content takes no room."""
    parts = [{"type": "text", "text": "tea " * 10}, {"type": "image", "url": "x" * 1000}]
    api.store_many([{"id": "a", "content": parts}, {"id": "b", "name": "b"}, {"id": "c", "content": "tea"}], STORE)
    hits = api.retrieve_by_query({}, STORE, 5, max_tokens=10)
    assert ([hit["id"] for hit in hits], hits.left_out) == (["a", "b"], 1)


def test_what_is_left_out_is_not_touched(kept: Any) -> None:
    """Only what is returned was accessed."""
    kept.retrieve_by_query({"memory_id": "m"}, STORE, 5, max_tokens=10, touch=True)
    assert kept.count(STORE, {"access_count": 1}) == 2


def test_a_counter_that_fails_says_so(kept: Any) -> None:
    """What it raises is raised, and what it returns must be a number of tokens."""

    def broken(text: str) -> int:
        raise ZeroDivisionError(text)

    with pytest.raises(ZeroDivisionError):
        kept.retrieve_by_query("tea", STORE, 5, max_tokens=10, count_tokens=broken)
    for wrong in (-1, None, 1.5, True, "5"):
        with pytest.raises(ConfigurationError, match="count_tokens returned"):
            kept.retrieve_by_query("tea", STORE, 5, max_tokens=10, count_tokens=lambda _, wrong=wrong: wrong)


async def _awaited(text: str) -> int:
    return len(text)


@pytest.mark.parametrize(
    "options",
    [{"max_tokens": -1}, {"max_tokens": 1.5}, {"max_tokens": True}, {"max_tokens": "9"}, {"count_tokens": len}]
    + [{"max_tokens": 9, "count_tokens": wrong} for wrong in (9, _awaited)],
    ids=["negative", "fraction", "flag", "text", "no-number", "no-function", "awaited"],
)
def test_what_is_no_budget(kept: Any, options: dict[str, Any]) -> None:
    """A number that is none, a counter without a number, one that is no function and one that must be awaited."""
    with pytest.raises(ConfigurationError, match="_tokens"):
        kept.retrieve_by_query("tea", STORE, 5, **options)
