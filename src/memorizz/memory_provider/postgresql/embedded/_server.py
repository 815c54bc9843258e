"""EmbeddedServer: join the server of a folder, leave it, look at it, stop it."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from memorizz.errors import ConfigurationError, ConnectionFailed, StorageFull, quoted
from memorizz.memory_provider.postgresql._conninfo import without_environment
from memorizz.memory_provider.postgresql.embedded import _folder, _known, _watch
from memorizz.memory_provider.postgresql.embedded._programs import (
    INSTALL,
    VERSIONS,
    Account,
    installation,
    program,
    reachable,
)
from memorizz.memory_provider.postgresql.embedded._watch import PRIVATE, STARTER, USERS, WATCHER, Lock, PidFile, locked

logger = logging.getLogger("memorizz.embedded")

DATABASE = "memorizz"

# A server that was killed replays its log first; that may take a while, and is worth waiting for.
_START_TIMEOUT = 60.0
_LOG_LIMIT = 8 * 2**20

_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]")

_ROOTS_PATH = Path("/var/lib/memorizz")


def default_path() -> Path:
    """Return the data folder that is used where none is given: the platform's own place for the user's data.

    For root, whose server runs as another user, /var/lib/memorizz where that user may not enter root's own place.
    """
    is_root = sys.platform == "linux" and os.geteuid() == 0
    with _extra():
        import platformdirs
    try:
        path = platformdirs.user_data_path("memorizz") / "postgresql"
    except RuntimeError as error:
        if is_root:
            return _ROOTS_PATH
        raise ConfigurationError(
            "this user has no home, so there is no place for the embedded server's data: set HOME or XDG_DATA_HOME, "
            f"or name a folder, PostgreSQLConfig.embedded(path) ({error})"
        ) from error
    return _ROOTS_PATH if is_root and not _open_to_others(path.parent) else path


def known_servers() -> list[ServerStatus]:
    """Look at the server in each data folder that this user has: the default one, and those that were started."""
    with _extra():
        default, others = default_path(), _known.noted()
    paths = ([default] if (default / "PG_VERSION").exists() else []) + [path for path in others if path != default]
    return [EmbeddedServer(path).status() for path in paths]


def _open_to_others(folder: Path) -> bool:
    """Return True if every user may enter this folder, or could once it is made."""
    return all(each.stat().st_mode & 0o001 for each in (folder, *folder.parents) if each.exists())


@contextmanager
def _extra() -> Generator[None]:
    try:
        yield
    except ImportError as error:
        raise ConfigurationError(f"the embedded server needs the package {error.name}; {INSTALL}") from error


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What there is to say about a server: `users` are the pids of the living processes that use it."""

    path: Path
    version: int
    running: bool
    pid: int | None
    conninfo: str | None
    users: tuple[int, ...]


class EmbeddedServer:
    """A PostgreSQL server in a folder of its own, shared by all processes that use the folder.

    The first acquire() starts it and the last release() of the last process stops it; a process that ends or is killed
    has released. Making the object starts nothing. `settings` are PostgreSQL's own and reach a server that is
    started, not one that is joined.
    """

    def __init__(
        self, path: str | Path | None = None, *, version: int = 18, settings: Mapping[str, str] | None = None
    ) -> None:
        if version not in VERSIONS:
            raise ConfigurationError(
                f"there is no embedded PostgreSQL {quoted(version)}: use one of {sorted(VERSIONS)}"
            )
        self.path = Path(os.path.abspath(default_path() if path is None else path))
        # PostgreSQL writes the path as one line of a file.
        if _CONTROL.search(str(self.path)):
            raise ConfigurationError(
                f"a data folder's path cannot hold a line break or another control character: {self.path}"
            )
        self.version = version
        self._folder = str(self.path)
        self._settings = MappingProxyType(dict(settings or {}))
        self._thread_lock = threading.Lock()
        self._use: Lock | None = None
        self._count = 0
        _servers.add(self)

    def acquire(self) -> str:
        """Use the server, starting it where it does not run, and return its conninfo; each call counts."""
        with self._thread_lock, _extra(), _folder.explained(self.path):
            account = _folder.prepare(self.path)
            if self._use is None:
                use = Lock(self._folder, USERS)
                # This waits for a server that is just being stopped.
                use.take(shared=True)
                self._use = use
            try:
                conninfo = self._join(account)
            except BaseException:
                if self._count == 0:
                    self._leave()
                raise
            self._count += 1
            return conninfo

    def reach(self) -> str:
        """Return the conninfo of the server in use; one that has died since acquire() is started again."""
        server = _watch.serving(self._folder) if self._count else None
        if server is not None and server.ready:
            return self._conninfo(server)
        conninfo = self.acquire()
        self.release()
        return conninfo

    def release(self) -> None:
        """End one use; the last one of all processes stops the server. Without a use it does nothing."""
        with self._thread_lock:
            if self._count == 0:
                return
            self._count -= 1
            if self._count == 0:
                self._leave()

    def pin(self) -> str:
        """Start the server, and keep it running whoever leaves, until stop(); return its conninfo."""
        conninfo = self.acquire()
        try:
            with _folder.explained(self.path):
                _folder.write(self.path / PRIVATE / _watch.PINNED, "", _folder.account_of(self.path))
        finally:
            self.release()
        return conninfo

    def stop(self) -> None:
        """Stop the server now, whoever uses it; what it holds stays, and the next acquire() starts it again."""
        if not (self.path / PRIVATE / STARTER).exists():
            return
        with _folder.explained(self.path), self._starter():
            (self.path / PRIVATE / _watch.PINNED).unlink(missing_ok=True)
            _watch.stop(self._folder, self._pg_ctl())

    def status(self) -> ServerStatus:
        """Look whether the server runs and who uses it, changing nothing."""
        with _extra(), _folder.explained(self.path):
            file = self.path / "PG_VERSION"
            version = int(file.read_text()) if file.exists() else self.version
            server = _watch.serving(self._folder)
            return ServerStatus(
                self.path,
                version,
                running=server is not None,
                pid=server and server.pid,
                conninfo=self._conninfo(server) if server and server.ready else None,
                users=self._users(),
            )

    # --- joining --------------------------------------------------------------------------------------------------

    def _join(self, account: Account) -> str:
        with self._starter():
            _folder.check_version(self.path, self.version)
            self._trim_log()
            server = _watch.serving(self._folder)
            server = server and self._ready(server.pid)
            if server is None:
                server = self._start(account)
            else:
                self._ensure_watcher(account)
            conninfo = self._conninfo(server)
            _make_database(self.path, conninfo)
            return conninfo

    @contextmanager
    def _starter(self) -> Generator[None]:
        """Be the only one to start or stop this server for the length of a with block."""
        with locked(self._folder, STARTER, timeout=2 * _START_TIMEOUT) as alone:
            if not alone:
                raise ConnectionFailed(
                    f"another process has been starting or stopping the server in {self.path} for "
                    f"{2 * _START_TIMEOUT:.0f} s: look at it with 'memorizz server status'"
                )
            yield

    def _start(self, account: Account) -> PidFile:
        installed = reachable(installation(self.version), account)
        self._forget_stale_pid()
        _folder.initialise(self.path, account, installed, self._sync())
        command = [program(installed, "postgres"), "-D", self.path]
        command += _folder.options(self.path, account, self._settings)
        starting = self.path / PRIVATE / _watch.STARTING
        _folder.write(starting, "", account)
        # Before the server, so that it is never without.
        self._ensure_watcher(account)
        try:
            server = self._launch(command, account)
        except Exception:
            # After an interrupt it stays, as when we are killed: the server may be on its way up.
            starting.unlink(missing_ok=True)
            raise
        starting.unlink()
        _known.note(self.path)
        return server

    def _sync(self) -> list[str]:
        """Say how initdb makes the disk keep a thousand new files, on which all that is stored later stands."""
        if self._settings.get("fsync") == "off":
            return ["--no-sync"]
        # One call, and not one for each file, of which each waits for its turn on a busy machine.
        return ["--sync-method=syncfs"] if sys.platform == "linux" and self.version > 16 else []

    def _launch(self, command: Sequence[str | Path], account: Account) -> PidFile:
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            with self._log(account) as log:
                before = os.fstat(log).st_size
                pid = self._spawn(command, account, log)
            server = self._ready(pid)
            if server is not None:
                logger.info("started the server in %s, pid %s", self.path, pid)
                return server
            said = self._log_path.read_bytes()[before:].decode(errors="replace").strip()
            # The sessions of a server that was killed take a moment to notice.
            if "shared memory block" not in said or time.monotonic() > deadline:
                error = StorageFull if "No space left" in said else ConnectionFailed
                end = " | ".join(said[-2000:].splitlines())
                raise error(f"the server in {self.path} does not start; the end of its log, {self._log_path}: {end}")
            time.sleep(0.1)

    def _spawn(self, command: Sequence[str | Path], account: Account, log: int) -> int:
        if sys.platform != "win32":
            return account.launch(command, log)
        # pg_ctl takes away the rights of an administrator, with which PostgreSQL refuses to run.
        options = subprocess.list2cmdline([str(part) for part in command[3:]])
        pg_ctl = [self._pg_ctl(), "start", "-D", str(self.path), "-l", str(self._log_path), "-w", "-o", options]
        subprocess.run(pg_ctl, check=False, stdout=subprocess.DEVNULL, stderr=log)  # noqa: S603
        server = _watch.serving(self._folder)
        return server.pid if server else 0

    def _ready(self, pid: int) -> PidFile | None:
        """Wait until the server takes connections; None when it ends instead, or takes too long."""
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline and _watch.alive(pid):
            server = _watch.read_pid_file(self._folder)
            if server is not None and server.pid == pid and server.ready:
                return server
            time.sleep(0.01)
        return None

    def _forget_stale_pid(self) -> None:
        """Remove a pid file whose number belongs to another program by now, which PostgreSQL would believe."""
        import psutil

        server = _watch.read_pid_file(self._folder)
        if server is None:
            # An empty one is what a failing machine may leave.
            (self.path / "postmaster.pid").unlink(missing_ok=True)
            return
        if _watch.answers(server):
            raise ConfigurationError(
                f"the server in {self.path} runs in another container, and cannot be shared with it: stop it there, or "
                "use another path"
            )
        # The number of a process that has ended stays: with it PostgreSQL sees to sessions that have not ended yet.
        if psutil.pid_exists(server.pid) and not self._is_server(server.pid):
            logger.warning("the process %s in postmaster.pid is no server of %s: removed", server.pid, self.path)
            (self.path / "postmaster.pid").unlink()

    def _is_server(self, pid: int) -> bool:
        import psutil

        try:
            process = psutil.Process(pid)
            return process.name().startswith("postgres") and os.path.samefile(process.cwd(), self.path)
        except (psutil.Error, FileNotFoundError):
            return False

    def _ensure_watcher(self, account: Account) -> None:
        """See that somebody stops the server when the last user has gone."""
        with locked(self._folder, WATCHER, timeout=0) as missing:
            pass
        if not missing:
            return
        if not sys.executable or getattr(sys, "frozen", False):
            logger.warning(
                "no Python to run a watcher with: a killed process leaves the server in %s running", self.path
            )
            return
        command = [sys.executable, "-I", "-S", _watch.__file__, self._folder, self._pg_ctl()]
        with self._log(account) as log:
            if sys.platform == "win32":
                flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
                subprocess.Popen(command, creationflags=flags, stdout=log, stderr=log)  # noqa: S603
            else:
                dataclasses.replace(account, ours=True).launch(command, log)

    # --- leaving --------------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        """Give up this process's use; the caller holds the thread lock."""
        use, self._use = self._use, None
        if use is None:
            return
        use.release()
        folder = self._folder
        try:
            with locked(folder, USERS, timeout=0) as last:
                if last:
                    _watch.unused(folder, self._pg_ctl())
            if not last:
                # Either others use it, and this is free at once, or the watcher was quicker and is stopping it.
                rest = Lock(folder, USERS)
                rest.take(shared=True, timeout=3)
                rest.release()
        except FileNotFoundError:
            logger.warning("the data folder %s was removed while its server ran", self.path)

    def forget(self) -> None:
        """Be without a use in a forked child: the use is its parent's."""
        self._thread_lock = threading.Lock()
        self._count = 0
        if self._use is not None:
            self._use.forget()
            self._use = None

    # --- looking --------------------------------------------------------------------------------------------------

    def _users(self) -> tuple[int, ...]:
        import psutil

        users = os.path.realpath(self.path / PRIVATE / USERS)
        watcher = os.path.realpath(self.path / PRIVATE / WATCHER)
        found: list[int] = []
        for process in psutil.process_iter():
            try:
                files = {opened.path for opened in process.open_files()}
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                # Processes of other users, which may not be looked into; only root is told of all.
                continue
            if users in files and watcher not in files:
                found.append(process.pid)
        return tuple(found)

    def _conninfo(self, server: PidFile) -> str:
        from psycopg.conninfo import make_conninfo

        if sys.platform == "win32":
            place = {"host": server.address, "passfile": str(self.path / PRIVATE / "pgpass")}
        else:
            place = {"host": server.socket_folder}
        return without_environment(make_conninfo(**place, port=server.port, user="postgres", dbname=DATABASE))

    def _pg_ctl(self) -> str:
        return str(program(installation(self.version), "pg_ctl"))

    # --- the log --------------------------------------------------------------------------------------------------

    @property
    def _log_path(self) -> Path:
        return self.path / PRIVATE / "server.log"

    @contextmanager
    def _log(self, account: Account) -> Generator[int]:
        """Open the server's log to append to it."""
        descriptor = _folder.open_private(self._log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, account)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _trim_log(self) -> None:
        """Rotate a long log, keeping one; the server appends, so it goes on in the emptied file."""
        if self._log_path.exists() and self._log_path.stat().st_size > _LOG_LIMIT:
            os.replace(shutil.copy2(self._log_path, f"{self._log_path}.new"), f"{self._log_path}.old")
            os.truncate(self._log_path, 0)


def _make_database(path: Path, conninfo: str) -> None:
    """Make our database where it is missing; this is also the proof that the server takes connections."""
    import psycopg
    from psycopg.conninfo import make_conninfo

    try:
        with psycopg.connect(make_conninfo(conninfo, dbname="postgres"), connect_timeout=10, autocommit=True) as server:
            if not server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                server.execute(f'CREATE DATABASE "{DATABASE}"')
    except psycopg.Error as error:
        said = f"the server in {path} runs, but takes no connection: {' '.join(str(error).split())}"
        advice = "; unset PGSERVICE, or define the service" if "definition of service" in said else ""
        raise ConnectionFailed(said + advice) from error


_servers: weakref.WeakSet[EmbeddedServer] = weakref.WeakSet()


def _after_fork() -> None:
    for server in _servers:
        server.forget()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_after_fork)
