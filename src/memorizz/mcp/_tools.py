"""The five tools: what a model is told of them, what it may pass, and what it gets back."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, TextContent, Tool, ToolAnnotations

from memorizz.errors import (
    ConfigurationError,
    ConnectionFailed,
    FilterError,
    InvalidDocument,
    MemorizzError,
    OperationTimeout,
)
from memorizz.mcp.memory import Memory, Scope, text_of
from memorizz.memory_provider.base import Document

logger = logging.getLogger("memorizz.mcp")

# Of a longer one a result has the beginning: a model's context is not for one page.
LONGEST_TEXT = 4_000
MOST_HITS, MOST_RECENT = 50, 100

# What a model can put right itself.
_ITS_OWN = (FilterError, InvalidDocument, ConfigurationError)

Result = dict[str, Any]
_TEXT = {"type": "string"}
_SOME_TEXT = {"type": "string", "minLength": 1}


@dataclass(frozen=True)
class _Tool:
    """A tool: what is said of it, and the function that it is."""

    call: Callable[..., Result]
    title: str
    description: str
    properties: Mapping[str, Any]
    required: Sequence[str]
    annotations: ToolAnnotations
    writes: bool = True

    @property
    def schema(self) -> dict[str, Any]:
        required = {"required": list(self.required)} if self.required else {}
        # An argument that nobody knows must not be taken for one that had an effect.
        return {"type": "object", "properties": dict(self.properties), **required, "additionalProperties": False}


def tools() -> list[Tool]:
    """Return the tools as a client lists them."""
    return [
        Tool(
            name=name,
            title=tool.title,
            description=tool.description,
            input_schema=tool.schema,
            output_schema=_OUTPUT,
            annotations=tool.annotations,
        )
        for name, tool in _TOOLS.items()
    ]


def call(memory: Memory, scope: Scope, name: str, arguments: Mapping[str, Any]) -> CallToolResult:
    """Run a tool; whatever goes wrong is a result that tells the model what to do."""
    try:
        result = _called(memory, scope, name, arguments)
    except ToolError as error:
        return CallToolResult(content=[TextContent(text=str(error))], is_error=True)
    text = json.dumps(result, ensure_ascii=False)
    return CallToolResult(content=[TextContent(text=text)], structured_content=result)


def _called(memory: Memory, scope: Scope, name: str, arguments: Mapping[str, Any]) -> Result:
    tool = _TOOLS[name]
    wrong = [
        f"{'.'.join(map(str, each.absolute_path)) or name}: {each.message[:300]}"
        for each in _VALIDATORS[name].iter_errors(dict(arguments))
    ]
    if wrong:
        raise ToolError("; ".join(wrong))
    try:
        return tool.call(memory, scope, **arguments)
    except _ITS_OWN as error:
        raise ToolError(str(error)) from error
    except (ConnectionFailed, OperationTimeout) as error:
        logger.warning("%s: %s", name, error)
        if tool.writes and error.ids:
            raise ToolError(
                "The memory did not answer, so it is unknown whether this was done: look with search_memory or "
                "recent_memory before you repeat it."
            ) from error
        raise ToolError("The memory cannot be reached now; nothing was done. Repeat the call later.") from error
    except MemorizzError as error:
        logger.warning("%s: %s", name, error)
        raise ToolError("The memory could not do this; nothing was done. The server's log says why.") from error


# --- what they do -------------------------------------------------------------------------------------------------


def _search(
    memory: Memory,
    scope: Scope,
    query: str,
    limit: int = 8,
    kind: str | None = None,
    since: str | None = None,
    filter: Mapping[str, Any] | None = None,
) -> Result:
    hits = memory.search(scope, query, int(limit), kind=kind, since=since, filter=filter)
    notes = [] if hits else ["Nothing found; other words may find it."]
    if not hits and (kind, since, filter) != (None, None, None):
        notes.append("Without kind, since and filter there may be more.")
    if not memory.searches_by_meaning:
        notes.append("Searched by words only: the server has no embedding model.")
    return _result(hits, *notes)


def _add(
    memory: Memory,
    scope: Scope,
    text: str,
    kind: str | None = None,
    tags: Sequence[str] | None = None,
    key: str | None = None,
) -> Result:
    document = memory.add(scope, text, kind=kind, tags=tags, key=key)
    replaced = key is not None and document.get("updated_at") != document.get("created_at")
    return _result([document], "Replaced what this key had." if replaced else "Remembered.")


def _update(memory: Memory, scope: Scope, id: str, text: str) -> Result:
    document = memory.update(scope, id, text)
    if document is None:
        raise ToolError(f"There is no memory with the id {id[:100]!r}: take one from search_memory or recent_memory.")
    return _result([document], "Updated.")


def _delete(memory: Memory, scope: Scope, id: str) -> Result:
    deleted = memory.delete(scope, id)
    note = "Deleted." if deleted else "There is no memory with this id, so nothing was deleted."
    return {"count": int(deleted), "memories": [], "note": note}


def _recent(memory: Memory, scope: Scope, limit: int = 20, before: str | None = None) -> Result:
    documents = memory.recent(scope, int(limit), before)
    if not documents:
        return _result([], "There is nothing yet." if before is None else "There is nothing older.")
    more = f'For older ones: before="{documents[-1]["id"]}".' if len(documents) == limit else ""
    return _result(documents, more)


def _result(documents: Sequence[Document], *notes: str) -> Result:
    cut = any(len(text_of(document)) > LONGEST_TEXT for document in documents)
    said = [*notes, "A text that ends in ... is cut; its resource has it whole."] if cut else notes
    return {
        "count": len(documents),
        "memories": [_shown(document) for document in documents],
        "note": " ".join(filter(None, said)),
    }


def _shown(document: Document) -> dict[str, Any]:
    text = text_of(document)
    shown: dict[str, Any] = {
        "id": document["id"],
        "text": text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} ...",
    }
    shown |= {key: document[key] for key in ("kind", "tags", "key") if document.get(key) is not None}
    if "created_at" in document:
        shown["created_at"] = document["created_at"].isoformat()
    if "score" in document:
        shown["score"] = round(document["score"], 4)
    return shown


# --- what is said of them -----------------------------------------------------------------------------------------

_OUTPUT = {
    "type": "object",
    "properties": {
        "count": {"type": "integer"},
        "memories": {"type": "array"},
        "note": {"type": "string"},
    },
    "required": ["count", "memories", "note"],
}

_ID = {**_TEXT, "description": "The id, from a result."}


def _hints(*, destructive: bool | None = None, idempotent: bool = True) -> ToolAnnotations:
    """Return the annotations of a tool; one that is not said to be destructive or not only reads."""
    return ToolAnnotations(
        read_only_hint=destructive is None,
        destructive_hint=destructive,
        idempotent_hint=idempotent,
        open_world_hint=False,
    )


_TOOLS = {
    "search_memory": _Tool(
        _search,
        "Search memory",
        "Search what is remembered, by meaning and words. Use it before you answer what may depend on earlier "
        "conversations, preferences or decisions.",
        {
            "query": {**_SOME_TEXT, "description": "What to look for, in plain words."},
            "limit": {"type": "integer", "minimum": 1, "maximum": MOST_HITS, "default": 8},
            "kind": {**_TEXT, "description": "Only of this kind."},
            "since": {**_TEXT, "description": "Only stored since then: an ISO 8601 time."},
            "filter": {
                "type": "object",
                "description": 'Conditions on keys as in MongoDB: {"tags": {"$contains": "work"}}.',
            },
        },
        ["query"],
        _hints(),
        writes=False,
    ),
    "add_memory": _Tool(
        _add,
        "Add a memory",
        "Remember one fact, preference or decision, in a sentence that can be understood alone. What is known already "
        "and has changed is for update_memory.",
        {
            "text": _SOME_TEXT,
            "kind": {**_TEXT, "description": "Such as fact, preference, decision, event."},
            "tags": {"type": "array", "items": _TEXT},
            "key": {**_SOME_TEXT, "description": "A name of your choice: the same key again replaces its text."},
        },
        ["text"],
        # Only with a key; a hint is for every call.
        _hints(destructive=False, idempotent=False),
    ),
    "update_memory": _Tool(
        _update,
        "Update a memory",
        "Replace the text of a memory that is no longer true, in place of adding one that contradicts it.",
        {"id": _ID, "text": _SOME_TEXT},
        ["id", "text"],
        _hints(destructive=True),
    ),
    "delete_memory": _Tool(
        _delete,
        "Delete a memory",
        "Forget one memory for good. The result says whether there was one.",
        {"id": _ID},
        ["id"],
        _hints(destructive=True),
    ),
    "recent_memory": _Tool(
        _recent,
        "Recent memories",
        "List the newest memories, the newest first: for the start of a conversation, when there is no question yet.",
        {
            "limit": {"type": "integer", "minimum": 1, "maximum": MOST_RECENT, "default": 20},
            "before": {**_TEXT, "description": "An id or an ISO 8601 time: only what is older."},
        },
        [],
        _hints(),
        writes=False,
    ),
}
# Its own types leave open what an instance may be.
_VALIDATORS: dict[str, Any] = {name: Draft202012Validator(tool.schema) for name, tool in _TOOLS.items()}
