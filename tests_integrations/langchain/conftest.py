"""A provider and embeddings for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from topics import Topics

from memorizz import PostgreSQLConfig, PostgreSQLProvider


@pytest.fixture
def provider(config: PostgreSQLConfig) -> Iterator[PostgreSQLProvider]:
    with PostgreSQLProvider(config) as provider:
        yield provider


@pytest.fixture
def embedding() -> Topics:
    return Topics()
