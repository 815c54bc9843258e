"""The data of `memorizz demo`: the memories of two agents, with vectors made beforehand with a public model.

`memories.json` holds the documents and the questions to ask; `vectors.npz` holds a vector for each of their texts and
is made from it by scripts/make_demo_data.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memorizz.memory_provider.postgresql.operations.embedding import embedded_text
from memorizz.memory_provider.postgresql.rows import Text
from memorizz.memory_provider.stores import SEVEN

MODEL = "all-MiniLM-L6-v2"
DIMENSIONS = 384

Vector = NDArray[np.float32]

_SPECS = {spec.name: spec for spec in SEVEN}


@dataclass(frozen=True, slots=True, eq=False)
class DemoQuery:
    """A question to one store, within one memory or under a filter if given, and the id of the document it is for."""

    text: str
    embedding: Vector
    store: str
    caption: str
    intended: str = ""
    memory_id: str | None = None
    filter: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class DemoData:
    """The documents of each store, under the store's name, and the questions."""

    documents: dict[str, list[dict[str, Any]]]
    queries: list[DemoQuery]


def load() -> DemoData:
    """Return the documents, with their vectors under `embedding`, and the questions; agents have no vector."""
    texts = read_texts()
    vectors = _read_vectors()
    documents: dict[str, list[dict[str, Any]]] = texts["documents"]
    for store, members in documents.items():
        for document in members:
            text = text_of(store, document)
            if text is not None:
                document["embedding"] = _vector(vectors, text)
    queries = [DemoQuery(embedding=_vector(vectors, query["text"]), **query) for query in texts["queries"]]
    return DemoData(documents, queries)


def read_texts() -> dict[str, Any]:
    """Return what `memories.json` holds: the documents of each store and the questions, without vectors."""
    return json.loads(files(__name__).joinpath("memories.json").read_text(encoding="utf-8"))


def text_of(store: str, document: Mapping[str, Any]) -> str | None:
    """Return the text that a provider with an embedder would embed of a document; None for what has no vector."""
    spec = _SPECS[store]
    return embedded_text(spec.label, Text(document[spec.label], document["content"])) if spec.embedded else None


def vector_key(text: str) -> str:
    """Return the key under which the vector of a text is kept, so that a changed text has no vector."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read_vectors() -> dict[str, Vector]:
    with files(__name__).joinpath("vectors.npz").open("rb") as file, np.load(file) as arrays:
        keys: list[str] = arrays["keys"].tolist()
        vectors: Vector = arrays["vectors"].astype(np.float32)
    # Kept in half precision, the vectors are no longer of length one to the last digit.
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return dict(zip(keys, vectors, strict=True))


def _vector(vectors: Mapping[str, Vector], text: str) -> Vector:
    try:
        return vectors[vector_key(text)]
    except KeyError:
        raise LookupError(f"no vector was made for {text!r}; run scripts/make_demo_data.py") from None
