"""The schema of the database: its version, what is pending, and how it is made and upgraded."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from importlib.resources import files

from psycopg import sql

from memorizz.errors import ConfigurationError, DatabaseError, SchemaError
from memorizz.memory_provider._arguments import text_argument
from memorizz.memory_provider._cosines import SAMPLE, Cosines
from memorizz.memory_provider.postgresql import facts, tables, wall
from memorizz.memory_provider.postgresql._steps import Operation, Query, Script, fetch, fetch_all
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.facts import Facts, Maker, Model, Store
from memorizz.memory_provider.postgresql.layout import Layout
from memorizz.memory_provider.postgresql.sql import cosines
from memorizz.memory_provider.postgresql.sql.reads import sql_file, trusted_sql
from memorizz.memory_provider.stores import DEFAULT_DIMENSIONS, DEFAULT_EF_CONSTRUCTION, DEFAULT_M, SEVEN

logger = logging.getLogger("memorizz.postgresql")

_OLDEST_SERVER, _OLDEST_VECTOR = 150_000, (0, 8, 0)
# Every program that creates or upgrades a schema in one database waits for this lock (pg_advisory_xact_lock).
_LOCK = 0x6D656D6F72697A7A


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file of this package."""

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
    encoding: str
    vector_version: str | None
    vector_schema: str | None
    may_use_vector: bool | None
    has_migrations: bool

    @property
    def server(self) -> str:
        """The product and its version."""
        return f"PostgreSQL {self.server_version // 10_000}.{self.server_version % 10_000}"


@cache
def migrations() -> Sequence[Migration]:
    """Return the migrations of this version, in order."""
    found = [file for file in files(__name__).iterdir() if file.name.endswith(".sql") and file.name[0].isdecimal()]
    named = [(file.name.removesuffix(".sql").partition("_"), file) for file in found]
    made = [Migration(int(number), name, file.read_text("utf-8")) for (number, _, name), file in named]
    return sorted(made, key=lambda migration: migration.version)


_DATABASE = b"""
SELECT current_database()::text, wanted.name::text, schema.oid IS NOT NULL,
    current_setting('server_version_num')::int, current_setting('server_encoding'),
    vector.version, vector.schema::text, has_schema_privilege(vector.schema_id, 'USAGE'),
    EXISTS (SELECT FROM pg_class WHERE relnamespace = schema.oid AND relname = 'memorizz_migrations')
FROM (SELECT coalesce(%(schema)s::text, current_schema()) AS name) AS wanted
LEFT JOIN pg_namespace AS schema ON schema.nspname = wanted.name
LEFT JOIN (SELECT extversion AS version, nspname AS schema, extnamespace AS schema_id FROM pg_extension
           JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'vector') AS vector ON true
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
    """Return the migrations that the schema lacks, oldest first.

    Raises SchemaError where it has newer ones, or was made by a development version.
    """
    done = yield from applied(found)
    newest = max((each.version for each in done), default=0)
    known = migrations()
    if any(each.version == 1 and each.name != known[0].name for each in done):
        raise SchemaError(
            f"schema {found.schema!r} was made by a development version of memorizz-postgresql, and cannot be "
            "upgraded: write its memories to a file with that version (`memorizz export FILE`), then read them into "
            "another schema (`memorizz import FILE --schema NAME`)"
        )
    if newest > known[-1].version:
        raise SchemaError(
            f"schema {found.schema!r} is at version {newest}, this memorizz knows version {known[-1].version}: "
            "upgrade memorizz-postgresql, or use another schema"
        )
    return [migration for migration in known if migration.version > newest]


def check_none_pending(found: Database, count: int) -> None:
    """Raise SchemaError where a schema lacks migrations."""
    if count:
        raise SchemaError(
            f"schema {found.schema!r} of database {found.name!r} lacks {count} migration(s): run `memorizz migrate`, "
            "or open the provider with auto_migrate=True"
        )


# --- opening ------------------------------------------------------------------------------------------------------


def opened(config: PostgreSQLConfig, models: Mapping[str, Maker] | None = None) -> Operation[Facts | None]:
    """Return what is known of the schema to work in, or None while it is to be created or upgraded by `apply`.

    `models` are those that the provider has an embedder for.
    """
    found = yield from database(config)
    check_versions(found)
    missing = yield from pending(found)
    if missing:
        if not config.auto_migrate:
            check_none_pending(found, len(missing))
        return None
    made = yield from known(config, (yield from _layout(config, found)), models or {})
    if made.application_role is not None:
        yield from _check_kept_apart(config, made)
    for option, there in _unused(config, made).items():
        logger.warning(
            "%s=%r is not used: schema %r was made with %s, which stays as it is; change it with `memorizz %s`",
            option, getattr(config, option), found.schema, there,
            {"text_search_config": "language", "vector_type": "export` and `memorizz import"}.get(option, "index"),
        )  # fmt: skip
    return made


def _check_kept_apart(config: PostgreSQLConfig, made: Facts) -> Operation[None]:
    """Warn where the wall between tenants does not stand for this user; raise ConfigurationError if it has to."""
    reason = yield from wall.exempt(made.layout)
    if reason is None:
        return
    said = (
        f"row-level security keeps no tenants of schema {made.layout.schema!r} apart for this user: {reason}; an "
        f"application connects as {made.application_role!r}, the role that it was put up for"
    )
    if config.require_tenant:
        raise ConfigurationError(said)
    logger.warning("%s", said)


# What is fixed when a schema is made, and what asks for nothing, because it is the default.
_FIXED: Mapping[str, object] = {
    "text_search_config": "english",
    "index": "hnsw",
    "vector_type": "vector",
    "hnsw_m": DEFAULT_M,
    "hnsw_ef_construction": DEFAULT_EF_CONSTRUCTION,
}


def _unused(config: PostgreSQLConfig, made: Facts) -> dict[str, str]:
    """Return what a schema was made with, by the option with which the configuration asks for something else.

    The number of dimensions is no such option: another one is an error.
    """
    wanted = {option: getattr(config, option) for option in _FIXED}
    asked = {option for option, default in _FIXED.items() if wanted[option] != default}
    wanted["index"] = config.replace(embedding_dimensions=made.model.dimensions).effective_index
    vectors = [made.stores[spec.name].vector for spec in SEVEN]
    built = [vector for vector in vectors if vector.index != "none"]
    language, given = made.layout.text_search_config, config.text_search_config
    there: dict[str, set[object]] = {
        # Without its schema it may be the same.
        "text_search_config": {given if language.endswith(f".{given}") else language},
        "index": {vector.index for vector in vectors},
        "vector_type": {made.stores[spec.name].spec.vector_type for spec in SEVEN},
        "hnsw_m": {vector.m for vector in built},
        "hnsw_ef_construction": {vector.ef_construction for vector in built},
    }
    return {
        option: " and ".join(sorted(map(str, found)))
        for option, found in there.items()
        if option in asked and found and found != {wanted[option]}
    }


def _layout(config: PostgreSQLConfig, found: Database) -> Operation[Layout]:
    if found.schema is None or found.vector_schema is None:
        raise SchemaError(f'schema {found.schema!r} is damaged: the extension "vector" was dropped')
    settings = sql.SQL("SELECT identity::text, text_search_config FROM {}").format(
        sql.Identifier(found.schema, "memorizz_settings")
    )
    identity, language = (yield from fetch(Query(settings.as_bytes(None))))[0]
    return Layout(found.schema, identity, found.vector_schema, language, config.on_invalid_text)


def facts_of(config: PostgreSQLConfig, found: Database) -> Operation[Facts]:
    """Return the facts of a schema that is made, whatever the configuration says of it."""
    return (yield from facts.read((yield from _layout(config, found))))


def known(config: PostgreSQLConfig, layout: Layout, models: Mapping[str, Maker]) -> Operation[Facts]:
    """Return the facts of today, after checking that the configuration and the embedders fit them."""
    found = yield from facts.read(layout)
    if any(spec.name not in found.stores for spec in SEVEN):
        raise SchemaError(f"schema {layout.schema!r} is damaged: stores are missing; `memorizz doctor` says which")
    model = found.model
    # An embedder knows the length better than a configuration, which may be older than the model.
    if not models and config.embedding_dimensions not in (None, model.dimensions):
        made_by = "" if model.name is None else f" made by {model.name!r}"
        raise ConfigurationError(
            f"vector dimension mismatch: schema {layout.schema!r} holds vectors of {model.dimensions} dimensions"
            f"{made_by}, the configuration says embedding_dimensions={config.embedding_dimensions}: open it with "
            f"{model.dimensions}, use another schema, or change the model of this one with `memorizz re-embed`"
        )
    if not models:
        return found
    for unnamed in {store.model for store in found.stores.values() if store.spec.embedded and not store.model.name}:
        name = next((each for each, maker in models.items() if maker.dimensions == unnamed.dimensions), None)
        if name is not None:
            found = yield from note_model(found, name, unnamed)
    for store in found.stores.values():
        of = store.model.name
        if of is not None and of in models and models[of].dimensions == store.model.dimensions:
            store.embedder, store.max_tokens = of, models[of].max_tokens
    # A provider may have embedders for stores of callers' own alone.
    if {*models} - {store.embedder for store in found.stores.values() if store.model != found.model}:
        _check_model(layout, found.model, found.model.name or next(iter(models)), models)
    return found


def facts_now(before: Facts, config: PostgreSQLConfig, models: Mapping[str, Maker]) -> Operation[Facts]:
    """Return the facts of today, as an operation of a provider."""
    return known(config, before.layout, models)


def _check_model(layout: Layout, model: Model, name: str, models: Mapping[str, Maker]) -> None:
    """Raise unless a provider has an embedder of the model that made the vectors."""
    given = models.get(name)
    if given is not None and given.dimensions != model.dimensions:
        raise ConfigurationError(
            f"vector dimension mismatch: the embedder {name!r} makes vectors of {given.dimensions} dimensions, schema "
            f"{layout.schema!r} holds {model.dimensions}: use "
            f"PostgreSQLConfig(embedding_dimensions={given.dimensions}) with a schema of its own, or change the model "
            "of this one with `memorizz re-embed`"
        )
    if given is None:
        names = " and ".join(map(repr, models))
        raise ConfigurationError(
            f"the vectors of schema {layout.schema!r} were made by {name!r}, the embedder is {names}, and vectors of "
            f"two models cannot be compared: use {name!r}, another schema for {names}, or change the model of this "
            "one with `memorizz re-embed`"
        )


def note_model(found: Facts, name: str, model: Model | None = None) -> Operation[Facts]:
    """Note the name of a model, by default the seven stores', where nobody has named it; return the facts of then."""
    # Another program may do the same at the same time: the first one decides.
    statement = sql.SQL(
        "WITH noted AS (UPDATE {models} SET name = %(name)s WHERE id = %(model)s AND name IS NULL RETURNING 1) "
        "UPDATE {settings} SET version = version + 1 WHERE EXISTS (SELECT FROM noted)"
    ).format(models=found.layout.table("embedding_models"), settings=found.layout.table("settings"))
    bound = {"name": text_argument(name, "name"), "model": (model or found.model).id}
    yield from fetch(Query(statement.as_bytes(None), bound))
    return (yield from facts.read(found.layout))


def unmeasured(found: Facts) -> list[Store]:
    """Return the stores of which nobody has measured how far apart their vectors lie."""
    return [
        store
        for store in found.stores.values()
        if store.spec.embedded and store.spec.distance == "cosine" and store.model.cosines is None
    ]


def note_cosines(stores: Sequence[Store]) -> Operation[bool]:
    """Measure how far apart the vectors of each model lie, once there are enough of them; return True if noted.

    In a transaction of its own, which waits for nobody.
    """
    yield Script(cosines.BOUNDED)
    noted: set[int] = set()
    measured = yield from fetch_all([cosines.measure(store) for store in stores])
    for store, ((mean, deviation, vectors),) in zip(stores, measured, strict=True):
        if vectors == SAMPLE and mean is not None and store.model.id not in noted:
            yield from fetch(cosines.note(store, Cosines(mean, deviation)))
            noted.add(store.model.id)
    return bool(noted)


def check_versions(found: Database) -> None:
    """Raise SchemaError for a server, a database or an extension that cannot be worked with."""
    if found.server_version < _OLDEST_SERVER:
        raise SchemaError(f"PostgreSQL {found.server_version // 10_000} is too old: 15 or newer is needed")
    if found.encoding != "UTF8":
        raise SchemaError(
            f"the database {found.name!r} has the encoding {found.encoding}, in which most texts cannot be written: "
            "make one with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        )
    if found.may_use_vector is False:
        raise SchemaError(
            f"pgvector is in schema {found.vector_schema!r} of database {found.name!r}, which this user may not use: "
            f"its owner must GRANT USAGE ON SCHEMA {found.vector_schema} TO this user"
        )
    version = found.vector_version
    if version is not None and tuple(int(part) for part in version.split(".")) < _OLDEST_VECTOR:
        raise SchemaError(
            f"pgvector {version} is too old: 0.8.0 or newer is needed; upgrade its package, then run "
            f"`ALTER EXTENSION vector UPDATE` in database {found.name!r}"
        )


# --- making and upgrading -----------------------------------------------------------------------------------------


def apply(config: PostgreSQLConfig, models: Mapping[str, Maker] | None = None) -> Operation[list[Migration]]:
    """Create or upgrade the schema and return what was done; the caller runs this in one transaction.

    Where the configuration leaves the length of the vectors open, new tables are made for the first of the `models`.
    Raises OperationTimeout where a store is in use, to be tried again: nobody else waits for long.
    """
    # Whoever waited here finds the work done by the one before, which a snapshot from before the wait would not show.
    yield Script(b"SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
    yield from fetch(Query(b"SELECT pg_advisory_xact_lock(%(key)s)", {"key": _LOCK}))
    found = yield from database(config)
    check_versions(found)
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
    found = replace((yield from database(config)), schema=name)
    check_versions(found)
    lengths = [maker.dimensions for maker in (models or {}).values()]
    if lengths and config.embedding_dimensions in (None, DEFAULT_DIMENSIONS) and DEFAULT_DIMENSIONS not in lengths:
        config = config.replace(embedding_dimensions=lengths[0])
    yield from _run(config, found, missing)
    return missing


def _ensure_vector(found: Database, schema: str) -> Operation[None]:
    """Create the extension where it is missing: in the connection's own schema, for it outlives any one of ours."""
    if found.vector_version is not None:
        return
    rows = yield from fetch(Query(b"SELECT current_schema()"))
    home = sql.Identifier(rows[0][0] or schema)
    try:
        yield Script(sql.SQL("CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA {}").format(home).as_bytes(None))
    except DatabaseError as error:
        raise SchemaError(
            f'extension "vector" does not exist in database {found.name!r}, and this user cannot create it ({error}): '
            f"install pgvector on the server (Debian's package postgresql-{found.server_version // 10_000}-pgvector, "
            f"the image pgvector/pgvector) and run `CREATE EXTENSION vector` in {found.name!r} as a superuser"
        ) from error


def _run(config: PostgreSQLConfig, found: Database, missing: Sequence[Migration]) -> Operation[None]:
    schema, space = found.schema or "", found.vector_schema or ""
    # The expressions in the files have backslashes.
    path = sql.SQL("SET LOCAL standard_conforming_strings TO on; SET LOCAL search_path TO {}, {}").format(
        sql.Identifier(schema), sql.Identifier(space)
    )
    yield Script(path.as_bytes(None))
    dimensions = config.embedding_dimensions or DEFAULT_DIMENSIONS
    language = yield from qualified_config(config.text_search_config)
    if missing[0].version > 1:
        yield from _lock_stores(schema)
    for migration in missing:
        script = trusted_sql(migration.text).format(dimensions=sql.Literal(dimensions), language=sql.Literal(language))
        yield Script(script.as_bytes(None))
        if migration.version == 1:
            layout = Layout(schema, "", space, language)
            yield Script(words(language))
            model = Model(1, None, dimensions)
            for each in SEVEN:
                spec = replace(each, vector_type=config.vector_type)
                vector = spec.vector(dimensions, config.hnsw_m, config.hnsw_ef_construction)
                vector = replace(vector, index=config.effective_index)
                yield from tables.create(Store(layout, spec, model, vector))
        note = b"INSERT INTO memorizz_migrations (version, name) VALUES (%(version)s, %(name)s)"
        yield from fetch(Query(note, {"version": migration.version, "name": migration.name}))


def words(language: str, before: str | None = None) -> bytes:
    """Return the statements that make the functions of words in a language, in the schema of the search path.

    `before` is one whose words are still in some documents.
    """
    spoken = [sql.Literal(each) for each in (language, before) if each is not None]
    lexemes = sql.SQL(" || ").join(sql.SQL("memorizz_lexemes(question, {}::regconfig)").format(each) for each in spoken)
    languages = sql.Literal(len(spoken))
    return sql_file("words.sql").format(language=spoken[0], lexemes=lexemes, languages=languages).as_bytes(None)


def qualified_config(name: str) -> Operation[str]:
    """Return a text search configuration's name with its schema, so that it means the same in every session."""
    statement = b"""
        SELECT quote_ident(nspname) || '.' || quote_ident(cfgname)
        FROM pg_ts_config JOIN pg_namespace ON pg_namespace.oid = cfgnamespace
        WHERE pg_ts_config.oid = %(name)s::regconfig
    """
    rows = yield from fetch(Query(statement, {"name": name}))
    return rows[0][0]


def _lock_stores(schema: str) -> Operation[None]:
    """Lock every store for a change of its table, in one order, or none: a reader in the way is not waited for."""
    names = sql.SQL("SELECT name FROM {} ORDER BY name").format(sql.Identifier(schema, "memorizz_stores"))
    rows = yield from fetch(Query(names.as_bytes(None)))
    listed = sql.SQL(", ").join(sql.Identifier(schema, name) for (name,) in rows)
    yield facts.WAIT_SHORTLY
    yield Script(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(listed).as_bytes(None))
