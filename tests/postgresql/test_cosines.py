"""Vectors that all lie close together: their similarities are standardised, by what is measured of the store's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql
from psycopg_pool import ConnectionPool

from memorizz.memory_provider.base import Ranking
from memorizz.memory_provider.mongodb import MongoDBConfig, MongoDBProvider
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from mongod import drop_database

FACTS, DIMENSIONS = "long_term_memory", 32


def vectors(cone: float, rows: int = 150, seed: int = 1) -> list[list[float]]:
    """Vectors of any directions, drawn together as far as `cone` says."""
    random = np.random.default_rng(seed).standard_normal((rows, DIMENSIONS)) / DIMENSIONS**0.5
    random[:, 0] += cone
    return (random / np.linalg.norm(random, axis=1, keepdims=True)).tolist()


def documents(cone: float, rows: int = 150) -> list[dict[str, Any]]:
    return [{"id": str(n), "content": f"tea {n}", "embedding": v} for n, v in enumerate(vectors(cone, rows))]


@pytest.fixture(params=["PostgreSQL", "MongoDB"])
def config(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "PostgreSQL":
        yield PostgreSQLConfig(dsn=request.getfixturevalue("dsn"), embedding_dimensions=DIMENSIONS)
    else:
        uri = request.getfixturevalue("mongodb_uri")()
        name = "memorizz_cosines"
        drop_database(uri, name)
        yield MongoDBConfig(uri, name, embedding_dimensions=DIMENSIONS)
        drop_database(uri, name)


def opened(config: Any) -> Any:
    return PostgreSQLProvider(config) if isinstance(config, PostgreSQLConfig) else MongoDBProvider(config)


WORDS = Ranking(words=0.3)


def searched(provider: Any, ranking: Ranking = WORDS) -> Any:
    """The hits of a question whose words and whose vector point at different documents."""
    embedding = np.array(vectors(3.0)[7])
    query = {"embedding": embedding.tolist(), "$text": {"$search": "tea 3"}}
    return provider.retrieve_by_query(query, FACTS, 150, explain=True, ranking=ranking)


def meanings(hits: Any) -> dict[str, float]:
    return {hit["id"]: hit["_explanation"].get("meaning", 0.0) for hit in hits}


def test_what_lies_close_together_is_standardised(config: Any) -> None:
    """From the next opening on, in every process: differences count as much as another model's, in the same order."""
    with opened(config) as provider:
        provider.store_many(documents(3.0), FACTS)
        before = searched(provider)
        assert before.explanation["cosines"] is None
        with opened(config) as other:
            after = searched(other)
        measured = after.explanation["cosines"]
        assert measured["mean"] == pytest.approx(0.9, abs=0.03)
        assert measured["deviation"] < 0.05
        assert measured["stretched"] == pytest.approx(0.1 / measured["deviation"])
        plain, stretched = meanings(before), meanings(after)
        assert {id: value / 0.7 for id, value in stretched.items()} == pytest.approx(
            {id: (plain[id] / 0.7 - measured["mean"]) * measured["stretched"] for id in stretched}, abs=1e-4
        )
        # The nearest outweighs one more word.
        assert (before[0]["id"], after[0]["id"]) == ("3", "7")
        assert after[0]["distance"] == pytest.approx(0, abs=1e-6)
        if isinstance(config, PostgreSQLConfig):
            # The version of the facts says so to who is open already.
            assert searched(provider).explanation["cosines"] == measured
        with opened(config) as third:
            assert searched(third).explanation["cosines"] == measured


def test_both_ends_measure_and_score_alike(dsn: str, mongodb_uri: Any) -> None:
    """The same hundred vectors have one mean and one deviation, and the same hits the same meaning, at both ends."""
    uri, name = mongodb_uri(), f"memorizz_cosines_alike_{os.getpid()}"
    answers: list[Any] = []
    try:
        for config in (
            PostgreSQLConfig(dsn=dsn, embedding_dimensions=DIMENSIONS),
            MongoDBConfig(uri, name, embedding_dimensions=DIMENSIONS),
        ):
            with opened(config) as provider:
                provider.store_many(documents(3.0, 100), FACTS)
            with opened(config) as provider:
                answers.append(searched(provider))
    finally:
        drop_database(uri, name)
    assert answers[0].explanation["cosines"] == pytest.approx(answers[1].explanation["cosines"], rel=1e-4)
    assert answers[0].explanation["cosines"]["stretched"] > 1
    assert meanings(answers[0]) == pytest.approx(meanings(answers[1]), abs=1e-4)
    assert answers[0][0]["id"] == answers[1][0]["id"] == "7"


def test_what_is_far_apart_stays_as_it_is(config: Any) -> None:
    """The cosine similarity times its weight."""
    with opened(config) as provider:
        provider.store_many(documents(0.0), FACTS)
    with opened(config) as provider:
        hits = searched(provider, ranking=Ranking(meaning=0.5))
        assert hits.explanation["cosines"]["deviation"] > 0.1
        assert hits.explanation["cosines"]["stretched"] == 1.0
        assert all(hit["_explanation"].get("meaning", 0) == pytest.approx(0.5 * (1 - hit["distance"])) for hit in hits)


def test_by_meaning_alone_the_score_is_the_similarity(config: Any) -> None:
    """However close together the vectors lie; nor does rank fusion look at them."""
    with opened(config) as provider:
        provider.store_many(documents(3.0), FACTS)
    with opened(config) as provider:
        (hit,) = provider.retrieve_by_query({"embedding": vectors(3.0)[7]}, FACTS, 1)
        assert hit["score"] == pytest.approx(1)
        hits = searched(provider, ranking=Ranking(fusion="rrf"))
        assert meanings(hits)["7"] == pytest.approx(0.7 / 11)


def test_few_and_equal_vectors_say_nothing(config: Any) -> None:
    """A hundred are measured, or none; what is equal says nothing of others."""
    with opened(config) as provider:
        provider.store_many(documents(3.0, 99), FACTS)
    with opened(config) as provider:
        assert searched(provider).explanation["cosines"] is None
        provider.delete_all(FACTS)
        provider.store_many([{"content": "tea", "embedding": vectors(3.0)[0]} for _ in range(150)], FACTS)
    with opened(config) as provider:
        assert searched(provider).explanation["cosines"] is None


def test_loading_measures_at_its_end(dsn: str) -> None:
    """So that nobody has to open the store once more."""
    with PostgreSQLProvider(PostgreSQLConfig(dsn=dsn, embedding_dimensions=DIMENSIONS)) as provider:
        with provider.loading(FACTS):
            provider.store_many(documents(3.0), FACTS)
        assert searched(provider).explanation["cosines"]["stretched"] > 1


def test_who_may_only_read_opens_it_all_the_same(dsn: str) -> None:
    """And leaves it to others to note what it cannot."""
    config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=DIMENSIONS)
    with PostgreSQLProvider(config) as provider:
        provider.store_many(documents(3.0), FACTS)
    with psycopg.connect(dsn, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(sql.Identifier(name))
        )
    with PostgreSQLProvider(config) as provider:
        assert searched(provider).explanation["cosines"] is None


def test_an_open_provider_scores_by_what_another_has_measured(dsn: str) -> None:
    """The next search in a small memory counts as that of the provider which opened behind it does."""
    config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=DIMENSIONS)
    with opened(config) as first:
        first.memory("ada").store_many(documents(3.0), FACTS)
        before = meanings(searched(first.memory("ada")))
        with opened(config) as second:
            measured = meanings(searched(second.memory("ada")))
            assert measured != before
            assert meanings(searched(first.memory("ada"))) == measured


@pytest.mark.parametrize("locked", [FACTS, "memorizz_embedding_models"])
def test_opening_waits_for_nobody_to_measure(dsn: str, locked: str) -> None:
    """A store or a row that somebody holds is left for another time, and the pool that was given stays usable."""
    config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=DIMENSIONS)
    with PostgreSQLProvider(config) as provider:
        provider.store_many(documents(3.0), FACTS)
    with psycopg.connect(dsn) as holding, ConnectionPool(dsn, min_size=1, max_size=1, open=True) as pool:
        if locked == FACTS:
            holding.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(FACTS)))
        else:
            holding.execute(sql.SQL("SELECT FROM {} FOR UPDATE").format(sql.Identifier(locked)))
        for opening in (PostgreSQLProvider(config), PostgreSQLProvider(config, pool=pool)):
            with opening as other:
                assert other.store({"content": "tea"}, "personas")
    with PostgreSQLProvider(config) as provider:
        assert searched(provider).explanation["cosines"]["stretched"] > 1
