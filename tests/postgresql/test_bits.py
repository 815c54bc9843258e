"""The signs of the vectors: made on this side, checked by the server, and not needed of others who write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pytest

from faces import Blocking
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider, _recall

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
    made = vectors(1500)
    with open_face(config) as provider:
        provider.store_many(({"n": n, "memory_id": "m", "embedding": vector} for n, vector in enumerate(made)), LONG)
        connection.execute(f"UPDATE {LONG.value} SET embedding_bits = NULL WHERE data ->> 'n' = '700'")
        real = provider._awaited if isinstance(provider, Blocking) else provider
        real._schema = replace(real._schema, bits={LONG.value: 800})
        hits = provider.retrieve_by_query({"embedding": made[700], "memory_id": "m"}, LONG, limit=3, explain=True)
    assert hits.explanation["route"] == "bits"
    assert hits[0]["n"] == 700


def of_few_directions(count: int) -> np.ndarray:
    """Vectors that fill few of their dimensions, as those of a model do: their signs tell who is near."""
    random = np.random.default_rng(7)
    return (random.standard_normal((count, 4)) @ random.standard_normal((4, DIMENSIONS))).astype(np.float32)


@pytest.mark.parametrize(("made", "used", "compared"), [(of_few_directions, True, 200), (vectors, False, 800)])
def test_as_many_are_compared_as_were_measured_to_be_enough(
    config: PostgreSQLConfig, monkeypatch: pytest.MonkeyPatch,
    made: Callable[[int], np.ndarray], used: bool, compared: int,
) -> None:  # fmt: skip
    """Twice as many as kept enough, in this provider and in the next; where they do not keep it, no bits are used."""
    monkeypatch.setattr(_recall, "_TELLING", 10)
    documents = [{"n": n, "memory_id": f"m{n % 2}", "embedding": vector} for n, vector in enumerate(made(5000))]
    with PostgreSQLProvider(config) as provider:
        provider.store_many(documents, LONG)
        report = provider.measure_recall(LONG, sample=10)
        assert (report["bits"]["used"], report["bits"]["compared"]) == (used, compared)
        assert (report["bits"]["recall"] >= 0.99) is used
        # More that are wanted are not kept by more than are compared.
        wanting_many = provider.measure_recall(LONG, sample=3, limit=300)["bits"]
        assert wanting_many["compared"] == 800
        provider.measure_recall(LONG, sample=10)
        with PostgreSQLProvider(config) as opened_later:
            for each in (provider, opened_later):
                question = {"embedding": documents[7]["embedding"], "memory_id": "m0"}
                hits = each.retrieve_by_query(question, LONG, 10, explain=True)
                assert hits.explanation is not None
                assert hits.explanation["route"] == ("bits" if used else "exact")
                assert hits.explanation["parameters"]["by_bits"] == compared
                exact = each.retrieve_by_query(question, LONG, 10, exact=True)
                assert [hit["n"] for hit in hits] == [hit["n"] for hit in exact]
