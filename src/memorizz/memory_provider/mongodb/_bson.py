"""One value on its way into BSON and out of it: keys, numbers of any size, and what other programs have stored.

JSON's values stand in a record as themselves, with two exceptions, for what MongoDB cannot hold or would misread:

- In keys `$` and `.` stand as their full-width forms, which MongoDB recommends; a full-width form that was in the key
  already has a full-width backslash before it.
- An integer of more than 64 bits stands as {"<backslash>int": text}, whose text sorts as the numbers do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from memorizz.errors import InvalidDocument

# Full-width characters; what begins with the backslash and goes on with none of the three is no key of a caller's.
_ESCAPE, _DOLLAR, _DOT = "\uff3c", "\uff04", "\uff0e"
OWN = "_memorizz"
LARGE = f"{_ESCAPE}int"
LANGUAGE = f"{_ESCAPE}language"

_INT64 = range(-(2**63), 2**63)
# The server nests 200 levels, of which the statement around a document takes some.
_MAX_DEPTH = 150

_ESCAPES = str.maketrans({"$": _DOLLAR, ".": _DOT, **{c: _ESCAPE + c for c in (_ESCAPE, _DOLLAR, _DOT)}})
_SPECIAL = re.compile(f"[$.{_ESCAPE}{_DOLLAR}{_DOT}]")
_ESCAPED = re.compile(f"{_ESCAPE}(.)|{_DOLLAR}|{_DOT}", re.DOTALL)


def escaped(key: str) -> str:
    """Return the name of the field that holds a key."""
    if key == OWN:
        return _ESCAPE + key
    return key.translate(_ESCAPES) if _SPECIAL.search(key) else key


def unescaped(name: str) -> str:
    """Return the key that a field holds."""
    if name.isascii():
        return name
    return _ESCAPED.sub(lambda found: found[1] or ("$" if found[0] == _DOLLAR else "."), name)


def encoded(value: Any, path: str = "", depth: int = 0) -> Any:
    """Return a JSON value as BSON holds it; raises InvalidDocument for what is nested too deep."""
    if isinstance(value, dict):
        _check_depth(depth, path)
        items = cast("dict[str, Any]", value).items()
        return {escaped(key): encoded(item, path or key, depth + 1) for key, item in items}
    if isinstance(value, list):
        _check_depth(depth, path)
        return [encoded(item, path, depth + 1) for item in cast("list[Any]", value)]
    if isinstance(value, int) and value not in _INT64:
        return {LARGE: sortable(value)}
    return value


def _check_depth(depth: int, path: str) -> None:
    if depth > _MAX_DEPTH:
        raise InvalidDocument(path, f"the value is nested more than {_MAX_DEPTH} levels deep, more than MongoDB takes")


def decoded(value: Any) -> Any:
    """Return what BSON holds as a JSON value.

    What other programs have stored becomes JSON as the contract has it: a date is an ISO text, an ObjectId, a UUID and
    a Decimal128 are texts. What has no such form (binary data, regular expressions, timestamps ...) becomes an object
    of MongoDB Extended JSON.
    """
    # By their very type: bson's Code is a str too.
    if value is None or type(value) in (str, bool, int, float):
        return value
    if isinstance(value, int):
        return int(value)  # not bson's Int64
    if isinstance(value, dict):
        found = cast("dict[str, Any]", value)
        if LARGE in found and (large := _unsortable(found[LARGE])) is not None:
            return large
        return {unescaped(name): decoded(item) for name, item in found.items()}
    if isinstance(value, list):
        return [decoded(item) for item in cast("list[Any]", value)]
    return _foreign(value)


def _foreign(value: Any) -> Any:
    from bson import Decimal128, ObjectId, json_util

    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, ObjectId | Decimal128):
        return str(value)
    if _is_uuid(value):
        return str(UUID(bytes=value))
    return json.loads(json_util.dumps(value, json_options=json_util.RELAXED_JSON_OPTIONS))


def _is_uuid(value: Any) -> bool:
    from bson.binary import UUID_SUBTYPE, Binary

    return isinstance(value, Binary) and value.subtype == UUID_SUBTYPE and len(value) == 16


# --- numbers ------------------------------------------------------------------------------------------------------

_DIGITS = str.maketrans("0123456789", "9876543210")


def sortable(number: int) -> str:
    """Return a text for an integer; two of them compare as the integers do."""
    digits = str(abs(number))
    if number >= 0:
        return f"p{len(digits):04}{digits}"
    return f"n{9999 - len(digits):04}{digits.translate(_DIGITS)}"


def _unsortable(text: Any) -> int | None:
    """Return the integer of a text, None for a text that `sortable` has not made."""
    found = _SORTABLE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    return int(found[2]) if found[1] == "p" else -int(found[2].translate(_DIGITS))


# Python reads integers of up to 4,300 digits.
_SORTABLE = re.compile("([pn])[0-9]{4}([0-9]{1,4300})")


def is_native(number: float) -> bool:
    """Return True if BSON holds a number as it is."""
    return isinstance(number, float) or number in _INT64


LARGEST = 16 * 2**20
TOO_LARGE = "it is larger than the 16 MB that MongoDB holds in one document; store its parts by themselves"


def check_size(record: Mapping[str, Any]) -> None:
    """Raise InvalidDocument for a record that is larger than MongoDB takes."""
    import bson

    if len(bson.encode(record)) > LARGEST:
        raise InvalidDocument("", TOO_LARGE)


# --- ids ----------------------------------------------------------------------------------------------------------

_HEX = re.compile("[0-9a-f]{24}")


def id_keys(name: str) -> list[Any]:
    """Return what may stand under `_id` for an id: its text, and the ObjectId that has this text."""
    if not _HEX.fullmatch(name):
        return [name]
    from bson import ObjectId

    return [name, ObjectId(name)]


def id_name(key: Any) -> str:
    """Return the id for what stands under `_id`."""
    if isinstance(key, str):
        return key
    return str(UUID(bytes=key)) if isinstance(key, bytes) and _is_uuid(key) else str(key)


# --- times --------------------------------------------------------------------------------------------------------


def split(moment: datetime) -> tuple[datetime, int]:
    """Return a time in whole milliseconds, as BSON has it, and the microseconds that are left."""
    rest = moment.microsecond % 1000
    return moment - timedelta(microseconds=rest) if rest else moment, rest


def joined(moment: datetime, rest: Any) -> datetime:
    """Return the time that was split; a rest that is none is left out."""
    rest = rest if isinstance(rest, int) and 0 <= rest < 1000 else 0
    return moment.replace(microsecond=moment.microsecond + rest, tzinfo=UTC)


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return what is an object as it is, and anything else as an empty one."""
    if hasattr(value, "as_doc"):
        value = value.as_doc()  # what looks like a reference comes as bson's DBRef
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}
