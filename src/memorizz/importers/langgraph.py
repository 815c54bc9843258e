"""LangGraph: the items of its PostgresStore and of its SqliteStore, which MemorizzStore reads afterwards.

Not the vectors, which belong to a model and to paths that no table names, and not the checkpoints of threads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from memorizz.importers._database import Database
from memorizz.importers._formats import Format, Found, LeftOut, Options
from memorizz.importers._reading import WRONG
from memorizz.importers._source import Source
from memorizz.integrations._layout import ITEMS, id_of, item
from memorizz.memory_provider.stores import StoreSpec

_NAME = "langgraph"
_TABLE, _COLUMNS = "store", ("prefix", "key", "value", "created_at", "updated_at")
# Tables of the first stores have no items that expire.
_EXPIRING = ("expires_at", "ttl_minutes")
_BESIDE = {
    "store_vectors": "vectors: an item that is put anew is embedded anew",
    "checkpoints": "checkpoints of threads, which a graph goes on from: `MemorizzSaver` begins anew",
}


def _recognises(source: Source) -> bool:
    return source.database is not None and {*_COLUMNS} <= source.database.tables.get(_TABLE, {}).keys()


def _read(source: Source, options: Options) -> Iterator[Found | LeftOut]:
    database = cast(Database, source.database)
    tables = database.tables
    for table, reason in _BESIDE.items():
        if table in tables:
            yield LeftOut(table, reason)
    columns = [*_COLUMNS, *(name for name in _EXPIRING if name in tables[_TABLE])]
    for row in database.rows(_TABLE, columns, ["prefix", "key"]):
        yield _item(dict(zip(columns, row, strict=True)))


def _item(row: dict[str, str | None]) -> Found | LeftOut:
    prefix, key = str(row["prefix"]), str(row["key"])
    place = f"{_TABLE}, {prefix}, {key}"
    try:
        value: Any = json.loads(row["value"] or "null")
        ttl, expires = row.get("ttl_minutes"), _time(row.get("expires_at"))
        minutes = None if ttl is None else float(ttl)
    except (ValueError, RecursionError):
        return LeftOut(place, WRONG)
    if not isinstance(value, dict):
        return LeftOut(place, WRONG)
    if expires is not None and expires <= datetime.now(UTC):
        return LeftOut(place, "an item that has expired")
    namespace = tuple(prefix.split("."))
    made, changed = _time(row["created_at"]), _time(row["updated_at"])
    document = {
        "id": id_of(namespace, key),
        **item(namespace, key, cast("dict[str, Any]", value), minutes),
        "expires_at": expires,
        "created_at": made,
        "updated_at": changed or made,
        "source": {"format": _NAME, "id": f"{prefix}/{key}"},
    }
    kept = {name: each for name, each in document.items() if each is not None or name in ("ttl", "expires_at")}
    return Found(place, (prefix, key), kept, ITEMS)


def _time(text: str | None) -> datetime | None:
    """Return a time of a database, whose clock is UTC; None for what is none, as PostgreSQL's infinity."""
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def _stores(source: Source) -> Sequence[StoreSpec]:
    # As MemorizzStore makes it that searches nothing by meaning.
    return [StoreSpec(ITEMS, index="none", embedded=False, memories=False)]


FORMAT = Format(_NAME, "LangGraph: PostgresStore and SqliteStore", _recognises, _read, _stores)
