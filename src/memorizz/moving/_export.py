"""Memories into a file, and out of it again: what is done whatever the file's format is."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import IO, Any, cast

from memorizz.errors import ConfigurationError
from memorizz.memory_provider._documents import EMBEDDING, batches
from memorizz.memory_provider.base import MemoryOperations, MemoryProvider, StoreName
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.moving import _lines, _parquet
from memorizz.moving._files import File, Format, compressing, reading, writing
from memorizz.moving._manifest import Entry, Manifest
from memorizz.moving._report import Existing, Phase, Progress
from memorizz.moving._streams import Stored

# So many documents pass between two reports of progress.
_STEP = 500
# Fewer documents enter a vector index sooner than it is made anew.
_MANY = 1000


def export(
    source: MemoryProvider,
    file: File,
    *,
    stores: Iterable[StoreName] | None = None,
    format: str | None = None,
    force: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> dict[MemoryType, int]:
    """Write memories into a file, and return how many documents of each store.

    Documents are read and written a few hundred at a time, whatever their number. A file appears under its name when
    all of it is on disk; whatever goes wrong, no half a file is left, and one that was there before stays.

    file: a path, or a binary stream to write to.
    stores: all by default.
    format: "jsonl", "jsonl.gz", "jsonl.zst" or "parquet"; by default what the file's name ends with, "jsonl" for a
        stream.
    force: replace a file that exists.
    progress: is called after every 500 documents, and at the end of each store.

    Documents whose `expires_at` has passed are in no read, and so not in the file. Raises ConfigurationError for a file
    that exists or cannot be written, StorageFull where the disk has no room.
    """
    stored, chosen = Stored(source), _chosen(stores, MemoryType)
    written_as = Format.of(format, file)
    counts = {store: stored.count(store) for store in chosen}
    manifest = Manifest.now(counts, stored.embedding_dimensions, stored.embedding_model)
    entries = ((store, document) for store in chosen for document in stored.documents(store))
    watched = _watched(entries, "exporting", counts, progress)
    with writing(file, force) as out:
        if written_as is Format.PARQUET:
            return _parquet.write(out, manifest, watched).counts
        with compressing(out, written_as) as compressed:
            return _lines.write(compressed, manifest, watched).counts


def load(
    file: File,
    target: MemoryProvider,
    *,
    stores: Iterable[StoreName] | None = None,
    existing: Existing = "refuse",
    embeddings: bool = True,
    progress: Callable[[Progress], None] | None = None,
) -> dict[MemoryType, int]:
    """Read memories out of a file that `export` has written, and return how many documents of each store.

    All or nothing: a file that is cut off, altered or of another version leaves the target as it was, in one
    transaction in PostgreSQL, elsewhere by checking all of it first; there a server that fails in the middle leaves
    what was stored until then, and the same import with "merge" completes it. Ids, times and embeddings are kept.

    file: a path, or a binary stream to read from; the format is told from what is in it.
    stores: all that are in the file by default.
    existing: what is done where these stores hold documents: "refuse", "merge" the file's into them as `store` does,
        keeping a vector where the file has none, or "replace" all of them.
    embeddings: False leaves them out; a provider with an embedder then makes its own.
    progress: is called after every 500 documents, and at the end of each store.

    Raises InvalidFile, with the place in the file; ConfigurationError where the target holds documents, or vectors of
    another length or model.
    """
    with opened(file) as found:
        return found.load(target, stores=stores, existing=existing, embeddings=embeddings, progress=progress)


@contextmanager
def opened(file: File) -> Generator[ExportFile]:
    """Open a file that `export` has written, to see its manifest before it is loaded.

    Raises InvalidFile where the file is no export, or of another version, ConfigurationError where it cannot be read.
    """
    with reading(file) as source:
        read = _parquet.read if source.format is Format.PARQUET else _lines.read
        yield ExportFile(source.name, *read(source))


@dataclass(frozen=True)
class ExportFile:
    """An export that is open: its documents can be loaded once."""

    name: str
    manifest: Manifest
    _entries: Iterator[Entry]

    def load(
        self,
        target: MemoryProvider,
        *,
        stores: Iterable[StoreName] | None = None,
        existing: Existing = "refuse",
        embeddings: bool = True,
        progress: Callable[[Progress], None] | None = None,
    ) -> dict[MemoryType, int]:
        """Do what the function `load` does."""
        if existing not in ("refuse", "merge", "replace"):
            raise ConfigurationError(f"existing={existing!r}: expected 'refuse', 'merge' or 'replace'")
        chosen = _chosen(stores, self.manifest.stores)
        if embeddings:
            _check_embeddings(self.manifest, self.name, target)
        wanted = (entry for entry in self._entries if entry[0] in chosen)
        entries = _watched(wanted, "importing", self.manifest.stores, progress)
        large = [store for store in chosen if self.manifest.stores[store] >= _MANY]
        with _loading(target, large, progress), _whole(target, entries) as (provider, known):
            _make_room(provider, chosen, existing)
            return _store(provider, chosen, known, existing, embeddings)


def _chosen(stores: Iterable[StoreName] | None, there: Iterable[MemoryType]) -> list[MemoryType]:
    """Return the stores that are asked for, in the order in which they are there."""
    wanted = None if stores is None else {MemoryType.of(store) for store in stores}
    chosen = [store for store in there if wanted is None or store in wanted]
    missing = (wanted or set()).difference(chosen)
    if missing:
        raise ConfigurationError(f"the file has no {', '.join(sorted(missing))}: it holds {', '.join(there)}")
    return chosen


def _watched(
    entries: Iterable[Entry], phase: Phase, totals: Mapping[MemoryType, int], watch: Callable[[Progress], None] | None
) -> Iterator[Entry]:
    for store, group in groupby(entries, key=itemgetter(0)):
        done = 0
        for entry in group:
            yield entry
            done += 1
            if watch is not None and done % _STEP == 0:
                watch(Progress(phase, store.value, done, totals[store]))
        if watch is not None:
            watch(Progress(phase, store.value, done, totals[store]))


# --- into a provider ----------------------------------------------------------------------------------------------


@contextmanager
def _loading(
    target: MemoryProvider, stores: Iterable[MemoryType], watch: Callable[[Progress], None] | None
) -> Generator[None]:
    """Load stores as the target likes to; also what it puts off for that is made where the load has failed."""
    failure: BaseException | None = None
    with ExitStack() as stack:
        for store in stores:
            stack.enter_context(target.loading(store, _indexing(store, watch)))
        try:
            yield
        except BaseException as error:
            failure = error
    if failure is not None:
        raise failure


def _indexing(store: MemoryType, watch: Callable[[Progress], None] | None) -> Callable[[float], None] | None:
    return None if watch is None else lambda share: watch(Progress("indexing", store.value, share, 1))


@contextmanager
def _whole(target: MemoryProvider, entries: Iterator[Entry]) -> Generator[tuple[MemoryOperations, Iterator[Entry]]]:
    """Give where to store entries, and the entries, so that a fault in one of them leaves the target as it was.

    Where the target has no transaction for that, all are read and checked before the first one is stored.
    """
    if target.has_large_transactions:
        with cast(Any, target).transaction() as provider:
            yield provider, entries
        return
    with tempfile.TemporaryFile(prefix="memorizz-") as file:
        for store, document in entries:
            target.check(document, store)
            pickle.dump((store, document), file, pickle.HIGHEST_PROTOCOL)
        yield target, _unpickled(file)


def _unpickled(file: IO[bytes]) -> Iterator[Entry]:
    end = file.tell()
    file.seek(0)
    while file.tell() < end:
        yield pickle.load(file)  # noqa: S301 written by ourselves, in a file without a name


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
    target: MemoryOperations,
    stores: Iterable[MemoryType],
    entries: Iterator[Entry],
    existing: Existing,
    embeddings: bool,
) -> dict[MemoryType, int]:
    counts = dict.fromkeys(stores, 0)
    for store, group in groupby(entries, key=itemgetter(0)):
        for batch in batches(document for _, document in group):
            for document in batch:
                # What has no vector in the file keeps the one that it is merged with.
                if not embeddings or (existing == "merge" and document[EMBEDDING] is None):
                    del document[EMBEDDING]
            counts[store] += len(target.store_many(batch, store))
    return counts
