"""The page about it is true."""

from __future__ import annotations

from collections.abc import Callable


def test_the_page_runs(run_page: Callable[[str], list[str]]) -> None:
    """Its programs print what they say, one after the other on one database: the second finds what the first stored."""
    assert len(run_page("mcp.md")) == 2
