"""An export as a Parquet file: a row for each document, a column for each key that has a kind, the manifest at the end.

The digest of the file stands in the file itself: it is taken with zeros in its place, and then written over them.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import IO, Any

import numpy as np

from memorizz.errors import ConfigurationError, InvalidFile
from memorizz.memory_provider._documents import EMBEDDING, KEYS, Kind
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.moving._files import Opened
from memorizz.moving._manifest import Entry, Manifest, Tally, to_json

# The key of the file's metadata under which the manifest stands.
_MANIFEST = b"memorizz"
_DIGEST = re.compile(rb'"sha256":"([0-9a-f]{64})"')
_NO_DIGEST = "0" * 64
# A row group is what is in memory at once: so many documents, or so many bytes of them.
_ROWS, _BYTES = 5000, 16 * 2**20
_READ_ROWS = 500
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
    with tempfile.TemporaryFile(prefix="memorizz-") as whole:
        tally = _write(whole, manifest, entries)
        whole.seek(0)
        shutil.copyfileobj(whole, file)
    return tally


def _write(file: IO[bytes], manifest: Manifest, entries: Iterable[Entry]) -> Tally:
    arrow, parquet = _library()
    schema, tally = _schema(arrow), Tally(manifest.stores)
    options = {"compression": "zstd", "use_dictionary": ["store", "role", "memory_id"], "write_page_checksum": True}
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
        size += sum(len(value) if isinstance(value, str) else 4 * np.size(value) for value in rows[-1].values())
        if len(rows) == _ROWS or size >= _BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def _row(store: MemoryType, document: Mapping[str, Any]) -> Row:
    """Return a document as a row. A key that is None stands in `data`: NULL in a column means that it is missing."""
    vector = document.get(EMBEDDING)
    row: Row = {"store": store.value, EMBEDDING: None if vector is None else np.asarray(vector, np.float32)}
    data: dict[str, Any] = {}
    for name, value in document.items():
        if name == "id":
            row[name] = value
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


def _noted_digest(file: IO[bytes]) -> tuple[int, bytes]:
    """Return the place of the digest in a file, and what stands there; (-1, b"") where the file is no export."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 8))
    length, magic = int.from_bytes(file.read(4), "little"), file.read(4)
    if magic != b"PAR1" or not 0 < length <= size - 12:
        return -1, b""
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


def _check(file: IO[bytes], name: str) -> None:
    """Raise InvalidFile unless every byte of the file is as it was written."""
    place, noted = _noted_digest(file)
    if place < 0:
        raise InvalidFile(name, "footer", "the file is cut off or altered at its end, or is no export of memorizz")
    if _digest(file, place) != noted:
        raise InvalidFile(name, _damaged(file), "the file is altered: its SHA-256 is another than the one noted in it")


def _damaged(file: IO[bytes]) -> str:
    """Return which part of a file is altered, by the checksums of its pages."""
    _, parquet = _library()
    part = "footer"
    # Pyarrow has many errors for what it cannot make sense of.
    with suppress(Exception):
        opened = parquet.ParquetFile(file, page_checksum_verification=True)
        for group in range(opened.num_row_groups):
            part = f"row group {group}"
            opened.read_row_group(group)
            part = "footer"
    return part


# --- reading ------------------------------------------------------------------------------------------------------


def read(source: Opened) -> tuple[Manifest, Iterator[Entry]]:
    """Return the manifest of an export, and its documents, a few hundred in memory at a time.

    Raises InvalidFile, before the first document, where any byte of the file is not as it was written.
    """
    _, parquet = _library()
    _check(source.stream, source.name)
    file = parquet.ParquetFile(source.stream, pre_buffer=False)
    noted = json.loads(file.metadata.metadata.get(_MANIFEST, b"null"))
    manifest = Manifest.from_json(noted, source.name, "footer")
    return manifest, _entries(file, manifest, noted["end"], source.name)


def _entries(file: Any, manifest: Manifest, end: Any, name: str) -> Iterator[Entry]:
    tally = Tally(manifest.stores)
    yield from tally.count(_documents(file))
    tally.compare(end, name, "footer")


def _documents(file: Any) -> Iterator[Entry]:
    groups = range(file.num_row_groups)
    for batch in (each for n in groups for each in file.iter_batches(_READ_ROWS, [n], use_threads=False)):
        columns = {name: _values(name, batch.column(name)) for name in batch.schema.names}
        for values in zip(*columns.values(), strict=True):
            row = dict(zip(columns, values, strict=True))
            store, data, vector = MemoryType(row.pop("store")), json.loads(row.pop("data")), row.pop(EMBEDDING)
            own = {key: value for key, value in row.items() if value is not None}
            yield store, {**own, **data, EMBEDDING: vector}


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
