"""Codex: its logs, rollout-*.jsonl below ~/.codex/sessions, one for each session.

A line has a time, a type and a payload; in those of the first versions it is the payload itself. Kept is what the user
and the assistant said to each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from memorizz.importers._formats import Found, LeftOut, Options, format_of_files
from memorizz.importers._reading import NO_TEXT, Object, blocks, clocked, digest, mapping, message_document, text
from memorizz.importers._source import Member

_NAME = "codex"
_FILES = r"(.*/)?rollout-[^/]*\.jsonl"
_TYPES = ("session_meta", "response_item", "event_msg", "turn_context", "compacted")
# What the program tells the model in the user's name, before what the user says.
_OF_PROGRAM = re.compile(
    r"<(environment_context|user_instructions|turn_aborted|user_shell_command|skill)\b|# AGENTS\.md instructions"
)


def _is_log(member: Member) -> bool:
    in_array, found = member.beginnings
    if in_array or not found:
        return False
    first = found[0]
    wrapped = first.get("type") in _TYPES and "payload" in first and "timestamp" in first
    # Of the first versions: a line about the session, then bare messages.
    bare = {"id", "timestamp", "instructions"} <= {*first} and "type" not in first
    return wrapped or bare


def _log(member: Member, options: Options) -> Iterator[Found | LeftOut]:
    session = project = before = None
    for number, (place, event) in enumerate(member.json_lines(), 1):
        if isinstance(event, ValueError):
            yield LeftOut(place, str(event))
            continue
        line = mapping(event)
        payload = mapping(line.get("payload")) if "payload" in line else line
        kind = line.get("type") if "payload" in line else ("session_meta" if "type" not in line else "response_item")
        time, remarks = options.of_text(line.get("timestamp") or payload.get("timestamp"))
        before = time or before
        if kind == "session_meta":
            session, project = session or text(payload.get("id")), project or text(payload.get("cwd"))
            continue
        content, why_not = _said(kind, payload)
        if why_not is None and session is None:
            why_not = "it is of no session: none is named before it"
        if why_not is not None:
            yield LeftOut(place, why_not)
            continue
        document = message_document(
            _NAME, str(session), f"{session}:{number}", payload["role"], content, project=project
        )
        remarks += clocked(document, time, before)
        # A log only grows, so a line keeps its number; two logs of one session may differ in what they have there.
        key = (str(session), str(number), digest(content))
        yield Found(place, key, document, remarks=remarks)


def _said(kind: Any, payload: Object) -> tuple[str, str | None]:
    """Return the text of a message, and why it is left out, None where it is not."""
    if kind != "response_item" or payload.get("type") != "message":
        return "", "an event of the program, and no message"
    if payload.get("role") not in ("user", "assistant"):
        return "", "what the program tells the model"
    content, _ = blocks(payload.get("content"), ("input_text", "output_text", "text"))
    if payload.get("role") == "user" and _OF_PROGRAM.match(content):
        return "", "what the program tells the model"
    return content, None if content else NO_TEXT


FORMAT = format_of_files(_NAME, "Codex: its logs, ~/.codex/sessions or a file in it", _FILES, _is_log, _log)
