"""memorizz console where its extra is not installed; with it, tests_integrations/console tests it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest


@pytest.mark.parametrize("missing", ["jinja2", "starlette", "uvicorn"])
def test_the_missing_extra_of_the_console_is_named(
    memorizz: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Who has not installed it reads what to install."""
    for name in [name for name in sys.modules if name.startswith(("memorizz.console", "memorizz._serving", missing))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    shown = memorizz("console", "--no-browser")
    assert (shown.code, shown.stdout) == (1, "")
    assert "memorizz-postgresql[console]" in shown.stderr
