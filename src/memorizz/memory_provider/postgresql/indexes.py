"""The indexes of a store, and the DDL that makes them: with the tables, or later while the store is in use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import LiteralString

from psycopg import sql

from memorizz.errors import ConfigurationError
from memorizz.memory_provider.postgresql.facts import Store
from memorizz.memory_provider.postgresql.layout import vector_column
from memorizz.memory_provider.postgresql.sql.key import WHOSE
from memorizz.memory_provider.stores import DEFAULT_EF_CONSTRUCTION, DEFAULT_M, Distance, IndexKind

_MB = 2**20
VECTOR_INDEXES = ("hnsw", "halfvec")
# What the operator class of each distance is called after, behind the type.
_OPERATORS: Mapping[Distance, str] = {"cosine": "cosine", "l2": "l2", "inner_product": "ip"}


@dataclass(frozen=True, slots=True)
class HNSW:
    """How a vector index is built (pgvector's parameters)."""

    m: int = DEFAULT_M
    ef_construction: int = DEFAULT_EF_CONSTRUCTION

    def memory(self, kind: str, dimensions: int, rows: int) -> int:
        """Return how much memory holds the graph of so many rows while it is built, in bytes.

        Measured with pgvector 0.8 at 128 to 384 dimensions, m 8 to 48: the vector, 32 bytes for each m, 210 bytes; and
        a reserve of 15 %. At 1,536 dimensions 8.2 kB a row.
        """
        vector = dimensions * (2 if kind == "halfvec" else 4)
        return round(1.15 * rows * (vector + 32 * self.m + 210))


def rounded(size: int) -> str:
    """Return an amount of memory of at least `size`, as PostgreSQL writes it."""
    step = 64 * _MB if size < 1024 * _MB else 512 * _MB
    return f"{-(-size // step) * step // _MB}MB"


# --- names --------------------------------------------------------------------------------------------------------


def embedding_index(store: Store) -> str:
    return f"{store.name}_{vector_column(store.model.id)}_idx"


def pieces_index(store: Store) -> str:
    """Return the name of the index of the vectors of long texts' pieces, in a store that has one vector for others."""
    return f"{store.name}_pieces_{store.model.id}_idx"


def is_of_pieces(store: Store, name: str) -> bool:
    return name.startswith(f"{store.name}_pieces_")


def keys_index(store: Store) -> str:
    return f"{store.name}_keys_idx"


def replacement(name: str) -> str:
    """Return the name that an index has until it takes the place of another one."""
    return f"{name}_new"


def of_partition(name: str, number: int) -> str:
    """Return the name of the part of an index that covers one partition."""
    return f"{name}_p{number}"


def is_of_partition(name: str) -> bool:
    """Return True for the part of an index that covers one partition."""
    return re.search(r"_idx(_new)?_p\d+(_cc(new|old)\d*)?$", name) is not None


def is_passing(name: str) -> bool:
    """Return True for a name that an index has only until it is finished, and has taken its place."""
    return is_of_partition(name) or re.search(r"_idx_(new|cc(new|old)\d*)$", name) is not None


def is_own(name: str, of: str) -> bool:
    """Return True for an index itself, and for what has its name while it is made or replaced."""
    return name == of or (is_passing(name) and name.startswith(of))


# --- making -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class How:
    """How an index is made: of a table as a whole, or CONCURRENTLY; of one `partition`, which takes its number in the
    name; or `only` as what holds those of all partitions, which is valid when it has them.

    PostgreSQL makes none CONCURRENTLY of a table in partitions.
    """

    concurrently: bool = False
    partition: int | None = None
    only: bool = False


def named(store: Store, how: How = How()) -> dict[str, sql.Composed]:
    """Return the statement that makes each index of a store, under its name; what moves on every write has none.

    A b-tree begins with whose a row is, so that no call reads what is another one's, where names and memories of both
    are the same. What a document lacks costs it nothing: no index of that has it.
    """
    ordinary = {
        "name": _leading("name, created_at, seq", "WHERE name IS NOT NULL"),
        "memory_id": _leading('memory_id, "timestamp", seq', "WHERE memory_id IS NOT NULL"),
        # By a pattern too: what begins with a text is found by it ($prefix), in any collation.
        "conversation_id": _leading(
            'conversation_id text_pattern_ops, "timestamp", seq', "WHERE conversation_id IS NOT NULL"
        ),
        "created_at": _leading("created_at, seq"),
        # A read that prolongs a lifetime stays out of all indexes; one of another kind than this would have it in each.
        "expires": _leading("memory_id", "WHERE expires"),
        "expires_at": sql.SQL("USING brin (expires_at) WHERE expires_at IS NOT NULL"),
        "words": sql.SQL("USING gin (words) WHERE words IS NOT NULL"),
    }
    statements = {
        (name := f"{store.name}_{of}_idx"): _create(name, store, definition, how) for of, definition in ordinary.items()
    }
    if store.vector.index != "none":
        hnsw = HNSW(store.vector.m, store.vector.ef_construction)
        for name in vector_indexes(store):
            statements[name] = create_embedding(store, store.vector.index, hnsw, name, how)
    return statements


def _leading(columns: LiteralString, where: LiteralString = "") -> sql.Composed:
    return sql.SQL("({}, {}) {}").format(WHOSE, sql.SQL(columns), sql.SQL(where))


def vector_indexes(store: Store) -> list[str]:
    return [embedding_index(store)] if store.spec.fields else [embedding_index(store), pieces_index(store)]


def create_embedding(store: Store, kind: IndexKind, hnsw: HNSW, name: str, how: How) -> sql.Composed:
    """Return the statement that makes the vector index of a store."""
    space = store.layout.vector_schema
    if kind == "halfvec":
        # Of length one, so that no number is too large or too small for half precision; cosine does not see lengths.
        target = sql.SQL("({}({})::{}({})) {}").format(
            sql.Identifier(space, "l2_normalize"),
            store.embedding,
            sql.Identifier(space, "halfvec"),
            sql.Literal(store.model.dimensions),
            sql.Identifier(space, "halfvec_cosine_ops"),
        )
    else:
        operators = sql.Identifier(space, f"{store.spec.vector_type}_{_OPERATORS[store.spec.distance]}_ops")
        target = sql.SQL("{} {}").format(store.embedding, operators)
    definition = sql.SQL("USING hnsw ({}) WITH (m = {}, ef_construction = {})").format(
        target, sql.Literal(hnsw.m), sql.Literal(hnsw.ef_construction)
    )
    return _create(name, store, definition, how, parts=bool(store.spec.fields) or is_of_pieces(store, name))


def create_keys(store: Store, how: How) -> sql.Composed:
    """Return the statement that makes the index on the keys that have no column of their own."""
    definition = sql.SQL("USING gin (data jsonb_path_ops, metadata jsonb_path_ops)")
    return _create(keys_index(store), store, definition, how)


def _create(name: str, store: Store, definition: sql.Composable, how: How, parts: bool = False) -> sql.Composed:
    table = store.parts if parts else store.table
    if how.partition is not None:
        name, table = of_partition(name, how.partition), store.partition(how.partition, parts)
    return sql.SQL("CREATE INDEX {}{} ON {}{} {}").format(
        sql.SQL("CONCURRENTLY " if how.concurrently else ""),
        sql.Identifier(name),
        sql.SQL("ONLY " if how.only else ""),
        table,
        definition,
    )


# --- mending and removing -----------------------------------------------------------------------------------------


def reindex(store: Store, name: str) -> sql.Composed:
    return sql.SQL("REINDEX INDEX CONCURRENTLY {}").format(_index(store, name))


def drop(store: Store, name: str, *, concurrently: bool = True) -> sql.Composed:
    return sql.SQL("DROP INDEX {}IF EXISTS {}").format(
        sql.SQL("CONCURRENTLY " if concurrently else ""), _index(store, name)
    )


def swap_index(store: Store, name: str, lock_seconds: float) -> sql.Composed:
    """Return the statements that put a replacement in the place of an index; they wait until nobody uses the store."""
    return sql.SQL("SET LOCAL lock_timeout = {wait}; DROP INDEX {old}; ALTER INDEX {new} RENAME TO {name}").format(
        wait=sql.Literal(round(lock_seconds * 1000)),
        old=_index(store, name),
        new=_index(store, replacement(name)),
        name=sql.Identifier(name),
    )


def join(store: Store, whole: sql.Composable, name: str, made: str, lock_seconds: float) -> sql.Composed:
    """Return the statements that make the indexes of all partitions, `made`, those of `whole`, an index of this name.

    It takes the place of another one that is there; they wait until nobody uses the store.
    """
    statements: list[sql.Composable] = [
        sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(round(lock_seconds * 1000))),
        drop(store, name, concurrently=False),
        whole,
    ]
    for number in range(store.spec.partitions or 0):
        if made != name:
            statements.append(
                sql.SQL("ALTER INDEX {} RENAME TO {}").format(
                    _index(store, of_partition(made, number)), sql.Identifier(of_partition(name, number))
                )
            )
        part = _index(store, of_partition(name, number))
        statements.append(sql.SQL("ALTER INDEX {} ATTACH PARTITION {}").format(_index(store, name), part))
    return sql.SQL("; ").join(statements)


# What the column of the vectors says while its index is deferred; the rest says how it is to be built.
_DEFERRED = "memorizz: the vector index is deferred, "


def defer_index(store: Store, kind: str, hnsw: HNSW, lock_seconds: float) -> sql.Composed:
    """Return the statements that drop a store's vector index and note in the catalogs how to build it again."""
    return sql.SQL("SET LOCAL lock_timeout = {wait}; DROP INDEX IF EXISTS {index}; {note}").format(
        wait=sql.Literal(round(lock_seconds * 1000)),
        index=_index(store, embedding_index(store)),
        note=_note(store, f"{_DEFERRED}{kind} m={hnsw.m} ef_construction={hnsw.ef_construction}"),
    )


def built(store: Store) -> sql.Composed:
    """Return the statement that takes away the note of a deferred index."""
    return _note(store, None)


def _note(store: Store, text: str | None) -> sql.Composed:
    column = sql.Identifier(store.layout.schema, store.name, store.vector_column)
    return sql.SQL("COMMENT ON COLUMN {} IS {}").format(column, sql.Literal(text))


NOTE = b"""
SELECT col_description(attrelid, attnum) FROM pg_attribute
JOIN pg_class ON pg_class.oid = attrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = %(schema)s AND relname = %(store)s AND attname = %(column)s
"""


def noted(text: str | None) -> tuple[str, HNSW] | None:
    """Return the kind and the parameters of a deferred index, None where the column says nothing of one."""
    found = re.fullmatch(re.escape(_DEFERRED) + r"(\w+) m=(\d+) ef_construction=(\d+)", text or "")
    return found and (found[1], HNSW(int(found[2]), int(found[3])))


def _index(store: Store, name: str) -> sql.Identifier:
    return sql.Identifier(store.layout.schema, name)


_MAX_LOCK_SECONDS = 2**31 // 1000 - 1  # PostgreSQL has it in milliseconds


def without_timeouts(memory: str | None, lock_seconds: float) -> sql.Composed:
    """Return the statements that let this session wait as long as a build takes; `memory` is for its graph."""
    if not 0 <= lock_seconds <= _MAX_LOCK_SECONDS:
        raise ConfigurationError(f"lock_seconds={lock_seconds!r}: expected a number from 0 to {_MAX_LOCK_SECONDS:,}")
    settings = {"statement_timeout": "0", "lock_timeout": f"{round(lock_seconds * 1000)}"}
    if memory is not None:
        settings["maintenance_work_mem"] = memory
    return sql.SQL("; ").join(
        sql.SQL("SET {} = {}").format(sql.Identifier(name), sql.Literal(value)) for name, value in settings.items()
    )


WITH_TIMEOUTS = b"RESET statement_timeout; RESET lock_timeout; RESET maintenance_work_mem"


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

    def of_partition(self, number: int, partitions: int) -> Progress:
        """Return how far the build of all partitions has come with this one, those before it being done."""
        phase = f"{self.phase}, partition {number + 1} of {partitions}"
        return replace(self, phase=phase, done=number * self.total + self.done, total=partitions * self.total)


MEMORY = b"SELECT pg_size_bytes(current_setting('maintenance_work_mem')), pg_backend_pid()"

# What is waited for is one transaction after another, or a lock that somebody holds.
PROGRESS = b"""
SELECT coalesce(phase, CASE WHEN mine.wait_event_type = 'Lock' THEN 'waiting for a lock' ELSE 'starting' END),
    CASE WHEN lockers_total > 0 THEN lockers_done WHEN blocks_total > 0 THEN blocks_done
        ELSE coalesce(tuples_done, 0) END,
    CASE WHEN lockers_total > 0 THEN lockers_total WHEN blocks_total > 0 THEN blocks_total
        ELSE coalesce(tuples_total, 0) END,
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


def count_covered(store: Store, name: str, method: str, condition: str | None) -> bytes:
    """Return the statement that counts the rows that an index covers; `condition` is as the catalogs write it."""
    of_parts = method in VECTOR_INDEXES and (store.spec.fields or is_of_pieces(store, name))
    embedded = sql.SQL("{} IS NOT NULL").format(store.embedding) if method in VECTOR_INDEXES else sql.SQL("true")
    # It comes from pg_get_expr; the driver takes a bare % for the beginning of a parameter.
    covered = f"({(condition or 'true').replace('%', '%%')})".encode()
    statement = sql.SQL("SELECT count(*) FROM {} WHERE {} AND ").format(
        store.parts if of_parts else store.table, embedded
    )
    return statement.as_bytes(None) + covered
