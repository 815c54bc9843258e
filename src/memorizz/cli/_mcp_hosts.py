"""How each host of MCP servers is told of one: the line to type, or what to put into its file."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

NAME = "memorizz"
# The variable that a token is kept in, on the host's side.
TOKEN = "MEMORIZZ_TOKEN"  # noqa: S105 - a name, not a token


@dataclass(frozen=True)
class MCPServer:
    """What a host is told: a program to start, or a URL, where `has_token` says that a token has to be sent."""

    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    url: str | None = None
    has_token: bool = False

    def entry(self, token: str, *, typed: bool) -> dict[str, Any]:
        """Return the server as JSON configurations have it; `token` is how a host writes the variable of a token."""
        if self.url is not None:
            headers = {"headers": {"Authorization": f"Bearer {token}"}} if self.has_token else {}
            return ({"type": "http"} if typed else {}) | {"url": self.url} | headers
        program, *arguments = self.command
        started: dict[str, Any] = {"command": program, "args": arguments}
        return (
            ({"type": "stdio"} if typed else {})
            | started
            | ({"env": dict(self.environment)} if self.environment else {})
        )


@dataclass(frozen=True)
class Host:
    """A host: what it is called, what to do with what is printed, and how that is made."""

    title: str
    place: str
    write: Callable[[MCPServer], str]
    takes_urls: bool = True


def _claude_code(server: MCPServer) -> str:
    if server.url is not None:
        header = f' --header "Authorization: Bearer ${TOKEN}"' if server.has_token else ""
        return f"claude mcp add --transport http --scope user {NAME} {shlex.quote(server.url)}{header}"
    return f"claude mcp add {_variables(server)}--scope user {NAME} -- {shlex.join(server.command)}"


def _codex(server: MCPServer) -> str:
    if server.url is not None:
        token = f" --bearer-token-env-var {TOKEN}" if server.has_token else ""
        return f"codex mcp add {NAME} --url {shlex.quote(server.url)}{token}"
    return f"codex mcp add {NAME} {_variables(server)}-- {shlex.join(server.command)}"


def _variables(server: MCPServer) -> str:
    return "".join(f"--env {shlex.quote(f'{name}={value}')} " for name, value in server.environment.items())


def _mcp_servers(server: MCPServer) -> str:
    return _json({"mcpServers": {NAME: server.entry(f"${{env:{TOKEN}}}", typed=False)}})


def _vscode(server: MCPServer) -> str:
    asked = {"type": "promptString", "id": "memorizz-token", "description": "Token of memorizz", "password": True}
    inputs = {"inputs": [asked]} if server.has_token else {}
    return _json({"servers": {NAME: server.entry("${input:memorizz-token}", typed=True)}} | inputs)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


HOSTS = {
    "claude-code": Host("Claude Code", "type this", _claude_code),
    "claude-desktop": Host(
        "Claude Desktop",
        "put this into claude_desktop_config.json (Settings, Developer, Edit Config), and start it again",
        _mcp_servers,
        takes_urls=False,
    ),
    "cursor": Host("Cursor", "put this into ~/.cursor/mcp.json, or .cursor/mcp.json of a project", _mcp_servers),
    "vscode": Host("VS Code", "put this into .vscode/mcp.json, or what `MCP: Open User Configuration` opens", _vscode),
    "codex": Host("Codex", "type this", _codex),
}
