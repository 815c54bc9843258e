"""Every operation that writes, by the provider and by hand."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from benchmarks.bench import (
    AGENTS,
    DELETED_OF_MEMORY,
    LONG,
    PAST,
    PRESENT,
    SHORT,
    TURNS,
    Bench,
    ByHand,
    Operation,
    agent_of,
    spare,
    spare_id,
)
from benchmarks.data import MEMORIES, Document, document_of, memory_id
from benchmarks.raw import Raw, Step
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.options import Call

_STORED = (
    "INSERT INTO {table} (id, memory_id, name, content, data, created_at, updated_at) "
    "VALUES (%b, %b, %b, %b, %b, %b, %b)"
)
_MERGED = (
    "INSERT INTO {table} AS d (id, data, created_at, updated_at) VALUES (%b, %b, now(), now()) "
    "ON CONFLICT (id) DO UPDATE SET data = d.data || excluded.data, updated_at = now()"
)
_ABSENT = (
    "INSERT INTO {table} AS d (id, data, created_at, updated_at) VALUES (%b, %b, now(), now()) ON CONFLICT DO NOTHING"
)
_DATA = "UPDATE {table} AS d SET data = d.data || %b, updated_at = now() WHERE"
_DATA_BY_ID = f"{_DATA} d.id = %b"
_CONTENT = "UPDATE {table} AS d SET content = %b, updated_at = now() WHERE d.id = %b"
_VECTOR = "UPDATE {table} AS d SET embedding = %b, updated_at = now() WHERE d.id = %b"
_IF_EQUAL = f"{_DATA} d.id = %b AND d.data->>'language' = %b"
_OF_MEMORY = f"{_DATA} d.memory_id = %b AND (d.data->>'number')::int < %b"
_DELETED = "DELETE FROM {table} WHERE id = %b"
_DELETED_BY_NAME = (
    "DELETE FROM {table} WHERE id = (SELECT id FROM {table} WHERE name = %b ORDER BY created_at DESC LIMIT 1)"
)
_EXPIRING = "UPDATE {table} SET expires_at = created_at WHERE memory_id = %b"
_EXPIRED = "DELETE FROM {table} WHERE expires_at <= now()"
_WITHOUT = (
    "UPDATE {table} SET data = jsonb_set(data, '{{memory_ids}}', (data->'memory_ids') - %b::text) "
    "WHERE data->'memory_ids' ? %b"
)
_BY_ID = "SELECT {columns} FROM {table} AS d WHERE d.id = %b"
_COUNTED = "SELECT count(*) FROM {table} AS d WHERE d.memory_id = %b"
_NAMED = "SELECT set_config('benchmark.call', %b, true)"
_BACK = (
    "UPDATE {table} AS d SET memory_id = v.memory_id, name = v.name, content = v.content, data = v.data, "
    "embedding = coalesce(v.embedding, d.embedding), updated_at = now() FROM {versions} AS v WHERE v.id = d.id AND"
)
_RESTORED = f"{_BACK} d.id = %b AND v.updated_at <= %b AND v.until > %b"
_UNDONE = f"{_BACK} v.call = %b"

_EMPTY = MemoryType.TOOLBOX
_STORES = [each for each in MemoryType if each is not AGENTS]


def _text(turn: int) -> str:
    return str(document_of(turn + 1)["content"])


def _page(turn: int) -> Document:
    return {"metadata": {"source": "benchmark", "page": turn}}


def _store(raw: Raw, document: Document) -> Step:
    """Return how a document without a vector is stored."""
    return raw.step(_STORED, *raw.table.row(document)[:-1])


def _next(turn: int) -> Document:
    return document_of(turn) | {"memory_id": spare(turn)}


def _superseded(bench: Bench, hand: ByHand, turn: int) -> Any:
    raw = hand[SHORT]
    ended = raw.step(_DATA_BY_ID, Jsonb({"valid_until": "2026-11-30T00:00:00Z"}), UUID(spare_id(turn)))
    return raw.at_once(ended, _store(raw, _next(turn)))


def _ten(bench: Bench, turn: int) -> list[str]:
    return [bench.id(SHORT, turn * 10 + each) for each in range(10)]


def _ten_calls(bench: Bench, turn: int) -> list[Call]:
    """Return four reads, three updates, two counts and a new document, which do not need each other."""
    ids = _ten(bench, turn)
    return [
        *(Call("retrieve_by_id", id, SHORT) for id in ids[:4]),
        *(Call("update_by_id", id, _page(turn), SHORT) for id in ids[4:7]),
        *(Call("count", SHORT, {"memory_id": memory_id(turn % MEMORIES)}) for _ in range(2)),
        Call("store", document_of(turn), SHORT),
    ]


def _ten_steps(bench: Bench, hand: ByHand, turn: int) -> list[Step]:
    raw, ids = hand[SHORT], _ten(bench, turn)
    return [
        *(raw.step(_BY_ID, UUID(id)) for id in ids[:4]),
        *(raw.step(_DATA_BY_ID, Jsonb(_page(turn)), UUID(id)) for id in ids[4:7]),
        *(raw.step(_COUNTED, memory_id(turn % MEMORIES)) for _ in range(2)),
        _store(raw, document_of(turn)),
    ]


def _documents(raw: Raw, answers: list[Any]) -> list[Any]:
    """Make documents of the rows of the reads."""
    return [raw.table.document(row) for rows in answers[:4] for row in rows]


def _one_by_one(bench: Bench, turn: int) -> None:
    with bench.provider.transaction() as tx:
        for call in _ten_calls(bench, turn):
            getattr(tx, call.method)(*call.args)


def _together(bench: Bench, turn: int) -> None:
    with bench.provider.transaction() as tx:
        tx.run_many(_ten_calls(bench, turn))


def _forgotten(hand: ByHand, turn: int) -> Any:
    memory = spare(turn)
    deleted = [hand[store].step(DELETED_OF_MEMORY, memory) for store in _STORES]
    return hand[SHORT].at_once(*deleted, hand[AGENTS].step(_WITHOUT, memory, memory))


def _agent(turn: int) -> Document:
    return agent_of(turn) | {"id": spare_id(turn), "memory_ids": [spare(turn)]}


def _put_agent(bench: Bench, turn: int) -> None:
    bench.provider.store_many([_agent(turn)], AGENTS)
    bench.hand[AGENTS].store_many([_agent(turn) | {"created_at": bench.moments[0]}])


def _put_agent_and_memories(bench: Bench, turn: int) -> None:
    _put_agent(bench, turn)
    bench.put(turn, 10, LONG, SHORT, TURNS)


def _put_expired(bench: Bench, turn: int) -> None:
    bench.put(turn, 10, SHORT, expires_at="2026-01-01T00:00:00Z")
    bench.hand[SHORT].changed(_EXPIRING, spare(turn))


def _named(bench: Bench, turn: int) -> None:
    """Change a document in a call of its own."""
    id = bench.id(PAST, turn)
    bench.provider.acting("benchmark", spare(turn)).update_by_id(id, _page(turn), PAST)
    raw = bench.hand[PAST]
    raw.at_once(raw.step(_NAMED, spare(turn)), raw.step(_DATA_BY_ID, Jsonb(_page(turn)), UUID(id)))


def _with_agent_gone(hand: ByHand, turn: int) -> Any:
    deleted = [hand[store].step(DELETED_OF_MEMORY, spare(turn)) for store in _STORES]
    return hand[SHORT].at_once(*deleted, hand[AGENTS].step(_DELETED, UUID(spare_id(turn))))


WRITING = [
    Operation(
        "store", 1.2, 1,
        lambda bench, turn: bench.provider.store(bench.new(turn), SHORT),
        lambda bench, hand, turn: hand[SHORT].store(bench.new(turn)),
        own=True, alike=False,
    ),
    Operation(
        "store: merged into one that is there", None, 1,
        lambda bench, turn: bench.provider.store({"id": bench.id(SHORT, turn), **_page(turn)}, SHORT),
        lambda bench, hand, turn: hand[SHORT].changed(_MERGED, UUID(bench.id(SHORT, turn)), Jsonb(_page(turn))),
        alike=False,
    ),
    Operation(
        "store: if_absent, where it is", None, 2,
        lambda bench, turn: bench.provider.store(
            {"id": bench.id(SHORT, turn), **_page(turn)}, SHORT, if_absent=True
        ),
        lambda bench, hand, turn: hand[SHORT].changed(_ABSENT, UUID(bench.id(SHORT, turn)), Jsonb(_page(turn))),
        alike=False,
    ),
    Operation(
        "store: supersedes another", None, 1 / 2,
        lambda bench, turn: bench.provider.store(
            _next(turn), SHORT, supersedes=spare_id(turn)
        ),
        _superseded,
        alike=False, before=lambda bench, turn: bench.put(turn, 1, SHORT),
    ),
    Operation(
        "remember", None, 1,
        lambda bench, turn: bench.provider.remember(_text(turn), memory_id(turn % MEMORIES), store=SHORT),
        lambda _, hand, turn: hand[SHORT].at_once(_store(hand[SHORT], document_of(turn))),
        alike=False,
    ),
    Operation(
        "store_many: 10", 1.2, 1 / 8,
        lambda bench, turn: bench.provider.store_many([bench.new(turn + each) for each in range(10)], SHORT),
        lambda bench, hand, turn: hand[SHORT].store_many([bench.new(turn + each) for each in range(10)]),
        own=True, alike=False,
    ),
    Operation(
        "store_many: 1,000", 1.2, 1 / 40,
        lambda bench, turn: bench.provider.store_many([bench.new(turn + each) for each in range(1000)], SHORT),
        lambda bench, hand, turn: hand[SHORT].store_many([bench.new(turn + each) for each in range(1000)]),
        own=True, alike=False,
    ),
    Operation(
        "update_by_id: content", 1.2, 2,
        lambda bench, turn: bench.provider.update_by_id(bench.id(SHORT, turn), {"content": _text(turn)}, SHORT),
        lambda bench, hand, turn: hand[SHORT].changed(_CONTENT, _text(turn), UUID(bench.id(SHORT, turn))),
    ),
    Operation(
        "update_by_id: metadata", 1.2, 2,
        lambda bench, turn: bench.provider.update_by_id(bench.id(SHORT, turn), _page(turn), SHORT),
        lambda bench, hand, turn: hand[SHORT].changed(_DATA_BY_ID, Jsonb(_page(turn)), UUID(bench.id(SHORT, turn))),
    ),
    Operation(
        "update_by_id: its vector", None, 1,
        lambda bench, turn: bench.provider.update_by_id(
            bench.id(SHORT, turn), {"embedding": bench.question(turn)}, SHORT
        ),
        lambda bench, hand, turn: hand[SHORT].changed(_VECTOR, bench.question(turn), UUID(bench.id(SHORT, turn))),
    ),
    Operation(
        "update_by_id: with history", None, 1,
        lambda bench, turn: bench.provider.update_by_id(bench.id(PAST, turn), _page(turn), PAST),
        lambda bench, hand, turn: hand[PAST].changed(_DATA_BY_ID, Jsonb(_page(turn)), UUID(bench.id(PAST, turn))),
    ),
    Operation(
        "update_by_id: with history, against ours without", 1.5, 2,
        lambda bench, turn: bench.provider.update_by_id(bench.id(PAST, turn), _page(turn), PAST),
        lambda bench, _, turn: bench.provider.update_by_id(bench.id(PRESENT, turn), _page(turn), PRESENT),
    ),
    Operation(
        "update: of a memory, 10", None, 1 / 4,
        lambda bench, turn: bench.provider.update(SHORT, _some(bench, turn), _page(turn)),
        lambda bench, hand, turn: hand[SHORT].changed(
            _OF_MEMORY, Jsonb(_page(turn)), memory_id(turn % MEMORIES), bench.data.rows // 10
        ),
        alike=False,
    ),
    Operation(
        "update: compare-and-set", None, 2,
        lambda bench, turn: bench.provider.update(
            SHORT, {"id": bench.id(SHORT, turn), "language": "en"}, {"revision": turn}
        ),
        lambda bench, hand, turn: hand[SHORT].changed(
            _IF_EQUAL, Jsonb({"revision": turn}), UUID(bench.id(SHORT, turn)), "en"
        ),
    ),
    Operation(
        "delete_by_id", None, 1,
        lambda bench, turn: bench.provider.delete_by_id(spare_id(turn), SHORT),
        lambda _, hand, turn: hand[SHORT].changed(_DELETED, UUID(spare_id(turn))),
        before=lambda bench, turn: bench.put(turn, 1, SHORT),
    ),
    Operation(
        "delete_by_name", None, 1,
        lambda bench, turn: bench.provider.delete_by_name(spare(turn), SHORT),
        lambda _, hand, turn: hand[SHORT].changed(_DELETED_BY_NAME, spare(turn)),
        before=lambda bench, turn: bench.put(turn, 1, SHORT),
    ),
    Operation(
        "delete: of a memory, 10", None, 1,
        lambda bench, turn: bench.provider.delete(SHORT, {"memory_id": spare(turn)}),
        lambda _, hand, turn: hand[SHORT].changed(DELETED_OF_MEMORY, spare(turn)),
        before=lambda bench, turn: bench.put(turn, 10, SHORT),
    ),
    Operation(
        "delete_all: 100", None, 1 / 4,
        lambda bench, _: bench.provider.delete_all(_EMPTY),
        lambda _, hand, turn: hand[_EMPTY].changed("DELETE FROM {table}") > 0,
        before=lambda bench, turn: bench.put(turn, 100, _EMPTY),
    ),
    Operation(
        "purge_expired: 10", None, 1 / 2,
        lambda bench, _: bench.provider.purge_expired(SHORT),
        lambda _, hand, turn: hand[SHORT].changed(_EXPIRED),
        before=_put_expired,
    ),
    Operation(
        "forget: a memory, 10 in each of 3 stores", None, 1 / 2,
        lambda bench, turn: bench.provider.forget(spare(turn)),
        lambda _, hand, turn: _forgotten(hand, turn),
        alike=False, before=lambda bench, turn: bench.put(turn, 10, LONG, SHORT, TURNS),
    ),
    Operation(
        "run_many: ten, of which three update and one stores", 1.2, 1,
        lambda bench, turn: bench.provider.run_many(_ten_calls(bench, turn)),
        lambda bench, hand, turn: _documents(hand[SHORT], hand[SHORT].at_once(*_ten_steps(bench, hand, turn))),
        alike=False,
    ),
    Operation(
        "transaction: the same ten, together", 1.2, 1,
        _together,
        lambda bench, hand, turn: _documents(hand[SHORT], hand[SHORT].at_once(*_ten_steps(bench, hand, turn))),
        alike=False,
    ),
    Operation(
        "transaction: the same ten, one by one", 1.2, 1,
        _one_by_one,
        lambda bench, hand, turn: _documents(hand[SHORT], hand[SHORT].one_by_one(*_ten_steps(bench, hand, turn))),
        alike=False,
    ),
    Operation(
        "restore", None, 1 / 2,
        lambda bench, turn: bench.provider.restore(bench.id(PAST, turn), PAST, bench.moments[1]),
        lambda bench, hand, turn: hand[PAST].changed(
            _RESTORED, UUID(bench.id(PAST, turn)), *bench.moments[1:2] * 2
        ),
    ),
    Operation(
        "undo: a call", None, 1 / 2,
        lambda bench, turn: bench.provider.undo(call=spare(turn)),
        lambda bench, hand, turn: hand[PAST].changed(_UNDONE, spare(turn)),
        alike=False, before=_named,
    ),
    Operation(
        "store_memagent", None, 1,
        lambda bench, turn: bench.provider.store_memagent(agent_of(turn)),
        lambda bench, hand, turn: hand[AGENTS].store(agent_of(turn) | {"created_at": bench.moments[0]}),
        alike=False,
    ),
    Operation(
        "update_memagent", None, 1,
        lambda bench, turn: bench.provider.update_memagent({"id": bench.id(AGENTS, turn), "max_steps": turn}),
        lambda bench, hand, turn: hand[AGENTS].changed(
            _DATA_BY_ID, Jsonb({"max_steps": turn}), UUID(bench.id(AGENTS, turn))
        ),
    ),
    Operation(
        "update_memagent_memory_ids", None, 1,
        lambda bench, turn: bench.provider.update_memagent_memory_ids(bench.id(AGENTS, turn), [memory_id(turn)]),
        lambda bench, hand, turn: hand[AGENTS].changed(
            _DATA_BY_ID, Jsonb({"memory_ids": [memory_id(turn)]}), UUID(bench.id(AGENTS, turn))
        ),
    ),
    Operation(
        "delete_memagent_memory_ids", None, 1,
        lambda bench, turn: bench.provider.delete_memagent_memory_ids(bench.id(AGENTS, turn)),
        lambda bench, hand, turn: hand[AGENTS].changed(
            _DATA_BY_ID, Jsonb({"memory_ids": []}), UUID(bench.id(AGENTS, turn))
        ),
    ),
    Operation(
        "delete_memagent", None, 1 / 2,
        lambda bench, turn: bench.provider.delete_memagent(spare_id(turn)),
        lambda _, hand, turn: hand[AGENTS].changed(_DELETED, UUID(spare_id(turn))),
        before=_put_agent,
    ),
    Operation(
        "delete_memagent: with 10 memories in each of 3 stores", None, 1 / 4,
        lambda bench, turn: bench.provider.delete_memagent(spare_id(turn), cascade=True),
        lambda _, hand, turn: _with_agent_gone(hand, turn),
        alike=False, before=_put_agent_and_memories,
    ),
]  # fmt: skip


def _some(bench: Bench, turn: int) -> Document:
    return {"memory_id": memory_id(turn % MEMORIES), "number": {"$lt": bench.data.rows // 10}}
