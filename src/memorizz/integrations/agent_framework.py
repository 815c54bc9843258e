"""Providers of Microsoft's Agent Framework: the history of a session, and a memory over all sessions.

Needs the extra `agent-framework`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from memorizz.embeddings.base import Embedder
from memorizz.errors import ConfigurationError
from memorizz.integrations._providers import Opened, in_thread, key_of, made_again, missing, to_json
from memorizz.memory_provider.base import MemoryOperations, MemoryProvider
from memorizz.memory_provider.options import MAX_LIMIT, Document, checked_limit
from memorizz.memory_provider.stores import StoreSpec

try:
    from agent_framework import AgentSession, ContextProvider, HistoryProvider, Message, SessionContext
except ImportError as error:
    raise missing(error, "agent-framework") from error

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql import PostgreSQLConfig

MESSAGES = StoreSpec("agent_framework_messages", index="none", embedded=False, memories=False)
# A document for each session, which whoever adds to it locks: what is added at once stands together.
SESSIONS = StoreSpec("agent_framework_sessions", index="none", embedded=False, memories=False)
MEMORIES = StoreSpec("agent_framework_memories", label="role", timeline=True)

# As the framework's own providers introduce what they have found.
PROMPT = "## Memories\nWhat was said in earlier conversations, the most relevant first:"


class MemorizzHistoryProvider(Opened, HistoryProvider):
    """Keep the messages of each session: `Agent(..., context_providers=[MemorizzHistoryProvider(provider)])`.

    One object may serve several sessions, threads and event loops at once.

    source: a provider on the sync API, a connection string or a PostgreSQLConfig; None is the server that the
        environment names, or the embedded one. What is opened here, `close` closes.
    source_id: the name of this provider among those of an agent.
    limit: give the model the newest of them only; None all, 0 none. Nothing is deleted by it.
    load_messages, store_inputs, store_context_messages, store_context_from, store_outputs: as in HistoryProvider.

    Raises ConfigurationError for a limit that is no number of documents, and for a call without a session; what opening
    a provider raises.
    """

    _in_memories = True

    def __init__(
        self,
        source: MemoryProvider | PostgreSQLConfig | str | None = None,
        *,
        source_id: str = "memorizz_history",
        limit: int | None = None,
        load_messages: bool = True,
        store_inputs: bool = True,
        store_context_messages: bool = False,
        store_context_from: set[str] | None = None,
        store_outputs: bool = True,
    ) -> None:
        super().__init__(
            source_id,
            load_messages=load_messages,
            store_inputs=store_inputs,
            store_context_messages=store_context_messages,
            store_context_from=store_context_from,
            store_outputs=store_outputs,
        )
        self.limit = limit if limit is None else checked_limit(limit)
        self._open(source, SESSIONS, MESSAGES)

    async def get_messages(
        self, session_id: str | None, *, state: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Message]:
        """Return the messages of a session, the oldest first."""
        most = MAX_LIMIT if self.limit is None else self.limit
        found = await in_thread(_newest, self._memory(session_id), most)
        messages = [Message.from_dict(each) for each in found]
        # A result whose call the limit has cut off is an error to models.
        while self.limit is not None and messages and messages[0].role == "tool":
            del messages[0]
        return messages

    async def save_messages(
        self,
        session_id: str | None,
        messages: Sequence[Message],
        *,
        state: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Add messages to a session, all or none: no other's stand between them.

        One with a `message_id` that is there replaces it, in its place. Those without, with which a client repeats the
        end of the history, are not added again; a question that is asked again is.
        """
        memory = self._memory(session_id)
        if messages:
            await in_thread(_added, memory, str(session_id), [message.to_dict() for message in messages])

    def _memory(self, session_id: str | None) -> MemoryProvider:
        if session_id is None:
            raise ConfigurationError(
                "the messages of no session: expected a session_id; run the agent with session=agent.create_session()"
            )
        return self.provider.memory(key_of(session_id))


def _newest(memory: MemoryOperations, limit: int) -> list[dict[str, Any]]:
    found = memory.retrieve_by_query({}, MESSAGES.name, limit, order_by="-created_at")
    return [json.loads(each["message"]) for each in reversed(found)]


@made_again
def _added(memory: MemoryProvider, session_id: str, messages: list[dict[str, Any]]) -> None:
    with memory.transaction() as tx:
        tx.store({"id": key_of(session_id)}, SESSIONS.name)
        stored = _newest(tx, min(len(messages), MAX_LIMIT))
        tx.store_many([_document(session_id, each) for each in messages[_repeated(stored, messages) :]], MESSAGES.name)


def _document(session_id: str, message: dict[str, Any]) -> Document:
    document: Document = {"message": to_json(message, "message")}
    if message.get("message_id") is not None:
        # Ids of messages are unique in a session only.
        document["id"] = key_of(session_id, str(message["message_id"]))
    return document


def _repeated(stored: list[dict[str, Any]], given: list[dict[str, Any]]) -> int:
    """Return with how many of the given messages those that are stored are repeated: all, or their end.

    stored: the newest, as many as are given, so that fewer are all. A client may put something before all of them.
    """
    had, new = ([(each["role"], each.get("contents")) for each in some] for some in (stored, given))
    places = range(len(new) - len(had) + 1) if had else ()
    if first := next((place for place in places if new[place : place + len(had)] == had), 0):
        return first + len(had)
    for number in range(min(len(had), len(new)), 0, -1):
        if had[-number:] == new[:number] and (number > 1 or given[0]["role"] != "user"):
            return number
    return 0


class MemorizzContextProvider(Opened, ContextProvider):
    """Give an agent a memory over all of its sessions: what was said in others is put before the model, where it fits.

    `Agent(..., context_providers=[MemorizzContextProvider("ada", provider)])`. After each run what was asked and
    answered is stored. One object may serve several sessions, threads and event loops at once.

    memory_id: whose memory it is: a text, or a function of the AgentSession that returns it. The model has no say in
        it.
    source: a provider on the sync API, a connection string or a PostgreSQLConfig; None is the server that the
        environment names, or the embedded one. What is opened here, `close` closes.
    embedder: for a provider that is opened here; without one, memories are found by their words.
    source_id: the name of this provider among those of an agent.
    limit: how many memories the model is given at most; 0 none.
    prompt: what stands before them.
    store_inputs, store_outputs: whether what was asked, and what was answered, is stored.

    Raises ConfigurationError for a memory_id that is neither, or a limit that is no number of documents; what opening
    a provider raises. A search or a write that fails raises in the agent's run.
    """

    _in_memories = True

    def __init__(
        self,
        memory_id: str | Callable[[AgentSession], str],
        source: MemoryProvider | PostgreSQLConfig | str | None = None,
        *,
        embedder: Embedder | str | Sequence[Embedder | str] | None = None,
        source_id: str = "memorizz_memory",
        limit: int = 5,
        prompt: str = PROMPT,
        store_inputs: bool = True,
        store_outputs: bool = True,
    ) -> None:
        super().__init__(source_id)
        if not callable(memory_id):
            key_of(memory_id)
        self._memory_id = memory_id
        self.limit = checked_limit(limit)
        self.prompt, self.store_inputs, self.store_outputs = prompt, store_inputs, store_outputs
        self._open(source, MEMORIES, embedder=embedder)

    async def before_run(
        self, *, agent: Any, session: AgentSession, context: SessionContext, state: dict[str, Any]
    ) -> None:
        """Put what other sessions have said of the question before the model."""
        question = "\n".join(each.text for each in context.input_messages if each.role == "user")
        if not question.strip() or self.limit == 0:
            return
        # What this session has said is in its history.
        others = {"conversation_id": {"$ne": key_of(session.session_id)}}
        memory = self._memory_of(session)
        found = await in_thread(memory.retrieve_by_query, question, MEMORIES.name, self.limit, where=others)
        if found:
            lines = [f"- {each['role']}, {each['created_at']:%Y-%m-%d}: {each['content']}" for each in found]
            message = Message("user", ["\n".join([self.prompt, *lines])])
            sessions = [each["session_id"] for each in found]
            context.extend_messages(self, [message], origin_session_ids=sessions)

    async def after_run(
        self, *, agent: Any, session: AgentSession, context: SessionContext, state: dict[str, Any]
    ) -> None:
        """Store what was asked and answered; what is there already stays one memory."""
        said = [*context.input_messages] if self.store_inputs else []
        if self.store_outputs and context.response is not None:
            said += context.response.messages
        memory = self._memory_of(session)
        whose = memory.scope.memory
        documents: list[Document] = [
            {
                "id": _digest(whose, session.session_id, message.message_id or [message.role, message.text]),
                "role": message.role,
                "content": message.text,
                "conversation_id": key_of(session.session_id),
                "session_id": session.session_id,
            }
            for message in said
            if message.role in ("user", "assistant") and message.text.strip()
        ]
        if documents:
            await in_thread(memory.store_many, documents, MEMORIES.name)

    def _memory_of(self, session: AgentSession) -> MemoryProvider:
        return self.provider.memory(key_of(self._memory_id(session) if callable(self._memory_id) else self._memory_id))


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
