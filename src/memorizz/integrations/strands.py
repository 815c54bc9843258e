"""A memory store of Strands Agents: what an agent is to know in later conversations, found by meaning and words.

Needs the extra `strands`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from memorizz.embeddings.base import Embedder
from memorizz.errors import ConfigurationError, quoted
from memorizz.integrations._providers import Opened, each_of, in_thread, key_of, missing
from memorizz.memory_provider.base import MemoryProvider
from memorizz.memory_provider.options import MAX_LIMIT, Document
from memorizz.memory_provider.stores import StoreSpec

try:
    from strands.memory import ExtractionConfig, MemoryEntry, MemoryStore, SearchOptions
except ImportError as error:
    raise missing(error, "strands") from error

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql import PostgreSQLConfig

MEMORIES = StoreSpec("strands_memories")
# As many as the SDK's manager asks for where nobody says how many.
_HITS = 3


class MemorizzMemoryStore(Opened, MemoryStore):
    """Give an agent a memory: `MemoryManager(stores=[MemorizzMemoryStore("ada", provider)])`.

    One object may serve several threads and event loops at once.

    memory_id: whose memory it is: any text. The model has no say in it.
    source: a provider on the sync API, a connection string or a PostgreSQLConfig; None is the server that the
        environment names, or the embedded one. What is opened here, `close` closes.
    embedder: for a provider that is opened here; without one, memories are found by their words.
    name, description: what the model is told of the store; stores of one manager have different names.
    max_search_results: how many a search returns where it is not told, 3 where that is None.
    writable: whether the manager may add to it. `add` itself always does.
    extraction: when facts are taken out of a conversation and added, as the SDK has it.

    Raises ConfigurationError for a memory_id that is no text, or a max_search_results that is no number of documents;
    what opening a provider raises.
    """

    _in_memories = True

    def __init__(
        self,
        memory_id: str,
        source: MemoryProvider | PostgreSQLConfig | str | None = None,
        *,
        embedder: Embedder | str | Sequence[Embedder | str] | None = None,
        name: str = "memory",
        description: str | None = None,
        max_search_results: int | None = None,
        writable: bool = True,
        extraction: ExtractionConfig | bool | None = None,
    ) -> None:
        self.name = name
        self.description = description
        self.max_search_results = None if max_search_results is None else _checked(max_search_results)
        self.writable = writable
        self.extraction = extraction
        self._open(source, MEMORIES, embedder=embedder)
        self._memory_id = key_of(memory_id)
        self._memory = self.provider.memory(self._memory_id)

    async def search(self, query: str, options: SearchOptions | None = None) -> list[MemoryEntry]:
        """Return the memories that match best, the best first; none for a blank query.

        The metadata of each is what it was added with, and its `id`, `score` and `created_at` (ISO 8601).
        """
        given = (options or {}).get("max_search_results", self.max_search_results)
        most = _HITS if given is None else _checked(given)
        if not query.strip():
            return []
        found = await in_thread(self._memory.retrieve_by_query, query, MEMORIES.name, most)
        return [_entry(each) for each in found]

    async def add(self, content: str, metadata: Mapping[str, Any] | None = None) -> str:
        """Add a memory and return its id; one that is there already gets the metadata, and stays one.

        Raises InvalidDocument for a text that PostgreSQL cannot hold, and metadata that JSON cannot hold.
        """
        # The SDK adds again what it does not know to be added.
        each_of([content], str, "content")
        digest = hashlib.sha256(json.dumps([self._memory_id, content]).encode()).hexdigest()
        document: Document = {"id": digest, "content": content}
        if metadata is not None:
            document["metadata"] = dict(metadata)
        return await in_thread(self._memory.store, document, MEMORIES.name)


def _entry(document: Document) -> MemoryEntry:
    said = {
        "id": document["id"],
        "score": document["_score"],
        "created_at": document["created_at"].isoformat(),
    }
    return MemoryEntry(document["content"], metadata={**(document.get("metadata") or {}), **said})


def _checked(most: object) -> int:
    if not isinstance(most, int) or isinstance(most, bool) or not 0 <= most <= MAX_LIMIT:
        raise ConfigurationError(f"max_search_results={quoted(most)}: expected a whole number from 0 to {MAX_LIMIT:,}")
    return most
