"""How a search is run: one route after another, until an answer shows that it is complete.

`plan` decides, `sql` has the statements, and here is the order of the round trips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from typing import Any

from memorizz.memory_provider._cosines import explained_cosines
from memorizz.memory_provider._questions import Question, without_names, written_as_names
from memorizz.memory_provider.postgresql._steps import Embed, Operation, Query, Row, fetch_all
from memorizz.memory_provider.postgresql.facts import Facts, StaleFacts, Store
from memorizz.memory_provider.postgresql.search import plan, sql
from memorizz.memory_provider.postgresql.search.plan import Answer, Route, Search
from memorizz.memory_provider.postgresql.search.sql import DISTANCE, DISTANCES, SEEN, SEQ
from memorizz.memory_provider.postgresql.sql import reads


@dataclass(slots=True)
class Served:
    """How a search was served in one store: the route that was accepted, all that were tried, and the rows."""

    route: Route
    tried: Sequence[Route]
    statement: Query
    rows: list[Row]
    ef_search: int = 0


def embed_question(search: Search, question: Question, stores: Sequence[Store]) -> Operation[Search]:
    """Add the vector of a question to some stores of one model; names that speakers have in any are cut out of it."""
    first = stores[0]
    if first.embedder is None or question.text is None or not question.text.strip():
        return search
    names = written_as_names(question.text, search.names)
    if names:
        found = yield from fetch_all([reads.speakers(store, question.filter, names) for store in stores])
        names = sorted({name for rows in found for (name,) in rows})
    vectors = yield Embed([without_names(question.text, names)], "query", first.embedder)
    return replace(search, vector=first.vector_of(vectors[0]), names=names, names_cut=True)


class _Attempts:
    """How far a search in one store has come: the routes that are left, and those that were tried."""

    __slots__ = ("ef_search", "left", "statement", "store", "tried", "version")

    def __init__(self, search: Search, version: int, store: Store) -> None:
        self.store, self.version = store, version
        self.left = plan.routes(search, store)
        self.ef_search = search.ef_search
        self.tried: list[Route] = []
        self.statement = sql.statement(search, store, self.left[0], version)

    def served(self, search: Search, rows: list[Row], ef_search: int) -> Served | None:
        """Return how the search was served where the answer is complete; else prepare for the next route."""
        route, answer = self.left[0], _answer(self.left[0], search, rows)
        self.tried.append(route)
        complete = plan.is_complete(route, search, self.store, answer, ef_search)
        further = None if complete or route is not Route.INDEX else plan.wider(search, self.store, answer, ef_search)
        if complete:
            if self.store.shown:
                plan.remember(search, self.store, route, True)
            del rows[search.limit :]
            return Served(route, self.tried, self.statement, rows, ef_search if route is Route.INDEX else 0)
        if further is not None:
            self.ef_search = further
        else:
            plan.remember(search, self.store, route, False)
            self.left.pop(0)
            self.statement = sql.statement(search, self.store, self.left[0], self.version)
        return None


def _answer(route: Route, search: Search, rows: list[Row]) -> Answer:
    """Return what a route says of its answer."""
    if route is Route.INDEX:
        if search.scored:
            return Answer(distances=rows[0][DISTANCES] if rows else ())
        # The index returns rows of one distance in any order.
        rows.sort(key=itemgetter(DISTANCE, SEQ))
        return Answer(distances=[row[DISTANCE] for row in rows])
    seen = (rows[0][SEEN] or 0) if rows else 0
    if seen < 0:
        raise StaleFacts("what scores go by was changed, or a document has a text longer than a model reads")
    return Answer(seen=seen)


def run(facts: Facts, search: Search, stores: Sequence[Store]) -> Operation[list[Served]]:
    """Search in some stores, each by the first route whose answer is complete; a round trip for each attempt.

    Raises StaleFacts where something that the routes were chosen by has changed.
    """
    left = list(map(partial(_Attempts, search, facts.version), stores))
    served: dict[str, Served] = {}
    while left:
        ef_search, routes, statements = 0, list[Route](), list[Query]()
        for each in left:
            routes.append(each.left[0])
            statements.append(each.statement)
            if each.left[0] is Route.INDEX:
                # What is set holds for all of them: the index looks at as many rows as any of them needs.
                ef_search = max(ef_search, each.ef_search)
        results = yield from _fetch(facts, stores[0], statements, plan.settings(search, routes, ef_search, stores))
        unserved: list[_Attempts] = []
        for each, rows in zip(left, results, strict=True):
            answer = each.served(search, rows, ef_search)
            if answer is None:
                unserved.append(each)
            else:
                served[each.store.name] = answer
        left = unserved
    return [served[store.name] for store in stores] if len(stores) > 1 else [*served.values()]


def _fetch(
    facts: Facts, store: Store, statements: Sequence[Query], needed: Mapping[str, str]
) -> Operation[list[list[Row]]]:
    """Return the rows of statements, with what they need set in their transaction."""
    if not needed:
        return (yield from fetch_all(statements))
    settings, *results = yield from fetch_all(
        [reads.set_locally(store, needed), *statements], partial(reads.reset, store, needed)
    )
    if settings[0][-1] != facts.version:
        raise StaleFacts("an index or an embedding model was changed")
    return results


def explanation(search: Search, store: Store, served: Served) -> dict[str, Any]:
    """Return how a search was served, for a person to read."""
    vector = search.vector
    hidden = {} if vector is None else {"vector": f"<{int.from_bytes(vector[:2])} numbers>"}
    return {
        "route": served.route.name.lower(),
        "why": served.route.value if search.ranked else "nothing ranks: read what matches, in its order",
        "tried": [route.name.lower() for route in served.tried],
        "matching": (served.rows[0][SEEN] if served.rows else 0) if served.route is Route.SCAN else None,
        "ef_search": served.ef_search or None,
        "cosines": explained_cosines(store.model.cosines, store.spec.distance),
        "statement": served.statement.sql.decode(),
        "parameters": {**served.statement.parameters, **hidden},
    }


def explained(facts: Facts, search: Search, store: Store, served: Served) -> Operation[Any]:
    """Return what PostgreSQL's EXPLAIN says of the statement that served, for its values; it is run once more."""
    statement = replace(served.statement, sql=reads.explained(served.statement.sql))
    needed = plan.settings(search, [served.route], served.ef_search, [store])
    return (yield from _fetch(facts, store, [statement], needed))[0][0][0]
