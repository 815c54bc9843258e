"""The key of every table: (tenant, id). No other module knows its columns.

A statement is of one tenant, which it binds with its scope.
"""

from __future__ import annotations

from psycopg import sql

# Of the row `d`, to be selected or ordered by, so that rows are locked in one order.
KEY = sql.SQL("d.tenant, d.id")
# That `d` is of the tenant of a scope.
OF_TENANT = sql.SQL("d.tenant = %(tenant)s::text")
# That `d` comes after an id in the order of the key, or that there is none to come after.
AFTER = sql.SQL("(%(after)s::uuid IS NULL OR d.id > %(after)s::uuid)")
# That `d` is the one row that a statement names.
IS = sql.SQL("(d.tenant = %(tenant)s::text AND d.id = %(id)s::uuid)")
# The columns, as CREATE TABLE and INSERT name them.
COLUMNS = ("tenant", "id")


def among(ids: sql.Composable) -> sql.Composed:
    """Return the condition that `d` is one of the rows with these ids, an array."""
    return sql.SQL("(d.tenant = %(tenant)s::text AND d.id = ANY ({}))").format(ids)


AMONG = among(sql.SQL("%(ids)s::uuid[]"))


def same(left: str, right: str) -> sql.Composed:
    """Return the condition that two aliases are the same row."""
    equal = sql.SQL("{} = {}")
    return sql.SQL(" AND ").join(
        equal.format(sql.Identifier(left, column), sql.Identifier(right, column)) for column in COLUMNS
    )
