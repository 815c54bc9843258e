"""memorizz doctor on databases in every state, and what it makes of what it sees."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider, migrations
from memorizz.memory_provider.postgresql.maintenance import Examination, Level, Maintenance, _measuring
from memorizz.memory_provider.postgresql.maintenance._findings import diagnose

KEYS = {
    "ok",
    "where",
    "server",
    "database",
    "text_search_config",
    "embedding_models",
    "rights",
    "settings",
    "migrations",
    "stores",
    "indexes",
    "findings",
}
LEVELS = [level.value for level in Level]


def with_options(dsn: str, **settings: str) -> str:
    return make_conninfo(
        dsn, options=" ".join(f"-c {name.replace('__', '.')}={value}" for name, value in settings.items())
    )


def execute(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.fixture
def doctor(memorizz: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Run doctor and return its JSON, with the findings by their subject."""

    def run(dsn: str, *arguments: str) -> dict[str, Any]:
        shown = memorizz("doctor", "--json", "--dsn", dsn, *arguments)
        result = shown.json
        assert set(result) == KEYS
        assert shown.stderr == ""
        levels = [finding["level"] for finding in result["findings"]]
        assert levels == sorted(levels, key=LEVELS.index)
        assert result["ok"] == ("danger" not in levels)
        assert shown.code == (0 if result["ok"] else 1)
        return {**result, "findings": {finding["subject"]: finding for finding in result["findings"]}}

    return run


def test_the_facts(doctor: Callable[..., dict[str, Any]], migrated_dsn: str, provider: PostgreSQLProvider) -> None:
    """It reports the server, the rights, the version of the schema, every store and every index."""
    provider.store({"content": "tea", "embedding": [1, 0, 0, 0]}, "long_term_memory")
    provider.store({"content": "gone", "expires_at": "2020-01-01"}, "long_term_memory")
    found = doctor(migrated_dsn)
    assert int(found["server"]["version"].split(".")[0]) >= 15
    assert found["embedding_models"]["searched"]["dimensions"] == 4
    assert found["embedding_models"]["standby"] is None
    assert found["database"]["vector_version"]
    assert found["rights"]["read"] is True
    assert found["rights"]["write"] is True
    assert found["migrations"]["pending"] == []
    assert found["migrations"]["applied"][0]["name"] == "stores_and_words"
    assert found["text_search_config"] == "pg_catalog.english"
    stores = {store["name"]: store for store in found["stores"]}
    assert len(stores) == 7
    store = stores["long_term_memory"]
    assert (store["rows"], store["with_embedding"], store["expired"]) == (2, 1, 1)
    vectors = [index for index in found["indexes"] if index["method"] == "hnsw"]
    assert len(vectors) == 14
    assert all(index["valid"] and index["bytes"] > 0 for index in vectors)


def test_what_is_said_of_rows(memorizz: Callable[..., Any], migrated_dsn: str, provider: PostgreSQLProvider) -> None:
    """Memories that have expired, and memories without an embedding among some with, are counted."""
    provider.store({"content": "tea", "embedding": [1, 0, 0, 0]}, "toolbox")
    provider.store_many([{"content": "gone", "expires_at": "2020-01-01"}] * 2, "toolbox")
    findings = memorizz("doctor", "--json", "--dsn", migrated_dsn).json["findings"]
    texts = [finding["text"] for finding in findings if finding["subject"] == "toolbox"]
    assert len(texts) == 2
    assert texts[0].startswith("2 expired")
    assert texts[1].startswith("2 of 3 memories have no embedding")


STRANGE = {
    "importance": ("importance_score", "'NaN'"),
    "number": ("data", "jsonb_build_object('n', ('-1' || repeat('0', 4300))::numeric)"),
    "depth": ("data", "jsonb_build_object('n', (repeat('[', 500) || repeat(']', 500))::jsonb)"),
    "BC": ("created_at", "'0044-03-15 BC'"),
    "beginning": ("updated_at", "'-infinity'"),
    "end": ('"timestamp"', "'infinity'"),
    "late": ("last_accessed", "'20000-01-01'"),
    "expires": ("expires_at", "'20000-01-01'"),
}


@pytest.mark.parametrize("key", STRANGE)
def test_a_row_that_no_document_is(
    memorizz: Callable[..., Any], migrated_dsn: str, provider: PostgreSQLProvider, key: str
) -> None:
    """What another program has stored, and can be read but not moved, is named by its id; nothing else is."""
    provider.store_many(
        [{"content": "tea", "importance_score": 0.5, "n": 10**4000, "m": "9" * 5000, "x": [[{}]]}] * 2, "toolbox"
    )
    execute(migrated_dsn, "INSERT INTO toolbox (id, expires_at) VALUES (gen_random_uuid(), 'infinity')")
    column, value = STRANGE[key]
    stranger = "0190a000-0000-7000-8000-000000000001"
    execute(migrated_dsn, f"INSERT INTO toolbox (id, {column}) VALUES ('{stranger}', {value})")
    findings = memorizz("doctor", "--json", "--dsn", migrated_dsn).json["findings"]
    [finding] = [each for each in findings if each["subject"] == "toolbox"]
    assert f"({stranger})" in finding["text"]
    assert finding["level"] == "warning"
    assert memorizz("stats", "--dsn", migrated_dsn).code == 0


LOST = {
    "trigger": ("DROP TRIGGER memorizz_deleted_history ON toolbox", "a trigger that keeps it is gone or disabled"),
    "disabled": ("ALTER TABLE toolbox DISABLE TRIGGER ALL", "a trigger that keeps it is gone or disabled"),
    "table": ("DROP TABLE memorizz_toolbox_history", "its table is gone"),
}


@pytest.mark.parametrize("lost", LOST)
def test_a_history_that_is_not_kept_any_more(
    memorizz: Callable[..., Any], migrated_dsn: str, provider: PostgreSQLProvider, lost: str
) -> None:
    """A store whose changes are to be kept, and are not, is a danger; begun again, nothing is said."""

    def findings() -> list[dict[str, Any]]:
        ran = memorizz("doctor", "--json", "--dsn", migrated_dsn)
        return [each for each in ran.json["findings"] if each["subject"] == "toolbox"]

    provider.keep_history("toolbox")
    assert findings() == []
    statement, text = LOST[lost]
    execute(migrated_dsn, statement)
    [finding] = findings()
    assert finding["level"] == "danger"
    assert text in finding["text"]
    if lost != "table":
        provider.drop_history("toolbox", yes=True)
        provider.keep_history("toolbox")
        assert findings() == []


@pytest.mark.parametrize("columns", [80, 120])
def test_the_page(memorizz: Callable[..., Any], migrated_dsn: str, columns: int) -> None:
    """The page fits the terminal and has what the JSON has."""
    page = memorizz("doctor", "--dsn", migrated_dsn, columns=columns).stdout
    assert all(len(line) <= columns for line in page.splitlines())
    for word in ("connected to", "server", "schema", "rights", "connections", "settings", "Stores", "Findings"):
        assert word in page
    for store in ("personas", "conversation_memory", "agents"):
        assert store in page
    assert "vectors of 4 dimensions" in " ".join(page.split())


def test_a_healthy_database_has_no_findings(
    memorizz: Callable[..., Any], migrated_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing is wrong it says so, and the exit code is 0."""
    monkeypatch.setattr(
        "memorizz.memory_provider.postgresql.maintenance._maintenance_sync.diagnose", lambda facts, config: []
    )
    shown = memorizz("doctor", "--dsn", migrated_dsn)
    assert shown.code == 0
    assert "Nothing endangers it" in shown.stdout


# --- states of the database ---------------------------------------------------------------------------------------


def test_a_database_without_tables(doctor: Callable[..., dict[str, Any]], dsn: str) -> None:
    """No tables and no extension yet is no danger where this user can make them; nothing is made by looking."""
    for _ in range(2):
        found = doctor(dsn)
        assert found["stores"] == []
        assert found["findings"]["schema"]["level"] == "note"
        assert found["findings"]["pgvector"]["level"] == "note"
        assert "memorizz migrate" in found["findings"]["schema"]["advice"]


def test_a_database_without_the_extension_and_without_the_right(
    doctor: Callable[..., dict[str, Any]], dsn: str
) -> None:
    """A user who may make neither the extension nor tables is told what to run, and as whom."""
    found = doctor(with_options(dsn, role="pg_monitor"))
    assert found["findings"]["pgvector"]["level"] == "danger"
    assert "as a superuser" in found["findings"]["pgvector"]["advice"]
    assert found["findings"]["rights"]["level"] == "danger"
    assert "GRANT CREATE, USAGE ON SCHEMA public TO pg_monitor" in found["findings"]["rights"]["advice"]


def test_a_user_who_may_not_read(doctor: Callable[..., dict[str, Any]], migrated_dsn: str) -> None:
    """Without the right to read, the stores are listed, their rows unknown."""
    found = doctor(with_options(migrated_dsn, role="pg_monitor"))
    assert found["rights"]["read"] is False
    assert found["findings"]["rights"]["level"] == "danger"
    assert {store["rows"] for store in found["stores"]} == {None}


def test_tables_of_others_are_none_of_its_business(doctor: Callable[..., dict[str, Any]], migrated_dsn: str) -> None:
    """What this user may not do with another program's table in the schema says nothing of the memories."""
    execute(
        migrated_dsn,
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO pg_monitor; CREATE TABLE foreigners ()",
    )
    rights = doctor(with_options(migrated_dsn, role="pg_monitor"))["rights"]
    assert (rights["read"], rights["write"]) == (True, True)


def test_a_user_who_may_not_write_parts(doctor: Callable[..., dict[str, Any]], migrated_dsn: str) -> None:
    """Whoever writes a long text writes its pieces too, into another table."""
    execute(
        migrated_dsn,
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO pg_monitor; "
        "REVOKE DELETE ON memorizz_toolbox_parts FROM pg_monitor",
    )
    found = doctor(with_options(migrated_dsn, role="pg_monitor"))
    assert (found["rights"]["read"], found["rights"]["write"]) == (True, False)
    assert "not write all of them" in found["findings"]["rights"]["text"]


def test_a_user_who_only_reads(
    doctor: Callable[..., dict[str, Any]], memorizz: Callable[..., Any], migrated_dsn: str
) -> None:
    """A reader's right is enough to look; that nothing can be written is a warning."""
    dsn = with_options(migrated_dsn, role="pg_read_all_data")
    found = doctor(dsn)
    assert (found["rights"]["read"], found["rights"]["write"]) == (True, False)
    assert found["findings"]["rights"]["level"] == "warning"
    assert "not: write" in memorizz("doctor", "--dsn", dsn).stdout


def test_an_unreachable_server(doctor: Callable[..., dict[str, Any]]) -> None:
    """The report has the same keys; the only finding is the error."""
    found = doctor("host=localhost port=1 connect_timeout=2")
    assert found["server"] is None
    assert list(found["findings"]) == ["connection"]
    assert "Failed to connect to PostgreSQL" in found["findings"]["connection"]["text"]


def test_a_missing_database_says_how_to_make_it(doctor: Callable[..., dict[str, Any]], dsn: str) -> None:
    """The command that makes the database is in the message."""
    found = doctor(make_conninfo(dsn, dbname="nowhere"))
    assert "createdb nowhere" in found["findings"]["connection"]["text"]


def test_a_schema_of_a_newer_version(doctor: Callable[..., dict[str, Any]], migrated_dsn: str) -> None:
    """A schema that this version does not know is a danger."""
    execute(migrated_dsn, "INSERT INTO memorizz_migrations (version, name) VALUES (99, 'later')")
    found = doctor(migrated_dsn)
    assert found["findings"]["schema"]["level"] == "danger"
    assert "version 99" in found["findings"]["schema"]["text"]


def test_a_schema_with_a_pending_migration(
    doctor: Callable[..., dict[str, Any]], migrated_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration that is pending is named, with the command that applies it."""
    known = [*migrations.migrations(), migrations.Migration(2, "later", "")]
    monkeypatch.setattr(migrations, "migrations", lambda: known)
    found = doctor(migrated_dsn)
    assert found["migrations"]["pending"] == ["2 later"]
    assert "memorizz migrate" in found["findings"]["schema"]["advice"]


def test_dropped_tables(doctor: Callable[..., dict[str, Any]], migrated_dsn: str) -> None:
    """A table that is gone is a danger, and the others are still reported."""
    execute(migrated_dsn, "DROP TABLE toolbox, conversation_memory")
    found = doctor(migrated_dsn)
    assert len(found["stores"]) == 5
    assert "the tables of toolbox, conversation_memory are not there" in found["findings"]["tables"]["text"]


def test_a_dropped_extension(doctor: Callable[..., dict[str, Any]], migrated_dsn: str) -> None:
    """Where the extension was dropped with all vectors, it says so and survives it."""
    execute(migrated_dsn, "DROP EXTENSION vector CASCADE")
    finding = doctor(migrated_dsn)["findings"]["tables"]
    assert finding["level"] == "danger"
    assert 'the extension "vector" was dropped' in finding["text"]


def advised(memorizz: Callable[..., Any], finding: dict[str, Any], dsn: str) -> Any:
    """Do what a finding advises."""
    program, *words = shlex.split(finding["advice"].strip("`"))
    assert program == "memorizz"
    return memorizz(*words, "--dsn", dsn)


def test_an_invalid_index(
    doctor: Callable[..., dict[str, Any]], memorizz: Callable[..., Any], migrated_dsn: str
) -> None:
    """An index that an interrupted build left behind is named, and the advice mends it."""
    execute(migrated_dsn, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'toolbox_embedding_idx'::regclass")
    finding = doctor(migrated_dsn)["findings"]["toolbox_embedding_idx"]
    assert finding["level"] == "warning"
    assert advised(memorizz, finding, migrated_dsn).code == 0
    assert "toolbox_embedding_idx" not in doctor(migrated_dsn)["findings"]


@pytest.mark.parametrize("index", ["toolbox_embedding_idx", "toolbox_words_idx", "toolbox_name_idx"])
def test_a_missing_index(
    doctor: Callable[..., dict[str, Any]], memorizz: Callable[..., Any], migrated_dsn: str, index: str
) -> None:
    """An index that was dropped is named, and the advice makes it again."""
    execute(migrated_dsn, f"DROP INDEX {index}")
    finding = doctor(migrated_dsn)["findings"][index]
    assert finding["level"] == "warning"
    assert advised(memorizz, finding, migrated_dsn).code == 0
    assert index not in doctor(migrated_dsn)["findings"]


@pytest.mark.parametrize(
    ("dimensions", "method", "text"),
    [(2001, "halfvec", "half precision"), (4001, None, "can have no index")],
)
def test_long_vectors(
    doctor: Callable[..., dict[str, Any]], dsn: str, dimensions: int, method: str | None, text: str
) -> None:
    """Vectors beyond pgvector's limits are explained, and no index is said to be missing."""
    PostgreSQLProvider(PostgreSQLConfig(dsn=dsn, embedding_dimensions=dimensions)).close()
    found = doctor(dsn)
    assert text in found["findings"]["dimensions"]["text"]
    methods = {index["method"] for index in found["indexes"]} - {"brin", "btree", "gin"}
    assert methods == ({method} if method else set())
    assert not any("index" in subject for subject in found["findings"])


def test_a_large_store_is_estimated(
    doctor: Callable[..., dict[str, Any]],
    memorizz: Callable[..., Any],
    migrated_dsn: str,
    provider: PostgreSQLProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A table too large to be counted is reported by the server's own estimate."""
    provider.store_many([{"name": f"{n}", "embedding": [1, n, 0, 0]} for n in range(50)], "toolbox")
    execute(migrated_dsn, "ANALYZE")
    monkeypatch.setattr(_measuring, "_COUNTED_BYTES", -1)
    toolbox = next(store for store in doctor(migrated_dsn)["stores"] if store["name"] == "toolbox")
    assert (toolbox["rows"], toolbox["with_embedding"], toolbox["estimated"]) == (50, 50, True)
    assert "~50" in memorizz("doctor", "--dsn", migrated_dsn).stdout


# --- settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value", "subject", "level"),
    [
        ("synchronous_commit", "off", "synchronous_commit", "warning"),
        ("work_mem", "64kB", "work_mem", "warning"),
        ("hnsw__ef_search", "10", "hnsw.ef_search", "warning"),
        ("default_transaction_read_only", "on", "read-only", "warning"),
    ],
)
def test_a_setting(
    doctor: Callable[..., dict[str, Any]], migrated_dsn: str, setting: str, value: str, subject: str, level: str
) -> None:
    """A setting that slows or endangers is named, with what to do about it."""
    finding = doctor(with_options(migrated_dsn, **{setting: value}))["findings"][subject]
    assert finding["level"] == level
    assert finding["advice"]


@pytest.fixture
def facts(config: PostgreSQLConfig) -> Examination:
    """The facts of a fresh database, all of whose settings are good."""
    with Maintenance(config) as maintenance:
        found, _ = maintenance.examine()
    good = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "autovacuum": "on",
            "data_checksums": "on", "jit": "off"}  # fmt: skip
    server = replace(found.server, superuser=False, connections=1, connections_allowed=97)
    return replace(found, settings=good, server=server)


REMOTE = PostgreSQLConfig("db.example.com")
LOCAL = PostgreSQLConfig("localhost")


def levels(facts: Examination, config: PostgreSQLConfig = LOCAL) -> dict[str, str]:
    return {finding.subject: finding.level.value for finding in diagnose(facts, config)}


def test_good_facts_have_no_findings(facts: Examination) -> None:
    """What is as it should be is not commented on."""
    assert levels(facts) == {}


@pytest.mark.parametrize(
    ("setting", "level"),
    [
        ("fsync", "danger"),
        ("full_page_writes", "danger"),
        ("synchronous_commit", "warning"),
        ("autovacuum", "warning"),
        ("data_checksums", "note"),
    ],
)
def test_what_protects_the_data_is_off(facts: Examination, setting: str, level: str) -> None:
    """What a crash could destroy is a danger, what it could lose is a warning."""
    assert levels(replace(facts, settings={**facts.settings, setting: "off"})) == {setting: level}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"standby": True}, {"standby": "warning"}),
        ({"pooled": True}, {"pooler": "note"}),
        ({"superuser": True}, {"superuser": "note"}),
        ({"connections": 95}, {"connections": "warning"}),
        ({"vector_available": "99.0"}, {"pgvector": "note"}),
    ],
)
def test_the_server(facts: Examination, change: dict[str, Any], expected: dict[str, str]) -> None:
    """Each fact of the server that matters has its own finding."""
    assert levels(replace(facts, server=replace(facts.server, **change))) == expected


def test_an_unencrypted_connection(facts: Examination) -> None:
    """Memories that cross a network in the clear are a warning; on this machine they are not."""
    assert levels(facts, REMOTE) == {"encryption": "warning"}
    assert levels(replace(facts, server=replace(facts.server, encrypted=True)), REMOTE) == {}
    assert levels(facts, PostgreSQLConfig("/run/postgresql")) == {}
    assert levels(facts, PostgreSQLConfig.embedded()) == {}


def test_old_versions(facts: Examination) -> None:
    """Versions that this library does not run on are a danger, and so is an encoding that cannot hold most texts."""
    assert levels(replace(facts, database=replace(facts.database, server_version=140_000)))["version"] == "danger"
    assert levels(replace(facts, database=replace(facts.database, vector_version="0.7.4")))["version"] == "danger"
    assert levels(replace(facts, database=replace(facts.database, encoding="SQL_ASCII")))["version"] == "danger"


def test_a_server_without_pgvector(facts: Examination) -> None:
    """Where the server has no pgvector at all, it says what to install."""
    without = replace(
        facts,
        database=replace(facts.database, vector_version=None),
        server=replace(facts.server, vector_available=None),
    )
    found = diagnose(without, LOCAL)
    assert found[0].subject == "pgvector"
    assert f"postgresql-{facts.database.server_version // 10_000}-pgvector" in found[0].advice


def test_indexes_larger_than_memory(facts: Examination) -> None:
    """Vector indexes that do not fit are measured against what they should fit in."""
    grown = [replace(index, bytes=2**30) if index.method == "hnsw" else index for index in facts.indexes]
    found = levels(replace(facts, indexes=grown))
    assert found == {"maintenance_work_mem": "warning", "shared_buffers": "warning"}
    sizes = {"maintenance_work_mem": 2**31, "shared_buffers": 2**34, "work_mem": 2**22}
    assert levels(replace(facts, indexes=grown, sizes=sizes)) == {}


def test_the_command_for_an_index_names_the_schema(facts: Examination) -> None:
    """Whoever looked at another schema than the connection's own is told to build there."""
    bare = replace(facts, missing_indexes={"toolbox_words_idx": "toolbox"})
    elsewhere = PostgreSQLConfig("localhost", schema="my memories")
    assert diagnose(bare, elsewhere)[0].advice == "`memorizz index build --store toolbox --schema 'my memories'`"
    others = [index for index in facts.indexes if index.method != "hnsw"]
    assert diagnose(replace(bare, indexes=others), LOCAL)[0].advice.endswith("--kind none`")


def test_many_vectors(facts: Examination) -> None:
    """What a small store does not feel is said of a large one."""
    large = replace(facts, stores=[replace(facts.stores[0], rows=50_000, with_embedding=50_000), *facts.stores[1:]])
    assert levels(large) == {}
    assert levels(replace(large, settings={**facts.settings, "jit": "on"})) == {"jit": "note"}
    bare = [index for index in facts.indexes if index.method != "hnsw"]
    assert levels(replace(large, indexes=bare)) == {"index": "warning"}
    assert levels(replace(facts, indexes=bare)) == {}


def test_dead_rows(facts: Examination) -> None:
    """Dead rows that autovacuum does not get rid of are named with the store, and what takes them away."""
    dead = replace(facts, stores=[replace(facts.stores[0], dead_rows=100_000), *facts.stores[1:]])
    name = facts.stores[0].name
    assert diagnose(dead, LOCAL)[0].text == "100,000 dead rows wait for a vacuum"
    assert diagnose(dead, LOCAL)[0].advice == f"`memorizz reclaim --store {name}`"


GERMAN = (
    "Ada wohnt seit dem Sommer in einem alten Haus am Fluss und geht jeden Morgen mit ihrem Hund durch den Wald. "
    "Sie hat gesagt, dass sie nicht mehr in der Stadt leben will, weil es dort zu laut ist und sie nicht schlafen kann."
)
ENGLISH = (
    "Since the summer Ada has lived in an old house by the river, and every morning she walks her dog in the woods. "
    "She said that she does not want to live in the city any more, because it is too loud there for her to sleep."
)


@pytest.mark.parametrize(
    ("text", "language", "likely"),
    [
        (GERMAN, "english", "german"),
        (ENGLISH, "german", "english"),
        (GERMAN, "german", None),
        (ENGLISH, "english", None),
        (GERMAN, "simple", None),
        # About as much of the one as of the other.
        (f"{GERMAN} {ENGLISH}", "german", None),
    ],
    ids=["german in english", "english in german", "german", "english", "in none", "both"],
)
def test_texts_in_another_language(
    doctor: Callable[..., Any], dsn: str, text: str, language: str, likely: str | None
) -> None:
    """What the texts look like and how to change to it is said where it is clear; `simple` was chosen on purpose."""
    config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=4, text_search_config=language)
    with PostgreSQLProvider(config) as provider:
        provider.store({"content": text}, "toolbox")
        assert "language" not in doctor(dsn)["findings"]
        provider.store_many([{"content": text} for _ in range(9)], "toolbox")
    finding = doctor(dsn)["findings"].get("language")
    assert (finding is None) == (likely is None)
    if finding is not None:
        assert f"look {likely}" in finding["text"]
        assert f"memorizz language {likely}" in finding["advice"]


def test_a_probe(memorizz: Callable[..., Any], migrated_dsn: str, dsn: str) -> None:
    """`--health` says in a line whether calls can be made, and with the exit code; what is wrong, and nothing else."""
    well = memorizz("doctor", "--health", "--dsn", migrated_dsn)
    assert (well.code, well.stdout.split(",")[0].startswith("ok: PostgreSQL ")) == (0, True)
    found = memorizz("doctor", "--health", "--json", "--dsn", migrated_dsn).json
    assert (found["ok"], found["error"], found["pending"]) == (True, None, 0)
    for wrong, error in ((dsn, "SchemaError"), ("host=localhost port=1 password=xyzzy", "ConnectionFailed")):
        ran = memorizz("doctor", "--health", "--dsn", wrong)
        assert (ran.code, ran.stdout.partition(":")[0]) == (1, error)
        assert "xyzzy" not in ran.stdout
    execute(migrated_dsn, "DELETE FROM memorizz_migrations")
    assert memorizz("doctor", "--health", "--json", "--dsn", migrated_dsn).json["pending"] > 0
