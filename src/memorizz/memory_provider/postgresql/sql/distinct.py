"""Which values a key has: each once, in order, by one statement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg import sql

from memorizz.memory_provider._documents import KEYS, Kind
from memorizz.memory_provider._filters import Field
from memorizz.memory_provider.postgresql._steps import Query
from memorizz.memory_provider.postgresql.facts import Store, composed_once
from memorizz.memory_provider.postgresql.sql.conditions import Bind, JsonPlace, place_of
from memorizz.memory_provider.postgresql.sql.key import in_scope
from memorizz.memory_provider.postgresql.sql.lookup import filtered
from memorizz.memory_provider.postgresql.sql.reads import bound, trusted_sql
from memorizz.memory_provider.postgresql.sql.visible import rows_of, visible

# A list in whose place only the beginning of it counts.
_CUT = (
    "CASE jsonb_typeof(value) WHEN 'array' "
    "THEN jsonb_path_query_array(value, '$[0 to $last]', jsonb_build_object('last', %(depth)s::int - 1)) "
    "ELSE value END"
)
# What JSON values are ordered by: one text, which is compared much faster than several columns or an array. Numbers
# come first, then texts, booleans, lists. Each element of a list begins with the character that sorts before all
# others; where one stands in an element, another one is put before it. A list of texts without quotes and backslashes,
# as most are, has its elements between the quotes of its JSON.
_ELEMENTS = (
    "(SELECT coalesce(string_agg(chr(1) || replace(replace(item, chr(2), chr(2) || chr(2)), chr(1), chr(2) || chr(1)), "
    "''), '') FROM jsonb_array_elements_text(value) AS item)"
)
_IS_PLAIN = (
    """written LIKE '["%%"]' AND strpos(written, chr(92)) = 0 """
    """AND replace(written, '", "', '') NOT LIKE '__%%"%%__'"""
)
_KEY = (
    "CASE jsonb_typeof(value) WHEN 'number' THEN '1' WHEN 'string' THEN '2' || (value #>> '{}') "
    f"WHEN 'boolean' THEN '3' || written WHEN 'array' THEN '4' || CASE WHEN {_IS_PLAIN} "
    """THEN chr(1) || replace(substr(written, 3, length(written) - 4), '", "', chr(1)) """
    f"ELSE {_ELEMENTS} END END"
    ' COLLATE "C"'
)
# Of texts: by their bytes, as the index of a conversation_id has them.
_BYTEWISE = "USING OPERATOR(pg_catalog.~<~)"
_ORDER = f"{_KEY}, CASE WHEN jsonb_typeof(value) = 'number' THEN value::numeric END, value"


@composed_once
def _of_column(store: Store, value: str, where: str, order: str) -> bytes:
    """Return what PostgreSQL reads in the order of an index where there is one, and no further than it is asked to.

    Where no document of the scope expires, that is the index alone, which does not know when one does: one half of the
    statement is for that, the other for where some do, and of either one has rows.
    """
    page = sql.SQL("ORDER BY value {} LIMIT %(limit)s OFFSET %(offset)s").format(trusted_sql(order))
    whole = _values(store, value, where)
    if store.scope.as_of is not None or store.layout.distributed:
        return sql.SQL("{} {}").format(whole, page).as_bytes(None)
    some_expire = sql.SQL("EXISTS (SELECT FROM {} AS d WHERE {} AND d.expires)").format(store.table, in_scope(store))
    lasting = _values(store, value, where, sql.SQL("{} AND NOT {}").format(in_scope(store), some_expire))
    template = sql.SQL("({lasting} {page}) UNION ALL ({whole} AND {some_expire} {page})")
    return template.format(lasting=lasting, whole=whole, some_expire=some_expire, page=page).as_bytes(None)


@composed_once
def _of_json(store: Store, value: str, where: str, cut: str) -> bytes:
    values = _values(store, value, where)
    if cut:
        values = sql.SQL("SELECT DISTINCT {} AS value FROM ({}) AS whole").format(trusted_sql(cut), values)
    # Written once each, which OFFSET makes sure of.
    template = sql.SQL(
        "SELECT written FROM (SELECT value, value::text AS written FROM ({}) AS each OFFSET 0) AS listed "
        "ORDER BY {} LIMIT %(limit)s OFFSET %(offset)s"
    )
    return template.format(values, trusted_sql(_ORDER)).as_bytes(None)


def _values(store: Store, value: str, where: str, there: sql.Composable | None = None) -> sql.Composed:
    """Return what lists the values of the documents that are `there`: those that are visible."""
    template = sql.SQL(
        "SELECT DISTINCT {value} AS value FROM {table} AS d WHERE {there} AND {where} AND {value} IS NOT NULL"
    )
    return template.format(
        value=trusted_sql(value), table=rows_of(store), there=there or visible(store), where=trusted_sql(where)
    )


def distinct(
    store: Store, field: Field, filter: Mapping[str, Any] | None, limit: int | None, offset: int, depth: int | None
) -> tuple[Query, bool]:
    """Return the values of a key, a time as UTC; and True where each is written as JSON, for it has no column."""
    found, bind, place = filtered(store, filter), Bind(prefix="o"), place_of(field, "$gt")
    in_column = not isinstance(place, JsonPlace)
    if in_column:
        key = KEYS.get(field.name)
        is_time = key is not None and key.kind is Kind.TIME
        value = f"({place.sql} AT TIME ZONE INTERVAL '0')" if is_time else place.sql
        statement = _of_column(store, value, found.sql, _BYTEWISE if place.type == "text" else "")
    else:
        at = place.at(bind)
        value = f"CASE WHEN jsonb_typeof({at}) IN ('number', 'string', 'boolean', 'array') THEN {at} END"
        statement = _of_json(store, value, found.sql, "" if depth is None else _CUT)
    parameters = bound(store, **found.parameters, **bind, limit=limit, offset=offset, depth=depth)
    return Query(statement, parameters, custom_plan=True), not in_column
