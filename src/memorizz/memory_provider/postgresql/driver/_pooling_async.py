"""What a task of the pool does to connect. It can be cancelled, which the pool takes for a failure, and lives on."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import psycopg

from memorizz.memory_provider.postgresql.config import PostgreSQLConfig

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

C = TypeVar("C", bound=psycopg.AsyncConnection[Any])


def pooled(kind: type[C]) -> type[C]:
    """Return a kind of connection whose making can be cancelled."""

    class Pooled(kind):
        @classmethod
        async def connect(cls, *args: Any, **kwargs: Any) -> Any:
            with _cancelled_for_good():
                return await super().connect(*args, **kwargs)

    return cast("type[C]", Pooled)


async def find_server(config: PostgreSQLConfig, server: EmbeddedServer | None) -> str:
    """Return what to connect to, without holding up the event loop."""
    if server is None:
        return await config.awaited_conninfo()
    return config.complete(await asyncio.to_thread(server.reach))


async def find_server_for_pool(config: PostgreSQLConfig, server: EmbeddedServer | None) -> str:
    """Return the same to a task of the pool."""
    with _cancelled_for_good():
        return await find_server(config, server)


@contextmanager
def _cancelled_for_good() -> Generator[None]:
    """Have a task that is cancelled in here be cancelled wherever it waits next, although the first is swallowed."""
    try:
        yield
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None:
            task.cancel()
        raise
