"""How a record becomes a document, a document a record, and what CrewAI asks for a filter.

`names` are those of the scope, `conversation_id` is the first two of them: that is indexed, and what is searched is
mostly what one crew, agent or flow has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from crewai.memory.types import MemoryRecord

from memorizz.integrations._providers import escaped, key_of, unescaped
from memorizz.memory_provider.options import Document


def document_of(record: MemoryRecord) -> Document:
    """Return the document of a record: always all keys, so that it replaces the one before."""
    names = names_of(record.scope)
    return {
        "id": record.id,
        "conversation_id": key_of(*names[:2]) if len(names) > 1 else None,
        "content": record.content,
        "scope": record.scope,
        "names": names,
        "categories": record.categories,
        "metadata": {escaped(name): value for name, value in record.metadata.items()},
        "importance_score": record.importance,
        "timestamp": aware(record.created_at),
        "last_accessed": aware(record.last_accessed),
        "source": record.source,
        "private": record.private,
        "embedding": vector_of(record),
    }


def record_of(document: Document) -> MemoryRecord:
    return MemoryRecord(
        id=document["id"],
        content=document["content"],
        scope=document["scope"],
        categories=document["categories"],
        metadata={unescaped(name): value for name, value in document["metadata"].items()},
        importance=document["importance_score"],
        created_at=naive(document["timestamp"]),
        last_accessed=naive(document["last_accessed"]),
        embedding=document.get("embedding"),
        source=document["source"],
        private=document["private"],
    )


def vector_of(record: MemoryRecord) -> list[float] | None:
    """Return the vector of a record; one of zeros points nowhere: it is what LanceDB keeps where there is none."""
    return record.embedding if record.embedding and any(record.embedding) else None


def aware(moment: datetime) -> datetime:
    """Return a time as a provider takes it; CrewAI's are in UTC without saying so."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


# --- scopes and filters -------------------------------------------------------------------------------------------


def names_of(scope: str | None) -> list[str]:
    return [name for name in (scope or "").split("/") if name]


def path_of(names: Sequence[str]) -> str:
    return "/" + "/".join(names)


def within(scope: str | None) -> Document:
    """Return the filter for what is in a scope or below it, by whole names."""
    filter: Document = {}
    if names := names_of(scope):
        filter["names"] = {"$prefix": names}
    if len(names) > 1:
        filter["conversation_id"] = key_of(*names[:2])
    return filter


def any_of(categories: Sequence[str] | None) -> Document:
    """Return the filter for what is in at least one of some categories; none of them is no condition."""
    return {"$or": [{"categories": {"$contains": category}} for category in categories]} if categories else {}


def equal(metadata: Mapping[str, Any] | None) -> Document:
    """Return the filter for metadata with these values, each of the same kind."""
    return {f"metadata.{escaped(name)}": {"$eq": value} for name, value in (metadata or {}).items()}
