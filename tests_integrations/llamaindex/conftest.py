"""A provider for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from memorizz import PostgreSQLConfig, PostgreSQLProvider


@pytest.fixture
def provider(config: PostgreSQLConfig) -> Iterator[PostgreSQLProvider]:
    with PostgreSQLProvider(config) as provider:
        yield provider
