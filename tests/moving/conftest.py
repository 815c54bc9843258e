"""Two places for memories, and somewhere for the journals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider


@pytest.fixture(autouse=True)
def state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the journals of this test are, on every platform."""
    for name in ("XDG_STATE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    return tmp_path


@pytest.fixture
def source(provider: PostgreSQLProvider) -> PostgreSQLProvider:
    """Where memories come from."""
    return provider


@pytest.fixture
def target_config(config: PostgreSQLConfig) -> PostgreSQLConfig:
    """What opens the schema that memories go to, beside that of the source."""
    return config.replace(schema="moved")


@pytest.fixture
def target(target_config: PostgreSQLConfig) -> Iterator[PostgreSQLProvider]:
    """Where memories go to."""
    with PostgreSQLProvider(target_config) as provider:
        yield provider
