"""Every operation that reads, by the provider and by hand."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np

from benchmarks import words
from benchmarks.bench import LIMIT, LONG, PAST, SHORT, TURNS, Bench, Operation
from benchmarks.data import MEMORIES, Document, memory_id
from benchmarks.raw import Raw
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.options import Call

_AGENTS = MemoryType.MEMAGENT
_SELECTED = "SELECT {columns} FROM {table} AS d WHERE"
_BY_ID = f"{_SELECTED} d.id = %b"
_WITH_VECTOR = "SELECT {columns}, d.embedding FROM {table} AS d WHERE d.id = %b"
_TOUCHED = (
    "UPDATE {table} AS d SET data = d.data || jsonb_build_object('last_accessed', now(), 'access_count', "
    "coalesce((d.data->>'access_count')::int, 0) + 1) WHERE d.id = %b RETURNING {columns}"
)
_BY_NAME = f"{_SELECTED} d.name = %b ORDER BY d.created_at DESC LIMIT 1"
_BY_PREFIX = f"{_SELECTED} d.name LIKE %b ORDER BY d.created_at LIMIT %b"
_OF_MEMORY = f"{_SELECTED} d.memory_id = %b"
_NEWEST = f"{_OF_MEMORY} ORDER BY d.created_at DESC LIMIT %b OFFSET %b"
_BY_KEY = f"{_OF_MEMORY} AND (d.data->>'number')::int >= %b ORDER BY d.created_at LIMIT %b"
_DISTINCT = "SELECT DISTINCT d.data#>'{{metadata,page}}' FROM {table} AS d WHERE d.memory_id = %b ORDER BY 1"
_NEWEST_TURNS = f"{_OF_MEMORY} ORDER BY d.created_at DESC LIMIT %b"
_TURNS_BEFORE = (
    f"{_OF_MEMORY} AND d.created_at < (SELECT created_at FROM {{table}} WHERE id = %b) "
    "ORDER BY d.created_at DESC LIMIT %b"
)
_ALIKE = (
    "SELECT a.id, b.id FROM {table} AS a JOIN {table} AS b ON a.created_at > b.created_at "
    "WHERE a.memory_id = %b AND b.memory_id = %b AND 1 - (a.embedding <=> b.embedding) >= 0.97"
)
_VERSIONS = (
    "(SELECT *, NULL::timestamptz AS until, NULL AS call FROM {table} WHERE {which} UNION ALL "
    "SELECT * FROM {versions} WHERE {which}) AS d"
)
_ALL_VERSIONS = f"SELECT {{columns}} FROM {_VERSIONS} ORDER BY d.updated_at".replace("{which}", "id = %b")
_AT = f"SELECT {{columns}} FROM {_VERSIONS} WHERE d.updated_at <= %b AND (d.until IS NULL OR d.until > %b)"
_AT_BY_ID, _AT_BY_MEMORY = (_AT.replace("{which}", f"{each} = %b") for each in ("id", "memory_id"))


def _memory(turn: int) -> str:
    return memory_id(turn % MEMORIES)


def _first(documents: list[Document]) -> Document | None:
    return documents[0] if documents else None


def _with_vector(raw: Raw, id: str) -> Document:
    ((*row, vector),) = raw.rows(_WITH_VECTOR, UUID(id))
    return raw.table.document(tuple(row)) | {"embedding": np.frombuffer(vector, ">f4", offset=4).tolist()}


def _states(raw: Raw, template: str, what: Any, moments: list[datetime]) -> list[dict[str, Document]]:
    """Return what there was before and after a change, by ids."""
    steps = [raw.step(template, what, what, moment, moment) for moment in moments[1:]]
    return [{str(row[0]): raw.table.document(row) for row in rows} for rows in raw.at_once(*steps)]


def _difference(before: Document, after: Document) -> Document:
    missing = object()
    keys = {key for key in {*before, *after} if before.get(key, missing) != after.get(key, missing)} - {"updated_at"}
    return {key: {side: of[key] for side, of in (("from", before), ("to", after)) if key in of} for key in sorted(keys)}


def _diff(bench: Bench, raw: Raw, id: str) -> Document:
    before, after = _states(raw, _AT_BY_ID, UUID(id), bench.moments)
    return _difference(before[id], after[id])


def _diff_memory(bench: Bench, raw: Raw, memory: str) -> Document:
    before, after = _states(raw, _AT_BY_MEMORY, memory, bench.moments)
    return {
        "added": {id: after[id] for id in after.keys() - before.keys()},
        "changed": {id: each for id in after.keys() & before.keys() if (each := _difference(before[id], after[id]))},
        "gone": {id: before[id] for id in before.keys() - after.keys()},
    }


def _ten(bench: Bench, turn: int) -> list[str]:
    return [bench.id(LONG, turn * 10 + each) for each in range(10)]


def _ten_by_hand(raw: Raw, ids: list[str]) -> list[Document]:
    return [raw.table.document(row) for (row,) in raw.at_once(*(raw.step(_BY_ID, UUID(id)) for id in ids))]


def _of_words(name: str, method: str, goal: float | None) -> Operation:
    return Operation(
        f"{method}: {name}, in a memory of 1 %",
        goal,
        1,
        lambda bench, turn: bench.words[name][words.PROVIDER](turn),
        lambda bench, _, turn: bench.words[name][words.BY_HAND](turn),
        alike=False,
    )


_HISTORY = "retrieve_conversation_history_ordered_by_timestamp"
READING = [
    Operation(
        "retrieve_by_id", None, 10,
        lambda bench, turn: bench.provider.retrieve_by_id(bench.id(LONG, turn), LONG),
        lambda bench, hand, turn: hand[LONG].retrieve_by_id(bench.id(LONG, turn)),
        own=True,
    ),
    Operation(
        "retrieve_by_id: with its vector", None, 2,
        lambda bench, turn: bench.provider.retrieve_by_id(bench.id(LONG, turn), LONG, include_embedding=True),
        lambda bench, hand, turn: _with_vector(hand[LONG], bench.id(LONG, turn)),
    ),
    Operation(
        "retrieve_by_id: counted, by touch", None, 1,
        lambda bench, turn: bench.provider.retrieve_by_id(bench.id(SHORT, turn), SHORT, touch=True),
        lambda bench, hand, turn: hand[SHORT].documents(_TOUCHED, UUID(bench.id(SHORT, turn)))[0],
    ),
    Operation(
        "retrieve_by_name", None, 4,
        lambda bench, turn: bench.provider.retrieve_by_name(f"document-{turn % bench.data.rows}", LONG),
        lambda bench, hand, turn: _first(hand[LONG].documents(_BY_NAME, f"document-{turn % bench.data.rows}")),
    ),
    Operation(
        f"retrieve_by_query: top {LIMIT}, no filter", 1.3, 2,
        lambda bench, turn: bench.nearest(turn),
        lambda bench, hand, turn: hand[LONG].nearest(bench.question(turn), LIMIT),
        own=True, note=Bench.recall,
    ),
    Operation(
        f"retrieve_by_query: top {LIMIT} in a memory of 1 %", 1.3, 2,
        lambda bench, turn: bench.nearest_in_memory(turn),
        lambda bench, hand, turn: hand[LONG].nearest_in_memory(bench.question(turn), LIMIT, _memory(turn)),
        own=True, note=Bench.recall_in_memory,
    ),
    _of_words("words", "retrieve_by_query", 1.3),
    _of_words("words and a vector", "retrieve_by_query", 1.3),
    _of_words(f"words, in {len(words.STORES)} stores", "recall", None),
    _of_words(f"words and a vector, in {len(words.STORES)} stores", "retrieve_memory_components_by_query", None),
    Operation(
        "retrieve_by_query: 10 of a memory, in order, after 20", None, 2,
        lambda bench, turn: bench.provider.retrieve_by_query(
            {"memory_id": _memory(turn)}, LONG, LIMIT, order_by="-created_at", offset=20
        ),
        lambda bench, hand, turn: hand[LONG].documents(_NEWEST, _memory(turn), LIMIT, 20),
    ),
    Operation(
        "retrieve_by_query: 10 of a memory, by a key", None, 2,
        lambda bench, turn: bench.provider.retrieve_by_query(
            {"memory_id": _memory(turn), "number": {"$gte": bench.data.rows // 2}}, LONG, LIMIT
        ),
        lambda bench, hand, turn: hand[LONG].documents(_BY_KEY, _memory(turn), bench.data.rows // 2, LIMIT),
    ),
    Operation(
        "retrieve_by_query: 10 by $prefix of a name", None, 2,
        lambda bench, turn: bench.provider.retrieve_by_query({"name": {"$prefix": _prefix(turn)}}, LONG, LIMIT),
        lambda bench, hand, turn: hand[LONG].documents(_BY_PREFIX, f"{_prefix(turn)}%", LIMIT),
    ),
    Operation(
        "list_all", None, 1 / 8,
        lambda bench, _: bench.provider.list_all(LONG),
        lambda _, hand, turn: hand[LONG].list_all(),
        own=True,
    ),
    Operation(
        "iterate: all", None, 1 / 8,
        lambda bench, _: list(bench.provider.iterate(LONG)),
        lambda _, hand, turn: hand[LONG].list_all(),
    ),
    Operation(
        "count: all", 1.2, 1,
        lambda bench, _: bench.provider.count(LONG),
        lambda _, hand, turn: hand[LONG].count(),
        own=True,
    ),
    Operation(
        "count: a memory of 1 %", 1.2, 2,
        lambda bench, turn: bench.provider.count(LONG, {"memory_id": _memory(turn)}),
        lambda _, hand, turn: hand[LONG].count_memory(_memory(turn)),
        own=True,
    ),
    Operation(
        "distinct: a key in a memory of 1 %", None, 2,
        lambda bench, turn: bench.provider.distinct(LONG, "metadata.page", {"memory_id": _memory(turn)}),
        lambda _, hand, turn: [page for (page,) in hand[LONG].rows(_DISTINCT, _memory(turn))],
    ),
    Operation(
        f"{_HISTORY}: all", None, 1 / 8,
        lambda bench, _: getattr(bench.provider, _HISTORY)("conversation"),
        lambda _, hand, turn: hand[TURNS].history("conversation"),
        own=True,
    ),
    Operation(
        f"{_HISTORY}: the newest 20", None, 2,
        lambda bench, _: getattr(bench.provider, _HISTORY)("conversation", 20),
        lambda _, hand, turn: hand[TURNS].documents(_NEWEST_TURNS, "conversation", 20)[::-1],
    ),
    Operation(
        f"{_HISTORY}: the 20 before a turn", None, 2,
        lambda bench, turn: getattr(bench.provider, _HISTORY)("conversation", 20, bench.id(TURNS, turn)),
        lambda bench, hand, turn: hand[TURNS].documents(
            _TURNS_BEFORE, "conversation", UUID(bench.id(TURNS, turn)), 20
        )[::-1],
    ),
    Operation(
        "run_many: ten reads by id", 1.2, 2,
        lambda bench, turn: bench.provider.run_many([Call("retrieve_by_id", id, LONG) for id in _ten(bench, turn)]),
        lambda bench, hand, turn: _ten_by_hand(hand[LONG], _ten(bench, turn)),
    ),
    Operation(
        "retrieve_memagent", None, 4,
        lambda bench, turn: bench.provider.retrieve_memagent(bench.id(_AGENTS, turn)),
        lambda bench, hand, turn: hand[_AGENTS].retrieve_by_id(bench.id(_AGENTS, turn)),
    ),
    Operation(
        "list_memagents: 100", None, 1,
        lambda bench, _: bench.provider.list_memagents(),
        lambda _, hand, turn: hand[_AGENTS].list_all(),
    ),
    Operation(
        "duplicates: a memory of 1 %", None, 1 / 4,
        lambda bench, turn: bench.provider.duplicates(LONG, _memory(turn)),
        lambda _, hand, turn: hand[LONG].rows(_ALIKE, _memory(turn), _memory(turn)),
    ),
    Operation(
        "versions", None, 1,
        lambda bench, turn: [each.document for each in bench.provider.versions(bench.id(PAST, turn), PAST)],
        lambda bench, hand, turn: hand[PAST].documents(_ALL_VERSIONS, *[UUID(bench.id(PAST, turn))] * 2),
    ),
    Operation(
        "at: retrieve_by_id", None, 1,
        lambda bench, turn: bench.provider.at(bench.moments[1]).retrieve_by_id(bench.id(PAST, turn), PAST),
        lambda bench, hand, turn: hand[PAST].documents(
            _AT_BY_ID, *[UUID(bench.id(PAST, turn))] * 2, *bench.moments[1:2] * 2
        )[0],
    ),
    Operation(
        "diff", None, 1,
        lambda bench, turn: bench.provider.diff(bench.id(PAST, turn), PAST, *bench.moments[1:]),
        lambda bench, hand, turn: _diff(bench, hand[PAST], bench.id(PAST, turn)),
    ),
    Operation(
        "diff_memory: of 1 %", None, 1,
        lambda bench, turn: bench.provider.diff_memory(_memory(turn), PAST, *bench.moments[1:]),
        lambda bench, hand, turn: _diff_memory(bench, hand[PAST], _memory(turn)),
    ),
]  # fmt: skip


def _prefix(turn: int) -> str:
    return f"document-{turn % 900 + 100}"
