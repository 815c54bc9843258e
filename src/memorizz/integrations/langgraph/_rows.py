"""How a checkpoint becomes documents, and documents a checkpoint.

A checkpoint is a document, each of its channels' values another one, and each write of a task too. A value is kept once
for each version of its channel: a checkpoint names the versions, so that a channel which no step has changed is not
written again. Bytes are text in base 64, for a document is JSON.

Of each document `conversation_id` is the thread. `memory_id` is the line of a checkpoint, its thread and namespace,
whose newest is asked for most, by its `timestamp`; of a write it is the checkpoint.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.serde.base import SerializerProtocol

from memorizz.errors import ConfigurationError
from memorizz.integrations._providers import key_of
from memorizz.memory_provider.options import Document
from memorizz.memory_provider.stores import StoreSpec

CHECKPOINTS, CHANNELS, WRITES = (
    StoreSpec(f"langgraph_{name}", index="none", embedded=False, memories=False)
    for name in ("checkpoints", "channels", "writes")
)
# UUIDs of version 6 count time from here, in tenths of a microsecond.
_GREGORIAN = datetime(1582, 10, 15, tzinfo=UTC)

# What LangGraph's checkpointers keep of a delta channel's values: how much has been written since the last of them.
COUNTERS = "counters_since_delta_snapshot"


class Place(NamedTuple):
    """Where a checkpoint is, or the newest one of a line where it has no id."""

    thread: str
    namespace: str
    id: str | None = None

    @property
    def owner(self) -> str:
        return key_of(self.thread)

    @property
    def line(self) -> str:
        return key_of(self.thread, self.namespace)

    @property
    def key(self) -> str:
        return key_of(self.thread, self.namespace, self.id or "")

    @property
    def config(self) -> RunnableConfig:
        return {
            "configurable": {"thread_id": self.thread, "checkpoint_ns": self.namespace, "checkpoint_id": self.id or ""}
        }


def place_of(config: RunnableConfig) -> Place:
    """Return where a config points; raises ConfigurationError where it names no thread."""
    named = config.get("configurable", {})
    if named.get("thread_id") is None:
        raise ConfigurationError('config has no thread: expected {"configurable": {"thread_id": ...}}')
    id = named.get("checkpoint_id")
    return Place(str(named["thread_id"]), named.get("checkpoint_ns") or "", str(id) if id else None)


def place_in(row: Mapping[str, Any]) -> Place:
    """Return where the checkpoint is that a row belongs to; a channel's value belongs to a line."""
    return Place(row["thread_id"], row["checkpoint_ns"], row.get("checkpoint_id"))


def packed(serde: SerializerProtocol, value: Any) -> list[str]:
    kind, data = serde.dumps_typed(value)
    return [kind, b64encode(data).decode("ascii")]


def unpacked(serde: SerializerProtocol, kept: list[str]) -> Any:
    kind, data = kept
    return serde.loads_typed((kind, b64decode(data)))


def time_of(id: str, otherwise: str) -> datetime:
    """Return when a checkpoint was made: ids are UUIDs that sort by time. Of another id it is the time given."""
    try:
        number = UUID(id)
    except ValueError:
        number = None
    if number is None or number.version != 6:
        return datetime.fromisoformat(otherwise)
    ticks = number.int >> 80 << 12 | number.int >> 64 & 0xFFF
    return _GREGORIAN + timedelta(microseconds=ticks // 10)


def checkpoint_row(place: Place, **values: Any) -> Document:
    return {
        "id": place.key,
        "conversation_id": place.owner,
        "thread_id": place.thread,
        "memory_id": place.line,
        "checkpoint_ns": place.namespace,
        "checkpoint_id": place.id,
        **values,
    }


def channel_key(place: Place, channel: str, version: Any) -> str:
    # As JSON, a version that is a text is another one than a number.
    return key_of(place.thread, place.namespace, channel, json.dumps(version))


def channel_row(place: Place, channel: str, version: Any, value: list[str]) -> Document:
    return {
        "id": channel_key(place, channel, version),
        "conversation_id": place.owner,
        "thread_id": place.thread,
        "checkpoint_ns": place.namespace,
        "channel": channel,
        "version": version,
        "value": value,
    }


def write_row(place: Place, task: str, index: int, **values: Any) -> Document:
    return {
        "id": key_of(place.thread, place.namespace, place.id or "", task, str(index)),
        "conversation_id": place.owner,
        "thread_id": place.thread,
        "memory_id": place.key,
        "checkpoint_ns": place.namespace,
        "checkpoint_id": place.id,
        "task_id": task,
        "index": index,
        **values,
    }


def copied(row: Mapping[str, Any], store: StoreSpec, thread: str) -> Document:
    """Return the row of a thread as one of another thread."""
    place = place_in(row)._replace(thread=thread)
    if store is CHANNELS:
        return channel_row(place, row["channel"], row["version"], row["value"])
    if store is WRITES:
        kept = {name: row[name] for name in ("task_path", "channel", "value")}
        return write_row(place, row["task_id"], row["index"], **kept)
    return checkpoint_row(
        place, **{name: row[name] for name in ("timestamp", "parent_id", "checkpoint", "versions", "metadata")}
    )


def channel_keys(row: Mapping[str, Any], channels: Iterable[str] | None = None) -> dict[str, str]:
    """Return the key of the value of each channel of a checkpoint, or of some, that there may be."""
    versions: dict[str, Any] = row["versions"]
    names = versions if channels is None else [name for name in channels if name in versions]
    place = place_in(row)
    return {name: channel_key(place, name, versions[name]) for name in names}


def by_turn(write: Mapping[str, Any]) -> tuple[str, str, int]:
    """Return what the writes of a step are sorted by: as the tasks were applied."""
    return write["task_path"], write["task_id"], write["index"]
