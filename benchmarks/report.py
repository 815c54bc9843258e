"""What a run is told by: the machine, the tables, results.json and the page that is made of it."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg

STORED = Path(__file__).with_name("results.json")
PAGE = Path(__file__).with_name("RESULTS.md")
_SETTINGS = ("fsync", "synchronous_commit", "shared_buffers", "maintenance_work_mem", "work_mem")

Record = dict[str, Any]
Lines = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Part:
    """What a workload brings: under which key it is stored, the figures, and the data that they were measured on."""

    key: str
    record: Record
    data: str

    @property
    def workload(self) -> str:
        return self.key.partition("/")[0]


@dataclass(frozen=True)
class Table:
    """A table of a report."""

    title: str
    head: Sequence[str]
    body: Lines

    def markdown(self) -> str:
        rows = [self.head, ["---"] * len(self.head), *self.body]
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)

    def show(self) -> None:
        try:
            from rich.console import Console
            from rich.table import Table as Printed
        except ImportError:
            print(f"{self.title}\n{self.markdown()}")
            return
        table = Printed(*self.head, title=self.title, title_justify="left")
        for line in self.body:
            table.add_row(*line)
        Console(width=None if sys.stdout.isatty() else 160).print(table)


def number(value: float, unit: str) -> str:
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 3}f} {unit}"


def target(reached: bool | None) -> str:
    return {True: "reached", False: "missed", None: ""}[reached]


# --- the machine --------------------------------------------------------------------------------------------------


def machine(conninfo: str) -> dict[str, str]:
    """Say what the figures are measured on."""
    with psycopg.connect(conninfo, autocommit=True) as connection:

        def ask(statement: str, *values: Any) -> Any:
            row = connection.execute(statement, values).fetchone()
            return row[0] if row else "none"

        settings = {name: ask("SELECT current_setting(%s)", name) for name in _SETTINGS}
        postgresql = ask("SHOW server_version")
        pgvector = ask("SELECT default_version FROM pg_available_extensions WHERE name = 'vector'")
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {_memory()}, {_system()}",
        "PostgreSQL": f"{postgresql}, pgvector {pgvector}",
        "Python": f"{platform.python_version()}, psycopg {version('psycopg')} ({psycopg.pq.__impl__}), "
        f"psycopg-pool {version('psycopg-pool')}, numpy {version('numpy')}",
        "settings": ", ".join(f"{name} = {value}" for name, value in settings.items()),
    }


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


def load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def run(part: Part, command: str, load_before: str, seconds: float) -> dict[str, str]:
    """Say what run a part comes from."""
    return {
        "command": command,
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "data": part.data,
        "load": f"{load_before} before, {load()} after, of which the benchmark itself is about 1",
        "took": f"{seconds / 60:.1f} minutes",
    }


# --- what is kept -------------------------------------------------------------------------------------------------


def stored() -> dict[str, Any]:
    """Return every part that was written, by its key."""
    return json.loads(STORED.read_text("utf-8")) if STORED.exists() else {}


def store(part: Part, machine: dict[str, str], run: dict[str, str]) -> None:
    """Keep a part in the place of the one that was measured before."""
    everything = stored() | {part.key: {"machine": machine, "run": run, "record": _rounded(part.record)}}
    STORED.write_text(json.dumps(dict(sorted(everything.items())), indent=1) + "\n", "utf-8")


def _rounded(value: Any) -> Any:
    """Return figures with as many digits as they mean."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value


def put_between(page: Path, name: str, text: str) -> None:
    """Replace what stands between the markers of a name in a page."""
    start, end = f"<!-- {name}: written by a command -->", f"<!-- /{name} -->"
    before, found, rest = page.read_text("utf-8").partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"{page} has no place for {name}: write {start} and {end} into it")
    page.write_text(f"{before}{start}\n{text}\n{end}{after}", "utf-8")
