"""The schema: how it is made, where, by how many at once, and what it is then made of."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from memorizz.memory_provider.postgresql._migrate import migrations
from memorizz.memory_provider.postgresql._queries import raw
from psycopg import sql
from psycopg.conninfo import make_conninfo

from memorizz.errors import ConfigurationError, SchemaError
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider

LONG = MemoryType.LONG_TERM_MEMORY
STORES = [member.value for member in MemoryType]
ID = "0190f5c8-0000-7000-8000-000000000001"
DOCUMENT = {"name": "Ada", "content": "green tea", "memory_id": "m", "embedding": [1.0, 0.0, 0.0, 0.0]}


@pytest.fixture
def catalog(migrated_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a database with the tables."""
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        yield connection


def works(face: Any) -> bool:
    """Say whether a provider stores and finds, by id, by filter, by meaning and by words."""
    id = face.store(DOCUMENT, LONG)
    found = [
        face.retrieve_by_id(id, LONG),
        *face.retrieve_by_query({"memory_id": "m"}, LONG),
        *face.retrieve_by_query({"embedding": DOCUMENT["embedding"]}, LONG),
        *face.retrieve_by_query("tea", LONG),
        *face.retrieve_memory_components_by_query("tea", DOCUMENT["embedding"], "m"),
    ]
    return [each["id"] for each in found] == [id] * 5


# --- making it ----------------------------------------------------------------------------------------------------

_PROCESS = """
import sys
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
sys.stdin.read(1)
with PostgreSQLProvider(PostgreSQLConfig(dsn=sys.argv[1], embedding_dimensions=4)) as provider:
    print(provider.store({"name": sys.argv[2]}, "personas"))
"""


_WAITING = "SELECT count(*) = 10 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def test_ten_processes_starting_at_once_all_come_up(dsn: str, wait_for: Callable[..., Any]) -> None:
    """On an empty database each of ten processes stores its document, and the migrations have run once."""
    command = [sys.executable, "-W", "error", "-c", _PROCESS, dsn]
    processes = [
        subprocess.Popen(
            [*command, str(n)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for n in range(10)
    ]  # fmt: skip
    said = []
    # Nobody can create an extension before all ten have come as far as they can.
    with psycopg.connect(dsn) as holding, psycopg.connect(dsn, autocommit=True) as looking:
        holding.execute("LOCK TABLE pg_extension IN SHARE MODE")
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        wait_for(lambda: looking.execute(_WAITING).fetchone() == (True,), "ten processes to wait", 60)
    for process in processes:
        said.append(process.communicate(timeout=60))
    assert [error for _, error in said] == [""] * 10
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM personas").fetchone() == (10,)
        assert connection.execute("SELECT count(*) = max(version) FROM memorizz_migrations").fetchone() == (True,)


@pytest.mark.parametrize(
    "schema",
    ["memories", "Memories", "my memories", 'a"b', "a'b", "{x}", "select", "ünïcode", "x" * 63, "a.b"],
)
def test_any_name_is_a_schema(open_face: Callable[..., Any], dsn: str, schema: str) -> None:
    """The schema is made under the very name, whatever is in it, and everything works in it, twice."""
    config = PostgreSQLConfig(dsn=dsn, schema=schema, embedding_dimensions=4)
    with open_face(config) as face:
        assert works(face)
    with open_face(config) as face:
        assert face.count(LONG) == 1
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT relnamespace::regnamespace::oid FROM pg_class WHERE relname = 'personas'")
        [(oid,)] = rows
        assert connection.execute("SELECT nspname FROM pg_namespace WHERE oid = %s", [oid]).fetchone() == (schema,)


def test_two_schemas_do_not_meet(open_face: Callable[..., Any], dsn: str) -> None:
    """Two providers in one database with different schemas, and dimensions, share nothing."""
    one = PostgreSQLConfig(dsn=dsn, schema="one", embedding_dimensions=4)
    two = PostgreSQLConfig(dsn=dsn, schema="two", embedding_dimensions=2)
    with open_face(one) as first, open_face(two) as second:
        first.store({"embedding": [1, 0, 0, 0]}, LONG)
        second.store({"embedding": [1, 0]}, LONG)
        second.store({}, LONG)
        assert (first.count(LONG), second.count(LONG)) == (1, 2)


def test_a_schema_is_the_connections_own_by_default(open_face: Callable[..., Any], dsn: str) -> None:
    """Without `schema` the tables are where the connection's search_path says."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute('CREATE SCHEMA "My Own"')
        own = make_conninfo(dsn, options='-c search_path="My\\ Own",public')
        with open_face(PostgreSQLConfig(dsn=own, embedding_dimensions=4)) as face:
            assert works(face)
        where = "SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = 'personas'"
        assert connection.execute(where).fetchall() == [('"My Own"',)]


def test_a_search_path_that_leads_nowhere_is_said(open_face: Callable[..., Any], dsn: str) -> None:
    """A connection without a schema is told to name one; with one it works."""
    nowhere = make_conninfo(dsn, options="-c search_path=nowhere")
    with pytest.raises(SchemaError, match=r"PostgreSQLConfig\(schema=\.\.\.\)"):
        open_face(PostgreSQLConfig(dsn=nowhere, embedding_dimensions=4)).count(LONG)
    with open_face(PostgreSQLConfig(dsn=nowhere, schema="ours", embedding_dimensions=4)) as face:
        assert works(face)


@pytest.mark.parametrize("schema", [None, "ours"])
def test_the_extension_may_live_in_another_schema(open_face: Callable[..., Any], dsn: str, schema: str | None) -> None:
    """Managed services put it into `extensions`, which is in nobody's search_path."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA extensions; CREATE EXTENSION vector SCHEMA extensions")
        with open_face(PostgreSQLConfig(dsn=dsn, schema=schema, embedding_dimensions=4)) as face:
            assert works(face)
            face.store_many([{"embedding": [1, n, 0, 0]} for n in range(60)], LONG)
            assert len(face.retrieve_by_query({"embedding": [1, 0, 0, 0]}, LONG, limit=50)) == 50
        where = "SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'vector'"
        assert connection.execute(where).fetchone() == ("extensions",)


def test_nothing_outside_of_the_schema_is_made(open_face: Callable[..., Any], dsn: str) -> None:
    """Beside the extension everything is in the schema; dropping it leaves a database as before."""
    everything = "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'S', 'v') AND oid >= 16384"
    with psycopg.connect(dsn, autocommit=True) as connection:
        before = connection.execute(everything).fetchall()
        with open_face(PostgreSQLConfig(dsn=dsn, schema="ours", embedding_dimensions=4)) as face:
            face.count(LONG)
        connection.execute("DROP SCHEMA ours CASCADE; DROP EXTENSION vector")
        assert connection.execute(everything).fetchall() == before


def test_a_failed_migration_leaves_nothing(open_face: Callable[..., Any], dsn: str) -> None:
    """A language that there is not is refused, and what had been made goes."""
    config = PostgreSQLConfig(dsn=dsn, schema="ours", embedding_dimensions=4, text_search_config="klingon")
    with pytest.raises(Exception, match="klingon"):
        open_face(config).count(LONG)
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT FROM pg_namespace WHERE nspname = 'ours'").fetchone() is None
    with open_face(config.replace(text_search_config="simple")) as face:
        assert works(face)


# --- opening it ---------------------------------------------------------------------------------------------------


def test_opening_again_changes_nothing(open_face: Callable[..., Any], dsn: str) -> None:
    """A second opening runs no DDL, also without the right to."""
    config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=4)
    with open_face(config) as face:
        face.count(LONG)
    with psycopg.connect(dsn, autocommit=True) as connection:
        before = connection.execute("SELECT max(oid) FROM pg_class").fetchone()
        read_only = PostgreSQLConfig(dsn=make_conninfo(dsn, options="-c default_transaction_read_only=on"),
                                     embedding_dimensions=4)  # fmt: skip
        for again in (config, config.replace(auto_migrate=False), read_only):
            with open_face(again) as face:
                assert face.count(LONG) == 0
        assert connection.execute("SELECT max(oid) FROM pg_class").fetchone() == before


def test_a_newer_schema_is_refused(open_face: Callable[..., Any], migrated_dsn: str) -> None:
    """A schema that a later version has made is not touched, and both versions are named."""
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        connection.execute("INSERT INTO memorizz_migrations (version, name) VALUES (9999, 'later')")
    for options in ({}, {"auto_migrate": False}):
        with pytest.raises(SchemaError, match=r"version 9999.*upgrade memorizz-postgresql"):
            open_face(PostgreSQLConfig(dsn=migrated_dsn, embedding_dimensions=4, **options)).count(LONG)


def test_a_damaged_schema_is_said(open_face: Callable[..., Any], migrated_dsn: str) -> None:
    """A table that somebody dropped is a SchemaError, at the opening or at the call."""
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        connection.execute("DROP TABLE long_term_memory")
        with open_face(PostgreSQLConfig(dsn=migrated_dsn, embedding_dimensions=4)) as face:
            assert face.count("personas") == 0
            with pytest.raises(SchemaError, match="doctor"):
                face.count(LONG)
        connection.execute("DROP EXTENSION vector CASCADE")
        with pytest.raises(SchemaError, match="damaged"):
            open_face(PostgreSQLConfig(dsn=migrated_dsn, embedding_dimensions=4)).count(LONG)


def test_dimensions_are_taken_from_the_schema_where_none_are_said(
    open_face: Callable[..., Any], migrated_dsn: str
) -> None:
    """embedding_dimensions=None takes those of a schema that exists; others than those are refused at the opening."""
    with open_face(PostgreSQLConfig(dsn=migrated_dsn, embedding_dimensions=None)) as face:
        assert works(face)
    with pytest.raises(ConfigurationError, match="4 dimensions"):
        open_face(PostgreSQLConfig(dsn=migrated_dsn)).count(LONG)


def test_a_provider_has_1536_dimensions_by_default(open_face: Callable[..., Any], dsn: str) -> None:
    """The default is that of the seed's model."""
    with open_face(PostgreSQLConfig(dsn=dsn)) as face:
        id = face.store({"embedding": [0.5] * 1536}, LONG)
        assert len(face.retrieve_by_id(id, LONG, include_embedding=True)["embedding"]) == 1536


# --- what it is made of -------------------------------------------------------------------------------------------


def test_the_tables_have_the_seeds_names_and_columns(catalog: psycopg.Connection[Any]) -> None:
    """Seven tables, each with the common columns, and a primary key of uuid."""
    tables = catalog.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert set(STORES) < {name for (name,) in tables}
    assert all(name in STORES or name.startswith("memorizz_") for (name,) in tables)
    for table in STORES:
        rows = catalog.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s::regclass "
            "AND attnum > 0",
            [table],
        )
        columns = dict(rows.fetchall())
        assert columns | {
            "id": "uuid", "name": "text", "created_at": "timestamp with time zone", "metadata": "jsonb",
            "updated_at": "timestamp with time zone", "embedding": "vector(4)", "embedding_bits": "bit(4)",
            "words": "tsvector", "seq": "bigint", "data": "jsonb", "memory_id": "text",
        } == columns  # fmt: skip


def test_the_vector_index_is_the_seeds(catalog: psycopg.Connection[Any]) -> None:
    """conversation_memory_embedding_idx is an HNSW index for cosine distance, as is one for each store."""
    for table in STORES:
        [(definition,)] = catalog.execute(
            "SELECT indexdef FROM pg_indexes WHERE indexname = %s AND tablename = %s", [f"{table}_embedding_idx", table]
        ).fetchall()
        assert "USING hnsw (embedding vector_cosine_ops)" in definition


def test_what_moves_on_every_write_has_no_index(catalog: psycopg.Connection[Any]) -> None:
    """updated_at, access_count and last_accessed are in no index, nor is the JSON; everything else has its name."""
    rows = catalog.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = ANY(%s)", [STORES]
    ).fetchall()
    assert rows
    for name, definition in rows:
        assert not any(
            word in definition for word in ("updated_at", "access_count", "last_accessed", "data", "metadata")
        )
        assert name.rpartition("_")[2] in ("idx", "pkey")
        assert any(name.startswith(f"{table}_") for table in STORES)


def test_the_storage_is_for_vectors(catalog: psycopg.Connection[Any]) -> None:
    """Vectors are kept out of line and uncompressed, and pages leave room for updates."""
    for table in STORES:
        storage = "SELECT attstorage FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'embedding'"
        assert catalog.execute(storage, [table]).fetchone() == ("e",)
        assert catalog.execute("SELECT reloptions FROM pg_class WHERE oid = %s::regclass", [table]).fetchone() == (
            ["fillfactor=85"],
        )


def test_there_are_no_triggers(catalog: psycopg.Connection[Any]) -> None:
    """Nothing happens behind a statement's back."""
    assert catalog.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal").fetchall() == []


def test_every_constraint_has_a_name_of_ours(catalog: psycopg.Connection[Any]) -> None:
    """The seven primary keys are called after their tables."""
    rows = catalog.execute("SELECT conname FROM pg_constraint WHERE contype = 'p' AND conrelid >= 16384")
    assert {f"{table}_pkey" for table in STORES} <= {name for (name,) in rows}


def test_updates_stay_out_of_the_indexes(
    provider: PostgreSQLProvider, migrated_dsn: str, wait_for: Callable[..., Any]
) -> None:
    """Merging keys without an index is a HOT update: it enters no index, least of all that of the vectors."""
    id = provider.store({**DOCUMENT, "access_count": 0}, LONG)
    for n in range(30):
        provider.update_by_id(
            id, {"access_count": n, "last_accessed": "2024-01-01", "seen": n, "metadata": {"n": n}}, LONG
        )
        provider.store({"id": id, "name": "Ada", "importance_score": n / 100}, LONG)
    provider.close()
    counters = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'long_term_memory'"

    def counted() -> Any:
        with psycopg.connect(migrated_dsn) as connection:
            row = connection.execute(counters).fetchone()
        return row if row is not None and row[0] == 60 else None

    # An update meets a full page now and then.
    assert wait_for(counted, "the statistics of 60 updates")[1] >= 55


# --- dimensions and indexes ---------------------------------------------------------------------------------------


def axis(dimensions: int, n: int) -> list[float]:
    vector = [0.0] * dimensions
    vector[0], vector[n] = 1.0, n / 10
    return vector


@pytest.mark.parametrize(
    ("dimensions", "asked", "index"),
    [
        (3, "hnsw", "embedding vector_cosine_ops"),
        (3, "halfvec", "halfvec(3)) halfvec_cosine_ops"),
        (3, "none", None),
        (2000, "hnsw", "embedding vector_cosine_ops"),
        (2500, "hnsw", "halfvec(2500)) halfvec_cosine_ops"),
        (4000, "hnsw", "halfvec(4000)) halfvec_cosine_ops"),
        (5000, "hnsw", None),
    ],
)
def test_the_index_follows_the_dimensions(dsn: str, dimensions: int, asked: Any, index: str | None) -> None:
    """Above 2,000 dimensions the index is on halfvec, above 4,000 there is none; results are right in each."""
    count = min(dimensions - 1, 12)
    config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=dimensions, index=asked)
    with PostgreSQLProvider(config) as provider, psycopg.connect(dsn) as connection:
        provider.store_many([{"n": n, "embedding": axis(dimensions, n)} for n in range(count, 0, -1)], LONG)
        for query in ({}, {"n": {"$gt": 0}}):
            hits = provider.retrieve_by_query({"embedding": axis(dimensions, 1), **query}, LONG, limit=count)
            assert [hit["n"] for hit in hits] == list(range(1, count + 1))
            assert hits[0]["score"] == pytest.approx(1)
            if count > 1:
                assert hits[1]["score"] == pytest.approx(1 / (1.01**0.5 * 1.04**0.5))
        row = connection.execute(
            "SELECT indexdef FROM pg_indexes WHERE indexname = 'long_term_memory_embedding_idx'"
        ).fetchone()
        assert (row is None) if index is None else (row is not None and index in row[0])


@pytest.mark.parametrize("pg_version", [18, 16])
@pytest.mark.parametrize("index", ["hnsw", "halfvec"])
def test_the_index_serves_a_search_without_filter(dsn: str, index: Any, wait_for: Callable[..., Any]) -> None:
    """It serves each of them, as the statistics say, also by the plan that is kept for all of them."""
    config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=4, index=index, min_size=1, max_size=1)
    with PostgreSQLProvider(config) as provider:
        provider.store_many([{"embedding": [1, n / 100, 0, 0]} for n in range(50)], LONG)
        for n in range(12):
            hits = provider.retrieve_by_query({"embedding": [1, n / 100, 0, 0]}, LONG, limit=n + 1)
            assert len(hits) == n + 1
        with provider._connection() as connection:
            kept = "SELECT sum(generic_plans) FROM pg_prepared_statements WHERE statement LIKE '%<=>%'"
            row = connection.execute(kept).fetchone()
            assert row is not None
            assert row[0] > 0
    with psycopg.connect(dsn, autocommit=True) as connection:
        scans = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'long_term_memory_embedding_idx'"
        wait_for(lambda: connection.execute(scans).fetchone() == (12,), "the statistics of twelve scans")


def test_the_parameters_of_the_index_are_the_configs(dsn: str) -> None:
    """hnsw_m and hnsw_ef_construction reach the index."""
    config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=4, hnsw_m=7, hnsw_ef_construction=33)
    with PostgreSQLProvider(config), psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT reloptions FROM pg_class WHERE relname = 'personas_embedding_idx'").fetchone()
        assert row == (["m=7", "ef_construction=33"],)


def test_the_language_of_the_words_is_the_configs(dsn: str) -> None:
    """Words are stemmed in the language that the schema was made with, whatever a later config says."""
    config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=4, text_search_config="german")
    with PostgreSQLProvider(config) as provider:
        provider.store({"content": "zwei Häuser"}, LONG)
    with PostgreSQLProvider(config.replace(text_search_config="english")) as provider:
        assert len(provider.retrieve_by_query("Haus", LONG)) == 1


# --- upgrading ----------------------------------------------------------------------------------------------------


def test_memories_of_the_first_version_are_kept(dsn: str) -> None:
    """A schema whose bits are generated columns is opened, upgraded, and finds what was stored in it before."""
    first = migrations()[0]
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        script = raw(first.text).format(dimensions=sql.Literal(4), language=sql.Literal("english"))
        connection.execute(script)
        connection.execute("INSERT INTO memorizz_migrations (version, name) VALUES (1, %s)", [first.name])
        connection.execute("INSERT INTO long_term_memory (id, data, embedding) VALUES (%s, '{}', '[0,1,0,0]')", [ID])
        connection.execute("INSERT INTO memorizz_bits (store, recall, rows) VALUES ('long_term_memory', 1, 1)")
    with PostgreSQLProvider(PostgreSQLConfig(dsn=dsn, embedding_dimensions=4)) as provider:
        assert [hit["id"] for hit in provider.retrieve_by_query({"embedding": [0, 1, 0, 0]}, LONG)] == [ID]
        assert works(provider)
    with psycopg.connect(dsn) as connection:
        kept = connection.execute("SELECT store, model, recall FROM memorizz_bits").fetchall()
        bits = connection.execute("SELECT embedding_bits FROM long_term_memory WHERE id = %s", [ID]).fetchone()
    assert (kept, bits) == ([("long_term_memory", 1, 1.0)], ("0100",))
