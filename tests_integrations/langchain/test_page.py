"""The page: its programs run, one after the other, on one database."""

from collections.abc import Callable


def test_page(run_page: Callable[[str], list[str]]) -> None:
    """They print what the page says."""
    run_page("langchain.md")
