"""How much of the truth the served answers hold, measured on a store's own vectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean, median
from time import perf_counter
from typing import Any

from memorizz.errors import ConfigurationError, DatabaseError, ReadOnlyError
from memorizz.memory_provider._questions import Options, asked, checked_limit
from memorizz.memory_provider.base import StoreName
from memorizz.memory_provider.postgresql import _changes as changes
from memorizz.memory_provider.postgresql import _queries as queries
from memorizz.memory_provider.postgresql import _ranking, _search
from memorizz.memory_provider.postgresql._errors import lacks_right
from memorizz.memory_provider.postgresql._ranking import DISTANCE
from memorizz.memory_provider.postgresql._search import BY_BITS, ENOUGH_BITS, LEAST_BITS, Way
from memorizz.memory_provider.postgresql._serving import ranked
from memorizz.memory_provider.postgresql._steps import Operation, Row, fetch
from memorizz.memory_provider.postgresql._stores import Schema, Store, from_binary

# How many of the best by their bits are compared when it is measured what they keep.
_BY_BITS = (BY_BITS // 4, BY_BITS // 2, BY_BITS)
# It tells something where this many times more rows are ranked by them than are compared.
_TELLING = 25
# From here on comparing every row is slower than the index by more than a person would accept.
_WANTS_INDEX = 10_000


@dataclass
class _Kind:
    """One kind of search, and what was measured of it."""

    search: str
    routes: Counter[str] = field(default_factory=Counter[str])
    recalls: list[float] = field(default_factory=list[float])
    served_ms: list[float] = field(default_factory=list[float])
    exact_ms: list[float] = field(default_factory=list[float])
    # What the best by their bits hold of the nearest, by how many of them are compared.
    by_bits: Mapping[int, list[float]] = field(default_factory=lambda: {compared: [] for compared in _BY_BITS})

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
    schema: Schema, memory_store_type: StoreName, sample: int = 50, limit: int = 10
) -> Operation[tuple[dict[str, Any], Schema]]:
    """Return the report, and the schema with what the measurement allows from now on."""
    store = schema.store(memory_store_type)
    if not checked_limit(sample, "sample") or not checked_limit(limit):
        raise ConfigurationError("sample and limit: expected numbers above 0")
    rows = (yield from fetch(queries.count(store, {"embedding": {"$exists": True}})))[0][0]
    taken = yield from fetch(queries.sample(store, sample))
    everywhere, elsewhere = _Kind("all"), _Kind("one memory")
    memories = list(dict.fromkeys(memory for _, memory in taken if memory is not None))
    for place, (binary, own) in enumerate(taken):
        vector = from_binary(binary)
        yield from _compare(store, {"embedding": vector}, limit, everywhere)
        # What one memory is asked about another one's subject is what an index under a filter is worst at.
        if memories:
            others = [each for each in memories if each != own] or memories
            yield from _compare(
                store, {"embedding": vector, "memory_id": others[place % len(others)]}, limit, elsewhere
            )
    kept, compared = _kept((everywhere, elsewhere))
    # Of few rows nearly all are compared whatever their bits say.
    telling = rows >= _TELLING * compared
    used = kept is not None and kept >= ENOUGH_BITS and schema.dimensions >= LEAST_BITS and telling
    if kept is not None and telling:
        try:
            yield from fetch(changes.note_bits(store, kept, compared, rows))
        except (ReadOnlyError, DatabaseError) as error:
            # A standby can be measured too, and by whoever may only read; the note is then to be made elsewhere.
            if not (isinstance(error, ReadOnlyError) or lacks_right(error)):
                raise
            used = False
    report = {
        "store": store.name,
        "rows": rows,
        "sample": len(taken),
        "limit": limit,
        "ways": [kind.report() for kind in (everywhere, elsewhere) if kind.recalls],
        "bits": {"recall": kept, "compared": compared, "used": used},
        "advice": _advice(store, rows, everywhere, elsewhere, kept, used),
    }
    bits = {name: each for name, each in schema.bits.items() if name != store.name}
    return report, replace(schema, bits=bits | {store.name: compared} if used else bits)


def _kept(kinds: Sequence[_Kind]) -> tuple[float | None, int]:
    """Return what the bits keep in the kind of search where that is least, and how many are to be compared for it.

    As few as found all that the most find, whatever was asked: the mean would hide the memories that are harder.
    """
    kept = min((mean(recalls) for kind in kinds if (recalls := kind.by_bits[BY_BITS])), default=None)
    return kept, next(n for n in _BY_BITS if all(kind.by_bits[n] == kind.by_bits[BY_BITS] for kind in kinds))


def _compare(store: Store, query: dict[str, Any], limit: int, kind: _Kind) -> Operation[None]:
    """Search as it is served, exactly, and by the bits where there are too many rows to compare each."""
    search = _search.parse(store, asked(query, limit, Options()))
    exact = replace(search, options=Options(exact=True))
    started = perf_counter()
    served = (yield from ranked(search, [store]))[0]
    kind.served_ms.append((perf_counter() - started) * 1000)
    started = perf_counter()
    truth = (yield from ranked(exact, [store]))[0].rows
    kind.exact_ms.append((perf_counter() - started) * 1000)
    kind.routes[served.way.name.lower()] += 1
    if not truth:
        return
    kind.recalls.append(_found(served.rows, truth))
    if served.way not in (Way.SOME, Way.FEW):
        by_bits = _ranking.statement(search, store, Way.BITS)
        for compared, recalls in kind.by_bits.items():
            rows = yield from fetch(replace(by_bits, parameters={**by_bits.parameters, "by_bits": compared}))
            recalls.append(_found(rows, truth))


def _found(rows: Sequence[Row], truth: Sequence[Row]) -> float:
    """Return the share of the true hits that were found; a hit as near as the last true one is as good as it."""
    farthest = max(row[DISTANCE] or 0.0 for row in truth) + 1e-9
    distances = [row[DISTANCE] for row in rows]
    near_enough = sum(1 for distance in distances if distance is not None and distance <= farthest)
    return min(near_enough / len(truth), 1.0)


def _advice(store: Store, rows: int, everywhere: _Kind, elsewhere: _Kind, kept: float | None, used: bool) -> list[str]:
    """Return what to change, in sentences."""
    advice: list[str] = []
    if rows == 0:
        return ["The store has no vectors: there is nothing to measure."]
    if store.index == "none" and rows > _WANTS_INDEX:
        advice.append("There is no vector index, so every search compares every row: memorizz index build.")
    for kind in (everywhere, elsewhere):
        if kind.recall is not None and kind.recall < ENOUGH_BITS:
            advice.append(
                f"Searches of {kind.search} find {kind.recall:.1%} of the nearest: search with a larger ef_search, or "
                "build the index with larger parameters: memorizz index rebuild --m 32 --ef-construction 256."
            )
    if kept is not None and not used and rows > _WANTS_INDEX:
        advice.append(
            f"The bits of these vectors keep {kept:.1%} of the nearest; they are used from {ENOUGH_BITS:.0%} and "
            f"{LEAST_BITS} dimensions on. Filtered searches that the index cannot serve compare every matching row."
        )
    if elsewhere.routes["exact"] * 2 > sum(elsewhere.routes.values()) > 0:
        advice.append(
            "Most searches inside one memory compare every row of it. A memory that has grown large can have an index "
            "of its own: memorizz index build --memory-id ID."
        )
    return advice or ["Nothing to change."]
