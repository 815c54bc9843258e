"""Haystack's documents as those of the providers."""

from __future__ import annotations

from typing import Any

from haystack.dataclasses import ByteStream, Document, SparseEmbedding

from memorizz.integrations.haystack._dates import dates_in
from memorizz.memory_provider.base import Document as Memory


def memory_of(document: Document) -> dict[str, Any]:
    """Return what a document is stored as: always all keys, so that it replaces the one before."""
    given = {
        "blob": document.blob and document.blob.to_dict(),
        "score": document.score,
        "sparse_embedding": document.sparse_embedding and document.sparse_embedding.to_dict(),
    }
    return {
        "id": document.id,
        "content": document.content,
        "embedding": document.embedding,
        "given": {key: value for key, value in given.items() if value is not None},
        **meta_of(document.meta),
    }


def meta_of(meta: dict[str, Any]) -> dict[str, Any]:
    """Return what metadata is stored as."""
    return {"metadata": meta, "dates": dates_in(meta)}


def document_of(memory: Memory) -> Document:
    """Return a document as it was written; where it was searched for, with the score of the search."""
    given = memory["given"]
    return Document(
        id=memory["id"],
        content=memory["content"],
        blob=ByteStream.from_dict(given["blob"]) if "blob" in given else None,
        meta=memory["metadata"],
        score=memory.get("_score", given.get("score")),
        embedding=memory.get("embedding"),
        sparse_embedding=SparseEmbedding.from_dict(given["sparse_embedding"]) if "sparse_embedding" in given else None,
    )
