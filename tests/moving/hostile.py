"""Files that are small and would fill the memory: exports by their form, checksums and digests included."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as arrow
from pyarrow import parquet

from memorizz.moving import export

STORE = "long_term_memory"
_NO_DIGEST = b"0" * 64


def manifest(provider: Any) -> dict[str, Any]:
    """Return what an export of a provider says of itself."""
    export(provider, file := io.BytesIO())
    found = json.loads(file.getvalue().splitlines()[0])
    del found["crc32"]
    return found


# --- JSON Lines ---------------------------------------------------------------------------------------------------


def lines(provider: Any, documents: Iterable[str]) -> Iterator[bytes]:
    """Yield the lines of an export of documents, each of which is JSON; its end is not right."""
    crc = 0
    texts = (f'{{"store":"{STORE}","document":{document},"embedding":null' for document in documents)
    for text in (json.dumps(manifest(provider))[:-1], *texts, '{"end":{}'):
        body = text.encode()
        crc = zlib.crc32(body, crc)
        yield b'%b,"crc32":"%08x"}\n' % (body, crc)


def gzipped(parts: Iterable[bytes]) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile("", "wb", 6, out) as file:
        for part in parts:
            file.write(part)
    return out.getvalue()


# --- Parquet ------------------------------------------------------------------------------------------------------


def rows(provider: Any, columns: dict[str, Any], count: int = 1, **options: Any) -> bytes:
    """Return an export as Parquet, of `count` row groups that hold the same; other columns are empty."""
    export(provider, empty := io.BytesIO(), format="parquet")
    schema = parquet.ParquetFile(io.BytesIO(empty.getvalue())).schema_arrow.remove_metadata()
    length = len(next(iter(columns.values())))
    columns = {"store": arrow.array([STORE] * length), "data": arrow.array(["{}"] * length)} | columns
    arrays = [columns.get(field.name, arrow.nulls(length, field.type)) for field in schema]
    table = arrow.Table.from_arrays(arrays, schema.names)
    out = io.BytesIO()
    # Else the file would say that a dictionary is one, and a program that reads it would know.
    options = {"compression": "zstd", "write_statistics": False, "store_schema": False} | options
    with parquet.ParquetWriter(out, table.schema, **options) as writer:
        for _ in range(count):
            writer.write_table(table)
        end = manifest(provider) | {"end": {}, "sha256": _NO_DIGEST.decode()}
        writer.add_key_value_metadata({b"memorizz": json.dumps(end, separators=(",", ":"))})
    whole = out.getvalue()
    digest = hashlib.sha256(whole).hexdigest().encode()
    begin, _, rest = whole.rpartition(_NO_DIGEST)
    return begin + digest + rest
