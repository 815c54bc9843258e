"""The memory file of MCP's reference memory server, in all its dialects: entities, observations and relations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from memorizz.importers._formats import Format, Found, LeftOut, Options
from memorizz.importers._reading import WRONG
from memorizz.importers._source import Member, Source
from memorizz.memory_provider.stores import FACTS
from memorizz.moving import graph

NAME = "mcp"
_GRAPH = {"entities": "entity", "relations": "relation"}


def _recognises(source: Source) -> bool:
    if not source.is_single:
        return False
    in_array, found = source.members[0].beginnings
    return not in_array and bool(found) and (_is_line(found[0]) or _is_graph(found[0]))


def _is_line(first: Mapping[str, Any]) -> bool:
    is_entity = "name" in first and {"entityType", "entity_type"} & first.keys()
    is_relation = {"from", "to"} <= first.keys() and {"relationType", "relation_type"} & first.keys()
    return first.get("type") == "_aim" or bool(is_entity or is_relation)


def _is_graph(first: Mapping[str, Any]) -> bool:
    """Return True for the beginning of a graph in one object, which has nothing else in it."""
    return bool(first) and first.keys() <= _GRAPH.keys() and isinstance(first.get(next(iter(first))), list | type(...))


def _read(source: Source, options: Options) -> Iterator[Found | LeftOut]:
    for member in source.members:
        _, found = member.beginnings
        objects = _of_graph(member) if found and _is_graph(found[0]) else member.json_lines()
        for place, value in objects:
            if isinstance(value, ValueError):
                yield LeftOut(place, str(value))
            elif isinstance(value, dict):
                yield from _memories(cast("dict[str, Any]", value), place)
            else:
                yield LeftOut(place, WRONG)


def _of_graph(member: Member) -> Iterator[tuple[str, Any]]:
    """Yield the entities and relations of a graph in one object, as they stand in a line, with their places."""
    with member.json() as text:
        for name in text.keys():  # noqa: SIM118 it is no dict
            if name not in _GRAPH:
                text.value()
                continue
            for number, each in enumerate(text.elements(), 1):
                is_one = isinstance(each, dict)
                value = {**cast("dict[str, Any]", each), "type": _GRAPH[name]} if is_one else None
                yield member.place(f"{name}[{number:,}]"), value
        text.end()


def _memories(value: Mapping[str, Any], place: str) -> Iterator[Found | LeftOut]:
    part = graph.Graph()
    try:
        graph.add(part, value)
    except graph.WrongError:
        yield LeftOut(place, WRONG)
        return
    for made in graph.documents(part, lambda *parts: json.dumps(parts)):
        key = tuple(json.loads(made.pop("id")))
        yield Found(place, key, {**made, "source": {"format": NAME, "id": " ".join(key[1:])}}, FACTS)


FORMAT = Format(NAME, "MCP: the memory file of the reference memory server", _recognises, _read)
