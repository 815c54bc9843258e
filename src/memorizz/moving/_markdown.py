"""Memories as a folder of Markdown: a file for each document, in a folder for each store.

    ---
    memorizz: {"version": 1, "store": "long_term_memory"}
    id: "tea"
    created_at: 2026-01-31T11:59:00.123456+00:00
    tags: ["drinks"]
    ---
    Ada likes tea

The front matter is YAML 1.2, each value in the form of JSON. Below it stands the content, and behind that one line
feed. A content that is no text, or an empty one, is a key of the front matter, with what can be read of it below.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from memorizz.memory_provider._documents import CONTENT, EMBEDDING, text_of
from memorizz.memory_provider.base import Document
from memorizz.moving._manifest import Entry, Manifest, Refuse, to_json

# What an export is called in the front matter of each of its files, and in the file about all of them.
OURS, ABOUT = "memorizz", "memorizz.json"
VERSION = 1

_PLAIN_KEY = re.compile("[A-Za-z_][A-Za-z0-9_]*")
# What YAML 1.1 takes for no text.
_NO_KEYS = frozenset(("true", "false", "null", "yes", "no", "on", "off", "y", "n"))
# What YAML's readers take in a text only as an escape.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
# Longer keys need another form, deeper values a reader that is none of a person's.
_LONGEST_KEY, _DEEPEST = 1000, 100


def write(folder: Path, manifest: Manifest, entries: Iterable[Entry], refuse: Refuse) -> dict[str, int]:
    """Write documents into an empty folder; return how many of each store are in it.

    What no front matter can hold is refused: a key of more than 1,000 characters, values 100 deep in each other.
    """
    counts: dict[str, int] = {}
    for store, document in entries:
        wrong = next(_wrong(document), None)
        if wrong is not None:
            refuse(store, document["id"], wrong)
            continue
        if store not in counts:
            counts[store] = 0
            (folder / store).mkdir()
        _create(folder / store / f"{name_of(document['id'])}.md", text(store, document))
        counts[store] += 1
    _create(folder / ABOUT, to_json(manifest.to_json()) + "\n")
    return counts


def _create(path: Path, text: str) -> None:
    # Another id of the same name would be written over it.
    with path.open("xb") as file:
        file.write(text.encode())


def text(store: str, document: Mapping[str, Any]) -> str:
    """Return the file of a document."""
    content = document.get(CONTENT)
    is_body = isinstance(content, str) and content
    left_out = ("_id", EMBEDDING, *([CONTENT] if is_body else []))
    front = {key: value for key, value in document.items() if key not in left_out}
    # A document may have a key of the same name.
    ours = {"version": VERSION, "store": store} | ({OURS: front.pop(OURS)} if OURS in front else {})
    lines = [f"{_key(key)}: {_value(value)}\n" for key, value in ({OURS: ours} | front).items()]
    return f"---\n{''.join(lines)}---\n{text_of(document)}\n"


def _key(key: str) -> str:
    is_plain = _PLAIN_KEY.fullmatch(key) and key.lower() not in _NO_KEYS
    return key if is_plain else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    written = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", written)


def is_ours(front: Mapping[str, Any]) -> bool:
    """Return True for front matter that `text` has written."""
    ours = front.get(OURS)
    return isinstance(ours, dict) and cast("dict[str, Any]", ours).keys() >= {"version", "store"}


def document_of(front: Mapping[str, Any], body: str) -> tuple[str, Document]:
    """Return what `text` was given: the store and the document."""
    ours = front[OURS]
    document = {key: value for key, value in front.items() if key != OURS}
    document |= {OURS: ours[OURS]} if OURS in ours else {}
    if CONTENT not in document and (content := body.removesuffix("\n")):
        document[CONTENT] = content
    return ours["store"], document


def _wrong(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield why a value cannot stand in front matter."""
    if depth > _DEEPEST:
        yield f"it has values more than {_DEEPEST} deep in each other, which no front matter holds"
    elif isinstance(value, Mapping):
        for key, each in cast("Mapping[str, Any]", value).items():
            if len(key) > _LONGEST_KEY:
                yield f"the key {key[:40]!r}... has more than {_LONGEST_KEY:,} characters, which no front matter holds"
            yield from _wrong(each, depth + 1)
    elif isinstance(value, list):
        for each in cast("Sequence[Any]", value):
            yield from _wrong(each, depth + 1)


# --- names of files -----------------------------------------------------------------------------------------------

# A name that every file system takes, and tells from all others where case does not count.
_SAFE = re.compile("[a-z0-9][a-z0-9_-]{0,79}")
_UNSAFE = re.compile(r"[^a-z0-9]+")
_DIGEST = 16
_DIGESTED = re.compile(f".*-[0-9a-f]{{{_DIGEST}}}")
# What Windows takes for a device.
_DEVICE = re.compile("con|prn|aux|nul|(com|lpt)[0-9]")


def name_of(id: str) -> str:
    """Return the name of the file of an id: itself where that is one, else what is left of it and a digest."""
    if _SAFE.fullmatch(id) and not _DIGESTED.fullmatch(id) and not _DEVICE.fullmatch(id):
        return id
    legible = _UNSAFE.sub("-", id[:40].lower()).strip("-")
    return f"{legible or 'id'}-{sha256(id.encode()).hexdigest()[:_DIGEST]}"
