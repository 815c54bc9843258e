"""The providers for Microsoft's Agent Framework: what it asks of them, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from agent_framework import (
    Agent,
    AgentResponse,
    AgentSession,
    BaseChatClient,
    ChatResponse,
    Content,
    Message,
    SessionContext,
)

from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.errors import ConfigurationError, ConnectionFailed, ProviderClosed
from memorizz.integrations.agent_framework import MemorizzContextProvider, MemorizzHistoryProvider


class Letters:
    """Two texts are as near as they share letters."""

    name = "letters"
    dimensions = 4

    def embed(self, texts: list[str], *, kind: str = "document") -> list[list[float]]:
        return [[1.0 + text.count(letter) for letter in "aest"] for text in texts]


class Scripted(BaseChatClient):
    """Answers what it was made with, and notes what it was asked."""

    def __init__(self, *answers: str) -> None:
        super().__init__()
        self.answers = [*answers]
        self.asked: list[list[tuple[str, str]]] = []

    def _inner_get_response(self, *, messages: Sequence[Message], stream: bool, options: Any, **kwargs: Any) -> Any:
        async def answer() -> ChatResponse:
            self.asked.append([(str(message.role), message.text) for message in messages])
            return ChatResponse(messages=[Message("assistant", [self.answers.pop(0)])])

        return answer()


def run(awaitable: Any) -> Any:
    return asyncio.run(awaitable)


def said(*texts: str) -> list[Message]:
    """Messages in turns, the user's first."""
    return [Message("assistant" if n % 2 else "user", [text]) for n, text in enumerate(texts)]


def texts(provider: MemorizzHistoryProvider, session_id: str = "s") -> list[str]:
    return [message.text for message in run(provider.get_messages(session_id))]


@pytest.fixture
def provider(config: PostgreSQLConfig) -> Iterator[PostgreSQLProvider]:
    with PostgreSQLProvider(config) as opened:
        yield opened


@pytest.fixture
def history(provider: PostgreSQLProvider) -> MemorizzHistoryProvider:
    return MemorizzHistoryProvider(provider)


# --- history ------------------------------------------------------------------------------------------------------


def test_messages_come_back_as_they_were(history: MemorizzHistoryProvider) -> None:
    """In their order, whatever is in them: calls of tools and their results, data, properties, a NUL."""
    call = Content.from_function_call(call_id="1", name="add", arguments={"b": 1, "a": [None, 2.5]})
    result = Content.from_function_result(call_id="1", result="3")
    messages = [
        Message("system", ["Be short."]),
        Message("user", ["What\x00 is it?", Content.from_data(b"\x00\xff", "image/png")], author_name="Ada"),
        Message("assistant", [call], message_id="m1", additional_properties={"z": 1, "a": {"b": None}}),
        Message("tool", [result]),
    ]
    run(history.save_messages("s", messages))
    assert [each.to_dict() for each in run(history.get_messages("s"))] == [each.to_dict() for each in messages]
    assert run(history.get_messages("another")) == []


def test_an_agent_goes_on_where_it_stopped(config: PostgreSQLConfig) -> None:
    """Another process with the same session gives its model what was said; another session begins anew."""
    for answer, asked in (("first", []), ("second", [("user", "one"), ("assistant", "first")])):
        with MemorizzHistoryProvider(config) as kept:
            client = Scripted(answer)
            agent = Agent(client=client, context_providers=[kept])
            question = "two" if asked else "one"
            run(agent.run(question, session=agent.create_session(session_id="s")))
            assert client.asked == [[*asked, ("user", question)]]
    with MemorizzHistoryProvider(config) as kept:
        assert texts(kept) == ["one", "first", "two", "second"]
        assert texts(kept, "t") == []


def test_the_newest_messages(provider: PostgreSQLProvider, history: MemorizzHistoryProvider) -> None:
    """A limit gives the newest of them, 0 none, None all; a result is not given without its call."""
    run(history.save_messages("s", said(*"abcd")))
    for limit, expected in ((None, "abcd"), (0, ""), (1, "d"), (3, "bcd"), (9, "abcd")):
        assert texts(MemorizzHistoryProvider(provider, limit=limit)) == list(expected)
    run(history.save_messages("s", [Message("tool", [Content.from_function_result(call_id="1", result="3")])]))
    run(history.save_messages("s", said("e")))
    assert texts(MemorizzHistoryProvider(provider, limit=2)) == ["e"]


def test_a_message_with_an_id_is_kept_once(history: MemorizzHistoryProvider) -> None:
    """Saved again it is replaced in its place; in another session it is another one."""
    run(history.save_messages("s", [Message("user", ["a"], message_id="1"), Message("assistant", ["b"])]))
    run(history.save_messages("s", [Message("user", ["A"], message_id="1")]))
    run(history.save_messages("t", [Message("user", ["z"], message_id="1")]))
    assert (texts(history), texts(history, "t")) == (["A", "b"], ["z"])


def test_a_history_that_is_sent_again_is_not_added(history: MemorizzHistoryProvider) -> None:
    """The whole of it or its end; a question that is asked again is."""
    run(history.save_messages("s", said(*"ab")))
    run(history.save_messages("s", said(*"abcd")))
    assert texts(history) == list("abcd")
    run(history.save_messages("s", said(*"cdef")))
    assert texts(history) == list("abcdef")
    run(history.save_messages("s", said("g")))
    run(history.save_messages("s", said("g")))
    assert texts(history) == list("abcdefgg")
    run(history.save_messages("s", []))
    assert texts(history) == list("abcdefgg")


def test_a_history_that_is_sent_again_behind_something_is_not_added(history: MemorizzHistoryProvider) -> None:
    """As with the framework's own provider: where all of it is repeated, what the client puts before it is not its."""
    run(history.save_messages("s", said(*"ab")))
    run(history.save_messages("s", said(*"xyabc")))
    assert texts(history) == list("abc")
    run(history.save_messages("s", said(*"abcabcd")))
    assert texts(history) == list("abcabcd")


def test_any_text_is_a_session(history: MemorizzHistoryProvider) -> None:
    """Whatever is in it, and no two are one; the messages of none are an error."""
    sessions = ["", " ", "a", "a.b", "a%2Eb", "../a", "ü" * 2000, "a\x00", '["a"]', "\N{TEAPOT}"]
    for number, session in enumerate(sessions):
        run(history.save_messages(session, said(str(number))))
    assert [texts(history, session) for session in sessions] == [[str(n)] for n in range(len(sessions))]
    for call in (history.get_messages(None), history.save_messages(None, said("a"))):
        with pytest.raises(ConfigurationError, match="expected a session_id"):
            run(call)


def test_fifty_threads_lose_nothing(history: MemorizzHistoryProvider) -> None:
    """Each with an event loop of its own; what is saved at once stays together."""
    together = threading.Barrier(50)

    def save(number: int) -> None:
        together.wait(60)
        run(history.save_messages("s", said(f"a{number}", f"b{number}")))

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(save, range(50)))
    kept = texts(history)
    assert sorted(kept) == sorted(f"{letter}{n}" for letter in "ab" for n in range(50))
    assert all(kept[kept.index(f"a{n}") + 1] == f"b{n}" for n in range(50))


# --- memory -------------------------------------------------------------------------------------------------------


def memories(provider: MemorizzContextProvider, question: str, session_id: str = "other") -> list[str]:
    """What is put before a question in a session, without the days."""
    context = SessionContext(session_id=session_id, input_messages=[Message("user", [question])])
    run(provider.before_run(agent=None, session=AgentSession(session_id=session_id), context=context, state={}))
    lines = [line for message in context.get_messages() for line in message.text.splitlines()]
    return [line.split(": ", 1)[1] for line in lines if line.startswith("- ")]


def remember(provider: MemorizzContextProvider, *turns: Message, session_id: str = "s") -> None:
    context = SessionContext(session_id=session_id, input_messages=[each for each in turns if each.role == "user"])
    context._response = AgentResponse(messages=[each for each in turns if each.role != "user"])
    run(provider.after_run(agent=None, session=AgentSession(session_id=session_id), context=context, state={}))


def test_another_session_knows_what_was_said(config: PostgreSQLConfig) -> None:
    """In a run of an agent, in another process: before the question, with who said it and in which session."""
    with PostgreSQLProvider(config) as provider:
        agent = Agent(client=Scripted("Noted."), context_providers=[MemorizzContextProvider("ada", provider)])
        run(agent.run("I drink green tea.", session=agent.create_session(session_id="monday")))
    with PostgreSQLProvider(config) as provider:
        client = Scripted("Green.", "None.")
        agent = Agent(client=client, context_providers=[MemorizzContextProvider("ada", provider)])
        run(agent.run("Which tea do I drink?", session=agent.create_session(session_id="tuesday")))
        (given, question) = client.asked[0]
        assert given[0] == "user"
        assert given[1].startswith("## Memories")
        assert "- user, " in given[1]
        assert given[1].endswith("I drink green tea.")
        assert question == ("user", "Which tea do I drink?")
        run(agent.run("Which tea do I drink?", session=agent.create_session(session_id="monday")))
        assert "I drink green tea." not in str(client.asked[1])


def test_by_meaning_where_there_is_an_embedder(config: PostgreSQLConfig) -> None:
    """Without a word in common; without an embedder by words alone, and at most so many."""
    with MemorizzContextProvider("ada", config, embedder=Letters(), limit=1) as memory:
        remember(memory, Message("user", ["tea tea tea"]), Message("assistant", ["ooo"]))
        assert memories(memory, "teas") == ["tea tea tea"]


def test_how_many(provider: PostgreSQLProvider) -> None:
    """At most `limit`, none with 0, and none for a blank question."""
    remember(MemorizzContextProvider("ada", provider), *(Message("user", [f"tea {n}"]) for n in range(9)))
    for limit in (0, 1, 5, 20):
        assert len(memories(MemorizzContextProvider("ada", provider, limit=limit), "tea")) == min(limit, 9)
    assert memories(MemorizzContextProvider("ada", provider), " \n") == []


def test_what_is_remembered(provider: PostgreSQLProvider) -> None:
    """What has a text and was said by one of both, once; what is told not to be stored is not."""
    memory = MemorizzContextProvider("ada", provider)
    turns = [
        Message("user", ["tea one"]),
        Message("user", ["  "]),
        Message("assistant", ["tea two"]),
        Message("tool", [Content.from_function_result(call_id="1", result="tea three")]),
        Message("system", ["tea four"]),
    ]
    remember(memory, *turns)
    remember(memory, *turns)
    assert sorted(memories(memory, "tea")) == ["tea one", "tea two"]
    inputs = MemorizzContextProvider("ben", provider, store_outputs=False)
    outputs = MemorizzContextProvider("bob", provider, store_inputs=False)
    for each in (inputs, outputs):
        remember(each, *turns)
    assert (memories(inputs, "tea"), memories(outputs, "tea")) == (["tea one"], ["tea two"])


def test_whose_memory_it_is_the_program_says(provider: PostgreSQLProvider) -> None:
    """By a text, or by a function of the session; nobody finds what another has."""
    of_user = MemorizzContextProvider(lambda session: session.state.get("user", "nobody"), provider)

    async def in_session_of(user: str, question: str) -> list[Message]:
        session = AgentSession(session_id=f"of {user}")
        session.state["user"] = user
        context = SessionContext(session_id=session.session_id, input_messages=[Message("user", [question])])
        await of_user.before_run(agent=None, session=session, context=context, state={})
        await of_user.after_run(agent=None, session=session, context=context, state={})
        return context.get_messages()

    assert run(in_session_of("ada", "My tea is green.")) == []
    assert run(in_session_of("ben", "My tea is black.")) == []
    assert memories(MemorizzContextProvider("ada", provider), "tea") == ["My tea is green."]
    assert memories(MemorizzContextProvider("ben", provider), "tea") == ["My tea is black."]


def test_the_sessions_that_said_it_are_told(provider: PostgreSQLProvider) -> None:
    """So that whoever observes the context knows that it is of others."""
    memory = MemorizzContextProvider("ada", provider)
    for session in ("one", "two", "two"):
        remember(memory, Message("user", [f"tea {session}"]), session_id=session)
    context = SessionContext(session_id="three", input_messages=[Message("user", ["tea"])])
    run(memory.before_run(agent=None, session=AgentSession(session_id="three"), context=context, state={}))
    (message,) = context.get_messages()
    assert sorted(message.additional_properties["_attribution"]["origin_session_ids"]) == ["one", "two"]


# --- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [-1, 1.5, "5", True], ids=repr)
def test_what_is_no_limit_is_refused(provider: PostgreSQLProvider, limit: Any) -> None:
    """When it is given."""
    for make in (
        lambda: MemorizzHistoryProvider(provider, limit=limit),
        lambda: MemorizzContextProvider("ada", provider, limit=limit),
    ):
        with pytest.raises(ConfigurationError, match="limit"):
            make()


def test_a_memory_has_a_name(provider: PostgreSQLProvider) -> None:
    """A text, or what makes one."""
    with pytest.raises(ConfigurationError, match="expected a str"):
        MemorizzContextProvider(7, provider)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="expected a str"):
        memories(MemorizzContextProvider(lambda session: None, provider), "tea")  # type: ignore[arg-type]


def test_a_search_that_fails_says_so(config: PostgreSQLConfig, own_server: Any) -> None:
    """Whether it is closed or its server is gone, the run of the agent raises."""
    with PostgreSQLProvider(config) as provider:
        memory = MemorizzContextProvider("ada", provider)
        agent = Agent(client=Scripted("a"), context_providers=[memory])
    with pytest.raises(ProviderClosed):
        run(agent.run("tea", session=agent.create_session(session_id="s")))
    gone = PostgreSQLConfig(dsn=own_server.acquire(), embedding_dimensions=4, connect_timeout=1)
    with MemorizzHistoryProvider(gone) as history:
        own_server.release()
        own_server.stop()
        agent = Agent(client=Scripted("a"), context_providers=[history])
        with pytest.raises(ConnectionFailed):
            run(agent.run("tea", session=agent.create_session(session_id="s")))


def test_the_page_runs(run_page: Callable[[str], list[str]]) -> None:
    """Memory is kept over two processes."""
    run_page("agent-framework.md")
