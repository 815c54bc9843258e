"""Indexes that are built, built again and dropped while the stores are in use, and what is left when that fails."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import psycopg
import pytest

from memorizz.errors import ConfigurationError, ConnectionFailed, MemorizzError, OperationTimeout, ProviderClosed
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.driver import _async, _sync
from memorizz.memory_provider.postgresql.indexes import HNSW
from memorizz.memory_provider.postgresql.maintenance import (
    AsyncMaintenance,
    IndexFacts,
    Job,
    Made,
    Maintenance,
    Progress,
    _maintenance_async,
    _maintenance_sync,
    _watching_async,
    _watching_sync,
)

STORE = "toolbox"
WHOLE = f"{STORE}_embedding_idx"
PIECES = f"{STORE}_pieces_1_idx"


@pytest.fixture
def database(migrated_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection beside that of the maintenance."""
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def maintain(open_maintenance: Callable[..., Any], config: PostgreSQLConfig) -> Iterator[Any]:
    with open_maintenance(config) as maintenance:
        yield maintenance


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, float], None]:
    """Set how long is waited for something, on both APIs."""
    modules = (_sync, _async, _maintenance_sync, _maintenance_async, _watching_sync, _watching_async)

    def set_it(what: str, seconds: float) -> None:
        for module in modules:
            if hasattr(module, what):
                monkeypatch.setattr(module, what, seconds)

    return set_it


@pytest.fixture(autouse=True)
def _hurry(wait: Callable[[str, float], None]) -> None:
    """Nothing here is so large that it has to be waited for."""
    wait("_CLEAN_SECONDS", 0.2)
    wait("IN_USE_PAUSE", 0.01)
    wait("_POLL_SECONDS", 0.01)


def fill(provider: PostgreSQLProvider, rows: int = 40) -> None:
    """Store vectors in all directions."""
    provider.store_many(
        ({"memory_id": f"m{n % 5}", "embedding": [n % 7 - 3, n % 11 - 5, n % 13 - 6, n + 1]} for n in range(rows)),
        STORE,
    )


def definitions(database: psycopg.Connection[Any]) -> dict[str, str]:
    rows = database.execute("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'")
    return dict(rows.fetchall())


def facts(maintain: Any) -> dict[str, IndexFacts]:
    return {index.name: index for index, _ in maintain.indexes()}


def make(maintain: Any, jobs: list[Job], **options: Any) -> list[Made]:
    return list(maintain.make(jobs, **options))


@pytest.fixture
def somebody_writes(migrated_dsn: str) -> Callable[[], AbstractContextManager[int]]:
    """Leave a transaction open that has written to the store, for what runs CONCURRENTLY to wait for; give its pid."""

    @contextmanager
    def write() -> Iterator[int]:
        with psycopg.connect(migrated_dsn) as connection:
            connection.execute(f"UPDATE {STORE} SET role = 'nobody' WHERE false")
            yield connection.info.backend_pid

    return write


class Building(threading.Thread):
    """Jobs that are done on a thread, and the error that they end with."""

    def __init__(self, config: PostgreSQLConfig, store: str = STORE) -> None:
        super().__init__(daemon=True)
        self.maintain = Maintenance(config).__enter__()
        self.jobs = self.maintain.plan_build(store)
        self.made: list[Made] = []
        self.error: MemorizzError | None = None
        self.seen: list[Progress] = []
        self.start()

    def run(self) -> None:
        try:
            self.made = make(self.maintain, self.jobs, watch=lambda job, progress: self.seen.append(progress))
        except MemorizzError as error:
            self.error = error

    def process(self, database: psycopg.Connection[Any]) -> int | None:
        """The server's process, once it waits for somebody's transaction."""
        row = database.execute(
            "SELECT pid FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting%' AND datname = current_database()"
        ).fetchone()
        return row[0] if row else None

    def ended(self) -> Building:
        self.join(timeout=30)
        assert not self.is_alive()
        self.maintain.close()
        return self


# --- building -----------------------------------------------------------------------------------------------------


def test_what_is_built_later_is_what_is_made_with_the_tables(maintain: Any, database: psycopg.Connection[Any]) -> None:
    """Every index that was dropped is built again as it was; then nothing is missing."""
    before = definitions(database)
    assert maintain.plan_build() == []
    for name in before:
        if name.startswith((f"{STORE}_", "agents_")) and not name.endswith("_pkey"):
            database.execute(f"DROP INDEX {name}")
    made = make(maintain, maintain.plan_build())
    assert len(made) == 18
    assert all(each.bytes > 0 and each.job.action == "create" for each in made)
    assert definitions(database) == before
    assert maintain.plan_build() == []
    _, findings = maintain.examine()
    assert not any("index" in finding.text for finding in findings)


@pytest.mark.parametrize("kind", ["hnsw", "halfvec"])
def test_vector_indexes_for_a_schema_without(dsn: str, kind: Any) -> None:
    """A schema that was made without vector indexes gets them, and a provider that was open uses them."""
    config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=4, index="none")
    provider = PostgreSQLProvider(config)
    fill(provider)
    assert provider.retrieve_by_query({"embedding": [1, 0, 0, 0]}, STORE, explain=True).explanation["route"] == "exact"
    with Maintenance(config.replace(embedding_dimensions=None)) as maintain:
        assert {job.kind for job in maintain.plan_build(kind="none")} == set()
        made = make(maintain, maintain.plan_build(kind=kind, m=8))
        assert {each.job.store for each in made} == {each.value for each in MemoryType}
        built = facts(maintain)[WHOLE]
        assert (built.method, built.m, built.ef_construction, built.valid) == (kind, 8, 128, True)
    with provider:
        hits = provider.retrieve_by_query({"embedding": [1, 0, 0, 0]}, STORE, explain="plan")
    assert hits.explanation["route"] == "index"
    assert WHOLE in json.dumps(hits.explanation["plan"])


def test_a_build_outlives_every_timeout(
    config: PostgreSQLConfig,
    provider: PostgreSQLProvider,
    database: psycopg.Connection[Any],
    wait_for: Callable[..., Any],
    somebody_writes: Callable[[], Any],
) -> None:
    """Neither operation_timeout nor the role's own timeouts end a build that has to wait."""
    fill(provider)
    database.execute(f"DROP INDEX {WHOLE}")
    database.execute(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET lock_timeout = 100', current_database()); END $$"
    )
    database.execute(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET statement_timeout = 300', current_database()); END $$"
    )
    with somebody_writes():
        building = Building(config.replace(operation_timeout=0.3))
        wait_for(lambda: building.process(database), "the build waits")
        building.join(timeout=0.6)
        assert building.is_alive()
    assert building.ended().error is None
    assert [each.job.name for each in building.made] == [WHOLE]


def test_progress_says_who_is_in_the_way(
    config: PostgreSQLConfig,
    maintain: Any,
    provider: PostgreSQLProvider,
    database: psycopg.Connection[Any],
    wait_for: Callable[..., Any],
    somebody_writes: Callable[[], Any],
) -> None:
    """While another transaction holds a build up, its process is named; afterwards the build goes on."""
    fill(provider)
    database.execute(f"DROP INDEX {WHOLE}")
    with somebody_writes() as process:
        building = Building(config)
        waiting = wait_for(lambda: [each for each in building.seen if each.waits_for], "somebody is in the way")[0]
        assert waiting.phase == "waiting for writers before build"
        assert waiting.share == 0
        assert re.fullmatch(rf"process {process} \(idle in transaction, for \d+ s\)", waiting.waits_for or "")
        assert facts(maintain)[WHOLE].being_built
    assert building.ended().error is None


@pytest.mark.parametrize("error", [KeyError("mine"), ConnectionFailed("mine"), psycopg.OperationalError("mine")])
def test_the_error_of_a_watcher_is_raised(
    maintain: Any,
    provider: PostgreSQLProvider,
    database: psycopg.Connection[Any],
    somebody_writes: Callable[[], Any],
    error: Exception,
) -> None:
    """It ends what is yet to be done, and is not only printed by another thread; what was built by then stays."""
    fill(provider)
    database.execute(f"DROP INDEX {WHOLE}, toolbox_words_idx")
    with ExitStack() as writer:
        writer.enter_context(somebody_writes())

        def stop(job: Job, progress: Progress) -> None:
            writer.close()
            raise error

        with pytest.raises(type(error), match="mine"):
            make(maintain, sorted(maintain.plan_build(STORE), key=lambda job: job.name), watch=stop)
    assert facts(maintain)[WHOLE].valid
    assert [each.name for each in maintain.plan_build(STORE)] == ["toolbox_words_idx"]


def test_memory_is_set_for_the_build_only(maintain: Any, database: psycopg.Connection[Any]) -> None:
    """maintenance_work_mem is as large as asked for while it is built, and what it was before afterwards."""
    database.execute(f"DROP INDEX {WHOLE}")
    before = maintain.maintenance_work_mem()
    during = [maintain.maintenance_work_mem() for _ in maintain.make(maintain.plan_build(), memory="77MB")]
    assert during == [77 * 2**20]
    assert maintain.maintenance_work_mem() == before
    with pytest.raises(MemorizzError, match="a lot"):
        make(maintain, [], memory="a lot")


def test_what_the_server_says_of_a_build_is_heard(config: PostgreSQLConfig, dsn: str) -> None:
    """A graph that outgrows its memory is said, with the server's hint."""
    config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=512, index="none")
    with PostgreSQLProvider(config) as provider:
        provider.store_many(
            ({"embedding": [float((n * d) % 17 - 8) for d in range(1, 513)]} for n in range(600)), STORE
        )
    with Maintenance(config) as maintain:
        made, _ = make(maintain, maintain.plan_build(STORE, m=2, ef_construction=4), memory="1MB")  # and of pieces
    assert "no longer fits into maintenance_work_mem" in made.notices[0]


@pytest.mark.parametrize(
    ("dimensions", "m", "rows", "expected"),
    [(1536, 24, 100_000, 820e6), (384, 24, 100_000, 290e6), (128, 8, 8611, 9.6e6)],
)
def test_the_memory_that_a_graph_needs(dimensions: int, m: int, rows: int, expected: float) -> None:
    """The estimate is what was measured, with a reserve."""
    assert HNSW(m).memory("hnsw", dimensions, rows) == pytest.approx(expected, rel=0.03)
    assert HNSW(m).memory("halfvec", dimensions, rows) < HNSW(m).memory("hnsw", dimensions, rows)


# --- keys without a column ----------------------------------------------------------------------------------------


def test_the_index_on_keys(maintain: Any, provider: PostgreSQLProvider, database: psycopg.Connection[Any]) -> None:
    """It serves filters on keys without a column, and on metadata."""
    provider.store_many(({"own": n, "metadata": {"topic": n}} for n in range(2000)), STORE)
    (made,) = make(maintain, maintain.plan_build(STORE, json_keys=True))
    assert maintain.plan_build(STORE, json_keys=True) == []
    database.execute(f"ANALYZE {STORE}")
    for key in ("own", "metadata.topic"):
        hits = provider.retrieve_by_query({key: 7}, STORE, limit=5, explain="plan")
        assert len(hits) == 1
        assert made.job.name in json.dumps(hits.explanation["plan"])


# --- what goes wrong ----------------------------------------------------------------------------------------------


def cancel(database: psycopg.Connection[Any], pid: int) -> None:
    database.execute("SELECT pg_cancel_backend(%s)", [pid])


def terminate(database: psycopg.Connection[Any], pid: int) -> None:
    database.execute("SELECT pg_terminate_backend(%s)", [pid])


@pytest.mark.parametrize(
    ("stop", "error", "said"),
    [
        (cancel, OperationTimeout, "is left, invalid: `memorizz index drop --invalid`"),
        (terminate, ConnectionFailed, ""),
    ],
)
def test_a_build_that_is_ended(
    config: PostgreSQLConfig,
    provider: PostgreSQLProvider,
    database: psycopg.Connection[Any],
    wait_for: Callable[..., Any],
    stop: Callable[[psycopg.Connection[Any], int], None],
    error: type[Exception],
    said: str,
    somebody_writes: Callable[[], Any],
) -> None:
    """What is invalid then is named by doctor with the command that mends it; that command mends it."""
    fill(provider)
    database.execute(f"DROP INDEX {WHOLE}")
    with somebody_writes():
        building = Building(config)
        stop(database, wait_for(lambda: building.process(database), "the build waits"))
        building.ended()
    assert type(building.error) is error
    assert said in str(building.error)
    with Maintenance(config) as maintain:
        wait_for(lambda: not facts(maintain)[WHOLE].being_built, "the server has noticed")
        assert not facts(maintain)[WHOLE].valid
        finding = next(each for each in maintain.examine()[1] if each.subject == WHOLE)
        assert finding.advice == "`memorizz index build --store toolbox`"
        (job,) = maintain.plan_build(STORE)
        assert job.mends
        make(maintain, [job])
        assert facts(maintain)[WHOLE].valid


def test_a_build_that_is_cancelled_leaves_nothing(
    config: PostgreSQLConfig,
    provider: PostgreSQLProvider,
    database: psycopg.Connection[Any],
    wait_for: Callable[..., Any],
    wait: Callable[[str, float], None],
    somebody_writes: Callable[[], Any],
) -> None:
    """As soon as nobody is in the way any more, what was begun is removed; the stores are as they were."""
    wait("_CLEAN_SECONDS", 20)
    fill(provider)
    database.execute(f"DROP INDEX {WHOLE}")
    with somebody_writes():
        building = Building(config)
        cancel(database, wait_for(lambda: building.process(database), "the build waits"))
        wait_for(lambda: database.execute("SELECT FROM pg_stat_activity WHERE query ~ '^DROP INDEX CONC'").rowcount, "")
    assert type(building.ended().error) is OperationTimeout
    assert "left" not in str(building.error)
    assert WHOLE not in definitions(database)


def test_a_build_whose_task_is_cancelled_leaves_nothing(
    config: PostgreSQLConfig,
    provider: PostgreSQLProvider,
    database: psycopg.Connection[Any],
    wait_for: Callable[..., Any],
    wait: Callable[[str, float], None],
    somebody_writes: Callable[[], Any],
) -> None:
    """The server is told to stop, and what was begun is removed before the task ends."""
    wait("_CLEAN_SECONDS", 20)
    fill(provider)
    database.execute(f"DROP INDEX {WHOLE}")
    waiting = "SELECT FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting%'"
    cleaning = "SELECT FROM pg_stat_activity WHERE query ~ '^DROP INDEX CONC'"

    async def build(maintain: AsyncMaintenance) -> list[Made]:
        return [made async for made in maintain.make(await maintain.plan_build(STORE))]

    async def build_and_cancel() -> None:
        async with AsyncMaintenance(config) as maintain:
            with somebody_writes():
                building = asyncio.create_task(build(maintain))
                for state in (waiting, cleaning):
                    await asyncio.to_thread(wait_for, lambda state=state: database.execute(state).rowcount, state)
                    if state == waiting:
                        building.cancel()
            with pytest.raises(asyncio.CancelledError):
                await building
            assert [job.name for job in await maintain.plan_build(STORE)] == [WHOLE]

    asyncio.run(build_and_cancel())
    assert WHOLE not in definitions(database)


def test_maintenance_is_open_in_its_block(open_maintenance: Callable[..., Any], config: PostgreSQLConfig) -> None:
    """Before and after it there is no connection, and that is said."""
    maintain = open_maintenance(config)
    with pytest.raises(ProviderClosed, match="inside of its `with` block"):
        maintain.database()
    with maintain:
        assert maintain.database().has_migrations
    with pytest.raises(ProviderClosed, match="inside of its `with` block"):
        maintain.database()


def test_waiting_can_be_limited(
    maintain: Any,
    provider: PostgreSQLProvider,
    database: psycopg.Connection[Any],
    somebody_writes: Callable[[], Any],
) -> None:
    """With lock_seconds a build that is held up gives up."""
    fill(provider)
    database.execute(f"DROP INDEX {WHOLE}")
    with somebody_writes(), pytest.raises(OperationTimeout, match="a lock was not free in time"):
        make(maintain, maintain.plan_build(), lock_seconds=0.1)


def test_an_index_that_somebody_builds_is_left_alone(
    config: PostgreSQLConfig,
    maintain: Any,
    database: psycopg.Connection[Any],
    wait_for: Callable[..., Any],
    somebody_writes: Callable[[], Any],
) -> None:
    """What is invalid only because it is not finished is neither dropped nor built a second time."""
    database.execute(f"DROP INDEX {WHOLE}")
    with somebody_writes():
        building = Building(config)
        wait_for(lambda: building.process(database), "the build waits")
        assert maintain.plan_drop() == []
        for plan in (lambda: maintain.plan_drop(WHOLE), lambda: maintain.plan_build(), lambda: maintain.plan_rebuild()):
            with pytest.raises(ConfigurationError, match="is being built"):
                plan()
        finding = next(each for each in maintain.examine()[1] if each.subject == WHOLE)
        assert finding.level == "note"
    assert building.ended().error is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"store": "memories"}, "conversation_memory"),
        ({"kind": "ivfflat"}, "hnsw, halfvec, none"),
        ({"m": 1}, "hnsw_m=1"),
        ({"ef_construction": 2000}, "hnsw_ef_construction=2000"),
        ({"m": 40, "ef_construction": 40}, "whole number from 80"),
        ({"kind": "halfvec"}, "is there, hnsw with m=24"),
        ({"m": 16}, "memorizz index rebuild"),
    ],
)
def test_a_build_that_makes_no_sense(maintain: Any, options: dict[str, Any], said: str) -> None:
    """A wrong option says what is right; what is there already is not built in another way."""
    with pytest.raises(ConfigurationError, match=said):
        maintain.plan_build(**options)


@pytest.mark.parametrize(("dimensions", "kind", "possible"), [(2001, "hnsw", "halfvec"), (4001, "halfvec", "no index")])
def test_vectors_that_are_too_long(dsn: str, dimensions: int, kind: Any, possible: str) -> None:
    """Above pgvector's limits the kind that is possible is said, and taken where none is asked for."""
    config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=dimensions, index="none")
    PostgreSQLProvider(config).close()
    with Maintenance(config) as maintain:
        with pytest.raises(ConfigurationError, match=possible):
            maintain.plan_build(kind=kind)
        assert {job.kind for job in maintain.plan_build(STORE)} == ({possible} if possible == "halfvec" else set())


# --- building again -----------------------------------------------------------------------------------------------


def test_rebuilding_as_it_is(maintain: Any, provider: PostgreSQLProvider, database: psycopg.Connection[Any]) -> None:
    """The vector index is made again; any other index by its name."""
    fill(provider)
    before = definitions(database)
    made = make(maintain, maintain.plan_rebuild(store=STORE))
    assert [(each.job.action, each.job.rows) for each in made] == [("reindex", 40)]
    (made_one,) = make(maintain, maintain.plan_rebuild(f"{STORE}_words_idx"))
    assert (made_one.job.kind, made_one.job.memory) == ("gin", 0)
    assert definitions(database) == before


def test_rebuilding_with_other_parameters(
    maintain: Any, provider: PostgreSQLProvider, database: psycopg.Connection[Any]
) -> None:
    """The new index takes the old one's name and place; nothing else is left."""
    fill(provider)
    names = set(definitions(database))
    made = make(maintain, maintain.plan_rebuild(store=STORE, m=8))
    assert [(each.job.action, each.job.name) for each in made] == [("replace", WHOLE), ("replace", PIECES)]
    assert set(definitions(database)) == names
    index = facts(maintain)[WHOLE]
    assert (index.m, index.ef_construction, index.valid) == (8, 128, True)
    assert make(maintain, maintain.plan_rebuild(store="agents", m=24))[0].job.action == "reindex"


def test_switching_to_halfvec(maintain: Any, provider: PostgreSQLProvider, config: PostgreSQLConfig) -> None:
    """A provider that was open finds the same by the new index, as does one that opens afterwards."""
    fill(provider)
    query = {"embedding": [1, 2, 0, 3]}
    expected = [hit["id"] for hit in provider.retrieve_by_query(query, STORE, limit=10)]
    made = make(maintain, maintain.plan_rebuild(store=STORE, kind="halfvec"))
    assert [each.job.switches for each in made] == [True, True]
    with PostgreSQLProvider(config) as reopened:
        for each in (provider, reopened):
            hits = each.retrieve_by_query(query, STORE, limit=10, explain="plan")
            assert [hit["id"] for hit in hits] == expected
            assert WHOLE in json.dumps(hits.explanation["plan"])
    assert facts(maintain)["agents_embedding_idx"].method == "hnsw"


def test_a_store_in_use_is_waited_for(
    maintain: Any,
    migrated_dsn: str,
    provider: PostgreSQLProvider,
    database: psycopg.Connection[Any],
    wait: Callable[[str, float], None],
) -> None:
    """A replacement that finds no moment to take its place is kept, said, and not built a second time."""
    fill(provider)
    wait("IN_USE_SECONDS", 0)
    wait("_SWAP_LOCK_SECONDS", 0.05)
    jobs = maintain.plan_rebuild(store=STORE, m=8)
    with psycopg.connect(migrated_dsn) as reader:
        # It does not hold up the build, only the moment in which one takes the other's place.
        reader.execute(f"SELECT FROM {STORE}")
        with pytest.raises(OperationTimeout, match=f"{WHOLE}_new is finished and could not take its place"):
            make(maintain, jobs)
    built = oid(database, f"{WHOLE}_new")
    finding = next(each for each in maintain.examine()[1] if each.subject == f"{WHOLE}_new")
    assert "`memorizz index rebuild` goes on with it" in finding.advice
    make(maintain, jobs)
    assert oid(database, WHOLE) == built
    assert f"{WHOLE}_new" not in definitions(database)


def test_a_store_that_is_free_again_is_taken(
    maintain: Any, provider: PostgreSQLProvider, migrated_dsn: str, database: psycopg.Connection[Any],
    wait_for: Callable[..., Any], wait: Callable[[str, float], None],
) -> None:  # fmt: skip
    """A replacement tries again until the store is free for a moment."""

    def waits() -> bool:
        waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return database.execute(waiting).fetchone() is not None

    fill(provider)
    wait("_SWAP_LOCK_SECONDS", 0.1)
    wait("IN_USE_PAUSE", 0.1)
    with psycopg.connect(migrated_dsn) as reader, ThreadPoolExecutor(1) as thread:
        reader.execute(f"SELECT FROM {STORE}")
        making = thread.submit(make, maintain, maintain.plan_rebuild(store=STORE, m=8))
        for is_so, what in ((waits, "wait"), (lambda: not waits(), "give up"), (waits, "wait once more")):
            wait_for(is_so, f"the replacement to {what}")
        reader.rollback()
        making.result(30)
    assert facts(maintain)[WHOLE].m == 8


def test_a_replacement_that_fails_leaves_the_old_one(
    config: PostgreSQLConfig,
    maintain: Any,
    provider: PostgreSQLProvider,
    database: psycopg.Connection[Any],
    somebody_writes: Callable[[], Any],
) -> None:
    """A rebuild that is given up leaves the index as it was, and only that."""
    fill(provider)
    before = definitions(database)
    for options in ({"m": 8}, {}):
        with somebody_writes(), pytest.raises(OperationTimeout):
            make(maintain, maintain.plan_rebuild(store=STORE, **options), lock_seconds=0.1)
        maintain.drop(maintain.plan_drop())
        assert definitions(database) == before


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("nothing_idx", {}, "no store has an index 'nothing_idx'"),
        (WHOLE, {"m": 8}, "leave out the other options"),
        (WHOLE, {"store": STORE}, "leave out the other options"),
        (None, {"m": 1}, "hnsw_m=1"),
        (None, {"store": "memories"}, "conversation_memory"),
    ],
)
def test_a_rebuild_that_makes_no_sense(maintain: Any, name: str | None, options: dict[str, Any], said: str) -> None:
    """A wrong option says what is right."""
    with pytest.raises(ConfigurationError, match=said):
        maintain.plan_rebuild(name, **options)


def test_nothing_to_rebuild(maintain: Any, database: psycopg.Connection[Any]) -> None:
    """Where there is no vector index, the command that builds one is said."""
    database.execute(f"DROP INDEX {WHOLE}")
    with pytest.raises(ConfigurationError, match="memorizz index build"):
        maintain.plan_rebuild(store=STORE)


# --- dropping -----------------------------------------------------------------------------------------------------


def test_dropping(maintain: Any, database: psycopg.Connection[Any]) -> None:
    """An index is dropped by its name, and doctor says how it is built again."""
    maintain.drop(maintain.plan_drop(WHOLE))
    assert WHOLE not in definitions(database)
    finding = next(each for each in maintain.examine()[1] if each.subject == WHOLE)
    assert finding.advice == f"`memorizz index build --store {STORE}`"


def test_what_is_never_dropped(maintain: Any, database: psycopg.Connection[Any]) -> None:
    """A primary key, a unique index and what does not exist are refused, invalid or not."""
    database.execute(f"CREATE UNIQUE INDEX own_rule ON {STORE} (name)")
    database.execute("CREATE TABLE other (id int); CREATE INDEX other_idx ON other (id)")
    for name, said in ((f"{STORE}_pkey", "keeps a rule"), ("own_rule", "keeps a rule"), ("other_idx", "no store has")):
        with pytest.raises(ConfigurationError, match=said):
            maintain.plan_drop(name)
    database.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'own_rule'::regclass")
    assert maintain.plan_drop() == []


@pytest.mark.parametrize("way", ["everything", "what expired", "an agent's"])
def test_a_mass_delete_says_the_order(
    open_api: Callable[..., Any], config: PostgreSQLConfig, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What gives the room back, once for the store; a few rows are no matter."""

    def deleted(api: Any, rows: int) -> list[str]:
        with api.loading(STORE):
            gone = {"expires_at": "2020-01-01"} if way == "what expired" else {}
            api.store_many([{"n": n, "memory_id": "m", **gone} for n in range(rows)], STORE)
        caplog.clear()
        if way == "everything":
            api.delete_all(STORE)
        elif way == "what expired":
            assert api.purge_expired() == rows
        else:
            id = api.store_memagent({"memory_ids": ["m"]})
            assert api.delete_memagent(id, cascade=True)
        assert api.count(STORE) == 0
        return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]

    with open_api(config) as api:
        assert deleted(api, 100) == []
        (message,) = deleted(api, 10_000)
        assert message.startswith("10000 documents of toolbox were deleted: ")
        assert "`memorizz reclaim --store toolbox`" in message


def oid(database: psycopg.Connection[Any], name: str) -> int:
    row = database.execute(f"SELECT '{name}'::regclass::oid").fetchone()
    assert row is not None
    return row[0]
