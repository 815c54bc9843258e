"""memorizz migrate-from: from the command line, for people and for programs."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import ObjectId
from psycopg.conninfo import make_conninfo
from pymongo import MongoClient

from memorizz.errors import StorageFull
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from relay import relay

LONG = MemoryType.LONG_TERM_MEMORY
Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def _state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("XDG_STATE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))


@pytest.fixture
def source(provider: PostgreSQLProvider) -> PostgreSQLProvider:
    """Some memories to move."""
    provider.store_many([{"id": f"d{n}", "content": "tea", "embedding": [1, n, 0, 0]} for n in range(5)], LONG)
    provider.store_memagent({"id": "ada", "memory_ids": ["m"]})
    return provider


def test_memories_move_into_a_new_schema(memorizz: Run, source: PostgreSQLProvider, config: PostgreSQLConfig) -> None:
    """The tables are made for vectors of the source's length; a table says what was copied, a pipe sees no progress."""
    result = memorizz("migrate-from", config.conninfo, "--dsn", config.conninfo, "--schema", "moved")
    assert result.code == 0
    assert "long_term_memory" in result.stdout
    assert "the same on both sides" in result.stdout
    assert result.stderr == ""
    with PostgreSQLProvider(config.replace(schema="moved")) as target:
        assert target.embedding_dimensions == 4
        assert target.list_all(LONG, include_embedding=True) == source.list_all(LONG, include_embedding=True)
        assert target.retrieve_memagent("ada") == source.retrieve_memagent("ada")


def test_the_report_as_json(memorizz: Run, source: PostgreSQLProvider, config: PostgreSQLConfig) -> None:
    """Everything that the report of copy holds; --store chooses."""
    result = memorizz(
        "migrate-from", config.conninfo, "--dsn", config.conninfo, "--schema", "moved", "--store", "agents", "--json"
    )
    assert result.code == 0
    assert result.json["ok"] is True
    assert [(each["store"], each["copied"]) for each in result.json["stores"]] == [("agents", 1)]


def test_a_target_that_holds_documents_needs_a_word(
    memorizz: Run, source: PostgreSQLProvider, config: PostgreSQLConfig
) -> None:
    """Refused with exit code 1, merged or replaced when told so, and not both."""
    move = ("migrate-from", config.conninfo, "--dsn", config.conninfo, "--schema", "moved")
    assert memorizz(*move).code == 0
    refused = memorizz(*move)
    assert (refused.code, refused.stdout) == (1, "")
    assert "holds documents already (5 in long_term_memory, 1 in agents)" in refused.stderr
    assert memorizz(*move, "--merge").code == 0
    assert memorizz(*move, "--replace", "--yes").code == 0
    assert "give one of them" in memorizz(*move, "--merge", "--replace").stderr


def test_what_is_replaced_is_asked_for(
    memorizz: Run, source: PostgreSQLProvider, config: PostgreSQLConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what would be deleted where; without a terminal it takes --yes, and nothing is asked where nothing is."""
    move = ("migrate-from", config.conninfo, "--dsn", config.conninfo, "--schema", "moved", "--replace")
    assert memorizz(*move).code == 0
    refused = memorizz(*move)
    assert (refused.code, refused.stdout) == (1, "")
    assert "Delete what" in refused.stderr
    assert "holds (5 in long_term_memory, 1 in agents), to replace it?" in refused.stderr
    assert "stdin is not a terminal: pass --yes" in refused.stderr
    with PostgreSQLProvider(config.replace(schema="moved")) as target:
        target.store({"id": "own"}, LONG)
        monkeypatch.setattr("sys.stdin", Terminal("n\ny\n"))
        assert memorizz(*move).code == 1
        assert target.count(LONG) == 6
        assert memorizz(*move).code == 0
        assert target.count(LONG) == 5


class Terminal(io.StringIO):
    """What a person types."""

    def isatty(self) -> bool:
        return True


def test_memories_are_not_replaced_by_themselves(
    memorizz: Run, source: PostgreSQLProvider, config: PostgreSQLConfig
) -> None:
    """By another address of the same server: exit code 1, and all of them are there."""
    with relay(config.conninfo) as port:
        other = make_conninfo(config.conninfo, host="localhost", port=port, sslmode="disable")
        for here, there in ((config.conninfo, other), (other, config.conninfo)):
            refused = memorizz("migrate-from", here, "--dsn", there, "--replace", "--yes")
            assert refused.code == 1
            assert "the same memories by two addresses" in refused.stderr
    assert source.count(LONG) == 5


def test_a_dry_run_needs_tables_and_makes_none(
    memorizz: Run, source: PostgreSQLProvider, config: PostgreSQLConfig
) -> None:
    """It says how to make them; then it says what there is, and what would not fit, with exit code 1."""
    source.store({"id": "e\n  d9: fits", "embedding": [1.0] * 4}, LONG)
    move = ("migrate-from", config.conninfo, "--dsn", config.conninfo, "--schema", "moved", "--dry-run")
    result = memorizz(*move)
    assert result.code == 1
    assert "`memorizz migrate --dimensions 4` makes them" in result.stderr
    assert memorizz("migrate", "--dsn", config.conninfo, "--schema", "moved", "--dimensions", "3").code == 0
    result = memorizz(*move)
    assert result.code == 1
    assert "4 (6)" in result.stdout
    assert "e\\n  d9: fits: cannot store 'embedding'" in result.stdout
    assert "d0: cannot store 'embedding': vector dimension mismatch" in result.stdout
    assert "nothing was written" in result.stdout
    with PostgreSQLProvider(config.replace(schema="moved", embedding_dimensions=3)) as target:
        assert target.count(MemoryType.MEMAGENT) == 0


def test_a_dump_and_a_server_of_mongodb_are_sources(
    memorizz: Run, mongodb_uri: Callable[[], str], config: PostgreSQLConfig, tmp_path: Path
) -> None:
    """A folder, with --db the database of several; a URI, whose database is its own or that of --db."""
    name = f"memorizz_cli_{os.getpid()}"
    document = {"_id": ObjectId(), "content": "tea", "embedding": [1.0, 2.0, 3.0]}
    (tmp_path / "dump" / name).mkdir(parents=True)
    (tmp_path / "dump" / name / "long_term_memory.bson").write_bytes(bson.encode(document))
    uri = mongodb_uri()
    with MongoClient[dict[str, Any]](uri) as client:
        client[name]["long_term_memory"].insert_one(document)
        try:
            sources = [(tmp_path / "dump", "--db", name), (tmp_path / "dump" / name,), (uri, "--db", name)]
            for number, source in enumerate(sources):
                schema = f"moved_{number}"
                result = memorizz("migrate-from", *source, "--dsn", config.conninfo, "--schema", schema, "--json")
                assert result.code == 0, result.stderr
                with PostgreSQLProvider(config.replace(schema=schema, embedding_dimensions=None)) as target:
                    assert target.embedding_dimensions == 3
                    assert [each["id"] for each in target.list_all(LONG)] == [str(document["_id"])]
            assert client[name].list_collection_names() == ["long_term_memory"]
        finally:
            client.drop_database(name)


def test_fields_that_are_not_copied_are_listed(memorizz: Run, config: PostgreSQLConfig, tmp_path: Path) -> None:
    """With the id, and exit code 1, in a dry run too."""
    (tmp_path / "long_term_memory.bson").write_bytes(bson.encode({"_id": "a", "_score": 1, "content": "tea"}))
    for options, said in ((["--dry-run"], "would be copied in part"), ([], "long_term_memory: copied in part")):
        result = memorizz("migrate-from", tmp_path, "--dsn", config.conninfo, *options)
        assert result.code == 1
        assert said in result.stdout
        assert "a: without _score" in result.stdout
    with PostgreSQLProvider(config) as target:
        assert target.count(LONG) == 1


def test_an_interrupted_copy_says_that_it_can_be_gone_on_with(
    memorizz: Run, source: PostgreSQLProvider, config: PostgreSQLConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of a server is exit code 1, Ctrl-C is 130; then the same command does the rest."""
    move = ("migrate-from", config.conninfo, "--dsn", config.conninfo, "--schema", "moved", "--batch-size", "2")
    real = PostgreSQLProvider.store_many
    stored: list[int] = []
    failures = [KeyboardInterrupt(), StorageFull("the server has no room left")]

    def store_many(self: PostgreSQLProvider, *arguments: Any) -> list[str]:
        if len(stored) == 1 and failures:
            raise failures.pop()
        stored.append(1)
        return real(self, *arguments)

    monkeypatch.setattr(PostgreSQLProvider, "store_many", store_many)
    full = memorizz(*move)
    assert full.code == 1
    assert "no room left" in full.stderr
    assert "the same command again goes on from there" in full.stderr
    interrupted = memorizz(*move)
    assert interrupted.code == 130
    assert "interrupted" in interrupted.stderr
    assert memorizz(*move).code == 0
    with PostgreSQLProvider(config.replace(schema="moved")) as target:
        assert target.list_all(LONG, include_embedding=True) == source.list_all(LONG, include_embedding=True)


def test_an_unreachable_source_is_an_error_without_the_password(memorizz: Run, config: PostgreSQLConfig) -> None:
    """One message, exit code 1, no traceback."""
    result = memorizz(
        "migrate-from", "postgresql://ada:hunter2@127.0.0.1:1/memories", "--dsn", config.conninfo, "--schema", "moved"
    )
    assert (result.code, result.stdout) == (1, "")
    assert "Failed to connect to PostgreSQL" in result.stderr
    assert "hunter2" not in result.stderr
