"""The schema of the database: what it is, what is pending, and how it is made and upgraded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """What the catalogs say: the server, pgvector, and the schema that the tables are to be in.

    `model_id` is the number of the embedding model that is searched, `aside_id` that of the one that stands aside while
    the model changes; the columns say so, and nothing else.
    """

    name: str
    schema: str | None
    schema_exists: bool
    server_version: int
    vector_version: str | None
    vector_schema: str | None
    model_id: int
    dimensions: int | None
    aside_id: int | None
    aside_dimensions: int | None
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
    CASE WHEN aside.attname IS NOT NULL THEN coalesce(substring(aside.attname FROM '[0-9]+')::int, 1) END,
    aside.atttypmod,
    EXISTS (SELECT FROM pg_class WHERE relnamespace = schema.oid AND relname = 'memorizz_migrations')
FROM (SELECT coalesce(%(schema)s::text, current_schema()) AS name) AS wanted
LEFT JOIN pg_namespace AS schema ON schema.nspname = wanted.name
LEFT JOIN (SELECT extversion AS version, nspname AS schema FROM pg_extension
           JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'vector') AS vector ON true
LEFT JOIN pg_class AS store ON relnamespace = schema.oid AND relname = 'conversation_memory'
LEFT JOIN pg_attribute AS vectors ON vectors.attrelid = store.oid AND vectors.attname ~ '^embedding(_[0-9]+)?$'
LEFT JOIN pg_attribute AS aside ON aside.attrelid = store.oid AND aside.attname ~ '^embedding(_[0-9]+)?_aside$'
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


def opened(config: PostgreSQLConfig, models: Mapping[str, int] | None = None) -> Operation[Schema | None]:
    """Return the schema to work in, or None while it is to be created or upgraded by `apply`.

    `models` are those that the provider has an embedder for, and the lengths of their vectors.
    """
    found = yield from database(config)
    missing = yield from pending(found)
    if missing:
        if not config.auto_migrate:
            raise SchemaError(
                f"schema {found.schema!r} of database {found.name!r} lacks {len(missing)} migration(s): run "
                "`memorizz migrate`, or open the provider with auto_migrate=True"
            )
        return None
    return (yield from _schema(config, found, models or {}))


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


def _schema(config: PostgreSQLConfig, found: Database, models: Mapping[str, int]) -> Operation[Schema]:
    """Return the schema as it was made, after checking that the configuration fits it."""
    check_versions(found)
    if found.schema is None or found.vector_schema is None or found.dimensions is None:
        raise SchemaError(f'schema {found.schema!r} is damaged: its tables or the extension "vector" were dropped')
    settings = sql.SQL(
        "SELECT text_search_config, identity::text, name FROM {}, {} AS model WHERE model.id = %(model)s"
    ).format(
        sql.Identifier(found.schema, "memorizz_settings"), sql.Identifier(found.schema, "memorizz_embedding_models")
    )
    language, identity, model = (yield from fetch(Query(settings.as_bytes(None), {"model": found.model_id})))[0]
    # An embedder knows the length better than a configuration, which may be older than the model.
    if not models and config.embedding_dimensions not in (None, found.dimensions):
        made_by = "" if model is None else f" made by {model!r}"
        raise ConfigurationError(
            f"vector dimension mismatch: schema {found.schema!r} holds vectors of {found.dimensions} dimensions"
            f"{made_by}, the configuration says embedding_dimensions={config.embedding_dimensions}: open it with "
            f"{found.dimensions}, use another schema, or change the model of this one with `memorizz re-embed`"
        )
    indexes = yield from fetch(Query(_INDEXES, {"schema": found.schema, "column": vector_column(found.model_id)}))
    # A store that has outgrown what was measured is to be measured again.
    measured = sql.SQL(
        "SELECT store, compared FROM {} AS bits JOIN pg_class ON relname = store "
        "JOIN pg_namespace ON pg_namespace.oid = relnamespace AND nspname = %(schema)s "
        "WHERE recall >= %(enough)s AND reltuples <= 4 * bits.rows AND bits.model = %(model)s"
    ).format(sql.Identifier(found.schema, "memorizz_bits"))
    bound = {"enough": ENOUGH_BITS, "schema": found.schema, "model": found.model_id}
    bits = yield from fetch(Query(measured.as_bytes(None), bound))
    schema = Schema(
        found.schema,
        found.vector_schema,
        found.dimensions,
        language,
        index="none",
        indexes=frozenset(cast("list[tuple[str, IndexKind]]", indexes)),
        on_invalid_text=config.on_invalid_text,
        model_name=model,
        bits=dict(cast("list[tuple[str, int]]", bits)) if found.dimensions >= LEAST_BITS else {},
        model_id=found.model_id,
        identity=identity,
    )
    return (yield from _use_model(schema, models)) if models else schema


def note_model(schema: Schema, name: str) -> Operation[Schema]:
    """Note whose vectors the schema holds, where nobody has said so, and return the schema with what is noted."""
    # Another program may do the same at the same time: the first one decides.
    table = sql.Identifier(schema.name, "memorizz_embedding_models")
    bound = {"name": name, "model": schema.model_id}
    note = sql.SQL("UPDATE {} SET name = %(name)s WHERE id = %(model)s AND name IS NULL").format(table)
    yield from fetch(Query(note.as_bytes(None), bound))
    read = sql.SQL("SELECT name FROM {} WHERE id = %(model)s").format(table)
    rows = yield from fetch(Query(read.as_bytes(None), bound))
    return replace(schema, model_name=rows[0][0])


def _use_model(schema: Schema, models: Mapping[str, int]) -> Operation[Schema]:
    """Return the schema for a provider with embedders, after checking whose vectors it holds.

    Where nobody has said so yet, the first of the provider's models is noted.
    """
    name = schema.model_name or next(iter(models))
    if name in models and models[name] != schema.dimensions:
        raise ConfigurationError(
            f"vector dimension mismatch: the embedder {name!r} makes vectors of {models[name]} dimensions, schema "
            f"{schema.name!r} holds {schema.dimensions}: use PostgreSQLConfig(embedding_dimensions={models[name]}) "
            "with a schema of its own, or change the model of this one with `memorizz re-embed`"
        )
    if schema.model_name is None:
        return (yield from _use_model((yield from note_model(schema, name)), models))
    if name not in models:
        given = " and ".join(map(repr, models))
        raise ConfigurationError(
            f"the vectors of schema {schema.name!r} were made by {name!r}, the embedder is {given}, and vectors of two "
            f"models cannot be compared: use {name!r}, another schema for {given}, or change the model of this one "
            "with `memorizz re-embed`"
        )
    return replace(schema, embedder=name)


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
