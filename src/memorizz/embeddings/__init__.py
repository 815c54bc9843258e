"""Where vectors come from: optional embedders, and what any other one must offer.

_named.py                   named: the embedder that a text names, "local" and others
base.py                     Embedder, AsyncEmbedder: one method, a name, a length; how the providers ask them
_vectors.py                 what they return, checked
openai.py                   OpenAIEmbedder, AsyncOpenAIEmbedder: OpenAI, Azure, Ollama, vLLM, LM Studio, by URL
_openai_api.py              what such an endpoint is asked, and how its answer is read; no IO
local.py                    LocalEmbedder: a small model out of a package, offline
sentence_transformers.py    SentenceTransformerEmbedder: a model on this machine

The classes are loaded when they are first used, so that importing this loads no HTTP client and no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from memorizz.embeddings.base import AsyncEmbedder, Embedder, Kind, embed_awaiting, embed_blocking, is_async

if TYPE_CHECKING:
    from memorizz.embeddings._named import named
    from memorizz.embeddings._vectors import Vectors
    from memorizz.embeddings.local import LocalEmbedder
    from memorizz.embeddings.openai import AsyncOpenAIEmbedder, OpenAIEmbedder
    from memorizz.embeddings.sentence_transformers import SentenceTransformerEmbedder

_ROOMS = {
    "AsyncOpenAIEmbedder": "memorizz.embeddings.openai",
    "LocalEmbedder": "memorizz.embeddings.local",
    "OpenAIEmbedder": "memorizz.embeddings.openai",
    "SentenceTransformerEmbedder": "memorizz.embeddings.sentence_transformers",
    "Vectors": "memorizz.embeddings._vectors",
    "named": "memorizz.embeddings._named",
}

__all__ = [
    "AsyncEmbedder",
    "AsyncOpenAIEmbedder",
    "Embedder",
    "Kind",
    "LocalEmbedder",
    "OpenAIEmbedder",
    "SentenceTransformerEmbedder",
    "Vectors",
    "embed_awaiting",
    "embed_blocking",
    "is_async",
    "named",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ROOMS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
