"""MemorizzSession: what the SDK asks of a session, on a real PostgreSQL, in real runs of an agent."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg
import pytest
from agents import Agent, RunConfig, RunContextWrapper, Runner, SessionSettings, SQLiteSession, function_tool
from agents.memory import Session
from agents.testing import ModelStep, ScriptedModel, assistant_message, function_call

from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.errors import ConfigurationError, ConnectionFailed, InvalidDocument
from memorizz.integrations.openai_agents import STORE, MemorizzSession

QUIET = RunConfig(tracing_disabled=True)
HARD_NAMES = ["a.b", "100%", "under_score", "quo'te\"s", "", " ", "[x]", "sha256:x", "NUL\0", "\ud800", "k" * 10_000]


@pytest.fixture
def provider(config: PostgreSQLConfig) -> Iterator[PostgreSQLProvider]:
    with PostgreSQLProvider(config) as provider:
        yield provider


def run_sync(agent: Agent[Any], text: str, session: MemorizzSession) -> None:
    """Run as in a program without an event loop, and close the one that the SDK leaves open."""
    asyncio.set_event_loop(loop := asyncio.new_event_loop())
    try:
        Runner.run_sync(agent, text, session=session, run_config=QUIET)
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        asyncio.set_event_loop(None)


def said(*numbers: int) -> list[Any]:
    return [{"role": "user", "content": str(number)} for number in numbers]


def numbers(items: list[Any]) -> list[int]:
    return [int(item["content"]) for item in items]


@pytest.fixture
def both(provider: PostgreSQLProvider) -> Iterator[list[Any]]:
    """A session of ours and one of the SDK's."""
    with closing(SQLiteSession("s")) as sqlite:
        yield [MemorizzSession("s", provider), sqlite]


def test_it_is_a_session(provider: PostgreSQLProvider) -> None:
    """The SDK takes it for what its protocol describes."""
    assert isinstance(MemorizzSession("s", provider), Session)


def test_items_come_back_exactly(provider: PostgreSQLProvider) -> None:
    """Whatever JSON an item is made of, it comes back as it was, the order of its keys, its `id` and a NUL included."""
    items: list[Any] = [
        {
            "z": 1,
            "a": [1.0, -0.0, 10**400, 1e300, True, None, {"": {}}],
            "id": "msg_1",
            "_id": 7,
            "score": 1,
            "_score": 1,
        },
        {"type": "reasoning", "summary": [], "text": "NUL \0, half \ud83d, whole \U0001f600", "embedding": "no vector"},
        {"created_at": "yesterday", "expires_at": "2000-01-01", "metadata": 5},
    ]

    async def main() -> None:
        session = MemorizzSession("s", provider)
        await session.add_items(items)
        found = await session.get_items()
        assert json.dumps(found) == json.dumps(items)
        found[0]["z"] = 2
        assert (await session.get_items())[0]["z"] == 1

    asyncio.run(main())


@pytest.mark.parametrize("limit", [None, -1, 0, 1, 2, 3, 4, 5, 100])
def test_a_limit_counts_items_as_in_the_sdks_session(
    provider: PostgreSQLProvider, both: list[Any], limit: int | None
) -> None:
    """The newest N, oldest first, wherever one call to add_items ended; what is given wins over the settings."""

    async def main() -> None:
        for session in both:
            for batch in ([1], [2, 3], [4, 5]):
                await session.add_items(said(*batch))
            await session.add_items([])
            expected = [1, 2, 3, 4, 5] if limit in (None, -1) else [1, 2, 3, 4, 5][max(0, 5 - limit) :]
            assert numbers(await session.get_items(limit)) == expected, session
            session.session_settings = SessionSettings(limit=limit)
            assert numbers(await session.get_items()) == expected, session
            session.session_settings = {"limit": limit}
            assert numbers(await session.get_items()) == expected, session
            assert numbers(await session.get_items(limit=1)) == [5], session
            session.session_settings = None
            assert len(await session.get_items()) == 5, session

    asyncio.run(main())
    assert MemorizzSession("s", provider, session_settings={"limit": 3}).session_settings == SessionSettings(limit=3)


def test_pop_goes_back_item_by_item(provider: PostgreSQLProvider, both: list[Any]) -> None:
    """Each pop takes the newest item, inside what was added at once too, until none is left; clearing takes all."""

    async def main() -> None:
        for session in both:
            await session.add_items(said(1, 2))
            await session.add_items(said(3))
            assert [await session.pop_item(), await session.pop_item()] == said(3, 2), session
            await session.add_items(said(4))
            assert numbers(await session.get_items()) == [1, 4], session
            assert [await session.pop_item() for _ in range(3)] == [*said(4, 1), None], session
            await session.add_items(said(5, 6))
            await session.clear_session()
            assert (await session.get_items(), await session.pop_item()) == ([], None), session

    asyncio.run(main())
    assert provider.count(STORE.name) == 0


@pytest.mark.parametrize("name", HARD_NAMES)
def test_any_text_names_a_session(provider: PostgreSQLProvider, name: str) -> None:
    """Dots, percent, quotes, nothing, NUL and 10 kB: each is a session of its own."""
    near = [other for other in (*HARD_NAMES, name + "x", name[:-1], "A.B", "%") if other != name]

    async def main() -> None:
        await MemorizzSession(name, provider).add_items(said(1))
        assert numbers(await MemorizzSession(name, provider).get_items()) == [1]
        for other in near:
            session = MemorizzSession(other, provider)
            assert await session.get_items() == []
            await session.clear_session()
        assert numbers(await MemorizzSession(name, provider).get_items()) == [1]

    asyncio.run(main())


@pytest.mark.parametrize("name", [None, 5, b"s"])
def test_what_is_no_text_names_no_session(provider: PostgreSQLProvider, name: Any) -> None:
    """A number is not taken for its text: 5 and "5" would be one session."""
    with pytest.raises(ConfigurationError, match="expected a str"):
        MemorizzSession(name, provider)


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object()])
def test_what_json_cannot_hold_is_refused_whole(provider: PostgreSQLProvider, value: Any) -> None:
    """An add with such an item adds none of the others."""

    async def main() -> None:
        session = MemorizzSession("s", provider)
        with pytest.raises(InvalidDocument, match="JSON"):
            await session.add_items([*said(1), {"role": "user", "content": value}])
        assert await session.get_items() == []

    asyncio.run(main())


def test_items_are_a_list_of_dicts(provider: PostgreSQLProvider) -> None:
    """A text or a dict in its place is no list of its characters or keys; what is no dict is no item."""

    async def main() -> None:
        session = MemorizzSession("s", provider)
        alone: Any
        for alone in ("text", said(1)[0]):
            with pytest.raises(ConfigurationError, match="expected a list"):
                await session.add_items(alone)
        no_item: Any
        for no_item in (None, 1, "text"):
            with pytest.raises(InvalidDocument, match=r"items\[1\]"):
                await session.add_items([*said(1), no_item])
        assert await session.get_items() == []

    asyncio.run(main())


def test_fifty_threads_and_three_loops_use_one_object(provider: PostgreSQLProvider) -> None:
    """Adds of all of them are there, each in one piece and in its order."""
    session = MemorizzSession("s", provider)

    async def some(first: int) -> None:
        await asyncio.gather(*(session.add_items(said(*[first + n] * 3)) for n in range(5)))

    def loop(first: int) -> None:
        for n in range(5):
            asyncio.run(session.add_items(said(*[first + n] * 3)))

    loops = [threading.Thread(target=asyncio.run, args=(some(1000 * n),)) for n in range(3)]
    for thread in loops:
        thread.start()
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(loop, range(100_000, 100_000 + 50 * 10, 10)))
    for thread in loops:
        thread.join()
    found = numbers(asyncio.run(session.get_items()))
    assert len(found) == 3 * (15 + 250)
    assert all(found[at] == found[at + 1] == found[at + 2] for at in range(0, len(found), 3))
    assert set(Counter(found).values()) == {3}
    own = [number for number in found if 100_000 <= number < 100_010]
    assert own == sorted(own)


def test_each_item_is_popped_once(provider: PostgreSQLProvider) -> None:
    """Of many who pop at once, each gets another item, and nobody an older one before all newer ones are gone."""
    sessions = [MemorizzSession("s", provider) for _ in range(20)]

    async def fill() -> None:
        for first in range(0, 60, 3):
            await sessions[0].add_items(said(first, first + 1, first + 2))

    asyncio.run(fill())
    with ThreadPoolExecutor(20) as pool:
        popped = list(pool.map(lambda session: asyncio.run(session.pop_item()), sessions * 2))
    assert sorted(numbers(popped)) == list(range(20, 60))
    assert numbers(asyncio.run(sessions[0].get_items())) == list(range(20))


def test_a_lost_connection_is_no_lost_session(provider: PostgreSQLProvider, dsn: str) -> None:
    """After the server has ended all connections, reads go on, and a write is done or says that this is unknown."""

    async def main() -> None:
        session = MemorizzSession("s", provider)
        await session.add_items(said(1))
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert numbers(await session.get_items()) == [1]
        try:
            await session.add_items(said(2))
        except ConnectionFailed as error:
            assert "unknown" in str(error)  # noqa: PT017
            assert numbers(await session.get_items()) == [1]
            await session.add_items(said(2))
        assert numbers(await session.get_items()) == [1, 2]

    asyncio.run(main())


def test_what_a_session_opens_it_closes(dsn: str) -> None:
    """A connection string is enough, also without vectors' length; the provider closes with the session."""
    with MemorizzSession("s", dsn) as session:
        asyncio.run(session.add_items(said(1)))
        mine = session.provider
    with pytest.raises(Exception, match="close"):
        mine.count(STORE.name)
    with PostgreSQLProvider(dsn) as provider:
        with MemorizzSession("s", provider) as session:
            assert numbers(asyncio.run(session.get_items())) == [1]
        assert provider.count(STORE.name) == 1


# --- in runs ------------------------------------------------------------------------------------------------------


@function_tool
def weather(city: str) -> str:
    return f"sunny in {city}"


def test_a_run_keeps_its_items_for_the_next(provider: PostgreSQLProvider) -> None:
    """User item, tool call with output, answer: in order, and handed to the model of the next run."""
    called = function_call("weather", {"city": "Oxford"}, call_id="1")
    model = ScriptedModel([[called], [assistant_message("Sunny.")], [assistant_message("Oxford.")]])
    agent = Agent("guide", model=model, tools=[weather])

    async def main() -> None:
        await Runner.run(agent, "Weather?", session=MemorizzSession("s", provider), run_config=QUIET)
        kinds = [item.get("type", item.get("role")) for item in await MemorizzSession("s", provider).get_items()]
        assert kinds == ["user", "function_call", "function_call_output", "message"]
        await Runner.run(agent, "Where?", session=MemorizzSession("s", provider), run_config=QUIET)

    asyncio.run(main())
    last = model.last_call
    assert last is not None
    assert [item.get("content") for item in last.input if item.get("role") == "user"] == ["Weather?", "Where?"]
    assert len(last.input) == 5


def test_a_model_that_fails_leaves_the_question(provider: PostgreSQLProvider) -> None:
    """The user's item is kept before the model is asked."""
    agent = Agent("guide", model=ScriptedModel([ModelStep.raise_error(RuntimeError("gone"))]))
    session = MemorizzSession("s", provider)
    with pytest.raises(RuntimeError, match="gone"):
        run_sync(agent, "Hello?", session)
    assert asyncio.run(session.get_items()) == [{"role": "user", "content": "Hello?"}]


def test_run_sync_and_run_share_a_session(provider: PostgreSQLProvider) -> None:
    """One object serves the event loops that the SDK makes, one after another and in threads."""
    session = MemorizzSession("s", provider)
    agent = Agent("guide", model=ScriptedModel([[assistant_message(str(n))] for n in range(4)]))
    run_sync(agent, "1", session)
    for text in ("2", "3"):
        run = Runner.run(agent, text, session=session, run_config=QUIET)
        thread = threading.Thread(target=asyncio.run, args=(run,))
        thread.start()
        thread.join()
    run_sync(agent, "4", session)
    found: list[Any] = asyncio.run(session.get_items())
    assert [item["content"] for item in found if item["role"] == "user"] == ["1", "2", "3", "4"]
    assert len(found) == 8


def test_the_context_of_a_run_says_whose_session_it_is(provider: PostgreSQLProvider) -> None:
    """Users with the same session_id share nothing; without a run nobody's items are read or removed."""

    def session() -> MemorizzSession:
        return MemorizzSession("main", provider, user=lambda context: context["user"])

    async def main() -> None:
        for user in ("ada", "ben", "ada"):
            model = ScriptedModel([[assistant_message("Yes.")]])
            await Runner.run(Agent("a", model=model), user, session=session(), context={"user": user}, run_config=QUIET)
        of_ada: list[Any] = await session().get_items(wrapper=RunContextWrapper({"user": "ada"}))
        assert [item["content"] for item in of_ada if item["role"] == "user"] == ["ada", "ada"]
        for call in (session().get_items, session().pop_item, session().clear_session):
            with pytest.raises(ConfigurationError, match="wrapper="):
                await call()
        with pytest.raises(ConfigurationError, match="expected a str"):
            await session().get_items(wrapper=RunContextWrapper({"user": None}))
        assert await session().pop_item(wrapper=RunContextWrapper({"user": "ben"}))
        await session().clear_session(wrapper=RunContextWrapper({"user": "ben"}))
        assert await session().get_items(wrapper=RunContextWrapper({"user": "ada"})) == of_ada
        # A plain session of that name is a third one.
        assert await MemorizzSession("main", provider).get_items() == []

    asyncio.run(main())


def test_the_page_runs(run_page: Callable[[str], list[str]]) -> None:
    """The programs of the page print what it says, memory kept from one process to the next."""
    assert len(run_page("openai-agents.md")) >= 2
