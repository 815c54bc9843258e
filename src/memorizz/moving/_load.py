"""Memories out of a file: all of them, or none."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import IO, Any, cast

from memorizz.errors import ConfigurationError, InvalidFile
from memorizz.memory_provider._documents import EMBEDDING
from memorizz.memory_provider.base import MemoryOperations, MemoryProvider, StoreName
from memorizz.moving import _lines, _parquet
from memorizz.moving._export import watched
from memorizz.moving._files import File, Format, reading, temporary
from memorizz.moving._limits import DOCUMENT_BYTES, batches, size
from memorizz.moving._manifest import Entry, Manifest
from memorizz.moving._report import Existing, Progress, check_existing
from memorizz.moving._streams import check_provider, choose, make_stores

# Fewer documents enter a vector index sooner than it is rebuilt.
_MANY = 1000
# Documents that are stored at once, unless they are large.
_BATCH = 500


def load(
    file: File,
    target: MemoryProvider,
    *,
    stores: Iterable[StoreName] | None = None,
    existing: Existing = "refuse",
    embeddings: bool = True,
    progress: Callable[[Progress], None] | None = None,
    max_document_bytes: int = DOCUMENT_BYTES,
) -> dict[str, int]:
    """Read memories out of a file that `export` has written, and return how many documents of each store.

    All or nothing: a file that is cut off, altered or of another version leaves the target as it was, in one
    transaction in PostgreSQL, elsewhere by checking all of it first; there a server that fails in the middle leaves
    what was stored until then, and the same import with "merge" completes it. Ids, times and embeddings are kept.

    file: a path, or a binary stream to read from; the format is told from what is in it.
    stores: all that are in the file by default. One of the caller's own that the target lacks is made first.
    existing: what is done where these stores hold documents: "refuse", "merge" the file's into them as `store` does,
        keeping a vector where the file has none, or "replace" all of them.
    embeddings: False leaves them out; a provider with an embedder then makes its own.
    progress: is called after every 500 documents, and at the end of each store.
    max_document_bytes: no document of the file may be larger, its JSON as text and 40 bytes for each value in it, or
        its row in Parquet. So a small file cannot fill the memory, however it is compressed.

    Raises InvalidFile, with the place in the file; ConfigurationError where the target holds documents, or vectors of
    another length or model.
    """
    with opened(file, max_document_bytes) as found:
        return found.load(target, stores=stores, existing=existing, embeddings=embeddings, progress=progress)


@contextmanager
def opened(file: File, max_document_bytes: int = DOCUMENT_BYTES) -> Generator[ExportFile]:
    """Open a file that `export` has written, to see its manifest before it is loaded; `load` has the options.

    Raises InvalidFile where the file is no export, or of another version, ConfigurationError where it cannot be read.
    """
    if max_document_bytes < 1:
        raise ConfigurationError(f"max_document_bytes={max_document_bytes}: expected a number of bytes above 0")
    with reading(file, max_document_bytes) as source:
        read = _parquet.read if source.format is Format.PARQUET else _lines.read
        yield ExportFile(source.name, *read(source))


@dataclass(frozen=True)
class ExportFile:
    """An export that is open: its documents can be loaded once."""

    name: str
    manifest: Manifest
    _entries: Iterator[Entry]

    def chosen(self, stores: Iterable[StoreName] | None = None) -> list[str]:
        """Return the stores that are loaded where `stores` are asked for; raises ConfigurationError for others."""
        return choose(stores, self.manifest.stores, "the file")

    def load(
        self,
        target: MemoryProvider,
        *,
        stores: Iterable[StoreName] | None = None,
        existing: Existing = "refuse",
        embeddings: bool = True,
        progress: Callable[[Progress], None] | None = None,
    ) -> dict[str, int]:
        """Do what the function `load` does."""
        check_existing(existing)
        check_provider(target, "target")
        chosen = self.chosen(stores)
        if embeddings:
            _check_embeddings(self.manifest, self.name, target)
        wanted = _without_vectors(
            (entry for entry in self._entries if entry[0] in chosen),
            set(chosen) if existing == "merge" else {spec.name for spec in self.manifest.specs if spec.fields},
            not embeddings,
        )
        entries = watched(wanted, "importing", self.manifest.stores, progress)
        embed = target.has_embedder and not embeddings
        if embed:
            if existing == "refuse":
                # Before any text is sent to a model.
                _check_empty(target, chosen)
            entries = _embedded(target, entries)
        make_stores(target, [spec for spec in self.manifest.specs if spec.name in chosen])
        large = [store for store in chosen if self.manifest.stores[store] >= _MANY]
        # Neither a transaction nor a store without its index waits for a model.
        in_stream = target.has_large_transactions and not embed
        with (
            nullcontext(entries) if in_stream else _read_first(target, entries) as known,
            _loading(target, large, progress),
            _transaction(target) as provider,
        ):
            _make_room(provider, chosen, existing)
            counts, expiring = _store(provider, chosen, known)
            if existing != "merge":
                self._check_ids(provider, counts, expiring)
            return counts

    def _check_ids(self, target: MemoryOperations, counts: Mapping[str, int], expiring: Mapping[str, int]) -> None:
        """Raise InvalidFile if documents of the file had the same id, so that one of them was merged into the other."""
        for store, count in counts.items():
            held = target.count(store)
            if held < count - expiring[store]:
                raise InvalidFile(
                    self.name,
                    store,
                    f"it holds {count:,} documents, and after they were loaded the store holds {held:,}: some of them "
                    "have the same id",
                )


# --- into a provider ----------------------------------------------------------------------------------------------


@contextmanager
def _loading(
    target: MemoryProvider, stores: Iterable[str], watch: Callable[[Progress], None] | None
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


def _indexing(store: str, watch: Callable[[Progress], None] | None) -> Callable[[float], None] | None:
    return None if watch is None else lambda share: watch(Progress("indexing", store, share, 1))


def _without_vectors(entries: Iterable[Entry], missing: Collection[str], all: bool) -> Iterator[Entry]:
    """Pass entries on without the key of their vectors: of those that are missing in some stores, or of all.

    What has no vector in the file keeps the one that it is merged with, and documents with parts get theirs anew.
    """
    for store, document in entries:
        if all or (store in missing and document[EMBEDDING] is None):
            del document[EMBEDDING]
        yield store, document


def _embedded(target: MemoryProvider, entries: Iterable[Entry]) -> Iterator[Entry]:
    """Pass entries on with the vectors that an embedder makes of them."""
    for store, group in groupby(entries, key=itemgetter(0)):
        for batch in batches((document for _, document in group), _BATCH, size):
            for document in target.embedded(batch, store):
                yield store, dict(document)


@contextmanager
def _read_first(target: MemoryProvider, entries: Iterator[Entry]) -> Generator[Iterator[Entry]]:
    """Read and check all entries before the first one is given."""
    with temporary() as file:
        for store, document in entries:
            target.check(document, store)
            pickle.dump((store, document), file, pickle.HIGHEST_PROTOCOL)
        yield _unpickled(file)


def _transaction(target: MemoryProvider) -> AbstractContextManager[MemoryOperations]:
    """Return a block in which all is stored or nothing, where the target has one for so many documents."""
    return cast(Any, target).transaction() if target.has_large_transactions else nullcontext(target)


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


def _check_empty(target: MemoryOperations, stores: Iterable[str]) -> None:
    for store in stores:
        if count := target.count(store):
            raise ConfigurationError(
                f"the target already holds {count:,} documents in {store}: merge the file's into them (--merge), "
                "replace them (--replace), or load it into another schema"
            )


def _make_room(target: MemoryOperations, stores: Iterable[str], existing: Existing) -> None:
    if existing == "replace":
        for store in stores:
            target.delete_all(store)
    elif existing == "refuse":
        _check_empty(target, stores)


def _store(
    target: MemoryOperations, stores: Iterable[str], entries: Iterator[Entry]
) -> tuple[dict[str, int], dict[str, int]]:
    """Store entries; return how many documents of each store there were, and how many of them expire some day."""
    counts, expiring = dict.fromkeys(stores, 0), dict.fromkeys(stores, 0)
    for store, group in groupby(entries, key=itemgetter(0)):
        for batch in batches((document for _, document in group), _BATCH, size):
            counts[store] += len(target.store_many(batch, store))
            expiring[store] += sum(document.get("expires_at") is not None for document in batch)
    return counts, expiring
