"""How an operation is run, the same for every provider: `_async` is written, `_sync` generated."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from typing import Any

from memorizz.errors import ProviderClosed

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
