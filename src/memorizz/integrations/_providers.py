"""What an integration keeps memories with, from any thread and any event loop.

Frameworks call sync methods from a running loop, and async ones from several loops at once. A pool of the async API
belongs to one loop; a provider on the sync API is safe in every thread. So each integration holds one of those, and its
async methods run the sync ones in threads, where they hold up no loop.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from types import TracebackType
from typing import Any, ClassVar, ParamSpec, Self, TypeVar, cast
from weakref import WeakKeyDictionary

from memorizz.embeddings.base import Embedder
from memorizz.errors import ConfigurationError, InvalidDocument, TransactionConflict, quoted
from memorizz.memory_provider._drive._sync import repeated
from memorizz.memory_provider.base import MemoryProvider
from memorizz.memory_provider.stores import StoreSpec

P = ParamSpec("P")
T = TypeVar("T")


# The spec of a store, or what makes it for the provider that the store is to be in.
Wanted = StoreSpec | Callable[[MemoryProvider], StoreSpec]


def opened(
    source: object, *wanted: Wanted, embedder: Embedder | str | Sequence[Embedder | str] | None = None
) -> tuple[MemoryProvider, bool]:
    """Return a provider that has the wanted stores, and True if it was opened here, so that who asks is to close it.

    `source` is a provider on the sync API or a view of one, a connection string or a PostgreSQLConfig; None is the
    server that the environment names, or the embedded one. Raises ConfigurationError for anything else, and for an
    embedder beside a provider, which has its own; what making a store raises. Nothing is left open then.
    """
    provider, is_own = _provider_of(source, embedder)
    try:
        ensured(provider, *(each if isinstance(each, StoreSpec) else each(provider) for each in wanted))
    except BaseException:
        if is_own:
            provider.close()
        raise
    return provider, is_own


def _provider_of(
    source: object, embedder: Embedder | str | Sequence[Embedder | str] | None
) -> tuple[MemoryProvider, bool]:
    if isinstance(source, MemoryProvider):
        if embedder is not None:
            raise ConfigurationError("the provider has its own embedder: give embedder= to the provider")
        return source, False
    from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider

    if isinstance(source, str):
        source = PostgreSQLConfig(dsn=source)
    if source is not None and not isinstance(source, PostgreSQLConfig):
        raise ConfigurationError(
            "expected a provider on the sync API, a PostgreSQLConfig or a connection string, "
            f"got {type(source).__name__}"
        )
    return PostgreSQLProvider(source, embedder=embedder), True


def check_of_no_memory(provider: MemoryProvider, what: str) -> None:
    """Raise ConfigurationError for the view of a memory, for what says itself of which memory and id a document is."""
    memory = provider.scope.memory
    if memory is not None:
        raise ConfigurationError(
            f"this is a view of memory_id={quoted(memory)}, and {what} says itself what is of one memory, under ids "
            "that another may have: give it the provider, or the view of a tenant"
        )


class Opened:
    """What works on a provider; closes it, as a context manager too, where it was opened here."""

    provider: MemoryProvider
    # Whether it works in the view of a memory, too.
    _in_memories: ClassVar[bool] = False
    _is_own: bool

    def _open(
        self, source: object, *wanted: Wanted, embedder: Embedder | str | Sequence[Embedder | str] | None = None
    ) -> None:
        self.provider, self._is_own = opened(source, *wanted, embedder=embedder)
        if not self._in_memories:
            check_of_no_memory(self.provider, type(self).__name__)

    def close(self) -> None:
        """Close the provider, unless it was given; twice is fine."""
        if self._is_own:
            self.provider.close()

    async def aclose(self) -> None:
        """Do what `close` does."""
        await in_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


# Which specs each provider is known to have: an object for each request costs no round trip.
_ensured: WeakKeyDictionary[MemoryProvider, set[StoreSpec]] = WeakKeyDictionary()


def ensured(provider: MemoryProvider, *specs: StoreSpec) -> None:
    """Make the stores that an integration needs, where they are missing; raises ConfigurationError as create_store."""
    known = _ensured.setdefault(provider, set())
    if known.issuperset(specs):
        return
    there = {spec.name: spec for spec in provider.stores()}
    for spec in specs:
        if there.get(spec.name) != spec:
            provider.create_store(spec)
    known.update(specs)


async def in_thread(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking call in a thread; one that is cancelled goes on there to its end."""
    return await asyncio.to_thread(call, *args, **kwargs)


logger = logging.getLogger("memorizz.integrations")


def made_again(method: Callable[P, T]) -> Callable[P, T]:
    """Make a method again, for some seconds, where another transaction was in the way of the one that it is."""

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return repeated(lambda: method(*args, **kwargs), lambda error: isinstance(error, TransactionConflict), logger)

    return call


# A memory_id is indexed, and so at most 1,024 bytes long.
_LONGEST, _DIGEST = 1024, "sha256:"


def key_of(*names: str) -> str:
    """Return the memory_id for the names that say together whose memory it is: another one for any other names.

    One name stands for itself; several, or one that no memory_id can be, are written as JSON, of which what is too long
    has its digest taken. Raises ConfigurationError for a name that is no str.
    """
    for name in cast("tuple[object, ...]", names):
        if not isinstance(name, str):
            raise ConfigurationError(f"{quoted(name)} is no name: expected a str, got {type(name).__name__}")
    text = names[0]
    if len(names) > 1 or not text.isprintable() or text.startswith(("[", _DIGEST)) or not text:
        text = json.dumps(names)
    written = text.encode()
    return text if len(written) <= _LONGEST else _DIGEST + hashlib.sha256(written).hexdigest()


def ids_of(ids: Iterable[T]) -> list[T]:
    """Return ids as a list; raises ConfigurationError for a text, of which each character would be taken for an id."""
    if isinstance(ids, str):
        raise ConfigurationError(f"expected a list of ids, got the text {quoted(ids)}")
    return list(ids)


def each_of(values: Iterable[T], kind: type[object], path: str) -> list[T]:
    """Return as a list what a framework gives several of, texts or objects.

    Raises ConfigurationError for a single one, of which each character or key would be taken for one, and
    InvalidDocument for a value of another kind: it might be stored, and whoever reads it would fail.
    """
    if isinstance(values, str | Mapping):
        raise ConfigurationError(f"{path}={quoted(cast(object, values))}: expected a list")
    found = list(values)
    for place, value in enumerate(found):
        if not isinstance(value, kind):
            raise InvalidDocument(f"{path}[{place}]", f"expected a {kind.__name__}, got {type(value).__name__}")
    return found


def escaped(name: str) -> str:
    """Return the key that a name is stored under where filters are to find it: they take a dot for a step."""
    return name.replace("%", "%25").replace(".", "%2E") if "." in name or "%" in name else name


def unescaped(name: str) -> str:
    """Return the name that `escaped` made a key of."""
    return name.replace("%2E", ".").replace("%25", "%") if "%" in name else name


def to_json(value: Any, path: str) -> str:
    """Return a value as JSON text, which comes back as it was where JSONB would reorder keys and refuse a NUL.

    Raises InvalidDocument for what JSON cannot hold.
    """
    try:
        return json.dumps(value, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidDocument(path, f"{error}; expected what JSON can hold") from None


def missing(error: ImportError, extra: str) -> ImportError:
    """Return the error for a framework that is not installed."""
    return ImportError(f"{error}: this needs pip install 'memorizz-postgresql[{extra}]'", name=error.name)
