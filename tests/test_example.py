"""The example: it runs, says what the seed says it says, and can be run again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

EXAMPLE = Path(__file__).parent.parent / "examples" / "postgresql_example.py"
VARIABLES = {"host": "HOST", "port": "PORT", "dbname": "DB", "user": "USER", "password": "PASSWORD"}


def environment(dsn: str) -> dict[str, str]:
    """The environment of a program that takes its server from POSTGRES_*."""
    given = conninfo_to_dict(dsn)
    return {**os.environ, **{f"POSTGRES_{name}": str(given[key]) for key, name in VARIABLES.items() if key in given}}


def run(dsn: str) -> list[str]:
    command = [sys.executable, "-W", "error", "-X", "utf8", EXAMPLE]
    result = subprocess.run(command, env=environment(dsn), capture_output=True, encoding="utf-8", check=False)
    assert result.stderr == ""
    assert result.returncode == 0
    return result.stdout.splitlines()


def test_the_example_runs_twice(dsn: str) -> None:
    """It begins and ends as announced, and a second run is as good as the first."""
    first, second = run(dsn), run(dsn)
    for lines in (first, second):
        assert lines[:5] == [
            "🚀 PostgreSQL Memory Provider Example",
            "=" * 50,
            "📡 Connecting to PostgreSQL...",
            "✅ Connected successfully!",
            "📝 Example 1: Storing a Persona",
        ]
        assert re.fullmatch(r"✅ Stored persona with ID: [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", lines[5])
        assert lines[-1] == "🎉 All examples completed successfully!"
    assert first[6:] == second[6:]


def test_the_example_finds_what_it_says(dsn: str) -> None:
    """What the examples claim of their hits is true."""
    lines = run(dsn)
    place = lines.index("   What happens after the bridge opens?")
    assert lines[place + 1].endswith("The tide turns twenty minutes after the bridge opens")
    assert any("others are nearer: The lighthouse keeper" in line for line in lines)
