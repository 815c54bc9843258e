"""What the facts of a database mean: what endangers, what slows, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from memorizz.errors import SchemaError
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.facts import Model
from memorizz.memory_provider.postgresql.indexes import VECTOR_INDEXES, embedding_index, is_of_partition, rounded
from memorizz.memory_provider.postgresql.maintenance._doctor import Examination
from memorizz.memory_provider.postgresql.maintenance._finding import Finding, Level, command
from memorizz.memory_provider.postgresql.maintenance._findings_of_more import distribution, histories, unseen
from memorizz.memory_provider.postgresql.maintenance._measuring import NOT_STORABLE
from memorizz.memory_provider.postgresql.migrations import check_versions
from memorizz.memory_provider.stores import SEVEN, most_indexed

# Below this many vectors nothing that is said about vector indexes can be felt.
_MANY_VECTORS = 20_000
# A text in its own language leaves out more of its words than this, and in another one few.
_OWN_LANGUAGE = 0.25
_MB = 2**20
_RELOAD = "then SELECT pg_reload_conf()"
_LOCAL = ("localhost", "127.0.0.1", "::1", "")


def diagnose(facts: Examination, config: PostgreSQLConfig) -> list[Finding]:
    """Return what was found, the worst first."""
    checks = (_versions, _extension, _schema, _tables, _rights, _durability)
    found = [finding for check in checks for finding in check(facts)]
    advising = (distribution, histories, unseen, _memory, _rows, _language, _model, _vectors, _indexes)
    found += [finding for check in advising for finding in check(facts, config)]
    if config.embedded_server is None:
        found += _connection(facts, config)
    return sorted(found, key=lambda finding: list(Level).index(finding.level))


# --- can it work at all -------------------------------------------------------------------------------------------


def _versions(facts: Examination) -> Iterator[Finding]:
    try:
        check_versions(facts.database)
    except SchemaError as error:
        yield Finding(Level.DANGER, "version", str(error))


def _extension(facts: Examination) -> Iterator[Finding]:
    installed, available = facts.database.vector_version, facts.server.vector_available
    name, major = facts.database.name, facts.database.server_version // 10_000
    if installed is None and available is None:
        yield Finding(
            Level.DANGER,
            "pgvector",
            "pgvector is not installed on the server",
            f"install it there (Debian: postgresql-{major}-pgvector; Docker: the image pgvector/pgvector:pg{major}), "
            f"then run CREATE EXTENSION vector in {name} as a superuser",
        )
    elif installed is None and not facts.rights.create_extension:
        yield Finding(
            Level.DANGER,
            "pgvector",
            f'the extension "vector" is not in database {name}, and the user {facts.server.user} may not create it',
            f"run CREATE EXTENSION vector in {name} as a superuser",
        )
    elif installed is None:
        if not facts.applied:
            text = 'the extension "vector" is not there yet'
            yield Finding(Level.NOTE, "pgvector", text, "it is made with the tables")
    elif available is not None and _numbers(available) > _numbers(installed):
        yield Finding(
            Level.NOTE,
            "pgvector",
            f"the server has pgvector {available}, the database still uses {installed}",
            f"run ALTER EXTENSION vector UPDATE in {name}",
        )


def _schema(facts: Examination) -> Iterator[Finding]:
    schema = facts.database.schema
    if facts.newer is not None:
        yield Finding(Level.DANGER, "schema", facts.newer)
    elif schema is None:
        yield Finding(
            Level.DANGER,
            "schema",
            "the connection has no schema to work in: its search_path names none that exists",
            "say which: PostgreSQLConfig(schema=...), or --schema here",
        )
    elif not facts.applied and facts.pending:
        yield Finding(
            Level.NOTE,
            "schema",
            f"the schema {schema} has no tables yet",
            "the first provider that opens makes them, or `memorizz migrate` does",
        )
    elif facts.pending:
        yield Finding(
            Level.WARNING,
            "schema",
            f"the schema {schema} lacks {len(facts.pending)} migration(s): {', '.join(facts.pending)}",
            "run `memorizz migrate`; a provider with auto_migrate=True does it when it opens",
        )


def _tables(facts: Examination) -> Iterator[Finding]:
    if facts.damage is not None:
        yield Finding(Level.DANGER, "tables", facts.damage, "restore the schema from a backup")
    if facts.facts is None:
        return
    there = {store.name for store in facts.stores}
    lost = [name for name in dict.fromkeys([*(spec.name for spec in SEVEN), *facts.facts.stores]) if name not in there]
    if lost:
        yield Finding(
            Level.DANGER,
            "tables",
            f"the tables of {', '.join(lost)} are not there: they were dropped, or this user may not see them",
            "restore them from a backup",
        )


def _rights(facts: Examination) -> Iterator[Finding]:
    rights, user, schema = facts.rights, _quoted(facts.server.user), _quoted(facts.database.schema)
    if rights.read is False:
        yield Finding(
            Level.DANGER,
            "rights",
            f"the user {user} may not read the tables in {schema}",
            f"as their owner: GRANT USAGE ON SCHEMA {schema} TO {user}; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL "
            f"TABLES IN SCHEMA {schema} TO {user}",
        )
    elif rights.write is False:
        yield Finding(
            Level.WARNING,
            "rights",
            f"the user {user} may read the tables in {schema} and not write all of them",
            f"if that is not on purpose: GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {user}",
        )
    if facts.pending and facts.database.schema is not None and not rights.create_tables:
        yield Finding(
            Level.DANGER,
            "rights",
            f"the user {user} may not make tables in {schema}",
            f"run `memorizz migrate` as its owner, or GRANT CREATE, USAGE ON SCHEMA {schema} TO {user}",
        )
    if facts.server.standby:
        text = "the server is a standby, which only reads"
        yield Finding(Level.WARNING, "standby", text, "connect to the primary to write")
    elif facts.settings.get("default_transaction_read_only") == "on":
        yield Finding(
            Level.WARNING,
            "read-only",
            "default_transaction_read_only is on: nothing can be stored",
            "if that is not on purpose: ALTER ROLE ... or ALTER DATABASE ... RESET default_transaction_read_only",
        )


# --- is it safe ---------------------------------------------------------------------------------------------------


def _durability(facts: Examination) -> Iterator[Finding]:
    settings = facts.settings
    for name in ("fsync", "full_page_writes"):
        if settings.get(name) == "off":
            yield Finding(
                Level.DANGER,
                name,
                f"{name} is off: a crash of the machine can destroy the whole database",
                f"ALTER SYSTEM SET {name} = on, {_RELOAD}",
            )
    if settings.get("synchronous_commit") == "off":
        yield Finding(
            Level.WARNING,
            "synchronous_commit",
            "synchronous_commit is off: a crash loses what was stored in the last half second",
            f"ALTER SYSTEM SET synchronous_commit = on, {_RELOAD}",
        )
    if settings.get("autovacuum") == "off":
        yield Finding(
            Level.WARNING,
            "autovacuum",
            "autovacuum is off: dead rows stay, and everything becomes slower",
            f"ALTER SYSTEM SET autovacuum = on, {_RELOAD}",
        )
    if settings.get("data_checksums") == "off":
        yield Finding(
            Level.NOTE,
            "data_checksums",
            "data checksums are off: a disk that alters data goes unnoticed",
            "while the server is stopped: pg_checksums --enable",
        )


def _connection(facts: Examination, config: PostgreSQLConfig) -> Iterator[Finding]:
    server = facts.server
    free = server.connections_allowed - server.connections
    if config.max_size > free:
        yield Finding(
            Level.WARNING,
            "connections",
            f"a pool of {config.max_size} does not fit: {free} of {server.connections_allowed} connections are free",
            "lower max_size, raise max_connections, or put a pooler in between",
        )
    if not server.encrypted and not _is_local(config):
        yield Finding(
            Level.WARNING,
            "encryption",
            f"the connection to {config.host} is not encrypted: memories travel for all to read",
            "use sslmode='verify-full' with sslrootcert=..., or a private network",
        )
    if server.pooled:
        yield Finding(
            Level.NOTE,
            "pooler",
            "a pooler stands between this and the server",
            "if it pools transactions and follows no prepared statements (PgBouncer before 1.24, or "
            "max_prepared_statements = 0): PostgreSQLConfig(prepare_threshold=None)",
        )
    if server.superuser:
        yield Finding(
            Level.NOTE,
            "superuser",
            f"the user {server.user} is a superuser, which no agent needs to be",
            "make a role of its own: CREATE ROLE memorizz LOGIN; GRANT CREATE ON DATABASE "
            f"{_quoted(facts.database.name)} TO memorizz",
        )


def _is_local(config: PostgreSQLConfig) -> bool:
    hosts = (config.host or config.libpq.get("hostaddr") or "").split(",")
    return all(host in _LOCAL or host.startswith(("/", "@")) for host in hosts)


# --- is it fast ---------------------------------------------------------------------------------------------------


def _language(facts: Examination, config: PostgreSQLConfig) -> Iterator[Finding]:
    now = None if facts.facts is None else facts.facts.layout.text_search_config
    # Not of `simple` and of configurations of one's own: whoever has chosen one knows why.
    if now is None or now not in facts.languages:
        return
    likely, share = max(facts.languages.items(), key=lambda each: each[1])
    if share >= _OWN_LANGUAGE and share > 2 * facts.languages[now]:
        likely = likely.removeprefix("pg_catalog.")
        yield Finding(
            Level.WARNING,
            "language",
            f"the words are made by {now}, the texts look {likely}: a search by words misses other forms of a word",
            f"{command(f'language {likely}', config)} changes it while the stores are in use",
        )


def _model(facts: Examination, config: PostgreSQLConfig) -> Iterator[Finding]:
    known = facts.facts
    if known is None:
        return
    changing: dict[Model, tuple[Model, str]] = {}
    for name, each in known.standby.items():
        changing.setdefault(known.stores[name].model, (each.model, name))
    for searched, (standby, store) in changing.items():
        of = "" if searched == known.model else f" --store {store}"
        if standby.current_since is None:
            yield Finding(
                Level.NOTE,
                "embedding model",
                f"a change of the embedding model from {_named(searched)} to {_named(standby)} is under way",
                f"{command(f're-embed --status{of}', config)} says how far it is; "
                f"{command(f're-embed --abandon{of}', config)}",
            )
        else:
            yield Finding(
                Level.NOTE,
                "embedding model",
                f"the vectors of {_named(standby)}, which was searched before {_named(searched)}, are kept and take "
                "room",
                f"{command(f're-embed --finish{of}', config)} drops them",
            )


def _named(model: Model) -> str:
    return "an unnamed model" if model.name is None else repr(model.name)


def _vectors(facts: Examination, config: PostgreSQLConfig) -> Iterator[Finding]:
    dimensions = None if facts.facts is None else facts.facts.model.dimensions
    vector_type = "vector" if facts.facts is None else facts.facts.store(SEVEN[0].name).spec.vector_type
    most = most_indexed("halfvec", vector_type)
    many = _most_vectors(facts)
    indexed = any(index.method in VECTOR_INDEXES and not index.standby for index in facts.indexes)
    if dimensions is not None and dimensions > most:
        yield Finding(
            Level.WARNING if many > _MANY_VECTORS else Level.NOTE,
            "dimensions",
            f"vectors of {dimensions} dimensions can have no index (pgvector's limit is {most:,}): "
            "every search by meaning compares all that its filter lets through",
            "above some ten thousand memories use a model with fewer dimensions, or shorten its vectors if it allows",
        )
    elif dimensions is not None and dimensions > most_indexed("hnsw", vector_type):
        yield Finding(
            Level.NOTE,
            "dimensions",
            f"vectors of {dimensions} dimensions are indexed in half precision (pgvector's limit is "
            f"{most_indexed('hnsw', vector_type):,}); the vectors themselves are exact, and hits are ranked by them",
        )
    if indexed or dimensions is None or dimensions > most:
        return
    if many > _MANY_VECTORS:
        yield Finding(
            Level.WARNING,
            "index",
            f"no store has a vector index, and one holds {many:,} vectors: every search compares them all",
            f"{command('index build', config)} makes them while the stores are in use",
        )


def _indexes(facts: Examination, config: PostgreSQLConfig) -> Iterator[Finding]:
    known = facts.facts
    required = set[str]() if known is None else {embedding_index(store) for store in known.stores.values()}
    for index in facts.indexes:
        if index.being_built:
            yield Finding(
                Level.NOTE,
                index.name,
                f"the index {index.name} is being built",
                f"{command('index list', config)} shows when it is done",
            )
        elif not index.valid:
            mend = f"build --store {index.store}" if index.name in required else "drop --invalid"
            yield Finding(
                Level.WARNING,
                index.name,
                f"the index {index.name} is invalid, as an interrupted build leaves it: it slows every write, and no "
                "search uses it",
                command(f"index {mend}", config),
            )
        elif index.left_over:
            # Of one partition, of an index that there is not yet, or is to be replaced.
            again = "build" if is_of_partition(index.name) and "_new_p" not in index.name else "rebuild"
            yield Finding(
                Level.NOTE,
                index.name,
                f"an interrupted rebuild left the index {index.name}: every write keeps it up, and no search uses it",
                f"{command(f'index {again}', config)} goes on with it; {command(f'index drop {index.name}', config)}",
            )
    only_others = "" if any(index.method in VECTOR_INDEXES for index in facts.indexes) else " --kind none"
    for name, store in facts.missing_indexes.items():
        advice = command(f"index build --store {store}{only_others}", config)
        yield Finding(Level.WARNING, name, f"the index {name} is missing", advice)


def _memory(facts: Examination, config: PostgreSQLConfig) -> Iterator[Finding]:
    # What is distributed is in the memory of others.
    elsewhere = facts.facts is not None and facts.facts.layout.distributed
    graphs = [index.bytes for index in facts.indexes if index.method in VECTOR_INDEXES and not elsewhere]
    largest, total = max(graphs, default=0), sum(graphs)
    sizes = facts.sizes
    if largest > sizes.get("maintenance_work_mem", largest) and largest > 64 * _MB:
        yield Finding(
            Level.WARNING,
            "maintenance_work_mem",
            f"the largest vector index has {largest // _MB:,} MB, maintenance_work_mem is "
            f"{sizes['maintenance_work_mem'] // _MB:,} MB: building it again takes twice as long or more",
            f"{command(f'index rebuild --maintenance-work-mem {rounded(largest)}', config)} sets it for that build",
        )
    if total > sizes.get("shared_buffers", total):
        yield Finding(
            Level.WARNING,
            "shared_buffers",
            f"the vector indexes have {total // _MB:,} MB, shared_buffers is {sizes['shared_buffers'] // _MB:,} MB: "
            "searches read from outside of it",
            "about a quarter of the machine's memory: ALTER SYSTEM SET shared_buffers = ..., then restart",
        )
    if sizes.get("work_mem", 4 * _MB) < 4 * _MB:
        yield Finding(
            Level.WARNING,
            "work_mem",
            f"work_mem is {sizes['work_mem'] // 1024:,} kB, less than PostgreSQL's own default",
            f"ALTER SYSTEM SET work_mem = '4MB', {_RELOAD}",
        )
    ef_search = facts.settings.get("hnsw.ef_search")
    if ef_search is not None and int(ef_search) < 40:
        yield Finding(
            Level.WARNING,
            "hnsw.ef_search",
            f"hnsw.ef_search is {ef_search} here, below pgvector's 40: searches by the index find less than they could",
            "ALTER DATABASE ... RESET hnsw.ef_search, or wherever else it was set",
        )
    if facts.settings.get("jit") == "on" and _most_vectors(facts) > _MANY_VECTORS:
        yield Finding(
            Level.NOTE,
            "jit",
            "jit is on: it may compile a search for longer than the search takes",
            f"ALTER DATABASE {_quoted(facts.database.name)} SET jit = off",
        )


def _rows(facts: Examination, config: PostgreSQLConfig) -> Iterator[Finding]:
    for store in facts.stores:
        if store.expired:
            yield Finding(
                Level.NOTE,
                store.name,
                f"{store.expired:,} expired memories are in no read any more and still take room",
                "provider.purge_expired()",
            )
        if store.rows and store.with_embedding and store.with_embedding < store.rows and not store.estimated:
            yield Finding(
                Level.NOTE,
                store.name,
                f"{store.rows - store.with_embedding:,} of {store.rows:,} memories have no embedding, or lack those of "
                "a long text's pieces: a search by meaning does not find them, or only by their beginning",
                f"{command(f'embed --model MODEL --store {store.name}', config)}, for those that have a text",
            )
        if store.not_storable:
            text = f"another program has stored what no document holds ({store.not_storable}): {NOT_STORABLE}"
            yield Finding(Level.WARNING, store.name, text, "give these rows other values, with SQL")
        if store.is_to_be_vacuumed:
            text = f"{store.dead_rows:,} dead rows wait for a vacuum"
            yield Finding(Level.WARNING, store.name, text, command(f"reclaim --store {store.name}", config))


def _most_vectors(facts: Examination) -> int:
    return max((store.with_embedding or 0 for store in facts.stores), default=0)


def _quoted(name: str | None) -> str:
    """Return a name as SQL has to write it."""
    if name is not None and re.fullmatch("[a-z_][a-z0-9_]*", name):
        return name
    return '"' + (name or "").replace('"', '""') + '"'


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
