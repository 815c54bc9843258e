"""What the stores held and how well they were searched, noted from time to time, so that its course can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from memorizz.memory_provider.postgresql._steps import Operation, Query, fetch
from memorizz.memory_provider.postgresql.facts import Facts


@dataclass(frozen=True, slots=True)
class Noted:
    """What was noted of a store, None where it was not measured; `at` is None until it is noted.

    bytes: of its table and its indexes.
    recall, median_ms: of searches in the whole store, as `measure_recall` has them.
    """

    store: str
    documents: int | None = None
    bytes: int | None = None
    recall: float | None = None
    median_ms: float | None = None
    at: datetime | None = None


def note(known: Facts, measured: Sequence[Noted]) -> Operation[None]:
    """Note what was measured, by the server's clock; what was noted more than two years ago goes."""
    columns = ("store", "documents", "bytes", "recall", "median_ms")
    bound = {name: [getattr(each, name) for each in measured] for name in columns}
    yield from fetch(Query(_NOTE.format(table=known.layout.table("measurements")).as_bytes(None), bound))


def noted(known: Facts) -> Operation[list[Noted]]:
    """Return all that was noted, the oldest first."""
    rows = yield from fetch(Query(_NOTED.format(table=known.layout.table("measurements")).as_bytes(None)))
    return [Noted(*row) for row in rows]


_NOTE = sql.SQL("""
WITH forgotten AS (DELETE FROM {table} WHERE noted_at < now() - interval '2 years')
INSERT INTO {table} (store, documents, bytes, recall, median_ms)
SELECT * FROM unnest(%(store)s::text[], %(documents)s::bigint[], %(bytes)s::bigint[], %(recall)s::float8[],
    %(median_ms)s::float8[])
""")

_NOTED = sql.SQL("SELECT store, documents, bytes, recall, median_ms, noted_at FROM {table} ORDER BY noted_at, id")
