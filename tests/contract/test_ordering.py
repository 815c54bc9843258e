"""order_by, offset and where."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cmp_to_key
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from documents import numbers, texts
from filtering import ZOO, filters, look_up
from memorizz.errors import ConfigurationError, FilterError
from memorizz.memory_provider.base import SearchOptions
from memorizz.memory_provider.memory_type import MemoryType

LONG, TURNS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY
DAY = timedelta(days=1)
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
ALL = 1000
MAX_LIMIT = 1_000_000_000

few = settings(max_examples=25)


def ids(documents: Any) -> str:
    return "".join(each["id"] for each in documents)


# --- order_by -----------------------------------------------------------------------------------------------------


def in_order(documents: list[dict[str, Any]], order_by: str) -> list[str]:
    """Return the ids in order, one rule of the contract per line."""
    key, sign = order_by.removeprefix("-"), -1 if order_by.startswith("-") else 1

    def kind(value: Any) -> int:
        if isinstance(value, bool):
            return 3
        return 1 if isinstance(value, int | float | datetime) else 2 if isinstance(value, str) else 4

    def compare(one: tuple[int, Any], other: tuple[int, Any]) -> int:
        (place, left), (other_place, right) = one, other
        first, second = kind(left), kind(right)
        if first != second and 4 in (first, second):
            return first - second
        if first != second:
            return sign * (first - second)
        if first == 1 and not isinstance(left, datetime):
            left, right = Decimal(repr(left)), Decimal(repr(right))
        if first != 4 and left != right:
            return sign * (1 if left > right else -1)
        return sign * (place - other_place)

    held = enumerate(look_up(each, key) for each in documents)
    return [documents[place]["id"] for place, _ in sorted(held, key=cmp_to_key(compare))]


def test_documents_come_in_the_order_of_a_key(api: Any) -> None:
    """Numbers, texts by code point, booleans; what has no order comes last, also in the other direction."""
    held: dict[str, Any] = {"a": 25, "b": 7.5, "c": "b", "d": "Z", "e": True, "f": None, "g": ["a"], "h": 7, "i": False}
    api.store_many([{"id": id, "n": value} for id, value in held.items()] + [{"id": "j"}], LONG)
    assert ids(api.retrieve_by_query({}, LONG, ALL, order_by="n")) == "hbadciefgj"
    assert ids(api.retrieve_by_query({}, LONG, ALL, order_by="-n")) == "eicdabhjgf"
    assert ids(api.retrieve_by_query({"n": {"$gt": 0}}, LONG, 2, order_by="-n")) == "ab"
    assert ids(api.list_all(LONG, order_by="-n")) == "eicdabhjgf"


def test_the_newest_come_first_when_asked(api: Any) -> None:
    """-created_at turns the order round, of the same time too; so does any other key of a time or a number."""
    api.store_many([{"id": id, "created_at": FIRST + n // 2 * DAY} for n, id in enumerate("abcdef")], LONG)
    assert ids(api.retrieve_by_query({}, LONG, 3, order_by="-created_at")) == "fed"
    assert ids(api.retrieve_by_query({}, LONG, ALL, order_by="created_at")) == "abcdef"
    for id, count in (("a", 5), ("c", 1), ("d", 9)):
        api.update_by_id(id, {"access_count": count, "last_accessed": FIRST + count * DAY}, LONG)
    for key in ("access_count", "last_accessed"):
        assert ids(api.retrieve_by_query({}, LONG, ALL, order_by=key)) == "cadbef"
        assert ids(api.retrieve_by_query({}, LONG, ALL, order_by=f"-{key}")) == "dacfeb"


def test_turns_come_in_the_order_of_their_time(api: Any) -> None:
    """The times of a timeline, to the microsecond."""
    moments = [FIRST + timedelta(microseconds=n) for n in (5, 3, 9, 1)]
    api.store_many([{"id": id, "timestamp": moment} for id, moment in zip("abcd", moments, strict=True)], TURNS)
    assert ids(api.retrieve_by_query({}, TURNS, ALL, order_by="timestamp")) == "dbac"
    assert ids(api.retrieve_by_query({}, TURNS, 2, order_by="-timestamp")) == "ca"


@few
@given(held=st.lists(st.none() | st.booleans() | numbers | texts | st.lists(texts, max_size=2), max_size=12),
       key=st.sampled_from(["n", "metadata.a", "a.b'%s", "-n", "-metadata.a"]))  # fmt: skip
def test_any_values_have_one_order(api: Any, held: list[Any], key: str) -> None:
    """The same on every provider, whatever is stored."""
    api.delete_all(LONG)
    steps = key.removeprefix("-").split(".")
    documents = [{"id": str(n), steps[0]: {steps[1]: value} if steps[1:] else value} for n, value in enumerate(held)]
    api.store_many(documents, LONG)
    found = [each["id"] for each in api.retrieve_by_query({}, LONG, ALL, order_by=key)]
    assert found == in_order(documents, key)


@pytest.mark.parametrize("key", ["id", "name", "importance_score", "content"])
def test_columns_have_the_order_of_their_values(api: Any, key: str) -> None:
    """Also the id, by its text as it was given."""
    api.store_many(ZOO, LONG)
    held = {each["id"]: each for each in api.list_all(LONG)}
    documents = [held[each["id"]] for each in ZOO]
    for order_by in (key, f"-{key}"):
        found = [each["id"] for each in api.retrieve_by_query({}, LONG, ALL, order_by=order_by)]
        assert found == in_order(documents, order_by)


@pytest.mark.parametrize("order_by", ["", "-", 5, "embedding", "-embedding", True])
def test_an_order_is_a_key(api: Any, order_by: Any) -> None:
    """What is none is refused, before anything is read."""
    with pytest.raises(ConfigurationError, match="order_by"):
        api.retrieve_by_query({}, LONG, order_by=order_by)
    with pytest.raises(ConfigurationError, match="order_by"):
        api.list_all(LONG, order_by=order_by)


@pytest.mark.parametrize("query", ["tea", {"embedding": [1, 0, 0, 0]}, {"$text": {"$search": "tea"}}])
def test_what_ranks_has_its_own_order(api: Any, query: Any) -> None:
    """Another one beside it is a contradiction, however many are wanted."""
    with pytest.raises(ConfigurationError, match="ranks"):
        api.retrieve_by_query(query, LONG, 0, order_by="name")


# --- distinct -----------------------------------------------------------------------------------------------------


def test_distinct_lists_each_value_once(api: Any) -> None:
    """Numbers, texts, booleans and lists, in order; None, what is missing and objects are left out."""
    held = [25, "b", 7, True, None, ["b"], "B", 7.0, ["a", "b"], ["a"], {"x": 1}, "b", ["a", "c"], False, -(2**80)]
    api.store_many([*({"n": value} for value in held), {}], LONG)
    wanted = [-(2**80), 7, 25, "B", "b", False, True, ["a"], ["a", "b"], ["a", "c"], ["b"]]
    assert api.distinct(LONG, "n") == wanted
    assert api.distinct(LONG, "n", None, 3, 2) == wanted[2:5]
    assert api.distinct(LONG, "n", {"n": {"$prefix": ["a"]}}) == wanted[7:10]
    assert api.distinct(LONG, "n", depth=1) == [*wanted[:8], ["b"]]
    assert api.distinct(LONG, "n", limit=0) == api.distinct(LONG, "n", offset=11) == api.distinct(LONG, "x") == []


def test_distinct_of_columns(api: Any) -> None:
    """Texts by code point, numbers, times to the microsecond, ids as they were given."""
    moments = [FIRST + timedelta(microseconds=n) for n in (2, 1, 2)]
    api.store_many(
        [
            {"id": id, "name": name, "importance_score": n, "last_accessed": moment, "metadata": {"a": {"b": n}}}
            for id, name, n, moment in zip("xyz", ["a", "Z", "a"], [2.5, 1.0, 2.5], moments, strict=True)
        ],
        LONG,
    )
    assert api.distinct(LONG, "name") == ["Z", "a"]
    assert api.distinct(LONG, "importance_score") == api.distinct(LONG, "metadata.a.b") == [1.0, 2.5]
    assert api.distinct(LONG, "last_accessed") == moments[1::-1]
    assert api.distinct(LONG, "id", {"name": "a"}) == ["x", "z"]


def test_distinct_of_a_column_leaves_out_what_has_expired(api: Any) -> None:
    """Whether anything expires or not, each value stands once, in order, on every page."""
    api.store_many([{"name": name} for name in ("d", "b", "b")], LONG)
    assert api.distinct(LONG, "name") == ["b", "d"]
    api.store_many([{"name": name, "expires_at": "2020-01-01"} for name in ("a", "b", "e")], LONG)
    assert api.distinct(LONG, "name") == ["b", "d"]
    api.store_many([{"name": name, "ttl": 3600} for name in ("c", "d")], LONG)
    assert api.distinct(LONG, "name") == ["b", "c", "d"]
    assert api.distinct(LONG, "name", {"name": {"$gt": "b"}}, 1, 1) == ["d"]


def test_distinct_lists_namespaces(api: Any) -> None:
    """Whole segments of a prefix and a suffix, any segment in between, to a depth: whatever the segments hold."""
    spaces = [("a", "b", "c"), ("a", "b"), ("ab", "c"), ("a", "x", "c"), ("a.b", "%", "'"), ("", "_"), ("a",)]
    api.store_many([{"metadata": {"space": space}, "n": n} for space in spaces for n in range(2)], LONG)

    def listed(filter: Any, depth: int | None = None) -> list[Any]:
        return [tuple(each) for each in api.distinct(LONG, "metadata.space", {"metadata.space": filter}, depth=depth)]

    one = {"$exists": True}
    assert listed({"$prefix": []}) == sorted(spaces)
    assert listed({"$prefix": ["a"]}) == [("a",), ("a", "b"), ("a", "b", "c"), ("a", "x", "c")]
    assert listed({"$prefix": ["a", one, "c"]}) == [("a", "b", "c"), ("a", "x", "c")]
    assert listed({"$suffix": ["b", one]}) == [("a", "b", "c")]
    assert listed({"$suffix": ["c"], "$prefix": ["a"]}) == [("a", "b", "c"), ("a", "x", "c")]
    assert listed({"$prefix": ["a.b", "%"]}) == [("a.b", "%", "'")]
    assert listed({"$suffix": ["_"]}) == [("", "_")]
    assert listed({"$prefix": ["a"]}, depth=2) == [("a",), ("a", "b"), ("a", "x")]


@few
@given(held=st.lists(st.lists(texts, max_size=4), max_size=10), depth=st.integers(1, 3))
def test_distinct_is_what_a_set_holds(api: Any, held: list[list[str]], depth: int) -> None:
    """Any lists of texts, cut and sorted as Python does it."""
    api.delete_all(LONG)
    api.store_many([{"n": value} for value in held], LONG)
    assert api.distinct(LONG, "n", depth=depth) == [list(each) for each in sorted({tuple(v[:depth]) for v in held})]


def test_distinct_orders_lists_by_their_elements(api: Any) -> None:
    """An element that begins another one comes first, whatever follows it, and characters of every kind count."""
    held = [[], [""], ["", "a"], ["a"], ["a", "z"], ["a\x01"], ["a\x01", "b"], ["a\x01\x02"], ["a\x02"], ["a\x02\x01"],
            ["a\x03"], ["a b"], ["a\"", "b"], ["a-b"], ["a\\"], ["é"], ["\U0001f600"]]  # fmt: skip
    api.store_many([{"n": value} for value in reversed(held)], LONG)
    assert api.distinct(LONG, "n") == sorted(held)


@pytest.mark.parametrize(("key", "keywords", "error"), [
    ("", {}, FilterError), (None, {}, FilterError), ("embedding", {}, FilterError), (5, {}, FilterError),
    ("n", {"filter": {"$near": 1}}, FilterError), ("n", {"limit": -1}, ConfigurationError),
    ("n", {"offset": "1"}, ConfigurationError), ("n", {"depth": 0}, ConfigurationError),
])  # fmt: skip
def test_distinct_takes_a_key_and_numbers(api: Any, key: Any, keywords: Any, error: type[Exception]) -> None:
    """What is none is refused."""
    with pytest.raises(error):
        api.distinct(LONG, key, **keywords)


def test_a_prefix_begins_and_a_suffix_ends(api: Any) -> None:
    """A text or a list, whole: not in between, nothing of another kind, and no character means another one."""
    texts = ["", "ab", "aba", "bab", "cabc", "a%", "a_"]
    lists: list[Any] = [["ab"], ["ab", "x"], ["x", "ab"], ["x", "ab", "x"], []]
    api.store_many([{"n": value, "name": value} for value in texts], LONG)
    api.store_many([{"n": value} for value in [*lists, {"0": "ab"}, 5, None]], LONG)

    def found(key: str, operator: str, operand: Any) -> list[Any]:
        return [each["n"] for each in api.retrieve_by_query({key: {operator: operand}}, LONG, 50)]

    for key in ("n", "name"):
        assert found(key, "$prefix", "ab") == ["ab", "aba"]
        assert found(key, "$suffix", "ab") == ["ab", "bab"]
        assert found(key, "$suffix", "%") == ["a%"]
        assert found(key, "$prefix", "a_") == ["a_"]
        assert found(key, "$prefix", "") == found(key, "$suffix", "") == texts
    assert found("n", "$prefix", ["ab"]) == lists[:2]
    assert found("n", "$suffix", ["ab"]) == [["ab"], ["x", "ab"]]
    assert found("n", "$prefix", []) == found("n", "$suffix", []) == lists
    assert found("n", "$prefix", [{"$exists": True}]) == lists[:4]


@pytest.mark.parametrize("operand", [None, 5, {"a": 1}, {"a"}, True, Decimal(1)])
@pytest.mark.parametrize("operator", ["$prefix", "$suffix"])
def test_a_prefix_is_a_text_or_a_list(api: Any, operator: str, operand: Any) -> None:
    """Anything else is refused; under an id, a list is."""
    for filter in ({"n": {operator: operand}}, {"id": {operator: ["a"]}}, {"memory_id": {operator: ["a"]}}):
        with pytest.raises(FilterError, match="a text"):
            api.count(LONG, filter)


# --- offset -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", [{}, {"n": {"$gte": 0}}, "tea", {"embedding": [1, 0, 0, 0]},
                                   {"embedding": [1, 0, 0, 0], "n": {"$gte": 0}}])  # fmt: skip
def test_pages_make_up_the_whole(api: Any, query: Any) -> None:
    """Every hit is on one page, in the order of the whole answer; behind the last page is nothing."""
    api.store_many(
        [{"id": chr(97 + n), "n": n, "content": "tea " * (n + 1), "embedding": [1, n, 0, 0]} for n in range(7)], LONG
    )
    whole = ids(api.retrieve_by_query(query, LONG, ALL))
    assert len(whole) == 7
    for size in (1, 3, 7):
        pages = [ids(api.retrieve_by_query(query, LONG, size, offset=start)) for start in range(0, 9, size)]
        assert "".join(pages) == whole
    assert ids(api.retrieve_by_query(query, LONG, 2, options=SearchOptions(offset=6))) == whole[6:]
    assert ids(api.retrieve_by_query(query, LONG, MAX_LIMIT, offset=4)) == whole[4:]
    assert api.retrieve_by_query(query, LONG, 5, offset=MAX_LIMIT) == []
    assert api.retrieve_by_query(query, LONG, 5, offset=7) == api.retrieve_by_query(query, LONG, 0, offset=1) == []


def test_a_page_of_an_order(api: Any) -> None:
    """An offset counts in the order that was asked for."""
    api.store_many([{"id": id, "n": n} for n, id in enumerate("abcdef")], LONG)
    assert ids(api.retrieve_by_query({}, LONG, 2, order_by="-n", offset=2)) == "dc"


def test_only_the_page_is_touched(api: Any) -> None:
    """What was left out was not read."""
    api.store_many([{"id": id, "content": "tea", "n": n} for n, id in enumerate("abc")], LONG)
    api.retrieve_by_query({}, LONG, 1, offset=1, touch=True)
    (hit,) = api.retrieve_by_query("tea", LONG, 1, offset=1, touch=True)
    counts = [each.get("access_count") for each in api.list_all(LONG)]
    assert counts == [None, 2, None]
    assert hit["id"] == "b"


@pytest.mark.parametrize("offset", [-1, 1.5, "1", None, True, 10**10])
def test_an_offset_is_a_number(api: Any, offset: Any) -> None:
    """Anything else is refused."""
    with pytest.raises(ConfigurationError, match="offset"):
        api.retrieve_by_query({}, LONG, offset=offset)


# --- where --------------------------------------------------------------------------------------------------------


def test_a_question_takes_a_filter_beside_it(api: Any) -> None:
    """A str and a dict alike; both must hold, and neither is changed."""
    api.store_many([{"id": f"{who}{n}", "who": who, "content": "tea", "n": n} for who in "ab" for n in range(3)], LONG)
    assert {each["id"] for each in api.retrieve_by_query("tea", LONG, ALL, where={"who": "a"})} == {"a0", "a1", "a2"}
    query, where = {"n": {"$lt": 2}, "limit": 5}, {"who": "b", "n": {"$gt": 0}}
    assert ids(api.retrieve_by_query(query, LONG, where=where)) == "b1"
    assert (query, where) == ({"n": {"$lt": 2}, "limit": 5}, {"who": "b", "n": {"$gt": 0}})
    assert len(api.retrieve_by_query("tea", LONG, ALL, where={})) == 6
    # In a filter of its own, this is a key.
    assert api.retrieve_by_query({}, LONG, ALL, where={"limit": 1}) == []


@few
@given(query=filters(ZOO), where=filters(ZOO))
def test_no_query_widens_where(api: Any, query: dict[str, Any], where: dict[str, Any]) -> None:
    """What is found is what both match, whatever keys and operators they share."""
    if api.count(LONG) != len(ZOO):
        api.delete_all(LONG)
        api.store_many(ZOO, LONG)
    found = {each["id"] for each in api.retrieve_by_query(query, LONG, ALL, where=where)}
    one, other = ({each["id"] for each in api.iterate(LONG, filter)} for filter in (query, where))
    assert found == one & other


@pytest.mark.parametrize("where", ["a", ["a"], 5, {"$text": {"$search": "tea"}}, {"embedding": [1, 0, 0, 0]},
                                   {"a": {"$near": 5}}])  # fmt: skip
def test_where_is_a_filter(api: Any, where: Any) -> None:
    """What ranks, what is malformed and what is no dict is refused."""
    with pytest.raises(FilterError):
        api.retrieve_by_query("tea", LONG, where=where)
