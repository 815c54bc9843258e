"""The documents of a store on their way out of a source: in batches, without those that cannot be told apart."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

from memorizz.errors import InvalidDocument
from memorizz.memory_provider import _values
from memorizz.memory_provider._documents import given_id
from memorizz.memory_provider.base import Document
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.moving._report import Problems
from memorizz.moving._streams import Source


class Reading:
    """One pass over a store. What has expired is counted, what has no id of its own is a problem.

    The ids are kept to see that no two documents have the same: about 12 MB for 100,000 of them.
    """

    def __init__(self, source: Source, store: MemoryType, problems: Problems, after: str | None = None) -> None:
        self._documents = source.documents(store, after)
        self._seen: set[str] = set()
        self.problems = problems
        self.expired = 0

    def batches(self, size: int) -> Iterator[list[Document]]:
        """Yield the documents that can be copied, `size` at a time."""
        documents = iter(self)
        while batch := list(islice(documents, size)):
            yield batch

    def __iter__(self) -> Iterator[Document]:
        now = datetime.now(UTC)
        for document in self._documents:
            try:
                id = given_id(document)
            except InvalidDocument as error:
                self.problems.add(document.get("_id"), str(error))
                continue
            if id is None:
                self.problems.add(None, "the document has no id")
            elif id in self._seen:
                self.problems.add(id, "another document of this store has the same id; only the first is copied")
            elif _is_over(document.get("expires_at"), now):
                self.expired += 1
            else:
                self._seen.add(id)
                document["id"] = document["_id"] = id
                yield document


def _is_over(expires_at: object, now: datetime) -> bool:
    try:
        return expires_at is not None and _values.time(expires_at, "expires_at") <= now
    except InvalidDocument:
        # The target says what is wrong with it.
        return False
