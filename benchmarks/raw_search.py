"""Every good way to write the search of one memory by hand: what the fastest complete one of them takes is the limit.

Each is what `raw.py` is, all that is known to help: vectors and results in binary, one round trip, the settings in one
pipeline with the statement and gone after it, planned for its values where these decide how it is read, prepared unless
that needs a setting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from psycopg import Connection, sql
from psycopg_pool import ConnectionPool

from benchmarks.data import Document
from benchmarks.lab import Lab
from benchmarks.raw import hit
from benchmarks.raw_tables import RawTable, Row, adapt

_SELECTED = (
    "SELECT {columns}, near.distance FROM near JOIN {table} AS d USING (id) WHERE {visible} ORDER BY near.distance"
)
_DISTANCE = sql.SQL("(d.embedding <=> %(vector)b)")
_NEAR = {
    # Adding 0 keeps the planner from the vector index, which filters after it has searched.
    "exact": "SELECT d.id, {distance} + 0 AS distance FROM {table} AS d WHERE {where} ORDER BY 2 LIMIT %(limit)b",
    "bits": "SELECT d.id, {distance} AS distance FROM (SELECT d.id, d.embedding FROM {table} AS d WHERE {where} "
    "ORDER BY d.embedding_bits <~> binary_quantize(%(vector)b)::bit({dimensions}) LIMIT {by_bits}) AS d "
    "ORDER BY 2 LIMIT %(limit)b",
}
# Where the rows are few, or all that are read are wanted, to find them again costs more than to carry them along.
_WHOLE = {
    "whole": "SELECT {columns}, {distance} + 0 AS distance FROM {table} AS d WHERE {where} "
    "ORDER BY {distance} + 0 LIMIT %(limit)b",
    "index": "SELECT {columns}, {distance} AS distance FROM {table} AS d WHERE {where} "
    "ORDER BY {distance} LIMIT %(limit)b",
}
_PLANNED = {"plan_cache_mode": "force_custom_plan", "jit": "off"}
_PARALLEL = {
    "max_parallel_workers_per_gather": "2",
    "parallel_setup_cost": "0",
    "parallel_tuple_cost": "0",
    "min_parallel_table_scan_size": "0",
}


@dataclass(frozen=True)
class RawWay:
    """One way: its statement, and what is set for it."""

    name: str
    form: str
    settings: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    by_bits: int = 0


def ways(table: RawTable, filtered: bool) -> Iterator[RawWay]:
    """Return the ways to try on a table, with a filter and without."""
    yield RawWay("exact, prepared", "exact", _PLANNED)
    yield RawWay("exact, parallel", "exact", _PLANNED | _PARALLEL)
    if filtered:
        yield RawWay("exact", "exact")
        yield RawWay("exact, whole rows", "whole", _PLANNED)
    for by_bits in (200, 400, 800) if table.has_bits else ():
        yield RawWay(f"bits, best {by_bits} compared", "bits", _PLANNED, by_bits)
    # Where the index is forced no value decides how it is read.
    forced = _PLANNED | {"enable_sort": "off", "plan_cache_mode": "force_generic_plan"}
    for ef_search in (40, 60, 80, 100, 200, 400, 800) if filtered else (10, 20, 30, 40, 60, 80, 100, 200, 400):
        yield RawWay(f"HNSW, ef_search {ef_search}", "index", forced | {"hnsw.ef_search": str(ef_search)})
    if not filtered:
        return
    for order, ef_search, most in (
        ("relaxed", 40, 20_000),
        ("relaxed", 60, 20_000),
        ("relaxed", 80, 20_000),
        ("relaxed", 100, 20_000),
        ("relaxed", 200, 20_000),
        ("relaxed", 400, 20_000),
        ("relaxed", 100, 100_000),
        ("strict", 40, 20_000),
        ("strict", 100, 20_000),
        ("strict", 400, 20_000),
    ):
        settings = {
            "hnsw.ef_search": str(ef_search),
            "hnsw.iterative_scan": f"{order}_order",
            "hnsw.max_scan_tuples": str(most),
        }
        tuples = "" if most == 20_000 else f", max_scan_tuples {most:,}"
        yield RawWay(f"HNSW, {order}, ef_search {ef_search}{tuples}", "index", forced | settings)


class RawSearch:
    """The ways, on one table."""

    def __init__(self, lab: Lab, table: RawTable, dimensions: int) -> None:
        self.table = table
        self._dimensions = dimensions
        self._statements: dict[tuple[str, int, bool], str] = {}
        self._pool = ConnectionPool(
            lab.conninfo,
            kwargs={"autocommit": True, "options": f"-c search_path={table.schema},{lab.vector_schema}"},
            configure=adapt,
            min_size=1,
            open=False,
        )
        self._pool.open(wait=True)

    def close(self) -> None:
        self._pool.close()

    def find(self, way: RawWay, vector: np.ndarray, memory: str | None, limit: int = 10) -> list[Document]:
        statement = self._statement(way, memory is not None)
        parameters = {"vector": vector, "limit": limit, "memory_id": memory}
        with self._pool.connection() as connection:
            return [hit(self.table, row) for row in self._rows(connection, way, statement, parameters)]

    def _rows(self, connection: Connection[Any], way: RawWay, statement: str, parameters: dict[str, Any]) -> list[Row]:
        cursor = connection.cursor(binary=True)
        if not way.settings:
            # What is not prepared is planned for its values.
            return cursor.execute(statement, parameters, prepare=False).fetchall()
        with connection.pipeline():
            connection.execute(_set_local(way.settings), prepare=True)
            cursor.execute(statement, parameters, prepare=True)
        return cursor.fetchall()

    def _statement(self, way: RawWay, filtered: bool) -> str:
        key = (way.form, way.by_bits, filtered)
        if key not in self._statements:
            visible = self.table.visible
            self._statements[key] = self.table.statement(
                _template(way.form),
                distance=_DISTANCE,
                where=sql.SQL(f"{visible} AND d.memory_id = %(memory_id)b" if filtered else visible),
                dimensions=sql.Literal(self._dimensions),
                by_bits=sql.Literal(way.by_bits),
            )
        return self._statements[key]


def _template(form: str) -> str:
    return _WHOLE[form] if form in _WHOLE else f"WITH near AS MATERIALIZED ({_NEAR[form]}) {_SELECTED}"


def _set_local(settings: Mapping[str, str]) -> str:
    values = (
        sql.SQL("set_config({}, {}, true)").format(sql.Literal(name), sql.Literal(value))
        for name, value in settings.items()
    )
    return sql.SQL("SELECT {}").format(sql.SQL(", ").join(values)).as_string()
