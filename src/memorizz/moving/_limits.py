"""How much of a source is in memory at once: so many bytes a document and a batch, however small a file holds it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast

import numpy as np

from memorizz.errors import InvalidFile

Item = TypeVar("Item")

MEGABYTE = 2**20
# The most that one document of an import may be, as JSON or as a row, unless the caller says otherwise.
DOCUMENT_BYTES = 4 * MEGABYTE
# Documents are stored in batches of so many bytes of memory, or of one document that is larger.
BATCH_BYTES = 16 * MEGABYTE
# Python needs for each value of a JSON text at least so many bytes beside the text itself.
_VALUE_BYTES = 40
# A JSON text of so many bytes needs at most so many times as many.
JSON_FACTOR = 1 + _VALUE_BYTES

# What a key of a document takes, as a rule.
_KEY_BYTES = 64

_JSON_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)


def too_large(what: str, most: int) -> str:
    """Return why a part of a file is refused, and how it can be read all the same."""
    return (
        f"{what} needs more memory than the {most:,} bytes that one document may have: if you trust the file, raise "
        "the limit (--max-document-mb, max_document_bytes=...)"
    )


def check_bytes(count: int, most: int, file: str, where: str, what: str) -> None:
    """Raise InvalidFile if a part of a file is larger than one document may be."""
    if count > most:
        raise InvalidFile(file, where, too_large(what, most))


def check_json(text: bytes, most: int, file: str, where: str) -> None:
    """Raise InvalidFile if a JSON text, or what Python makes of it, is larger than one document may be."""
    # Quick for what is small; after it, for what has no more commas and brackets than it may; those inside of strings
    # begin no value.
    if len(text) * JSON_FACTOR > most and len(text) + _values_bytes(text) > most:
        values = _values_bytes(_JSON_STRING.sub(b"", text)) if len(text) <= most else 0
        check_bytes(len(text) + values, most, file, where, "the JSON")


def _values_bytes(text: bytes) -> int:
    return _VALUE_BYTES * (text.count(b",") + text.count(b"[") + text.count(b"{"))


def batches(items: Iterable[Item], count: int, size_of: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Yield items in lists of so many, or of so many bytes where that is less."""
    batch: list[Item] = []
    held = 0
    for item in items:
        more = size_of(item)
        if batch and (len(batch) == count or held + more > BATCH_BYTES):
            yield batch
            batch, held = [], 0
        batch.append(item)
        held += more
    if batch:
        yield batch


def size(document: Mapping[str, Any]) -> int:
    """Return about how many bytes of memory a document takes."""
    found = 0
    values: list[Any] = [document]
    while values:
        value = values.pop()
        found += value.nbytes if isinstance(value, np.ndarray) else sys.getsizeof(cast(object, value))
        if isinstance(value, dict):
            inner = cast("Mapping[str, Any]", value)
            found += _KEY_BYTES * len(inner)
            values.extend(inner.values())
        elif isinstance(value, list):
            values.extend(cast("Iterable[Any]", value))
    return found
