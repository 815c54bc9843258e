"""How much of the truth the served answers hold, measured on a store's own vectors. It changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean, median
from time import perf_counter
from typing import Any

from memorizz.errors import ConfigurationError
from memorizz.memory_provider._documents import EMBEDDING
from memorizz.memory_provider._questions import asked
from memorizz.memory_provider.base import SearchOptions, StoreName
from memorizz.memory_provider.options import checked_limit
from memorizz.memory_provider.postgresql._steps import Operation, Row, fetch
from memorizz.memory_provider.postgresql.facts import Facts, Store
from memorizz.memory_provider.postgresql.rows import from_sent
from memorizz.memory_provider.postgresql.search.plan import parse
from memorizz.memory_provider.postgresql.search.run import run
from memorizz.memory_provider.postgresql.search.sql import DISTANCE
from memorizz.memory_provider.postgresql.sql import reads

# The share of the nearest that is promised.
PROMISED = 0.99
# From here on comparing every row is slower than the index by more than a person would accept.
_WANTS_INDEX = 10_000

# What pgvector's distances, computed in single precision, may differ by between the index and a comparison.
_ROUNDING = 1e-6


@dataclass
class _Kind:
    """One kind of search, and what was measured of it."""

    search: str
    routes: Counter[str] = field(default_factory=Counter[str])
    recalls: list[float] = field(default_factory=list[float])
    served_ms: list[float] = field(default_factory=list[float])
    exact_ms: list[float] = field(default_factory=list[float])

    @property
    def recall(self) -> float | None:
        return mean(self.recalls) if self.recalls else None

    def report(self) -> dict[str, Any]:
        return {
            "search": self.search,
            "routes": dict(self.routes),
            "recall": self.recall,
            "median_ms": median(self.served_ms) if self.served_ms else None,
            "exact_ms": median(self.exact_ms) if self.exact_ms else None,
        }


def measure_recall(
    facts: Facts,
    memory_store_type: StoreName,
    sample: int = 50,
    limit: int = 10,
    watch: Callable[[int, int], None] | None = None,
) -> Operation[dict[str, Any]]:
    store = facts.store(memory_store_type)
    if not checked_limit(sample, "sample") or not checked_limit(limit):
        raise ConfigurationError("sample and limit: expected numbers above 0")
    rows = (yield from fetch(reads.count(store, {"embedding": {"$exists": True}})))[0][0]
    taken = yield from fetch(reads.sample(store, sample))
    everywhere, elsewhere = _Kind("all"), _Kind("one memory")
    memories = list(dict.fromkeys(memory for _, memory in taken if memory is not None))
    for place, (binary, own) in enumerate(taken):
        if watch is not None:
            watch(place, len(taken))
        vector: Any = from_sent(binary)
        if isinstance(vector[0], dict):
            vector = vector[place % len(vector)][EMBEDDING]
        yield from _compare(facts, store, {"embedding": vector}, limit, everywhere)
        # What one memory is asked about another one's subject is what an index under a filter is worst at.
        if memories:
            others = [each for each in memories if each != own] or memories
            query = {"embedding": vector, "memory_id": others[place % len(others)]}
            yield from _compare(facts, store, query, limit, elsewhere)
    if watch is not None:
        watch(len(taken), len(taken))
    return {
        "store": store.name,
        "rows": rows,
        "sample": len(taken),
        "limit": limit,
        "ways": [kind.report() for kind in (everywhere, elsewhere) if kind.recalls],
        "advice": _advice(store, rows, everywhere, elsewhere),
    }


def _compare(facts: Facts, store: Store, query: dict[str, Any], limit: int, kind: _Kind) -> Operation[None]:
    """Search as it is served, and exactly."""
    search = parse(store, asked(query, limit, SearchOptions()))
    started = perf_counter()
    served = (yield from run(facts, search, [store]))[0]
    kind.served_ms.append((perf_counter() - started) * 1000)
    started = perf_counter()
    truth = (yield from run(facts, replace(search, options=SearchOptions(exact=True)), [store]))[0].rows
    kind.exact_ms.append((perf_counter() - started) * 1000)
    kind.routes[served.route.name.lower()] += 1
    if truth:
        kind.recalls.append(_found(served.rows, truth))


def _found(rows: Sequence[Row], truth: Sequence[Row]) -> float:
    """Return the share of the true hits that were found; a hit as near as the last true one is as good as it."""
    farthest = max(row[DISTANCE] or 0.0 for row in truth)
    farthest += _ROUNDING * max(1.0, abs(farthest))
    distances = [row[DISTANCE] for row in rows]
    near_enough = sum(1 for distance in distances if distance is not None and distance <= farthest)
    return min(near_enough / len(truth), 1.0)


def _advice(store: Store, rows: int, everywhere: _Kind, elsewhere: _Kind) -> list[str]:
    """Return what to change, in sentences."""
    if rows == 0:
        return ["The store has no vectors: there is nothing to measure."]
    advice: list[str] = []
    if store.vector.index == "none" and rows > _WANTS_INDEX:
        advice.append("There is no vector index, so every search compares every row: memorizz index build.")
    for kind in (everywhere, elsewhere):
        if kind.recall is not None and kind.recall < PROMISED:
            advice.append(
                f"Searches of {kind.search} find {kind.recall:.1%} of the nearest: search with a larger ef_search, or "
                "build the index with larger parameters: memorizz index rebuild --m 32 --ef-construction 256."
            )
    return advice or ["Nothing to change."]
