"""Small files of each format that is imported, made here: the persons are invented."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from memorizz.importers import Found, LeftOut, read

# For each name of a format, what makes the files of it in a folder: each is one import.
SAMPLES: dict[str, Callable[[Path], list[Path]]] = {}


def sample(make: Callable[[Path], list[Path]]) -> Callable[[Path], list[Path]]:
    """Have the files of a format among the samples, under the name of the function that makes them."""
    SAMPLES[make.__name__.replace("_", "-")] = make
    return make


def written(path: Path, value: Any) -> Path:
    """Write a value as JSON, a text as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), "utf-8")
    return path


def lines(*values: Any) -> str:
    """Return JSON Lines."""
    return "".join(json.dumps(value) + "\n" for value in values)


def zipped(path: Path, members: Mapping[str, Any]) -> Path:
    """Write a zip of texts, bytes, or values as JSON."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in members.items():
            archive.writestr(name, value if isinstance(value, str | bytes) else json.dumps(value))
    return path


def documents(path: Path, **options: Any) -> list[dict[str, Any]]:
    """Return the documents of a file."""
    return [dict(each.document) for each in read(path, **options) if isinstance(each, Found)]


def left_out(path: Path, **options: Any) -> dict[str, list[str]]:
    """Return what of a file is left out, by the reason, with the places."""
    found: dict[str, list[str]] = {}
    for each in read(path, **options):
        if isinstance(each, LeftOut):
            found.setdefault(each.reason, []).append(each.place)
    return found


# --- ChatGPT ------------------------------------------------------------------------------------------------------


def chatgpt_message(
    id: str, role: str, text: Any, parent: str, time: float | None = None, **more: Any
) -> dict[str, Any]:
    """Return a node of a conversation."""
    content = text if isinstance(text, dict) else {"content_type": "text", "parts": [text]}
    message = {
        "id": id,
        "author": {"role": role, "name": None, "metadata": {}},
        "create_time": time,
        "update_time": None,
        "content": content,
        "status": "finished_successfully",
        "weight": 1.0,
        "metadata": {"model_slug": "gpt-4o"} if role == "assistant" else {},
        "recipient": "all",
    } | more
    return {"id": id, "message": message, "parent": parent, "children": []}


def chatgpt_conversation(id: str, *nodes: dict[str, Any], end: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a conversation of nodes that follow a root without a message."""
    mapping: dict[str, Any] = {"root": {"id": "root", "message": None, "parent": None, "children": []}}
    mapping |= {node["id"]: node for node in nodes}
    for node in nodes:
        mapping[node["parent"]]["children"].append(node["id"])
    return {
        "title": f"About {id}",
        "create_time": 1_700_000_000.5,
        "update_time": 1_700_000_100.0,
        "mapping": mapping,
        "moderation_results": [],
        "current_node": end or nodes[-1]["id"],
        "conversation_id": id,
        "id": id,
    } | more


def chatgpt_conversations(count: int = 2) -> list[dict[str, Any]]:
    """Return conversations of two messages each, of which the first was written once more."""
    return [
        chatgpt_conversation(
            f"tea-{n}",
            chatgpt_message(f"{n}-system", "system", "", "root"),
            chatgpt_message(f"{n}-first", "user", "Which tea?", f"{n}-system", 1_700_000_001),
            chatgpt_message(f"{n}-asked", "user", f"Which tea does Ada like? {n}", f"{n}-system", 1_700_000_002),
            chatgpt_message(f"{n}-said", "assistant", "Ada likes green tea.", f"{n}-asked", 1_700_000_003.25),
        )
        for n in range(count)
    ]


@sample
def chatgpt(folder: Path) -> list[Path]:
    """Make the export of an account: the file alone, a zip of it, and one in two files in a folder."""
    conversations = chatgpt_conversations()
    beside = {
        "user.json": {"id": "user-1", "email": "ada@example.com"},
        "chat.html": "",
        "file-1.png": b"\x89PNG",
    }
    for number, conversation in enumerate(conversations):
        written(folder / "split" / f"conversations-{number:03}.json", [conversation])
    written(folder / "split" / "user.json", beside["user.json"])
    return [
        written(folder / "conversations.json", conversations),
        zipped(folder / "chatgpt.zip", {"conversations.json": conversations, **beside}),
        folder / "split",
    ]
