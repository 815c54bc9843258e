"""Distributing the stores of a schema, transaction after transaction, on the async API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from memorizz.errors import MemorizzError
from memorizz.memory_provider.postgresql import distribution
from memorizz.memory_provider.postgresql._steps import Operation
from memorizz.memory_provider.postgresql.layout import Layout


async def scaled_out(
    layout: Layout,
    shards: int | None,
    run: Callable[[Operation[Any]], Awaitable[Any]],
    in_one: Callable[[Callable[[], Operation[Any]]], Awaitable[Any]],
) -> distribution.Distributed:
    """Distribute the stores of a schema; what is refused or interrupted leaves them as they were, unless it is killed.

    `run` runs an operation, `in_one` in a transaction of its own, as soon as nobody is in the way for a moment.
    """
    await in_one(lambda: distribution.prepare(layout, shards))
    try:
        done: distribution.Distributed = await in_one(lambda: distribution.distribute(layout, shards))
    except BaseException:
        with suppress(MemorizzError):
            await in_one(lambda: distribution.put_back(layout))
        raise
    for table in await run(distribution.unfinished(layout)):
        await in_one(partial(distribution.finish, layout, table))
    return done
