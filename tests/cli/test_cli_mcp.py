"""memorizz mcp where its extra is not installed; with it, tests_integrations/mcp tests it."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest


@pytest.mark.skipif(find_spec("mcp") is not None, reason="the extra is installed")
@pytest.mark.parametrize("arguments", [(), ("import", "memory.jsonl")])
def test_the_missing_extra_is_named(memorizz: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    """Who has not installed it reads what to install."""
    shown = memorizz("mcp", *arguments, "--memory", "ada")
    assert (shown.code, shown.stdout) == (1, "")
    assert "memorizz-postgresql[mcp]" in shown.stderr


def test_the_hosts_are_named(memorizz: Callable[..., Any]) -> None:
    """Where none is given, and where another is."""
    for arguments, code in (((), 2), (("emacs", "--memory", "ada"), 1)):
        shown = memorizz("mcp", "config", *arguments, columns=120)
        assert (shown.code, shown.stdout) == (code, "")
        assert "claude-code" in shown.stderr
        assert "codex" in shown.stderr


def test_an_address_of_the_server_is_one(memorizz: Callable[..., Any]) -> None:
    """What is no URL is not printed into a host's file."""
    shown = memorizz("mcp", "config", "cursor", "--url", "localhost:8765/mcp")
    assert (shown.code, shown.stdout) == (1, "")
    assert "expected http://" in shown.stderr


def test_options_of_the_server_are_not_lost(memorizz: Callable[..., Any]) -> None:
    """An option in front of a subcommand, where nothing would take it, is a usage error."""
    shown = memorizz("mcp", "--memory", "ada", "config", "cursor")
    assert (shown.code, shown.stdout) == (2, "")
    assert "behind" in shown.stderr
