"""Markdown: a folder of notes with front matter, as Obsidian has it, or of `memorizz export --format markdown`.

A note is a memory: the text, and its front matter as `metadata`. A document that was exported from here comes back as
it was, with its id. Links between notes stay in the text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, cast

from memorizz.importers._formats import Format, Found, LeftOut, Options
from memorizz.importers._json import NOT_UTF8
from memorizz.importers._reading import Object, mapping, sequence, text, without_none
from memorizz.importers._source import Member, Source
from memorizz.memory_provider.stores import FACTS, StoreSpec
from memorizz.moving import _front_matter, _markdown
from memorizz.moving._limits import too_large

_NAME = "markdown"
# Where a note says when it was made, and when it was changed.
_MADE, _CHANGED = ("created_at", "created", "date"), ("updated_at", "updated", "modified")
_OF_OTHERS = (".json", ".jsonl", ".csv", ".txt", ".html")

_UNREADABLE = "its front matter cannot be read"


def _is_note(member: Member) -> bool:
    return member.name.lower().endswith((".md", ".markdown"))


def _recognises(source: Source) -> bool:
    if source.is_single:
        return _is_note(source.members[0]) and _front_matter.begins(source.members[0].head)
    beside = [each.name for each in source.members if each.name.lower().endswith(_OF_OTHERS)]
    return any(map(_is_note, source.members)) and {*beside} <= {_markdown.ABOUT}


def _read(source: Source, options: Options) -> Iterator[Found | LeftOut]:
    for member in source.members:
        if not _is_note(member):
            continue
        whole = _text(member, source.most)
        try:
            front, body = _front_matter.split(whole)
            said = {} if front is None else _front_matter.parse(front)
        except ValueError as error:
            yield LeftOut(f"{member.name}, {error}", _UNREADABLE)
            continue
        yield _exported(said, body, member) if _markdown.is_ours(said) else _note(said, body, member, options)


def _text(member: Member, most: int) -> str:
    with member.opened() as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise member.invalid("its end", too_large("the file", most))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise member.invalid(f"byte {error.start:,}", NOT_UTF8) from None


def _exported(said: Object, body: str, member: Member) -> Found | LeftOut:
    version = mapping(said[_markdown.OURS])["version"]
    if version != _markdown.VERSION:
        raise member.invalid(
            "its front matter", f"it has version {version!r:.40}: this program reads {_markdown.VERSION}"
        )
    store, document = _markdown.document_of(said, body)
    if not (text(store) and text(document.get("id"))):
        return LeftOut(member.name, "an exported document without its store or id")
    return Found(member.name, (document["id"],), document, store)


def _note(said: Object, body: str, member: Member, options: Options) -> Found | LeftOut:
    words = body.strip()
    if not words:
        return LeftOut(member.name, "a note without text")
    id = said.get("id")
    key = ("id", str(id)) if isinstance(id, str | int) and str(id) else ("path", member.name)
    made, changed = _time(said, _MADE, options), _time(said, _CHANGED, options)
    times = {"created_at": made[0], "updated_at": changed[0] or made[0]}
    document = {
        "name": (text(said.get("title")) or PurePosixPath(member.name).stem)[:200],
        "content": words,
        "tags": _tags(said.get("tags")),
        "metadata": dict(said) or None,
        **times,
        "source": {"format": _NAME, "id": str(id) if key[0] == "id" else member.name, "path": member.name},
    }
    return Found(member.name, key, without_none(document), FACTS, tuple({*made[1], *changed[1]}))


def _time(said: Object, names: Sequence[str], options: Options) -> tuple[datetime | None, tuple[str, ...]]:
    """Return the first of some keys that is a time, and what had to be assumed for it."""
    for name in names:
        time, remarks = options.of_text(said.get(name))
        if time is not None:
            return time, remarks
    return None, ()


def _tags(value: Any) -> list[str] | None:
    """Return tags, which Obsidian takes as a list, and as one text with commas or spaces between them."""
    given = value.replace(",", " ").split() if isinstance(value, str) else sequence(value)
    tags = [str(each).removeprefix("#") for each in given if isinstance(each, str | int | float)]
    return tags or None


def _stores(source: Source) -> Sequence[StoreSpec]:
    """Return what the stores of an export are that are not among the seven."""
    for member in source.members:
        if member.name == _markdown.ABOUT:
            try:
                about: Mapping[str, Any] = json.loads(_text(member, source.most))
                return [StoreSpec.from_json(spec) for spec in cast("list[Any]", about["specs"])]
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise member.invalid("the file", f"it is not as memorizz export wrote it ({error})") from None
    return ()


FORMAT = Format(_NAME, "Markdown: a folder of notes with front matter, Obsidian's too", _recognises, _read, _stores)
