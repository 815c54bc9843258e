"""Every workload, and the pages and pictures that are made of what they brought; nothing here measures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from benchmarks import (
    cells,
    console,
    drift,
    footprint,
    hops,
    hybrid,
    inside,
    langgraph,
    mcp,
    memory,
    mix,
    moving,
    openai_sessions,
    operations,
    peers,
    reclaiming,
    report,
    retrieval,
    scale,
    sessions,
    sizes,
    throughput,
    wall,
    words,
)
from benchmarks.lab import Lab
from benchmarks.report import Part, Record, Table

ROOT = Path(__file__).parent.parent


class Workload(Protocol):
    """What each of them has; `TAKES` is for a person who waits."""

    TAKES: str

    def measure(self, lab: Lab) -> Iterator[Part]: ...

    def tables(self, record: Record) -> list[Table]: ...


WORKLOADS: dict[str, Any] = {
    "hops": hops,
    "operations": operations,
    "inside": inside,
    "throughput": throughput,
    "mix": mix,
    "cells": cells,
    "drift": drift,
    "hybrid": hybrid,
    "words": words,
    "scale": scale,
    "wall": wall,
    "memory": memory,
    "footprint": footprint,
    "mcp": mcp,
    "console": console,
    "sessions": sessions,
    "sizes": sizes,
    "reclaiming": reclaiming,
    "moving": moving,
    "retrieval": retrieval,
    "peers": peers,
    "langgraph": langgraph,
    "openai_sessions": openai_sessions,
}
# What needs nothing but this project.
USUAL = ["operations", "cells", "hybrid", "memory"]

_INTRODUCTION = """# Results

Written by `python -m benchmarks --write`, out of `results.json`, where each figure is. Everything that is compared took
turns within one run; times are medians. A ratio holds from machine to machine, a time does not.
[docs/benchmarks.md](../docs/benchmarks.md) says what each workload does."""


def write() -> None:
    """Write RESULTS.md and the tables of docs/benchmarks.md and docs/how-to/sizes.md."""
    everything = report.stored()
    parts = [_INTRODUCTION]
    machines = list({json.dumps(part["machine"]) for part in everything.values()})
    if len(machines) == 1:
        parts.append(_facts(json.loads(machines[0])))
    for name in WORKLOADS:
        # The small before the large, as numbers.
        for key in sorted(everything, key=lambda key: [int(each) for each in re.findall(r"\d+", key)]):
            if key.partition("/")[0] == name:
                part = everything[key]
                parts += _part(name, part, part["run"] | (part["machine"] if len(machines) > 1 else {}))
    report.PAGE.write_text("\n\n".join(parts) + "\n", "utf-8")
    if "peers" in everything:
        report.put_between(ROOT / "docs" / "benchmarks.md", "peers", _comparison(everything["peers"]))
    if "sizes" in everything:
        report.put_between(ROOT / "docs" / "how-to" / "sizes.md", "sizes", _sizes(everything["sizes"]))


def _part(name: str, part: dict[str, Any], facts: dict[str, str]) -> Iterator[str]:
    yield f"## {name.capitalize()}: {facts['data']}"
    yield _facts({key: value for key, value in facts.items() if key != "data"})
    for table in WORKLOADS[name].tables(part["record"]):
        yield f"{table.title}:"
        yield table.markdown()


def _facts(facts: dict[str, str]) -> str:
    return Table("", ("", ""), list(facts.items())).markdown()


def _comparison(part: dict[str, Any]) -> str:
    """Return the table of docs/benchmarks.md of the peers, and what run it comes from."""
    (table,) = peers.tables(part["record"])
    versions = ", ".join(f"{name} {version}" for name, version in part["record"]["versions"].items())
    run, machine = part["run"], part["machine"]
    return (
        f"{table.markdown()}\n\n{run['data']}; {versions}; PostgreSQL {machine['PostgreSQL']}; {machine['machine']}; "
        f"{run['date']}. A search says its recall@{peers.LIMIT} against every vector compared, how many rows came "
        "back, and its median."
    )


def _sizes(part: dict[str, Any]) -> str:
    """Return the table of docs/how-to/sizes.md, and what run it comes from."""
    table, _ = sizes.tables(part["record"])
    run, machine = part["run"], part["machine"]
    about = (run["data"], f"PostgreSQL {machine['PostgreSQL']}", machine["machine"], f"load {run['load']}", run["date"])
    return f"{table.markdown()}\n\n{'; '.join(about)}."


def plot() -> None:
    """Draw the pictures."""
    # Only this needs matplotlib.
    from benchmarks import plots

    for path in plots.draw(report.stored(), ROOT / "docs" / "images"):
        print(path.relative_to(ROOT))
