"""By what documents are ordered: numbers, then texts by code point, then booleans; all else, and what is missing, last.

Of equals, what was stored first comes first; descending, all of it is turned round, save what comes last.
"""

from __future__ import annotations

from functools import lru_cache

from memorizz.memory_provider._documents import is_clock
from memorizz.memory_provider._filters import ordering
from memorizz.memory_provider.postgresql.sql.conditions import Bind, Condition, JsonPlace, place_of
from memorizz.memory_provider.stores import StoreSpec


@lru_cache(maxsize=1024)
def order(spec: StoreSpec, order_by: str) -> Condition:
    """Return what stands behind ORDER BY for a key, or a key after a minus, and its parameters."""
    field, descending = ordering(order_by)
    bind = Bind(prefix="o")
    place = place_of(field, "$gt")
    direction = "DESC" if descending else "ASC"
    if isinstance(place, JsonPlace):
        parts = [f"{part} {direction} NULLS LAST" for part in of_json(place.at(bind))]
    else:
        # A backward scan of an index has the missing ones first, so that they are asked for at the end only where there
        # may be some.
        last = "" if is_clock(field.name, spec) else " NULLS LAST"
        parts = [f"{place.ordered} {direction}{last}"]
    return Condition(f"{', '.join(parts)}, d.seq {direction}", bind)


def of_json(at: str) -> list[str]:
    """Return the expressions that a JSON value is ordered by, one after the other; NULL for what has no order."""
    kind = f"jsonb_typeof({at})"
    return [
        f"CASE {kind} WHEN 'number' THEN 1 WHEN 'string' THEN 2 WHEN 'boolean' THEN 3 END",
        f"CASE WHEN {kind} = 'number' THEN {at}::numeric END",
        f"CASE WHEN {kind} IN ('string', 'boolean') THEN {at} #>> '{{}}' END COLLATE \"C\"",
    ]
