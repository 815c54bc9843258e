"""A store that is being loaded: its vector index is deferred while it is empty, and built at once when all is there."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

from memorizz.errors import DatabaseError, MemorizzError, OperationTimeout, TransactionConflict
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.maintenance._indexing import BuiltElsewhere
from memorizz.memory_provider.postgresql.maintenance._maintenance_async import AsyncMaintenance
from memorizz.memory_provider.postgresql.operations.storing import FEW

logger = logging.getLogger("memorizz.postgresql")

# Nobody has said that the store is being loaded: others are held up no longer than they would notice, ...
_DEFER_SECONDS = 0.1
# ... and the caller waits no longer than this for the transactions of others that stand before the build.
_BUILD_SECONDS = 60.0


@asynccontextmanager
async def loading(config: PostgreSQLConfig, store: str, watch: Callable[[float], None] | None) -> AsyncGenerator[None]:
    """Defer the vector index of a store that is empty, and build it when the block has ended without an error."""
    async with AsyncMaintenance(config) as maintenance:
        try:
            await maintenance.defer_index(store)
        except (DatabaseError, OperationTimeout) as error:
            # It is another user's, or somebody uses it: then each document enters it by itself.
            logger.info("the vector index of %s is kept while it is loaded: %s", store, error)
    yield
    # The block may have taken hours, in which a connection may break.
    async with AsyncMaintenance(config) as maintenance:
        await _build(maintenance, store, watch)


@asynccontextmanager
async def building_after(config: PostgreSQLConfig, store: str) -> AsyncGenerator[None]:
    """Have a first large import build the vector index of a store at its end, where that can be done unnoticed.

    What is stored in the block is stored whatever becomes of the index.
    """
    deferred = False
    try:
        async with AsyncMaintenance(config) as maintenance:
            deferred = await maintenance.defer_index(store, FEW, _DEFER_SECONDS)
    except MemorizzError as error:
        logger.info("the vector index of %s is kept while many documents are stored: %s", store, error)
    try:
        yield
    finally:
        # Also where nothing was kept: then it is built in no time.
        if deferred:
            await _build_after(config, store)


async def _build_after(config: PostgreSQLConfig, store: str) -> None:
    try:
        async with AsyncMaintenance(config) as maintenance:
            await _build(maintenance, store, None, _BUILD_SECONDS)
    except MemorizzError as error:
        logger.warning(
            "%s has no vector index yet, and is searched by full comparison; `memorizz index build --store %s` builds "
            "it: %s",
            store,
            store,
            error,
        )


async def _build(
    maintenance: AsyncMaintenance, store: str, watch: Callable[[float], None] | None, lock_seconds: float = 0
) -> None:
    # Somebody else who loads the store does both, or who builds the index; to analyze it meanwhile would be a deadlock.
    with suppress(BuiltElsewhere):
        try:
            await maintenance.build_deferred(store, watch, lock_seconds)
        except TransactionConflict:
            # Of two that begin at the same moment PostgreSQL ends one.
            await maintenance.build_deferred(store, watch, lock_seconds)
        # Until then the planner takes every memory for a two-hundredth of the store, and reads the wrong index.
        await maintenance.analyze(store)
