"""How an item of a store becomes a document, and a document an item; ../_layout.py has the keys of one.

One document more says what the vectors are of; it is in no namespace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from langgraph.store.base import InvalidNamespaceError, Item, PutOp, SearchItem

from memorizz.errors import FilterError, quoted
from memorizz.integrations._layout import Namespace, item, path_of
from memorizz.integrations._layout import id_of as id_of
from memorizz.integrations._layout import namespaces_of as namespaces_of
from memorizz.integrations._providers import escaped, unescaped
from memorizz.memory_provider._documents import EMBEDDING
from memorizz.memory_provider.options import Document

# The id of the document about the vectors, which is no item's: those are JSON, or a digest.
NOTE = "index"

# What an index takes, in bytes.
_LONGEST_PATH = 1024


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
    if len(path := path_of(namespace)) * 4 > _LONGEST_PATH and (size := len(path.encode())) > _LONGEST_PATH:
        raise InvalidNamespaceError(
            f"the namespace {quoted(namespace)} takes {size} bytes, its labels together take up to {_LONGEST_PATH}"
        )


def document_of(id: str, op: PutOp, texts: Sequence[str], vectors: Sequence[Sequence[float]] | None) -> Document:
    """Return the document of an item; each of its keys replaces that of one that is there already.

    vectors: those of the texts; None where the store has none.
    """
    assert op.value is not None
    document = {"id": id, **item(op.namespace, op.key, op.value, op.ttl)}
    if vectors is not None:
        document |= {"content": None, EMBEDDING: vectors[0] if vectors else None}
        if len(texts) > 1:
            document |= {"content": "".join(texts), EMBEDDING: [*_pieces(texts, vectors)]}
    return document


def _pieces(texts: Sequence[str], vectors: Sequence[Sequence[float]]) -> Iterator[dict[str, Any]]:
    """Yield the pieces of a content that is these texts."""
    start = 0
    for text, vector in zip(texts, vectors, strict=True):
        yield {"path": "content", "start": start, "stop": start + len(text), EMBEDDING: vector}
        start += len(text)


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
    return {"conversation_id": {"$prefix": path_of(namespace)} if namespace else {"$exists": True}}


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
        return [_is_object(path), *parts]
    if unknown := [name for name in wanted if name not in _OPERATORS]:
        raise FilterError(f"unknown operator {quoted(unknown[0])}: expected one of {', '.join(_OPERATORS)}")
    return [{path: dict(wanted)}]


def _is_object(path: str) -> dict[str, Any]:
    """Return the filter for an object: what is there, and no number, text, bool or list."""
    of_another_kind: list[dict[str, Any]] = [
        {"$gte": 0},
        {"$lt": 0},
        {"$prefix": ""},
        {"$in": [True, False]},
        {"$prefix": []},
    ]
    return {"$nor": [{path: None}, *({path: each} for each in of_another_kind)]}


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
    if kind != "prefix":
        return [{"namespace": {f"${kind}": labels}}]
    if "*" not in path:
        return [within(tuple(path))]
    # What is before the first of them is indexed.
    return [{"namespace": {"$prefix": labels}}, within(tuple(path[: path.index("*")]))]
