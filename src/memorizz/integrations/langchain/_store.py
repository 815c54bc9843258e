"""What all of them have: a provider, opened or given, and a store of their own in it."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.embeddings import Embeddings

from memorizz.integrations._providers import Opened, Wanted, ids_of
from memorizz.memory_provider.base import Document, MemoryProvider
from memorizz.memory_provider.options import MAX_LIMIT
from memorizz.memory_provider.stores import Distance, IndexKind, StoreSpec


class Stored(Opened):
    """A store in a provider."""

    store: str

    def _found(self, ids: Sequence[str]) -> dict[str, Document]:
        """Return the documents that are there, by their ids."""
        found = self.provider.retrieve_by_query({"id": {"$in": ids_of(ids)}}, self.store, MAX_LIMIT)
        return {each["id"]: each for each in found}

    def _delete(self, ids: Sequence[str]) -> None:
        self.provider.delete(self.store, {"id": {"$in": ids_of(ids)}})


def vectors_of(
    name: str,
    embedding: Embeddings,
    dimensions: int | None,
    distance: Distance = "cosine",
    index: IndexKind | None = None,
) -> Wanted:
    """Return the spec of a store whose vectors LangChain's embeddings make.

    Without `dimensions` they are those of the store, where it is there, else the length of what is embedded to see it.
    """

    def spec(provider: MemoryProvider) -> StoreSpec:
        length = dimensions
        if length is None:
            there = next((each.dimensions for each in provider.stores() if each.name == name), None)
            length = there or len(embedding.embed_query("How long is this vector?"))
        return StoreSpec(name, length, distance, index, embedded=False, memories=False)

    return spec
