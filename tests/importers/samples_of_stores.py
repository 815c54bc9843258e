"""Small files of memory stores, laid out as the real programs lay them out: the persons are invented."""

from __future__ import annotations

import json
import pickle
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from samples import lines, sample, written

# --- Letta --------------------------------------------------------------------------------------------------------


def letta_message(number: int, role: str, text: str, **more: Any) -> dict[str, Any]:
    """Return a message of an agent file."""
    return {
        "type": "message",
        "role": role,
        "content": [{"type": "text", "text": text, "signature": None}],
        "id": f"message-{number}",
        "agent_id": "agent-0",
        "tool_calls": None,
        "created_at": f"2025-10-31T22:56:{number:02}.459100Z",
    } | more


def letta_call(name: str, **arguments: Any) -> list[dict[str, Any]]:
    """Return the calls of one tool."""
    return [{"id": "call-1", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}]


def letta_agent() -> dict[str, Any]:
    """Return an agent file of one agent, of Letta 0.16."""
    said = json.dumps({"type": "user_message", "message": "Which tea?", "time": "2025-10-31 10:56:56 PM UTC+0000"})
    messages = [
        letta_message(0, "system", "You are a helpful agent."),
        letta_message(1, "user", said),
        letta_message(2, "assistant", "They ask for tea.", tool_calls=letta_call("send_message", message="Green tea.")),
        letta_message(3, "tool", '{"status": "OK"}', tool_call_id="call-1"),
        letta_message(4, "user", json.dumps({"type": "heartbeat", "reason": "timer"})),
        letta_message(5, "assistant", "You are welcome."),
        letta_message(6, "assistant", "", tool_calls=letta_call("web_search", query="tea")),
    ]
    messages[5]["content"].insert(0, {"type": "reasoning", "is_native": True, "reasoning": "They thank."})
    agent = {"name": "Desk", "agent_type": "letta_v1_agent", "block_ids": ["block-0", "block-1"], "id": "agent-0"}
    human = {"value": "Ada likes tea.", "label": "human", "description": "About the user", "id": "block-0"}
    return {
        "agents": [{**agent, "system": "You are a helpful agent.", "messages": messages}],
        "groups": [],
        "blocks": [human, {"value": "", "label": "persona", "id": "block-1"}],
        "files": [],
        "sources": [],
        "tools": [{"id": "tool-0", "name": "web_search"}],
        "mcp_servers": [],
        "metadata": {},
    }


@sample
def letta(folder: Path) -> list[Path]:
    """Make an agent file, and one as they were before the middle of 2025."""
    new = letta_agent()
    [agent] = new["agents"]
    old = {
        "agent_type": "memgpt_agent",
        "core_memory": [{**block, "limit": 5000} for block in new["blocks"]],
        "messages": [{key: each[key] for key in each if key != "id"} for each in agent["messages"]],
        "name": "Desk",
        "version": "0.7.0",
    }
    return [written(folder / "desk.af", new), written(folder / "old.af", old)]


# --- mem0 ---------------------------------------------------------------------------------------------------------


def mem0_memories() -> list[dict[str, Any]]:
    """Return what mem0 2.2 lists."""
    times = {"created_at": "2026-01-30T03:14:44.479243+00:00", "updated_at": "2026-01-31T03:14:44.479243+00:00"}
    return [
        {"id": "981dd7bb-a450-47a0-8c9d-301eb68f218a", "memory": "Ada likes tea", "hash": "1bc6", "role": "user",
         "metadata": {"n": 1, "kind": "fact"}, **times, "user_id": "ada", "agent_id": "desk"},
        {"id": "d8ef8b19-1ada-46c9-88bc-4d6d75a2cd17", "memory": "Ada lives in Turin", "hash": "21a1", "metadata": None,
         **times, "user_id": "ada", "run_id": "r1", "expiration_date": "2999-01-01", "categories": ["home"]},
    ]  # fmt: skip


@sample
def mem0(folder: Path) -> list[Path]:
    """Make what get_all() returns, of both versions, JSON Lines, a long one, and the folder of Qdrant's client."""
    memories = mem0_memories()
    return [
        qdrant(folder / "qdrant", *(mem0_point(memory) for memory in memories)),
        written(folder / "all.json", {"results": memories}),
        written(folder / "old.json", memories),
        written(folder / "memories.jsonl", lines(*memories)),
        written(folder / "large.json", '{"results": [' + ", ".join(json.dumps(each) for each in many(memories)) + "]}"),
    ]


def many(memories: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Yield more of them than what is looked at to see what a file is."""
    for number in range(400):
        yield {**memories[number % 2], "id": f"m-{number}"}


def mem0_point(memory: dict[str, Any]) -> tuple[str, Any, dict[str, Any]]:
    """Return the id, the vectors and the payload of the point that mem0 makes of a memory."""
    payload = {key: value for key, value in memory.items() if key not in ("id", "memory", "metadata")}
    words = model("SparseVector", indices=[1, 70_000], values=[0.5, 0.5])
    more = memory["metadata"] or {}
    return memory["id"], {"": [1.0, 2.0, 3.0, 4.0], "bm25": words}, {**payload, "data": memory["memory"], **more}


def model(name: str, **attributes: Any) -> Any:
    """Return what pickles as a model of Qdrant's client does, which pydantic makes."""
    state = {
        "__dict__": attributes,
        "__pydantic_extra__": None,
        "__pydantic_fields_set__": {*attributes},
        "__pydantic_private__": None,
    }
    methods = {"__module__": "qdrant_client.http.models.models", "__getstate__": lambda self: state}
    return type(name, (), methods)()


def pickled(point: Any, *others: Any) -> bytes:
    """Return the pickle of an object of a model, which may hold others."""
    with _models(*(type(each) for each in (point, *others))):
        return pickle.dumps(point, protocol=4)


@contextmanager
def _models(*kinds: type) -> Iterator[None]:
    """Let the models be found where Qdrant's client has them, as pickle asks for."""
    made = {name: ModuleType(name) for name in ("qdrant_client", "qdrant_client.http", "qdrant_client.http.models")}
    made |= {kind.__module__: ModuleType(kind.__module__) for kind in kinds if kind.__module__.startswith("qdrant")}
    for kind in kinds:
        if kind.__module__ in made:
            setattr(made[kind.__module__], kind.__name__, kind)
    before = {name: sys.modules.get(name) for name in made}
    sys.modules.update(made)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def qdrant(folder: Path, *points: tuple[Any, Any, dict[str, Any]], collection: str = "mem0") -> Path:
    """Make the folder of Qdrant's client, with points in a collection."""
    blobs = []
    for id, vector, payload in points:
        beside = vector.values() if isinstance(vector, dict) else ()
        others = [each for each in beside if type(each).__name__ == "SparseVector"]
        blobs.append(pickled(model("PointStruct", id=id, vector=vector, payload=payload), *others))
    return qdrant_of(folder, *blobs, collection=collection)


def qdrant_of(folder: Path, *blobs: bytes, collection: str = "mem0") -> Path:
    """Make the folder of Qdrant's client, with pickles in a collection."""
    written(folder / "meta.json", {"collections": {collection: {}}, "aliases": {}})
    path = folder / "collection" / collection / "storage.sqlite"
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE points (id TEXT PRIMARY KEY, point BLOB)")
        connection.executemany("INSERT INTO points VALUES (?, ?)", [(str(n), blob) for n, blob in enumerate(blobs)])
        connection.commit()
    return folder


# --- LangGraph ----------------------------------------------------------------------------------------------------

LANGGRAPH_TABLES = """
CREATE TABLE store (
    prefix text NOT NULL, key text NOT NULL, value {json} NOT NULL, created_at {time}, updated_at {time},
    expires_at {time}, ttl_minutes {number}, PRIMARY KEY (prefix, key)
);
CREATE TABLE store_vectors (prefix text, key text, field_name text, embedding {vector});
CREATE TABLE checkpoints (thread_id text, checkpoint_id text)
"""
LANGGRAPH_ITEMS = [
    ("users.ada", "prefs", '{"likes": "tea", "a.b": {"c": [1, 2.5, null]}}', "2026-01-30 03:14:27", None, None),
    ("users.ada", "short", '{"text": "soon"}', "2026-01-30 03:14:27", "2999-01-30 03:14:27", 60),
    ("users.bob", "x/y", '{"text": "日本"}', "2026-01-30 03:14:27", None, None),
    ("users.bob", "over", '{"text": "gone"}', "2025-01-30 03:14:27", "2025-01-30 03:15:27", 1),
]


@sample
def langgraph(folder: Path) -> list[Path]:
    """Make the file of a SqliteStore."""
    with closing(sqlite3.connect(folder / "store.db")) as connection:
        connection.executescript(LANGGRAPH_TABLES.format(json="text", time="TIMESTAMP", number="REAL", vector="BLOB"))
        items = [(prefix, key, value, made, made, *rest) for prefix, key, value, made, *rest in LANGGRAPH_ITEMS]
        connection.executemany("INSERT INTO store VALUES (?, ?, ?, ?, ?, ?, ?)", items)
        connection.commit()
    return [folder / "store.db"]


# --- Graphiti -----------------------------------------------------------------------------------------------------

_ADA, _ACME = "a0323732-405c-40b6-b8b9-d9564d77457d", "ebad90a4-5ce5-49a7-bfad-0bc7ba1763b8"
GRAPH: dict[str, list[dict[str, Any]]] = {
    "episodes": [
        {"uuid": "2de1ac62-c4a1-4769-bef4-1e9ac7d4e82c", "name": "m1", "group_id": "ada", "labels": [],
         "created_at": "2024-01-02T00:00:00Z", "source": "message", "source_description": "chat",
         "content": "Ada: I work at Acme", "valid_at": "2024-01-01T00:00:00Z", "entity_edges": []},
    ],
    "nodes": [
        {"uuid": _ADA, "name": "Ada", "group_id": "ada", "labels": ["Entity", "Person"],
         "created_at": "2024-01-01T00:00:00Z", "summary": "Likes tea.", "attributes": {"age": 36}},
        {"uuid": _ACME, "name": "Acme", "group_id": "ada", "labels": ["Entity"],
         "created_at": "2024-01-01T00:00:00Z", "summary": "", "attributes": {}},
    ],
    "edges": [
        {"uuid": "734bcd10-1028-4e31-a30c-28a41829513e", "group_id": "ada", "source_node_uuid": _ADA,
         "target_node_uuid": _ACME, "created_at": "2024-01-01T00:00:00Z", "name": "WORKS_AT",
         "fact": "Ada works at Acme", "episodes": [], "expired_at": None, "valid_at": "2023-01-01T00:00:00Z",
         "invalid_at": "2025-01-01T00:00:00Z", "attributes": {}},
    ],
}  # fmt: skip


@sample
def graphiti(folder: Path) -> list[Path]:
    """Make a graph as one object, as JSON Lines in either order, and as a list."""
    objects = [each for some in GRAPH.values() for each in some]
    return [
        written(folder / "graph.json", GRAPH),
        written(folder / "graph.jsonl", lines(*objects)),
        written(folder / "edges-first.jsonl", lines(*reversed(objects))),
        written(folder / "nodes.json", GRAPH["nodes"]),
    ]


# --- Markdown -----------------------------------------------------------------------------------------------------

TEA = """---
title: Tea
aliases: [teas]
tags: drinks, hot
created: 2026-01-30
updated: 2026-01-31T10:00:00+01:00
at: 12:30
code: 007
---

# Tea

Ada likes [[Green tea|it]]. ![[cup.png]]
"""


@sample
def markdown(folder: Path) -> list[Path]:
    """Make a folder of notes as Obsidian has it, and one note."""
    written(folder / "vault" / "Tea.md", TEA)
    written(folder / "vault" / "People" / "Ada.md", "Ada lives in Turin.\n")
    written(folder / "vault" / ".obsidian" / "app.json", {})
    (folder / "vault" / "cup.png").write_bytes(b"\x89PNG")
    return [folder / "vault", written(folder / "note.md", TEA)]


# --- MCP ----------------------------------------------------------------------------------------------------------

ADA = {"type": "entity", "name": "Ada", "entityType": "person", "observations": ["likes tea", "works on Mondays"]}
ACME = {"type": "entity", "name": "Acme", "entityType": "company", "observations": []}
WORKS = {"type": "relation", "from": "Ada", "to": "Acme", "relationType": "works at"}


def untyped(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key != "type"}


@sample
def mcp(folder: Path) -> list[Path]:
    """Make the memory file of the reference server in every dialect."""
    graph = {"entities": [untyped(ADA), untyped(ACME)], "relations": [untyped(WORKS)]}
    snake = {"type": "entity", "name": "Acme", "entity_type": "company"}
    works = {"type": "relation", "from": "Ada", "to": "Acme", "relation_type": "works at"}
    dialects = [
        lines(ADA, ACME, WORKS),
        lines({"type": "_aim", "source": "mcp-knowledge-graph"}, ADA, ACME, WORKS),
        lines(untyped(ADA), untyped(ACME), untyped(WORKS)),
        lines(ADA, snake, works),
        json.dumps(graph),
        json.dumps(graph, indent=2),
        "\ufeff" + lines(ADA, ACME, WORKS).replace("\n", "\r\n"),
    ]
    return [written(folder / f"{number}.jsonl", text) for number, text in enumerate(dialects)]
