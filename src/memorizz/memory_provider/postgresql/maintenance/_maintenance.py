"""One connection to a database, for what is done to it and not with memories."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from memorizz.errors import MemorizzError, OperationTimeout, SchemaError
from memorizz.memory_provider._drive._sync import drive
from memorizz.memory_provider.postgresql import indexes, migrations
from memorizz.memory_provider.postgresql._errors import translating
from memorizz.memory_provider.postgresql._steps import Operation, Script, Statement, Step
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.driver._shared import without_timeout
from memorizz.memory_provider.postgresql.driver._sync import connect, perform, when_free
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer
from memorizz.memory_provider.postgresql.facts import Facts
from memorizz.memory_provider.postgresql.indexes import HNSW, Progress
from memorizz.memory_provider.postgresql.maintenance import _doctor, _indexing
from memorizz.memory_provider.postgresql.maintenance._doctor import Examination, IndexFacts, StoreFacts
from memorizz.memory_provider.postgresql.maintenance._findings import Finding, diagnose
from memorizz.memory_provider.postgresql.maintenance._indexing import Job, Wanted
from memorizz.memory_provider.postgresql.migrations import Database, Migration
from memorizz.memory_provider.stores import IndexKind

T = TypeVar("T")

# How long a replacement that tries to take the place of an index holds up all others at most.
_SWAP_LOCK_SECONDS = 2.0
# How long what is left of a build is tried to be removed: whoever was in its way may be in this one's.
_CLEAN_SECONDS = 5.0
_POLL_SECONDS = 0.25

Watch = Callable[[Job, Progress], None]


@dataclass(frozen=True, slots=True)
class Made:
    """A job that is done: how large the index is, how long it took, and what the server had to say of it."""

    job: Job
    bytes: int
    seconds: float
    notices: Sequence[str] = ()


class Maintenance:
    """One connection to a database in any state: without the tables, without the extension, of another version.

    Opening it changes nothing in the database. A context manager that closes itself. Raises ConnectionFailed where
    the server cannot be reached.
    """

    def __init__(self, config: PostgreSQLConfig) -> None:
        self.config = config
        server = None if config.embedded_server is None else EmbeddedServer(config.embedded_server.path)
        self._closing = weakref.finalize(self, _release, opened := [], server)
        try:
            self._conninfo = config.conninfo if server is None else config.complete(server.acquire())
            self._connection = connect(config, self._conninfo)
            opened.append(self._connection)
        except BaseException:
            self._closing()
            raise

    def database(self) -> Database:
        """Return what the catalogs say of the server, of pgvector and of the schema."""
        return self.run(migrations.database(self.config))

    def facts(self) -> Facts:
        """Return what is known of the stores, their indexes and models; raises SchemaError where there are none."""
        found = self.database()
        if not found.has_migrations or self.run(migrations.pending(found)):
            raise SchemaError(f"there are no tables in schema {found.schema!r}: make them with `memorizz migrate`")
        return self.run(migrations.facts_of(self.config, found))

    def pending(self) -> Sequence[Migration]:
        """Return the migrations that the schema lacks, oldest first."""
        return self.run(migrations.pending(self.database()))

    def migrate(self) -> Sequence[Migration]:
        """Create or upgrade the schema, and return the migrations that were applied."""
        with without_timeout(self._connection), self._connection.transaction():
            done = self.run(migrations.apply(self.config))
        # Says so where the schema is another than the configuration asks for.
        self.run(migrations.opened(self.config))
        return done

    def examine(self) -> tuple[Examination, list[Finding]]:
        """Examine the database: return its figures, and what of them needs attention, the worst first."""
        examined = self.run(_doctor.examine(self.config, self._connection.info.backend_pid))
        return examined, diagnose(examined, self.config)

    def measure(self) -> tuple[list[StoreFacts], list[IndexFacts]]:
        """Return how much each store and each of its indexes holds."""
        return self.run(_doctor.measure(self.facts()))

    def run(self, operation: Operation[T]) -> T:
        """Run an operation on the connection; each of its statements is a transaction of its own unless one is open."""
        return drive(operation, self._perform)

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Open a block that happens as a whole or not at all."""
        with translating(self.config.where), self._connection.transaction():
            yield

    @property
    def lost(self) -> bool:
        """Whether the connection is gone."""
        return self._connection.closed

    # --- indexes --------------------------------------------------------------------------------------------------

    def indexes(self) -> list[tuple[IndexFacts, int | None]]:
        """Return each index of the stores, and how many rows it covers, None where counting them takes too long."""
        found = self._look()
        rows = self.run(_indexing.covered(found))
        return [(index, rows[index.name]) for index in found.indexes]

    def plan_build(
        self,
        store: str | None = None,
        *,
        kind: IndexKind | None = None,
        m: int | None = None,
        ef_construction: int | None = None,
        json_keys: bool = False,
    ) -> list[Job]:
        """Return what is to be done for the stores to have every index that they should have.

        With `json_keys`, the index on the keys that have no column instead. Raises ConfigurationError for what cannot
        be made.
        """
        found, wanted = self._look(), self._wanted(store, kind, m, ef_construction)
        return _indexing.keys(found, wanted) if json_keys else _indexing.missing(found, wanted, self._hnsw)

    def plan_rebuild(
        self,
        name: str | None = None,
        store: str | None = None,
        *,
        kind: IndexKind | None = None,
        m: int | None = None,
        ef_construction: int | None = None,
    ) -> list[Job]:
        """Return what is to be done to make vector indexes again, or the one index of this name."""
        found, wanted = self._look(), self._wanted(store, kind, m, ef_construction)
        return _indexing.again(found, name, wanted, self._hnsw, self.run(_indexing.covered(found)))

    def plan_standby(self) -> list[Job]:
        """Return what is to be done for the vectors on standby to have the indexes of those that are searched."""
        return _indexing.standby(self._look(), self._hnsw)

    def maintenance_work_mem(self) -> int:
        """Return what the server gives to one build, in bytes."""
        return self.run(_indexing.memory_and_process())[0]

    def make(
        self,
        jobs: Sequence[Job],
        *,
        memory: str | None = None,
        lock_seconds: float = 0,
        watch: Watch | None = None,
    ) -> Generator[Made]:
        """Do jobs, one after another, while the stores stay in use; yields each when it is done.

        `memory` is the maintenance_work_mem for it, as PostgreSQL writes it ("2GB"). Conflicting transactions
        are waited for, `lock_seconds` at most where they are given. `watch` is called a few times a second from another
        thread. What is given up leaves nothing behind, or the error says what.
        """
        found = self._look()
        with self._without_timeouts(memory, lock_seconds):
            for job in jobs:
                started = time.perf_counter()
                try:
                    notices = self._make(found, job, watch)
                    if job.action == "replace":
                        self._swap_index(found, job)
                except _Busy:
                    raise
                except BaseException as error:
                    self._clean(found, job, error)
                    raise
                size = self.run(_indexing.size(found, job))
                yield Made(job, size, round(time.perf_counter() - started, 3), notices)

    def defer_index(self, store: str) -> None:
        """Drop the vector index of a store that is empty; the catalogs note how `build_deferred` is to build it."""
        with self._connection.transaction():
            self.run(_indexing.defer_index(self._look(), store, _SWAP_LOCK_SECONDS))

    def build_deferred(self, store: str, watch: Callable[[float], None] | None = None) -> None:
        """Build the vector index of a store that was deferred; `watch` is told the part that is done, from 0 to 1."""
        found = self._look()
        job = self.run(_indexing.deferred_index(found, store))
        if job is None:
            return
        tell: Watch | None = None if watch is None else lambda _, progress: watch(progress.share or 0.0)
        for _ in self.make([job] if found.lacks(job) else [], watch=tell):
            pass
        self.run(_indexing.note_built(found, store))

    def plan_drop(self, name: str | None = None) -> list[IndexFacts]:
        """Return the index of a name, or without one all that interrupted builds have left invalid.

        Raises ConfigurationError for an index that is not there or that keeps a rule of its table.
        """
        return _indexing.removable(self._look(), name)

    def drop(self, indexes: Sequence[IndexFacts], *, lock_seconds: float = 0) -> None:
        """Drop indexes while the stores stay in use."""
        found = self._look()
        with self._without_timeouts(None, lock_seconds):
            for index in indexes:
                self.run(_indexing.remove(found, index))

    def _look(self) -> _indexing.Found:
        return self.run(_indexing.look(self.facts()))

    def _wanted(self, store: str | None, kind: IndexKind | None, m: int | None, ef: int | None) -> Wanted:
        wanted = Wanted(store, kind, m, ef)
        hnsw = wanted.hnsw(self._hnsw)
        # Raises what it would raise of a provider.
        changes = {"hnsw_m": hnsw.m, "hnsw_ef_construction": hnsw.ef_construction}
        self.config.replace(**changes if kind is None else {**changes, "index": kind})
        return wanted

    @property
    def _hnsw(self) -> HNSW:
        return HNSW(self.config.hnsw_m, self.config.hnsw_ef_construction)

    @contextmanager
    def _without_timeouts(self, memory: str | None, lock_seconds: float) -> Generator[None]:
        """Let statements take as long as they need."""
        timeout, self._connection.operation_timeout = self._connection.operation_timeout, None
        try:
            self.run(_script(indexes.without_timeouts(memory, lock_seconds).as_bytes(None)))
            yield
        finally:
            # A connection that was lost has nothing to be reset.
            with suppress(MemorizzError):
                self.run(_script(indexes.WITH_TIMEOUTS))
            self._connection.operation_timeout = timeout

    def _make(self, found: _indexing.Found, job: Job, watch: Watch | None) -> list[str]:
        notices: list[str] = []

        def note(notice: Any) -> None:
            if notice.severity_nonlocalized in ("NOTICE", "WARNING"):
                notices.append(f"{notice.message_primary} {notice.message_hint or ''}".strip())

        self._connection.add_notice_handler(note)
        try:
            with self._watched(job, watch):
                self.run(_indexing.make(found, job))
        finally:
            self._connection.remove_notice_handler(note)
        return notices

    @contextmanager
    def _watched(self, job: Job, watch: Watch | None) -> Generator[None]:
        """Look at the progress of this session from a second connection, on a thread of its own."""
        if watch is None:
            yield
            return
        pid, over = self.run(_indexing.memory_and_process())[1], threading.Event()
        thread = threading.Thread(target=self._poll, args=(pid, job, watch, over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(timeout=5)

    def _poll(self, pid: int, job: Job, watch: Watch, over: threading.Event) -> None:
        # Without a second connection the build goes on unseen.
        with (
            suppress(MemorizzError),
            connect(self.config, self._conninfo) as connection,
            translating(self.config.where),
        ):
            while not over.wait(_POLL_SECONDS):
                progress = drive(_indexing.progress(pid), lambda step: perform(connection, cast(Statement, step)))
                if progress is not None and not over.is_set():
                    watch(job, progress)

    def _swap_index(self, found: _indexing.Found, job: Job) -> None:
        """Put a replacement in its place, as soon as nobody uses the store for a moment."""

        def swap() -> None:
            with self.transaction():
                self.run(_indexing.swap_index(found, job, _SWAP_LOCK_SECONDS))

        try:
            when_free(swap)
        except OperationTimeout as error:
            raise _Busy(
                f"{indexes.replacement(job.name)} is finished and could not take its place, for {job.store} was in use "
                "all the time: run the same command again, it is not built twice"
            ) from error

    def _clean(self, found: _indexing.Found, job: Job, error: BaseException) -> None:
        """Remove what is left of a job that was given up, or say that it is left."""
        try:
            self.run(_script(indexes.without_timeouts(None, _CLEAN_SECONDS).as_bytes(None)))
            self.run(_indexing.clean(found, job))
        except BaseException as failure:
            left = f"what was built of {job.name} is left, invalid: `memorizz index drop --invalid` removes it"
            if not isinstance(failure, MemorizzError):
                # Ctrl-C once more, by somebody who would not wait.
                failure.add_note(left)
                raise
            if isinstance(error, MemorizzError):
                raise type(error)(f"{error}; {left}") from error
            error.add_note(left)

    def close(self) -> None:
        """Close the connection. Twice is fine."""
        self._closing()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _perform(self, step: Step) -> Any:
        with translating(self.config.where):
            return perform(self._connection, cast(Statement, step))


class _Busy(OperationTimeout):
    """What was built is kept for the next try."""


def _script(statements: bytes) -> Operation[None]:
    yield Script(statements)


def _release(opened: list[Any], server: EmbeddedServer | None) -> None:
    for connection in opened:
        connection.close()
    if server is not None:
        server.release()
