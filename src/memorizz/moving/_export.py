"""Memories into a file, and out of it again: what is done whatever the file's format is."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal

from memorizz.errors import ConfigurationError
from memorizz.memory_provider._documents import EMBEDDING, batches
from memorizz.memory_provider.base import MemoryOperations, MemoryProvider, StoreName
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.moving import _lines, _parquet
from memorizz.moving._files import File, Format, Opened, compressing, reading, seekable, writing
from memorizz.moving._manifest import Entry, Manifest
from memorizz.moving._streams import Stored

Existing = Literal["refuse", "merge", "replace"]
# Called with the store and the number of its documents that have passed.
Progress = Callable[[MemoryType, int], None]


def export(
    source: MemoryProvider,
    file: File,
    *,
    stores: Iterable[StoreName] | None = None,
    format: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> dict[MemoryType, int]:
    """Write memories into a file, and return how many documents of each store.

    Documents are read and written a few hundred at a time, whatever their number. A file appears under its name when
    all of it is on disk; whatever goes wrong, no half a file is left, and one that was there before stays.

    file: a path, or a binary stream to write to.
    stores: all by default.
    format: "jsonl", "jsonl.gz", "jsonl.zst" or "parquet"; by default what the file's name ends with, "jsonl" for a
        stream.
    force: replace a file that exists.
    progress: called with a store and the number of its documents so far, after each of them.

    Documents whose `expires_at` has passed are in no read, and so not in the file. Raises ConfigurationError for a file
    that exists or cannot be written, StorageFull where the disk has no room.
    """
    stored, chosen = Stored(source), _chosen(stores, MemoryType)
    written_as = Format.of(format, file)
    manifest = Manifest.now(chosen, stored.embedding_dimensions, stored.embedding_model)
    entries = _watched(((store, document) for store in chosen for document in stored.documents(store)), progress)
    with writing(file, force) as out:
        if written_as is Format.PARQUET:
            return _parquet.write(out, manifest, entries).counts
        with compressing(out, written_as) as compressed:
            return _lines.write(compressed, manifest, entries).counts


def load(
    file: File,
    target: MemoryProvider,
    *,
    stores: Iterable[StoreName] | None = None,
    existing: Existing = "refuse",
    embeddings: bool = True,
    progress: Progress | None = None,
) -> dict[MemoryType, int]:
    """Read memories out of a file that `export` has written, and return how many documents of each store.

    All or nothing: a file that is cut off, altered or of another version leaves the target as it was, in one
    transaction where the provider has such, else by reading the file to its end first. Ids, times and embeddings are
    kept as they are.

    file: a path, or a binary stream to read from; the format is told from what is in it.
    stores: all that are in the file by default.
    existing: what is done where these stores hold documents: "refuse", "merge" the file's into them as `store` does, or
        "replace" all of them.
    embeddings: False leaves them out; a provider with an embedder then makes its own.
    progress: called with a store and the number of its documents so far, after each of them.

    Raises InvalidFile, with the place in the file; ConfigurationError where the target holds documents, or vectors of
    another length or model.
    """
    if existing not in ("refuse", "merge", "replace"):
        raise ConfigurationError(f"existing={existing!r}: expected 'refuse', 'merge' or 'replace'")
    with _verified(file, target) as whole, reading(whole) as opened:
        manifest, entries = _read(opened)
        chosen = _chosen(stores, manifest.stores)
        if embeddings:
            _check_embeddings(manifest, opened.name, target)
        wanted = (entry for entry in entries if entry[0] in chosen)
        transaction = getattr(target, "transaction", None)
        with nullcontext(target) if transaction is None else transaction() as provider:
            _make_room(provider, chosen, existing)
            return _store(provider, chosen, _watched(wanted, progress), embeddings)


def _chosen(stores: Iterable[StoreName] | None, there: Iterable[MemoryType]) -> list[MemoryType]:
    """Return the stores that are asked for, in the order in which they are there."""
    wanted = None if stores is None else {MemoryType.of(store) for store in stores}
    chosen = [store for store in there if wanted is None or store in wanted]
    missing = (wanted or set()).difference(chosen)
    if missing:
        raise ConfigurationError(f"the file has no {', '.join(sorted(missing))}: it holds {', '.join(there)}")
    return chosen


def _read(opened: Opened) -> tuple[Manifest, Iterator[Entry]]:
    return _parquet.read(opened) if opened.format is Format.PARQUET else _lines.read(opened)


def _watched(entries: Iterable[Entry], progress: Progress | None) -> Iterator[Entry]:
    counts: dict[MemoryType, int] = {}
    for store, document in entries:
        counts[store] = counts.get(store, 0) + 1
        yield store, document
        if progress is not None:
            progress(store, counts[store])


# --- into a provider ----------------------------------------------------------------------------------------------


@contextmanager
def _verified(file: File, target: MemoryProvider) -> Generator[File]:
    """Give a file that is known to be whole, where the target cannot take back what was stored of one that is not."""
    if hasattr(target, "transaction"):
        yield file
        return
    with _again(file) as (whole, rewind):
        with reading(whole) as opened:
            for _ in _read(opened)[1]:
                pass
        rewind()
        yield whole


@contextmanager
def _again(file: File) -> Generator[tuple[File, Callable[[], Any]]]:
    """Give a file that can be read twice, and what goes back to its beginning."""
    if isinstance(file, str | os.PathLike):
        yield file, lambda: None
        return
    with seekable(file) as stream:
        begin = stream.tell()
        yield stream, lambda: stream.seek(begin)


def _check_embeddings(manifest: Manifest, file: str, target: MemoryProvider) -> None:
    """Raise ConfigurationError where the vectors of a file cannot be compared with those of the target."""
    way_out = "or leave the embeddings out (--without-embeddings) and have the texts embedded again"
    dimensions, model = target.embedding_dimensions, target.embedding_model
    if None not in (manifest.dimensions, dimensions) and manifest.dimensions != dimensions:
        raise ConfigurationError(
            f"vector dimension mismatch: {file} holds vectors of {manifest.dimensions} dimensions, the target of "
            f"{dimensions}: load it into a schema made for {manifest.dimensions}, {way_out}"
        )
    if None not in (manifest.model, model) and manifest.model != model:
        raise ConfigurationError(
            f"the vectors of {file} were made by {manifest.model!r}, those of the target by {model!r}, and vectors of "
            f"two models cannot be compared: load it into another schema, {way_out}"
        )


def _make_room(target: MemoryOperations, stores: Iterable[MemoryType], existing: Existing) -> None:
    for store in stores:
        if existing == "replace":
            target.delete_all(store)
        elif existing == "refuse" and (count := target.count(store)):
            raise ConfigurationError(
                f"the target already holds {count:,} documents in {store.value}: merge the file's into them (--merge), "
                "replace them (--replace), or load it into another schema"
            )


def _store(
    target: MemoryOperations, stores: Iterable[MemoryType], entries: Iterator[Entry], embeddings: bool
) -> dict[MemoryType, int]:
    counts = dict.fromkeys(stores, 0)
    for store, group in groupby(entries, key=itemgetter(0)):
        for batch in batches(document for _, document in group):
            if not embeddings:
                for document in batch:
                    del document[EMBEDDING]
            counts[store] += len(target.store_many(batch, store))
    return counts
