"""Search by words inside a memory of 1 % of the rows, alone and with a vector, and in all stores, against SQL by hand.

By hand it is the best that was found: the rows of the memory are read, not the index of the words, which brings those
of all memories that have them; with a vector the two scores are added. All stores are one pipeline of such
statements, which bring the vectors of the hits, as the provider does there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from operator import itemgetter
from statistics import median
from typing import Any

import numpy as np
from psycopg import sql
from psycopg_pool import ConnectionPool

from benchmarks.data import MEMORIES, Data, memory_id
from benchmarks.lab import Lab
from benchmarks.raw_tables import RawTable, adapt, minimal
from benchmarks.report import Part, Record, Table, number, target
from benchmarks.timing import Way, in_turns
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLProvider

TAKES = "4 minutes, of which 3 build the indexes"
STORES = [
    MemoryType.LONG_TERM_MEMORY,
    *(each for each in MemoryType if each not in (MemoryType.LONG_TERM_MEMORY, MemoryType.MEMAGENT)),
]
ROWS = (10_000, 100_000)
LIMIT = 10
PROVIDER, BY_HAND = "provider", "by hand, minimal table"
RATIO = 1.3
# Every other document has one of them.
WORDS = ("tea", "garden")
# Up to so many rows every store has them, and up to so many they have vectors: an index is built of these.
_IN_ALL, _WITH_VECTORS = 10_000, 500_000

_MADE = """
CREATE TABLE {table} AS SELECT id, memory_id, name, content,
    data || jsonb_build_object('metadata', metadata, 'importance_score', importance_score) AS data,
    created_at, updated_at, embedding, to_tsvector('english', concat_ws(' ', name, content)) AS words
FROM {store};
ALTER TABLE {table} ADD PRIMARY KEY (id), ALTER embedding SET STORAGE EXTERNAL;
CREATE INDEX ON {table} (memory_id);
CREATE INDEX ON {table} USING gin (words)
"""
_BY_WORDS = """
SELECT {columns}, ts_rank(d.words, to_tsquery('english', %(words)s)) AS score
FROM (SELECT * FROM {table} AS d WHERE d.memory_id = %(memory_id)s OFFSET 0) AS d
WHERE d.words @@ to_tsquery('english', %(words)s) ORDER BY score DESC LIMIT %(limit)s
"""
_BY_BOTH = """
SELECT {columns}{vector}, 0.7 * (1 - d.distance) + 0.6 * coalesce(d.rank / nullif(max(d.rank) OVER (), 0), 0) AS score
FROM (
    SELECT *, embedding <=> %(vector)b AS distance, CASE WHEN words @@ to_tsquery('english', %(words)s)
        THEN ts_rank(words, to_tsquery('english', %(words)s)) END AS rank
    FROM {table} WHERE memory_id = %(memory_id)s
) AS d ORDER BY score DESC LIMIT %(limit)s
"""


def measure(lab: Lab) -> Iterator[Part]:
    for rows in (lab.rows,) if lab.rows else ROWS:
        yield _measured(lab, rows)


def _measured(lab: Lab, rows: int) -> Part:
    data = Data(rows, lab.dimensions or 384)
    stores = STORES if rows <= _IN_ALL else STORES[:1]
    schema = f"memorizz_benchmark_words_{rows}_{data.dimensions}"
    config = lab.config(schema, embedding_dimensions=data.dimensions)
    raw = [minimal(f"{schema}_minimal", store.value) for store in stores]
    if not lab.holds(schema, stores[-1], rows):
        lab.drop(schema)
        lab.drop(raw[0].schema)
        print(f"storing {rows:,} documents, in {len(stores)} stores ...")
        with lab.filling(config) as provider:
            for store in stores:
                provider.store_many(data.documents(embeddings=rows <= _WITH_VECTORS), store)
            make(lab, raw, schema)
    by_hand = {"autocommit": True, "options": f"-c search_path={raw[0].schema},{lab.vector_schema}"}
    with (
        PostgreSQLProvider(config) as provider,
        ConnectionPool(lab.conninfo, kwargs=by_hand, configure=adapt, min_size=1, open=True) as pool,
    ):
        results = [
            {"search": name, "repeated": lab.repeat, "ms": {way: median(times) for way, times in took.items()}}
            for name, ways in searches(provider, pool, raw, data).items()
            if "vector" not in name or rows <= _WITH_VECTORS
            for took in [in_turns(ways, lab.repeat)]
        ]
    if lab.keep is None:
        lab.drop(schema)
        lab.drop(raw[0].schema)
    return Part(f"words/{rows}", {"results": results}, f"{rows:,} documents of a store, in {MEMORIES} memories")


def make(lab: Lab, tables: Sequence[RawTable], schema: str) -> None:
    with lab.connect() as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(tables[0].schema)))
        for table in tables:
            for statement in table.statement(_MADE, store=sql.Identifier(schema, table.name)).split(";"):
                connection.execute(statement.encode())


def searches(
    provider: PostgreSQLProvider, pool: ConnectionPool[Any], tables: Sequence[RawTable], data: Data
) -> dict[str, dict[str, Way]]:
    """Return the ways of each search; each takes the number of a turn."""
    by_words = [table.statement(_BY_WORDS) for table in tables]
    by_both = [table.statement(_BY_BOTH, vector=sql.SQL("")) for table in tables]
    with_vectors = [table.statement(_BY_BOTH, vector=sql.SQL(", d.embedding")) for table in tables]

    def asked(turn: int) -> tuple[np.ndarray, str]:
        return data.questions[turn % len(data.questions)], memory_id(turn % MEMORIES)

    def provided(turn: int, with_vector: bool) -> Any:
        vector, memory = asked(turn)
        query = {"$text": {"$search": " ".join(WORDS)}, "memory_id": memory}
        return provider.retrieve_by_query(query | ({"embedding": vector} if with_vector else {}), STORES[0], LIMIT)

    def in_all(turn: int) -> Any:
        vector, memory = asked(turn)
        return provider.retrieve_memory_components_by_query(" ".join(WORDS), vector, memory, limit=LIMIT)

    def by_hand(turn: int, statements: Sequence[str]) -> Any:
        vector, memory = asked(turn)
        values = {"vector": vector, "words": " | ".join(WORDS), "memory_id": memory, "limit": LIMIT}
        with pool.connection() as connection:
            cursors = [connection.cursor(binary=True) for _ in statements]
            with connection.pipeline() if len(statements) > 1 else nullcontext():
                for cursor, statement in zip(cursors, statements, strict=True):
                    cursor.execute(statement, values, prepare=True)
            rows = [row for cursor in cursors for row in cursor.fetchall()]
        rows.sort(key=itemgetter(-1), reverse=True)
        if statements is not with_vectors:
            return [tables[0].document(row[:-1]) | {"score": row[-1]} for row in rows[:LIMIT]]
        return [
            tables[0].document(row[:-2]) | {"embedding": np.frombuffer(row[-2], ">f4", offset=4), "score": row[-1]}
            for row in rows[:LIMIT]
        ]

    ways: dict[str, dict[str, Way]] = {
        "words": {
            PROVIDER: partial(provided, with_vector=False),
            BY_HAND: partial(by_hand, statements=by_words[:1]),
        },
        "words and a vector": {
            PROVIDER: partial(provided, with_vector=True),
            BY_HAND: partial(by_hand, statements=by_both[:1]),
        },
    }
    if len(tables) > 1:
        ways[f"words, in {len(tables)} stores"] = {
            PROVIDER: lambda turn: provider.recall(" ".join(WORDS), asked(turn)[1], LIMIT),
            BY_HAND: partial(by_hand, statements=by_words),
        }
        ways[f"words and a vector, in {len(tables)} stores"] = {
            PROVIDER: in_all,
            BY_HAND: partial(by_hand, statements=with_vectors),
        }
    return ways


def tables(record: Record) -> list[Table]:
    body = [
        (
            each["search"],
            number(each["ms"][PROVIDER], "ms"),
            number(each["ms"][BY_HAND], "ms"),
            f"{each['ms'][PROVIDER] / each['ms'][BY_HAND]:.2f}",
            f"≤ {RATIO}",
            target(each["ms"][PROVIDER] / each["ms"][BY_HAND] <= RATIO),
            str(each["repeated"]),
        )
        for each in record["results"]
    ]
    head = ("top 10 in a memory of 1 %", PROVIDER, BY_HAND, "ratio", "goal", "", "turns")
    return [Table("Two common words, inside a memory", head, body)]
