"""The embedder that a command line names."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memorizz.errors import ConfigurationError

if TYPE_CHECKING:
    from memorizz.embeddings import Embedder

HELP = (
    "The model: local (the extra `local`), openai:NAME (its endpoint and key from OPENAI_BASE_URL and OPENAI_API_KEY), "
    "ollama:NAME, sentence-transformers:PATH, or module:attribute for an embedder of your own."
)

Model = Annotated[
    str | None, typer.Option(metavar="MODEL", help=f"{HELP} Without it, the schema's own where that is known here.")
]
ModelName = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="What the schema remembers: the name of your program's embedder."),
]
Dimensions = Annotated[
    int | None,
    typer.Option(min=1, help="Length of its vectors, where the endpoint's model is one that is not known here."),
]


def embedder(model: str, name: str | None, dimensions: int | None) -> Embedder:
    """Return the embedder that `--model` names; `name` is what the schema remembers of it."""
    from memorizz.embeddings import named  # numpy comes with it, which --help does not wait for
    from memorizz.embeddings._named import KINDS

    kind, colon, rest = model.partition(":")
    if model == "local" or (kind in KINDS and rest):
        return named(model, name=name, dimensions=dimensions)
    if not (colon and rest):
        raise ConfigurationError(
            f"--model {model}: expected local, openai:NAME, ollama:NAME, sentence-transformers:PATH or module:attribute"
        )
    if dimensions is not None:
        raise ConfigurationError(
            "--dimensions is for openai:NAME and ollama:NAME: yours knows the length of its vectors"
        )
    if name is not None:
        raise ConfigurationError("--name: an embedder of your own has its name")
    return _own(kind, rest)


# The local embedder has the weights of these, in eight bits: their vectors can be compared.
_LOCAL = ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2")


def embedder_of(model: str | None) -> tuple[Embedder | None, str]:
    """Return the embedder of the model that a schema has its vectors from, or None and why there is none.

    Of a schema that does not name its model there is nothing to say.
    """
    from memorizz.embeddings import LocalEmbedder, named  # numpy comes with it, which --help does not wait for
    from memorizz.embeddings._openai_api import DIMENSIONS

    try:
        if model == LocalEmbedder.name or model in _LOCAL:
            local = LocalEmbedder()
            local.name = model or local.name
            return local, ""
        if model in DIMENSIONS and os.environ.get("OPENAI_API_KEY"):
            return named(f"openai:{model}"), ""
    except ConfigurationError as error:
        return None, str(error)
    return None, "" if model is None else f"the vectors are those of {model!r}"


def _own(module: str, attribute: str) -> Embedder:
    """Return an embedder out of a module."""
    from memorizz.embeddings.base import check_embedder  # numpy comes with it, which --help does not wait for

    found = imported("--model", f"{module}:{attribute}")
    # A class or a function makes one.
    makes_one = isinstance(found, type) or (callable(found) and not hasattr(found, "embed"))
    made: Any = found() if makes_one else found
    check_embedder(made, f"--model {module}:{attribute}")
    return made


def imported(option: str, place: str) -> Any:
    """Return what module:attribute names, of a module which may lie in the folder that the command is run in."""
    module, _, attribute = place.partition(":")
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{option} {place}: {error}") from error
    finally:
        with suppress(ValueError):
            sys.path.remove(folder)
