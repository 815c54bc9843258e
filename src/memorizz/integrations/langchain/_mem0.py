"""What mem0's provider "langchain" asks of a vector store beyond LangChain's interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from memorizz.memory_provider.base import Document, Filter


class _Listed(Protocol):
    def list_documents(self, filter: Filter | None, limit: int | None) -> Sequence[Document]: ...


class Collection:
    """The documents of a vector store as mem0 lists those of a Chroma store, in get_all and delete_all."""

    def __init__(self, store: _Listed) -> None:
        self._store = store

    def get(self, where: Mapping[str, Any] | None = None, limit: int | None = None) -> dict[str, list[Any]]:
        """Return the documents that match one of mem0's filters."""
        found = self._store.list_documents(operators_of_mem0(where), limit)
        return {"ids": [each["id"] for each in found], "metadatas": [each["metadata"] for each in found]}


def operators_of_mem0(filter: Mapping[str, Any] | None) -> Filter | None:
    """Return a filter of mem0's, {"stars": {"gte": 3}}, as one of ours; "*" is any value, "$not" none of a list."""
    return None if filter is None else dict(_condition(*item) for item in filter.items())


def _condition(key: str, operand: Any) -> tuple[str, Any]:
    if key in ("$or", "$not"):
        inner = [operators_of_mem0(each) for each in cast("Sequence[Mapping[str, Any]]", operand)]
        return "$nor" if key == "$not" else key, inner
    if operand == "*":
        return key, {"$exists": True}
    if isinstance(operand, Mapping):
        # What is no operator of ours stays one, and is refused as such.
        operators = cast("Mapping[str, Any]", operand)
        return key, {name if name.startswith("$") else f"${name}": value for name, value in operators.items()}
    return key, operand
