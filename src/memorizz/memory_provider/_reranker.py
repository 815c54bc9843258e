"""How a caller's function is asked for a better order of hits: for so long and no longer, and whatever it does."""

from __future__ import annotations

import asyncio
import copy
import inspect
import threading
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast

from memorizz.errors import one_line, quoted
from memorizz.memory_provider.options import Document, Reranker

# Functions that hang go on in their threads: of so many, none is asked any more until one of them returns.
MAX_THREADS = 64
_threads = threading.BoundedSemaphore(MAX_THREADS)


@dataclass(slots=True)
class Rerank:
    """A step: hits for a function that puts them in order. Brings back an Order, and raises nothing."""

    rerank: Reranker
    question: str
    hits: Sequence[Document]
    timeout: float
    # Of the hits, for it may change them, at any time.
    copies: list[Document] = field(init=False)

    def __post_init__(self) -> None:
        self.copies = copy.deepcopy(list(self.hits))


@dataclass(slots=True)
class Order:
    """The places of the hits in their new order, or why there is none; and how long that took."""

    places: Sequence[int] = ()
    failure: str | None = None
    seconds: float = 0.0


class _Failed(Exception):
    """What a function did that leaves the hits in their order."""


def rerank_blocking(step: Rerank) -> Order:
    """Return the order that a function gives, asked in a thread of its own."""
    started = time.monotonic()
    try:
        return Order(_waited_for(step), None, time.monotonic() - started)
    except (_Failed, TimeoutError) as error:
        return _failed(step, started, error)


async def rerank_awaiting(step: Rerank) -> Order:
    """Return the order that a function gives, awaited where it is to be, else asked in a thread of its own."""
    started = time.monotonic()
    try:
        return Order(await _awaited(step), None, time.monotonic() - started)
    except (_Failed, TimeoutError) as error:
        return _failed(step, started, error)


def _waited_for(step: Rerank) -> list[int]:
    seconds = _seconds(step)
    if _is_async(step.rerank):
        raise _Failed(_MUST_BE_AWAITED)
    answer = _started(step).result(seconds)
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise _Failed(_MUST_BE_AWAITED)
    return answer


async def _awaited(step: Rerank) -> list[int]:
    seconds = _seconds(step)
    asking = asyncio.ensure_future(_asked(step))
    # Whatever becomes of what was given up is no error of anybody's.
    asking.add_done_callback(lambda asked: asked.cancelled() or asked.exception())
    try:
        # Else it may be given up before it has begun.
        await asyncio.sleep(0)
        # Not wait_for, which waits for what does not let itself be cancelled.
        done, _ = await asyncio.wait({asking}, timeout=seconds)
    finally:
        asking.cancel()
    if not done:
        raise TimeoutError
    if asking.cancelled():
        raise _Failed("rerank was cancelled")
    return asking.result()


async def _asked(step: Rerank) -> list[int]:
    try:
        if _is_async(step.rerank):
            answer: Any = step.rerank(step.question, list(step.copies))
        else:
            answer = await asyncio.wrap_future(_started(step))
        return _places(step, await answer) if inspect.isawaitable(answer) else answer
    except _Failed:
        raise
    except Exception as error:
        raise _raised(error) from error


_MUST_BE_AWAITED = "rerank must be awaited: give it to an async provider, or give this one an ordinary function"


def _seconds(step: Rerank) -> float:
    if not step.timeout:
        raise TimeoutError
    # More than a lock can wait for is as good as for ever.
    return min(step.timeout, threading.TIMEOUT_MAX)


def _failed(step: Rerank, started: float, error: Exception) -> Order:
    said = str(error) if isinstance(error, _Failed) else f"rerank has not answered within {step.timeout:g} s"
    return Order((), one_line(said), time.monotonic() - started)


def _is_async(rerank: Reranker) -> bool:
    return inspect.iscoroutinefunction(rerank) or inspect.iscoroutinefunction(rerank.__call__)


def _started(step: Rerank) -> Future[Any]:
    """Ask a function in a thread that ends with the program at the latest; brings the places, or what is to be awaited.

    Raises _Failed where too many hang.
    """
    if not _threads.acquire(blocking=False):
        raise _Failed(f"rerank was not called, for {MAX_THREADS} calls of it are still running")
    future = Future[Any]()
    # Whoever does not wait any longer cannot cancel it.
    future.set_running_or_notify_cancel()

    def ask() -> None:
        try:
            answer: Any = step.rerank(step.question, list(step.copies))
            future.set_result(answer if inspect.isawaitable(answer) else _places(step, answer))
        except _Failed as error:
            future.set_exception(error)
        except BaseException as error:
            # SystemExit too: it would end this thread in silence, and the search would wait in vain.
            future.set_exception(_raised(error))
        finally:
            _threads.release()

    try:
        threading.Thread(target=copy_context().run, args=(ask,), name="memorizz-rerank", daemon=True).start()
    except RuntimeError as error:
        _threads.release()
        raise _raised(error) from error
    return future


def _raised(error: BaseException) -> _Failed:
    return _Failed(f"rerank raised {''.join(traceback.format_exception_only(error))}")


def _places(step: Rerank, answer: Any) -> list[int]:
    """Return the places of the hits in the order of an answer; raises _Failed unless it holds each of them once."""
    if not isinstance(answer, Iterable) or isinstance(answer, str | bytes | Mapping):
        raise _Failed(
            f"rerank returned {_kind(cast(object, answer))}: expected the hits it was given, in another order"
        )
    # Hits of two stores may have one id: then the very objects tell them apart.
    objects = {id(each): place for place, each in enumerate(step.copies)}
    order: dict[int, None] = {}
    # One too many, of which there may be no end.
    for each in islice(cast("Iterable[Any]", answer), len(step.hits) + 1):
        one = cast(object, each)
        name: object = cast("Mapping[str, Any]", each).get("id") if isinstance(each, Mapping) else None
        same = [place for place, hit in enumerate(step.hits) if hit["id"] == name]
        place = objects.get(id(one), next((other for other in same if other not in order), same[0] if same else None))
        if place is None:
            what = _kind(one) if name is None else f"a hit that it was not given, {quoted(name)}"
            raise _Failed(f"rerank returned {what}: expected the hits it was given, in another order")
        if place in order:
            raise _Failed(f"rerank returned the hit {quoted(name)} twice")
        order[place] = None
    if len(order) < len(step.hits):
        raise _Failed(f"rerank returned {len(order)} of {len(step.hits)} hits: expected each of them once")
    return list(order)


def _kind(answer: object) -> str:
    return f"a {type(answer).__name__}"
