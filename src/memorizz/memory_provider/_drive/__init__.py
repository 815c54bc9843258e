"""How an operation is run, the same for every provider: `_async` is written, `_sync` generated."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Generic, TypeVar

from memorizz.errors import ConfigurationError, ConnectionFailed, MemorizzError, ProviderClosed, quoted
from memorizz.memory_provider.options import Health

T = TypeVar("T")

# So many ids of a transaction are named by an error that does not know what became of it.
MAX_IDS = 1000
OUTCOME_UNKNOWN = (
    "the outcome is unknown: what was sent may have been done or not; look, by the ids that this error carries, before "
    "you do it once more"
)


def check_process(opener: int) -> None:
    """Refuse to work in a forked child: two processes on one connection get each other's answers."""
    if opener != os.getpid():
        raise ProviderClosed(
            "the provider was opened before a fork, by another process: open a provider in each process"
        )


def check_loop(opener: asyncio.AbstractEventLoop | None) -> None:
    """Refuse to work in another event loop than the one that opened a provider: its connections belong to that."""
    if opener is not None and opener is not asyncio.get_running_loop():
        raise ProviderClosed(
            "the provider was opened in another event loop: open one in each event loop, and close it there"
        )


def can_be_read_again(argument: Any) -> bool:
    """Return True unless an argument of an operation may be used up by its first attempt.

    A list or a tuple is not. Any other iterable may drain a queue or a cursor, also one that is no iterator.
    """
    return isinstance(argument, str | list | tuple) or not isinstance(argument, Iterable)


def check_seconds(timeout: object) -> None:
    """Raise ConfigurationError for what is no number of seconds."""
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < float("inf"):
        raise ConfigurationError(f"timeout={quoted(timeout)}: expected a number of seconds above 0")


def unwell(error: MemorizzError, seconds: float) -> Health:
    """Return that a provider cannot be called, for it is not open."""
    return Health(described(error), seconds)


def described(error: MemorizzError) -> str:
    return f"{type(error).__name__}: {error}"


class Opening(Generic[T]):
    """What opens a provider of the async API for one who does not wait for it to the end."""

    _task: asyncio.Task[T] | None = None

    async def within(self, seconds: float, opened: Callable[[], Coroutine[Any, Any, T]], where: str) -> T:
        """Return what is opened; raises ConnectionFailed where that takes longer, and lets it go on."""
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(opened())
        task = self._task
        await asyncio.wait((task,), timeout=seconds)
        if not task.done():
            # Told by whoever opens it next.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise ConnectionFailed(f"not open within {seconds:g} s: {where}")
        return task.result()
