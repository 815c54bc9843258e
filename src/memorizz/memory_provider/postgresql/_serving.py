"""How a search is served: one way after another, until an answer can be trusted; and what is told of it.

_search decides, _ranking has the SQL, and here is the order of the round trips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from memorizz.memory_provider._questions import Question, without_names
from memorizz.memory_provider.postgresql import _queries as queries
from memorizz.memory_provider.postgresql import _ranking, _search
from memorizz.memory_provider.postgresql._search import Search, Way
from memorizz.memory_provider.postgresql._steps import Embed, Operation, Query, Row, fetch, fetch_all
from memorizz.memory_provider.postgresql._stores import Store


@dataclass(slots=True)
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


class _Attempts:
    """How far a search in one store has come: the ways that are left, and what was tried."""

    __slots__ = ("ef_search", "known", "left", "statement", "store", "tried")

    def __init__(self, search: Search, store: Store) -> None:
        self.store = store
        self.known = _search.tried(search, store)
        self.left = [*_search.ways(search, store, self.known)]
        self.ef_search = search.options.ef_search or max(search.ef_search, self.known.ef_search)
        self.tried: list[Way] = []
        self.statement = _ranking.statement(search, store, self.left[0])

    def served(self, search: Search, rows: list[Row], ef_search: int) -> Served | None:
        """Return how the search was served where what a way brought can be trusted; else prepare for the next way."""
        way, seen = self.left[0], _ranking.seen(rows)
        self.tried.append(way)
        if _search.accepted(way, search, seen):
            self.known.note(way, True, seen)
            self.known.end()
            return Served(way, self.tried, self.statement, _ranking.best(search, way, rows), ef_search)
        if way is Way.INDEX and self.tried.count(way) == 1 and (more := _search.wider(search, ef_search, seen)):
            self.ef_search = more
            self.known.widen(more)
        else:
            self.known.note(way, False, seen)
            self.left.pop(0)
            self.statement = _ranking.statement(search, self.store, self.left[0])
        return None


def ranked(search: Search, stores: Sequence[Store]) -> Operation[list[Served]]:
    """Search in some stores, each by the first way whose answer can be trusted; a round trip for each attempt."""
    unserved = {store: _Attempts(search, store) for store in stores}
    served: dict[Store, Served] = {}
    while unserved:
        # What is set holds for all of them: the index looks at as many rows as any of them needs.
        most = max((each.ef_search for each in unserved.values() if each.left[0] is Way.INDEX), default=0)
        ways = [each.left[0] for each in unserved.values()]
        statements = [each.statement for each in unserved.values()]
        results = yield from _fetch_with_settings(search, [*unserved], ways, statements, most)
        for each, rows in zip([*unserved.values()], results, strict=True):
            if (answer := each.served(search, rows, most)) is not None:
                served[each.store] = answer
                del unserved[each.store]
    return [served[store] for store in stores]


def _fetch_with_settings(
    search: Search, stores: Sequence[Store], ways: Sequence[Way], statements: Sequence[Query], ef_search: int
) -> Operation[list[list[Row]]]:
    """Ask for the rows of statements, one for each store and way, with what they need set."""
    needed = _search.settings(search, ways, ef_search)
    own_index = None
    if needed["plan_cache_mode"] == _search.KEPT and search.memory_id is not None:
        own_index = queries.own_index(stores[0], search.memory_id)
    batch = [queries.set_locally(needed, own_index), *statements]
    return (yield from fetch_all(batch, partial(queries.reset, needed)))[1:]


def explanation(search: Search, served: Served) -> dict[str, Any]:
    """Return how a search was served, for a person to read."""
    return {
        "route": served.way.name.lower(),
        "why": served.way.value if search.ranked else "nothing ranks: read what matches, the oldest first",
        "tried": [way.name.lower() for way in served.tried],
        "matching": _ranking.seen(served.rows) if served.way is Way.SOME else None,
        "ef_search": served.ef_search if served.way is Way.INDEX else None,
        "statement": served.statement.sql.decode(),
        "parameters": {
            name: f"<{search.dimensions} numbers>" if name == "vector" else value
            for name, value in served.statement.parameters.items()
        },
    }


def plan(search: Search, store: Store, statement: Query, served: Served) -> Operation[Any]:
    """Return what PostgreSQL's EXPLAIN says of a statement, which it runs in the way that served, for these values."""
    explained = replace(statement, sql=queries.explained(statement.sql))
    results = yield from _fetch_with_settings(search, [store], [served.way], [explained], served.ef_search)
    return results[0][0][0]
