"""The commands of docs/how-to/back-up.md, on a real server: what is restored is what was there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer, _folder, _programs
from postgresql.conftest import wait_for

LONG = MemoryType.LONG_TERM_MEMORY
EAST = [1.0, 0.0, 0.0, 0.0]
PAGE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "back-up.md"
DUMP, RESTORE, SCHEMA, BASE, RECOVER, START, LOOK = re.findall(r"```bash\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
STOP = 'pg_ctl --pgdata="$DATA" --mode=immediate --wait stop'
PROGRAMS = _programs.installation(18) / "bin"


@pytest.fixture
def archiving(folder: Path) -> Iterator[EmbeddedServer]:
    """A server that archives its write-ahead log."""
    (folder / "archive").mkdir()
    # The server's user, who may be another.
    (folder / "archive").chmod(0o777)
    command = f"cp %p {folder}/archive/%f"
    # With fsync, without which the doctor finds it in danger.
    server = EmbeddedServer(folder / "data", settings={"archive_mode": "on", "archive_command": command})
    server.acquire()
    yield server
    server.release()


@pytest.fixture
def shell(folder: Path, archiving: EmbeddedServer) -> Callable[..., str]:
    """Run commands of the page in a folder, as somebody whom the server lets in, or as the server's user."""
    account = _folder.account_of(Path(conninfo_to_dict(archiving.status().conninfo or "")["host"]))

    def run(commands: str, *, as_server: bool = False, **variables: str) -> str:
        there = conninfo_to_dict(archiving.status().conninfo or "")
        found = {"PGHOST": str(there["host"]), "PGPORT": str(there["port"]), "PGUSER": "postgres"}
        path = f"{PROGRAMS}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        other = as_server and not account.ours
        user: dict[str, Any] = {"user": account.uid, "group": account.gid, "extra_groups": []} if other else {}
        # Into a file: a server that is started keeps what it inherits open.
        said = folder / "said"
        with said.open("w") as output:
            done = subprocess.run(
                ["bash", "-euc", commands], cwd="/" if other else folder, check=False, stdin=subprocess.DEVNULL,
                env={**os.environ, "PATH": path, **found, **variables}, stdout=output, stderr=subprocess.STDOUT, **user,
            )  # fmt: skip
        assert done.returncode == 0, said.read_text()
        return said.read_text()

    return run


@pytest.fixture
def memorizz_dsn(archiving: EmbeddedServer) -> str:
    return make_conninfo(archiving.status().conninfo or "", dbname="memorizz")


def filled(config: PostgreSQLConfig) -> Any:
    """Store of everything something, and return what there is."""
    with PostgreSQLProvider(config) as provider:
        provider.keep_history(LONG)
        many = [{"id": str(n), "content": f"tea {n}", "embedding": [1.0, n, 0.0, 0.0]} for n in range(200)]
        provider.store_many(many, LONG)
        provider.update_by_id("1", {"content": "milk"}, LONG)
        provider.tenant("acme").store({"id": "1", "content": "of acme"}, LONG)
        return state(provider)


def state(provider: PostgreSQLProvider) -> Any:
    # Not both in one: their scores go by how far vectors lie apart, which whoever opens a schema next may have noted.
    hits = [provider.retrieve_by_query(each, LONG, 5) for each in ({"embedding": EAST}, {"$text": {"$search": "milk"}})]
    of_acme = provider.tenant("acme").list_all(LONG)
    versions = [each.document for each in provider.versions("1", LONG)]
    return provider.identity, provider.list_all(LONG, include_embedding=True), hits, of_acme, versions


def test_a_dump_is_restored(shell: Callable[..., str], memorizz_dsn: str) -> None:
    """Into another database: documents, vectors, tenants, histories and what searches find are the same."""
    before = filled(PostgreSQLConfig(dsn=memorizz_dsn, embedding_dimensions=4))
    shell(DUMP)
    shell(RESTORE)
    restored = PostgreSQLConfig(dsn=make_conninfo(memorizz_dsn, dbname="restored"), embedding_dimensions=None)
    with PostgreSQLProvider(restored) as provider:
        assert repr(state(provider)) == repr(before)
        assert provider.store({"content": "more"}, LONG)


def test_one_schema_is_restored(shell: Callable[..., str], memorizz_dsn: str) -> None:
    """Of several in a database one alone, where the extension is made first."""
    before = filled(PostgreSQLConfig(dsn=memorizz_dsn, schema="agents", embedding_dimensions=4))
    filled(PostgreSQLConfig(dsn=memorizz_dsn, schema="others", embedding_dimensions=4))
    shell(SCHEMA)
    dsn = make_conninfo(memorizz_dsn, dbname="elsewhere")
    with PostgreSQLProvider(PostgreSQLConfig(dsn=dsn, schema="agents", embedding_dimensions=None)) as provider:
        assert repr(state(provider)) == repr(before)
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT FROM pg_namespace WHERE nspname = 'others'").fetchone() is None


@pytest.fixture
def places(folder: Path) -> Iterator[dict[str, str]]:
    """Where the base backup, what is made of it, and the archive are."""
    work = folder / "work"
    work.mkdir()
    work.chmod(0o777)
    yield {"BASE": f"{work}/base", "DATA": f"{work}/restored", "ARCHIVE": f"{folder}/archive"}
    shutil.rmtree(work, ignore_errors=True)


def now(sql: psycopg.Connection[Any]) -> datetime:
    (time,) = sql.execute("SELECT clock_timestamp()").fetchone() or (datetime.now(UTC),)
    return time


def archived(sql: psycopg.Connection[Any], places: dict[str, str]) -> Path:
    """Have the log of today archived; return its file."""
    (log,) = sql.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone() or ("",)
    file = Path(places["ARCHIVE"], log)
    wait_for(file.exists, "the log to be archived")
    return file


def prepare(shell: Callable[..., str], archiving: EmbeddedServer, places: dict[str, str], time: datetime) -> None:
    """Do what the page says up to the start."""
    shell(RECOVER, as_server=True, **places, TIME=time.isoformat(sep=" "))
    # What the embedded server says on its command line.
    files = archiving.path / ".memorizz"
    settings = {"unix_socket_directories": Path(places["DATA"]).parent, "listen_addresses": "", "port": 5432,
                "archive_mode": "off", "hba_file": files / "pg_hba.conf",
                "ident_file": files / "pg_ident.conf"}  # fmt: skip
    with Path(places["DATA"], "postgresql.auto.conf").open("a") as written:
        written.writelines(f"{name} = '{value}'\n" for name, value in settings.items())


def test_a_time_is_gone_back_to(
    shell: Callable[..., str], memorizz_dsn: str, places: dict[str, str], archiving: EmbeddedServer
) -> None:
    """What was stored between the base backup and that time is there, and what was deleted after it is not gone."""
    config = PostgreSQLConfig(dsn=memorizz_dsn, embedding_dimensions=4)
    filled(config)
    work = Path(places["DATA"]).parent
    shell(BASE, as_server=True, **places)
    with PostgreSQLProvider(config) as provider, psycopg.connect(memorizz_dsn, autocommit=True) as sql:
        provider.store({"id": "later", "content": "after the base backup"}, LONG)
        before = state(provider)
        time = now(sql)
        provider.delete_all(LONG)
        provider.store({"id": "last", "content": "too late"}, LONG)
        archived(sql, places)
    prepare(shell, archiving, places, time)
    shell(START, as_server=True, **places)
    try:
        dsn = make_conninfo(memorizz_dsn, host=str(work))
        wait_for(lambda: not in_recovery(dsn), "the end of the recovery")
        said = shell(LOOK, PGHOST=str(work))
        assert re.search(r"long_term_memory +202 ", said)
        with PostgreSQLProvider(PostgreSQLConfig(dsn=dsn, embedding_dimensions=None)) as provider:
            assert repr(state(provider)) == repr(before)
            assert provider.store({"content": "more"}, LONG)
    finally:
        shell(STOP, as_server=True, **places)


NOT_REACHED = "recovery ended before configured recovery target was reached"
TOO_EARLY = "requested recovery stop point is before consistent recovery point"


@pytest.mark.parametrize(
    ("wanted", "lost", "said"),
    [("before", False, TOO_EARLY), ("after", False, NOT_REACHED), ("between", True, NOT_REACHED)],
    ids=["before the end of the base backup", "behind the archive", "a log is missing"],
)
def test_a_time_that_cannot_be_gone_back_to_is_refused(
    shell: Callable[..., str], memorizz_dsn: str, places: dict[str, str], archiving: EmbeddedServer,
    wanted: str, lost: bool, said: str,
) -> None:  # fmt: skip
    """The server does not open with something else; its log says what the page says."""
    assert said in PAGE.read_text("utf-8")
    config = PostgreSQLConfig(dsn=memorizz_dsn, embedding_dimensions=4)
    filled(config)
    with PostgreSQLProvider(config) as provider, psycopg.connect(memorizz_dsn, autocommit=True) as sql:
        times = {"before": now(sql)}
        with writing(provider):
            shell(BASE, as_server=True, **places)
        provider.store({"id": "later"}, LONG)
        log = archived(sql, places)
        times["between"] = now(sql)
        provider.store({"id": "last"}, LONG)
        archived(sql, places)
        times["after"] = now(sql)
    if lost:
        log.unlink()
    prepare(shell, archiving, places, times[wanted])
    # It may have begun to answer reads before it comes to the end.
    shell(f"{START.strip()} || true", as_server=True, **places)
    try:
        wait_for(lambda: said in Path(places["DATA"] + ".log").read_text(), "the log to say so")
    finally:
        shell(f"{STOP} || true", as_server=True, **places)


def test_a_time_before_a_quiet_base_backup_brings_the_base_backup(
    shell: Callable[..., str], memorizz_dsn: str, places: dict[str, str], archiving: EmbeddedServer
) -> None:
    """Nothing was committed while it was made, so the first moment that there is comes after the time; no error."""
    config = PostgreSQLConfig(dsn=memorizz_dsn, embedding_dimensions=4)
    with PostgreSQLProvider(config) as provider, psycopg.connect(memorizz_dsn, autocommit=True) as sql:
        time = now(sql)
        provider.store({"id": "earlier"}, LONG)
        shell(BASE, as_server=True, **places)
        provider.store({"id": "later"}, LONG)
        archived(sql, places)
    prepare(shell, archiving, places, time)
    shell(START, as_server=True, **places)
    try:
        dsn = make_conninfo(memorizz_dsn, host=str(Path(places["DATA"]).parent))
        wait_for(lambda: not in_recovery(dsn), "the end of the recovery")
        with PostgreSQLProvider(PostgreSQLConfig(dsn=dsn, embedding_dimensions=None)) as provider:
            assert [each["id"] for each in provider.list_all(LONG)] == ["earlier"]
    finally:
        shell(STOP, as_server=True, **places)


@contextmanager
def writing(provider: PostgreSQLProvider) -> Iterator[None]:
    """Store something again and again, beside a block."""
    end = Event()

    def write() -> None:
        while not end.wait(0.001):
            provider.store({"id": "while", "content": "it is copied"}, LONG)

    with ThreadPoolExecutor(1) as thread:
        writes = thread.submit(write)
        try:
            yield
        finally:
            end.set()
        writes.result()


def in_recovery(dsn: str) -> bool:
    with psycopg.connect(dsn) as connection:
        return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
