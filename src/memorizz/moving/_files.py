"""The file of an export: its format, how it appears whole or not at all, and how it is opened again."""

from __future__ import annotations

import errno
import gzip
import io
import os
import re
import shutil
import stat
import sys
import tempfile
import zlib
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import IO, Any, cast

from memorizz.errors import ConfigurationError, InvalidFile, MemorizzError, StorageFull, quoted

File = str | os.PathLike[str] | IO[bytes]


class Format(StrEnum):
    """How an export is written: where it is one that `load` reads, its value is the end of a file's name."""

    JSON_LINES = "jsonl"
    GZIP = "jsonl.gz"
    ZSTD = "jsonl.zst"
    PARQUET = "parquet"
    # For people, and for other programs.
    MARKDOWN = "markdown"
    MCP = "mcp"
    MEM0 = "mem0"

    @classmethod
    def of(cls, value: str | None, file: File) -> Format:
        """Return a format by its value, or else by a file's name, JSON Lines where it has none."""
        if value is not None:
            try:
                return cls(value)
            except ValueError:
                raise ConfigurationError(f"format={quoted(value)}: expected one of {', '.join(cls)}") from None
        name = name_of(file)
        for each in _NAMED:
            if name.endswith(f".{each.value}"):
                return each
        if isinstance(file, str | os.PathLike):
            known, others = ", ".join(_NAMED), ", ".join(each for each in cls if each not in _NAMED)
            raise ConfigurationError(
                f"{name}: the name says no format: let it end with one of {known}, or give one (also {others})"
            )
        return cls.JSON_LINES


_NAMED = (Format.JSON_LINES, Format.GZIP, Format.ZSTD, Format.PARQUET)


def name_of(file: File) -> str:
    """Return what messages call a file: where it is a URL, which no file is, without what may be a password."""
    name = file if isinstance(file, str | os.PathLike) else getattr(file, "name", None)
    return re.sub("://.*@", "://", os.fspath(name)) if isinstance(name, str | os.PathLike) else "the stream"


# --- writing ------------------------------------------------------------------------------------------------------


@contextmanager
def writing(file: File, force: bool) -> Generator[IO[bytes]]:
    """Open what is written to: a stream, or a file that appears under its name once all of it is on disk.

    Raises ConfigurationError where a file exists and `force` is not said, or where it cannot be written, StorageFull
    where the disk has no room. Whatever is raised inside, no half a file is left.
    """
    with translated(file, "written"):
        if not isinstance(file, str | os.PathLike):
            yield file
            file.flush()
            return
        path = Path(file)
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            with path.open("wb") as device:
                yield device
            return
        if path.exists() and not force:
            raise ConfigurationError(f"{path} exists: name another file, or say that it is to be replaced (--force)")
        handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        try:
            with open(handle, "w+b") as new:
                yield new
                new.flush()
                os.fsync(handle)
            os.replace(partial, path)
        except BaseException:
            os.unlink(partial)
            raise


@contextmanager
def writing_folder(file: File) -> Generator[Path]:
    """Open a folder that appears under its name once all of it is written; none that holds something is replaced.

    Raises ConfigurationError where one does, or where it cannot be written, StorageFull where the disk has no room.
    """
    if not isinstance(file, str | os.PathLike):
        raise ConfigurationError("Markdown is a folder of files, and no stream holds one: name a folder")
    path = Path(file)
    with translated(file, "written"):
        if path.is_symlink() or (path.exists() and not (path.is_dir() and not any(path.iterdir()))):
            raise ConfigurationError(
                f"{path} exists, and is not replaced: name a folder that is not there, or is empty"
            )
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
        try:
            yield partial
            # Afterwards: most of them are on disk by then.
            for file in filter(Path.is_file, partial.rglob("*")):
                with file.open("rb") as written:
                    os.fsync(written.fileno())
            if path.exists():
                path.rmdir()
            partial.rename(path)
        except BaseException:
            shutil.rmtree(partial)
            raise


@contextmanager
def translated(file: File, what: str) -> Generator[None]:
    """Raise the errors of files as errors of ours; those of ours that are OSErrors too stay what they are.

    Raises ConfigurationError for what is no file at all, too: an empty path would be the folder that one is in.
    """
    if isinstance(file, str | os.PathLike):
        path = os.fspath(file)
        if not path or "\0" in path:
            raise ConfigurationError(f"file={quoted(path)}: expected a path, or a binary stream")
    elif isinstance(file, io.TextIOBase) or not hasattr(file, "read" if what == "read" else "write"):
        raise ConfigurationError(
            f"file: expected a path, or a stream that is opened as binary; got a {type(file).__name__}"
        )
    try:
        yield
    except MemorizzError:
        raise
    except OSError as error:
        if is_full(error):
            raise StorageFull(
                f"no room to write {name_of(file)} ({error.strerror}): make room, or write elsewhere"
            ) from error
        reason = error.strerror or str(error)
        raise ConfigurationError(f"{name_of(file)} cannot be {what}: {reason}") from error


def is_full(error: OSError) -> bool:
    """Return True if a disk, a quota or a limit of the process leaves no room for a file."""
    return error.errno in (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))


@contextmanager
def temporary() -> Generator[IO[bytes]]:
    """Open a temporary file that has no name.

    Raises StorageFull where there is no room for it, also while it is written, and ConfigurationError where it cannot
    be made.
    """
    made = False
    try:
        with tempfile.TemporaryFile(prefix="memorizz-") as file:
            made = True
            yield file
    except MemorizzError:
        raise
    except OSError as error:
        if is_full(error):
            raise StorageFull(
                f"no room for a temporary file ({error.strerror}): make room in {tempfile.gettempdir()}, or name "
                "another folder in TMPDIR"
            ) from error
        if made:
            # It comes from whatever was done meanwhile.
            raise
        raise ConfigurationError(f"no temporary file can be made: {error.strerror}; name a folder in TMPDIR") from error


@contextmanager
def compressing(file: IO[bytes], format: Format) -> Generator[IO[bytes]]:
    """Compress what is written, where the format says so."""
    if format is Format.GZIP:
        # Without a name and a time. Vectors, most of a file as a rule, get no smaller by a higher level.
        with gzip.GzipFile("", "wb", 1, file, 0) as compressed:
            yield cast("IO[bytes]", compressed)
    elif format is Format.ZSTD:
        zstd = _zstd()
        options = {zstd.CompressionParameter.checksum_flag: 1}
        with zstd.ZstdFile(file, "wb", options=options) as compressed:
            yield compressed
    else:
        yield file


def _zstd() -> Any:
    """Return the module that compresses with zstd: Python's own from 3.14 on."""
    try:
        return import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    except ImportError:
        raise ConfigurationError(
            "zstd is not installed: pip install 'memorizz-postgresql[zstd]', or use .jsonl.gz"
        ) from None


# --- reading ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Opened:
    """An export that is read: `stream` is what is in it, decompressed.

    `damage` are the errors by which the stream says that the file is cut off or altered. No document in it may be
    larger than `most` bytes.
    """

    name: str
    format: Format
    stream: IO[bytes]
    damage: tuple[type[Exception], ...]
    most: int


# A frame of zstd says how much memory its window needs, 2 MB where `export` has written it.
_LOG_OF_WINDOW = 25


@contextmanager
def reading(file: File, most: int) -> Generator[Opened]:
    """Open an export, whose format is told from its first bytes. Parquet that cannot seek is copied first."""
    with ExitStack() as stack:
        stack.enter_context(translated(file, "read"))
        stream = stack.enter_context(open(file, "rb")) if isinstance(file, str | os.PathLike) else file
        raw: Any = stream
        if not hasattr(stream, "peek"):
            raw = io.BufferedReader(cast("io.RawIOBase", stream))
            # Else it would close a stream that is not ours.
            stack.callback(raw.detach)
        begin, name = raw.peek(4)[:4], name_of(file)
        if not begin:
            raise InvalidFile(name, "byte 0", "the file is empty")
        format = next((each for magic, each in _MAGIC.items() if begin.hex().startswith(magic)), Format.JSON_LINES)
        if format is Format.GZIP:
            compressed = cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
            yield Opened(name, format, compressed, (EOFError, OSError, zlib.error), most)
        elif format is Format.ZSTD:
            zstd = _zstd()
            compressed = zstd.ZstdFile(raw, options={zstd.DecompressionParameter.window_log_max: _LOG_OF_WINDOW})
            yield Opened(name, format, compressed, (EOFError, OSError, zstd.ZstdError), most)
        elif format is Format.PARQUET:
            yield Opened(name, format, stack.enter_context(seekable(raw)), (OSError,), most)
        else:
            yield Opened(name, format, raw, (OSError,), most)


# What files begin with, in hexadecimal.
_MAGIC = {"1f8b": Format.GZIP, "28b52ffd": Format.ZSTD, b"PAR1".hex(): Format.PARQUET}


def is_export(begin: bytes) -> bool:
    """Return True if a file that begins so was written by `export`; the other readers refuse what is empty, too."""
    return not begin or begin.hex().startswith(tuple(_MAGIC)) or b'"memorizz export"' in begin


@contextmanager
def seekable(file: IO[bytes]) -> Generator[IO[bytes]]:
    """Give a file in which one can go back: itself, or else a temporary copy."""
    if file.seekable():
        yield file
        return
    with temporary() as copy:
        shutil.copyfileobj(file, copy)
        copy.seek(0)
        yield copy
