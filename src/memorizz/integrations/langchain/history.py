"""LangChain's chat message history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage, message_to_dict, messages_from_dict

from memorizz.integrations._providers import in_thread, key_of
from memorizz.integrations.langchain._store import Stored
from memorizz.memory_provider.options import MAX_LIMIT, checked_limit
from memorizz.memory_provider.stores import StoreSpec


class MemorizzChatMessageHistory(Stored, BaseChatMessageHistory):
    """Keep the messages of one session in PostgreSQL, in the order in which they were added.

    session_id: any text; another session's messages are never seen, changed or deleted.
    source: a provider on the sync API, which many sessions share, a connection string or a PostgreSQLConfig; None is
        the server that the environment names, or the embedded one.
    limit: return the newest of them only; None all, 0 none. Nothing is deleted by it.

    A message that has an id and is added again replaces the one of that id, and keeps its place. Raises InvalidDocument
    for what JSON cannot hold, with the way to it.
    """

    _in_memories = True

    def __init__(
        self, session_id: str, source: object = None, *, store: str = "langchain_messages", limit: int | None = None
    ) -> None:
        super().__init__()
        self.session_id = session_id
        self.limit = MAX_LIMIT if limit is None else checked_limit(limit)
        self.store = store
        self._open(source, StoreSpec(store, index="none", label="role", timeline=True, embedded=False))
        self._memory = self.provider.memory(key_of(session_id))

    @property
    def messages(self) -> list[BaseMessage]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The messages of the session, the oldest first."""
        newest = self._memory.retrieve_by_query({}, self.store, self.limit, order_by="-timestamp")
        return messages_from_dict([found["message"] for found in reversed(newest)])

    async def aget_messages(self) -> list[BaseMessage]:
        """Return the messages, awaited."""
        return await in_thread(lambda: self.messages)

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Add messages, all or none."""
        self._memory.store_many([self._document(message) for message in messages], self.store)

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """add_messages, awaited."""
        await in_thread(self.add_messages, messages)

    def clear(self) -> None:
        """Delete the messages of the session."""
        self._memory.delete_all(self.store)

    async def aclear(self) -> None:
        """Clear, awaited."""
        await in_thread(self.clear)

    def _document(self, message: BaseMessage) -> dict[str, Any]:
        document = {"role": message.type, "content": str(message.text), "message": message_to_dict(message)}
        if message.id is not None:
            # Ids of messages are unique in a session only.
            document["id"] = key_of(self.session_id, message.id)
        return document
