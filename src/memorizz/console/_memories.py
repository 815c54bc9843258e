"""Lists, the newest first, and what a search finds: why each hit came, by which route, and in what time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from starlette.responses import Response

from memorizz.console._overview import first
from memorizz.console._page import Page, json_object
from memorizz.errors import FilterError, MemorizzError
from memorizz.memory_provider.base import AsyncMemoryProvider, Document, Filter
from memorizz.memory_provider.stores import StoreSpec

PAGE = 40
# Of each store, where all of them are looked at.
_BEST, _NEWEST = 5, 5
_WAYS = ("both", "meaning", "words")


@dataclass
class Group:
    """What was found in one store; `more` is the id that the next page begins behind."""

    spec: StoreSpec
    hits: list[Document] = field(default_factory=list[Document])
    more: str | None = None
    explanation: dict[str, Any] | None = None
    milliseconds: float = 0.0
    problem: str = ""


async def memories(page: Page) -> Response:
    """Show what a store holds, or what a question finds, in one store or in each."""
    wanted, asked = page.query.get("store", ""), page.query.get("q", "").strip()
    by = _way(page)
    specs = await page.specs() if not wanted else [await page.spec()]
    where = _filter(page)
    view = page.view
    if asked:
        searched = [spec for spec in specs if spec.embedded or by == "words" or wanted]
        most = PAGE if wanted else _BEST
        groups = await asyncio.gather(*(_searched(view, spec, _query(asked, by), most, where) for spec in searched))
    else:
        after = page.query.get("after") or None
        groups = await asyncio.gather(
            *(_listed(view, spec, PAGE if wanted else _NEWEST, where, after if wanted else None) for spec in specs)
        )
    found = [group for group in groups if group.hits or group.problem]
    if asked:
        # Scores of one search can be compared; of several it says which store may know.
        found.sort(key=lambda group: max((hit["_score"] for hit in group.hits), default=-1.0), reverse=True)
    return page.show(
        "memories.html",
        asked=asked,
        best=max((_length(hit) for group in found for hit in group.hits), default=0.0) or 1.0,
        by=by,
        groups=found,
        names=[spec.name for spec in await page.specs()],
        hits=sum(len(group.hits) for group in found),
        wanted=wanted,
        ways=_WAYS,
    )


def _length(hit: Document) -> float:
    """Return how long the parts of a score are together; what is taken off has no length."""
    return sum(value for value in hit.get("_explanation", {}).values() if value > 0)


def _way(page: Page) -> str:
    by = page.query.get("by", "")
    if page.console.without_meaning:
        return "words"
    return by if by in _WAYS else "both"


def _query(asked: str, by: str) -> Filter | str:
    if by == "both":
        return asked
    return {"embedding": asked} if by == "meaning" else {"$text": {"$search": asked}}


def _filter(page: Page) -> Filter | None:
    """Return the filter that the fields of the form make; raises FilterError."""
    conditions: list[dict[str, Any]] = []
    if role := page.query.get("role", "").strip():
        conditions.append({"$or": [{"role": role}, {"name": role}]})
    for name, operator in (("from", "$gte"), ("until", "$lt")):
        if value := page.query.get(name, "").strip():
            conditions.append({"created_at": {operator: value}})
    if given := page.query.get("filter", "").strip():
        conditions.append(json_object(given, "the filter"))
    return {"$and": conditions} if conditions else None


async def _searched(
    view: AsyncMemoryProvider, spec: StoreSpec, query: Filter | str, most: int, where: Filter | None
) -> Group:
    began = perf_counter()
    try:
        hits = await view.retrieve_by_query(query, spec.name, most, where=where, explain=True)
    except MemorizzError as error:
        return Group(spec, problem=str(error))
    return Group(spec, [*hits], None, hits.explanation, (perf_counter() - began) * 1000)


async def _listed(
    view: AsyncMemoryProvider, spec: StoreSpec, most: int, where: Filter | None, after: str | None
) -> Group:
    began = perf_counter()
    try:
        # One more says whether there is another page.
        found = await first(view, spec.name, most + 1, where, after)
    except FilterError:
        raise
    except MemorizzError as error:
        return Group(spec, problem=str(error))
    hits = found[:most]
    more = hits[-1]["id"] if len(found) > most else None
    return Group(spec, hits, more, None, (perf_counter() - began) * 1000)
