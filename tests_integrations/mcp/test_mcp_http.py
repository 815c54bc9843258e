"""The server over HTTP: every revision on one endpoint, and only for those who may."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from conftest import HANDSHAKE, NEWEST, STORE, Caller
from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.errors import ConfigurationError
from memorizz.mcp import Scope, Tokens

HTTP = Callable[..., "Served"]
ADA, EVE = "ada's token, 32 letters or so".replace(" ", "_"), "eves_token_0123456789abcdef"


class Served:
    """A server process, and where it answers."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url

    def posted(self, method: str = "tools/list", version: str = HANDSHAKE, **headers: str) -> httpx2.Response:
        """Send one request as it goes over the wire."""
        sent = {"Accept": "application/json, text/event-stream", "Mcp-Protocol-Version": version, **headers}
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {}}
        return httpx2.post(self.url, json=body, headers=sent)

    def client(self, token: str | None = None, mode: str = "auto") -> Caller:
        return Caller(self.url if token is None else _WithToken(self.url, token), mode)


class _WithToken:
    """A transport that sends a token."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._headers = url, {"Authorization": f"Bearer {token}"}
        self._opened: Any = None

    async def __aenter__(self) -> Any:
        self._http = await httpx2.AsyncClient(headers=self._headers).__aenter__()
        self._opened = streamable_http_client(self._url, http_client=self._http)
        return await self._opened.__aenter__()

    async def __aexit__(self, *error: Any) -> None:
        await self._opened.__aexit__(*error)
        await self._http.aclose()


@contextmanager
def _started(environment: dict[str, str], folder: Path, *arguments: str) -> Generator[Served]:
    command = [sys.executable, "-m", "memorizz", "mcp", "--http", "--port", "0", *arguments]
    process = subprocess.Popen(command, env=environment, cwd=folder, stderr=subprocess.PIPE, encoding="utf-8")
    with process:
        try:
            assert process.stderr is not None
            said = process.stderr.readline().split()
            assert said[:1] == ["memorizz:"], process.stderr.read()
            yield Served(process, said[1])
        finally:
            process.kill()


@pytest.fixture
def http(environment: dict[str, str], tmp_path: Path) -> Iterator[HTTP]:
    """Start servers on the database of the test."""
    with ExitStack() as opened:
        yield lambda *arguments: opened.enter_context(_started(environment, tmp_path, *arguments))


@pytest.fixture
def tokens(tmp_path: Path) -> str:
    """A file of two tokens."""
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps({ADA: {"memory": "ada"}, EVE: {"memory": "eve", "agent": "desk"}}), "utf-8")
    return str(path)


def test_every_revision_is_answered_on_one_endpoint(http: HTTP) -> None:
    """The newest revision, and each that begins with a handshake, find the same tools and the same memory."""
    served = http("--memory", "ada")
    for mode, version in (("auto", NEWEST), ("legacy", HANDSHAKE)):
        call = served.client(mode=mode)

        async def negotiated(client: Client) -> str:
            return client.protocol_version

        assert call.run(negotiated) == version
        call("add_memory", text=f"tea in {mode}")
    assert served.client()("search_memory", query="tea")["count"] == 2
    for version in HANDSHAKE_PROTOCOL_VERSIONS:
        assert len(served.posted(version=version).json()["result"]["tools"]) == 5
    assert served.posted(version="1999-01-01").status_code == 400


def test_foreign_hosts_and_origins_are_refused(http: HTTP) -> None:
    """A page of another site cannot reach it, by its own name or by one that it has pointed here."""
    served = http("--memory", "ada", "--allow", "memory.example.com")
    for headers, status in (
        ({}, 200),
        ({"Host": "localhost:1234"}, 200),
        ({"Host": "memory.example.com"}, 200),
        ({"Host": "memory.example.com:8443"}, 200),
        ({"Host": "evil.example.com"}, 421),
        ({"Host": "memory.example.com.evil.com"}, 421),
        ({"Host": "127.0.0.1.evil.com"}, 421),
        ({"Origin": "http://localhost:6274"}, 200),
        ({"Origin": "https://memory.example.com"}, 200),
        ({"Origin": "https://evil.example.com"}, 403),
        ({"Origin": "http://localhost.evil.com"}, 403),
        ({"Origin": "null"}, 403),
    ):
        assert served.posted(**headers).status_code == status, headers


def test_a_token_says_which_memory(http: HTTP, tokens: str, config: PostgreSQLConfig) -> None:
    """Each token opens its memory; none of them another, and without one, or with a wrong one, there is nothing."""
    served = http("--tokens", tokens)
    for mode in ("auto", "legacy"):
        served.client(ADA, mode)("add_memory", text="the tea of ada", key="tea")
        served.client(EVE, mode)("add_memory", text="the tea of eve", key="tea")
        for token, text in ((ADA, "the tea of ada"), (EVE, "the tea of eve")):
            found = served.client(token, mode)("search_memory", query="tea", filter={"$or": [{}, {"memory_id": "eve"}]})
            assert [each["text"] for each in found["memories"]] == [text]
    for headers in (
        {},
        {"Authorization": ADA},
        {"Authorization": f"Basic {ADA}"},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer {ADA[:-1]}"},
        {"Authorization": f"Bearer {ADA}x"},
        {"Authorization": f"Bearer {ADA.upper()}"},
    ):
        for version in (HANDSHAKE, NEWEST):
            refused = served.posted(version=version, **headers)
            assert refused.status_code == 401, headers
            assert refused.headers["www-authenticate"].startswith("Bearer")
    with PostgreSQLProvider(config.replace(embedding_dimensions=None)) as provider:
        kept = {(each["memory_id"], each.get("agent_id")) for each in provider.list_all(STORE)}
    assert kept == {("ada", None), ("eve", "desk")}


def test_a_function_may_know_the_tokens(http: HTTP, tmp_path: Path) -> None:
    """module:attribute is asked for each request, and may change its mind."""
    (tmp_path / "who.py").write_text(
        "from pathlib import Path\nfrom memorizz.mcp import Scope\n\n\n"
        "def scope_of(token):\n"
        '    return None if Path("revoked").exists() else {"one": Scope("ada")}.get(token)\n',
        "utf-8",
    )
    served = http("--tokens", "who:scope_of")
    served.client("one")("add_memory", text="tea")
    assert served.posted(Authorization="Bearer two").status_code == 401
    (tmp_path / "revoked").touch()
    assert served.posted(Authorization="Bearer one").status_code == 401


@pytest.mark.parametrize("answer", ["ada", True, {"memory": "ada"}])
def test_what_a_function_returns_is_a_scope(answer: Any) -> None:
    """Anything else opens nothing, and the error says what was expected."""
    with pytest.raises(ConfigurationError, match="expected a Scope"):
        Tokens(lambda token: answer).scope_of("one")


def test_tokens_are_checked_when_they_are_read(tmp_path: Path) -> None:
    """A file that is not what it should be is an error that names it and shows no token."""
    path = tmp_path / "tokens.json"
    secret = "secret_secret_secret"
    for text in (
        "", "[]", "{}", f'{{"{secret}": "ada"}}', f'{{"{secret}": {{}}}}', f'{{"{secret}": {{"memory": ""}}}}',
        f'{{"{secret}": {{"memory": "ada", "user": "x"}}}}', f'{{"{secret}": {{"memory": 7}}}}',
        f'{{"{secret}": {{"memory": "ada", "tenant": ""}}}}', f'{{"{secret}": {{"tenant": "acme"}}}}',
        f'{{"{secret}": {{"memory": "a"}}, "{secret}": {{"memory": "b"}}}}', '{"short": {"memory": "ada"}}',
        f'{{"{secret} with spaces": {{"memory": "ada"}}}}', f'{{"{secret}": ',
    ):  # fmt: skip
        path.write_text(text, "utf-8")
        with pytest.raises(ConfigurationError) as raised:
            Tokens.of_file(path)
        assert secret not in str(raised.value)
    path.write_text(f'{{"{secret}": {{"memory": "ada", "agent": "desk"}}}}', "utf-8")
    assert Tokens.of_file(path).scope_of(secret) == Scope("ada", "desk")
    assert Tokens.of_file(path).scope_of(secret + "x") is None
    assert secret not in repr(vars(Tokens.of_file(path)))


WRITER = """
import asyncio, sys
from mcp.client import Client

async def write(url, number):
    async with Client(url) as client:
        for n in range(25):
            result = await client.call_tool("add_memory", {"text": f"tea {number} {n}"})
            assert not result.is_error, result

asyncio.run(write(*sys.argv[1:]))
"""


def test_many_client_processes_lose_no_write(http: HTTP) -> None:
    """Four programs store into one memory at once; one more dies in the middle. Everything is there."""
    served = http("--memory", "ada")
    command = [sys.executable, "-c", WRITER, served.url]
    writers = [subprocess.Popen([*command, str(number)]) for number in range(4)]
    with subprocess.Popen([*command, "dying"]) as dying:
        assert [writer.wait(timeout=120) for writer in writers] == [0] * 4
        dying.kill()
    texts: list[str] = []
    call, before = served.client(), {}
    while (page := call("recent_memory", limit=100, **before))["count"]:
        texts += [each["text"] for each in page["memories"]]
        before = {"before": page["memories"][-1]["id"]}
    whole = sorted(f"tea {number} {n}" for number in range(4) for n in range(25))
    assert sorted(text for text in texts if "dying" not in text) == whole


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(http: HTTP, number: signal.Signals) -> None:
    """It ends with 0, also while a client waits for news, and has nothing to complain about."""
    served = http("--memory", "ada")
    with httpx2.stream("GET", served.url, headers={"Accept": "text/event-stream"}) as waiting:
        assert waiting.status_code == 200
        served.process.send_signal(number)
        assert served.process.wait(timeout=60) == 0
    assert served.process.stderr is not None
    assert "Traceback" not in served.process.stderr.read()


def test_an_address_that_is_taken_is_said(http: HTTP, memorizz: Callable[..., tuple[int, str, str]]) -> None:
    """Who cannot listen does not go on, and a signal means to the process what it meant before."""
    before = signal.getsignal(signal.SIGTERM)
    port = http("--memory", "ada").url.split(":")[2].split("/")[0]
    code, out, _ = memorizz("mcp", "--http", "--memory", "ada", "--port", port)
    assert code
    assert out == ""
    assert signal.getsignal(signal.SIGTERM) is before
