"""How an item of LangGraph's store stands in a document: what the integration writes, and an import of such items.

`namespace` is its labels, and `conversation_id` one text of them, each with its end behind it: by that what is in a
namespace or below it is found on an index, and in its order namespaces are sorted. The keys of a value stand under
`value`, where a dot in one is written as %2E, for a filter takes a dot for a step.

Of a value with several texts `content` has them all, one behind the other: they are its pieces, each with a vector.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from memorizz.integrations._providers import escaped, key_of
from memorizz.memory_provider.options import Document

# The store that items are in, unless another is named.
ITEMS = "langgraph_items"

Namespace = tuple[str, ...]

# The end of a label sorts before whatever else may stand there; where a label has it, another character is put before.
_END, _BEFORE = "\1", "\2"
_LABEL = re.compile("((?:\2.|[^\1\2])*)\1", re.DOTALL)


def path_of(namespace: Namespace) -> str:
    """Return the text of labels: that of a namespace begins with that of each one above it, and with no other's."""
    labels = _END.join(namespace)
    if _BEFORE in labels or labels.count(_END) >= len(namespace) > 0:
        labels = _END.join(label.replace(_BEFORE, _BEFORE * 2).replace(_END, _BEFORE + _END) for label in namespace)
    return labels + _END if namespace else ""


def namespaces_of(paths: Iterable[str]) -> list[Namespace]:
    """Return the labels of paths, of which there may be many."""
    return [_unescaped(path) if _BEFORE in path else tuple(path[:-1].split(_END)) for path in paths]


def _unescaped(path: str) -> Namespace:
    return tuple(re.sub("\2(.)", r"\1", label, flags=re.DOTALL) for label in _LABEL.findall(path))


def id_of(namespace: Namespace, key: str) -> str:
    return key_of(*namespace, key)


def item(namespace: Namespace, key: str, value: Mapping[str, Any], ttl: float | None) -> Document:
    """Return the document of an item without its id and its vectors; `ttl` is in minutes."""
    return {
        "conversation_id": path_of(namespace),
        "namespace": [*namespace],
        "key": key,
        "value": {escaped(name): each for name, each in value.items()},
        "ttl": None if ttl is None else ttl * 60,
    }
