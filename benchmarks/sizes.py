"""How much room documents take, the table and each index of it, and how long the vector index takes to build."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.data import Data
from benchmarks.lab import Lab
from benchmarks.report import Part, Record, Table
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLProvider
from memorizz.memory_provider.postgresql.maintenance import Maintenance

TAKES = "3 minutes"
SCHEMA = "memorizz_benchmark_sizes"
LONG = MemoryType.LONG_TERM_MEMORY.value
VECTOR = f"{LONG}_embedding_idx"
ROWS, DIMENSIONS, KINDS = 10_000, (384, 1536), ("hnsw", "halfvec")

_TABLE = """
SELECT pg_relation_size(oid), pg_total_relation_size(reltoastrelid) FROM pg_class WHERE oid = %s::regclass
"""
_INDEXES = """
SELECT relname, pg_relation_size(pg_class.oid) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE indrelid = %s::regclass ORDER BY relname
"""


def measure(lab: Lab) -> Iterator[Part]:
    rows = lab.rows or ROWS
    record = {str(each): _measured(lab, rows, each) for each in DIMENSIONS}
    words = sum(len(str(each["content"]).encode()) for each in Data(rows, 2).documents(embeddings=False)) / rows
    yield Part("sizes", {"rows": rows, "text": words, "dimensions": record}, f"{rows:,} documents of {words:.0f} bytes")


def _measured(lab: Lab, rows: int, dimensions: int) -> dict[str, Any]:
    """Return the bytes of each document in the table, its TOAST and each index, and the seconds of each build."""
    lab.drop(SCHEMA)
    config = lab.config(SCHEMA, embedding_dimensions=dimensions)
    with PostgreSQLProvider(config) as provider:
        provider.store_many(Data(rows, dimensions).documents(), LONG)
    name = f"{SCHEMA}.{LONG}"
    vectors: dict[str, dict[str, float]] = {}
    with Maintenance(config) as maintenance:
        for kind in KINDS:
            jobs = [job for job in maintenance.plan_rebuild(store=LONG, kind=kind) if job.name == VECTOR]
            (made,) = maintenance.make(jobs)
            vectors[kind] = {"bytes": made.bytes / rows, "seconds": made.seconds}
    with lab.connect() as connection:
        connection.execute(f"VACUUM {name}")
        table, toast = connection.execute(_TABLE, (name,)).fetchone() or (0, 0)
        indexes = {index: size / rows for index, size in connection.execute(_INDEXES, (name,)) if index != VECTOR}
    lab.drop(SCHEMA)
    return {"table": table / rows, "toast": toast / rows, "vector index": vectors, "indexes": indexes}


def tables(record: Record) -> list[Table]:
    """Return what a document takes, and of what the other indexes are."""
    head = (
        "dimensions",
        "table",
        "of it TOAST",
        *(f"vector index `{kind}`, built in" for kind in KINDS),
        "other indexes",
    )
    body = [
        (f"{int(dimensions):,}", _bytes(each["table"] + each["toast"]), _bytes(each["toast"]),
         *(f"{_bytes(index['bytes'])}, {index['seconds']:.1f} s" for index in each["vector index"].values()),
         _bytes(sum(each["indexes"].values())))
        for dimensions, each in record["dimensions"].items()
    ]  # fmt: skip
    names = dict.fromkeys(name for each in record["dimensions"].values() for name in each["indexes"])
    of_each = [
        (f"`{name}`", *(_bytes(each["indexes"][name]) for each in record["dimensions"].values())) for name in names
    ]
    return [
        Table("Bytes for each document", head, body),
        Table("Bytes of each other index for each document", ("index", *record["dimensions"]), of_each),
    ]


def _bytes(size: float) -> str:
    return f"{size:,.0f}"
