"""Conversations, read as a chat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from memorizz.console._overview import first
from memorizz.console._page import Page
from memorizz.memory_provider.stores import CONVERSATIONS

# The newest turns say which conversations there are; so many turns are read on one page.
_RECENT, TURNS = 400, 40


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
    return page.show("conversation.html", turns=turns[more:], more=more, name=name, whose=whose, store=CONVERSATIONS)
