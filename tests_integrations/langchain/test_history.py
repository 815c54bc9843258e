"""The chat message history, alone and in LangChain's own chain with history."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.runnables.history import RunnableWithMessageHistory

from memorizz import PostgreSQLProvider
from memorizz.errors import ConfigurationError, InvalidDocument
from memorizz.integrations.langchain import MemorizzChatMessageHistory


@pytest.fixture
def history(provider: PostgreSQLProvider) -> MemorizzChatMessageHistory:
    return MemorizzChatMessageHistory("ada", provider)


def test_messages_come_back_as_they_were(history: MemorizzChatMessageHistory) -> None:
    """Of every kind, with tool calls, parts, usage and ids, in the order in which they were added."""
    messages = [
        SystemMessage("Be brief."),
        HumanMessage([{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "x"}}]),
        AIMessage(
            "",
            id="run-1",
            tool_calls=[{"name": "look", "args": {"at": "x", "n": 1.5}, "id": "call-1"}],
            usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
            response_metadata={"model": "m"},
        ),
        ToolMessage("a cup", tool_call_id="call-1", artifact={"raw": [1, None]}),
        AIMessage("A cup.", id="run-2"),
    ]
    history.add_messages(tuple(messages))
    assert history.messages == messages
    history.add_message(HumanMessage("Thanks."))
    assert [message.text for message in history.messages][-2:] == ["A cup.", "Thanks."]


def test_a_batch_keeps_its_order(history: MemorizzChatMessageHistory) -> None:
    """Messages of one call follow each other, with ids and without."""
    messages = [HumanMessage(str(n), id=f"{n * 7919 % 100}" if n % 2 else None) for n in range(100)]
    history.add_messages(messages)
    assert [message.text for message in history.messages] == [str(n) for n in range(100)]


def test_a_message_that_is_added_again_is_there_once(
    history: MemorizzChatMessageHistory, provider: PostgreSQLProvider
) -> None:
    """A retry doubles nothing, and an id of another session is another message's."""
    history.add_messages([HumanMessage("one", id="1"), AIMessage("two", id="2")])
    history.add_messages([HumanMessage("one, again", id="1")])
    other = MemorizzChatMessageHistory("bob", provider)
    other.add_messages([HumanMessage("other", id="1")])
    assert [message.text for message in history.messages] == ["one, again", "two"]
    assert [message.text for message in other.messages] == ["other"]


@pytest.mark.parametrize("session", ["a.b", "100%", "a_b", "a'b", '"', "ada/x", "", "ada ", "NUL\0", "x" * 10_000])
def test_sessions_are_told_apart_by_the_whole_id(
    history: MemorizzChatMessageHistory, provider: PostgreSQLProvider, session: str
) -> None:
    """Whatever is in an id, it is that one session, and clearing it clears no other."""
    other = MemorizzChatMessageHistory(session, provider)
    history.add_user_message("mine")
    other.add_messages([AIMessage("theirs", id="1" * 10_000)])
    assert [message.text for message in other.messages] == ["theirs"]
    other.clear()
    assert other.messages == []
    assert [message.text for message in history.messages] == ["mine"]


def test_a_limit_keeps_the_newest(history: MemorizzChatMessageHistory, provider: PostgreSQLProvider) -> None:
    """A session that is longer than the limit never gives its oldest messages."""
    history.add_messages([HumanMessage(str(n)) for n in range(10)])

    def texts(limit: int | None) -> list[str]:
        found = MemorizzChatMessageHistory("ada", provider, limit=limit).messages
        return [str(message.text) for message in found]

    assert texts(3) == ["7", "8", "9"]
    assert texts(0) == []
    assert len(texts(None)) == 10


def test_what_cannot_be_kept_is_refused_whole(history: MemorizzChatMessageHistory) -> None:
    """The error says where in the message, and no message of the call is stored."""
    with pytest.raises(InvalidDocument, match="additional_kwargs"):
        history.add_messages([HumanMessage("fine"), AIMessage("not", additional_kwargs={"x": object()})])
    assert history.messages == []
    with pytest.raises(ConfigurationError, match="expected a str"):
        MemorizzChatMessageHistory(5, history.provider)  # type: ignore[arg-type]


async def test_async_twins(history: MemorizzChatMessageHistory) -> None:
    """They are the same, awaited."""
    await history.aadd_messages([HumanMessage("one")])
    assert [message.text for message in await history.aget_messages()] == ["one"]
    await history.aclear()
    assert await history.aget_messages() == []


def test_writers_at_once_lose_nothing(history: MemorizzChatMessageHistory) -> None:
    """50 threads and three loops add to one session; each pair stays together."""

    def add(number: int) -> None:
        history.add_messages([HumanMessage(f"{number}"), AIMessage(f"{number}")])

    async def add_awaited(number: int) -> None:
        await history.aadd_messages([HumanMessage(f"{number}"), AIMessage(f"{number}")])

    with ThreadPoolExecutor(53) as pool:
        loops = [pool.submit(asyncio.run, add_awaited(number)) for number in range(50, 53)]
        list(pool.map(add, range(50)))
        for loop in loops:
            loop.result()
    texts = [str(message.text) for message in history.messages]
    assert len(texts) == 106
    assert sorted({*map(int, texts)}) == list(range(53))


@pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated")
def test_a_chain_remembers(provider: PostgreSQLProvider) -> None:
    """RunnableWithMessageHistory gives a model what was said before, and keeps what is said."""
    seen: list[Any] = []

    class Model(FakeListChatModel):
        def _call(self, messages: Any, *args: Any, **kwargs: Any) -> str:
            seen.append([message.text for message in messages])
            return super()._call(messages, *args, **kwargs)

    chain = RunnableWithMessageHistory(
        Model(responses=["Hello, Ada.", "Ada."]), lambda session: MemorizzChatMessageHistory(session, provider)
    )
    config: Any = {"configurable": {"session_id": "one"}}
    chain.invoke("I am Ada.", config)
    chain.invoke("Who am I?", config)
    assert seen == [["I am Ada."], ["I am Ada.", "Hello, Ada.", "Who am I?"]]
    assert len(MemorizzChatMessageHistory("one", provider).messages) == 4
