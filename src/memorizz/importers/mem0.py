"""mem0: a list of memories, as get_all() returns it and `memorizz export --format mem0` writes it, and vector stores.

Of these its tables in PostgreSQL, and the folder in which Qdrant's client keeps points where there is no server, which
is where mem0 keeps memories unless it is told otherwise.

mem0 says with user_id, agent_id and run_id whose a memory is: our memory, agent and conversation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

from memorizz.importers import _qdrant
from memorizz.importers._database import Database, open_sqlite
from memorizz.importers._formats import Format, Found, LeftOut, Options
from memorizz.importers._reading import WRONG, Object, digest, mapping, sequence, text, without_none
from memorizz.importers._source import LOOKED_AT, Member, Source
from memorizz.memory_provider._documents import EMBEDDING
from memorizz.memory_provider.stores import FACTS
from memorizz.moving._mem0 import WHOSE

_NAME = "mem0"
# What makes an object with a memory one of mem0's.
_MARKS = {"user_id", "agent_id", "run_id", "hash", "metadata", "created_at"}
_IN_RESULTS = re.compile(r'\s*\{\s*"(results|memories)"\s*:\s*\[\s*\{[^{}]*"memory"\s*:')
# The columns of a collection, and what of a row of one is no key of the caller's.
_COLUMNS = {"id": "uuid", "vector": "vector", "payload": "jsonb"}
# What mem0 keeps beside its memories.
_BESIDE = ("migrations", "_entities")
_VECTOR = "its vector is taken for one of the schema's model: mem0 does not say which model made it"
_POINTS, _POINT = "points", {"id": "TEXT", "point": "BLOB"}
_OWN = {"id", "memory", "data", "hash", "score", "created_at", "updated_at", "expiration_date", "metadata", "role",
        "categories", "text_lemmatized", *WHOSE}  # fmt: skip


# --- what it is ---------------------------------------------------------------------------------------------------


def _recognises(source: Source) -> bool:
    if source.database is not None:
        return bool(_collections(source.database))
    if not source.is_single:
        return any(_is_of_mem0(source, member) for member in _folders(source)[:LOOKED_AT])
    _, found = source.members[0].beginnings
    is_list = bool(found) and "memory" in found[0] and bool(_MARKS & found[0].keys())
    return is_list or _IN_RESULTS.match(source.members[0].head) is not None


def _collections(database: Database) -> list[str]:
    """Return the tables with memories; those beside them hold the entities that mem0 has found, and its settings."""
    tables = database.tables
    found = [name for name, columns in tables.items() if columns.items() >= _COLUMNS.items()]
    return [name for name in found if not name.endswith(_BESIDE)]


def _folders(source: Source) -> list[Member]:
    """Return the collections of a folder of Qdrant's."""
    if source.path is None or not source.path.is_dir():
        return []
    found = source.named(r"(.*/)?collection/[^/]+/storage\.sqlite")
    return [member for member in found if not member.name.split("/")[-2].endswith(_BESIDE)]


def _is_of_mem0(source: Source, member: Member) -> bool:
    """Return True for a collection in which a point is a memory."""
    with closing(_points(source, member)) as points:
        found = (point for _, point in points if not isinstance(point, ValueError))
        return any(text(mapping(point.get("payload")).get("data")) for point in found)


def _read(source: Source, options: Options) -> Iterator[Found | LeftOut]:
    if source.database is not None:
        yield from _of_database(source.database, options)
        return
    for member in _folders(source):
        yield from _of_folder(source, member, options)
    for member in source.members if source.is_single else ():
        for place, item in _items(member):
            if isinstance(item, ValueError):
                yield LeftOut(place, str(item))
            elif text(mapping(item).get("memory")) is None:
                yield LeftOut(place, WRONG)
            else:
                yield _memory(mapping(item), item["memory"], place, options)


# --- a file -------------------------------------------------------------------------------------------------------


def _items(member: Member) -> Iterator[tuple[str, Any]]:
    in_array, found = member.beginnings
    if in_array:
        for number, each in enumerate(member.elements(), 1):
            yield member.place(f"memory {number:,}"), each
    elif found and "memory" in found[0]:
        yield from member.json_lines()
    else:
        for _, number, each in member.listed(["results", "memories"]):
            yield member.place(f"memory {number:,}"), each


def _memory(item: Object, words: str, place: str, options: Options) -> Found:
    whose = {ours: item[theirs] for theirs, ours in WHOSE.items() if text(item.get(theirs))}
    native = text(item.get("id"))
    key = ("id", native) if native else ("text", *map(str, whose.values()), digest(words))
    more = {name: value for name, value in item.items() if name not in _OWN and value is not None}
    made, remarks = options.of_text(item.get("created_at"))
    changed, _ = options.of_text(item.get("updated_at"))
    expires = _end_of_day(item.get("expiration_date"), options)
    document = {
        "content": words,
        **whose,
        "role": text(item.get("role")),
        "categories": item.get("categories") or None,
        "metadata": {**more, **mapping(item.get("metadata"))} or None,
        "created_at": made,
        "updated_at": changed or made,
        "expires_at": expires,
        "source": {"format": _NAME, "id": native or key[-1]},
    }
    return Found(place, key, without_none(document), FACTS, remarks)


def _end_of_day(value: Any, options: Options) -> datetime | None:
    """Return when a memory expires, which is seen until the end of a day."""
    time, _ = options.of_text(value)
    is_day = time is not None and isinstance(value, str) and len(value) <= len("2026-01-31")
    return time + timedelta(days=1) if time is not None and is_day else time


# --- its vector stores --------------------------------------------------------------------------------------------


def _of_database(database: Database, options: Options) -> Iterator[Found | LeftOut]:
    for table in _collections(database):
        columns = [*_COLUMNS] if options.embeddings else ["id", "payload"]
        for row in database.rows(table, columns, ["id"]):
            found: Mapping[str, str | None] = dict(zip(columns, row, strict=True))
            place = f"{table}, {found['id']}"
            try:
                payload = mapping(json.loads(found["payload"] or "null"))
                vector = json.loads(found.get("vector") or "null")
            except (ValueError, RecursionError):
                yield LeftOut(place, WRONG)
            else:
                yield _row(found["id"], payload, vector, place, options)


def _of_folder(source: Source, member: Member, options: Options) -> Iterator[Found | LeftOut]:
    member.is_read = True
    for place, point in _points(source, member):
        if isinstance(point, ValueError):
            yield LeftOut(f"{place}: {point}", "a point that is not as Qdrant writes it")
            continue
        payload, vector = mapping(point.get("payload")), point.get("vector")
        try:
            # What can be read of a pickle and is no JSON, or deeper than that may be.
            json.dumps(payload)
        except (TypeError, ValueError, RecursionError):
            yield LeftOut(place, WRONG)
            continue
        # Beside the vector of the text may stand one of its words.
        dense = sequence(mapping(vector).get("", vector)) if options.embeddings else None
        yield _row(str(point.get("id")), payload, dense or None, place, options)


def _points(source: Source, member: Member) -> Generator[tuple[str, Object | ValueError]]:
    """Yield the points of a collection, the newest first: of one that stands there twice Qdrant knows that alone."""
    assert source.path is not None
    with open_sqlite(source.path / member.name, source.most) as database:
        if not database.tables.get(_POINTS, {}).items() >= _POINT.items():
            return
        for number, (pickled,) in enumerate(database.rows(_POINTS, ["point"], ["rowid"], descending=True), 1):
            place = member.place(f"point {number:,}")
            try:
                yield place, _qdrant.attributes(bytes.fromhex(pickled))
            except ValueError as error:
                yield place, error


def _row(id: str | None, payload: Object, vector: Any, place: str, options: Options) -> Found | LeftOut:
    words = text(payload.get("data"))
    if words is None:
        return LeftOut(place, "a row without a memory")
    memory = _memory({**payload, "id": id}, words, place, options)
    if vector is None:
        return memory
    remarks = (*memory.remarks, _VECTOR)
    return Found(place, memory.key, {**memory.document, EMBEDDING: vector}, memory.store, remarks)


FORMAT = Format(_NAME, "mem0: a list of memories, or its tables or Qdrant's folder", _recognises, _read)
