"""What a provider does when the embedding model is changed while it is open.

The columns of a model are renamed when another one takes its place. So a statement that was made for the model before
fails, and compares no vectors of two models. The provider then reads the schema again; where it has an embedder of the
new model, the call is made again with that, as if nothing had been. A call that may hold vectors of the model before,
or was used up by its first attempt, is not: nobody but the caller can make it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar, cast
from uuid import UUID

from memorizz.embeddings.base import AsyncEmbedder, Embedder
from memorizz.errors import ConfigurationError, SchemaError
from memorizz.memory_provider._documents import EMBEDDING
from memorizz.memory_provider.options import Ranking, SearchOptions
from memorizz.memory_provider.postgresql._stores import Schema

E = TypeVar("E", bound=Embedder | AsyncEmbedder)

_PLAIN = (str, int, float, datetime, UUID, Enum, Ranking, SearchOptions)


def by_name(embedder: E | Sequence[E] | None) -> dict[str, E]:
    """Return the embedders of a provider by the names of their models, in the order in which they were given."""
    if embedder is None:
        return {}
    several = embedder if isinstance(embedder, Sequence) else [embedder]
    named: dict[str, E] = {}
    for each in several:
        if named.setdefault(each.name, each) is not each:
            raise ConfigurationError(f"two embedders have the name {each.name!r}: give each model one embedder")
    return named


def lengths(embedders: Mapping[str, Embedder | AsyncEmbedder]) -> dict[str, int]:
    """Return the length of the vectors of each model that a provider can embed with."""
    return {name: embedder.dimensions for name, embedder in embedders.items()}


def left_behind(schema: Schema, reason: object) -> SchemaError:
    """Return the error for a provider that cannot work with the model of today."""
    return SchemaError(
        f"the embedding model of schema {schema.name!r} was changed while this provider was open, and nothing was "
        f"done: {reason}; a provider with embedder=[...] of both models follows such a change"
    )


def unknown_vectors(schema: Schema) -> str:
    """Return why a provider without an embedder follows nowhere."""
    return (
        f"the vectors are those of {schema.model_name!r} now, of {schema.dimensions} dimensions, and whose vectors "
        "this provider is given, only its caller knows: open it again, with vectors of that model"
    )


def call_again(schema: Schema) -> SchemaError:
    """Return the error for a call that only its caller can make again; `schema` is that of the new model."""
    return SchemaError(
        f"the embedding model of schema {schema.name!r} was changed to {schema.model_name!r} while this was under way, "
        f"and nothing of it was kept: do it again, with vectors of {schema.model_name!r} where they are your own"
    )


def is_bound(argument: Any) -> bool:
    """Say whether an argument may hold vectors, is used up, or goes on with what came before the model was changed."""
    if argument is None or isinstance(argument, _PLAIN):
        return False
    if isinstance(argument, Mapping):
        return is_bound(cast("Mapping[Any, Any]", argument).get(EMBEDDING))
    if isinstance(argument, list | tuple):
        # Numbers are a vector, or the place of an iteration.
        each = cast("Sequence[Any]", argument)
        return any(isinstance(item, int | float) or is_bound(item) for item in each)
    return True
