"""How an operation is run on the async API: step by step, and again where it lost against another one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from logging import Logger
from typing import Any, TypeVar, cast

from memorizz.errors import MemorizzError, one_line
from memorizz.memory_provider._reranker import Rerank, rerank_awaiting

S = TypeVar("S")
T = TypeVar("T")

# For how long a failed attempt is repeated, and the pause before the first repetition; each next one is twice as long,
# up to a second.
RETRY_SECONDS = 5.0
FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0


async def drive(operation: Generator[S, Any, T], perform: Callable[[S], Awaitable[Any]]) -> T:
    """Run an operation: perform its steps, send it their results or throw the errors of this library into it.

    Any other exception ends the operation and is raised.
    """
    resume: Callable[[Any], S] = operation.send
    result: Any = None
    while True:
        try:
            step = resume(result)
        except StopIteration as done:
            return cast(T, done.value)
        try:
            result = await rerank_awaiting(step) if isinstance(step, Rerank) else await perform(step)
            resume = operation.send
        except MemorizzError as error:
            resume, result = operation.throw, error
        except BaseException:
            operation.close()
            raise


async def repeated(
    attempt: Callable[[], Awaitable[T]],
    may_repeat: Callable[[Exception], bool],
    logger: Logger,
    seconds: float = RETRY_SECONDS,
    pause: float = FIRST_PAUSE,
) -> T:
    """Make an attempt, and again after each failure that `may_repeat` accepts, for so many seconds."""
    give_up = time.monotonic() + seconds
    attempts = 0
    while True:
        attempts += 1
        try:
            return await attempt()
        except Exception as error:
            if not may_repeat(error) or time.monotonic() + pause > give_up:
                raise
            told = {"attempts": attempts, "error": type(error).__name__, "pause": pause}
            logger.debug("trying again in %.2f s after: %s", pause, one_line(str(error)), extra=told)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
