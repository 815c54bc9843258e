"""LangGraph's checkpointer: the state of each thread after each step, so that a graph goes on where it was."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    PendingWrite,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from memorizz.errors import ConfigurationError, quoted
from memorizz.integrations._providers import in_thread, key_of, made_again
from memorizz.integrations.langgraph import _chains, _rows
from memorizz.integrations.langgraph._opened import Opened
from memorizz.integrations.langgraph._rows import CHANNELS, CHECKPOINTS, WRITES, Place
from memorizz.memory_provider.options import MAX_LIMIT, Document

_PAGE = 100


class MemorizzSaver(Opened, BaseCheckpointSaver[str]):
    """Keep the checkpoints of graphs in PostgreSQL.

    source: a connection string, a PostgreSQLConfig, or a provider on the sync API, which is left open; None is the
        server that the environment names, or the embedded one.
    serde: how values become bytes, JsonPlusSerializer where none is given; see EncryptedSerializer of LangGraph.

    Every method has its async twin on the same object, which may be used by several threads and event loops at once.
    A thread's id has up to 1,024 bytes.
    """

    def __init__(self, source: object = None, *, serde: SerializerProtocol | None = None) -> None:
        super().__init__(serde=serde)
        self._set_up(source, CHECKPOINTS, CHANNELS, WRITES)

    # --- reading --------------------------------------------------------------------------------------------------

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint that a config names, or the newest of its thread and namespace, or None."""
        row = self._row(_rows.place_of(config))
        return self._tuples([row])[0] if row else None

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Yield checkpoints, the newest first: of a thread, of one namespace of it where the config has one, or all.

        filter: what keys of the metadata must equal. before: a config; leaves out what is not older than that
        checkpoint. limit: None is all of them, 0 is none.
        """
        # No path leads to a key with a dot in it.
        dotted = {name: value for name, value in (filter or {}).items() if "." in name}
        plain = {name: value for name, value in (filter or {}).items() if name not in dotted}
        wanted = _wanted(config, plain, before)
        left, seen = limit, 0
        while left is None or left > 0:
            size = _PAGE if left is None or dotted else min(_PAGE, left)
            page = self.provider.retrieve_by_query(wanted, CHECKPOINTS.name, size, order_by="-timestamp", offset=seen)
            found = [row for row in page if all(row["metadata"].get(name) == dotted[name] for name in dotted)][:left]
            yield from self._tuples(found)
            left = None if left is None else left - len(found)
            seen += len(page)
            if len(page) < size:
                return

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return, for each channel, the writes since its last kept value, the oldest first, and that value."""
        history = _chains.History(channels)
        target = self._row(_rows.place_of(config)) if channels else None
        for chain in _chains.ancestors(self.provider, target) if target else ():
            values, writes = self._of(chain, channels)
            history.add(chain, values, writes)
            if history.complete:
                break
        return {channel: self._history(*history.of(channel)) for channel in channels}

    def _history(self, writes: Iterable[Document], seed: Any) -> DeltaChannelHistory:
        found: DeltaChannelHistory = {"writes": [self._write(row) for row in writes]}
        if seed is not None:
            found["seed"] = _rows.unpacked(self.serde, seed)
        return found

    def _row(self, place: Place) -> Document | None:
        if place.id is not None:
            return self.provider.retrieve_by_id(place.key, CHECKPOINTS.name)
        newest = self.provider.retrieve_by_query({"memory_id": place.line}, CHECKPOINTS.name, order_by="-timestamp")
        return newest[0] if newest else None

    def _of(
        self, rows: Sequence[Document], channels: Sequence[str] | None = None
    ) -> tuple[dict[str, Any], dict[str, list[Document]]]:
        """Return what belongs to checkpoints, or to some of their channels: values by key, writes by checkpoint."""
        keys = sorted({key for row in rows for key in _rows.channel_keys(row, channels).values()})
        wanted: dict[str, Any] = {"memory_id": {"$in": [row["id"] for row in rows]}}
        if channels is not None:
            wanted["channel"] = {"$in": [*channels]}
        values = self.provider.retrieve_by_query({"id": {"$in": keys}}, CHANNELS.name, MAX_LIMIT)
        written = self.provider.retrieve_by_query(wanted, WRITES.name, MAX_LIMIT)
        writes: dict[str, list[Document]] = {}
        for row in sorted(written, key=_rows.by_turn):
            writes.setdefault(row["memory_id"], []).append(row)
        return {row["id"]: row["value"] for row in values}, writes

    def _tuples(self, rows: Sequence[Document]) -> list[CheckpointTuple]:
        if not rows:
            return []
        values, writes = self._of(rows)
        return [self._tuple(row, values, writes.get(row["id"], [])) for row in rows]

    def _tuple(self, row: Document, values: Mapping[str, Any], writes: Iterable[Document]) -> CheckpointTuple:
        checkpoint: Checkpoint = _rows.unpacked(self.serde, row["checkpoint"])
        checkpoint["channel_values"] = {
            channel: _rows.unpacked(self.serde, values[key])
            for channel, key in _rows.channel_keys(row).items()
            if key in values
        }
        place = _rows.place_in(row)
        parent = row["parent_id"]
        return CheckpointTuple(
            place.config,
            checkpoint,
            row["metadata"],
            place._replace(id=parent).config if parent else None,
            [self._write(write) for write in writes],
        )

    def _write(self, row: Document) -> PendingWrite:
        return row["task_id"], row["channel"], _rows.unpacked(self.serde, row["value"])

    # --- writing --------------------------------------------------------------------------------------------------

    @made_again
    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Keep a checkpoint behind the one that the config names, with the values of the channels that are new.

        Of the config and the metadata only plain values are kept. Return the config that names the checkpoint.
        """
        parent = _rows.place_of(config)
        place = parent._replace(id=checkpoint["id"])
        kept = {**checkpoint}
        values = cast("dict[str, Any]", kept.pop("channel_values"))
        channels = [
            _rows.channel_row(place, name, version, _rows.packed(self.serde, values[name]))
            for name, version in new_versions.items()
            if name in values
        ]
        row = _rows.checkpoint_row(
            place,
            timestamp=_rows.time_of(checkpoint["id"], checkpoint["ts"]),
            parent_id=parent.id,
            checkpoint=_rows.packed(self.serde, kept),
            versions=checkpoint["channel_versions"],
            metadata=get_serializable_checkpoint_metadata(config, metadata),
        )
        with self.provider.transaction() as transaction:
            transaction.store_many(channels, CHANNELS.name)
            transaction.store(row, CHECKPOINTS.name)
        return place.config

    @made_again
    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Keep what a task has written after the checkpoint that the config names.

        A write that is there already stays as it was, but for errors, interrupts and the like, which are replaced.
        """
        place = _rows.place_of(config)
        if place.id is None:
            raise ConfigurationError("config has no checkpoint_id: writes belong to a checkpoint")
        with self.provider.transaction() as transaction:
            for number, (channel, value) in enumerate(writes):
                index = WRITES_IDX_MAP.get(channel, number)
                kept = {"task_path": task_path, "channel": channel, "value": _rows.packed(self.serde, value)}
                row = _rows.write_row(place, task_id, index, **kept)
                transaction.store(row, WRITES.name, if_absent=index >= 0)

    def get_next_version(self, current: str | None, channel: None) -> str:
        """Return the version after one: they sort by number, and those of two branches differ."""
        number = int(str(current).partition(".")[0]) if current is not None else 0
        return f"{number + 1:032}.{random.random():.16f}"  # noqa: S311 - no secret

    # --- deleting and copying -------------------------------------------------------------------------------------

    def delete_thread(self, thread_id: str) -> None:
        """Delete everything of a thread."""
        self._delete_threads([thread_id])

    def prune(
        self, thread_ids: Sequence[str], *, strategy: Literal["keep_latest", "delete"] | str = "keep_latest"
    ) -> None:
        """Keep the newest checkpoint of each namespace of some threads; with strategy="delete", none.

        What a delta channel of it is rebuilt from is kept too: its ancestors back to the last value that was kept.
        """
        if strategy == "delete":
            return self._delete_threads(thread_ids)
        if strategy != "keep_latest":
            raise ConfigurationError(f"strategy={quoted(strategy)}: expected 'keep_latest' or 'delete'")
        for thread in thread_ids:
            rows = self._thread(key_of(str(thread)))
            newest = {row["memory_id"]: row for row in sorted(rows, key=lambda row: row["checkpoint_id"])}
            self._keep(rows, [*newest.values()])
        return None

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints that some runs have made, with their writes.

        One that a delta channel of another run's checkpoint is rebuilt from is kept.
        """
        runs = {*map(str, run_ids)}
        wanted = {"metadata.run_id": {"$in": sorted(runs)}}
        for owner in {row["conversation_id"] for row in self.provider.iterate(CHECKPOINTS.name, wanted)}:
            rows = self._thread(owner)
            self._keep(rows, [row for row in rows if row["metadata"].get("run_id") not in runs])

    @made_again
    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy everything of a thread to another one."""
        source, target = str(source_thread_id), str(target_thread_id)
        if source == target:
            return
        with self.provider.transaction() as transaction:
            for store in (CHANNELS, WRITES, CHECKPOINTS):
                rows = transaction.iterate(store.name, {"conversation_id": key_of(source)})
                transaction.store_many((_rows.copied(row, store, target) for row in rows), store.name)

    def _thread(self, owner: str) -> list[Document]:
        return [*self.provider.iterate(CHECKPOINTS.name, {"conversation_id": owner})]

    @made_again
    def _delete_threads(self, threads: Sequence[str]) -> None:
        wanted = {"conversation_id": {"$in": [key_of(str(thread)) for thread in threads]}}
        with self.provider.transaction() as transaction:
            for store in (CHECKPOINTS, CHANNELS, WRITES):
                transaction.delete(store.name, wanted)

    @made_again
    def _keep(self, rows: Sequence[Document], wanted: Sequence[Document]) -> None:
        """Delete the other checkpoints of a thread, with what belongs to them alone."""
        deltas = _chains.delta_channels(rows)
        kept_values: set[str] = set()
        if deltas and len(wanted) < len(rows):
            kept_values = {*self._of(rows, sorted(deltas))[0]}
        kept = _chains.needed(rows, wanted, deltas, kept_values)
        gone = [row for row in rows if row["id"] not in kept]
        if not gone:
            return
        still = {key for row in rows if row["id"] in kept for key in _rows.channel_keys(row).values()}
        values = {key for row in gone for key in _rows.channel_keys(row).values()} - still
        ids = [row["id"] for row in gone]
        with self.provider.transaction() as transaction:
            transaction.delete(CHECKPOINTS.name, {"id": {"$in": ids}})
            transaction.delete(WRITES.name, {"memory_id": {"$in": ids}})
            transaction.delete(CHANNELS.name, {"id": {"$in": sorted(values)}})

    # --- async ----------------------------------------------------------------------------------------------------

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Do what `get_tuple` does."""
        return await in_thread(self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Do what `list` does."""
        found = self.list(config, filter=filter, before=before, limit=limit)
        while (each := await in_thread(next, found, None)) is not None:
            yield each

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Do what `put` does."""
        return await in_thread(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Do what `put_writes` does."""
        await in_thread(self.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        """Do what `delete_thread` does."""
        await in_thread(self.delete_thread, thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Do what `delete_for_runs` does."""
        await in_thread(self.delete_for_runs, run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Do what `copy_thread` does."""
        await in_thread(self.copy_thread, source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Do what `prune` does."""
        await in_thread(self.prune, thread_ids, strategy=strategy)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Do what `get_delta_channel_history` does."""
        return await in_thread(self.get_delta_channel_history, config=config, channels=channels)


def _wanted(
    config: RunnableConfig | None, metadata: Mapping[str, Any], before: RunnableConfig | None
) -> dict[str, Any]:
    wanted: dict[str, Any] = {f"metadata.{name}": {"$eq": value} for name, value in metadata.items()}
    if config is not None:
        place = _rows.place_of(config)
        wanted["conversation_id"] = place.owner
        if "checkpoint_ns" in config.get("configurable", {}):
            wanted["memory_id"] = place.line
        if place.id is not None:
            wanted["checkpoint_id"] = place.id
    if before is not None and (end := before.get("configurable", {}).get("checkpoint_id")):
        wanted = {"$and": [wanted, {"checkpoint_id": {"$lt": str(end)}}]}
    return wanted
