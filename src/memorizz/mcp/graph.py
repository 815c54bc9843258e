"""The memory file of the reference memory server (@modelcontextprotocol/server-memory) and of what is made after it.

One JSON object on each line: an entity with its observations, or a relation between two entities.

    {"type": "entity", "name": "Ada", "entityType": "person", "observations": ["likes tea"]}
    {"type": "relation", "from": "Ada", "to": "Acme", "relationType": "works at"}

The other dialects of it: a first line {"type": "_aim", ...} that marks a file of mcp-knowledge-graph; lines that leave
out `type`; names with underscores (`entity_type`); and the whole graph as one object, {"entities": [...], "relations":
[...]}, which is what the tool read_graph returns. Keys beside these are not read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from memorizz.errors import InvalidFile, quoted
from memorizz.mcp.memory import Scope

_MOST_SHOWN = 10
_MARKER = "_aim"


@dataclass(frozen=True)
class Entity:
    """A thing, and what is known of it."""

    name: str
    kind: str
    observations: tuple[str, ...]


@dataclass(frozen=True)
class Relation:
    """What one thing is to another."""

    source: str
    kind: str
    target: str


@dataclass(frozen=True)
class Graph:
    """What a file holds."""

    entities: list[Entity] = field(default_factory=list[Entity])
    relations: list[Relation] = field(default_factory=list[Relation])


class _WrongError(ValueError):
    """What is wrong with an object."""


def read(path: Path) -> Graph:
    """Return what a file holds; raises InvalidFile, which names the lines, where one of them cannot be read."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidFile(str(path), f"byte {error.start}", "is not UTF-8") from None
    except OSError as error:
        raise InvalidFile(str(path), "the file", error.strerror or str(error)) from error
    graph, wrong = Graph(), list[tuple[str, str]]()
    for where, line in _objects(text):
        try:
            _add(graph, _parsed(line))
        except _WrongError as error:
            wrong.append((where, str(error)))
    if wrong:
        (where, reason), others = wrong[0], wrong[1:]
        also = [f"{place}: {why}" for place, why in others[: _MOST_SHOWN - 1]]
        if len(others) > len(also):
            also.append(f"and {len(others) - len(also)} more")
        raise InvalidFile(str(path), where, "; ".join([reason, *also]) + ". Nothing was stored")
    return graph


def documents(graph: Graph, scope: Scope) -> Iterator[dict[str, Any]]:
    """Yield a memory for each observation and each relation; always under the same id."""
    for entity in graph.entities:
        about = {"kind": entity.kind, "metadata": {"entity": entity.name, "entity_type": entity.kind}}
        said = [(f"{entity.name}: {known}", ("observation", entity.name, known)) for known in entity.observations]
        for text, parts in said or [(f"{entity.name}: {entity.kind}", ("entity", entity.name, entity.kind))]:
            yield {"id": scope.stable_id(*parts), "content": text, **about}
    for relation in graph.relations:
        parts = (relation.source, relation.kind, relation.target)
        yield {
            "id": scope.stable_id("relation", *parts),
            "content": " ".join(parts),
            "kind": "relation",
            "metadata": dict(zip(("from", "relation_type", "to"), parts, strict=True)),
        }


def _objects(text: str) -> Iterator[tuple[str, str]]:
    """Yield the texts that are to be objects, each with its place."""
    try:
        # A graph in one piece may stand on several lines.
        whole: Any = json.loads(text)
    except ValueError:
        whole = None
    if isinstance(whole, dict) and "type" not in whole and {"entities", "relations"} & {*cast("dict[str, Any]", whole)}:
        found = cast("dict[str, Any]", whole)
        for kind, name in (("entity", "entities"), ("relation", "relations")):
            some = found.get(name, [])
            if not isinstance(some, list):
                yield name, json.dumps(None)
                continue
            for number, each in enumerate(cast("list[Any]", some), 1):
                value = {**cast("dict[str, Any]", each), "type": kind} if isinstance(each, dict) else each
                yield f"{name}[{number}]", json.dumps(value)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"line {number}", line


def _parsed(line: str) -> Mapping[str, Any]:
    try:
        found: Any = json.loads(line)
    except ValueError as error:
        raise _WrongError(f"no JSON: {error}") from None
    except RecursionError:
        raise _WrongError("no JSON: nested too deeply") from None
    if not isinstance(found, dict):
        raise _WrongError(f"expected an object, got {quoted(found)}")
    return cast("dict[str, Any]", found)


def _add(graph: Graph, found: Mapping[str, Any]) -> None:
    kind = found.get("type", "entity" if "observations" in found else "relation")
    if kind == _MARKER:
        return
    if kind == "entity":
        named = _text(found, "name"), _text(found, "entityType", "entity_type")
        graph.entities.append(Entity(*named, _texts(found)))
    elif kind == "relation":
        source, target = _text(found, "from"), _text(found, "to")
        graph.relations.append(Relation(source, _text(found, "relationType", "relation_type"), target))
    else:
        raise _WrongError(f"type={quoted(kind)}: expected entity or relation")


def _text(found: Mapping[str, Any], *names: str) -> str:
    name = next((each for each in names if each in found), names[0])
    if not isinstance(found.get(name), str) or not found[name]:
        raise _WrongError(f"{name}={quoted(found.get(name))}: expected a text")
    return found[name]


def _texts(found: Mapping[str, Any]) -> tuple[str, ...]:
    given: Any = found.get("observations", [])
    if not isinstance(given, list) or not all(isinstance(each, str) for each in cast("list[Any]", given)):
        raise _WrongError(f"observations={quoted(cast(object, given))}: expected a list of texts")
    return tuple(cast("list[str]", given))
