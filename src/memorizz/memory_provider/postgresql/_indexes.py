"""The indexes of a store, and the DDL that makes them: with the tables, or later while the store is in use.

What runs CONCURRENTLY runs outside of a transaction and takes no parameters, so that here, and nowhere else, a value is
written as a literal: the memory_id of a memory that has an index of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from psycopg import sql

from memorizz.memory_provider import _values
from memorizz.memory_provider._documents import KEYS
from memorizz.memory_provider.postgresql._stores import IndexKind, Store, vector_column

VECTOR_INDEXES = ("hnsw", "halfvec")
# pgvector's limits, in dimensions.
MOST_DIMENSIONS: Mapping[str, int] = {"hnsw": 2000, "halfvec": 4000}


@dataclass(frozen=True, slots=True)
class HNSW:
    """How a vector index is built (pgvector's parameters)."""

    m: int = 24
    ef_construction: int = 128

    def memory(self, kind: str, dimensions: int, rows: int) -> int:
        """Return how much memory holds the graph of so many rows while it is built, in bytes.

        Measured with pgvector 0.8 at 128 to 384 dimensions, m 8 to 48: the vector, 32 bytes for each m, 210 bytes; and
        a reserve of 15 %. At 1,536 dimensions 8.2 kB a row.
        """
        vector = dimensions * (2 if kind == "halfvec" else 4)
        return round(1.15 * rows * (vector + 32 * self.m + 210))


# --- names --------------------------------------------------------------------------------------------------------


def embedding_index(store: Store) -> str:
    return f"{store.name}_{vector_column(store.schema.model_id)}_idx"


def memory_index(store: Store, memory_id: str) -> str:
    """Return the name of the index that one memory has of its own: the same for the same id, whatever is in the id."""
    of = "memory" if store.schema.model_id == 1 else f"memory_{store.schema.model_id}"
    return f"{store.name}_{of}_{sha256(memory_id.encode()).hexdigest()[:12]}_idx"


def keys_index(store: Store) -> str:
    return f"{store.name}_keys_idx"


def replacement(name: str) -> str:
    """Return the name that an index has until it takes the place of another one."""
    return f"{name}_new"


def is_passing(name: str) -> bool:
    """Say whether a name is one that an index has only until it is finished."""
    return re.search(r"_idx_(new|cc(new|old)\d*)$", name) is not None


def stored_memory_id(condition: str | None) -> str | None:
    """Return the memory that an index is for, from its condition as the catalogs write it."""
    found = re.fullmatch(r"\(memory_id = '(.*)'::text\)", condition or "", re.DOTALL)
    return found and found[1].replace("''", "'")


# --- making -------------------------------------------------------------------------------------------------------


def create(store: Store, hnsw: HNSW) -> list[sql.Composed]:
    """Return the statements that make every index of a new store."""
    return list(named(store, hnsw).values())


def named(store: Store, hnsw: HNSW, *, concurrently: bool = False) -> dict[str, sql.Composed]:
    """Return the statement that makes each index of a store, under its name; what moves on every write has none."""
    ordinary = {
        "name": sql.SQL("(name, created_at, seq)"),
        "memory_id": sql.SQL('(memory_id, "timestamp", seq)'),
        "conversation_id": sql.SQL("(conversation_id) WHERE conversation_id IS NOT NULL"),
        "created_at": sql.SQL("(created_at, seq)"),
        "expires_at": sql.SQL("(expires_at) WHERE expires_at IS NOT NULL"),
        "words": sql.SQL("USING gin (words)"),
    }
    statements = {
        (name := f"{store.name}_{of}_idx"): _create(name, store, definition, concurrently)
        for of, definition in ordinary.items()
    }
    if store.index != "none":
        name = embedding_index(store)
        statements[name] = create_embedding(store, store.index, hnsw, name, concurrently=concurrently)
    return statements


def create_embedding(
    store: Store,
    kind: IndexKind,
    hnsw: HNSW,
    name: str,
    *,
    memory_id: str | None = None,
    concurrently: bool = False,
) -> sql.Composed:
    """Return the statement that makes a vector index: of a store, or of one memory in it."""
    space = store.schema.vector_schema
    if kind == "halfvec":
        # Of length one, so that no number is too large or too small for half precision; cosine does not see lengths.
        target = sql.SQL("({}({})::{}({})) {}").format(
            sql.Identifier(space, "l2_normalize"),
            store.embedding,
            sql.Identifier(space, "halfvec"),
            sql.Literal(store.schema.dimensions),
            sql.Identifier(space, "halfvec_cosine_ops"),
        )
    else:
        target = sql.SQL("{} {}").format(store.embedding, sql.Identifier(space, "vector_cosine_ops"))
    definition = sql.SQL("USING hnsw ({}) WITH (m = {}, ef_construction = {}){}").format(
        target,
        sql.Literal(hnsw.m),
        sql.Literal(hnsw.ef_construction),
        sql.SQL("") if memory_id is None else sql.SQL(" WHERE memory_id = {}").format(sql.Literal(memory_id)),
    )
    return _create(name, store, definition, concurrently)


def create_keys(store: Store) -> sql.Composed:
    """Return the statement that makes the index on the keys that have no column of their own."""
    definition = sql.SQL("USING gin (data jsonb_path_ops, metadata jsonb_path_ops)")
    return _create(keys_index(store), store, definition, concurrently=True)


def _create(name: str, store: Store, definition: sql.Composable, concurrently: bool) -> sql.Composed:
    return sql.SQL("CREATE INDEX {}{} ON {} {}").format(
        sql.SQL("CONCURRENTLY " if concurrently else ""), sql.Identifier(name), store.table, definition
    )


def comment(store: Store, name: str, memory_id: str) -> sql.Composed:
    """Return the statement that says in the catalogs which memory an index is for."""
    return sql.SQL("COMMENT ON INDEX {} IS {}").format(_index(store, name), sql.Literal(f"memory_id: {memory_id}"))


def checked_memory_id(memory_id: str) -> str:
    """Return an id that a memory can have; raises InvalidDocument for any other."""
    return _values.text(memory_id, "memory_id", limit=KEYS["memory_id"].limit)


# --- mending and removing -----------------------------------------------------------------------------------------


def reindex(store: Store, name: str) -> sql.Composed:
    return sql.SQL("REINDEX INDEX CONCURRENTLY {}").format(_index(store, name))


def drop(store: Store, name: str) -> sql.Composed:
    return sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(_index(store, name))


def take_place(store: Store, name: str, lock_seconds: float) -> sql.Composed:
    """Return the statements that put a replacement in the place of an index; they wait until nobody uses the store."""
    return sql.SQL("SET LOCAL lock_timeout = {wait}; DROP INDEX {old}; ALTER INDEX {new} RENAME TO {name}").format(
        wait=sql.Literal(round(lock_seconds * 1000)),
        old=_index(store, name),
        new=_index(store, replacement(name)),
        name=sql.Identifier(name),
    )


# What the column of the vectors says while its index is put off; the rest says how it is to be built.
_PUT_OFF = "memorizz: the vector index is put off, "


def put_off(store: Store, kind: str, hnsw: HNSW, lock_seconds: float) -> sql.Composed:
    """Return the statements that drop a store's vector index and note in the catalogs how to build it again."""
    return sql.SQL("SET LOCAL lock_timeout = {wait}; DROP INDEX {index}; {note}").format(
        wait=sql.Literal(round(lock_seconds * 1000)),
        index=_index(store, embedding_index(store)),
        note=_note(store, f"{_PUT_OFF}{kind} m={hnsw.m} ef_construction={hnsw.ef_construction}"),
    )


def built(store: Store) -> sql.Composed:
    """Return the statement that takes the note of an index that was put off away."""
    return _note(store, None)


def _note(store: Store, text: str | None) -> sql.Composed:
    column = sql.Identifier(store.schema.name, store.name, store.schema.vector_column)
    return sql.SQL("COMMENT ON COLUMN {} IS {}").format(column, sql.Literal(text))


NOTE = b"""
SELECT col_description(attrelid, attnum) FROM pg_attribute
JOIN pg_class ON pg_class.oid = attrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = %(schema)s AND relname = %(store)s AND attname = %(column)s
"""


def noted(text: str | None) -> tuple[str, HNSW] | None:
    """Return the kind and the parameters of an index that was put off, None where the column says nothing of one."""
    found = re.fullmatch(re.escape(_PUT_OFF) + r"(\w+) m=(\d+) ef_construction=(\d+)", text or "")
    return found and (found[1], HNSW(int(found[2]), int(found[3])))


def _index(store: Store, name: str) -> sql.Identifier:
    return sql.Identifier(store.schema.name, name)


def patient(memory: str | None, lock_seconds: float) -> sql.Composed:
    """Return the statements that let this session wait as long as a build takes; `memory` is for its graph."""
    settings = {"statement_timeout": "0", "lock_timeout": f"{round(lock_seconds * 1000)}"}
    if memory is not None:
        settings["maintenance_work_mem"] = memory
    return sql.SQL("; ").join(
        sql.SQL("SET {} = {}").format(sql.Identifier(name), sql.Literal(value)) for name, value in settings.items()
    )


IMPATIENT = b"RESET statement_timeout; RESET lock_timeout; RESET maintenance_work_mem"


# --- looking ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a build has come: `phase` is PostgreSQL's name for what it does, in which `done` of `total` are done.

    `total` is 0 where it is not known; `waits_for` is who is in the way.
    """

    phase: str
    done: int = 0
    total: int = 0
    waits_for: str | None = None

    @property
    def share(self) -> float | None:
        """How much of the phase is done, from 0 to 1; None where that is not known."""
        return min(self.done / self.total, 1.0) if self.total else None


MEMORY = b"SELECT pg_size_bytes(current_setting('maintenance_work_mem')), pg_backend_pid()"

# What is waited for is one transaction after another, or a lock that somebody holds.
PROGRESS = b"""
SELECT coalesce(phase, CASE WHEN mine.wait_event_type = 'Lock' THEN 'waiting for a lock' ELSE 'starting' END),
    CASE WHEN lockers_total > 0 THEN lockers_done WHEN blocks_total > 0 THEN blocks_done ELSE tuples_done END,
    CASE WHEN lockers_total > 0 THEN lockers_total WHEN blocks_total > 0 THEN blocks_total ELSE tuples_total END,
    CASE WHEN other.pid IS NOT NULL THEN format('process %%s (%%s)', other.pid, concat_ws(', ',
        nullif(other.application_name, ''), other.state,
        'for ' || round(extract(epoch FROM now() - coalesce(other.state_change, other.xact_start))) || ' s')) END
FROM pg_stat_activity AS mine
LEFT JOIN pg_stat_progress_create_index AS progress ON progress.pid = mine.pid
LEFT JOIN pg_stat_activity AS other ON other.pid = CASE
    WHEN lockers_total > 0 THEN current_locker_pid
    WHEN mine.wait_event_type = 'Lock' THEN (pg_blocking_pids(mine.pid))[1] END
WHERE mine.pid = %(pid)s
"""


def count_covered(store: Store, method: str, condition: str | None) -> bytes:
    """Return the statement that counts the rows that an index covers; `condition` is as the catalogs write it."""
    embedded = sql.SQL("{} IS NOT NULL").format(store.embedding) if method in VECTOR_INDEXES else sql.SQL("true")
    # It comes from pg_get_expr; the driver takes a bare % for the beginning of a parameter.
    covered = f"({(condition or 'true').replace('%', '%%')})".encode()
    statement = sql.SQL("SELECT count(*) FROM {} WHERE {} AND ").format(store.table, embedded)
    return statement.as_bytes(None) + covered


def count_memory(store: Store) -> bytes:
    """Return the statement that counts the vectors of one memory, and those of the store by the server's estimate."""
    statement = sql.SQL("SELECT count({}) FROM {} WHERE memory_id = %(memory_id)s")
    return statement.format(store.embedding, store.table).as_bytes(None)
