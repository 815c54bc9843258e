"""What the catalogues say of a database: the facts that `memorizz doctor` judges and `memorizz stats` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from psycopg import sql

from memorizz.errors import MemorizzError
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import _indexes, _migrate
from memorizz.memory_provider.postgresql._migrate import Applied, Database
from memorizz.memory_provider.postgresql._steps import Operation, Query, T, fetch
from memorizz.memory_provider.postgresql._stores import ASIDE, IndexKind, Schema, vector_column
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.maintenance import _models
from memorizz.memory_provider.postgresql.maintenance._models import Model

# Up to this size a table is counted; of a larger one the server's own estimate is taken.
_COUNTED_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class Server:
    """The server, and how this connection stands to it."""

    version: str
    user: str
    superuser: bool
    encoding: str
    standby: bool
    encrypted: bool
    pooled: bool
    connections: int
    connections_allowed: int
    vector_available: str | None


@dataclass(frozen=True, slots=True)
class Rights:
    """What this user may do; `read` and `write` are None while there are no tables."""

    create_schemas: bool
    create_tables: bool
    create_extension: bool
    read: bool | None
    write: bool | None


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """The size of a store; `estimated` says that the server guessed the rows, None that they could not be read."""

    name: str
    rows: int | None
    with_embedding: int | None
    expired: int | None
    estimated: bool
    oldest: datetime | None
    newest: datetime | None
    dead_rows: int
    table_bytes: int
    index_bytes: int


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """One index of a store.

    `method` is btree, gin, hnsw, or halfvec for an hnsw index of half precision; `scans` is how often it was used since
    the server's statistics were reset; `being_built` says that somebody is at it; `condition` is what a partial index
    covers, `memory_id` the memory whose own it is; `constraint` says that it keeps a rule and is more than speed;
    `column` is that of the vectors in it.
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
    memory_id: str | None = None

    @property
    def aside(self) -> bool:
        """Whether its vectors are of a model that is not searched."""
        return (self.column or "").endswith(ASIDE)

    @property
    def left_over(self) -> bool:
        """Whether it is what an interrupted build or rebuild has left: it slows writes and serves no search."""
        return not self.being_built and (not self.valid or _indexes.is_passing(self.name))


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is to know of a database; `newer` is set where this version does not know the schema's."""

    server: Server
    database: Database
    rights: Rights
    settings: Mapping[str, str]
    sizes: Mapping[str, int]
    """The settings that are amounts of memory, in bytes."""
    applied: Sequence[Applied]
    pending: Sequence[str]
    newer: str | None
    text_search_config: str | None = None
    searched: Model | None = None
    """The embedding model whose vectors are searched."""
    aside: Model | None = None
    """The one that stands aside while `memorizz re-embed` is under way: to come, or kept."""
    stores: Sequence[StoreFacts] = ()
    indexes: Sequence[IndexFacts] = ()
    missing_indexes: Mapping[str, str] = field(default_factory=dict[str, str])
    """The name of each index that should be there, and its store."""


def examine(config: PostgreSQLConfig, backend_pid: int) -> Operation[Facts]:
    """Return what there is to know; `backend_pid` is the process that the connection was told it talks to."""
    found = yield from _migrate.database(config)
    rows = yield from fetch(Query(_SERVER, {"schema": found.schema, "backend_pid": backend_pid}))
    settings = yield from fetch(Query(_SETTINGS, {"names": list(SETTINGS), "sizes": list(SIZES)}))
    server, may = Server(*rows[0][:10]), rows[0][10:]
    applied = (yield from _attempt(_migrate.applied(found))) or []
    pending, newer = yield from _pending(found)
    stores, all_indexes = yield from measure(found)
    read, write = yield from _table_rights(found)
    models = yield from _attempt(_models.models(found))
    return Facts(
        server,
        found,
        Rights(may[0], may[1], may[2], read, write),
        settings={name: value for name, value, _ in settings if value},
        sizes={name: size for name, _, size in settings if size is not None},
        applied=applied,
        pending=pending,
        newer=newer,
        text_search_config=(yield from _text_search_config(found)),
        searched=None if models is None else models.searched,
        aside=None if models is None else models.aside,
        stores=stores,
        indexes=all_indexes,
        missing_indexes=_missing(found, stores, all_indexes),
    )


def measure(found: Database) -> Operation[tuple[list[StoreFacts], list[IndexFacts]]]:
    """Return the size of each store that is there, and of its indexes."""
    if not found.has_migrations:
        return [], []
    column = vector_column(found.model_id)
    bound = {"schema": found.schema, "stores": [each.value for each in MemoryType], "column": column}
    stores: list[StoreFacts] = []
    for name, heap_bytes, table_bytes, index_bytes, estimate, share, dead in (yield from fetch(Query(_TABLES, bound))):
        counted = heap_bytes <= _COUNTED_BYTES or estimate < 0
        statement = _COUNT if counted else _GLANCE
        table = sql.Identifier(found.schema or "", name)
        counting = statement.format(table=table, embedding=sql.Identifier(column)).as_bytes(None)
        rows = yield from _attempt(fetch(Query(counting)))
        total, embedded, expired, oldest, newest = rows[0] if rows else (None,) * 5
        if rows and not counted:
            total, embedded = estimate, round(estimate * share)
        stores.append(
            StoreFacts(name, total, embedded, expired, not counted, oldest, newest, dead, table_bytes, index_bytes)
        )
    return stores, (yield from indexes(found))


def indexes(found: Database) -> Operation[list[IndexFacts]]:
    """Return every index of the stores, store by store."""
    rows = yield from fetch(Query(_INDEXES, {"schema": found.schema, "stores": [each.value for each in MemoryType]}))
    return [IndexFacts(*row, memory_id=_indexes.stored_memory_id(row[9])) for row in rows]


def _attempt(operation: Operation[T]) -> Operation[T | None]:
    """Return what an operation brings, None where this user may not."""
    try:
        return (yield from operation)
    except MemorizzError:
        return None


def _pending(found: Database) -> Operation[tuple[list[str], str | None]]:
    try:
        missing = yield from _migrate.pending(found)
    except MemorizzError as error:
        return [], str(error)
    return [f"{each.version} {each.name}" for each in missing], None


def _text_search_config(found: Database) -> Operation[str | None]:
    if not found.has_migrations:
        return None
    table = sql.Identifier(found.schema or "", "memorizz_settings")
    statement = sql.SQL("SELECT text_search_config FROM {}").format(table).as_bytes(None)
    rows = yield from _attempt(fetch(Query(statement)))
    return rows[0][0] if rows else None


def _table_rights(found: Database) -> Operation[tuple[bool | None, bool | None]]:
    if not found.has_migrations:
        return None, None
    bound = {"schema": found.schema, "stores": [each.value for each in MemoryType]}
    rows = yield from fetch(Query(_TABLE_RIGHTS, bound))
    return rows[0][0], rows[0][1]


def _missing(found: Database, stores: Sequence[StoreFacts], indexes: Sequence[IndexFacts]) -> dict[str, str]:
    """Return the indexes which every store should have and some store has not, each with its store.

    Whether there is to be a vector index, the stores that have one say.
    """
    if found.schema is None or found.vector_schema is None or found.dimensions is None:
        return {}
    names = {index.name for index in indexes}
    schema = Schema(
        found.schema,
        found.vector_schema,
        found.dimensions,
        index=vector_kind(indexes) or "none",
        model_id=found.model_id,
    )
    return {
        name: store.name
        for store in stores
        for name in _indexes.named(schema.store(store.name), _indexes.HNSW())
        if name not in names
    }


def vector_kind(indexes: Sequence[IndexFacts]) -> IndexKind | None:
    """Return the kind of the stores' vector indexes, None where no store has one."""
    methods = {index.method for index in indexes if not (index.aside or _indexes.is_passing(index.name))}
    return "hnsw" if "hnsw" in methods else "halfvec" if "halfvec" in methods else None


# --- SQL ----------------------------------------------------------------------------------------------------------

SIZES = ("shared_buffers", "maintenance_work_mem", "work_mem")
SETTINGS = (
    *SIZES,
    "hnsw.ef_search",
    "jit",
    "fsync",
    "full_page_writes",
    "synchronous_commit",
    "autovacuum",
    "data_checksums",
    "default_transaction_read_only",
)

_SETTINGS = b"""
SELECT name,
    CASE WHEN name = 'jit' AND current_setting('jit') = 'on' AND NOT pg_jit_available() THEN 'not installed'
        ELSE current_setting(name, true) END,
    CASE WHEN name = ANY (%(sizes)s::text[]) THEN pg_size_bytes(current_setting(name)) END
FROM unnest(%(names)s::text[]) AS name
"""

# A pooler in between tells its clients of a process that is not the server's.
_SERVER = b"""
SELECT split_part(current_setting('server_version'), ' ', 1), current_user::text, rolsuper,
    current_setting('server_encoding'), pg_is_in_recovery(),
    coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false),
    pg_backend_pid() <> %(backend_pid)s::int,
    (SELECT sum(numbackends) FROM pg_stat_database)::int,
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true), '0')::int,
    extension.default_version,
    has_database_privilege(current_database(), 'CREATE'),
    CASE WHEN schema.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE')
        ELSE has_schema_privilege(schema.oid, 'CREATE') AND has_schema_privilege(schema.oid, 'USAGE') END,
    extension.name IS NOT NULL AND (rolsuper OR (
        has_database_privilege(current_database(), 'CREATE') AND EXISTS (
            SELECT FROM pg_available_extension_versions AS version
            WHERE version.name = extension.name AND version.version = extension.default_version AND version.trusted)))
FROM pg_roles
LEFT JOIN pg_available_extensions AS extension ON extension.name = 'vector'
LEFT JOIN pg_namespace AS schema ON schema.nspname = %(schema)s
WHERE rolname = current_user
"""

_TABLES = b"""
SELECT pg_class.relname::text, pg_relation_size(pg_class.oid), pg_table_size(pg_class.oid),
    pg_indexes_size(pg_class.oid), reltuples::bigint, 1 - coalesce(null_frac, 0)::float8, coalesce(n_dead_tup, 0)
FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace
LEFT JOIN pg_stat_all_tables AS counters ON counters.relid = pg_class.oid
LEFT JOIN pg_stats ON pg_stats.schemaname = nspname AND tablename = pg_class.relname
    AND attname = %(column)s
WHERE nspname = %(schema)s AND pg_class.relname = ANY (%(stores)s::text[]) AND relkind IN ('r', 'p')
ORDER BY array_position(%(stores)s::text[], pg_class.relname::text)
"""

_COUNT = sql.SQL(
    "SELECT count(*), count({embedding}), count(*) FILTER (WHERE expires_at <= now()), "
    "min(created_at), max(created_at) FROM {table}"
)
_GLANCE = sql.SQL(
    "SELECT NULL, NULL, (SELECT count(*) FROM {table} WHERE expires_at <= now()), "
    "(SELECT min(created_at) FROM {table}), (SELECT max(created_at) FROM {table})"
)

_TABLE_RIGHTS = b"""
SELECT bool_and(has_schema_privilege(relnamespace, 'USAGE') AND has_table_privilege(pg_class.oid, 'SELECT')),
    bool_and(has_schema_privilege(relnamespace, 'USAGE') AND has_table_privilege(pg_class.oid, 'INSERT')
        AND has_table_privilege(pg_class.oid, 'UPDATE') AND has_table_privilege(pg_class.oid, 'DELETE'))
FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = %(schema)s AND relname = ANY (%(stores)s::text[])
"""

_INDEXES = b"""
SELECT index.relname::text, store.relname::text,
    CASE opcname WHEN 'halfvec_cosine_ops' THEN 'halfvec' ELSE amname::text END, indisvalid AND indisready,
    pg_relation_size(index.oid), coalesce(idx_scan, 0),
    EXISTS (SELECT FROM pg_stat_progress_create_index AS progress
        WHERE datname = current_database() AND (index_relid = index.oid OR index_relid IS NULL AND NOT indisvalid)),
    (SELECT option_value::int FROM pg_options_to_table(index.reloptions) WHERE option_name = 'm'),
    (SELECT option_value::int FROM pg_options_to_table(index.reloptions) WHERE option_name = 'ef_construction'),
    pg_get_expr(indpred, indrelid), EXISTS (SELECT FROM pg_constraint WHERE conindid = index.oid) OR indisunique,
    (SELECT attname::text FROM pg_depend JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
        WHERE objid = index.oid AND refobjid = store.oid AND attname ~ '^embedding(_[0-9]+)?(_aside)?$')
FROM pg_index
JOIN pg_class AS index ON index.oid = indexrelid
JOIN pg_class AS store ON store.oid = indrelid
JOIN pg_namespace ON pg_namespace.oid = store.relnamespace
JOIN pg_am ON pg_am.oid = index.relam
JOIN pg_opclass ON pg_opclass.oid = indclass[0]
LEFT JOIN pg_stat_all_indexes AS counters ON counters.indexrelid = index.oid
WHERE nspname = %(schema)s AND store.relname = ANY (%(stores)s::text[])
ORDER BY array_position(%(stores)s::text[], store.relname::text), index.relname
"""
