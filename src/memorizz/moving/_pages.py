"""The pages of a Parquet file, read before the file is: how much memory it takes, whatever it says in its footer.

A few bytes can stand for very many: compressed pages, values that are places in a dictionary, values that are the
beginning of the one before. A reader allocates what the header of each page says. So the headers are read first, and a
file is refused whose pages are larger than those of an export, or encoded in another way. The headers are structures of
Thrift's compact protocol (https://github.com/apache/parquet-format).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, cast

# A header, which may hold the least and the largest value of its page.
_HEADER_BYTES = 64 * 2**10
_FIRST_BYTES = 512
# The kinds of pages, and the encodings of values that an export has: as they are, or as places in a dictionary.
_DATA, _DICTIONARY, _DATA_2 = 0, 2, 3
_PLAIN, _PLAIN_DICTIONARY, _RLE, _RLE_DICTIONARY = 0, 2, 3, 8
_ENCODINGS = frozenset({_PLAIN, _PLAIN_DICTIONARY, _RLE, _RLE_DICTIONARY})
# What a reader holds beside a page: for each value its levels, for each entry of a dictionary where it begins.
_VALUE_BYTES, _ENTRY_BYTES = 4, 16


class TooLarge(Exception):
    """A row group takes more memory than it may."""


class Unexpected(ValueError):
    """A page is not as an export has it."""


@dataclass(slots=True)
class Group:
    """A row group: the bytes of its pages once they are decompressed, and of those that are dictionaries."""

    bytes: int = 0
    dictionaries: int = 0


def measured(file: IO[bytes], group: Any, most: int) -> Group:
    """Return how large a row group is, of which `group` are the metadata.

    Raises TooLarge at the first page with which it takes more than `most` bytes, Unexpected for pages that no export
    has.
    """
    found = Group()
    for place in range(group.num_columns):
        for page in _pages(file, group.column(place), most):
            is_dictionary = page.kind == _DICTIONARY
            size = max(page.bytes, (_ENTRY_BYTES if is_dictionary else _VALUE_BYTES) * page.values)
            found.bytes += size
            found.dictionaries += size if is_dictionary else 0
            if found.bytes > most:
                raise TooLarge
    return found


@dataclass(frozen=True, slots=True)
class _Page:
    kind: int
    bytes: int
    values: int


def _pages(file: IO[bytes], column: Any, most: int) -> Iterator[_Page]:
    """Yield the pages of a column, one after the other."""
    begin = column.data_page_offset
    if column.has_dictionary_page and 0 < column.dictionary_page_offset < begin:
        begin = column.dictionary_page_offset
    if not 0 <= column.total_compressed_size <= most:
        raise TooLarge
    end = begin + column.total_compressed_size
    while begin < end:
        header, length = _header(file, begin)
        kind, size, compressed = (_integer(header, number) for number in (1, 2, 3))
        about: Any = header.get({_DATA: 5, _DICTIONARY: 7, _DATA_2: 8}.get(kind, -1))
        if not isinstance(about, dict):
            raise Unexpected("a page is of a kind that no export has")
        about = cast("dict[int, Any]", about)
        encoding = _integer(about, 4 if kind == _DATA_2 else 2)
        if encoding not in _ENCODINGS:
            raise Unexpected("a page has an encoding that no export has")
        yield _Page(kind, size, _integer(about, 1))
        begin += length + compressed


def _header(file: IO[bytes], place: int) -> tuple[dict[int, Any], int]:
    """Return the header of the page at a place, and its length."""
    for most in (_FIRST_BYTES, _HEADER_BYTES):
        file.seek(place)
        reader = _Thrift(file.read(most))
        try:
            return reader.structure(), reader.place
        except IndexError:
            continue
    raise Unexpected("the header of a page is cut off, or too long")


def _integer(structure: dict[int, Any], number: int) -> int:
    value = structure.get(number)
    if not isinstance(value, int) or value < 0:
        raise Unexpected("the header of a page is altered")
    return value


class _Thrift:
    """Reads structures of the compact protocol; raises IndexError where the bytes end too early."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0

    def structure(self, depth: int = 0) -> dict[int, Any]:
        """Return the fields of a structure by their numbers."""
        if depth > 8:
            raise Unexpected("the header of a page is nested too deep")
        fields: dict[int, Any] = {}
        number = 0
        while (head := self._byte()) != 0:
            number = number + (head >> 4) if head >> 4 else _unfolded(self._varint())
            fields[number] = self._value(head & 0x0F, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (1, 2):
            return kind == 1
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return _unfolded(self._varint())
        if kind == 7:
            return struct.unpack("<d", self._bytes(8))[0]
        if kind == 8:
            return self._bytes(self._varint())
        if kind == 12:
            return self.structure(depth + 1)
        # Lists, sets and maps, of which the header of a page has none.
        raise Unexpected("the header of a page is altered")

    def _byte(self) -> int:
        self.place += 1
        return self._data[self.place - 1]

    def _bytes(self, count: int) -> bytes:
        self.place += count
        if self.place > len(self._data):
            raise IndexError
        return self._data[self.place - count : self.place]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
            if shift > 63:
                raise Unexpected("the header of a page is altered")


def _unfolded(value: int) -> int:
    """Return a number that may be negative, which stands folded between the positive ones."""
    return (value >> 1) ^ -(value & 1)
