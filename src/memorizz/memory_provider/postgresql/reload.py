"""What a provider does when facts have changed while it is open: it reads them again, and makes the call once more.

A search learns it from the version of the facts. A statement that was made for the embedding model before fails, for
the columns of a model are renamed when another one takes its place: so it compares no vectors of two models. Where the
provider has an embedder of the new model, the call is made again with that, as if nothing had been. A call that may
hold vectors of the model before, or was used up by its first attempt, is not: only the caller can make it again.

What Citus refuses may have been made for one server, before it distributed the stores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar, cast
from uuid import UUID

from memorizz.embeddings import named
from memorizz.embeddings.base import AsyncEmbedder, Embedder, check_embedder, window
from memorizz.errors import ConfigurationError, DatabaseError, MemorizzError, SchemaError
from memorizz.memory_provider import scopes
from memorizz.memory_provider._documents import EMBEDDING
from memorizz.memory_provider.base import SearchOptions
from memorizz.memory_provider.postgresql import history, migrations, operations, tables, wall
from memorizz.memory_provider.postgresql._errors import is_unsupported, names_what_is_gone
from memorizz.memory_provider.postgresql._steps import Operation, T
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.facts import Facts, Maker, StaleFacts, UnknownHistory
from memorizz.memory_provider.postgresql.sql import citus
from memorizz.memory_provider.scopes import scope_of
from memorizz.memory_provider.stores import StoreSpec, UnknownStore

E = TypeVar("E", bound=Embedder | AsyncEmbedder)

_PLAIN = (str, int, float, datetime, UUID, Enum, SearchOptions, StoreSpec)
# How often a call is made again because facts have changed once more: whoever makes all indexes again changes them once
# for each, and small ones faster than a search goes.
MAX_RELOADS = 100


def by_name(embedder: E | str | Sequence[E | str] | None) -> tuple[dict[str, E], list[E]]:
    """Return the embedders of a provider by the names of their models, in the order given, and those made here."""
    if embedder is None:
        return {}, []
    several = [embedder] if isinstance(embedder, str) or not isinstance(embedder, Sequence) else embedder
    by_model: dict[str, E] = {}
    made: list[E] = []
    for given in several:
        each = cast(E, named(given)) if isinstance(given, str) else given
        if each is not given:
            made.append(each)
        check_embedder(each, "embedder")
        if by_model.setdefault(each.name, each) is not each:
            raise ConfigurationError(f"two embedders have the name {each.name!r}: give each model one embedder")
    return by_model, made


def close_all(embedders: Sequence[Embedder | AsyncEmbedder]) -> None:
    """Close the embedders that were made of names, where there is anything to close: connections."""
    for each in embedders:
        close = getattr(each, "close", None)
        if close is not None:
            close()


def makers(embedders: Mapping[str, Embedder | AsyncEmbedder]) -> dict[str, Maker]:
    """Return what is known of each model that a provider can embed with."""
    return {name: Maker(embedder.dimensions, window(embedder)) for name, embedder in embedders.items()}


def may_be_stale(error: MemorizzError) -> bool:
    """Return True for what a call may raise because the facts that it was made by are not those of today."""
    return (
        isinstance(error, StaleFacts | UnknownHistory | UnknownStore)
        or (isinstance(error, SchemaError) and names_what_is_gone(error))
        or is_unsupported(error)
    )


def reloaded(
    config: PostgreSQLConfig, before: Facts, embedders: Mapping[str, Embedder | AsyncEmbedder], error: MemorizzError
) -> Operation[Facts]:
    """Return the facts of today; raises `error` where they are the same, SchemaError where they cannot be followed."""
    try:
        now = yield from migrations.known(config, before.layout, makers(embedders))
    except ConfigurationError as cause:
        raise _left_behind(before, cause) from error
    if now.version == before.version:
        raise error
    if any(now.stores[name].embedder is None for name in changed_models(before, now)):
        raise _left_behind(before, _unknown_vectors(now)) from error
    return now


def changed_models(before: Facts, now: Facts) -> list[str]:
    """Return the stores whose vectors are those of another model now."""
    changed: list[str] = []
    for name, store in before.stores.items():
        other = now.stores.get(name)
        if other is not None and other.id == store.id and other.model.id != store.model.id:
            changed.append(name)
    return changed


def check_repeatable(before: Facts, now: Facts, arguments: Sequence[Any], error: MemorizzError) -> None:
    """Raise unless a call with these arguments can be made again by other facts."""
    if changed_models(before, now) and any(map(_holds_vectors_or_cursor, arguments)):
        raise must_retry_error(now) from error


# What is of no document, and for whoever opens a provider.
_OF_SCHEMA = frozenset(
    {
        migrations.note_model,
        migrations.facts_now,
        tables.create_store,
        tables.specs,
        history.keep,
        operations.set_policy,
        operations.policies,
        operations.position,
    }
)
# What takes the rows of every tenant along.
_OF_TABLES = frozenset({tables.drop_store, history.drop})


def check_required(config: PostgreSQLConfig, operation: Callable[..., Any]) -> None:
    """Raise ConfigurationError where an operation is outside of the scope that a configuration requires."""
    if (config.require_tenant or config.require_memory) and operation not in _OF_SCHEMA:
        scopes.check_required(scope_of(operation), tenant=config.require_tenant, memory=config.require_memory)


def begun(facts: Facts, operation: Callable[..., Operation[T]], *args: Any, **kwargs: Any) -> Operation[T]:
    """Return an operation with its arguments, which tells of its tenant where row-level security keeps them apart.

    Raises ConfigurationError there without one.
    """
    begun = operation(facts, *args, **kwargs)
    if facts.application_role is not None:
        begun = _behind_wall(facts, operation, begun)
    return citus.fitted(begun) if facts.layout.distributed else begun


def _behind_wall(facts: Facts, operation: Callable[..., Operation[T]], begun: Operation[T]) -> Operation[T]:
    if operation in _OF_SCHEMA or operation in _OF_TABLES:
        return wall.of_owner(facts, begun)
    scope = scope_of(operation)
    scopes.check_walled(scope)
    return wall.telling(facts.layout, scope, begun)


def changes_too_often(facts: Facts) -> DatabaseError:
    return DatabaseError(
        f"the indexes or embedding models of schema {facts.layout.schema!r} are being changed all the time: try again"
    )


def _left_behind(facts: Facts, reason: object) -> SchemaError:
    """Return the error for a provider that cannot work with the model of today."""
    return SchemaError(
        f"the embedding model of schema {facts.layout.schema!r} was changed while this provider was open, and nothing "
        f"was done: {reason}; a provider with embedder=[...] of both models follows such a change"
    )


def _unknown_vectors(facts: Facts) -> str:
    """Return why a provider without an embedder follows nowhere."""
    model = facts.model
    return (
        f"the vectors are those of {model.name!r} now, of {model.dimensions} dimensions, and whose vectors this "
        "provider is given, only its caller knows: open it again, with vectors of that model"
    )


def must_retry_error(facts: Facts) -> SchemaError:
    """Return the error for a call that only its caller can make again, by the facts of today."""
    name = facts.model.name
    return SchemaError(
        f"the embedding model of schema {facts.layout.schema!r} was changed to {name!r} while this was under way, and "
        f"nothing of it was kept: do it again, with vectors of {name!r} where they are your own"
    )


def _holds_vectors_or_cursor(argument: Any) -> bool:
    """Return True for what may hold vectors, is used up, or goes on with what came before the model was changed."""
    if argument is None or isinstance(argument, _PLAIN):
        return False
    if isinstance(argument, Mapping):
        return _holds_vectors_or_cursor(cast("Mapping[Any, Any]", argument).get(EMBEDDING))
    if isinstance(argument, list | tuple):
        # Numbers are a vector, or the position of an iteration.
        each = cast("Sequence[Any]", argument)
        return any(isinstance(item, int | float) or _holds_vectors_or_cursor(item) for item in each)
    return True
