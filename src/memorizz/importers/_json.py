"""JSON that is read piece by piece: never more of it in memory than one value."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, cast

from memorizz.errors import InvalidFile
from memorizz.moving._limits import check_json

_SPACE = re.compile(r"[ \t\n\r]*")
_CHUNK = 2**16
# What follows a place where the decoder gives up for want of more: a surrogate pair, written as two escapes.
_MARGIN = 16
_BEHIND_NUMBER = (",", "]", "}", " ", "\t", "\n", "\r")
# What may stand behind the number that the decoder finds in a text that ends within a number.
_UNFINISHED_NUMBER = re.compile(r"(\.|[eE][+-]?)?")


class JSONReader:
    """The values of a JSON text, in order.

    read: returns the next bytes, none at the end. invalid: makes the error for a place and a reason. most: no value
    that is returned may need more bytes than this.
    """

    def __init__(self, read: Callable[[int], bytes], invalid: Callable[[str, str], InvalidFile], most: int) -> None:
        self._read = read
        self._invalid = invalid
        self._most = most
        self._decode = codecs.getincrementaldecoder("utf-8")("strict")
        self._text = ""
        self._at = 0
        self._passed = 0  # bytes before _text
        self._fetched = 0  # bytes
        self._ended = False

    def is_at(self, character: str) -> bool:
        """Return True if this is the next character that is no space."""
        return self._next() == character

    def value(self) -> Any:
        """Return the value that stands here."""
        self._next()
        wanted = _CHUNK
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except (ValueError, RecursionError) as error:
                if self._ended or not self._may_go_on(error):
                    raise self._wrong(error) from None
            else:
                if isinstance(value, dict | list | str) or self._is_over(end):
                    self._at = end
                    return cast(Any, value)
            rest = self._text[self._at :].encode("utf-8", "surrogatepass")
            place = self._place()
            if len(rest) > self._most // 64:
                refused = self._invalid(place, "")
                check_json(rest, self._most, refused.file, refused.where)
            self._fetch(wanted)
            # Each time as much again: what is decoded from its beginning anew adds up to no more than twice of it.
            wanted *= 2

    def elements(self) -> Iterator[Any]:
        """Yield what the array that stands here holds; raises InvalidFile where there is none."""
        self._take("[", "an array")
        if self.is_at("]"):
            self._at += 1
            return
        while True:
            yield self.value()
            if self.is_at("]"):
                self._at += 1
                return
            self._take(",", "a comma or the end of the array")

    def keys(self) -> Iterator[str]:
        """Yield the keys of the object that stands here; the value of each has to be taken before the next."""
        self._take("{", "an object")
        if self.is_at("}"):
            self._at += 1
            return
        while True:
            key = self.value()
            if not isinstance(key, str):
                raise self._invalid(self._place(), "this is no JSON: expected a key")
            self._take(":", "a colon")
            yield key
            if self.is_at("}"):
                self._at += 1
                return
            self._take(",", "a comma or the end of the object")

    def end(self) -> None:
        """Raise InvalidFile if something follows."""
        if self._next():
            raise self._invalid(self._place(), "something follows the end of the JSON")

    def _take(self, character: str, what: str) -> None:
        found = self._next()
        if found != character:
            raise self._invalid(self._place(), f"this is no JSON: expected {what}" if found else _CUT_OFF)
        self._at += 1

    def _next(self) -> str:
        """Pass over spaces, and return the character behind them, "" at the end."""
        while True:
            self._at = cast("re.Match[str]", _SPACE.match(self._text, self._at)).end()
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                return ""
            self._fetch(_CHUNK)

    def _fetch(self, count: int) -> None:
        """Read so many bytes more, and let go of what is passed."""
        data = self._read(count)
        self._ended = not data
        self._passed += len(self._text[: self._at].encode("utf-8", "surrogatepass"))
        held = len(self._decode.getstate()[0])
        try:
            text = self._decode.decode(data, self._ended)
        except UnicodeDecodeError as error:
            raise self._invalid(f"byte {self._fetched - held + error.start:,}", NOT_UTF8) from None
        if self._fetched == 0 and text.startswith("\ufeff"):
            text = text[1:]
            self._passed += 3
        self._fetched += len(data)
        self._text = self._text[self._at :] + text
        self._at = 0

    def _may_go_on(self, error: Exception) -> bool:
        """Return True if what is wrong may be that the text is not read any further."""
        if not isinstance(error, json.JSONDecodeError):
            return False
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _MARGIN

    def _is_over(self, end: int) -> bool:
        """Return True if a number that ends here does not go on, as 0 does in 0.5."""
        if self._text[end : end + 1] in _BEHIND_NUMBER:
            return True
        if self._ended and _UNFINISHED_NUMBER.fullmatch(self._text, end):
            # Nothing that is read here is a number alone.
            raise self._invalid(self._place(len(self._text)), _CUT_OFF)
        return self._ended or end < len(self._text) - _MARGIN

    def _wrong(self, error: Exception) -> InvalidFile:
        if isinstance(error, json.JSONDecodeError):
            if self._may_go_on(error):
                return self._invalid(self._place(len(self._text)), _CUT_OFF)
            return self._invalid(self._place(error.pos), f"this is no JSON ({error.msg})")
        return self._invalid(self._place(), f"this is no JSON that can be read ({error})")

    def _place(self, position: int | None = None) -> str:
        at = self._at if position is None else position
        return f"byte {self._passed + len(self._text[:at].encode('utf-8', 'surrogatepass')):,}"


_DECODER = json.JSONDecoder()
_CUT_OFF = "the file is cut off here"
NOT_UTF8 = "this is not UTF-8: if the file is whole, save it as UTF-8"


# --- what a text begins with --------------------------------------------------------------------------------------

# A value whose end is not in what was looked at.
UNFINISHED = ...


def beginnings(text: str) -> tuple[bool, list[dict[str, Any]]]:
    """Return whether a text begins with an array, and the objects that begin in it, or else in the text itself.

    Of an object whose end is not in the text only what is; a value that is not finished is `...`.
    """
    at = _after_space(text, 0)
    in_array = text.startswith("[", at)
    if in_array:
        at = _after_space(text, at + 1)
    found: list[dict[str, Any]] = []
    while text.startswith("{", at) and len(found) < 50:
        begun, at = _object(text, at + 1)
        found.append(begun)
        at = _after_space(text, at)
        if in_array and text.startswith(",", at):
            at = _after_space(text, at + 1)
    return in_array, found


def _object(text: str, at: int) -> tuple[dict[str, Any], int]:
    """Return what is there of an object whose brace is passed, and where it ends."""
    found: dict[str, Any] = {}
    at = _after_space(text, at)
    while text.startswith('"', at):
        try:
            key, at = _DECODER.raw_decode(text, at)
            at = _after_space(text, at)
            if not text.startswith(":", at):
                return found, len(text)
            at = _after_space(text, at + 1)
            found[key] = UNFINISHED
            found[key], at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            return found, len(text)
        at = _after_space(text, at)
        if text.startswith(",", at):
            at = _after_space(text, at + 1)
    return found, at + 1 if text.startswith("}", at) else len(text)


def _after_space(text: str, at: int) -> int:
    return cast("re.Match[str]", _SPACE.match(text, at)).end()
