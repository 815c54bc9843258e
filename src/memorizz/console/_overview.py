"""What there is: the stores, how many memories they hold, and what came last."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from memorizz.console._page import Page
from memorizz.errors import MemorizzError
from memorizz.memory_provider.base import AsyncMemoryProvider, Document, Filter
from memorizz.memory_provider.stores import StoreSpec

# The newest documents of each store say which memories are in use.
_RECENT = 100
_TENANTS = 50
_SHOWN = 8
# Above this, counting is for the server's statistics.
COUNTED = 50_000


@dataclass(frozen=True)
class Holding:
    """What a store holds; `estimated` counts all tenants together, as the server's statistics do."""

    spec: StoreSpec
    rows: int | None
    estimated: bool
    recent: list[Document]
    problem: str = ""


async def overview(page: Page) -> Response:
    """Show the stores, the memories that were written to last, and the newest documents."""
    view = page.view
    sizes, tenants = await _of_all(page)
    holdings = await asyncio.gather(*(_holding(view, spec, sizes.get(spec.name)) for spec in await page.specs()))
    newest = sorted(
        ((each.spec.name, document) for each in holdings for document in each.recent),
        key=lambda each: each[1]["created_at"],
        reverse=True,
    )
    memories: dict[str, dict[str, Any]] = {}
    for store, document in newest:
        if name := document.get("memory_id"):
            known = memories.setdefault(name, {"newest": document["created_at"], "stores": set[str]()})
            known["stores"].add(store)
    return page.show(
        "overview.html",
        holdings=holdings,
        most=max((each.rows or 0 for each in holdings), default=0),
        newest=newest[:_SHOWN],
        memories=[*memories.items()][: 3 * _SHOWN],
        recent=_RECENT,
        tenants=tenants,
    )


async def _of_all(page: Page) -> tuple[dict[str, int], list[str]]:
    """Return how many rows the server guesses that each store has, and the first tenants; of all tenants together."""
    console, sight = page.console, page.sight
    if console.database is None or console.memory is not None or sight.memory or sight.at:
        return {}, []
    is_one = console.tenant is not None or sight.tenant
    async with console.database() as database:
        rows, tenants = await database.glance(_TENANTS)
    return rows, [] if is_one else tenants


async def _holding(view: AsyncMemoryProvider, spec: StoreSpec, guessed: int | None) -> Holding:
    estimated = guessed is not None and guessed > COUNTED
    try:
        recent = await first(view, spec.name, _RECENT)
        rows = guessed if estimated else await view.count(spec.name)
    except MemorizzError as error:
        return Holding(spec, None, False, [], str(error))
    return Holding(spec, rows, estimated, recent)


async def first(
    view: AsyncMemoryProvider, store: str, most: int, where: Filter | None = None, after: str | None = None
) -> list[Document]:
    """Return the newest documents of a store that match, or those behind one of them."""
    found: list[Document] = []
    async for document in view.iterate(store, where, most, after=after, newest_first=True):
        found.append(document)
        if len(found) == most:
            break
    return found
