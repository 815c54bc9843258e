"""LangChain's cache of what models said, found by meaning."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.embeddings import Embeddings
from langchain_core.messages import BaseMessage, messages_from_dict
from langchain_core.outputs import ChatGeneration, Generation

from memorizz.integrations._providers import in_thread
from memorizz.integrations.langchain._store import Stored, vectors_of
from memorizz.memory_provider.base import Document

# What of a message tells one run from another, and says nothing to a model.
_OF_A_RUN = ("id", "response_metadata", "usage_metadata")


class MemorizzSemanticCache(Stored, BaseCache):
    """Keep what models said in PostgreSQL, and give it again for the same question, or one that means the same.

    embedding: makes the vectors of the questions.
    source: a provider on the sync API, a connection string or a PostgreSQLConfig; None is the server that the
        environment names, or the embedded one.
    score_threshold: how alike two questions must be, as a cosine similarity.
    ttl: how long an answer is given, as a timedelta or in seconds; None is for ever.
    store: the name of its table, which is made where it is missing.
    dimensions: the length of the vectors; where it is left out, a text is embedded to see it when the store is made.

    The question is the text of the last message. Everything else, the model and its settings, the messages before,
    images and tools, must be the same. Every hit is an object of its own.
    """

    def __init__(
        self,
        embedding: Embeddings,
        source: object = None,
        *,
        score_threshold: float = 0.95,
        ttl: timedelta | float | None = None,
        store: str = "langchain_cache",
        dimensions: int | None = None,
    ) -> None:
        self.embedding, self.score_threshold, self.ttl = embedding, score_threshold, ttl
        self.store = store
        self._open(source, vectors_of(store, embedding, dimensions))

    def lookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        """Return what was said to a prompt, or to one that means the same; None where there is nothing."""
        asked = _asked(prompt, llm_string)
        if (same := self._same(asked)) is not None or not asked.question.strip():
            return same
        return self._alike(asked, self.embedding.embed_query(asked.question))

    async def alookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        """Lookup, awaited."""
        asked = _asked(prompt, llm_string)
        if (same := await in_thread(self._same, asked)) is not None or not asked.question.strip():
            return same
        return await in_thread(self._alike, asked, await self.embedding.aembed_query(asked.question))

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Keep what was said to a prompt; what was kept for the same prompt before is replaced."""
        asked = _asked(prompt, llm_string)
        vector = self.embedding.embed_documents([asked.question])[0] if asked.question.strip() else None
        self._keep(asked, vector, return_val)

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Update, awaited."""
        asked = _asked(prompt, llm_string)
        vector = (await self.embedding.aembed_documents([asked.question]))[0] if asked.question.strip() else None
        await in_thread(self._keep, asked, vector, return_val)

    def clear(self, **kwargs: Any) -> None:
        """Forget everything."""
        self.provider.delete_all(self.store)

    async def aclear(self, **kwargs: Any) -> None:
        """Clear, awaited."""
        await in_thread(self.clear)

    def _same(self, asked: _Asked) -> list[Generation] | None:
        return _said(self.provider.retrieve_by_id(asked.id, self.store))

    def _alike(self, asked: _Asked, vector: Sequence[float]) -> list[Generation] | None:
        query = {"embedding": vector, "memory_id": asked.setting}
        hits = self.provider.retrieve_by_query(query, self.store, 1, min_score=self.score_threshold)
        return _said(hits[0]) if hits else None

    def _keep(self, asked: _Asked, vector: Sequence[float] | None, said: Sequence[Generation]) -> None:
        document = {
            "id": asked.id,
            "memory_id": asked.setting,
            # As JSON, for a question may have characters that no text in a database has.
            "question": json.dumps(asked.question),
            "said": json.dumps([_plain(each) for each in said]),
            "embedding": vector,
            # By the server's clock; without it, what was kept before no longer expires either.
            **({"ttl": None, "expires_at": None} if self.ttl is None else {"ttl": self.ttl}),
        }
        self.provider.store(document, self.store)


def _plain(generation: Generation) -> dict[str, Any]:
    """Return what a model said as JSON; the caller's object is not changed."""
    plain = generation.model_dump(mode="json", include={"text", "generation_info"})
    message: BaseMessage | None = getattr(generation, "message", None)
    if message is not None:
        plain["message"] = {"type": message.type, "data": message.model_dump(mode="json")}
    return plain


def _said(document: Document | None) -> list[Generation] | None:
    """Return what a model said, made anew: LangChain changes what a cache returns."""
    if document is None:
        return None
    return [_generation(**plain) for plain in json.loads(document["said"])]


def _generation(text: str, generation_info: dict[str, Any] | None, message: dict[str, Any] | None = None) -> Generation:
    if message is None:
        return Generation(text=text, generation_info=generation_info)
    return ChatGeneration(message=messages_from_dict([message])[0], generation_info=generation_info)


@dataclass(frozen=True)
class _Asked:
    """A prompt: its question, what else must be the same, and the id that the very same prompt has."""

    question: str
    setting: str
    id: str


def _asked(prompt: str, llm_string: str) -> _Asked:
    question, rest = _taken_apart(prompt)
    return _Asked(question, _digest(llm_string, rest), _digest(llm_string, prompt))


def _digest(*texts: str) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def _taken_apart(prompt: str) -> tuple[str, str]:
    """Return the text of the last message of a prompt, and everything else; all of one that is no list of messages."""
    try:
        messages: list[dict[str, Any]] = json.loads(prompt)
        kept = [
            (message["id"], {key: value for key, value in message["kwargs"].items() if key not in _OF_A_RUN})
            for message in messages
        ]
        last = kept[-1][1]
        question, last["content"] = _text_and_rest(last["content"])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        # A prompt of a model that takes texts, which may look like anything.
        return prompt, ""
    return question, json.dumps(kept, sort_keys=True)


def _text_and_rest(content: str | list[str | dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """Return the text of a message's content, and the parts of it that are none."""
    parts = [content] if isinstance(content, str) else content
    texts: list[str] = []
    others: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        elif part.get("type") == "text":
            texts.append(part["text"])
        else:
            others.append(part)
    return "\n".join(texts), others
