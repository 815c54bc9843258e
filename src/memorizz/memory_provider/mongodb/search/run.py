"""How a search is run: by the first route whose answer is complete, and by words; and how that is explained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from memorizz.memory_provider._cosines import explained_cosines
from memorizz.memory_provider.mongodb._steps import Command, Operation, Read, Record, fetch
from memorizz.memory_provider.mongodb._stores import Store, key_of
from memorizz.memory_provider.mongodb.search import pipelines, plan, score
from memorizz.memory_provider.mongodb.search.plan import Route, Search
from memorizz.memory_provider.mongodb.search.score import Candidate


@dataclass(frozen=True, slots=True)
class Served:
    """How a search was served in one store: the route that was accepted, all that were tried, and the hits."""

    route: Route
    tried: Sequence[Route]
    reads: Sequence[Read]
    hits: list[Candidate]
    # The best text score.
    best: float


def run(search: Search, store: Store) -> Operation[Served]:
    """Search in a store: the nearest, by the first route whose answer is complete, and the best by words."""
    nearest: list[Record] = []
    with_words: list[Record] = []
    reads: list[Read] = []
    tried: list[Route] = []
    route = Route.EXACT
    for route in plan.routes(search, store) if search.vector is not None else ():
        read = pipelines.nearest(search, store, route)
        nearest = yield from fetch(read)
        reads.append(read)
        tried.append(route)
        if plan.is_accepted(route, search, len(nearest)):
            break
    if search.terms:
        read = pipelines.with_words(search, store)
        with_words = yield from fetch(read)
        reads.append(read)
        others = _others(nearest, with_words) if len(with_words) == search.depth else []
        if others:
            # What is near may have the words too, though less of them than the best.
            with_words += yield from fetch(pipelines.with_words(search, store, others))
    found = score.candidates(search, store, nearest, with_words)
    best = max((each.rank for each in found), default=0.0)
    return Served(route, tried or [route], reads, score.rank(search, store, found), best)


def _others(nearest: Iterable[Record], with_words: Iterable[Record]) -> list[Any]:
    """Return the keys of the nearest that were not found by their words."""
    found = set(map(key_of, with_words))
    return [record["_id"] for record in nearest if key_of(record) not in found]


def only_filtered(read: Read) -> Served:
    """Return how a query is served in which nothing ranks."""
    return Served(Route.EXACT, [Route.EXACT], [read], [], 0.0)


def explanation(search: Search, store: Store, served: Served) -> dict[str, Any]:
    """Return how a search was served, for a person to read."""
    why = served.route.value if search.vector is not None else "ask the text index, keep what matches"
    return {
        "route": served.route.name.lower(),
        "why": why if search.ranked else "nothing ranks: read what matches, in its order",
        "tried": [route.name.lower() for route in served.tried],
        "cosines": explained_cosines(score.cosines_of(store), store.spec.distance),
        "pipelines": [pipelines.shown(read.pipeline) for read in served.reads],
    }


def explained(reads: Iterable[Read]) -> Operation[list[Any]]:
    """Return what MongoDB's explain says of some aggregations, which it runs."""
    plans: list[Any] = []
    for read in reads:
        aggregate: dict[str, Any] = {"aggregate": read.collection, "pipeline": list(read.pipeline), "cursor": {}}
        plans.append((yield Command({"explain": aggregate, "verbosity": "executionStats"})))
    return plans
