"""The command line, run in this process."""

from __future__ import annotations

import io
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import pytest

from memorizz.cli import app


@dataclass(frozen=True)
class Result:
    """What a command printed, and its exit code."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


@pytest.fixture
def memorizz(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `memorizz` with arguments, on a terminal of `columns`, away from any server that the environment names."""
    for name in ("HOST", "PORT", "DB", "USER", "PASSWORD"):
        monkeypatch.delenv(f"POSTGRES_{name}", raising=False)

    def run(*arguments: object, columns: int = 80) -> Result:
        monkeypatch.setenv("COLUMNS", str(columns))
        code: Any = 0
        with redirect_stdout(io.StringIO()) as stdout, redirect_stderr(io.StringIO()) as stderr:
            try:
                app([str(argument) for argument in arguments])
            except SystemExit as end:
                code = end.code
        return Result(code or 0, stdout.getvalue(), stderr.getvalue())

    return run


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C interrupts: what a shell starts in the background ignores it, tests included."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
