"""A memory service of ADK: what was said in sessions, and facts, found by meaning and by words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from google.adk.events import Event
from google.adk.memory import BaseMemoryService
from google.adk.memory.base_memory_service import SearchMemoryResponse
from google.adk.memory.memory_entry import MemoryEntry
from google.adk.sessions import Session
from google.genai.types import Content

from memorizz.embeddings.base import Embedder
from memorizz.errors import InvalidDocument
from memorizz.integrations._providers import Opened, in_thread, key_of, made_again, to_json
from memorizz.integrations.google_adk._json import model_to_plain, to_plain
from memorizz.memory_provider.base import Call, MemoryProvider
from memorizz.memory_provider.options import MAX_LIMIT, Document, checked_limit
from memorizz.memory_provider.stores import StoreSpec

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql import PostgreSQLConfig

# A memory is a document with its text as content, and the whole entry as JSON text.
MEMORIES = StoreSpec("google_adk_memories")
# The ids of what was deleted, for a session is added again and again, whole.
FORGOTTEN = StoreSpec("google_adk_forgotten", index="none", embedded=False, memories=False)

# So many events at once are looked for, embedded and stored.
_BATCH = 1000


class MemorizzMemoryService(Opened, BaseMemoryService):
    """Remember what was said in the sessions of ADK's agents; give it as `Runner(..., memory_service=)`.

    One object may serve several threads and event loops at once. Whose memory it is, the app and the user say, never a
    query.

    source: a provider on the sync API, a connection string or a PostgreSQLConfig; None is the server that the
        environment names, or the embedded one. What is opened here, `close` closes.
    embedder: for a provider that is opened here; without one, memories are found by their words.
    limit: how many memories a search returns at most; None is all that it finds.

    Raises ConfigurationError for a limit out of range, and what opening a provider raises.
    """

    def __init__(
        self,
        source: MemoryProvider | PostgreSQLConfig | str | None = None,
        *,
        embedder: Embedder | Sequence[Embedder] | None = None,
        limit: int | None = 10,
    ) -> None:
        self._limit = MAX_LIMIT if limit is None else checked_limit(limit)
        self._open(source, MEMORIES, FORGOTTEN, embedder=embedder)

    async def add_session_to_memory(self, session: Session) -> None:
        """Add the events of a session that have a text; those that were added before, or deleted since, are left out.

        What was added of the session and is no more among its events stays.
        """
        await self.add_events_to_memory(
            app_name=session.app_name, user_id=session.user_id, events=session.events, session_id=session.id
        )

    async def add_events_to_memory(
        self,
        *,
        app_name: str,
        user_id: str,
        events: Sequence[Event],
        session_id: str | None = None,
        custom_metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Add events that have a text; those of the same session and id are there already, or were deleted.

        `custom_metadata`, any JSON, comes back with each of them. Raises InvalidDocument for what JSON cannot hold.
        """
        names = (app_name, user_id)
        of = names if session_id is None else (*names, session_id)
        documents: dict[str, tuple[str, Document]] = {}
        for place, event in enumerate(events):
            text = _text_of(event.content)
            if event.content is None or not text:
                continue
            entry = MemoryEntry(
                id=event.id,
                content=event.content,
                author=event.author or None,
                timestamp=_time_of(event, f"events[{place}]"),
            )
            document = _document_of(entry, names, custom_metadata, f"events[{place}]")
            document["id"] = key_of(*of, "event", event.id)
            if session_id is not None:
                document["conversation_id"] = key_of(*of)
            documents.setdefault(document["id"], (key_of(*names, event.id), document))
        await in_thread(self._add_new, list(documents.values()))

    async def add_memory(
        self,
        *,
        app_name: str,
        user_id: str,
        memories: Sequence[MemoryEntry],
        custom_metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Add memories, all or none; one whose id is there is put in the place of that one, one without gets an id.

        `custom_metadata` is added to that of each. Raises InvalidDocument for what JSON cannot hold.
        """
        documents: dict[str, Document] = {}
        for place, memory in enumerate(memories):
            entry = memory.model_copy(update={"id": memory.id or str(uuid4())})
            document = _document_of(entry, (app_name, user_id), custom_metadata, f"memories[{place}]")
            documents[document["id"]] = document
        await in_thread(self._put, list(documents.values()))

    async def search_memory(self, *, app_name: str, user_id: str, query: str) -> SearchMemoryResponse:
        """Return the memories of a user that answer a question, the best first; of an empty one none.

        By meaning and words where the provider has an embedder, else by words, of which a memory has at least one.
        """
        memory = self.provider.memory(key_of(app_name, user_id))
        question = _storable(query)
        if not question.strip():
            return SearchMemoryResponse()
        found = await in_thread(memory.retrieve_by_query, question, MEMORIES.name, self._limit)
        return SearchMemoryResponse(memories=[MemoryEntry.model_validate(json.loads(hit["entry"])) for hit in found])

    async def delete_memory(self, *, app_name: str, user_id: str, memory_id: str | None = None) -> None:
        """Delete a memory of a user by the id that a search shows; it does not come back with its session.

        None and an id that is not there delete nothing.
        """
        if memory_id:
            await in_thread(self._delete, key_of(app_name, user_id), key_of(app_name, user_id, memory_id))

    def _add_new(self, documents: list[tuple[str, Document]]) -> None:
        for start in range(0, len(documents), _BATCH):
            batch = documents[start : start + _BATCH]
            # In this order: what is deleted meanwhile is still there, or it is noted already.
            known, forgotten = self.provider.run_many(
                [
                    _ids_among([document["id"] for _, document in batch], MEMORIES),
                    _ids_among([entry_id for entry_id, _ in batch], FORGOTTEN),
                ]
            )
            left_out = {*known, *forgotten}
            new = [document for entry_id, document in batch if left_out.isdisjoint((entry_id, document["id"]))]
            self.provider.store_many(new, MEMORIES.name)

    @made_again
    def _put(self, documents: list[Document]) -> None:
        # Before the transaction, in which a model would be waited for.
        embedded = self.provider.embedded(documents, MEMORIES.name)
        with self.provider.transaction() as tx:
            new: list[Mapping[str, Any]] = []
            for document in embedded:
                where = {"memory_id": document["memory_id"], "entry_id": document["entry_id"]}
                if not tx.update(MEMORIES.name, where, {key: document[key] for key in document if key != "id"}):
                    new.append(document)
            tx.store_many(new, MEMORIES.name)

    @made_again
    def _delete(self, of: str, entry_id: str) -> None:
        with self.provider.transaction() as tx:
            if tx.delete(MEMORIES.name, {"memory_id": of, "entry_id": entry_id}):
                tx.store({"id": entry_id}, FORGOTTEN.name)


def _ids_among(ids: list[str], store: StoreSpec) -> Call:
    return Call("distinct", store.name, "id", {"id": {"$in": ids}})


def _text_of(content: Content | None) -> str:
    """Return what was said in a content: the text of its parts, save the thoughts."""
    parts = [] if content is None else content.parts or []
    return _storable("\n".join(part.text for part in parts if part.text and not part.thought)).strip()


def _time_of(event: Event, path: str) -> str:
    try:
        return datetime.fromtimestamp(event.timestamp, UTC).isoformat()
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidDocument(f"{path}.timestamp", f"{error}; expected seconds since 1970") from None


def _storable(text: str) -> str:
    """Return a text without the characters that no database holds."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


def _document_of(
    entry: MemoryEntry, names: tuple[str, str], custom_metadata: Mapping[str, object] | None, path: str
) -> Document:
    metadata = {**entry.custom_metadata, **(custom_metadata or {})}
    plain = model_to_plain(entry.model_copy(update={"custom_metadata": {}}), path)
    plain["custom_metadata"] = to_plain(metadata, f"{path}.custom_metadata")
    entry_id = key_of(*names, entry.id or "")
    return {
        "id": entry_id,
        "memory_id": key_of(*names),
        "entry_id": entry_id,
        "content": _text_of(entry.content) or None,
        "entry": to_json(plain, path),
    }
