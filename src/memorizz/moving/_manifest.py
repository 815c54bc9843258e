"""What an export says of itself: its format, what made it, whose vectors it holds, and what must be in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Self, cast

from memorizz.errors import InvalidFile, quoted
from memorizz.memory_provider.base import Document
from memorizz.memory_provider.stores import SEVEN, StoreSpec
from memorizz.moving._streams import Checksum

Entry = tuple[str, Document]
# Is told the store and the id of a document that is not written, and the reason.
Refuse = Callable[[str, str, str], None]

FORMAT = "memorizz export"
# The version of both file formats, described in docs/file-format.md. What an older reader cannot read needs a new one.
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What is known of an export before its first document.

    stores: how many documents each store had when the export began; what they are in the end stands behind them.
    specs: what those of the stores are that are not among the seven.
    """

    software: str
    exported_at: str
    stores: Mapping[str, int]
    dimensions: int | None
    model: str | None
    specs: Sequence[StoreSpec] = ()

    @classmethod
    def now(
        cls, stores: Mapping[str, int], dimensions: int | None, model: str | None, specs: Sequence[StoreSpec]
    ) -> Self:
        return cls(
            software=f"memorizz-postgresql {version('memorizz-postgresql')}",
            exported_at=datetime.now(UTC).isoformat(timespec="seconds"),
            stores=stores,
            dimensions=dimensions,
            model=model,
            specs=specs,
        )

    def to_json(self) -> dict[str, Any]:
        specs = [spec.as_json() for spec in self.specs]
        return {"format": FORMAT, "version": VERSION} | vars(self) | {"specs": specs}

    @classmethod
    def from_json(cls, found: Any, file: str, where: str) -> Self:
        """Return the manifest in a file; raises InvalidFile for what is none, or of another version."""
        noted = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
        if noted.get("format") != FORMAT:
            raise InvalidFile(file, where, 'this is no export of memorizz: expected a manifest, {"format": ...}')
        if noted.get("version") != VERSION:
            raise InvalidFile(
                file,
                where,
                f"the file has version {quoted(noted.get('version'))} of the format, made by "
                f"{quoted(noted.get('software'))}, this program reads version {VERSION}: load it with the program "
                "that made it, or with a newer one",
            )
        try:
            specs = [StoreSpec.from_json(spec) for spec in noted.get("specs", [])]
            return cls(
                software=str(noted["software"]),
                exported_at=str(noted["exported_at"]),
                stores=_counts(noted["stores"], specs),
                dimensions=noted["dimensions"],
                model=noted["model"],
                specs=specs,
            )
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise InvalidFile(file, where, f"the manifest is incomplete: {error}") from error


def _counts(stores: Mapping[str, Any], specs: Sequence[StoreSpec]) -> dict[str, int]:
    """Return the number of documents of each store; raises ValueError for a store of which nobody says what it is."""
    unknown = set(stores).difference(spec.name for spec in (*SEVEN, *specs))
    if unknown:
        raise ValueError(f"it does not say what {', '.join(sorted(unknown))} is")
    return {store: int(count) for store, count in stores.items()}


class Tally:
    """Counts documents on their way through, and takes the checksum of each store."""

    def __init__(self, stores: Iterable[str]) -> None:
        self._checksums = {store: Checksum() for store in stores}

    @property
    def counts(self) -> dict[str, int]:
        return {store: checksum.count for store, checksum in self._checksums.items()}

    def count(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        for store, document in entries:
            self._checksums[store].add(document)
            yield store, document

    def to_json(self) -> dict[str, Any]:
        return {
            store: {"documents": checksum.count, "checksum": checksum.hexdigest()}
            for store, checksum in self._checksums.items()
        }

    def compare(self, end: Any, file: str, where: str) -> None:
        """Raise InvalidFile unless the documents were those that the end of a file says it holds."""
        if end != self.to_json():
            raise InvalidFile(file, where, f"the file is to hold {end}, but held {self.to_json()}")


def to_json(value: Any) -> str:
    """Return JSON in its shortest form; the times that documents have become ISO 8601 texts."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_time)


def _time(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"a {type(value).__name__} is not what a provider gives back")
