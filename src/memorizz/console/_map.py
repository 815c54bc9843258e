"""The vectors of a store as points: what is close in the picture is, as a rule, close in meaning."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.responses import JSONResponse, Response

from memorizz.console import _show
from memorizz.console._overview import first
from memorizz.console._page import Page
from memorizz.memory_provider.base import Document

# The newest so many, read in batches; of the pairs that are nearly equal, the nearest.
POINTS, _BATCH, _PAIRS = 2000, 500, 24
# Of two texts that say the same in other words, MiniLM's cosine is .8 to .95; above this they differ in a word or none.
NEARLY_EQUAL = 0.97
# Characters of a text, and of an id, that go into the picture: it stays below 300 kB.
_TEXT, _ID = 64, 48
_ITERATIONS = 24

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Drawn:
    """Points between -1 and 1, how much of the spread they show, and the pairs that are nearly equal."""

    points: Matrix
    share: float
    pairs: list[tuple[int, int, float]]


async def map_(page: Page) -> Response:
    """Show the page around the picture; its points come by themselves, by `points`."""
    specs = [spec for spec in await page.specs() if spec.embedded]
    wanted = page.query.get("store") or (specs[0].name if specs else "")
    if not page.query.get("store"):
        heads = await asyncio.gather(*(first(page.view, spec.name, 1) for spec in specs))
        wanted = next((spec.name for spec, head in zip(specs, heads, strict=True) if head), wanted)
    documents, drawn = await _read(page, wanted)
    return page.show(
        "map.html",
        names=[spec.name for spec in specs],
        wanted=wanted,
        documents=documents,
        drawn=drawn,
        most=POINTS,
        nearly=NEARLY_EQUAL,
    )


async def points(page: Page) -> Response:
    """Answer with the points, for the script that draws them."""
    documents, drawn = await _read(page, (await page.spec()).name)
    twins = {place for pair in drawn.pairs for place in pair[:2]}
    return JSONResponse(
        [
            [
                round(float(x), 3),
                round(float(y), 3),
                int(place in twins),
                document["id"] if len(document["id"]) <= _ID else "",
                _show.short(_show.text(document), _TEXT),
            ]
            for place, (document, (x, y)) in enumerate(zip(documents, drawn.points, strict=True))
        ]
    )


async def _read(page: Page, store: str) -> tuple[list[Document], Drawn]:
    """Return the newest documents that have one vector, and what is drawn of them."""
    documents: list[Document] = []
    vectors: list[Any] = []
    if store:
        looked_at = 0
        async for each in page.view.iterate(store, None, _BATCH, include_embedding=True, newest_first=True):
            vector = each.pop("embedding", None)
            looked_at += 1
            if vector and not isinstance(vector[0], dict):
                documents.append(each)
                vectors.append(np.asarray(vector, np.float32))
            if looked_at == POINTS:
                break
    return documents, await asyncio.to_thread(drawn_of, vectors)


def drawn_of(vectors: Sequence[Matrix]) -> Drawn:
    """Return vectors in the two directions in which they differ most (their principal components)."""
    if len(vectors) < 2:
        return Drawn(np.zeros((len(vectors), 2), np.float32), 1.0, [])
    matrix = np.stack(vectors)
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    # Directions are compared, as a search by cosine does.
    lengths[lengths == 0] = 1
    matrix /= lengths
    pairs = _nearly_equal(matrix)
    centred = matrix - matrix.mean(axis=0)
    spread = float((centred**2).sum())
    axes = _axes(centred)
    placed = centred @ axes
    largest = float(np.abs(placed).max())
    share = float((placed**2).sum()) / spread if spread else 1.0
    return Drawn(placed / (largest or 1.0), share, pairs)


def _axes(centred: Matrix) -> Matrix:
    """Return the two directions, as columns: by turning any two towards where the points lie, again and again."""
    dimensions = centred.shape[1]
    axes = np.random.default_rng(1).normal(size=(dimensions, min(2, dimensions))).astype(np.float32)
    for _ in range(_ITERATIONS):
        axes, _ = np.linalg.qr(centred.T @ (centred @ axes))
    # The one that shows more goes from left to right.
    axes = axes[:, np.argsort(-((centred @ axes) ** 2).sum(axis=0))]
    return np.pad(axes, ((0, 0), (0, 2 - axes.shape[1])))


def _nearly_equal(matrix: Matrix) -> list[tuple[int, int, float]]:
    """Return the pairs that are nearly equal, the nearest first."""
    found: list[tuple[int, int, float]] = []
    for begin in range(0, len(matrix), _BATCH):
        alike = matrix[begin : begin + _BATCH] @ matrix.T
        for one, other in np.argwhere(alike >= NEARLY_EQUAL).tolist():
            if begin + one < other:
                found.append((begin + one, other, float(alike[one, other])))
    found.sort(key=lambda pair: -pair[2])
    return found[:_PAIRS]
