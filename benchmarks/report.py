"""What a run is told by: the machine, the tables, and the page that keeps them."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psycopg

from benchmarks.data import DIMENSIONS
from benchmarks.memory import LIMIT, Growth
from benchmarks.operations import Result

RESULTS = Path(__file__).with_name("RESULTS.md")
_SETTINGS = ("fsync", "synchronous_commit", "shared_buffers", "maintenance_work_mem", "work_mem", "plan_cache_mode")

Lines = Sequence[Sequence[str]]
HEAD = ("operation", "raw", "provider", "ratio", "target", "", "turns", "")


def lines(results: Sequence[Result]) -> Lines:
    """Return the results as the lines of a table."""
    return [
        (
            result.name,
            _number(result.raw, result.unit),
            _number(result.provider, result.unit),
            f"{result.ratio:.2f}",
            "" if result.target is None else f"{'≤' if result.unit == 'ms' else '≥'} {result.target}",
            {True: "reached", False: "missed", None: ""}[result.reached],
            str(result.repeated),
            result.note,
        )
        for result in results
    ]


def memory_lines(growths: Sequence[Growth]) -> Lines:
    return [(each.name, f"{each.megabytes:.0f} MB", "reached" if each.reached else "missed") for each in growths]


MEMORY_HEAD = ("stream", "above the start", f"target: {LIMIT} MB")


def machine(conninfo: str, rows: int) -> dict[str, str]:
    """Say what the figures were measured on."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        settings = {name: connection.execute("SELECT current_setting(%s)", (name,)).fetchone()[0] for name in _SETTINGS}
        postgresql = connection.execute("SHOW server_version").fetchone()[0]
        pgvector = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()[0]
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{_processor()}, {os.cpu_count()} cores, {_memory()}, {_system()}",
        "PostgreSQL": f"{postgresql}, pgvector {pgvector}",
        "Python": f"{platform.python_version()}, psycopg {version('psycopg')} ({psycopg.pq.__impl__}), "
        f"psycopg-pool {version('psycopg-pool')}, numpy {version('numpy')}",
        "settings": ", ".join(f"{name} = {value}" for name, value in settings.items()),
        "data": f"{rows:,} documents and a conversation of {rows:,} turns, {DIMENSIONS:,} dimensions, HNSW",
    }


def show(title: str, head: Sequence[str], body: Lines) -> None:
    """Print a table."""
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        print(f"{title}\n{_markdown(head, body)}")
        return
    table = Table(*head, title=title, title_justify="left")
    for line in body:
        table.add_row(*line)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def write(facts: dict[str, str], results: Sequence[Result], growths: Sequence[Growth]) -> None:
    """Write RESULTS.md."""
    parts = [_INTRODUCTION, _markdown(("", ""), list(facts.items())), _markdown(HEAD, lines(results))]
    if growths:
        parts.append(_markdown(MEMORY_HEAD, memory_lines(growths)))
    RESULTS.write_text("\n\n".join(parts) + "\n")


_INTRODUCTION = """# Results

Written by `python -m benchmarks --write`. The same work was done by hand-written psycopg (`raw.py`) and by the
provider, in turns within one run; the times are medians. A ratio holds from machine to machine, a time does not."""


def _markdown(head: Sequence[str], body: Lines) -> str:
    rows = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _number(value: float, unit: str) -> str:
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 3}f} {unit}"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GB"
    except (ValueError, OSError):
        return "memory unknown"


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.platform()
