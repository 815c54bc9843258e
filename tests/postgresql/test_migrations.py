"""The schema: how it is made, where, by how many at once, and what it is then made of."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from memorizz.errors import ConfigurationError, OperationTimeout, SchemaError
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider, migrations
from memorizz.memory_provider.stores import StoreSpec

LONG = MemoryType.LONG_TERM_MEMORY
STORES = [member.value for member in MemoryType]
ID = "0190f5c8-0000-7000-8000-000000000001"
DOCUMENT = {"name": "Ada", "content": "green tea", "memory_id": "m", "embedding": [1.0, 0.0, 0.0, 0.0]}


@pytest.fixture
def catalog(migrated_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a database with the tables."""
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        yield connection


def works(api: Any) -> bool:
    """Return True if a provider stores and finds, by id, by filter, by meaning and by words."""
    id = api.store(DOCUMENT, LONG)
    found = [
        api.retrieve_by_id(id, LONG),
        *api.retrieve_by_query({"memory_id": "m"}, LONG),
        *api.retrieve_by_query({"embedding": DOCUMENT["embedding"]}, LONG),
        *api.retrieve_by_query("tea", LONG),
        *api.retrieve_memory_components_by_query("tea", DOCUMENT["embedding"], "m"),
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


_MAKING = """
import sys
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.stores import StoreSpec
with PostgreSQLProvider(PostgreSQLConfig(dsn=sys.argv[1], embedding_dimensions=4)) as provider:
    print("open", flush=True)
    sys.stdin.read(1)
    provider.create_store(StoreSpec("tickets", dimensions=2))
    print(provider.store({"id": sys.argv[2], "embedding": [1, 0]}, "tickets"))
"""
_MAKE_WAITS = (
    "SELECT count(*) = 10 FROM pg_locks WHERE NOT granted AND relation = 'memorizz_stores'::regclass "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def test_ten_processes_that_make_one_store_at_once_make_it_once(
    migrated_dsn: str, wait_for: Callable[..., Any]
) -> None:
    """Each finds it made, by itself or by another, and stores its document in it."""
    command = [sys.executable, "-W", "error", "-c", _MAKING, migrated_dsn]
    processes = [
        subprocess.Popen(
            [*command, str(n)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for n in range(10)
    ]  # fmt: skip
    with psycopg.connect(migrated_dsn) as holding, psycopg.connect(migrated_dsn, autocommit=True) as looking:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
        holding.execute("LOCK TABLE memorizz_stores IN SHARE ROW EXCLUSIVE MODE")
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        wait_for(lambda: looking.execute(_MAKE_WAITS).fetchone() == (True,), "ten processes to wait", 60)
    said = [process.communicate(timeout=60) for process in processes]
    assert said == [(f"{n}\n", "") for n in range(10)]
    with psycopg.connect(migrated_dsn) as connection:
        assert connection.execute("SELECT count(*) FROM memorizz_stores WHERE name = 'tickets'").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM tickets").fetchone() == (10,)
        assert connection.execute("SELECT count(*) FROM memorizz_embedding_models").fetchone() == (2,)


@pytest.mark.parametrize(
    "schema",
    ["memories", "Memories", "my memories", 'a"b', "a'b", "{x}", "select", "ünïcode", "x" * 63, "a.b"],
)
def test_any_name_is_a_schema(open_api: Callable[..., Any], dsn: str, schema: str) -> None:
    """The schema is made under the very name, whatever is in it, and everything works in it, twice."""
    config = PostgreSQLConfig(dsn=dsn, schema=schema, embedding_dimensions=4)
    with open_api(config) as api:
        assert works(api)
    with open_api(config) as api:
        assert api.count(LONG) == 1
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT relnamespace::regnamespace::oid FROM pg_class WHERE relname = 'personas'")
        [(oid,)] = rows
        assert connection.execute("SELECT nspname FROM pg_namespace WHERE oid = %s", [oid]).fetchone() == (schema,)


def test_two_schemas_do_not_meet(open_api: Callable[..., Any], dsn: str) -> None:
    """Two providers in one database with different schemas, and dimensions, share nothing."""
    one = PostgreSQLConfig(dsn=dsn, schema="one", embedding_dimensions=4)
    two = PostgreSQLConfig(dsn=dsn, schema="two", embedding_dimensions=2)
    with open_api(one) as first, open_api(two) as second:
        first.store({"embedding": [1, 0, 0, 0]}, LONG)
        second.store({"embedding": [1, 0]}, LONG)
        second.store({}, LONG)
        assert (first.count(LONG), second.count(LONG)) == (1, 2)


def test_a_schema_is_the_connections_own_by_default(open_api: Callable[..., Any], dsn: str) -> None:
    """Without `schema` the tables are where the connection's search_path says."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute('CREATE SCHEMA "My Own"')
        own = make_conninfo(dsn, options='-c search_path="My\\ Own",public')
        with open_api(PostgreSQLConfig(dsn=own, embedding_dimensions=4)) as api:
            assert works(api)
        where = "SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = 'personas'"
        assert connection.execute(where).fetchall() == [('"My Own"',)]


def test_a_store_that_needs_a_name_which_is_taken(api: Any, migrated_dsn: str) -> None:
    """By a table of another store, or of somebody else, is refused for what it is, and nothing of it is made."""
    api.create_store(StoreSpec("notes", dimensions=3))
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE memorizz_letters_parts (); CREATE TABLE pages ()")
        for name, taken in (
            ("notes_parts", "memorizz_notes_parts_history"), ("letters", "memorizz_letters_parts"), ("pages", "pages"),
        ):  # fmt: skip
            said = f"'{name}' cannot be made.*choose another name.*\\W{taken}\\W"
            with pytest.raises(ConfigurationError, match=said):
                api.create_store(StoreSpec(name, dimensions=3))
    assert {"notes", "notes_parts", "letters", "pages"} & {spec.name for spec in api.stores()} == {"notes"}
    api.drop_store("notes", yes=True)
    api.create_store(StoreSpec("notes_parts", dimensions=3))
    assert works(api)


def test_a_search_path_that_leads_nowhere_is_said(open_api: Callable[..., Any], dsn: str) -> None:
    """A connection without a schema is told to name one; with one it works."""
    nowhere = make_conninfo(dsn, options="-c search_path=nowhere")
    with pytest.raises(SchemaError, match=r"PostgreSQLConfig\(schema=\.\.\.\)"):
        open_api(PostgreSQLConfig(dsn=nowhere, embedding_dimensions=4)).count(LONG)
    with open_api(PostgreSQLConfig(dsn=nowhere, schema="ours", embedding_dimensions=4)) as api:
        assert works(api)


@pytest.mark.parametrize("schema", [None, "ours"])
def test_the_extension_may_live_in_another_schema(open_api: Callable[..., Any], dsn: str, schema: str | None) -> None:
    """Managed services put it into `extensions`, which is in nobody's search_path."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA extensions; CREATE EXTENSION vector SCHEMA extensions")
        with open_api(PostgreSQLConfig(dsn=dsn, schema=schema, embedding_dimensions=4)) as api:
            assert works(api)
            api.store_many([{"embedding": [1, n, 0, 0]} for n in range(60)], LONG)
            assert len(api.retrieve_by_query({"embedding": [1, 0, 0, 0]}, LONG, limit=50)) == 50
        where = "SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'vector'"
        assert connection.execute(where).fetchone() == ("extensions",)


def test_nothing_outside_of_the_schema_is_made(open_api: Callable[..., Any], dsn: str) -> None:
    """Beside the extension everything is in the schema; dropping it leaves a database as before."""
    everything = "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'S', 'v') AND oid >= 16384"
    with psycopg.connect(dsn, autocommit=True) as connection:
        before = connection.execute(everything).fetchall()
        with open_api(PostgreSQLConfig(dsn=dsn, schema="ours", embedding_dimensions=4)) as api:
            api.count(LONG)
        connection.execute("DROP SCHEMA ours CASCADE; DROP EXTENSION vector")
        assert connection.execute(everything).fetchall() == before


def test_a_failed_migration_leaves_nothing(open_api: Callable[..., Any], dsn: str) -> None:
    """A language that there is not is refused, and what had been made goes."""
    config = PostgreSQLConfig(dsn=dsn, schema="ours", embedding_dimensions=4, text_search_config="klingon")
    with pytest.raises(Exception, match="klingon"):
        open_api(config).count(LONG)
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT FROM pg_namespace WHERE nspname = 'ours'").fetchone() is None
    with open_api(config.replace(text_search_config="simple")) as api:
        assert works(api)


# --- opening it ---------------------------------------------------------------------------------------------------


def test_opening_again_changes_nothing(open_api: Callable[..., Any], dsn: str) -> None:
    """A second opening runs no DDL, also without the right to."""
    config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=4)
    with open_api(config) as api:
        api.count(LONG)
    with psycopg.connect(dsn, autocommit=True) as connection:
        before = connection.execute("SELECT max(oid) FROM pg_class").fetchone()
        read_only = PostgreSQLConfig(dsn=make_conninfo(dsn, options="-c default_transaction_read_only=on"),
                                     embedding_dimensions=4)  # fmt: skip
        for again in (config, config.replace(auto_migrate=False), read_only):
            with open_api(again) as api:
                assert api.count(LONG) == 0
        assert connection.execute("SELECT max(oid) FROM pg_class").fetchone() == before


def test_a_newer_schema_is_refused(open_api: Callable[..., Any], migrated_dsn: str) -> None:
    """A schema that a later version has made is not touched, and both versions are named."""
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        connection.execute("INSERT INTO memorizz_migrations (version, name) VALUES (9999, 'later')")
    for options in ({}, {"auto_migrate": False}):
        with pytest.raises(SchemaError, match=r"version 9999.*upgrade memorizz-postgresql"):
            open_api(PostgreSQLConfig(dsn=migrated_dsn, embedding_dimensions=4, **options)).count(LONG)


def test_a_damaged_schema_is_said(open_api: Callable[..., Any], migrated_dsn: str) -> None:
    """A table that somebody dropped is a SchemaError, at the opening or at the call."""
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        connection.execute("DROP TABLE long_term_memory")
        with open_api(PostgreSQLConfig(dsn=migrated_dsn, embedding_dimensions=4)) as api:
            assert api.count("personas") == 0
            with pytest.raises(SchemaError, match="doctor"):
                api.count(LONG)
        connection.execute("DROP EXTENSION vector CASCADE")
        with pytest.raises(SchemaError, match="damaged"):
            open_api(PostgreSQLConfig(dsn=migrated_dsn, embedding_dimensions=4)).count(LONG)


def test_dimensions_are_taken_from_the_schema_where_none_are_said(
    open_api: Callable[..., Any], migrated_dsn: str
) -> None:
    """embedding_dimensions=None takes those of a schema that exists; others than those are refused at the opening."""
    with open_api(PostgreSQLConfig(dsn=migrated_dsn, embedding_dimensions=None)) as api:
        assert works(api)
    with pytest.raises(ConfigurationError, match="4 dimensions"):
        open_api(PostgreSQLConfig(dsn=migrated_dsn)).count(LONG)


def test_a_provider_has_1536_dimensions_by_default(open_api: Callable[..., Any], dsn: str) -> None:
    """The default is that of the seed's model."""
    with open_api(PostgreSQLConfig(dsn=dsn)) as api:
        id = api.store({"embedding": [0.5] * 1536}, LONG)
        assert len(api.retrieve_by_id(id, LONG, include_embedding=True)["embedding"]) == 1536


# --- what it is made of -------------------------------------------------------------------------------------------


def test_the_tables_have_the_seeds_names_and_columns(catalog: psycopg.Connection[Any]) -> None:
    """Seven tables, each with the common columns, and a primary key of the tenant and a uuid."""
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
            "tenant": "text", "id": "uuid", "name": "text", "metadata": "jsonb",
            "created_at": "timestamp with time zone", "updated_at": "timestamp with time zone",
            "embedding": "vector(4)", "embedding_bits": "bit(4)",
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


def test_no_trigger_changes_a_row(catalog: psycopg.Connection[Any]) -> None:
    """Nothing happens behind a statement's back, but that the pieces of a long text go with it."""
    rows = catalog.execute("SELECT DISTINCT tgname, tgfoid::regproc::text FROM pg_trigger WHERE NOT tgisinternal")
    assert set(rows) == {(name, "memorizz_forget_pieces") for name in ("memorizz_replaced", "memorizz_deleted")}


def test_every_constraint_has_a_name_of_ours(catalog: psycopg.Connection[Any]) -> None:
    """They are called after their tables; each key is of the tenant and the id."""
    rows = catalog.execute(
        "SELECT relname, conname, pg_get_constraintdef(pg_constraint.oid) FROM pg_constraint "
        "JOIN pg_class ON pg_class.oid = conrelid WHERE conrelid >= 16384 AND contype <> 'n'"
    ).fetchall()
    assert all(name.startswith((f"{table}_", "embedding_")) for table, name, _ in rows)
    keys = {name: definition for _, name, definition in rows if name.endswith("_pkey")}
    assert [keys[f"{table}_pkey"] for table in STORES] == ["PRIMARY KEY (tenant, id)"] * len(STORES)


REFUSED = {
    "data that is a list": ("data", "'[]'"),
    "data that is nothing": ("data", "NULL"),
    "data that is JSON's null": ("data", "'null'"),
    "metadata that is a text": ("metadata", "'\"x\"'"),
    "no time": ("created_at", "NULL"),
    "a turn at no time": ("timestamp", "NULL"),
    "bits of another vector": ("embedding_bits", "'1111'"),
}


@pytest.mark.parametrize("column", REFUSED)
def test_other_hands_cannot_write_what_cannot_be_read(api: Any, catalog: psycopg.Connection[Any], column: str) -> None:
    """What no document can be is refused by the table; what comes near it is read."""
    name, value = REFUSED[column]
    write = f"INSERT INTO conversation_memory (id, embedding, {name}) VALUES ('{ID}', '[1,-1,0,1]', {{}})"
    with pytest.raises(psycopg.errors.IntegrityError):
        catalog.execute(write.format(value))
    last = "'9999-12-31 23:59:59.999999+00'"
    allowed = {"data": "'{}'", "metadata": "'{}'", "embedding_bits": "'1001'"}.get(name, last)
    catalog.execute(write.format(allowed))
    assert [each["id"] for each in api.list_all("conversation_memory")] == [ID]


BEYOND_PYTHON = {
    "created_at": ("'0044-03-15 00:00+00 BC'", "0044-03-15 00:00:00+00 BC"),
    "updated_at": ("'10000-01-01 00:00+00'", "10000-01-01 00:00:00+00"),
    "timestamp": ("'-infinity'", "-infinity"),
    "last_accessed": ("'12000-01-01 00:00+00'", "12000-01-01 00:00:00+00"),
    "expires_at": ("'infinity'", None),
}


@pytest.mark.parametrize("column", BEYOND_PYTHON)
def test_times_that_python_lacks_are_read(api: Any, catalog: psycopg.Connection[Any], column: str) -> None:
    """The table takes them, and a document has PostgreSQL's text of them; never to expire is to have no such key."""
    value, text = BEYOND_PYTHON[column]
    catalog.execute(f"INSERT INTO conversation_memory (id, {column}) VALUES ('{ID}', {value})")
    [turn] = api.list_all("conversation_memory")
    assert (turn["id"], turn.get(column)) == (ID, text)


def test_a_row_of_the_database_alone_has_what_a_document_needs(api: Any, catalog: psycopg.Connection[Any]) -> None:
    """An id is all that an INSERT by other hands must say; its times are those of its statement."""
    with catalog.transaction():
        for n in (1, 2):
            catalog.execute(f"INSERT INTO conversation_memory (id) VALUES ('{ID[:-1]}{n}')")
            catalog.execute("SELECT pg_sleep(0.01)")
    first, second = api.list_all("conversation_memory")
    assert first.keys() == {"id", "_id", "created_at", "updated_at", "timestamp"}
    assert first["created_at"] == first["updated_at"] == first["timestamp"] < second["created_at"]


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


MADE = {"embedding_dimensions": 4, "text_search_config": "german", "index": "hnsw", "hnsw_m": 7}
STAYS = "which stays as it is"


@pytest.mark.parametrize(
    ("made", "asked", "said"),
    [
        ({}, {"text_search_config": "french"}, f"text_search_config='french' is not used.*pg_catalog.german, {STAYS}"),
        (
            {},
            {"index": "none"},
            f"index='none' is not used: schema 'public' was made with hnsw, {STAYS}.*memorizz index",
        ),
        ({}, {"index": "halfvec"}, "index='halfvec' is not used.*hnsw"),
        ({"index": "none"}, {"index": "halfvec"}, "index='halfvec' is not used.*none"),
        ({}, {"hnsw_m": 8}, f"hnsw_m=8 is not used: .*made with 7, {STAYS}"),
        ({}, {"hnsw_ef_construction": 200}, "hnsw_ef_construction=200 is not used: .*made with 128"),
        # What is there, what the defaults are, and what no index has.
        ({}, {}, None),
        ({}, {"text_search_config": "pg_catalog.german"}, None),
        ({}, {"text_search_config": "english", "index": "hnsw", "hnsw_m": 24}, None),
        ({"index": "none"}, {"index": "none", "hnsw_m": 8}, None),
        ({"embedding_dimensions": 2001}, {"embedding_dimensions": None, "index": "halfvec", "hnsw_m": 7}, None),
    ],
    ids=str,
)
def test_what_a_schema_was_not_made_with_is_said(
    open_api: Callable[..., Any], dsn: str, caplog: Any, made: Any, asked: Any, said: str | None
) -> None:
    """At each opening, in one warning for each option that is fixed and asks for something else."""
    config = PostgreSQLConfig(dsn=dsn, **(MADE | made))
    with open_api(config) as api:
        api.count(LONG)
    with open_api(config):
        pass
    assert [each for each in caplog.messages if "is not used" in each] == []
    with open_api(config.replace(**asked)) as api:
        api.count(LONG)
    warnings = [each for each in caplog.messages if "is not used" in each]
    assert len(warnings) == (said is not None)
    assert said is None or re.search(said, warnings[0])


# --- upgrading ----------------------------------------------------------------------------------------------------


def test_a_schema_of_a_development_version_is_refused(open_api: Callable[..., Any], migrated_dsn: str) -> None:
    """It is not touched, and what was in it can be taken along: the commands are said."""
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        connection.execute("UPDATE memorizz_migrations SET name = 'initial' WHERE version = 1")
    for options in ({}, {"auto_migrate": False}):
        with pytest.raises(SchemaError, match=r"development version.*memorizz export FILE.*memorizz import FILE"):
            open_api(PostgreSQLConfig(dsn=migrated_dsn, embedding_dimensions=4, **options)).count(LONG)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_in_another_encoding_is_refused(
    open_api: Callable[..., Any], server: str, dsn: str, encoding: str
) -> None:
    """Most texts could not be written there: it is said at the opening, and nothing is made."""
    name = f"{psycopg.conninfo.conninfo_to_dict(dsn)['dbname']}_{encoding.lower()}"
    create = f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(create)
        try:
            other = make_conninfo(dsn, dbname=name)
            with pytest.raises(SchemaError, match=f"encoding {encoding}.*template0"):
                open_api(PostgreSQLConfig(dsn=other, embedding_dimensions=4)).count(LONG)
            with psycopg.connect(other) as empty:
                assert empty.execute("SELECT FROM pg_class WHERE relname = 'personas'").fetchone() is None
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


LATER = migrations.Migration(2, "later", "ALTER TABLE long_term_memory ADD COLUMN later text DEFAULT 'it is'")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have this version of the library know one migration more, of which the text is given."""
    known = [*migrations.migrations()]

    def know(text: str) -> None:
        monkeypatch.setattr(migrations, "migrations", lambda: [*known, replace(LATER, text=text)])

    return know


def waits(connection: psycopg.Connection[Any]) -> bool:
    """Return True if somebody waits for a lock on a table."""
    waiting = "SELECT FROM pg_locks WHERE NOT granted AND locktype = 'relation' AND database = "
    database = "(SELECT oid FROM pg_database WHERE datname = current_database())"
    return connection.execute(waiting + database).fetchone() is not None


@pytest.mark.parametrize("store", ["toolbox", "own"])
def test_a_migration_with_a_reader_in_the_way(
    open_api: Callable[..., Any], config: PostgreSQLConfig, later: Callable[[str], None],
    wait_for: Callable[..., Any], store: str,
) -> None:  # fmt: skip
    """It holds up nobody for long while one store is being read, and goes through as soon as that ends."""
    patient = config.replace(libpq={"options": "-c lock_timeout=5s"})
    with (
        open_api(patient) as api,
        psycopg.connect(config.conninfo, autocommit=True) as looking,
        ThreadPoolExecutor(1) as thread,
    ):
        api.create_store(StoreSpec("own"))
        later("ALTER TABLE long_term_memory ADD COLUMN later text DEFAULT 'it is'")
        with psycopg.connect(config.conninfo) as reader:
            reader.execute(f"SELECT count(*) FROM {store}")
            opening = thread.submit(opened, open_api, config)
            for tries in range(3):
                wait_for(lambda: waits(looking), "the migration to wait for the reader")
                # Whoever comes while it waits is served when it gives up.
                api.store({"id": f"{tries}"}, LONG)
                assert api.count("personas") == 0
                assert api.count(store) == 0
                wait_for(lambda: not waits(looking), "the migration to give up")
                assert not opening.done()
            assert looking.execute("SELECT max(version) FROM memorizz_migrations").fetchone() == (1,)
        opening.result(30).close()
        assert looking.execute("SELECT max(version) FROM memorizz_migrations").fetchone() == (2,)
        rows = looking.execute("SELECT later FROM long_term_memory").fetchall()
        assert rows == [("it is",)] * 3
        # A provider that was open all the time goes on.
        assert works(api)


def opened(open_api: Callable[..., Any], config: PostgreSQLConfig) -> Any:
    api = open_api(config)
    api.count(LONG)
    return api


def test_a_migration_that_fails_leaves_the_schema_as_it_was(
    open_api: Callable[..., Any], config: PostgreSQLConfig, later: Callable[[str], None],
    catalog: psycopg.Connection[Any],
) -> None:  # fmt: skip
    """All of it or nothing, and the next try may succeed."""
    later("ALTER TABLE personas ADD COLUMN later text; ALTER TABLE nowhere ADD COLUMN later text")
    with pytest.raises(SchemaError, match="nowhere"):
        open_api(config).count(LONG)
    columns = "SELECT count(*) FROM pg_attribute WHERE attname = 'later'"
    assert catalog.execute(columns).fetchone() == (0,)
    later("ALTER TABLE personas ADD COLUMN later text")
    with pytest.raises(SchemaError, match="lacks 1 migration"):
        open_api(config.replace(auto_migrate=False)).count(LONG)
    with open_api(config) as api:
        assert works(api)
    assert catalog.execute(columns).fetchone() == (1,)


def test_stores_that_are_in_use_all_the_time_are_said(
    open_api: Callable[..., Any], config: PostgreSQLConfig, later: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    """After some time a migration gives up for good, and has changed nothing."""
    for driver in ("_sync", "_async"):
        monkeypatch.setattr(f"memorizz.memory_provider.postgresql.driver.{driver}.IN_USE_SECONDS", 0.1)
    later("ALTER TABLE personas ADD COLUMN later text")
    with psycopg.connect(config.conninfo) as reader:
        reader.execute("SELECT FROM toolbox")
        with pytest.raises(OperationTimeout, match="in use all the time, and nothing was changed: try again"):
            open_api(config).count(LONG)
        assert reader.execute("SELECT max(version) FROM memorizz_migrations").fetchone() == (1,)
