"""Behind the wall, what the indexes would serve that a policy keeps from being asked: words, and keys in JSON.

`@@` and `@>` may tell of a row, so PostgreSQL asks them behind the policy, row by row. A function of the owner asks an
index for the tenant of the transaction (migrations/lookup.sql) and brings ids. What these are of is read by the primary
key, under the policy, which stands as ever, and the whole filter is asked once more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg import sql

from memorizz.memory_provider.postgresql.facts import Store
from memorizz.memory_provider.postgresql.sql import key
from memorizz.memory_provider.postgresql.sql.conditions import Condition, condition

_IDS = sql.SQL("{}({}, {}, {}, %(of_lookup)s::text, %(keys)s::jsonb[], %(metadata_keys)s::jsonb[])")
_ARRAY = sql.SQL("ARRAY(SELECT {})")
_NULL, _TRUE = sql.SQL("NULL"), sql.SQL("true")


def serves(store: Store) -> bool:
    """Return whether the function of a store stands in the place of its indexes; none is of a time that is past.

    With Citus, what a function asks is not asked of the shard that it runs on.
    """
    return store.walled and store.scope.as_of is None and not store.layout.distributed


def ids(
    store: Store, words: sql.Composable = _NULL, most: sql.Composable = _NULL, ended: sql.Composable = _TRUE
) -> sql.Composed:
    """Return the call that brings the ids of what has some words, the best first, and what `parameters` binds.

    `ended` as of visible.holding, for where no more than `most` are wanted.
    """
    return _IDS.format(store.lookup, words, most, ended)


def parameters(store: Store, found: Condition) -> Mapping[str, Any]:
    """Return what that call binds for a condition."""
    held, scope = found.held, store.scope
    data, metadata = (held.data, held.metadata) if store.keys_indexed else (None, None)
    return {"of_lookup": scope.memory or held.memory, "keys": data, "metadata_keys": metadata}


def indexed(store: Store, found: Condition) -> Condition:
    """Return a condition in the form that the index on the keys serves, behind the wall too."""
    if not (store.keys_indexed and serves(store)) or found.held.data is found.held.metadata is None:
        return found
    among = key.among(store, _ARRAY.format(ids(store))).as_string(None)
    return Condition(f"({found.sql} AND {among})", {**found.parameters, **parameters(store, found)})


def filtered(store: Store, filter: Mapping[str, Any] | None) -> Condition:
    """Return the condition that rows of a store match a filter."""
    return indexed(store, condition(filter, store))
