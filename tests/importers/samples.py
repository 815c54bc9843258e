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


# --- Claude -------------------------------------------------------------------------------------------------------


def claude_message(id: str, sender: str, *blocks: Any, time: str = "2024-05-01T10:00:00.000000Z", **more: Any) -> Any:
    """Return a message of texts and other blocks."""
    content = [{"type": "text", "text": block} if isinstance(block, str) else block for block in blocks]
    text = "\n".join(block.get("text", "This block is not supported.") for block in content)
    return {
        "uuid": id, "text": text, "content": content, "sender": sender, "created_at": time, "updated_at": time,
        "attachments": [], "files": [],
    } | more  # fmt: skip


def claude_conversation(id: str, *messages: Any, **more: Any) -> dict[str, Any]:
    """Return a conversation of messages."""
    return {
        "uuid": id, "name": f"About {id}", "created_at": "2024-05-01T09:59:00.000000Z",
        "updated_at": "2024-05-01T10:10:00.000000Z", "account": {"uuid": "account-1"}, "chat_messages": [*messages],
    } | more  # fmt: skip


@sample
def claude(folder: Path) -> list[Path]:
    """Make the export of an account, and its conversations alone."""
    conversations = [
        claude_conversation(
            f"tea-{n}",
            claude_message(f"{n}-asked", "human", "Which tea does Ada like?"),
            claude_message(f"{n}-said", "assistant", "Green tea.", time="2024-05-01T10:00:05.123456Z"),
        )
        for n in range(2)
    ]
    beside = {"users.json": [{"uuid": "account-1", "full_name": "Ada"}], "projects.json": []}
    return [
        written(folder / "conversations.json", conversations),
        zipped(folder / "data.zip", {"conversations.json": conversations, **beside}),
    ]


# --- logs of agents -----------------------------------------------------------------------------------------------


def claude_code_line(id: str, role: str, content: Any, **more: Any) -> dict[str, Any]:
    """Return a line of a log: a text of the user, or blocks."""
    message = {"role": role, "content": content} | ({"model": "claude-1"} if role == "assistant" else {})
    return {
        "parentUuid": None, "isSidechain": False, "userType": "external", "cwd": "/home/ada/tea",
        "sessionId": "session-1", "version": "1.0.3", "type": role, "message": message, "uuid": id,
        "timestamp": "2025-05-26T07:27:40.079Z",
    } | more  # fmt: skip


@sample
def claude_code(folder: Path) -> list[Path]:
    """Make a folder of projects, and a log alone."""
    log = lines(
        {"type": "summary", "summary": "Tea", "leafUuid": "u2"},
        {"type": "file-history-snapshot", "messageId": "u1", "snapshot": {}},
        claude_code_line("u1", "user", "Make tea."),
        claude_code_line("u2", "assistant", [{"type": "text", "text": "I make tea."}]),
    )
    other = lines(claude_code_line("u3", "user", "Again.", sessionId="session-2"))
    written(folder / "projects" / "-home-ada-tea" / "session-2.jsonl", other)
    return [
        written(folder / "session-1.jsonl", log),
        written(folder / "projects" / "-home-ada-tea" / "session-1.jsonl", log).parent.parent,
    ]


def codex_line(kind: str, time: str = "2025-10-29T00:59:38.317Z", **payload: Any) -> dict[str, Any]:
    """Return a line of a log."""
    return {"timestamp": time, "type": kind, "payload": payload}


def codex_message(role: str, text: str) -> dict[str, Any]:
    """Return a message as the API has it."""
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


@sample
def codex(folder: Path) -> list[Path]:
    """Make a folder of sessions, a log alone, and one of the first versions."""
    log = lines(
        codex_line(
            "session_meta", id="session-1", cwd="/home/ada/tea", cli_version="0.46.0", originator="codex_cli_rs"
        ),
        codex_line("response_item", **codex_message("user", "<environment_context>\n</environment_context>")),
        codex_line("response_item", **codex_message("user", "Make tea.")),
        codex_line("event_msg", type="user_message", message="Make tea."),
        codex_line("turn_context", model="gpt-5", cwd="/home/ada/tea"),
        codex_line("response_item", type="reasoning", summary=[]),
        codex_line("response_item", **codex_message("assistant", "I make tea.")),
    )
    first = lines(
        {"id": "session-0", "timestamp": "2025-06-01T10:00:00.000Z", "instructions": None, "git": {}},
        codex_message("user", "Make tea."),
        {"record_type": "state"},
    )
    name = "rollout-2025-10-29T00-59-38-session-1.jsonl"
    return [
        written(folder / name, log),
        written(folder / "sessions" / "2025" / "10" / "29" / name, log).parents[3],
        written(folder / "rollout-2025-06-01-session-0.jsonl", first),
    ]


# --- chats of people ----------------------------------------------------------------------------------------------


def slack_message(ts: str, text: str, user: str = "U1", **more: Any) -> dict[str, Any]:
    """Return a message."""
    return {"type": "message", "user": user, "text": text, "ts": ts} | more


def slack_members() -> dict[str, Any]:
    """Return what is in the export of a workspace."""
    return {
        "users.json": [
            {"id": "U1", "name": "ada", "profile": {"real_name": "Ada Tee", "display_name": "Ada"}},
            {"id": "U2", "name": "bob", "real_name": "Bob", "profile": {"display_name": ""}},
        ],
        "channels.json": [{"id": "C1", "name": "tea", "members": ["U1", "U2"]}],
        "integration_logs.json": [],
        "tea/2024-01-30.json": [
            slack_message("1706600000.000100", "<@U2> which tea?"),
            slack_message("1706600001.000200", "has joined", subtype="channel_join"),
        ],
        "tea/2024-01-31.json": [slack_message("1706700000.000100", "Green tea &amp; <https://tea.example|more>", "U2")],
    }


@sample
def slack(folder: Path) -> list[Path]:
    """Make the export of a workspace, and the folder of it."""
    for name, value in slack_members().items():
        written(folder / "workspace" / name, value)
    return [zipped(folder / "slack.zip", slack_members()), folder / "workspace"]


ANDROID = """31/12/2023, 23:58 - Messages and calls are end-to-end encrypted.
31/12/2023, 23:59 - Ada: Which tea?
31/12/2023, 23:59 - Bob: Green: always.
And the second line.

1/1/2024, 00:01 - Ada: <Media omitted>
"""
IPHONE = """[12/31/23, 11:59:58\u202fPM] Ada: Which tea?
\u200e[12/31/23, 11:59:59\u202fPM] Bob: \u200eimage omitted
[1/1/24, 12:00:01\u202fAM] Bob: Green tea.
"""


@sample
def whatsapp(folder: Path) -> list[Path]:
    """Make chats of Android and of an iPhone, alone and in a zip."""
    return [
        written(folder / "WhatsApp Chat with Ada.txt", ANDROID),
        zipped(folder / "WhatsApp Chat - Bob.zip", {"_chat.txt": IPHONE, "00000001-PHOTO.jpg": b"\xff\xd8"}),
    ]


def discord_message(id: str, content: str, **more: Any) -> dict[str, Any]:
    """Return a message as DiscordChatExporter writes it."""
    author = {"id": "7", "name": "ada", "discriminator": "0000", "nickname": "Ada", "isBot": False}
    return {
        "id": id, "type": "Default", "timestamp": "2023-01-15T10:30:00.5+01:00", "isPinned": False, "content": content,
        "author": author, "attachments": [], "embeds": [],
    } | more  # fmt: skip


def discord_channel(*messages: Any) -> dict[str, Any]:
    """Return a channel as DiscordChatExporter writes it."""
    return {
        "guild": {"id": "1", "name": "Tea house"},
        "channel": {"id": "123", "type": "GuildTextChat", "name": "tea", "topic": None},
        "dateRange": {"after": None, "before": None},
        "exportedAt": "2023-02-01T00:00:00+00:00",
        "messages": [*messages],
        "messageCount": len(messages),
    }


@sample
def discord(folder: Path) -> list[Path]:
    """Make a channel of DiscordChatExporter, and the package of Discord in both of its forms."""
    exported = discord_channel(discord_message("1064114220695552000", "Which tea?"), discord_message("2", "Green."))
    channel = {"id": "123", "type": "GUILD_TEXT", "name": "tea", "guild": {"id": "1", "name": "Tea house"}}
    beside = {
        "README.txt": "Welcome",
        "Account/user.json": {"id": "7", "username": "ada", "global_name": "Ada"},
        "Messages/index.json": {"123": "tea in Tea house"},
        "Messages/c123/channel.json": channel,
    }
    rows = [
        {"ID": 1064114220695552000, "Timestamp": "2023-01-15 09:30:00", "Contents": "Which tea?", "Attachments": ""}
    ]
    sheet = (
        'ID,Timestamp,Contents,Attachments\n1064114220695552000,2023-01-15 09:30:00.5+00:00,"Which ""tea""?\nGreen?",\n'
    )
    return [
        written(folder / "Tea house - tea [123].json", exported),
        zipped(folder / "package.zip", beside | {"Messages/c123/messages.json": rows}),
        zipped(folder / "older.zip", beside | {"Messages/c123/messages.csv": sheet}),
    ]
