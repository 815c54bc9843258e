"""A point in Qdrant's local folder, which its client keeps as a pickle: read step by step, and never run.

A pickle is a program, and to load it is to do what it says. Of its steps only those are known here that make plain
values, and an object of Qdrant's models is a dict of its attributes; all else is refused by name. A value that stands
in it twice is one of them, unless it is a text, so that what is read is never larger than what was written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pickletools import genops
from typing import Any

_MODELS = {("qdrant_client.http.models.models", name) for name in ("PointStruct", "SparseVector")}
# What stands in the pickle, what is made new, and what says nothing of the value.
_WRITTEN = {"SHORT_BINUNICODE", "BINUNICODE", "BINFLOAT", "BININT", "BININT1", "BININT2", "LONG1"}
_NEW: Mapping[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_SET": list, "EMPTY_TUPLE": tuple,
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
}  # fmt: skip
_SILENT = {"PROTO", "FRAME", "STOP"}
_MODEL = object()


def attributes(pickled: bytes) -> dict[str, Any]:
    """Return the attributes of a pickled point; raises ValueError for what is none, and says what stands in it."""
    stack, marks, memo = list[Any](), list[int](), list[Any]()
    try:
        for step, argument, _ in genops(pickled):
            _do(step.name, argument, stack, marks, memo)
        [made] = stack
        found: dict[str, Any] = {**made["__dict__"]}
    except (IndexError, KeyError, TypeError, AttributeError) as error:
        raise ValueError("it is damaged") from error
    return found


def _do(step: str, argument: Any, stack: list[Any], marks: list[int], memo: list[Any]) -> None:
    """Do one step, as the documentation of pickletools says what it does."""
    if step in _WRITTEN:
        stack.append(argument)
    elif step in _NEW:
        stack.append(_NEW[step]())
    elif step == "MEMOIZE":
        memo.append(stack[-1])
    elif step in ("BINGET", "LONG_BINGET"):
        if not (isinstance(memo[argument], str) or memo[argument] is _MODEL):
            raise ValueError("a value stands in it twice")
        stack.append(memo[argument])
    elif step == "MARK":
        marks.append(len(stack))
    elif step in ("SETITEM", "SETITEMS", "APPEND", "APPENDS", "ADDITEMS"):
        begin = marks.pop() if step.endswith("S") else len(stack) - (2 if step == "SETITEM" else 1)
        values = stack[begin:]
        del stack[begin:]
        if step.startswith("SET"):
            stack[-1].update(zip(values[::2], values[1::2], strict=True))
        else:
            stack[-1].extend(values)
    elif step == "STACK_GLOBAL":
        name, module = stack.pop(), stack.pop()
        if (module, name) not in _MODELS:
            raise ValueError(f"an object of {module}.{name}, and only points of Qdrant are read"[:200])
        stack.append(_MODEL)
    elif step == "NEWOBJ":
        if (stack.pop(), stack.pop()) != ((), _MODEL):
            raise ValueError("an object that is made in another way than a point of Qdrant")
        stack.append({})
    elif step == "BUILD":
        state = stack.pop()
        stack[-1].update(state)
    elif step not in _SILENT:
        raise ValueError(f"the step {step}, which no point of Qdrant needs")
