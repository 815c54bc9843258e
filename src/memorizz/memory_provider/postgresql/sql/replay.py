"""How far the write-ahead log has been written, on the primary, and replayed, on a replica."""

from __future__ import annotations

from typing import NamedTuple

from psycopg import sql

from memorizz.memory_provider.postgresql._steps import Query
from memorizz.memory_provider.postgresql.layout import Layout

# Where the log is written next: behind every commit that anybody was told of, however little is flushed yet. A provider
# of a standby alone has what that has replayed.
POSITION = Query(
    b"SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END::text"
)


class Replayed(NamedTuple):
    """What a replica says of itself.

    `behind` is in seconds: none where it streams and has replayed all that came, else since the last commit that it
    replayed; None where it knows of no commit. `identity` and `version` are those of the schema there.
    """

    in_recovery: bool
    position: str | None
    behind: float | None
    identity: str
    version: int


_REPLAYED = sql.SQL("""
SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn()::text,
    CASE WHEN pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn() AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0
    ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END::float8,
    identity::text, version
FROM {}
""")


def replayed(layout: Layout) -> Query:
    """Return the statement that asks a replica for that."""
    settings = sql.Identifier(layout.schema, "memorizz_settings")
    return Query(_REPLAYED.format(settings).as_bytes(None))
