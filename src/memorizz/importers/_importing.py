"""Memories of another program into a provider: checked whole, then stored, and of what is there already nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, tzinfo
from itertools import groupby
from typing import Any, Literal
from uuid import UUID, uuid5

import numpy as np

from memorizz.errors import ConfigurationError, InvalidDocument, InvalidFile, quoted
from memorizz.importers._database import Database
from memorizz.importers._formats import DateOrder, Format, Found, LeftOut, Options
from memorizz.importers._registry import FORMATS, recognised
from memorizz.importers._source import ELEMENT_BYTES, Source, open_source
from memorizz.memory_provider._documents import EMBEDDING
from memorizz.memory_provider.base import Document, MemoryProvider
from memorizz.memory_provider.scopes import AGENT, EVERYTHING, MEMORY, Scope
from memorizz.memory_provider.stores import SEVEN
from memorizz.moving._files import File
from memorizz.moving._limits import batches, size
from memorizz.moving._streams import check_provider, make_stores

# What ids are made from: never to be changed, or a second import of a file adds it once more.
_NAMESPACE = UUID("0d0d2c1f-53ea-5a44-9b1e-6d3e5b7f4c20")
_BATCH = 500
# Places that a report names for each reason, of reasons, and of the characters of each.
_LISTED, _REASONS, _LONGEST = 5, 50, 300
_SAME_ID = "another one before it in the file has the same id"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is: while it checks, `done` of about `total` bytes; while it stores, documents."""

    phase: Literal["checking", "storing"]
    done: int
    total: int


@dataclass(slots=True)
class Noted:
    """How often something was met, and the first places where."""

    count: int = 0
    places: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Report:
    """What an import did, or in a dry run would do.

    stored, there: documents of each store that were new, and those that the target held already under their ids, which
    are left as they are. left_out: what the file holds and an import does not take, by the reason why. refused: what
    the target cannot hold, by the reason. remarks: what had to be assumed of documents that were read.
    """

    source: str
    format: str
    target: str | None
    dry_run: bool
    stored: dict[str, int] = field(default_factory=dict[str, int])
    there: dict[str, int] = field(default_factory=dict[str, int])
    left_out: dict[str, Noted] = field(default_factory=dict[str, Noted])
    refused: dict[str, Noted] = field(default_factory=dict[str, Noted])
    remarks: dict[str, Noted] = field(default_factory=dict[str, Noted])
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Return True if the target holds every document of the file."""
        return not self.refused

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        return {"ok": self.ok, **asdict(self)}


def import_file(
    file: File,
    target: MemoryProvider | None,
    *,
    format: str | None = None,
    timezone: tzinfo = UTC,
    date_order: DateOrder | None = None,
    embeddings: bool = False,
    dry_run: bool = False,
    progress: Callable[[Progress], None] | None = None,
    max_document_bytes: int = ELEMENT_BYTES,
) -> Report:
    """Store what another program has exported, and return what became of it.

    The file is read to its end before anything is stored, so one that is cut off or damaged changes nothing. Then
    documents are stored a few hundred at a time, and those that the target holds already stay as they are: a second
    import adds what is new, and one that was interrupted is completed by doing it again. Ids are made of the file's
    own and of the memory and agent of the target, which may be a view.

    file: a path to a file, a folder or a zip, a binary stream, or the postgresql:// URL of a database.
    target: None in a dry run that is to look into no store.
    format: the name of one; by default it is recognised by what is in the file.
    timezone: of clocks in the file that say none.
    date_order: "dmy", "mdy" or "ymd", for dates in words that do not show it.
    embeddings: take vectors along, where the format has them; say so only where the target's model has made them.
    dry_run: store nothing, and report what would be.
    progress: is called after every few hundred documents.
    max_document_bytes: nothing in the file that is read in one piece, a conversation or a line, may need more memory.

    Raises InvalidFile, with the place in the file; ConfigurationError for a format that is unknown or not recognised,
    and for vectors of another length than the target's.
    """
    with opened(
        file,
        format=format,
        timezone=timezone,
        date_order=date_order,
        embeddings=embeddings,
        max_document_bytes=max_document_bytes,
    ) as found:
        return found.store_into(target, dry_run=dry_run, progress=progress)


def read(
    file: File,
    *,
    format: str | None = None,
    timezone: tzinfo = UTC,
    date_order: DateOrder | None = None,
    embeddings: bool = False,
    max_document_bytes: int = ELEMENT_BYTES,
) -> Iterator[Found | LeftOut]:
    """Yield what another program has exported, one document at a time, without a provider; `import_file` has the rest.

    Raises InvalidFile at the place where the file is not as it must be, which may be after others were yielded.
    """
    with opened(
        file,
        format=format,
        timezone=timezone,
        date_order=date_order,
        embeddings=embeddings,
        max_document_bytes=max_document_bytes,
    ) as found:
        yield from found.documents()


@contextmanager
def opened(
    file: File,
    *,
    format: str | None = None,
    timezone: tzinfo = UTC,
    date_order: DateOrder | None = None,
    embeddings: bool = False,
    max_document_bytes: int = ELEMENT_BYTES,
) -> Generator[Import]:
    """Open what another program has exported, to see what it is before it is read; `import_file` has the options."""
    options = Options(timezone, date_order, embeddings)
    if max_document_bytes < 1:
        raise ConfigurationError(f"max_document_bytes={max_document_bytes}: expected a number of bytes above 0")
    chosen = None if format is None else _named(format)
    with open_source(file, max_document_bytes) as source:
        chosen = chosen or recognised(source)
        if chosen is None:
            raise _not_recognised(source)
        if format is not None and not chosen.recognises(source):
            held = "" if source.database is None else _tables(source.database)
            raise ConfigurationError(f"{source.name} holds no memories of {chosen.name}{held}")
        yield Import(source, chosen, options)


def _named(name: str) -> Format:
    """Return the format of a name; raises ConfigurationError for another."""
    for each in FORMATS:
        if each.name == name:
            return each
    raise ConfigurationError(f"format {quoted(name)}: expected one of {', '.join(each.name for each in FORMATS)}")


def _not_recognised(source: Source) -> ConfigurationError:
    """Return the error for a source that is of no format."""
    hint = f" (it holds another zip, {quoted(source.nested[0])}: unpack it)" if source.nested else ""
    if source.database is not None:
        hint = _tables(source.database)
    elif not (source.members or source.nested or source.passed):
        hint = " (it holds no file)"
    elif source.is_single and "\0" in source.members[0].head:
        hint = " (it holds NUL bytes: where it is a text, it is in UTF-16, and is to be saved as UTF-8)"
    known = ", ".join(each.name for each in FORMATS)
    return ConfigurationError(
        f"{source.name} is of no format that is known here{hint}: expected an export of memorizz, or one of {known} "
        "(`memorizz import --formats` says what each is)"
    )


def _tables(database: Database) -> str:
    """Return what a database holds, for a message."""
    return f" (its tables: {quoted(', '.join(database.tables), 300)})"


class Import:
    """What another program has exported, open to be read; `format` is what it is."""

    def __init__(self, source: Source, format: Format, options: Options) -> None:
        self.format = format
        self._source = source
        self._options = options
        self._count = 0
        self._twice: set[UUID] = set()

    def documents(self) -> Iterator[Found | LeftOut]:
        """Do what the function `read` does."""
        return self.format.read(self._source, self._options)

    def store_into(
        self,
        target: MemoryProvider | None,
        *,
        dry_run: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> Report:
        """Do what the function `import_file` does."""
        if target is not None or not dry_run:
            check_provider(target, "target")
        began = time.monotonic()
        report = Report(self._source.name, self.format.name, target.location if target else None, dry_run)
        self._check(target, progress)
        there = {spec.name for spec in target.stores()} if target else set[str]()
        specs = self.format.stores(self._source) if target else (*SEVEN, *self.format.stores(self._source))
        missing = {spec.name: spec for spec in specs if spec.name not in there}
        if target is not None and not dry_run:
            make_stores(target, missing.values())
            there |= missing.keys()
        done = 0
        try:
            for store, group in groupby(self._once(report), key=lambda each: each[0].store):
                for batch in _batches(group, target.scope if target else EVERYTHING):
                    if target is not None and store in there:
                        _store(batch, store, target, report)
                    else:
                        _plan(batch, store, store in missing, report)
                    done += len(batch)
                    if progress is not None:
                        progress(Progress("storing", done, self._count))
        except InvalidFile as error:
            changed = f"{error.reason}; it has changed since it was checked, and {done:,} documents before are stored"
            raise InvalidFile(error.file, error.where, changed) from error
        for name in self._source.nested:
            _note(report.left_out, "a zip inside of the zip is not opened", name)
        for reason, name in self._source.passed:
            _note(report.left_out, reason, name)
        for member in self._source.members:
            if not member.is_read and self._source.database is None:
                _note(report.left_out, "a file that holds nothing of what is read", member.name)
        report.seconds = time.monotonic() - began
        return report

    def _check(self, target: MemoryProvider | None, progress: Callable[[Progress], None] | None) -> None:
        """Read all of it once; learn how many documents there are, and which of them are there twice."""
        keys = bytearray()
        ids = _OwnIds(self._source.name, target)
        self._source.bytes_read = 0
        for found in self.documents():
            if isinstance(found, Found):
                keys += self._key(found).bytes
                if target is not None:
                    _check_vector(found.document.get(EMBEDDING), target)
                    ids.add(found)
                if progress is not None and len(keys) % (16 * _BATCH) == 0:
                    progress(Progress("checking", self._source.bytes_read, self._source.size))
        ids.check()
        values, counts = np.unique(np.frombuffer(keys, "V16"), return_counts=True)
        self._count = len(values)
        self._twice = {UUID(bytes=value.tobytes()) for value in values[counts > 1]}

    def _once(self, report: Report) -> Iterator[tuple[Found, UUID]]:
        """Yield each document once, with what tells it from the others, and report all else."""
        met: set[UUID] = set()
        for found in self.documents():
            if isinstance(found, LeftOut):
                _note(report.left_out, found.reason, found.place)
                continue
            key = self._key(found)
            if key in met:
                _note(report.left_out, _SAME_ID, found.place)
                continue
            if key in self._twice:
                met.add(key)
            for remark in found.remarks:
                _note(report.remarks, remark, found.place)
            yield found, key

    def _key(self, found: Found) -> UUID:
        return _key(self.format.name, found.store, found.key)


def stable_id(format: str, store: str, key: Iterable[str], memory: str | None = None, agent: str | None = None) -> str:
    """Return the id that an import gives to a document of a format, a store and a key, in a memory or in none."""
    return _id(_key(format, store, key), Scope(memory=memory, agent=agent))


def _key(format: str, store: str, key: Iterable[str]) -> UUID:
    return uuid5(_NAMESPACE, json.dumps([format, store, *key]))


def _note(notes: dict[str, Noted], reason: str, place: str) -> None:
    if reason not in notes and len(notes) >= _REASONS:
        reason = "other reasons"
    noted = notes.setdefault(reason, Noted())
    noted.count += 1
    if len(noted.places) < _LISTED:
        noted.places.append(place[:_LONGEST])


# --- storing ------------------------------------------------------------------------------------------------------


def _batches(found: Iterable[tuple[Found, UUID]], scope: Scope) -> Iterator[list[tuple[Found, Document]]]:
    """Yield documents with their ids, so many at once."""
    documents = ((each, {"id": _id(key, scope), **_of_view(each.document, scope)}) for each, key in found)
    return batches(documents, min(_BATCH, scope.max_limit or _BATCH), lambda each: size(each[1]))


def _check_vector(vector: Any, target: MemoryProvider) -> None:
    """Raise ConfigurationError for a vector that is none of the target's model."""
    if vector is not None and target.embedding_dimensions not in (None, len(vector)):
        raise ConfigurationError(
            f"vector dimension mismatch: the vectors of the source have {len(vector)} dimensions, those of the target "
            f"{target.embedding_dimensions}: leave them out, and have the texts embedded anew"
        )


class _OwnIds:
    """The ids of documents that keep their own: none may be one of another memory, where the target is a view of one.

    An id is one document's in all memories of a tenant, so that one would end the import where it is stored, behind
    what is stored by then.
    """

    def __init__(self, source: str, target: MemoryProvider | None) -> None:
        self._source = source
        self._target = target if target is not None and target.scope.memory is not None else None
        self._stores = set[str]() if self._target is None else {spec.name for spec in self._target.stores()}
        self._places: dict[str, dict[str, str]] = {}

    def add(self, found: Found) -> None:
        """Note the id of a document; raises InvalidFile as `check` does."""
        if "id" not in found.document or found.store not in self._stores:
            return
        places = self._places.setdefault(found.store, {})
        places[found.document["id"]] = found.place
        if len(places) >= _BATCH:
            self.check()

    def check(self) -> None:
        """Raise InvalidFile for an id of those noted that another memory, or agent, has."""
        for store, places in self._places.items():
            assert self._target is not None
            for id in self._target.run(self._target.operations.taken, [*places], store):
                reason = (
                    f"its id, {quoted(id)}, is one of a document of another memory or agent in {store}, and nothing "
                    "was stored: import it without a memory, or delete that document"
                )
                raise InvalidFile(self._source, places[id], reason)
        self._places.clear()


def _of_view(document: Mapping[str, Any], scope: Scope) -> Document:
    """Return a document without whose it is, where the view that it is stored into says that."""
    said = {MEMORY: scope.memory, AGENT: scope.agent}
    return {key: value for key, value in document.items() if said.get(key) is None}


def _id(key: UUID, scope: Scope) -> str:
    """Return the id of a document: always the same in a memory, and another one in every other."""
    return str(key if scope.memory is None else uuid5(key, json.dumps([scope.memory, scope.agent])))


def _store(batch: Sequence[tuple[Found, Document]], store: str, target: MemoryProvider, report: Report) -> None:
    """Store of a batch what fits and is not there."""
    fitting = [document for found, document in batch if _fits(document, found, target, report)]
    there = _there(fitting, store, target)
    new = [document for document in fitting if document["id"] not in there]
    if new and not report.dry_run:
        target.store_many(new, store)
    report.stored[store] = report.stored.get(store, 0) + len(new)
    report.there[store] = report.there.get(store, 0) + len(there)


def _plan(batch: Sequence[tuple[Found, Document]], store: str, is_made: bool, report: Report) -> None:
    """Report a batch for a store that is not there: in a dry run it may be one that an import makes."""
    if is_made:
        report.stored[store] = report.stored.get(store, 0) + len(batch)
        report.there.setdefault(store, 0)
        return
    for found, _ in batch:
        _note(report.refused, f"there is no store {store}, and the file does not say what it is", found.place)


def _fits(document: Document, found: Found, target: MemoryProvider, report: Report) -> bool:
    try:
        target.check(document, found.store)
    except InvalidDocument as error:
        _note(report.refused, str(error), found.place)
        return False
    return True


def _there(documents: Sequence[Document], store: str, target: MemoryProvider) -> set[str]:
    """Return the ids of those documents that the target holds."""
    if not documents:
        return set()
    asked = {"id": {"$in": [document["id"] for document in documents]}}
    # What has ended is there, too.
    hits = target.retrieve_by_query(asked, store, limit=len(documents), ended=True)
    return {hit["id"] for hit in hits}
