"""Where memories are read from: a file, a folder, or a zip, whose members are never written to the disk."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, cast

from memorizz.errors import ConfigurationError, InvalidFile, MemorizzError, quoted
from memorizz.importers._database import Database, open_kuzu, open_postgresql, open_sqlite
from memorizz.importers._json import NOT_UTF8, JSONReader, beginnings
from memorizz.moving._files import File, name_of, seekable, translated
from memorizz.moving._limits import MEGABYTE, check_bytes, check_json

# The most that one conversation, one message, one line may need in memory, unless the caller says otherwise.
ELEMENT_BYTES = 64 * MEGABYTE
# What is looked at to see what a file is.
_HEAD = 2**16
# Members that are looked at to see what a source is, and of which it is remembered what they begin with.
LOOKED_AT = 50
_KEPT = 4 * LOOKED_AT
_MOST_MEMBERS = 1_000_000
# Of files, and the end that one without any is.
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_SQLITE = b"SQLite format 3\0"
_KUZU = b"KUZU"
_URLS = ("postgresql://", "postgres://")
_TEXTS = (".json", ".jsonl", ".txt", ".csv", ".md")
# What zipfile and zlib say of a file that is damaged.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)


class Member:
    """A file to read, in a folder or a zip, or alone.

    name: its path in there, with slashes; alone, the name of the file. size: in bytes.
    """

    def __init__(self, source: Source, name: str, size: int, opener: Callable[[], IO[bytes]]) -> None:
        self.name = name
        self.size = size
        self.is_read = False
        self._source = source
        self._open = opener

    @property
    def basename(self) -> str:
        return self.name.rpartition("/")[2]

    def place(self, where: str) -> str:
        """Return a place in this member as messages say it: without the name of a file that is alone."""
        return where if self._source.is_single else f"{self.name}, {where}"

    def invalid(self, where: str, reason: str) -> InvalidFile:
        """Return the error for a place in this member that is not as it must be."""
        return InvalidFile(self._source.name, self.place(where), reason)

    def check_size(self, size: int, where: str, what: str) -> None:
        """Raise InvalidFile if something that is read in one piece is larger than it may be."""
        check_bytes(size, self._source.most, self._source.name, self.place(where), what)

    @contextmanager
    def opened(self) -> Generator[IO[bytes]]:
        """Open it; whatever is wrong with the file while it is read is InvalidFile."""
        self.is_read = True
        with self._opened() as stream:
            yield stream

    @contextmanager
    def _opened(self) -> Generator[IO[bytes]]:
        try:
            with self._open() as stream:
                yield stream
        except MemorizzError:
            raise
        except _DAMAGE as error:
            raise self.invalid("the file", f"it is damaged, and cannot be read ({error})") from error
        except OSError as error:
            raise ConfigurationError(f"{self._source.name}, {self.name} cannot be read: {error.strerror}") from error

    @property
    def head(self) -> str:
        """The beginning of its text; what is not UTF-8 is replaced, for whoever reads it to complain of."""
        with self._opened() as stream:
            return stream.read(_HEAD).decode("utf-8-sig", "replace")

    @property
    def beginnings(self) -> tuple[bool, list[dict[str, Any]]]:
        """Whether its text is a JSON array, and the first objects in it, or else of JSON Lines or of one JSON object.

        A value that is not finished in `head` is `...`.
        """
        kept = self._source.kept
        if self.name not in kept:
            # All formats ask for the same few, one after the other.
            while len(kept) >= _KEPT:
                del kept[next(iter(kept))]
            kept[self.name] = beginnings(self.head)
        return kept[self.name]

    @contextmanager
    def json(self) -> Generator[JSONReader]:
        """Open it as JSON, to be read value by value; places are bytes."""
        with self.opened() as stream:
            yield JSONReader(lambda count: self._counted(stream.read(count)), self.invalid, self._source.most)

    def elements(self) -> Iterator[Any]:
        """Yield what the one JSON array holds that it is."""
        with self.json() as text:
            yield from text.elements()
            text.end()

    def listed(self, names: Collection[str]) -> Iterator[tuple[str, int, Any]]:
        """Yield what stands in the lists under some names of the one object that it is, with the name and a number."""
        with self.json() as text:
            for name in text.keys():  # noqa: SIM118 it is no dict
                if name in names and text.is_at("["):
                    for number, each in enumerate(text.elements(), 1):
                        yield name, number, each
                else:
                    text.value()
            text.end()

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield its lines, each with its number; raises InvalidFile where one is not UTF-8, or too long."""
        most = self._source.most
        with self.opened() as stream:
            for number in range(1, 2**63):
                line = self._counted(stream.readline(most + 1))
                if not line:
                    return
                self.check_size(len(line), f"line {number:,}", "the line")
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise self.invalid(f"line {number:,}, byte {error.start:,} of it", NOT_UTF8) from None
                yield number, text.removesuffix("\n").removesuffix("\r")

    def json_lines(self) -> Iterator[tuple[str, Any]]:
        """Yield what stands in each line, with its place; for what is no JSON, a ValueError that says why."""
        most = self._source.most
        for number, line in self.lines():
            if not line.strip():
                continue
            place = self.place(f"line {number:,}")
            check_json(line.encode(), most, self._source.name, place)
            try:
                yield place, json.loads(line)
            except (ValueError, RecursionError):
                yield place, ValueError("the line is cut off, or no JSON")

    def _counted(self, data: bytes) -> bytes:
        self._source.bytes_read += len(data)
        return data


class Source:
    """What is read: `members`, in the order of their names.

    name: what messages call it. path: where it is on the disk, None for a stream. most: no value in it may need more
    bytes of memory than this. database: what is read, where it is one; a file of SQLite or Kuzu is a member, too.
    """

    def __init__(self, name: str, path: Path | None, most: int) -> None:
        self.name = name
        self.path = path
        self.most = most
        self.database: Database | None = None
        self.members: list[Member] = []
        self.is_single = False
        self.bytes_read = 0
        self.kept: dict[str, tuple[bool, list[dict[str, Any]]]] = {}
        # Zips inside of a zip, which are not opened.
        self.nested: list[str] = []
        # What of a folder is not looked into, each with the reason before its path.
        self.passed: list[tuple[str, str]] = []

    @property
    def size(self) -> int:
        """How many bytes there are to read, about."""
        texts = sum(member.size for member in self.members if member.name.lower().endswith(_TEXTS))
        return texts or sum(member.size for member in self.members)

    def named(self, pattern: str) -> list[Member]:
        """Return the members whose path matches a regular expression to its end, in any case of letters."""
        wanted = re.compile(pattern, re.IGNORECASE)
        return [member for member in self.members if wanted.fullmatch(member.name)]

    def files(self, pattern: str) -> list[Member]:
        """Return the member that is alone, whatever its name, else those of `named`."""
        return self.members if self.is_single else self.named(pattern)

    def add(self, name: str, size: int, opener: Callable[[], IO[bytes]]) -> None:
        self.members.append(Member(self, name, size, opener))


@contextmanager
def open_source(file: File, most: int) -> Generator[Source]:
    """Open what memories are to be read from: a path to a file, a folder or a zip, a binary stream, or a URL.

    Raises InvalidFile for a zip that is damaged, encrypted or names a file outside of itself, ConfigurationError for
    what cannot be read.
    """
    with ExitStack() as stack:
        if isinstance(file, str) and file.startswith(_URLS):
            database = stack.enter_context(open_postgresql(file, most))
            source = Source(database.name, None, most)
            source.database = database
            yield source
            return
        path = Path(file) if isinstance(file, str | os.PathLike) else None
        source = Source(name_of(file), path, most)
        with translated(file, "read"):
            if path is not None and path.is_dir():
                _add_folder(source, path)
            elif path is not None and stat.S_ISREG(path.stat().st_mode):
                stream = stack.enter_context(path.open("rb"))
                _add_file(source, stack, stream, path.stat().st_size, lambda: path.open("rb"))
                stream.seek(0)
                begins = stream.read(len(_SQLITE))
                if begins == _SQLITE:
                    source.database = stack.enter_context(open_sqlite(path, most))
                elif begins.startswith(_KUZU):
                    source.database = open_kuzu(path, most)
            else:
                stream = stack.enter_context(path.open("rb")) if path is not None else cast("IO[bytes]", file)
                held = stack.enter_context(seekable(stream))
                _add_file(source, stack, held, held.seek(0, os.SEEK_END), lambda: _shared(held))
        source.members.sort(key=lambda member: member.name)
        yield source


def _add_folder(source: Source, folder: Path) -> None:
    """Add the files of a folder and of those in it; no link is followed, and what is hidden is left alone."""
    for place, folders, names in os.walk(folder, onerror=_refuse):
        for name, is_folder in (*((name, True) for name in folders), *((name, False) for name in names)):
            path = Path(place, name)
            where = path.relative_to(folder).as_posix()
            if name.startswith("."):
                source.passed.append(("a file or a folder that is hidden", where))
            elif os.path.islink(path):
                source.passed.append(("a link, which is not followed", where))
            elif not is_folder:
                found = path.lstat()
                if stat.S_ISREG(found.st_mode):
                    source.add(where, found.st_size, lambda path=path: path.open("rb"))
                else:
                    source.passed.append(("no file and no folder: a pipe, a socket, a device", where))
        folders[:] = [name for name in folders if not name.startswith(".")]


def _refuse(error: OSError) -> None:
    raise ConfigurationError(f"{error.filename} cannot be read: {error.strerror}") from error


def _add_file(source: Source, stack: ExitStack, stream: IO[bytes], size: int, opener: Callable[[], IO[bytes]]) -> None:
    stream.seek(0)
    if stream.read(4) not in _ZIP:
        source.is_single = True
        source.add(Path(source.name).name, size, opener)
        return
    try:
        archive = stack.enter_context(zipfile.ZipFile(stream))
    except _DAMAGE as error:
        raise InvalidFile(source.name, "the end", f"the zip is cut off or damaged ({error})") from error
    _add_zip(source, archive)


def _add_zip(source: Source, archive: zipfile.ZipFile) -> None:
    found = archive.infolist()
    if len(found) > _MOST_MEMBERS:
        raise InvalidFile(source.name, "its list", f"it names {len(found):,} files: expected {_MOST_MEMBERS:,} at most")
    for each in found:
        name = each.filename
        if _leads_out(name):
            reason = "the zip names a file outside of itself, which no export does: nothing of it is read"
            raise InvalidFile(source.name, quoted(name, 200), reason)
        if each.flag_bits & 1:
            reason = "it is encrypted: unpack the zip, and name the folder"
            raise InvalidFile(source.name, quoted(name, 200), reason)
        if name.lower().endswith(".zip"):
            source.nested.append(name)
        elif not each.is_dir():
            source.add(name, each.file_size, lambda each=each: archive.open(each))


def _leads_out(name: str) -> bool:
    """Return True for a path that begins at a root or a drive, or climbs, on any system."""
    return bool(re.match(r"[/\\]|[A-Za-z]:", name)) or ".." in re.split(r"[/\\]", name)


class _Shared(io.RawIOBase):
    """A stream of its own on one that others read too, and that stays open."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(whence)
        self._at = self._stream.seek(offset, whence) if begin is None else begin + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        self._stream.seek(self._at)
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _shared(stream: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", io.BufferedReader(_Shared(stream)))
