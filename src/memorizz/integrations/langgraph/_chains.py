"""Delta channels: a value that is not kept in each checkpoint, but rebuilt from the writes since the last one kept.

What a checkpoint's value is rebuilt from lies with its ancestors, so the chain of parents must not be cut before it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from memorizz.integrations.langgraph import _rows
from memorizz.memory_provider.base import MemoryProvider
from memorizz.memory_provider.options import Document

_PAGE = 100


def delta_channels(rows: Sequence[Document]) -> set[str]:
    """Return the channels that a thread's checkpoints say are delta channels."""
    return {channel for row in rows for channel in row["metadata"].get(_rows.COUNTERS) or ()}


def needed(
    rows: Sequence[Document], wanted: Sequence[Document], deltas: Collection[str], values: Collection[str]
) -> set[str]:
    """Return the ids of checkpoints, and of the ancestors that their delta channels are rebuilt from.

    values: the keys of the values of delta channels that there are.
    """
    by_id = {row["id"]: row for row in rows}
    kept = {row["id"] for row in wanted}
    for row in wanted:
        at: Document | None = row
        missing = {*_rows.channel_keys(row, deltas)}
        while at is not None:
            kept.add(at["id"])
            missing -= {channel for channel, key in _rows.channel_keys(at, deltas).items() if key in values}
            at = by_id.get(parent_key(at)) if missing else None
    return kept


def parent_key(row: Document) -> str:
    return _rows.place_in(row)._replace(id=row["parent_id"]).key


def ancestors(provider: MemoryProvider, row: Document) -> Iterator[list[Document]]:
    """Yield the ancestors of a checkpoint, the nearest first, some at a time: as many as a round trip brings.

    They are looked for among the checkpoints of their line that are older, and by their ids where they are not there.
    """
    store = _rows.CHECKPOINTS.name
    while row["parent_id"] is not None:
        older = {"memory_id": row["memory_id"], "timestamp": {"$lte": row["timestamp"]}}
        page = provider.retrieve_by_query(older, store, _PAGE, order_by="-timestamp")
        by_id = {each["id"]: each for each in page}
        chain: list[Document] = []
        at: Document | None = row
        while at is not None and (found := by_id.pop(parent_key(at), None)) is not None:
            chain.append(found)
            at = found if found["parent_id"] is not None else None
        if not chain:
            found = provider.retrieve_by_id(parent_key(row), store)
            if found is None:
                return
            chain.append(found)
        yield chain
        row = chain[-1]


class History:
    """What is found of channels on the way back through a chain of checkpoints."""

    def __init__(self, channels: Sequence[str]) -> None:
        self._writes: dict[str, list[list[Document]]] = {channel: [] for channel in channels}
        self._seeds: dict[str, Any] = {}

    @property
    def complete(self) -> bool:
        """Whether each channel has reached a value that was kept."""
        return len(self._seeds) == len(self._writes)

    def add(self, chain: Sequence[Document], values: Mapping[str, Any], writes: Mapping[str, list[Document]]) -> None:
        """Go on with checkpoints, the nearest first; `values` by key, `writes` by checkpoint, those in their order."""
        for row in chain:
            keys = _rows.channel_keys(row, self._writes)
            written = writes.get(row["id"], [])
            for channel, steps in self._writes.items():
                if channel in self._seeds:
                    continue
                # A value is that before the writes of its own checkpoint.
                steps.append([write for write in written if write["channel"] == channel])
                if (key := keys.get(channel, "")) in values:
                    self._seeds[channel] = values[key]

    def of(self, channel: str) -> tuple[list[Document], Any]:
        """Return the writes of a channel, the oldest first, and the value before them, None where there is none."""
        return [write for step in reversed(self._writes[channel]) for write in step], self._seeds.get(channel)
