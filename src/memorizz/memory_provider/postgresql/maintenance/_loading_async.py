"""A store that is being loaded: its vector index is deferred while it is empty, and built at once when all is there."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from memorizz.errors import DatabaseError, OperationTimeout
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.maintenance._maintenance_async import AsyncMaintenance

logger = logging.getLogger("memorizz.postgresql")


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
        await maintenance.build_deferred(store, watch)
