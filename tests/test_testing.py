"""memorizz.testing: the fixtures that a user's tests take, run by a pytest of the user's own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

CONFTEST = """
import pytest
pytest_plugins = ["memorizz.testing"]

@pytest.fixture(scope="session")
def memorizz_options():
    return {"embedding_dimensions": 2}
"""
TESTS = """
import asyncio
import pytest
from memorizz import AsyncPostgreSQLProvider, MemoryType

@pytest.mark.parametrize("time", [1, 2])
def test_memories_are_empty_and_ones_own(memorizz_provider, time):
    assert memorizz_provider.count(MemoryType.LONG_TERM_MEMORY) == 0
    memorizz_provider.store({"id": "a", "embedding": [1, 0]}, MemoryType.LONG_TERM_MEMORY)
    assert memorizz_provider.retrieve_by_id("a", MemoryType.LONG_TERM_MEMORY)

def test_the_async_api_opens_the_same_memories(memorizz_config, memorizz_provider):
    memorizz_provider.store({"id": "a"}, MemoryType.LONG_TERM_MEMORY)

    async def count():
        async with AsyncPostgreSQLProvider(memorizz_config) as provider:
            return await provider.count(MemoryType.LONG_TERM_MEMORY)

    assert asyncio.run(count()) == 1

def test_that_fails(memorizz_provider):
    assert False
"""


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for temporary files, not below pytest's, which the inner pytest closes to the user of root's server."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


@pytest.fixture(params=["a server that is given", "an embedded server"])
def environment(request: pytest.FixtureRequest, server: str, temporary: Path) -> dict[str, str]:
    """What the user's tests run with."""
    ours = ("MEMORIZZ_", "POSTGRES_", "PYTEST")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    given = {"MEMORIZZ_TEST_DSN": server} if request.param.endswith("given") else {}
    return plain | given | {"TMPDIR": str(temporary)}


def test_each_test_has_memories_of_its_own(
    environment: dict[str, str], server: str, tmp_path: Path, temporary: Path
) -> None:
    """They are empty, of the options that the user's tests define, open to both APIs, and nothing is left of them."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert "1 failed, 3 passed" in ran.stdout, ran.stdout + ran.stderr
    assert [each.name for each in temporary.iterdir() if each.name.startswith("memorizz")] == []
    with psycopg.connect(server) as connection:
        names = connection.execute("SELECT datname FROM pg_database WHERE datname ~ '^memorizz_test_[0-9a-f]{32}$'")
        assert names.fetchall() == []
