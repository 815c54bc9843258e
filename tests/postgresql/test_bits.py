"""The signs of the vectors: made on this side, checked by the server, trusted where their own answer shows it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from memorizz.memory_provider.base import Ranking
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.stores import StoreSpec

LONG = MemoryType.LONG_TERM_MEMORY
DIMENSIONS = 133


@pytest.fixture
def config(dsn: str) -> PostgreSQLConfig:
    """A schema whose vectors have enough numbers for their bits, and not a whole number of bytes of them."""
    return PostgreSQLConfig(dsn=dsn, embedding_dimensions=DIMENSIONS, index="none")


@pytest.fixture
def connection(config: PostgreSQLConfig) -> Iterator[psycopg.Connection[Any]]:
    PostgreSQLProvider(config).close()
    with psycopg.connect(config.conninfo, autocommit=True) as connection:
        yield connection


def vectors(count: int) -> np.ndarray:
    made = np.random.default_rng(5).standard_normal((count, DIMENSIONS)).astype(np.float32)
    made[:, 3] = 0.0
    made[:, 4] = -0.0
    return made


def of_few_directions(count: int, seed: int = 7) -> np.ndarray:
    """Vectors that fill few of their dimensions, as those of a model do: their signs tell who is near."""
    directions = np.random.default_rng(1).standard_normal((4, DIMENSIONS))
    return (np.random.default_rng(seed).standard_normal((count, 4)) @ directions).astype(np.float32)


def test_the_bits_are_those_of_the_server(connection: psycopg.Connection[Any], config: PostgreSQLConfig) -> None:
    """Stored one by one, copied, merged, updated: what pgvector would make of the vector; none where there is none."""
    made = vectors(6)
    with PostgreSQLProvider(config) as provider:
        provider.store({"embedding": made[0]}, LONG)
        provider.store_many([{"embedding": vector} for vector in made[1:4]], LONG)
        provider.store({"id": "x", "embedding": made[4]}, LONG)
        provider.store({"id": "x", "embedding": made[0]}, LONG)
        provider.store({"id": "y"}, LONG)
        provider.update_by_id("y", {"embedding": made[5]}, LONG)
        provider.store({"id": "z", "embedding": made[5]}, LONG)
        provider.update_by_id("z", {"embedding": None}, LONG)
    rows = connection.execute(
        "SELECT embedding_bits = binary_quantize(embedding)::bit(133), count(*), count(embedding_bits) "
        f"FROM {LONG.value} GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert rows == [(True, 6, 6), (None, 1, 0)]


def test_bits_cannot_lie(connection: psycopg.Connection[Any]) -> None:
    """Who writes SQL and gets them wrong is told; who leaves them out is not."""
    one, two = (vector.tolist() for vector in vectors(2))
    insert = f"INSERT INTO {LONG.value} (id, data, embedding, embedding_bits) VALUES (%s, '{{}}', %s::vector, %s)"
    with pytest.raises(psycopg.errors.CheckViolation, match="embedding_bits_check"):
        connection.execute(insert, [uuid4(), str(one), "".join("1" if number > 0 else "0" for number in two)])
    connection.execute(insert, [uuid4(), str(one), None])
    connection.execute(insert, [uuid4(), str(one), "".join("1" if number > 0 else "0" for number in one)])


def test_a_row_without_bits_is_found_by_bits(
    connection: psycopg.Connection[Any], config: PostgreSQLConfig, open_api: Callable[..., Any]
) -> None:
    """As a row of another program has none."""
    made = of_few_directions(5000)
    with open_api(config) as provider:
        provider.store_many(({"n": n, "memory_id": "m", "embedding": vector} for n, vector in enumerate(made)), LONG)
        connection.execute(f"UPDATE {LONG.value} SET embedding_bits = NULL WHERE data ->> 'n' = '700'")
        hits = provider.retrieve_by_query({"embedding": made[700], "memory_id": "m"}, LONG, limit=3, explain=True)
    assert hits.explanation["route"] == "bits"
    assert hits[0]["n"] == 700


# --- what is found by them ----------------------------------------------------------------------------------------

SIZE, ROWS, QUESTIONS = 128, 2400, 20
Made = Callable[[np.random.Generator], np.ndarray]


def few_directions(random: np.random.Generator) -> np.ndarray:
    """As a model's are, which fill few of their dimensions."""
    return random.standard_normal((ROWS, 4)) @ random.standard_normal((4, SIZE))


def noise(random: np.random.Generator) -> np.ndarray:
    """Nothing is near anything."""
    return random.standard_normal((ROWS, SIZE))


def positive(random: np.random.Generator) -> np.ndarray:
    """As histograms are: every sign is the same."""
    return np.abs(random.standard_normal((ROWS, 6)) @ random.standard_normal((6, SIZE))) + 0.01


def counts(random: np.random.Generator) -> np.ndarray:
    """Words of some topics, counted: most numbers are 0."""
    return random.poisson(random.gamma(0.1, 1, (12, SIZE))[random.integers(12, size=ROWS)]) + np.eye(SIZE)[0]


def far_from_the_origin(random: np.random.Generator) -> np.ndarray:
    """All in one direction, as those of some models: few signs differ."""
    return 8 * random.standard_normal(SIZE) + random.standard_normal((ROWS, 10)) @ random.standard_normal((10, SIZE))


def one_large_number(random: np.random.Generator) -> np.ndarray:
    """One of the numbers outweighs all others together, in every vector."""
    return np.hstack([random.normal(40, 10, (ROWS, 1)), random.standard_normal((ROWS, SIZE - 1))])


def one_subject(random: np.random.Generator) -> np.ndarray:
    """A memory that is about one thing."""
    return random.standard_normal(SIZE) + 0.1 * random.standard_normal((ROWS, SIZE))


def nearly_the_same(random: np.random.Generator) -> np.ndarray:
    """Each fifty times, with the last digits changed."""
    return np.repeat(random.standard_normal((ROWS // 50, SIZE)), 50, axis=0) + 1e-3 * random.standard_normal(
        (ROWS, SIZE)
    )


def topics_that_come_back(random: np.random.Generator) -> np.ndarray:
    """Of one sign, and stored topic by topic, twice."""
    topics = np.tile(np.repeat(np.abs(random.standard_normal((12, SIZE))), ROWS // 24, axis=0), (2, 1))
    return topics + 0.05 * np.abs(random.standard_normal((ROWS, SIZE)))


KINDS: tuple[Made, ...] = (
    few_directions, noise, positive, counts, far_from_the_origin, one_large_number, one_subject, nearly_the_same,
    topics_that_come_back,
)  # fmt: skip
PLAIN = StoreSpec("plain", index="none")


class Memories:
    """A memory for each kind of vectors, in a store with a vector index and in one without, and what is asked."""

    def __init__(self) -> None:
        random = np.random.default_rng(17)
        self.vectors = {kind.__name__: self.unit(kind(random)) for kind in KINDS}
        self.questions = {name: self.asked(vectors, random) for name, vectors in self.vectors.items()}

    @staticmethod
    def unit(vectors: np.ndarray) -> np.ndarray:
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def asked(self, vectors: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Near one of them, between two of them, and anywhere."""
        one, other = vectors[random.integers(ROWS, size=(2, QUESTIONS))]
        near = one + 0.02 * random.standard_normal((QUESTIONS, SIZE))
        return self.unit(np.vstack([near, one + other, random.standard_normal((QUESTIONS, SIZE))]))

    def documents(self) -> Iterator[dict[str, Any]]:
        for name, vectors in self.vectors.items():
            for n, vector in enumerate(vectors):
                words = [word for word, every in (("tea", 2), ("garden", 15), ("letter", 400)) if n % every == 0]
                yield {"n": n, "memory_id": name, "content": " ".join(words), "embedding": vector}

    def recall(self, name: str, question: np.ndarray, found: list[int]) -> float:
        """Return the share of those found that are as near as the nearest."""
        distances = 1 - self.vectors[name].astype(float) @ question.astype(float)
        farthest = np.sort(distances)[len(found) - 1]
        return float(np.mean(distances[found] <= farthest + 1e-6))


@pytest.fixture(scope="module")
def memories() -> Memories:
    return Memories()


@pytest.fixture(scope="module")
def filled(servers: Callable[[int], str], memories: Memories) -> Iterator[PostgreSQLProvider]:
    """A provider on a database of the module with all of them."""
    name = f"memorizz_bits_{os.getpid()}"
    with psycopg.connect(servers(18), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        config = PostgreSQLConfig(dsn=make_conninfo(servers(18), dbname=name), embedding_dimensions=SIZE)
        with PostgreSQLProvider(config) as provider:
            provider.create_store(PLAIN)
            for store in (LONG.value, PLAIN.name):
                with provider.loading(store):
                    provider.store_many(memories.documents(), store)
            yield provider
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


CASES = [
    *(pytest.param(kind, PLAIN.name, id=kind.__name__) for kind in KINDS),
    # Of the others, of which few or none has neighbours, a vector index finds less: docs/guarantees.md.
    *(
        pytest.param(kind, LONG.value, id=f"{kind.__name__}, indexed")
        for kind in (few_directions, positive, far_from_the_origin, one_subject, topics_that_come_back)
    ),
]


@pytest.mark.parametrize("limit", [1, 10, 50])
@pytest.mark.parametrize(("kind", "store"), CASES)
def test_the_nearest_are_found_in_any_memory(
    filled: PostgreSQLProvider, memories: Memories, kind: Made, store: str, limit: int
) -> None:
    """Whatever its vectors are like: another route than the exact one is taken only where its answer is that one's."""
    name, shares, routes = kind.__name__, list[float](), Counter[str]()
    for question in memories.questions[name]:
        # As a provider that has just been opened: no earlier search has shown which routes are in vain.
        assert filled._facts is not None
        filled._facts.store(store).shown.clear()
        hits = filled.retrieve_by_query({"embedding": question, "memory_id": name}, store, limit, explain=True)
        assert len(hits) == limit
        assert hits.explanation is not None
        routes[hits.explanation["route"]] += 1
        shares.append(memories.recall(name, question, [hit["n"] for hit in hits]))
    assert np.mean(shares) >= 0.99, routes
    # The exact route finds everything; this is about the others.
    if kind is few_directions:
        assert routes["bits" if store == PLAIN.name else "index"] > 20


def test_a_new_memory_unlike_what_was_there(dsn: str) -> None:
    """Many subjects are there and are measured; then a memory of one subject comes. Its nearest are found.

    By the provider that was open and by a new one, asked about its own subject and about others.
    """
    random = np.random.default_rng(3)
    centres = random.standard_normal((500, SIZE))

    def near(subjects: Any) -> np.ndarray:
        return (centres[subjects] + 0.3 * random.standard_normal((len(subjects), SIZE))).astype(np.float32)

    config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=SIZE)
    with PostgreSQLProvider(config) as provider:
        subjects = np.arange(6000) % 500
        with provider.loading(LONG):
            provider.store_many(
                (
                    {"memory_id": f"m{subject % 20}", "embedding": vector}
                    for subject, vector in zip(subjects, near(subjects), strict=True)
                ),
                LONG,
            )
        provider.measure_recall(LONG, sample=5)
        provider.store_many(({"memory_id": "new", "embedding": vector} for vector in near(np.full(2000, 7))), LONG)
        with PostgreSQLProvider(config) as opened_later:
            for each in (provider, opened_later):
                for subjects in (np.full(25, 7), random.integers(8, 500, size=25)):
                    shares: list[float] = []
                    for question in near(subjects):
                        query = {"embedding": question, "memory_id": "new"}
                        found = {hit["id"] for hit in each.retrieve_by_query(query, LONG, 10)}
                        exact = {hit["id"] for hit in each.retrieve_by_query(query, LONG, 10, exact=True)}
                        shares.append(len(found & exact) / 10)
                    assert np.mean(shares) >= 0.99


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.__name__) for kind in KINDS])
def test_the_best_by_both_are_found_in_any_memory(filled: PostgreSQLProvider, memories: Memories, kind: Made) -> None:
    """The nearest that decide are found by the bits, and the best by words: the hits are those of all compared."""
    shares, routes = list[float](), Counter[str]()
    for question in memories.questions[kind.__name__][::3]:
        assert filled._facts is not None
        filled._facts.store(PLAIN.name).shown.clear()
        query = {"embedding": question, "$text": {"$search": "garden tea letter"}, "memory_id": kind.__name__}
        hits = filled.retrieve_by_query(query, PLAIN.name, 10, explain=True)
        best = filled.retrieve_by_query(query, PLAIN.name, 10, exact=True)
        assert hits.explanation is not None
        routes[hits.explanation["route"]] += 1
        shares.append(float(np.mean([hit["_score"] >= best[-1]["_score"] - 1e-6 for hit in hits])))
        assert len(hits) == len(best)
    assert np.mean(shares) >= 0.99, routes
    if kind is few_directions:
        assert routes["bits"] > routes["exact"]


def test_what_has_the_words_needs_no_vector(config: PostgreSQLConfig, open_api: Callable[..., Any]) -> None:
    """In a memory that is ranked by bits too; and what has a vector needs no words."""
    made = of_few_directions(3000)
    with open_api(config) as provider:
        provider.store_many(({"n": n, "memory_id": "m", "embedding": each} for n, each in enumerate(made)), LONG)
        provider.store({"n": "words", "memory_id": "m", "content": "A letter from the harbour."}, LONG)
        provider.store({"n": "other", "memory_id": "o", "content": "A letter from the harbour."}, LONG)
        query = {"embedding": made[700], "$text": {"$search": "letter"}, "memory_id": "m"}
        for fusion in ("score", "rrf"):
            hits = provider.retrieve_by_query(query, LONG, 5, explain=True, ranking=Ranking(words=2, fusion=fusion))
            assert hits.explanation["route"] == "bits"
            assert {"words", 700} <= {hit["n"] for hit in hits}
            assert "other" not in {hit["n"] for hit in hits}
