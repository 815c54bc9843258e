"""What `mongodump` has written, read without a server: a folder with a file of BSON for each collection."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from memorizz.errors import ConfigurationError, FilterError, InvalidFile, quoted
from memorizz.memory_provider._documents import EMBEDDING
from memorizz.memory_provider.base import Document
from memorizz.memory_provider.mongodb._collections import STORES
from memorizz.memory_provider.mongodb._opening import IDENTITY
from memorizz.memory_provider.mongodb._stores import Database, Store
from memorizz.memory_provider.stores import StoreSpec
from memorizz.moving._streams import single

_SUFFIXES = (".bson", ".bson.gz")
# The most that mongodump writes for one document: MongoDB's own limit, and a reserve.
_LARGEST = 17 * 2**20
_LENGTH = 4


class Dump:
    """The memories in a folder of `mongodump`, each collection's file read as a stream; needs the extra `mongodb`.

    A document is what MongoDBProvider would return of it. Files may be compressed (`mongodump --gzip`).

    folder: the folder of one database, or the one with those of several.
    database: which of several.

    Raises ConfigurationError for a folder without a dump, InvalidFile for a file that is cut off or altered.
    """

    embedding_dimensions = None
    embedding_model = None

    def __init__(self, folder: str | Path, database: str | None = None) -> None:
        self._folder = _database(Path(folder), database)
        self._files = {_collection(file): file for file in _files(self._folder)}
        self._decode = _decoder()
        self._stores = self._found_stores()

    @property
    def location(self) -> str:
        return f"the dump in {self._folder.absolute()}"

    @property
    def identity(self) -> str | None:
        # No provider reads or writes the files of a dump.
        return self.location

    def stores(self) -> Sequence[StoreSpec]:
        return [store.spec for store in self._stores.values()]

    def left_out(self) -> Sequence[str]:
        return sorted(set(self._files) - {store.collection for store in self._stores.values()} - {IDENTITY, STORES})

    def _found_stores(self) -> dict[str, Store]:
        """Return those of the seven stores that the dump has, and those of callers' own, which a collection lists."""
        database = Database(self._folder.name, None)
        found = {name: store for name, store in database.stores.items() if name in self._files}
        for place, part in self._parts(STORES):
            record = self._record(STORES, place, part)
            try:
                store = Store(database, StoreSpec.from_json(record["spec"]), record["collection"])
            except (KeyError, TypeError, AttributeError, ConfigurationError) as error:
                raise self._damaged(STORES, place, f"no store is described there ({error})") from error
            found[store.name] = store
        return found

    def count(self, store: str) -> int:
        """Return how many documents there are, expired or not; raises InvalidFile for a file that is cut off."""
        return sum(1 for _ in self._parts(self._stores[store].collection, whole=False))

    def expiring(self, store: str) -> int:
        return 0

    def documents(self, store: str, after: str | None = None) -> Iterator[Document]:
        found = self._stores[store]
        behind = after is None
        for place, part in self._parts(found.collection):
            record = self._record(found.collection, place, part)
            # What has no id, as in a capped collection of old, is for the reader to refuse.
            document = found.document(record, include_embedding=True) if "_id" in record else {"id": None}
            if behind:
                document[EMBEDDING] = single(document.get(EMBEDDING))
                yield document
            behind = behind or document["id"] == after
        if not behind:
            raise FilterError(f"after={quoted(after)}: {store} has no document of this id")

    def _record(self, collection: str, place: int, part: bytes) -> dict[str, Any]:
        try:
            return self._decode(part)
        # What bson raises for damaged bytes is InvalidBSON, and now and then something else.
        except Exception as error:
            raise self._damaged(collection, place, f"no BSON document ({error})") from error

    def _damaged(self, collection: str, place: int, reason: str) -> InvalidFile:
        return InvalidFile(str(self._files[collection]), f"byte {place:,}", f"{reason}: dump it again")

    def _parts(self, collection: str, *, whole: bool = True) -> Iterator[tuple[int, bytes]]:
        """Yield the place of each document in a collection's file, and its bytes where they are wanted."""
        path = self._files.get(collection)
        if path is None:
            return
        place = 0
        with _opened(path) as file:
            while head := file.read(_LENGTH):
                size = int.from_bytes(head, "little")
                if len(head) == _LENGTH and not _LENGTH < size <= _LARGEST:
                    raise self._damaged(collection, place, "no BSON document begins here")
                body = file.read(size - _LENGTH) if len(head) == _LENGTH else b""
                if len(head) + len(body) != size or not body:
                    raise self._damaged(collection, place, "the file is cut off in this document")
                yield place, head + body if whole else b""
                place += size


def _decoder() -> Callable[[bytes], dict[str, Any]]:
    try:
        import bson

        from memorizz.memory_provider.mongodb.driver._shared import CODEC
    except ImportError as error:
        raise ConfigurationError(f"{error}: a dump needs pip install 'memorizz-postgresql[mongodb]'") from None

    def decode(part: bytes) -> dict[str, Any]:
        return cast(Any, bson).decode(part, CODEC)

    return decode


# --- the folder ---------------------------------------------------------------------------------------------------


def _database(folder: Path, name: str | None) -> Path:
    """Return the folder of one database."""
    try:
        if folder.is_file():
            raise ConfigurationError(
                f"{folder} is a file, perhaps an archive: `mongodump --out FOLDER` writes a folder"
            )
        inner = {each.name: each for each in sorted(folder.iterdir()) if each.is_dir() and _files(each)}
    except FileNotFoundError:
        raise ConfigurationError(
            f"{folder} is not there: expected a folder that `mongodump --out FOLDER` wrote"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{quoted(str(folder))} cannot be read ({error.strerror})") from error
    if _files(folder) and name in (None, folder.name):
        return folder
    if name is None and len(inner) == 1:
        return next(iter(inner.values()))
    if name in inner:
        return inner[name]
    found = ", ".join(inner) or "none"
    wanted = "say which with --db (database=...)" if name is None else f"none of them is {quoted(name)}"
    raise ConfigurationError(f"{folder} is not the dump of one database; those of databases in it: {found}; {wanted}")


def _files(folder: Path) -> list[Path]:
    return [each for each in sorted(folder.iterdir()) if each.name.endswith(_SUFFIXES)]


def _collection(file: Path) -> str:
    """Return the name of a collection from that of its file, in which mongodump writes some characters as %xx."""
    return file.name.removesuffix(".gz").removesuffix(".bson")


@contextmanager
def _opened(path: Path) -> Generator[IO[bytes]]:
    """Open a file of BSON, compressed or not."""
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            yield cast("IO[bytes]", file)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InvalidFile(str(path), "its compressed bytes", f"{error}: dump it again") from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
