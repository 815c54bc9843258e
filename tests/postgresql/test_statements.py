"""docs/statements.sql: what is sent to the server, for a person to read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from memorizz.memory_provider.base import MemoryOperations

ROOT = Path(__file__).parents[2]
# What sends the statements of others.
ALIKE = {
    "check", "store_memagent", "update_memagent", "retrieve_memagent", "list_memagents", "delete_memagent_memory_ids",
    "retrieve_memory_components_by_query",
    "recall", "duplicates", "scope",
    "remember",
    "tenant",
}  # fmt: skip


def test_the_page_has_what_is_sent() -> None:
    """Statement by statement, as it goes out today: `make docs` writes it again."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("POSTGRES_", "PG"))}
    command = [sys.executable, ROOT / "scripts" / "make_statements.py", "--check"]
    result = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_every_method_is_on_the_page() -> None:
    """Save those that send the statements of others."""
    page = (ROOT / "docs" / "statements.sql").read_text("utf-8")
    methods = {name for name in dir(MemoryOperations) if not name.startswith(("_", "run"))}
    assert {name for name in methods - ALIKE if f"-- {name}" not in page} == set()
