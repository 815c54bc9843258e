"""Memories into a file: what is done whatever the file's format is."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from typing import Any

from memorizz.errors import InvalidDocument
from memorizz.memory_provider.base import MemoryProvider, StoreName
from memorizz.memory_provider.stores import is_one_of_seven
from memorizz.moving import _lines, _markdown, _mem0, _parquet, graph
from memorizz.moving._files import File, Format, compressing, writing, writing_folder
from memorizz.moving._manifest import Entry, Manifest, Refuse
from memorizz.moving._reading import read
from memorizz.moving._report import Phase, Problems, Progress
from memorizz.moving._streams import ProviderSource, choose

# So many documents pass between two reports of progress.
_STEP = 500
_LISTED = 20


class Exported(dict[str, int]):
    """How many documents of each store are in a file, and what is not in it.

    not_exported: by store, the documents that cannot be read, or that no import could store, with the reason.
    omissions: by store, the documents that are in the file without some of their fields, which no provider keeps.

    Of both `count` says how many there are, and `listed` has the first ones.
    """

    def __init__(self, stores: Iterable[str]) -> None:
        super().__init__(dict.fromkeys(stores, 0))
        self.not_exported = {store: Problems(_LISTED) for store in self}
        self.omissions = {store: Problems(_LISTED) for store in self}

    def refuse(self, store: str, id: str, reason: str) -> None:
        """Note of a document that it is not in the file."""
        self.not_exported[store].add(id, reason)

    @property
    def ok(self) -> bool:
        """Return True if every document is in the file, with all of its fields."""
        return not any(found.count for found in (*self.not_exported.values(), *self.omissions.values()))

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        return {
            "ok": self.ok,
            "stores": dict(self),
            "not_exported": _listed(self.not_exported),
            "omissions": _listed(self.omissions),
        }


def _listed(found: Mapping[str, Problems]) -> dict[str, Any]:
    return {store: problems.to_dict() for store, problems in found.items() if problems.count}


def export(
    source: MemoryProvider,
    file: File,
    *,
    stores: Iterable[StoreName] | None = None,
    format: str | None = None,
    force: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Exported:
    """Write memories into a file, and return how many documents of each store are in it.

    Documents are read and written a few hundred at a time, whatever their number. A file appears under its name when
    all of it is on disk; whatever goes wrong, no half a file is left, and one that was there before stays. A document
    that cannot be read, or that no import could store, is not in the file but in the result, whose `ok` is then False.

    file: a path, or a binary stream to write to.
    stores: all by default.
    format: "jsonl", "jsonl.gz", "jsonl.zst" or "parquet"; by default what the file's name ends with, "jsonl" for a
        stream. Or one that others read, without the vectors: "markdown", a folder with a file for each document;
        "mcp", the memory file of the reference memory server; "mem0", a list as mem0 has it.
    force: replace a file that exists; a folder with something in it is never replaced.
    progress: is called after every 500 documents, and at the end of each store.

    Documents whose `expires_at` has passed are in no read, and so not in the file. Raises ConfigurationError for a file
    that exists or cannot be written, StorageFull where the disk has no room.
    """
    written_as = Format.of(format, file)
    stored = ProviderSource(source, embeddings=written_as not in _OF_OTHERS)
    specs = {spec.name: spec for spec in stored.stores()}
    chosen = choose(stores, specs, stored.location)
    counts = {store: stored.count(store) for store in chosen}
    described = [specs[store] for store in chosen if not is_one_of_seven(store)]
    manifest = Manifest.now(counts, stored.embedding_dimensions, stored.embedding_model, described)
    exported = Exported(chosen)
    with closing(_documents(source, stored, exported)) as documents:
        entries = watched(documents, "exporting", counts, progress)
        exported.update(_write(file, force, written_as, manifest, entries, exported.refuse))
    return exported


_OF_OTHERS = (Format.MARKDOWN, Format.MCP, Format.MEM0)


def _write(
    file: File,
    force: bool,
    format: Format,
    manifest: Manifest,
    entries: Iterable[Entry],
    refuse: Refuse,
) -> Mapping[str, int]:
    """Write documents as a format has them; return how many of each store there were."""
    if format is Format.MARKDOWN:
        with writing_folder(file) as folder:
            return _markdown.write(folder, manifest, entries, refuse)
    with writing(file, force) as out:
        if format is Format.PARQUET:
            return _parquet.write(out, manifest, entries).counts
        if format in _OF_OTHERS:
            return (graph if format is Format.MCP else _mem0).write(out, entries, refuse)
        with compressing(out, format) as compressed:
            return _lines.write(compressed, manifest, entries).counts


def _documents(provider: MemoryProvider, source: ProviderSource, exported: Exported) -> Generator[Entry]:
    """Yield the documents of all stores, and note those that cannot be exported."""
    for store in exported:
        refused, omissions = exported.not_exported[store], exported.omissions[store]
        # Documents of the same id, which only MongoDB can have, are found when the file is loaded.
        with closing(read(source, store, _STEP, check_ids=False)) as batches:
            for batch in batches:
                refused.extend(batch.refused)
                omissions.extend(batch.omissions)
                for document in batch.documents:
                    try:
                        provider.check(document, store)
                    except InvalidDocument as error:
                        refused.add(document["id"], str(error))
                    else:
                        yield store, document


def watched(
    entries: Iterable[Entry], phase: Phase, totals: Mapping[str, int], watch: Callable[[Progress], None] | None
) -> Iterator[Entry]:
    """Pass entries on, and tell how many have passed."""
    for store, group in groupby(entries, key=itemgetter(0)):
        done = 0
        for entry in group:
            yield entry
            done += 1
            if watch is not None and done % _STEP == 0:
                watch(Progress(phase, store, done, totals[store]))
        if watch is not None:
            watch(Progress(phase, store, done, totals[store]))
