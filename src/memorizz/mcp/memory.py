"""One memory: what a model may do with it, and nothing outside of it.

A scope is fixed by whoever starts the server. Its conditions are joined with AND around whatever the model asks for, so
that no filter can widen them, and an id of another memory is one that does not exist.
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
from memorizz.memory_provider._documents import CONTENT, EMBEDDING, is_parts, text_of_parts
from memorizz.memory_provider.base import Document, Hits, MemoryProvider
from memorizz.memory_provider.options import StoreName

# What ids are made from: never to be changed, or a key that is used again adds a second memory.
_NAMESPACE = UUID("5a0d7d3e-6f0b-5b7e-9a54-0c1f3a2f9d11")


@dataclass(frozen=True, slots=True)
class Scope:
    """Say which memory is meant, and whose memories in it: those of one agent, or of all where it is None.

    Raises ConfigurationError for what is no text, or an empty one.
    """

    memory_id: str
    agent_id: str | None = None

    def __post_init__(self) -> None:
        for name, value in (("memory_id", self.memory_id), ("agent_id", self.agent_id)):
            if not (isinstance(cast(object, value), str) and value) and not (name == "agent_id" and value is None):
                raise ConfigurationError(f"{name}={quoted(value)}: expected a text that is not empty")

    @property
    def keys(self) -> dict[str, str]:
        """The keys that every document of the scope has."""
        return {"memory_id": self.memory_id} | ({} if self.agent_id is None else {"agent_id": self.agent_id})

    def holds(self, document: Mapping[str, Any]) -> bool:
        return all(document.get(key) == value for key, value in self.keys.items())

    def stable_id(self, *parts: str) -> str:
        """Return the id that some texts have in this scope, always the same."""
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
        conditions: list[Mapping[str, Any]] = [scope.keys]
        if kind is not None:
            conditions.append({"kind": {"$eq": kind}})
        if since is not None:
            conditions.append({"created_at": {"$gte": _moment(since, "since")}})
        if filter is not None:
            conditions.append(filter)
        asked: dict[str, Any] = {"$text": {"$search": query}, "$and": conditions}
        if self.searches_by_meaning:
            asked[EMBEDDING] = query
        return self._provider.retrieve_by_query(asked, self._store, limit)

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
        document = {CONTENT: text, **scope.keys, **{name: value for name, value in given.items() if value is not None}}
        if key is not None:
            document["id"] = scope.stable_id("key", key)
        id = self._provider.store(document, self._store)
        # Somebody else may have deleted it meanwhile.
        return self._provider.retrieve_by_id(id, self._store) or document | {"id": id}

    def update(self, scope: Scope, id: str, text: str) -> Document | None:
        """Replace the text of a memory and return it, None where the scope has none of that id."""
        changed = self._provider.update(self._store, {**scope.keys, "id": id}, {CONTENT: text})
        return self.read(scope, id) if changed else None

    def delete(self, scope: Scope, id: str) -> bool:
        """Delete a memory; True when the scope had one of that id."""
        return self._provider.delete(self._store, {**scope.keys, "id": id}) > 0

    def read(self, scope: Scope, id: str) -> Document | None:
        """Return a memory, None where the scope has none of that id."""
        document = self._provider.retrieve_by_id(id, self._store)
        return document if document is not None and scope.holds(document) else None

    def recent(self, scope: Scope, limit: int, before: str | None = None) -> list[Document]:
        """Return the newest memories, the newest first; `before` an id of the scope, or a time, what is older."""
        conditions: dict[str, Any] = {**scope.keys}
        turning = None if before is None else self.read(scope, before)
        if turning is not None:
            conditions["created_at"] = {"$lte": turning["created_at"]}
        elif before is not None:
            conditions["created_at"] = {"$lt": _moment(before, "before")}
        newest = self._newest_first(conditions, limit + 1)
        # Others may be of the same moment: what was stored at once is.
        if turning is not None and not any(document["id"] == turning["id"] for document in newest):
            raise FilterError(f"before={quoted(before)}: this memory has just been deleted")
        return [*islice(newest, limit)]

    def _newest_first(self, conditions: Mapping[str, Any], size: int) -> Iterator[Document]:
        """Yield what matches, reading `size` at a time."""
        offset = 0
        while page := self._provider.retrieve_by_query(
            conditions, self._store, size, order_by="-created_at", offset=offset
        ):
            yield from page
            offset += len(page)

    def page(self, scope: Scope, size: int, after: str | None = None) -> list[Document]:
        """Return memories, the oldest first, that stand behind one; raises FilterError where the scope has not that."""
        if after is not None and self.read(scope, after) is None:
            raise FilterError(f"after={quoted(after)}: there is no memory of that id")
        return [*islice(self._provider.iterate(self._store, scope.keys, size, after=after), size)]

    def store_all(self, documents: Iterable[Mapping[str, Any]]) -> list[str]:
        """Store documents, all or none, and return their ids."""
        return self._provider.store_many(documents, self._store)

    def check(self, document: Mapping[str, Any]) -> None:
        """Raise what storing a document would raise."""
        self._provider.check(document, self._store)


def text_of(document: Mapping[str, Any]) -> str:
    """Return what a memory says."""
    content = document.get(CONTENT)
    said = text_of_parts(content) if is_parts(content) else content
    return str(said or document.get("name") or "")


def _moment(text: str, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        also = "the id of a memory or " if name == "before" else ""
        raise FilterError(f"{name}={quoted(text)}: expected {also}a time such as 2026-11-28T09:30:00Z") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
