"""What operations are measured on: the same data in a schema of the provider's and in minimal tables.

Documents to read, documents to write, turns, agents; and the same documents twice more, of which one store keeps its
history: by hand that is a table of versions and a trigger.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from benchmarks import words
from benchmarks.data import MEMORIES, Data, Document, document_of, memory_id
from benchmarks.lab import Lab
from benchmarks.raw import Raw
from benchmarks.raw_tables import MINIMAL, OWN, RawTable, adapt, make_minimal, minimal, own, own_turns
from benchmarks.timing import Way
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLProvider

SCHEMA, SCHEMA_BY_HAND, SCHEMA_OF_WORDS = (f"memorizz_benchmark{each}" for each in ("", "_minimal", "_words"))
LONG, SHORT, TURNS = MemoryType.LONG_TERM_MEMORY, MemoryType.SHORT_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY
PAST, PRESENT, AGENTS = MemoryType.WORKFLOW_MEMORY, MemoryType.PERSONAS, MemoryType.MEMAGENT
PROVIDER = "provider"
LIMIT = 10
# As much is what differs by no more than one in a thousand of the nearest.
_AS_MUCH = 0.001
_AGENTS = 100
# Of how many documents a history is kept; one that is asked for lies between the times at which all were changed.
_CHANGING = 1_000
# As ours: else an update by hand leaves its page and enters the vector index again, which takes ten times as long.
_FILLED = 85

# What else than by memory is asked for has an index by hand, too.
_INDEXES: Mapping[MemoryType, tuple[str, ...]] = {
    LONG: ("CREATE INDEX ON {table} (name text_pattern_ops)",),
    SHORT: (
        "CREATE INDEX ON {table} (name)",
        "ALTER TABLE {table} ADD expires_at timestamptz",
        "CREATE INDEX ON {table} (expires_at) WHERE expires_at IS NOT NULL",
    ),
    TURNS: ("CREATE INDEX ON {table} (memory_id, created_at)",),
    PAST: (
        "CREATE TABLE {versions} (LIKE {table}, until timestamptz NOT NULL DEFAULT now(), "
        "call text DEFAULT nullif(current_setting('benchmark.call', true), ''))",
        "CREATE INDEX ON {versions} (id)",
        "CREATE INDEX ON {versions} (memory_id)",
        "CREATE INDEX ON {versions} (call)",
        "CREATE FUNCTION {recording}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF TG_OP = 'UPDATE' AND NEW.embedding IS NOT DISTINCT FROM OLD.embedding THEN OLD.embedding = NULL; END IF; "
        "INSERT INTO {versions} SELECT OLD.*; RETURN NULL; END $$",
        "CREATE TRIGGER recorded AFTER UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {recording}()",
    ),
}
DELETED_OF_MEMORY = "DELETE FROM {table} WHERE memory_id = %b"
_CHANGED = "UPDATE {table} SET data = data || %b, updated_at = now()"


class ByHand:
    """The tables of one kind, each by hand, by their stores."""

    def __init__(self, lab: Lab, tables: Mapping[MemoryType, RawTable]) -> None:
        self._raws = {store: Raw(lab, table) for store, table in tables.items()}

    def __getitem__(self, store: MemoryType) -> Raw:
        return self._raws[store]

    def __iter__(self) -> Iterator[Raw]:
        return iter(self._raws.values())

    def close(self) -> None:
        for raw in self:
            raw.close()


@dataclass(frozen=True)
class Operation:
    """One operation, done by the provider and by hand; each is told the number of the turn, so that all do the same.

    Its name begins with that of the method. It is repeated `share` times as often as the command line says. `own` says
    that it is done by hand on the provider's own table, too, `alike` that both return the same documents. `before`
    makes ready what a turn needs.
    """

    name: str
    goal: float | None
    share: float
    provider: Callable[[Bench, int], Any]
    by_hand: Callable[[Bench, ByHand, int], Any]
    own: bool = False
    alike: bool = True
    before: Callable[[Bench, int], None] | None = None
    note: Callable[[Bench], str] | None = None


class Bench:
    """The data, the ways to it, and what is asked for in a turn."""

    def __init__(self, lab: Lab, rows: int) -> None:
        self.data = Data(rows, lab.dimensions or 1536)
        self.config = lab.config(SCHEMA, embedding_dimensions=self.data.dimensions)
        self._lab = lab
        tables = {store: minimal(SCHEMA_BY_HAND, store.value) for store in MemoryType}
        self.ids = self._fill(tables)
        self.provider = PostgreSQLProvider(self.config)
        self.hand = ByHand(lab, tables)
        own_tables = {store: own(lab, SCHEMA, store.value) for store in (LONG, SHORT)}
        self.by_hand = {
            MINIMAL: self.hand,
            OWN: ByHand(lab, own_tables | {TURNS: own_turns(lab, SCHEMA)}),
        }
        self.moments = self._change()
        raw = [minimal(SCHEMA_OF_WORDS, store.value) for store in words.STORES]
        words.make(lab, raw, SCHEMA)
        options = {"autocommit": True, "options": f"-c search_path={SCHEMA_OF_WORDS},{lab.vector_schema}"}
        self._pool = ConnectionPool(lab.conninfo, kwargs=options, configure=adapt, min_size=1, open=True)
        self.words: dict[str, dict[str, Way]] = words.searches(self.provider, self._pool, raw, self.data)

    def close(self) -> None:
        for each in (*self.by_hand.values(), self._pool, self.provider):
            each.close()
        for schema in (SCHEMA, SCHEMA_BY_HAND, SCHEMA_OF_WORDS):
            self._lab.drop(schema)
        gc.unfreeze()

    def _fill(self, tables: Mapping[MemoryType, RawTable]) -> dict[MemoryType, list[str]]:
        for schema in (SCHEMA, SCHEMA_BY_HAND, SCHEMA_OF_WORDS):
            self._lab.drop(schema)
        stores: dict[MemoryType, Callable[[], Iterable[Document]]] = {
            LONG: self.data.documents,
            SHORT: self.data.documents,
            TURNS: self.data.turns,
            PAST: self._changing,
            PRESENT: self._changing,
            AGENTS: lambda: map(agent_of, range(_AGENTS)),
        }
        with self._lab.filling(self.config) as provider:
            provider.keep_history(PAST)
            ids = {store: provider.store_many(documents(), store) for store, documents in stores.items()}
        with PostgreSQLProvider(self.config) as provider, self._lab.connect() as connection:
            for store in MemoryType:
                table = tables[store]
                documents = provider.iterate(store, include_embedding=True)
                make_minimal(self._lab, table, self.data.dimensions, documents, fillfactor=_FILLED)
                for statement in _INDEXES.get(store, ()):
                    recording = sql.Identifier(table.schema, "recorded")
                    connection.execute(table.statement(statement, recording=recording).encode())
                connection.execute(table.statement("ANALYZE {table}").encode())
        # What is there now is not the garbage of what is measured.
        gc.collect()
        gc.freeze()
        return ids

    def _changing(self) -> Iterator[Document]:
        for number in range(min(_CHANGING, self.data.rows)):
            yield self.new(number) | {"memory_id": memory_id(number % MEMORIES)}

    def _change(self) -> list[datetime]:
        """Change every document whose history is kept; return times before, between and after."""
        moments: list[datetime] = []
        for state in range(2):
            moments.append(self._lab.ask("SELECT clock_timestamp()"))
            self.provider.update(PAST, {}, {"state": state})
            self.hand[PAST].changed(_CHANGED, Jsonb({"state": state}))
        return [*moments, self._lab.ask("SELECT clock_timestamp()")]

    # --- what is asked for in a turn ------------------------------------------------------------------------------

    def id(self, store: MemoryType, turn: int) -> str:
        """Return the id of a document, another one each turn until all were met."""
        ids = self.ids[store]
        return ids[turn * 7919 % len(ids)]

    def new(self, turn: int) -> Document:
        return document_of(turn) | {"embedding": self.data.embeddings[turn % self.data.rows]}

    def question(self, turn: int) -> Any:
        return self.data.questions[turn % len(self.data.questions)]

    def nearest(self, turn: int) -> Any:
        return self.provider.retrieve_by_query({"embedding": self.question(turn)}, LONG, LIMIT)

    def nearest_in_memory(self, turn: int) -> Any:
        return self.provider.retrieve_by_query(self.asked(turn), LONG, LIMIT)

    def asked(self, turn: int) -> Document:
        return {"embedding": self.question(turn), "memory_id": memory_id(turn % MEMORIES)}

    def put(self, turn: int, count: int, *stores: MemoryType, **keys: Any) -> None:
        """Store documents that go in a turn, in both, in a memory of their own; they have no vectors."""
        for store in stores:
            documents = [
                document_of(each) | {"id": spare_id(turn, each), "memory_id": spare(turn), "name": spare(turn)} | keys
                for each in range(count)
            ]
            # What a turn of another operation has left.
            self.provider.delete(store, {"memory_id": spare(turn)})
            self.hand[store].changed(DELETED_OF_MEMORY, spare(turn))
            self.provider.store_many(documents, store)
            self.hand[store].store_many(documents)

    # --- the same answer ------------------------------------------------------------------------------------------

    def check(self, operations: Iterable[Operation]) -> None:
        """Let the index be searched for equal recall; fail where the ways do not give the same documents."""
        recall = self.data.recall(self.nearest)
        for by_hand in self.by_hand.values():
            raw = by_hand[LONG]
            raw.fit(
                lambda raw=raw: self.data.recall(lambda turn: raw.nearest(self.question(turn), LIMIT)),
                recall - _AS_MUCH,
            )
        for operation in operations:
            if operation.before is not None:
                operation.before(self, 3)
            given = operation.provider(self, 3)
            if operation.alike:
                assert _keys(operation.by_hand(self, self.hand, 3)) == _keys(given), operation.name
                if operation.own:
                    assert operation.by_hand(self, self.by_hand[OWN], 3) == given, operation.name

    def recall(self) -> str:
        found = {PROVIDER: self.data.recall(self.nearest)}
        for table, by_hand in self.by_hand.items():
            raw = by_hand[LONG]
            found[f"{table}, ef_search {raw.ef_search}"] = self.data.recall(
                lambda turn, raw=raw: raw.nearest(self.question(turn), LIMIT)
            )
        return f"recall@{LIMIT}: " + "; ".join(f"{name} {recall:.3f}" for name, recall in found.items())

    def recall_in_memory(self) -> str:
        recall = self.data.recall(self.nearest_in_memory, in_memory=True)
        return f"recall@{LIMIT} {recall:.3f}; by hand every row is compared"


def spare(turn: int) -> str:
    return f"spare-{turn}"


def spare_id(turn: int, number: int = 0) -> str:
    # A turn that does not count has a negative number.
    return str(UUID(int=(turn + 1_000_000) << 32 | number))


def agent_of(number: int) -> Document:
    return {
        "name": f"agent-{number}",
        "instruction": "Answer as somebody would who has read everything. " * 4,
        "memory_ids": [memory_id(number % MEMORIES)],
        "tools": [{"name": f"tool-{each}", "parameters": {"text": "string"}} for each in range(5)],
        "max_steps": number % 20,
    }


def _keys(answer: Any) -> Any:
    """Return what two answers to the same have in common: the ids of documents, or what is no document."""
    if isinstance(answer, dict):
        return answer.get("id", answer)
    if isinstance(answer, list):
        return [_keys(each) for each in answer]
    return answer
