"""A memory as a server of the Model Context Protocol: `memorizz mcp`, and the same in Python.

    memory.py    what can be done with one memory, and with nothing outside of it
    _tools.py    the five tools: what a model is told of them, and what it gets back
    _server.py   tools, resources and the prompt as a server of the SDK; stdio
    _http.py     the same over HTTP: who may reach it
    tokens.py    which bearer token opens which memory

Needs the extra `mcp`.
"""

from memorizz.mcp.memory import Memory, Scope
from memorizz.mcp.tokens import Tokens

try:
    from memorizz.mcp._http import app, serve_http
    from memorizz.mcp._server import serve_stdio, server
except ImportError as error:
    from memorizz.integrations._providers import missing

    raise missing(error, "mcp") from error

__all__ = ["Memory", "Scope", "Tokens", "app", "serve_http", "serve_stdio", "server"]
