"""One value, on its way in and out: text, times, ids, JSON and vectors."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, cast
from uuid import NAMESPACE_URL, UUID, uuid5

import uuid_utils

from memorizz.errors import DimensionMismatch, InvalidDocument, quoted

InvalidText = Literal["error", "replace"]

# Ids that are no UUIDs are mapped into this namespace. Changing it would lose every document stored under such an id.
_ID_NAMESPACE = uuid5(NAMESPACE_URL, "https://pypi.org/project/memorizz-postgresql/")
_NAMED = hashlib.sha1(_ID_NAMESPACE.bytes, usedforsecurity=False)

_MAX_DEPTH = 256
# Python refuses to read integers with more digits than this (sys.set_int_max_str_digits).
_MAX_DIGITS = 4300
_MAX_FLOAT4 = float.fromhex("0x1.fffffep+127")
# pgvector adds up the squares in single precision.
_MIN_SQUARE, _MAX_SQUARE = 1e-30, 1e36

_quote: Callable[[str], str] = json.JSONEncoder(ensure_ascii=False).encode
_encode: Callable[[Any], str] = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")
).encode


# --- text ---------------------------------------------------------------------------------------------------------


def text(value: str, path: str, on_invalid: InvalidText = "error", limit: int | None = None) -> str:
    """Return `value` as PostgreSQL can hold it, at most `limit` bytes of UTF-8 long."""
    if "\0" in value:
        if on_invalid == "error":
            raise InvalidDocument(
                path,
                "the text holds a NUL character, which cannot be stored; remove it, "
                "or use on_invalid_text='replace' in the configuration",
            )
        value = value.replace("\0", "\ufffd")
    if not (value.isascii() or _is_encodable(value)):
        if on_invalid == "error":
            raise InvalidDocument(
                path,
                "the text holds a lone surrogate, which is no character; repair the text, "
                "or use on_invalid_text='replace' in the configuration",
            )
        value = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in value)
    if limit is not None and len(value) * 4 > limit and (size := len(value.encode())) > limit:
        raise InvalidDocument(path, f"the text is {size} bytes long, this key is indexed and holds up to {limit}")
    return str(value)


def _is_encodable(value: str) -> bool:
    """Return True unless a text holds a lone surrogate."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


# --- times --------------------------------------------------------------------------------------------------------


def time(value: Any, path: str) -> datetime:
    """Return an aware UTC datetime for a datetime (naive is taken as UTC), a date or an ISO 8601 string."""
    moment = value
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            raise InvalidDocument(
                path, f"{quoted(value)} is not an ISO 8601 time, such as 2026-01-31T12:00:00Z"
            ) from None
    if not isinstance(moment, datetime):
        if not isinstance(moment, date):
            raise InvalidDocument(path, f"expected a datetime or an ISO 8601 string, got {type(value).__name__}")
        moment = datetime(moment.year, moment.month, moment.day)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except (OverflowError, ValueError):
        raise InvalidDocument(path, f"{quoted(value)} lies outside the years 1 to 9999 in UTC") from None


# --- ids ----------------------------------------------------------------------------------------------------------


def new_id() -> UUID:
    """Make an id that sorts by the time it was made (UUIDv7, RFC 9562)."""
    return UUID(int=uuid_utils.uuid7().int)


def as_text(value: Any) -> Any:
    """Return the text that a str, a UUID, bson's ObjectId or an Enum of one of these stands for; all else as it is.

    That is what ids, names and whatever else is a text may be given as, in documents, filters and arguments alike. A
    number is no text: 5 and "5" would be one id.
    """
    if type(value) is str:
        return value
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, UUID | uuid_utils.UUID) or type(value).__name__ == "ObjectId":
        return str(value)
    return str.__str__(value) if isinstance(value, str) else value


def id_text(value: Any) -> str | None:
    """Return an id as its text, or None for what cannot be an id."""
    return searched(value) or None


def searched(value: Any) -> str | None:
    """Return a text as it is searched for, or None for what no column holds."""
    found = as_text(value)
    if not isinstance(found, str) or "\0" in found:
        return None
    try:
        found.encode()
    except UnicodeEncodeError:
        return None
    return found


def id_key(name: str) -> UUID:
    """Return the primary key for an id's text: itself for a canonical UUID, else a UUID made from the text.

    The latter are of version 8 (RFC 9562, 5.8). A canonical UUID of that version is mapped too, so that no two texts
    share a key, whatever a caller gives.
    """
    if len(name) == 36:
        try:
            key = UUID(name)
        except ValueError:
            pass
        else:
            if str(key) == name and key.version != 8:
                return key
    # uuid5 by hand, which makes another UUID on the way.
    hashed = _NAMED.copy()
    hashed.update(name.encode())
    return UUID(int=int.from_bytes(hashed.digest()[:16]) & _RANDOM | _VERSION_8)


_RANDOM, _VERSION_8 = (1 << 128) - 1 - (0xF000C000 << 48), 0x80008000 << 48


# --- JSON ---------------------------------------------------------------------------------------------------------


def to_json(value: Any, path: str, on_invalid: InvalidText = "error") -> str:
    """Return JSON that PostgreSQL keeps and gives back as the same value.

    Beside what JSON has: datetime and date become ISO strings, UUID and Decimal strings, an Enum its value, sets and
    tuples lists, numpy scalars and arrays numbers and lists. Raises InvalidDocument, with the path of the value, for
    anything else, NaN and infinity included.
    """
    if _is_simple(value, 0):
        # NaN, infinity, and an integer of too many digits: told below.
        with suppress(ValueError):
            written = _encode(value)
            # So look a float that JSONB takes for an integer and a NUL, or a text that says it: written below, too.
            if "e+" not in written and "\\u0000" not in written and (written.isascii() or _is_encodable(written)):
                return written
    out: list[str] = []
    _write(value, path, on_invalid, out.append, 0)
    return "".join(out)


# What most documents hold is looked at in a tenth of the time, and Python's own encoder writes it.
_SIMPLE: frozenset[object] = frozenset((str, bool, int, float, type(None)))
_TEXT_ONLY: frozenset[object] = frozenset((str,))


def _is_simple(value: Any, depth: int) -> bool:
    """Return True for what `json` writes as `_write` does, but for some characters and numbers."""
    kind = cast(object, type(value))
    if kind is dict:
        if not _TEXT_ONLY.issuperset(map(type, value)):
            return False
        inner = value.values()
    elif kind is list or kind is tuple:
        inner = value
    else:
        return kind in _SIMPLE
    if depth >= _MAX_DEPTH:
        return False
    return all([type(each) in _SIMPLE or _is_simple(each, depth + 1) for each in inner])  # noqa: C419 in half the time


def _write(value: Any, path: str, on_invalid: InvalidText, put: Callable[[str], Any], depth: int) -> None:
    kind = cast(object, type(value))
    if kind is str:
        put(_quote(text(value, path, on_invalid)))
    elif value is None:
        put("null")
    elif kind is bool:
        put("true" if value else "false")
    elif kind is int:
        put(_integer(value, path))
    elif kind is float:
        put(_float(value, path))
    elif isinstance(value, Mapping):
        _write_object(cast("Mapping[Any, Any]", value), path, on_invalid, put, depth + 1)
    elif isinstance(value, list | tuple | set | frozenset):
        _write_array(cast("Iterable[Any]", value), path, on_invalid, put, depth + 1)
    else:
        _write(_plain(value, path), path, on_invalid, put, depth)


def _write_object(
    value: Mapping[Any, Any], path: str, on_invalid: InvalidText, put: Callable[[str], Any], depth: int
) -> None:
    check_depth(depth, path)
    separator = "{"
    for key, item in value.items():
        if not isinstance(key, str):
            raise InvalidDocument(path, f"the key {quoted(key)} is a {type(key).__name__}, keys are strings")
        inner = f"{path}.{key}" if path else key
        put(separator)
        put(_quote(text(key, inner, on_invalid)))
        put(":")
        _write(item, inner, on_invalid, put, depth)
        separator = ","
    put("{}" if separator == "{" else "}")


def _write_array(
    value: Iterable[Any], path: str, on_invalid: InvalidText, put: Callable[[str], Any], depth: int
) -> None:
    check_depth(depth, path)
    separator = "["
    for position, item in enumerate(value):
        put(separator)
        _write(item, f"{path}[{position}]", on_invalid, put, depth)
        separator = ","
    put("[]" if separator == "[" else "]")


def check_depth(depth: int, path: str) -> None:
    """Raise InvalidDocument for what is nested too deep to be JSON."""
    if depth > _MAX_DEPTH:
        raise InvalidDocument(
            path and path[:80] + "...", f"the value is nested more than {_MAX_DEPTH} levels deep, or in itself"
        )


def _integer(value: int, path: str) -> str:
    try:
        return str(value)
    except ValueError:
        raise InvalidDocument(path, f"the number has more than {_MAX_DIGITS} digits") from None


def _float(value: float, path: str) -> str:
    if not math.isfinite(value):
        raise InvalidDocument(path, f"{value} is not a finite number; JSON has none such, use None")
    written = repr(value)
    # JSONB keeps the digits and forgets the exponent: without a fraction 1e23 would come back as an int.
    return f"{Decimal(written):f}.0" if "e+" in written else written


def _finite(value: Decimal, path: str) -> str:
    if not value.is_finite():
        raise InvalidDocument(path, f"{value} is not a finite number; use None")
    return str(value)


def number(value: Decimal, path: str) -> str:
    """Return a decimal as a number of JSON, exactly."""
    _finite(value, path)
    if value == 0:
        return "0"
    if abs(value.adjusted()) >= _MAX_DIGITS or len(value.as_tuple().digits) > _MAX_DIGITS:
        raise InvalidDocument(path, f"the number has more than {_MAX_DIGITS} digits")
    return f"{value:f}"


def _plain(value: Any, path: str) -> Any:
    """Return the JSON value that stands for a value which JSON does not have."""
    if isinstance(value, Enum):
        return value.value
    text = as_text(value)
    if isinstance(text, str):
        return text
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _finite(value, path)
    if is_of_numpy(value, "bool"):
        return bool(value)
    if is_of_numpy(value, "integer"):
        return int(value)
    if is_of_numpy(value, "floating"):
        return float(value)
    if is_of_numpy(value, "ndarray"):
        return value.tolist()
    raise InvalidDocument(
        path,
        f"a {type(value).__name__} cannot be kept as JSON; expected str, int, float, bool, None, list, dict, datetime, "
        "UUID, Enum, Decimal, set or tuple",
    )


_OfNumpy = Literal["bool", "integer", "floating", "ndarray"]


def is_of_numpy(value: Any, *kinds: _OfNumpy) -> bool:
    """Return True for a value of one of these kinds of numpy, which is loaded only for what is none of Python's."""
    import numpy as np

    of = {"bool": np.bool_, "integer": np.integer, "floating": np.floating, "ndarray": np.ndarray}
    return isinstance(value, tuple(of[kind] for kind in kinds))


_TOKEN = re.compile(r'[\[\]{}]|"(?:[^"\\]++|\\.)*+"|[^\s\[\]{}",:]+', re.DOTALL)
_CONSTANTS: Mapping[str, Any] = {"true": True, "false": False, "null": None}


def decode_each(texts: Sequence[str]) -> list[Any]:
    """Return the values of JSON texts, read as one."""
    try:
        return json.loads(f"[{','.join(texts)}]")
    except (ValueError, RecursionError):
        return list(map(decode_any, texts))


def decode_any(text: str) -> Any:
    """Return the value of a JSON text, also where Python's decoder refuses it.

    That is where it is nested deeper than Python's stack, or has an integer of more than 4,300 digits.
    """
    values: list[Any] = []
    begun: list[tuple[str, int]] = []
    for token in _TOKEN.findall(text):
        if token in ("[", "{"):
            begun.append((token, len(values)))
        elif token in ("]", "}"):
            kind, place = begun.pop()
            inner = values[place:]
            del values[place:]
            values.append(inner if kind == "[" else dict(zip(inner[::2], inner[1::2], strict=True)))
        elif token[0] == '"':
            values.append(json.loads(token))
        elif token in _CONSTANTS:
            values.append(_CONSTANTS[token])
        else:
            values.append(float(token) if {".", "e", "E"}.intersection(token) else int(Decimal(token)))
    return values[0]


# --- vectors ------------------------------------------------------------------------------------------------------


def vector(value: Any, *, dimensions: int, store: str, path: str = "embedding", half: bool = False) -> Any:
    """Return a vector as an array in single precision, or in half, after checking that it can be stored and compared.

    `value` is a list, a tuple, a one-dimensional numpy array of any number type, or has `to_numpy()`, as the Vector of
    the Python package pgvector.
    """
    import numpy as np

    numbers: Any = value.to_numpy() if hasattr(value, "to_numpy") else value
    try:
        # Of these numpy would make an array of one object.
        array: Any = None if isinstance(numbers, str | bytes | Mapping | set) else np.asarray(numbers)
    except (TypeError, ValueError):
        array = None
    if array is None or array.ndim != 1 or array.dtype.kind not in "iuf":
        raise InvalidDocument(path, f"expected a list of numbers or a one-dimensional array, got {_described(value)}")
    if len(array) != dimensions:
        raise DimensionMismatch(expected=dimensions, got=len(array), store=store)
    single: Any = array
    if array.dtype != np.float32:
        with np.errstate(over="ignore", invalid="ignore"):
            single = array.astype(np.float32)
    # Unlike the operator @, it does not warn of what is looked for below.
    square = float(cast(Any, np.vdot(single, single)))
    # One comparison for what is right; what is wrong is told apart below. NaN and infinity fail it too.
    if not _MIN_SQUARE < square < _MAX_SQUARE:
        raise InvalidDocument(path, _unfit(array, single))
    return _rounded(single, square, path) if half else single


def _rounded(single: Any, square: float, path: str) -> Any:
    """Return a vector in half precision; raises InvalidDocument where more is lost than by rounding each number."""
    import numpy as np

    with np.errstate(over="ignore"):
        half: Any = single.astype(np.float16)
    # Rounded, a number differs by a 2048th; one that is too large, or too small, by more.
    if not float(cast(Any, np.vdot(lost := half - single, lost))) <= square / 2**20:
        unfit = f"the vector, of length {square**0.5:.3g}, cannot be rounded to half precision, of numbers up to 65,504"
        way_out = "divide it by its length, or keep such vectors in a store of vector_type='vector'"
        raise InvalidDocument(path, f"{unfit}: {way_out}")
    return half


def _unfit(array: Any, single: Any) -> str:
    """Return why the cosine of a vector cannot be taken."""
    import numpy as np

    if not np.isfinite(single).all():
        reason = "holds NaN or infinity" if not np.isfinite(array).all() else f"holds a number above {_MAX_FLOAT4:.3g}"
        return f"the vector {reason}; every number must be finite in single precision"
    if not single.any():
        return "the vector is all zero: it has no direction, so nothing can be near it"
    length = float(np.linalg.norm(single.astype(np.float64)))
    return (
        f"the vector's length is {length:.3g}, of which no square can be taken in single precision; "
        f"expected one between {_MIN_SQUARE**0.5:.0e} and {_MAX_SQUARE**0.5:.0e}: divide the vector by its length"
    )


def _described(value: Any) -> str:
    if isinstance(value, list | tuple) or is_of_numpy(value, "ndarray"):
        return f"a {type(cast(object, value)).__name__} that holds something else"
    return type(cast(object, value)).__name__
