"""Ids of parametrized tests: the same in each process, as the workers of a parallel run need them."""

from __future__ import annotations

import re


def stable(value: object) -> str:
    """Return the repr of a value without addresses."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
