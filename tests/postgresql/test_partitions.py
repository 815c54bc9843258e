"""A store in partitions on the server: what a call touches of it, and what maintenance makes of all of them."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from threading import Barrier
from typing import Any

import numpy as np
import psycopg
import pytest
from models import Model
from psycopg import sql

from apis import reembedding
from memorizz.errors import ConfigurationError, MemorizzError
from memorizz.memory_provider.options import Call
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql._steps import Batch, Query
from memorizz.memory_provider.postgresql.driver import _sync
from memorizz.memory_provider.postgresql.maintenance import Maintenance, _making
from memorizz.memory_provider.postgresql.rows import Floats, Vector
from memorizz.memory_provider.stores import DEFAULT_EF_CONSTRUCTION, DEFAULT_M, StoreSpec
from memorizz.moving import export, load

NOTES = StoreSpec("notes", dimensions=128, partitions=4)
PAGES = StoreSpec("pages", dimensions=128, partitions=4, fields=("title", "text"))
VECTOR = [1.0] + [0.5] * 127
TENANTS = [f"tenant{n}" for n in range(8)]


@pytest.fixture(params=[18, 16], ids=["PostgreSQL 18", "PostgreSQL 16"])
def pg_version(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture
def database(migrated_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def notes(provider: PostgreSQLProvider) -> PostgreSQLProvider:
    """A provider with a store in four partitions, in which eight tenants have a few documents each."""
    provider.create_store(NOTES)
    for tenant in TENANTS:
        provider.tenant(tenant).store_many(documents(20), "notes")
    return provider


def documents(count: int) -> list[dict[str, Any]]:
    return [
        {"id": f"d{n}", "content": f"tea {n}", "memory_id": "m", "n": n, "embedding": [1.0, n] + [0.5] * 126}
        for n in range(count)
    ]


def tables(database: psycopg.Connection[Any], store: str) -> set[str]:
    found = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'I') AND relname ~ %s"
    return {name for (name,) in database.execute(found, [f"^(memorizz_)?{store}(_|$)"])}


# --- what a call touches --------------------------------------------------------------------------------------------


def calls(view: Any) -> Iterator[Any]:
    """Make calls of every kind, on documents of one vector and of several, and on some of a long text."""
    for store in ("notes", "pages"):
        embedded = VECTOR if store == "notes" else [{"path": "title", "embedding": VECTOR}]
        yield view.store({"id": "a", "title": "tea", "content": "tea", "embedding": embedded}, store)
        yield view.store_many([{"id": f"d{n}", "memory_id": "m", "content": "tea", "k": n} for n in range(30)], store)
        for query in ({"embedding": VECTOR}, {"$text": {"$search": "tea"}}, {"embedding": VECTOR, "memory_id": "m"}):
            for exact in (False, True):
                yield view.retrieve_by_query(query, store, exact=exact, include_embedding=True)
        yield view.retrieve_by_query({"embedding": VECTOR, "$text": {"$search": "tea"}}, store, touch=True)
        yield view.retrieve_by_id("a", store, include_embedding=True)
        yield view.retrieve_by_name("tea", store)
        yield view.update_by_id("a", {"content": "milk", "title": "milk"}, store)
        yield view.update(store, {"k": {"$gt": 3}}, {"n": 1})
        yield view.store({"content": "cocoa"}, store, supersedes="a")
        yield (
            list(view.iterate(store, batch_size=7)),
            view.list_all(store),
            view.count(store),
            view.distinct(store, "k"),
        )
        yield view.run_many([Call("delete_by_id", "d1", store), Call("count", store, {"embedding": {"$exists": True}})])
        yield view.delete(store, {"k": 2}), view.delete_by_name("tea", store), view.purge_expired(store)
        if store == "notes":
            yield view.duplicates(store, similarity=0.9)
        yield view.retrieve_memory_components_by_query(None, VECTOR, "m", store)
        yield view.delete_all(store)
    yield view.forget("m")


def wide(plan: Any) -> list[set[str]]:
    """Return the partitions of each table of which a plan has several; what is removed as it starts it has not."""
    found: dict[str, set[str]] = {}
    waiting = [plan]
    while waiting:
        node = waiting.pop()
        name = node.get("Relation Name", "")
        if name.rstrip("0123456789") != name:
            found.setdefault(name.rstrip("0123456789"), set()).add(name)
        waiting += node.get("Plans", [])
    return [names for names in found.values() if len(names) > 1]


def planned(database: psycopg.Connection[Any], query: Query) -> Any:
    """Return the plan of a statement that is prepared, as it starts for its values."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)[sbt]", query.sql.decode())))
    numbered = re.sub(r"%\((\w+)\)[sbt]", lambda each: f"${names.index(each[1]) + 1}", query.sql.decode())
    database.execute(sql.SQL("PREPARE asked AS {}").format(sql.SQL(numbered.replace("%%", "%"))))  # pyright: ignore
    values = sql.SQL(", ").join(sql.Literal(literal(query.parameters[name])) for name in names)
    execute = sql.SQL("EXECUTE asked({})").format(values) if names else sql.SQL("EXECUTE asked")
    [(plan,)] = database.execute(sql.SQL("EXPLAIN (FORMAT JSON) {}").format(execute)).fetchall()
    database.execute("DEALLOCATE asked")
    return plan[0]["Plan"]


def literal(value: Any) -> Any:
    """Return a value as it can be written down: vectors are sent in their binary form."""
    if isinstance(value, Vector):
        return str(np.frombuffer(value[4:], ">f4").tolist())
    if isinstance(value, Floats):
        return np.frombuffer(value[20:], ">f4")[1::2].tolist()
    return value


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
def test_a_call_of_one_tenant_touches_one_partition(
    config: PostgreSQLConfig,
    database: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
) -> None:
    """Of documents and of their parts, in every statement: planned for its values, or once for all of them."""
    sent: list[Query] = []
    perform = _sync.perform

    def recording(connection: Any, step: Any) -> Any:
        sent.extend(step.queries if isinstance(step, Batch) else [step] if isinstance(step, Query) else [])
        return perform(connection, step)

    with PostgreSQLProvider(config) as provider:
        provider.create_store(NOTES)
        provider.create_store(PAGES)
        # Then every search looks for pieces too.
        database.execute("UPDATE memorizz_stores SET pieces = true; UPDATE memorizz_settings SET version = version + 1")
        monkeypatch.setattr("memorizz.memory_provider.postgresql.provider.perform", recording)
        assert len(list(calls(provider.tenant("acme")))) == 40
        monkeypatch.undo()
    asked, found = 0, list[str]()
    for query in {query.sql: query for query in sent if b'"notes"' in query.sql or b"pages" in query.sql}.values():
        if query.sql.startswith((b"LOCK", b"EXPLAIN")) or b"memorizz_stores" in query.sql:
            continue
        if query.custom_plan and mode == "force_generic_plan":
            # It is never prepared.
            continue
        asked += 1
        with database.transaction(force_rollback=True):
            # A search makes these settings.
            database.execute(f"SET LOCAL plan_cache_mode = {mode}; SET LOCAL enable_sort = off")
            plan = planned(database, query)
        found += [f"{sorted(names)}: {query.sql.decode()}" for names in wide(plan)]
    assert asked > 30
    assert found == []


def test_a_search_locks_one_partition(notes: PostgreSQLProvider, database: psycopg.Connection[Any]) -> None:
    """Planned for its tenant, it has neither the other partitions nor their indexes."""
    locked = "SELECT DISTINCT relation::regclass::text FROM pg_locks WHERE relation::regclass::text ~ 'notes_p[0-9]'"
    with notes.tenant("tenant1").transaction() as together:
        assert len(together.retrieve_by_query({"embedding": VECTOR, "$text": {"$search": "tea"}}, "notes", 10)) == 10
        names = [name for (name,) in database.execute(locked)]
    assert len({name.removeprefix("memorizz_notes_p")[0] for name in names}) == 1


# --- made and dropped ------------------------------------------------------------------------------------------------

MAKES = """
import sys
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.stores import StoreSpec
with PostgreSQLProvider(PostgreSQLConfig(dsn=sys.argv[1], embedding_dimensions=None)) as provider:
    provider.create_store(StoreSpec("notes", dimensions=128, partitions=4))
    provider.tenant(sys.argv[2]).store({"embedding": [1.0] * 128}, "notes")
"""


def test_ten_processes_make_it_at_once(provider: PostgreSQLProvider, migrated_dsn: str) -> None:
    """It is made once, and each has stored its own in it."""
    command = [sys.executable, "-c", MAKES, migrated_dsn]
    running = [subprocess.Popen([*command, f"tenant{n}"], stderr=subprocess.PIPE) for n in range(10)]
    said = [each.communicate(timeout=120)[1] for each in running]
    assert [each.returncode for each in running] == [0] * 10, said
    assert provider.stores()[7:] == [NOTES]
    assert [provider.tenant(f"tenant{n}").count("notes") for n in range(10)] == [1] * 10


def test_nothing_of_it_is_left(notes: PostgreSQLProvider, database: psycopg.Connection[Any]) -> None:
    """What is dropped is gone with all partitions, indexes and functions, and can be made again in another number."""
    notes.keep_history("notes")
    assert len(tables(database, "notes")) > 20
    notes.drop_store("notes", yes=True)
    assert tables(database, "notes") == set()
    left = "SELECT count(*) FROM pg_proc WHERE proname ~ 'notes'"
    assert database.execute(left).fetchone() == (0,)
    notes.create_store(StoreSpec("notes", dimensions=128, partitions=2))
    assert notes.tenant("tenant1").count("notes") == 0


def test_a_file_keeps_it(notes: PostgreSQLProvider, dsn: str) -> None:
    """Exported and loaded, the store is in as many partitions, with every document of the view."""
    file = io.BytesIO()
    export(notes.tenant("tenant3"), file)
    file.seek(0)
    with PostgreSQLProvider(PostgreSQLConfig(dsn=dsn, embedding_dimensions=4)) as other:
        load(file, other.tenant("tenant3"))
        assert other.stores()[7:] == [NOTES]
        assert other.tenant("tenant3").count("notes") == 20


# --- indexes ---------------------------------------------------------------------------------------------------------


def vector_index(maintenance: Maintenance) -> Any:
    [index] = [each for each in maintenance.measure()[1] if each.store == "notes" and "_embedding_" in each.name]
    return index


def test_indexes_are_built_rebuilt_and_dropped(
    notes: PostgreSQLProvider, config: PostgreSQLConfig, database: psycopg.Connection[Any]
) -> None:
    """Each partition gets its own, beside readers and writers; together they are one, which searches use."""
    query = {"embedding": VECTOR}
    with Maintenance(config) as maintenance:
        index = vector_index(maintenance)
        assert (index.valid, index.partitioned) == (True, True)
        assert (index.m, index.ef_construction) == (DEFAULT_M, DEFAULT_EF_CONSTRUCTION)
        [first, *_] = list(maintenance.make(maintenance.plan_rebuild(store="notes", m=8)))
        assert (first.job.action, vector_index(maintenance).m) == ("replace", 8)
        [again] = list(maintenance.make(maintenance.plan_rebuild(index.name)))
        assert (again.job.action, again.bytes) == ("reindex", vector_index(maintenance).bytes)
        before = tables(database, "notes")
        maintenance.drop(maintenance.plan_drop(index.name))
        assert not [each for each in maintenance.measure()[1] if each.name == index.name]
        assert len(notes.tenant("tenant2").retrieve_by_query(query, "notes", 20)) == 20
        [job] = maintenance.plan_build("notes")
        assert job.rows == 160
        list(maintenance.make([job]))
        assert (vector_index(maintenance).m, vector_index(maintenance).valid) == (DEFAULT_M, True)
        assert tables(database, "notes") == before
        list(maintenance.make(maintenance.plan_build("notes", json_keys=True)))
        assert [each.valid for each in maintenance.measure()[1] if each.name == "notes_keys_idx"] == [True]
        assert maintenance.plan_build("notes") == []
    notes.tenant("tenant2").store({"id": "new", "embedding": VECTOR}, "notes")
    hits = notes.tenant("tenant2").retrieve_by_query(query, "notes", 3, explain="plan")
    assert hits[0]["id"] == "new"


def test_a_build_that_was_interrupted(
    notes: PostgreSQLProvider, config: PostgreSQLConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the third partition, it goes on with the third; given up, it leaves nothing behind."""
    made: list[int | None] = []
    make, clean = _making.make, _making.clean

    def failing(found: Any, job: Any, partition: int | None) -> Any:
        made.append(partition)
        if partition == 2 and made.count(2) < 3:
            raise MemorizzError("no more")
        return (yield from make(found, job, partition))

    def nothing(found: Any, job: Any) -> Any:
        yield from ()

    monkeypatch.setattr(_making, "make", failing)
    with Maintenance(config) as maintenance:
        index = vector_index(maintenance)
        maintenance.drop(maintenance.plan_drop(index.name))
        with pytest.raises(MemorizzError, match="no more"):
            list(maintenance.make(maintenance.plan_build("notes")))
        assert [each.name for each in maintenance.measure()[1] if each.left_over] == []
        # Nobody cleans up behind one that is killed.
        monkeypatch.setattr(_making, "clean", nothing)
        with pytest.raises(MemorizzError, match="no more"):
            list(maintenance.make(maintenance.plan_build("notes")))
        left = [each.name for each in maintenance.measure()[1] if each.left_over]
        assert left == [f"{index.name}_p0", f"{index.name}_p1"]
        findings = [each for each in maintenance.examine()[1] if each.subject in left]
        assert len(findings) == 2
        assert "`memorizz index build` goes on with it" in str(findings[0].advice)
        monkeypatch.setattr(_making, "clean", clean)
        list(maintenance.make(maintenance.plan_build("notes")))
        assert vector_index(maintenance).valid
        assert [each.name for each in maintenance.measure()[1] if each.left_over] == []


def test_an_index_that_somebody_builds_is_left_alone(
    notes: PostgreSQLProvider,
    config: PostgreSQLConfig,
    database: psycopg.Connection[Any],
    wait_for: Callable[..., Any],
) -> None:
    """While one program is at a partition, another one neither builds the index too nor takes away what is finished."""
    with Maintenance(config) as maintenance:
        name = vector_index(maintenance).name
        maintenance.drop(maintenance.plan_drop(name))

    def build() -> None:
        with Maintenance(config) as maintenance:
            list(maintenance.make(maintenance.plan_build("notes")))

    with psycopg.connect(config.conninfo) as writer, ThreadPoolExecutor(1) as aside, Maintenance(config) as maintenance:
        writer.execute("LOCK TABLE memorizz_notes_p1 IN ROW EXCLUSIVE MODE")
        building = aside.submit(build)
        begun = "SELECT FROM pg_stat_progress_create_index WHERE relid = 'memorizz_notes_p1'::regclass"
        wait_for(lambda: database.execute(begun).rowcount, "the build of the second partition")
        with pytest.raises(ConfigurationError, match="is being built by somebody else"):
            maintenance.plan_build("notes")
        assert maintenance.plan_drop() == []
        writer.rollback()
        building.result()
        assert vector_index(maintenance).valid


@pytest.mark.parametrize("load", ["call", "loading"])
def test_two_who_load_it_at_once(provider: PostgreSQLProvider, config: PostgreSQLConfig, load: str) -> None:
    """Each has stored its own, and the index is there once they are done."""
    provider.create_store(NOTES)
    barrier = Barrier(2)

    def run(tenant: str) -> None:
        with PostgreSQLProvider(config) as other:
            barrier.wait()
            with other.loading("notes") if load == "loading" else nullcontext():
                other.tenant(tenant).store_many(documents(2500), "notes")

    with ThreadPoolExecutor(2) as aside:
        for each in [aside.submit(run, tenant) for tenant in TENANTS[:2]]:
            each.result()
    assert [provider.tenant(tenant).count("notes") for tenant in TENANTS[:2]] == [2500, 2500]
    with Maintenance(config) as maintenance:
        assert vector_index(maintenance).valid
        assert [each.name for each in maintenance.measure()[1] if each.left_over] == []


def test_it_is_loaded_without_its_index(provider: PostgreSQLProvider, config: PostgreSQLConfig) -> None:
    """It is put off while the store is empty, and built partition by partition, which is told as one."""
    provider.create_store(NOTES)
    told: list[float] = []
    with provider.loading("notes", told.append):
        with Maintenance(config) as maintenance:
            assert not [each for each in maintenance.measure()[1] if "notes_embedding" in each.name]
        for tenant in TENANTS:
            provider.tenant(tenant).store_many(documents(20), "notes")
    with Maintenance(config) as maintenance:
        assert vector_index(maintenance).valid
    assert all(0 <= share <= 1 for share in told)
    assert len(provider.tenant("tenant1").retrieve_by_query({"embedding": VECTOR}, "notes", 10)) == 10


# --- the whole of it -------------------------------------------------------------------------------------------------


def test_what_is_measured_is_of_all_partitions(
    notes: PostgreSQLProvider, config: PostgreSQLConfig, database: psycopg.Connection[Any]
) -> None:
    """Rows, sizes, scans and dead rows are their sums, and the doctor has nothing to say of a sound one."""
    notes.tenant("tenant1").delete_all("notes")
    with Maintenance(config) as maintenance:
        [store] = [each for each in maintenance.measure()[0] if each.name == "notes"]
        assert (store.rows, store.with_embedding) == (140, 140)
        assert 1 / 4 <= store.largest < 1
        sizes = "SELECT sum(pg_table_size(oid)), sum(pg_indexes_size(oid)) FROM pg_class WHERE relname ~ %s"
        assert database.execute(sizes, ["^memorizz_notes_(p|parts)[0-9]$"]).fetchone() == (
            store.table_bytes,
            store.index_bytes,
        )
        assert vector_index(maintenance).bytes > 4 * 8192
        maintenance.analyze("notes")
        assert maintenance.glance()[0]["notes"] == 140
        assert set(maintenance.glance()[1]) == {*TENANTS} - {"tenant1"}
        examined, findings = maintenance.examine()
        assert examined.missing_indexes == {}
        assert [each for each in findings if "notes" in str(each)] == []
        assert {each.tenant for each in maintenance.tidy(dry_run=True)} == {*TENANTS} - {"tenant1"}


def test_the_words_of_another_language(notes: PostgreSQLProvider, config: PostgreSQLConfig) -> None:
    """Of every document, in all partitions."""
    with Maintenance(config) as maintenance:
        assert maintenance.change_language("german") == 0
    for tenant in TENANTS:
        notes.tenant(tenant).store({"id": "new", "content": "alte Häuser"}, "notes")
        assert len(notes.tenant(tenant).retrieve_by_query({"$text": {"$search": "Haus"}}, "notes")) == 1


def test_another_model(config: PostgreSQLConfig, pg_version: int) -> None:
    """Columns are added, filled, indexed and exchanged in every partition; a tenant finds its own by the new one."""
    old, new = Model("old", 4), Model("new", 6)
    spec = StoreSpec("notes", partitions=3)
    with PostgreSQLProvider(config, embedder=[old, new]) as provider, Maintenance(config) as maintenance:
        provider.create_store(spec)
        for tenant in TENANTS:
            provider.tenant(tenant).store_many([{"content": f"{tenant} {n}"} for n in range(5)], "notes")
        change = reembedding(maintenance, new, batch=8)
        change.begin()
        change.fill()
        list(maintenance.make(change.plan_indexes()))
        change.switch()
        for tenant in TENANTS:
            found = provider.tenant(tenant).list_all("notes", include_embedding=True)
            assert len(found) == 5
            assert all(new.made(each["embedding"], each["content"]) for each in found)
        [index] = [each for each in maintenance.measure()[1] if each.store == "notes" and each.name.endswith("g_2_idx")]
        assert (index.valid, index.partitioned, index.standby) == (True, True, False)
        hits = provider.tenant("tenant1").retrieve_by_query("tenant1 3", "notes")
        assert hits[0]["content"] == "tenant1 3"


def test_the_wall_stands_in_each_partition(
    notes: PostgreSQLProvider, config: PostgreSQLConfig, database: psycopg.Connection[Any]
) -> None:
    """The probe finds no way; and a right to a partition, granted by mistake, brings a tenant its own rows alone."""
    role = f"memorizz_parts_{database.info.backend_pid}"
    try:
        with Maintenance(config) as maintenance:
            list(maintenance.make(maintenance.plan_build("notes", json_keys=True)))
            maintenance.enable_tenants(role)
        notes.create_store(PAGES)
        application = config.replace(user=role)
        with Maintenance(application) as maintenance:
            probe = maintenance.probe_tenants()
            assert (probe.exempt, list(probe.reached)) == (None, [])
        with PostgreSQLProvider(application) as provider:
            view = provider.tenant("tenant1")
            view.update_by_id("d1", {"content": "cocoa", "kind": "rare"}, "notes")
            view.store({"title": "x", "embedding": [{"path": "title", "embedding": VECTOR}]}, "pages")
            assert len(view.retrieve_by_query({"embedding": VECTOR}, "pages")) == 1
            assert len(view.retrieve_by_query({"$text": {"$search": "cocoa"}}, "notes")) == 1
            assert len(view.retrieve_by_query({"kind": "rare"}, "notes")) == 1
            assert provider.tenant("tenant2").retrieve_by_query({"kind": "rare"}, "notes") == []
            assert [provider.tenant(tenant).count("notes") for tenant in TENANTS] == [20] * 8
        database.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(sql.Identifier(role)))
        with psycopg.connect(application.conninfo, autocommit=True) as connection:
            connection.execute("SET memorizz.tenant = 'tenant1'")
            asked = [f"SELECT DISTINCT tenant FROM memorizz_notes_p{n}" for n in range(4)]
            assert [row for each in asked for row in connection.execute(each)] == [("tenant1",)]
        with Maintenance(config) as maintenance:
            assert maintenance.disable_tenants() == role
        assert database.execute("SELECT count(*) FROM pg_policies").fetchone() == (0,)
    finally:
        database.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))


def test_long_texts(config: PostgreSQLConfig, database: psycopg.Connection[Any]) -> None:
    """The pieces of a long text stand in the partition of its document, and go when it gets another text."""

    class Short(Model):
        max_tokens = 20

    with PostgreSQLProvider(config, embedder=Short("short", 4)) as provider:
        provider.create_store(StoreSpec("notes", partitions=4))
        for tenant in TENANTS:
            provider.tenant(tenant).store({"id": "a", "content": "tea and milk. " * 100}, "notes")
        count = "SELECT count(*), count(DISTINCT tableoid) FROM memorizz_notes_parts"
        pieces, parts = database.execute(count).fetchone() or (0, 0)
        assert pieces > 8 * 5
        assert parts > 1
        assert len(provider.tenant("tenant1").retrieve_by_query("tea and milk.", "notes")) == 1
        provider.tenant("tenant1").update_by_id("a", {"content": "cocoa"}, "notes")
        provider.tenant("tenant2").delete_by_id("a", "notes")
        left = {tenant for (tenant,) in database.execute("SELECT DISTINCT tenant FROM memorizz_notes_parts")}
        assert left == {*TENANTS} - {"tenant1", "tenant2"}


def test_what_is_said_of_a_number_that_differs(notes: PostgreSQLProvider, open_api: Callable[..., Any]) -> None:
    """The store stays as it is."""
    with pytest.raises(ConfigurationError, match="partitions is 4, not 8"):
        notes.create_store(StoreSpec("notes", dimensions=128, partitions=8))
    assert notes.tenant("tenant1").count("notes") == 20
