"""How far apart the cosine similarities of a model's vectors lie, and what follows from it for a score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

from memorizz.memory_provider.stores import Distance

# Of so many vectors the similarities of all pairs are measured.
SAMPLE = 100
# As far apart as the weights of a score take them to lie, which are measured with such a model: docs/search.md.
_USUAL = 0.1
# Where they lie closer than this, they are all about the same, and what is left is rounding.
_LEAST = 0.005


@dataclass(frozen=True, slots=True)
class Cosines:
    """The mean and the standard deviation of the cosine similarity between two vectors of a model."""

    mean: float
    deviation: float


def standard(cosines: Cosines | None, distance: Distance) -> tuple[float, float]:
    """Return by what the differences between similarities are multiplied, and from where on they count.

    Some models put all texts close together: their similarities lie within a few hundredths, and words, which share out
    all of 0 to 1, would outweigh any meaning. Then they are standardised; those of other models stay as they are.
    """
    if cosines is None or distance != "cosine" or cosines.deviation >= _USUAL:
        return 1.0, 0.0
    return _USUAL / max(cosines.deviation, _LEAST), cosines.mean


def explained_cosines(cosines: Cosines | None, distance: Distance) -> dict[str, Any] | None:
    """Return what was measured and what follows, for a person to read; None where nothing was."""
    return None if cosines is None else {**asdict(cosines), "stretched": standard(cosines, distance)[0]}


def measured_of(vectors: Sequence[Any]) -> Cosines | None:
    """Return how far apart some vectors lie, pair by pair; None where too few of them can be compared."""
    import numpy as np

    lists = [cast("list[Any]", each) for each in vectors if isinstance(each, list)]
    comparable = [each for each in lists if len(each) == len(lists[0])]
    if len(comparable) < SAMPLE:
        return None
    array = np.array(comparable, dtype=np.float64)
    with np.errstate(all="ignore"):
        units = array / np.linalg.norm(array, axis=1, keepdims=True)
    pairs = (units @ units.T)[np.triu_indices(len(units), 1)]
    # Equal vectors are of equal texts, and say nothing of others.
    pairs = pairs[pairs < 1 - 1e-6]
    return Cosines(float(pairs.mean()), float(pairs.std())) if len(pairs) and np.isfinite(pairs).all() else None
