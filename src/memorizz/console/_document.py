"""One document, whole: what it says, all its keys, its vector, what is nearest to it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast

from starlette.responses import Response

from memorizz.console import _show
from memorizz.console._page import NotFound, Page
from memorizz.errors import MemorizzError
from memorizz.memory_provider._versions import with_changes
from memorizz.memory_provider.base import Document, Version

_NEAREST, _VERSIONS = 6, 12
# Characters of all values together, of one, and what a short one takes all the same: a page stays below 300 kB.
_ROOM, _VALUE, _ROW = 16_000, 8_000, 50
# Of two versions, so many keys, and so many characters of what each was.
_DIFFERENCES, _SIDE = 8, 160
# Of a vector, so many numbers are drawn.
_DRAWN = 192
# Said by the page itself, above the other keys.
_SAID = ("_id", "content", "embedding", "id")


@dataclass(frozen=True)
class Drawn:
    """A vector: how long it is, and its first numbers as bars between -1 and 1."""

    dimensions: int
    norm: float
    bars: list[float]

    @classmethod
    def of(cls, vector: list[float]) -> Drawn:
        """Return what is drawn of a vector."""
        numbers = vector[:_DRAWN]
        most = max(map(abs, numbers)) or 1.0
        return cls(len(vector), math.sqrt(sum(each * each for each in vector)), [each / most for each in numbers])


async def document(page: Page) -> Response:
    """Show a document."""
    spec, id, view = await page.spec(), page.query.get("id", ""), page.view
    found = await view.retrieve_by_id(id, spec.name, include_embedding=True)
    versions = await _versions(page, spec.name, id)
    # What was there last can be seen, and restored.
    last = next((each.document for each, _ in versions if each.document is not None), None)
    gone = found is None
    found = found or (None if page.sight.at else last)
    if found is None:
        raise NotFound(f"{spec.name} has no document with the id {id!r} here")
    embedding = cast("list[Any]", found.get("embedding") or [])
    # Of a document with several vectors, it is a list of what each was made of.
    pieces: list[dict[str, Any]] = [each for each in embedding if isinstance(each, dict)]
    vector: list[float] | None = None if pieces or not embedding else embedding
    keys, left_out = _keys(found)
    return page.show(
        "document.html",
        spec=spec,
        document=found,
        gone=gone,
        versions=versions,
        content=found.get("content"),
        keys=keys,
        left_out=left_out,
        vector=None if vector is None else Drawn.of(vector),
        pieces=pieces,
        nearest=[] if vector is None else await _nearest(page, spec.name, id, vector),
    )


def _keys(document: Document) -> tuple[list[tuple[str, Any, bool]], int]:
    """Return the keys with what is shown of their values, and True for a block of lines; and how many are left out."""
    room, shown = _ROOM, list[tuple[str, Any, bool]]()
    keys = [(name, value) for name, value in document.items() if name not in _SAID]
    for name, value in keys:
        if room <= 0:
            break
        is_block = isinstance(value, dict | list)
        if not (value is None or isinstance(value, datetime)):
            value = _show.short(_show.pretty(value), min(room, _VALUE))
            room -= len(value)
        room -= _ROW
        shown.append((name, value, is_block))
    return shown, len(keys) - len(shown)


async def _versions(page: Page, store: str, id: str) -> list[tuple[Version, dict[str, Any]]]:
    """Return the newest versions, the newest first, each with how it differs from the one before."""
    if store not in page.console.kept:
        return []
    versions = await replace(page.sight, at="").through(page.console.view()).versions(id, store)
    return [(each, _cut(changes)) for each, changes in with_changes(versions)[: -_VERSIONS - 1 : -1]]


def _cut(differences: dict[str, dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Return the first differences, each side as the beginning of its text."""
    some = [*differences.items()][:_DIFFERENCES]
    return {
        name: {side: _show.short(_show.pretty(value), _SIDE) for side, value in sides.items()} for name, sides in some
    }


async def _nearest(page: Page, store: str, id: str, vector: list[float]) -> list[Document]:
    try:
        hits = await page.view.retrieve_by_query({"embedding": vector}, store, _NEAREST + 1)
    except MemorizzError:
        # Some times cannot be searched by vector; the document can be seen all the same.
        return []
    return [hit for hit in hits if hit["id"] != id][:_NEAREST]
