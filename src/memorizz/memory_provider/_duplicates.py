"""Which documents are compared with each other, and what one takes over of others that say the same as it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from memorizz.errors import ConfigurationError, quoted
from memorizz.memory_provider._documents import CONTENT, EMBEDDING, EXPIRES_AT, ID_KEYS, TTL
from memorizz.memory_provider.options import Document, is_number
from memorizz.memory_provider.stores import StoreSpec

# Of so many the vectors are held at once, and each is compared with each: 300 MB, and minutes, at 1,536 dimensions.
MOST = 50_000


def checked_similarity(similarity: Any) -> float:
    """Return a cosine similarity; raises ConfigurationError for what is none above 0."""
    if not is_number(similarity) or not 0 < similarity <= 1:
        raise ConfigurationError(f"similarity={quoted(similarity)}: expected a number above 0, up to 1")
    return float(similarity)


def check_comparable(spec: StoreSpec) -> None:
    """Raise ConfigurationError for a store whose documents are not compared as wholes."""
    if spec.timeline:
        raise ConfigurationError(
            f"{spec.name}: its documents have a place in time, and what was said twice was said twice; remember what "
            "follows from it in another store"
        )
    if not spec.embedded or spec.fields:
        why = "are not embedded" if not spec.embedded else "have several vectors each"
        raise ConfigurationError(f"{spec.name}: its documents {why}, and are not compared as wholes")


def too_many(spec: StoreSpec) -> ConfigurationError:
    """Return the error for a memory of more documents than are compared."""
    return ConfigurationError(
        f"the memory has more than {MOST:,} documents in {spec.name}, of which each would be compared with each: give "
        "`where`, such as {'created_at': {'$gte': ...}}, and compare fewer"
    )


# --- what is merged -----------------------------------------------------------------------------------------------

_METADATA, _CREATED, _COUNTED, _READ = "metadata", "created_at", "access_count", "last_accessed"
_OWN = frozenset((*ID_KEYS, CONTENT, EMBEDDING, EXPIRES_AT, TTL, "updated_at", _METADATA, _CREATED, _COUNTED, _READ))


def taken_over(kept: Document, others: Sequence[Document], spec: StoreSpec) -> Document:
    """Return what a document takes over of others, the newest first, that it is near to."""
    taken: Document = {}
    for other in others:
        for key, value in other.items():
            if key not in kept and key not in _OWN and key != spec.label:
                taken.setdefault(key, value)
    every = [kept, *others]
    taken[_CREATED] = min(each[_CREATED] for each in every)
    if counted := [each[_COUNTED] for each in every if each.get(_COUNTED) is not None]:
        taken[_COUNTED] = sum(counted)
    if read := [each[_READ] for each in every if each.get(_READ) is not None]:
        taken[_READ] = max(read)
    metadata: dict[str, Any] = {}
    for each in reversed(every):
        if isinstance(each.get(_METADATA), Mapping):
            metadata |= cast("Mapping[str, Any]", each[_METADATA])
    if metadata != (kept.get(_METADATA) or {}) and (_METADATA not in kept or kept[_METADATA] is not None):
        taken[_METADATA] = metadata
    return taken
