"""A model stays in the tenant that it was given, by whoever starts the server or by its token."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from starlette.testclient import TestClient

from conftest import STORE, Caller
from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.errors import ConfigurationError
from memorizz.mcp import Memory, Scope, Tokens, app, server

ACME, GLOBEX, NOBODY = "token_of_acme_0123456789", "token_of_globex_0123456789", "token_of_nobody_0123456789"
SECRET = "the tea of globex"


def served(memory: Memory, tenant: str | None, **options: Any) -> Caller:
    return Caller(server(memory, Scope("ada", tenant=tenant, **options)), "auto")


def test_a_tenant_of_the_scope_is_that_of_every_tool(memory: Memory, provider: PostgreSQLProvider) -> None:
    """Equal memories, keys and ids of two tenants and of none are three; no filter, id or cursor reaches another's."""
    callers = [served(memory, tenant) for tenant in ("globex", "acme", None)]
    for caller, text in zip(callers, (SECRET, "the tea of acme", "tea"), strict=True):
        caller("add_memory", text=text, key="tea")
    globex, acme, nobody = callers
    (kept,) = globex("recent_memory")["memories"]
    for caller in (acme, nobody):
        for filter in ({}, {"tenant": "globex"}, {"$or": [{}, {"tenant": {"$ne": "x"}}]}, {"$not": {"memory_id": "x"}}):
            found = caller("search_memory", query="tea globex", filter=filter, limit=50)
            assert SECRET not in json.dumps(found)
            assert found["count"] <= 1
        assert [each["text"] for each in caller("recent_memory")["memories"]] != [SECRET]
        # The key is the same, and so is the id: it is one's own that is changed.
        assert caller("update_memory", id=kept["id"], text="mine")["count"] == 1
        assert caller("delete_memory", id=kept["id"])["count"] == 1
        assert "expected" in caller.error("recent_memory", before=kept["id"])
        for ask in (
            lambda client: client.read_resource(f"memorizz://memory/{kept['id']}"),
            lambda client: client.list_resources(cursor=kept["id"]),
        ):
            with pytest.raises(MCPError):
                caller.run(ask)
    assert globex("recent_memory")["memories"] == [kept]
    assert provider.count(STORE) == provider.tenant("acme").count(STORE) == 0


def test_an_agent_of_a_tenant_has_its_own(memory: Memory) -> None:
    """The agent narrows the memory of the tenant."""
    served(memory, "acme", agent_id="desk")("add_memory", text="tea at the desk")
    assert served(memory, "acme", agent_id="phone")("search_memory", query="tea")["count"] == 0
    assert served(memory, "acme")("search_memory", query="tea")["count"] == 1


def test_a_view_may_be_served(provider: PostgreSQLProvider) -> None:
    """A tenant's view in the place of the provider is a wall for every scope; a view of a memory serves that alone."""
    acme = Memory(provider.tenant("acme"), STORE)
    served(acme, None)("add_memory", text="tea")
    assert served(acme, "acme")("recent_memory")["count"] == 1
    with pytest.raises(ConfigurationError, match="no call leads out of"):
        server(acme, Scope("ada", tenant="globex"))
    assert served(Memory(provider.tenant("acme").memory("ada"), STORE), None)("recent_memory")["count"] == 1
    with pytest.raises(ConfigurationError, match="no call leads out of"):
        server(Memory(provider.memory("bob"), STORE), Scope("ada"))


# --- tokens ---------------------------------------------------------------------------------------------------------


def called(client: TestClient, token: str, tool: str, **arguments: Any) -> Any:
    """Call a tool as it goes over the wire; return its result, or the status of what is refused."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    sent = {"Accept": "application/json, text/event-stream", "Mcp-Protocol-Version": "2025-11-25"}
    answer = client.post("/mcp", json=body, headers=sent | {"Authorization": f"Bearer {token}"})
    return answer.json()["result"]["structuredContent"] if answer.status_code == 200 else answer.status_code


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    """Those of a file: of two tenants, of the same memory."""
    path = tmp_path / "tokens.json"
    scopes = {ACME: {"tenant": "acme", "memory": "ada"}, GLOBEX: {"tenant": "globex", "memory": "ada", "agent": "desk"}}
    path.write_text(json.dumps(scopes), "utf-8")
    return Tokens.of_file(path)


@pytest.fixture
def strict(config: PostgreSQLConfig) -> Iterator[Memory]:
    """A memory whose configuration requires a tenant."""
    with PostgreSQLProvider(config.replace(require_tenant=True)) as provider:
        yield Memory(provider, STORE)


def test_a_token_opens_its_tenant_alone(strict: Memory, tokens: Tokens) -> None:
    """What a token stores, that of another tenant neither finds nor changes, by whatever arguments."""
    with TestClient(app(strict, tokens, ["testserver"])) as client:
        (kept,) = called(client, GLOBEX, "add_memory", text=SECRET, key="tea")["memories"]
        for arguments in ({"query": "tea"}, {"query": "tea", "filter": {"$or": [{}, {"tenant": "globex"}]}}):
            assert called(client, ACME, "search_memory", **arguments)["count"] == 0
        assert called(client, ACME, "recent_memory")["count"] == 0
        assert called(client, ACME, "delete_memory", id=kept["id"])["count"] == 0
        assert called(client, ACME, "add_memory", text="mine", key="tea")["memories"][0]["text"] == "mine"
        assert called(client, GLOBEX, "recent_memory")["memories"] == [kept]
        assert called(client, NOBODY, "recent_memory") == 401


def test_a_token_without_a_required_tenant_is_refused(strict: Memory, caplog: pytest.LogCaptureFixture) -> None:
    """One of a file keeps the server from starting; one that a function returns opens nothing, and the log says why."""
    with pytest.raises(ConfigurationError, match="require_tenant"):
        app(strict, Tokens({ACME: Scope("ada", tenant="acme"), NOBODY: Scope("ada")}))
    with pytest.raises(ConfigurationError, match="require_tenant"):
        server(strict, Scope("ada"))
    scopes = {"acme": Scope("ada", tenant="acme"), "nobody": Scope("ada"), "long": Scope("ada", tenant="x" * 1025)}
    with TestClient(app(strict, Tokens(scopes.get), ["testserver"])) as client:
        assert called(client, "acme", "recent_memory")["count"] == 0
        for token in ("nobody", "long", "other"):
            assert called(client, token, "recent_memory") == 401
    assert "require_tenant" in caplog.text
