"""The signs of the vectors: made on this side, checked by the server, trusted where their own answer shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pytest

from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider

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
    connection: psycopg.Connection[Any], config: PostgreSQLConfig, open_face: Callable[..., Any]
) -> None:
    """As a row of another program has none."""
    made = of_few_directions(5000)
    with open_face(config) as provider:
        provider.store_many(({"n": n, "memory_id": "m", "embedding": vector} for n, vector in enumerate(made)), LONG)
        connection.execute(f"UPDATE {LONG.value} SET embedding_bits = NULL WHERE data ->> 'n' = '700'")
        hits = provider.retrieve_by_query({"embedding": made[700], "memory_id": "m"}, LONG, limit=3, explain=True)
    assert hits.explanation["route"] == "bits"
    assert hits[0]["n"] == 700


@pytest.mark.parametrize(
    ("made", "routes"), [(of_few_directions, {"bits", "exact"}), (vectors, {"exact"})], ids=["telling", "not telling"]
)
def test_bits_are_taken_only_where_their_answer_shows_that_it_is_complete(
    config: PostgreSQLConfig, made: Callable[[int], np.ndarray], routes: set[str]
) -> None:
    """Asked with vectors that are not stored: where the signs do not tell who is near, every row is compared."""
    documents = [{"n": n, "memory_id": f"m{n % 2}", "embedding": vector} for n, vector in enumerate(made(5000))]
    questions = of_few_directions(10, seed=11) if made is of_few_directions else vectors(5010)[5000:]
    taken: set[str] = set()
    with PostgreSQLProvider(config) as provider:
        provider.store_many(documents, LONG)
        for question in questions:
            query = {"embedding": question, "memory_id": "m0"}
            hits = provider.retrieve_by_query(query, LONG, 10, explain=True)
            exact = provider.retrieve_by_query(query, LONG, 10, exact=True)
            assert hits.explanation is not None
            taken.add(hits.explanation["route"])
            assert [hit["n"] for hit in hits] == [hit["n"] for hit in exact]
    assert taken <= routes
    assert ("bits" in taken) is ("bits" in routes)


def test_a_new_memory_unlike_the_others_loses_nothing(dsn: str) -> None:
    """Many subjects are there and are measured; then a memory of one subject comes. All of its nearest are found.

    By the provider that was open and by a new one, asked about its own subject and about another.
    """
    random = np.random.default_rng(3)
    centres = random.standard_normal((61, 128))

    def near(subjects: Any) -> np.ndarray:
        return (centres[subjects] + random.standard_normal((len(subjects), 128))).astype(np.float32)

    config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=128)
    with PostgreSQLProvider(config) as provider:
        many, one = near(np.arange(1500) % 60), near(np.full(1600, 60))
        with provider.loading(LONG):
            provider.store_many(
                [{"memory_id": f"m{n % 9}", "embedding": vector} for n, vector in enumerate(many)], LONG
            )
        provider.measure_recall(LONG, sample=5)
        provider.store_many([{"memory_id": "new", "embedding": vector} for vector in one], LONG)
        with PostgreSQLProvider(config) as opened_later:
            for each in (provider, opened_later):
                for question in near(np.array([60] * 6 + [3] * 6)):
                    query = {"embedding": question, "memory_id": "new"}
                    found = [hit["id"] for hit in each.retrieve_by_query(query, LONG, 10)]
                    assert found == [hit["id"] for hit in each.retrieve_by_query(query, LONG, 10, exact=True)]
