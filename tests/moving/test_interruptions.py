"""Copies that are killed, cut off or out of room: the same call again goes on, and nothing is lost or there twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from memorizz.errors import ConnectionFailed, MemorizzError, StorageFull
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.maintenance import Maintenance
from memorizz.moving import copy

LONG, TALK = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY

_COPY = """
import sys
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.moving import copy

def told(progress):
    print(progress.phase, progress.store, progress.done, flush=True)

options = {"dsn": sys.argv[1], "embedding_dimensions": None}
with PostgreSQLProvider(PostgreSQLConfig(**options)) as source:
    with PostgreSQLProvider(PostgreSQLConfig(schema="moved", **options)) as target:
        copy(source, target, batch_size=20, journal=sys.argv[2], progress=told)
"""


def fill(source: PostgreSQLProvider) -> None:
    for store in (LONG, TALK):
        source.store_many(
            [
                {"id": f"{store.value} {n}", "n": n, "memory_id": "m", "embedding": [1, n, 0, 0]}
                | ({"timestamp": "2024-01-01"} if n % 3 else {})
                for n in range(200)
            ],
            store,
        )


def everything(provider: PostgreSQLProvider) -> dict[str, list[dict[str, Any]]]:
    return {store.value: provider.list_all(store, include_embedding=True) for store in MemoryType}


def vector_indexes(config: PostgreSQLConfig) -> set[str]:
    """Return the stores that have a vector index that can be used."""
    with Maintenance(config) as maintenance:
        return {index.store for index, _ in maintenance.indexes() if index.method == "hnsw" and index.valid}


@pytest.mark.parametrize(
    "last_words",
    ["copying long_term_memory 20", "copying long_term_memory 120", "copying conversation_memory 40", "verifying"],
)
def test_a_copy_that_is_killed_goes_on(
    source: PostgreSQLProvider,
    target: PostgreSQLProvider,
    target_config: PostgreSQLConfig,
    tmp_path: Path,
    last_words: str,
) -> None:
    """kill -9 at any moment; afterwards both sides are the same, updated_at and vector indexes included."""
    fill(source)
    before = everything(source)
    journal = tmp_path / "journal.json"
    command = [sys.executable, "-c", _COPY, source.config.conninfo, str(journal)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(last_words):
                process.kill()
                break
    assert process.returncode != 0
    assert journal.exists()
    report = copy(source, target, batch_size=20, journal=journal)
    assert report.ok
    assert report.resumed
    assert everything(target) == before
    assert sum(each.copied + each.present for each in report.stores) == 400
    assert vector_indexes(target_config) == {store.value for store in MemoryType}
    assert not journal.exists()


@contextmanager
def failing_at(config: PostgreSQLConfig, n: int, what: str) -> Generator[None]:
    """Have the server fail when a certain document is stored."""
    with psycopg.connect(config.conninfo, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION moved.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF NEW.data ->> 'n' = '{n}' THEN {what}; END IF; RETURN NEW; END $$"
        )
        connection.execute(
            "CREATE TRIGGER fail BEFORE INSERT ON moved.long_term_memory FOR EACH ROW EXECUTE FUNCTION moved.fail()"
        )
        yield
        connection.execute("DROP TRIGGER fail ON moved.long_term_memory")


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("PERFORM pg_terminate_backend(pg_backend_pid())", ConnectionFailed),
        ("RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'", StorageFull),
    ],
    ids=["connection lost", "disk full"],
)
def test_a_copy_whose_server_fails_goes_on(
    source: PostgreSQLProvider,
    target: PostgreSQLProvider,
    target_config: PostgreSQLConfig,
    what: str,
    error: type[MemorizzError],
) -> None:
    """In the middle of a batch: the batches before it stay, and the same call again does the rest."""
    fill(source)
    with failing_at(target_config, 87, what), pytest.raises(error):
        copy(source, target, batch_size=20)
    assert target.count(LONG) == 80
    report = copy(source, target, batch_size=20)
    assert report.ok
    assert report.resumed
    assert everything(target) == everything(source)
    assert vector_indexes(target_config) == {store.value for store in MemoryType}


def test_a_source_that_is_lost_can_be_gone_on_with(
    source: PostgreSQLProvider, target: PostgreSQLProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read is in the target."""
    fill(source)
    real = source.iterate

    def breaks(*args: Any, **options: Any) -> Any:
        for place, document in enumerate(real(*args, **options)):
            if place == 130:
                raise ConnectionFailed("the wire was cut")
            yield document

    with monkeypatch.context() as cut:
        cut.setattr(source, "iterate", breaks)
        with pytest.raises(ConnectionFailed):
            copy(source, target, batch_size=20)
    assert target.count(LONG) == 120
    assert copy(source, target, batch_size=20).ok
    assert everything(target) == everything(source)
