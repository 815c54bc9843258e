"""Which documents of a memory say the same as a newer one, in every provider. Nothing loads this but what compares.

Each document is compared with those that stay, in one order: it goes to the first that is near enough, or stays itself.
So none that stays is near another one that stays, and what is merged is as near as that to what it is merged into;
a chain of neighbours, each a little further on, is not one group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

# What rounding in single precision takes from the similarity of equal vectors.
_ROUNDING = 1e-6

Key = TypeVar("Key")


class Groups(Generic[Key]):
    """Documents that come one after the other, in groups of which the first has come first."""

    def __init__(self, similarity: float) -> None:
        self._least = similarity - _ROUNDING
        self._groups: list[list[tuple[Key, float]]] = []
        self._by_text: dict[Any, int] = {}
        # The vectors of the first of each group, whose place is that of the group.
        self._firsts: NDArray[np.float32] = np.empty((0, 0), np.float32)
        self._places: list[int] = []

    def add(self, documents: Sequence[tuple[Key, Any, NDArray[Any] | None]]) -> None:
        """Take some documents: the key of each, what equal texts have in common or None, and its vector or None."""
        units = [None if vector is None else _unit(vector) for _, _, vector in documents]
        held = [unit for unit in units if unit is not None]
        among = self._firsts[: len(self._places)]
        # All at once: a product of matrices takes a fraction of the time of its rows.
        near = iter(np.stack(held) @ among.T if held and len(among) else np.empty((len(held), 0), np.float32))
        for (key, text, _), unit in zip(documents, units, strict=True):
            found = self._nearest(text, unit, None if unit is None else next(near))
            if found is not None:
                self._groups[found[0]].append((key, found[1]))
                continue
            self._groups.append([(key, 1.0)])
            if text is not None:
                self._by_text[text] = len(self._groups) - 1
            if unit is not None:
                self._hold(unit)

    def _nearest(
        self, text: Any, unit: NDArray[np.float32] | None, near: NDArray[np.float32] | None
    ) -> tuple[int, float] | None:
        """Return the first group that a document is near enough to, and how near."""
        found: list[tuple[int, float]] = []
        if text is not None and text in self._by_text:
            found.append((self._by_text[text], 1.0))
        if unit is not None and near is not None and self._places:
            # Behind those that were compared at once stand those that have come since.
            since = self._firsts[len(near) : len(self._places)] @ unit
            all_near = np.concatenate((near, since))
            place = int(np.argmax(all_near >= self._least))
            if all_near[place] >= self._least:
                found.append((self._places[place], min(1.0, float(all_near[place]))))
        return min(found, key=lambda group: (group[0], -group[1]), default=None)

    def _hold(self, unit: NDArray[np.float32]) -> None:
        held = len(self._places)
        if held == len(self._firsts):
            grown = np.empty((max(256, 2 * held), len(unit)), np.float32)
            if held:
                grown[:held] = self._firsts
            self._firsts = grown
        self._firsts[held] = unit
        self._places.append(len(self._groups) - 1)

    def several(self) -> list[list[tuple[Key, float]]]:
        """Return the groups of more than one, in order: the first of each, then the others, the most similar first."""
        return [[group[0], *sorted(group[1:], key=lambda other: -other[1])] for group in self._groups if len(group) > 1]


def _unit(vector: NDArray[Any]) -> NDArray[np.float32] | None:
    length = float(np.linalg.norm(vector.astype(np.float64)))
    return (vector / length).astype(np.float32) if length else None
