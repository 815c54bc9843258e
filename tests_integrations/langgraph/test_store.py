"""MemorizzStore: what LangGraph asks of a store, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest
from langchain_core.embeddings import Embeddings
from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore
from letters import DIMENSIONS, embed

from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.errors import ConfigurationError, DimensionMismatch, FilterError, InvalidDocument
from memorizz.importers import import_file
from memorizz.integrations.langgraph import MemorizzStore

Opened = Callable[..., MemorizzStore]
INDEX: dict[str, Any] = {"dims": DIMENSIONS, "embed": embed, "fields": ["text"]}
HARD_LABELS = ["100%", "under_score", "quo'te\"s", " ", "[x]", "sha256:x", "é", "a\\b", "*", "tab\t", "a-b", "\2\1"]


def keys(items: Any) -> list[str]:
    return [item.key for item in items]


# --- items --------------------------------------------------------------------------------------------------------


def test_an_item_comes_back_as_it_went_in(store: MemorizzStore) -> None:
    """Value, key, namespace and times; a missing item is None; a number's key is its text."""
    value = {"text": "tea", "n": 1, "f": 1e23, "none": None, "list": [1, {"a.b": [True]}], "a.b": 1, "50%2E": {"": 2}}
    store.put(("users", "1"), "k", value)
    item = store.get(("users", "1"), "k")
    assert item is not None
    assert (item.value, item.key, item.namespace) == (value, "k", ("users", "1"))
    assert item.created_at == item.updated_at
    assert item.created_at.tzinfo is not None
    assert store.get(("users", "1"), "other") is None
    assert store.get(("users",), "k") is None
    store.put(("users", "1"), 7, {"n": 7})  # type: ignore[arg-type]
    seven = store.get(("users", "1"), "7")
    assert seven is not None
    assert seven.value == {"n": 7}


def test_items_that_were_imported_are_read(store: MemorizzStore, tmp_path: Path) -> None:
    """Those of a SqliteStore, by namespace and key, with their times; a put replaces one."""
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        connection.execute("CREATE TABLE store (prefix text, key text, value text, created_at text, updated_at text)")
        value = '{"text": "tea", "a.b": {"c": [1, 2.5, null]}}'
        row = ("users.ada", "prefs", value, "2026-01-30 03:14:27", "2026-01-31 03:14:27")
        connection.execute("INSERT INTO store VALUES (?, ?, ?, ?, ?)", row)
        connection.commit()
    assert import_file(tmp_path / "store.db", store.provider).ok
    item = store.get(("users", "ada"), "prefs")
    assert item is not None
    assert item.value == {"text": "tea", "a.b": {"c": [1, 2.5, None]}}
    assert item.created_at.isoformat() == "2026-01-30T03:14:27+00:00"
    assert keys(store.search(("users",))) == ["prefs"]
    assert store.list_namespaces() == [("users", "ada")]
    store.put(("users", "ada"), "prefs", {"text": "coffee"})
    changed = store.get(("users", "ada"), "prefs")
    assert changed is not None
    assert (changed.value, changed.created_at) == ({"text": "coffee"}, item.created_at)


def test_a_put_replaces_the_value_and_keeps_when_it_was_made(store: MemorizzStore) -> None:
    """Keys of the value before are gone, created_at stays, updated_at moves."""
    store.put(("a",), "k", {"old": 1, "both": 1})
    before = store.get(("a",), "k")
    store.put(("a",), "k", {"both": 2})
    after = store.get(("a",), "k")
    assert before is not None
    assert after is not None
    assert after.value == {"both": 2}
    assert after.created_at == before.created_at
    assert after.updated_at > before.updated_at


def test_nobody_changes_what_is_stored_by_changing_a_copy(store: MemorizzStore) -> None:
    """Neither the value that was given nor one that was returned is the stored one."""
    value: dict[str, Any] = {"list": [1]}
    store.put(("a",), "k", value)
    value["list"].append(2)
    for item in (store.get(("a",), "k"), store.search(("a",))[0]):
        assert item is not None
        assert item.value == {"list": [1]}
        item.value["list"].append(3)
    assert store.search(())[0].value == {"list": [1]}


def test_a_deleted_item_is_gone(store: MemorizzStore) -> None:
    """delete, and a put of None, delete; what is not there may be deleted."""
    for key in "abc":
        store.put(("n",), key, {})
    store.delete(("n",), "a")
    store.batch([PutOp(("n",), "b", None), PutOp(("n",), "none", None)])
    assert keys(store.search(())) == ["c"]


def test_a_batch_sees_what_was_there_before_it(store: MemorizzStore) -> None:
    """Results line up with the operations and show nothing of the batch's own puts, of which the last of a key wins."""
    store.put(("a",), "k", {"n": 0})
    put = [PutOp(("a",), "k", {"n": 1}), PutOp(("a",), "new", {"n": 1}), PutOp(("a",), "k", {"n": 2})]
    results = store.batch([
        put[0], GetOp(("a",), "k"), put[1], SearchOp(("a",)), GetOp(("a",), "new"), put[2], ListNamespacesOp(),
        PutOp(("b",), "k", {}), GetOp(("a",), "k", refresh_ttl=False),
    ])  # fmt: skip
    first, found, second = results[1], results[3], results[8]
    assert [each is None for each in results] == [True, False, True, False, True, True, False, True, False]
    assert first.value == second.value == {"n": 0}  # type: ignore[union-attr]
    assert keys(found) == ["k"]
    assert results[6] == [("a",)]
    assert {item.key: item.value["n"] for item in store.search(("a",))} == {"k": 2, "new": 1}
    assert store.batch([]) == []


def test_a_batch_is_put_whole_or_not_at_all(store: MemorizzStore) -> None:
    """Where one value cannot be kept, none of the batch is."""
    with pytest.raises(InvalidDocument, match="value"):
        store.batch([PutOp(("a",), "k", {"n": 1}), PutOp(("a",), "bad", {"n": object()})])
    assert store.search(()) == []


def test_the_async_methods_do_the_same(indexed: MemorizzStore) -> None:
    """Each async method does what its twin does, on the same object."""

    async def use() -> None:
        await indexed.aput(("a", "b"), "k", {"text": "tea"})
        await indexed.aput(("a", "c"), "k", {"text": "zzz"})
        item = await indexed.aget(("a", "b"), "k")
        assert item == indexed.get(("a", "b"), "k")
        assert [each.namespace for each in await indexed.asearch(("a",), query="tea")] == [("a", "b"), ("a", "c")]
        assert await indexed.alist_namespaces(prefix=("a",)) == [("a", "b"), ("a", "c")]
        await indexed.adelete(("a", "b"), "k")
        assert await indexed.aget(("a", "b"), "k") is None

    asyncio.run(use())


# --- search -------------------------------------------------------------------------------------------------------


def test_search_finds_what_is_in_a_namespace_and_below(store: MemorizzStore) -> None:
    """Whole labels: "user" is not above "users"; the empty prefix is everything; the newest put comes first."""
    for namespace in [("users",), ("users", "1"), ("users", "10"), ("user",), ("users", "1", "x")]:
        store.put(namespace, "/".join(namespace), {})
    assert keys(store.search(("users", "1"))) == ["users/1/x", "users/1"]
    assert keys(store.search(("user",))) == ["user"]
    assert len(store.search(())) == 5
    store.put(("users",), "users", {"again": True})
    assert keys(store.search(("users",))) == ["users", "users/1/x", "users/10", "users/1"]


def test_limit_and_offset_count_items(store: MemorizzStore) -> None:
    """0 is none, more than there are is all; an offset goes on where a page ended."""
    for number in range(5):
        store.put(("a",), str(number), {})
    assert store.search(("a",), limit=0) == []
    assert keys(store.search(("a",), limit=2)) == ["4", "3"]
    assert keys(store.search(("a",), limit=2, offset=2)) == ["2", "1"]
    assert keys(store.search(("a",), limit=100, offset=4)) == ["0"]
    assert store.search(("a",), offset=9) == []


FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({"n": 25}, ["25"]),
    ({"n": {"$eq": 25.0}}, ["25"]),
    ({"n": {"$ne": 25}}, ["100", "26", "7", "no", "none", "text"]),
    ({"n": {"$gt": 25}}, ["100", "26"]),
    ({"n": {"$gt": 7, "$lt": 100}}, ["25", "26"]),
    ({"n": {"$gte": 25, "$lte": 26}}, ["25", "26"]),
    ({"n": {"$gt": "2"}}, ["text"]),
    ({"n": "25"}, ["text"]),
    ({"n": None}, ["no", "none"]),
    ({"n": {"$ne": None}}, ["100", "25", "26", "7", "text"]),
    ({"o": {"p": 1}}, ["7"]),
    ({"o": {"p": 1, "q": {"r": [1, 2]}}}, ["7"]),
    ({"o": {"q": {"r": [1]}}}, []),
    ({"o": {"p": {"$gt": 0}}}, ["25", "7"]),
    ({"o": {"none": None}}, ["25", "7"]),
    ({"o": {"p": {"$ne": 1}}}, ["25"]),
    ({"o": {"p": {"none": None}}}, []),
    ({"o": {"0": 1}}, []),
    ({"o": {}}, ["25", "7"]),
    ({"o.p": 1}, []),
    ({"a.b": 1}, ["26"]),
    ({"a.b": 1, "n": 26}, ["26"]),
    ({"list": [1, 2]}, ["100"]),
    ({"list": [2, 1]}, []),
    ({"list": 1}, []),
    ({"100%": True}, ["100"]),
    ({"100%": 1}, []),
    ({}, ["100", "25", "26", "7", "no", "none", "text"]),
]


@pytest.mark.parametrize(("filter", "expected"), FILTERS)
@pytest.mark.parametrize("query", [None, "text"])
def test_a_filter_compares_values_of_one_kind(
    indexed: MemorizzStore, filter: dict[str, Any], expected: list[str], query: str | None
) -> None:
    """Numbers with numbers, texts with texts, None with what is missing too, nested dicts key by key, lists whole."""
    values: dict[str, dict[str, Any]] = {
        "7": {"n": 7, "o": {"p": 1, "q": {"r": [1, 2]}}},
        "25": {"n": 25, "o": {"p": 2}},
        "26": {"n": 26, "a.b": 1, "a": {"b": 2}},
        "100": {"n": 100, "list": [1, 2], "100%": True, "o": [1]},
        "text": {"n": "25", "o": "p"},
        "none": {"n": None, "o": None},
        "no": {},
    }
    indexed.batch([PutOp(("f",), key, value | {"text": f"a text of {key}"}) for key, value in values.items()])
    assert sorted(keys(indexed.search(("f",), filter=filter, query=query, limit=20))) == expected


def test_filters_match_what_they_match_in_the_reference(store: MemorizzStore) -> None:
    """Random values and filters, nested: the same items as in LangGraph's InMemoryStore."""
    random = Random(14)
    reference = InMemoryStore()

    def value(depth: int) -> Any:
        if depth == 0 or random.random() < 0.5:
            return random.choice([None, 0, 1, 2.5, "", "x", [], [1], ["x", None]])
        return {name: value(depth - 1) for name in random.sample("ab0", random.randint(0, 2))}

    def wanted(depth: int) -> Any:
        found = value(0) if depth == 0 or random.random() < 0.3 else {random.choice("ab0"): wanted(depth - 1)}
        return (
            {random.choice(["$eq", "$ne"]): found} if random.random() < 0.3 and not isinstance(found, dict) else found
        )

    puts = [PutOp(("a",), str(key), {"a": value(2), "b": value(2)}) for key in range(60)]
    store.batch(puts)
    reference.batch(puts)
    for _ in range(150):
        filter = {random.choice("ab"): wanted(2) if random.random() < 0.95 else {}}
        found = (sorted(keys(each.search(("a",), filter=filter, limit=100))) for each in (store, reference))
        assert next(found) == next(found), filter


def test_an_unknown_operator_is_an_error(store: MemorizzStore) -> None:
    """It is a ValueError that names those there are, also beside plain keys."""
    store.put(("a",), "k", {"n": 1})
    for wrong in ({"n": {"$in": [1]}}, {"n": {"$gt": 0, "plain": 1}}, {"o": {"n": {"$regex": "x"}}}):
        with pytest.raises(ValueError, match=r"\$gte"):
            store.search(("a",), filter=wrong)
    with pytest.raises(FilterError, match="dot"):
        store.search(("a",), filter={"o": {"a.b": 1}})


def test_items_without_a_vector_follow_with_no_score(indexed: MemorizzStore) -> None:
    """By meaning the nearest is first, its score the cosine; what has no vector comes last, and pages go over both."""
    for key, text in (("tea", "green tea"), ("bike", "my bike"), ("teas", "teas")):
        indexed.put(("a",), key, {"text": text})
    indexed.put(("a",), "plain", {"n": 1})
    indexed.put(("a",), "hidden", {"text": "tea"}, index=False)
    found = indexed.search(("a",), query="teas")
    assert keys(found) == ["teas", "tea", "bike", "hidden", "plain"]
    assert [item.score is None for item in found] == [False, False, False, True, True]
    assert found[0].score == pytest.approx(1)
    assert sorted((item.score or 0 for item in found), reverse=True) == [item.score or 0 for item in found]
    for limit, offset in product(range(7), range(7)):
        page = indexed.search(("a",), query="teas", limit=limit, offset=offset)
        assert keys(page) == keys(found[offset : offset + limit]), (limit, offset)


def test_a_put_without_an_index_deletes_the_vector(indexed: MemorizzStore) -> None:
    """An item is not found by a text that it no longer has, nor by one that is not to be found."""
    for again in ({"value": {"text": "tea"}, "index": False}, {"value": {"n": 1}}, {"value": {"text": " "}}):
        indexed.put(("a",), "k", {"text": "tea"})
        assert indexed.search(("a",), query="tea")[0].score is not None
        indexed.put(("a",), "k", **again)
        assert indexed.search(("a",), query="tea")[0].score is None
    indexed.put(("a",), "k", {"text": "x", "other": "tea"}, index=["other"])
    assert indexed.search(("a",), query="tea")[0].score == pytest.approx(1)


def test_an_item_scores_by_the_best_of_its_texts(opened: Opened, dsn: str) -> None:
    """Each text of several paths has its vector; an item is found once, by the best, and only by texts it still has."""
    store = opened(index=INDEX | {"fields": ["title", "notes[*].body"]})
    notes = [{"body": text} for text in ("bike", "green tea", "xyz")]
    store.put(("a",), "many", {"title": "q", "notes": notes})
    store.put(("a",), "one", {"title": "bikes"})
    store.put(("a",), "none", {})
    for query, expected in (("green tea", ["many", "one", "none"]), ("bikes", ["one", "many", "none"])):
        for limit in range(1, 5):
            found = store.search(("a",), query=query, limit=limit)
            assert keys(found) == expected[:limit]
            assert found[0].score == pytest.approx(1)
    assert keys(store.search((), query="tea", limit=1, offset=1)) == ["one"]
    assert keys(store.search(())) == ["none", "one", "many"]
    assert keys(store.search((), query="green tea", filter={"title": "q"})) == ["many"]
    store.put(("a",), "many", {"title": "bike", "notes": notes[:1]})
    assert store.search((), query="green tea")[0].score < 0.9  # type: ignore[operator]
    store.put(("a",), "many", {"title": "q", "notes": notes}, index=["notes[1].body", "notes[2].body"])
    assert store.search((), query="q")[0].score < 0.9  # type: ignore[operator]
    store.delete(("a",), "many")
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM langgraph_items WHERE data ? 'key'").fetchone() == (2,)


def test_a_search_that_cannot_be_embedded_says_so(opened: Opened) -> None:
    """What an embedder raises reaches the caller, and vectors of another length are refused with both lengths."""

    def fails(texts: list[str]) -> list[list[float]]:
        raise RuntimeError("no model")

    failing = opened(index={"dims": 4, "embed": fails})
    with pytest.raises(RuntimeError, match="no model"):
        failing.search((), query="x")
    with pytest.raises(RuntimeError, match="no model"):
        failing.put(("a",), "k", {"text": "x"})
    longer = opened(index={"dims": 4, "embed": lambda texts: [[1.0] * 5 for _ in texts]})
    with pytest.raises(DimensionMismatch, match="5"):
        longer.put(("a",), "k", {"text": "x"})
    with pytest.raises(DimensionMismatch, match="5"):
        longer.search((), query="x")
    fewer = opened(index={"dims": 4, "embed": lambda texts: []})
    with pytest.raises(ConfigurationError, match="0 vectors for 1"):
        fewer.put(("a",), "k", {"text": "x"})
    assert failing.search(()) == []


@pytest.mark.parametrize(
    ("options", "index", "best"),
    [
        ({}, "hnsw", 1.0),
        ({"distance_type": "cosine", "ann_index_config": {"vector_type": "halfvec"}}, "hnsw", 1.0),
        ({"distance_type": "l2", "ann_index_config": {"kind": "hnsw", "vector_type": "vector"}}, "hnsw", 1.0),
        ({"distance_type": "inner_product", "ann_index_config": {"kind": "flat"}}, None, 4.0),
    ],
)
def test_the_index_is_as_it_is_configured(
    opened: Opened, dsn: str, options: dict[str, Any], index: str | None, best: float
) -> None:
    """Distance, vector type and kind of LangGraph's PostgresStore are kept as said, and more is better in each."""
    store = opened(index={"dims": 3, "embed": lambda texts: [[float(len(text)), 0, 0] for text in texts]} | options)
    store.put(("a",), "k", {"t": 1}, index=["t"])
    store.put(("a",), "k", {"t": "xx"}, index=["t"])
    found = store.search((), query="xx")
    assert found[0].score == pytest.approx(best)
    with psycopg.connect(dsn) as connection:
        definitions = connection.execute(
            "SELECT indexdef FROM pg_indexes WHERE tablename = 'langgraph_items' AND indexdef LIKE '%% hnsw %%'"
        ).fetchall()
        types = connection.execute(
            "SELECT atttypid::regtype::text FROM pg_attribute "
            "WHERE attrelid = 'langgraph_items'::regclass AND attname ~ '^embedding(_[0-9]+)?$'"
        ).fetchall()
    assert len(definitions) == (index is not None)
    assert types == [(options.get("ann_index_config", {}).get("vector_type", "vector"),)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"embed": embed},
        {"dims": 26},
        {"dims": 26, "embed": embed, "distance_type": "hamming"},
        {"dims": 26, "embed": embed, "ann_index_config": {"kind": "ivfflat"}},
        {"dims": 26, "embed": embed, "ann_index_config": {"vector_type": "bit"}},
        {"dims": 26, "embed": embed, "ann_index_config": {"kind": "hnsw", "m": 16}},
        {"dims": 26, "embed": embed, "ann_index_config": {"ef_construction": 64}},
        {"dims": 0, "embed": embed},
    ],
)
def test_an_index_that_cannot_be_is_refused(opened: Opened, wrong: dict[str, Any]) -> None:
    """What is missing or unknown in an index config is a ConfigurationError that says what was expected."""
    with pytest.raises(ConfigurationError, match="expected"):
        opened(index=wrong)


def test_another_index_config_is_refused(opened: Opened) -> None:
    """Who opens it with vectors of another length, distance or paths is told so; without an index it is just read."""
    opened(index=INDEX).put(("a",), "k", {"text": "tea"})
    opened(index=INDEX | {"fields": ["text", "text"]})
    for other in (INDEX | {"dims": 7}, INDEX | {"distance_type": "l2"}, INDEX | {"fields": ["text", "other"]}):
        with pytest.raises(ConfigurationError, match="langgraph_items"):
            opened(index=other)
    opened(index=INDEX | {"dims": 7}, name="other_items").put(("a",), "k", {"n": 1})
    plain = opened()
    assert plain.search((), query="tea")[0].score is None
    plain.put(("a",), "k", {"text": "bike"})
    assert opened(index=INDEX).search((), query="tea")[0].score is None


class Named(Embeddings):
    """Embeddings that name their model, as those of LangChain's packages do."""

    def __init__(self, model: str) -> None:
        self.model = model

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return embed(texts)

    def embed_query(self, text: str) -> list[float]:
        return embed([text])[0]


def test_another_model_is_refused(opened: Opened) -> None:
    """Vectors of two models are not compared, also where they are of one length; a function has no name to compare."""
    opened(index=INDEX | {"embed": Named("small")}).put(("a",), "k", {"text": "tea"})
    with pytest.raises(ConfigurationError, match=r"langgraph_items.*'small'.*'large'.*name="):
        opened(index=INDEX | {"embed": Named("large")})
    for same in (Named("small"), embed):
        store = opened(index=INDEX | {"embed": same})
        assert keys(store.search((), query="tea")) == keys(store.search(())) == ["k"]
        assert store.list_namespaces() == [("a",)]


# --- namespaces ---------------------------------------------------------------------------------------------------


def test_namespaces_are_listed(store: MemorizzStore) -> None:
    """Sorted by label, cut at a depth and then each once, by prefix and suffix with * for any label, in pages."""
    there = [("a", "b", "c"), ("a", "b", "d", "e"), ("a", "b", "d", "i"), ("a", "b", "f"), ("a", "c", "f"), ("a-b",)]
    store.batch([PutOp(namespace, "k", {}) for namespace in reversed(there)])
    assert store.list_namespaces() == there
    assert store.list_namespaces(prefix=("a", "b"), max_depth=3) == [("a", "b", "c"), ("a", "b", "d"), ("a", "b", "f")]
    assert store.list_namespaces(max_depth=1) == [("a",), ("a-b",)]
    assert store.list_namespaces(prefix=("*", "b", "*", "e")) == [("a", "b", "d", "e")]
    assert store.list_namespaces(prefix=("a", "*"), suffix=("f",)) == [("a", "b", "f"), ("a", "c", "f")]
    assert store.list_namespaces(suffix=("b", "*")) == [("a", "b", "c"), ("a", "b", "f")]
    assert store.list_namespaces(prefix=("a-",)) == []
    assert store.list_namespaces(limit=2, offset=1) == there[1:3]
    assert store.list_namespaces(limit=0) == []
    both = (MatchCondition("prefix", ("a", "b")), MatchCondition("prefix", ("*", "*", "d")))
    assert store.batch([ListNamespacesOp(match_conditions=both)]) == [there[1:3]]


def test_namespaces_are_sorted_by_label_whatever_is_in_a_label(store: MemorizzStore) -> None:
    """As tuples are in Python, also where a label has the characters that sort before and behind all others."""
    labels = ["a", "a ", "a-b", "a\1", "a\1b", "a\2", "a\2\1", "ab", "é", "\U0001f600"]
    there = [(one, *others) for one, others in product(labels, [(), ("x",), ("\1",), ("x", "y")])]
    store.batch([PutOp(namespace, "k", {}) for namespace in reversed(there)])
    assert store.list_namespaces(limit=len(there) + 1) == sorted(there)
    assert store.list_namespaces(max_depth=1) == [(label,) for label in sorted(labels)]
    for label in labels:
        below = sorted(namespace for namespace in there if namespace[0] == label)
        assert store.list_namespaces(prefix=(label,)) == below
        assert {item.namespace for item in store.search((label,), limit=50)} == {*below}


def test_a_namespace_has_room_for_many_labels(store: MemorizzStore) -> None:
    """What an index takes, 1,024 bytes, is put and found; more is refused and says how much it is."""
    long = ("é" * 200, *(["label"] * 100), "x")
    store.put(long, "k", {})
    assert keys(store.search(long[:-1])) == ["k"]
    assert store.list_namespaces(prefix=long[:50]) == [long]
    with pytest.raises(InvalidNamespaceError, match=r"takes \d+ bytes, its labels together take up to 1024"):
        store.put((*long, "x" * 100), "k", {})
    assert store.search((*long, "x" * 100)) == []


def test_namespaces_that_hold_nothing_are_not_listed(store: MemorizzStore) -> None:
    """One that was only read or searched, or whose items were deleted or have expired, is none."""
    store.get(("read",), "k")
    store.search(("searched",))
    store.put(("emptied",), "k", {})
    store.delete(("emptied",), "k")
    store.put(("expired",), "k", {}, ttl=0.0001)
    time.sleep(0.05)
    assert store.list_namespaces() == []


@pytest.mark.parametrize("label", HARD_LABELS)
def test_any_label_is_one_label(store: MemorizzStore, label: str) -> None:
    """Percent, underscore, quotes, stars and the like are nothing but themselves, in namespaces and in keys."""
    store.put(("x",), "other", {})
    store.put((label, "y"), label, {"n": label})
    store.put((label + "x",), "other", {})
    item = store.get((label, "y"), label)
    assert item is not None
    assert (item.namespace, item.value) == ((label, "y"), {"n": label})
    assert keys(store.search((label,))) == [label]
    assert keys(store.search((label, "y"), filter={"n": label})) == [label]
    if label != "*":
        assert store.list_namespaces(prefix=(label,)) == [(label, "y")]


@pytest.mark.parametrize("wrong", [("a.b",), ("",), ("a", ""), (7,), ("a\0",)])
def test_what_is_no_label_is_refused_everywhere(store: MemorizzStore, wrong: tuple[Any, ...]) -> None:
    """Dots, empty labels and what is no text raise InvalidNamespaceError in each method, and straight in a batch."""
    calls: list[Callable[[], object]] = [
        lambda: store.put(wrong, "k", {}),
        lambda: store.get(wrong, "k"),
        lambda: store.delete(wrong, "k"),
        lambda: store.search(wrong),
        lambda: store.list_namespaces(prefix=wrong),
        lambda: store.list_namespaces(suffix=wrong),
        *(
            lambda op=op: store.batch([op])
            for op in (
                PutOp(wrong, "k", {}),
                GetOp(wrong, "k"),
                SearchOp(wrong),
                ListNamespacesOp((MatchCondition("suffix", wrong),)),
            )
        ),
    ]
    for call in calls:
        with pytest.raises(InvalidNamespaceError):
            call()
    with pytest.raises(InvalidNamespaceError):
        store.put((), "k", {})
    with pytest.raises(InvalidNamespaceError):
        store.batch([PutOp((), "k", {})])
    with pytest.raises(InvalidNamespaceError):
        store.put(("langgraph", "x"), "k", {})
    assert store.search(()) == []


def test_keys_may_be_long(store: MemorizzStore) -> None:
    """Keys of 10 kB that differ at the end only are two."""
    store.put(("a",), "k" * 10_000 + "1", {"n": 1})
    store.put(("a",), "k" * 10_000 + "2", {"n": 2})
    assert [item.value["n"] for item in store.search(())] == [2, 1]
    item = store.get(("a",), "k" * 10_000 + "1")
    assert item is not None
    assert (item.key, item.value) == ("k" * 10_000 + "1", {"n": 1})


@pytest.mark.parametrize("wrong", [{"n": object()}, {"n": float("nan")}, {"n": "\0"}, {1: 1}, {"n": "\ud800"}])
def test_a_value_that_json_cannot_hold_is_refused(store: MemorizzStore, wrong: dict[Any, Any]) -> None:
    """The error names the key, and nothing is stored."""
    with pytest.raises((InvalidDocument, TypeError)):
        store.put(("a",), "k", wrong)
    assert store.get(("a",), "k") is None


# --- expiry -------------------------------------------------------------------------------------------------------


def expires(dsn: str) -> datetime | None:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT expires_at FROM langgraph_items").fetchone()
    assert row is not None
    return row[0]


def test_what_has_expired_is_in_no_answer(opened: Opened) -> None:
    """Whether swept or not; a put begins anew, and what is swept is counted."""
    store = opened(ttl={"default_ttl": 0.001, "omit_expired": False})
    store.put(("a",), "k", {"n": 1})
    store.put(("a",), "stays", {"n": 2}, ttl=None)
    time.sleep(0.1)
    assert store.get(("a",), "k") is None
    assert keys(store.search(())) == ["stays"]
    store.put(("a",), "k", {"n": 3}, ttl=None)
    assert keys(store.search(())) == ["k", "stays"]
    store.put(("a",), "k", {"n": 4}, ttl=0.0001)
    time.sleep(0.05)
    assert store.sweep_ttl() == 1
    assert store.sweep_ttl() == 0


def test_a_read_refreshes_what_would_expire(opened: Opened, dsn: str) -> None:
    """get and search move the moment of expiry on, unless they or the config say no; a put without ttl removes it."""
    store = opened(ttl={"default_ttl": 10})
    store.put(("a",), "k", {})
    item = store.get(("a",), "k")
    reads: list[Callable[..., object]] = [
        lambda **how: store.get(("a",), "k", **how),
        lambda **how: store.search((), **how),
    ]
    for read in reads:
        before = expires(dsn)
        assert before is not None
        read(refresh_ttl=False)
        assert expires(dsn) == before
        read()
        after = expires(dsn)
        assert after is not None
        assert after > before
        assert store.get(("a",), "k", refresh_ttl=False) == item
    still = opened(ttl={"refresh_on_read": False})
    before = expires(dsn)
    still.get(("a",), "k")
    assert expires(dsn) == before
    store.put(("a",), "k", {}, ttl=None)
    moment = expires(dsn)
    assert moment is None or moment.year > 3000


def test_an_item_expires_with_all_its_vectors(opened: Opened, dsn: str) -> None:
    """A read that lets an item live on does so for each of its texts; one that has expired is found by none."""
    store = opened(index=INDEX | {"fields": ["texts[*]"]}, ttl={"default_ttl": 10})
    store.put(("a",), "k", {"texts": ["tea", "bike"]})
    with psycopg.connect(dsn, autocommit=True) as connection:
        moments = "SELECT expires_at FROM langgraph_items WHERE data ? 'key'"
        before = connection.execute(moments).fetchall()
        assert keys(store.search((), query="bike")) == ["k"]
        after = connection.execute(moments).fetchall()
        assert len(before) == len(after) == 1
        assert after > before
    store.put(("a",), "k", {"texts": ["tea", "bike"]}, ttl=0.001)
    time.sleep(0.1)
    assert store.search((), query="bike") == []
    assert store.sweep_ttl() == 1
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM memorizz_langgraph_items_parts").fetchone() == (0,)


def test_a_sweeper_runs_until_it_is_stopped(opened: Opened, dsn: str) -> None:
    """Started twice it is one, it removes what has expired, goes on after an error, and ends with stop or close."""
    store = opened(ttl={"sweep_interval_minutes": 1})
    store.put(("a",), "k", {}, ttl=0.0001)
    running = store.start_ttl_sweeper(0.001)
    assert store.start_ttl_sweeper(0.001) is running
    with psycopg.connect(dsn, autocommit=True) as connection:
        deadline = time.monotonic() + 30
        while connection.execute("SELECT count(*) FROM langgraph_items").fetchone() != (0,):
            assert time.monotonic() < deadline, "nothing was swept"
            time.sleep(0.05)
    assert not running.done()
    assert store.stop_ttl_sweeper(30)
    assert running.done()
    again = store.start_ttl_sweeper()
    store.close()
    assert again.done()


# --- how it is used -----------------------------------------------------------------------------------------------


def test_one_store_serves_threads_and_loops(indexed: MemorizzStore) -> None:
    """50 threads and three event loops put, get and search at once, and nothing is lost."""

    def threaded(number: int) -> None:
        indexed.put(("threads", str(number)), "k", {"text": f"thread {number}"})
        item = indexed.get(("threads", str(number)), "k")
        assert item is not None
        assert keys(indexed.search(("threads", str(number)), query="thread")) == ["k"]

    def looped(loop: int) -> None:
        async def each(number: int) -> None:
            await indexed.aput(("loops", str(loop)), str(number), {"text": f"loop {number}"})
            assert await indexed.aget(("loops", str(loop)), str(number)) is not None

        async def all_of_them() -> None:
            await asyncio.gather(*map(each, range(10)))
            assert len(await indexed.asearch(("loops", str(loop)), query="loop", limit=20)) == 10

        asyncio.run(all_of_them())

    with ThreadPoolExecutor(53) as pool:
        loops = [pool.submit(looped, loop) for loop in range(3)]
        threads = [pool.submit(threaded, number) for number in range(50)]
        for done in (*loops, *threads):
            done.result()
    assert len(indexed.list_namespaces(limit=100)) == 53


def test_sync_methods_may_be_called_from_a_running_loop(indexed: MemorizzStore) -> None:
    """In the loop's own thread the sync methods work too."""

    async def use() -> Any:
        indexed.put(("a",), "k", {"text": "tea"})
        return indexed.search((), query="tea"), indexed.list_namespaces()

    found, namespaces = asyncio.run(use())
    assert (keys(found), namespaces) == (["k"], [("a",)])


def test_an_async_embedder_is_awaited(opened: Opened) -> None:
    """With embeddings that are a coroutine function the async methods work."""

    async def aembed(texts: Any) -> list[list[float]]:
        await asyncio.sleep(0)
        return embed(texts)

    store = opened(index=INDEX | {"embed": aembed})

    async def use() -> Any:
        await store.aput(("a",), "k", {"text": "tea"})
        return await store.asearch((), query="tea")

    assert asyncio.run(use())[0].score == pytest.approx(1)


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.put(("a",), "k", {"text": "tea"}),
        lambda store: store.put(("a",), "k", {"text": "tea"}, index=False),
        lambda store: store.get(("a",), "k"),
        lambda store: store.batch([GetOp(("a",), key) for key in "abc"]),
        lambda store: store.search(("a",)),
        lambda store: store.list_namespaces(prefix=("a",)),
    ],
)
def test_an_operation_is_one_round_trip(
    config: PostgreSQLConfig, monkeypatch: pytest.MonkeyPatch, call: Callable[[MemorizzStore], object]
) -> None:
    """What has nothing to write opens no transaction, and one put is a transaction by itself."""
    waited: list[object] = []
    wait = psycopg.Connection.wait

    def counted(connection: Any, *args: Any, **kwargs: Any) -> Any:
        waited.append(connection)
        return wait(connection, *args, **kwargs)

    with MemorizzStore(config.replace(max_size=1), index=INDEX) as store:  # type: ignore[arg-type]
        call(store)
        monkeypatch.setattr(psycopg.Connection, "wait", counted)
        call(store)
    assert len(waited) == 1


def test_a_provider_may_be_shared(config: PostgreSQLConfig) -> None:
    """Two stores on a given provider see one another's items, and closing one closes nothing."""
    with PostgreSQLProvider(config) as provider:
        with MemorizzStore(provider) as store:
            store.setup()
            store.put(("a",), "k", {"n": 1})
        assert keys(MemorizzStore(provider).search(())) == ["k"]
