"""Embedders of stores of a caller's own: which is whose, and that none is taken for another."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from memorizz.errors import ConfigurationError
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.stores import StoreSpec


def embedder(name: str, dimensions: int) -> Any:
    """Return an embedder whose vectors all begin with the length of the text."""
    rest = [1.0] * (dimensions - 1)
    return SimpleNamespace(
        name=name, dimensions=dimensions, embed=lambda texts, kind: [[float(len(text)), *rest] for text in texts]
    )


SEVEN, TICKETS = embedder("for the seven", 4), embedder("for tickets", 3)


@pytest.fixture
def tickets(provider: PostgreSQLProvider) -> None:
    """A store of vectors of another length, made by somebody without an embedder."""
    provider.create_store(StoreSpec("tickets", dimensions=3))


@pytest.mark.usefixtures("tickets")
@pytest.mark.parametrize("embedders", [[SEVEN, TICKETS], [TICKETS, SEVEN]], ids=["seven first", "tickets first"])
def test_each_store_takes_the_embedder_of_its_length(config: PostgreSQLConfig, embedders: list[Any]) -> None:
    """In whatever order they are given; a text is found by the vector that its store's embedder made of it."""
    with PostgreSQLProvider(config, embedder=embedders) as provider:
        assert provider.embedding_model == "for the seven"
        for store, length in (("tickets", 3), ("toolbox", 4)):
            provider.store({"id": "a", "content": "tea"}, store)
            found = provider.retrieve_by_id("a", store, include_embedding=True)
            assert found is not None
            assert found["embedding"] == [3.0] + [1.0] * (length - 1)
            assert provider.retrieve_by_query("tea", store)[0]["distance"] == pytest.approx(0)


@pytest.mark.usefixtures("tickets")
def test_an_embedder_for_such_a_store_alone(config: PostgreSQLConfig) -> None:
    """It opens the schema; what is stored in the seven then has no vector, as without an embedder."""
    PostgreSQLProvider(config, embedder=SEVEN).close()
    with PostgreSQLProvider(config, embedder=TICKETS) as provider:
        for store in ("tickets", "toolbox"):
            provider.store({"id": "a", "content": "tea"}, store)
        assert provider.count("tickets", {"embedding": {"$exists": True}}) == 1
        assert provider.count("toolbox", {"embedding": {"$exists": True}}) == 0


@pytest.mark.usefixtures("tickets")
def test_a_model_that_no_store_has_is_refused(config: PostgreSQLConfig) -> None:
    """Also beside one that a store has, and where only its length is that of a store."""
    PostgreSQLProvider(config, embedder=[SEVEN, TICKETS]).close()
    for wrong in ([embedder("another", 3)], [TICKETS, embedder("another", 4)], [embedder("another", 9)]):
        with pytest.raises(ConfigurationError, match=r"made by 'for the seven', the embedder is .*'another'"):
            PostgreSQLProvider(config, embedder=wrong)


@pytest.mark.usefixtures("tickets")
def test_vectors_that_nobody_embeds_are_not_named(config: PostgreSQLConfig, provider: PostgreSQLProvider) -> None:
    """A store whose spec says that it is not embedded has the vectors of its callers, whoever opens the schema."""
    provider.create_store(StoreSpec("pictures", dimensions=5, embedded=False))
    with PostgreSQLProvider(config, embedder=[SEVEN, embedder("of pictures", 5)]) as opened:
        opened.store({"id": "a", "content": "a cat"}, "pictures")
        assert opened.count("pictures", {"embedding": {"$exists": True}}) == 0
