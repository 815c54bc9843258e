"""`memorizz mcp` as hosts start it: a process that speaks over stdin and stdout."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters

from conftest import HANDSHAKE, NEWEST, STORE, Caller
from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

Stdio = Callable[..., StdioServerParameters]


@contextmanager
def started(parameters: StdioServerParameters) -> Generator[subprocess.Popen[str]]:
    """Start a server with pipes in the place of a client; it is gone at the end, however the test went."""
    process = subprocess.Popen(
        [parameters.command, *parameters.args],
        env=parameters.env,
        cwd=parameters.cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def sent(process: subprocess.Popen[str], id: int | None, method: str, **params: Any) -> Any:
    """Send a message and return the answer, where it has an id."""
    assert process.stdin is not None
    assert process.stdout is not None
    message = {"jsonrpc": "2.0", "method": method, "params": params} | ({} if id is None else {"id": id})
    process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()
    return None if id is None else json.loads(process.stdout.readline())


def greeted(process: subprocess.Popen[str]) -> Any:
    """Shake hands as a host of the older revisions does."""
    client = {"name": "test", "version": "1"}
    answer = sent(process, 1, "initialize", protocolVersion=HANDSHAKE, capabilities={}, clientInfo=client)
    sent(process, None, "notifications/initialized")
    return answer


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_host_starts_it_and_memories_outlive_it(stdio: Stdio, mode: str) -> None:
    """The tables are made by the first process; what one has stored, the next finds."""
    call = Caller(stdio(), mode)
    call("add_memory", text="Ada likes tea.")

    async def found(client: Client) -> Any:
        assert client.protocol_version == (NEWEST if mode == "auto" else HANDSHAKE)
        return (await client.call_tool("search_memory", {"query": "tea"})).structured_content

    assert call.run(found)["count"] == 1


def test_stdout_is_the_protocols_alone(stdio: Stdio, embedder: Any) -> None:
    """Whatever a model prints, while it is loaded and while it embeds, goes to stderr; the end of stdin is the end."""
    with started(stdio("--model", "embedder:Embedder")) as process:
        assert greeted(process)["result"]["serverInfo"]["name"] == "memorizz"
        for n in range(2, 5):
            added = sent(process, n, "tools/call", name="add_memory", arguments={"text": f"tea {n}"})
            assert added["result"]["structuredContent"]["count"] == 1
        out, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    assert out == ""
    assert "loading" in errors
    assert "embedding" in errors


def test_what_is_no_json_ends_nothing(stdio: Stdio) -> None:
    """A line that is no message, or a message that is none of ours, leaves the server as it was."""
    with started(stdio()) as process:
        greeted(process)
        assert process.stdin is not None
        process.stdin.write('no json\n{"jsonrpc": "2.0"}\n[]\n\n')
        assert sent(process, 2, "nothing/of/ours")["error"]["code"] == -32601
        assert sent(process, 3, "tools/list")["result"]["tools"]
        process.communicate(timeout=60)
        assert process.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_a_terminal_is_told_what_it_waits_for(stdio: Stdio) -> None:
    """Somebody who starts it by hand reads what it is for, and stdout stays the protocol's."""
    parent, terminal = os.openpty()
    parameters = stdio()
    with subprocess.Popen(
        [parameters.command, *parameters.args],
        env=parameters.env,
        cwd=parameters.cwd,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stderr is not None
        assert "`memorizz mcp config HOST`" in process.stderr.readline()
        process.terminate()
        assert process.communicate(timeout=60) == ("", "")
    os.close(parent)
    os.close(terminal)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(stdio: Stdio, dsn: str, number: signal.Signals) -> None:
    """Told to end while its client is there, it gives its connections back, and says nothing."""
    with started(stdio()) as process:
        greeted(process)
        assert sent(process, 2, "tools/call", name="add_memory", arguments={"text": "tea"})["result"]
        process.send_signal(number)
        assert process.wait(timeout=60) == 0
        _, errors = process.communicate()
    assert errors == ""
    with psycopg.connect(dsn) as connection:
        (others,) = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone() or (None,)
    assert others == 0


def test_many_clients_lose_no_write(stdio: Stdio, config: PostgreSQLConfig) -> None:
    """Five servers, each with a client of its own, store into one memory at once: everything is there."""

    async def one(number: int) -> None:
        async with Client(stdio()) as client:
            for n in range(20):
                result = await client.call_tool("add_memory", {"text": f"tea {number} {n}", "key": f"k{n}"})
                assert not result.is_error
                await client.call_tool("add_memory", {"text": f"own {number} {n}"})

    async def all_of_them() -> None:
        await asyncio.gather(*(one(number) for number in range(5)))

    asyncio.run(all_of_them())
    with PostgreSQLProvider(config.replace(embedding_dimensions=None)) as provider:
        texts = [document["content"] for document in provider.list_all(STORE)]
    own = [text for text in texts if text.startswith("own")]
    assert sorted(own) == sorted(f"own {number} {n}" for number in range(5) for n in range(20))
    # Under one key there is one memory, whoever came last.
    assert len(texts) - len(own) == 20


def test_it_goes_on_when_postgresql_comes_back(stdio: Stdio, own_server: EmbeddedServer) -> None:
    """While the server is gone a call is an error that says so; when it is there again, calls work."""
    named = stdio("--dsn", str(own_server.status().conninfo), "--schema", "mine")

    async def through(client: Client) -> None:
        kept = await client.call_tool("add_memory", {"text": "tea", "key": "k"})
        assert not kept.is_error
        await asyncio.to_thread(own_server.stop)
        failed = await client.call_tool("search_memory", {"query": "tea"})
        assert failed.is_error
        assert "cannot be reached" in failed.content[0].text
        assert str(own_server.status().path) not in failed.content[0].text
        await asyncio.to_thread(own_server.pin)
        again = await client.call_tool("search_memory", {"query": "tea"})
        assert again.structured_content["count"] == 1
        assert not (await client.call_tool("add_memory", {"text": "coffee", "key": "k"})).is_error

    Caller(named, "auto").run(through)


def test_what_is_missing_is_said(memorizz: Callable[..., tuple[int, str, str]]) -> None:
    """Without a memory, and with tokens that nobody can bring, it does not start, and stdout stays empty."""
    for arguments, said in (
        ([], "--memory"),
        (["--memory", "ada", "--tokens", "x.json"], "--http"),
        (["--memory", "ada", "--store", "nothing"], "unknown store"),
        (["--memory", "ada", "--name", "x"], "--model"),
        (["--memory", "ada", "--model", "nowhere:Embedder"], "nowhere"),
        (["--memory", ""], "memory_id"),
        (["--http", "--memory", "ada", "--host", "0.0.0.0"], "--tokens"),
        (["--http", "--memory", "ada", "--host", "::"], "--tokens"),
        (["--http", "--memory", "ada", "--host", "memory.example.com"], "--tokens"),
        (["--http", "--memory", "ada", "--tokens", "x.json"], "each token says"),
        (["--http", "--tokens", "nowhere.json"], "No such file"),
    ):
        code, out, errors = memorizz("mcp", *arguments)
        assert (code, out) == (1, ""), arguments
        assert said in errors, arguments


def test_the_environment_names_the_memory(stdio: Stdio, config: PostgreSQLConfig) -> None:
    """MEMORIZZ_MEMORY and MEMORIZZ_AGENT are what --memory and --agent are."""
    named = stdio()
    plain = named.model_copy(
        update={
            "args": ["-m", "memorizz", "mcp"],
            "env": {**(named.env or os.environ), "MEMORIZZ_MEMORY": "ada", "MEMORIZZ_AGENT": "desk"},
        }
    )
    Caller(plain, "auto")("add_memory", text="tea")
    with PostgreSQLProvider(config.replace(embedding_dimensions=None)) as provider:
        (stored,) = provider.list_all(STORE)
    assert (stored["memory_id"], stored["agent_id"]) == ("ada", "desk")
