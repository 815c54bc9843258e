"""A million documents: how long they take to come in, to be found in memories of every share of them, and to go.

What is to be reached is absolute: p50 and p95, and every hit compared with the truth, which are all vectors compared in
numpy; only the vector index is built by hand, too, of the same rows in a minimal table. With --keep they are stored
once, and after that searched only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import mean, median, quantiles

import numpy as np
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from benchmarks.clustered import LONG
from benchmarks.data import Cell, Document, Shares, document_of, memory_id, memory_number
from benchmarks.lab import Lab
from benchmarks.raw_tables import BUILT, INDEXED, minimal
from benchmarks.report import Part, Record, Table, number, target
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider

TAKES = "40 minutes, of which 20 store a million documents and build their index, and 12 build it by hand"
ROWS, DIMENSIONS, LIMIT, ENOUGH = 1_000_000, 384, 10, 0.99
# What the server gives to the build, so that the graph is made in memory.
_BUILT_IN = "4GB"
# p50 and p95 in milliseconds.
_INSIDE, _EVERYWHERE, _BY_WORDS = (8.0, 20.0), (4.0, 12.0), (10.0, float("inf"))
# Every other document has one of them.
_WORDS = "tea garden"
# The index against the one by hand, how long it takes to forget a memory, and what another writer waits meanwhile.
_BUILT, _FORGOTTEN_IN, _DELAYED = 1.1, 2.0, 0.1
# How many documents that memory has, or nearly.
_LEAVING, _OTHERS = 10_000, "of-others"
_SMALL, _SMALL_MEMORIES, _SPLIT = "another of 10,000 small memories", 10_000, 6
# What the minimal table has, of the rows of ours.
_COPIED = """
CREATE TABLE {table} AS SELECT id, memory_id, name, content,
    data || jsonb_build_object('metadata', metadata, 'importance_score', importance_score) AS data,
    created_at, updated_at, embedding
FROM {store}
"""


@dataclass(frozen=True)
class Million(Shares):
    """The same, but that six memories of 1 % are thousands of small ones: some have many rows, most have few."""

    @cached_property
    def memories(self) -> np.ndarray:
        memories = super().memories.copy()
        split = [number for number, kind in enumerate(self._kinds) if kind == "1 %"][:_SPLIT]
        rows = np.flatnonzero(np.isin(memories, split))
        weights = 1 / (np.arange(_SMALL_MEMORIES) + 10)
        drawn = self._random("small").choice(_SMALL_MEMORIES, size=len(rows), p=weights / weights.sum())
        memories[rows] = len(self._kinds) + drawn
        return memories

    @cached_property
    def cells(self) -> list[Cell]:
        small = np.unique(self.memories[self.memories >= len(self._kinds)])
        names = [memory_id(int(number)) for number in self._random("asked in").permutation(small)]
        *_, everywhere, _, _ = cells = super().cells
        return [Cell(_SMALL, 0.06, names, everywhere.questions), *cells]


@dataclass(frozen=True)
class Search:
    """A kind of search: what it is asked in each turn, and the cell of its true answers where it has one."""

    name: str
    goal: tuple[float, float] | None
    ask: Callable[[int], Sequence[Document]]
    cell: Cell | None = None


def measure(lab: Lab) -> Iterator[Part]:
    data = Million(lab.rows or ROWS, lab.dimensions or DIMENSIONS)
    schema = f"memorizz_benchmark_million_{data.rows}_{data.dimensions}"
    dsn = make_conninfo(lab.conninfo, options=f"-c maintenance_work_mem={_BUILT_IN}")
    config = PostgreSQLConfig(dsn=dsn, schema=schema, operation_timeout=None, embedding_dimensions=data.dimensions)
    record: Record = {"rows": data.rows, "dimensions": data.dimensions}
    if not lab.holds(schema, LONG, data.rows):
        record["filled"] = _fill(lab, schema, dsn, config, data)
    with PostgreSQLProvider(config) as provider:
        record["searches"] = [_measured(search, data, lab.repeat) for search in _searches(provider, data)]
        record["bytes"] = _bytes(lab, schema, data.rows)
        record["forget"] = _forget(provider, config, data, again=lab.keep is not None)
    if lab.keep is None:
        lab.drop(schema)
    name = f"{data.rows:,} rows of {data.dimensions:,} dimensions, in memories of every share of them"
    yield Part(f"scale/{data.rows}x{data.dimensions}", record, name)


def _fill(lab: Lab, schema: str, dsn: str, config: PostgreSQLConfig, data: Shares) -> Record:
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
    print("  the index by hand ...")
    by_hand = _built_by_hand(lab, schema, dsn)
    return {"store_seconds": marks[0], "build_seconds": marks[1] - marks[0], "build_by_hand_seconds": by_hand}


def _built_by_hand(lab: Lab, schema: str, dsn: str) -> float:
    """Return how long the index takes of the same rows, in a minimal table, which is gone then."""
    table = minimal(f"{schema}_minimal", "documents")
    vectors = sql.Identifier(lab.vector_schema)
    lab.drop(table.schema)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(table.schema)))
        connection.execute(table.statement(_COPIED, store=sql.Identifier(schema, LONG.value)).encode())
        started = time.perf_counter()
        connection.execute(table.statement(INDEXED, vectors=vectors, **BUILT).encode())
        connection.execute(table.statement("ANALYZE {table}").encode())
        took = time.perf_counter() - started
    lab.drop(table.schema)
    return took


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


def _forget(provider: PostgreSQLProvider, config: PostgreSQLConfig, data: Million, *, again: bool) -> Record:
    """Forget a memory while another writer stores and changes documents of others; return what both took."""
    numbers, sizes = np.unique(data.memories, return_counts=True)
    leaving = memory_id(int(numbers[np.argmin(np.abs(sizes - _LEAVING))]))
    print(f"  forget {leaving} ...")
    documents = list(provider.iterate(LONG, {"memory_id": leaving}, include_embedding=True)) if again else []
    took: list[tuple[float, float]] = []
    done = threading.Event()

    def write() -> None:
        with PostgreSQLProvider(config) as other:
            ids = [other.store(_of_others(data, 0), LONG)]
            while not done.is_set():
                document = _of_others(data, len(took))
                started = time.perf_counter()
                if len(took) % 2:
                    other.update_by_id(ids[-1], {"content": document["content"]}, LONG)
                else:
                    ids.append(other.store(document, LONG))
                took.append((started, time.perf_counter() - started))

    writer = threading.Thread(target=write)
    writer.start()
    # As long before as it may take.
    time.sleep(_FORGOTTEN_IN)
    started = time.perf_counter()
    receipt = provider.forget(leaving)
    ended = time.perf_counter()
    done.set()
    writer.join()
    provider.delete(LONG, {"memory_id": _OTHERS})
    provider.store_many(documents, LONG)
    # The first writes find a connection that knows nothing yet.
    before = [seconds for at, seconds in took[20:] if at + seconds < started]
    meanwhile = [seconds for at, seconds in took if at + seconds >= started and at <= ended]
    return {
        "documents": sum(receipt.deleted.values()),
        "seconds": ended - started,
        "longest": {"before": max(before, default=0.0), "meanwhile": max(meanwhile, default=0.0)},
        "writes": len(meanwhile),
    }


def _of_others(data: Million, number: int) -> Document:
    questions = data.cells[-1].questions
    return document_of(number) | {"memory_id": _OTHERS, "embedding": questions[number % len(questions)]}


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
    return [
        searches,
        Table("Of a document", ("", ""), lines),
        Table("Of all", ("", "", "goal", ""), list(_of_all(record))),
    ]


def _of_all(record: Record) -> Iterator[tuple[str, ...]]:
    if filled := record.get("filled"):
        built, by_hand = filled["build_seconds"], filled["build_by_hand_seconds"]
        yield "all stored, without the index", number(filled["store_seconds"], "s"), "", ""
        yield "the index of the vectors", number(built, "s"), "", ""
        yield "the same by hand, on a minimal table", number(by_hand, "s"), "", ""
        yield "ratio", f"{built / by_hand:.2f}", f"≤ {_BUILT}", target(built / by_hand <= _BUILT)
    if left := record.get("forget"):
        name, meanwhile = f"a memory of {left['documents']:,} documents forgotten", left["longest"]["meanwhile"]
        yield name, number(left["seconds"], "s"), f"≤ {_FORGOTTEN_IN:g} s", target(left["seconds"] <= _FORGOTTEN_IN)
        yield "another writer's longest write before", number(left["longest"]["before"] * 1000, "ms"), "", ""
        name = f"meanwhile, of {left['writes']:,}"
        yield name, number(meanwhile * 1000, "ms"), f"≤ {_DELAYED * 1000:.0f} ms", target(meanwhile <= _DELAYED)
