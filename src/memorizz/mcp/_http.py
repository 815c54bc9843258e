"""The server over streamable HTTP: who may reach it, and by which names."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AnyHttpUrl
from starlette.applications import Starlette

from memorizz._serving import HERE, is_here, serve, written
from memorizz.errors import ConfigurationError, quoted
from memorizz.integrations._providers import in_thread
from memorizz.mcp._server import AGENT, MEMORY, TENANT, server
from memorizz.mcp.memory import Memory, Scope
from memorizz.mcp.tokens import Tokens

PATH = "/mcp"
logger = logging.getLogger("memorizz.mcp")


def app(memory: Memory, who: Scope | Tokens, names: Sequence[str] = ()) -> Starlette:
    """Return a memory as an ASGI application that answers at /mcp, in every revision of the protocol.

    `who` is the scope of everybody, or the tokens of which each request must bring one. Requests are answered that are
    addressed to this machine's own names, or to one of `names` ("memory.example.com"); others are refused, as are those
    from the pages of other sites. Raises ConfigurationError where a scope has no tenant and the provider wants one, or
    has one that the provider is not of; a token of such a scope that a function returns opens nothing.
    """
    hosts = [each for name in (*HERE, *names) for each in (name, f"{name}:*")]
    origins = [f"{scheme}://{each}" for each in hosts for scheme in ("http", "https")]
    security = TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=origins)
    fixed, tokens = (who, None) if isinstance(who, Scope) else (None, who)
    for scope in [] if tokens is None else tokens.known:
        memory.check_scope(scope)
    return server(memory, fixed).streamable_http_app(
        streamable_http_path=PATH,
        # Any request can be answered by any process, and a server that comes back needs to know nothing.
        stateless_http=True,
        json_response=True,
        transport_security=security,
        token_verifier=None if tokens is None else _Verifier(memory, tokens),
        auth=None if tokens is None else _bearer(),
    )


def serve_http(
    memory: Memory,
    who: Scope | Tokens,
    host: str,
    port: int,
    names: Sequence[str] = (),
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; `host` and `port` are what to listen on, `names` those of `app`.

    `ready` is told the URL as soon as it answers there; port 0 is any that is free. Raises ConfigurationError for a
    host that other machines reach, unless tokens say who may.
    """
    check_reach(host, who)

    def at(address: str) -> None:
        if ready is not None:
            ready(address + PATH)

    serve(app(memory, who, [written(host), *names]), host, port, at)


def check_reach(host: str, who: Scope | Tokens) -> None:
    """Raise ConfigurationError where other machines would reach a memory without a token."""
    if isinstance(who, Scope) and not is_here(host):
        raise ConfigurationError(
            f"host={quoted(host)} can be reached from other machines: say with --tokens who may, or listen on 127.0.0.1"
        )


class _Verifier:
    """What the SDK asks whether a token is good."""

    def __init__(self, memory: Memory, tokens: Tokens) -> None:
        self._memory, self._tokens = memory, tokens

    async def verify_token(self, token: str) -> AccessToken | None:
        scope = await in_thread(self._scope_of, token)
        if scope is None:
            return None
        claims: dict[str, Any] = {MEMORY: scope.memory_id, AGENT: scope.agent_id, TENANT: scope.tenant}
        return AccessToken(token=token, client_id=scope.memory_id, scopes=[], claims=claims)

    def _scope_of(self, token: str) -> Scope | None:
        scope = self._tokens.scope_of(token)
        try:
            if scope is not None:
                self._memory.check_scope(scope)
        except ConfigurationError as error:
            logger.warning("a token is refused: %s", error)
            return None
        return scope


def _bearer() -> AuthSettings:
    # The tokens are handed out by hand: there is no server that issues them, which the SDK wants named all the same.
    return AuthSettings(issuer_url=AnyHttpUrl("http://127.0.0.1"), resource_server_url=None)
