"""An agent, a dict or an object that can describe itself, becomes a document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from memorizz.errors import InvalidDocument, quoted
from memorizz.memory_provider import _values
from memorizz.memory_provider._documents import given_id, no_id


def agent_document(agent: Any) -> dict[str, Any]:
    """Return an agent as a document, under its agent_id where it has no other id, without what can be called."""
    document = _without_callables(agent)
    if not isinstance(document, dict):
        raise InvalidDocument(
            "", f"expected a dict or an object with model_dump() or to_dict(), got {type(agent).__name__}"
        )
    document = cast("dict[str, Any]", document)
    agent_id = _values.as_text(document.get("agent_id"))
    is_named = agent_id is not None and not (isinstance(agent_id, str) and agent_id == "")
    if given_id(document) is None and is_named:
        if _values.id_text(agent_id) is None:
            raise InvalidDocument("agent_id", no_id(agent_id))
        document["id"] = document["agent_id"]
    if isinstance(document.get("memory_ids"), list | tuple | set | frozenset):
        document |= agent_memories(document["memory_ids"])
    return document


def agent_with_id(agent: Any) -> tuple[str, dict[str, Any]]:
    """Return the id of an agent and its document; raises InvalidDocument where it has no id."""
    document = agent_document(agent)
    id = given_id(document)
    if id is None:
        raise InvalidDocument("id", "the agent has no id, so there is none to update; store_memagent stores a new one")
    return id, document


def agent_memories(memory_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return what is merged into an agent to replace its memories; raises InvalidDocument for what are no ids."""
    given: Any = memory_ids
    several = isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping)
    ids: list[Any] = [_values.as_text(each) for each in cast("Iterable[object]", given)] if several else [None]
    if not all(isinstance(id, str) for id in ids):
        raise InvalidDocument("memory_ids", f"expected a list of str, got {quoted(memory_ids)}")
    return {"memory_ids": ids}


# The methods by which an object says what it holds: pydantic's, and the MongoDB provider's.
_DESCRIPTIONS = ("model_dump", "to_dict")


def _without_callables(value: Any, depth: int = 0) -> Any:
    """Return a copy of a value in which objects that can describe themselves are dicts, and callables are gone."""
    _values.check_depth(depth, "")
    for method in _DESCRIPTIONS:
        describe: Callable[[], Any] | None = None if isinstance(value, type) else getattr(value, method, None)
        if callable(describe):
            value = describe()
            break
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {key: _without_callables(item, depth + 1) for key, item in items if not _is_code(item)}
    if isinstance(value, list | tuple):
        return [_without_callables(item, depth + 1) for item in cast("Sequence[Any]", value) if not _is_code(item)]
    return value


def _is_code(value: Any) -> bool:
    describes_itself = not isinstance(value, type) and any(hasattr(value, method) for method in _DESCRIPTIONS)
    return callable(value) and not describes_itself
