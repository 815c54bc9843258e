"""Slack: the export of a workspace, a zip with a folder for each channel, and in it a file of JSON for each day."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from memorizz.importers._formats import Format, Found, LeftOut, Options
from memorizz.importers._reading import NO_ID, NO_TEXT, NOTICE, Object, mapping, message_document, names, sequence, text
from memorizz.importers._source import LOOKED_AT, Source

_NAME = "slack"
_DAYS = r"(?:.*/)?([^/]+)/\d{4}-\d\d-\d\d\.json"
_LISTS = r"(.*/)?(channels|groups|mpims|dms)\.json"
_PEOPLE = r"(.*/)?(org_)?users\.json"
# Kinds of messages that people or programs have written; all others say what has happened to a channel.
_WRITTEN = (None, "bot_message", "me_message", "thread_broadcast", "reply_broadcast", "file_share", "file_comment")


@dataclass
class _Names:
    """Who and what the ids of an export are; of channels also by the folders that they have."""

    people: dict[str, str] = field(default_factory=dict[str, str])
    channels: dict[str, str] = field(default_factory=dict[str, str])
    ids: dict[str, str] = field(default_factory=dict[str, str])


def _recognises(source: Source) -> bool:
    if not (source.named(_LISTS) or source.named(_PEOPLE)):
        return False
    for member in source.named(_DAYS)[:LOOKED_AT]:
        in_array, found = member.beginnings
        if in_array and found and {"ts", "type"} <= {*found[0]}:
            return True
    return False


def _read(source: Source, options: Options) -> Iterator[Found | LeftOut]:
    known = _names(source)
    for member in source.named(_DAYS):
        folder = member.name.split("/")[-2]
        channel = known.ids.get(folder, folder)
        for number, each in enumerate(member.elements(), 1):
            yield _message(mapping(each), channel, folder, member.place(f"message {number:,}"), known, options)


def _names(source: Source) -> _Names:
    known = _Names()
    for member in source.named(_PEOPLE):
        for each in map(mapping, member.elements()):
            profile = mapping(each.get("profile"))
            called = (profile.get("display_name"), profile.get("real_name"), each.get("real_name"), each.get("name"))
            name = next((found for value in called if (found := text(value)) is not None), None)
            if (id := text(each.get("id"))) is not None and name is not None:
                known.people[id] = name
    for member in source.named(_LISTS):
        for each in map(mapping, member.elements()):
            id, name = text(each.get("id")), text(each.get("name"))
            if id is not None and name is not None:
                known.ids[name] = id
                known.channels[id] = name
    return known


def _message(
    message: Object, channel: str, folder: str, place: str, known: _Names, options: Options
) -> Found | LeftOut:
    native = text(message.get("ts"))
    if native is None:
        return LeftOut(place, NO_ID)
    if message.get("type") != "message" or message.get("subtype") not in _WRITTEN:
        return LeftOut(place, NOTICE)
    content = _plain(_words(message), known).strip()
    if not content:
        return LeftOut(place, NO_TEXT)
    author = text(message.get("user")) or text(message.get("bot_id"))
    profile = mapping(message.get("user_profile"))
    called = (
        known.people.get(author or ""), message.get("username"), profile.get("display_name"), profile.get("real_name"),
        author,
    )  # fmt: skip
    document = message_document(_NAME, channel, native, "user", content, title=folder, author=author)
    document["name"] = next((name for value in called if (name := text(value)) is not None), None)
    thread = text(message.get("thread_ts"))
    if thread is not None and thread != native:
        document["source"]["reply_to"] = thread
    files = names(message.get("files"), "name")
    if files:
        document["attachments"] = files
    time = _time(native, options)
    if time is None:
        return LeftOut(place, "its id, ts, is not the time that it is to be")
    return Found(place, (channel, native), document | {"timestamp": time})


def _words(message: Object) -> str:
    """Return the text of a message; of one that has none, of a program or passed on, that of its blocks and quotes."""
    said = text(message.get("text")) or ""
    if said.strip():
        return said
    shown = [_in_block(mapping(block)) for block in sequence(message.get("blocks"))]
    for quote in map(mapping, sequence(message.get("attachments"))):
        parts = [text(quote.get(name)) for name in ("pretext", "title", "text")]
        blocks = [] if any(parts) else [_in_block(mapping(block)) for block in sequence(quote.get("blocks"))]
        shown.append("\n".join(filter(None, [*parts, *blocks])) or text(quote.get("fallback")) or "")
    return "\n".join(filter(None, shown))


def _in_block(block: Object, depth: int = 0) -> str:
    """Return the words of a block, those of people and channels as Slack writes them in a text."""
    kind, inside = block.get("type"), block.get("text")
    if kind in _REFERENCES and text(block.get(_REFERENCES[kind][1])) is not None:
        mark, name = _REFERENCES[kind]
        return f"<{mark}{block[name]}>"
    if kind == "emoji":
        return f":{block.get('name')}:"
    if kind == "link" and text(block.get("url")) is not None:
        return f"<{block['url']}|{inside}>" if text(inside) else f"<{block['url']}>"
    if isinstance(inside, str):
        return inside
    children = [inside, *sequence(block.get("fields")), *sequence(block.get("elements"))]
    words = [] if depth > _DEEPEST else [_in_block(mapping(child), depth + 1) for child in children]
    return ("" if kind in _IN_LINE else "\n").join(filter(None, words))


# What names somebody or something in a block, with the mark that it has in a text, and the key of its id.
_REFERENCES = {"user": ("@", "user_id"), "channel": ("#", "channel_id"), "broadcast": ("!", "range")}
_IN_LINE = ("rich_text_section", "rich_text_preformatted", "rich_text_quote")
_DEEPEST = 20


def _time(ts: str, options: Options) -> Any:
    try:
        return options.of_epoch(float(ts))
    except ValueError:
        return None


_MARKED = re.compile(r"<([^<>\s][^<>]*)>")


def _plain(content: str, known: _Names) -> str:
    """Return a text as people read it: with names in the place of ids, and without the marks of links."""

    def named(found: re.Match[str]) -> str:
        inside, _, label = found[1].partition("|")
        by_id: Mapping[str, Mapping[str, str]] = {"@": known.people, "#": known.channels}
        if inside[0] in by_id:
            return inside[0] + (label or by_id[inside[0]].get(inside[1:], inside[1:]))
        if inside[0] == "!":
            return "@" + (label.removeprefix("@") or inside[1:].partition("^")[0])
        return f"{label} ({inside})" if label and label not in inside else inside

    return html.unescape(_MARKED.sub(named, content))


FORMAT = Format(_NAME, "Slack: the export of a workspace", _recognises, _read)
