"""Discord: what DiscordChatExporter writes as JSON, and the data package that Discord sends to whoever asks for it.

The package has the messages of its owner alone, in a folder for each channel, as JSON or, until 2023, as CSV; its
folders are called as the language of Discord says. Messages have the same ids in both.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import Any

from memorizz.importers._formats import Format, Found, LeftOut, Options
from memorizz.importers._reading import NO_ID, NO_TEXT, NOTICE, Object, mapping, message_document, names, text
from memorizz.importers._source import LOOKED_AT, Member, Source

_NAME = "discord"
_EXPORTED = r".*\.json"
_PACKAGE = r"(?:.*/)?[^/]+/c?\d+/messages\.(json|csv)"
# Kinds of messages that people or programs have written, by name, or by number where the exporter has no name for one.
_WRITTEN = ("Default", "Reply", "20", "23")
# The beginning of 2015, from which ids count milliseconds.
_EPOCH = 1_420_070_400


def _recognises(source: Source) -> bool:
    return any(_is_exported(member) for member in source.files(_EXPORTED)[:LOOKED_AT]) or any(
        _is_of_package(member) for member in source.named(_PACKAGE)[:LOOKED_AT]
    )


def _is_exported(member: Member) -> bool:
    in_array, found = member.beginnings
    return (
        not in_array
        and bool(found)
        and {"guild", "channel"} <= {*found[0]}
        and ("messages" in found[0] or "dateRange" in found[0])
    )


def _is_of_package(member: Member) -> bool:
    if member.name.lower().endswith(".csv"):
        return member.head.startswith("ID,Timestamp,Contents")
    in_array, found = member.beginnings
    return in_array and (not found or {"ID", "Timestamp", "Contents"} <= {*found[0]})


def _read(source: Source, options: Options) -> Iterator[Found | LeftOut]:
    package = source.named(_PACKAGE)
    owner = _owner(source) if package else {}
    for member in package:
        if _is_of_package(member):
            channel = _only(source, member.name.rpartition("/")[0] + "/channel.json")
            yield from _of_package(member, channel, owner, options)
    for member in source.files(_EXPORTED):
        if _is_exported(member):
            yield from _exported(member, options)


# --- what DiscordChatExporter writes ------------------------------------------------------------------------------


def _exported(member: Member, options: Options) -> Iterator[Found | LeftOut]:
    about: dict[str, Any] = {}
    with member.json() as reader:
        for key in reader.keys():  # noqa: SIM118 - no dict
            if key != "messages":
                about[key] = reader.value()
                continue
            for number, each in enumerate(reader.elements(), 1):
                yield _message(mapping(each), about, member.place(f"message {number:,}"), options)
        reader.end()


def _message(message: Object, about: Object, place: str, options: Options) -> Found | LeftOut:
    author = mapping(message.get("author"))
    native = text(message.get("id"))
    if native is None:
        return LeftOut(place, NO_ID)
    if str(message.get("type")) not in _WRITTEN:
        return LeftOut(place, NOTICE)
    passed_on = mapping(message.get("forwardedMessage"))
    content = (text(message.get("content")) or text(passed_on.get("content")) or "").strip()
    if not content:
        return LeftOut(place, NO_TEXT)
    channel = mapping(about.get("channel"))
    who = {"id": text(author.get("id")), "name": text(author.get("nickname")) or text(author.get("name"))}
    title = _title(mapping(about.get("guild")), channel)
    document = _document(native, content, text(channel.get("id")) or "", title, who)
    answered = text(mapping(message.get("reference")).get("messageId"))
    if answered is not None:
        document["source"]["forwarded" if passed_on else "reply_to"] = answered
    files = [*names(message.get("attachments"), "fileName"), *names(passed_on.get("attachments"), "fileName")]
    if files:
        document["attachments"] = files
    return _at_its_time(document, native, message.get("timestamp"), place, options)


# --- the package of Discord ---------------------------------------------------------------------------------------


def _of_package(member: Member, channel: Object, owner: Object, options: Options) -> Iterator[Found | LeftOut]:
    id = text(channel.get("id")) or member.name.split("/")[-2].lstrip("cC")
    for number, message in enumerate(_rows(member), 1):
        place = member.place(f"message {number:,}")
        native = message.get("ID")
        native = str(native) if isinstance(native, int) else text(native)
        content = (text(message.get("Contents")) or "").strip()
        if native is None or not content:
            yield LeftOut(place, NO_ID if native is None else NO_TEXT)
            continue
        document = _document(native, content, id, _title(mapping(channel.get("guild")), channel), owner)
        yield _at_its_time(document, native, message.get("Timestamp"), place, options)


def _rows(member: Member) -> Iterator[Object]:
    if not member.name.lower().endswith(".csv"):
        yield from map(mapping, member.elements())
        return
    try:
        yield from csv.DictReader((f"{line}\n" for _, line in member.lines()), strict=True)
    except csv.Error as error:
        raise member.invalid("the CSV", f"it is cut off or damaged ({error})") from error


def _owner(source: Source) -> dict[str, Any]:
    """Return who the package is of."""
    for member in source.named(r"(.*/)?user\.json"):
        user = _only(source, member.name)
        if not {"id", "username"} <= user.keys():
            continue
        return {"id": text(user.get("id")), "name": text(user.get("global_name")) or text(user.get("username"))}
    return {}


def _only(source: Source, name: str) -> Object:
    """Return the object that a member is, an empty one where there is none."""
    for member in source.members:
        if member.name == name:
            with member.json() as reader:
                return mapping(reader.value())
    return {}


# --- both ---------------------------------------------------------------------------------------------------------


def _document(native: str, content: str, channel: str, title: str | None, author: Object) -> dict[str, Any]:
    made = message_document(_NAME, channel, native, "user", content, title=title, author=author.get("id"))
    return made | {"name": author.get("name")}


def _title(guild: Object, channel: Object) -> str | None:
    parts = [name for each in (guild, channel) if (name := text(each.get("name"))) is not None]
    return " / ".join(parts) or None


def _at_its_time(document: dict[str, Any], native: str, clock: Any, place: str, options: Options) -> Found | LeftOut:
    """Give a message its time: where the clock says no zone, the one that its id says, which is in UTC."""
    time, remarks = options.of_text(clock)
    if (time is None or remarks) and re.fullmatch(r"[0-9]{8,20}", native):
        time, remarks = options.of_epoch(_EPOCH + (int(native) >> 22) / 1000), ()
    if time is None:
        return LeftOut(place, "it says no time")
    return Found(place, (native,), document | {"timestamp": time}, remarks=remarks)


FORMAT = Format(_NAME, "Discord: JSON of DiscordChatExporter, or Discord's data package", _recognises, _read)
