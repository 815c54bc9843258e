"""Memories as mem0 lists them: an array of objects, which `mem0 import` takes, and each of which `Memory.add` does.

    {"id": "...", "memory": "Ada likes tea", "user_id": "ada", "metadata": {"kind": "fact"}, "created_at": "..."}

`user_id` is the memory, `agent_id` the agent, `run_id` the conversation. What mem0 has no place for is in `metadata`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import IO, Any, cast

from memorizz.memory_provider._documents import CLOCKS, CONTENT, EMBEDDING, ID_KEYS, text_of
from memorizz.moving._manifest import Entry, Refuse, to_json

# What mem0 calls the keys that say whose a memory is.
WHOSE = {"user_id": "memory_id", "agent_id": "agent_id", "run_id": "conversation_id"}


def write(file: IO[bytes], entries: Iterable[Entry], refuse: Refuse) -> dict[str, int]:
    """Write memories, one on each line; return how many of each store are in the file. What has no text is refused."""
    counts: dict[str, int] = {}
    before = b"[\n"
    for store, document in entries:
        if not text_of(document):
            refuse(store, document["id"], "it has no text, and a memory of mem0 is one")
            continue
        file.write(before + to_json(_item(document)).encode())
        before = b",\n"
        counts[store] = counts.get(store, 0) + 1
    file.write(b"\n]\n" if counts else b"[]\n")
    return counts


def _item(document: Mapping[str, Any]) -> dict[str, Any]:
    # mem0 takes texts for these.
    whose = {theirs: document[ours] for theirs, ours in WHOSE.items() if isinstance(document.get(ours), str)}
    own = {*ID_KEYS, EMBEDDING, CONTENT, *CLOCKS, "metadata", *(WHOSE[name] for name in whose)}
    others = {key: value for key, value in document.items() if key not in own and value is not None}
    noted = cast("Mapping[str, Any]", document.get("metadata") or {})
    times = {key: document[key] for key in CLOCKS if key in document}
    return {"id": document["id"], "memory": text_of(document), **whose, "metadata": {**others, **noted}, **times}
