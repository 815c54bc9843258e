"""What the modules of the formats share: values out of JSON that may be of any kind, and words for what is left out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, cast

Object = Mapping[str, Any]

WRONG = "it is not as this format has it"
NO_TEXT = "a message without text: an image, a file, a call"

NO_ID = "it has no id of its own"
OF_TOOLS = "a call of a tool, or its answer"
THOUGHTS = "what a model thought before it answered"
NOTICE = "a notice of the program: who came, who went, what was renamed"

# What is assumed of a document.
_TIME_BEFORE = "it says no time: given that of what was said before it"
_TIME_NOW = "neither it nor anything before it says a time: given that of the import"


def mapping(value: Any) -> Object:
    """Return an object, an empty one in the place of anything else."""
    return cast("Object", value) if isinstance(value, dict) else {}


def sequence(value: Any) -> Sequence[Any]:
    """Return a list, an empty one in the place of anything else."""
    return cast("Sequence[Any]", value) if isinstance(value, list) else []


def text(value: Any) -> str | None:
    """Return a text that is not empty, None in the place of anything else."""
    return value if isinstance(value, str) and value else None


def digest(words: str) -> str:
    """Return what tells a text from others, as a part of a key."""
    return sha256(words.encode("utf-8", "surrogatepass")).hexdigest()


def without_none(document: Object) -> dict[str, Any]:
    """Return a document without the keys that say nothing."""
    return {name: value for name, value in document.items() if value is not None}


def message_document(
    format: str, conversation: str, id: str, role: str, content: str, **told: str | None
) -> dict[str, Any]:
    """Return the document of a message; `told` is what else its source says of it."""
    return {
        "conversation_id": f"{format}:{conversation}",
        "role": role,
        "content": content,
        "source": {"format": format, "id": id, "conversation": conversation, **told},
    }


def clocked(document: dict[str, Any], time: datetime | None, before: datetime | None) -> tuple[str, ...]:
    """Give a document its time, or else that of what was before it; return what had to be assumed."""
    known = time or before
    if known is None:
        return (_TIME_NOW,)
    document["timestamp"] = known
    return () if time is not None else (_TIME_BEFORE,)


def blocks(content: Any, kinds: Collection[str] = ("text",)) -> tuple[str, set[str]]:
    """Return the text of a message in blocks, as the APIs of models have it, and which other kinds of blocks it has."""
    if isinstance(content, str):
        return content.strip(), set()
    texts: list[str] = []
    others = set[str]()
    for block in map(mapping, sequence(content)):
        kind = text(block.get("type")) or ""
        if kind in kinds:
            texts.append(text(block.get("text")) or "")
        else:
            others.add(kind)
    return "\n".join(texts).strip(), others


def why_no_text(kinds: Collection[str]) -> str:
    """Return why a message without text is left out, by the kinds of its blocks."""
    if any("thinking" in kind for kind in kinds):
        return THOUGHTS
    return OF_TOOLS if any("tool" in kind for kind in kinds) else NO_TEXT


def names(files: Any, key: str) -> list[str]:
    """Return the names of the files that came with a message."""
    return [name for file in sequence(files) if (name := text(mapping(file).get(key))) is not None]
