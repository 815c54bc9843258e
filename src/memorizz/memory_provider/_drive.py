"""How an operation is run: the same for every provider, once blocking and once with await."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar, cast

from memorizz.errors import MemorizzError, ProviderClosed

S = TypeVar("S")
T = TypeVar("T")


def drive(operation: Generator[S, Any, T], perform: Callable[[S], Any]) -> T:
    """Run an operation: perform its steps, give it what they brought or the error that they met."""
    try:
        step = next(operation)
        while True:
            try:
                brought = perform(step)
            except MemorizzError as error:
                step = operation.throw(error)
            else:
                step = operation.send(brought)
    except StopIteration as done:
        return cast(T, done.value)


async def drive_awaiting(operation: Generator[S, Any, T], perform: Callable[[S], Awaitable[Any]]) -> T:
    """Run an operation whose steps are awaited."""
    try:
        step = next(operation)
        while True:
            try:
                brought = await perform(step)
            except MemorizzError as error:
                step = operation.throw(error)
            else:
                step = operation.send(brought)
    except StopIteration as done:
        return cast(T, done.value)


def check_process(opener: int) -> None:
    """Refuse to work in a forked child: two processes on one connection get each other's answers."""
    if opener != os.getpid():
        raise ProviderClosed(
            "the provider was opened before a fork, by another process: open a provider in each process"
        )
