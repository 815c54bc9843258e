"""Who uses a server, and the watcher that stops it when nobody does any more.

Every user of a server holds a shared lock on one file for as long as it uses it. The watcher, one small process beside
the server, waits for the exclusive lock on the same file: it gets it when the last user has gone, whether it said
goodbye or was killed, because the kernel drops the locks of a dead process. There is no list of pids to go stale.

This file is also the watcher's program. It runs without the site packages and may outlive the environment that it came
from, so it imports nothing but the standard library.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import NamedTuple

if sys.platform == "win32":
    import msvcrt
    import subprocess
else:
    import fcntl

# Our own files stand in this folder of the data folder; PostgreSQL does not mind it.
PRIVATE = ".memorizz"
USERS, STARTER, WATCHER = "users.lock", "start.lock", "watcher.lock"
# The marker of a server that is to stay when its last user leaves, and of one that is on its way up.
PINNED, STARTING = "pinned", "starting"

_POLL = 0.01
# How long a server may take to write everything out when it stops.
_PATIENCE = 2.0


# --- locks --------------------------------------------------------------------------------------------------------


class Lock:
    """A lock on a file, shared or exclusive, that the kernel drops when its process ends, however it ends."""

    def __init__(self, folder: str, name: str) -> None:
        # As root we look into a folder that belongs to another user: a link that it put there is not followed.
        self._fd = os.open(os.path.join(folder, PRIVATE, name), os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))

    def take(self, *, shared: bool = False, timeout: float = float("inf")) -> bool:
        """Take the lock, and say whether it was free before the timeout was over."""
        if timeout == float("inf") and sys.platform != "win32":
            fcntl.flock(self._fd, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            return True
        deadline = time.monotonic() + timeout
        while not self._try(shared):
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL)
        return True

    def _try(self, shared: bool) -> bool:
        try:
            if sys.platform == "win32":
                # Windows has exclusive locks only, on ranges of bytes: a share is one byte, the whole is all of them.
                os.lseek(self._fd, os.getpid() % 2**30 if shared else 0, os.SEEK_SET)
                msvcrt.locking(self._fd, msvcrt.LK_NBLCK, 1 if shared else 2**30)
            else:
                fcntl.flock(self._fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def release(self) -> None:
        """Drop the lock, also where a forked child still has the file open."""
        if sys.platform != "win32":
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        self.forget()

    def forget(self) -> None:
        """Close the file in a forked child; its parent keeps the lock."""
        os.close(self._fd)


@contextmanager
def locked(folder: str, name: str, *, timeout: float = float("inf")) -> Generator[bool]:
    """Hold an exclusive lock for the length of a with block, and say whether it was got in time."""
    lock = Lock(folder, name)
    try:
        yield lock.take(timeout=timeout)
    finally:
        lock.release()


# --- the server's process -----------------------------------------------------------------------------------------


class PidFile(NamedTuple):
    """What the server says of itself in postmaster.pid."""

    pid: int
    port: int
    socket_folder: str
    address: str
    ready: bool


def read_pid_file(folder: str) -> PidFile | None:
    """Read postmaster.pid, which a server that is coming up writes line by line; None without one that makes sense."""
    try:
        with open(os.path.join(folder, "postmaster.pid"), encoding="utf-8", errors="surrogateescape") as file:
            pid, _, _, port, socket_folder, address, _, state = (file.read().split("\n") + [""] * 8)[:8]
    except FileNotFoundError:
        return None
    return (
        PidFile(int(pid), int(port or 0), socket_folder, address, state.strip() == "ready") if pid.isdecimal() else None
    )


def alive(pid: int) -> bool:
    """Return True if a process runs; one that has ended and was not yet collected by its parent does not."""
    if sys.platform == "win32":
        # There os.kill() has no signal that only asks.
        return pid != 0
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return True


def serving(folder: str) -> PidFile | None:
    """Return the server at work in this folder; None also when the pid file's number has become another program's."""
    server = read_pid_file(folder)
    if server is None or sys.platform != "linux":
        return server if server is not None and answers(server) else None
    try:
        with open(f"/proc/{server.pid}/comm") as file:
            ours = file.read().startswith("postgres") and os.path.samefile(f"/proc/{server.pid}/cwd", folder)
    except OSError:
        # There is no such process, or it is another user's.
        return None
    return server if ours and alive(server.pid) else None


def answers(server: PidFile) -> bool:
    """Return True if anybody listens where the server should."""
    if sys.platform == "win32":
        connection, address = socket.socket(), (server.address, server.port)
    else:
        connection = socket.socket(socket.AF_UNIX)
        address = os.path.join(server.socket_folder, f".s.PGSQL.{server.port}")
    with connection:
        connection.settimeout(5)
        return connection.connect_ex(address) == 0


def stop(folder: str, pg_ctl: str) -> None:
    """Shut the server of this folder down: sessions end, and what they committed stays. Without one it does nothing.

    The server writes everything out first, which takes well below a second. A disk that is too slow for that is not
    waited for: then the server just ends, and the next start repeats what its log has.
    """
    server = serving(folder)
    if server is None:
        return
    if sys.platform == "win32":
        for mode in ("fast", "immediate"):
            command = [pg_ctl, "stop", "-D", folder, "-m", mode, "-t", str(int(_PATIENCE))]
            if subprocess.run(command, check=False, capture_output=True).returncode == 0:  # noqa: S603
                return
        return
    if not _ended(server.pid, signal.SIGINT, _PATIENCE) and not _ended(server.pid, signal.SIGQUIT, 3 - _PATIENCE):
        # It ends within seconds all the same, and whoever comes next waits for that.
        return
    # The socket of a long path stood in a short folder elsewhere.
    link = os.path.join(folder, PRIVATE, "socket")
    if os.path.islink(link):
        with suppress(FileNotFoundError):
            os.rmdir(os.readlink(link))


def _ended(pid: int, number: int, timeout: float) -> bool:
    """Send a signal, and say whether the process ended in time."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
    deadline = time.monotonic() + timeout
    while alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True


# --- the watcher --------------------------------------------------------------------------------------------------


def unused(folder: str, pg_ctl: str) -> None:
    """Stop a server that has no user left, unless it is pinned; the caller holds the users' lock exclusively."""
    private = os.path.join(folder, PRIVATE)
    if os.path.exists(os.path.join(private, PINNED)):
        return
    # Its starter was killed while it came up, and it cannot be told to stop before it has said who it is.
    deadline = time.monotonic() + 3
    while os.path.exists(os.path.join(private, STARTING)) and time.monotonic() < deadline and not serving(folder):
        time.sleep(_POLL)
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(private, STARTING))
    stop(folder, pg_ctl)


def watch(folder: str, pg_ctl: str) -> None:
    """Wait until nobody uses the server, stop it, and end.

    A second watcher waits for the first; by then there is nothing left to do, and it ends too.
    """
    watcher, users = Lock(folder, WATCHER), Lock(folder, USERS)
    watcher.take()
    users.take()
    unused(folder, pg_ctl)
    # In this order: whoever gets the users' lock next must see that there is no watcher any more.
    watcher.release()
    users.release()


if __name__ == "__main__":
    watch(*sys.argv[1:])
