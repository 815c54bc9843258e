"""A real PostgreSQL for the tests of the integrations: a server for the run, a fresh database for each test."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import in_memory  # noqa: F401  the servers' folders
from memorizz import PostgreSQLConfig
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

ROOT = Path(__file__).parent.parent
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "300"}

_numbers = itertools.count()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The connection string of a server: that of MEMORIZZ_TEST_DSN, else one that is started for the run."""
    if given := os.environ.get("MEMORIZZ_TEST_DSN"):
        yield given
        return
    with _running() as running:
        yield running.acquire()
        running.release()


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    """A server that the test may stop, and that stays until then."""
    with _running() as running:
        running.pin()
        yield running


@contextmanager
def _running() -> Generator[EmbeddedServer]:
    path = Path(tempfile.mkdtemp(prefix="memorizz-integrations-"))
    path.chmod(0o711)
    running = EmbeddedServer(path / "data", settings=FAST)
    yield running
    running.stop()
    shutil.rmtree(path)


@pytest.fixture
def dsn(server: str) -> Iterator[str]:
    """The connection string of a fresh, empty database."""
    name = f"memorizz_integration_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} STRATEGY file_copy").format(sql.Identifier(name)))
    yield make_conninfo(server, dbname=name)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def config(dsn: str) -> PostgreSQLConfig:
    """What opens the fresh database; the tables are made then."""
    return PostgreSQLConfig(dsn=dsn, embedding_dimensions=4, max_size=8)


@pytest.fixture
def environment(dsn: str) -> dict[str, str]:
    """The environment of a program that is to use the fresh database: POSTGRES_* name it."""
    given = conninfo_to_dict(dsn)
    names = {"host": "HOST", "port": "PORT", "dbname": "DB", "user": "USER", "password": "PASSWORD"}
    plain = {name: value for name, value in os.environ.items() if not name.startswith("POSTGRES_")}
    return plain | {f"POSTGRES_{names[key]}": str(value) for key, value in given.items() if key in names}


@pytest.fixture
def run_page(environment: dict[str, str], tmp_path: Path) -> Callable[[str], list[str]]:
    """Run the programs of a page, each Python block in a process of its own, one after the other.

    The database stays the same from one to the next. What a block prints must be what its lines of `# -> ` say, where
    it has any. Return what each printed.
    """

    def run(page: str) -> list[str]:
        text = (ROOT / "docs" / "integrations" / page).read_text("utf-8")
        programs = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        assert programs, f"{page} has no program"
        printed: list[str] = []
        for number, program in enumerate(programs):
            path = tmp_path / f"{Path(page).stem}_{number}.py"
            path.write_text(program, "utf-8")
            done = subprocess.run(
                [sys.executable, path], env=environment, capture_output=True, text=True, timeout=300, check=False
            )
            assert done.returncode == 0, f"{page}, program {number + 1}:\n{done.stderr}"
            said = [line.split("# -> ", 1)[1] for line in program.splitlines() if "# -> " in line]
            if said:
                assert done.stdout.splitlines() == said, f"{page}, program {number + 1}"
            printed.append(done.stdout)
        return printed

    return run
