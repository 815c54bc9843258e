"""Which documents there are for a caller: every read, change and count asks here, and nowhere else."""

from __future__ import annotations

from typing import LiteralString

from psycopg import sql

from memorizz.memory_provider.postgresql.facts import Store
from memorizz.memory_provider.postgresql.sql.key import in_scope
from memorizz.memory_provider.postgresql.sql.past import AS_OF, as_of

# That the row `d` has not expired, whosever it is: for what is done to a table as a whole.
LIVE = sql.SQL("(d.expires_at IS NULL OR d.expires_at > now())")
_LIVE_THEN = sql.SQL(f"(d.expires_at IS NULL OR d.expires_at > {AS_OF})")
_HOLDS: LiteralString = (
    "(d.valid_from IS NULL OR d.valid_from <= {now}) AND (d.valid_until IS NULL OR d.valid_until > {now})"
)
# That what it says holds now.
HOLDS = sql.SQL(_HOLDS).format(now=sql.SQL("now()"))
# What is not said of it twice, an index knows: it has those alone that expire.
_EXPIRED = sql.SQL("d.expires AND d.expires_at <= now()")


def rows_of(store: Store, few: bool = False) -> sql.Composable:
    """Return where the rows of a store are read from, for its scope: its table, or what that held at a time.

    `few` says that no more than some are read of them.
    """
    return store.table if store.scope.as_of is None else as_of(store, few)


def visible(store: Store) -> sql.Composed:
    """Return the condition that the row `d` of a store is there for its scope, and has not expired.

    Whoever uses it binds `store.scope.parameters`.
    """
    return sql.SQL("{} AND {}").format(in_scope(store), LIVE if store.scope.as_of is None else _LIVE_THEN)


def holding(store: Store, ended: bool) -> sql.Composed:
    """Return the condition that the row `d` is visible, and found by searches: what it says holds, or has `ended` too.

    It is of the time of the scope, as `visible` is.
    """
    if ended:
        return visible(store)
    holds = HOLDS if store.scope.as_of is None else sql.SQL(_HOLDS).format(now=sql.SQL(AS_OF))
    return sql.SQL("{} AND {}").format(visible(store), holds)


def expired(store: Store) -> sql.Composed:
    """Return the condition that the row `d` was there for the scope of a store, until it expired."""
    return sql.SQL("{} AND {}").format(in_scope(store), _EXPIRED)
