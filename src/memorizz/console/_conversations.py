"""Conversations, read as a chat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from starlette.responses import Response

from memorizz.console._overview import first
from memorizz.console._page import Page
from memorizz.memory_provider._documents import RECALLED
from memorizz.memory_provider.base import Document
from memorizz.memory_provider.stores import CONVERSATIONS

# The newest turns say which conversations there are; so many turns are read on one page, which stays below 300 kB, and
# of each so many of what was recalled for it.
_RECENT, TURNS, _RECALLED = 400, 30, 5


@dataclass
class Conversation:
    """Some turns that belong together; `turns` is how many of those that were looked at."""

    memory: str | None
    name: str | None
    turns: int
    newest: dict[str, Any]


async def conversations(page: Page) -> Response:
    """Show the conversations of the newest turns, each with the last that was said in it."""
    after = page.query.get("after") or None
    turns = await first(page.view, CONVERSATIONS, _RECENT, None, after)
    found: dict[tuple[str | None, str | None], Conversation] = {}
    for turn in turns:
        key = turn.get("memory_id"), turn.get("conversation_id")
        known = found.setdefault(key, Conversation(*key, 0, turn))
        known.turns += 1
    more = turns[-1]["id"] if len(turns) == _RECENT else None
    # Turns of nobody belong to no conversation.
    shown = [each for each in found.values() if each.memory or each.name]
    return page.show("conversations.html", conversations=shown, more=more, looked_at=_RECENT)


async def conversation(page: Page) -> Response:
    """Show the turns of a conversation, or of a memory: the newest that fit, and those before them."""
    name, whose = page.query.get("conversation") or None, page.console.memory or page.sight.memory or None
    before = page.query.get("before") or None
    turns = await page.view.retrieve_conversation_history_ordered_by_timestamp(
        whose, TURNS + 1, before, conversation_id=name
    )
    # One more says whether there are others before.
    more = len(turns) > TURNS
    shown = turns[more:]
    return page.show(
        "conversation.html",
        turns=[(turn, *said) for turn, said in zip(shown, await _recalled(page, shown), strict=True)],
        more=more,
        name=name,
        whose=whose,
        store=CONVERSATIONS,
    )


@dataclass(frozen=True)
class Reference:
    """A hit of what was recalled for a turn, with the document that it is now; None where that is not here."""

    store: str
    id: str
    score: float | None
    document: Document | None


async def _recalled(page: Page, turns: Sequence[Document]) -> list[tuple[list[Reference], int]]:
    """Return what was recalled for each of some turns, and how much more there was."""
    said = [_references(turn) for turn in turns]
    wanted: dict[str, set[str]] = {spec.name: set() for spec in await page.specs()}
    for store, id, _ in (each for some in said for each in some[:_RECALLED]):
        wanted.get(store, set()).add(id)
    # What was recalled may be of another memory.
    view = page.sight.of_every_memory().through(page.console.view())
    found: dict[tuple[str, str], Document] = {}
    for store, ids in wanted.items():
        if ids:
            documents = await view.retrieve_by_query({"id": {"$in": sorted(ids)}}, store, len(ids))
            found.update({(store, each["id"]): each for each in documents})
    return [
        (
            [Reference(store, id, score, found.get((store, id))) for store, id, score in some[:_RECALLED]],
            len(some[_RECALLED:]),
        )
        for some in said
    ]


def _references(turn: Document) -> list[tuple[str, str, float | None]]:
    """Return the store, the id and the score of what a turn says was recalled; what says none of them is left out."""
    said: list[tuple[str, str, float | None]] = []
    listed: Any = turn.get(RECALLED)
    for each in cast("list[Any]", listed) if isinstance(listed, list) else ():
        hit: Mapping[str, Any] = cast("Mapping[str, Any]", each) if isinstance(each, Mapping) else {}
        store, id, score = hit.get("store"), hit.get("id"), hit.get("score")
        if isinstance(store, str) and isinstance(id, str):
            said.append((store, id, score if isinstance(score, int | float) else None))
    return said
