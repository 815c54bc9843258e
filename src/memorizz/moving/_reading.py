"""The documents of a store on their way out of a source: in batches, without those that cannot be copied."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

from memorizz.errors import InvalidDocument
from memorizz.memory_provider import _values
from memorizz.memory_provider._documents import computed_keys, given_id
from memorizz.memory_provider.base import Document
from memorizz.moving._limits import BATCH_BYTES, size
from memorizz.moving._report import Problem
from memorizz.moving._streams import Source


@dataclass(slots=True)
class Batch:
    """Documents that follow each other, and what cannot be copied: others among them, and fields of theirs."""

    documents: list[Document] = field(default_factory=list[Document])
    refused: list[Problem] = field(default_factory=list[Problem])
    omissions: list[Problem] = field(default_factory=list[Problem])
    expired: int = 0
    weight: int = 0

    def is_full(self, count: int) -> bool:
        return max(len(self.documents), len(self.refused)) >= count or self.weight >= BATCH_BYTES


def read(
    source: Source, store: str, count: int, after: str | None = None, *, check_ids: bool = True
) -> Generator[Batch]:
    """Yield the documents of a store, `count` at a time, or fewer that are large; another thread reads ahead.

    `check_ids` finds documents that have the same id, for which it keeps all ids: about 12 MB for 100,000 of them.
    """
    batches = _batches(source, store, count, after, set() if check_ids else None)
    with ThreadPoolExecutor(1, "memorizz-reading") as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


def _batches(source: Source, store: str, count: int, after: str | None, seen: set[str] | None) -> Generator[Batch]:
    batch, now = Batch(), datetime.now(UTC)
    for document in source.documents(store, after):
        if isinstance(document, Problem):
            batch.refused.append(document)
        else:
            _add(batch, document, now, seen)
        if batch.is_full(count):
            yield batch
            batch = Batch()
    if batch.documents or batch.refused or batch.expired:
        yield batch


def _add(batch: Batch, document: Document, now: datetime, seen: set[str] | None) -> None:
    """Add a document to a batch, or the reason why it cannot be copied."""
    try:
        id = given_id(document)
    except InvalidDocument as error:
        batch.refused.append(Problem(str(document.get("_id")), str(error)))
        return
    if id is None:
        batch.refused.append(Problem("", "the document has no id"))
    elif seen is not None and id in seen:
        batch.refused.append(Problem(id, "another document of this store has the same id; only the first is copied"))
    elif _is_over(document.get("expires_at"), now):
        batch.expired += 1
    else:
        if seen is not None:
            seen.add(id)
        if computed := computed_keys(document):
            names = ", ".join(sorted(computed))
            batch.omissions.append(Problem(id, f"without {names}, which only a search adds and no provider keeps"))
            for key in computed:
                del document[key]
        document["id"] = document["_id"] = id
        batch.documents.append(document)
        batch.weight += size(document)


def _is_over(expires_at: object, now: datetime) -> bool:
    try:
        return expires_at is not None and _values.time(expires_at, "expires_at") <= now
    except InvalidDocument:
        # The target says what is wrong with it.
        return False
