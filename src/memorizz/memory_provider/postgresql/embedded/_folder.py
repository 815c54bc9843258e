"""The data folder: whose it is, how it is made, and the settings of the server in it.

Everything stands in the one folder that the user named: PostgreSQL's own files, and ours in `.memorizz`.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC
from pathlib import Path

from memorizz.errors import ConfigurationError, ConnectionFailed, MemorizzError, StorageFull, one_line
from memorizz.memory_provider.postgresql.embedded._programs import Account, blocked_at, open_parents, program
from memorizz.memory_provider.postgresql.embedded._watch import PRIVATE, STARTER, USERS, WATCHER

if sys.platform != "win32":
    import pwd

logger = logging.getLogger("memorizz.embedded")

# The system's users that a server of root's may run as, the best first. `nobody` is shared with other programs, but
# with the map below not even `nobody` itself gets into the database.
_SERVANTS = ("memorizz", "postgres", "_postgres", "nobody")

# The first locale that the platform has: all of them sort by code point, so an index means the same everywhere.
_LOCALES = (
    ("--locale=C.UTF-8",),
    ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
    ("--locale=C",),
)

# Written into postgresql.conf once, where their owner may change them.
_SETTINGS = {
    # A vector index that is built within this is built many times faster; it is taken only while one is built.
    "maintenance_work_mem": "256MB",
    # The log keeps errors and their causes, not the texts of the statements and rows, which are the user's own.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}
if sys.platform == "linux":
    # After a crash the server first makes the disk keep everything: by one call, and not one for each file.
    _SETTINGS["recovery_init_sync_method"] = "syncfs"

# A parallel index build takes a segment of maintenance_work_mem, and others may build at the same time. A container
# often has 64 MB of /dev/shm, which does not limit the other kind of shared memory.
_SHARED_MEMORY, _ENOUGH_SHARED_MEMORY = Path("/dev") / "shm", 2**30

# What the path of a socket may hold on the strictest platform, less the file's name.
_LONGEST_SOCKET_FOLDER = 103 - len("/.s.PGSQL.65535")


@contextmanager
def explained(path: Path) -> Generator[None]:
    """Turn an error of the operating system into one that says what to do."""
    try:
        yield
    except MemorizzError:
        # Some of ours are OSErrors too.
        raise
    except OSError as error:
        where = error.filename or path
        if error.errno in (ENOSPC, EDQUOT):
            raise StorageFull(
                f"no room left for the embedded server in {path}: free some, or use another path"
            ) from error
        raise ConfigurationError(
            f"cannot use {path} for the embedded server: {error.strerror} ({where}); it has to be a folder that you "
            "may write to, or one that does not exist yet; make it so, or use another path"
        ) from error


# --- whose it is --------------------------------------------------------------------------------------------------


def account_of(path: Path) -> Account:
    """Return the user that the server in `path` runs as: ourselves, or as root the folder's owner, or a servant."""
    if sys.platform == "win32":
        return Account("", -1, -1, ours=True)
    uid = os.geteuid()
    owner = path.stat().st_uid if path.exists() else uid
    if uid != 0 and owner != uid:
        raise ConfigurationError(f"{path} belongs to the user id {owner}, you are {uid}; use a folder of your own")
    try:
        entry = pwd.getpwuid(owner) if owner else next(filter(None, map(_entry, _SERVANTS)))
    except KeyError:
        raise ConfigurationError(
            f"the user id {owner} has no entry in the list of users (/etc/passwd), and PostgreSQL needs one: add it, "
            "run the container as a user of its image, or name a server, POSTGRES_HOST or PostgreSQLConfig(host=...)"
        ) from None
    except StopIteration:
        raise ConfigurationError(
            f"PostgreSQL does not run as root, and none of the users {', '.join(_SERVANTS)} exists: add one of them"
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, ours=entry.pw_uid == uid)


def _entry(name: str) -> pwd.struct_passwd | None:

    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


# --- making it ----------------------------------------------------------------------------------------------------


def prepare(path: Path) -> Account:
    """Make the folder, private and its user's own, with the locks in it; harmless where that is done already."""
    account = account_of(path)
    if not account.ours and (parent := blocked_at(path.parent, account)) is not None:
        raise ConfigurationError(
            f"root's server runs as the user {account.name}, who may not enter {parent} and so cannot reach {path}; "
            "use a path that others can reach: nothing has been changed, rights are never widened here"
        )
    open_parents(path.parent, 0o700 if account.ours else 0o755)
    path.mkdir(mode=0o700, exist_ok=True)
    private = path / PRIVATE
    entries = set(os.listdir(path)) - {PRIVATE}
    if entries and "PG_VERSION" not in entries and not (private / "ready").exists():
        raise ConfigurationError(
            f"{path} holds other things than an embedded server ({min(entries)!r}): use an empty folder, or a new one"
        )
    if not account.ours and path.stat().st_uid == 0:
        if entries:
            raise ConfigurationError(f"{path} belongs to root, but its server cannot run as root: chown it to its user")
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
    if path.stat().st_mode & 0o077:
        path.chmod(0o700)
    make_folder(private, account)
    for lock in (USERS, STARTER, WATCHER):
        # Never replaced: another process may hold it.
        os.close(open_private(private / lock, os.O_WRONLY | os.O_CREAT, account))
    return account


def make_folder(folder: Path, account: Account) -> None:
    """Make a private folder that belongs to `account`, or see that it is one."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if sys.platform == "win32":
        return
    if not account.ours and folder.lstat().st_uid == 0:
        os.chown(folder, account.uid, account.gid, follow_symlinks=False)
    found = folder.lstat()
    # What another user put there in its place is neither followed nor taken over.
    if found.st_uid != account.uid or found.st_mode & 0o077 or folder.is_symlink():
        raise ConfigurationError(f"{folder} should be a folder that only {account.name} can read: remove it")


def open_private(file: Path, flags: int, account: Account) -> int:
    """Open a file that only `account` can read, and return its descriptor."""
    descriptor = os.open(file, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)
    if not account.ours:
        os.fchown(descriptor, account.uid, account.gid)
    return descriptor


def write(file: Path, text: str, account: Account) -> None:
    """Write a small file, whole or not at all, that only `account` can read."""
    temporary = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    descriptor = open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, account)
    with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as opened:
        opened.write(text)
    os.replace(temporary, file)


def initialise(path: Path, account: Account, installed: Path, sync: Sequence[str]) -> None:
    """Make the database's files, unless they are there; the caller holds the starter's lock.

    They are made in a folder beside, and moved into place when they are whole. Killed at any point, this leaves
    nothing that the next start cannot complete. PG_VERSION goes last: with it the data folder is one.
    """
    private = path / PRIVATE
    ready = private / "ready"
    if not (path / "PG_VERSION").exists():
        if not ready.exists():
            for leftover in private.glob("new-*"):
                # The initdb that made it may still live for a moment, and leave something for the next time.
                shutil.rmtree(leftover, ignore_errors=True)
            new = private / f"new-{secrets.token_hex(4)}"
            _initdb(new, private, account, installed, sync)
            new.rename(ready)
        for entry in sorted(ready.iterdir(), key=lambda each: each.name == "PG_VERSION"):
            entry.rename(path / entry.name)
    if ready.exists():
        ready.rmdir()


def _initdb(new: Path, private: Path, account: Account, installed: Path, sync: Sequence[str]) -> None:
    command = [
        program(installed, "initdb"),
        "-D",
        new,
        "-U",
        "postgres",
        "-E",
        "UTF8",
        "-k",
        "--no-instructions",
        *sync,
    ]
    for name, value in _SETTINGS.items():
        command += ["-c", f"{name}={value}"]
    if sys.platform == "win32":
        password = secrets.token_urlsafe(32)
        # The folder's own rights keep others out there, as they do for everything else in a Windows profile.
        write(private / "password", password, account)
        write(private / "pgpass", f"*:*:*:postgres:{password}\n", account)
        command += ["-A", "scram-sha-256", f"--pwfile={private / 'password'}"]
    else:
        # The server reads other rules than the ones that this writes; these are for one that is started by hand.
        command += ["-A", "peer"]
    said, killed = "", False
    for locale in _LOCALES:
        result = account.run([*command, *locale])
        if result.returncode == 0:
            return
        said = result.stderr.strip()
        # Itself, or the server that it runs.
        killed = result.returncode < 0 or "terminated by signal" in said
        if killed or "locale" not in said:
            break
    shutil.rmtree(new, ignore_errors=True)
    if killed:
        raise ConnectionFailed(
            f"initdb was killed while it made a database in {private.parent}: unless somebody did that, the machine or "
            f"the container has too little memory; nothing is left of it, so try again ({said[-500:] or 'no message'})"
        )
    error = StorageFull if "No space left" in said else ConfigurationError
    raise error(f"initdb cannot make a database in {private.parent}: {said}")


def check_version(path: Path, version: int) -> None:
    """Raise when the folder was made by another major version of PostgreSQL."""
    file = path / "PG_VERSION"
    found = int(file.read_text()) if file.exists() else version
    if found != version:
        raise ConfigurationError(
            f"{path} was made by PostgreSQL {found}, this is {version}, which cannot read it: use version={found}, "
            f"or another path, or move the data with pg_dump"
        )


# --- its settings -------------------------------------------------------------------------------------------------


def options(path: Path, account: Account, settings: Mapping[str, str]) -> list[str]:
    """Return the server's command line options, and write the files that they name; the server does not run."""
    private = path / PRIVATE
    if sys.platform == "win32":
        access, names = "host all all 127.0.0.1/32 scram-sha-256\n", ""
        place = {"listen_addresses": "127.0.0.1", "port": str(_free_port()), "unix_socket_directories": ""}
    else:
        # The kernel says who is at the other end of a socket: the server's own user and root, nobody else.
        access = "local all all peer map=memorizz\nlocal replication all peer map=memorizz\n"
        names = "".join(f'memorizz "{name}" all\n' for name in {pwd.getpwuid(0).pw_name, account.name})
        folder = socket_folder(private, account)
        for stale in folder.glob(".s.PGSQL.*.lock"):
            # It holds the pid of a server that is gone, which may be another program's by now.
            stale.unlink()
        sockets = str(folder).replace('"', '""')
        place = {"listen_addresses": "", "port": "5432", "unix_socket_directories": f'"{sockets}"'}
    files = {"hba_file": private / "pg_hba.conf", "ident_file": private / "pg_ident.conf"}
    write(files["hba_file"], access, account)
    write(files["ident_file"], names, account)
    every = place | {"unix_socket_permissions": "0700"} | {name: str(file) for name, file in files.items()}
    every |= _shared_memory() | dict(settings)
    return [part for name, value in every.items() for part in ("-c", f"{name}={value}")]


def _shared_memory() -> dict[str, str]:
    """Return the setting for a machine or container whose /dev/shm is too small."""
    if sys.platform != "linux":
        return {}
    try:
        room = os.statvfs(_SHARED_MEMORY)
    except FileNotFoundError:
        size = 0
    else:
        size = room.f_blocks * room.f_frsize
    return {} if size >= _ENOUGH_SHARED_MEMORY else {"dynamic_shared_memory_type": "sysv"}


def socket_folder(private: Path, account: Account) -> Path:
    """Make and return the folder of the socket: ours, or a short one elsewhere where the path of ours cannot be used.

    A link in ours says where the short one is, so that it is the same after every start.
    """
    folder = private / "socket"
    if _usable(folder) and not folder.is_symlink():
        make_folder(folder, account)
        return folder
    if folder.is_symlink():
        short = folder.readlink()
        try:
            make_folder(short, account)
        except (ConfigurationError, OSError) as error:
            # Somebody else has taken the name since the machine was started.
            logger.warning("the socket's folder is replaced: %s", one_line(str(error)))
            folder.unlink()
        else:
            return short
    # Not TMPDIR, which may be as long, or closed to the server's user.
    short = Path(tempfile.mkdtemp(prefix="memorizz-", dir="/tmp"))
    make_folder(short, account)
    folder.symlink_to(short)
    return short


def _usable(folder: Path) -> bool:
    """Return True if a server and libpq can both name a socket in this folder; libpq takes a comma for a list."""
    try:
        return len(str(folder).encode()) <= _LONGEST_SOCKET_FOLDER and "," not in str(folder)
    except UnicodeEncodeError:
        return False


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
