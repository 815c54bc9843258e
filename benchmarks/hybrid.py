"""Search by meaning and words at once, in a memory of 600 turns and in one of 100,000, against the bare statement.

The bare statement is the very text that the provider sends, taken from its `explanation`, with the same values and the
same settings, by psycopg alone: what is above it is the price of the library.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import numpy as np
from psycopg_pool import ConnectionPool

from benchmarks.data import Data, Document
from benchmarks.lab import Lab
from benchmarks.raw_tables import adapt
from benchmarks.report import Part, Record, Table, number, target
from benchmarks.timing import in_turns
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLProvider

TAKES = "4 minutes"
TURNS = MemoryType.CONVERSATION_MEMORY
SMALL = 600
LIMIT = 10
RATIO = 1.2
# In milliseconds, on the machine that the project is made on.
TARGETS = {"small": 6.0, "large": 60.0}
_START = datetime(2026, 1, 1, tzinfo=UTC)
_VOCABULARY, _WORDS_OF_A_TURN, _WORDS_OF_A_QUESTION = 20_000, 15, 5


def words(random: np.random.Generator, count: int, each: int) -> list[str]:
    """Make texts whose words are as rare as those of people (Zipf and Mandelbrot); a stop word is none of them."""
    shares = 1 / (np.arange(_VOCABULARY) + 50)
    drawn = random.choice(_VOCABULARY, size=(count, each), p=shares / shares.sum())
    return [" ".join(map(_word, text)) for text in drawn.tolist()]


def _word(number: int) -> str:
    """Make a word that no stemmer shortens."""
    return "".join("bdfgkmnprtvz"[number // 12**place % 12] + "aou"[(number + place) % 3] for place in range(4)) + "k"


def turns(data: Data, rows: int) -> Iterator[Document]:
    """Make a conversation in sessions of 30 turns; the first turns are a memory of their own."""
    random = np.random.default_rng(5)
    vectors = data.vectors("turns", random.integers(200, size=rows + SMALL))
    for place, text in enumerate(words(random, rows + SMALL, _WORDS_OF_A_TURN)):
        yield {
            "memory_id": "small" if place < SMALL else "large",
            "conversation_id": f"session-{place // 30}",
            "role": ("Ada", "Charles")[place % 2],
            "content": text,
            "timestamp": _START + timedelta(seconds=place),
            "embedding": vectors[place],
        }


def measure(lab: Lab) -> Iterator[Part]:
    rows, dimensions = lab.rows or 100_000, lab.dimensions or 1536
    schema = f"memorizz_benchmark_hybrid_{rows}_{dimensions}"
    data = Data(rows, dimensions)
    config = lab.config(schema, embedding_dimensions=dimensions)
    if not lab.holds(schema, TURNS, rows + SMALL):
        lab.drop(schema)
        print(f"storing {rows + SMALL:,} turns ...")
        with lab.filling(config) as provider:
            provider.store_many(turns(data, rows), TURNS)
    random = np.random.default_rng(6)
    asked = list(zip(words(random, 100, _WORDS_OF_A_QUESTION), data.questions, strict=False))
    with PostgreSQLProvider(config) as provider:
        sizes = {memory: provider.count(TURNS, {"memory_id": memory}) for memory in TARGETS}
        results = [
            _compare(provider, _pool(lab, schema), memory, sizes[memory], asked, lab.repeat) for memory in TARGETS
        ]
    if lab.keep is None:
        lab.drop(schema)
    name = f"memories of {SMALL} and of {rows:,} turns, {dimensions:,} dimensions"
    yield Part(f"hybrid/{rows}x{dimensions}", {"results": results}, name)


def _pool(lab: Lab, schema: str) -> ConnectionPool[Any]:
    options = f"-c search_path={schema},{lab.vector_schema}"
    return ConnectionPool(
        lab.conninfo, kwargs={"autocommit": True, "options": options}, configure=adapt, min_size=1, open=True
    )


def _compare(
    provider: PostgreSQLProvider, pool: ConnectionPool[Any], memory: str, size: int, asked: list[Any], repeat: int
) -> Record:
    """Ask a memory by the provider and by the bare statement, in turns."""
    print(f"  a memory of {size:,} turns ...")

    def ours(turn: int, **options: Any) -> Any:
        text, vector = asked[turn % len(asked)]
        query = {"$text": {"$search": text}, "embedding": vector, "memory_id": memory}
        return provider.retrieve_by_query(query, TURNS, LIMIT, **options)

    explained = [ours(turn, explain=True).explanation for turn in range(len(asked))]
    bare = [_bare(each, vector) for each, (_, vector) in zip(explained, asked, strict=True)]
    with pool:
        for turn in range(5):
            assert len(bare[turn](pool)) == len(ours(turn))
        took = in_turns({"provider": ours, "bare": lambda turn: bare[turn % len(bare)](pool)}, repeat, seconds=60)
    return {
        "memory": memory,
        "turns": size,
        "routes": dict(Counter(each["route"] for each in explained)),
        "tried": dict(Counter(" then ".join(each["tried"]) for each in explained)),
        "repeated": len(took["bare"]),
        "provider": median(took["provider"]),
        "bare": median(took["bare"]),
    }


def _bare(explanation: dict[str, Any], vector: np.ndarray) -> Callable[[ConnectionPool[Any]], list[Any]]:
    """Return the statement that served a question, as a call."""
    statement = explanation["statement"].replace("%(vector)s", "%(vector)b")
    parameters = explanation["parameters"] | {"vector": vector}
    settings = _settings(explanation)
    set_locally = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in settings.items())

    def run(pool: ConnectionPool[Any]) -> list[Any]:
        with pool.connection() as connection:
            cursor = connection.cursor(binary=True)
            if not settings:
                return cursor.execute(statement, parameters, prepare=False).fetchall()
            with connection.pipeline():
                connection.execute(f"SELECT {set_locally}", prepare=True)
                cursor.execute(statement, parameters, prepare=True)
            return cursor.fetchall()

    return run


def _settings(explanation: dict[str, Any]) -> dict[str, str]:
    """Return what the provider sets for a search that was served in this way."""
    if explanation["route"] == "scan":
        return {}
    settings = {"jit": "off", "plan_cache_mode": "force_custom_plan"}
    if explanation["route"] == "index":
        settings |= {"enable_sort": "off", "hnsw.iterative_scan": "off"}
        settings |= {"hnsw.ef_search": str(explanation["ef_search"])}
    return settings


def tables(record: Record) -> list[Table]:
    body = [
        (
            f"{each['turns']:,} turns",
            ", ".join(f"{route} {count}" for route, count in each["tried"].items()),
            number(each["provider"], "ms"),
            f"≤ {TARGETS[each['memory']]:.0f} ms",
            target(each["provider"] <= TARGETS[each["memory"]]),
            number(each["bare"], "ms"),
            f"{each['provider'] / each['bare']:.2f}",
            f"≤ {RATIO}",
            target(each["provider"] / each["bare"] <= RATIO),
            str(each["repeated"]),
        )
        for each in record["results"]
    ]
    head = ("memory", "tried", "provider", "target", "", "bare statement", "ratio", "target", "", "turns")
    return [Table("Meaning and words together, top 10", head, body)]
