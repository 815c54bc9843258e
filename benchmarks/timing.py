"""Time ways of doing the same, in turns: what else the machine does meets all of them alike."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Way = Callable[[int], Any]
# What every way took, in milliseconds.
Times = dict[str, list[float]]


def in_turns(
    ways: Mapping[str, Way],
    turns: int,
    *,
    warm: int | None = None,
    seconds: float = float("inf"),
    note: Callable[[str, int, Any], None] | None = None,
    before: Callable[[int], None] | None = None,
) -> Times:
    """Do each turn in every way; each way is told the number of the turn, so that all do the same work.

    The first `warm` turns, which have negative numbers, do not count. After `seconds` there are no more turns than
    twenty. `note` is told the answer that a way gave; `before` makes ready what a turn needs, which takes no time.
    """
    took: Times = {name: [] for name in ways}
    until = time.perf_counter() + seconds
    for turn in range(-max(1, turns // 20) if warm is None else -warm, turns):
        if turn >= 20 and time.perf_counter() > until:
            break
        if before is not None:
            before(turn)
        for name in _order(ways, turn):
            started = time.perf_counter()
            answer = ways[name](turn)
            if turn >= 0:
                took[name].append((time.perf_counter() - started) * 1000)
                if note is not None:
                    note(name, turn, answer)
    return took


async def in_turns_awaited(ways: Mapping[str, Callable[[int], Awaitable[Any]]], turns: int) -> Times:
    """The same with await."""
    took: Times = {name: [] for name in ways}
    for turn in range(-10, turns):
        for name in _order(ways, turn):
            started = time.perf_counter()
            await ways[name](turn)
            if turn >= 0:
                took[name].append((time.perf_counter() - started) * 1000)
    return took


def _order(ways: Mapping[str, Any], turn: int) -> list[str]:
    """Draw the order of a turn, the same in every run: who comes later finds pages warm, or what another has left."""
    return random.Random(turn).sample(list(ways), len(ways))
