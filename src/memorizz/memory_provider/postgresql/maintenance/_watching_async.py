"""How far the build of an index is, looked at from a second connection."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import cast

from memorizz.errors import MemorizzError
from memorizz.memory_provider._drive._async import drive
from memorizz.memory_provider.postgresql._errors import translating
from memorizz.memory_provider.postgresql._steps import Statement
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.driver._async import connect, perform
from memorizz.memory_provider.postgresql.maintenance import _indexing
from memorizz.memory_provider.postgresql.maintenance._apart_async import End, beside
from memorizz.memory_provider.postgresql.maintenance._indexing import Job, Progress, Watch

_POLL_SECONDS = 0.25


@asynccontextmanager
async def watched(config: PostgreSQLConfig, conninfo: str, pid: int, job: Job, watch: Watch) -> AsyncGenerator[None]:
    """Tell, as long as the block takes, how far the session `pid` of the same server is with a job."""

    async def poll(end: End) -> None:
        # What it raises is the caller's to know: it is called outside of what passes over errors of the looking.
        async with aclosing(_looks(config, conninfo, pid, end)) as looks:
            async for progress in looks:
                watch(job, progress)

    async with beside(poll):
        yield


async def _looks(config: PostgreSQLConfig, conninfo: str, pid: int, end: End) -> AsyncGenerator[Progress]:
    # Without a second connection the build goes on unseen.
    with suppress(MemorizzError), translating(config.where):
        async with await connect(config, conninfo) as connection:
            while not await end.wait(_POLL_SECONDS):
                look = _indexing.progress(pid)
                progress = await drive(look, lambda step: perform(connection, cast(Statement, step)))
                if progress is not None and not end.is_set():
                    yield progress
