"""Which documents there are for a caller: every read, change and count asks here, and nowhere else."""

from __future__ import annotations

from psycopg import sql

from memorizz.memory_provider.postgresql.facts import Store
from memorizz.memory_provider.postgresql.sql.key import in_scope

# That the row `d` has not expired, whosever it is: for what is done to a table as a whole.
LIVE = sql.SQL("(d.expires_at IS NULL OR d.expires_at > now())")
_EXPIRED = sql.SQL("d.expires_at <= now()")


def visible(store: Store) -> sql.Composed:
    """Return the condition that the row `d` of a store is there for its scope, and has not expired.

    Whoever uses it binds `store.scope.parameters`.
    """
    return sql.SQL("{} AND {}").format(in_scope(store), LIVE)


def expired(store: Store) -> sql.Composed:
    """Return the condition that the row `d` was there for the scope of a store, until it expired."""
    return sql.SQL("{} AND {}").format(in_scope(store), _EXPIRED)
