"""Letta: an agent file, .af; the memory blocks and what was said. Letta leaves an agent's archive out of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from memorizz.importers._formats import Format, Found, LeftOut, Options
from memorizz.importers._reading import NO_TEXT, Object, clocked, digest, mapping, sequence, text
from memorizz.importers._source import Source
from memorizz.memory_provider.stores import FACTS

_NAME = "letta"
# Keys of an agent, before its prompt and behind it.
_AGENT = re.compile(r'"(block_ids|agent_type)"\s*:')
# What a message is packed in that a person has sent, and what an agent sends to one.
_PACKED, _SENDS = "user_message", "send_message"


def _recognises(source: Source) -> bool:
    if not source.is_single:
        return False
    in_array, found = source.members[0].beginnings
    if in_array or not found:
        return False
    # One agent alone is how files of before the middle of 2025 begin.
    keys = found[0].keys()
    return {"agent_type", "core_memory"} <= keys or (
        "agents" in keys and _AGENT.search(source.members[0].head) is not None
    )


def _read(source: Source, options: Options) -> Iterator[Found | LeftOut]:
    for member in source.members:
        with member.json() as reader:
            file = mapping(reader.value())
            reader.end()
        agents = [mapping(each) for each in sequence(file.get("agents"))] or [file]
        yield from _blocks(file, agents)
        for agent in agents:
            yield from _messages(agent, options)
        for key in ("files", "tools", "groups", "sources", "mcp_servers", "skills"):
            for number, _ in enumerate(sequence(file.get(key)), 1):
                yield LeftOut(f"{key}[{number:,}]", "an agent's tool, file or group, which is no memory")


def _name_of(agent: Object) -> str:
    return text(agent.get("name")) or text(agent.get("id")) or "agent"


def _blocks(file: Object, agents: list[Object]) -> Iterator[Found | LeftOut]:
    """Yield memory blocks; an id in a file is a number that another export gives to another block."""
    owners: dict[str, list[str]] = {}
    for agent in agents:
        for id in sequence(agent.get("block_ids")):
            owners.setdefault(str(id), []).append(_name_of(agent))
    of_agents = [
        (f"{_name_of(agent)}, {key}[{number:,}]", mapping(block), [_name_of(agent)])
        for agent in agents
        for key in ("core_memory", "memory_blocks")
        for number, block in enumerate(sequence(agent.get(key)), 1)
    ]
    shared = [
        (f"blocks[{number:,}]", mapping(block), owners.get(str(mapping(block).get("id")), []))
        for number, block in enumerate(sequence(file.get("blocks")), 1)
    ]
    for place, block, names in shared + of_agents:
        label, value = text(block.get("label")) or "block", text(block.get("value"))
        if value is None or not value.strip():
            yield LeftOut(place, "a memory block without text")
            continue
        source = {"format": _NAME, "id": label, "agents": names}
        document: dict[str, Any] = {"name": label, "content": value, "kind": "memory_block", "source": source}
        if text(block.get("description")):
            document["metadata"] = {"description": block["description"]}
        # A block that has changed since is another memory.
        yield Found(place, ("block", *names, label, digest(value)), document, FACTS)


def _messages(agent: Object, options: Options) -> Iterator[Found | LeftOut]:
    name = _name_of(agent)
    before: datetime | None = None
    for number, each in enumerate(sequence(agent.get("messages")), 1):
        message, place = mapping(each), f"{name}, messages[{number:,}]"
        role, words, why_not = _said(message)
        if why_not is not None:
            yield LeftOut(place, why_not)
            continue
        time, zone = options.of_text(message.get("created_at"))
        document: dict[str, Any] = {
            "conversation_id": f"{_NAME}:{name}"[:200],
            "role": role,
            "content": words,
            "source": {"format": _NAME, "id": text(message.get("id")) or f"{number}", "agent": name},
        }
        remarks = clocked(document, time, before)
        before = time or before
        when = text(message.get("created_at")) or f"{number}"
        yield Found(place, ("message", name, role, when, digest(words)), document, remarks=(*zone, *remarks))


def _said(message: Object) -> tuple[str, str, str | None]:
    """Return the role and the text of a message, and why it is left out, None where it is not."""
    role = text(message.get("role")) or ""
    if role not in ("user", "assistant"):
        return role, "", "a message of the system, or of a tool"
    sent = [words for call in sequence(message.get("tool_calls")) if (words := _sent(mapping(call)))]
    if sent:
        # What stands beside it is what the agent thought.
        return role, "\n".join(sent), None
    words = "\n".join(_texts(message)).strip()
    if role == "user" and words.startswith("{"):
        try:
            packed = mapping(json.loads(words))
        except (ValueError, RecursionError):
            packed = mapping(None)
        if "type" in packed and text(packed.get("message")):
            if packed["type"] != _PACKED:
                return role, "", "a note of Letta's to the agent"
            words = packed["message"].strip()
        elif packed.get("type") in ("login", "heartbeat"):
            return role, "", "a note of Letta's to the agent"
    if not words and sequence(message.get("tool_calls")):
        return role, "", "what an agent said to a tool"
    return role, words, None if words else NO_TEXT


def _texts(message: Object) -> Iterator[str]:
    content = message.get("content", message.get("text"))
    for part in [content] if isinstance(content, str) else sequence(content):
        kind = mapping(part).get("type", "text")
        words = text(part) or (text(mapping(part).get("text")) if kind == "text" else None)
        if words is not None:
            yield words


def _sent(call: Object) -> str | None:
    """Return what a call of a tool says to the person, None where it says nothing to one."""
    function = mapping(call.get("function"))
    if function.get("name") != _SENDS:
        return None
    try:
        return text(mapping(json.loads(function["arguments"])).get("message"))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


FORMAT = Format(_NAME, "Letta: an agent file, .af", _recognises, _read)
