"""Documents that hypothesis makes up: any key and value that the contract allows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
numbers = (
    st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([1e23, 1e16, 5e-324, 1.7976931348623157e308, -0.0, 2**53 + 1, 10**400])
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
# A content as chat APIs send it.
parts = st.lists(
    texts
    | st.builds(lambda text: {"type": "text", "text": text}, texts)
    | st.dictionaries(texts | st.just("text"), values, max_size=3),
    max_size=4,
)
moments = st.datetimes(timezones=st.just(UTC))
doubles = st.floats(allow_nan=False, allow_infinity=False)

# Keys that are more than keys somewhere: of the document, of the table, of a search, of a filter, of SQL.
ODD = [
    "score", "distance", "data", "words", "seq", "embedding_bits", "limit", "$gt", "$text", "a.b", "", "'", '"', "%s",
    "%", "{}", "_", "__class__", "id ", "ID", "Name", "select", "agent_id", "tags.0",
]  # fmt: skip
COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(["name", "role", "memory_id", "conversation_id"], st.none() | texts),
    "content": st.none() | texts | parts,
    "importance_score": st.none() | doubles,
    "access_count": st.none() | st.integers(-(2**63), 2**63 - 1),
    "metadata": st.none() | st.dictionaries(texts, values, max_size=3),
    "last_accessed": st.none() | moments,
    "timestamp": st.none() | moments,
    # What holds, or searches would not find it.
    "valid_from": st.none() | st.datetimes(max_value=datetime(2020, 1, 1), timezones=st.just(UTC)),
    "valid_until": st.none() | st.datetimes(min_value=datetime(2100, 1, 1), timezones=st.just(UTC)),
}
NOT_KEYS = {
    "id",
    "_id",
    "embedding",
    "_score",
    "_distance",
    "_explanation",
    "_context",
    "ttl",
    "_part",
    "_equal",
    "_store",
    "created_at",
    "updated_at",
    "expires_at",
}
# A text may be one of MongoDB's update operators, which no update takes.
keys = st.sampled_from(ODD) | texts.filter(
    lambda key: key not in NOT_KEYS and key not in COLUMNS and not key.startswith("$")
)
documents = st.builds(
    lambda free, columns: {**free, **columns},
    st.dictionaries(keys, values, max_size=6),
    st.fixed_dictionaries({}, optional=COLUMNS),
)


def own(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in ("id", "_id", "created_at", "updated_at")}


def same(one: Any, other: Any) -> bool:
    """Equality that tells 1 from 1.0 and from True."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other
