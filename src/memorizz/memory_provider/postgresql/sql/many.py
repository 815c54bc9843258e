"""Documents that are stored or merged together: one statement for many, which sends each column as an array.

It costs the server what COPY does, and can do what an INSERT can: merge, compute, go out in a pipeline, be made under
row-level security.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from psycopg import sql

from memorizz.memory_provider._documents import CONTENT, EXPIRES_AT, KEYS, TTL, is_clock
from memorizz.memory_provider.postgresql._steps import Query
from memorizz.memory_provider.postgresql.facts import Store, composed_once
from memorizz.memory_provider.postgresql.rows import PIECES, Floats, Row
from memorizz.memory_provider.postgresql.sql import key, writes
from memorizz.memory_provider.postgresql.sql.vectors import nth_given
from memorizz.memory_provider.postgresql.sql.visible import visible

# What one statement takes, in bytes: a message has to fit into the memory of both ends.
_MOST = 2**24


def insert(store: Store, rows: Sequence[Row]) -> Iterator[tuple[Sequence[Row], Query]]:
    """Insert documents; the ids come back of those that were, where some brought their own.

    A column that only some of them bring is NULL in the others, and a time that is missing is the server's.
    """
    # Citus sends the rows by COPY where nothing comes back, and a table behind policies takes none.
    given = not all(row.is_new for row in rows) or (store.walled and store.layout.distributed)
    columns = tuple(sorted({name for row in rows for name in row.inserted}))
    return _queries(store, rows, columns, _statement(store, columns, None, given))


def merge(store: Store, rows: Sequence[Row]) -> Iterator[tuple[Sequence[Row], Query]]:
    """Merge documents that bring the same keys into those with their ids; the ids come back of those that were."""
    columns = rows[0].inserted
    statement = _statement(store, columns, rows[0].merged, True)
    return _queries(store, rows, columns, statement, partial(writes.without_expired, store))


def upsert(store: Store, rows: Sequence[Row]) -> Iterator[tuple[Sequence[Row], Query]]:
    """Insert documents that bring the same keys, or merge them into those with their ids: all of them or none.

    None comes back where none is stored, for one of their ids is that of a document that has expired or is another
    scope's; where that has come just now, the statement fails as `was_refused` knows.
    """
    columns = tuple(sorted({name for row in rows for name in row.inserted}))
    return _queries(store, rows, columns, _whole_statement(store, columns, rows[0].merged))


def _queries(
    store: Store,
    rows: Sequence[Row],
    columns: tuple[str, ...],
    statement: bytes,
    before: Callable[[Sequence[Row]], Sequence[Query]] = lambda _: (),
) -> Iterator[tuple[Sequence[Row], Query]]:
    for some in _fitting(rows):
        names = tuple(row.name for row in some)
        values = _parameters(store, some, columns)
        yield some, Query(statement, values, repeatable=False, writes=names, before=before(some))


def _fitting(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Yield rows in lists that one statement takes; one that is larger is alone."""
    some: list[Row] = []
    size = 0
    for row in rows:
        # What else a row has is small, or as large in each.
        own = sum(len(row.values.get(name) or "") for name in ("data", CONTENT, "metadata"))
        if some and size + own > _MOST:
            yield some
            some, size = [], 0
        some.append(row)
        size += own
    yield some


def _parameters(store: Store, rows: Sequence[Row], columns: Sequence[str]) -> dict[str, Any]:
    listed: dict[str, Any] = {}
    for name in _listed(store, columns):
        values = [row.values.get(name) for row in rows]
        # Of nothing but None the driver does not know the type.
        listed[name] = None if values.count(None) == len(values) else values
    if store.vector_column in columns:
        vectors = [row.values.get(store.vector_column) for row in rows]
        made = [vector for vector in vectors if vector is not None]
        places = iter(range(1, len(made) + 1))
        listed["place"] = [0 if vector is None else next(places) for vector in vectors]
        listed["vectors"] = Floats.of_vectors(made)
    return {**store.scope.parameters, **listed}


def _listed(store: Store, columns: Sequence[str]) -> list[str]:
    """Return what is sent as an array: no vectors, which are in one."""
    listed = ["id", "data", *(name for name in columns if name not in (store.vector_column, store.bits_column))]
    return [*listed, TTL] if EXPIRES_AT in columns else listed


_VECTORS = sql.SQL(" CROSS JOIN LATERAL (SELECT CASE WHEN place > 0 THEN {} END AS vector OFFSET 0) AS v")
_TYPES = {"id": sql.SQL("uuid"), "data": sql.SQL("jsonb"), TTL: sql.SQL("float8"), PIECES: sql.SQL("uuid")}


@composed_once
def _statement(store: Store, columns: tuple[str, ...], merged: tuple[str, ...] | None, given: bool) -> bytes:
    conflict = sql.SQL("")
    if merged is not None:
        merge, there = writes.merged_or_not(store, columns, merged, False)
        conflict = sql.SQL(" ON CONFLICT ({}) DO UPDATE SET {} WHERE {} RETURNING d.id").format(key.NAMES, merge, there)
    elif given:
        conflict = sql.SQL(" ON CONFLICT ({}) DO NOTHING RETURNING d.id").format(key.NAMES)
    return _insert(store, columns, conflict)


@composed_once
def _whole_statement(store: Store, columns: tuple[str, ...], merged: tuple[str, ...]) -> bytes:
    # Those that exist are locked in the order of the key, before the first is written. One that comes after that is
    # merged if it is there for the scope; if it is not, a time that must not be missing is, and all is undone.
    there = visible(store)
    refused = sql.SQL("CASE WHEN {} THEN {} END").format(there, writes.moment(store))
    conflict = sql.SQL(
        " WHERE (SELECT bool_and(there) FROM (SELECT {there} AS there FROM {table} AS d WHERE {among} ORDER BY {key} "
        "FOR NO KEY UPDATE) AS locked) IS NOT FALSE ON CONFLICT ({columns}) DO UPDATE SET {merge} RETURNING true"
    ).format(
        there=there,
        table=store.table,
        among=key.among_all(sql.SQL("%(id)b::uuid[]")),
        key=key.KEY,
        columns=key.NAMES,
        merge=writes.merge(store, merged, writes.excluded(merged), False, refused),
    )
    return _insert(store, columns, conflict)


def _insert(store: Store, columns: tuple[str, ...], conflict: sql.Composable) -> bytes:
    names = _listed(store, columns)
    # As text, to write an array takes ten times as long.
    arrays = [
        sql.SQL("{}::{}[]").format(sql.Placeholder(name, "b"), _TYPES.get(name) or writes.TYPES[KEYS[name].kind])
        for name in names
    ]
    vectors = sql.SQL("")
    if store.vector_column in columns:
        names, arrays = [*names, "place"], [*arrays, sql.SQL("%(place)b::integer[]")]
        vectors = _VECTORS.format(nth_given(store))
    template = sql.SQL(
        "INSERT INTO {table} AS d ({key}, data{columns}) SELECT {of_new}, n.data{values} "
        "FROM unnest({arrays}) AS n ({names}){vectors}{conflict}"
    )
    return template.format(
        table=store.table,
        key=key.NAMES,
        of_new=key.OF_NEW,
        columns=sql.Composed([sql.SQL(", {}").format(sql.Identifier(name)) for name in columns]),
        values=sql.Composed([sql.SQL(", {}").format(_value(store, name)) for name in columns]),
        arrays=sql.SQL(", ").join(arrays),
        names=sql.SQL(", ").join(map(sql.Identifier, names)),
        vectors=vectors,
        conflict=conflict,
    ).as_bytes(None)


def _value(store: Store, column: str) -> sql.Composable:
    if column == store.vector_column:
        return sql.Identifier("v", "vector")
    if column == store.bits_column:
        return writes.signs(store, sql.Identifier("v", "vector"))
    value = sql.Identifier("n", column)
    if column == EXPIRES_AT:
        return sql.SQL("coalesce({}, {})").format(value, writes.expiry(sql.Identifier("n", TTL)))
    return sql.SQL("coalesce({}, statement_timestamp())").format(value) if is_clock(column, store.spec) else value
