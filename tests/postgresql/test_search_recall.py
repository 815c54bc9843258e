"""Completeness: the nearest rows, and as many as were asked for, whatever the filter, the limit and the table.

What is served is compared with what numpy finds. One database of clustered vectors is made for the module, and copied
for the tests that change it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import count
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from apis import Blocking, Loop
from memorizz.memory_provider.base import Ranking
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider, PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql._steps import Query
from memorizz.memory_provider.postgresql.search.plan import MAX_SCANNED

LONG = MemoryType.LONG_TERM_MEMORY
DIMENSIONS, ROWS, CLUSTERS, LATENT = 64, 6000, 40, 12
_numbers = count()


# --- the data -----------------------------------------------------------------------------------------------------

# Memories whose content is spread over every subject, by how many rows they have; and two of one subject each.
SPREAD = (1, 6, 60, 300, 600, 1800)
ONE_SUBJECT = {"ada": (0, 240), "bob": (1, 900)}
SHARES = {1: 1, 6: 0.001, 60: 0.01, 300: 0.05, 600: 0.1, 1800: 0.3, 3600: 0.6, ROWS: 1}


class Data:
    """The vectors, which memory each row is of, and a number that puts the rows into an order of chance."""

    def __init__(self) -> None:
        random = np.random.default_rng(3)
        self.centres = random.standard_normal((CLUSTERS, LATENT))
        self.directions = random.standard_normal((LATENT, DIMENSIONS))
        self.memories = np.array([f"spread-{rows}" for rows in SPREAD for _ in range(rows)], dtype="U16")
        self.memories = np.append(self.memories, [name for name, (_, rows) in ONE_SUBJECT.items() for _ in range(rows)])
        self.memories = np.append(self.memories, ["rest"] * (ROWS - len(self.memories)))
        subjects = random.integers(CLUSTERS, size=ROWS)
        for name, (subject, _) in ONE_SUBJECT.items():
            subjects[self.memories == name] = subject
        order = random.permutation(ROWS)
        self.memories, self.subjects = self.memories[order], subjects[order]
        self.slots = random.permutation(ROWS)
        self.vectors = self.near(self.subjects, random)

    def near(self, subjects: Any, random: np.random.Generator) -> np.ndarray:
        """Make a unit vector for each subject."""
        latent = self.centres[subjects] + 0.5 * random.standard_normal((len(subjects), LATENT))
        vectors = latent @ self.directions + 0.3 * random.standard_normal((len(subjects), DIMENSIONS))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def questions(self, number: int, subject: int | None = None) -> np.ndarray:
        """Make vectors to ask for, near any subject or near one."""
        random = np.random.default_rng(11)
        subjects = random.integers(CLUSTERS, size=number) if subject is None else np.full(number, subject)
        return self.near(subjects, random)

    def documents(self) -> Iterator[dict[str, Any]]:
        for n in range(ROWS):
            yield {
                "n": n,
                "memory_id": str(self.memories[n]),
                "importance_score": float(self.slots[n]),
                "metadata": {"slot": int(self.slots[n])},
                "embedding": self.vectors[n],
            }

    def nearest(self, question: np.ndarray, rows: np.ndarray, limit: int = 10) -> list[int]:
        """Return the nearest of some rows, the nearest first; `rows` says of each whether it matches."""
        numbers = np.flatnonzero(rows)
        distances = 1 - self.vectors[numbers].astype(float) @ question.astype(float)
        return numbers[np.argsort(distances, kind="stable")[:limit]].tolist()


@pytest.fixture(scope="module")
def data() -> Data:
    return Data()


@pytest.fixture(scope="module")
def template(servers: Callable[[int], str], data: Data) -> Iterator[tuple[str, str]]:
    """The server, and the name of a database that holds the data and that nobody is connected to."""
    with _database(servers(18), "template1") as name:
        with _open(servers(18), name) as provider, _index_built_after(provider):
            provider.store_many(data.documents(), LONG)
        with _open(servers(18), name) as provider:
            _execute(provider, "VACUUM ANALYZE")
        yield servers(18), name


@pytest.fixture(scope="module")
def provider(template: tuple[str, str]) -> Iterator[PostgreSQLProvider]:
    """A provider on the data, to read."""
    yield from _copy(*template)


@pytest.fixture
def changed(template: tuple[str, str]) -> Iterator[PostgreSQLProvider]:
    """A provider on the data, to change."""
    yield from _copy(*template)


def _copy(server: str, template: str) -> Iterator[PostgreSQLProvider]:
    with _database(server, template) as name, _open(server, name) as provider:
        yield provider


def _open(server: str, name: str, **options: Any) -> PostgreSQLProvider:
    options = {"embedding_dimensions": DIMENSIONS, "max_size": 2} | options
    return PostgreSQLProvider(PostgreSQLConfig(dsn=make_conninfo(server, dbname=name), **options))


@contextmanager
def _database(server: str, template: str) -> Generator[str]:
    name = f"memorizz_recall_{os.getpid()}_{next(_numbers)}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
        yield name
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def _index_built_after(provider: PostgreSQLProvider) -> Generator[None]:
    """Build the vector index after many changes, which is faster."""
    index = f"{LONG.value}_embedding_idx"
    with psycopg.connect(provider.config.conninfo, autocommit=True) as connection:
        row = connection.execute("SELECT pg_get_indexdef(%s::regclass)", [index]).fetchone()
        connection.execute(f"DROP INDEX {index}")
        yield
        assert row is not None
        connection.execute(row[0])


def _execute(provider: PostgreSQLProvider, statement: str) -> None:
    with psycopg.connect(provider.config.conninfo, autocommit=True) as connection:
        connection.execute(statement)


# --- the filters --------------------------------------------------------------------------------------------------

Filter = dict[str, Any]


def by_memory(rows: int, data: Data) -> tuple[Filter, np.ndarray]:
    memories = {3600: ["rest", "bob", "spread-600", "spread-6", "spread-1"], ROWS: sorted(set(data.memories.tolist()))}
    names = memories.get(rows, [f"spread-{rows}"])
    filter: Filter = {"memory_id": names[0] if len(names) == 1 else {"$in": names}}
    return filter, np.isin(data.memories, names)


def by_column(rows: int, data: Data) -> tuple[Filter, np.ndarray]:
    return {"importance_score": {"$lt": rows}}, data.slots < rows


def by_path(rows: int, data: Data) -> tuple[Filter, np.ndarray]:
    return {"metadata.slot": {"$lt": rows}}, data.slots < rows


def by_or(rows: int, data: Data) -> tuple[Filter, np.ndarray]:
    low, high = rows // 2, ROWS - (rows - rows // 2)
    filter = {"$or": [{"importance_score": {"$lt": low}}, {"metadata.slot": {"$gte": high}}]}
    return filter, (data.slots < low) | (data.slots >= high)


def by_not(rows: int, data: Data) -> tuple[Filter, np.ndarray]:
    return {"$not": {"metadata.slot": {"$gte": rows}}}, data.slots < rows


KINDS = (by_memory, by_column, by_path, by_or, by_not)


def found(
    provider: PostgreSQLProvider, question: np.ndarray, filter: Mapping[str, Any], limit: int = 10, **options: Any
) -> list[int]:
    hits = provider.retrieve_by_query({**filter, "embedding": question}, LONG, limit, **options)
    return [hit["n"] for hit in hits]


def forget(provider: PostgreSQLProvider) -> None:
    """Have a provider know nothing of earlier searches, as if it had just been opened."""
    assert provider._facts is not None
    provider._facts.store(LONG).shown.clear()


def recall(served: Sequence[Sequence[int]], true: Sequence[Sequence[int]]) -> float:
    """Return which share of the true rows was served; no list may be short."""
    assert [len(each) for each in served] == [len(each) for each in true]
    assert all(len(set(each)) == len(each) for each in served)
    shares = [len(set(one) & set(other)) / len(other) for one, other in zip(served, true, strict=True)]
    return float(np.mean(shares))


# --- every filter -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("rows", SHARES, ids=lambda rows: f"{SHARES[rows]:.1%}" if rows > 1 else "1 row")
def test_the_nearest_are_found_under_every_filter(
    provider: PostgreSQLProvider, data: Data, rows: int, kind: Callable[..., tuple[Filter, np.ndarray]]
) -> None:
    """Whatever share of the rows matches, and whatever the condition is made of."""
    filter, matching = kind(rows, data)
    assert matching.sum() == rows
    questions = data.questions(10)
    served = [found(provider, question, filter) for question in questions]
    assert recall(served, [data.nearest(question, matching) for question in questions]) >= 0.99


def test_the_nearest_of_all_are_found(provider: PostgreSQLProvider, data: Data) -> None:
    """Without a filter the index serves."""
    questions = data.questions(40)
    hits = provider.retrieve_by_query({"embedding": questions[0]}, LONG, 10, explain=True)
    assert hits.explanation is not None
    assert hits.explanation["route"] == "index"
    served = [found(provider, question, {}) for question in questions]
    assert recall(served, [data.nearest(question, data.slots >= 0) for question in questions]) >= 0.99


@pytest.mark.parametrize("memory", ONE_SUBJECT)
@pytest.mark.parametrize("limit", [1, 10, 100])
def test_one_subject_asked_about_another(provider: PostgreSQLProvider, data: Data, memory: str, limit: int) -> None:
    """A memory that lies away from the question, where an index that filters afterwards finds nothing."""
    subject, rows = ONE_SUBJECT[memory]
    away = int(np.argmin(data.centres @ data.centres[subject]))
    questions, matching = data.questions(10, away), data.memories == memory
    # None of the rows near the question is of this memory.
    assert all(not matching[data.nearest(question, data.slots >= 0, 100)].any() for question in questions)
    served = [found(provider, question, {"memory_id": memory}, limit) for question in questions]
    assert recall(served, [data.nearest(question, matching, limit) for question in questions]) >= 0.99
    assert matching.sum() == rows


# --- every limit --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 10, 100, 500, 1000])
@pytest.mark.parametrize("rows", [6, 300, 600, 1800, ROWS], ids="{} rows".format)
def test_as_many_as_asked_for(provider: PostgreSQLProvider, data: Data, limit: int, rows: int) -> None:
    """Never fewer than the limit while more match; and they are the nearest."""
    filter, matching = by_memory(rows, data) if rows < ROWS else ({}, data.slots >= 0)
    questions = data.questions(4)
    served = [found(provider, question, filter, limit) for question in questions]
    assert all(len(each) == min(limit, rows) for each in served)
    assert recall(served, [data.nearest(question, matching, limit) for question in questions]) >= 0.99


@pytest.mark.parametrize("limit", [1001, ROWS, 10 * ROWS])
def test_more_than_an_index_can_bring(provider: PostgreSQLProvider, data: Data, limit: int) -> None:
    """A limit above that of the index has every row compared."""
    (question,) = data.questions(1)
    assert found(provider, question, {}, limit) == data.nearest(question, data.slots >= 0, limit)


@pytest.mark.parametrize("rows", [MAX_SCANNED - 1, MAX_SCANNED, MAX_SCANNED + 1])
@pytest.mark.parametrize("limit", [10, 200, 1000])
def test_at_the_edge_of_a_route(provider: PostgreSQLProvider, data: Data, rows: int, limit: int) -> None:
    """One row more or less changes the route and nothing else."""
    filter, matching = by_column(rows, data)
    for question in data.questions(2):
        assert set(found(provider, question, filter, limit)) == set(data.nearest(question, matching, limit))


@pytest.mark.parametrize("index", ["none", "hnsw"])
def test_a_memory_unlike_what_was_measured(dsn: str, index: str, loop: Loop) -> None:
    """One of one subject, that comes after its store was measured: open providers and new ones find its nearest."""
    random = np.random.default_rng(3)
    centres = random.standard_normal((500, 128))

    def near(subjects: Any) -> np.ndarray:
        vectors = centres[subjects] + 0.3 * random.standard_normal((len(subjects), 128))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def recall(provider: Any, question: np.ndarray) -> float:
        hits = provider.retrieve_by_query({"embedding": question, "memory_id": "one"}, LONG, 10)
        return len({ids[row] for row in np.argsort(-(of_one @ question))[:10]} & {hit["id"] for hit in hits}) / 10

    config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=128, index=index)
    with PostgreSQLProvider(config) as open_before, ExitStack() as opened:
        with _index_built_after(open_before) if index == "hnsw" else nullcontext():
            vectors = near(np.arange(6000) % 500)
            open_before.store_many([{"memory_id": "all", "embedding": vector} for vector in vectors], LONG)
            open_before.measure_recall(LONG)
            of_one = near(np.full(2000, 7))
            ids = open_before.store_many([{"memory_id": "one", "embedding": vector} for vector in of_one], LONG)
        new = opened.enter_context(PostgreSQLProvider(config))
        new_async = opened.enter_context(Blocking(AsyncPostgreSQLProvider(config), loop))
        for questions in (near(np.full(20, 7)), near(np.arange(20, 40))):
            for provider in (open_before, new, new_async):
                assert np.mean([recall(provider, question) for question in questions]) >= 0.99


def test_a_memory_that_grows_and_shrinks(changed: PostgreSQLProvider, data: Data) -> None:
    """What searches have shown of a memory before spares time, and never rows: of what is there now, all are found."""
    before, large = data.memories == "spread-6", np.isin(data.memories, ["spread-6", "spread-1800"])
    move = "UPDATE long_term_memory SET memory_id = '{}' WHERE memory_id = '{}' AND importance_score = ANY ('{{{}}}')"
    moved = ",".join(map(str, data.slots[data.memories == "spread-1800"].tolist()))
    for question in data.questions(3):
        assert found(changed, question, {"memory_id": "spread-6"}) == data.nearest(question, before)
        _execute(changed, move.format("spread-6", "spread-1800", moved))
        for _ in range(3):
            served = found(changed, question, {"memory_id": "spread-6"})
            assert recall([served], [data.nearest(question, large)]) >= 0.9
            assert found(changed, question, {"memory_id": "spread-1800"}) == []
        _execute(changed, move.format("spread-1800", "spread-6", moved))


@pytest.mark.parametrize("ranking", [None, Ranking(recency=0.1)], ids=["distance", "more than the distance"])
def test_too_many_that_score_too_little(provider: PostgreSQLProvider, data: Data, ranking: Ranking | None) -> None:
    """More rows than are compared are not taken for none because the first of them do not score enough."""
    filter, _ = by_column(MAX_SCANNED + 1, data)
    (question,) = data.questions(1)
    query = {**filter, "embedding": question}
    third = provider.retrieve_by_query(query, LONG, 3, ranking=ranking, exact=True)[-1]["_score"]
    forget(provider)
    hits = provider.retrieve_by_query(query, LONG, 10, ranking=ranking, min_score=third - 1e-6, explain=True)
    assert hits.explanation is not None
    assert "scan" in hits.explanation["tried"][:-1]
    assert len(hits) == 3


@pytest.mark.parametrize("filtered", [False, True])
def test_what_nothing_reaches_costs_no_more(provider: PostgreSQLProvider, data: Data, filtered: bool) -> None:
    """A min_score that no hit has is no reason to try another route, and what was seen is told."""
    filter, _ = by_column(100, data) if filtered else ({}, None)
    query = {**filter, "embedding": data.questions(1)[0]}
    forget(provider)
    hits = provider.retrieve_by_query(query, LONG, 10, min_score=2, explain=True)
    assert hits == []
    assert hits.explanation is not None
    assert hits.explanation["tried"] == (["scan"] if filtered else ["index"])
    assert hits.explanation["matching"] == (100 if filtered else None)


def test_columns_of_ones_own_are_not_in_the_way(changed: PostgreSQLProvider, data: Data) -> None:
    """Whatever they are called."""
    for name in ("distance", "seen", "score", "parts", "near"):
        _execute(changed, f"ALTER TABLE {LONG.value} ADD COLUMN {name} text")
    (question,) = data.questions(1)
    for filter, rows in (({}, ROWS), by_memory(300, data), by_column(1800, data)):
        matching = data.slots >= 0 if rows is ROWS else rows
        for options in ({}, {"exact": True}, {"touch": True}, {"ranking": Ranking(recency=1e-9)}):
            query = {**filter, "embedding": question}
            hits = changed.retrieve_by_query(query, LONG, 10, include_embedding=True, **options)
            assert recall([[hit["n"] for hit in hits]], [data.nearest(question, matching, 10)]) >= 0.9


# --- what the caller chooses --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [60, 600, 3600, ROWS], ids="{} rows".format)
def test_exact_is_exact(provider: PostgreSQLProvider, data: Data, rows: int) -> None:
    """The rows that numpy finds, in that order, with those distances."""
    filter, matching = by_column(rows, data) if rows < ROWS else ({}, data.slots >= 0)
    for question in data.questions(5):
        true = data.nearest(question, matching, 30)
        distances = 1 - data.vectors[true].astype(float) @ question.astype(float)
        assert np.diff(distances).min() > 1e-7
        hits = provider.retrieve_by_query({**filter, "embedding": question}, LONG, 30, exact=True, explain=True)
        assert hits.explanation is not None
        assert hits.explanation["route"] == "exact"
        assert [hit["n"] for hit in hits] == true
        assert [hit["_distance"] for hit in hits] == pytest.approx(distances, abs=1e-6)
        assert [hit["_score"] for hit in hits] == pytest.approx(1 - distances, abs=1e-6)


def test_distances_are_exact_whichever_route_found_them(provider: PostgreSQLProvider, data: Data) -> None:
    """The nearest first, at their true distance, from the index too."""
    for filter in ({}, {"memory_id": "spread-60"}, {"memory_id": "spread-1800"}, {"memory_id": "bob"}):
        for question in data.questions(5):
            hits = provider.retrieve_by_query({**filter, "embedding": question}, LONG, 10)
            distances = [hit["_distance"] for hit in hits]
            rows = [hit["n"] for hit in hits]
            assert distances == sorted(distances)
            assert distances == pytest.approx(1 - data.vectors[rows].astype(float) @ question.astype(float), abs=1e-6)


@pytest.mark.parametrize(("limit", "ef_search"), [(1, 1), (1, 7), (10, 40), (10, 1000)])
def test_ef_search_is_what_the_caller_says(
    provider: PostgreSQLProvider, data: Data, limit: int, ef_search: int
) -> None:
    """It is set for the statement, and only there."""
    (question,) = data.questions(1)
    hits = provider.retrieve_by_query({"embedding": question}, LONG, limit, ef_search=ef_search, explain=True)
    assert len(hits) == limit
    assert hits.explanation is not None
    assert (hits.explanation["route"], hits.explanation["ef_search"]) == ("index", ef_search)
    shown = provider.run(lambda _: _show("hnsw.ef_search"))
    assert shown == "40"


def _show(setting: str) -> Any:
    # pgvector's are not there until a connection has first seen a vector.
    rows = yield Query(b"SELECT current_setting(%(name)s, true)", {"name": setting})
    return rows[0][0] or {"hnsw.ef_search": "40", "hnsw.iterative_scan": "off"}[setting]


def test_an_ef_search_that_cannot_do_is_made_up_for(provider: PostgreSQLProvider, data: Data) -> None:
    """Less than the limit would bring a short list."""
    (question,) = data.questions(1)
    assert found(provider, question, {}, 50, ef_search=3) == data.nearest(question, data.slots >= 0, 50)


# --- tables in other states ---------------------------------------------------------------------------------------


def change(provider: PostgreSQLProvider, assignment: str, rows: np.ndarray) -> None:
    """Change many rows; the index has them all."""
    with _index_built_after(provider), psycopg.connect(provider.config.conninfo) as connection:
        connection.execute(
            f"UPDATE {LONG.value} SET {assignment} WHERE importance_score = ANY (%s)", [rows.astype(float).tolist()]
        )


def check(provider: PostgreSQLProvider, data: Data, alive: np.ndarray) -> None:
    """Compare searches of several kinds and limits with the truth about the rows that are there."""
    every = data.slots >= 0
    for filter, matching in ({}, every), by_memory(300, data), by_memory(1800, data), by_path(3600, data):
        for limit in (1, 10, 100, 500):
            questions = data.questions(4)
            served = [found(provider, question, filter, limit) for question in questions]
            true = [data.nearest(question, matching & alive, limit) for question in questions]
            assert recall(served, true) >= 0.99


@pytest.mark.parametrize("vacuum", [False, True], ids=["dead rows", "vacuumed"])
@pytest.mark.parametrize("snapshot", [False, True], ids=["", "old snapshot"])
def test_after_many_deletes(changed: PostgreSQLProvider, data: Data, vacuum: bool, snapshot: bool) -> None:
    """Dead rows, which the index still has, use up no place in a list; also where a snapshot keeps them from VACUUM."""
    with psycopg.connect(changed.config.conninfo) as old:
        if snapshot:
            old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            old.execute(f"SELECT count(*) FROM {LONG.value}")
        _execute(changed, f"DELETE FROM {LONG.value} WHERE importance_score::int % 10 <> 0")
        if vacuum:
            _execute(changed, f"VACUUM {LONG.value}")
        check(changed, data, data.slots % 10 == 0)
        if snapshot:
            assert old.execute(f"SELECT count(*) FROM {LONG.value}").fetchone() == (ROWS,)


@pytest.mark.parametrize("left", [2, 50], ids="one of {} is left".format)
def test_with_many_expired(changed: PostgreSQLProvider, data: Data, left: int) -> None:
    """Expired rows use up no place in a list, and are in none."""
    alive = data.slots % left == 0
    change(changed, "expires_at = now() - interval '1 s'", data.slots[~alive])
    check(changed, data, alive)


def test_the_nearest_have_all_expired(changed: PostgreSQLProvider, data: Data) -> None:
    """What lies around the question is gone; the nearest of what is left are found."""
    (question,) = data.questions(1)
    alive = np.ones(ROWS, dtype=bool)
    alive[data.nearest(question, data.slots >= 0, 2000)] = False
    change(changed, "expires_at = now() - interval '1 s'", data.slots[~alive])
    for limit in (1, 10, 100, 1000):
        assert found(changed, question, {}, limit) == data.nearest(question, alive, limit)


def test_with_rows_that_have_no_embedding(changed: PostgreSQLProvider, data: Data) -> None:
    """They are in no search by meaning, and use up no place in it."""
    alive = data.slots % 2 == 0
    change(changed, "embedding = NULL", data.slots[~alive])
    check(changed, data, alive)


def test_without_statistics(changed: PostgreSQLProvider, data: Data) -> None:
    """The planner may know nothing of the table."""
    _execute(changed, "DELETE FROM pg_statistic")
    check(changed, data, data.slots >= 0)


def test_with_statistics_of_other_times(changed: PostgreSQLProvider, data: Data) -> None:
    """The statistics say that a memory is one row, and it is a third of the table."""
    moved = np.isin(data.memories, ["spread-1", "rest"])
    change(changed, "memory_id = 'spread-1'", data.slots[moved])
    for question in data.questions(5):
        for limit in (1, 10, 100, 500):
            served = found(changed, question, {"memory_id": "spread-1"}, limit)
            assert recall([served], [data.nearest(question, moved, limit)]) >= 0.99


@pytest.mark.parametrize(
    ("options", "index"),
    [
        ({"embedding_dimensions": 2100}, "halfvec"),
        ({"embedding_dimensions": 64, "index": "halfvec"}, "halfvec"),
        ({"embedding_dimensions": 64, "index": "none"}, "none"),
        ({"embedding_dimensions": 4001}, "none"),
    ],
    ids=str,
)
def test_with_another_index_or_none(servers: Callable[[int], str], options: dict[str, Any], index: str) -> None:
    """In half precision, and without an index, the same rows are found at the same distances."""
    rows, dimensions = 250, options["embedding_dimensions"]
    random = np.random.default_rng(5)
    vectors = random.standard_normal((rows, dimensions)).astype(np.float32)
    # Not of length one: cosine does not see lengths.
    vectors *= random.uniform(0.01, 1000, (rows, 1))
    with _database(servers(18), "template1") as name, _open(servers(18), name, **options) as provider:
        provider.store_many([{"n": n, "third": n % 3 == 0, "embedding": vectors[n]} for n in range(rows)], LONG)
        unit = vectors / np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)
        for question in random.standard_normal((3, dimensions)):
            distances = 1 - unit @ (question / np.linalg.norm(question))
            for filter, numbers in (({}, range(rows)), ({"third": True}, range(0, rows, 3))):
                true = sorted(numbers, key=distances.__getitem__)
                for limit in (1, 10, 100):
                    hits = provider.retrieve_by_query({**filter, "embedding": question}, LONG, limit, explain=True)
                    assert [hit["n"] for hit in hits] == true[:limit]
                    assert [hit["_distance"] for hit in hits] == pytest.approx(distances[true[:limit]], abs=1e-5)
                    assert hits.explanation is not None
                    if index == "none":
                        assert "index" not in hits.explanation["tried"]
                    elif not filter and limit < 100:
                        assert hits.explanation["route"] == "index"


SETTINGS = ("jit", "plan_cache_mode", "enable_sort", "enable_seqscan", "hnsw.iterative_scan", "hnsw.ef_search")


@pytest.mark.parametrize("memory", ["bob", "spread-1800", "spread-60"])
def test_a_search_leaves_no_setting_behind(
    provider: PostgreSQLProvider, data: Data, memory: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What a search sets ends with it, in a transaction of the caller too; elsewhere each route is one round trip."""
    (question,) = data.questions(1)
    query = {"embedding": question, "memory_id": memory}
    for each in (provider, provider.transaction()):
        with each if each is not provider else nullcontext(provider) as api:
            before = [api.run(lambda _, name=name: _show(name)) for name in SETTINGS]
            caplog.clear()
            with caplog.at_level(logging.DEBUG, "memorizz.postgresql"):
                hits = api.retrieve_by_query(query, LONG, 10, explain=True)
            assert hits.explanation is not None
            assert len(caplog.records) == len(hits.explanation["tried"]) or api is not provider
            assert [api.run(lambda _, name=name: _show(name)) for name in SETTINGS] == before


def test_what_single_precision_cannot_tell_apart_is_equally_near(dsn: str) -> None:
    """Vectors that differ by less are no misses of the index."""
    with PostgreSQLProvider(PostgreSQLConfig(dsn=dsn, embedding_dimensions=4)) as provider:
        provider.store_many(({"embedding": [n, 1, 2, 3]} for n in range(1200)), LONG)
        [way] = provider.measure_recall(LONG)["ways"]
    assert way["routes"] == {"index": 50}
    assert way["recall"] >= 0.99


@pytest.mark.parametrize(
    "options", ["-c default_transaction_read_only=on", "-c role=pg_monitor"], ids=["standby", "role"]
)
def test_who_may_only_read_can_measure(changed: PostgreSQLProvider, options: str) -> None:
    """The report is whole on a standby, and with the right to read alone; it says what was found by which route."""
    _execute(changed, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO pg_monitor")
    with PostgreSQLProvider(changed.config.replace(libpq={"options": options})) as reader:
        report = reader.measure_recall(LONG, sample=5)
    assert (report["rows"], report["sample"], report["limit"]) == (ROWS, 5, 10)
    assert [way["search"] for way in report["ways"]] == ["all", "one memory"]
    for way in report["ways"]:
        assert way["recall"] >= 0.99
        assert sum(way["routes"].values()) == 5
    assert report["advice"] == ["Nothing to change."]


# --- equal distances ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", ["hnsw", "halfvec", "none"])
@pytest.mark.parametrize(("rows", "groups"), [(30, 1), (300, 1), (3000, 1), (3000, 100)])
def test_rows_of_one_distance_are_in_the_order_of_storing(dsn: str, index: Any, rows: int, groups: int) -> None:
    """By whichever route, with and without a filter, alone or with words: the first stored is the first found."""
    config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=128, index=index)
    # Not next to each other, and in another order than their distance.
    places = np.random.default_rng(3).permutation(rows) % groups
    vectors = np.zeros((rows, 128), np.float32)
    vectors[:, 0], vectors[:, 1:] = 1, 0.01 * places[:, None] * np.where(np.arange(127) % 2, 1, -1)
    question = np.eye(128)[0]
    order = np.lexsort((np.arange(rows), places)).tolist()
    with PostgreSQLProvider(config) as provider:
        with _index_built_after(provider) if index != "none" else nullcontext():
            documents = ({"n": n, "memory_id": "m", "content": "tea", "embedding": v} for n, v in enumerate(vectors))
            provider.store_many(documents, LONG)
        for query in ({}, {"memory_id": "m"}, {"$text": {"$search": "tea"}}):
            for limit in (1, 10, 40):
                for exact in (False, True):
                    assert found(provider, question, query, limit, exact=exact) == order[:limit]
