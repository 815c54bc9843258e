"""Giving back the room of what was deleted, on the async API."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from memorizz.memory_provider.postgresql.indexes import VECTOR_INDEXES
from memorizz.memory_provider.postgresql.maintenance._indexing import Watch
from memorizz.memory_provider.postgresql.maintenance._measuring import Reclaimed

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql.maintenance._maintenance_async import AsyncMaintenance


async def reclaim(
    self: AsyncMaintenance,
    store: str | None = None,
    *,
    memory: str | None = None,
    lock_seconds: float = 0,
    watch: Watch | None = None,
) -> AsyncGenerator[Reclaimed]:
    """Give back the room of what was deleted; yields each store when it is done.

    Its vector indexes are built again, of what is left, then it is vacuumed; it stays in use meanwhile. `store` is by
    default each of which many documents were deleted. The room in its tables is for what is stored next. The rest is as
    for `make`.
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
