"""The documents of a store on their way out of a source: in batches, without those that cannot be told apart."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

from memorizz.errors import InvalidDocument
from memorizz.memory_provider import _values
from memorizz.memory_provider._documents import given_id
from memorizz.memory_provider.base import Document
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.moving._report import Problem
from memorizz.moving._streams import Source


@dataclass(slots=True)
class Batch:
    """Documents that follow each other, and what stood among them that cannot be copied."""

    documents: list[Document] = field(default_factory=list[Document])
    refused: list[Problem] = field(default_factory=list[Problem])
    expired: int = 0


_TWICE = "another document of this store has the same id; only the first is copied"


def read(source: Source, store: MemoryType, size: int, after: str | None = None) -> Generator[Batch]:
    """Yield the documents of a store, `size` at a time; the next ones are read in another thread meanwhile.

    The ids are kept to see that no two documents have the same: about 12 MB for 100,000 of them.
    """
    batches = _batches(source, store, size, after)
    with ThreadPoolExecutor(1, "memorizz-reading") as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


def _batches(source: Source, store: MemoryType, size: int, after: str | None) -> Generator[Batch]:
    batch, seen, now = Batch(), set[str](), datetime.now(UTC)
    for document in source.documents(store, after):
        try:
            id = given_id(document)
        except InvalidDocument as error:
            batch.refused.append(Problem(str(document.get("_id")), str(error)))
            continue
        if id is None:
            batch.refused.append(Problem("", "the document has no id"))
        elif id in seen:
            batch.refused.append(
                Problem(id, "another document of this store has the same id, only the first is copied")
            )
        elif _is_over(document.get("expires_at"), now):
            batch.expired += 1
        else:
            seen.add(id)
            document["id"] = document["_id"] = id
            batch.documents.append(document)
            if len(batch.documents) == size:
                yield batch
                batch = Batch()
    if batch.documents or batch.refused or batch.expired:
        yield batch


def _is_over(expires_at: object, now: datetime) -> bool:
    try:
        return expires_at is not None and _values.time(expires_at, "expires_at") <= now
    except InvalidDocument:
        # The target says what is wrong with it.
        return False
