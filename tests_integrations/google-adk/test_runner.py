"""Both services in ADK's own runner, commands and API server, with a stub model."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from google.adk.agents import BaseAgent, LlmAgent, ParallelAgent, SequentialAgent
from google.adk.agents.callback_context import CallbackContext
from google.adk.cli.service_registry import ServiceRegistry, get_service_registry, load_services_module
from google.adk.models import BaseLlm, LlmRequest, LlmResponse
from google.adk.runners import Runner
from google.adk.tools import load_memory
from google.adk.tools.load_memory_tool import LoadMemoryResponse
from google.genai import types
from psycopg.conninfo import conninfo_to_dict

from memorizz import PostgreSQLProvider
from memorizz.integrations.google_adk import MemorizzMemoryService, MemorizzSessionService, register

# Its workflow agents and the services of its commands tell whoever uses them of changes to come.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated in favor of Workflow:DeprecationWarning"),
    pytest.mark.filterwarnings(r"ignore:\[EXPERIMENTAL\]:UserWarning"),
]


def text(words: str, role: str = "model") -> types.Content:
    return types.Content(role=role, parts=[types.Part(text=words)])


class Stub(BaseLlm):
    """Answers with what a function makes of the request."""

    model: str = "stub"
    answer: Callable[[LlmRequest], types.Content]

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        yield LlmResponse(content=self.answer(llm_request))


def ask(runner: Runner, words: str, session_id: str = "s", user: str = "ada", **options: Any) -> list[str]:
    """Run once, in an event loop of its own; return the texts that come back."""

    async def main() -> list[str]:
        events = runner.run_async(user_id=user, session_id=session_id, new_message=text(words, "user"), **options)
        parts = [part async for event in events if event.content for part in event.content.parts or []]
        await runner.close()
        return [part.text for part in parts if part.text]

    return asyncio.run(main())


def runner_of(provider: PostgreSQLProvider, app: str, agent: BaseAgent, **options: Any) -> Runner:
    return Runner(
        app_name=app,
        agent=agent,
        session_service=MemorizzSessionService(provider),
        memory_service=MemorizzMemoryService(provider),
        auto_create_session=True,
        **options,
    )


def test_a_run_goes_on_where_the_last_one_ended(provider: PostgreSQLProvider, app: str) -> None:
    """What was said is sent with the next message, by another runner too; what a failing model was asked stays."""
    agent = LlmAgent(name="a", model=Stub(answer=lambda request: text(f"I read {len(request.contents)}")))
    assert ask(runner_of(provider, app, agent), "one") == ["I read 1"]
    assert ask(runner_of(provider, app, agent), "two") == ["I read 3"]
    assert ask(runner_of(provider, app, agent), "one", user="ben") == ["I read 1"]

    def fail(request: LlmRequest) -> types.Content:
        raise RuntimeError("the model is away")

    with pytest.raises(RuntimeError, match="away"):
        ask(runner_of(provider, app, LlmAgent(name="a", model=Stub(answer=fail))), "three")
    assert ask(runner_of(provider, app, agent), "four", state_delta={"user:name": "Ada"}) == ["I read 6"]
    service = MemorizzSessionService(provider)
    session = asyncio.run(service.get_session(app_name=app, user_id="ada", session_id="s"))
    assert session is not None
    assert session.state == {"user:name": "Ada"}
    asked = [part.text for event in session.events if event.author == "user" for part in event.content.parts or []]
    assert asked == ["one", "two", "three", "four"]


def test_agents_one_after_the_other_and_side_by_side(provider: PostgreSQLProvider, app: str) -> None:
    """They share the state of one session, what is temporary too while they run, and lose no event."""

    def tell(request: LlmRequest) -> types.Content:
        return text(f"read: {request.config.system_instruction}")

    def agent(name: str, instruction: str = "") -> LlmAgent:
        return LlmAgent(name=name, model=Stub(answer=tell), instruction=instruction, output_key=f"temp:{name}")

    side = ParallelAgent(name="side", sub_agents=[agent(f"p{n}", "side") for n in range(8)])
    last = LlmAgent(name="last", model=Stub(answer=tell), instruction="{temp:p3}!", output_key="out")
    told = ask(runner_of(provider, app, SequentialAgent(name="all", sub_agents=[side, last])), "go")
    assert len(told) == 9
    session = asyncio.run(MemorizzSessionService(provider).get_session(app_name=app, user_id="ada", session_id="s"))
    assert session is not None
    assert set(session.state) == {"out"}
    assert "side" in session.state["out"]
    assert sorted(event.author for event in session.events if event.content) == [
        "last",
        *(f"p{n}" for n in range(8)),
        "user",
    ]


async def remember(callback_context: CallbackContext) -> None:
    await callback_context.add_session_to_memory()


def test_an_agent_remembers_other_sessions(provider: PostgreSQLProvider, app: str) -> None:
    """What was said in one session an agent finds in the next with ADK's own tool; nothing of another user's."""

    def answer(request: LlmRequest) -> types.Content:
        last = (request.contents[-1].parts or [])[-1]
        if last.function_response is not None:
            found: LoadMemoryResponse = (last.function_response.response or {})["result"]
            parts = [part for memory in found.memories for part in memory.content.parts or []]
            return text(" | ".join(part.text or "" for part in parts) or "nothing")
        if last.text and last.text.endswith("?"):
            call = types.FunctionCall(name="load_memory", args={"query": last.text})
            return types.Content(role="model", parts=[types.Part(function_call=call)])
        return text("Noted.")

    agent = LlmAgent(name="a", model=Stub(answer=answer), tools=[load_memory], after_agent_callback=remember)
    assert ask(runner_of(provider, app, agent), "I drink green tea.", "one") == ["Noted."]
    # What the agent is asked is remembered too, after it has answered.
    assert ask(runner_of(provider, app, agent), "Which tea?", "two") == ["I drink green tea."]
    assert ask(runner_of(provider, app, agent), f"Which tea of ada in {app}?", "three", user="ben") == ["nothing"]


# --- by URI -------------------------------------------------------------------------------------------------------

AGENT = """
from google.adk.agents import LlmAgent
from google.adk.models import BaseLlm, LlmResponse
from google.genai import types


class Stub(BaseLlm):
    async def generate_content_async(self, llm_request, stream=False):
        words = f"I read {len(llm_request.contents)}"
        yield LlmResponse(content=types.Content(role="model", parts=[types.Part(text=words)]))


async def remember(callback_context):
    await callback_context.add_session_to_memory()


root_agent = LlmAgent(name="echo", model=Stub(model="stub"), after_agent_callback=remember)
"""
SERVICES = """
from memorizz.integrations.google_adk import register

register()
"""


@pytest.fixture
def agents(tmp_path: Path) -> Path:
    """A folder with an agent and a services.py."""
    folder = tmp_path / "agents"
    (folder / "echo").mkdir(parents=True)
    (folder / "echo" / "__init__.py").write_text("")
    (folder / "echo" / "agent.py").write_text(AGENT)
    # Of `adk web` and of `adk run`.
    for place in (folder, folder / "echo"):
        (place / "services.py").write_text(SERVICES)
    return folder


def test_adk_run_keeps_its_session_and_memory_here(agents: Path, dsn: str, environment: dict[str, str]) -> None:
    """By `memorizz://` both services are those of the server that the environment names."""
    command = [sys.executable, "-W", "ignore", "-m", "google.adk.cli", "run", "--session_service_uri", "memorizz://"]
    done = subprocess.run(
        [*command, "--memory_service_uri", "memorizz://", str(agents / "echo")],
        env=environment, input="green tea\nagain\nexit\n", capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "I read 3" in done.stdout
    with MemorizzSessionService(dsn) as sessions, MemorizzMemoryService(dsn) as memory:
        (session,) = asyncio.run(sessions.list_sessions(app_name="echo")).sessions
        names = {"app_name": "echo", "user_id": session.user_id}
        whole = asyncio.run(sessions.get_session(**names, session_id=session.id))
        assert whole is not None
        assert len(whole.events) == 4
        (entry,) = asyncio.run(memory.search_memory(**names, query="tea")).memories
        assert entry.author == "user"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> ServiceRegistry:
    """The registry, to which nothing was registered before."""
    monkeypatch.setattr("google.adk.cli.service_registry._service_registry_instance", None)
    return get_service_registry()


def test_a_folder_with_services_registers_the_scheme(
    registry: ServiceRegistry, agents: Path, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URI names a server as a URL of PostgreSQL does; the options of --session_db_kwargs are for sessions."""
    monkeypatch.syspath_prepend(str(agents))
    monkeypatch.delitem(sys.modules, "services", raising=False)
    load_services_module(str(agents))
    given = {key: quote(str(value), safe="") for key, value in conninfo_to_dict(dsn).items() if value}
    place = f"{given.pop('user')}:{given.pop('password', '')}@/{given.pop('dbname')}"
    uri = f"memorizz://{place}?{'&'.join(f'{key}={value}' for key, value in given.items())}"
    sessions = registry.create_session_service(uri, agents_dir=str(agents), schema="other", embedding_dimensions=4)
    memory = registry.create_memory_service(uri, agents_dir=str(agents))
    assert isinstance(sessions, MemorizzSessionService)
    assert isinstance(memory, MemorizzMemoryService)
    with sessions, memory:
        assert sessions.provider.embedding_dimensions == 4
        assert memory.provider.embedding_dimensions == 1536
        assert sessions.provider.identity != memory.provider.identity
        asyncio.run(sessions.create_session(app_name="app", user_id="ada", session_id="s"))
        assert len(asyncio.run(sessions.list_sessions(app_name="app")).sessions) == 1


def test_options_are_those_of_a_configuration(registry: ServiceRegistry, dsn: str) -> None:
    """`register` takes another scheme and options for both services; one that is none is named when a URI is opened."""
    register("mine", schema="agents", embedding_dimensions=8)
    options = "&".join(f"{key}={quote(str(value), safe='')}" for key, value in conninfo_to_dict(dsn).items())
    place = f"?{options}"
    sessions, memory = (
        registry.create_session_service(f"mine://{place}"),
        registry.create_memory_service(f"mine://{place}"),
    )
    assert isinstance(sessions, MemorizzSessionService)
    assert isinstance(memory, MemorizzMemoryService)
    with sessions, memory:
        assert sessions.provider.embedding_dimensions == 8
        assert sessions.provider.identity == memory.provider.identity
    assert registry.create_session_service(f"memorizz://{place}") is None
    with pytest.raises(Exception, match="nonsense"):
        registry.create_session_service(f"mine://{place}", nonsense=1)


def test_the_page_runs(run_page: Callable[[str], list[str]]) -> None:
    """A session and a memory of one process are there in the next."""
    assert len(run_page("google-adk.md")) >= 2
