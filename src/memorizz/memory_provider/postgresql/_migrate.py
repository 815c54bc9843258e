"""The schema of the database: what it is, what is pending, and how it is made and upgraded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import cast

from psycopg import sql

from memorizz.errors import ConfigurationError, MemorizzError, SchemaError
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import _indexes
from memorizz.memory_provider.postgresql._queries import raw
from memorizz.memory_provider.postgresql._search import ENOUGH_BITS, LEAST_BITS
from memorizz.memory_provider.postgresql._steps import Operation, Query, Script, fetch
from memorizz.memory_provider.postgresql._stores import IndexKind, Schema, vector_column
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig

DEFAULT_DIMENSIONS = 1536
_OLDEST_SERVER = 150_000
_OLDEST_VECTOR = (0, 8, 0)
# Every program that creates or upgrades a schema in one database waits for this lock (pg_advisory_xact_lock).
_LOCK = 0x6D656D6F72697A7A


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file of `migrations/`."""

    version: int
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Applied:
    """A migration that the database has."""

    version: int
    name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Database:
    """What the catalogs say: the server, pgvector, and the schema that the tables are to be in."""

    name: str
    schema: str | None
    schema_exists: bool
    server_version: int
    vector_version: str | None
    vector_schema: str | None
    model_id: int
    dimensions: int | None
    has_migrations: bool


@cache
def migrations() -> Sequence[Migration]:
    """Return the migrations of this version, in order."""
    found = [
        file
        for file in files("memorizz.memory_provider.postgresql").joinpath("migrations").iterdir()
        if file.name.endswith(".sql")
    ]
    named = [(file.name.removesuffix(".sql").partition("_"), file) for file in found]
    return sorted(
        (Migration(int(number), name, file.read_text("utf-8")) for (number, _, name), file in named),
        key=lambda migration: migration.version,
    )


_DATABASE = b"""
SELECT current_database(), wanted.name, schema.oid IS NOT NULL,
    current_setting('server_version_num')::int, vector.version, vector.schema,
    coalesce(substring(vectors.attname FROM '[0-9]+')::int, 1), vectors.atttypmod,
    EXISTS (SELECT FROM pg_class WHERE relnamespace = schema.oid AND relname = 'memorizz_migrations')
FROM (SELECT coalesce(%(schema)s::text, current_schema()) AS name) AS wanted
LEFT JOIN pg_namespace AS schema ON schema.nspname = wanted.name
LEFT JOIN (SELECT extversion AS version, nspname AS schema FROM pg_extension
           JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'vector') AS vector ON true
LEFT JOIN pg_class AS store ON relnamespace = schema.oid AND relname = 'conversation_memory'
LEFT JOIN pg_attribute AS vectors ON attrelid = store.oid AND attname ~ '^embedding(_[0-9]+)?$'
"""


def database(config: PostgreSQLConfig) -> Operation[Database]:
    rows = yield from fetch(Query(_DATABASE, {"schema": config.schema}))
    return Database(*rows[0])


def applied(found: Database) -> Operation[list[Applied]]:
    """Return the migrations that the schema has, oldest first."""
    if not found.has_migrations or found.schema is None:
        return []
    table = sql.Identifier(found.schema, "memorizz_migrations")
    statement = sql.SQL("SELECT version, name, applied_at FROM {} ORDER BY version").format(table)
    rows = yield from fetch(Query(statement.as_bytes(None)))
    return [Applied(*row) for row in rows]


def pending(found: Database) -> Operation[list[Migration]]:
    """Return the migrations that the schema lacks, oldest first; raises SchemaError where it has newer ones."""
    done = yield from applied(found)
    newest = max((each.version for each in done), default=0)
    known = migrations()[-1].version
    if newest > known:
        raise SchemaError(
            f"schema {found.schema!r} is at version {newest}, this memorizz knows version {known}: "
            "upgrade memorizz-postgresql, or use another schema"
        )
    return [migration for migration in migrations() if migration.version > newest]


def opened(config: PostgreSQLConfig) -> Operation[Schema | None]:
    """Return the schema to work in, or None while it is to be created or upgraded by `apply`."""
    found = yield from database(config)
    missing = yield from pending(found)
    if missing:
        if not config.auto_migrate:
            raise SchemaError(
                f"schema {found.schema!r} of database {found.name!r} lacks {len(missing)} migration(s): run "
                "`memorizz migrate`, or open the provider with auto_migrate=True"
            )
        return None
    return (yield from _schema(config, found))


def apply(config: PostgreSQLConfig) -> Operation[list[Migration]]:
    """Create or upgrade the schema and return what was done; the caller runs this in one transaction."""
    # Whoever waited here finds the work done by the one before, which a snapshot from before the wait would not show.
    yield Script(b"SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
    yield from fetch(Query(b"SELECT pg_advisory_xact_lock(%(key)s)", {"key": _LOCK}))
    found = yield from database(config)
    missing = yield from pending(found)
    if not missing:
        return []
    name = config.schema or found.schema
    if name is None:
        raise SchemaError(
            "the connection has no schema to make tables in (its search_path names none that exists): "
            "say which with PostgreSQLConfig(schema=...)"
        )
    if not found.schema_exists:
        yield Script(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)).as_bytes(None))
    yield from _ensure_vector(found, name)
    found = yield from database(config)
    check_versions(found)
    schema = Schema(
        name,
        found.vector_schema or name,
        config.embedding_dimensions or DEFAULT_DIMENSIONS,
        config.text_search_config,
        config.effective_index,
    )
    yield from _run(schema, missing, _indexes.HNSW(config.hnsw_m, config.hnsw_ef_construction))
    return missing


def _ensure_vector(found: Database, schema: str) -> Operation[None]:
    """Create the extension where it is missing: in the connection's own schema, for it outlives any one of ours."""
    if found.vector_version is not None:
        return
    rows = yield from fetch(Query(b"SELECT current_schema()"))
    home = sql.Identifier(rows[0][0] or schema)
    try:
        yield Script(sql.SQL("CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA {}").format(home).as_bytes(None))
    except MemorizzError as error:
        raise SchemaError(
            f'extension "vector" does not exist in database {found.name!r}, and this user cannot create it ({error}): '
            f"install pgvector on the server (Debian's package postgresql-{found.server_version // 10_000}-pgvector, "
            f"the image pgvector/pgvector) and run `CREATE EXTENSION vector` in {found.name!r} as a superuser"
        ) from error


def _run(schema: Schema, missing: Sequence[Migration], hnsw: _indexes.HNSW) -> Operation[None]:
    path = sql.SQL("SET LOCAL search_path TO {}, {}")
    yield Script(path.format(sql.Identifier(schema.name), sql.Identifier(schema.vector_schema)).as_bytes(None))
    for migration in missing:
        script = raw(migration.text).format(
            dimensions=sql.Literal(schema.dimensions), language=sql.Literal(schema.text_search_config)
        )
        yield Script(script.as_bytes(None))
        if migration.version == 1:
            for memory_type in MemoryType:
                for statement in _indexes.create(schema.store(memory_type), hnsw):
                    yield Script(statement.as_bytes(None))
        yield from fetch(
            Query(
                b"INSERT INTO memorizz_migrations (version, name) VALUES (%(version)s, %(name)s)",
                {"version": migration.version, "name": migration.name},
            )
        )


def _schema(config: PostgreSQLConfig, found: Database) -> Operation[Schema]:
    """Return the schema as it was made, after checking that the configuration fits it."""
    check_versions(found)
    if found.schema is None or found.vector_schema is None or found.dimensions is None:
        raise SchemaError(f'schema {found.schema!r} is damaged: its tables or the extension "vector" were dropped')
    if config.embedding_dimensions not in (None, found.dimensions):
        raise ConfigurationError(
            f"vector dimension mismatch: schema {found.schema!r} holds vectors of {found.dimensions} dimensions, the "
            f"configuration says embedding_dimensions={config.embedding_dimensions}: open it with "
            f"{found.dimensions}, or use another schema"
        )
    settings = sql.SQL(
        "SELECT text_search_config, name FROM {} AS settings JOIN {} AS model ON model.id = embedding_model"
    ).format(
        sql.Identifier(found.schema, "memorizz_settings"), sql.Identifier(found.schema, "memorizz_embedding_models")
    )
    rows = yield from fetch(Query(settings.as_bytes(None)))
    indexes = yield from fetch(Query(_INDEXES, {"schema": found.schema, "column": vector_column(found.model_id)}))
    # A store that has outgrown what was measured is to be measured again.
    measured = sql.SQL(
        "SELECT store FROM {} AS bits JOIN pg_class ON relname = store "
        "JOIN pg_namespace ON pg_namespace.oid = relnamespace AND nspname = %(schema)s "
        "WHERE recall >= %(enough)s AND reltuples <= 4 * bits.rows AND bits.model = %(model)s"
    ).format(sql.Identifier(found.schema, "memorizz_bits"))
    bound = {"enough": ENOUGH_BITS, "schema": found.schema, "model": found.model_id}
    bits = yield from fetch(Query(measured.as_bytes(None), bound))
    return Schema(
        found.schema,
        found.vector_schema,
        found.dimensions,
        rows[0][0],
        index="none",
        indexes=frozenset(cast("list[tuple[str, IndexKind]]", indexes)),
        on_invalid_text=config.on_invalid_text,
        model_name=rows[0][1],
        bits=frozenset(row[0] for row in bits if found.dimensions >= LEAST_BITS),
        model_id=found.model_id,
    )


def use_model(schema: Schema, name: str, dimensions: int) -> Operation[Schema]:
    """Return the schema for a provider with an embedder, after noting or checking whose vectors it holds."""
    if dimensions != schema.dimensions:
        raise ConfigurationError(
            f"vector dimension mismatch: the embedder {name!r} makes vectors of {dimensions} dimensions, schema "
            f"{schema.name!r} holds {schema.dimensions}: use PostgreSQLConfig(embedding_dimensions={dimensions}) with "
            "a schema of its own"
        )
    models = sql.Identifier(schema.name, "memorizz_embedding_models")
    settings = sql.Identifier(schema.name, "memorizz_settings")
    current = sql.SQL("(SELECT embedding_model FROM {})").format(settings)
    read = sql.SQL("SELECT name FROM {} WHERE id = {}").format(models, current).as_bytes(None)
    rows = yield from fetch(Query(read))
    if rows[0][0] is None:
        # Another program may do the same at the same time: the first one decides.
        note = sql.SQL("UPDATE {} SET name = %(name)s WHERE id = {} AND name IS NULL").format(models, current)
        yield from fetch(Query(note.as_bytes(None), {"name": name}))
        rows = yield from fetch(Query(read))
    if rows[0][0] != name:
        raise ConfigurationError(
            f"the vectors of schema {schema.name!r} were made by {rows[0][0]!r}, the embedder is {name!r}, and vectors "
            f"of two models cannot be compared: use {rows[0][0]!r}, or another schema for {name!r}"
        )
    return replace(schema, model_name=name, embeds=True)


_INDEXES = b"""
SELECT store.relname, CASE opcname WHEN 'vector_cosine_ops' THEN 'hnsw' ELSE 'halfvec' END
FROM pg_class AS index
JOIN pg_index ON indexrelid = index.oid AND indisvalid
JOIN pg_class AS store ON store.oid = indrelid
JOIN pg_opclass ON pg_opclass.oid = indclass[0]
JOIN pg_namespace ON pg_namespace.oid = index.relnamespace
WHERE nspname = %(schema)s AND index.relname = store.relname || '_' || %(column)s || '_idx'
"""


def check_versions(found: Database) -> None:
    if found.server_version < _OLDEST_SERVER:
        raise SchemaError(f"PostgreSQL {found.server_version // 10_000} is too old: 15 or newer is needed")
    version = found.vector_version
    if version is not None and tuple(int(part) for part in version.split(".")) < _OLDEST_VECTOR:
        raise SchemaError(
            f"pgvector {version} is too old: 0.8.0 or newer is needed; upgrade its package, then run "
            f"`ALTER EXTENSION vector UPDATE` in database {found.name!r}"
        )
