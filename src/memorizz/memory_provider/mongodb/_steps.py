"""What an operation may ask of the world outside: the steps that it yields.

An operation is a generator. It yields steps, is sent what they returned, and returns its result; a driver of either API
performs the steps. Nothing in here does any IO or knows the driver.

`writes` of a step are the ids that an error names where no answer came; it is None where the step writes nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

Record = dict[str, Any]
Stage = Mapping[str, Any]
Filter = Mapping[str, Any]
Order = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Read:
    """An aggregation over one collection. Returns its records."""

    collection: str
    pipeline: Sequence[Stage]
    writes: None = None


@dataclass(frozen=True, slots=True)
class Insert:
    """A record that is not there yet."""

    record: Record


@dataclass(frozen=True, slots=True)
class Update:
    """A pipeline that says what becomes of one record, or of `many`; `upsert` has it make the one that is not there."""

    filter: Filter
    pipeline: Sequence[Stage]
    upsert: bool = False
    many: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """The end of every record that matches."""

    filter: Filter


@dataclass(frozen=True, slots=True)
class Write:
    """Changes of one collection, in order; one round trip. Returns Changed."""

    collection: str
    changes: Sequence[Insert | Update | Delete]
    writes: Sequence[str] = ()


class Changed(NamedTuple):
    """How many records a Write has found, has deleted, and has made or made another."""

    matched: int
    deleted: int
    written: int


@dataclass(frozen=True, slots=True)
class Take:
    """Delete one record, the first in an order. Returns its `_id` and `expires_at`, or None."""

    collection: str
    filter: Filter
    order: Order = field(default_factory=dict[str, int])
    writes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """A command to the database, or to the server as a whole (`admin`). Returns its reply.

    Where the server refuses an `optional` one, that returns None.
    """

    command: Mapping[str, Any]
    optional: bool = False
    admin: bool = False
    writes: Sequence[str] | None = None


Step = Read | Write | Take | Command

T = TypeVar("T")
Operation = Generator[Step, Any, T]


def fetch(read: Read) -> Operation[list[Record]]:
    """Ask for the records of an aggregation; `yield from` it."""
    records: list[Record] = yield read
    return records


def change(collection: str, *changes: Insert | Update | Delete, writes: Sequence[str] = ()) -> Operation[Changed]:
    """Ask for changes of one collection, of documents with the ids `writes`; `yield from` it."""
    changed: Changed = yield Write(collection, changes, writes)
    return changed


def take(step: Take) -> Operation[Record | None]:
    """Ask for one record to be deleted; `yield from` it."""
    record: Record | None = yield step
    return record
