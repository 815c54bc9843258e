"""The memory file of the reference memory server (@modelcontextprotocol/server-memory) and of what is made after it.

One JSON object on each line: an entity with its observations, or a relation between two entities.

    {"type": "entity", "name": "Ada", "entityType": "person", "observations": ["likes tea"]}
    {"type": "relation", "from": "Ada", "to": "Acme", "relationType": "works at"}

That is what `write` writes. Of others `read` knows a first line {"type": "_aim", ...} that marks a file of
mcp-knowledge-graph; lines that leave out `type`; names with underscores (`entity_type`); and the whole graph as one
object, {"entities": [...], "relations": [...]}, which is what the tool read_graph returns. Keys beside are not read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from memorizz.errors import InvalidFile, quoted
from memorizz.memory_provider._documents import text_of
from memorizz.moving._manifest import Entry, Refuse

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


class WrongError(ValueError):
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
            add(graph, _parsed(line))
        except WrongError as error:
            wrong.append((where, str(error)))
    if wrong:
        (where, reason), others = wrong[0], wrong[1:]
        also = [f"{place}: {why}" for place, why in others[: _MOST_SHOWN - 1]]
        if len(others) > len(also):
            also.append(f"and {len(others) - len(also)} more")
        raise InvalidFile(str(path), where, "; ".join([reason, *also]) + ". Nothing was stored")
    return graph


def documents(graph: Graph, id_of: Callable[..., str]) -> Iterator[dict[str, Any]]:
    """Yield a memory for each observation and each relation, under the id that `id_of` makes of what it says."""
    for entity in graph.entities:
        about = {"kind": entity.kind, "metadata": {"entity": entity.name, "entity_type": entity.kind}}
        said = [(f"{entity.name}: {known}", ("observation", entity.name, known)) for known in entity.observations]
        for text, parts in said or [(f"{entity.name}: {entity.kind}", ("entity", entity.name, entity.kind))]:
            yield {"id": id_of(*parts), "content": text, **about}
    for relation in graph.relations:
        parts = (relation.source, relation.kind, relation.target)
        yield {
            "id": id_of("relation", *parts),
            "content": " ".join(parts),
            "kind": "relation",
            "metadata": dict(zip(_ENDS, parts, strict=True)),
        }


# --- the way back -------------------------------------------------------------------------------------------------

_ENDS = ("from", "relation_type", "to")


def write(file: IO[bytes], entries: Iterable[Entry], refuse: Refuse) -> dict[str, int]:
    """Write memories as the reference server writes its file; return how many of each store are in it.

    What `documents` has made of a file becomes that again. Any other memory is an observation about its name, or else
    about its memory. What has no text is refused. All texts are held until the end, as the server itself does.
    """
    counts: dict[str, int] = {}
    kinds: dict[str, str] = {}
    said: dict[str, dict[str, None]] = {}
    relations: dict[tuple[str, ...], None] = {}
    for store, document in entries:
        ends = _relation(document)
        if ends is None:
            about = _about(document, store)
            if about is None:
                refuse(store, document["id"], "it has no text, and an observation is one")
                continue
            name, kind, observation = about
            kinds.setdefault(name, kind)
            known = said.setdefault(name, {})
            if observation is not None:
                known[observation] = None
        else:
            relations[ends] = None
        counts[store] = counts.get(store, 0) + 1
    for name, known in said.items():
        _line(file, type="entity", name=name, entityType=kinds[name], observations=[*known])
    for source, kind, target in relations:
        _line(file, type="relation", **{"from": source}, to=target, relationType=kind)
    return counts


def _line(file: IO[bytes], **values: Any) -> None:
    file.write(json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")


def _relation(document: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the ends of a relation, and what it is, where a document is one."""
    noted = _noted(document)
    ends = tuple(noted[name] for name in _ENDS) if noted.keys() >= {*_ENDS} else ()
    is_one = document.get("kind") == "relation" and ends and all(isinstance(each, str) and each for each in ends)
    return ends if is_one else None


def _about(document: Mapping[str, Any], store: str) -> tuple[str, str, str | None] | None:
    """Return the entity that a document is about, what that is, and what is known of it; None where it has no text."""
    text, noted = text_of(document), _noted(document)
    name, kind = noted.get("entity"), noted.get("entity_type")
    if isinstance(name, str) and isinstance(kind, str) and name and kind and text.startswith(f"{name}: "):
        known = text.removeprefix(f"{name}: ")
        # An entity of which nothing is known is a memory all the same.
        return name, kind, None if known == kind else known
    kind, role = document.get("kind"), document.get("role")
    name = next((document[key] for key in ("name", "memory_id") if document.get(key)), store)
    said = f"{role}: {text}" if isinstance(role, str) and role else text
    return (name, kind if isinstance(kind, str) and kind else "memory", said) if text else None


def _noted(document: Mapping[str, Any]) -> Mapping[str, Any]:
    noted = document.get("metadata")
    return cast("dict[str, Any]", noted) if isinstance(noted, dict) else {}


# --- reading ------------------------------------------------------------------------------------------------------


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
        raise WrongError(f"no JSON: {error}") from None
    except RecursionError:
        raise WrongError("no JSON: nested too deeply") from None
    if not isinstance(found, dict):
        raise WrongError(f"expected an object, got {quoted(found)}")
    return cast("dict[str, Any]", found)


def add(graph: Graph, found: Mapping[str, Any]) -> None:
    """Add an object of a file to a graph; raises WrongError, which says what is wrong with it."""
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
        raise WrongError(f"type={quoted(kind)}: expected entity or relation")


def _text(found: Mapping[str, Any], *names: str) -> str:
    name = next((each for each in names if each in found), names[0])
    if not isinstance(found.get(name), str) or not found[name]:
        raise WrongError(f"{name}={quoted(found.get(name))}: expected a text")
    return found[name]


def _texts(found: Mapping[str, Any]) -> tuple[str, ...]:
    given: Any = found.get("observations", [])
    if not isinstance(given, list) or not all(isinstance(each, str) for each in cast("list[Any]", given)):
        raise WrongError(f"observations={quoted(cast(object, given))}: expected a list of texts")
    return tuple(cast("list[str]", given))
