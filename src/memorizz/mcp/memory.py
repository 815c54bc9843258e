"""One memory: what a model may do with it, and nothing outside of it.

A scope is fixed by whoever starts the server. Every call goes through the provider's view of it, so that no filter can
widen it, and an id of another memory is one that does not exist.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, cast
from uuid import UUID, uuid5

from memorizz.errors import ConfigurationError, FilterError, quoted
from memorizz.memory_provider import _documents
from memorizz.memory_provider._documents import CONTENT, EMBEDDING
from memorizz.memory_provider.base import Document, Hits, MemoryProvider
from memorizz.memory_provider.options import StoreName

# What ids are made from: never to be changed, or a key that is used again adds a second memory.
_NAMESPACE = UUID("5a0d7d3e-6f0b-5b7e-9a54-0c1f3a2f9d11")


@dataclass(frozen=True, slots=True)
class Scope:
    """Say which memory is meant, and whose memories in it: those of one agent, or of all where it is None.

    tenant: whose memory it is; None is that of the provider, which may be the view of one.

    Raises ConfigurationError for what is no text, or an empty one.
    """

    memory_id: str
    agent_id: str | None = None
    tenant: str | None = None

    def __post_init__(self) -> None:
        for name, value in (("memory_id", self.memory_id), ("agent_id", self.agent_id), ("tenant", self.tenant)):
            if not (isinstance(cast(object, value), str) and value) and not (name != "memory_id" and value is None):
                raise ConfigurationError(f"{name}={quoted(value)}: expected a text that is not empty")

    def stable_id(self, *parts: str) -> str:
        """Return the id that some texts have in this scope, always the same; tenants have ids of their own."""
        return str(uuid5(_NAMESPACE, json.dumps([self.memory_id, self.agent_id, *parts])))


class Memory:
    """The memories of a store, scope by scope; safe in every thread.

    Raises ConfigurationError for an unknown store.
    """

    def __init__(self, provider: MemoryProvider, store: StoreName) -> None:
        specs = {spec.name: spec for spec in provider.stores()}
        if str(store) not in specs:
            raise ConfigurationError(f"unknown store {quoted(store)}: expected one of {', '.join(specs)}")
        self._provider = provider
        self._store = store
        self.searches_by_meaning = provider.has_embedder and specs[str(store)].embedded

    def _of(self, scope: Scope) -> MemoryProvider:
        """Return the view of a scope: what every call of a model goes through."""
        whole = self._provider if scope.tenant is None else self._provider.tenant(scope.tenant)
        return whole.memory(scope.memory_id, agent=scope.agent_id)

    def check_scope(self, scope: Scope) -> None:
        """Raise ConfigurationError for a scope that the provider refuses, which wants a tenant or is another's view."""
        self.check(scope, {})

    def search(
        self,
        scope: Scope,
        query: str,
        limit: int,
        *,
        kind: str | None = None,
        since: str | None = None,
        filter: Mapping[str, Any] | None = None,
    ) -> Hits:
        """Return what matches best, by meaning and words, or by words alone where there is no embedder."""
        asked: dict[str, Any] = {"$text": {"$search": query}}
        if kind is not None:
            asked["kind"] = {"$eq": kind}
        if since is not None:
            asked["created_at"] = {"$gte": _moment(since, "since")}
        if self.searches_by_meaning:
            asked[EMBEDDING] = query
        return self._of(scope).retrieve_by_query(asked, self._store, limit, where=filter)

    def add(
        self,
        scope: Scope,
        text: str,
        *,
        kind: str | None = None,
        tags: Sequence[str] | None = None,
        key: str | None = None,
    ) -> Document:
        """Store a memory and return it; under a `key` that is there already, replace that one."""
        given = {"kind": kind, "tags": None if tags is None else list(tags), "key": key}
        document = {CONTENT: text, **{name: value for name, value in given.items() if value is not None}}
        if key is not None:
            document["id"] = scope.stable_id("key", key)
        view = self._of(scope)
        id = view.store(document, self._store)
        # Somebody else may have deleted it meanwhile.
        return view.retrieve_by_id(id, self._store) or document | {"id": id}

    def update(self, scope: Scope, id: str, text: str) -> Document | None:
        """Replace the text of a memory and return it, None where the scope has none of that id."""
        changed = self._of(scope).update_by_id(id, {CONTENT: text}, self._store)
        return self.read(scope, id) if changed else None

    def delete(self, scope: Scope, id: str) -> bool:
        """Delete a memory; True when the scope had one of that id."""
        return self._of(scope).delete_by_id(id, self._store)

    def read(self, scope: Scope, id: str) -> Document | None:
        """Return a memory, None where the scope has none of that id."""
        return self._of(scope).retrieve_by_id(id, self._store)

    def recent(self, scope: Scope, limit: int, before: str | None = None) -> list[Document]:
        """Return the newest memories, the newest first; `before` an id of the scope, or a time, what is older."""
        conditions: dict[str, Any] = {}
        turning = None if before is None else self.read(scope, before)
        if turning is not None:
            conditions["created_at"] = {"$lte": turning["created_at"]}
        elif before is not None:
            conditions["created_at"] = {"$lt": _moment(before, "before")}
        newest = self._newest_first(scope, conditions, limit + 1)
        # Others may be of the same moment: what was stored at once is.
        if turning is not None and not any(document["id"] == turning["id"] for document in newest):
            raise FilterError(f"before={quoted(before)}: this memory has just been deleted")
        return [*islice(newest, limit)]

    def _newest_first(self, scope: Scope, conditions: Mapping[str, Any], size: int) -> Iterator[Document]:
        """Yield what matches, reading `size` at a time."""
        view, offset = self._of(scope), 0
        while page := view.retrieve_by_query(conditions, self._store, size, order_by="-created_at", offset=offset):
            yield from page
            offset += len(page)

    def page(self, scope: Scope, size: int, after: str | None = None) -> list[Document]:
        """Return memories, the oldest first, that stand behind one; raises FilterError where the scope has not that."""
        if after is not None and self.read(scope, after) is None:
            raise FilterError(f"after={quoted(after)}: there is no memory of that id")
        return [*islice(self._of(scope).iterate(self._store, None, size, after=after), size)]

    def store_all(self, scope: Scope, documents: Iterable[Mapping[str, Any]]) -> list[str]:
        """Store documents, all or none, and return their ids."""
        return self._of(scope).store_many(documents, self._store)

    def check(self, scope: Scope, document: Mapping[str, Any]) -> None:
        """Raise what storing a document would raise."""
        self._of(scope).check(document, self._store)


def text_of(document: Mapping[str, Any]) -> str:
    """Return what a memory says."""
    return str(_documents.text_of(document) or document.get("name") or "")


def _moment(text: str, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        also = "the id of a memory or " if name == "before" else ""
        raise FilterError(f"{name}={quoted(text)}: expected {also}a time such as 2026-11-28T09:30:00Z") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
