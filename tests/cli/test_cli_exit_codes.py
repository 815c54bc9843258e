"""The exit codes that the page promises: each of its examples is run, and ends with the code that it stands by."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from memorizz import PostgreSQLProvider

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "command-line.md"
SECTION = PAGE.read_text("utf-8").partition("## Exit codes")[2].partition("\n## ")[0]
# Of each row its code, and its examples.
ROWS = {
    int(code): re.findall(r"`memorizz ([^`]+)`", examples)
    for code, examples in re.findall(r"^\| (\d+) \|.*\|([^|]*)\|$", SECTION, re.MULTILINE)
}
# What the page does not show, for nobody should type it.
WRONG = [(2, "fly"), (2, "list --oldest-of-all")]
EXAMPLES = [(code, example) for code, examples in ROWS.items() for example in examples] + WRONG


def start(example: str, dsn: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POSTGRES_")}
    return subprocess.Popen(
        [sys.executable, "-m", "memorizz", *shlex.split(example), "--dsn", dsn],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def test_every_code_has_examples() -> None:
    """So that no row of the page goes untried."""
    assert sorted(ROWS) == [0, 1, 2, 130]
    assert all(ROWS.values())


@pytest.mark.parametrize(("code", "example"), [each for each in EXAMPLES if each[0] != 130])
def test_a_command_ends_with_its_code(provider: PostgreSQLProvider, migrated_dsn: str, code: int, example: str) -> None:
    """An error is one line on stderr; a wrong command line says how it goes; a yes complains of nothing."""
    provider.store({"content": "tea"}, "long_term_memory")
    ran = start(example, migrated_dsn)
    said, complained = ran.communicate(timeout=60)
    assert ran.returncode == code, (said, complained)
    assert "Traceback" not in complained
    if code == 2:
        assert "Usage:" in complained
    elif code == 0:
        assert complained == ""


@pytest.mark.skipif(sys.platform == "win32", reason="it has no SIGINT for another process")
@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("example", ROWS[130])
def test_an_interrupted_command_ends_with_its_code(
    provider: PostgreSQLProvider, migrated_dsn: str, example: str
) -> None:
    """In the middle of its work, where it waits for another transaction; nothing is half done."""
    provider.store({"content": "tea", "embedding": [1, 0, 0, 0]}, "long_term_memory")
    waiting = (
        "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database "
        "WHERE NOT granted AND datname = current_database()"
    )
    with psycopg.connect(migrated_dsn) as other:
        other.execute("LOCK TABLE long_term_memory IN ACCESS EXCLUSIVE MODE")
        ran = start(example, migrated_dsn)
        end = time.monotonic() + 60
        while other.execute(waiting).fetchone() == (0,):
            assert ran.poll() is None, ran.communicate()
            assert time.monotonic() < end
            time.sleep(0.05)
        ran.send_signal(signal.SIGINT)
        _, complained = ran.communicate(timeout=60)
    assert (ran.returncode, "Traceback" in complained) == (130, False), complained
    assert provider.count("long_term_memory") == 1
