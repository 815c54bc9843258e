"""Options that cannot be: each is refused when the object is made, on one line, whatever it is."""

from __future__ import annotations

import inspect
from typing import Any, get_args

import pytest

from memorizz import MongoDBConfig, PostgreSQLConfig, StoreSpec
from memorizz.embeddings import AsyncOpenAIEmbedder, OpenAIEmbedder
from memorizz.errors import MemorizzError
from memorizz.memory_provider.base import Ranking, SearchOptions
from memorizz.memory_provider.memory_type import MemoryType, SevenStores
from strange import VALUES

GIVEN: dict[Any, dict[str, Any]] = {
    PostgreSQLConfig: {"host": "h"},
    MongoDBConfig: {"uri": "mongodb://h"},
    OpenAIEmbedder: {"model": "m", "base_url": "http://h", "dimensions": 4},
    AsyncOpenAIEmbedder: {"model": "m", "base_url": "http://h", "dimensions": 4},
    StoreSpec: {"name": "own"},
    Ranking: {},
    SearchOptions: {},
}
OPTIONS = [
    (kind, name)
    for kind in GIVEN
    for name, parameter in inspect.signature(kind).parameters.items()
    if parameter.kind != parameter.VAR_KEYWORD
]


@pytest.mark.parametrize(("kind", "name"), OPTIONS, ids=lambda each: getattr(each, "__name__", each))
def test_a_value_that_cannot_be_is_refused_on_one_line(kind: Any, name: str) -> None:
    """It is taken, or it is an error of this library; nothing else, and never of several lines."""
    said: list[str] = []
    for value in VALUES.values():
        try:
            kind(**{**GIVEN[kind], name: value})
        except MemorizzError as error:
            said.append(str(error))
    assert [each for each in said if not each.isprintable() or len(each) > 5000] == []


def test_a_type_checker_knows_the_seven_stores() -> None:
    """By the names that they have, so that an editor offers them."""
    assert get_args(SevenStores) == tuple(MemoryType)
