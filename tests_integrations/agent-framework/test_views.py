"""Views of tenants and memories in the place of a provider."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agent_framework import AgentResponse, AgentSession, Message, SessionContext
from kept import Kept, check_stays

from memorizz import PostgreSQLConfig
from memorizz.integrations.agent_framework import MemorizzContextProvider, MemorizzHistoryProvider


def context(text: str, answer: str | None = None) -> SessionContext:
    made = SessionContext(session_id="s", input_messages=[Message("user", [text])])
    if answer is not None:
        made._response = AgentResponse(messages=[Message("assistant", [answer])])
    return made


def remember(provider: MemorizzContextProvider) -> None:
    session = AgentSession(session_id="s")
    asyncio.run(provider.after_run(agent=None, session=session, context=context("Ada drinks tea.", "Yes."), state={}))


def found(provider: MemorizzContextProvider) -> Any:
    asked = context("tea")
    asyncio.run(provider.before_run(agent=None, session=AgentSession(session_id="t"), context=asked, state={}))
    return [message.text for message in asked.get_messages()]


KEPT = {
    "history": Kept(
        MemorizzHistoryProvider,
        lambda provider: asyncio.run(provider.save_messages("s", [Message("user", ["tea"], message_id="1")])),
        lambda provider: [message.text for message in asyncio.run(provider.get_messages("s"))],
        "s",
    ),
    "context": Kept(lambda view: MemorizzContextProvider("ada", view), remember, found, "ada"),
}


@pytest.mark.parametrize("name", KEPT)
def test_each_stays_in_its_view(config: PostgreSQLConfig, name: str) -> None:
    """Of two tenants and of none, nobody reads or replaces what another has; in the view of a memory it stays, or says
    why not."""
    check_stays(config, KEPT[name])
