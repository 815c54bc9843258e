"""What run_many does: the operations of several calls, in order, with as few round trips as they need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from memorizz.memory_provider._calls import noted
from memorizz.memory_provider.options import Call
from memorizz.memory_provider.postgresql import operations
from memorizz.memory_provider.postgresql._steps import Operation, Query, fetch_all
from memorizz.memory_provider.postgresql.facts import Facts
from memorizz.memory_provider.postgresql.operations.embedding import embed_many
from memorizz.memory_provider.postgresql.operations.storing import store_many, supersede

_UNDONE: Any = object()


def run_many(facts: Facts, calls: Sequence[Call]) -> Operation[list[Any]]:
    """Run the calls in one transaction; statements that are the last of their calls wait for those that follow."""
    running = _begun(facts, calls)
    results: list[Any] = [_UNDONE] * len(running)
    waiting: dict[int, Query] = {}
    for place, operation in enumerate(running):
        step = _next(operation, results, place)
        if isinstance(step, Query) and step.last:
            waiting[place] = step
        elif step is not None:
            yield from _fetch(waiting, running, results)
            while step is not None:
                step = _next(operation, results, place, (yield step))
    yield from _fetch(waiting, running, results)
    return results


def run_at_once(facts: Facts, calls: Sequence[Call]) -> Operation[list[Any] | None]:
    """Run the calls by one pipeline, which is a transaction; None, and nothing done, where one needs more than that."""
    running = _begun(facts, calls)
    results: list[Any] = [_UNDONE] * len(running)
    steps = {place: _next(operation, results, place) for place, operation in enumerate(running)}
    waiting = {place: step for place, step in steps.items() if isinstance(step, Query) and step.last}
    if any(step is not None for place, step in steps.items() if place not in waiting):
        return None
    yield from _fetch(waiting, running, results)
    return results


def _begun(facts: Facts, calls: Sequence[Call]) -> list[Operation[Any]]:
    """Return the operations of the calls, none of which has done anything."""
    begun: list[Operation[Any]] = []
    for operation, args, kwargs in noted(operations, calls):
        args, kwargs = facts.scope.call(operation, args, kwargs)
        if operation in (store_many, supersede):
            begun.append(_embedded_first(operation, facts, *args, **kwargs))
        else:
            begun.append(operation(facts, *args, **kwargs))
    return begun


def _embedded_first(
    operation: Callable[..., Operation[Any]],
    facts: Facts,
    documents: Iterable[Mapping[str, Any]],
    memory_store_type: Any,
    *others: Any,
) -> Operation[Any]:
    embedded = yield from embed_many(facts, documents, memory_store_type)
    return (yield from operation(facts, embedded, memory_store_type, *others))


def _next(operation: Operation[Any], results: list[Any], place: int, rows: Any = None) -> Any:
    """Return the next step of an operation; None where it is done, with its result in its place."""
    try:
        return operation.send(rows)
    except StopIteration as done:
        results[place] = done.value
        return None


def _fetch(waiting: dict[int, Query], running: Sequence[Operation[Any]], results: list[Any]) -> Operation[None]:
    """Send the statements that wait, as one pipeline, and end their operations."""
    rows = yield from fetch_all(list(waiting.values()))
    for place, of_one in zip(waiting, rows, strict=True):
        _next(running[place], results, place, of_one)
    waiting.clear()
