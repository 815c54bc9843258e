"""The indexes of a store, and the DDL that makes them."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from memorizz.memory_provider.postgresql._stores import IndexKind, Store


@dataclass(frozen=True, slots=True)
class HNSW:
    """How a vector index is built (pgvector's parameters)."""

    m: int = 24
    ef_construction: int = 128


def embedding_index(store: Store) -> str:
    return f"{store.memory_type.value}_embedding_idx"


def create(store: Store, hnsw: HNSW) -> list[sql.Composed]:
    """Return the statements that make every index of a new store."""
    return list(named(store, hnsw).values())


def named(store: Store, hnsw: HNSW) -> dict[str, sql.Composed]:
    """Return the statement that makes each index of a store, under its name; what moves on every write has none."""
    table = store.memory_type.value
    ordinary = {
        "name": sql.SQL("(name, created_at, seq)"),
        "memory_id": sql.SQL('(memory_id, "timestamp", seq)'),
        "created_at": sql.SQL("(created_at, seq)"),
        "expires_at": sql.SQL("(expires_at) WHERE expires_at IS NOT NULL"),
        "words": sql.SQL("USING gin (words)"),
    }
    statements = {
        (name := f"{table}_{of}_idx"): sql.SQL("CREATE INDEX {} ON {} {}").format(
            sql.Identifier(name), store.table, definition
        )
        for of, definition in ordinary.items()
    }
    if store.schema.index != "none":
        statements[embedding_index(store)] = create_embedding(store, store.schema.index, hnsw)
    return statements


def create_embedding(store: Store, kind: IndexKind, hnsw: HNSW) -> sql.Composed:
    """Return the statement that makes the vector index of a store."""
    space = store.schema.vector_schema
    if kind == "halfvec":
        # Of length one, so that no number is too large or too small for half precision; cosine does not see lengths.
        target = sql.SQL("({}(embedding)::{}({})) {}").format(
            sql.Identifier(space, "l2_normalize"),
            sql.Identifier(space, "halfvec"),
            sql.Literal(store.schema.dimensions),
            sql.Identifier(space, "halfvec_cosine_ops"),
        )
    else:
        target = sql.SQL("embedding {}").format(sql.Identifier(space, "vector_cosine_ops"))
    return sql.SQL("CREATE INDEX {} ON {} USING hnsw ({}) WITH (m = {}, ef_construction = {})").format(
        sql.Identifier(embedding_index(store)),
        store.table,
        target,
        sql.Literal(hnsw.m),
        sql.Literal(hnsw.ef_construction),
    )
