"""How the database is: sizes, indexes, growth, and what the doctor has found."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from starlette.responses import Response

from memorizz.console._course import HIGH, MEASURES, WIDE, Course
from memorizz.console._overview import COUNTED
from memorizz.console._page import NotFound, Page
from memorizz.memory_provider.base import AsyncMemoryProvider

_WEEKS = 16


async def health(page: Page) -> Response:
    """Show what `memorizz doctor` says, and how much came in each of the last weeks."""
    if page.console.database is None:
        raise NotFound("there is nothing to measure here")
    if page.console.tenant is not None or page.console.memory is not None:
        raise NotFound("how the whole database is, is shown without --tenant and --memory")
    async with page.console.database() as database:
        facts, findings = await database.examine()
        # Where the tables are not all there, the findings say so.
        noted = [] if facts.facts is None else await database.noted()
    small = [each.name for each in facts.stores if each.rows is not None and 0 < each.rows <= COUNTED]
    return page.show(
        "health.html",
        facts=facts,
        findings=findings,
        weeks=await _weeks(page.view, small),
        course=Course.of(noted),
        measures=MEASURES,
        wide=WIDE,
        high=HIGH,
        left_out=[each.name for each in facts.stores if each.rows is not None and each.rows > COUNTED],
    )


async def _weeks(view: AsyncMemoryProvider, stores: list[str]) -> list[tuple[datetime, int]]:
    """Return how many documents of some stores came in each of the last weeks, which begin on Mondays."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    monday = today - timedelta(days=today.weekday())
    weeks = [monday - timedelta(weeks=back) for back in reversed(range(_WEEKS))]

    async def came(since: datetime) -> int:
        of_week = {"created_at": {"$gte": since, "$lt": since + timedelta(weeks=1)}}
        return sum([await view.count(store, of_week) for store in stores])

    return [*zip(weeks, await asyncio.gather(*map(came, weeks)), strict=True)] if stores else []
