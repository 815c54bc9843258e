"""Sessions of the OpenAI Agents SDK: this project's against its own on SQLAlchemy, by the same calls, in turns."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.lab import Lab
from benchmarks.peers import PYTHON, Child, database, versions
from benchmarks.report import Part, Record, Table, target
from benchmarks.timing import in_turns

TAKES = "3 minutes; needs the environment of `make peers`"
SESSIONS = ("memorizz", "sqlalchemy")
GOAL = 3.0
_SCRIPT = Path(__file__).parent / "peers" / "sessions_of_openai.py"
_SOURCE = Path(__file__).parent.parent / "src"
# What is done, how it is called, and whether it has a goal.
_DONE = {
    "at_once": ("add 50 items, get them", True),
    "one_by_one": ("25 runs: get what there is, add 2 items", False),
}


def measure(lab: Lab) -> Iterator[Part]:
    if not PYTHON.exists():
        raise SystemExit(f"there is no {PYTHON}: make peers")
    with ExitStack() as stack:
        sessions: dict[str, Child] = {}
        for name in SESSIONS:
            conninfo = stack.enter_context(database(lab, f"memorizz_benchmark_session_{name}"))
            told = {"session": name, "conninfo": conninfo}
            sessions[name] = Child([str(PYTHON), str(_SCRIPT)], told, os.environ | {"PYTHONPATH": str(_SOURCE)})
            stack.callback(sessions[name].close)
        results: list[Record] = [{"do": do, **_medians(sessions, do, lab.repeat // 2)} for do in _DONE]
    packages = versions("openai-agents", "sqlalchemy", "asyncpg", "psycopg")
    yield Part("openai_sessions", {"results": results, "versions": packages}, "a new session each turn")


def _medians(sessions: dict[str, Child], do: str, turns: int) -> dict[str, float]:
    took: dict[str, list[float]] = {name: [] for name in sessions}
    warm = 5
    ways = {
        name: (lambda turn, session=session: session.ask({"do": do, "turn": turn + warm}))
        for name, session in sessions.items()
    }
    in_turns(ways, turns, warm=warm, seconds=60, note=lambda name, _, answer: took[name].append(answer["ms"]))
    return {name: median(each) for name, each in took.items()}


def tables(record: Record) -> list[Table]:
    body: list[tuple[str, ...]] = []
    for each in record["results"]:
        ours, theirs = (each[session] for session in SESSIONS)
        name, has_goal = _DONE[each["do"]]
        goal = (f"≥ {GOAL:.0f} x", target(theirs / ours >= GOAL)) if has_goal else ("", "")
        body.append((name, f"{ours:.1f} ms", f"{theirs:.1f} ms", f"{theirs / ours:.1f} x", *goal))
    head = ("median", "MemorizzSession", "SQLAlchemySession, asyncpg", "faster by", "goal", "")
    return [Table("A session of the OpenAI Agents SDK", head, body)]
