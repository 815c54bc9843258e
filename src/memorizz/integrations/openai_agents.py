"""A session of the OpenAI Agents SDK: what a conversation has so far, kept from one run to the next.

Needs the extra `openai-agents`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from memorizz.errors import ConfigurationError
from memorizz.integrations._providers import Opened, each_of, in_thread, key_of, missing, to_json
from memorizz.memory_provider.base import MemoryProvider
from memorizz.memory_provider.options import MAX_LIMIT, Document
from memorizz.memory_provider.stores import StoreSpec

try:
    from agents.memory.session_settings import SessionSettings, coerce_session_settings
except ImportError as error:
    raise missing(error, "openai-agents") from error

if TYPE_CHECKING:
    from agents import RunContextWrapper, TResponseInputItem

    from memorizz.memory_provider.postgresql import PostgreSQLConfig

STORE = StoreSpec("openai_agents_sessions", index="none", embedded=False, memories=False)


class MemorizzSession(Opened):
    """Keep the items of one conversation; give it to `Runner.run(..., session=)`.

    One object may serve several threads and event loops at once, and many may share a provider; what one adds, each
    other one with the same `session_id` reads.

    session_id: any text.
    source: a provider on the sync API, a connection string or a PostgreSQLConfig; None is the server that the
        environment names, or the embedded one. What is opened here, `close` closes.
    session_settings: as the SDK has them, also as a dict; `limit` is what `get_items` returns where it is given none.
    user: is called with the context of a run, and returns whose the conversation is: a session_id of another user is
        another conversation. Then each method needs the wrapper that a run gives.

    Raises ConfigurationError for a session_id that is no text, and what opening a provider raises.
    """

    _in_memories = True
    session_id: str
    session_settings: SessionSettings | None

    def __init__(
        self,
        session_id: str,
        source: MemoryProvider | PostgreSQLConfig | str | None = None,
        *,
        session_settings: SessionSettings | dict[str, Any] | None = None,
        user: Callable[[Any], str] | None = None,
    ) -> None:
        self._key = key_of(session_id)
        self.session_id = session_id
        self.session_settings = SessionSettings() if session_settings is None else _coerced(session_settings)
        self._user = user
        self._open(source, STORE)

    async def get_items(
        self, limit: int | None = None, *, wrapper: RunContextWrapper[Any] | None = None
    ) -> list[TResponseInputItem]:
        """Return the newest `limit` items, oldest first; None is what the settings say, or all, 0 is none.

        Less than 0 is all, as in the SDK's own session.
        """
        if limit is None and self.session_settings is not None:
            # A run may have put a dict there.
            limit = _coerced(self.session_settings).limit
        memory = self._memory_for(wrapper)
        if limit == 0:
            return []
        return await in_thread(self._newest, memory, None if limit is None or limit < 0 else limit)

    async def add_items(
        self, items: Sequence[TResponseInputItem], *, wrapper: RunContextWrapper[Any] | None = None
    ) -> None:
        """Add items, all or none: no other's stand between them.

        Raises InvalidDocument for what JSON cannot hold, and what is no dict.
        """
        memory = self._memory_for(wrapper)
        if added := each_of(items or (), dict, "items"):
            await in_thread(memory.store, _batch(added), STORE.name)

    async def pop_item(self, *, wrapper: RunContextWrapper[Any] | None = None) -> TResponseInputItem | None:
        """Remove the newest item and return it, to one caller only; None where there is none."""
        return await in_thread(self._pop, self._memory_for(wrapper))

    async def clear_session(self, *, wrapper: RunContextWrapper[Any] | None = None) -> None:
        """Remove all items."""
        await in_thread(self._memory_for(wrapper).delete_all, STORE.name)

    def _memory_for(self, wrapper: RunContextWrapper[Any] | None) -> MemoryProvider:
        if self._user is None:
            return self.provider.memory(self._key)
        if wrapper is None:
            raise ConfigurationError(
                "the session belongs to the user of a run, which is not known here: give wrapper=, the run's "
                "RunContextWrapper"
            )
        return self.provider.memory(key_of(self._user(wrapper.context), self.session_id))

    # What is added at once is one document: it is there whole or not at all, and in its order. `left` says how many
    # items it still has, so that of two who take the last one only one finds it as it was.

    def _batches(self, memory: MemoryProvider, most: int) -> list[Document]:
        found = memory.retrieve_by_query({}, STORE.name, most, order_by="-created_at")
        return found[::-1]

    def _newest(self, memory: MemoryProvider, limit: int | None) -> list[TResponseInputItem]:
        batches = self._batches(memory, MAX_LIMIT if limit is None else limit)
        items = [item for batch in batches for item in json.loads(batch["items"])]
        return items if limit is None else items[-limit:]

    def _pop(self, memory: MemoryProvider) -> TResponseInputItem | None:
        while batches := self._batches(memory, 1):
            items = json.loads(batches[0]["items"])
            as_it_was = {"id": batches[0]["id"], "left": len(items)}
            if len(items) == 1:
                taken = memory.delete(STORE.name, as_it_was)
            else:
                taken = memory.update(STORE.name, as_it_was, _batch(items[:-1]))
            if taken:
                return items[-1]
        return None


def _batch(items: list[TResponseInputItem]) -> dict[str, Any]:
    return {"items": to_json(items, "items"), "left": len(items)}


def _coerced(settings: SessionSettings | dict[str, Any]) -> SessionSettings:
    return coerce_session_settings(settings)
