"""How an operation is run, on both APIs: what its steps get, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator
from typing import Any

import pytest

from memorizz.errors import DatabaseError, FilterError
from memorizz.memory_provider._drive import _async, _sync, can_be_read_again

Operation = Generator[str, Any, str]


@pytest.fixture(params=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Run an operation with a function that performs its steps."""
    if request.param == "sync":
        return _sync.drive

    def run(operation: Operation, perform: Callable[[str], Any]) -> Any:
        async def awaited(step: str) -> Any:
            return perform(step)

        return asyncio.run(_async.drive(operation, awaited))

    return run


def fail(error: BaseException) -> Callable[[str], Any]:
    def perform(_: str) -> Any:
        raise error

    return perform


def test_an_operation_gets_the_result_of_each_step(drive: Callable[..., Any]) -> None:
    """In order, and its own result is returned."""

    def operation() -> Operation:
        first = yield "a"
        second = yield first + "b"
        return second + "!"

    assert drive(operation(), str.upper) == "AB!"


def test_an_operation_may_handle_an_error_of_ours(drive: Callable[..., Any]) -> None:
    """It is raised where the step was asked for; what it raises in its place, or does not handle, comes out."""

    def operation(catches: type[Exception]) -> Operation:
        try:
            yield "step"
        except catches:
            return "handled"
        return "not reached"

    assert drive(operation(DatabaseError), fail(DatabaseError("no"))) == "handled"
    with pytest.raises(DatabaseError, match="no"):
        drive(operation(FilterError), fail(DatabaseError("no")))


@pytest.mark.parametrize("error", [StopIteration("end"), KeyError("x"), GeneratorExit(), KeyboardInterrupt()], ids=repr)
def test_any_other_exception_ends_the_operation(drive: Callable[..., Any], error: BaseException) -> None:
    """It is never taken for the end of the operation, nor for an error it may handle; the operation is closed."""
    closed: list[bool] = []

    def operation() -> Operation:
        try:
            yield "step"
        except Exception:
            return "handled"
        finally:
            closed.append(True)
        return "done"

    # A coroutine cannot raise StopIteration: Python makes a RuntimeError of it.
    with pytest.raises((type(error), RuntimeError)):
        drive(operation(), fail(error))
    assert closed == [True]


@pytest.mark.parametrize("api", ["sync", "async"])
def test_a_failed_attempt_is_repeated_where_it_may_be(api: str, caplog: pytest.LogCaptureFixture) -> None:
    """Until one succeeds, or fails with what is not to be repeated; the log has how often, and after what."""
    caplog.set_level(logging.DEBUG, "memorizz")

    def run(failures: list[Exception]) -> tuple[Any, int]:
        made: list[int] = []

        def attempt() -> str:
            made.append(1)
            if failures:
                raise failures.pop(0)
            return "done"

        async def awaited() -> str:
            return attempt()

        def may_repeat(error: Exception) -> bool:
            return isinstance(error, DatabaseError)

        logger = logging.getLogger("memorizz.postgresql")
        if api == "sync":
            return _sync.repeated(attempt, may_repeat, logger), len(made)
        return asyncio.run(_async.repeated(awaited, may_repeat, logger)), len(made)

    assert run([]) == ("done", 1)
    assert run([DatabaseError("one"), DatabaseError("two")]) == ("done", 3)
    told = [(record.__dict__["attempts"], record.__dict__["error"]) for record in caplog.records]
    assert told == [(1, "DatabaseError"), (2, "DatabaseError")]
    with pytest.raises(FilterError):
        run([DatabaseError("one"), FilterError("two")])


def test_only_what_can_be_read_again_is() -> None:
    """A list or a tuple can; whatever else is iterated may be used up, also where it is no iterator."""

    class Queue:
        def __iter__(self) -> Any:
            return iter(())

    assert all(map(can_be_read_again, ["toolbox", [{}], ({},), None, 5]))
    assert not any(map(can_be_read_again, [iter([]), Queue(), (each for each in [])]))
