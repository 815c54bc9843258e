"""What the catalogues say of a database: what `memorizz doctor` diagnoses and `memorizz stats` shows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from psycopg import sql

from memorizz.errors import MemorizzError, SchemaError
from memorizz.memory_provider.postgresql import distribution, history, indexes, migrations
from memorizz.memory_provider.postgresql._steps import Operation, Query, fetch
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.facts import Facts, Store
from memorizz.memory_provider.postgresql.layout import parts_table
from memorizz.memory_provider.postgresql.maintenance._measuring import (
    IndexFacts,
    StoreFacts,
    attempt,
    columns_of,
    measured,
    vector_kind,
)
from memorizz.memory_provider.postgresql.migrations import Applied, Database
from memorizz.memory_provider.stores import IndexKind


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
    undistributed: Sequence[str] = ()
    """The tables that Citus is to distribute and does not."""
    half_distributed: Sequence[str] = ()
    """What an interrupted distribution has left: foreign keys, or tables that the coordinator has the rows of, too."""
    languages: Mapping[str, float] = field(default_factory=dict[str, float])
    """The share of the words of some texts that each language leaves out; nothing where there are few words."""


def examine(config: PostgreSQLConfig, backend_pid: int) -> Operation[Examination]:
    """Return what is known; `backend_pid` is the process that the connection was told it talks to."""
    found = yield from migrations.database(config)
    rows = yield from fetch(Query(_SERVER, {"schema": found.schema, "backend_pid": backend_pid}))
    settings = yield from fetch(Query(_SETTINGS, {"names": list(SETTINGS), "sizes": list(SIZES)}))
    server, may = Server(*rows[0][:10]), rows[0][10:]
    applied = (yield from attempt(migrations.applied(found))) or []
    pending, newer = yield from _pending(found)
    known, damage = (yield from _known(config, found)) if not (pending or newer) else (None, None)
    columns = columns_of(known)
    there = found.schema is not None and found.has_migrations
    stores, found_indexes = (
        (yield from measured(found.schema or "", columns, {} if known is None else known.stores)) if there else ([], [])
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
        undistributed=[] if known is None else (yield from distribution.missing(known)),
        half_distributed=[] if known is None else (yield from distribution.half_done(known)),
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
    rows = (yield from attempt(fetch(Query(statement.as_bytes(None))))) or ()
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

_TABLE_RIGHTS = b"""
SELECT bool_and(has_schema_privilege(relnamespace, 'USAGE') AND has_table_privilege(pg_class.oid, 'SELECT')),
    bool_and(has_schema_privilege(relnamespace, 'USAGE') AND has_table_privilege(pg_class.oid, 'INSERT')
        AND has_table_privilege(pg_class.oid, 'UPDATE') AND has_table_privilege(pg_class.oid, 'DELETE'))
        FILTER (WHERE relname = ANY (%(stores)s::text[] || %(parts)s::text[]))
FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = %(schema)s AND relkind IN ('r', 'p') AND NOT relispartition
    AND (relname = ANY (%(stores)s::text[]) OR starts_with(relname, 'memorizz_') AND relname <> 'memorizz_measurements')
"""
