"""By what values are ordered: numbers, then texts by code point, then booleans; all else, and what is missing, last."""

from __future__ import annotations

import math
from typing import Any

from memorizz.memory_provider.mongodb._bson import LARGE
from memorizz.memory_provider.mongodb._conditions import Expression, is_type, literal

_IT = "$$it"
_LARGE = {"$getField": {"field": literal(LARGE), "input": _IT}}
_IS_LARGE = {"$cond": [is_type(_IT, "object"), is_type(_LARGE, "string"), False]}


def sort_keys(at: Expression) -> dict[str, Expression]:
    """Return what a value is ordered by, one after the other: `last` is 1 for what has no order."""
    kinds = {**dict.fromkeys(("int", "long", "double", "decimal", "date"), 1), "string": 2, "bool": 3}
    kind = _switch({"case": is_type(_IT, name), "then": place} for name, place in kinds.items())
    has_order = {"$or": [is_type(_IT, *kinds), _IS_LARGE]}
    keys = {
        "last": {"$cond": [has_order, 0, 1]},
        "kind": {"$cond": [_IS_LARGE, 1, kind]},
        "value": {"$cond": [_IS_LARGE, _as_double(), {"$cond": [is_type(_IT, *kinds), _IT, None]}]},
        "large": {"$cond": [_IS_LARGE, _LARGE, None]},
    }
    return {name: {"$let": {"vars": {"it": at}, "in": key}} for name, key in keys.items()}


def _switch(branches: Any) -> Expression:
    return {"$switch": {"branches": list(branches), "default": None}}


def _as_double() -> Expression:
    """Return about the number that `sortable` has made a text of, beside others; its text tells it from its like."""
    digits: Expression = {"$substrBytes": [_LARGE, 5, -1]}
    number = {"$convert": {"input": digits, "to": "double", "onError": math.inf, "onNull": None}}
    size = {"$subtract": [9999, {"$toInt": {"$substrBytes": [_LARGE, 1, 4]}}]}
    # Below zero each digit stands as what it lacks of 9.
    below = {"$subtract": [number, {"$pow": [10.0, size]}]}
    return {"$cond": [{"$eq": [{"$substrBytes": [_LARGE, 0, 1]}, "p"]}, number, below]}
