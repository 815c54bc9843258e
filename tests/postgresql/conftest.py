"""Servers that a test may do anything to: one of its own to kill and restart, and one without pgvector."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier

from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer, _programs
from memorizz.memory_provider.postgresql.embedded import _folder as _folder_of
from poolers import pgbouncer

# No synchronous_commit=off: what a server that is killed has committed must be there afterwards.
# Each database that is made or dropped is a checkpoint, after which what a standby has not yet received would be gone.
_FAST = {"fsync": "off", "full_page_writes": "off", "wal_keep_size": "1GB"}
_numbers = count()


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    """Return what a condition brings as soon as it brings something."""
    give_up = time.monotonic() + seconds
    while not (brought := condition()):
        assert time.monotonic() < give_up, f"waited {seconds} s for: {what}"
        time.sleep(0.01)
    return brought


@pytest.fixture(name="wait_for")
def _wait_for() -> Callable[..., Any]:
    """Wait until a condition holds."""
    return wait_for


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, which the user of a server can reach."""
    yield from _folder()


def _folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="memorizz"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


# --- a server to kill and restart ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def _own_folder() -> Iterator[Path]:
    yield from _folder()


@pytest.fixture(scope="session")
def own_server(_own_folder: Path) -> Iterator[EmbeddedServer]:
    """A running server whose processes belong to this run alone."""
    server = EmbeddedServer(_own_folder / "data", settings=_FAST)
    server.acquire()
    yield server
    server.release()


@dataclass(frozen=True)
class OwnDatabase:
    """A database with the tables, on the server that may be killed."""

    dsn: str

    def config(self, dsn: str | None = None, **options: Any) -> PostgreSQLConfig:
        return PostgreSQLConfig(dsn=dsn or self.dsn, **{"embedding_dimensions": 4, "max_size": 2} | options)

    def backends(self, connection: psycopg.Connection[Any]) -> list[int]:
        """The pids of the server's processes that serve providers on this database."""
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'memorizz'"
        )
        return [pid for (pid,) in rows]


@pytest.fixture(scope="session")
def _own_template(own_server: EmbeddedServer) -> str:
    """A database with the tables, of which each test gets a copy."""
    name = "memorizz_own_template"
    _administer(own_server, f"CREATE DATABASE {name}")
    PostgreSQLProvider(OwnDatabase(make_conninfo(_conninfo(own_server), dbname=name)).config()).close()
    return name


@pytest.fixture
def own_database(own_server: EmbeddedServer, _own_template: str) -> Iterator[OwnDatabase]:
    name = f"memorizz_own_{next(_numbers)}"
    _administer(own_server, f"CREATE DATABASE {name} TEMPLATE {_own_template} STRATEGY file_copy")
    yield OwnDatabase(make_conninfo(_conninfo(own_server), dbname=name))
    _administer(own_server, f"DROP DATABASE {name} WITH (FORCE)")


def _conninfo(server: EmbeddedServer) -> str:
    conninfo = server.status().conninfo
    assert conninfo is not None
    return conninfo


def _administer(server: EmbeddedServer, statement: str) -> None:
    with psycopg.connect(_conninfo(server), autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture
def sql(own_database: OwnDatabase) -> Iterator[psycopg.Connection[Any]]:
    """A connection beside the provider's."""
    with psycopg.connect(own_database.dsn, autocommit=True) as connection:
        yield connection


class Standby:
    """A hot standby of the server that may be killed, which streams from it; its queries give way at once."""

    def __init__(self, primary: EmbeddedServer, folder: Path) -> None:
        self._folder, self._data, self._programs = folder, folder / "data", _programs.installation(18) / "bin"
        self._account = _folder_of.account_of(Path(conninfo_to_dict(_conninfo(primary))["host"]))
        if not self._account.ours:
            os.chown(folder, self._account.uid, self._account.gid)
        files = primary.path / ".memorizz"
        self._options = (
            f"-c listen_addresses='' -c port=5432 -c unix_socket_directories='{folder}' -c fsync=off "
            f"-c hba_file='{files / 'pg_hba.conf'}' -c ident_file='{files / 'pg_ident.conf'}' "
            "-c max_standby_streaming_delay=0 -c wal_retrieve_retry_interval=100ms"
        )
        source = _conninfo(primary)
        self._run("pg_basebackup", "-D", self._data, "-R", "-X", "stream", "-c", "fast", "-d", source)
        self.start()

    def dsn(self, of_primary: str) -> str:
        """Return the connection string of a database here."""
        return make_conninfo(of_primary, host=str(self._folder))

    def start(self) -> None:
        """Start it, or start it again."""
        log = self._folder / "log"
        # What was killed may hold its memory for a moment.
        wait_for(
            lambda: self._ran("pg_ctl", "-D", self._data, "-w", "-l", log, "-o", self._options, "start"), "a start"
        )

    def catch_up(self, dsn_of_primary: str) -> None:
        """Return when it has replayed what is written on the primary by now."""
        with psycopg.connect(dsn_of_primary) as primary:
            position = primary.execute("SELECT pg_current_wal_flush_lsn()").fetchone()
        question = "SELECT pg_last_wal_replay_lsn() >= %s"
        with psycopg.connect(self.dsn(dsn_of_primary), dbname="postgres", autocommit=True) as replica:
            try:
                wait_for(lambda: replica.execute(question, position).fetchone() == (True,), "the replay")
            except AssertionError as error:
                error.add_note(self._seen(replica))
                raise

    def _seen(self, replica: psycopg.Connection[Any]) -> str:
        """What its processes do and what it last wrote to its log."""
        activity = replica.execute(
            "SELECT pid, backend_type, datname, state, wait_event_type, wait_event, left(query, 100),"
            " pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(), pg_get_wal_replay_pause_state()"
            " FROM pg_stat_activity"
        ).fetchall()
        return "\n".join([*map(str, activity), (self._folder / "log").read_text()[-4000:]])

    def kill(self) -> None:
        """End it with kill -9, all of its processes."""
        killed = self.signal(signal.SIGKILL)
        wait_for(lambda: not any(map(_lives, killed)), "the end of the standby")

    def signal(self, number: signal.Signals) -> list[int]:
        """Send a signal to all of its processes, and return their pids."""
        pid = int((self._data / "postmaster.pid").read_text().split()[0])
        pids = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
        for each in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, number)
        return pids

    def stop(self) -> None:
        if (self._data / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", self._data, "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str | Path) -> None:
        assert self._ran(program, *arguments), (program, arguments)

    def _ran(self, program: str, *arguments: str | Path) -> bool:
        # Its output must not be the pipe of pg_ctl, which would never end.
        return self._account.run([self._programs / program, *arguments], stderr=subprocess.DEVNULL).returncode == 0


def _lives(pid: int) -> bool:
    """Return True for a process that is there and no zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture
def fresh_standby(own_server: EmbeddedServer) -> Iterator[Standby]:
    """A hot standby that a test may promote."""
    yield from _standby(own_server)


@pytest.fixture(scope="session")
def standby(own_server: EmbeddedServer) -> Iterator[Standby]:
    """A hot standby that follows the server from test to test."""
    yield from _standby(own_server)


def _standby(primary: EmbeddedServer) -> Iterator[Standby]:
    for path in _folder():
        found = Standby(primary, path)
        try:
            yield found
        finally:
            found.stop()


# --- a plain PostgreSQL -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PlainServer:
    """A server over TCP with passwords and without pgvector, as a distribution's package installs it."""

    port: int
    version: int
    host: str = "127.0.0.1"
    user: str = "postgres"
    password: str = "s3cret-of-postgres"


@pytest.fixture(scope="session")
def plain_postgresql() -> Iterator[PlainServer]:
    """The embedded server's PostgreSQL without its pgvector."""
    for path in _folder():
        programs = _plain_programs(path / "programs")
        user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None

        def run(*command: str | Path, user: pwd.struct_passwd | None = user) -> None:
            ids: dict[str, Any] = (
                {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            )
            done = subprocess.run(
                [str(part) for part in command], cwd="/", check=False, text=True, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **ids,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout

        password, data = path / "password", path / "data"
        password.write_text(PlainServer.password)
        if user is not None:
            os.chown(path, user.pw_uid, user.pw_gid)
        run(programs / "initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", password,
            "--locale=C", "-E", "UTF8", "-N")  # fmt: skip
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        # Its output must not be the pipe of pg_ctl, which would never end.
        run(programs / "pg_ctl", "-D", data, "-w", "-l", path / "log", "-o", options, "start")
        try:
            version = int((data / "PG_VERSION").read_text())
            yield PlainServer(port, version)
        finally:
            run(programs / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")


def _plain_programs(to: Path) -> Path:
    """Copy the programs and libraries of a server, all but pgvector; return the folder of the programs."""
    installed = _programs.installation(16)
    package = installed.parent
    for part in (Path(package.name, installed.name), Path(f"{package.name}.libs")):
        without = shutil.ignore_patterns("vector*")
        shutil.copytree(package.parent / part, to / part, symlinks=True, ignore=without, copy_function=shutil.copy)
    return to / package.name / installed.name / "bin"


# --- a pooler -----------------------------------------------------------------------------------------------------


@pytest.fixture
def pooler(folder: Path) -> Iterator[Callable[[str, str], int]]:
    """Start PgBouncer in transaction mode, with two connections, before a database; give its port."""
    with contextlib.ExitStack() as stopping:

        def start(dsn: str, user: str) -> int:
            with psycopg.connect(dsn) as connection:
                host, port, name = connection.info.host, connection.info.port, connection.info.dbname
            with socket.create_server(("127.0.0.1", 0)) as free:
                own = free.getsockname()[1]
            settings = folder / "pgbouncer.ini"
            settings.write_text(
                f"[databases]\n{name} = host={host} port={port} dbname={name} user={user}\n"
                f"[pgbouncer]\nauth_type = any\nlisten_addr = 127.0.0.1\nlisten_port = {own}\nunix_socket_dir =\n"
                "pool_mode = transaction\ndefault_pool_size = 2\n"
            )
            # It runs as no root, and as who may use the socket of the server.
            is_root = os.geteuid() == 0 and host.startswith("/")
            user_of_server = ["-u", pwd.getpwuid(os.stat(host).st_uid).pw_name] if is_root else []
            program = pgbouncer()
            assert program is not None
            running = subprocess.Popen([program, "-q", *user_of_server, settings], stderr=subprocess.DEVNULL)
            stopping.callback(running.wait)
            stopping.callback(running.terminate)

            def answers() -> bool:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", own)):
                    return True
                return False

            wait_for(answers, "PgBouncer")
            return own

        yield start


@pytest.fixture
def role(migrated_dsn: str) -> Iterator[str]:
    """The name of a role that is not there, and is dropped again: roles are of the whole server."""
    name = f"memorizz_app_{uuid.uuid4().hex[:12]}"
    yield name
    with psycopg.connect(migrated_dsn, autocommit=True) as owner:
        if owner.execute("SELECT FROM pg_roles WHERE rolname = %s", (name,)).rowcount:
            owner.execute(SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(Identifier(name)))
