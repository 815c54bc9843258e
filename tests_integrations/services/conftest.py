"""The program of a page in a folder of its own, and what asks until something is so."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PAGES = Path(__file__).parent.parent.parent / "docs" / "integrations"


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Path]:
    """Write the program of a page into the file that its first line names; return the folder."""

    def write(page: str) -> Path:
        (text,) = re.findall(r"^```python\n(.*?)^```", (PAGES / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)
        (tmp_path / text.splitlines()[0].removeprefix("# ")).write_text(text, "utf-8")
        return tmp_path

    return write


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """Wait until something is so."""

    def wait(is_so: Callable[[], object]) -> None:
        give_up = time.monotonic() + 60
        while not is_so():
            assert time.monotonic() < give_up
            time.sleep(0.05)

    return wait
