"""What goes wrong around a session: other processes, a client that dies, a server that is restarted."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from google.adk.events import Event, EventActions

from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.integrations.google_adk import EVENTS, MemorizzMemoryService, MemorizzSessionService
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

NAMES = {"app_name": "app", "user_id": "ada", "session_id": "s"}

# Appends to one session, which it reads again whenever it is stale; says so of each event that was kept.
APPENDING = """
import asyncio, itertools, sys
from google.adk.errors import StaleSessionError
from google.adk.events import Event, EventActions
from memorizz import PostgreSQLConfig
from memorizz.integrations.google_adk import MemorizzSessionService

async def main(name, most):
    names = {"app_name": "app", "user_id": "ada", "session_id": "s"}
    with MemorizzSessionService(PostgreSQLConfig(dsn=sys.argv[1], embedding_dimensions=4)) as service:
        session = await service.get_session(**names)
        for number in range(most):
            event = Event(author=name, actions=EventActions(state_delta={f"user:{name}": number, f"{name}{number}": 1}))
            while True:
                try:
                    await service.append_event(session, event)
                    break
                except StaleSessionError:
                    session = await service.get_session(**names)
            print(event.id, flush=True)

asyncio.run(main(sys.argv[2], int(sys.argv[3])))
"""


def appending(dsn: str, name: str, most: int) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", APPENDING, dsn, name, str(most)], stdout=subprocess.PIPE, text=True)


def test_two_processes_lose_no_event_of_one_session(config: PostgreSQLConfig, dsn: str) -> None:
    """Each event that an append has returned for is there once, in one order for all, with its change of state."""
    with MemorizzSessionService(config) as service:
        asyncio.run(service.create_session(**NAMES))
        processes = [appending(dsn, name, 30) for name in ("ada", "ben")]
        said = [process.communicate(timeout=120)[0].split() for process in processes]
        assert [process.returncode for process in processes] == [0, 0]
        session = asyncio.run(service.get_session(**NAMES))
        assert session is not None
        assert [[event.id for event in session.events if event.author == name] for name in ("ada", "ben")] == said
        assert len(session.events) == 60
        expected = {f"{name}{number}": 1 for name in ("ada", "ben") for number in range(30)}
        assert session.state == expected | {"user:ada": 29, "user:ben": 29}


def test_a_client_that_dies_leaves_whole_events(config: PostgreSQLConfig, dsn: str) -> None:
    """What it was told is kept is there; of the one under way all or nothing; and the session goes on."""
    with MemorizzSessionService(config) as service:
        asyncio.run(service.create_session(**NAMES))
        told: list[str] = []
        for name in ("ada", "ben"):
            process = appending(dsn, name, 100_000)
            assert process.stdout is not None
            told += [process.stdout.readline().strip() for _ in range(5)]
            process.kill()
            told += process.communicate()[0].split()
            session = asyncio.run(service.get_session(**NAMES))
            assert session is not None
            kept = [event.id for event in session.events]
            assert [id for id in kept if id in told] == told
            deltas = [event.actions.state_delta for event in session.events]
            assert session.state == {key: value for delta in deltas for key, value in delta.items()}
            asyncio.run(service.append_event(session, Event(author="we", id=name)))
            told.append(name)


def test_a_restarted_server_is_a_server_like_before(own_server: EmbeddedServer) -> None:
    """After a restart the same objects go on, and what was kept is there."""
    conninfo = own_server.status().conninfo
    assert conninfo is not None
    config = PostgreSQLConfig(dsn=conninfo, embedding_dimensions=4, max_size=4)

    def restart() -> None:
        own_server.stop()
        own_server.acquire()

    async def main(provider: PostgreSQLProvider) -> None:
        service, memory = MemorizzSessionService(provider), MemorizzMemoryService(provider)
        session = await service.create_session(**NAMES)
        await service.append_event(session, Event(author="a", message="green tea"))
        restart()
        await service.append_event(
            session, Event(author="a", message="tea", actions=EventActions(state_delta={"a": 1}))
        )
        restart()
        await memory.add_session_to_memory(session)
        restart()
        found = await service.get_session(**NAMES)
        assert found is not None
        assert [event.id for event in found.events] == [event.id for event in session.events]
        assert found.state == session.state == {"a": 1}
        restart()
        assert len((await memory.search_memory(app_name="app", user_id="ada", query="tea")).memories) == 2
        restart()
        await service.delete_session(**NAMES)
        assert provider.count(EVENTS.name) == 0

    with PostgreSQLProvider(config) as provider:
        asyncio.run(main(provider))


def test_an_append_whose_answer_was_lost_may_be_made_again(config: PostgreSQLConfig, dsn: str) -> None:
    """Who repeats it has it once, with its state, and goes on with the same object."""

    async def main() -> None:
        with MemorizzSessionService(config) as service:
            session = await service.create_session(**NAMES)
            event = Event(author="a", id="e", actions=EventActions(state_delta={"n": 1}))
            # Another process has made it, as the one whose answer was lost.
            twin = await service.get_session(**NAMES)
            assert twin is not None
            await service.append_event(twin, event.model_copy(deep=True))
            await service.append_event(session, event)
            await service.append_event(session, Event(author="a", id="f"))
            found = await service.get_session(**NAMES)
            assert found is not None
            assert [each.id for each in found.events] == [each.id for each in session.events] == ["e", "f"]
            assert found.state == session.state == {"n": 1}

    asyncio.run(main())
