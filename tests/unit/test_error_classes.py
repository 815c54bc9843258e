"""The errors as objects: copied, pickled, raised in another process, and with hostile values in their messages."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

from memorizz import errors
from memorizz.errors import (
    ConnectionFailed,
    DimensionMismatch,
    EmbeddingFailed,
    InvalidDocument,
    InvalidFile,
    MemorizzError,
    one_line,
    quoted,
)


def classes(base: type[MemorizzError] = MemorizzError) -> Iterator[type[MemorizzError]]:
    if base.__module__ == errors.__name__:
        yield base
    for each in base.__subclasses__():
        yield from classes(each)


# How the classes are made that take more than a message.
MADE: dict[type[MemorizzError], Callable[[], MemorizzError]] = {
    ConnectionFailed: lambda: ConnectionFailed("the outcome is unknown", ids=["a", "b"]),
    InvalidDocument: lambda: InvalidDocument("metadata.tags[2]", "is wrong"),
    DimensionMismatch: lambda: DimensionMismatch(expected=3, got=2, store="toolbox"),
    InvalidFile: lambda: InvalidFile("file.jsonl", "line 2", "altered"),
    EmbeddingFailed: lambda: EmbeddingFailed("model", "slow down", status=429, transient=True, retry_after=1.5),
}


def made(kind: type[MemorizzError]) -> MemorizzError:
    return MADE[kind]() if kind in MADE else kind("what was wrong")


def fail(kind: type[MemorizzError]) -> None:
    """Raise an error, in a worker process."""
    raise made(kind)


def assert_same(found: BaseException, error: MemorizzError) -> None:
    assert type(found) is type(error)
    assert str(found) == str(error) != ""
    assert found.args == error.args
    assert vars(found) == vars(error)


def pickled(protocol: int) -> Callable[[Any], Any]:
    return lambda error: pickle.loads(pickle.dumps(error, protocol))


WAYS = [copy.copy, copy.deepcopy, *map(pickled, range(pickle.HIGHEST_PROTOCOL + 1))]


@pytest.mark.parametrize("kind", list(classes()), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("way", WAYS)
def test_an_error_is_copied_with_all_it_says(kind: type[MemorizzError], way: Callable[[Any], Any]) -> None:
    """A copy, by whatever way, has the class, the message, the attributes and the notes."""
    error = made(kind)
    error.add_note("while the batch was stored")
    assert_same(way(error), error)


def test_an_error_of_a_callers_own_class_is_copied() -> None:
    """A subclass may make its message of whatever it likes."""
    for way in WAYS:
        assert_same(way(Own(size=3)), Own(size=3))


class Own(InvalidDocument):
    def __init__(self, *, size: int) -> None:
        super().__init__("size", f"it is {size}")
        self.size = size


def test_an_error_comes_out_of_another_process() -> None:
    """What a worker of a process pool raises arrives as itself, and the pool works on."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for kind in classes():
            assert_same(pool.submit(fail, kind).exception(timeout=60), made(kind))


def test_a_lost_write_names_its_documents() -> None:
    """The ids are a tuple, empty unless there are any; the error is Python's ConnectionError too."""
    assert ConnectionFailed("no server").ids == ()
    error = ConnectionFailed("the outcome is unknown", ids=(str(number) for number in range(2)))
    assert error.ids == ("0", "1")
    assert isinstance(error, ConnectionError)
    assert str(error) == "the outcome is unknown"


HOSTILE = "a\nb\r\n\x1b[2Jc\x00\x85\u2028\u2029\x0b\x0c\u202ed\ud800"


@pytest.mark.parametrize(
    "error",
    [
        *(kind(f"unknown {HOSTILE}") for kind in classes() if kind not in MADE),
        ConnectionFailed(HOSTILE),
        InvalidDocument(HOSTILE, HOSTILE),
        DimensionMismatch(expected=3, got=2, store=HOSTILE),
        InvalidFile(HOSTILE, HOSTILE, HOSTILE),
        EmbeddingFailed(HOSTILE, HOSTILE),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_message_is_one_line(error: MemorizzError) -> None:
    """No line break and nothing that a terminal would obey stands in a message, whatever a caller's value holds."""
    assert str(error).isprintable()
    assert "a\\nb\\r\\n\\x1b[2Jc" in str(error)
    assert getattr(error, "reason", "").isprintable()


def test_a_message_keeps_what_can_be_read() -> None:
    """Other alphabets, and the spaces that French puts before a colon, are left as they are."""
    said = "« été »\u00a0: 記憶 🧠"
    assert str(MemorizzError(said)) == said


def test_a_long_message_keeps_both_ends() -> None:
    """A value of any length leaves room for what was wrong and for what to do."""
    said = str(MemorizzError(f"unknown store {'x' * 10_000_000}: expected one of these"))
    assert len(said) < 5000
    assert said.startswith("unknown store xxx")
    assert said.endswith("xxx: expected one of these")


class Broken:
    def __repr__(self) -> str:
        raise KeyError


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("tea", "'tea'"),
        ("it's\n", '"it\'s\\n"'),
        (None, "None"),
        ({"$ne": 1}, "{'$ne': 1}"),
        (10**5000, "<int>"),
        (Broken(), "<Broken>"),
        ([Broken()], "<list>"),
        ("x" * 80, f"'{'x' * 80}'"),
        ("x" * 81, f"'{'x' * 79}..."),
        (b"\n", "b'\\n'"),
    ],
    ids=quoted,
)
def test_a_value_is_quoted(value: object, shown: str) -> None:
    """A value stands in a message as its repr; one that has none, or is too long, does no harm."""
    assert quoted(value) == shown


def test_the_length_of_a_quoted_value_is_bounded() -> None:
    """A value that is long only once it is written out is cut too."""
    assert len(quoted("\n" * 80)) < 90
    assert len(quoted(list(range(1000)), 20)) < 30
    assert one_line(quoted(HOSTILE)) == quoted(HOSTILE)
