"""The embedder that a command line names."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from memorizz.errors import ConfigurationError

if TYPE_CHECKING:
    from memorizz.embeddings import Embedder

HELP = (
    "The model: openai:NAME (its endpoint and key from OPENAI_BASE_URL and OPENAI_API_KEY), "
    "sentence-transformers:PATH, or module:attribute for an embedder of your own."
)


def embedder(model: str, name: str | None, dimensions: int | None) -> Embedder:
    """Return the embedder that `--model` names; `name` is what the schema remembers of it."""
    kind, colon, rest = model.partition(":")
    if not (colon and rest):
        raise ConfigurationError(
            f"--model {model}: expected openai:NAME, sentence-transformers:PATH or module:attribute"
        )
    if kind == "openai":
        from memorizz.embeddings import OpenAIEmbedder

        return OpenAIEmbedder(rest, name=name, dimensions=dimensions)
    if dimensions is not None:
        raise ConfigurationError("--dimensions is for openai:NAME: any other embedder knows the length of its vectors")
    if kind == "sentence-transformers":
        from memorizz.embeddings import SentenceTransformerEmbedder

        return SentenceTransformerEmbedder(rest, name=name)
    if name is not None:
        raise ConfigurationError("--name: an embedder of your own has its name")
    return _own(kind, rest)


def _own(module: str, attribute: str) -> Embedder:
    """Return an embedder out of a module, which may lie in the folder that the command is run in."""
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        found: Any = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"--model {module}:{attribute}: {error}") from error
    finally:
        with suppress(ValueError):
            sys.path.remove(folder)
    # A class or a function makes one.
    makes_one = isinstance(found, type) or (callable(found) and not hasattr(found, "embed"))
    made: Any = found() if makes_one else found
    missing = [each for each in ("name", "dimensions", "embed") if not hasattr(made, each)]
    if missing:
        raise ConfigurationError(f"--model {module}:{attribute} is no embedder: it has no {', '.join(missing)}")
    return made
