"""How far the write-ahead log has been written, on the primary, and replayed, on a replica."""

from __future__ import annotations

from typing import NamedTuple

from psycopg import sql

from memorizz.memory_provider.postgresql._steps import Query
from memorizz.memory_provider.postgresql.layout import Layout

# How far a standby has replayed, and of which timeline: an older one may have come further, with other rows. It is the
# standby's own note, which is behind a failover by a checkpoint at most.
_REPLAYED_TO = sql.SQL("""
to_hex(greatest((pg_control_recovery()).min_recovery_end_timeline, (pg_control_checkpoint()).timeline_id))
    || '/' || pg_last_wal_replay_lsn()
""")
# Where the log is written next: behind every commit that anybody was told of, however little is flushed yet. A provider
# of a standby alone has what that has replayed.
_POSITION = sql.SQL("""
SELECT CASE WHEN pg_is_in_recovery() THEN {replayed_to}
ELSE ltrim(left(pg_walfile_name(pg_current_wal_insert_lsn()), 8), '0') || '/' || pg_current_wal_insert_lsn() END
""")
POSITION = Query(_POSITION.format(replayed_to=_REPLAYED_TO).as_bytes(None))


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
SELECT pg_is_in_recovery(), {replayed_to},
    CASE WHEN pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn() AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0
    ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END::float8,
    identity::text, version
FROM {settings}
""")


def replayed(layout: Layout) -> Query:
    """Return the statement that asks a replica for that."""
    return Query(_REPLAYED.format(replayed_to=_REPLAYED_TO, settings=layout.table("settings")).as_bytes(None))
