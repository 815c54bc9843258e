"""Spans and metrics of OpenTelemetry for the operations of a provider, by the conventions for database clients.

A provider of whichever database and API runs all that it does through two methods of its own. Those of one provider are
replaced, and nothing is where no provider is instrumented. Needs the extra `opentelemetry`, which is the API alone.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from inspect import signature
from time import perf_counter
from typing import Any, cast
from weakref import WeakKeyDictionary, WeakSet

from memorizz.errors import ConfigurationError, MemorizzError
from memorizz.integrations._providers import missing
from memorizz.memory_provider.base import AsyncMemoryOperations, AsyncMemoryProvider, MemoryOperations, MemoryProvider
from memorizz.memory_provider.base._views_async import AsyncProviderView
from memorizz.memory_provider.base._views_sync import ProviderView
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.scopes import Scope, Scoped, scope_of

try:
    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation, get_meter, get_meter_provider
    from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider, get_tracer, use_span
except ImportError as error:
    raise missing(error, "opentelemetry") from error

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
# In seconds, as the conventions say.
_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
# Where an operation has another name than its method.
_METHODS = {
    "drop": "drop_history",
    "keep": "keep_history",
    "note_model": "note_embedding_model",
    "page": "iterate",
    "run_at_once": "run_many",
    "specs": "stores",
    "store_few": "store_many",
    "supersede": "store",
}
# The arguments of which `queries` tells, and the longest text that it makes of one.
_QUERIES = ("query", "text", "filter", "where")
_MAX_QUERY = 1000
# What is replaced in a provider and in its transactions.
_REPLACED = ("run", "run_in_transaction", "transaction")


def instrument(
    provider: MemoryProvider | AsyncMemoryProvider,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    scopes: bool = False,
    queries: bool = False,
) -> None:
    """Have a provider, its views and its transactions make a span of each operation, and measure how long it takes.

    Spans, of kind CLIENT, are named by the operation and the store, and have the attributes of the conventions; the
    histogram `db.client.operation.duration` has the same. A failure is told by the class of its error alone, no text.
    A block of `transaction()` is a span around those in it. What is stored, asked and answered is in none of them.
    The connection pools of a provider on PostgreSQL are measured too: `db.client.connection.count` and others.

    tracer_provider, meter_provider: by default those that are set for the process.
    scopes: spans also tell the tenant, memory and agent of a view.
    queries: spans also tell what was asked, texts and filters; vectors never.

    Once more, it replaces what was said before. Raises ConfigurationError for what is no provider, and for a view,
    which goes with its provider.
    """
    whole = cast(object, provider)
    is_view = isinstance(whole, ProviderView | AsyncProviderView)
    if is_view or not isinstance(whole, MemoryProvider | AsyncMemoryProvider):
        kind = "a view" if is_view else type(whole).__name__
        raise ConfigurationError(f"instrument() takes a provider, and this is {kind}; its views go with a provider")
    uninstrument(provider)
    _Instruments(_server(provider), tracer_provider, meter_provider, scopes, queries).watch(provider)
    _pools_of(meter_provider or get_meter_provider()).add(provider)


def uninstrument(provider: MemoryProvider | AsyncMemoryProvider) -> None:
    """Have a provider make no spans any more; nothing is done where it makes none."""
    for name in _REPLACED:
        vars(provider).pop(name, None)
    for watched in _watched.values():
        watched.discard(provider)


# --- connection pools ---------------------------------------------------------------------------------------------

# Of each meter provider the providers whose pools it is told of: an instrument is made once, for all of them.
_watched: WeakKeyDictionary[MeterProvider, WeakSet[Any]] = WeakKeyDictionary()
_POOL = "db.client.connection.pool.name"
_STATE = "db.client.connection.state"
_Read = Callable[[Mapping[str, int]], Mapping[str, float]]


def _pools_of(meter_provider: MeterProvider) -> WeakSet[Any]:
    """Return the providers whose pools are measured, which begins with the first."""
    if meter_provider not in _watched:
        _watched[meter_provider] = WeakSet[Any]()
        _measure_pools(get_meter("memorizz", "", meter_provider, SCHEMA_URL), _watched[meter_provider])
    return _watched[meter_provider]


def _measure_pools(meter: Meter, providers: WeakSet[Any]) -> None:
    """Make the instruments, which read what the pools have counted whenever somebody asks."""
    for name, unit, text, grows, read in _MEASURES:
        make = meter.create_observable_counter if grows else meter.create_observable_up_down_counter
        make(name, [_observing(providers, read)], unit, text)


def _observing(providers: WeakSet[Any], read: _Read) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(options: CallbackOptions) -> Iterable[Observation]:
        # Pools of one name are told together.
        found: dict[tuple[str, str], float] = {}
        for provider in list(providers):
            for pool, counted in _counted(provider):
                for state, value in read(counted).items():
                    found[pool, state] = found.get((pool, state), 0) + value
        for (pool, state), value in found.items():
            yield Observation(value, {_POOL: pool} | ({_STATE: state} if state else {}))

    return observe


def _states(counted: Mapping[str, int]) -> Mapping[str, float]:
    idle = counted.get("pool_available", 0)
    return {"idle": idle, "used": max(counted.get("pool_size", 0) - idle, 0)}


def _one(key: str, unit: float = 1) -> _Read:
    return lambda counted: {"": counted.get(key, 0) * unit}


# Of each its name, unit and description, whether it only grows, and what it is, by state, of what a pool has counted.
# The conventions have a histogram of waits, which a pool does not keep; their sum and their number it does.
_MEASURES: tuple[tuple[str, str, str, bool, _Read], ...] = (
    ("db.client.connection.count", "{connection}", "Connections, by their state.", False, _states),
    ("db.client.connection.max", "{connection}", "How many connections there may be.", False, _one("pool_max")),
    ("db.client.connection.pending_requests", "{request}", "Who waits for one.", False, _one("requests_waiting")),
    ("memorizz.connection.waits", "{request}", "How many have waited for one.", True, _one("requests_queued")),
    ("memorizz.connection.wait_time", "s", "How long they have, together.", True, _one("requests_wait_ms", 0.001)),
)


def _counted(provider: Any) -> list[tuple[str, Mapping[str, int]]]:
    """Return the names of the pools of a provider, by the conventions, and what they have counted."""
    stats = getattr(provider, "_pool_stats", None)
    if stats is None:
        return []
    place = _server(provider)
    host = f"{place.get('server.address', 'embedded')}:{place.get('server.port', 5432)}"
    name = f"{host}/{place['db.namespace']}"
    return [(f"{name} {of}".strip(), counted) for of, counted in stats()]


# --- operations ---------------------------------------------------------------------------------------------------


class _Instruments:
    """The tracer, the histogram, and what every span of a provider tells."""

    def __init__(
        self,
        server: Mapping[str, Any],
        tracer_provider: TracerProvider | None,
        meter_provider: MeterProvider | None,
        scopes: bool,
        queries: bool,
    ) -> None:
        self._server = server
        self._scopes, self._queries = scopes, queries
        self._tracer = get_tracer("memorizz", None, tracer_provider, SCHEMA_URL)
        self._seconds = get_meter("memorizz", "", meter_provider, SCHEMA_URL).create_histogram(
            "db.client.operation.duration",
            unit="s",
            description="Duration of database client operations.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        # The stores that there are for certain: any other name may be a mistake, and so a text that nobody should see.
        self._stores = {member.value for member in MemoryType}

    def watch(self, memories: MemoryOperations | AsyncMemoryOperations) -> None:
        """Replace the methods that run the operations of a provider, or of its transaction."""
        is_async = isinstance(memories, AsyncMemoryOperations)
        run, transaction = (self._awaited, self._atransaction) if is_async else (self._called, self._transaction)
        replaced = {name: run(getattr(memories, name)) for name in _REPLACED[:2]}
        if hasattr(memories, "transaction"):
            replaced["transaction"] = transaction(getattr(memories, "transaction"))  # noqa: B009 - not in all
        vars(memories).update(replaced)

    def _called(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def observed(operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            with self._operation(operation, args, kwargs):
                return run(operation, *args, **kwargs)

        return observed

    def _awaited(self, run: Callable[..., Any]) -> Callable[..., Any]:
        async def observed(operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            with self._operation(operation, args, kwargs):
                return await run(operation, *args, **kwargs)

        return observed

    def _transaction(self, begin: Callable[[], Any]) -> Callable[[], Any]:
        @contextmanager
        def transaction() -> Generator[MemoryOperations]:
            with self._block(), begin() as inside:
                self.watch(inside)
                yield inside

        return transaction

    def _atransaction(self, begin: Callable[[], Any]) -> Callable[[], Any]:
        @asynccontextmanager
        async def transaction() -> AsyncGenerator[AsyncMemoryOperations]:
            with self._block():
                async with begin() as inside:
                    self.watch(inside)
                    yield inside

        return transaction

    @contextmanager
    def _block(self) -> Generator[None]:
        """Make the span of a transaction, which is the caller's own work as much as the database's."""
        span = self._tracer.start_span("transaction", kind=SpanKind.INTERNAL, attributes=self._server)
        with _ended(span, {}), use_span(span, record_exception=False, set_status_on_exception=False):
            yield

    @contextmanager
    def _operation(
        self, operation: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Generator[None]:
        """Make the span of an operation, and measure it."""
        scope = scope_of(operation)
        inner: Any = operation.operation if isinstance(operation, Scoped) else operation
        own: str = inner.__name__
        name = _METHODS.get(own, own)
        told: dict[str, Any] = {**self._server, "db.operation.name": name}
        store = _store_of(inner, args, kwargs)
        is_known = store in self._stores
        if is_known:
            told["db.collection.name"] = store
        of = f"{name} {store}" if is_known else name
        span = self._tracer.start_span(of, kind=SpanKind.CLIENT, attributes=told)
        if span.is_recording():
            span.set_attributes(self._asked(scope, inner, args, kwargs))
        started = perf_counter()
        try:
            with _ended(span, told), use_span(span, record_exception=False, set_status_on_exception=False):
                yield
                if store is not None and not is_known:
                    # It has done what it was asked to, so there is such a store.
                    self._stores.add(store)
                    told["db.collection.name"] = store
                    span.update_name(f"{name} {store}")
        finally:
            self._seconds.record(perf_counter() - started, told)

    def _asked(
        self, scope: Scope, operation: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Mapping[str, str]:
        """Return what a span tells only where it was asked for."""
        told: dict[str, str | None] = {}
        if self._scopes:
            told |= {"tenant": scope.tenant or None, "memory_id": scope.memory, "agent_id": scope.agent}
        if self._queries:
            given = {**dict(zip(_names(operation), args, strict=False)), **kwargs}
            told |= {name: _shown(given[name]) for name in _QUERIES if given.get(name) is not None}
        return {f"memorizz.{key}": value for key, value in told.items() if value is not None}


@contextmanager
def _ended(span: Span, told: dict[str, Any]) -> Generator[None]:
    """End a span, and note in what class of error; its text may quote what is stored."""
    before = dict(told)
    try:
        yield
    except BaseException as error:
        told["error.type"] = _class_of(error)
        if (code := _status_code(error)) is not None:
            told["db.response.status_code"] = code
        span.set_status(StatusCode.ERROR)
        raise
    finally:
        span.set_attributes({key: value for key, value in told.items() if key not in before})
        span.end()


def _class_of(error: BaseException) -> str:
    """Return the name of the class of an error; of ours the one of memorizz.errors, which callers know."""
    kinds = (kind for kind in type(error).__mro__ if kind.__module__ == MemorizzError.__module__)
    return next(kinds, type(error)).__qualname__


def _status_code(error: BaseException) -> str | None:
    """Return the code that the server answered with: of the error of the driver that is behind one of ours."""
    behind = error.__cause__ if isinstance(error, MemorizzError) else None
    # PostgreSQL's, or MongoDB's.
    code = getattr(behind, "sqlstate", None) or getattr(behind, "code", None)
    return str(code) if isinstance(code, str | int) else None


@lru_cache(maxsize=256)
def _names(operation: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of what an operation is given, without the first, what is known of the stores."""
    return tuple(signature(operation).parameters)[1:]


def _store_of(operation: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    """Return the name of the one store that a call is about, as it was given."""
    names = _names(operation)
    if "memory_store_type" not in names:
        return None
    place = names.index("memory_store_type")
    given = args[place] if place < len(args) else kwargs.get("memory_store_type")
    name = given.value if isinstance(given, MemoryType) else given
    return name if isinstance(name, str) else None


def _shown(value: Any) -> str:
    """Return a query or a filter as a text, without vectors."""
    text = value if isinstance(value, str) else json.dumps(_without_vectors(value), default=repr)
    return text[:_MAX_QUERY]


def _without_vectors(value: Any) -> Any:
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {
            str(key): each if key != "embedding" or isinstance(each, str) else "..."
            for key, each in ((key, _without_vectors(each)) for key, each in items)
        }
    return [_without_vectors(each) for each in cast("list[Any]", value)] if isinstance(value, list) else value


def _server(provider: MemoryProvider | AsyncMemoryProvider) -> Mapping[str, Any]:
    """Return what the configuration of a provider says of its database, and of the server unless it is embedded."""
    config: Any = getattr(provider, "config", None)
    if config is None:
        return {"db.system.name": "other_sql"}
    if hasattr(config, "db_name"):
        hosts = config.where.rpartition(", database ")[0]
        host, _, port = hosts.rpartition(":")
        single = "," not in hosts and port.isdigit()
        return _place("mongodb", config.db_name, host if single else hosts, int(port) if single else 27017, 27017)
    namespace = "|".join(filter(None, (config.database, config.schema)))
    host = None if config.embedded_server is not None else config.host
    return _place("postgresql", namespace, host, config.port, 5432)


def _place(system: str, namespace: str, host: str | None, port: int | None, default: int) -> Mapping[str, Any]:
    of_server = {} if host is None else {"server.address": host}
    of_port = {"server.port": port} if of_server and port not in (None, default) else {}
    return {"db.system.name": system, "db.namespace": namespace, **of_server, **of_port}
