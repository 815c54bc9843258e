"""What a store held at a time: what has not changed since, and the versions that have ended since.

A row of the history is a change, with the version that it ended: migrations/history.sql.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

from psycopg import sql

from memorizz.memory_provider.postgresql.facts import Store
from memorizz.memory_provider.postgresql.rows import PIECES, SELECTED
from memorizz.memory_provider.postgresql.sql.key import COLUMNS, PART, same

# The columns of a version, beside its key, its vector and what follows from those.
STATE = ("seq", *(name for name in SELECTED if name not in COLUMNS), PIECES)
AS_OF: LiteralString = "%(as_of)s::timestamptz"


def columns(of: str, names: Sequence[str]) -> sql.Composed:
    """Return columns of an alias."""
    return sql.SQL(", ").join(sql.Identifier(of, name) for name in names)


def plain_columns(names: Sequence[str]) -> sql.Composed:
    """Return columns of no alias, as INSERT names them."""
    return sql.SQL(", ").join(map(sql.Identifier, names))


# What stands in the store and has not changed since; and what the first change since then has ended.
_AS_OF = sql.SQL(
    "(SELECT {of_present}, p.{vector}, p.{bits}, p.words FROM {table} AS p WHERE NOT EXISTS ("
    "SELECT FROM {history} AS later WHERE {present_later} AND later.changed_at > {as_of}{each}) "
    "UNION ALL "
    "SELECT {of_version}, {vector_of_version}, NULL::bit({dimensions}), {words}(h.name, h.role, h.content) "
    "FROM {history} AS h WHERE h.changed_at > {as_of} AND h.seq IS NOT NULL AND NOT EXISTS ("
    "SELECT FROM {history} AS earlier WHERE {earlier_same} AND earlier.version < h.version "
    "AND earlier.changed_at > {as_of}{each}))"
)


# Keeps the planner from joining all changes of the store with the rows of one memory, as it does where it does not know
# how many they are: then they are looked for row by row.
_EACH: LiteralString = " OFFSET 0"


def as_of(store: Store, few: bool) -> sql.Composed:
    """Return what has the columns of a store's table, with the rows of the time of its scope.

    `few` says that no more than some are read of them.
    """
    return _AS_OF.format(
        of_present=columns("p", (*COLUMNS, *STATE)),
        of_version=columns("h", (*COLUMNS, *STATE)),
        vector=store.embedding,
        vector_of_version=vector_of_version(store),
        bits=sql.Identifier(store.bits_column),
        dimensions=sql.Literal(store.model.dimensions),
        words=sql.Identifier(store.layout.schema, "memorizz_words"),
        table=store.table,
        history=store.history,
        present_later=same("later", "p"),
        earlier_same=same("earlier", "h"),
        as_of=sql.SQL(AS_OF),
        each=sql.SQL(_EACH if few else ""),
    )


_VECTOR_OF_VERSION = sql.SQL(
    "CASE WHEN h.has_vector THEN h.{vector} "
    "WHEN h.changed_at >= (SELECT current_since FROM {models} WHERE id = {model}) THEN (SELECT next.{vector} FROM ("
    "SELECT n.version, n.{vector} FROM {history} AS n WHERE {next_same} AND n.version > h.version AND n.has_vector "
    "UNION ALL SELECT NULL, p.{vector} FROM {table} AS p WHERE {present_same}"
    ") AS next ORDER BY next.version LIMIT 1) END"
)


def vector_of_version(store: Store) -> sql.Composed:
    """Return the vector of the version `h`: its own, or that of the first one behind it that has one of its own.

    Vectors of a model that is no longer searched are gone.
    """
    return _VECTOR_OF_VERSION.format(
        vector=store.embedding,
        models=store.layout.table("embedding_models"),
        model=sql.Literal(store.model.id),
        history=store.history,
        table=store.table,
        next_same=same("n", "h"),
        present_same=same("p", "h"),
    )


# Of each part the first of its changes that belongs to the end of a version of `d` or comes later, or what it is today.
_PARTS_AT = sql.SQL(
    "(SELECT DISTINCT ON ({part}) {part}, p.was, p.{vector} FROM ("
    "SELECT {part}, true AS was, p.{vector}, NULL::bigint AS number FROM {parts} AS p WHERE {same} "
    "UNION ALL SELECT {part}, p.was, p.{vector}, p.number FROM {parts_history} AS p WHERE {same} "
    "AND p.after >= {before}) AS p ORDER BY {part}, p.number)"
)


def parts_at(store: Store, before: sql.Composable) -> sql.Composed:
    """Return what has the columns of a store's parts, with those of a version of `d`; `was`: whether it was.

    `before` is the number of the change that began the version, 0 for none; NULL for what stands in the store.
    """
    return _PARTS_AT.format(
        part=columns("p", PART),
        vector=store.embedding,
        parts=store.parts,
        parts_history=store.parts_history,
        same=same("p", "d"),
        before=before,
    )


_BEGAN = sql.SQL("(SELECT coalesce(max(b.version), 0) FROM {history} AS b WHERE {same} AND b.version < {ended})")


def began(store: Store, ended: sql.Composable) -> sql.Composed:
    """Return the number of the change before the one that `ended` a version of `d`; 0 where there is none."""
    return _BEGAN.format(history=store.history, same=same("b", "d"), ended=ended)


_ENDED_SINCE = sql.SQL(
    "(SELECT {began} FROM (SELECT min(h.version) AS version FROM {history} AS h "
    "WHERE {same} AND h.changed_at > {as_of}) AS f WHERE f.version IS NOT NULL)"
)


def parts_of(store: Store) -> sql.Composable:
    """Return where the parts of the row `d` are read from, for the scope of a store: a table, or what was at a time."""
    if store.scope.as_of is None:
        return store.parts
    since = _ENDED_SINCE.format(
        began=began(store, sql.Identifier("f", "version")),
        history=store.history,
        same=same("h", "d"),
        as_of=sql.SQL(AS_OF),
    )
    return sql.SQL("(SELECT * FROM {} AS p WHERE p.was)").format(parts_at(store, since))
