"""A million documents: how long they take to come in, and how long a search takes in memories of every share of them.

There is no table by hand beside them, for what is to be reached is absolute: p50 and p95, and every hit compared with
the truth, which are all vectors compared in numpy. With --keep they are stored once, and after that searched only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, median, quantiles

import numpy as np
from psycopg import sql
from psycopg.conninfo import make_conninfo

from benchmarks.clustered import LONG
from benchmarks.data import Cell, Document, Shares, memory_number
from benchmarks.lab import Lab
from benchmarks.report import Part, Record, Table, number, target
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider

TAKES = "25 minutes, of which 20 store a million documents and build their index"
ROWS, DIMENSIONS, LIMIT, ENOUGH = 1_000_000, 384, 10, 0.99
# What the server gives to the build, so that the graph is made in memory.
_BUILT_IN = "4GB"
# p50 and p95 in milliseconds.
_INSIDE, _EVERYWHERE, _BY_WORDS = (8.0, 20.0), (4.0, 12.0), (10.0, float("inf"))
# Every other document has one of them.
_WORDS = "tea garden"


@dataclass(frozen=True)
class Search:
    """A kind of search: what it is asked in each turn, and the cell of its true answers where it has one."""

    name: str
    goal: tuple[float, float] | None
    ask: Callable[[int], Sequence[Document]]
    cell: Cell | None = None


def measure(lab: Lab) -> Iterator[Part]:
    data = Shares(lab.rows or ROWS, lab.dimensions or DIMENSIONS)
    schema = f"memorizz_benchmark_scale_{data.rows}_{data.dimensions}"
    dsn = make_conninfo(lab.conninfo, options=f"-c maintenance_work_mem={_BUILT_IN}")
    config = PostgreSQLConfig(dsn=dsn, schema=schema, operation_timeout=None, embedding_dimensions=data.dimensions)
    record: Record = {} if lab.holds(schema, LONG, data.rows) else {"filled": _fill(lab, schema, config, data)}
    with PostgreSQLProvider(config) as provider:
        record["searches"] = [_measured(search, data, lab.repeat) for search in _searches(provider, data)]
    record["bytes"] = _bytes(lab, schema, data.rows)
    if lab.keep is None:
        lab.drop(schema)
    name = f"{data.rows:,} rows of {data.dimensions:,} dimensions, in memories of every share of them"
    yield Part(f"scale/{data.rows}x{data.dimensions}", record, name)


def _fill(lab: Lab, schema: str, config: PostgreSQLConfig, data: Shares) -> Record:
    print(f"storing {data.rows:,} rows of {data.dimensions:,} dimensions ...")
    lab.drop(schema)
    marks: list[float] = []
    with PostgreSQLProvider(config) as provider:
        # Numpy makes them before the time counts.
        _ = data.embeddings, data.memories
        started = time.perf_counter()
        with provider.loading(LONG):
            provider.store_many(data.documents(), LONG)
            marks.append(time.perf_counter() - started)
        marks.append(time.perf_counter() - started)
    return {"store_seconds": marks[0], "build_seconds": marks[1] - marks[0]}


def _searches(provider: PostgreSQLProvider, data: Shares) -> Iterator[Search]:
    for cell in data.cells:
        goal = {"1 %": _INSIDE, "100 %": _EVERYWHERE}.get(cell.name)
        yield Search(f"top 10, {cell.name}", goal, _by_vector(provider, cell), cell)
    one = next(cell for cell in data.cells if cell.name == "1 %")
    words: Document = {"$text": {"$search": _WORDS}}
    yield Search("words, 1 %", _BY_WORDS, _by_vector(provider, one, words, vector=False))
    yield Search("words and a vector, 1 %", _BY_WORDS, _by_vector(provider, one, words))


def _asked(cell: Cell, turn: int) -> tuple[np.ndarray, str | None]:
    memories = cell.memories
    memory = memories[turn % len(memories)] if memories is not None else None
    return cell.questions[turn % len(cell.questions)], memory


def _by_vector(
    provider: PostgreSQLProvider, cell: Cell, more: Document | None = None, *, vector: bool = True
) -> Callable[[int], Sequence[Document]]:
    def ask(turn: int) -> Sequence[Document]:
        question, memory = _asked(cell, turn)
        query = {**({"embedding": question} if vector else {}), **(more or {})}
        return provider.retrieve_by_query(query | ({} if memory is None else {"memory_id": memory}), LONG, LIMIT)

    return ask


def _nearest(data: Shares, cell: Cell, turns: int) -> list[set[int]]:
    """Return the true answer of each turn; a memory's vectors are picked out once."""
    asked = [_asked(cell, turn) for turn in range(turns)]
    truths: list[set[int]] = [set() for _ in asked]
    for memory in {memory for _, memory in asked}:
        those = [turn for turn, each in enumerate(asked) if each[1] == memory]
        rows = slice(None) if memory is None else data.memories == memory_number(memory)
        numbers, vectors = np.arange(data.rows)[rows], data.embeddings[rows]
        for turn in those:
            nearest = np.argpartition(-(vectors @ asked[turn][0]), min(LIMIT, len(numbers)) - 1)[:LIMIT]
            truths[turn] = set(numbers[nearest].tolist())
    return truths


def _measured(search: Search, data: Shares, turns: int) -> Record:
    """Ask twice, and time the second time, when what is read is in memory; then compare, for numpy's threads go on."""
    print(f"  {search.name} ...")
    answers = [search.ask(turn) for turn in range(turns)]
    took: list[float] = []
    for turn in range(turns):
        started = time.perf_counter()
        search.ask(turn)
        took.append((time.perf_counter() - started) * 1000)
    record: Record = {
        "name": search.name,
        "goal": search.goal,
        "p50": median(took),
        "p95": quantiles(took, n=20)[-1],
        "turns": turns,
    }
    if search.cell is not None:
        found = list(zip(answers, _nearest(data, search.cell, turns), strict=True))
        record["recall"] = mean(len({hit["number"] for hit in hits} & truth) / len(truth) for hits, truth in found)
        record["short"] = sum(len(hits) < len(truth) for hits, truth in found)
    return record


def _bytes(lab: Lab, schema: str, rows: int) -> Record:
    """Return how many bytes of a document its table has, and each of its indexes."""
    with lab.connect() as connection:
        name = sql.Identifier(schema, LONG.value).as_string()
        table = connection.execute("SELECT pg_table_size(to_regclass(%s))", (name,)).fetchone()
        indexes = connection.execute(
            "SELECT amname, sum(pg_relation_size(c.oid))::bigint FROM pg_index JOIN pg_class AS c ON c.oid = indexrelid"
            " JOIN pg_am AS am ON am.oid = relam WHERE indrelid = to_regclass(%s) GROUP BY 1 ORDER BY 1",
            (name,),
        ).fetchall()
    assert table is not None
    return {name: size / rows for name, size in [("table", table[0]), *indexes]}


def tables(record: Record) -> list[Table]:
    body: list[tuple[str, ...]] = []
    for each in record["searches"]:
        limits = each["goal"]
        recall = each.get("recall")
        reached = None if limits is None else each["p50"] <= limits[0] and each["p95"] <= limits[1]
        short = each.get("short", 0)
        if recall is not None and (recall < ENOUGH or short):
            reached = False
        goal = "" if limits is None else " / ".join(f"{limit:g}" for limit in limits if limit != float("inf")) + " ms"
        figures = (number(each["p50"], "ms"), number(each["p95"], "ms"), "" if recall is None else f"{recall:.3f}")
        body.append((each["name"], *figures, str(short) if recall is not None else "", goal, target(reached)))
    searches = Table("Searches", ("", "p50", "p95", f"recall@{LIMIT}", "short lists", "p50 and p95 to reach", ""), body)
    sizes = record["bytes"]
    lines = [(name, number(size, "bytes")) for name, size in [*sizes.items(), ("all", sum(sizes.values()))]]
    if filled := record.get("filled"):
        lines += [(f"time to {name}", number(filled[f"{name}_seconds"], "s")) for name in ("store", "build")]
    return [searches, Table("Of a document, and of all of them", ("", ""), lines)]
