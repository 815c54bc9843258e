"""An export as JSON Lines: a manifest, a line for each document, and an end that says what must have been there.

Each line ends with the CRC-32 of the file up to there, so a change, a gap or a cut is found at the line where it is.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np

from memorizz.errors import InvalidFile
from memorizz.memory_provider._documents import EMBEDDING
from memorizz.moving._files import Opened
from memorizz.moving._limits import check_bytes, check_json
from memorizz.moving._manifest import Entry, Manifest, Tally, to_json

_CRC = b',"crc32":"'


# --- writing ------------------------------------------------------------------------------------------------------


def write(file: IO[bytes], manifest: Manifest, entries: Iterable[Entry]) -> Tally:
    """Write an export, one document at a time; return the number of documents and their checksums."""
    tally, crc = Tally(manifest.stores), 0
    for line in _lines(manifest, tally, entries):
        body = to_json(line)[:-1].encode()
        crc = zlib.crc32(body, crc)
        file.write(b'%b%b%08x"}\n' % (body, _CRC, crc))
    return tally


def _lines(manifest: Manifest, tally: Tally, entries: Iterable[Entry]) -> Iterator[dict[str, Any]]:
    yield manifest.to_json()
    for store, document in tally.count(entries):
        own = {key: value for key, value in document.items() if key not in ("_id", EMBEDDING)}
        yield {"store": store, "document": own, EMBEDDING: _encoded(document.get(EMBEDDING))}
    yield {"end": tally.to_json()}


def _encoded(vector: Any) -> str | None:
    """Return a vector as single-precision numbers, the lowest byte first, in base64."""
    return None if vector is None else base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()


# --- reading ------------------------------------------------------------------------------------------------------


def read(source: Opened) -> tuple[Manifest, Iterator[Entry]]:
    """Return the manifest of an export, and its documents one at a time.

    Raises InvalidFile where the file is no export, and while the documents are read, at the first line that is not as
    it was written; the last document is followed by the comparison with the end.
    """
    lines = _Lines(source)
    first = lines.next()
    manifest = Manifest.from_json(first, source.name, "line 1")
    lines.check()
    return manifest, _entries(lines, manifest)


def _entries(lines: _Lines, manifest: Manifest) -> Iterator[Entry]:
    tally = Tally(manifest.stores)
    yield from tally.count(_documents(lines, manifest))
    tally.compare(lines.value["end"], lines.source.name, lines.where)
    if lines.next() is not None:
        raise lines.invalid("something follows the end of the export")


def _documents(lines: _Lines, manifest: Manifest) -> Iterator[Entry]:
    """Yield the documents up to the end, which is then the current line."""
    while "end" not in lines.checked():
        try:
            store = str(lines.value["store"])
            document = lines.value["document"] | {EMBEDDING: _decoded(lines.value[EMBEDDING])}
        except (KeyError, TypeError, ValueError) as error:
            raise lines.invalid(f"expected a document with its store and embedding ({error})") from error
        if store not in manifest.stores:
            raise lines.invalid(f"the manifest names no store {store!r}")
        yield store, document


def _decoded(text: str | None) -> Any:
    return None if text is None else np.frombuffer(base64.b64decode(text, validate=True), "<f4")


def _damage(error: Exception) -> str:
    if "too much memory" in str(error):
        return f"zstd needs too much memory for it ({error}): compress it again without --long and --ultra"
    return f"the file is cut off or altered here, and cannot be read on ({error})"


class _Lines:
    """The lines of a file, each checked: `value` is what stands in the current one."""

    def __init__(self, source: Opened) -> None:
        self.source = source
        self.value: dict[str, Any] = {}
        self._number = 0
        self._crc = 0
        self._line = b""

    @property
    def where(self) -> str:
        return f"line {self._number:,}"

    def invalid(self, reason: str) -> InvalidFile:
        return InvalidFile(self.source.name, self.where, reason)

    def checked(self) -> dict[str, Any]:
        """Return what stands in the next line; raises InvalidFile where there is none, or another than was written."""
        if self.next() is None:
            raise self.invalid("the export is cut off before its end")
        self.check()
        return self.value

    def next(self) -> Any:
        """Return what stands in the next line, None after the last one."""
        self._number += 1
        name, most = self.source.name, self.source.most
        try:
            self._line = self.source.stream.readline(most + 1)
        except self.source.damage as error:
            raise self.invalid(_damage(error)) from error
        if not self._line:
            return None
        check_bytes(len(self._line), most, name, self.where, "the line")
        check_json(self._line, most, name, self.where)
        try:
            self.value = json.loads(self._line.decode())
        except (ValueError, RecursionError) as error:
            if not self._line.endswith(b"\n"):
                raise self.invalid("the line is cut off") from error
            raise self.invalid(f"the line is altered, or no line of an export: it is no JSON ({error})") from error
        return self.value

    def check(self) -> None:
        """Raise InvalidFile unless the current line, and all before it, are as they were written."""
        body, _, _ = self._line.rpartition(_CRC)
        self._crc = zlib.crc32(body, self._crc)
        if self._line != b'%b%b%08x"}\n' % (body, _CRC, self._crc):
            raise self.invalid("altered, or not the line that follows here: its crc32 is another")
