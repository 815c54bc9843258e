"""A memory to serve, clients in this process and in others, and an embedder that both can load."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.shared.exceptions import MCPError

from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.cli import app
from memorizz.mcp import Memory, Scope, server

STORE = "long_term_memory"
NEWEST, HANDSHAKE = "2026-07-28", "2025-11-25"

# Four topics, each a direction: what a text is about is which words of them it has. It prints, as models do.
EMBEDDER = """
print("loading")
TOPICS = (("tea", "drink", "coffee"), ("train", "travel"), ("code", "python"))


class Embedder:
    name, dimensions = "topics", 4

    def embed(self, texts, *, kind="document"):
        print("embedding")
        found = [[float(sum(word in text.lower() for word in topic)) for topic in TOPICS] for text in texts]
        return [[*each, 0.1] for each in found]
"""


@pytest.fixture
def embedder(tmp_path: Path) -> Any:
    """The embedder, as this process loads it; `embedder:Embedder` is it in the folder of the test."""
    (tmp_path / "embedder.py").write_text(EMBEDDER, "utf-8")
    loaded: dict[str, Any] = {}
    exec(EMBEDDER, loaded)
    return loaded["Embedder"]()


@pytest.fixture
def provider(config: PostgreSQLConfig) -> Iterator[PostgreSQLProvider]:
    """A provider without an embedder."""
    with PostgreSQLProvider(config) as opened:
        yield opened


@pytest.fixture
def memory(provider: PostgreSQLProvider) -> Memory:
    return Memory(provider, STORE)


class Caller:
    """A client that is there for one call at a time, which nothing has to be kept between."""

    def __init__(self, reached: Any, mode: str) -> None:
        self._reached, self._mode = reached, mode

    def run(self, work: Callable[[Client], Coroutine[Any, Any, Any]]) -> Any:
        async def connected() -> Any:
            async with Client(self._reached, mode=self._mode) as client:
                try:
                    return await work(client)
                except MCPError as error:
                    # Raised here, it would come out in a group.
                    return error

        result = asyncio.run(connected())
        if isinstance(result, MCPError):
            raise result
        return result

    def __call__(self, tool: str, **arguments: Any) -> Mapping[str, Any]:
        """Return the structured result of a tool; raises AssertionError, with what the model is told, for an error."""
        result = self.run(lambda client: client.call_tool(tool, arguments))
        assert not result.is_error, result.content[0].text
        return result.structured_content

    def error(self, tool: str, **arguments: Any) -> str:
        """Return what a model is told of a call that fails."""
        result = self.run(lambda client: client.call_tool(tool, arguments))
        assert result.is_error, result.structured_content
        return result.content[0].text


@pytest.fixture(params=["auto", "legacy"])
def call(memory: Memory, request: pytest.FixtureRequest) -> Caller:
    """A client of the memory "ada", with the newest revision of the protocol and with the newest handshake."""
    return Caller(server(memory, Scope("ada")), request.param)


@pytest.fixture
def stdio(environment: dict[str, str], tmp_path: Path) -> Callable[..., StdioServerParameters]:
    """Return how `memorizz mcp` is started on the database of the test, with more arguments."""

    def parameters(*arguments: str, memory: str = "ada") -> StdioServerParameters:
        command = ["-m", "memorizz", "mcp", "--memory", memory, *arguments]
        return StdioServerParameters(command=sys.executable, args=command, env=environment, cwd=tmp_path)

    return parameters


@pytest.fixture
def memorizz(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Run `memorizz` with arguments on the database of the test; return its exit code and what it printed."""
    for name in ("HOST", "PORT", "DB", "USER", "PASSWORD"):
        monkeypatch.delenv(f"POSTGRES_{name}", raising=False)
    for name, value in environment.items():
        if name.startswith("POSTGRES_"):
            monkeypatch.setenv(name, value)

    def run(*arguments: object) -> tuple[int, str, str]:
        code: Any = 0
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as errors:
            try:
                app([str(argument) for argument in arguments])
            except SystemExit as end:
                code = end.code
        return code or 0, out.getvalue(), errors.getvalue()

    return run
