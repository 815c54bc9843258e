"""Which embedders maintenance takes on the async API, and what it does beside something else: in a task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from memorizz.embeddings.base import AsyncEmbedder, Embedder


def check_kind(embedder: Embedder | AsyncEmbedder) -> None:
    """Take an embedder of either kind."""


class End:
    """What somebody else is told to stop by."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    async def wait(self, seconds: float) -> bool:
        """Wait so long; return True if it has come."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), seconds)
        return self.is_set()


@asynccontextmanager
async def beside(work: Callable[[End], Coroutine[Any, Any, None]]) -> AsyncGenerator[None]:
    """Have some work done beside a block, which is told to stop at its end; raise there what it raised."""
    end = End()
    task = asyncio.create_task(work(end))
    try:
        yield
    finally:
        end.set()
        await asyncio.wait([task], timeout=5)
        task.cancel()
        error = task.exception() if task.done() and not task.cancelled() else None
    if error is not None:
        raise error
