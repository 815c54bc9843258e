"""What is done to a database and not with memories, on one connection."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from functools import partial
from typing import Any

from memorizz.errors import MemorizzError, OperationTimeout
from memorizz.memory_provider.postgresql import distribution, indexes, migrations, wall
from memorizz.memory_provider.postgresql._errors import translating
from memorizz.memory_provider.postgresql._steps import Script
from memorizz.memory_provider.postgresql.driver._async import note_cosines, when_free
from memorizz.memory_provider.postgresql.driver._shared import without_timeout
from memorizz.memory_provider.postgresql.facts import Store
from memorizz.memory_provider.postgresql.indexes import HNSW, VECTOR_INDEXES
from memorizz.memory_provider.postgresql.maintenance import _doctor, _indexing, _language, _making, _noting, _probe
from memorizz.memory_provider.postgresql.maintenance._changing import LOCK_SECONDS
from memorizz.memory_provider.postgresql.maintenance._finding import Finding
from memorizz.memory_provider.postgresql.maintenance._findings import diagnose
from memorizz.memory_provider.postgresql.maintenance._indexing import BuiltElsewhere, Busy, Job, Made, Wanted, Watch
from memorizz.memory_provider.postgresql.maintenance._measuring import (
    IndexFacts,
    Reclaimed,
    StoreFacts,
    glance,
    measure,
)
from memorizz.memory_provider.postgresql.maintenance._session_async import AsyncSession
from memorizz.memory_provider.postgresql.maintenance._tidying import Tidied, tidied
from memorizz.memory_provider.postgresql.maintenance._watching_async import watched
from memorizz.memory_provider.postgresql.migrations import Migration
from memorizz.memory_provider.stores import IndexKind

# How long a replacement that tries to take the place of an index holds up all others at most.
_SWAP_LOCK_SECONDS = 2.0
# How long what is left of a build is tried to be removed: whoever was in its way may be in this one's.
_CLEAN_SECONDS = 5.0


class AsyncMaintenance(AsyncSession):
    """One connection to a database in any state: without the tables, without the extension, of another version.

    A context manager, which is open in its block. Opening it changes nothing in the database, and raises
    ConnectionFailed where the server cannot be reached.
    """

    async def pending(self) -> Sequence[Migration]:
        """Return the migrations that the schema lacks, oldest first."""
        return await self.run(migrations.pending(await self.database()))

    async def migrate(self) -> Sequence[Migration]:
        """Create or upgrade the schema, and return the migrations that were applied."""

        async def upgrade() -> Sequence[Migration]:
            with without_timeout(self._connection):
                async with self.transaction():
                    return await self.run(migrations.apply(self.config))

        done = await when_free(upgrade)
        # Says so where the schema is another than the configuration asks for.
        await self.run(migrations.opened(self.config))
        return done

    async def tidy(
        self, *, by: str | None = None, dry_run: bool = False, watch: Callable[[int, float], None] | None = None
    ) -> list[Tidied]:
        """Do what `purge_expired` and `apply_policies` do, for every tenant, as owner; a dry run removes nothing.

        `watch` is told as that of `apply_policies`.
        """
        async with self._without_timeouts(None, LOCK_SECONDS):
            return await self.run(tidied(await self.facts(), by, dry_run, watch))

    async def change_language(self, name: str, watch: Callable[[str, int], None] | None = None) -> int:
        """Change the language of the words while the stores are in use; return how many documents got other words.

        name: one of PostgreSQL's text search configurations, such as "german". `watch` is told the store, and how many
        of its documents are done, after each batch. Questions look for words of both languages until all is done;
        interrupted, even killed, the same call again goes on. Raises ConfigurationError while another change is under
        way.
        """
        known = await self.facts()
        async with self._without_timeouts(None, LOCK_SECONDS):
            language = await self._in_one(lambda: _language.begin(known, name))
            if language is None:
                return 0
            changed = 0
            for store in (await self.facts()).stores.values():
                changed += await self._change_words(store, watch)
            await self._in_one(lambda: _language.finish(known, language))
        return changed

    async def _change_words(self, store: Store, watch: Callable[[str, int], None] | None) -> int:
        seen = changed = 0
        batch = _language.Batch(None, 0, 0)
        while True:
            after = batch.last
            batch = await self._in_one(lambda: _language.again(store, after))  # noqa: B023 - called before the next
            seen += batch.seen
            changed += batch.changed
            if watch is not None:
                watch(store.name, seen)
            if batch.is_last:
                return changed

    async def enable_tenants(self, role: str, *, memories: bool | None = None) -> wall.Wall:
        """Have the database keep tenants apart, by row-level security on the tables of all stores, and of later ones.

        role: whom applications connect as from then on; made without a password where there is none of that name, else
            left with the rights that it needs. Nothing is kept from superusers, roles with BYPASSRLS and the owner, for
            whom ConfigurationError is raised, as where sessions of the role are connected. Again, it puts the wall into
            what has lost it.
        memories: whether the memories of one tenant are kept apart too, from a call or a transaction that is of one of
            them; None leaves it as it is, which at first is not.

        Run it as the owner of the tables.
        """
        known = await self.facts()
        return await self._in_one(lambda: wall.put_up(known.layout, role, memories))

    async def disable_tenants(self) -> str | None:
        """Take the row-level security down; return the role that it was for, which stays, without rights."""
        layout = (await self.facts()).layout
        return await self._in_one(lambda: wall.take_down(layout))

    async def scale_out(self, shards: int | None = None, *, dry_run: bool = False) -> distribution.Distributed:
        """Have Citus distribute the stores over its servers by their tenant, and later stores too; be the owner.

        shards: how many, by default citus.shard_count. Readers go on, writers wait. Again, it does what is left.
        Raises SchemaError without servers of Citus 13.0.2 or newer, ConfigurationError for what cannot be distributed.
        """
        layout = (await self.facts()).layout
        if dry_run:
            return await self.run(distribution.planned(layout, shards))
        with without_timeout(self._connection):
            await self._in_one(lambda: distribution.prepare(layout, shards))
            try:
                done = await self._in_one(lambda: distribution.distribute(layout, shards))
            except BaseException:
                # Unless this program is killed, all is as it was.
                with suppress(MemorizzError):
                    await self._in_one(lambda: distribution.put_back(layout))
                raise
            for table in await self.run(distribution.unfinished(layout)):
                await self._in_one(partial(distribution.finish, layout, table))
        return done

    async def probe_tenants(self) -> _probe.Probe:
        """Try to reach one tenant's rows as another, in every table by every kind of statement; all of it is undone.

        It proves what it says for the role of this connection: be an application's. Raises ConfigurationError where no
        wall stands.
        """
        known = await self.facts()
        with translating(self.config.where):
            async with self._connection.transaction(force_rollback=True):
                return await self.run(_probe.probe(known))

    async def examine(self) -> tuple[_doctor.Examination, list[Finding]]:
        """Examine the database: return its figures, and what of them needs attention, the worst first."""
        examined = await self.run(_doctor.examine(self.config, self._connection.info.backend_pid))
        return examined, diagnose(examined, self.config)

    async def measure(self) -> tuple[list[StoreFacts], list[IndexFacts]]:
        """Return how much each store and each of its indexes holds."""
        return await self.run(measure(await self.facts()))

    async def note(self, measured: Sequence[_noting.Noted]) -> None:
        """Note what was measured of stores, by the server's clock; what was noted two years ago goes."""
        await self.run(_noting.note(await self.facts(), measured))

    async def noted(self) -> list[_noting.Noted]:
        """Return all that was noted, the oldest first."""
        return await self.run(_noting.noted(await self.facts()))

    async def glance(self, tenants: int = 100) -> tuple[dict[str, int], list[str]]:
        """Return how many rows each store has, as the server guesses without counting, and the first tenants."""
        return await self.run(glance(await self.facts(), tenants))

    # --- indexes --------------------------------------------------------------------------------------------------

    async def indexes(self) -> list[tuple[IndexFacts, int | None]]:
        """Return each index of the stores, and how many rows it covers, None where counting them takes too long."""
        found = await self._look()
        rows = await self.run(_indexing.covered(found))
        return [(index, rows[index.name]) for index in found.indexes]

    async def plan_build(
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
        found, wanted = await self._look(), self._wanted(store, kind, m, ef_construction)
        if json_keys:
            return _indexing.keys(found, wanted)
        jobs = _indexing.missing(found, wanted, self._hnsw)
        if (kind, m, ef_construction) != (None, None, None):
            return jobs
        return await self.run(_indexing.as_noted(found, jobs))

    async def plan_rebuild(
        self,
        name: str | None = None,
        store: str | None = None,
        *,
        kind: IndexKind | None = None,
        m: int | None = None,
        ef_construction: int | None = None,
    ) -> list[Job]:
        """Return what is to be done to make vector indexes again, or the one index of this name."""
        found, wanted = await self._look(), self._wanted(store, kind, m, ef_construction)
        return _indexing.again(found, name, wanted, self._hnsw, await self.run(_indexing.covered(found)))

    async def plan_standby(self) -> list[Job]:
        """Return what is to be done for the vectors on standby to have the indexes of those that are searched."""
        return _indexing.standby(await self._look(), self._hnsw)

    async def maintenance_work_mem(self) -> int:
        """Return what the server gives to one build, in bytes."""
        return (await self.run(_indexing.memory_and_process()))[0]

    async def make(
        self, jobs: Sequence[Job], *, memory: str | None = None, lock_seconds: float = 0, watch: Watch | None = None
    ) -> AsyncGenerator[Made]:
        """Do jobs, one after another, while the stores stay in use; yields each when it is done.

        `memory` is the maintenance_work_mem for it, as PostgreSQL writes it ("2GB"). Conflicting transactions
        are waited for, `lock_seconds` at most where they are given. `watch` is called a few times a second from
        another task; what it raises is raised when that job is done, and ends the others. What is given up leaves
        nothing behind, or the error says what.
        """
        found = await self._look()
        async with self._without_timeouts(memory, lock_seconds):
            for job in jobs:
                started = time.perf_counter()
                try:
                    notices = await self._make(found, job, watch)
                    if _making.is_put_in_place(found, job):
                        await self._swap_index(found, job)
                except (Busy, BuiltElsewhere):
                    raise
                except BaseException as error:
                    await self._clean(found, job, error)
                    raise
                size = await self.run(_making.size(found, job))
                yield Made(job, size, round(time.perf_counter() - started, 3), notices)

    async def defer_index(self, store: str, most: int = 0, lock_seconds: float = _SWAP_LOCK_SECONDS) -> bool:
        """Drop the vector index of a store of `most` documents at most, and return whether it is deferred now.

        The catalogs note how `build_deferred` is to build it.
        """
        found = await self._look()
        async with self._connection.transaction():
            return await self.run(_indexing.defer_index(found, store, most, lock_seconds))

    async def build_deferred(
        self, store: str, watch: Callable[[float], None] | None = None, lock_seconds: float = 0
    ) -> None:
        """Build a deferred vector index, or raise BuiltElsewhere; `watch` is told the part done, from 0 to 1."""
        found = await self._look()
        if (job := await self.run(_indexing.deferred_index(found, store))) is None:
            return
        tell: Watch | None = None if watch is None else lambda _, progress: watch(progress.share or 0.0)
        async for _ in self.make([job] if found.lacks(job) else [], lock_seconds=lock_seconds, watch=tell):
            pass
        await self.run(_indexing.note_built(found, store))

    async def analyze(self, store: str, *, vacuum: bool = False) -> None:
        """Have the planner learn what a store holds, which autovacuum sees to within minutes only; `vacuum` it too."""
        async with self._without_timeouts(None, 0):
            await self.run(_indexing.analyze(found := await self._look(), store, vacuum))
        await note_cosines(self.config, self._connection, found.known)

    async def reclaim(
        self,
        store: str | None = None,
        *,
        memory: str | None = None,
        lock_seconds: float = 0,
        watch: Watch | None = None,
    ) -> AsyncGenerator[Reclaimed]:
        """Give back the room of what was deleted; yields each store when it is done.

        Its vector indexes are built again, of what is left, then it is vacuumed; it stays in use meanwhile. `store` is
        by default each of which many documents were deleted. The room in its tables is for what is stored next. The
        rest is as for `make`.
        """
        stores, indexes = await self.measure()
        name = None if store is None else (await self.facts()).store(store).name
        for each in stores:
            if each.name != name if name is not None else not each.is_to_be_vacuumed:
                continue
            started = time.perf_counter()
            if any(index.store == each.name and index.method in VECTOR_INDEXES for index in indexes):
                jobs = await self.plan_rebuild(store=each.name)
                async for _ in self.make(jobs, memory=memory, lock_seconds=lock_seconds, watch=watch):
                    pass
            await self.analyze(each.name, vacuum=True)
            after = next(now.bytes for now in (await self.measure())[0] if now.name == each.name)
            yield Reclaimed(each.name, each.bytes, after, round(time.perf_counter() - started, 3))

    async def plan_drop(self, name: str | None = None) -> list[IndexFacts]:
        """Return the index of a name, which must keep no rule, or without one all that builds have left invalid."""
        return _indexing.removable(await self._look(), name)

    async def drop(self, indexes: Sequence[IndexFacts], *, lock_seconds: float = 0) -> None:
        """Drop indexes while the stores stay in use."""
        found = await self._look()
        async with self._without_timeouts(None, lock_seconds):
            for index in indexes:
                removal = partial(_making.remove, found, index)
                await (self._in_one(removal) if index.partitioned else self.run(removal()))

    async def _look(self) -> _indexing.Found:
        return await self.run(_indexing.look(await self.facts()))

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

    async def _make(self, found: _indexing.Found, job: Job, watch: Watch | None) -> list[str]:
        notices: list[str] = []

        def note(notice: Any) -> None:
            if notice.severity_nonlocalized in ("NOTICE", "WARNING"):
                notices.append(f"{notice.message_primary} {notice.message_hint or ''}".strip())

        self._connection.add_notice_handler(note)
        try:
            for partition in _making.steps(found, job):
                tell = watch and _making.watched(found, job, partition, watch)
                async with nullcontext() if tell is None else await self._watched(job, tell):
                    await self.run(_making.make(found, job, partition))
        finally:
            self._connection.remove_notice_handler(note)
        return notices

    async def _watched(self, job: Job, watch: Watch) -> AbstractAsyncContextManager[None]:
        pid = (await self.run(_indexing.memory_and_process()))[1]
        return watched(self.config, self._conninfo, pid, job, watch)

    async def _swap_index(self, found: _indexing.Found, job: Job) -> None:
        """Put a replacement in its place, as soon as nobody uses the store for a moment."""
        try:
            await self._in_one(lambda: _making.swap_index(found, job, _SWAP_LOCK_SECONDS))
        except OperationTimeout as error:
            raise Busy(
                f"{_making.made_as(job)} is finished and could not take its place, for {job.store} was in use "
                "all the time: run the same command again, it is not built twice"
            ) from error

    async def _clean(self, found: _indexing.Found, job: Job, error: BaseException) -> None:
        """Remove what is left of a job that was given up, or say that it is left."""
        try:
            await self.perform(Script(indexes.without_timeouts(None, _CLEAN_SECONDS).as_bytes(None)))
            await self.run(_making.clean(found, job))
        except BaseException as failure:
            left = f"what was built of {job.name} is left, invalid: `memorizz index drop --invalid` removes it"
            if not isinstance(failure, MemorizzError):
                # Ctrl-C once more, by somebody who would not wait.
                failure.add_note(left)
                raise
            if isinstance(error, MemorizzError):
                raise type(error)(f"{error}; {left}") from error
            error.add_note(left)
