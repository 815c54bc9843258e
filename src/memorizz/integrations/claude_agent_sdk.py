"""A session store of the Claude Agent SDK: the transcripts of its sessions, to be resumed on any machine.

Needs the extra `claude-agent-sdk`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from memorizz.integrations._providers import Opened, each_of, in_thread, key_of, made_again, missing, to_json
from memorizz.memory_provider.base import Call, MemoryOperations, MemoryProvider
from memorizz.memory_provider.options import MAX_LIMIT, Document
from memorizz.memory_provider.stores import StoreSpec

try:
    from claude_agent_sdk import SessionStore, fold_session_summary
    from claude_agent_sdk.types import (
        SessionKey,
        SessionListSubkeysKey,
        SessionStoreEntry,
        SessionStoreListEntry,
        SessionSummaryEntry,
    )
except ImportError as error:
    raise missing(error, "claude-agent-sdk") from error

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql import PostgreSQLConfig

# A transcript is a row here, with the summary of its session: who appends locks it, so that others wait their turn.
TRANSCRIPTS = StoreSpec("claude_agent_transcripts", index="none", embedded=False, memories=False)
ENTRIES = StoreSpec("claude_agent_entries", index="none", embedded=False, memories=False)


class MemorizzSessionStore(Opened, SessionStore):
    """Keep the transcripts of sessions; give it as `ClaudeAgentOptions(session_store=)`.

    One object may serve several threads and event loops at once.

    source: a provider on the sync API, a connection string or a PostgreSQLConfig; None is the server that the
        environment names, or the embedded one. What is opened here, `close` closes.

    Raises what opening a provider raises.
    """

    def __init__(self, source: MemoryProvider | PostgreSQLConfig | str | None = None) -> None:
        self._open(source, TRANSCRIPTS, ENTRIES)

    async def append(self, key: SessionKey, entries: list[SessionStoreEntry]) -> None:
        """Append entries to a transcript, and fold them into the session's summary: both or neither.

        An entry whose `uuid` the transcript has is there already, as after a retry, and is left out; one without is
        always appended. Raises InvalidDocument for what JSON cannot hold, and what is no dict.
        """
        await in_thread(self._append, key, each_of(entries, dict, "entries"))

    async def load(self, key: SessionKey) -> list[SessionStoreEntry] | None:
        """Return the entries of a transcript in their order; None where it was never written."""
        return await in_thread(self._load, _of(key))

    async def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]:
        """Return the sessions of a project that have a transcript of their own, with the time of the last append."""
        return [
            {"session_id": row["session_id"], "mtime": _milliseconds(row)} for row in await self._sessions(project_key)
        ]

    async def list_session_summaries(self, project_key: str) -> list[SessionSummaryEntry]:
        """Return the summary of each session of a project, as the SDK has folded it."""
        return [
            {"session_id": row["session_id"], "mtime": _milliseconds(row), "data": json.loads(row["summary"])}
            for row in await self._sessions(project_key)
        ]

    async def delete(self, key: SessionKey) -> None:
        """Delete a transcript; with that of a session go those of its subpaths."""
        await in_thread(self._delete, key)

    async def list_subkeys(self, key: SessionListSubkeysKey) -> list[str]:
        """Return the subpaths of a session that have a transcript, in their order."""
        session = key_of(key["project_key"], key["session_id"])
        rows = await in_thread(self._rows, {"conversation_id": session, "subpath": {"$exists": True}})
        return sorted(row["subpath"] for row in rows)

    @made_again
    def _append(self, key: SessionKey, entries: list[SessionStoreEntry]) -> None:
        of = _of(key)
        written = [to_json(entry, f"entries[{place}]") for place, entry in enumerate(entries)]
        ids = [_id_of(of, entry) for entry in entries]
        with self.provider.transaction() as tx:
            # Writing the row locks it, until all is committed.
            tx.store(_row_of(key), TRANSCRIPTS.name)
            row = cast(Document, tx.retrieve_by_id(of, TRANSCRIPTS.name))
            known = _known(tx, ids)
            new: dict[str | int, int] = {}
            for place, id in enumerate(ids):
                if id not in known:
                    new.setdefault(place if id is None else id, place)
            places = list(new.values())
            count: int = row.get("entries", 0)
            grown: dict[str, Any] = {"entries": count + len(places)}
            if not key.get("subpath"):
                grown["summary"] = _folded(row, key, [entries[place] for place in places])
            tx.update_by_id(of, grown, TRANSCRIPTS.name)
            shared = {"memory_id": of, "conversation_id": key_of(key["project_key"], key["session_id"])}
            documents: list[dict[str, Any]] = [
                {**shared, "id": ids[place], "number": count + number, "entry": written[place]}
                for number, place in enumerate(places)
            ]
            tx.store_many(documents, ENTRIES.name)

    def _load(self, of: str) -> list[SessionStoreEntry] | None:
        # In this order: what is appended meanwhile is there whole or not at all.
        transcript, found = self.provider.run_many(
            [
                Call("retrieve_by_id", of, TRANSCRIPTS.name),
                Call("retrieve_by_query", {"memory_id": of}, ENTRIES.name, MAX_LIMIT),
            ]
        )
        if transcript is None:
            return None
        # Not by the time of the transaction: that of one who waited for its turn is older than its turn.
        return [json.loads(row["entry"]) for row in sorted(found, key=lambda row: row["number"])]

    def _rows(self, filter: dict[str, Any]) -> list[Document]:
        return self.provider.retrieve_by_query(filter, TRANSCRIPTS.name, MAX_LIMIT)

    async def _sessions(self, project_key: str) -> list[Document]:
        filter = {"memory_id": key_of(project_key), "subpath": {"$exists": False}}
        return await in_thread(self._rows, filter)

    @made_again
    def _delete(self, key: SessionKey) -> None:
        session = key_of(key["project_key"], key["session_id"])
        with self.provider.transaction() as tx:
            # In the order in which `append` takes them.
            if key.get("subpath"):
                tx.delete_by_id(_of(key), TRANSCRIPTS.name)
                tx.delete(ENTRIES.name, {"memory_id": _of(key)})
            else:
                tx.delete(TRANSCRIPTS.name, {"conversation_id": session})
                tx.delete(ENTRIES.name, {"conversation_id": session})


def _of(key: SessionKey) -> str:
    """Return the id of a transcript, which is the memory_id of its entries; an empty subpath is none."""
    names = [key["project_key"], key["session_id"]]
    if subpath := key.get("subpath"):
        names.append(subpath)
    return key_of(*names)


def _row_of(key: SessionKey) -> dict[str, Any]:
    project, session, subpath = key["project_key"], key["session_id"], key.get("subpath")
    row = {"id": _of(key), "memory_id": key_of(project), "conversation_id": key_of(project, session)}
    return row | {"session_id": session} | ({"subpath": subpath} if subpath else {})


def _id_of(of: str, entry: SessionStoreEntry) -> str | None:
    uuid = cast(object, entry.get("uuid"))
    return key_of(of, uuid) if isinstance(uuid, str) and uuid else None


def _known(tx: MemoryOperations, ids: Sequence[str | None]) -> set[str]:
    """Return which of the entries that have an id are there."""
    given = [id for id in ids if id is not None]
    if not given:
        return set()
    found = tx.retrieve_by_query({"id": {"$in": given}}, ENTRIES.name, MAX_LIMIT)
    return {row["id"] for row in found}


def _folded(row: Document, key: SessionKey, entries: list[SessionStoreEntry]) -> str:
    before: SessionSummaryEntry | None = None
    if "summary" in row:
        before = {"session_id": key["session_id"], "mtime": 0, "data": json.loads(row["summary"])}
    return to_json(fold_session_summary(before, key, entries)["data"], "summary")


def _milliseconds(row: Document) -> int:
    return int(row["updated_at"].timestamp() * 1000)
