"""A provider whose embedder is given by name: what it makes, for which length, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from memorizz.errors import ConfigurationError
from memorizz.memory_provider.postgresql import PostgreSQLConfig, reload

LONG = "long_term_memory"


def test_the_first_minute(open_api: Callable[..., Any], dsn: str) -> None:
    """A new schema with `embedder="local"` and no further word finds what shares no word with the question."""
    with open_api(dsn, embedder="local") as provider:
        provider.remember("Ada gets hives from cashews.", memory_id="ada")
        provider.remember("The train to Oxford leaves at eight.", memory_id="ada")
        (hit,) = provider.recall("Which foods is she allergic to?", memory_id="ada", limit=1)
        assert hit["content"] == "Ada gets hives from cashews."
        assert provider.embedding_dimensions == 384
        assert provider.embedding_model == "all-MiniLM-L6-v2-onnx-int8"
    # Who comes later need not say the length, nor need the embedder that is given be by name.
    with open_api(dsn, embedder=["local"]) as provider:
        assert provider.count(LONG) == 2


@pytest.mark.parametrize("given", [None, 1536])
def test_new_tables_are_made_for_the_embedder(open_api: Callable[..., Any], dsn: str, given: int | None) -> None:
    """Where the configuration says no length of its own, the embedder's is taken: of several the first's."""
    first, second = (
        SimpleNamespace(name=name, dimensions=length, embed=lambda texts, kind: [[1.0] * 3 for _ in texts])
        for name, length in (("first", 3), ("second", 5))
    )
    config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=given)
    with open_api(config, embedder=[first, second]) as provider:
        provider.store({"content": "tea"}, LONG)
        assert (provider.embedding_model, provider.embedding_dimensions) == ("first", 3)


def test_a_length_that_was_asked_for_is_not_changed(open_api: Callable[..., Any], dsn: str) -> None:
    """A configuration with another length than the embedder's is an error, as ever."""
    with (
        pytest.raises(ConfigurationError, match=r"makes vectors of 384 dimensions.*holds 8"),
        open_api(PostgreSQLConfig(dsn=dsn, embedding_dimensions=8), embedder="local") as provider,
    ):
        provider.count(LONG)


def test_what_was_made_of_a_name_is_closed(
    open_api: Callable[..., Any], config: PostgreSQLConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider closes the embedder that it made of a name, once, and leaves alone the one that it was given."""
    closed: list[str] = []

    def embedder(name: str) -> Any:
        return SimpleNamespace(
            name=name,
            dimensions=4,
            embed=lambda texts, kind: [[1.0] * 4 for _ in texts],
            close=lambda: closed.append(name),
        )

    monkeypatch.setattr(reload, "named", embedder)
    with open_api(config, embedder=["made", embedder("given")]) as provider:
        provider.store({"content": "tea"}, LONG)
        assert closed == []
    provider.close()
    assert closed == ["made"]


@pytest.mark.parametrize("given", ["lokal", ["lokal"], ""])
def test_a_name_that_is_none(open_api: Callable[..., Any], config: PostgreSQLConfig, given: Any) -> None:
    """It is an error at once that says which names there are."""
    with pytest.raises(ConfigurationError, match=r"there is no embedder .*expected 'local'"):
        open_api(config, embedder=given)


def test_the_same_name_twice(open_api: Callable[..., Any], config: PostgreSQLConfig) -> None:
    """One model has one embedder."""
    with pytest.raises(ConfigurationError, match="two embedders have the name"):
        open_api(config, embedder=["local", "local"])
