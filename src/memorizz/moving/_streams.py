"""What is moved: a source of documents, and the checksum by which it is seen that all of them arrived as they were."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Protocol, cast

import numpy as np

from memorizz.errors import ConfigurationError, InvalidDocument
from memorizz.memory_provider import _values
from memorizz.memory_provider._documents import CLOCKS, EMBEDDING, KEYS, Kind, fitted, given_id, own_items
from memorizz.memory_provider.base import AsyncMemoryProvider, Document, MemoryProvider, StoreName
from memorizz.memory_provider.stores import SEVEN, StoreSpec
from memorizz.moving._report import Problem


class Source(Protocol):
    """Something to read documents from: a provider, a dump, a file."""

    @property
    def location(self) -> str:
        """What is read from and where that is, without a secret."""
        ...

    @property
    def identity(self) -> str | None:
        """What tells these memories from all others, by whatever address they are reached; None where nothing does."""
        ...

    @property
    def embedding_dimensions(self) -> int | None:
        """How long the vectors are, where that is known."""
        ...

    @property
    def embedding_model(self) -> str | None:
        """The model that made the vectors, where that is known."""
        ...

    def stores(self) -> Sequence[StoreSpec]:
        """Return what each store is."""
        ...

    def count(self, store: str) -> int:
        """Return how many documents `documents` yields."""
        ...

    def expiring(self, store: str) -> int:
        """Return how many of them `documents` may leave out, because they expire before they are read."""
        ...

    def documents(self, store: str, after: str | None = None) -> Iterator[Document | Problem]:
        """Yield the documents of a store, always in the same order, with `id` and, where there is one, `embedding`.

        In the place of one that cannot be read stands a Problem. `after` is the id of a document; begins with the one
        behind it. Raises FilterError where there is none of that id. An embedding is an array in single precision, or
        whatever value stands in its place.
        """
        ...

    def left_out(self) -> Sequence[str]:
        """Return the names of collections that are no stores, and so are not moved."""
        ...


def make_stores(target: MemoryProvider, wanted: Iterable[StoreSpec]) -> None:
    """Make the stores that a target lacks; raises ConfigurationError for one that is there with another spec."""
    there = target.stores()
    for spec in wanted:
        if spec not in there:
            target.create_store(spec)


_NAMES = {spec.name for spec in SEVEN}


def choose(stores: Iterable[StoreName] | None, held: Mapping[str, Any], source: str) -> list[str]:
    """Return the names of the stores that are asked for, or of all, in the order in which a source has them."""
    wanted = None if stores is None else {store: str(store) for store in stores}
    missing = {store: name for store, name in (wanted or {}).items() if name not in held}
    unknown = [f"{store!r:.80}" for store, name in missing.items() if name not in _NAMES]
    if unknown:
        raise ConfigurationError(
            f"unknown memory store {', '.join(unknown)}: expected some of those of {source}, {', '.join(held)}"
        )
    if missing:
        raise ConfigurationError(f"{source} has no {', '.join(missing.values())}: it has {', '.join(held)}")
    return [name for name in held if wanted is None or name in wanted.values()]


def check_provider(given: object, name: str) -> None:
    """Raise ConfigurationError for what is no provider, a transaction and an async provider among it."""
    # What stands before a provider and hands its calls on is as good as one.
    if isinstance(given, AsyncMemoryProvider) or not hasattr(given, "location"):
        raise ConfigurationError(
            f"{name}: expected a provider of the blocking API, or a view of one, no transaction; got a "
            f"{type(given).__name__}"
        )


class ProviderSource:
    """The documents that a provider keeps. Those that have expired are in no read, and so they are not moved.

    embeddings: False leaves the vectors out.
    """

    def __init__(self, provider: MemoryProvider, batch_size: int = 500, *, embeddings: bool = True) -> None:
        check_provider(provider, "source")
        self.provider = provider
        self._batch_size = batch_size
        self._embeddings = embeddings

    @property
    def location(self) -> str:
        return self.provider.location

    @property
    def identity(self) -> str | None:
        return self.provider.identity

    @property
    def embedding_dimensions(self) -> int | None:
        return self.provider.embedding_dimensions

    @property
    def embedding_model(self) -> str | None:
        return self.provider.embedding_model

    def stores(self) -> Sequence[StoreSpec]:
        return self.provider.stores()

    def count(self, store: str) -> int:
        return self.provider.count(store)

    def expiring(self, store: str) -> int:
        return self.provider.count(store, {"expires_at": {"$gt": datetime.now(UTC)}})

    def documents(self, store: str, after: str | None = None) -> Iterator[Document | Problem]:
        stored = self.provider.iterate(
            store, batch_size=self._batch_size, include_embedding=self._embeddings, after=after
        )
        for document in stored:
            if EMBEDDING in without_parts(document):
                document[EMBEDDING] = single(document[EMBEDDING])
            yield document

    def left_out(self) -> Sequence[str]:
        return []


def dimensions(source: Source) -> int | None:
    """Return how long the vectors of a source are, or else the first one that it has; None where it has none."""
    if source.embedding_dimensions is not None:
        return source.embedding_dimensions
    # Those of a store with a length of its own are as long as it says.
    names = [spec.name for spec in source.stores() if spec.dimensions is None]
    documents = (each for name in names for each in source.documents(name) if not isinstance(each, Problem))
    vectors = (document.get(EMBEDDING) for document in documents)
    return next((len(cast(Any, vector)) for vector in vectors if isinstance(vector, np.ndarray)), None)


def without_parts(document: Document) -> Document:
    """Return a document without the vectors of its parts, which are made anew of its texts where it goes."""
    vector = document.get(EMBEDDING)
    if isinstance(vector, list) and vector and isinstance(vector[0], Mapping):
        document.pop(EMBEDDING)
    return document


def single(vector: Any) -> Any:
    """Return a vector as an array in single precision, which is what is stored of it.

    What is none stays as it is; an empty list, which some programs store where there is no vector, is None.
    """
    if not isinstance(vector, list):
        return vector
    if not vector:
        return None
    try:
        return np.asarray(vector, np.float32)
    except (TypeError, ValueError, OverflowError):
        return cast(Any, vector)


# --- checksums ----------------------------------------------------------------------------------------------------


class Checksum:
    """What some documents add up to, in whatever order they come: the sum of their digests.

    It shows what was lost, doubled or changed by accident; it does not keep out who forges on purpose.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0

    def add(self, document: Mapping[str, Any]) -> bytes:
        """Add a document, and return its digest."""
        made = digest(document)
        self.count += 1
        self._sum = (self._sum + int.from_bytes(made)) % 2**256
        return made

    def hexdigest(self) -> str:
        return f"{self._sum:064x}"


# A number of its own in JSON without spaces, and no part of one such as -0.05.
_NEGATIVE_ZERO = re.compile(r"(?<=[:\[,])-0\.0(?=[,\]}])")


def digest(document: Mapping[str, Any]) -> bytes:
    """Return the SHA-256 of what a document holds: its JSON, the keys in order, then its vector in single precision.

    A document has the same one in every provider. Raises InvalidDocument for what no provider can keep.
    """
    try:
        text = json.dumps(
            canonical(document), sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_json_value
        )
    except InvalidDocument:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidDocument("", f"it holds a value that cannot be written as JSON ({error})") from error
    # Zero has a sign that JSON keeps and JSONB does not.
    made = sha256(_NEGATIVE_ZERO.sub("0.0", text).encode("utf-8", "surrogatepass"))
    vector = document.get(EMBEDDING)
    if vector is not None:
        made.update(b"\0" + np.asarray(vector, "<f4").tobytes())
    return made.digest()


def canonical(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document without its embedding, each key that has a kind as that kind is given back."""
    found: dict[str, Any] = {"id": given_id(document)}
    for name, value in own_items(document):
        key = KEYS.get(name)
        if name == EMBEDDING or (value is None and name in CLOCKS):
            continue
        found[name] = value if value is None or key is None or key.kind is Kind.OBJECT else fitted(key, value, "error")
    return found


def _json_value(value: Any) -> Any:
    """Return the JSON value that is stored for one that JSON does not have."""
    return value.isoformat() if isinstance(value, datetime) else json.loads(_values.to_json(value, ""))
