"""How a search is served: one way after another, until an answer can be trusted; and what is told of it.

_search decides, _ranking has the SQL, and here is the order of the round trips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from memorizz.memory_provider._questions import Question, without_names
from memorizz.memory_provider.postgresql import _queries as queries
from memorizz.memory_provider.postgresql import _ranking, _search
from memorizz.memory_provider.postgresql._search import Search, Way
from memorizz.memory_provider.postgresql._steps import Embed, Operation, Query, Row, fetch, fetch_all
from memorizz.memory_provider.postgresql._stores import Store


@dataclass(frozen=True, slots=True)
class Served:
    """How a search was served in one store: the way that was accepted, all that were tried, and what it brought."""

    way: Way
    tried: Sequence[Way]
    statement: Query
    rows: list[Row]
    ef_search: int = 0


def with_meaning(search: Search, question: Question, target: Store) -> Operation[Search]:
    """Add the vector of a question that is to be embedded; the names of speakers are cut out of it before."""
    embedder = target.schema.embedder
    if embedder is None or question.text is None or not question.text.strip():
        return search
    names: list[str] = []
    if search.names:
        rows = yield from fetch(queries.speakers(target, question.filter, search.names))
        names = [row[0] for row in rows]
    vectors = yield Embed([without_names(question.text, names)], "query", embedder)
    return replace(search, vector=target.vector(vectors[0]), names=names, names_cut=True)


def ranked(search: Search, stores: Sequence[Store]) -> Operation[list[Served]]:
    """Search in some stores, each by the first way whose answer can be trusted; a round trip for each attempt."""
    tried = {store: _search.tried(search, store) for store in stores}
    left = {store: [*_search.ways(search, store, tried[store])] for store in stores}
    ef_search = {store: search.options.ef_search or max(search.ef_search, tried[store].ef_search) for store in stores}
    taken: dict[Store, list[Way]] = {store: [] for store in stores}
    served: dict[Store, Served] = {}
    while len(served) < len(stores):
        asked = {store: _ranking.statement(search, store, left[store][0]) for store in stores if store not in served}
        # What is set holds for all of them: the index looks at as many rows as any of them needs.
        most = max((ef_search[store] for store in asked if left[store][0] is Way.INDEX), default=0)
        needed: dict[str, str] = {}
        for store in asked:
            needed |= _search.settings(left[store][0], most)
        batch = [queries.set_locally(needed), *asked.values()]
        results = (yield from fetch_all(batch, queries.reset(needed)))[1:]
        for (store, statement), rows in zip(asked.items(), results, strict=True):
            way, seen = left[store][0], _ranking.seen(rows)
            taken[store].append(way)
            if _search.accepted(way, search, seen):
                tried[store].note(way, True)
                tried[store].end()
                served[store] = Served(way, taken[store], statement, rows, most)
            elif way is Way.INDEX and taken[store].count(way) == 1 and (more := _search.wider(search, most, seen)):
                ef_search[store] = tried[store].ef_search = more
            else:
                tried[store].note(way, False)
                left[store].pop(0)
    return [served[store] for store in stores]


def explanation(search: Search, served: Served) -> dict[str, Any]:
    """Return how a search was served, for a person to read."""
    return {
        "route": served.way.name.lower(),
        "why": served.way.value if search.ranked else "nothing ranks: read what matches, the oldest first",
        "tried": [way.name.lower() for way in served.tried],
        "matching": _ranking.seen(served.rows) if served.way in _search.MOST else None,
        "ef_search": served.ef_search if served.way is Way.INDEX else None,
        "statement": served.statement.sql.decode(),
        "parameters": {
            name: f"<{search.dimensions} numbers>" if name == "vector" else value
            for name, value in served.statement.parameters.items()
        },
    }


def plan(statement: Query, served: Served) -> Operation[Any]:
    """Return what PostgreSQL's EXPLAIN says of a statement, which it runs as the one that served."""
    settings = _search.settings(served.way, served.ef_search)
    explained = replace(statement, sql=queries.explained(statement.sql))
    results = yield from fetch_all([queries.set_locally(settings), explained], queries.reset(settings))
    return results[-1][0][0]
