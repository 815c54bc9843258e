"""For whom a call reads and writes: a tenant, of it one memory, and of that one agent's; as of when, and in whose name.

Nothing that a call is given can widen that.

The condition itself is a provider's. Here is what is the same for all of them: which scopes there are, and what of the
arguments and documents of a call would reach beyond one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from inspect import Signature, signature
from typing import Any, cast

from memorizz.errors import ConfigurationError, InvalidDocument, ReadOnlyError, quoted

TENANT, MEMORY, AGENT = "tenant", "memory_id", "agent_id"
# That a provider keeps the history of what it stores, and that what it has written has a position.
HISTORY, POSITION = "history", "position"
# What only reads, whatever it is given but `touch`.
_READS = {
    "count", "distinct", "list_all", "page", "place_of", "recall", "retrieve_by_id", "retrieve_by_name",
    "retrieve_by_query", "retrieve_conversation_history_ordered_by_timestamp", "retrieve_from_all_stores",
    "retrieve_memory_components_by_query",
}  # fmt: skip
# What can be asked as of a time: also what reads if its calls do.
_READS_OF_TIME = _READS | {"embedded", "run_at_once", "run_many"}
# The timeline, and the position in it.
_WAL_POSITION = re.compile("/".join([r"([0-9A-Fa-f]{1,8})"] * 3))
# In bytes, as of every key that is indexed.
_MAX_NAME = 1024


@dataclass(frozen=True, slots=True)
class Scope:
    """For whom a statement reads and writes; `parameters` is what each of its statements binds.

    `tenant` is "" where there are no tenants, `memory` None for every memory of it, `agent` None for all of its agents,
    `max_limit` the most that a call returns where it takes a limit.
    """

    tenant: str = ""
    memory: str | None = None
    agent: str | None = None
    max_limit: int | None = None
    # None for now.
    as_of: datetime | None = None
    # In whose name, and for which call of theirs; no condition of a statement.
    actor: str | None = field(default=None, compare=False)
    call_id: str | None = field(default=None, compare=False)
    # What a replica must have replayed of the log to be read; no condition of a statement either.
    after: int | None = field(default=None, compare=False)
    parameters: Mapping[str, Any] = field(init=False, compare=False, repr=False)
    # What every document of the scope has.
    keys: Mapping[str, str] = field(init=False, compare=False, repr=False)
    # Whether it leaves out documents of a store.
    is_narrow: bool = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        of_memory = {} if self.memory is None else {"of_memory": self.memory}
        of_agent = {} if self.agent is None else {"of_agent": json.dumps({"agent_id": self.agent})}
        as_of = {} if self.as_of is None else {"as_of": self.as_of}
        object.__setattr__(self, "parameters", {TENANT: self.tenant, **of_memory, **of_agent, **as_of})
        named = ((MEMORY, self.memory), (AGENT, self.agent))
        object.__setattr__(self, "keys", {key: name for key, name in named if name is not None})
        narrow = self.tenant != "" or self.memory is not None or self.as_of is not None
        object.__setattr__(self, "is_narrow", narrow)

    def __str__(self) -> str:
        named = ((TENANT, self.tenant), (MEMORY, self.memory), (AGENT, self.agent), ("actor", self.actor))
        parts = [f"{key} {quoted(name)}" for key, name in named if name]
        return ", ".join([*parts, *([] if self.as_of is None else [f"as of {self.as_of.isoformat()}"])])

    def overlaps(self, other: Scope) -> bool:
        """Return True if a document may be in both; what was at a time is no document of today."""
        pairs = (self.memory, other.memory), (self.agent, other.agent)
        return (self.tenant, self.as_of) == (other.tenant, other.as_of) and all(
            None in pair or pair[0] == pair[1] for pair in pairs
        )

    @property
    def is_accompanied(self) -> bool:
        """Whether its statements need another one before them."""
        return self.as_of is not None or self.actor is not None or self.call_id is not None

    def of_time(self, time: Any) -> Scope:
        """Return the same scope as of a time; raises ConfigurationError for what is none."""
        return replace(self, as_of=_time(time))

    def of_actor(self, name: Any, call: Any) -> Scope:
        """Return the same scope in the name of somebody; raises ConfigurationError for what is no name."""
        return replace(self, actor=_name(name, "actor"), call_id=None if call is None else _name(call, "call"))

    def of_position(self, position: Any) -> Scope:
        """Return the same scope for reads after a position of the log; raises ConfigurationError for what is none."""
        return replace(self, after=max(self.after or 0, wal_position(position)))

    def of_tenant(self, name: Any, max_limit: int | None = None) -> Scope:
        """Return the scope of a tenant; raises ConfigurationError where this one is another's, or a memory's."""
        name = _name(name, TENANT)
        if name != self.tenant and (self.tenant or self.memory is not None):
            of = f"tenant {quoted(self.tenant)}" if self.tenant else f"memory {quoted(self.memory)}"
            raise ConfigurationError(
                f"tenant={quoted(name)}: this is a view of {of}, which no call leads out of; ask the provider itself, "
                "provider.tenant(...), and then for a memory of it"
            )
        return replace(self, tenant=name, max_limit=self._least(max_limit))

    def of_memory(self, name: Any, agent: Any = None, max_limit: int | None = None) -> Scope:
        """Return the scope of a memory, or of an agent in it; raises ConfigurationError where this one is another's."""
        name = _name(name, MEMORY)
        if self.memory not in (None, name):
            raise _beyond(MEMORY, name, self.memory)
        agent = self.agent if agent is None else _name(agent, AGENT)
        if self.agent not in (None, agent):
            raise _beyond(AGENT, agent, self.agent)
        return replace(self, memory=name, agent=agent, max_limit=self._least(max_limit))

    def _least(self, max_limit: int | None) -> int | None:
        if max_limit is not None and (type(cast(object, max_limit)) is not int or max_limit < 1):
            raise ConfigurationError(f"max_limit={quoted(max_limit)}: expected a whole number above 0, or None")
        return min((each for each in (self.max_limit, max_limit) if each is not None), default=None)

    # --- what a call is given -------------------------------------------------------------------------------------

    def call(
        self, operation: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of an operation within this scope: the memory filled in, the limit cut.

        It goes by their names, `memory_id` and `limit`, and a query's own limit, so that no operation can forget it.
        Raises ConfigurationError for another memory.
        """
        if self.as_of is not None:
            self._check_reads(operation, kwargs, args)
        if self.memory is None and self.max_limit is None:
            return args, dict(kwargs)
        bound = _signature(operation).bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        if self.memory is not None and MEMORY in given:
            if given[MEMORY] is not None and _text(given[MEMORY]) != self.memory:
                raise _beyond(MEMORY, given[MEMORY], self.memory)
            if given.get("filter") is None:
                # Where one stands in its place, the filter says of what; the memory holds all the same.
                given[MEMORY] = self.memory
        if self.max_limit is not None:
            if "limit" in given:
                given["limit"] = self._cut(given["limit"])
            query = given.get("query")
            if isinstance(query, Mapping) and "limit" in query:
                found = cast("Mapping[str, Any]", query)
                given["query"] = {**found, "limit": self._cut(found["limit"])}
        return bound.args, bound.kwargs

    def _check_reads(self, operation: Callable[..., Any], kwargs: Mapping[str, Any], args: tuple[Any, ...]) -> None:
        """Raise ReadOnlyError for what is no read."""
        touches = _touches(kwargs, args)
        if operation.__name__ not in _READS_OF_TIME or touches:
            assert self.as_of is not None
            # Which method was called, its caller knows: the operation may be another one, that it is made of.
            raise ReadOnlyError(
                f"this is a view as of {self.as_of.isoformat()}, of what is past and only read, "
                f"{'without touch, ' * touches}which stores and changes nothing: ask the provider itself for that"
            )

    def _cut(self, limit: Any) -> Any:
        assert self.max_limit is not None
        if limit is None:
            return self.max_limit
        # What is no number is told by whoever reads it.
        is_number = isinstance(limit, int) and not isinstance(limit, bool)
        return min(limit, self.max_limit) if is_number else limit

    def document(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a document with the keys of the scope; raises InvalidDocument where it names another scope's."""
        for key, own in ((TENANT, self.tenant), *self.keys.items()):
            if own and key in document and _text(document[key]) != own:
                raise InvalidDocument(
                    key,
                    f"it is {quoted(document[key])}, and this is a view of {key}={quoted(own)}: leave the key out, or "
                    "store it through a view of its own",
                )
        return {**document, **self.keys} if self.keys else document

    def taken(self, *names: str) -> InvalidDocument:
        """Return the error for an id, or one of some, under which nothing can be stored by this memory or agent."""
        given = f"{'one of ' * (len(names) > 1)}{', '.join(map(quoted, names[:10]))}{', ...' * (len(names) > 10)}"
        return InvalidDocument(
            "id", f"no document can be stored under {given} in this memory: give it another id, or none"
        )


# Everybody's who asks for no other.
EVERYTHING = Scope()


def _beyond(key: str, value: Any, own: str | None) -> ConfigurationError:
    return ConfigurationError(
        f"{key}={quoted(value)}: this is a view of {key}={quoted(own)}, which no call leads out of; leave the argument "
        "out, or ask the provider for the other one"
    )


def check_supported(scope: Scope, supported: Sequence[str], what: str) -> None:
    """Raise ConfigurationError where a provider cannot keep to a scope."""
    if scope.is_accompanied and HISTORY not in supported:
        raise no_history(what)
    if scope.after is not None and POSITION not in supported:
        raise no_position(what)
    for key, named in ((TENANT, scope.tenant), (MEMORY, scope.memory)):
        if named and key not in supported:
            raise ConfigurationError(
                f"{what} has no view by {key}: give each a database of its own, or use PostgreSQL, which has them"
            )


def no_history(what: str) -> ConfigurationError:
    """Return the error of a provider that keeps no history."""
    return ConfigurationError(f"{what} keeps no history of its documents: PostgreSQL does")


def no_position(what: str) -> ConfigurationError:
    """Return the error of a provider whose writes have no position."""
    return ConfigurationError(f"{what} has no positions of what was written, and needs none: it has no replicas here")


def wal_position(position: Any) -> int:
    """Return a position in the write-ahead log as a number; raises ConfigurationError for what is none.

    What was written on a later timeline is behind all that an earlier one has.
    """
    found = _WAL_POSITION.fullmatch(position) if isinstance(position, str) else None
    if found is None:
        raise ConfigurationError(
            f"position={quoted(position)}: expected what position() returned, such as '1/0/1A2B3C4D'"
        )
    return (int(found[1], 16) << 64) + (int(found[2], 16) << 32) + int(found[3], 16)


def may_be_of_replica(operation: Callable[..., Any], kwargs: Mapping[str, Any], args: tuple[Any, ...]) -> bool:
    """Return True for an operation that only reads what there is today.

    What was at a time is read from the primary: a replica might still lack some of it, and have it later.
    """
    if isinstance(operation, Scoped):
        if operation.scope.as_of is not None:
            return False
        operation = operation.operation
    return operation.__name__ in _READS and not _touches(kwargs, args)


def _touches(kwargs: Mapping[str, Any], args: tuple[Any, ...]) -> bool:
    return bool(kwargs.get("touch")) or any(getattr(each, "touch", False) for each in (*args, *kwargs.values()))


def check_required(scope: Scope, *, tenant: bool = False, memory: bool) -> None:
    """Raise ConfigurationError where a call is outside of the scope that a configuration requires."""
    if (tenant and not scope.tenant) or (memory and scope.memory is None):
        missing = "a tenant" if tenant and not scope.tenant else "a memory"
        options = [name for name, set in (("require_tenant", tenant), ("require_memory", memory)) if set]
        view = f"provider{'.tenant(...)' if tenant else ''}{'.memory(...)' if memory else ''}"
        raise ConfigurationError(
            f"a call without {missing}: the configuration says {' and '.join(f'{each}=True' for each in options)}, so "
            f"documents are reached through {view} alone"
        )


def check_walled(scope: Scope) -> None:
    """Raise ConfigurationError where a call is of no tenant, and the database keeps tenants apart."""
    if not scope.tenant:
        raise ConfigurationError(
            "a call without a tenant: row-level security keeps the tenants of this schema apart, so documents are "
            "reached through provider.tenant(...) alone"
        )


def _text(value: Any) -> str | None:
    """Return a text as a column holds it, None for what none does."""
    # Whoever names the contract alone loads no numpy.
    from memorizz.memory_provider import _values

    return _values.searched(value)


def _time(value: Any) -> datetime:
    """Return a time, an aware one; raises ConfigurationError for what is none."""
    from memorizz.memory_provider import _values

    try:
        return _values.time(value, "time")
    except InvalidDocument:
        raise ConfigurationError(f"time={quoted(value)}: expected a datetime, or a text in ISO 8601") from None


def _name(value: Any, key: str) -> str:
    """Return the name of a tenant, a memory, an actor or a call; raises ConfigurationError for what is none."""
    name = _text(value)
    size = len(name.encode()) if name is not None else 0
    if name is None or not 0 < size <= _MAX_NAME:
        raise ConfigurationError(
            f"name={quoted(value)}: expected a {key} as a text of 1 to {_MAX_NAME:,} bytes without NUL characters and "
            f"lone surrogates, got {f'{size:,} bytes' if name is not None else type(value).__name__}"
        )
    return name


@lru_cache(maxsize=256)
def _signature(operation: Callable[..., Any]) -> Signature:
    """Return the signature of an operation without its first parameter, what is known of the stores."""
    found = signature(operation)
    return found.replace(parameters=[*found.parameters.values()][1:])


# --- operations ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scoped:
    """An operation within a scope: what it knows of the stores, and its arguments, are those of the scope."""

    scope: Scope
    operation: Callable[..., Any]

    def __call__(self, known: Any, /, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = self.scope.call(self.operation, args, kwargs)
        operation = self.operation(known.within(self.scope), *args, **kwargs)
        return known.accompanied(self.scope, operation) if self.scope.is_accompanied else operation


def scope_of(operation: Callable[..., Any]) -> Scope:
    """Return the scope of an operation, everybody's where it has none of its own."""
    return operation.scope if isinstance(operation, Scoped) else EVERYTHING
