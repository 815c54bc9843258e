"""Graphiti and Zep: the episodes, entities and facts of a graph, as their models are in JSON, and as Kuzu has them.

Graphiti keeps them in a database of several kinds; its own models read each of them, and `model_dump_json()` writes
them. One of them, Kuzu, is a file, which is read here. A fact holds from `valid_at` until before `invalid_at`, as our
documents do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from memorizz.importers._database import Database
from memorizz.importers._formats import Format, Found, LeftOut, Options
from memorizz.importers._reading import WRONG, Object, mapping, sequence, text, without_none
from memorizz.importers._source import Member, Source
from memorizz.memory_provider.stores import CONVERSATIONS, FACTS

_NAME = "graphiti"
_LISTS = ("episodes", "messages", "nodes", "edges", "communities")
_IN_LISTS = re.compile(rf'\s*\{{\s*"({"|".join(_LISTS)})"\s*:\s*\[\s*\{{[^{{}}]*"uuid_?"\s*:')
# What an episode has beside its content, here and there.
_OF_EPISODES = {"source_description", "entity_edges", "graph_uuid", "thread_uuid", "session_id"}
# What Kuzu has a table for, and of each the columns beside those that all have; a fact is a node there, between two.
_COLUMNS = ("uuid", "name", "group_id", "created_at")
_TABLES = {
    "Episodic": ("episode", ("content", "valid_at")),
    "Entity": ("entity", ("summary", "labels", "attributes")),
    "RelatesToNode_": ("fact", ("fact", "valid_at", "invalid_at", "expired_at", "attributes")),
    "Community": ("entity", ("summary",)),
}


def _recognises(source: Source) -> bool:
    if source.database is not None:
        return {*_COLUMNS, "fact"} <= source.database.tables.get("RelatesToNode_", {}).keys()
    if not source.is_single:
        return False
    _, found = source.members[0].beginnings
    return (bool(found) and _kind(found[0]) is not None) or _IN_LISTS.match(source.members[0].head) is not None


def _kind(found: Object) -> str | None:
    """Return what an object is, None where it is nothing of a graph's."""
    keys = found.keys()
    if not {"uuid", "uuid_"} & keys:
        return None
    if {"fact", "source_node_uuid"} <= keys:
        return "fact"
    if {"name", "summary", "labels"} <= keys:
        return "entity"
    return "episode" if "content" in keys and _OF_EPISODES & keys else None


def _read(source: Source, options: Options) -> Iterator[Found | LeftOut]:
    if source.database is not None:
        yield from _of_database(source.database, options)
        return
    for member in source.members:
        for place, value in _objects(member):
            if isinstance(value, ValueError):
                yield LeftOut(place, str(value))
                continue
            found = mapping(value)
            id, kind = text(found.get("uuid")) or text(found.get("uuid_")), _kind(found)
            if id is None or kind is None:
                yield LeftOut(place, WRONG)
            else:
                yield _memory(found, kind, id, place, options)


def _objects(member: Member) -> Iterator[tuple[str, Any]]:
    in_array, found = member.beginnings
    if in_array:
        for number, each in enumerate(member.elements(), 1):
            yield member.place(f"object {number:,}"), each
    elif found and _kind(found[0]) is not None:
        yield from member.json_lines()
    else:
        for name, number, each in member.listed(_LISTS):
            yield member.place(f"{name}[{number:,}]"), each


def _of_database(database: Database, options: Options) -> Iterator[Found | LeftOut]:
    tables = database.tables
    for table, (kind, more) in _TABLES.items():
        columns = [name for name in (*_COLUMNS, *more) if name in tables.get(table, {})]
        if "uuid" not in columns:
            continue
        for row in database.rows(table, columns, ["uuid"]):
            found: dict[str, Any] = dict(zip(columns, row, strict=True))
            id = str(found["uuid"])
            place = f"{table}, {id}"
            try:
                held = {name: json.loads(found.get(name) or "null") for name in ("labels", "attributes")}
            except (ValueError, RecursionError):
                yield LeftOut(place, WRONG)
            else:
                yield _memory({**found, **held}, kind, id, place, options)


def _memory(found: Object, kind: str, id: str, place: str, options: Options) -> Found | LeftOut:
    words = _words(found, kind)
    if words is None:
        return LeftOut(place, "an entity or an episode of which nothing is said")
    of = text(found.get("group_id")) or text(found.get("graph_uuid"))
    times = {name: options.of_text(found.get(name)) for name in ("created_at", "valid_at", "invalid_at", "expired_at")}
    made, since, until, ended = (time for time, _ in times.values())
    remarks = tuple(dict.fromkeys(remark for _, some in times.values() for remark in some))
    document: dict[str, Any] = {
        "content": words,
        "memory_id": of,
        "metadata": dict(mapping(found.get("attributes"))) or mapping(found.get("metadata")) or None,
        "created_at": made,
        "source": {"format": _NAME, "id": id},
    }
    if kind == "episode":
        talk = text(found.get("thread_uuid")) or text(found.get("session_id")) or of or text(found.get("name"))
        document |= {
            "conversation_id": f"{_NAME}:{talk}" if talk else None,
            "role": text(found.get("role")),
            "timestamp": since or options.of_text(found.get("reference_time"))[0] or made,
        }
    elif kind == "fact":
        document |= {"kind": text(found.get("name")) or kind, "valid_from": since, "valid_until": until or ended}
    else:
        labels = [each for each in sequence(found.get("labels")) if text(each) and each != "Entity"]
        document |= {"name": text(found.get("name")), "kind": labels[0] if labels else kind}
    return Found(place, (kind, id), without_none(document), CONVERSATIONS if kind == "episode" else FACTS, remarks)


def _words(found: Object, kind: str) -> str | None:
    if kind == "entity":
        name, summary = text(found.get("name")), text(found.get("summary"))
        return summary and (f"{name}: {summary}" if name and not summary.startswith(name) else summary)
    return text(found.get("fact" if kind == "fact" else "content"))


FORMAT = Format(_NAME, "Graphiti and Zep: a graph as JSON, or a database of Kuzu", _recognises, _read)
