"""Spans and metrics: of each call of each provider on each API, in the right place, without anything that is stored."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from time import monotonic, sleep
from typing import Any

import psycopg
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, Tracer

from apis import Blocking, Loop
from contract.test_scopes import ATTACKS, outcome
from memorizz import AsyncPostgreSQLProvider, MemoryType, PostgreSQLConfig, PostgreSQLProvider, errors
from memorizz.errors import ConfigurationError, InvalidDocument, MemorizzError
from memorizz.integrations.opentelemetry import instrument, uninstrument
from memorizz.memory_provider.mongodb import AsyncMongoDBProvider, MongoDBConfig, MongoDBProvider
from memorizz.memory_provider.policies import Policy
from memorizz.memory_provider.postgresql import operations
from memorizz.memory_provider.stores import StoreSpec
from mongod import GIVEN_URI, drop_database, mongod

LONG = "long_term_memory"
SECRET = "xyzzy"
FACES = {
    "PostgreSQL": PostgreSQLProvider,
    "async PostgreSQL": AsyncPostgreSQLProvider,
    "MongoDB": MongoDBProvider,
    "async MongoDB": AsyncMongoDBProvider,
}


class Exported:
    """What a program exports."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._metrics = InMemoryMetricReader()
        self.tracing = TracerProvider()
        self.tracing.add_span_processor(SimpleSpanProcessor(self._spans))
        self.metering = MeterProvider([self._metrics])

    @property
    def tracer(self) -> Tracer:
        return self.tracing.get_tracer("the program")

    def of(self, provider: Any, **options: Any) -> None:
        instrument(provider, tracer_provider=self.tracing, meter_provider=self.metering, **options)

    def spans(self) -> list[ReadableSpan]:
        """Return the spans that have ended since this was asked last."""
        ended = list(self._spans.get_finished_spans())
        self._spans.clear()
        return ended

    def points(self) -> list[Any]:
        """Return what the histogram has counted since the beginning."""
        return self.measured().get(("db.client.operation.duration", "s"), [])

    def measured(self) -> dict[tuple[str, str], list[Any]]:
        """Return the points of each metric, by its name and unit."""
        data = self._metrics.get_metrics_data()
        found = [] if data is None else data.resource_metrics
        metrics = [each for of in found for scope in of.scope_metrics for each in scope.metrics]
        assert len({each.name for each in metrics}) == len(metrics)
        return {(each.name, each.unit): list(each.data.data_points) for each in metrics}


@pytest.fixture
def exported() -> Exported:
    return Exported()


@pytest.fixture(scope="session")
def mongodb_uri() -> Iterator[Callable[[], str]]:
    with ExitStack() as stopping:
        started: list[str] = []

        def uri() -> str:
            if not started:
                started.append(GIVEN_URI or stopping.enter_context(mongod()))
            return started[0]

        yield uri


@pytest.fixture(scope="session")
def loop() -> Iterator[Loop]:
    running = Loop()
    yield running
    running.stop()


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def settings(face: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """What opens a fresh database."""
    if face.endswith("PostgreSQL"):
        yield request.getfixturevalue("config")
        return
    uri, name = request.getfixturevalue("mongodb_uri")(), f"memorizz_telemetry_{os.getpid()}"
    yield MongoDBConfig(uri, name, embedding_dimensions=4)
    drop_database(uri, name)


@pytest.fixture
def api(face: str, settings: Any, exported: Exported, loop: Loop) -> Iterator[Any]:
    """An instrumented provider on either API; its calls block."""
    provider = FACES[face](settings)
    exported.of(provider)
    with Blocking(provider, loop) if face.startswith("async") else provider as opened:
        exported.spans()
        yield opened


# --- every call has its span --------------------------------------------------------------------------------------

# Methods that only say for whom, or call nothing of a database, or are what the others run by.
WITHOUT = {
    "acting", "after", "at", "close", "config", "health", "loading", "memory", "operations", "run",
    "run_in_transaction", "scope", "tenant",
}  # fmt: skip
# Methods that are another one with other arguments.
AS = {
    "delete_memagent_memory_ids": "update_by_id",
    "list_memagents": "list_all",
    "remember": "store",
    "retrieve_memagent": "retrieve_by_id",
    "store_memagent": "store",
    "update_memagent": "update_by_id",
    "update_memagent_memory_ids": "update_by_id",
}
OF_STORES: dict[str, Callable[[Any], Any]] = {
    "create_store": lambda api: api.create_store(StoreSpec("of_mine")),
    "drop_store": lambda api: api.drop_store("of_mine", yes=True),
    "keep_history": lambda api: api.keep_history(LONG),
    "drop_history": lambda api: api.drop_history(LONG, yes=True),
    "set_policy": lambda api: api.set_policy(LONG, Policy(max_documents=1)),
    "policies": lambda api: api.policies(),
    "position": lambda api: api.position(),
    "stores": lambda api: api.stores(),
    "note_embedding_model": lambda api: api.note_embedding_model("a-model"),
}
# What a call runs besides, and has no method.
STEPS = {"embed_many", "embed_restored", "facts_now", "is_first_import", "place_of"}
NAMES = {*ATTACKS, *OF_STORES} - WITHOUT | STEPS
STORES = {each.value for each in MemoryType} | {"of_mine"}
CLASSES = {name for name in dir(errors) if name[0].isupper()}


def check_closed(span: ReadableSpan, settings: Any) -> None:
    """Check that a span tells nothing but names of operations, stores and errors, and where the database is."""
    database = settings.db_name if isinstance(settings, MongoDBConfig) else settings.database
    system = "mongodb" if isinstance(settings, MongoDBConfig) else "postgresql"
    told = dict(span.attributes or {})
    assert (told.pop("db.system.name"), told.pop("db.namespace")) == (system, database)
    assert told.pop("server.address", "127.0.0.1") in ("127.0.0.1", getattr(settings, "host", None))
    assert isinstance(told.pop("server.port", 0), int)
    assert told.pop("error.type", "MemorizzError") in CLASSES
    assert str(told.pop("db.response.status_code", "00000")).isalnum()
    if span.name == "transaction":
        assert span.kind is SpanKind.INTERNAL
    else:
        assert span.kind is SpanKind.CLIENT
        name = told.pop("db.operation.name")
        store = told.pop("db.collection.name", None)
        assert name in NAMES
        assert store in {None, *STORES}
        assert span.name == (name if store is None else f"{name} {store}")
    assert told == {}
    assert span.events == ()
    assert span.status.description is None


def operations_of(spans: list[ReadableSpan]) -> set[Any]:
    return {(span.attributes or {}).get("db.operation.name", span.name) for span in spans}


def test_every_public_method_makes_a_span(api: Any, face: str, settings: Any, exported: Exported) -> None:
    """In the provider, in a view and in a transaction, also where it fails; nothing of what it was given is told."""
    public = {name for name in dir(FACES[face]) if not name.startswith("_")}
    properties = {name for name in public if isinstance(getattr(FACES[face], name), property)} | {
        "has_large_transactions"
    }
    assert public - properties - WITHOUT - ATTACKS.keys() - OF_STORES.keys() == set()
    of_mongodb = face.endswith("MongoDB")
    for name, call in OF_STORES.items():
        with suppress(ConfigurationError):
            call(api)
        spans = exported.spans()
        for span in spans:
            check_closed(span, settings)
        # Where a provider has none of it, nothing is asked of a database.
        asks = name not in ("keep_history", "drop_history", "note_embedding_model", "position") or not of_mongodb
        assert (name in operations_of(spans)) == asks, name
    views = [api, api.memory(f"{SECRET}-memory")] + ([] if of_mongodb else [api.tenant(f"{SECRET}-tenant")])
    for view in views:
        for name in public & ATTACKS.keys() - WITHOUT:
            view.store({"content": f"tea {SECRET}", "n": 1}, LONG)
            exported.spans()
            outcome(ATTACKS[name], view, f"{SECRET}-id")
            spans = exported.spans()
            for span in spans:
                check_closed(span, settings)
            # MongoDB's makes no vectors.
            assert AS.get(name, name) in operations_of(spans) or (of_mongodb and name == "embedded"), name
    with api.transaction() as tx:
        for name in ("count", "list_all", "retrieve_by_id", "store"):
            exported.spans()
            outcome(ATTACKS[name], tx, f"{SECRET}-id")
            assert operations_of(exported.spans()) == {name}


def test_a_call_is_one_span(api: Any, exported: Exported) -> None:
    """Also one that is a transaction, which is none of the caller's."""
    calls: dict[str, Callable[[Any], Any]] = {
        "store": lambda view: view.store({"content": "tea"}, LONG),
        "forget": lambda view: view.forget("m"),
        "delete_memagent": lambda view: view.delete_memagent("nobody", cascade=True),
        "retrieve_by_query": lambda view: view.retrieve_by_query("tea", LONG),
        "recall": lambda view: view.recall("tea"),
        "iterate": lambda view: list(view.iterate(LONG)),
    }
    for view in (api, api.memory("m")):
        for name, call in calls.items():
            exported.spans()
            call(view)
            (span,) = exported.spans()
            assert (span.attributes or {})["db.operation.name"] == name
            assert span.status.status_code is StatusCode.UNSET


def test_a_standalone_mongodb_has_one_span_for_a_call_too(exported: Exported) -> None:
    """There what would be a transaction is an operation."""
    with mongod(replica_set=False) as uri, MongoDBProvider(MongoDBConfig(uri)) as provider:
        exported.of(provider)
        provider.forget("nobody")
        assert operations_of(exported.spans()) == {"forget"}
        assert len(exported.points()) == 1


# --- failures -----------------------------------------------------------------------------------------------------


def test_a_failure_is_told_by_its_class(api: Any, settings: Any, exported: Exported) -> None:
    """Its message quotes what was given, and is in no span; nor is a store that there is not, which may be a text."""
    with pytest.raises(InvalidDocument, match=SECRET):
        api.store({"id": "a", SECRET: object()}, LONG)
    with pytest.raises(ConfigurationError, match=SECRET):
        api.count(f"a {SECRET} in the wrong place")
    failed, unknown = exported.spans()
    for span in (failed, unknown):
        check_closed(span, settings)
        assert span.status.status_code is StatusCode.ERROR
    assert (failed.attributes or {})["error.type"] == "InvalidDocument"
    assert dict(unknown.attributes or {}).items() >= {
        ("error.type", "ConfigurationError"),
        ("db.operation.name", "count"),
    }
    assert SECRET not in repr([dict(point.attributes) for point in exported.points()])


def test_what_the_server_answered_with_is_told(dsn: str, config: PostgreSQLConfig, exported: Exported) -> None:
    """The code of PostgreSQL beside the class of the error, in the span and in the metric."""
    with PostgreSQLProvider(config) as provider:
        exported.of(provider)
        with psycopg.connect(dsn) as connection:
            connection.execute("ALTER TABLE long_term_memory ADD CONSTRAINT refused CHECK (name <> 'refused')")
        with pytest.raises(MemorizzError) as raised:
            provider.store({"name": "refused"}, LONG)
        (span,) = exported.spans()
        wanted = {"error.type": type(raised.value).__name__, "db.response.status_code": "23514"}
        assert dict(span.attributes or {}).items() >= wanted.items()
        (point,) = exported.points()
        assert dict(point.attributes) == dict(span.attributes or {})


def test_a_failed_block_is_told(api: Any, exported: Exported) -> None:
    """What leaves the block of a transaction marks its span, and is raised as it was."""

    def fail() -> None:
        with api.transaction() as tx:
            tx.store({"id": "a"}, LONG)
            raise LookupError(SECRET)

    with pytest.raises(LookupError, match=SECRET):
        fail()
    stored, block = exported.spans()
    assert (stored.status.status_code, block.status.status_code) == (StatusCode.UNSET, StatusCode.ERROR)
    assert (block.attributes or {})["error.type"] == "LookupError"
    assert SECRET not in block.to_json()
    assert api.count(LONG) == 0


# --- where a span is ----------------------------------------------------------------------------------------------


def parents(spans: list[ReadableSpan]) -> dict[str, str | None]:
    """Return of each span, by its name, the name of its parent."""
    named = {span.context.span_id: span.name for span in spans}
    return {span.name: None if span.parent is None else named[span.parent.span_id] for span in spans}


def test_tasks_at_once_have_each_its_own_parent(config: PostgreSQLConfig, exported: Exported) -> None:
    """Of calls that wait for each other's connections each is below the span of its own task, and those of a block are
    below it, and below what the program opens there."""

    async def call(provider: AsyncPostgreSQLProvider, n: int) -> None:
        with exported.tracer.start_as_current_span(f"task {n}"):
            await provider.store({"name": str(n)}, LONG)
            async with provider.transaction() as tx:
                with exported.tracer.start_as_current_span("thinking"):
                    await tx.memory("m").count(LONG)

    async def program() -> None:
        async with AsyncPostgreSQLProvider(config.replace(max_size=3)) as provider:
            exported.of(provider)
            await asyncio.gather(*(call(provider, n) for n in range(20)))

    asyncio.run(program())
    check_parents(exported.spans(), "task", 20)


def test_threads_at_once_have_each_its_own_parent(config: PostgreSQLConfig, exported: Exported) -> None:
    """The same on the blocking API."""

    def call(n: int) -> None:
        with exported.tracer.start_as_current_span(f"thread {n}"):
            provider.store({"name": str(n)}, LONG)
            with provider.transaction() as tx, exported.tracer.start_as_current_span("thinking"):
                tx.memory("m").count(LONG)

    with PostgreSQLProvider(config.replace(max_size=3)) as provider, ThreadPoolExecutor(10) as threads:
        exported.of(provider)
        list(threads.map(call, range(20)))
    check_parents(exported.spans(), "thread", 20)


def check_parents(spans: list[ReadableSpan], kind: str, count: int) -> None:
    by_trace: dict[int, list[ReadableSpan]] = {}
    for span in spans:
        by_trace.setdefault(span.context.trace_id, []).append(span)
    assert len(by_trace) == count
    for trace in by_trace.values():
        (top,) = {span.name for span in trace if span.name.startswith(kind)}
        inside = {"transaction": top, "thinking": "transaction", f"count {LONG}": "thinking"}
        assert parents(trace) == {top: None, f"store {LONG}": top, **inside}


# --- metrics and options ------------------------------------------------------------------------------------------


def test_each_call_is_counted_with_its_time(api: Any, exported: Exported) -> None:
    """In one histogram, in seconds, by operation and store, with the limits that the conventions name."""
    for _ in range(3):
        api.count(LONG)
    api.stores()
    points = {point.attributes["db.operation.name"]: point for point in exported.points()}
    assert {name: point.count for name, point in points.items()} == {"count": 3, "stores": 1}
    assert points["count"].attributes["db.collection.name"] == LONG
    assert points["count"].explicit_bounds == (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
    assert points["count"].sum > 0


@pytest.mark.parametrize("face", ["PostgreSQL", "async PostgreSQL"])
def test_the_pools_are_measured(face: str, config: PostgreSQLConfig, loop: Loop, exported: Exported) -> None:
    """Connections in use and idle, how many there may be, who waits for one, and for how long they have waited."""
    config = config.replace(min_size=2, max_size=2)
    providers = [FACES[face](config) for _ in range(2)]
    for each in providers:
        exported.of(each)
    blocking = [Blocking(each, loop) if face.startswith("async") else each for each in providers]
    with blocking[0] as api, blocking[1], ExitStack() as held, ThreadPoolExecutor(1) as thread:
        api.count(LONG)
        for _ in range(2):
            held.enter_context(api.transaction()).count(LONG)
        waiting = thread.submit(api.count, LONG)
        pending = ("db.client.connection.pending_requests", "{request}")
        end = monotonic() + 20
        while (seen := exported.measured())[pending][0].value != 1:
            assert monotonic() < end
        counts = {
            point.attributes["db.client.connection.state"]: point.value
            for point in seen["db.client.connection.count", "{connection}"]
        }
        assert counts["used"] >= 2
        assert sum(counts.values()) == 4
        (most,) = seen["db.client.connection.max", "{connection}"]
        place = f"{config.host}:{config.port}" if config.host else "embedded:5432"
        assert (most.value, dict(most.attributes)) == (
            4,
            {"db.client.connection.pool.name": f"{place}/{config.database}"},
        )
        sleep(0.05)  # The pool counts whole milliseconds.
        held.close()
        assert waiting.result() == 0
        seen = exported.measured()
        assert seen[pending][0].value == 0
        assert seen["memorizz.connection.waits", "{request}"][0].value >= 1
        assert seen["memorizz.connection.wait_time", "s"][0].value > 0
        for each in providers:
            uninstrument(each)
        assert not any(name.startswith("db.client.connection") for name, _ in exported.measured())


def test_scopes_and_questions_are_told_where_that_is_asked_for(config: PostgreSQLConfig, exported: Exported) -> None:
    """In spans alone: a metric has a series for each value. Vectors are not told even then."""
    with PostgreSQLProvider(config) as provider:
        exported.of(provider, scopes=True, queries=True)
        view = provider.tenant("acme").memory("ada", agent="desk")
        view.recall("who likes tea", where={"n": {"$gt": 1}})
        view.retrieve_by_query({"embedding": [0.5, 0, 0, 0], "$text": {"$search": "tea"}}, LONG)
        asked, ranked = (dict(span.attributes or {}) for span in exported.spans())
        scope = {"memorizz.tenant": "acme", "memorizz.memory_id": "ada", "memorizz.agent_id": "desk"}
        question = {"memorizz.text": "who likes tea", "memorizz.where": '{"n": {"$gt": 1}}'}
        assert asked.items() >= (scope | question).items()
        assert ranked["memorizz.query"] == '{"embedding": "...", "$text": {"$search": "tea"}}'
        assert not any("memorizz" in key for point in exported.points() for key in point.attributes)


def test_a_store_of_ones_own_is_named_once_it_is_known(config: PostgreSQLConfig, exported: Exported) -> None:
    """From the first call on that found it, also where a later one fails."""
    with PostgreSQLProvider(config) as provider:
        exported.of(provider)
        provider.create_store(StoreSpec("of_mine"))
        provider.count("of_mine")
        with pytest.raises(InvalidDocument):
            provider.store({"a": object()}, "of_mine")
        assert [span.name for span in exported.spans()][-2:] == ["count of_mine", "store of_mine"]


def test_it_can_be_said_again_and_taken_back(config: PostgreSQLConfig, exported: Exported) -> None:
    """Instrumented twice a call is one span; afterwards none, and the provider is as it was."""
    with PostgreSQLProvider(config) as provider:
        before = dict(vars(provider))
        exported.of(provider)
        exported.of(provider)
        provider.count(LONG)
        assert len(exported.spans()) == 1
        uninstrument(provider)
        uninstrument(provider)
        provider.count(LONG)
        assert exported.spans() == []
        assert vars(provider).keys() == before.keys()


def test_a_view_is_not_instrumented_by_itself(config: PostgreSQLConfig) -> None:
    """It goes with its provider; and nothing else can be instrumented."""
    with PostgreSQLProvider(config) as provider:
        for other in (provider.memory("m"), provider.acting("me"), None, "a provider", operations):
            with pytest.raises(ConfigurationError, match="takes a provider"):
                instrument(other)  # type: ignore[arg-type]


def test_the_server_is_told_as_it_was_configured(exported: Exported) -> None:
    """Host, port and schema as they were given, no user and no password; of an embedded server no host."""
    for config, told in (
        (
            PostgreSQLConfig(dsn="postgresql://me:xyzzy@db.example.com:5433/app", schema="memories"),
            {"db.namespace": "app|memories", "server.address": "db.example.com", "server.port": 5433},
        ),
        (PostgreSQLConfig(host="db"), {"db.namespace": "memorizz", "server.address": "db"}),
        (PostgreSQLConfig.embedded(), {"db.namespace": "memorizz"}),
        (
            MongoDBConfig("mongodb://me:xyzzy@one:27018/x?authSource=admin", "app"),
            {"db.namespace": "app", "server.address": "one", "server.port": 27018},
        ),
        (MongoDBConfig("mongodb://one:1,two:2"), {"db.namespace": "memorizz", "server.address": "one:1,two:2"}),
        (MongoDBConfig(), {"db.namespace": "memorizz", "server.address": "localhost"}),
    ):
        kind = AsyncMongoDBProvider if isinstance(config, MongoDBConfig) else AsyncPostgreSQLProvider
        provider: Any = kind(config)  # opens on first use
        exported.of(provider)

        async def call(provider: Any = provider) -> None:
            await provider.close()
            with pytest.raises(errors.ProviderClosed):
                await provider.stores()

        asyncio.run(call())
        (span,) = exported.spans()
        assert {key: each for key, each in dict(span.attributes or {}).items() if key in (
            "db.namespace", "server.address", "server.port")} == told  # fmt: skip
        assert SECRET not in span.to_json()


def test_the_page_is_true(run_page: Callable[[str], list[str]]) -> None:
    """The programs of docs/integrations/opentelemetry.md run and print what it says."""
    run_page("opentelemetry.md")
