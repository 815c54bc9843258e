"""Calls of different methods that are made together: what each runs is what its method would run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, cast

from memorizz.errors import ConfigurationError, quoted
from memorizz.memory_provider.base._sync import MemoryOperations
from memorizz.memory_provider.options import Call

Noted = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class _Notes(MemoryOperations):
    """Notes what its methods would run, and runs nothing."""

    operations: ClassVar[Any] = None

    def __init__(self, operations: Any) -> None:
        vars(self)["operations"] = operations

    def run(self, operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return operation, args, kwargs

    run_in_transaction = run


# A view is no call, and `operations` no method.
_OTHERS = ("operations", "tenant", "memory")
_METHODS = sorted(
    name for name in dir(MemoryOperations) if not name.startswith(("_", "run", "iterate")) and name not in _OTHERS
)


def noted(operations: Any, calls: Sequence[Call]) -> list[Noted]:
    """Return the operation and the arguments of each call; raises what a method does for wrong arguments."""
    if not isinstance(cast(object, calls), list | tuple):
        # They may be gone through more than once.
        raise ConfigurationError(f"calls: run_many() takes a list of Calls, got {type(calls).__name__}")
    notes = _Notes(operations)
    found: list[Noted] = []
    for call in calls:
        if not isinstance(cast(object, call), Call):
            raise ConfigurationError(
                f"calls: run_many() takes a list of Calls, not of {type(call).__name__}: Call('store', document, "
                "store) of memorizz.memory_provider.base"
            )
        if call.method not in _METHODS:
            raise ConfigurationError(f"Call({quoted(call.method)}): expected one of {', '.join(_METHODS)}")
        try:
            found.append(getattr(notes, call.method)(*call.args, **call.kwargs))
        except TypeError as error:
            raise ConfigurationError(f"Call({quoted(call.method)}): {error}") from None
    return found
