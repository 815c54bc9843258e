"""How an item of a store becomes documents, and a document an item.

`namespace` is its labels. `memory_id` is the first of them and `conversation_id` the first two, with a dot between
them: these are indexed, and what is searched is mostly what one agent or user has. The keys of a value stand under
`value`, where a dot in one is written as %2E, for a filter takes a dot for a step.

A document has one vector. Of a value with several texts the others are documents of their own, `name` the item's id:
only a search by meaning finds them, and it finds the item, where both are of one put.

One document more says what the vectors are of; it has a name too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from secrets import token_hex
from typing import Any, TypeGuard

from langgraph.store.base import InvalidNamespaceError, Item, PutOp, SearchItem

from memorizz.errors import FilterError, quoted
from memorizz.integrations._providers import escaped, key_of, unescaped
from memorizz.memory_provider.options import Document

Namespace = tuple[str, ...]
# The id of the document about the vectors, which is no item's: those are JSON, or a digest.
NOTE = "index"


def check_labels(namespace: Iterable[object]) -> None:
    """Raise InvalidNamespaceError for what is no label: a text, neither empty nor with a dot or a NUL in it."""
    for label in namespace:
        if not isinstance(label, str) or not label or "." in label or "\0" in label:
            raise InvalidNamespaceError(
                f"{quoted(label)} is no label of a namespace: expected a text that is not empty, without a dot"
            )


def check_namespace(namespace: Namespace) -> None:
    """Raise InvalidNamespaceError where nothing can be put."""
    if not namespace:
        raise InvalidNamespaceError("a namespace needs a label to put something there")
    check_labels(namespace)


def id_of(namespace: Namespace, key: str) -> str:
    return key_of(*namespace, key)


def documents_of(id: str, op: PutOp, vectors: Sequence[Sequence[float]]) -> list[Document]:
    """Return the documents of an item of an id; each key of one that is there already gets another value."""
    assert op.value is not None
    document: Document = {
        "id": id,
        "memory_id": op.namespace[0],
        "conversation_id": ".".join(op.namespace[:2]),
        "namespace": [*op.namespace],
        "key": op.key,
        "value": {escaped(name): each for name, each in op.value.items()},
        "embedding": vectors[0] if vectors else None,
        "put": token_hex(8),
        "ttl": None if op.ttl is None else op.ttl * 60,
    }
    others = enumerate(vectors[1:], 1)
    return [document, *(document | {"id": f"{id}#{n}", "name": id, "embedding": vector} for n, vector in others)]


def owner_of(document: Document) -> str:
    """Return the id of the item that a document is of."""
    return document.get("name") or document["id"]


def item_of(document: Document) -> Item:
    return Item(**_parts(document))


def found_of(document: Document, score: float | None) -> SearchItem:
    return SearchItem(**_parts(document), score=score)


def _parts(document: Document) -> dict[str, Any]:
    return {
        "namespace": tuple(document["namespace"]),
        "key": document["key"],
        "value": {unescaped(name): each for name, each in document["value"].items()},
        "created_at": document["created_at"],
        "updated_at": document["updated_at"],
    }


# --- filters ------------------------------------------------------------------------------------------------------

_OPERATORS = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")


def within(namespace: Namespace) -> dict[str, Any]:
    """Return the filter for what is in a namespace or below it."""
    if len(namespace) < 2:
        return {"memory_id": namespace[0]} if namespace else {}
    wanted: dict[str, Any] = {"conversation_id": ".".join(namespace[:2])}
    return wanted if len(namespace) == 2 else wanted | {"namespace": {"$prefix": [*namespace]}}


def filter_of(given: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return what all must hold for a filter on values.

    A dict without operators is compared key by key. Raises FilterError, a ValueError, for an unknown operator.
    """
    return [part for name, wanted in (given or {}).items() for part in _under(f"value.{escaped(name)}", wanted)]


def _under(path: str, wanted: Any) -> list[dict[str, Any]]:
    if not _is_dict(wanted):
        return [{path: {"$eq": wanted}}]
    if not any(name.startswith("$") for name in wanted):
        parts = [part for name, each in wanted.items() for part in _under(f"{path}.{_step(name)}", each)]
        return [{path: {"$exists": True}}, *parts]
    if unknown := [name for name in wanted if name not in _OPERATORS]:
        raise FilterError(f"unknown operator {quoted(unknown[0])}: expected one of {', '.join(_OPERATORS)}")
    return [{path: dict(wanted)}]


def _is_dict(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _step(name: str) -> str:
    if "." in name:
        raise FilterError(f"{quoted(name)}: below the first level a filter takes no key with a dot in it")
    return name


# --- namespaces ---------------------------------------------------------------------------------------------------

_ANY_LABEL = {"$exists": True}


def matching(kind: str, path: Sequence[str]) -> list[dict[str, Any]]:
    """Return what all must hold for namespaces that begin ("prefix") or end with a path, in which * is any label."""
    labels = [_ANY_LABEL if label == "*" else label for label in path]
    if kind == "prefix" and "*" not in path:
        return [within(tuple(path))]
    conditions: list[dict[str, Any]] = [{"namespace": {f"${kind}": labels}}]
    if kind == "prefix":
        # These are indexed.
        conditions.append(within(tuple(path[: min(2, path.index("*"))])))
    return conditions
