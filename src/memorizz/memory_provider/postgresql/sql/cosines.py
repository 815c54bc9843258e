"""The statements that measure how far apart the vectors of a model lie, and note it."""

from __future__ import annotations

from psycopg import sql

from memorizz.memory_provider._cosines import SAMPLE, Cosines
from memorizz.memory_provider.postgresql._steps import Query
from memorizz.memory_provider.postgresql.facts import Store, composed_once

# Whoever opens a provider waits for this: not for a lock that somebody holds, nor for a slow disk.
BOUNDED = b"SET LOCAL lock_timeout = 50; SET LOCAL statement_timeout = 1000"
# Some blocks of a large table, that all of it need not be read; the vectors themselves only of those that are taken.
# Nothing is read where nothing may be noted. Equal vectors are of equal texts, and say nothing of others.
_MEASURE = sql.SQL("""
WITH may_note AS MATERIALIZED (
    SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'
        AND has_table_privilege({models_name}, 'UPDATE') AND has_table_privilege({settings_name}, 'UPDATE') AS it
), taken AS MATERIALIZED (
    SELECT d.tableoid AS piece, d.ctid AS place FROM {vectors} AS d TABLESAMPLE SYSTEM ((
        SELECT least(100, 1e5 / greatest(sum(reltuples) FILTER (WHERE relkind = 'r'), 1)) FROM pg_class
        WHERE oid = {regclass}::regclass
            OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = {regclass}::regclass)
    )) WHERE (SELECT it FROM may_note) AND d.{vector} IS NOT NULL ORDER BY random() LIMIT {sample}
), sample AS MATERIALIZED (
    SELECT d.{vector} AS vector, row_number() OVER () AS n
    FROM {vectors} AS d JOIN taken ON d.ctid = taken.place AND d.tableoid = taken.piece
)
SELECT 1 - avg(distance), stddev_pop(distance), (SELECT count(*) FROM sample)
FROM (
    SELECT one.vector OPERATOR({space}.<=>) other.vector AS distance
    FROM sample AS one JOIN sample AS other ON one.n < other.n
) AS pairs WHERE distance > 1e-6
""")
_NOTE = sql.SQL("""
WITH noted AS (
    UPDATE {models} SET cosine_mean = %(mean)s, cosine_deviation = %(deviation)s
    WHERE id = %(model)s AND cosine_deviation IS NULL RETURNING 1
)
UPDATE {settings} SET version = version + 1 WHERE EXISTS (SELECT FROM noted)
""")


@composed_once
def _measure(store: Store) -> bytes:
    models, settings = store.layout.table("embedding_models"), store.layout.table("settings")
    table = store.parts if store.spec.fields else store.table
    return _MEASURE.format(
        vectors=table,
        vector=store.embedding,
        regclass=sql.Literal(table.as_string()),
        models_name=sql.Literal(models.as_string()),
        settings_name=sql.Literal(settings.as_string()),
        space=sql.Identifier(store.layout.vector_schema),
        sample=sql.Literal(SAMPLE),
    ).as_bytes(None)


def measure(store: Store) -> Query:
    """Return the mean and deviation of the cosine similarity, and of how many vectors: none where
    nothing may be noted."""
    return Query(_measure(store))


@composed_once
def _note(store: Store) -> bytes:
    models, settings = store.layout.table("embedding_models"), store.layout.table("settings")
    return _NOTE.format(models=models, settings=settings).as_bytes(None)


def note(store: Store, cosines: Cosines) -> Query:
    """Note what was measured, unless another program has done so, and move the version of the facts on."""
    bound = {"mean": cosines.mean, "deviation": cosines.deviation, "model": store.model.id}
    return Query(_note(store), bound)
