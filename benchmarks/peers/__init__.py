"""Other stores for agents on pgvector, on the same server, with the same rows, in the same run.

Each runs in a process of its own, this project too, and is used as its own documentation shows: child.py has the loop
that all of them share, with_*.py what each is told in its own words. The turns go round.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from benchmarks.data import Cell, Shares
from benchmarks.lab import Lab
from benchmarks.report import Part, Record, Table
from benchmarks.timing import in_turns

TAKES = "15 minutes; needs the environment of `make peers`"
HERE = Path(__file__).parent
PYTHON = HERE.parent.parent / ".venv-peers" / "bin" / "python"
LIMIT = 10
OURS = "memorizz"
NAMES = {OURS: "memorizz", "langchain": "langchain-postgres, PGVectorStore", "langgraph": "LangGraph, PostgresStore"}
_PACKAGES = ("langchain-postgres", "langgraph-checkpoint-postgres", "psycopg", "pgvector")
_CELLS = ("0.1 %", "1 %", "10 %", "100 %", "4 %, one subject, asked about another")
_MANY = 500
_NAME = "memorizz_benchmark_{}"


class Child:
    """A peer's process, which is told first what to be, and then one thing to do after the other."""

    def __init__(
        self, command: Sequence[str], told: dict[str, Any], environment: Mapping[str, str] | None = None
    ) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.ask(told)

    def ask(self, what: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self._process.args}: ended with {self._process.wait()}, its error stands above")
        return json.loads(answer)

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(timeout=60)


def measure(lab: Lab) -> Iterator[Part]:
    if not PYTHON.exists():
        raise SystemExit(f"there is no {PYTHON}: make peers")
    rows, dimensions = lab.rows or 50_000, lab.dimensions or 1536
    data = Shares(rows, dimensions)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="memorizz-peers-")))
        _write(folder, data)
        peers: dict[str, Child] = {}
        for name in NAMES:
            conninfo = stack.enter_context(database(lab, _NAME.format(name)))
            python = sys.executable if name == OURS else str(PYTHON)
            told = {"conninfo": conninfo, "dimensions": dimensions, "folder": str(folder)}
            peers[name] = Child([python, str(HERE / f"with_{name}.py")], told)
            stack.callback(peers[name].close)
        record = _Run(lab, data, peers).record()
    record["versions"] = versions(*_PACKAGES)
    yield Part("peers", record, f"{rows:,} rows of {dimensions:,} dimensions, clustered")


def _write(folder: Path, data: Shares) -> None:
    np.save(folder / "vectors.npy", data.embeddings)
    np.save(folder / "questions.npy", data.cells[0].questions)
    documents = [{key: each[key] for key in ("memory_id", "content")} for each in data.documents(embeddings=False)]
    (folder / "documents.json").write_text(json.dumps(documents), "utf-8")


@contextmanager
def database(lab: Lab, name: str) -> Iterator[str]:
    """Give a database of its own to a peer whose tables have fixed names."""
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    with lab.connect() as connection:
        connection.execute(drop)
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield make_conninfo(lab.conninfo, dbname=name)
    with lab.connect() as connection:
        connection.execute(drop)


def vacuum(conninfo: str) -> None:
    """Leave nothing of the loading to do in the turns that are measured."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def versions(*packages: str) -> dict[str, str]:
    """Return which versions of packages stand in the environment of the peers."""
    program = "import json, sys, importlib.metadata as m; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    done = subprocess.run([str(PYTHON), "-c", program, *packages], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@dataclass(frozen=True)
class _Run:
    """All the peers, ready to be asked."""

    lab: Lab
    data: Shares
    peers: dict[str, Child]

    def record(self) -> Record:
        rows = self.data.rows
        seconds: dict[str, float] = {}
        for name, peer in self.peers.items():
            print(f"  {name} stores {rows:,} rows ...")
            seconds[name] = peer.ask({"do": "load", "first": 0, "count": rows})["ms"] / 1000
            vacuum(make_conninfo(self.lab.conninfo, dbname=_NAME.format(name)))
        chosen = {cell.name: cell for cell in self.data.cells}
        print("  searches ...")
        searches = [self._search(chosen[name]) for name in _CELLS]
        print("  get, store one, store many ...")
        repeat = self.lab.repeat
        return {
            "load": {name: rows / each for name, each in seconds.items()},
            "searches": searches,
            "get": self._one("get", repeat * 2, lambda turn: turn % rows * 7919 % rows),
            "store": self._one("store", repeat, lambda turn: rows + 100 + turn),
            "store_many": self._many(max(3, repeat // 40)),
        }

    def _search(self, cell: Cell) -> Record:
        recalls: dict[str, list[float]] = {name: [] for name in self.peers}
        returned: dict[str, list[int]] = {name: [] for name in self.peers}
        times: dict[str, list[float]] = {name: [] for name in self.peers}

        def note(name: str, turn: int, answer: dict[str, Any]) -> None:
            question, memory = self._asked(cell, turn)
            truth = self.data.nearest_in(self.data.cells[0].questions[question], memory, LIMIT)
            recalls[name].append(len(set(answer["numbers"]) & truth) / len(truth))
            returned[name].append(len(answer["numbers"]))
            times[name].append(answer["ms"])

        def ask(peer: Child, turn: int) -> dict[str, Any]:
            question, memory = self._asked(cell, turn)
            return peer.ask({"do": "search", "question": question, "memory_id": memory, "limit": LIMIT})

        ways = {name: (lambda turn, peer=peer: ask(peer, turn)) for name, peer in self.peers.items()}
        in_turns(ways, self.lab.repeat, seconds=60, note=note)
        return {
            "name": cell.name,
            "turns": len(times[OURS]),
            "peers": {
                name: {"recall": mean(recalls[name]), "returned": mean(returned[name]), "ms": median(times[name])}
                for name in self.peers
            },
        }

    def _asked(self, cell: Cell, turn: int) -> tuple[int, str | None]:
        memory = None if cell.memories is None else cell.memories[turn % len(cell.memories)]
        return turn % len(cell.questions), memory

    def _one(self, do: str, turns: int, number: Callable[[int], int]) -> dict[str, float]:
        """Return the medians in milliseconds of something done to one row."""
        return self._medians(turns, lambda turn: {"do": do, "first": number(turn)})

    def _many(self, turns: int) -> dict[str, float]:
        """Return how many rows a second go into the indexed store, `_MANY` at once."""
        first = 2 * self.data.rows
        what = {"do": "store_many", "count": _MANY}
        # One turn more is before the first.
        times = self._medians(turns, lambda turn: what | {"first": first + (turn + 1) * _MANY})
        return {name: _MANY / each * 1000 for name, each in times.items()}

    def _medians(self, turns: int, what: Callable[[int], dict[str, Any]]) -> dict[str, float]:
        times: dict[str, list[float]] = {name: [] for name in self.peers}
        ways = {name: (lambda turn, peer=peer: peer.ask(what(turn))) for name, peer in self.peers.items()}
        in_turns(ways, turns, note=lambda name, _, answer: times[name].append(answer["ms"]))
        return {name: median(each) for name, each in times.items()}


# --- what is told -------------------------------------------------------------------------------------------------


def tables(record: Record) -> list[Table]:
    body: list[Sequence[str]] = []
    for search in record["searches"]:
        name = "no filter" if search["name"] == "100 %" else f"a memory of {search['name']}"
        cells = (_search_cell(search["peers"][peer]) for peer in NAMES)
        body.append((f"top {LIMIT}, {name}", *cells))
    for label, key, unit in (
        ("get by id", "get", "ms"),
        ("store one", "store", "ms"),
        (f"store {_MANY} at once", "store_many", "rows/s"),
        ("store all, and have the index", "load", "rows/s"),
    ):
        body.append((label, *(_figure(record[key][peer], unit) for peer in NAMES)))
    return [Table(f"recall@{LIMIT}, rows returned, median", ("", *NAMES.values()), body)]


def _search_cell(found: dict[str, float]) -> str:
    return f"{found['recall']:.2f}, {found['returned']:.1f} rows, {_figure(found['ms'], 'ms')}"


def _figure(value: float, unit: str) -> str:
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f} {unit}"
