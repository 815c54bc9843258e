"""Where a program runs, and what a database, a role or the environment says of its sessions: it works all the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from memorizz.errors import SchemaError
from memorizz.memory_provider.postgresql import PostgreSQLConfig

TEXTS = {"content": "é 日本 \\n 'q' %s", "name": "à\\", "extra": {"clé": "ü\\u00e9"}}


def administer(server: str, *statements: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def stored(dsn: str) -> list[tuple[Any, ...]]:
    """What a session of somebody else's reads."""
    with psycopg.connect(dsn, client_encoding="utf8") as connection:
        return connection.execute("SELECT content, name, data->'extra' FROM toolbox").fetchall()


@pytest.fixture(params=["LATIN1", "WIN1252", "SQL_ASCII"])
def not_utf8(request: pytest.FixtureRequest, server: str) -> Iterator[tuple[str, str]]:
    """An empty database in another encoding."""
    name = f"memorizz_in_{request.param.lower()}"
    administer(server, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{request.param}' LOCALE 'C'")
    yield request.param, make_conninfo(server, dbname=name)
    administer(server, f"DROP DATABASE {name} WITH (FORCE)")


def test_a_database_that_is_not_in_utf8_is_refused(open_api: Callable[..., Any], not_utf8: tuple[str, str]) -> None:
    """It could not hold every text: the error says which encoding it has, and nothing is made in it."""
    encoding, dsn = not_utf8
    with pytest.raises(SchemaError, match=f"has the encoding {encoding}.*UTF8"):
        open_api(dsn).count("toolbox")
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT FROM pg_class WHERE relname = 'toolbox'").fetchone() is None


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "WIN1252"])
@pytest.mark.parametrize("said_by", ["environment", "database", "role"])
def test_what_others_take_texts_for_changes_none(
    open_api: Callable[..., Any], config: PostgreSQLConfig, dsn: str, migrated_dsn: str, encoding: str, said_by: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """PGCLIENTENCODING, or a database's or a role's client_encoding: texts are stored and read as they are."""
    name = conninfo_to_dict(migrated_dsn)["dbname"]
    if said_by == "environment":
        monkeypatch.setenv("PGCLIENTENCODING", encoding)
    elif said_by == "database":
        administer(migrated_dsn, f"ALTER DATABASE {name} SET client_encoding = '{encoding}'")
    else:
        administer(migrated_dsn, f"ALTER ROLE CURRENT_USER IN DATABASE {name} SET client_encoding = '{encoding}'")
    with open_api(config) as api:
        api.store_many([{"id": "a", **TEXTS}], "toolbox")
        [read] = api.list_all("toolbox")
        assert {key: read[key] for key in TEXTS} == TEXTS
        assert api.count("toolbox", {"extra.clé": TEXTS["extra"]["clé"]}) == 1
    monkeypatch.delenv("PGCLIENTENCODING", raising=False)
    assert stored(migrated_dsn) == [(TEXTS["content"], TEXTS["name"], TEXTS["extra"])]


class Toy:
    """An embedder without a model."""

    name, dimensions = "toy", 4

    def embed(self, texts: Sequence[str], *, kind: str = "document") -> list[list[float]]:
        return [[1.0, float("tea" in text), float("train" in text), len(text) % 7] for text in texts]


def walk(api: Any) -> list[Any]:
    """Return what a walk over the ways to talk to the server brings."""
    turns = [
        {"id": f"t{n}", "memory_id": "m", "conversation_id": "c", "role": ("Ada Lovelace", "Bob", "assistant")[n % 3],
         "content": f"turn {n} about \\tea\\ and 'trains' at 100%", "timestamp": f"2026-01-01T00:{n:02}:00Z",
         "path": "a\\b"}
        for n in range(60)
    ]  # fmt: skip
    api.store_many(turns, "conversation_memory")
    api.store({"id": "a", **TEXTS}, "toolbox")
    with api.transaction() as tx:
        tx.update_by_id("t3", {"content": "\\d+"}, "conversation_memory")
    hits = [
        *api.retrieve_by_query("What did Ada say about tea?", "conversation_memory", limit=9, explain=True),
        *api.retrieve_by_query({"embedding": [1, 0, 0, 0], "memory_id": "m"}, "conversation_memory", limit=6),
        *api.retrieve_by_query({"content": {"$contains": "\\"}, "path": "a\\b"}, "conversation_memory", limit=20),
        *api.list_all("toolbox"),
    ]
    clock = {"created_at", "updated_at"}
    return [{key: value for key, value in hit.items() if key not in clock} for hit in hits]


@pytest.mark.parametrize(
    "options",
    [{"options": "-c standard_conforming_strings=off -c escape_string_warning=off"}, {"prepare_threshold": 0},
     {"prepare_threshold": None}],
    ids=["backslashes", "prepared at once", "never prepared"],
)  # fmt: skip
def test_settings_that_change_no_answer(
    open_api: Callable[..., Any], config: PostgreSQLConfig, dsn: str, options: dict[str, Any]
) -> None:
    """Old rules for backslashes, every statement prepared or none: a new schema opens, and answers are the same."""
    with open_api(config, embedder=Toy()) as api:
        expected = walk(api)
    with open_api(PostgreSQLConfig(dsn=dsn, embedding_dimensions=4, **options), embedder=Toy()) as api:
        assert walk(api) == expected


# --- where the program runs ---------------------------------------------------------------------------------------

_STORING = """
import resource, sys
from memorizz import MemorizzError, PostgreSQLConfig, PostgreSQLProvider

class Toy:
    name, dimensions = "toy", 4
    def embed(self, texts, *, kind="document"):
        return [[1.0, 0.0, 0.0, 0.0] for _ in texts]

config = PostgreSQLConfig(dsn=sys.argv[1], embedding_dimensions=4)
with PostgreSQLProvider(config, embedder=Toy()) as provider:
    provider.store_many([{"content": f"tea {n}"} for n in range(20)], "toolbox")
    with provider.transaction() as tx:
        tx.store_many([{"content": f"milk {n}"} for n in range(20)], "toolbox")
    if "limited" in sys.argv:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
    try:
        provider.store_many([{"content": "long " * 200_000} for _ in range(20)], "toolbox")
    except MemorizzError as error:
        print(provider.count("toolbox"), type(error).__name__, error)
"""


def test_a_disk_without_room_for_what_waits(migrated_dsn: str) -> None:
    """Documents that wait for their vectors and find no room say so, and none of them is stored."""
    command = [sys.executable, "-c", _STORING, migrated_dsn, "limited"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert re.match(r"40 StorageFull the temporary file .*: make room, or set TMPDIR", done.stdout), done


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_container_that_cannot_write(migrated_dsn: str) -> None:
    """With a read-only root and no folder for temporary files all works that fits into memory; more says what to do."""
    readonly = "mount --make-rprivate / && mount -o remount,ro,bind / && cd /"
    if subprocess.run(["unshare", "-m", "sh", "-c", readonly], check=False, capture_output=True).returncode:
        pytest.skip("this root may not mount")
    script = f'{readonly} && ! touch /tmp/x 2>/dev/null && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", sys.executable, "-c", _STORING, migrated_dsn]
    environment = {name: value for name, value in os.environ.items() if name not in ("TMPDIR", "TEMP", "TMP")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert re.match(r"40 ConfigurationError the temporary file .*: make room, or set TMPDIR", done.stdout), done
