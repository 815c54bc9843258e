"""LangGraph's store: this project's against LangGraph's own, by the same calls, on the same server, in turns."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import mean, median

from psycopg.conninfo import make_conninfo

from benchmarks.lab import Lab
from benchmarks.peers import PYTHON, Child, database, vacuum, versions
from benchmarks.report import Part, Record, Table, target
from benchmarks.timing import in_turns

TAKES = "40 minutes; needs the environment of `make peers`"
STORES = ("memorizz", "langgraph")
GOAL = 3.0
GROUPS = 100
# Items that are put at once while the stores are filled.
BATCH = 500
_SCRIPT = Path(__file__).parent / "peers" / "stores_of_langgraph.py"
_SOURCE = Path(__file__).parent.parent / "src"
# What is done, how it is called, and how many turns of an operation of 1 ms it has the time of; whether it has a goal.
_DONE = (
    ("put", "put, without a vector", 1, True),
    ("put_100", "batch of 100 puts, without vectors", 0.25, True),
    ("put_with_vector", "put, with a vector", 0.5, False),
    ("get", "get", 2, True),
    ("search", "search of 10 by meaning in a namespace of 1 %", 1, True),
    ("list_namespaces", "list 10,000 namespaces", 0.1, True),
    ("threads", "8 threads: each 8 gets, a put, a search", 0.25, True),
)


def measure(lab: Lab) -> Iterator[Part]:
    if not PYTHON.exists():
        raise SystemExit(f"there is no {PYTHON}: make peers")
    rows, dimensions = lab.rows or 100_000, lab.dimensions or 1536
    with ExitStack() as stack:
        stores: dict[str, Child] = {}
        for name in STORES:
            conninfo = stack.enter_context(database(lab, f"memorizz_benchmark_store_{name}"))
            told = {"store": name, "conninfo": conninfo, "rows": rows, "dimensions": dimensions, "groups": GROUPS}
            told["batch"] = BATCH
            stores[name] = Child([str(PYTHON), str(_SCRIPT)], told, os.environ | {"PYTHONPATH": str(_SOURCE)})
            stack.callback(stores[name].close)
        print(f"  {rows:,} items are put ...")
        loading = {
            name: (lambda turn, store=store: store.ask({"do": "load", "turn": turn})) for name, store in stores.items()
        }
        took = in_turns(loading, math.ceil(rows / BATCH), warm=0)
        load = {name: rows / sum(each) * 1000 for name, each in took.items()}
        for name, store in stores.items():
            store.ask({"do": "spread", "turn": 0})
            vacuum(make_conninfo(lab.conninfo, dbname=f"memorizz_benchmark_store_{name}"))
        results: list[Record] = []
        for do, *_ in _DONE:
            print(f"  {do} ...")
            results.append({"do": do, **_medians(stores, do, lab)})
    record = {
        "load": load,
        "results": results,
        "versions": versions("langgraph-checkpoint-postgres", "langgraph-checkpoint", "psycopg"),
    }
    yield Part("langgraph", record, f"{rows:,} items of {dimensions:,} dimensions in {GROUPS} namespaces")


def _medians(stores: dict[str, Child], do: str, lab: Lab) -> Record:
    share = {name: each for name, _, each, _ in _DONE}[do]
    took: dict[str, list[float]] = {name: [] for name in stores}
    found: dict[str, list[int]] = {name: [] for name in stores}

    def note(name: str, _: int, answer: Record) -> None:
        took[name].append(answer["ms"])
        if answer["found"] is not None:
            found[name].append(answer["found"])

    warm = 10
    ways = {
        name: (lambda turn, store=store: store.ask({"do": do, "turn": turn + warm})) for name, store in stores.items()
    }
    turns = max(20, int(lab.repeat * share))
    in_turns(ways, turns, warm=warm, seconds=90, note=note)
    medians: Record = {name: median(each) for name, each in took.items()}
    return medians | {"found": {name: mean(each) for name, each in found.items() if each}}


def _found(items: float | None) -> str:
    return "" if items is None else f", {items:.1f} items"


def tables(record: Record) -> list[Table]:
    said = {do: (name, has_goal) for do, name, _, has_goal in _DONE}
    body: list[tuple[str, ...]] = []
    for each in record["results"]:
        name, has_goal = said[each["do"]]
        ours, theirs = (each[store] for store in STORES)
        goal = (f"≥ {GOAL:.0f} x", target(theirs / ours >= GOAL)) if has_goal else ("", "")
        cells = (f"{each[store]:.2f} ms" + _found(each["found"].get(store)) for store in STORES)
        body.append((name, *cells, f"{theirs / ours:.1f} x", *goal))
    body.append(("put all, with vectors", *(f"{record['load'][store]:,.0f} items/s" for store in STORES), "", "", ""))
    head = ("median", "MemorizzStore", "LangGraph's PostgresStore", "faster by", "goal", "")
    return [Table("LangGraph's store", head, body)]
