"""Compare a source with the target of a copy: what the target holds under its ids, and where it differs."""

from __future__ import annotations

from collections.abc import Sequence

from memorizz.errors import InvalidDocument
from memorizz.memory_provider._documents import CLOCKS, EMBEDDING
from memorizz.memory_provider.base import Document, MemoryProvider
from memorizz.moving._report import Problems, StoreReport
from memorizz.moving._streams import Checksum, digest, without_parts

# What a store adds to a document that comes without.
_COMPLETED = {*CLOCKS, "timestamp"}


class Comparison:
    """Looks up the documents of a source in the target.

    Every key is compared. After a merge only those that the source has, without the times of the document itself: what
    else the target had stays, and merging moves `updated_at`.
    """

    def __init__(self, target: MemoryProvider, store: str, merged: bool, listed: int = 0) -> None:
        self._target = target
        self._store = store
        self._merged = merged
        self._differences = Problems(listed)
        self._ours, self._theirs = Checksum(), Checksum()

    def equal(self, batch: Sequence[Document]) -> set[str]:
        """Return the ids of those documents that the target holds just as they are."""
        found = self._found(batch)
        same: set[str] = set()
        for document in batch:
            if document["id"] in found:
                ours, theirs = self._sides(document, found[document["id"]])
                try:
                    if digest(ours) == digest(theirs):
                        same.add(document["id"])
                except InvalidDocument:
                    # The target says so when it is to store it.
                    continue
        return same

    def compare(self, batch: Sequence[Document]) -> None:
        """Compare a batch; what the target cannot hold is no difference."""
        found = self._found(batch)
        for document in batch:
            if document["id"] not in found:
                self._missing(document)
                continue
            ours, theirs = self._sides(document, found[document["id"]])
            try:
                expected = self._ours.add(ours)
            except InvalidDocument:
                # Not what was copied: another document of this id was there before.
                continue
            if expected != self._theirs.add(theirs):
                keys = [
                    key for key in sorted({*ours, *theirs}) if digest(_only(ours, key)) != digest(_only(theirs, key))
                ]
                self._differences.add(document["id"], f"differs in {', '.join(keys)}")

    def _missing(self, document: Document) -> None:
        try:
            self._target.check(document, self._store)
        except InvalidDocument:
            return
        self._ours.add(document)
        self._differences.add(document["id"], "is not in the target")

    def _found(self, batch: Sequence[Document]) -> dict[str, Document]:
        """Return what the target holds under the ids of a batch."""
        ids = [document["id"] for document in batch]
        if not ids:
            return {}
        hits = self._target.retrieve_by_query({"id": {"$in": ids}}, self._store, limit=len(ids), include_embedding=True)
        return {hit["id"]: without_parts(hit) for hit in hits}

    def _sides(self, document: Document, found: Document) -> tuple[Document, Document]:
        """Return a document of the source and the one of the target, as far as they are to be the same."""
        if self._merged:
            ours = {key: value for key, value in document.items() if key not in CLOCKS}
            if ours.get(EMBEDDING) is None:
                ours.pop(EMBEDDING, None)
            return ours, {key: found[key] for key in ours if key in found}
        return document, {key: value for key, value in found.items() if key in document or key not in _COMPLETED}

    def report(self) -> StoreReport:
        """Return how the two sides compare, once all batches were compared."""
        held = self._target.count(self._store)
        more = held - self._theirs.count
        if more and not self._merged:
            self._differences.add("(others)", f"the target holds {more} documents that did not come from the source")
        return StoreReport(
            self._store,
            in_target=held,
            source_checksum=self._ours.hexdigest(),
            target_checksum=self._theirs.hexdigest(),
            different=self._differences.count,
            differences=self._differences.listed,
        )


def _only(document: Document, key: str) -> Document:
    return {"id": document["id"]} | ({key: document[key]} if key in document else {})
