"""How many calls, functions and modules of ours an operation goes through, warm, on both APIs.

A generator or a coroutine that goes on counts as one that begins; so the async API, which goes on from the outermost
coroutine inwards, has more calls for the same functions.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mode
from types import CodeType, FrameType
from typing import Any

import memorizz
from benchmarks.data import Data, Document
from benchmarks.lab import Lab
from benchmarks.report import Part, Record, Table, target
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider, PostgreSQLProvider

TAKES = "10 seconds"
SCHEMA = "memorizz_benchmark_hops"
LONG = MemoryType.LONG_TERM_MEMORY
LIMIT, HITS = 10, 3
# Calls, functions and modules.
GOALS = {"store": (45, 30, 8), "retrieve_by_query": (60, 40, 9)}
# Now and then a call has something else to do: the count that is had most often is taken.
_WARM, _COUNTED = 40, 9
_OURS = str(Path(memorizz.__file__).parent)


def measure(lab: Lab) -> Iterator[Part]:
    lab.drop(SCHEMA)
    data = Data(HITS, lab.dimensions or 384)
    results = asyncio.run(_counts(lab, data))
    lab.drop(SCHEMA)
    yield Part("hops", {"results": results}, f"a document of 5 keys, and a search that finds {HITS} of such documents")


async def _counts(lab: Lab, data: Data) -> list[Record]:
    config = lab.config(SCHEMA, embedding_dimensions=data.dimensions)
    results: list[Record] = []
    with PostgreSQLProvider(config) as provider:
        provider.store_many((_document(data, number, "asked") for number in range(HITS)), LONG)
        async with AsyncPostgreSQLProvider(config) as async_provider:
            for api, each in (("sync", provider), ("async", async_provider)):
                for operation, call in _operations(each, data).items():
                    counts = [await _counted(call) for _ in range(_WARM + _COUNTED)]
                    results.append({"operation": operation, "api": api, "counts": mode(counts[_WARM:])})
    return results


def _document(data: Data, number: int, memory: str) -> Document:
    vector = data.embeddings[number]
    return {"memory_id": memory, "name": "tea", "content": "Ada drinks tea", "number": number, "embedding": vector}


def _operations(provider: Any, data: Data) -> dict[str, Callable[[], Any]]:
    document, query = _document(data, 0, "stored"), {"embedding": data.questions[0], "memory_id": "asked"}
    return {
        "store": lambda: provider.store(document, LONG),
        "retrieve_by_query": lambda: provider.retrieve_by_query(query, LONG, LIMIT),
    }


async def _counted(call: Callable[[], Any]) -> tuple[int, int, int]:
    """Count what one call goes through in this thread."""
    entered: Counter[CodeType] = Counter()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(_OURS):
            entered[frame.f_code] += 1

    sys.setprofile(note)
    try:
        answer = call()
        if inspect.isawaitable(answer):
            await answer
    finally:
        sys.setprofile(None)
    return entered.total(), len(entered), len({code.co_filename for code in entered})


def tables(record: Record) -> list[Table]:
    body: list[tuple[str, ...]] = []
    for each in record["results"]:
        counts, goal = each["counts"], GOALS[each["operation"]]
        reached = all(count <= most for count, most in zip(counts, goal, strict=True))
        body.append((each["operation"], each["api"], *map(str, counts), " / ".join(map(str, goal)), target(reached)))
    head = ("operation", "API", "calls", "functions", "modules", "goal", "")
    return [Table("What an operation goes through in src/memorizz, warm", head, body)]
