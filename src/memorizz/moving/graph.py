"""The memory file of the reference memory server (@modelcontextprotocol/server-memory) and of what is made after it.

One JSON object on each line: an entity with its observations, or a relation between two entities.

    {"type": "entity", "name": "Ada", "entityType": "person", "observations": ["likes tea"]}
    {"type": "relation", "from": "Ada", "to": "Acme", "relationType": "works at"}

That is what `write` writes. Of what others write, `Graph.add` knows a first line {"type": "_aim", ...} that marks a
file of mcp-knowledge-graph; lines that leave out `type`; and names with underscores (`entity_type`). It reads no other
keys.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, cast

from memorizz.errors import quoted
from memorizz.memory_provider._documents import text_of
from memorizz.moving._manifest import Entry, Refuse

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

    def add(self, value: Any) -> None:
        """Add what stands in a line of a file; raises ValueError, which says what is wrong with it."""
        if isinstance(value, ValueError):
            raise value
        if not isinstance(value, dict):
            raise ValueError(f"expected an object, got {quoted(value)}")  # noqa: TRY004 as all that is wrong
        found = cast("dict[str, Any]", value)
        kind = found.get("type", "entity" if "observations" in found else "relation")
        if kind == _MARKER:
            return
        if kind == "entity":
            named = _text(found, "name"), _text(found, "entityType", "entity_type")
            self.entities.append(Entity(*named, _texts(found)))
        elif kind == "relation":
            source, target = _text(found, "from"), _text(found, "to")
            self.relations.append(Relation(source, _text(found, "relationType", "relation_type"), target))
        else:
            raise ValueError(f"type={quoted(kind)}: expected entity or relation")


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


def _text(found: Mapping[str, Any], *names: str) -> str:
    name = next((each for each in names if each in found), names[0])
    if not isinstance(found.get(name), str) or not found[name]:
        raise ValueError(f"{name}={quoted(found.get(name))}: expected a text")
    return found[name]


def _texts(found: Mapping[str, Any]) -> tuple[str, ...]:
    given: Any = found.get("observations", [])
    if not isinstance(given, list) or not all(isinstance(each, str) for each in cast("list[Any]", given)):
        raise ValueError(f"observations={quoted(cast(object, given))}: expected a list of texts")
    return tuple(cast("list[str]", given))
