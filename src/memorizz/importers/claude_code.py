"""Claude Code: its logs, JSON Lines in a folder for each project, below ~/.claude/projects.

A line is an event. Kept is what the user and the assistant said to each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from memorizz.importers._formats import Found, LeftOut, Options, format_of_files
from memorizz.importers._reading import (
    NO_ID,
    WRONG,
    Object,
    blocks,
    clocked,
    mapping,
    message_document,
    text,
    why_no_text,
)
from memorizz.importers._source import Member

_NAME = "claude-code"
_FILES = r".*\.jsonl"
# What the program writes in the user's name: its own commands, what they print, what it is reminded of.
_OF_PROGRAM = re.compile(
    r"<(command-|local-command-|bash-|system-reminder|task-notification)|\[Request interrupted by user"
)


def _is_log(member: Member) -> bool:
    in_array, found = member.beginnings
    return not in_array and any(
        ("sessionId" in each and "type" in each and ("uuid" in each or "parentUuid" in each))
        or (each.get("type") == "summary" and "leafUuid" in each)
        for each in found
    )


def _log(member: Member, options: Options) -> Iterator[Found | LeftOut]:
    before = None
    for place, event in member.json_lines():
        if isinstance(event, ValueError):
            yield LeftOut(place, str(event))
            continue
        line = mapping(event)
        message = mapping(line.get("message"))
        if line.get("type") not in ("user", "assistant"):
            yield LeftOut(place, "an event of the program, and no message")
            continue
        content, others = blocks(message.get("content"))
        why_not = _why_not(line, content)
        if why_not is None and not content:
            why_not = why_no_text(others)
        if why_not is not None:
            yield LeftOut(place, why_not)
            continue
        id, session, role = (str(line[key]) for key in ("uuid", "sessionId", "type"))
        document = message_document(_NAME, session, id, role, content, project=text(line.get("cwd")))
        if role == "assistant" and text(message.get("model")) is not None:
            document["model"] = message["model"]
        time, remarks = options.of_text(line.get("timestamp"))
        remarks += clocked(document, time, before)
        before = time or before
        # A session that is gone on with may have the same messages in a file of its own.
        yield Found(place, (id,), document, remarks=remarks)


def _why_not(line: Object, content: str) -> str | None:
    """Return why a message is left out, None where it is not."""
    if line.get("isSidechain") is True:
        return "what an agent was told, or said, that another one had started"
    if line.get("isMeta") is True or line.get("isCompactSummary") is True or _OF_PROGRAM.match(content):
        return "a command, or what the program says by itself"
    if text(line.get("uuid")) is None:
        return NO_ID
    return WRONG if text(line.get("sessionId")) is None else None


FORMAT = format_of_files(_NAME, "Claude Code: its logs, ~/.claude/projects or a file in it", _FILES, _is_log, _log)
