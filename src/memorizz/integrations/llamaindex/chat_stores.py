"""LlamaIndex's stores of chats: one for its buffers, and one for its Memory. They share what they keep."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Self

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseComponent
from llama_index.core.storage.chat_store.base import BaseChatStore
from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore, MessageStatus

from memorizz.integrations._providers import in_thread, key_of, made_again, to_json
from memorizz.integrations.llamaindex._kept import Kept
from memorizz.memory_provider.base import MemoryOperations
from memorizz.memory_provider.options import MAX_LIMIT, Document
from memorizz.memory_provider.stores import StoreSpec

MESSAGES = StoreSpec("llamaindex_messages", index="none", embedded=False, memories=False)
# A document for each chat, which whoever changes it locks: what is added at once stands together.
CHATS = StoreSpec("llamaindex_chats", index="none", embedded=False, memories=False)

_ACTIVE = {"status": MessageStatus.ACTIVE.value}


class _Chats(Kept):
    """What both stores do, blocking. Messages are in the order of adding."""

    def __init__(self, source: object) -> None:
        super().__init__(source, CHATS, MESSAGES)

    def read(
        self, key: str, status: MessageStatus | None = None, limit: int | None = None, offset: int | None = None
    ) -> list[ChatMessage]:
        most = MAX_LIMIT if limit is None else limit
        return _messages(_read(self.provider.memory(key_of(key)), _of(status), most, offset or 0))

    def count(self, key: str, status: MessageStatus | None) -> int:
        return self.provider.memory(key_of(key)).count(MESSAGES.name, _of(status))

    @made_again
    def add(self, key: str, messages: Sequence[ChatMessage], status: MessageStatus, *, replace: bool = False) -> None:
        with self.provider.memory(key_of(key)).transaction() as tx:
            _lock(tx, key)
            if replace:
                tx.delete_all(MESSAGES.name)
            tx.store_many([_document(each, status) for each in messages], MESSAGES.name)

    @made_again
    def remove(self, key: str, status: MessageStatus | None = None) -> list[ChatMessage] | None:
        """Delete a chat's messages, and the chat if none is left; return them, None where there was no chat."""
        with self.provider.memory(key_of(key)).transaction() as tx:
            if tx.retrieve_by_id(key_of(key), CHATS.name) is None:
                return None
            _lock(tx, key)
            found = _read(tx, _of(status))
            tx.delete(MESSAGES.name, {"id": {"$in": [each["id"] for each in found]}})
            if tx.count(MESSAGES.name) == 0:
                tx.delete_by_id(key_of(key), CHATS.name)
            return _messages(found)

    @made_again
    def remove_at(self, key: str, idx: int) -> ChatMessage | None:
        with self.provider.memory(key_of(key)).transaction() as tx:
            if tx.retrieve_by_id(key_of(key), CHATS.name) is None:
                return None
            _lock(tx, key)
            found = _read(tx, {})
            if not -len(found) <= idx < len(found):
                return None
            tx.delete_by_id(found[idx]["id"], MESSAGES.name)
            return _messages([found[idx]])[0]

    @made_again
    def take_oldest(self, key: str, n: int, *, archive: bool) -> list[ChatMessage]:
        with self.provider.memory(key_of(key)).transaction() as tx:
            if tx.retrieve_by_id(key_of(key), CHATS.name) is None:
                return []
            _lock(tx, key)
            found = _read(tx, _ACTIVE, n)
            these = {"id": {"$in": [each["id"] for each in found]}}
            if archive:
                tx.update(MESSAGES.name, these, {"status": MessageStatus.ARCHIVED.value})
            else:
                tx.delete(MESSAGES.name, these)
            return _messages(found)

    def keys(self) -> list[str]:
        return [json.loads(each["key"]) for each in self.provider.iterate(CHATS.name)]


def _of(status: MessageStatus | None) -> dict[str, Any]:
    return {} if status is None else {"status": MessageStatus(status).value}


def _lock(tx: MemoryOperations, key: str) -> None:
    tx.store({"id": key_of(key), "key": json.dumps(key)}, CHATS.name)


def _read(memory: MemoryOperations, where: dict[str, Any], limit: int = MAX_LIMIT, offset: int = 0) -> list[Document]:
    return memory.retrieve_by_query(where, MESSAGES.name, limit, order_by="created_at", offset=offset)


def _document(message: ChatMessage, status: MessageStatus) -> Document:
    return {"status": status.value, "message": to_json(message.model_dump(mode="json"), "message")}


def _messages(documents: Sequence[Document]) -> list[ChatMessage]:
    # Not by pydantic's reader of JSON, which refuses half of a surrogate pair, that a text cut in two ends with.
    return [ChatMessage.model_validate(json.loads(each["message"])) for each in documents]


class _KeepsChats(BaseComponent):
    """What keeps chats with a provider of its own, or with one that is given."""

    _chats: _Chats = PrivateAttr()

    def __init__(self, source: object = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._chats = _Chats(source)

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex writes down."""
        return cls.__name__

    def close(self) -> None:
        """Close the provider, unless it was given; twice is fine."""
        self._chats.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class MemorizzChatStore(_KeepsChats, BaseChatStore):
    """Keep chats for `ChatMemoryBuffer(chat_store=..., chat_store_key=...)`, and whatever else takes a chat store.

    source: a provider on the sync API, a connection string or a PostgreSQLConfig; None is the server that the
        environment names, or the embedded one. What is opened here, `close` closes.

    A key is any text; another key's messages are never seen, changed or deleted. Raises InvalidDocument for a message
    that JSON cannot hold, and what opening a provider raises.
    """

    def set_messages(self, key: str, messages: list[ChatMessage]) -> None:
        """Put messages in the place of those of a key, all or none."""
        self._chats.add(key, messages, MessageStatus.ACTIVE, replace=True)

    def get_messages(self, key: str) -> list[ChatMessage]:
        """Return the messages of a key, the oldest first."""
        return self._chats.read(key)

    def add_message(self, key: str, message: ChatMessage) -> None:
        """Add a message to a key."""
        self._chats.add(key, [message], MessageStatus.ACTIVE)

    def delete_messages(self, key: str) -> list[ChatMessage] | None:
        """Delete the messages of a key and return them, None where there is no such key."""
        return self._chats.remove(key)

    def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Delete the message at a place, counted from 0, and return it; None where there is none."""
        return self._chats.remove_at(key, idx)

    def delete_last_message(self, key: str) -> ChatMessage | None:
        """Delete the newest message and return it, to one caller only; None where there is none."""
        return self._chats.remove_at(key, -1)

    def get_keys(self) -> list[str]:
        """Return the keys that have been written to, in the order in which they were first."""
        return self._chats.keys()


class MemorizzMemoryChatStore(_KeepsChats, AsyncDBChatStore):
    """Keep the messages of LlamaIndex's Memory: `Memory.from_defaults(session_id, chat_store=...)`.

    What it keeps is what a MemorizzChatStore has under the same key. The arguments and errors are those of that.
    """

    async def get_messages(
        self,
        key: str,
        status: MessageStatus | None = MessageStatus.ACTIVE,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[ChatMessage]:
        """Return the messages of a key with a status, the oldest first; None are all, 0 none."""
        return await in_thread(self._chats.read, key, status, limit, offset)

    async def count_messages(self, key: str, status: MessageStatus | None = MessageStatus.ACTIVE) -> int:
        """Return how many messages a key has with a status."""
        return await in_thread(self._chats.count, key, status)

    async def add_message(self, key: str, message: ChatMessage, status: MessageStatus = MessageStatus.ACTIVE) -> None:
        """Add a message to a key."""
        await in_thread(self._chats.add, key, [message], status)

    async def add_messages(
        self, key: str, messages: list[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Add messages to a key, all or none: no other's stand between them."""
        await in_thread(self._chats.add, key, messages, status)

    async def set_messages(
        self, key: str, messages: list[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Put messages in the place of all of a key, whatever their status, all or none."""
        await in_thread(self._chats.add, key, messages, status, replace=True)

    async def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Delete the message at a place, counted from 0 among all of a key, and return it; None where there is none."""
        return await in_thread(self._chats.remove_at, key, idx)

    async def delete_messages(self, key: str, status: MessageStatus | None = None) -> None:
        """Delete the messages of a key with a status; None are all."""
        await in_thread(self._chats.remove, key, status)

    async def delete_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Delete the oldest n active messages and return them, to one caller only."""
        return await in_thread(self._chats.take_oldest, key, n, archive=False)

    async def archive_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Archive the oldest n active messages and return them, to one caller only."""
        return await in_thread(self._chats.take_oldest, key, n, archive=True)

    async def get_keys(self) -> list[str]:
        """Return the keys that have been written to, in the order in which they were first."""
        return await in_thread(self._chats.keys)
