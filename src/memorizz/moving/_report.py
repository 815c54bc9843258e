"""What a copy did, or would do: counted by store, with examples of what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from memorizz.errors import ConfigurationError, quoted
from memorizz.memory_provider._documents import EMBEDDING, ID_KEYS
from memorizz.memory_provider.base import Document

Existing = Literal["refuse", "merge", "replace"]
Phase = Literal["reading", "copying", "indexing", "verifying", "exporting", "importing", "embedding"]


def check_existing(existing: object) -> None:
    """Raise ConfigurationError for what is no way to treat documents that are there."""
    if existing not in get_args(Existing):
        raise ConfigurationError(f"existing={quoted(existing)}: expected one of {', '.join(get_args(Existing))}")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a move has come: `done` of `total` documents in one phase of one store.

    While the vector index is built, `total` is 1, and `done` the part of it that is finished.
    """

    phase: Phase
    store: str
    done: float
    total: float


@dataclass(frozen=True, slots=True)
class Problem:
    """A document, by its id, and what is wrong with it."""

    id: str
    reason: str


class Problems:
    """What is wrong with documents: all of them counted, the first ones listed."""

    def __init__(self, listed_at_most: int, count: int = 0, listed: list[Problem] | None = None) -> None:
        self.count = count
        self.listed = list(listed or [])
        self._most = listed_at_most

    def add(self, id: Any, reason: str) -> None:
        self.count += 1
        if len(self.listed) < self._most:
            self.listed.append(Problem(str(id), reason))

    def extend(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            self.add(problem.id, problem.reason)

    def to_dict(self) -> dict[str, Any]:
        """Return them as JSON has them."""
        return {"count": self.count, "listed": [asdict(problem) for problem in self.listed]}


@dataclass(slots=True)
class StoreReport:
    """What became of one store.

    in_source: how many documents the source held: those counted at the beginning, or those read where that is more.
    copied: documents that were written. present: those that the target held already, just as they are.
    expired: those of a dump that had expired, and those of a provider that expired while it was copied.
    not_copied: those that cannot be read, or that the target cannot hold; the first ones are listed in `problems`.
    missing: those that were counted and none of the above, for they were deleted meanwhile, or lost.
    incomplete: those copied without some of their fields, which no provider keeps; the first are in `omissions`.
    in_target: how many documents the target holds when it is done; in a dry run, before.
    source_checksum, target_checksum: over the documents that were copied; equal unless `differences` has some.
    keys, dimensions: in a dry run, how often each key has each kind of value, and each length of an embedding.
    """

    store: str
    in_source: int = 0
    in_target: int = 0
    copied: int = 0
    present: int = 0
    expired: int = 0
    not_copied: int = 0
    problems: list[Problem] = field(default_factory=list[Problem])
    missing: int = 0
    incomplete: int = 0
    omissions: list[Problem] = field(default_factory=list[Problem])
    source_checksum: str | None = None
    target_checksum: str | None = None
    different: int = 0
    differences: list[Problem] = field(default_factory=list[Problem])
    keys: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    dimensions: dict[int, int] = field(default_factory=dict[int, int])

    @property
    def ok(self) -> bool:
        """Return True if the whole store arrived; `in_source` is then `copied + present + expired`."""
        return not (self.not_copied or self.missing or self.incomplete or self.different)


@dataclass(slots=True)
class Report:
    """What became of each store, from where, to where, and how long it took."""

    source: str
    target: str
    existing: Existing
    dry_run: bool
    resumed: bool
    stores: list[StoreReport]
    seconds: float = 0.0
    left_out: list[str] = field(default_factory=list[str])

    @property
    def ok(self) -> bool:
        """Return True if everything in the source is in the target, as it was; in a dry run, if it could be."""
        return all(store.ok for store in self.stores)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        return {"ok": self.ok, **asdict(self)}


# --- what documents hold ------------------------------------------------------------------------------------------

_KINDS: Mapping[Any, str] = {
    dict: "object", list: "list", str: "text", bool: "boolean", int: "integer", float: "number", type(None): "null",
}  # fmt: skip


class Contents:
    """Which keys documents have, with which kinds of values, and how long their embeddings are."""

    def __init__(self) -> None:
        self.keys: dict[str, Counter[str]] = {}
        self.dimensions: Counter[int] = Counter()

    def add(self, document: Document) -> None:
        for key, value in document.items():
            if key == EMBEDDING:
                self.dimensions.update([] if value is None else [len(value) if hasattr(value, "__len__") else 0])
            elif key not in ID_KEYS:
                self.keys.setdefault(key, Counter())[_kind(value)] += 1


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), type(value).__name__)
