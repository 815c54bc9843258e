"""The embedded server, with real processes and real kills."""

from __future__ import annotations

import json
import multiprocessing
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from memorizz.errors import ConfigurationError, ConnectionFailed, StorageFull
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer, _folder, _programs, _server, default_path

# A process that is killed loses nothing that the system has; what only matters when the machine fails is left out.
FAST = {"fsync": "off"}
WORKER = Path(__file__).with_name("embedded_worker.py")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")
not_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder for data folders. Not tmp_path: root's is closed to the user that root's server runs as."""
    folder = Path(tempfile.mkdtemp(prefix="embedded-"))
    folder.chmod(0o755)
    yield folder
    for data in folder.rglob(".memorizz"):
        EmbeddedServer(data.parent).stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A data folder that is made once, to be copied."""
    folder = Path(tempfile.mkdtemp(prefix="embedded-"))
    folder.chmod(0o755)
    server = EmbeddedServer(folder / "data", settings=FAST)
    server.acquire()
    server.release()
    yield server.path
    shutil.rmtree(folder)


@pytest.fixture
def server(room: Path, made: Path) -> Iterator[EmbeddedServer]:
    """A server that nobody uses yet, on a folder that is made already."""
    subprocess.run(["cp", "-a", made, room / "data"], check=True)
    server = EmbeddedServer(room / "data", settings=FAST)
    yield server
    while server._count:
        server.release()


@pytest.fixture
def work() -> Iterator[Callable[..., Worker]]:
    """Start workers, and end them after the test."""
    workers: list[Worker] = []

    def start(*arguments: object, **environment: Any) -> Worker:
        workers.append(Worker(*arguments, **environment))
        return workers[-1]

    yield start
    for worker in workers:
        worker.leave()


class Worker:
    """A process of its own that uses a server."""

    def __init__(self, *arguments: object, remove: Sequence[str] = (), **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, WORKER, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if name not in remove} | environment,
        )

    @property
    def answer(self) -> dict[str, Any]:
        """What it said, once it has."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def kill(self) -> None:
        """Kill it as kill -9 does."""
        self.process.kill()
        self.process.wait()

    def leave(self) -> None:
        """Let it release the server and end."""
        self.process.communicate()


def execute(conninfo: str, sql: str) -> list[tuple[Any, ...]]:
    """Run one statement in a session of its own."""
    with psycopg.connect(conninfo) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


def postmasters(path: Path) -> list[psutil.Process]:
    """All PostgreSQL servers that were told to work in `path`."""
    found = []
    # What is asked of a process later may find it gone.
    for process in psutil.process_iter(["cmdline", "status", "name"]):
        command, name = process.info["cmdline"] or [], process.info["name"] or ""
        alive = process.info["status"] != psutil.STATUS_ZOMBIE
        if alive and command[1:3] == ["-D", str(path)] and "postgres" in name:
            found.append(process)
    return found


def watchers(path: Path) -> list[psutil.Process]:
    """All watchers of the server in `path`."""
    commands = [(process, process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    return [process for process, command in commands if str(path) in command and "-S" in command]


def gone(path: Path, within: float = 3.0) -> bool:
    """Wait until no server works in `path`."""
    deadline = time.monotonic() + within
    while postmasters(path):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def kill_server(server: EmbeddedServer) -> int:
    """Kill the server as kill -9 does, and return its pid."""
    pid = server.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert gone(server.path)
    return pid


def other_users(count: int) -> list[int]:
    """The ids of some of the system's ordinary users, not those that root's servers run as."""
    names = {*_folder._SERVANTS, "root"}
    return [entry.pw_uid for entry in pwd.getpwall() if entry.pw_name not in names and entry.pw_uid == entry.pw_gid][
        :count
    ]


# --- starting -----------------------------------------------------------------------------------------------------


def test_an_object_starts_nothing(room: Path) -> None:
    """Making the object, looking at it, stopping and releasing it make no folder and no process."""
    server = EmbeddedServer(room / "data")
    assert not server.status().running
    server.stop()
    server.release()
    assert not server.path.exists()
    assert not postmasters(server.path)


@pytest.mark.parametrize("version", [16, 18])
def test_the_database(room: Path, version: int) -> None:
    """A new database is UTF8, sorts by code point, has checksums and pgvector, keeps UTC and syncs what it commits."""
    server = EmbeddedServer(room / "data", version=version)
    conninfo = server.acquire()
    settings = ["server_version_num", "server_encoding", "data_checksums", "fsync", "listen_addresses", "TimeZone"]
    values = [execute(conninfo, f"SHOW {name}")[0][0] for name in settings]
    assert values[0].startswith(str(version))
    assert values[1:] == ["UTF8", "on", "on", "", "UTC"]
    assert execute(conninfo, "SELECT current_database(), current_user") == [("memorizz", "postgres")]
    assert execute(conninfo, "SELECT 'Z' < 'a', 'z' < 'ä', lower('Ä') = 'ä'") == [(True, True, True)]
    execute(conninfo, "CREATE EXTENSION vector")
    assert execute(conninfo, "SELECT '[1,2]'::vector <-> '[1,3]'::vector") == [(1.0,)]
    server.release()


def test_the_servers_process(server: EmbeddedServer) -> None:
    """The server is the wheel's postgres, its -D is the folder that was given, and it is no child of ours."""
    server.acquire()
    (process,) = postmasters(server.path)
    assert process.pid == server.status().pid
    assert Path(process.exe()) == _programs.installation(18) / "bin" / "postgres"
    assert process.ppid() != os.getpid()


def test_the_wheels_python_code_is_not_loaded(room: Path, work: Callable[..., Worker]) -> None:
    """Only the wheel's programs are used."""
    assert work(room / "data").answer["loaded"] is False


def test_starting_is_quick(room: Path) -> None:
    """A cold start takes less than 4 s, a warm one less than 1 s, a join next to nothing, and the end less than 3 s."""

    def seconds(call: Callable[[], object]) -> float:
        begin = time.monotonic()
        call()
        return time.monotonic() - begin

    server = EmbeddedServer(room / "data")
    assert seconds(server.acquire) < 4
    assert seconds(server.acquire) < 0.5
    server.release()
    assert seconds(server.release) < 3
    assert not postmasters(server.path)
    assert seconds(server.acquire) < 1
    server.release()


def test_settings(room: Path) -> None:
    """Settings that are given reach a server that is started."""
    server = EmbeddedServer(room / "data", settings={"fsync": "off", "max_connections": "17"})
    assert execute(server.acquire(), "SHOW max_connections") == [("17",)]
    server.release()


def test_a_database_that_was_dropped_is_made_again(server: EmbeddedServer) -> None:
    """Each acquire() sees to it that the database is there."""
    conninfo = server.acquire()
    with psycopg.connect(conninfo, dbname="postgres", autocommit=True) as connection:
        connection.execute("DROP DATABASE memorizz")
    assert execute(server.acquire(), "SELECT current_database()") == [("memorizz",)]


def test_the_default_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a path it is the platform's folder for the user's data."""
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert default_path() == EmbeddedServer().path
    assert default_path().parts[-2:] == ("memorizz", "postgresql")
    assert Path.home() in default_path().parents


@as_root
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other places")
def test_the_default_folder_of_root(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root's is below its own home where others can reach it, so that two homes are two servers, else in /var/lib."""
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", str(room))
    assert default_path() == room / ".local" / "share" / "memorizz" / "postgresql"
    conninfo = EmbeddedServer(settings=FAST).acquire()
    assert execute(conninfo, "SHOW data_directory") == [(str(default_path()),)]
    room.chmod(0o700)
    assert default_path() == Path("/var/lib/memorizz")
    room.chmod(0o755)


# --- paths and places ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["with space", "mit Ünïcødé ✓", 'it\'s "quoted" $HOME `x` \\ %s', "a,b", "l" * 120, "trailing "],
    ids=["space", "unicode", "quotes", "comma", "long", "trailing"],
)
def test_any_path(room: Path, name: str) -> None:
    """A path may hold spaces, other alphabets, quotes and commas, and be longer than a socket's may."""
    server = EmbeddedServer(room / name / "data", settings=FAST)
    conninfo = server.acquire()
    assert execute(conninfo, "SHOW data_directory") == [(str(server.path),)]
    again = EmbeddedServer(room / name / "data", settings=FAST).acquire()
    assert again == conninfo
    server.stop()
    assert server.acquire() == conninfo
    server.release()


def test_a_short_socket_folder_is_private_and_removed(room: Path) -> None:
    """A socket that cannot be beside the data is in a folder of its own, closed to others and gone with the server."""
    server = EmbeddedServer(room / ("l" * 120), settings=FAST)
    folder = Path(psycopg.conninfo.conninfo_to_dict(server.acquire())["host"])
    assert server.path not in folder.parents
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    server.release()
    assert not folder.exists()


def test_a_relative_path_is_made_absolute(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path means the same wherever the process goes afterwards."""
    monkeypatch.chdir(room)
    assert EmbeddedServer("data").path == room / "data"


def test_a_folder_that_is_there_already(room: Path) -> None:
    """An empty folder that exists, like a mounted volume, is used as it is and made private."""
    (room / "data").mkdir(mode=0o755)
    inode = (room / "data").stat().st_ino
    server = EmbeddedServer(room / "data", settings=FAST)
    server.acquire()
    assert (room / "data").stat().st_ino == inode
    server.release()


def test_nothing_is_open_to_others(room: Path) -> None:
    """No file or folder of the data has any right for anyone but its owner, whatever the umask is."""
    server = EmbeddedServer(room / "data", settings=FAST)
    before = os.umask(0)
    try:
        server.acquire()
    finally:
        os.umask(before)
    loose = [
        each
        for each in (server.path, *server.path.rglob("*"))
        # The server makes its socket's lock like this; the folder around it is closed.
        if each.lstat().st_mode & 0o077 and not each.name.endswith("5432.lock")
    ]
    assert loose == []
    server.release()


def test_a_strangers_settings_do_no_harm(room: Path, work: Callable[..., Worker]) -> None:
    """A locale that is not installed and PostgreSQL's own variables change nothing, and the server sees no secret."""
    worker = work(room / "data", LC_ALL="xx_XX.UTF-8", LANG="xx_XX.UTF-8", PGPORT="1", PGDATA="/x", SOME_API_KEY="x")
    assert execute(worker.answer["conninfo"], "SHOW port") == [("5432",)]
    assert {"SOME_API_KEY", "PGDATA"}.isdisjoint(postmasters(room / "data")[0].environ())


@pytest.mark.parametrize("version", [16, 18])
def test_a_platform_without_the_locale(room: Path, monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    """Where C.UTF-8 is not installed, the server's own is used, or C where the server has none."""
    monkeypatch.setattr(_folder, "_LOCALES", (("--locale=xx_XX.UTF-8",), *_folder._LOCALES[1:]))
    server = EmbeddedServer(room / "data", version=version, settings=FAST)
    provider = execute(server.acquire(), "SELECT datlocprovider::text, datcollate FROM pg_database LIMIT 1")
    assert provider == [("b" if version == 18 else "c", "C")]
    server.release()


# --- users of the machine -----------------------------------------------------------------------------------------


@as_root
def test_roots_server_is_not_roots(server: EmbeddedServer) -> None:
    """As root the server runs as an unprivileged user, who has no other groups either."""
    server.acquire()
    (process,) = postmasters(server.path)
    assert process.uids().real != 0
    groups = Path(f"/proc/{process.pid}/status").read_text().split("Groups:")[1].split("\n")[0]
    assert groups.split() == []
    assert server.path.stat().st_uid == process.uids().real


@as_root
def test_a_folder_that_roots_server_cannot_reach(room: Path) -> None:
    """The error names the parent in the way, and neither makes anything nor widens any right."""
    parent = room / "closed"
    parent.mkdir(mode=0o700)
    with pytest.raises(ConfigurationError, match=f"may not enter {parent} and"):
        EmbeddedServer(parent / "below" / "data").acquire()
    assert stat.S_IMODE(parent.stat().st_mode) == 0o700
    assert list(parent.iterdir()) == []


@as_root
def test_a_wheel_that_roots_server_cannot_reach(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs are copied to where the server's user can run them, once."""
    closed = room / "closed"
    closed.mkdir(mode=0o700)
    package = _programs.installation(18).parent
    for part in (Path(package.name, "pginstall18"), Path(f"{package.name}.libs")):
        shutil.copytree(package.parent / part, closed / part, symlinks=True)
    monkeypatch.setattr(_server, "installation", lambda version: closed / package.name / "pginstall18")
    monkeypatch.setattr("platformdirs.site_cache_path", lambda name: room / "cache" / name)
    server = EmbeddedServer(room / "data", settings=FAST)
    execute(server.acquire(), "CREATE EXTENSION vector")
    (process,) = postmasters(server.path)
    assert room / "cache" / "memorizz" in Path(process.exe()).parents
    copies = list((room / "cache" / "memorizz").iterdir())
    server.stop()
    server.acquire()
    assert list((room / "cache" / "memorizz").iterdir()) == copies
    assert len(copies) == 1
    server.release()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@as_root
def test_ordinary_users_at_once(room: Path, work: Callable[..., Worker]) -> None:
    """Two users of the machine each have a server of their own, and root has one beside them."""
    users = other_users(2)
    for user in users:
        (room / str(user)).mkdir(mode=0o700)
        os.chown(room / str(user), user, user)
    workers = [work("--uid", user, room / str(user) / "data") for user in users] + [work(room / "data")]
    answers = [worker.answer for worker in workers]
    for user, answer in zip(users, answers, strict=False):
        path = room / str(user) / "data"
        assert execute(answer["conninfo"], "SHOW data_directory") == [(str(path),)]
        assert postmasters(path)[0].uids().real == user
    workers[0].kill()
    workers[1].leave()
    for user in users:
        assert gone(room / str(user) / "data")


@as_root
def test_root_joins_an_ordinary_users_server(room: Path, work: Callable[..., Worker]) -> None:
    """Root uses the folder of another user as that user, whoever came first."""
    (user,) = other_users(1)
    (room / "home").mkdir()
    os.chown(room / "home", user, user)
    theirs = work("--uid", user, room / "home" / "data")
    ours = EmbeddedServer(room / "home" / "data", settings=FAST)
    conninfo = theirs.answer["conninfo"]
    assert ours.acquire() == conninfo
    assert len(ours.status().users) == 2
    theirs.leave()
    kill_server(ours)
    ours.acquire()
    assert postmasters(ours.path)[0].uids().real == user
    again = work("--uid", user, room / "home" / "data")
    assert again.answer["conninfo"] == conninfo
    ours.release()
    ours.release()
    again.leave()
    assert gone(ours.path)


@as_root
def test_a_stranger_does_not_get_in(server: EmbeddedServer, work: Callable[..., Worker]) -> None:
    """Another user of the machine reaches neither the socket nor, were the folders open, the database."""
    conninfo = server.acquire()
    stranger = other_users(1)[0]
    assert "Permission denied" in work("--uid", stranger, "--try", conninfo).answer["message"]
    assert "belongs to the user id" in work("--uid", stranger, server.path).answer["message"]
    folder = Path(psycopg.conninfo.conninfo_to_dict(conninfo)["host"])
    for each in (folder / ".s.PGSQL.5432", folder, folder.parent, server.path):
        each.chmod(0o777)
    assert "Peer authentication failed" in work("--uid", stranger, "--try", conninfo).answer["message"]
    server.path.chmod(0o700)


@as_root
def test_a_server_in_another_container(server: EmbeddedServer) -> None:
    """A server that works where its process cannot be seen is neither used nor started a second time."""
    server.acquire()
    separate = ["unshare", "--pid", "--ipc", "--fork", "--mount-proc"]
    if subprocess.run([*separate, "true"], check=False).returncode:
        pytest.skip("this root may not make containers")
    result = subprocess.run(
        [*separate, sys.executable, WORKER, server.path], stdin=subprocess.DEVNULL, capture_output=True, check=True
    )
    assert "another container" in json.loads(result.stdout)["message"]
    assert len(postmasters(server.path)) == 1


# --- sharing ------------------------------------------------------------------------------------------------------


def test_each_acquire_counts(server: EmbeddedServer) -> None:
    """The server stays until every use of it has been released; one release too many does nothing."""
    assert server.acquire() == server.acquire()
    server.release()
    assert server.status().running
    server.release()
    assert not postmasters(server.path)
    server.release()


def test_two_objects_in_a_process(server: EmbeddedServer) -> None:
    """Objects for the same folder share its server, also within one process."""
    other = EmbeddedServer(server.path, settings=FAST)
    assert server.acquire() == other.acquire()
    server.release()
    assert other.status().running
    other.release()
    assert not postmasters(server.path)


def test_processes_that_start_at_once(room: Path, work: Callable[..., Worker]) -> None:
    """Many processes that come at the same moment get one server, and the last to leave stops it."""
    workers = [work(room / "data") for _ in range(6)]
    assert len({worker.answer["conninfo"] for worker in workers}) == 1
    (process,) = postmasters(room / "data")
    status = EmbeddedServer(room / "data").status()
    assert status.pid == process.pid
    assert set(status.users) == {worker.process.pid for worker in workers}
    for worker in workers[1:]:
        worker.leave()
    assert process.is_running()
    workers[0].leave()
    assert gone(room / "data")


def test_the_last_to_leave_stops_it_when_others_were_killed(
    server: EmbeddedServer, work: Callable[..., Worker]
) -> None:
    """Processes that were killed with -9 count no more."""
    killed = [work(server.path) for _ in range(2)]
    for worker in killed:
        assert "conninfo" in worker.answer
    server.acquire()
    for worker in killed:
        worker.kill()
    time.sleep(0.2)
    assert server.status().running
    assert server.status().users == (os.getpid(),)
    server.release()
    assert not postmasters(server.path)


def test_the_only_user_is_killed(room: Path, work: Callable[..., Worker]) -> None:
    """A server does not outlive its only user, however that ended; the watcher goes with it."""
    worker = work(room / "data")
    assert "conninfo" in worker.answer
    assert len(watchers(room / "data")) == 1
    worker.kill()
    assert gone(room / "data")
    time.sleep(0.2)
    assert not watchers(room / "data")


def test_a_user_that_ends_without_a_release(room: Path) -> None:
    """A process that simply ends has left."""
    script = (
        f"from memorizz.memory_provider.postgresql.embedded import *; EmbeddedServer({str(room / 'data')!r}).acquire()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert gone(room / "data")


def test_a_watcher_that_was_killed_is_replaced(server: EmbeddedServer, work: Callable[..., Worker]) -> None:
    """Whoever joins a server that nobody watches gives it a watcher."""
    server.acquire()
    watchers(server.path)[0].kill()
    worker = work(server.path)
    assert "conninfo" in worker.answer
    server.release()
    worker.kill()
    assert gone(server.path)


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
def test_killed_while_starting(room: Path, work: Callable[..., Worker], delay: float) -> None:
    """A process that is killed at any moment of a first start leaves no server, and nothing that is in the way."""
    path = room / "data"
    worker = work(path)
    deadline = time.monotonic() + 10
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(delay)
    worker.kill()
    assert gone(path, within=6)
    server = EmbeddedServer(path, settings=FAST)
    assert execute(server.acquire(), "SELECT 1") == [(1,)]
    assert not list(path.glob(".memorizz/ready"))
    server.release()
    assert not postmasters(path)


def test_an_interrupted_start(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ctrl-C while the server comes up leaves no server."""

    spawn = EmbeddedServer._spawn

    def interrupt(*arguments: Any) -> None:
        spawn(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(EmbeddedServer, "_spawn", interrupt)
    with pytest.raises(KeyboardInterrupt):
        server.acquire()
    assert gone(server.path)
    monkeypatch.undo()
    server.acquire()


def test_a_fork_does_not_release_its_parents_use(server: EmbeddedServer) -> None:
    """A child's release ends nothing of its parent's, and a living child keeps nothing."""
    server.acquire()
    context = multiprocessing.get_context("fork")
    child = context.Process(target=server.release)
    child.start()
    child.join()
    assert child.exitcode == 0
    assert server.status().running
    sleeper = context.Process(target=time.sleep, args=(60,))
    sleeper.start()
    server.release()
    assert not postmasters(server.path)
    sleeper.kill()
    sleeper.join()


def test_a_fork_can_use_the_server_itself(server: EmbeddedServer) -> None:
    """A forked child acquires for itself, and its use outlasts its parent's."""
    server.acquire()
    context = multiprocessing.get_context("fork")
    ready, leave = context.Event(), context.Event()

    def use() -> None:
        server.acquire()
        ready.set()
        leave.wait(10)
        server.release()

    child = context.Process(target=use)
    child.start()
    assert ready.wait(10)
    server.release()
    assert server.status().users == (child.pid,)
    leave.set()
    child.join()
    assert not postmasters(server.path)


# --- pinning and stopping -----------------------------------------------------------------------------------------


def test_a_pinned_server_stays(server: EmbeddedServer, work: Callable[..., Worker]) -> None:
    """A pinned server outlives all its users, also killed ones, until it is stopped."""
    conninfo = server.pin()
    worker = work(server.path)
    assert worker.answer["conninfo"] == conninfo
    worker.kill()
    server.acquire()
    server.release()
    time.sleep(0.3)
    assert server.status().running
    assert server.status().users == ()
    server.stop()
    assert not postmasters(server.path)
    server.acquire()
    server.release()
    assert not postmasters(server.path)


def test_stopping_a_server_that_is_used(server: EmbeddedServer) -> None:
    """stop() stops it whoever uses it; the next acquire() starts it again, watched, with all that it held."""
    execute(server.acquire(), "CREATE TABLE kept AS SELECT 42 AS answer")
    server.stop()
    assert not postmasters(server.path)
    assert execute(server.acquire(), "SELECT answer FROM kept") == [(42,)]
    server.release()
    assert server.status().running
    server.release()
    assert not postmasters(server.path)


def test_a_server_that_cannot_write_everything_out(server: EmbeddedServer) -> None:
    """A disk that is too slow does not hold up release(), and what was committed is there at the next start."""
    execute(server.acquire(), "CREATE TABLE kept AS SELECT 42 AS answer")
    (process,) = postmasters(server.path)
    checkpointer = next(each for each in process.children() if "checkpointer" in each.cmdline()[0])
    checkpointer.suspend()
    begin = time.monotonic()
    server.release()
    assert time.monotonic() - begin < 3.5
    assert execute(server.acquire(), "SELECT answer FROM kept") == [(42,)]
    assert server.status().pid != process.pid


def test_status(server: EmbeddedServer) -> None:
    """The status of a running server says where, what, who; that of a stopped one that it is stopped."""
    conninfo = server.acquire()
    status = server.status()
    assert (status.path, status.version, status.running) == (server.path, 18, True)
    assert (status.conninfo, status.users) == (conninfo, (os.getpid(),))
    server.release()
    status = server.status()
    assert (status.running, status.pid, status.conninfo, status.users) == (False, None, None, ())


# --- crashes ------------------------------------------------------------------------------------------------------


def test_a_server_that_was_killed(server: EmbeddedServer) -> None:
    """After kill -9 of the server, in the middle of a transaction, the next acquire() has all that was committed."""
    conninfo = server.acquire()
    execute(conninfo, "CREATE TABLE kept (n int)")
    busy = psycopg.connect(conninfo)
    for number in range(100):
        busy.execute("INSERT INTO kept VALUES (%s)", [number])
    busy.commit()
    busy.execute("INSERT INTO kept VALUES (1000)")
    kill_server(server)
    assert execute(server.acquire(), "SELECT count(*), max(n) FROM kept") == [(100, 99)]
    busy.close()
    server.release()
    server.release()
    assert not postmasters(server.path)


@pytest.mark.parametrize("same_user", [True, False])
def test_a_pid_that_belongs_to_another_program(server: EmbeddedServer, same_user: bool) -> None:
    """A postmaster.pid with the number of another living process is stale; that process is left alone."""
    execute(server.acquire(), "CREATE TABLE kept AS SELECT 42 AS answer")
    owner = server.path.stat().st_uid
    kill_server(server)
    user = owner if same_user and os.geteuid() == 0 else None
    with subprocess.Popen(["sleep", "60"], user=user) as other:
        file = server.path / "postmaster.pid"
        lines = file.read_text().split("\n")
        file.write_text("\n".join([str(other.pid), *lines[1:]]))
        assert not server.status().running
        server.stop()
        assert execute(server.acquire(), "SELECT answer FROM kept") == [(42,)]
        server.stop()
        assert other.poll() is None
        other.kill()


def test_the_pid_of_another_folders_server(server: EmbeddedServer, room: Path) -> None:
    """The server of another folder is not taken for this folder's, not even with its pid in the pid file."""
    other = EmbeddedServer(room / "other", settings=FAST)
    other.acquire()
    server.acquire()
    kill_server(server)
    file = server.path / "postmaster.pid"
    file.write_text("\n".join([str(other.status().pid), *file.read_text().split("\n")[1:]]))
    assert not server.status().running
    server.acquire()
    server.stop()
    assert other.status().running
    other.release()


@pytest.mark.parametrize("content", ["", "\0" * 100, None])
def test_a_pid_file_that_makes_no_sense(server: EmbeddedServer, content: str | None) -> None:
    """What a failing machine leaves of the pid file, or the lack of it, is not in the way."""
    server.acquire()
    kill_server(server)
    file = server.path / "postmaster.pid"
    file.unlink() if content is None else file.write_text(content)
    assert not server.status().running
    assert execute(server.acquire(), "SELECT 1") == [(1,)]


def test_files_that_were_half_moved(server: EmbeddedServer) -> None:
    """A first start that ended between two of its steps is completed by the next."""
    server.acquire()
    server.release()
    ready = server.path / ".memorizz" / "ready"
    ready.mkdir()
    for name in ("PG_VERSION", "base", "pg_wal"):
        (server.path / name).rename(ready / name)
    assert execute(server.acquire(), "SELECT 1") == [(1,)]
    assert not ready.exists()


@pytest.mark.parametrize("steps", [0, 1, 5, 20])
def test_ended_between_two_files(room: Path, monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """A folder is no database before its last file is in place, and the next start completes it."""
    server = EmbeddedServer(room / "data", settings=FAST)
    rename, count = Path.rename, iter(range(100))

    def end(self: Path, target: Path) -> Path:
        if next(count) == steps:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", end)
    with pytest.raises(KeyboardInterrupt):
        server.acquire()
    monkeypatch.undo()
    assert not (server.path / "PG_VERSION").exists()
    assert execute(server.acquire(), "SELECT 1") == [(1,)]
    assert {each.name for each in (server.path / ".memorizz").iterdir()}.isdisjoint({"ready", "starting"})
    server.release()


def test_the_folder_is_removed_under_the_server(server: EmbeddedServer, caplog: pytest.LogCaptureFixture) -> None:
    """Leaving a server whose folder is gone says so, and does not fail."""
    server.acquire()
    server.stop()
    shutil.rmtree(server.path)
    server.release()
    assert "was removed" in caplog.text


def test_a_long_log_is_moved_aside(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log of a running server is kept short, and it goes on in the same file."""
    monkeypatch.setattr(_server, "_LOG_LIMIT", 1000)
    conninfo = server.acquire()
    for _ in range(30):
        with pytest.raises(psycopg.Error):
            execute(conninfo, "SELECT 'a secret' FROM nowhere")
    log = server.path / ".memorizz" / "server.log"
    assert "a secret" not in log.read_text()
    server.acquire()
    assert log.stat().st_size == 0
    assert log.with_name("server.log.old").stat().st_size > 1000
    with pytest.raises(psycopg.Error):
        execute(conninfo, "SELECT 1 FROM nowhere")
    assert 0 < log.stat().st_size < 1000


# --- errors -------------------------------------------------------------------------------------------------------


def test_another_major_version(server: EmbeddedServer) -> None:
    """A folder that another major version made is left alone, and the error says what to do."""
    server.acquire()
    server.release()
    with pytest.raises(ConfigurationError, match=r"was made by PostgreSQL 18, this is 16.*version=18"):
        EmbeddedServer(server.path, version=16).acquire()
    assert EmbeddedServer(server.path, version=16).status().version == 18


def test_a_version_that_there_is_not() -> None:
    """The error names the versions that there are."""
    with pytest.raises(ConfigurationError, match=r"\[16, 18\]"):
        EmbeddedServer(version=17)


def test_a_line_break_in_the_path() -> None:
    """PostgreSQL cannot write such a path down."""
    with pytest.raises(ConfigurationError, match="line break"):
        EmbeddedServer("a\nb")


def test_a_folder_with_other_things_in_it(room: Path) -> None:
    """A folder that holds anything else is refused, and nothing is added to it."""
    (room / "data").mkdir()
    (room / "data" / "letter.txt").write_text("Dear")
    with pytest.raises(ConfigurationError, match=r"'letter\.txt'.*empty folder"):
        EmbeddedServer(room / "data").acquire()
    assert [each.name for each in (room / "data").iterdir()] == ["letter.txt"]


def test_a_file_in_its_place(room: Path) -> None:
    """A path that is a file is refused."""
    (room / "data").write_text("")
    with pytest.raises(ConfigurationError, match="has to be a folder"):
        EmbeddedServer(room / "data").acquire()


@as_root
def test_a_folder_that_cannot_be_written(room: Path, work: Callable[..., Worker]) -> None:
    """An ordinary user who may not write there is told so."""
    answer = work("--uid", other_users(1)[0], room / "data").answer
    assert answer["error"] == "ConfigurationError"
    assert "Permission denied" in answer["message"]


@not_root
def test_a_folder_that_may_not_be_written(room: Path) -> None:
    """An ordinary user who may not write there is told so."""
    room.chmod(0o500)
    with pytest.raises(ConfigurationError, match="Permission denied"):
        EmbeddedServer(room / "data").acquire()
    room.chmod(0o700)


@as_root
@pytest.mark.parametrize("size", ["1M", "30M"])
def test_a_full_disk(room: Path, size: str) -> None:
    """A disk without room is a StorageFull that names the folder."""
    (room / "small").mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", room / "small"], check=False).returncode:
        pytest.skip("this root may not mount")
    try:
        with pytest.raises(StorageFull, match="small"):
            EmbeddedServer(room / "small" / "data").acquire()
    finally:
        subprocess.run(["umount", "-l", room / "small"], check=True)


def test_a_server_that_does_not_start(room: Path) -> None:
    """The error has the end of the server's log, and nothing is left running."""
    server = EmbeddedServer(room / "data", settings={"shared_buffers": "plenty"})
    with pytest.raises(ConnectionFailed, match=r"(?s)server\.log.*invalid value for parameter \"shared_buffers\""):
        server.acquire()
    assert not postmasters(server.path)
    assert EmbeddedServer(server.path).acquire()
    EmbeddedServer(server.path).stop()


def test_without_the_extra(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is named, with the command that installs it."""
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(ConfigurationError, match=r"psutil; pip install 'memorizz-postgresql\[embedded\]'"):
        server.acquire()
    monkeypatch.undo()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"not installed; pip install 'memorizz-postgresql\[embedded\]'"):
        server.acquire()
    monkeypatch.undo()


# --- the environment ----------------------------------------------------------------------------------------------


def test_libpqs_variables_are_for_another_server(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever PG* variables say of another server, or a service that they name, the embedded one is reached."""
    services = server.path.parent / "services.conf"
    services.write_text("[mine]\nhostaddr=10.1.2.3\nsslmode=require\noptions=-c nonsense=1\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    variables = [option.envvar.decode() for option in psycopg.pq.Conninfo.get_defaults() if option.envvar]
    for variable in variables:
        monkeypatch.setenv(variable, "mine" if variable == "PGSERVICE" else "10.1.2.3")
    assert len(variables) > 20
    assert execute(server.acquire(), "SELECT 1") == [(1,)]
    with PostgreSQLProvider(PostgreSQLConfig.embedded(server.path, embedding_dimensions=2)) as provider:
        assert provider.store({"id": "é", "content": "é", "name": "日本"}, "toolbox") == "é"
        assert [(each["content"], each["name"]) for each in provider.list_all("toolbox")] == [("é", "日本")]
    monkeypatch.setenv("PGSERVICE", "theirs")
    with pytest.raises(ConnectionFailed, match='definition of service "theirs" not found; unset PGSERVICE'):
        server.acquire()


_BUILD = """
import sys
from memorizz import PostgreSQLConfig, PostgreSQLProvider
config = PostgreSQLConfig.embedded(sys.argv[1], embedding_dimensions=8, options="-c min_parallel_table_scan_size=0")
with PostgreSQLProvider(config) as provider:
    with provider.loading("long_term_memory"):
        provider.store_many([{"embedding": [1, *[n % 7] * 7]} for n in range(500)], "long_term_memory")
    print(provider.count("long_term_memory"))
"""


@as_root
def test_a_vector_index_is_built_in_a_container_with_little_shared_memory(server: EmbeddedServer) -> None:
    """Docker gives /dev/shm 64 MB, a parallel build takes 256 MB: it is built all the same."""
    mount = "mount -t tmpfs -o size=64m none /dev/shm"
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], check=False, capture_output=True).returncode:
        pytest.skip("this root may not mount")
    command = ["unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh", sys.executable, "-c", _BUILD, server.path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("500\n", 0), done.stderr[-1000:]


@as_root
@pytest.mark.parametrize("home", [None, "/"], ids=["no HOME", "HOME=/"])
def test_a_user_without_a_home_or_an_entry(room: Path, work: Callable[..., Worker], home: str | None) -> None:
    """A container's user whom nothing knows is told what PostgreSQL needs, with and without a folder."""
    place = room / "open"
    place.mkdir()
    place.chmod(0o777)
    environment = {} if home is None else {"HOME": home}
    remove = ["HOME", "XDG_DATA_HOME"]
    answers = [work("--uid", 54321, *path, remove=remove, **environment).answer for path in ([], [place / "data"])]
    assert [answer["error"] for answer in answers] == ["ConfigurationError"] * 2
    assert "54321 has no entry" in answers[1]["message"]
    assert ("set HOME or XDG_DATA_HOME" if home is None else "54321 has no entry") in answers[0]["message"]


def test_an_initdb_that_is_killed_says_so(room: Path) -> None:
    """As the kernel does where memory is short: the error says that, nothing is left of it, and the next try works."""
    server = EmbeddedServer(room / "data", settings=FAST)
    errors: list[Exception] = []

    def acquire() -> None:
        try:
            server.acquire()
        except Exception as error:
            errors.append(error)

    starting = threading.Thread(target=acquire)
    starting.start()
    killed = 0
    while not killed and starting.is_alive():
        for process in psutil.process_iter(["cmdline", "name"]):
            if process.info["name"] == "initdb" and str(room) in " ".join(process.info["cmdline"] or []):
                process.kill()
                killed = process.pid
    starting.join()
    assert killed
    assert [type(error) for error in errors] == [ConnectionFailed]
    assert "initdb was killed" in str(errors[0])
    assert not list((room / "data" / ".memorizz").glob("new-*"))
    assert execute(server.acquire(), "SELECT 1") == [(1,)]
    server.release()


def test_reaching_a_server_in_use_asks_nothing_of_the_system(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once acquired it is found without a process or a session, as each new connection of a pool does."""
    conninfo = server.acquire()
    with monkeypatch.context() as only:
        only.setattr(subprocess, "Popen", None)
        only.setattr(psycopg, "connect", None)
        assert server.reach() == conninfo
    execute(conninfo, "CREATE TABLE kept AS SELECT 42 AS answer")
    kill_server(server)
    assert execute(server.reach(), "SELECT answer FROM kept") == [(42,)]
    server.release()
    assert not postmasters(server.path)


def test_a_provider_costs_the_server_few_sessions_and_the_machine_few_processes(
    room: Path, made: Path, open_api: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a server that runs, opening takes two sessions and a process at most, and each connection of the pool one."""
    subprocess.run(["cp", "-a", made, room / "data"], check=True)
    server = EmbeddedServer(room / "data", settings=FAST | {"log_connections": "on"})
    server.acquire()
    config = PostgreSQLConfig.embedded(room / "data", embedding_dimensions=2, max_size=8)
    open_api(config).__enter__().close()
    processes: list[Any] = []

    class Popen(subprocess.Popen[Any]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            processes.append(arguments)
            super().__init__(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    log = server.path / ".memorizz" / "server.log"
    log.write_bytes(b"")
    with open_api(config) as api, ExitStack() as held:
        for _ in range(8):
            held.enter_context(api.transaction()).count("toolbox")
        assert log.read_text().count("connection authorized") == 2 + 8
        assert len(processes) <= 1
    server.release()


def test_the_first_opening_says_where_memories_are_kept(
    room: Path, made: Path, open_api: Callable[..., Any], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Once in a process the log says which data folder and schema it is, aloud where nobody has named a server."""
    for variable in ("HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(room))
    for name in ("HOST", "PORT", "DB", "USER", "PASSWORD"):
        monkeypatch.delenv(f"POSTGRES_{name}", raising=False)
    default_path().parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", made, default_path()], check=True)
    with caplog.at_level("INFO", logger="memorizz.config"):
        for _ in range(2):
            with open_api(PostgreSQLConfig(embedding_dimensions=2)) as api:
                assert api.count("toolbox") == 0
            with open_api(PostgreSQLConfig.embedded(default_path(), schema="mine", embedding_dimensions=2)) as api:
                assert api.count("toolbox") == 0
    told = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "memorizz.config"]
    place = f"memories are kept in the embedded server in {default_path()}, schema"
    assert told == [("WARNING", f"no POSTGRES_* variable is set: {place} public"), ("INFO", f"{place} mine")]
