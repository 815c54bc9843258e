"""The parts of a document: the texts that the fields of a store lead to, long ones in overlapping pieces."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from memorizz.memory_provider import _values
from memorizz.memory_provider._documents import CONTENT, is_parts, text_of_parts
from memorizz.memory_provider._values import InvalidText
from memorizz.memory_provider.stores import StoreSpec, root_of

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Part:
    """A text in a document that has a vector of its own: `start` to `stop`, in characters, of what is at `path`."""

    path: str
    start: int
    stop: int
    text: str

    @property
    def digest(self) -> UUID:
        """What tells its text from others."""
        return UUID(bytes=blake2b(self.text.encode(), digest_size=16).digest())


def roots(spec: StoreSpec) -> list[str]:
    """Return the keys of a document under which it has parts."""
    return list(dict.fromkeys(map(root_of, spec.fields)))


def fields_of(spec: StoreSpec) -> Sequence[str]:
    """Return the paths of what a store embeds."""
    return spec.fields or (CONTENT,)


def parts_of(spec: StoreSpec, document: Mapping[str, Any], on_invalid: InvalidText) -> list[Part]:
    """Return the parts of a document, or of some keys of one."""
    return [
        Part(path, start, stop, text[start:stop])
        for path, text in texts_of(spec, document, on_invalid).items()
        for start, stop in pieces(text, spec.piece)
    ]


def texts_of(spec: StoreSpec, document: Mapping[str, Any], on_invalid: InvalidText) -> dict[str, str]:
    """Return the whole texts that the fields lead to, by their paths."""
    return {path: text for field in spec.fields for path, text in _texts(field, document, on_invalid)}


def text_at(spec: StoreSpec, document: Mapping[str, Any], path: str, on_invalid: InvalidText) -> str | None:
    """Return the text that a field leads to under one path of a document, as `notes[2].body`; None for no such text."""
    field = re.sub(r"\[\d+\]", "[*]", path)
    if field not in fields_of(spec):
        return None
    return dict(_texts(field, document, on_invalid)).get(path)


def _texts(field: str, document: Mapping[str, Any], on_invalid: InvalidText) -> Iterator[tuple[str, str]]:
    for path, value in _values_at("", document, field.replace("[*]", ".[*]").split(".")):
        if is_parts(value, path):
            value = text_of_parts(value)
        plain = _values.as_text(value)
        if isinstance(plain, str):
            text = _values.text(plain, path, on_invalid)
        elif value is None:
            continue
        else:
            text = json.dumps(json.loads(_values.to_json(value, path, on_invalid)), sort_keys=True, ensure_ascii=False)
        if text.strip():
            yield path, text


def _values_at(path: str, value: Any, steps: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yield each value that the steps lead to, with its path."""
    if not steps:
        yield path, value
    elif steps[0] == "[*]":
        if isinstance(value, list | tuple):
            for place, item in enumerate(cast("Sequence[Any]", value)):
                yield from _values_at(f"{path}[{place}]", item, steps[1:])
    elif isinstance(value, Mapping) and steps[0] in value:
        further = f"{path}.{steps[0]}" if path else steps[0]
        yield from _values_at(further, cast("Mapping[str, Any]", value)[steps[0]], steps[1:])


# Where a sentence ends in most scripts, or a line does.
_SENTENCE_END = re.compile(r"[.!?\u061f\u06d4\u0964]['\")\]\u201d\u2019]*\s+|[\u3002\uff01\uff1f]|\n+")
_BLANK = re.compile(r"\s+")


def pieces(text: str, size: int) -> Iterator[tuple[int, int]]:
    """Yield where the pieces of a text begin and end, each of up to `size` characters."""
    return _pieces(text, lambda start: start + size)


def _pieces(text: str, end_of: Callable[[int], int]) -> Iterator[tuple[int, int]]:
    """Yield where pieces begin and end; `end_of` says where one that begins somewhere has to end.

    A piece ends where a sentence does, if one ends in its second half, else between words, else anywhere. The next one
    begins with the last sentence, or the last words, of the one before: up to a tenth of its length.
    """
    start = 0
    while (end := end_of(start)) < len(text):
        size = end - start
        stop = _last_break(text, start + size // 2, end) or end
        if text[start:stop].strip():
            yield start, stop
        start = _first_break(text, stop - size // 10, stop) or stop - size // 10
    if text[start:].strip():
        yield start, len(text)


def _last_break(text: str, begin: int, end: int) -> int | None:
    for pattern in (_SENTENCE_END, _BLANK):
        ends = [found.end() for found in pattern.finditer(text, begin, end)]
        if ends:
            return ends[-1]
    return None


def _first_break(text: str, begin: int, end: int) -> int | None:
    for pattern in (_SENTENCE_END, _BLANK):
        found = pattern.search(text, begin, end - 1)
        if found is not None and found.end() < end:
            return found.end()
    return None


# --- by what a model reads ----------------------------------------------------------------------------------------

# What a character takes of a token, in twelfths: letters and spaces 3, for four of them are a token of English; what is
# cut smaller, as capitals, digits and other alphabets are, 6; punctuation a whole one; the scripts behind the alphabets
# 18, for some models take them apart into bytes.
_OF_ALPHABETS, _OF_OTHERS, _ALPHABETS = 6, 18, 0x590
_TOKEN = 12
# What has no space for so long is no words, such as base64: a token for each character.
_NO_WORDS = re.compile(r"[!-~]{40,}")
# The rest is for the tokens that a model adds, and for texts that are cut smaller than most.
_USED = 0.9


@cache
def _of_ascii() -> np.ndarray[Any, Any]:
    import numpy as np

    taken = np.full(128, 12, np.int8)
    taken[[*map(ord, string.ascii_lowercase + string.whitespace)]] = 3
    taken[[*map(ord, string.ascii_uppercase + string.digits)]] = 6
    return taken


def beginning(text: str, tokens: int) -> str:
    """Return as much of a text as a model reads that reads so many tokens."""
    return text[: int(_taken(text).searchsorted(tokens * _TOKEN, "right"))] if text else text


def windows(text: str, tokens: int, label: str) -> list[tuple[int, int]]:
    """Return where the pieces of a text begin and end that a model reads whole, each behind a label.

    It is one where it fits. `tokens` is how many the model reads; how many a text has is estimated, rather too many.
    """
    if (len(text) + len(label)) * _OF_OTHERS <= tokens * _USED * _TOKEN:
        return [(0, len(text))]
    room = int(tokens * _USED * _TOKEN) - int(_taken(label)[-1])
    ends = _taken(text)
    if ends[-1] <= room:
        return [(0, len(text))]

    def end_of(start: int) -> int:
        before = int(ends[start - 1]) if start else 0
        return max(int(ends.searchsorted(before + room, "right")), start + 1)

    return list(_pieces(text, end_of))


def _taken(text: str) -> np.ndarray[Any, Any]:
    """Return how much of tokens a text takes up to each of its characters, that included; for none, nothing."""
    import numpy as np

    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    taken = np.full(len(codes) or 1, _OF_OTHERS if text else 0, np.int8)
    taken[: len(codes)][codes < _ALPHABETS] = _OF_ALPHABETS
    plain = codes < len(_of_ascii())
    taken[: len(codes)][plain] = _of_ascii()[codes[plain]]
    for found in _NO_WORDS.finditer(text):
        taken[found.start() : found.end()] = _TOKEN
    return np.cumsum(taken, dtype=np.int64)
