"""How large the stores and their indexes are, as the catalogues say it of their tables, in partitions or not.

Where Citus has distributed them, the catalogues know of empty tables: there it is Citus that says it, of the shards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from psycopg import sql

from memorizz.errors import MemorizzError
from memorizz.memory_provider.postgresql import indexes
from memorizz.memory_provider.postgresql._steps import Operation, Query, Row, T, fetch, fetch_all
from memorizz.memory_provider.postgresql.facts import Facts, Store
from memorizz.memory_provider.postgresql.layout import STANDBY, parts_table, vector_column
from memorizz.memory_provider.postgresql.sql import key
from memorizz.memory_provider.postgresql.sql.vectors import is_wholly_embedded
from memorizz.memory_provider.stores import SEVEN, IndexKind

# Up to this size a table is counted; of a larger one the server's own estimate is taken.
_COUNTED_BYTES = 2**30
_MANY_DEAD = 10_000


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """The size of a store; `estimated` says that the server guessed the rows, None that they could not be read."""

    name: str
    rows: int | None
    with_embedding: int | None
    expired: int | None
    estimated: bool
    oldest: datetime | str | None
    newest: datetime | str | None
    dead_rows: int
    table_bytes: int
    index_bytes: int
    largest: float = 1.0
    """The share of the largest of its partitions in the size of its table."""
    not_storable: str = ""
    """The keys of some rows of other programs which are read but could not be stored again, nor moved."""

    @property
    def bytes(self) -> int:
        """What it takes on disk, with its parts and all indexes."""
        return self.table_bytes + self.index_bytes

    @property
    def is_to_be_vacuumed(self) -> bool:
        """Whether so much of it was deleted that its vector index is to be built again before."""
        return self.dead_rows > max(_MANY_DEAD, (self.rows or 0) // 4)


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """What a store took on disk before its room was given back, and after, with its parts and all indexes, in bytes."""

    store: str
    before: int
    after: int
    seconds: float


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """One index of a store.

    `method` is btree, gin, hnsw, or halfvec for an hnsw index in half precision of exact vectors; `scans` is how often
    it was used since the server's statistics were reset; `being_built` says that somebody is at it; `condition` is what
    a partial index covers; `constraint` says that it keeps a rule and is more than speed; `column` is that of the
    vectors in it; `partitioned` that it is made of those of all partitions.
    """

    name: str
    store: str
    method: str
    valid: bool
    bytes: int
    scans: int
    being_built: bool = False
    m: int | None = None
    ef_construction: int | None = None
    condition: str | None = None
    constraint: bool = False
    column: str | None = None
    partitioned: bool = False

    @property
    def standby(self) -> bool:
        """Whether its vectors are of a model that is not searched."""
        return (self.column or "").endswith(STANDBY)

    @property
    def left_over(self) -> bool:
        """Whether it is what an interrupted build or rebuild has left: it slows writes and serves no search."""
        return not self.being_built and (not self.valid or indexes.is_passing(self.name))


def columns_of(known: Facts | None) -> dict[str, str]:
    """Return the column of the vectors of each store; of the seven, where it is not known which there are."""
    if known is None:
        return {spec.name: vector_column(1) for spec in SEVEN}
    return {name: store.vector_column for name, store in known.stores.items()}


def measure(known: Facts) -> Operation[tuple[list[StoreFacts], list[IndexFacts]]]:
    """Return the size of each store that is there, and of its indexes."""
    return (yield from measured(known.layout.schema, columns_of(known), known.stores))


def glance(known: Facts, limit: int) -> Operation[tuple[dict[str, int], list[str]]]:
    """Return how many rows the server's statistics say that each store has, where they do, and the first tenants."""
    rows = yield from _tables(known.layout.schema, columns_of(known), known.layout.distributed)
    # What is of no tenant comes first.
    statements = [key.tenants(store).as_bytes(None) for store in known.stores.values()]
    found = yield from fetch_all([Query(statement, {"limit": limit + 1}) for statement in statements])
    names = {name for of_store in found for (name,) in of_store if name}
    return {row[0]: row[4] for row in rows if row[4] >= 0}, sorted(names)[:limit]


def _tables(schema: str, columns: Mapping[str, str], distributed: bool) -> Operation[list[Row]]:
    parts = [parts_table(name) for name in columns]
    wanted = {"schema": schema, "stores": [*columns], "columns": [*columns.values()], "parts": parts}
    rows = yield from fetch(Query(_TABLES, wanted))
    sizes = (yield from _of_shards(schema, [*columns, *parts])) if distributed else {}
    for place, (name, *_, share, dead, largest) in enumerate(rows):
        if name in sizes and parts_table(name) in sizes:
            heap, table, whole = sizes[name]
            _, table_of_parts, whole_of_parts = sizes[parts_table(name)]
            table += table_of_parts
            # Nobody estimates rows there.
            rows[place] = name, heap, table, whole + whole_of_parts - table, -1, share, dead, largest
    return rows


def _of_shards(schema: str, tables: Sequence[str]) -> Operation[dict[str, tuple[int, int, int]]]:
    """Return the sizes of distributed tables by their names: the heap, that with all but the indexes, and all."""
    if not (yield from fetch(Query(_CITUS))):
        return {}
    rows = yield from attempt(fetch(Query(_SHARDS, {"schema": schema, "tables": list(tables)})))
    return {name: tuple(sizes) for name, *sizes in rows or ()}


def _of_indexes_of_shards(schema: str, tables: Sequence[str]) -> Operation[dict[str, int]]:
    """Return the sizes of the indexes of distributed tables by their names; before Citus 13.1 it does not say them."""
    rows = yield from fetch(Query(_CITUS))
    if not rows or tuple(map(int, re.findall("[0-9]+", rows[0][0]))) < _SIZES_OF_INDEXES:
        return {}
    found = yield from attempt(fetch(Query(_INDEXES_OF_SHARDS, {"schema": schema, "tables": list(tables)})))
    return dict(found or ())


def measured(
    schema: str, columns: Mapping[str, str], known: Mapping[str, Store]
) -> Operation[tuple[list[StoreFacts], list[IndexFacts]]]:
    stores: list[StoreFacts] = []
    distributed = any(store.layout.distributed for store in known.values())
    for name, heap_bytes, table_bytes, index_bytes, estimate, share, dead, largest in (
        yield from _tables(schema, columns, distributed)
    ):
        counted = heap_bytes <= _COUNTED_BYTES or estimate < 0
        statement = (_COUNT if counted else _GLANCE).format(
            table=sql.Identifier(schema, name),
            name=sql.Literal(sql.Identifier(schema, name).as_string()),
            embedded=is_wholly_embedded(known[name], of_all=True)
            if name in known
            else sql.SQL("d.{} IS NOT NULL").format(sql.Identifier(columns[name])),
        )
        rows = yield from attempt(fetch(Query(statement.as_bytes(None))))
        total, embedded, expired, oldest, newest = rows[0] if rows else (None,) * 5
        if rows and not counted:
            total, embedded = estimate, round(estimate * (1 if name in known and known[name].spec.fields else share))
        strange = (yield from _not_storable(schema, name)) if heap_bytes <= _COUNTED_BYTES else ""
        sizes = dead, table_bytes, index_bytes, largest
        stores.append(StoreFacts(name, total, embedded, expired, not counted, oldest, newest, *sizes, strange))
    return stores, (yield from _indexes(schema, [*columns], distributed))


def _not_storable(schema: str, store: str) -> Operation[str]:
    statement = _NOT_STORABLE.format(table=sql.Identifier(schema, store), key=key.KEY)
    found = [row[0] for row in (yield from attempt(fetch(Query(statement.as_bytes(None))))) or ()]
    return ", ".join(found[:3] + ["and more"] * (len(found) > 3))


def all_indexes(known: Facts) -> Operation[list[IndexFacts]]:
    """Return every index of the stores, store by store."""
    return (yield from _indexes(known.layout.schema, [*known.stores], known.layout.distributed))


def _indexes(schema: str, stores: Sequence[str], distributed: bool) -> Operation[list[IndexFacts]]:
    parts = list(map(parts_table, stores))
    rows = yield from fetch(Query(_INDEXES, {"schema": schema, "stores": list(stores), "parts": parts}))
    sizes = (yield from _of_indexes_of_shards(schema, [*stores, *parts])) if distributed else {}
    found = [IndexFacts(*row) for row in rows]
    return [replace(index, bytes=sizes.get(index.name, index.bytes)) for index in found]


def attempt(operation: Operation[T]) -> Operation[T | None]:
    """Return what an operation returns, None where this user may not."""
    try:
        return (yield from operation)
    except MemorizzError:
        return None


def vector_kind(found: Sequence[IndexFacts]) -> IndexKind | None:
    """Return the kind of the stores' vector indexes, None where no store has one."""
    methods = {index.method for index in found if not (index.standby or indexes.is_passing(index.name))}
    return "hnsw" if "hnsw" in methods else "halfvec" if "halfvec" in methods else None


# --- SQL ----------------------------------------------------------------------------------------------------------

# What a table in partitions has, they have.
_TABLES = b"""
WITH named AS (
    SELECT name, parts, column_name, place
    FROM unnest(%(stores)s::text[], %(parts)s::text[], %(columns)s::text[])
        WITH ORDINALITY AS named (name, parts, column_name, place)
), tables AS (
    SELECT named.*, pg_class.oid AS root, relname = parts AS of_parts
    FROM named JOIN pg_class ON relname IN (name, parts) AND relkind IN ('r', 'p')
    JOIN pg_namespace ON pg_namespace.oid = relnamespace AND nspname = %(schema)s
), pieces AS (
    SELECT name, of_parts, pg_class.oid, CASE WHEN relkind = 'r' THEN reltuples ELSE 0 END AS reltuples FROM tables
    JOIN pg_class ON pg_class.oid = root OR pg_class.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = root)
), summed AS (
    SELECT name, sum(pg_relation_size(pieces.oid)) FILTER (WHERE NOT of_parts) AS heap,
        max(pg_relation_size(pieces.oid)) FILTER (WHERE NOT of_parts) AS largest,
        sum(pg_table_size(pieces.oid)) AS tables, sum(pg_indexes_size(pieces.oid)) AS indexes,
        CASE WHEN NOT bool_or(reltuples < 0 AND pg_relation_size(pieces.oid) > 0) FILTER (WHERE NOT of_parts)
            THEN sum(greatest(reltuples, 0)) FILTER (WHERE NOT of_parts) ELSE -1 END AS estimate,
        sum(n_dead_tup) FILTER (WHERE NOT of_parts) AS dead
    FROM pieces LEFT JOIN pg_stat_all_tables AS counters ON counters.relid = pieces.oid GROUP BY name
)
SELECT name, heap::bigint, tables::bigint, indexes::bigint, estimate::bigint,
    1 - coalesce(null_frac, 0)::float8, coalesce(dead, 0)::bigint, coalesce(largest / nullif(heap, 0), 1)::float8
FROM named JOIN summed USING (name) LEFT JOIN pg_stats
    ON pg_stats.schemaname = %(schema)s AND tablename = name AND attname = column_name
WHERE heap IS NOT NULL ORDER BY place
"""

_CITUS = b"SELECT extversion FROM pg_extension WHERE extname = 'citus'"
_SIZES_OF_INDEXES = 13, 1
_SHARDS = b"""
SELECT relname::text, citus_relation_size(pg_class.oid), citus_table_size(pg_class.oid),
    citus_total_relation_size(pg_class.oid)
FROM pg_class JOIN pg_dist_partition ON logicalrelid = pg_class.oid
JOIN pg_namespace ON pg_namespace.oid = relnamespace AND nspname = %(schema)s
WHERE relname = ANY (%(tables)s::text[])
"""
_INDEXES_OF_SHARDS = b"""
SELECT index.relname::text, citus_table_size(index.oid)
FROM pg_class AS store JOIN pg_dist_partition ON logicalrelid = store.oid
JOIN pg_namespace ON pg_namespace.oid = store.relnamespace AND nspname = %(schema)s
JOIN pg_index ON indrelid = store.oid JOIN pg_class AS index ON index.oid = indexrelid
WHERE store.relname = ANY (%(tables)s::text[])
"""

# A role that row-level security keeps rows from would count none.
_COUNT = sql.SQL(
    "SELECT count(*), count(*) FILTER (WHERE {embedded}), count(*) FILTER (WHERE expires_at <= now()), "
    "min(created_at), max(created_at) FROM {table} AS d HAVING NOT row_security_active({name})"
)
_GLANCE = sql.SQL(
    "SELECT NULL, NULL, (SELECT count(*) FROM {table} WHERE expires_at <= now()), "
    "(SELECT min(created_at) FROM {table}), (SELECT max(created_at) FROM {table}) "
    "WHERE NOT row_security_active({name})"
)

NOT_STORABLE = (
    "a time outside of the years 1 to 9999, NaN or infinity, a number of more than 4,300 digits, or more than 256 "
    "levels of nesting; it is read, and neither exported nor copied"
)
# Time enough to look at every row, as they are few. A number is as large here as Python's decoder refuses.
_NOT_STORABLE = sql.SQL("""
SELECT d.id::text FROM {table} AS d WHERE importance_score IN ('NaN', 'Infinity', '-Infinity')
    OR least("timestamp", created_at, updated_at, last_accessed, expires_at, nullif(valid_from, '-infinity'),
        valid_until) < '0001-01-01 00:00:00+00'
    OR greatest("timestamp", created_at, updated_at, last_accessed, nullif(expires_at, 'infinity'), valid_from,
        nullif(valid_until, 'infinity')) >= '10000-01-01 00:00:00+00'
    OR octet_length(data::text) > 500 AND (
        jsonb_path_exists(data, 'strict $.**{{257}}')
        OR jsonb_path_exists(data, 'strict $.** ? (@ >= 1e4300 || @ <= -1e4300)')
    )
ORDER BY {key} LIMIT 4
""")

# Of an index that is made of those of all partitions, it alone; of one partition what belongs to none.
_INDEXES = b"""
SELECT index.relname::text, named.store,
    CASE WHEN amname = 'hnsw' AND indkey[0] = 0 THEN 'halfvec' ELSE amname::text END, indisvalid AND indisready,
    pieces.bytes, pieces.scans,
    EXISTS (SELECT FROM pg_stat_progress_create_index AS progress
        WHERE datname = current_database() AND (index_relid = ANY (pieces.all)
            OR index_relid IS NULL AND NOT indisvalid
            OR store.relispartition AND pg_partition_root(relid) = pg_partition_root(store.oid))),
    (SELECT option_value::int FROM pg_options_to_table(index.reloptions) WHERE option_name = 'm'),
    (SELECT option_value::int FROM pg_options_to_table(index.reloptions) WHERE option_name = 'ef_construction'),
    pg_get_expr(indpred, indrelid), EXISTS (SELECT FROM pg_constraint WHERE conindid = index.oid) OR indisunique,
    (SELECT attname::text FROM pg_depend JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
        WHERE objid = index.oid AND refobjid = store.oid AND attname ~ '^embedding(_[0-9]+)?(_standby)?$'),
    index.relkind = 'I'
FROM pg_index
JOIN pg_class AS index ON index.oid = indexrelid
JOIN pg_class AS store ON store.oid = indrelid
JOIN pg_namespace ON pg_namespace.oid = store.relnamespace
JOIN unnest(%(stores)s::text[], %(parts)s::text[]) WITH ORDINALITY AS named (store, parts, place)
    ON coalesce((SELECT relname FROM pg_class WHERE oid = pg_partition_root(store.oid)), store.relname)
        IN (named.store, named.parts)
JOIN pg_am ON pg_am.oid = index.relam
CROSS JOIN LATERAL (
    SELECT sum(pg_table_size(each))::bigint AS bytes, coalesce(sum(idx_scan), 0)::bigint AS scans,
        array_agg(each) AS all
    FROM (SELECT index.oid UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = index.oid) AS pieces (each)
    LEFT JOIN pg_stat_all_indexes AS counters ON counters.indexrelid = each
) AS pieces
WHERE nspname = %(schema)s AND NOT index.relispartition
ORDER BY named.place, index.relname
"""
