"""The memory file of MCP's reference memory server, in all its dialects: entities, observations and relations.

It has one of them in each line, or it is the whole graph as one object, {"entities": [...], "relations": [...]}, as the
tool read_graph returns it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from memorizz.errors import ConfigurationError, InvalidFile
from memorizz.importers._formats import Format, Found, LeftOut, Options
from memorizz.importers._reading import WRONG
from memorizz.importers._source import ELEMENT_BYTES, Member, Source, open_source
from memorizz.memory_provider.stores import FACTS
from memorizz.moving import graph

NAME = "mcp"
# Of what is wrong in a file, so much is named.
_MOST_SHOWN = 10
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
    for place, value in _objects(source):
        if isinstance(value, ValueError):
            yield LeftOut(place, str(value))
        else:
            yield from _memories(value, place)


def read_graph(file: Path) -> graph.Graph:
    """Return all that a memory file says; raises InvalidFile, which names the places, where some cannot be read."""
    whole, wrong = graph.Graph(), list[tuple[str, str]]()
    with open_source(file, ELEMENT_BYTES) as source:
        if not source.is_single:
            raise ConfigurationError(f"{source.name} is a directory or a zip: expected one file")
        for place, value in _objects(source):
            try:
                whole.add(value)
            except ValueError as error:
                wrong.append((place, str(error)))
    if wrong:
        (where, reason), others = wrong[0], wrong[1:]
        also = [f"{place}: {why}" for place, why in others[: _MOST_SHOWN - 1]]
        if len(others) > len(also):
            also.append(f"and {len(others) - len(also)} more")
        raise InvalidFile(source.name, where, "; ".join([reason, *also]) + ". Nothing was stored")
    return whole


def _objects(source: Source) -> Iterator[tuple[str, Any]]:
    """Yield what is to be an entity or a relation, with its place; in the place of what is no JSON a ValueError."""
    for member in source.members:
        _, found = member.beginnings
        is_graph = bool(found) and "type" not in found[0] and bool(_GRAPH.keys() & found[0].keys())
        yield from _of_graph(member) if is_graph else member.json_lines()


def _of_graph(member: Member) -> Iterator[tuple[str, Any]]:
    """Yield the entities and relations of a graph in one object, as they stand in a line, with their places."""
    with member.json() as text:
        for name in text.keys():  # noqa: SIM118 it is no dict
            if name not in _GRAPH:
                text.value()
                continue
            for number, each in enumerate(text.elements(), 1):
                is_one = isinstance(each, dict)
                value = {**cast("dict[str, Any]", each), "type": _GRAPH[name]} if is_one else each
                yield member.place(f"{name}[{number:,}]"), value
        text.end()


def _memories(value: Any, place: str) -> Iterator[Found | LeftOut]:
    part = graph.Graph()
    try:
        part.add(value)
    except ValueError:
        yield LeftOut(place, WRONG)
        return
    for made in graph.documents(part, lambda *parts: json.dumps(parts)):
        key = tuple(json.loads(made.pop("id")))
        yield Found(place, key, {**made, "source": {"format": NAME, "id": " ".join(key[1:])}}, FACTS)


FORMAT = Format(NAME, "MCP: the memory file of the reference memory server", _recognises, _read)
