"""Files that are small and would fill the memory: each is refused by its size, or read without taking much."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pyarrow as arrow
import pytest

from memorizz.errors import ConfigurationError, InvalidFile
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.moving import export, load, opened

LONG = MemoryType.LONG_TERM_MEMORY
# For documents of up to 100 kB; the files below hold a few MB.
MOST = 100_000
LARGE = 3 * MOST
LISTS = json.dumps({"list": [[]] * 5_000})


def strings(*values: str) -> Any:
    return arrow.array(values, arrow.string())


def repeated(value: str, rows: int) -> dict[str, Any]:
    """Return columns of so many rows whose content is the same: one entry of a dictionary."""
    ids = strings(*map(str, range(rows)))
    return {"id": ids, "content": arrow.DictionaryArray.from_arrays(arrow.array([0] * rows), strings(value))}


def vector(length: int) -> Any:
    return arrow.ListArray.from_arrays(arrow.array([0, length], arrow.int32()), arrow.array(np.zeros(length, "f4")))


def rows(columns: dict[str, Any], **options: Any) -> Callable[[Any], bytes]:
    return lambda provider: hostile.rows(provider, columns, **options)


def json_lines(*documents: str) -> Callable[[Any], bytes]:
    return lambda provider: b"".join(hostile.lines(provider, documents))


# What makes a file, where it is refused, and which part of it needs too much.
HOSTILE: dict[str, tuple[Callable[[Any], bytes], str, str]] = {
    "a long text": (json_lines(json.dumps({"content": "x" * LARGE})), "line 2", "the line"),
    "a line without an end": (lambda _: b"".join(hostile.lines(_, [])).rstrip() + b"x" * LARGE, "line 2", "the line"),
    "a manifest without an end": (lambda _: b'{"format":"' + b"x" * LARGE, "line 1", "the line"),
    "many lists": (json_lines(LISTS), "line 2", "the JSON"),
    "many keys": (json_lines(json.dumps(dict.fromkeys(range(5_000), 0))), "line 2", "the JSON"),
    "a long text in a page": (rows({"content": strings("x" * LARGE)}, use_dictionary=False), "row group 0", "a row"),
    "a page of many MB": (
        rows({"content": strings("x" * 20_000_000)}, use_dictionary=False),
        "row group 0",
        "the row group",
    ),
    "a long text in a dictionary": (rows(repeated("x" * LARGE, 50)), "row group 0", "a row"),
    "a dictionary of many MB": (rows(repeated("x" * 20_000_000, 50)), "row group 0", "the row group"),
    "a long vector": (rows({"embedding": vector(5_000_000)}), "row group 0", "the row group"),
    "many lists in data": (rows({"data": strings(LISTS)}), "row group 0", "the JSON"),
    "a large footer": (rows({"id": strings("a")}, count=200), "footer", "the footer"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_larger_than_a_document_may_be_is_refused(provider: Any, target: Any, what: str) -> None:
    """With its place in the file, the limit, and how to raise it; nothing of it stays."""
    make, where, part = HOSTILE[what]
    whole = make(provider)
    assert len(whole) < 2_000_000
    with pytest.raises(InvalidFile, match=rf"{part} needs more memory than the 100,000 bytes that one doc") as refused:
        load(io.BytesIO(whole), target, max_document_bytes=MOST)
    assert refused.value.where == where
    assert "--max-document-mb, max_document_bytes=..." in refused.value.reason
    assert target.count(LONG) == 0


def test_an_encoding_that_repeats_what_was_before_is_refused(provider: Any, target: Any) -> None:
    """A text that begins as the one before costs no bytes: how large it becomes, nothing in the file says."""
    columns = {"content": strings(*["x" * MOST] * 50)}
    encoding = {"use_dictionary": False, "column_encoding": {"content": "DELTA_BYTE_ARRAY"}}
    with pytest.raises(InvalidFile, match=r"row group 0: .*an encoding that no export has"):
        load(io.BytesIO(hostile.rows(provider, columns, **encoding)), target)


@pytest.mark.parametrize("compress", ["jsonl.gz", "jsonl.zst"])
def test_a_compressed_line_is_refused_before_it_is_there(provider: Any, target: Any, compress: str) -> None:
    """Not more of it is decompressed than a document may have."""
    zstd = pytest.importorskip("backports.zstd" if sys.version_info < (3, 14) else "compression.zstd")
    whole = json_lines(json.dumps({"content": "x" * 50 * MOST}))(provider)
    whole = gzip.compress(whole) if compress == "jsonl.gz" else zstd.compress(whole)
    assert len(whole) < 3 * MOST
    with pytest.raises(InvalidFile, match="line 2: the line needs more memory than the 100,000 bytes"):
        load(io.BytesIO(whole), target, max_document_bytes=MOST)


def test_a_window_of_zstd_is_no_reason_to_take_memory(target: Any) -> None:
    """A file that needs 128 MB to be decompressed says how to compress it again."""
    zstd = pytest.importorskip("backports.zstd" if sys.version_info < (3, 14) else "compression.zstd")
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.enable_long_distance_matching: 1}
    out = io.BytesIO()
    with zstd.ZstdFile(out, "wb", options=options) as file:
        file.write(b"x")
    with pytest.raises(InvalidFile, match=r"line 1: zstd needs too much memory .* without --long and --ultra"):
        load(io.BytesIO(out.getvalue()), target)


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_a_document_may_be_as_large_as_is_said(provider: Any, target: Any, format: str) -> None:
    """The limit is that of a document: commas in a text are no values, and a larger limit lets it in."""
    document = {"id": "a", "content": ",[{" * 1000, "list": list(range(1000)), "embedding": [1, 0, 0, 0]}
    provider.store(document, LONG)
    export(provider, file := io.BytesIO(), format=format)
    for most, fits in ((10_000, False), (100_000, True)):
        file.seek(0)
        if fits:
            load(file, target, max_document_bytes=most)
        else:
            with pytest.raises(InvalidFile, match="the 10,000 bytes"):
                load(file, target, max_document_bytes=most)
    assert target.retrieve_by_id("a", LONG) == provider.retrieve_by_id("a", LONG)


def test_a_limit_that_is_none_is_refused(provider: Any) -> None:
    """A number of bytes is above 0."""
    export(provider, file := io.BytesIO())
    with pytest.raises(ConfigurationError, match="max_document_bytes=0: expected"), opened(file, 0):
        pass


class Batches:
    """A provider that notes how many documents are stored at once, and how large they are."""

    has_large_transactions = False

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self.stored: list[tuple[int, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    def store_many(self, documents: list[dict[str, Any]], store: Any) -> list[str]:
        self.stored.append((len(documents), sum(len(document["content"]) for document in documents)))
        return self._provider.store_many(documents, store)


def test_documents_are_stored_in_batches_of_a_few_mb(provider: Any, target: Any) -> None:
    """However many there are, and however large they are: 16 MB at once, or 500 documents."""
    provider.store_many(({"content": "x" * 2_000_000} for _ in range(20)), LONG)
    provider.store_many(({"content": "tea"} for _ in range(600)), LONG)
    export(provider, file := io.BytesIO())
    file.seek(0)
    load(file, noting := Batches(target))
    assert [count for count, _ in noting.stored] == [8, 8, 500, 104]
    assert max(size for _, size in noting.stored) <= 16 * 2**20


_LOAD = """
import sys
from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.errors import InvalidFile
from memorizz.moving import load
with PostgreSQLProvider(PostgreSQLConfig(dsn=sys.argv[1], embedding_dimensions=4)) as provider:
    try:
        load(sys.argv[2], provider)
    except InvalidFile:
        pass
[most] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(most) // 1024)
"""


def _line() -> Iterator[str]:
    yield json.dumps({"content": "x" * 400 * 2**20})


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is read from /proc")
@pytest.mark.parametrize("what", ["a line of 400 MB", "a row of 20 MB, 100 times"])
def test_an_import_takes_less_than_300_mb(provider: Any, migrated_dsn: str, tmp_path: Path, what: str) -> None:
    """Of a file of some kB that holds 400 MB, or 2 GB."""
    if what == "a line of 400 MB":
        whole = hostile.gzipped(hostile.lines(provider, _line()))
    else:
        whole = hostile.rows(provider, repeated("x" * 20_000_000, 100))
    assert len(whole) < 500_000
    (tmp_path / "file").write_bytes(whole)
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, migrated_dsn, str(tmp_path / "file")], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 300
