"""How much room documents take, the table and each index of it, and how long the vector index takes to build."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.data import Data
from benchmarks.lab import Lab
from benchmarks.report import Part, Record, Table
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLProvider
from memorizz.memory_provider.postgresql.maintenance import Maintenance
from memorizz.memory_provider.stores import IndexKind, VectorType

TAKES = "3 minutes"
SCHEMA = "memorizz_benchmark_sizes"
LONG = MemoryType.LONG_TERM_MEMORY.value
VECTOR = f"{LONG}_embedding_idx"
ROWS, DIMENSIONS = 10_000, (384, 1536)
# How the vectors are kept in the table, and in which indexes.
KINDS: Mapping[VectorType, tuple[IndexKind, ...]] = {"vector": ("hnsw", "halfvec"), "halfvec": ("hnsw",)}

_TABLE = """
SELECT pg_relation_size(oid), pg_total_relation_size(reltoastrelid) FROM pg_class WHERE oid = %s::regclass
"""
_INDEXES = """
SELECT relname, pg_relation_size(pg_class.oid) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE indrelid = %s::regclass ORDER BY relname
"""


def measure(lab: Lab) -> Iterator[Part]:
    rows = lab.rows or ROWS
    record = {str(each): {kept: _measured(lab, rows, each, kept) for kept in KINDS} for each in DIMENSIONS}
    words = sum(len(str(each["content"]).encode()) for each in Data(rows, 2).documents(embeddings=False)) / rows
    yield Part("sizes", {"rows": rows, "text": words, "dimensions": record}, f"{rows:,} documents of {words:.0f} bytes")


def _measured(lab: Lab, rows: int, dimensions: int, kept: VectorType) -> dict[str, Any]:
    """Return the bytes of each document in the table, its TOAST and each index, and the seconds of each build."""
    lab.drop(SCHEMA)
    config = lab.config(SCHEMA, embedding_dimensions=dimensions, vector_type=kept)
    with PostgreSQLProvider(config) as provider:
        provider.store_many(Data(rows, dimensions).documents(), LONG)
    name = f"{SCHEMA}.{LONG}"
    vectors: dict[str, dict[str, float]] = {}
    with Maintenance(config) as maintenance:
        for kind in KINDS[kept]:
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
    head = ("dimensions", "kept as", "table", "of it TOAST", "other indexes", "vector index", "built in", "all")
    body = [
        (f"{int(dimensions):,}", f"`{kept}`", _bytes(table), _bytes(each["toast"]), _bytes(others),
         f"`{kind}` {_bytes(index['bytes'])}", f"{index['seconds']:.1f} s", _bytes(table + others + index["bytes"]))
        for dimensions, of in record["dimensions"].items()
        for kept, each in of.items()
        for table, others in [(each["table"] + each["toast"], sum(each["indexes"].values()))]
        for kind, index in each["vector index"].items()
    ]  # fmt: skip
    found = {dimensions: of["vector"]["indexes"] for dimensions, of in record["dimensions"].items()}
    names = dict.fromkeys(name for each in found.values() for name in each)
    of_each = [(f"`{name}`", *(_bytes(each[name]) for each in found.values())) for name in names]
    return [
        Table("Bytes for each document", head, body),
        Table("Bytes of each other index for each document", ("index", *found), of_each),
    ]


def _bytes(size: float) -> str:
    return f"{size:,.0f}"
