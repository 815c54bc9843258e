"""The history of vectors of parts: of documents with several fields, and of long texts in pieces."""

from __future__ import annotations

import itertools
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, LiteralString

import numpy as np
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from memorizz import MemoryType, PostgreSQLConfig, StoreSpec
from memorizz.memory_provider.postgresql.maintenance import Maintenance, Reembedding

LONG, NOTES = MemoryType.LONG_TERM_MEMORY.value, "notebook"
STORES = (LONG, NOTES)
SPEC = StoreSpec(NOTES, fields=("text", "notes[*].body"))
DIMENSIONS = 16
WORDS = ("tea", "owl", "ice", "bee")
# Longer than the model reads.
BOOK = " ".join(f"Now {{0}} and {word} are {word} and {{0}} for {word}." for word in WORDS * 6)


class Words:
    """An embedder that reads 64 tokens; texts are near each other where they share words."""

    name, dimensions, max_tokens = "words", DIMENSIONS, 64

    def embed(self, texts: Sequence[str], *, kind: str = "document") -> Any:
        return [vector(text) for text in texts]


class OtherWords(Words):
    name, max_tokens = "other words", 128


def vector(text: str) -> np.ndarray:
    made = np.full(DIMENSIONS, 0.01, np.float32)
    for word in text.lower().split():
        made += np.random.default_rng(zlib.crc32(word.strip(".,:").encode())).standard_normal(DIMENSIONS)
    return made


@pytest.fixture(scope="module")
def config(servers: Callable[[int], str]) -> Iterator[PostgreSQLConfig]:
    server, name = servers(18), f"memorizz_past_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield PostgreSQLConfig(dsn=make_conninfo(server, dbname=name), embedding_dimensions=DIMENSIONS, max_size=2)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def execute(config: PostgreSQLConfig) -> Iterator[Any]:
    with psycopg.connect(config.conninfo, autocommit=True) as connection:

        def run(statement: LiteralString) -> list[Any]:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

        yield run


@pytest.fixture
def memory(open_api: Callable[..., Any], config: PostgreSQLConfig) -> Iterator[Any]:
    """A provider with an embedder and two stores whose history is kept: one of long texts, one of several fields."""
    with open_api(config, embedder=Words()) as provider:
        provider.create_store(SPEC)
        for store in STORES:
            provider.delete_all(store)
            provider.keep_history(store)
        yield provider
        for store in STORES:
            provider.drop_history(store, yes=True)


@pytest.fixture
def plain(open_api: Callable[..., Any], config: PostgreSQLConfig, memory: Any) -> Iterator[Any]:
    """Another program, that embeds nothing."""
    with open_api(config) as provider:
        yield provider


_numbers = itertools.count()


def change_model(config: PostgreSQLConfig, model: Words) -> None:
    with Maintenance(config) as maintenance:
        change = Reembedding(maintenance, model)
        change.begin()
        change.fill()
        change.switch()
        change.finish()


def clock(memory: Any) -> datetime:
    """Return a time behind all that has been changed."""
    memory.store({"id": "clock"}, MemoryType.TOOLBOX)
    return memory.retrieve_by_id("clock", MemoryType.TOOLBOX)["updated_at"]


def seen(view: Any, timed: bool = True) -> Any:
    """Return whatever can be read of both stores: documents, their vectors, and what is found by vector and how."""
    read: list[Any] = []
    for store in STORES:
        documents = view.list_all(store, include_embedding=True)
        read.append([{key: value for key, value in each.items() if timed or key != "updated_at"} for each in documents])
        for word in ("tea", "owl"):
            for query in ({}, {"memory_id": "m"}, {"$nor": [{"embedding": {"$exists": False}}]}):
                hits = view.retrieve_by_query({"embedding": vector(word), **query}, store, 9, exact=not query)
                read.append([(hit["id"], round(hit["distance"], 6), hit.get("_part")) for hit in hits])
        hits = view.retrieve_by_query("tea owl", store, 9)
        read.append([(hit["id"], hit.get("_part"), round(hit["score"], 6)) for hit in hits])
    return read


def note(words: Sequence[str]) -> dict[str, Any]:
    return {"text": words[0], "notes": [{"body": f"{word} {words[0]}"} for word in words[1:]]}


_WORDS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["store", "update", "plain", "delete", "embed", "clear", "twice", "restore", "undo", "expire"]),
        st.sampled_from("ab"),
        _WORDS,
    ),
    min_size=2,
    max_size=8,
)


def take(memory: Any, plain: Any, step: tuple[str, str, list[str]], times: Sequence[datetime]) -> None:
    kind, id, words = step
    changes = {LONG: {"content": BOOK.format(words[0]) if len(words) > 1 else words[0]}, NOTES: note(words)}
    for store, change in changes.items():
        document = {"id": id, "memory_id": "m" if "tea" in words else "n", **change}
        match kind:
            case "store":
                memory.store(document, store)
            case "plain":
                plain.store(document, store)
            case "update":
                memory.update_by_id(id, {"importance_score": len(words) / 4} if len(words) > 2 else change, store)
            case "delete":
                memory.delete_by_id(id, store)
            case "embed":
                memory.embed_missing(store)
            case "clear":
                plain.update_by_id(id, {"embedding": None}, store)
            case "twice":
                with memory.transaction() as tx:
                    tx.store({**document, **(note(["bee", "bee"]) if store == NOTES else {"content": BOOK})}, store)
                    tx.delete_by_id("a", store)
                    tx.store(document, store)
            case "restore":
                memory.restore(id, store, times[len(times) // 2])
            case "undo":
                memory.undo(since=times[-1])
            case _:
                memory.update(store, {"id": id}, {"memory_id": "x", **change})


@settings(max_examples=12)
@given(steps=STEPS)
def test_every_time_is_as_it_was_seen_then(memory: Any, plain: Any, steps: list[Any]) -> None:
    """After whatever changes each state is read again as of its time, part by part; taken back, it is there again."""
    for store in STORES:
        memory.delete_all(store)
    states = [(clock(memory), seen(memory))]
    for step in steps:
        take(memory, plain, step, [time for time, _ in states])
        states.append((clock(memory), seen(memory)))
    for time, state in states:
        assert seen(memory.at(time)) == state
    middle = states[len(states) // 2]
    before = seen(memory.at(middle[0]), timed=False)
    memory.undo(since=middle[0])
    now = seen(memory, timed=False)
    # What waited for a vector has one now.
    if "plain" not in {kind for kind, *_ in steps} and "clear" not in {kind for kind, *_ in steps}:
        assert now == before
    for time, state in states:
        assert seen(memory.at(time)) == state


def test_only_vectors_that_have_changed_are_copied(memory: Any, execute: Any) -> None:
    """A document of six notes of which one is changed: one vector, whatever else is changed."""
    memory.store({"id": "a", "text": "tea", "notes": [{"body": f"tea {n}"} for n in range(6)]}, NOTES)
    memory.store({"id": "b", "content": BOOK.format("owl")}, LONG)
    count: LiteralString = "SELECT count(embedding) FROM memorizz_notebook_parts_history"
    of_long: LiteralString = "SELECT count(embedding) FROM memorizz_long_term_memory_parts_history"
    assert execute(count) == execute(of_long) == [(0,)]
    memory.update_by_id("a", {"importance_score": 0.5, "notes": [{"body": f"tea {n}"} for n in range(6)]}, NOTES)
    memory.update_by_id("b", {"importance_score": 0.5}, LONG)
    assert execute(count) == execute(of_long) == [(0,)]
    memory.update_by_id("a", {"notes": [{"body": f"tea {n}" if n != 3 else "owl"} for n in range(6)]}, NOTES)
    assert execute(count) == [(1,)]
    assert len(memory.versions("a", NOTES)) == 3


def test_a_vector_that_comes_later_is_a_version(memory: Any, plain: Any) -> None:
    """As elsewhere: before it, no search by vector finds the document; other programs' SQL makes one too."""
    plain.store({"id": "a", "text": "tea"}, NOTES)
    before = clock(memory)
    memory.acting("ada").embed_missing(NOTES)
    after = clock(memory)
    found = [[hit["id"] for hit in view.retrieve_by_query({"embedding": vector("tea")}, NOTES)] for view in (
        memory.at(before), memory.at(after), memory,
    )]  # fmt: skip
    assert found == [[], ["a"], ["a"]]
    assert [each.actor for each in memory.versions("a", NOTES)] == [None, "ada"]


def test_whatever_empties_a_table_is_kept(memory: Any, execute: Any) -> None:
    """Deletes and TRUNCATE of the store and of its parts, by hand: what was before is found."""
    for statement in (
        "DELETE FROM notebook",
        "TRUNCATE notebook CASCADE",
        "TRUNCATE memorizz_notebook_parts, notebook",
        "DELETE FROM memorizz_notebook_parts",
        "TRUNCATE memorizz_notebook_parts",
        "UPDATE memorizz_notebook_parts SET path = 'text', start = start + 1",
        "UPDATE memorizz_notebook_parts SET embedding = -embedding",
    ):
        memory.store({"id": "a", "text": "tea", "notes": [{"body": "owl"}]}, NOTES)
        time, state = clock(memory), seen(memory)
        if "= -embedding" in statement:
            statement = "UPDATE memorizz_notebook_parts SET embedding = array_fill(1, ARRAY[16])::vector"
        execute(statement)
        assert seen(memory) != state, statement
        assert seen(memory.at(time)) == state, statement
        memory.restore("a", NOTES, time)
        assert seen(memory, timed=False) == seen(memory.at(time), timed=False), statement


@pytest.mark.parametrize("whole", [True, False])
def test_of_what_is_forgotten_no_vector_is_left(memory: Any, execute: Any, whole: bool) -> None:
    """Of the documents, of their versions, and of versions alone; what else those had in common with others stays."""
    view = memory.tenant("forgetting")
    view.forget(everything=True)  # What an earlier test left.
    for id in "ab":
        view.store({"id": id, "memory_id": "m", "content": BOOK.format("ice")}, LONG)
        view.store({"id": id, "memory_id": "m", **note(["ice", "tea", "owl"])}, NOTES)
        view.update_by_id(id, {"content": BOOK.format("bee")}, LONG)
        view.update_by_id(id, note(["ice", "tea", "bee"]), NOTES)
    view.update_by_id("b", {"memory_id": "n"}, NOTES)
    kept = clock(memory)
    view.update_by_id("b", note(["bee"]), NOTES)
    view.update_by_id("b", {"memory_id": "n", "content": BOOK.format("owl")}, LONG)
    if whole:
        view.forget(everything=True)
    else:
        view.forget("m")
        for store in STORES:
            past = view.at(kept).retrieve_by_query({"embedding": vector("tea")}, store, 9)
            parts = [(hit["id"], hit["_part"]["path"]) for hit in past]
            assert parts == ([("b", "notes[0].body")] if store == NOTES else [])
    left: list[Any] = execute(
        "SELECT id, count(*) FROM memorizz_notebook_parts_history WHERE tenant = 'forgetting' AND was GROUP BY id"
    )
    of_long: LiteralString = (
        "SELECT count(*) FROM memorizz_long_term_memory_parts_history AS e WHERE tenant = 'forgetting' "
        "AND NOT EXISTS (SELECT FROM long_term_memory AS d WHERE d.pieces = e.digest)"
    )
    # Of the one that has moved on: the text, and two notes.
    assert [count for _, count in left] == ([] if whole else [3])
    assert execute(of_long) == [(0,)]


def test_old_changes_of_parts_go_with_those_of_their_documents(memory: Any, execute: Any) -> None:
    """purge_expired deletes both, beyond the retention, and neither without the other."""
    memory.store({"id": "a", "text": "tea"}, NOTES)
    memory.update_by_id("a", {"text": "owl"}, NOTES)
    for statement in (
        "UPDATE memorizz_notebook_history SET changed_at = changed_at - interval '3 days'",
        "UPDATE memorizz_notebook_parts_history SET changed_at = changed_at - interval '3 days'",
        "UPDATE memorizz_stores SET history_since = now() - interval '9 days' WHERE name = 'notebook'",
    ):
        execute(statement)
    memory.update_by_id("a", {"text": "ice"}, NOTES)
    memory.keep_history(NOTES, timedelta(days=2))
    memory.memory("m").purge_expired(NOTES)
    assert execute("SELECT count(*) FROM memorizz_notebook_parts_history") == [(5,)]
    memory.purge_expired(NOTES)
    assert execute("SELECT count(*) FROM memorizz_notebook_parts_history") == [(2,)]


def test_parts_of_another_model_are_no_vectors_of_this_one(config: PostgreSQLConfig, open_api: Any) -> None:
    """After a change of the model what was before is read as ever, and what is taken back is embedded anew."""
    config, other = config.replace(schema=f"changing_{next(_numbers)}"), OtherWords()
    with open_api(config, embedder=Words()) as memory:
        memory.create_store(SPEC)
        for store, document in ((LONG, {"content": BOOK.format("tea")}), (NOTES, note(["tea", "owl"]))):
            memory.keep_history(store)
            memory.store({"id": "a", **document}, store)
        time, first = clock(memory), [memory.retrieve_by_id("a", store) for store in STORES]
        memory.update_by_id("a", {"content": "short"}, LONG)
        memory.update_by_id("a", note(["bee"]), NOTES)
    change_model(config, other)
    with open_api(config, embedder=other) as memory:
        after, state = clock(memory), seen(memory)
        for store, document in zip(STORES, first, strict=True):
            assert memory.at(time).retrieve_by_id("a", store) == document
            assert memory.restore("a", store, time)
            hit = memory.retrieve_by_query({"embedding": vector("tea")}, store)[0]
            assert (hit["id"], hit["_part"] is not None) == ("a", True)
        assert seen(memory.at(after)) == state


def test_the_past_of_parts_behind_the_wall(config: PostgreSQLConfig, open_api: Any) -> None:
    """The application's role keeps, searches and takes back the vectors of its tenant, and forgets no other's."""
    role, config = f"memorizz_past_{os.getpid()}", config.replace(schema=f"walled_{next(_numbers)}")
    with open_api(config, embedder=Words()) as owner:
        owner.create_store(SPEC)
        owner.keep_history(NOTES)
    with Maintenance(config) as maintenance:
        maintenance.enable_tenants(role)
    try:
        with open_api(config.replace(user=role), embedder=Words()) as application:
            views = [application.tenant(name) for name in ("acme", "globex")]
            for view in views:
                view.store({"id": "a", **note(["tea"])}, NOTES)
                first = view.retrieve_by_id("a", NOTES)["updated_at"]
                view.update_by_id("a", note(["owl"]), NOTES)
                view.delete_by_id("a", NOTES)
                past = view.at(first).retrieve_by_query({"embedding": vector("tea")}, NOTES, 9)
                assert [(hit["text"], round(hit["distance"], 6)) for hit in past] == [("tea", 0)]
                assert view.restore("a", NOTES, first)
                hit = view.retrieve_by_query({"embedding": vector("tea")}, NOTES)[0]
                assert (hit["text"], round(hit["distance"], 6)) == ("tea", 0)
            views[0].forget(filter={"id": "a"})
        with psycopg.connect(config.conninfo) as connection:
            left = connection.execute(
                f"SELECT DISTINCT tenant FROM {config.schema}.memorizz_notebook_parts_history".encode()
            )
            assert left.fetchall() == [("globex",)]
    finally:
        with Maintenance(config) as maintenance:
            maintenance.disable_tenants()
        with psycopg.connect(config.conninfo, autocommit=True) as connection:
            connection.execute(f"DROP ROLE {role}".encode())
