"""Embeddings whose neighbours are known."""

from __future__ import annotations

from langchain_core.embeddings import Embeddings

_TOPICS = (("tea", "cup"), ("train", "oxford"), ("snow", "cloud"))


class Topics(Embeddings):
    """Embed a text as how often it speaks of each of three topics; notes what it was given, and how."""

    def __init__(self) -> None:
        self.given: list[str] = []
        self.awaited = 0

    def embed_query(self, text: str) -> list[float]:
        self.given.append(text)
        return [0.01 + sum(text.lower().count(word) for word in words) for words in _TOPICS]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    async def aembed_query(self, text: str) -> list[float]:
        self.awaited += 1
        return self.embed_query(text)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        self.awaited += 1
        return self.embed_documents(texts)
