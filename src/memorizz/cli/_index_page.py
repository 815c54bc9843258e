"""What `memorizz index` prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.text import Text

from memorizz.cli import _show
from memorizz.cli._progress import duration

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql.maintenance import IndexFacts, Job, Made

_DONE = {"create": "built", "reindex": "rebuilt", "replace": "replaced"}
_MB = 2**20


# --- the list -----------------------------------------------------------------------------------------------------


def show(indexes: Sequence[tuple[IndexFacts, int | None]]) -> None:
    """Print a table of indexes; each store is set apart."""
    columns = {"index": _show.LEFT, "kind m/ef": _show.LEFT} | dict.fromkeys(("rows", "size", "scans"), _show.RIGHT)
    made = _show.table({**columns, "": _show.LEFT}, [])
    before: str | None = None
    for index, rows in indexes:
        if before not in (None, index.store):
            made.add_section()
        before = index.store
        made.add_row(
            Text(_show.plain(index.name)),
            kind(index.method, index.m, index.ef_construction),
            _show.number(rows),
            _show.size(index.bytes),
            f"{index.scans:,}",
            _state(index),
        )
    _show.show(made)


def kind(method: str, m: int | None, ef_construction: int | None) -> str:
    """Return what an index is, vector indexes with their two parameters."""
    return method if m is None else f"{method} {m}/{ef_construction}"


def _state(index: IndexFacts) -> Text:
    if index.being_built:
        return Text("being built", "cyan")
    if index.left_over:
        return Text("left over" if index.valid else "invalid", "yellow")
    return Text("key" if index.constraint else "", "dim")


# --- before and after ---------------------------------------------------------------------------------------------


def show_plan(jobs: Sequence[Job], work_mem: int, memory: str | None) -> None:
    """Say what is going to be built, and what memory it needs."""
    graphs = [job for job in jobs if job.memory]
    for job in graphs:
        assert job.hnsw is not None
        rows = "" if job.rows is None else f" over {job.rows:,} vectors"
        _show.say(f"{job.name}: {kind(job.kind, job.hnsw.m, job.hnsw.ef_construction)}{rows}")
    if (need := memory_need(graphs, work_mem, memory)) is not None:
        _show.say(need, "yellow" if "--" in need else "dim")
    if graphs:
        _show.say()


def memory_need(jobs: Sequence[Job], work_mem: int, memory: str | None) -> str | None:
    """Say how much memory the largest graph needs, and what to do where it has less."""
    from memorizz.memory_provider.postgresql.indexes import rounded

    largest = max((job.memory for job in jobs), default=0)
    if largest < _MB:
        return None
    need = f"needs about {_show.size(largest)} of maintenance_work_mem"
    if memory is not None:
        return f"{need}; it gets {memory}"
    if largest <= work_mem:
        return f"{need}, which is {_show.size(work_mem)}"
    return (
        f"{need}, which is {_show.size(work_mem)}: with less it takes several times as long; "
        f"--maintenance-work-mem {rounded(largest)} sets it for this build"
    )


def show_made(made: Made) -> None:
    """Say that one index is done."""
    job = made.job
    about = (job.kind, _show.size(made.bytes), duration(made.seconds))
    _show.say(f"{_DONE[job.action]}  {job.name}  ({', '.join(about)})")
    for notice in made.notices:
        _show.say(f"  {notice}", "yellow")


def report(made: Made) -> dict[str, Any]:
    """Return what was done as JSON has it."""
    job = asdict(made.job)
    hnsw = job.pop("hnsw") or {"m": None, "ef_construction": None}
    return {**job, **hnsw, "bytes": made.bytes, "seconds": made.seconds, "notices": list(made.notices)}
