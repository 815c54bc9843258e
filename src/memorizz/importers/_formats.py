"""What a format of memories is, and what is found in a file of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Literal, cast, get_args

from memorizz.errors import ConfigurationError, quoted
from memorizz.importers._source import LOOKED_AT, Member, Source
from memorizz.memory_provider.stores import CONVERSATIONS, StoreSpec

DateOrder = Literal["dmy", "mdy", "ymd"]


@dataclass(frozen=True, slots=True)
class Found:
    """A document that a file holds.

    place: where in the file, for messages.
    key: what tells it from all others of the format, its own id as a rule; its id is made of it. Never a number that
        moves when the file grows.
    document: what is stored; without `id`, but where a document comes back that was exported from here.
    store: where it is stored.
    remarks: what had to be assumed for it, "the clock says no zone: read as UTC".
    """

    place: str
    key: tuple[str, ...]
    document: Mapping[str, Any]
    store: str = CONVERSATIONS
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that a file holds and that is not stored: where it stands, and why.

    A report counts them by `reason`, which therefore names nothing that is each time another.
    """

    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class Options:
    """What a file may not say of itself: the zone of its clocks, and the order of day, month and year in its dates.

    embeddings: whether its vectors are taken along, which are then of the model that the target has.
    """

    timezone: tzinfo = UTC
    date_order: DateOrder | None = None
    embeddings: bool = False

    def __post_init__(self) -> None:
        if self.date_order not in (None, *get_args(DateOrder)):
            raise ConfigurationError(f"date_order={quoted(self.date_order)}: expected 'dmy', 'mdy' or 'ymd'")
        if not isinstance(cast(object, self.timezone), tzinfo):
            raise ConfigurationError(f"timezone={quoted(self.timezone)}: expected a tzinfo, ZoneInfo('Europe/Rome')")

    def of_epoch(self, seconds: Any) -> datetime | None:
        """Return the time so many seconds after 1970, None for what is none."""
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            return None
        try:
            return datetime.fromtimestamp(seconds, UTC)
        except (ValueError, OverflowError, OSError):
            return None

    def of_text(self, text: Any) -> tuple[datetime | None, tuple[str, ...]]:
        """Return a time in ISO 8601, None for what is none, and what had to be assumed for it."""
        try:
            read = datetime.fromisoformat(text)
        except (TypeError, ValueError):
            return None, ()
        return self.in_zone(read)

    def in_zone(self, time: datetime) -> tuple[datetime | None, tuple[str, ...]]:
        """Return a time in UTC, and what had to be assumed for it; without a zone it is one of `timezone`."""
        remarks = () if time.tzinfo is not None else (f"the clock says no zone: read as {self.timezone}",)
        try:
            return (time if time.tzinfo is not None else time.replace(tzinfo=self.timezone)).astimezone(UTC), remarks
        except (ValueError, OverflowError):
            return None, ()


@dataclass(frozen=True, slots=True)
class Format:
    """How memories of another program are recognised and read.

    name: what `--format` takes. title: what a person calls it.
    recognises: returns True for a source of the format, by what is in it and never by a file's name alone. It reads
        the beginning of a file only, and is also right for one that is cut off behind that.
    read: yields what the source holds, in the order of the file or of time. It is called twice, and nothing is stored
        before it has come to its end once, so it raises InvalidFile wherever the file is not as it must be. It holds
        one conversation at most in memory.
    stores: returns what those of its stores are that are not among the seven; they are made where they are missing.
    """

    name: str
    title: str
    recognises: Callable[[Source], bool]
    read: Callable[[Source, Options], Iterator[Found | LeftOut]]
    stores: Callable[[Source], Sequence[StoreSpec]] = lambda source: ()


def format_of_files(
    name: str,
    title: str,
    pattern: str,
    is_one: Callable[[Member], bool],
    read: Callable[[Member, Options], Iterator[Found | LeftOut]],
) -> Format:
    """Return a format of which each file is one of its own; `pattern` is that of their paths in a folder."""

    def recognises(source: Source) -> bool:
        return any(is_one(member) for member in source.files(pattern)[:LOOKED_AT])

    def read_all(source: Source, options: Options) -> Iterator[Found | LeftOut]:
        for member in source.files(pattern):
            if is_one(member):
                yield from read(member, options)

    return Format(name, title, recognises, read_all)
