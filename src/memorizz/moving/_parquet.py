"""An export as a Parquet file: a row for each document, a column for each key that has a kind, the manifest at the end.

The digest of the file stands in the file itself: it is taken with zeros in its place, and then written over them.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import IO, Any

import numpy as np

from memorizz.errors import ConfigurationError, InvalidFile, MemorizzError
from memorizz.memory_provider._documents import EMBEDDING, KEYS, Kind, is_parts, text_of_parts
from memorizz.moving._files import Opened, temporary, translated
from memorizz.moving._limits import JSON_FACTOR, MEGABYTE, check_bytes, check_json, too_large
from memorizz.moving._manifest import Entry, Manifest, Tally, to_json
from memorizz.moving._pages import TooLarge, measured

# The key of the file's metadata under which the manifest stands.
_MANIFEST = b"memorizz"
_DIGEST = re.compile(rb'"sha256":"([0-9a-f]{64})"')
_NO_DIGEST = "0" * 64
# A row group is what is in memory at once: so many documents, or so many bytes of them.
_ROWS, _BYTES = 5000, 16 * MEGABYTE
# What a row takes beside its texts and numbers.
_ROW_BYTES = 128
# What is read of a row group at once: so many rows, which take so many bytes.
_READ_ROWS, _READ_BYTES = 500, 4 * MEGABYTE
_CHUNK = 2**20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = dict[str, Any]


def _library() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise ConfigurationError(
            "Parquet needs pyarrow: pip install 'memorizz-postgresql[parquet]', or use .jsonl.gz"
        ) from None


def _schema(arrow: Any) -> Any:
    types = {
        Kind.TEXT: arrow.string(),
        Kind.NUMBER: arrow.float64(),
        Kind.INTEGER: arrow.int64(),
        Kind.TIME: arrow.timestamp("us", tz="UTC"),
        Kind.OBJECT: arrow.string(),
    }
    columns = {"store": arrow.string(), "id": arrow.string()} | {key.name: types[key.kind] for key in KEYS.values()}
    return arrow.schema(columns | {"data": arrow.string(), EMBEDDING: arrow.list_(arrow.float32())})


# --- writing ------------------------------------------------------------------------------------------------------


def write(file: IO[bytes], manifest: Manifest, entries: Iterable[Entry]) -> Tally:
    """Write an export, one row group at a time; return what was written. The digest needs a file that can seek."""
    if file.seekable():
        return _write(file, manifest, entries)
    with temporary() as whole:
        tally = _write(whole, manifest, entries)
        whole.seek(0)
        with translated(file, "written"):
            shutil.copyfileobj(whole, file)
    return tally


def _write(file: IO[bytes], manifest: Manifest, entries: Iterable[Entry]) -> Tally:
    arrow, parquet = _library()
    schema, tally = _schema(arrow), Tally(manifest.stores)
    options = {"compression": "zstd", "use_dictionary": ["store", "role"], "write_page_checksum": True}
    with parquet.ParquetWriter(file, schema, **options) as writer:
        for rows in _groups(tally.count(entries)):
            writer.write_batch(_batch(arrow, schema, rows))
        end = manifest.to_json() | {"end": tally.to_json(), "sha256": _NO_DIGEST}
        writer.add_key_value_metadata({_MANIFEST: to_json(end)})
    place, _ = _noted_digest(file)
    digest = _digest(file, place)
    file.seek(place)
    file.write(digest)
    return tally


def _groups(entries: Iterable[Entry]) -> Iterator[list[Row]]:
    rows: list[Row] = []
    size = 0
    for store, document in entries:
        rows.append(_row(store, document))
        size += _ROW_BYTES + sum(map(_bytes, rows[-1].values()))
        if len(rows) == _ROWS or size >= _BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def _bytes(value: Any) -> int:
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode())
    return value.nbytes if isinstance(value, np.ndarray) else 0


def _row(store: str, document: Mapping[str, Any]) -> Row:
    """Return a document as a row.

    A key that is None stands in `data`, for NULL in a column means that it is missing; and so do a content's parts.
    """
    vector = document.get(EMBEDDING)
    row: Row = {"store": store, EMBEDDING: None if vector is None else np.asarray(vector, np.float32)}
    data: dict[str, Any] = {}
    for name, value in document.items():
        if name == "id":
            row[name] = value
        elif is_parts(value, name):
            row[name], data[name] = text_of_parts(value), value
        elif name in KEYS and value is not None:
            row[name] = to_json(value) if KEYS[name].kind is Kind.OBJECT else value
        elif name not in ("_id", EMBEDDING):
            data[name] = value
    return row | {"data": to_json(data)}


def _batch(arrow: Any, schema: Any, rows: list[Row]) -> Any:
    columns = [
        _vectors(arrow, [row[EMBEDDING] for row in rows])
        if field.name == EMBEDDING
        else arrow.array([row.get(field.name) for row in rows], field.type)
        for field in schema
    ]
    return arrow.record_batch(columns, schema=schema)


def _vectors(arrow: Any, vectors: list[Any]) -> Any:
    """Return vectors as a column, without making a Python object of each number."""
    ends = np.cumsum([0, *(0 if vector is None else len(vector) for vector in vectors)], dtype=np.int32)
    numbers = np.concatenate([np.empty(0, np.float32), *(vector for vector in vectors if vector is not None)])
    missing = arrow.array([vector is None for vector in vectors])
    return arrow.ListArray.from_arrays(arrow.array(ends), arrow.array(numbers), mask=missing)


# --- the digest ---------------------------------------------------------------------------------------------------


def _noted_digest(file: IO[bytes], most: int = sys.maxsize, name: str = "") -> tuple[int, bytes]:
    """Return the place of the digest in a file, and what stands there; (-1, b"") where the file is no export.

    Raises InvalidFile for a footer of more than `most` bytes.
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - 8))
    length, magic = int.from_bytes(file.read(4), "little"), file.read(4)
    if magic != b"PAR1" or not 0 < length <= size - 12:
        return -1, b""
    check_bytes(length, most, name, "footer", "the footer")
    begin = file.seek(size - 8 - length)
    found = list(_DIGEST.finditer(file.read(length)))
    return (begin + found[-1].start(1), found[-1][1]) if found else (-1, b"")


def _digest(file: IO[bytes], place: int) -> bytes:
    """Return the SHA-256 of a file with zeros at the place of the digest, in hexadecimal."""
    digest = hashlib.sha256()
    file.seek(0)
    remaining = place
    while remaining and (chunk := file.read(min(_CHUNK, remaining))):
        digest.update(chunk)
        remaining -= len(chunk)
    digest.update(_NO_DIGEST.encode())
    file.seek(place + len(_NO_DIGEST))
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest().encode()


def _check(source: Opened) -> None:
    """Raise InvalidFile unless every byte of the file is as it was written."""
    place, noted = _noted_digest(source.stream, source.most, source.name)
    if place < 0:
        reason = "the file is cut off or altered at its end, or is no export of memorizz"
        raise InvalidFile(source.name, "footer", reason)
    if _digest(source.stream, place) != noted:
        reason = "the file is altered: its SHA-256 is another than the one noted in it"
        # Where, only its reader could tell, which ends the program over some files that are altered.
        raise InvalidFile(source.name, "file", reason)


# --- reading ------------------------------------------------------------------------------------------------------


def read(source: Opened) -> tuple[Manifest, Iterator[Entry]]:
    """Return the manifest of an export, and its documents, a few hundred in memory at a time.

    Raises InvalidFile, before the first document, where any byte of the file is not as it was written; later, where a
    part of it is larger than `source.most` allows.
    """
    _check(source)
    with _understood(source, "footer"):
        file = _opened(source)
        noted = file.metadata.metadata.get(_MANIFEST, b"null")
        check_json(noted, source.most, source.name, "footer")
        noted = json.loads(noted)
        manifest = Manifest.from_json(noted, source.name, "footer")
        if not file.schema_arrow.remove_metadata().equals(_schema(_library()[0])):
            raise ValueError("its columns are not those of an export")
        return manifest, _entries(source, file, manifest, noted["end"])


def _opened(source: Opened) -> Any:
    _, parquet = _library()
    source.stream.seek(0)
    return parquet.ParquetFile(source.stream, pre_buffer=False, page_checksum_verification=True)


@contextmanager
def _understood(source: Opened, where: str) -> Generator[None]:
    """Raise what goes wrong with a file that some program wrote, digest and all, as InvalidFile."""
    arrow, _ = _library()
    try:
        yield
    except MemorizzError:
        raise
    except (arrow.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise InvalidFile(source.name, where, f"it cannot be read: {error}") from error


def _entries(source: Opened, file: Any, manifest: Manifest, end: Any) -> Iterator[Entry]:
    tally = Tally(manifest.stores)
    yield from tally.count(_documents(source, file, manifest))
    tally.compare(end, source.name, "footer")


def _documents(source: Opened, file: Any, manifest: Manifest) -> Iterator[Entry]:
    for group in range(file.num_row_groups):
        where = f"row group {group}"
        rows = _rows(source, file, group, where)
        while True:
            with _understood(source, where):
                row = next(rows, None)
                if row is None:
                    break
                store, data, vector = row.pop("store"), json.loads(row.pop("data")), row.pop(EMBEDDING)
                if store not in manifest.stores:
                    raise ValueError(f"the manifest names no store {store!r}")
                own = {key: value for key, value in row.items() if value is not None}
                document = {**own, **data, EMBEDDING: vector}
            yield store, document


def _rows(source: Opened, file: Any, group: int, where: str) -> Iterator[Row]:
    """Yield the rows of a group as Python has them, of which only a few are in memory."""
    for batch in _batches(file, source, group):
        sizes = _sizes(batch)
        check_bytes(int(sizes.max()), source.most, source.name, where, "a row")
        begin = 0
        while begin < len(sizes):
            rows = max(1, int(np.searchsorted(np.cumsum(sizes[begin:]), _READ_BYTES)))
            part = batch.slice(begin, rows)
            if sizes[begin : begin + rows].max() * JSON_FACTOR > source.most:
                for text in (each.as_py() for name in ("data", "metadata") for each in part.column(name)):
                    check_json((text or "").encode(), source.most, source.name, where)
            columns = {name: _values(name, part.column(name)) for name in part.schema.names}
            for values in zip(*columns.values(), strict=True):
                yield dict(zip(columns, values, strict=True))
            begin += rows


def _batches(file: Any, source: Opened, group: int) -> Iterator[Any]:
    """Yield a row group in parts, each as large as memory may hold."""
    try:
        found = measured(source.stream, file.metadata.row_group(group), _BYTES + source.most + MEGABYTE)
    except TooLarge:
        raise InvalidFile(source.name, f"row group {group}", too_large("the row group", source.most)) from None
    # Each row may be the largest entry of each dictionary.
    rows = min(_READ_ROWS, max(1, _READ_BYTES // max(1, found.dictionaries)))
    return file.iter_batches(rows, [group], use_threads=False)


def _sizes(batch: Any) -> Any:
    """Return how many bytes the texts and the vector of each row have."""
    compute = import_module("pyarrow.compute")
    sizes = np.zeros(batch.num_rows, np.int64)
    for name, kind in zip(batch.schema.names, batch.schema.types, strict=True):
        if name == EMBEDDING:
            sizes += 4 * compute.list_value_length(batch.column(name)).fill_null(0).to_numpy()
        elif kind == "string":
            sizes += compute.binary_length(batch.column(name)).fill_null(0).to_numpy()
    return sizes


def _values(name: str, column: Any) -> Iterable[Any]:
    """Return the values of a column as a document has them."""
    if name == EMBEDDING:
        numbers, ends = column.values.to_numpy(), column.offsets.to_numpy()
        return [numbers[ends[n] : ends[n + 1]] if there.as_py() else None for n, there in enumerate(column.is_valid())]
    kind = KEYS[name].kind if name in KEYS else Kind.TEXT
    if kind is Kind.TIME:
        moments = column.cast("int64").to_pylist()
        return [None if moment is None else _EPOCH + timedelta(microseconds=moment) for moment in moments]
    found = column.to_pylist()
    return [None if text is None else json.loads(text) for text in found] if kind is Kind.OBJECT else found
