"""What a store is, as data: the seven that every schema has, and those that a caller makes beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Literal, Self, cast, get_args

from memorizz.errors import ConfigurationError, quoted
from memorizz.memory_provider.memory_type import MemoryType

Distance = Literal["cosine", "l2", "inner_product"]
VectorType = Literal["vector", "halfvec"]
IndexKind = Literal["hnsw", "halfvec", "none"]

# pgvector's limits, in dimensions: of a vector, and of what each kind of index takes.
MAX_DIMENSIONS = 16_000
_MAX_INDEXED: Mapping[IndexKind, int] = {"hnsw": 2000, "halfvec": 4000, "none": MAX_DIMENSIONS}
DEFAULT_DIMENSIONS = 1536
# How an HNSW index is built: what finds 99 of 100 of the nearest (docs/benchmarks.md), where pgvector's own 16 and 64
# lose some for good.
DEFAULT_M, DEFAULT_EF_CONSTRUCTION = 24, 128

# Room is left for what is appended to make the name of an index, which PostgreSQL cuts at 63 bytes.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_RESERVED = ("memorizz_", "pg_")
# A path to texts: keys by dots, [*] every element of a list.
_FIELD = re.compile(r"[^.\[\]\s]+(\[\*\])*(\.[^.\[\]\s]+(\[\*\])*)*")
_LONGEST_FIELD = 200
# Each partition has all indexes of its own, which whoever makes or drops the store locks at once.
MAX_PARTITIONS = 128
# The names of their indexes are longer.
_LONGEST_IN_PARTITIONS = 32
# Characters: about as many as 500 words' pieces of a model, which the windows of most embedders hold.
DEFAULT_PIECE = 2000


@dataclass(frozen=True, slots=True)
class VectorField:
    """The vectors of a store: how long they are, how they are compared, and how they are indexed."""

    dimensions: int
    distance: Distance = "cosine"
    index: IndexKind = "hnsw"
    m: int = DEFAULT_M
    ef_construction: int = DEFAULT_EF_CONSTRUCTION


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """Say what a store is.

    name: lower-case letters, digits and underscores, up to 40, the first a letter; the name of its table.
    dimensions: the length of its vectors; None is that of the seven stores, whose embedding model it then shares.
    distance: "cosine", "l2" or "inner_product"; the score of a hit is 1 - distance, 1 / (1 + distance) and the inner
        product itself.
    index: "hnsw", "halfvec" (cosine only) or "none"; None is the first of these that pgvector can make.
    vector_type: how PostgreSQL keeps its vectors: "vector", exact in single precision, or "halfvec", rounded to half,
        in half the room; the index "hnsw" is of them as they are, so that "halfvec" is none of theirs.
    label: the key that says whose words the `content` is ("role") or what it is about ("name"); it is embedded and
        searched together with the content.
    timeline: each document has a `timestamp`; hits can be returned with the documents before and after (`context`).
    embedded: an embedder makes the vectors of documents that are stored without one.
    memories: its documents belong to memories: they are searched where no store is named, and deleted with the agent
        whose memories they are.
    fields: the paths of what is embedded, where that is not one text: `("text", "notes[*].body")`; keys by dots, `[*]`
        every element of a list. Each text that they lead to has vectors of its own, and a document is found by its
        best. A text stands as it is, any other value as its JSON. With fields, no label is put before a text.
    piece: with fields, a text longer than so many characters is embedded in overlapping pieces, cut at sentence ends.
    partitions: in how many tables its documents lie in PostgreSQL, 2 to 128, by the hash of their tenant: a call
        reads one of them, with indexes of its own; None is one table. The name has 32 characters at most then.
    session, speaker, neighbours, time, asking: what these weights of a Ranking are where the caller gives none.

    Raises ConfigurationError for what cannot be.
    """

    name: str
    dimensions: int | None = None
    distance: Distance = "cosine"
    index: IndexKind | None = None
    vector_type: VectorType = "vector"
    label: Literal["name", "role"] = "name"
    timeline: bool = False
    embedded: bool = True
    memories: bool = True
    session: float = 0.0
    speaker: float = 0.0
    neighbours: float = 0.0
    time: float = 0.0
    asking: float = 0.0
    fields: Sequence[str] = ()
    piece: int = DEFAULT_PIECE
    partitions: int | None = None

    def __post_init__(self) -> None:
        name = cast(object, self.name)
        if not isinstance(name, str) or _NAME.fullmatch(name) is None or name.startswith(_RESERVED):
            raise ConfigurationError(
                f"{quoted(name)} is no name for a store: expected lower-case letters, digits and underscores, up to "
                "40, the first a letter, and not beginning with memorizz_ or pg_"
            )
        dimensions = cast(object, self.dimensions)
        if not (dimensions is None or (type(dimensions) is int and 1 <= dimensions <= MAX_DIMENSIONS)):
            raise ConfigurationError(f"dimensions={quoted(dimensions)}: expected 1 to {MAX_DIMENSIONS:,}")
        for option, allowed in (
            ("distance", get_args(Distance)),
            ("vector_type", get_args(VectorType)),
            ("label", ("name", "role")),
        ):
            if getattr(self, option) not in allowed:
                raise ConfigurationError(
                    f"{option}={quoted(getattr(self, option))}: expected one of {', '.join(allowed)}"
                )
        if self.index not in (None, *get_args(IndexKind)):
            raise ConfigurationError(f"index={quoted(self.index)}: expected hnsw, halfvec or none")
        object.__setattr__(self, "fields", _checked_fields(self.fields))
        piece = cast(object, self.piece)
        if not (type(piece) is int and piece >= _SHORTEST_PIECE):
            raise ConfigurationError(
                f"piece={quoted(piece)}: expected a whole number of characters, {_SHORTEST_PIECE} or more"
            )
        partitions = cast(object, self.partitions)
        if not (partitions is None or (type(partitions) is int and 2 <= partitions <= MAX_PARTITIONS)):
            raise ConfigurationError(
                f"partitions={quoted(partitions)}: expected 2 to {MAX_PARTITIONS}, or None for one table"
            )
        if partitions is not None and len(self.name) > _LONGEST_IN_PARTITIONS:
            raise ConfigurationError(
                f"{quoted(self.name)} is too long for a store in partitions, whose indexes have longer names: "
                f"expected up to {_LONGEST_IN_PARTITIONS} characters"
            )
        check_index(self.index, self.vector_type)
        if self.index == "halfvec" and self.distance != "cosine":
            raise ConfigurationError("index='halfvec' compares directions only: it takes distance='cosine'")

    def vector(
        self, dimensions: int, m: int = DEFAULT_M, ef_construction: int = DEFAULT_EF_CONSTRUCTION
    ) -> VectorField:
        """Return the vectors of the store, where those of the seven have this length; raises ConfigurationError."""
        dimensions = self.dimensions or dimensions
        possible = self.possible_index(dimensions)
        if self.index is not None and dimensions > (most := most_indexed(self.index, self.vector_type)):
            raise ConfigurationError(
                f"pgvector indexes up to {most:,} dimensions as {self.index}, "
                f"{self.name} has {dimensions:,}: use index={possible!r}"
            )
        return VectorField(dimensions, self.distance, self.index or possible, m, ef_construction)

    def possible_index(self, dimensions: int) -> IndexKind:
        """Return the kind of vector index that pgvector can make of vectors of the store that are this long."""
        if dimensions <= most_indexed("hnsw", self.vector_type):
            return "hnsw"
        is_possible = dimensions <= most_indexed("halfvec", self.vector_type) and self.distance == "cosine"
        return "halfvec" if is_possible else "none"

    def score(self, distance: float) -> float:
        """Return the score of a distance: less of the one is more of the other."""
        if self.distance == "cosine":
            return 1.0 - distance
        return 1.0 / (1.0 + distance) if self.distance == "l2" else -distance

    def as_json(self) -> dict[str, Any]:
        """Return what `from_json` makes the spec of."""
        return asdict(self)

    @classmethod
    def from_json(cls, noted: Mapping[str, Any]) -> Self:
        """Return the spec that was noted; a key of a later version is left out."""
        return cls(**{key: value for key, value in noted.items() if key in cls.__dataclass_fields__})


_SHORTEST_PIECE = 100
_NO_FIELDS = ("id", "_id", "embedding", "score", "distance")


def _checked_fields(given: object) -> tuple[str, ...]:
    """Return the fields of a spec; raises ConfigurationError for what is no path of a text."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ConfigurationError(
            f"fields={quoted(given)}: expected a tuple of paths, such as ('text', 'notes[*].body')"
        )
    for path in cast("Sequence[object]", given):
        if not isinstance(path, str) or len(path) > _LONGEST_FIELD or _FIELD.fullmatch(path) is None:
            raise ConfigurationError(
                f"fields: {quoted(path)} is no path: expected keys by dots, [*] for every element of a list, as in "
                f"notes[*].body, up to {_LONGEST_FIELD} characters"
            )
        if root_of(path) in _NO_FIELDS or path.startswith("_"):
            raise ConfigurationError(f"fields: {quoted(path)} is not a document's own text")
    return tuple(dict.fromkeys(cast("Sequence[str]", given)))


def root_of(path: str) -> str:
    """Return the key of a document that a path begins with."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def most_indexed(kind: IndexKind, vector_type: VectorType) -> int:
    """Return how many dimensions an index of a kind takes, of vectors of a type."""
    return _MAX_INDEXED["halfvec" if (kind, vector_type) == ("hnsw", "halfvec") else kind]


def check_index(index: IndexKind | None, vector_type: VectorType) -> None:
    """Raise ConfigurationError for a kind of index that vectors of a type have none of."""
    if (index, vector_type) == ("halfvec", "halfvec"):
        raise ConfigurationError(
            "index='halfvec' is half of what vector_type='vector' keeps: with vector_type='halfvec', index='hnsw' is "
            "as small"
        )


# How far what stands around a turn counts for it. Measured: docs/search.md.
_OF_TURNS: Mapping[str, Any] = {"session": 0.4, "speaker": 0.05, "neighbours": 0.05, "time": 0.05, "asking": 0.05}
SEVEN = tuple(
    StoreSpec(
        member.value,
        label="role" if member is MemoryType.CONVERSATION_MEMORY else "name",
        timeline=member is MemoryType.CONVERSATION_MEMORY,
        embedded=member is not MemoryType.MEMAGENT,
        memories=member is not MemoryType.MEMAGENT,
        # Measured: docs/search.md.
        **(_OF_TURNS if member is MemoryType.CONVERSATION_MEMORY else {}),
    )
    for member in MemoryType
)
CONVERSATIONS, AGENTS = MemoryType.CONVERSATION_MEMORY.value, MemoryType.MEMAGENT.value
# Where what is to be remembered goes, unless a store is named.
FACTS = MemoryType.LONG_TERM_MEMORY.value


class UnknownStore(ConfigurationError):
    """A name that no store has; another process may have made it since."""


def unknown_store(name: object, known: Iterable[str]) -> UnknownStore:
    """Return the error for a name that is none of the stores'."""
    return UnknownStore(f"unknown memory store {quoted(name)}: expected a MemoryType or one of {', '.join(known)}")


def checked_spec(spec: object) -> StoreSpec:
    """Return a spec; raises ConfigurationError for what is none."""
    if not isinstance(spec, StoreSpec):
        raise ConfigurationError(f"create_store() takes a StoreSpec, got {type(spec).__name__}")
    return spec


def check_same(there: StoreSpec, wanted: StoreSpec) -> None:
    """Raise ConfigurationError where a store of the wanted name is there with another spec."""
    if there != wanted:
        one, other = there.as_json(), wanted.as_json()
        differences = ", ".join(f"{key} is {one[key]!r}, not {other[key]!r}" for key in one if one[key] != other[key])
        raise ConfigurationError(
            f"a store {wanted.name!r} is there with another spec: {differences}; use its spec, or another name"
        )


def is_one_of_seven(name: str) -> bool:
    """Return True for the name of a store that is always there."""
    return any(spec.name == name for spec in SEVEN)


def check_droppable(name: str) -> None:
    """Raise ConfigurationError for the name of one of the seven stores."""
    if is_one_of_seven(name):
        raise ConfigurationError(f"{name} is one of the seven stores that are always there: delete_all() empties it")


def check_history_yes(name: str, yes: bool) -> None:
    """Raise ConfigurationError unless a caller has said that a history is to be deleted."""
    if yes is not True:
        raise ConfigurationError(f"drop_history({quoted(name)}) deletes every version of its documents: say yes=True")


def checked_retention(retention: object) -> timedelta | None:
    """Return how long a history is kept; raises ConfigurationError for what is no time above 0."""
    if retention is None or (isinstance(retention, timedelta) and retention > timedelta(0)):
        return retention
    raise ConfigurationError(f"retention={quoted(retention)}: expected a timedelta above 0, or None for ever")


def check_yes(name: str, yes: bool) -> None:
    """Raise ConfigurationError unless a caller has said that a store is to be dropped."""
    if yes is not True:
        raise ConfigurationError(f"drop_store({quoted(name)}) deletes every document of the store: say yes=True")
