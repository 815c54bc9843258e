"""The server: the tools, the memories as resources, a prompt that says when to remember; and stdio."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from typing import Any
from urllib.parse import quote, unquote

import anyio
import mcp_types as types
from mcp.server import CacheHint, Server, ServerRequestContext
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError

from memorizz.errors import FilterError
from memorizz.integrations._providers import in_thread
from memorizz.mcp import _tools
from memorizz.mcp.memory import Memory, Scope, text_of

NAME = "memorizz"
# The claims of a request that a token opened.
MEMORY, AGENT, TENANT = "memorizz_memory", "memorizz_agent", "memorizz_tenant"

_RESOURCE = "memorizz://memory/"
_PAGE = 100
_PROMPT = "remember"
# The lists are the same for everybody and for as long as the server runs.
_FIXED = CacheHint(ttl_ms=3_600_000, scope="public")

_INSTRUCTIONS = (
    "Long-term memory that outlives this conversation. Call recent_memory when a conversation begins, search_memory "
    "before you answer what may depend on earlier ones, and add_memory when you learn what will matter later."
)
_WHEN_TO_REMEMBER = """\
You have a long-term memory. Use it like this.

Look: when the conversation begins, call recent_memory. Before you answer what may depend on who the user is, what \
they prefer, or what was decided before, call search_memory with the subject in plain words.

Remember: call add_memory when the user tells you something that will still matter in another conversation: who they \
are, what they prefer, what was decided and why, how something is done here. One fact for each call, in a sentence \
that can be understood without this conversation, with names in place of "he" or "it".

Do not remember what matters for this task alone, what can be looked up elsewhere, passwords and other secrets, nor \
what the user asks you to forget.

Keep it true: search before you add. Where a fact has changed, call update_memory with the id of the old one; what is \
wrong, or is to be forgotten, delete_memory."""

Context = ServerRequestContext[Any, Any]


def server(memory: Memory, scope: Scope | None) -> Server[Any]:
    """Return a server of a memory for the SDK to run, or for `Client(server)` in a test.

    `scope` is that of every request, or None where each request brings a token that says it. No state is kept for a
    session. Raises ConfigurationError where the provider wants a tenant that the scope does not say.
    """
    if scope is not None:
        memory.check_scope(scope)
    requests = _Requests(memory, scope)
    return Server(
        NAME,
        version=version("memorizz-postgresql"),
        title="Long-term memory",
        instructions=_INSTRUCTIONS,
        cache_hints={
            "tools/list": _FIXED,
            "prompts/list": _FIXED,
            "resources/templates/list": _FIXED,
            "server/discover": _FIXED,
        },
        on_list_tools=requests.list_tools,
        on_call_tool=requests.call_tool,
        on_list_resources=requests.list_resources,
        on_list_resource_templates=requests.list_templates,
        on_read_resource=requests.read_resource,
        on_list_prompts=requests.list_prompts,
        on_get_prompt=requests.get_prompt,
    )


def serve_stdio(memory: Memory, scope: Scope) -> None:
    """Serve one client over stdin and stdout, until it closes them."""
    anyio.run(_stdio, server(memory, scope))


async def _stdio(served: Server[Any]) -> None:
    # What anything else prints goes to stderr meanwhile.
    async with stdio_server() as (read, write):
        await served.run(read, write, served.create_initialization_options())


class _Requests:
    """What is answered to each kind of request."""

    def __init__(self, memory: Memory, scope: Scope | None) -> None:
        self._memory = memory
        self._fixed = scope

    @property
    def _scope(self) -> Scope:
        if self._fixed is not None:
            return self._fixed
        token = get_access_token()
        claims = {} if token is None else token.claims or {}
        if MEMORY not in claims:
            raise MCPError(types.INVALID_REQUEST, "this request has no token that says which memory is meant")
        return Scope(claims[MEMORY], claims.get(AGENT), claims.get(TENANT))

    async def list_tools(self, ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=_tools.tools())

    async def call_tool(self, ctx: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        known = [tool.name for tool in _tools.tools()]
        if params.name not in known:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool {params.name[:100]!r}: there are {', '.join(known)}")
        return await in_thread(_tools.call, self._memory, self._scope, params.name, params.arguments or {})

    async def list_resources(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        cursor = None if params is None else params.cursor
        try:
            found = await in_thread(self._memory.page, self._scope, _PAGE + 1, cursor)
        except FilterError:
            raise MCPError(types.INVALID_PARAMS, "this cursor is none of ours, or its memory is gone") from None
        page = found[:_PAGE]
        return types.ListResourcesResult(
            resources=[_resource(document) for document in page],
            next_cursor=page[-1]["id"] if len(found) > _PAGE else None,
        )

    async def list_templates(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        template = types.ResourceTemplate(
            name="memory",
            title="A memory",
            uri_template=f"{_RESOURCE}{{id}}",
            description="The whole text of one memory, by its id",
            mime_type="text/plain",
        )
        return types.ListResourceTemplatesResult(resource_templates=[template])

    async def read_resource(self, ctx: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        document = None
        if params.uri.startswith(_RESOURCE):
            id = unquote(params.uri.removeprefix(_RESOURCE))
            document = await in_thread(partial(self._memory.read, self._scope, id))
        if document is None:
            raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": params.uri})
        text = types.TextResourceContents(uri=params.uri, text=text_of(document), mime_type="text/plain")
        return types.ReadResourceResult(contents=[text])

    async def list_prompts(self, ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
        described = types.Prompt(
            name=_PROMPT, title="When to remember", description="When to search, to remember and to correct"
        )
        return types.ListPromptsResult(prompts=[described])

    async def get_prompt(self, ctx: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        if params.name != _PROMPT:
            raise MCPError(types.INVALID_PARAMS, f"Unknown prompt {params.name[:100]!r}: there is {_PROMPT}")
        message = types.PromptMessage(role="user", content=types.TextContent(text=_WHEN_TO_REMEMBER))
        return types.GetPromptResult(messages=[message])


def _resource(document: dict[str, Any]) -> types.Resource:
    text = " ".join(text_of(document).split())
    return types.Resource(
        uri=_RESOURCE + quote(document["id"], safe=""),
        name=text[:60] or document["id"],
        description=document.get("kind") if isinstance(document.get("kind"), str) else None,
        mime_type="text/plain",
        annotations=types.Annotations(last_modified=document["updated_at"].isoformat()),
    )
