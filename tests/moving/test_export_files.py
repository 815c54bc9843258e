"""The file of an export: it appears whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from memorizz.errors import ConfigurationError, ConnectionFailed, InvalidFile
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.maintenance import Maintenance
from memorizz.moving import Progress, export, load, opened

LONG = MemoryType.LONG_TERM_MEMORY
FORMATS = ["jsonl", "jsonl.gz", "jsonl.zst", "parquet"]


@pytest.fixture
def filled(provider: PostgreSQLProvider) -> PostgreSQLProvider:
    """A provider with 1,200 documents, of which a read brings 500."""
    provider.store_many(({"id": f"{n}", "content": "x" * 200, "embedding": [1, n, 0, 0]} for n in range(1200)), LONG)
    return provider


BEGINS = {"jsonl": b'{"format"', "jsonl.gz": b"\x1f\x8b", "jsonl.zst": b"\x28\xb5\x2f\xfd", "parquet": b"PAR1"}


def test_the_format_is_that_of_the_name(provider: Any, tmp_path: Path) -> None:
    """A file is written as its name says, and read as what it is, whatever its name says."""
    for format, begin in BEGINS.items():
        export(provider, path := tmp_path / f"memories.{format}")
        assert path.read_bytes().startswith(begin)
        with opened(path.rename(tmp_path / f"{format}.txt")) as found:
            assert found.manifest.dimensions == 4
            assert found.manifest.stores == dict.fromkeys(MemoryType, 0)
            assert found.manifest.software.startswith("memorizz-postgresql ")


def test_a_name_that_says_no_format_is_refused(provider: Any, tmp_path: Path) -> None:
    """The error lists the formats; `format` says it too."""
    with pytest.raises(ConfigurationError, match=r"jsonl, jsonl.gz, jsonl.zst, parquet"):
        export(provider, tmp_path / "memories")
    with pytest.raises(ConfigurationError, match="expected one of jsonl"):
        export(provider, tmp_path / "memories", format="csv")
    export(provider, tmp_path / "memories", format="jsonl")
    assert os.listdir(tmp_path) == ["memories"]


def test_a_file_that_exists_is_kept(provider: Any, tmp_path: Path) -> None:
    """It is replaced only where that is said."""
    path = tmp_path / "a.jsonl"
    path.write_text("precious")
    with pytest.raises(ConfigurationError, match=r"a\.jsonl exists: .*--force"):
        export(provider, path)
    assert path.read_text() == "precious"
    export(provider, path, force=True)
    assert path.read_text().startswith('{"format":"memorizz export"')


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such modes")
def test_memories_in_a_file_are_for_their_owner(provider: Any, tmp_path: Path) -> None:
    """Nobody else can read the file."""
    export(provider, tmp_path / "a.jsonl")
    assert (tmp_path / "a.jsonl").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("what", ["a folder that is not there", "a folder in its place"])
def test_a_file_that_cannot_be_written_is_an_error(provider: Any, tmp_path: Path, what: str) -> None:
    """The error names the file and says why."""
    path = tmp_path / "none" / "a.jsonl"
    if what == "a folder in its place":
        path.mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"a\.jsonl cannot be written: .*director"):
        export(provider, path, force=True)


def test_a_file_that_cannot_be_read_is_an_error(provider: Any, tmp_path: Path) -> None:
    """The error names the file and says why."""
    with pytest.raises(ConfigurationError, match=r"a\.jsonl cannot be read: No such file"):
        load(tmp_path / "a.jsonl", provider)


LITTLE_ROOM = """
import resource, sys
from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.errors import StorageFull
from memorizz.moving import export
with PostgreSQLProvider(PostgreSQLConfig(dsn=sys.argv[1], embedding_dimensions=4)) as provider:
    # No file can grow beyond 8 kB, as on a disk that is full.
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
    for path in sys.argv[2:]:
        try:
            export(provider, path, force=True)
        except StorageFull as error:
            print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits to set")
def test_a_full_disk_leaves_no_file(filled: Any, migrated_dsn: str, tmp_path: Path) -> None:
    """The error says what was to be written, and what was written of it is gone; what was there before stays."""
    paths = [tmp_path / f"a.{format}" for format in FORMATS]
    for path in paths:
        path.write_text("precious")
    command = [sys.executable, "-c", LITTLE_ROOM, migrated_dsn, *map(str, paths)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stderr == ""
    for line, path in zip(done.stdout.splitlines(), paths, strict=True):
        assert re.search(rf"no room to write .*{re.escape(path.name)}", line)
        assert path.read_text() == "precious"
    assert len(os.listdir(tmp_path)) == len(FORMATS)


NO_TEMPORARY_ROOM = """
import os, resource, subprocess, sys
from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.errors import StorageFull
from memorizz.moving import copy, export, load

class WithoutTransactions:
    has_large_transactions = False
    def __init__(self, provider):
        self.provider = provider
    def __getattr__(self, name):
        return getattr(self.provider, name)

options = {"dsn": sys.argv[1], "embedding_dimensions": 4}
with (
    PostgreSQLProvider(PostgreSQLConfig(**options)) as provider,
    PostgreSQLProvider(PostgreSQLConfig(schema="moved", **options)) as target,
):
    export(provider, sys.argv[2] + "/a.parquet")
    export(provider, sys.argv[2] + "/a.jsonl")
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
    def pipe(path):
        return subprocess.Popen(["cat", path], stdout=subprocess.PIPE).stdout
    for move in (
        lambda: export(provider, subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=2).stdin, format="parquet"),
        lambda: load(pipe(sys.argv[2] + "/a.parquet"), target),
        lambda: load(sys.argv[2] + "/a.jsonl", WithoutTransactions(target)),
        lambda: copy(provider, target, journal=sys.argv[2] + "/journal"),
    ):
        try:
            move()
        except StorageFull as error:
            print(error)
    print(sum(target.count(store) for store in ("long_term_memory", "agents")))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits to set")
def test_no_room_for_temporary_files_is_said(filled: Any, target: Any, migrated_dsn: str, tmp_path: Path) -> None:
    """Parquet through a pipe, an import that is checked first, a journal: each is StorageFull, and nothing else."""
    command = [sys.executable, "-W", "ignore::ResourceWarning", "-c", NO_TEMPORARY_ROOM, migrated_dsn, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stderr == ""
    *temporary, journal, stored = done.stdout.splitlines()
    assert [line.partition(" (")[0] for line in temporary] == ["no room for a temporary file"] * 3
    assert "TMPDIR" in temporary[0]
    assert journal.startswith(f"no room to write the journal {tmp_path / 'journal'}")
    assert stored == "0"


# --- what happens meanwhile ---------------------------------------------------------------------------------------


def hang_up(dsn: str) -> None:
    """End every other connection to the database."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def hang_up_when_idle(dsn: str) -> None:
    """End a connection between two statements; one that is ended in a statement is told as that."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        while not connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle'"
        ).fetchall():
            time.sleep(0.01)


def test_a_connection_lost_while_exporting_is_made_again(filled: Any, migrated_dsn: str, tmp_path: Path) -> None:
    """A read that is repeated brings the same documents: nothing is missing in the file."""

    def lose(progress: Progress) -> None:
        if progress.done == 500:
            hang_up_when_idle(migrated_dsn)

    assert export(filled, tmp_path / "a.jsonl", progress=lose)[LONG] == 1200


def test_an_export_that_fails_leaves_no_file(filled: Any, tmp_path: Path) -> None:
    """A provider that ends in the middle, here one that is closed, leaves nothing of the file."""

    def close(progress: Progress) -> None:
        if progress.done == 500:
            filled.close()

    with pytest.raises(Exception, match="closed"):
        export(filled, tmp_path / "a.jsonl", progress=close)
    assert os.listdir(tmp_path) == []


def test_a_connection_lost_while_importing_leaves_nothing(filled: Any, migrated_dsn: str, tmp_path: Path) -> None:
    """What was stored so far is gone, what was there before is there, and the import can be repeated."""
    export(filled, path := tmp_path / "a.jsonl")

    def lose(progress: Progress) -> None:
        if progress.done == 500:
            hang_up(migrated_dsn)

    filled.store({"id": "mine"}, LONG)
    with pytest.raises(ConnectionFailed):
        load(path, filled, existing="replace", progress=lose)
    assert filled.count(LONG) == 1201
    load(path, filled, existing="replace")
    assert filled.count(LONG) == 1200


KILLED = """
import os, signal, sys
from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.moving import export, load
def die(progress):
    if progress.done == 1000:
        os.kill(os.getpid(), signal.SIGKILL)
with PostgreSQLProvider(PostgreSQLConfig(dsn=sys.argv[1], embedding_dimensions=4)) as provider:
    if sys.argv[2] == "export":
        export(provider, sys.argv[3], force=True, progress=die)
    else:
        load(sys.argv[3], provider, existing="replace", progress=die)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such signal")
@pytest.mark.parametrize("what", ["export", "import"])
def test_being_killed_leaves_what_was_there(filled: Any, migrated_dsn: str, tmp_path: Path, what: str) -> None:
    """After kill -9 the file of that name is the old one, and the target holds what it held."""
    export(filled, path := tmp_path / "a.jsonl")
    before = path.read_bytes()
    filled.store({"id": "mine"}, LONG)
    killed = subprocess.run([sys.executable, "-c", KILLED, migrated_dsn, what, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_bytes() == before
    assert filled.count(LONG) == 1201
    load(path, filled, existing="replace")
    assert filled.count(LONG) == 1200


class Endless(io.RawIOBase):
    """A stream that nobody reads and that cannot seek: counts what is written."""

    def __init__(self) -> None:
        self.written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.written += len(data)
        return len(data)


@pytest.mark.parametrize("format", ["jsonl", "jsonl.gz"])
def test_an_export_streams(filled: Any, format: str) -> None:
    """Documents are written while others are not yet read, so that no number of them fills the memory."""
    out: Any = Endless()
    written: list[int] = []
    export(filled, out, format=format, progress=lambda _: written.append(out.written))
    assert 0 < written[0] < out.written * 2 / 3


def test_an_import_streams(filled: Any, target: Any) -> None:
    """A file is read as it is stored, and not ahead of it."""
    export(filled, file := io.BytesIO())
    size = file.tell()
    file.seek(0)
    places: list[int] = []
    load(file, target, progress=lambda _: places.append(file.tell()))
    assert size / 3 < places[0] < size * 2 / 3


def test_the_vector_index_is_there_after_an_import_and_after_one_that_failed(
    filled: Any, target: Any, target_config: PostgreSQLConfig
) -> None:
    """An empty store is filled without its index, which is built when it is full, or when it is to stay empty."""
    export(filled, file := io.BytesIO())
    vectors = f"{LONG.value}_embedding_idx"
    names: list[list[str]] = []

    def look(_: Any = None) -> None:
        with Maintenance(target_config) as maintenance:
            names.append([index.name for index, _ in maintenance.indexes() if index.store == LONG])

    with pytest.raises(InvalidFile):
        load(io.BytesIO(file.getvalue()[:-20]), target, progress=look)
    assert vectors not in names[0]
    look()
    assert vectors in names[-1]
    load(io.BytesIO(file.getvalue()), target)
    look()
    assert vectors in names[-1]


def test_an_export_goes_through_a_pipe(filled: Any, target: Any) -> None:
    """What cannot be gone back in serves every format."""

    def write(end: int, format: str) -> None:
        with open(end, "wb") as out:
            export(filled, out, format=format)

    for format in FORMATS:
        reader, writer = os.pipe()
        thread = threading.Thread(target=write, args=(writer, format))
        thread.start()
        with open(reader, "rb") as source:
            assert load(source, target, existing="replace")[LONG] == 1200
        thread.join()
