"""The embedders that have a name: `local`, `openai:NAME`, `ollama:NAME`, `sentence-transformers:PATH`."""

from __future__ import annotations

import os
from typing import cast
from urllib.parse import urlsplit

from memorizz.embeddings.base import Embedder
from memorizz.errors import ConfigurationError, quoted

# Beside them "local", which takes no name after a colon.
KINDS = ("openai", "ollama", "sentence-transformers")

# The lengths of the vectors of models that Ollama serves, by its names.
_AT_OLLAMA = {
    "all-minilm": 384,
    "bge-m3": 1024,
    "embeddinggemma": 768,
    "mxbai-embed-large": 1024,
    "nomic-embed-text": 768,
    "snowflake-arctic-embed": 1024,
}


def named(embedder: str, *, name: str | None = None, dimensions: int | None = None) -> Embedder:
    """Return the embedder that a text names; a provider takes the same text as its `embedder`.

    "local" is LocalEmbedder; "openai:NAME" asks the endpoint of OPENAI_BASE_URL, else OpenAI, with the key of
    OPENAI_API_KEY; "ollama:NAME" asks OLLAMA_HOST, else this machine; "sentence-transformers:PATH" loads a folder, or a
    name on the Hugging Face hub.

    name: what the schema remembers of the model; by default its own name.
    dimensions: the length of the vectors, for a model behind an endpoint that is not known here.

    Raises ConfigurationError for an unknown name, and where an extra, a key or the length is missing.
    """
    kind, _, model = embedder.partition(":")
    if kind in ("openai", "ollama") and model:
        return _asked(embedder, model, name, dimensions)
    if dimensions is not None:
        raise ConfigurationError(
            f"dimensions={quoted(dimensions)} is for openai:NAME and ollama:NAME: any other embedder knows the length "
            "of its vectors"
        )
    if kind == "sentence-transformers" and model:
        from memorizz.embeddings.sentence_transformers import SentenceTransformerEmbedder

        return cast("Embedder", SentenceTransformerEmbedder(model, name=name))
    if embedder == "local":
        from memorizz.embeddings.local import LocalEmbedder

        if name is not None:
            raise ConfigurationError(f"name={quoted(name)}: the embedder 'local' has its name")
        return cast("Embedder", LocalEmbedder())
    raise ConfigurationError(
        f"there is no embedder {quoted(embedder)}: expected 'local', 'openai:NAME', 'ollama:NAME', "
        "'sentence-transformers:PATH', or an object with name, dimensions and embed(texts, *, kind)"
    )


def _asked(embedder: str, model: str, name: str | None, dimensions: int | None) -> Embedder:
    """Return the embedder of an endpoint."""
    from memorizz.embeddings._openai_api import DIMENSIONS
    from memorizz.embeddings.openai import OpenAIEmbedder

    own = embedder.startswith("ollama:")
    known = _AT_OLLAMA.get(model.partition(":")[0]) if own else DIMENSIONS.get(model)
    length = known if dimensions is None else dimensions
    if length is None:
        raise ConfigurationError(
            f"the length of the vectors of {quoted(embedder)} is not known here: give "
            f"memorizz.embeddings.named({quoted(embedder)}, dimensions=...) the length that the model's documentation "
            "has, on the command line --dimensions"
        )
    return cast("Embedder", OpenAIEmbedder(model, base_url=_ollama() if own else None, name=name, dimensions=length))


def _ollama() -> str:
    """Return where Ollama is, from a variable that may hold a host alone."""
    said = os.environ.get("OLLAMA_HOST", "").strip() or "localhost"
    url = urlsplit(said if "://" in said else f"http://{said}")
    # What the server listens on may be every address of this machine, which is none to connect to.
    host = url.netloc.replace("0.0.0.0", "localhost")  # noqa: S104
    try:
        port = url.port
    except ValueError:
        raise ConfigurationError(f"OLLAMA_HOST={quoted(said)}: expected a host, HOST:PORT or a URL") from None
    return f"{url.scheme}://{host}{'' if port or url.scheme == 'https' else ':11434'}{url.path.rstrip('/')}/v1"
