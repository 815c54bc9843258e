"""MemorizzSessionService, beside ADK's services in memory and in SQLite where these agree, and where they do not."""

from __future__ import annotations

import asyncio
import copy
import datetime
import math
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from google.adk.errors import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events import Event, EventActions
from google.adk.sessions import BaseSessionService, DatabaseSessionService, InMemorySessionService, Session
from google.adk.sessions.base_session_service import GetSessionConfig
from google.genai import types

from memorizz import PostgreSQLProvider
from memorizz.errors import ConfigurationError, InvalidDocument
from memorizz.integrations.google_adk import EVENTS, SESSIONS, MemorizzSessionService

HARD_NAMES = ["a.b", "100%", "a_b", "quo'te\"s", "", " padded ", "[x]", '["a","b"]', "NUL\0", "\ud800", "k" * 10_000]


@pytest.fixture
def service(provider: PostgreSQLProvider) -> MemorizzSessionService:
    return MemorizzSessionService(provider)


@pytest.fixture(params=["in memory", "in SQLite", "here"])
def each(request: pytest.FixtureRequest, service: MemorizzSessionService, tmp_path: Path) -> BaseSessionService:
    """One of ADK's own services, or ours."""
    if request.param == "in memory":
        return InMemorySessionService()
    if request.param == "in SQLite":
        return DatabaseSessionService(f"sqlite+aiosqlite:///{tmp_path / 'sessions.db'}")
    return service


def run(service: BaseSessionService, main: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine in an event loop of its own, and close what one of ADK's services has opened there."""

    async def whole() -> None:
        try:
            await main()
        finally:
            if isinstance(service, DatabaseSessionService):
                await service.close()

    asyncio.run(whole())


def said(text: str, id: str = "", **delta: Any) -> Event:
    content = types.Content(role="user", parts=[types.Part(text=text)])
    event = Event(author="user", invocation_id="i", content=content, actions=EventActions(state_delta=delta))
    return event.model_copy(update={"id": id}) if id else event


def texts(session: Session | None) -> list[Any] | None:
    if session is None:
        return None
    return [event.content.parts[0].text for event in session.events if event.content and event.content.parts]


# --- where all agree ----------------------------------------------------------------------------------------------


def test_state_is_shared_by_its_prefix(each: BaseSessionService, app: str) -> None:
    """What begins with app: all sessions of the app see, with user: the user's; temp: the object at hand alone."""

    async def main() -> None:
        first = await each.create_session(
            app_name=app, user_id="ada", session_id="1", state={"app:a": 1, "user:u": 1, "temp:t": 1, "s": 1}
        )
        assert first.state == {"app:a": 1, "user:u": 1, "s": 1}
        second = await each.create_session(app_name=app, user_id="ada", session_id="2", state={"user:u": 2})
        other = await each.create_session(app_name=app, user_id="ben", session_id="1")
        assert second.state == {"app:a": 1, "user:u": 2}
        assert other.state == {"app:a": 1}
        event = said("x", **{"app:a": None, "user:v": [1], "temp:t": 2, "s": {"deep": None}, "t": ""})
        assert await each.append_event(second, event) is event
        assert second.state == {"app:a": None, "user:u": 2, "user:v": [1], "temp:t": 2, "s": {"deep": None}, "t": ""}
        assert "temp:t" not in event.actions.state_delta
        shown = {"app:a": None, "user:u": 2, "user:v": [1]}
        for name, own in (("1", {"s": 1}), ("2", {"s": {"deep": None}, "t": ""})):
            found = await each.get_session(app_name=app, user_id="ada", session_id=name)
            assert found is not None
            assert found.state == shown | own
        assert await each.get_user_state(app_name=app, user_id="ada") == {"u": 2, "v": [1]}
        assert await each.get_user_state(app_name=app, user_id="ben") == {}
        listed = (await each.list_sessions(app_name=app)).sessions
        assert [(each.user_id, each.id, each.state, each.events) for each in listed if each.user_id == "ben"] == [
            ("ben", "1", {"app:a": None}, [])
        ]
        assert {each.id: each.state for each in listed if each.user_id == "ada"} == {
            "1": shown | {"s": 1},
            "2": shown | {"s": {"deep": None}, "t": ""},
        }

    run(each, main)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (None, "01234"),
        ({}, "01234"),
        ({"num_recent_events": 0}, ""),
        ({"num_recent_events": 2}, "34"),
        ({"num_recent_events": 9_999_999_999}, "01234"),
        ({"after_timestamp": 0}, "01234"),
        ({"after_timestamp": 1002.5}, "234"),
        ({"after_timestamp": 1002.6}, "34"),
        ({"after_timestamp": 9999.0}, ""),
        ({"after_timestamp": 1002.5, "num_recent_events": 2}, "34"),
        ({"after_timestamp": 1004.5, "num_recent_events": 3}, "4"),
        ({"after_timestamp": 1002.5, "num_recent_events": 0}, ""),
    ],
)
def test_of_the_events_the_newest_and_later_ones(
    each: BaseSessionService, app: str, config: dict[str, Any] | None, expected: str
) -> None:
    """The number counts the newest, 0 is none; the time is inclusive; both hold together; the state is whole."""

    async def main() -> None:
        session = await each.create_session(app_name=app, user_id="ada", session_id="s")
        for number in range(5):
            event = said(str(number), n=number)
            event.timestamp = 1000.5 + number
            await each.append_event(session, event)
        found = await each.get_session(
            app_name=app, user_id="ada", session_id="s", config=None if config is None else GetSessionConfig(**config)
        )
        assert found is not None
        assert "".join(texts(found) or []) == expected
        assert found.state == {"n": 4}
        assert found.last_update_time == session.last_update_time == 1004.5
        # What was read without all events may be appended to.
        await each.append_event(found, said("5"))
        assert texts(await each.get_session(app_name=app, user_id="ada", session_id="s")) == list("012345")

    run(each, main)


def test_what_is_not_there(each: BaseSessionService, app: str) -> None:
    """It is None, lists nothing, deletes nothing; only appending to it is an error, and it is not created by that."""

    async def main() -> None:
        nothing = {"app_name": app, "user_id": "ada", "session_id": "s"}
        assert await each.get_session(**nothing) is None
        assert (await each.list_sessions(app_name=app)).sessions == []
        assert (await each.list_sessions(app_name=app, user_id="ada")).sessions == []
        assert await each.get_user_state(app_name=app, user_id="ada") == {}
        await each.delete_session(**nothing)
        session = await each.create_session(**nothing, state={"user:u": 1})
        await each.delete_session(**nothing)
        await each.delete_session(**nothing)
        assert await each.get_session(**nothing) is None
        with pytest.raises(SessionNotFoundError, match="s"):
            await each.append_event(session, said("x"))
        assert session.events == []
        assert await each.get_session(**nothing) is None
        assert await each.get_user_state(app_name=app, user_id="ada") == {"u": 1}
        await each.flush()

    run(each, main)


def test_a_second_session_of_one_id_is_refused(each: BaseSessionService, app: str) -> None:
    """Nothing of it is kept, the state of its user neither; another user's may have the same id."""

    async def main() -> None:
        session = await each.create_session(app_name=app, user_id="ada", session_id="s", state={"a": 1})
        await each.append_event(session, said("x"))
        with pytest.raises(AlreadyExistsError, match="s"):
            await each.create_session(app_name=app, user_id="ada", session_id="s", state={"a": 2, "user:u": 2})
        found = await each.get_session(app_name=app, user_id="ada", session_id="s")
        assert found is not None
        assert (found.state, texts(found)) == ({"a": 1}, ["x"])
        assert (await each.create_session(app_name=app, user_id="ben", session_id="s")).events == []
        made = [(await each.create_session(app_name=app, user_id="ada")).id for _ in range(2)]
        assert len({"s", *made}) == 3

    run(each, main)


def test_partial_events_are_not_kept(each: BaseSessionService, app: str) -> None:
    """They come back as they are, and change neither the object nor what is stored."""

    async def main() -> None:
        session = await each.create_session(app_name=app, user_id="ada", session_id="s")
        event = said("he", a=1)
        event.partial = True
        assert await each.append_event(session, event) is event
        found = await each.get_session(app_name=app, user_id="ada", session_id="s")
        assert found is not None
        assert session.events == found.events == []
        assert session.state == found.state == {}

    run(each, main)


def test_what_is_returned_is_a_copy(each: BaseSessionService, app: str) -> None:
    """Whoever changes it changes nothing that is stored, nor what another has read."""

    async def main() -> None:
        given = {"list": [1], "app:list": [1], "user:list": [1]}
        session = await each.create_session(app_name=app, user_id="ada", session_id="s", state=copy.deepcopy(given))
        await each.append_event(session, said("x"))
        read = [await each.get_session(app_name=app, user_id="ada", session_id="s") for _ in range(2)]
        listed = (await each.list_sessions(app_name=app)).sessions
        for found in (session, read[0], *listed):
            assert found is not None
            for key in given:
                found.state[key].append(2)
            for event in () if found is session else found.events:
                event.content = None
        (await each.get_user_state(app_name=app, user_id="ada"))["list"].append(2)
        for found in (read[1], await each.get_session(app_name=app, user_id="ada", session_id="s")):
            assert found is not None
            assert found.state == {"list": [1], "app:list": [1], "user:list": [1]}
            assert texts(found) == ["x"]
        assert await each.get_user_state(app_name=app, user_id="ada") == {"list": [1]}

    run(each, main)


def test_the_last_changed_session_is_listed_last(each: BaseSessionService, app: str) -> None:
    """By the time of the newest event, then by user and id; of one user or of all."""

    async def main() -> None:
        times = {("ben", "1"): 3e6, ("ada", "2"): 2e6, ("ada", "1"): 2e6, ("ada", "3"): 4e6}
        for (user, name), time in times.items():
            session = await each.create_session(app_name=app, user_id=user, session_id=name)
            event = said("x")
            event.timestamp = time
            await each.append_event(session, event)
        listed = (await each.list_sessions(app_name=app)).sessions
        assert [(found.user_id, found.id) for found in listed] == [
            ("ada", "1"),
            ("ada", "2"),
            ("ben", "1"),
            ("ada", "3"),
        ]
        assert [found.last_update_time for found in listed] == [2e6, 2e6, 3e6, 4e6]
        assert [found.id for found in (await each.list_sessions(app_name=app, user_id="ada")).sessions] == list("123")
        # Each may be appended to as it is.
        await each.append_event(listed[0], said("y"))
        assert texts(await each.get_session(app_name=app, user_id="ada", session_id="1")) == ["x", "y"]

    run(each, main)


# --- where they do not --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HARD_NAMES)
def test_any_text_is_a_name(service: MemorizzSessionService, app: str, name: str) -> None:
    """Apps, users, sessions and keys of the state are compared whole, and come back as they were given."""
    near = [other for other in (*HARD_NAMES, name + "x", name.strip(), "%") if other != name]

    async def main() -> None:
        for names in ((f"{app}/{name}", "ada", "s"), (app, name, "s"), (app, "ada", name)):
            session = await service.create_session(
                app_name=names[0], user_id=names[1], session_id=names[2], state={name: 1, f"app:{name}": 2}
            )
            await service.append_event(session, said("x", **{f"user:{name}": 3}))
            found = await service.get_session(app_name=names[0], user_id=names[1], session_id=names[2])
            assert found is not None
            assert (found.app_name, found.user_id, found.id) == names
            assert (found.state[name], found.state[f"app:{name}"], found.state[f"user:{name}"]) == (1, 2, 3)
        for other in near:
            assert (await service.list_sessions(app_name=f"{app}/{other}")).sessions == []
            assert (await service.list_sessions(app_name=app, user_id=other)).sessions == []
            assert await service.get_user_state(app_name=app, user_id=other) == {}
            assert await service.get_session(app_name=app, user_id="ada", session_id=other) is None
            await service.delete_session(app_name=app, user_id="ada", session_id=other)
        assert [found.id for found in (await service.list_sessions(app_name=app, user_id="ada")).sessions] == [name]
        assert (await service.get_user_state(app_name=app, user_id="ada"))[name] == 3

    asyncio.run(main())


def test_who_appends_to_what_has_changed_is_told(service: MemorizzSessionService, app: str) -> None:
    """Of two who read the same, one appends; the other gets StaleSessionError, keeps nothing, and may read again."""

    async def main() -> None:
        await service.create_session(app_name=app, user_id="ada", session_id="s")
        first, second = [await service.get_session(app_name=app, user_id="ada", session_id="s") for _ in range(2)]
        assert first is not None
        assert second is not None
        await service.append_event(first, said("1", a=1))
        late = said("2", **{"a": 2, "user:u": 2, "temp:t": 2})
        with pytest.raises(StaleSessionError, match="get it again"):
            await service.append_event(second, late)
        assert (second.events, second.state) == ([], {})
        assert late.actions.state_delta == {"a": 2, "user:u": 2, "temp:t": 2}
        again = await service.get_session(app_name=app, user_id="ada", session_id="s")
        assert again is not None
        assert (texts(again), again.state) == (["1"], {"a": 1})
        await service.append_event(again, late)
        assert (texts(again), again.state) == (["1", "2"], {"a": 2, "user:u": 2, "temp:t": 2})
        with pytest.raises(ValueError, match="changed"):
            await service.append_event(first, said("3"))

    asyncio.run(main())


def test_a_session_that_was_created_again_is_another(service: MemorizzSessionService, app: str) -> None:
    """Who holds the deleted one appends nothing to it, though both have the same names and as many events."""

    async def main() -> None:
        names = {"app_name": app, "user_id": "ada", "session_id": "s"}
        old = await service.create_session(**names, state={"a": 1})
        await service.append_event(old, said("x", "e"))
        await service.delete_session(**names)
        new = await service.create_session(**names)
        assert (new.state, new.events) == ({}, [])
        await service.append_event(new, said("y", "e"))
        with pytest.raises(StaleSessionError):
            await service.append_event(old, said("z"))
        assert texts(await service.get_session(**names)) == ["y"]

    asyncio.run(main())


def test_a_repeated_event_is_there_already(service: MemorizzSessionService, app: str) -> None:
    """Whichever object it is repeated with, once or later, it is kept once, and applied once to each object."""

    async def main() -> None:
        names = {"app_name": app, "user_id": "ada", "session_id": "s"}
        session = await service.create_session(**names)
        lost = await service.get_session(**names)
        behind = await service.get_session(**names)
        assert lost is not None
        assert behind is not None
        event = said("1", "e1", n=1)
        for _ in range(3):
            assert await service.append_event(session, event) is event
        assert (texts(session), session.state) == (["1"], {"n": 1})
        # Who never got the answer tries again: the object then shows what was kept, and goes on.
        await service.append_event(lost, said("1", "e1", n=1))
        assert (texts(lost), lost.state) == (["1"], {"n": 1})
        await service.append_event(lost, said("2", "e2", n=2))
        await service.append_event(behind, said("2", "e2", n=2))
        assert behind.events == []
        with pytest.raises(StaleSessionError):
            await service.append_event(behind, said("3", "e3"))
        await service.append_event(Session(id="s", app_name=app, user_id="ada"), said("1", "e1"))
        found = await service.get_session(**names)
        assert found is not None
        assert (texts(found), found.state) == (["1", "2"], {"n": 2})
        other = await service.create_session(app_name=app, user_id="ada", session_id="t")
        await service.append_event(other, said("of another", "e1"))
        assert texts(await service.get_session(app_name=app, user_id="ada", session_id="t")) == ["of another"]

    asyncio.run(main())


def test_an_object_that_was_not_made_here_shows_its_last_event(service: MemorizzSessionService, app: str) -> None:
    """A session that went through JSON is appended to, unless an event has come since."""

    async def main() -> None:
        names = {"app_name": app, "user_id": "ada", "session_id": "s"}
        fresh = Session.model_validate_json((await service.create_session(**names)).model_dump_json())
        await service.append_event(fresh, said("1"))
        late = Session.model_validate_json(fresh.model_dump_json())
        copied = Session.model_validate_json(fresh.model_dump_json())
        await service.append_event(copied, said("2"))
        assert texts(await service.get_session(**names)) == texts(copied) == ["1", "2"]
        empty, foreign = late.model_copy(update={"events": []}), late.model_copy(update={"events": [said("?")]})
        for stale in (late, empty, foreign):
            with pytest.raises(StaleSessionError):
                await service.append_event(stale, said("3"))
        # One that another service of ADK's has marked.
        theirs = await InMemorySessionService().create_session(**names)
        theirs._storage_update_marker = "2026-11-28T23:40:02.832512"
        with pytest.raises(StaleSessionError):
            await service.append_event(theirs, said("3"))

    asyncio.run(main())


def test_events_come_back_equal(service: MemorizzSessionService, app: str) -> None:
    """Files, signatures, calls, odd texts and None inside of values survive exactly."""
    parts = [
        types.Part(text="NUL \0, half \ud83d"),
        types.Part(inline_data=types.Blob(data=b"\xff\x00\xfb\xef", mime_type="image/png")),
        types.Part(function_call=types.FunctionCall(id="1", name="f", args={"none": None, "f": 0.1 + 0.2})),
        types.Part(function_response=types.FunctionResponse(id="1", name="f", response={"list": [None, 10**30]})),
        types.Part(text="hm", thought=True, thought_signature=b"\xfb\xff"),
    ]
    actions = EventActions(state_delta={"none": None, "inf": math.inf, "a.b": [{"": None}]}, escalate=True)
    events = [
        Event(author="user", content=types.Content(role="user", parts=parts), actions=actions, timestamp=0.1 + 0.2),
        Event(
            author="agent", long_running_tool_ids={"b", "a"}, custom_metadata={"k": None}, branch="x.y", output=[None]
        ),
        Event(author="agent", error_code="X", error_message="no", turn_complete=True),
    ]

    async def main() -> None:
        session = await service.create_session(app_name=app, user_id="ada", session_id="s")
        for event in events:
            await service.append_event(session, event)
        found = await service.get_session(app_name=app, user_id="ada", session_id="s")
        assert found is not None
        assert found.events == events == session.events
        assert found.state == {"none": None, "inf": math.inf, "a.b": [{"": None}]}

    asyncio.run(main())


def test_values_that_json_has_a_form_for_take_it(service: MemorizzSessionService, app: str) -> None:
    """A time is kept as its text, a set as a list, a model as an object: in the state and in the event alike."""
    day = datetime.date(2026, 11, 28)
    given = {"day": day, "set": {1}, "model": types.Blob(mime_type="x"), 'quo"te': (1, 2)}

    async def main() -> None:
        session = await service.create_session(app_name=app, user_id="ada", session_id="s", state=dict(given))
        # What is temporary need not be kept, and may be anything.
        await service.append_event(session, said("x", **given, **{"temp:client": object()}))
        found = await service.get_session(app_name=app, user_id="ada", session_id="s")
        assert found is not None
        assert (found.state["day"], found.state["set"], found.state['quo"te']) == ("2026-11-28", [1], [1, 2])
        assert found.state["model"]["mimeType"] == "x"
        assert found.events[0].actions.state_delta == found.state

    asyncio.run(main())


def test_what_json_cannot_hold_is_refused_whole(
    service: MemorizzSessionService, provider: PostgreSQLProvider, app: str
) -> None:
    """The error names the key; nothing is kept, and the object does not show it."""

    async def main() -> None:
        names = {"app_name": app, "user_id": "ada", "session_id": "s"}
        for state in ({"a": 1, "bad": object()}, {"bad": {"deep": lambda: 1}}, {5: 1}):
            with pytest.raises(InvalidDocument, match=r"bad|5"):
                await service.create_session(**names, state=state)
        assert await service.get_session(**names) is None
        session = await service.create_session(**names)
        function = types.Part(function_response=types.FunctionResponse(name="f", response={"x": object()}))
        never = said("x")
        never.timestamp = math.nan
        for event in (
            said("x", **{"a": 1, "user:bad": object()}),
            Event(author="a", content=types.Content(parts=[function])),
            never,
        ):
            with pytest.raises(InvalidDocument):
                await service.append_event(session, event)
        for wrong in (None, 5, b"ada"):
            with pytest.raises(ConfigurationError, match="expected a str"):
                await service.get_session(app_name=app, user_id=wrong, session_id="s")  # type: ignore[arg-type]
            with pytest.raises(ConfigurationError, match="expected a str"):
                await service.create_session(app_name=app, user_id=wrong)  # type: ignore[arg-type]
        found = await service.get_session(**names)
        assert found is not None
        assert (found.state, found.events, session.state, session.events) == ({}, [], {}, [])
        with pytest.raises(ConfigurationError):
            MemorizzSessionService(5)  # type: ignore[arg-type]

    asyncio.run(main())


# --- side by side -------------------------------------------------------------------------------------------------


def test_agents_side_by_side_append_through_one_object(service: MemorizzSessionService, app: str) -> None:
    """Appends at once to one object of a session are all kept, none is stale, and the object shows them in order."""

    async def main() -> None:
        session = await service.create_session(app_name=app, user_id="ada", session_id="s")
        await asyncio.gather(*(service.append_event(session, said(str(n), **{f"k{n}": n})) for n in range(40)))
        found = await service.get_session(app_name=app, user_id="ada", session_id="s")
        assert found is not None
        assert found == session
        assert sorted(texts(found) or []) == sorted(map(str, range(40)))
        assert found.state == {f"k{n}": n for n in range(40)}

    asyncio.run(main())


def test_a_cancelled_append_is_shown_where_it_is_kept(service: MemorizzSessionService, app: str) -> None:
    """The object and what is stored do not part, so that the next append is not stale."""

    async def main() -> None:
        names = {"app_name": app, "user_id": "ada", "session_id": "s"}
        session = await service.create_session(**names)
        task = asyncio.create_task(service.append_event(session, said("1", n=1)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await service.append_event(session, said("2"))
        found = await service.get_session(**names)
        assert found is not None
        assert (texts(session), session.state) == (texts(found), found.state)

    asyncio.run(main())


async def append_all(service: MemorizzSessionService, app: str, texts: list[str], **delta: Any) -> int:
    """Append each text to the session, which is read again whenever it is stale; return how often it was."""
    stale = 0
    names = {"app_name": app, "user_id": "ada", "session_id": "s"}
    session = await service.get_session(**names)
    for text in texts:
        while True:
            assert session is not None
            try:
                await service.append_event(session, said(text, **delta, **{f"user:{text}": text}))
                break
            except StaleSessionError:
                stale += 1
                session = await service.get_session(**names)
    return stale


def test_fifty_threads_and_three_event_loops_lose_nothing(
    service: MemorizzSessionService, provider: PostgreSQLProvider, app: str
) -> None:
    """One object serves them all: what each appends, to its own session and to one of all, is kept once."""
    asyncio.run(service.create_session(app_name=app, user_id="ada", session_id="s"))

    def alone(number: int) -> None:
        async def main() -> None:
            session = await service.create_session(app_name=app, user_id="ben", session_id=str(number))
            for text in "abc":
                await service.append_event(session, said(text, **{f"app:{number}{text}": number}))

        asyncio.run(main())

    def together(loop: int) -> None:
        async def main() -> None:
            await asyncio.gather(
                *(append_all(service, app, [f"{loop}-{task}-{n}" for n in range(3)]) for task in "xyz")
            )

        asyncio.run(main())

    with ThreadPoolExecutor(53) as pool:
        list(pool.map(lambda number: alone(number) if number < 50 else together(number), range(53)))
    found = asyncio.run(service.get_session(app_name=app, user_id="ada", session_id="s"))
    assert found is not None
    expected = sorted(f"{loop}-{task}-{n}" for loop in (50, 51, 52) for task in "xyz" for n in range(3))
    assert sorted(texts(found) or []) == expected
    assert sorted(asyncio.run(service.get_user_state(app_name=app, user_id="ada"))) == expected
    assert sum(key.startswith("app:") for key in found.state) == 150
    sessions = asyncio.run(service.list_sessions(app_name=app, user_id="ben")).sessions
    assert len(sessions) == 50
    assert [
        texts(asyncio.run(service.get_session(app_name=app, user_id="ben", session_id=str(n)))) for n in (0, 49)
    ] == [list("abc")] * 2


def test_of_many_who_create_one_session_one_does(service: MemorizzSessionService, app: str) -> None:
    """The others are told that it is there."""

    def create(number: int) -> bool:
        try:
            asyncio.run(service.create_session(app_name=app, user_id="ada", session_id="s", state={"user:n": number}))
        except AlreadyExistsError:
            return False
        return True

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(create, range(10))) == 1


def test_who_deletes_leaves_nothing_of_appends_that_go_on(
    service: MemorizzSessionService, provider: PostgreSQLProvider, app: str
) -> None:
    """An append to a session that is deleted meanwhile was before that, or finds none; no event stays behind."""

    async def one(number: int) -> None:
        names = {"app_name": app, "user_id": "ada", "session_id": str(number)}
        session = await service.create_session(**names)

        async def append() -> None:
            try:
                for text in "abc":
                    await service.append_event(session, said(text))
            except SessionNotFoundError:
                pass

        await asyncio.gather(append(), service.delete_session(**names))
        assert await service.get_session(**names) is None

    before = provider.count(EVENTS.name), provider.count(SESSIONS.name)
    for number in range(15):
        asyncio.run(one(number))
    assert (provider.count(EVENTS.name), provider.count(SESSIONS.name)) == before
