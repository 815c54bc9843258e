"""What an operation may ask of the world outside: the steps that it yields.

An operation is a generator. It yields steps, is sent back their results, and returns its result; a driver on the
sync or the async API performs the steps. Nothing in here does any IO or knows the driver.
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
    """An aggregation over one collection. Brings back its records."""

    collection: str
    pipeline: Sequence[Stage]


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
    """Every record that matches goes."""

    filter: Filter


@dataclass(frozen=True, slots=True)
class Write:
    """Changes of one collection, in order; one round trip. Brings back Changed."""

    collection: str
    changes: Sequence[Insert | Update | Delete]


class Changed(NamedTuple):
    """What a Write has done; `inserted` are the keys of the records that an upsert has made."""

    matched: int
    deleted: int
    inserted: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Take:
    """Delete one record, the first in an order. Brings back its `_id` and `expires_at`, or None."""

    collection: str
    filter: Filter
    order: Order = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Command:
    """A command to the database, or to the server as a whole (`admin`). Brings back its reply.

    Where the server refuses an `optional` one, that returns None.
    """

    command: Mapping[str, Any]
    optional: bool = False
    admin: bool = False


Step = Read | Write | Take | Command

T = TypeVar("T")
Operation = Generator[Step, Any, T]


def fetch(read: Read) -> Operation[list[Record]]:
    """Ask for the records of an aggregation; `yield from` it."""
    records: list[Record] = yield read
    return records


def change(collection: str, *changes: Insert | Update | Delete) -> Operation[Changed]:
    """Ask for changes of one collection; `yield from` it."""
    changed: Changed = yield Write(collection, changes)
    return changed


def take(step: Take) -> Operation[Record | None]:
    """Ask for one record to be deleted; `yield from` it."""
    record: Record | None = yield step
    return record
