"""The page of LangGraph: its programs, one process after the other on one database, print what it says."""

from __future__ import annotations

from collections.abc import Callable


def test_the_page_runs(run_page: Callable[[str], list[str]]) -> None:
    """Memory is kept over two processes, one on the sync API and one on the async."""
    run_page("langgraph.md")
