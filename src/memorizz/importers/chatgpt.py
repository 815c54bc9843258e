"""ChatGPT: the export of an account, a zip with conversations.json, or with conversations-000.json and so on.

Each conversation is a tree of messages. What the branch holds that the conversation ended with is kept: what the user
and the assistant said to each other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from memorizz.importers._formats import Format, Found, LeftOut, Options
from memorizz.importers._reading import (
    NO_ID,
    NO_TEXT,
    THOUGHTS,
    WRONG,
    Object,
    clocked,
    mapping,
    message_document,
    names,
    sequence,
    text,
)
from memorizz.importers._source import Member, Source

_NAME = "chatgpt"


def _members(source: Source) -> Iterator[Member]:
    """Yield the files with conversations: the one that is there alone, whatever its name, else those named so."""
    for member in source.files(r"(.*/)?conversations(-\d+)?\.json"):
        in_array, found = member.beginnings
        first = found[0] if found else {}
        if "mapping" in first if in_array else "conversations" in first and '"mapping"' in member.head:
            yield member


def _recognises(source: Source) -> bool:
    return next(_members(source), None) is not None


def _read(source: Source, options: Options) -> Iterator[Found | LeftOut]:
    for member in _members(source):
        in_array, _ = member.beginnings
        found = member.elements() if in_array else (each for _, _, each in member.listed(["conversations"]))
        for number, conversation in enumerate(found, 1):
            place = member.place(f"conversation {number:,}")
            tree = mapping(conversation).get("mapping")
            if not isinstance(tree, dict):
                yield LeftOut(place, WRONG)
                continue
            yield from _conversation(mapping(conversation), cast("Object", tree), place, options)


def _conversation(conversation: Object, tree: Object, place: str, options: Options) -> Iterator[Found | LeftOut]:
    id = text(conversation.get("conversation_id")) or text(conversation.get("id"))
    if id is None:
        yield LeftOut(place, NO_ID)
        return
    branch = _branch(conversation, tree)
    before = options.of_epoch(conversation.get("create_time"))
    for name, node in tree.items():
        if name not in branch and mapping(node).get("message"):
            yield LeftOut(f"{place}, message {name}", "it is on another branch than the conversation ended with")
    for name in branch:
        message = mapping(mapping(tree[name]).get("message"))
        if not message:
            continue
        where = f"{place}, message {name}"
        role, content, why_not = _said(message)
        if why_not is not None:
            yield LeftOut(where, why_not)
            continue
        time = options.of_epoch(message.get("create_time"))
        native = text(message.get("id")) or name
        document = message_document(_NAME, id, native, role, content, title=text(conversation.get("title")))
        if text(conversation.get("gizmo_id")) is not None:
            document["source"]["gpt"] = conversation["gizmo_id"]
        metadata = mapping(message.get("metadata"))
        model = text(metadata.get("model_slug"))
        if model is not None and role == "assistant":
            document["model"] = model
        files = names(metadata.get("attachments"), "name")
        if files:
            document["attachments"] = files
        remarks = clocked(document, time, before)
        before = time or before
        yield Found(where, (id, native), document, remarks=remarks)


def _branch(conversation: Object, tree: Object) -> dict[str, None]:
    """Return the names of the nodes from the first to the one that the conversation ended with."""
    name = text(conversation.get("current_node"))
    if name not in tree:
        # Where none is named, the newest answer: of each node the last child.
        name = next((each for each, node in tree.items() if text(mapping(node).get("parent")) not in tree), None)
        passed = set[str]()
        while name is not None and name not in passed:
            passed.add(name)
            children = [each for each in sequence(mapping(tree[name]).get("children")) if text(each) in tree]
            if not children:
                break
            name = cast(str, children[-1])
    branch: list[str] = []
    met = set[str]()
    while name in tree and name not in met:
        branch.append(cast(str, name))
        met.add(cast(str, name))
        name = text(mapping(tree[cast(str, name)]).get("parent"))
    return dict.fromkeys(reversed(branch))


def _said(message: Object) -> tuple[str, str, str | None]:
    """Return the role and the text of a message, and why it is left out, None where it is not."""
    role = text(mapping(message.get("author")).get("role")) or ""
    if role not in ("user", "assistant"):
        return role, "", "a message of the system, or of a tool"
    metadata, content = mapping(message.get("metadata")), mapping(message.get("content"))
    kind = content.get("content_type")
    if metadata.get("is_visually_hidden_from_conversation") or kind in (
        "user_editable_context",
        "model_editable_context",
    ):
        return role, "", "a message that ChatGPT does not show"
    if kind in ("thoughts", "reasoning_recap"):
        return role, "", THOUGHTS
    if role == "assistant" and message.get("recipient") not in (None, "all"):
        return role, "", "what an assistant said to a tool"
    words = _without_marks("\n".join(_texts(content)), metadata).strip()
    return role, words, None if words else NO_TEXT


def _texts(content: Mapping[str, Any]) -> Iterator[str]:
    parts = sequence(content.get("parts")) or [content.get("text"), content.get("result")]
    for part in parts:
        # What was spoken stands in an object, with its transcript.
        words = text(part) or text(mapping(part).get("text"))
        if words is not None:
            yield words


# What a page shows in another way than as a text: a source, an entity, a link; its parts have a mark between them.
_MARKED = re.compile("( ?)\ue200([^\ue200\ue201]*)\ue201")


def _without_marks(words: str, metadata: Object) -> str:
    """Return a text with what was shown in the place of the marks: a name, a link, what the message itself says."""
    if "\ue200" not in words:
        return words
    references = map(mapping, sequence(metadata.get("content_references")))
    shown = {text(each.get("matched_text")): text(each.get("alt")) for each in references}

    def seen(found: re.Match[str]) -> str:
        said = shown.get(found[0].lstrip(" ")) or _seen(*found[2].split("\ue202"))
        return f"{found[1]}{said}" if said else ""

    return _MARKED.sub(seen, words)


def _seen(kind: str, *parts: str) -> str:
    if kind == "url" and len(parts) > 1:
        return f"{parts[0]} ({parts[1]})"
    if kind != "entity" or not parts:
        return ""
    try:
        named = sequence(json.loads(parts[0]))
    except (ValueError, RecursionError):
        return parts[0]
    return (text(named[1]) if len(named) > 1 else None) or ""


FORMAT = Format(_NAME, "ChatGPT: the export of an account", _recognises, _read)
