"""The async API behind blocking calls, so that one suite runs on both APIs."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
from collections.abc import Iterator
from typing import Any

from memorizz.memory_provider.base import AsyncMemoryOperations
from memorizz.memory_provider.postgresql.maintenance import AsyncReembedding, Reembedding


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, awaitable: Any) -> Any:
        async def await_it() -> Any:
            return await awaitable

        return asyncio.run_coroutine_threadsafe(await_it(), self._loop).result()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Blocking:
    """An async object whose methods block: coroutines are run, async iterators iterated, async contexts entered."""

    def __init__(self, awaited: Any, loop: Loop) -> None:
        self._awaited = awaited
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._awaited, name)
        if not callable(attribute):
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            result = attribute(*args, **kwargs)
            if inspect.isawaitable(result):
                return self._loop.run(result)
            if hasattr(result, "__anext__"):
                return self._iterate(result)
            if isinstance(result, AsyncMemoryOperations):
                return Blocking(result, self._loop)
            if hasattr(result, "__aenter__"):
                return self._context(result)
            return result

        return call

    def _iterate(self, iterator: Any) -> Iterator[Any]:
        with contextlib.suppress(StopAsyncIteration):
            while True:
                yield self._loop.run(iterator.__anext__())

    @contextlib.contextmanager
    def _context(self, context: Any) -> Iterator[Any]:
        entered = self._loop.run(context.__aenter__())
        try:
            yield Blocking(entered, self._loop)
        except BaseException as error:
            if not self._loop.run(context.__aexit__(type(error), error, error.__traceback__)):
                raise
        else:
            self._loop.run(context.__aexit__(None, None, None))

    def also(self, kind: Any, *args: Any, **kwargs: Any) -> Blocking:
        """Return another async object, which is made with this one."""
        return Blocking(kind(self._awaited, *args, **kwargs), self._loop)

    def __enter__(self) -> Blocking:
        self._loop.run(self._awaited.__aenter__())
        return self

    def __exit__(self, *error: Any) -> None:
        self._loop.run(self._awaited.__aexit__(*error))


def reembedding(maintenance: Any, *args: Any, **kwargs: Any) -> Any:
    """Return a change of the embedding model on the API of a maintenance; its calls block."""
    if isinstance(maintenance, Blocking):
        return maintenance.also(AsyncReembedding, *args, **kwargs)
    return Reembedding(maintenance, *args, **kwargs)
