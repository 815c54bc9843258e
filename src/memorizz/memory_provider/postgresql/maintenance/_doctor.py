"""What the catalogues say of a database: what `memorizz doctor` diagnoses and `memorizz stats` shows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from psycopg import sql

from memorizz.errors import MemorizzError, SchemaError
from memorizz.memory_provider.postgresql import history, indexes, migrations
from memorizz.memory_provider.postgresql._steps import Operation, Query, Row, T, fetch, fetch_all
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.facts import Facts, Store
from memorizz.memory_provider.postgresql.layout import STANDBY, parts_table, vector_column
from memorizz.memory_provider.postgresql.migrations import Applied, Database
from memorizz.memory_provider.postgresql.sql import key
from memorizz.memory_provider.postgresql.sql.vectors import is_wholly_embedded
from memorizz.memory_provider.stores import SEVEN, IndexKind

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
    oldest: datetime | str | None
    newest: datetime | str | None
    dead_rows: int
    table_bytes: int
    index_bytes: int
    not_storable: str = ""
    """The keys of some rows of other programs which are read but could not be stored again, nor moved."""


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """One index of a store.

    `method` is btree, gin, hnsw, or halfvec for an hnsw index of half precision; `scans` is how often it was used since
    the server's statistics were reset; `being_built` says that somebody is at it; `condition` is what a partial index
    covers; `constraint` says that it keeps a rule and is more than speed; `column` is that of the vectors in it.
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

    @property
    def standby(self) -> bool:
        """Whether its vectors are of a model that is not searched."""
        return (self.column or "").endswith(STANDBY)

    @property
    def left_over(self) -> bool:
        """Whether it is what an interrupted build or rebuild has left: it slows writes and serves no search."""
        return not self.being_built and (not self.valid or indexes.is_passing(self.name))


@dataclass(frozen=True, slots=True)
class Examination:
    """What is known of a database.

    `newer` says that this version does not know the schema's, `damage` that it is there and cannot be used; `facts` is
    None then, and where this user may not read them.
    """

    server: Server
    database: Database
    rights: Rights
    settings: Mapping[str, str]
    sizes: Mapping[str, int]
    """The settings that are amounts of memory, in bytes."""
    applied: Sequence[Applied]
    pending: Sequence[str]
    newer: str | None
    damage: str | None = None
    facts: Facts | None = None
    stores: Sequence[StoreFacts] = ()
    indexes: Sequence[IndexFacts] = ()
    missing_indexes: Mapping[str, str] = field(default_factory=dict[str, str])
    """The name of each index that should be there, and its store."""
    lost_histories: Sequence[tuple[str, bool]] = ()
    """The stores whose history is to be kept and is not, and whether the table of it is gone."""
    languages: Mapping[str, float] = field(default_factory=dict[str, float])
    """The share of the words of some texts that each language leaves out; nothing where there are few words."""


def examine(config: PostgreSQLConfig, backend_pid: int) -> Operation[Examination]:
    """Return what is known; `backend_pid` is the process that the connection was told it talks to."""
    found = yield from migrations.database(config)
    rows = yield from fetch(Query(_SERVER, {"schema": found.schema, "backend_pid": backend_pid}))
    settings = yield from fetch(Query(_SETTINGS, {"names": list(SETTINGS), "sizes": list(SIZES)}))
    server, may = Server(*rows[0][:10]), rows[0][10:]
    applied = (yield from _attempt(migrations.applied(found))) or []
    pending, newer = yield from _pending(found)
    known, damage = (yield from _known(config, found)) if not (pending or newer) else (None, None)
    columns = _columns(known)
    there = found.schema is not None and found.has_migrations
    stores, found_indexes = (
        (yield from _measure(found.schema or "", columns, {} if known is None else known.stores)) if there else ([], [])
    )
    read, write = yield from _table_rights(found, columns)
    return Examination(
        server,
        found,
        Rights(may[0], may[1], may[2], read, write),
        settings={name: value for name, value, _ in settings if value},
        sizes={name: size for name, _, size in settings if size is not None},
        applied=applied,
        pending=pending,
        newer=newer,
        damage=damage,
        facts=known,
        stores=stores,
        indexes=found_indexes,
        missing_indexes={} if known is None else _missing(known, stores, found_indexes),
        lost_histories=[] if known is None else (yield from history.lost(known)),
        languages={} if known is None else (yield from _languages(known)),
    )


# Of each store: enough words to tell languages apart, and few enough to be looked up in all of them in a moment.
_SAMPLED_TEXTS, _SAMPLED_CHARACTERS, _ENOUGH_WORDS = 100, 500, 200
_LANGUAGES = """
WITH words AS MATERIALIZED (
    SELECT lower(token) AS word, count(*) AS times
    FROM ({texts}) AS texts, ts_parse('default', beginning) WHERE tokid IN (1, 2) GROUP BY lower(token)
)
SELECT 'pg_catalog.' || cfgname,
    (sum(times) FILTER (WHERE ts_lexize(dictionary.oid, word) = '{{}}') / sum(times))::float8, sum(times)::int
FROM pg_ts_config AS config
JOIN pg_ts_dict AS dictionary ON dictname = cfgname || '_stem' AND dictnamespace = cfgnamespace
CROSS JOIN words WHERE cfgnamespace = 'pg_catalog'::regnamespace GROUP BY cfgname
"""


def _languages(known: Facts) -> Operation[dict[str, float]]:
    texts = [
        sql.SQL("(SELECT left(content, {}) AS beginning FROM {} WHERE content <> '' LIMIT {})").format(
            sql.Literal(_SAMPLED_CHARACTERS), store.table, sql.Literal(_SAMPLED_TEXTS)
        )
        for store in known.stores.values()
    ]
    statement = sql.SQL(_LANGUAGES).format(texts=sql.SQL(" UNION ALL ").join(texts))
    rows = (yield from _attempt(fetch(Query(statement.as_bytes(None))))) or ()
    return {language: share or 0.0 for language, share, words in rows if words >= _ENOUGH_WORDS}


def _known(config: PostgreSQLConfig, found: Database) -> Operation[tuple[Facts | None, str | None]]:
    """Return the facts, or why they cannot be had; neither where this user may not read them."""
    if not found.has_migrations:
        return None, None
    try:
        return (yield from migrations.facts_of(config, found)), None
    except SchemaError as error:
        return None, str(error)
    except MemorizzError:
        return None, None


def _columns(known: Facts | None) -> dict[str, str]:
    """Return the column of the vectors of each store; of the seven, where it is not known which there are."""
    if known is None:
        return {spec.name: vector_column(1) for spec in SEVEN}
    return {name: store.vector_column for name, store in known.stores.items()}


def measure(known: Facts) -> Operation[tuple[list[StoreFacts], list[IndexFacts]]]:
    """Return the size of each store that is there, and of its indexes."""
    return (yield from _measure(known.layout.schema, _columns(known), known.stores))


def glance(known: Facts, limit: int) -> Operation[tuple[dict[str, int], list[str]]]:
    """Return how many rows the server's statistics say that each store has, where they do, and the first tenants."""
    rows = yield from _tables(known.layout.schema, _columns(known))
    statements = [key.TENANTS.format(table=store.table).as_bytes(None) for store in known.stores.values()]
    found = yield from fetch_all([Query(statement, {"limit": limit}) for statement in statements])
    names = {name for of_store in found for (name,) in of_store}
    return {row[0]: row[4] for row in rows if row[4] >= 0}, sorted(names)[:limit]


def _tables(schema: str, columns: Mapping[str, str]) -> Operation[list[Row]]:
    parts = [parts_table(name) for name in columns]
    wanted = {"schema": schema, "stores": [*columns], "columns": [*columns.values()], "parts": parts}
    return (yield from fetch(Query(_TABLES, wanted)))


def _measure(
    schema: str, columns: Mapping[str, str], known: Mapping[str, Store]
) -> Operation[tuple[list[StoreFacts], list[IndexFacts]]]:
    stores: list[StoreFacts] = []
    for name, heap_bytes, table_bytes, index_bytes, estimate, share, dead in (yield from _tables(schema, columns)):
        counted = heap_bytes <= _COUNTED_BYTES or estimate < 0
        statement = (_COUNT if counted else _GLANCE).format(
            table=sql.Identifier(schema, name),
            name=sql.Literal(sql.Identifier(schema, name).as_string()),
            embedded=is_wholly_embedded(known[name])
            if name in known
            else sql.SQL("d.{} IS NOT NULL").format(sql.Identifier(columns[name])),
        )
        rows = yield from _attempt(fetch(Query(statement.as_bytes(None))))
        total, embedded, expired, oldest, newest = rows[0] if rows else (None,) * 5
        if rows and not counted:
            total, embedded = estimate, round(estimate * (1 if name in known and known[name].spec.fields else share))
        strange = (yield from _not_storable(schema, name)) if counted else ""
        sizes = dead, table_bytes, index_bytes
        stores.append(StoreFacts(name, total, embedded, expired, not counted, oldest, newest, *sizes, strange))
    return stores, (yield from _indexes(schema, [*columns]))


def _not_storable(schema: str, store: str) -> Operation[str]:
    statement = _NOT_STORABLE.format(table=sql.Identifier(schema, store), key=key.KEY)
    found = [row[0] for row in (yield from _attempt(fetch(Query(statement.as_bytes(None))))) or ()]
    return ", ".join(found[:3] + ["and more"] * (len(found) > 3))


def all_indexes(known: Facts) -> Operation[list[IndexFacts]]:
    """Return every index of the stores, store by store."""
    return (yield from _indexes(known.layout.schema, [*known.stores]))


def _indexes(schema: str, stores: Sequence[str]) -> Operation[list[IndexFacts]]:
    wanted = {"schema": schema, "stores": list(stores), "parts": list(map(parts_table, stores))}
    rows = yield from fetch(Query(_INDEXES, wanted))
    return [IndexFacts(*row) for row in rows]


def _attempt(operation: Operation[T]) -> Operation[T | None]:
    """Return what an operation returns, None where this user may not."""
    try:
        return (yield from operation)
    except MemorizzError:
        return None


def _pending(found: Database) -> Operation[tuple[list[str], str | None]]:
    try:
        missing = yield from migrations.pending(found)
    except MemorizzError as error:
        return [], str(error)
    return [f"{each.version} {each.name}" for each in missing], None


def _table_rights(found: Database, stores: Collection[str]) -> Operation[tuple[bool | None, bool | None]]:
    if not found.has_migrations:
        return None, None
    wanted = {"schema": found.schema, "stores": [*stores], "parts": [*map(parts_table, stores)]}
    rows = yield from fetch(Query(_TABLE_RIGHTS, wanted))
    return rows[0][0], rows[0][1]


def _missing(known: Facts, stores: Sequence[StoreFacts], found: Sequence[IndexFacts]) -> dict[str, str]:
    """Return the indexes which every store should have and some store has not, each with its store.

    Whether there is to be a vector index, the stores that have one say.
    """
    names = {index.name for index in found}
    kind = vector_kind(found) or "none"
    return {
        name: store.name
        for store in stores
        for name in indexes.named(with_index(known.stores[store.name], kind))
        if name not in names
    }


def with_index(store: Store, kind: IndexKind) -> Store:
    """Return a store as it would be with a vector index of a kind, or of the next that its vectors can have."""
    vector = store.spec.vector(store.model.dimensions)
    index = "none" if kind == "none" else kind if kind == vector.index else vector.index
    return replace(store, vector=replace(store.vector, index=index))


def vector_kind(found: Sequence[IndexFacts]) -> IndexKind | None:
    """Return the kind of the stores' vector indexes, None where no store has one."""
    methods = {index.method for index in found if not (index.standby or indexes.is_passing(index.name))}
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
SELECT pg_class.relname::text, pg_relation_size(pg_class.oid),
    pg_table_size(pg_class.oid) + coalesce(pg_table_size(parts.oid), 0),
    pg_indexes_size(pg_class.oid) + coalesce(pg_indexes_size(parts.oid), 0), pg_class.reltuples::bigint,
    1 - coalesce(null_frac, 0)::float8, coalesce(n_dead_tup, 0)
FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
LEFT JOIN pg_class AS parts ON parts.relnamespace = pg_class.relnamespace
    AND parts.relname = (%(parts)s::text[])[array_position(%(stores)s::text[], pg_class.relname::text)]
LEFT JOIN pg_stat_all_tables AS counters ON counters.relid = pg_class.oid
LEFT JOIN pg_stats ON pg_stats.schemaname = nspname AND tablename = pg_class.relname
    AND attname = (%(columns)s::text[])[array_position(%(stores)s::text[], pg_class.relname::text)]
WHERE nspname = %(schema)s AND pg_class.relname = ANY (%(stores)s::text[]) AND pg_class.relkind IN ('r', 'p')
ORDER BY array_position(%(stores)s::text[], pg_class.relname::text)
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

_TABLE_RIGHTS = b"""
SELECT bool_and(has_schema_privilege(relnamespace, 'USAGE') AND has_table_privilege(pg_class.oid, 'SELECT')),
    bool_and(has_schema_privilege(relnamespace, 'USAGE') AND has_table_privilege(pg_class.oid, 'INSERT')
        AND has_table_privilege(pg_class.oid, 'UPDATE') AND has_table_privilege(pg_class.oid, 'DELETE'))
        FILTER (WHERE relname = ANY (%(stores)s::text[] || %(parts)s::text[]))
FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = %(schema)s AND relkind IN ('r', 'p')
    AND (relname = ANY (%(stores)s::text[]) OR starts_with(relname, 'memorizz_') AND relname <> 'memorizz_measurements')
"""

_INDEXES = b"""
SELECT index.relname::text, named.store,
    CASE opcname WHEN 'halfvec_cosine_ops' THEN 'halfvec' ELSE amname::text END, indisvalid AND indisready,
    pg_table_size(index.oid), coalesce(idx_scan, 0),
    EXISTS (SELECT FROM pg_stat_progress_create_index AS progress
        WHERE datname = current_database() AND (index_relid = index.oid OR index_relid IS NULL AND NOT indisvalid)),
    (SELECT option_value::int FROM pg_options_to_table(index.reloptions) WHERE option_name = 'm'),
    (SELECT option_value::int FROM pg_options_to_table(index.reloptions) WHERE option_name = 'ef_construction'),
    pg_get_expr(indpred, indrelid), EXISTS (SELECT FROM pg_constraint WHERE conindid = index.oid) OR indisunique,
    (SELECT attname::text FROM pg_depend JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
        WHERE objid = index.oid AND refobjid = store.oid AND attname ~ '^embedding(_[0-9]+)?(_standby)?$')
FROM pg_index
JOIN pg_class AS index ON index.oid = indexrelid
JOIN pg_class AS store ON store.oid = indrelid
JOIN pg_namespace ON pg_namespace.oid = store.relnamespace
JOIN unnest(%(stores)s::text[], %(parts)s::text[]) WITH ORDINALITY AS named (store, parts, place)
    ON store.relname IN (named.store, named.parts)
JOIN pg_am ON pg_am.oid = index.relam
JOIN pg_opclass ON pg_opclass.oid = indclass[0]
LEFT JOIN pg_stat_all_indexes AS counters ON counters.indexrelid = index.oid
WHERE nspname = %(schema)s
ORDER BY named.place, index.relname
"""
