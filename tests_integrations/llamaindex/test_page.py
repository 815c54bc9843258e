"""The how-to page runs: memory is kept over two processes."""

from __future__ import annotations

from collections.abc import Callable


def test_the_page_runs(run_page: Callable[[str], list[str]]) -> None:
    """Each of its programs, one after the other, on one database."""
    run_page("llamaindex.md")
